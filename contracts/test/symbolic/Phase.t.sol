// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../../src/libraries/PhaseLib.sol";
import {Task} from "../../src/libraries/TaskLib.sol";

/// @notice What holds of the phase for whatever is stored and at any time.
/// @dev halmos runs each `check` once, for all arguments at the same time. Facts are whole storage words.
contract PhaseChecks is Test {
    using PhaseLib for Task;
    using PhaseLib for IVolquorum.Phase;
    using PhaseLib for IVolquorum.RoundState;

    /// @dev Words of the slots that the phase is read from.
    struct Facts {
        bytes32 early;
        bytes32 later;
        bytes32 counts;
        bytes32 round;
        bytes32 updatesHash;
    }

    Task private task;
    IVolquorum.RoundState private round;

    /// @dev For each phase, so exactly one holds.
    function check_PhaseIsTheOneThatHolds(Facts calldata facts, uint256 time, IVolquorum.Phase any) public {
        store(facts);
        assert(holds(any, time) == (task.phase(round, time) == any));
    }

    function check_PhasesNeverGoBack(Facts calldata facts, uint256 time, uint256 later) public {
        store(facts);
        vm.assume(time <= later);
        assert(task.phase(round, time) <= task.phase(round, later));
    }

    function check_EndsStay(Facts calldata facts, uint256 time, uint256 later) public {
        store(facts);
        vm.assume(time <= later);
        IVolquorum.Phase current = task.phase(round, time);
        if (current.isEnd()) assert(task.phase(round, later) == current);
    }

    /// @dev However many lie, and whatever was refuted before.
    function check_WhatAnotherResultHasOutvotedIsNeverFinal(Facts calldata facts, uint256 time) public {
        store(facts);
        vm.assume(task.byVotes && round.votes < round.mostVotes);
        assert(task.phase(round, time) != IVolquorum.Phase.Final);
    }

    function check_EarlyPhaseAgreesUpToReveal(Facts calldata facts, uint256 time) public {
        store(facts);
        IVolquorum.Phase current = task.phase(round, time);
        IVolquorum.Phase early = current > IVolquorum.Phase.Reveal ? IVolquorum.Phase.Availability : current;
        assert(task.earlyPhase(time) == early);
    }

    /// @dev Whatever was published, and however often it was refuted before: each refutation lies in the windows of the
    /// one before it, so this is also the step from one to the next.
    function check_TimeAloneEndsARound(Facts calldata facts, uint256 time) public {
        store(facts);
        vm.assume(round.openedAt != 0);
        vm.assume(aggregateFrom() >= availabilityEnd());
        uint256 end = aggregateFrom() + task.aggregateSeconds;
        vm.assume(round.publishedAt < end);
        vm.assume(time >= end + task.challengeSeconds);
        assert(task.phase(round, time).isEnd());
    }

    function check_WindowsAddUp(Facts calldata facts, uint256 time) public {
        store(facts);
        vm.assume(round.openedAt != 0 && round.restartedAt == 0);
        uint256 end = uint256(round.openedAt) + task.selectionSeconds + task.commitSeconds + task.revealSeconds
            + task.availabilitySeconds + task.aggregateSeconds;
        vm.assume(round.publishedAt < end);
        vm.assume(time >= end + task.challengeSeconds);
        assert(task.phase(round, time).isEnd());
    }

    /// @dev A deadline is the first second that no longer has its phase.
    function check_EarlyDeadlinesAreBoundaries(Facts calldata facts, uint256 time) public {
        store(facts);
        vm.assume(round.openedAt != 0);
        IVolquorum.Deadlines memory ends = task.deadlines(round);
        IVolquorum.Phase current = task.phase(round, time);
        assert((time < ends.selection) == (current <= IVolquorum.Phase.Selection));
        assert((time < ends.commit) == (current <= IVolquorum.Phase.Commit));
        assert((time < ends.reveal) == (current <= IVolquorum.Phase.Reveal));
    }

    function check_LateDeadlinesAreBoundaries(Facts calldata facts, uint256 time) public {
        store(facts);
        vm.assume(round.openedAt != 0);
        IVolquorum.Deadlines memory ends = task.deadlines(round);
        vm.assume(time >= ends.reveal);
        IVolquorum.Phase current = task.phase(round, time);
        if (current == IVolquorum.Phase.Availability) assert(time < ends.availability);
        if (current == IVolquorum.Phase.Aggregate) assert(time >= ends.availability && time < ends.aggregate);
        if (current == IVolquorum.Phase.Challenge) assert(time >= ends.availability && time < ends.challenge);
        if (current == IVolquorum.Phase.Final) assert(time >= ends.availability && time >= ends.challenge);
    }

    function check_DeadlinesAreInOrder(Facts calldata facts) public {
        store(facts);
        vm.assume(task.aggregatorSeconds <= task.aggregateSeconds && task.scoreSeconds <= task.challengeSeconds);
        vm.assume(round.openedAt != 0 && round.publishedAt >= aggregateFrom());
        vm.assume(round.restartedAt == 0 || aggregateFrom() >= availabilityEnd());
        IVolquorum.Deadlines memory ends = task.deadlines(round);
        assert(ends.reveal <= ends.flagUpdate && ends.flagUpdate <= ends.availability);
        assert(ends.availability <= ends.aggregator && ends.aggregator <= ends.aggregate);
        assert(ends.flagResult <= ends.postResult && ends.postResult <= ends.challenge);
        // Scores are known before any result is final.
        assert(ends.scoreCommit <= ends.scoreReveal && ends.scoreReveal <= ends.challenge);
    }

    /// @dev Whatever lies in the words, with no more updates unavailable than were revealed.
    function store(Facts calldata facts) private {
        Task storage stored = task;
        IVolquorum.RoundState storage storedRound = round;
        assembly ("memory-safe") {
            sstore(stored.slot, calldataload(facts))
            sstore(add(stored.slot, 3), calldataload(add(facts, 32)))
            sstore(add(stored.slot, 9), calldataload(add(facts, 64)))
            sstore(storedRound.slot, calldataload(add(facts, 96)))
            sstore(add(storedRound.slot, 1), calldataload(add(facts, 128)))
        }
        vm.assume(task.openedAt == round.openedAt);
        vm.assume(LibBit.popCount(round.unavailable) <= round.revealed());
    }

    function availabilityEnd() private view returns (uint256) {
        return uint256(task.openedAt) + task.selectionSeconds + task.commitSeconds + task.revealSeconds
            + task.availabilitySeconds;
    }

    function aggregateFrom() private view returns (uint256) {
        return round.restartedAt == 0 ? availabilityEnd() : round.restartedAt;
    }

    /// @dev What each phase means, one independent of the other.
    function holds(IVolquorum.Phase current, uint256 time) private view returns (bool) {
        if (current == IVolquorum.Phase.None) return task.openedAt == 0;
        if (task.openedAt == 0) return false;
        uint256 commitStart = uint256(task.openedAt) + task.selectionSeconds;
        uint256 revealStart = commitStart + task.commitSeconds;
        uint256 revealEnd = revealStart + task.revealSeconds;
        if (current == IVolquorum.Phase.Selection) return time < commitStart;
        if (current == IVolquorum.Phase.Commit) return commitStart <= time && time < revealStart;
        if (current == IVolquorum.Phase.Reveal) return revealStart <= time && time < revealEnd;
        return holdsLate(current, time, revealEnd);
    }

    /// @dev The phases that hang on what was revealed and published.
    function holdsLate(IVolquorum.Phase current, uint256 time, uint256 revealEnd) private view returns (bool) {
        return revealEnd <= time && holdsLate(current, time);
    }

    function holdsLate(IVolquorum.Phase current, uint256 time) private view returns (bool) {
        bool enough = uint8(uint256(round.updatesHash)) >= task.quorum;
        bool open = enough && time < availabilityEnd();
        bool usable = enough && !open && round.included() >= task.quorum;
        bool published = usable && round.publishedAt != 0;
        bool waits = usable && round.publishedAt == 0 && round.refutations != 8
            && time < aggregateFrom() + task.aggregateSeconds;
        bool contested = time < uint256(round.publishedAt) + task.challengeSeconds;
        if (current == IVolquorum.Phase.Availability) return open;
        if (current == IVolquorum.Phase.Aggregate) return waits;
        if (current == IVolquorum.Phase.Challenge) return published && contested;
        bool counts = !task.byVotes || (round.votes > task.tolerance && round.votes >= round.mostVotes);
        if (current == IVolquorum.Phase.Final) return published && !contested && counts;
        return !open && !waits && (!published || (!contested && !counts));
    }
}
