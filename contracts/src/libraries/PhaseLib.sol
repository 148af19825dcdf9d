// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {Task} from "./TaskLib.sol";

/// @notice A round's phase and deadlines as functions of stored facts and a given time.
/// @dev Windows follow one another from `openedAt`, each half-open: its last second belongs to the next one. The walk
/// stops at the window that holds `time`, so early phases never read what only later ones need. A refuted result opens
/// the aggregate window anew, from the time of the refutation.
library PhaseLib {
    // A lie costs its bond, but if each opened the window anew, whoever pays could keep a round from ending.
    uint256 internal constant MAX_REFUTATIONS = 8;

    function phase(Task storage task, IVolquorum.RoundState storage round, uint256 time)
        internal
        view
        returns (IVolquorum.Phase)
    {
        uint256 end = round.openedAt;
        if (end == 0) return IVolquorum.Phase.None;
        if (time < (end += task.selectionSeconds)) return IVolquorum.Phase.Selection;
        if (time < (end += task.commitSeconds)) return IVolquorum.Phase.Commit;
        if (time < (end += task.revealSeconds)) return IVolquorum.Phase.Reveal;
        if (revealed(round) < task.quorum) return IVolquorum.Phase.Void;
        if (time < (end += task.availabilitySeconds)) return IVolquorum.Phase.Availability;
        return phaseOfResult(task, round, end, time);
    }

    /// @notice The latest round's phase up to Reveal, from the slot alone that commits and reveals read anyway; whatever
    /// comes behind that is Availability here.
    function earlyPhase(Task storage task, uint256 time) internal view returns (IVolquorum.Phase) {
        uint256 end = task.openedAt;
        if (end == 0) return IVolquorum.Phase.None;
        if (time < (end += task.selectionSeconds)) return IVolquorum.Phase.Selection;
        if (time < (end += task.commitSeconds)) return IVolquorum.Phase.Commit;
        if (time < end + task.revealSeconds) return IVolquorum.Phase.Reveal;
        return IVolquorum.Phase.Availability;
    }

    function phaseOfResult(
        Task storage task,
        IVolquorum.RoundState storage round,
        uint256 availabilityEnd,
        uint256 time
    ) private view returns (IVolquorum.Phase) {
        if (included(round) < task.quorum) return IVolquorum.Phase.Void;
        uint256 published = round.publishedAt;
        if (published == 0) {
            if (round.refutations == MAX_REFUTATIONS) return IVolquorum.Phase.Void;
            uint256 end = aggregateStart(round, availabilityEnd) + task.aggregateSeconds;
            return time < end ? IVolquorum.Phase.Aggregate : IVolquorum.Phase.Void;
        }
        if (time < published + task.challengeSeconds) return IVolquorum.Phase.Challenge;
        return task.byVotes && lacksVotes(task, round) ? IVolquorum.Phase.Void : IVolquorum.Phase.Final;
    }

    /// @dev Invariant: what another result of the round has outvoted is not final, however many lie.
    function lacksVotes(Task storage task, IVolquorum.RoundState storage round) private view returns (bool) {
        uint256 votes = round.votes;
        return votes <= task.tolerance || votes < round.mostVotes;
    }

    /// @dev All zero for a round that was not opened.
    function deadlines(Task storage task, IVolquorum.RoundState storage round)
        internal
        view
        returns (IVolquorum.Deadlines memory ends)
    {
        if (round.openedAt == 0) return ends;
        ends.selection = uint64(round.openedAt) + task.selectionSeconds;
        ends.commit = ends.selection + task.commitSeconds;
        ends.reveal = ends.commit + task.revealSeconds;
        ends.availability = ends.reveal + task.availabilitySeconds;
        uint64 scoreSeconds = task.scoreSeconds;
        if (scoreSeconds != 0) {
            ends.scoreCommit = ends.availability + scoreSeconds / 2;
            ends.scoreReveal = ends.availability + scoreSeconds;
        }
        ends.flagUpdate = ends.reveal + task.availabilitySeconds / 2;
        uint64 start = uint64(aggregateStart(round, ends.availability));
        ends.aggregator = round.restartedAt == 0 ? start + task.aggregatorSeconds : start;
        ends.aggregate = start + task.aggregateSeconds;
        uint64 published = round.publishedAt;
        if (published == 0) return ends;
        uint64 challengeSeconds = task.challengeSeconds;
        ends.challenge = published + challengeSeconds;
        ends.flagResult = published + challengeSeconds / 3;
        ends.postResult = published + 2 * challengeSeconds / 3;
    }

    /// @notice Number of revealed updates, which is the last byte of their hash.
    function revealed(IVolquorum.RoundState storage round) internal view returns (uint256) {
        return uint8(uint256(round.updatesHash));
    }

    /// @notice Revealed updates that are not excluded.
    function included(IVolquorum.RoundState storage round) internal view returns (uint256) {
        return revealed(round) - LibBit.popCount(round.unavailable);
    }

    /// @dev When the window in which a result may be published began, the latest time.
    function aggregateStart(IVolquorum.RoundState storage round, uint256 availabilityEnd)
        private
        view
        returns (uint256)
    {
        uint256 restarted = round.restartedAt;
        return restarted == 0 ? availabilityEnd : restarted;
    }

    /// @notice Whether no call can change the round's outcome any more.
    function isEnd(IVolquorum.Phase current) internal pure returns (bool) {
        return current == IVolquorum.Phase.Final || current == IVolquorum.Phase.Void;
    }
}
