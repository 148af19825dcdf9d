// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {ParamsLib} from "./libraries/ParamsLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {ScoreLib} from "./libraries/ScoreLib.sol";
import {Task, TaskLib} from "./libraries/TaskLib.sol";

/// @title The module of Volquorum that has tasks, seats and rewards
/// @notice Runs in the storage of `Volquorum`, which forwards these calls; their promises are written on `IVolquorum`.
/// @dev Called directly it knows no task, and creates none.
// slither-disable-next-line locked-ether -- called directly it refuses any, and otherwise `Volquorum` holds it
contract Members is VolquorumBase {
    using ParamsLib for IVolquorum.TaskParams;
    using PhaseLib for Task;
    using PhaseLib for IVolquorum.RoundState;
    using TaskLib for Task;

    address private immutable SELF = address(this);

    // --------------------------------------------------------------------------------------------------- tasks

    /// @dev See `IVolquorum`.
    function createTask(IVolquorum.TaskParams calldata params) external payable returns (bytes32 taskId) {
        params.check(block.timestamp);
        taskId = CommitmentLib.taskId(msg.sender, params);
        // Nothing here could pay a task's money back.
        if (address(this) == SELF) revert IVolquorum.UnknownTask(taskId);
        Task storage task = tasks[taskId];
        if (task.exists()) revert IVolquorum.TaskExists(taskId);
        uint96 fundsWei = params.rounds * (params.rewardWei + params.publisherWei);

        task.create(msg.sender, fundsWei, params.byVotes(), params);
        emit IVolquorum.TaskCreated(taskId, msg.sender, params);
        _take(task, fundsWei);
    }

    /// @dev See `IVolquorum`.
    function endTask(bytes32 taskId) external {
        Task storage task = _openTask(taskId);
        if (msg.sender != task.sponsor) revert IVolquorum.NotSponsor(taskId, msg.sender);
        task.ended = true;
        emit IVolquorum.TaskEnded(taskId);
    }

    /// @dev See `IVolquorum`.
    function closeTask(bytes32 taskId) external {
        Task storage task = _openTask(taskId);
        IVolquorum.Phase current = _settleEnded(taskId, task);
        if (!task.exhausted(block.timestamp) || _running(current)) {
            revert IVolquorum.TaskNotOver(taskId, task.round, current);
        }

        uint256 refundWei = task.fundsWei;
        task.closed = true;
        task.fundsWei = 0;
        _credit(task.currency, task.sponsor, refundWei);
        emit IVolquorum.TaskClosed(taskId, refundWei);
    }

    // --------------------------------------------------------------------------------------------------- seats

    /// @dev See `IVolquorum`.
    function join(bytes32 taskId, uint32 samples) external payable {
        Task storage task = _lastingTask(taskId);
        IVolquorum.Seat storage mine = task.seatOf[msg.sender];
        if (mine.activeFrom != 0) revert IVolquorum.AlreadySeated(taskId, msg.sender);
        uint16 seats = task.seats;
        if (seats == task.mostSeats) revert IVolquorum.SeatsTaken(taskId, seats);
        // Who declared none before has declared nothing that counted.
        uint32 declared = mine.samples;
        uint32 minSamples = task.minSamples;
        if (declared == 0 ? samples < minSamples : samples != declared) {
            revert IVolquorum.WrongSamples(taskId, samples, declared == 0 ? minSamples : declared);
        }

        uint96 stakeWei = task.stakeWei;
        uint32 activeFrom = _admit(task);
        task.seats = seats + 1;
        mine.stakeWei = stakeWei;
        mine.activeFrom = activeFrom;
        mine.samples = samples;
        emit IVolquorum.SeatTaken(taskId, msg.sender, activeFrom);
        _take(task, stakeWei);
    }

    /// @dev See `IVolquorum`.
    function restore(bytes32 taskId) external payable {
        Task storage task = _lastingTask(taskId);
        IVolquorum.Seat storage mine = task.seatOf[msg.sender];
        uint8 missed = mine.missed;
        if (mine.activeFrom != SUSPENDED || missed > task.maxMissed) {
            revert IVolquorum.NotRestorable(taskId, msg.sender, missed);
        }

        uint96 stakeWei = task.stakeWei;
        uint96 missingWei = stakeWei - mine.stakeWei;
        uint32 activeFrom = _admit(task);
        mine.stakeWei = stakeWei;
        mine.activeFrom = activeFrom;
        emit IVolquorum.SeatRestored(taskId, msg.sender, activeFrom);
        _take(task, missingWei);
    }

    /// @dev See `IVolquorum`.
    function leave(bytes32 taskId) external {
        Task storage task = _task(taskId);
        IVolquorum.Seat storage mine = task.seatOf[msg.sender];
        uint32 round = task.round;
        if (mine.activeFrom == 0) revert IVolquorum.NotSeated(taskId, msg.sender, round);
        if (mine.committedRound == round && _running(task.phase(task.roundOf[round], block.timestamp))) {
            revert IVolquorum.SeatServing(taskId, msg.sender, round);
        }

        if (_withheld(task, mine)) {
            _slice(taskId, task, msg.sender, mine, address(0), IVolquorum.Offence.Withheld);
        }
        _retire(task, mine);
        --task.seats;
        uint256 creditedWei = uint256(mine.stakeWei) + mine.rewardWei;
        mine.stakeWei = 0;
        mine.rewardWei = 0;
        mine.activeFrom = 0;
        mine.committedRound = 0;
        mine.commitment = 0;
        _credit(task.currency, msg.sender, creditedWei);
        emit IVolquorum.SeatLeft(taskId, msg.sender, creditedWei);
    }

    /// @dev See `IVolquorum`.
    function slashWithheld(bytes32 taskId, address participant) external {
        Task storage task = _task(taskId);
        IVolquorum.Seat storage theirs = task.seatOf[participant];
        if (!_withheld(task, theirs)) revert IVolquorum.NothingWithheld(taskId, participant);
        _slice(taskId, task, participant, theirs, msg.sender, IVolquorum.Offence.Withheld);
    }

    /// @dev See `IVolquorum`.
    function slashEquivocation(
        bytes32 taskId,
        uint32 round,
        IVolquorum.SignedCommit calldata first,
        IVolquorum.SignedCommit calldata second
    ) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _latest(taskId, round);
        IVolquorum.Phase current = task.phase(facts, block.timestamp);
        if (current != IVolquorum.Phase.Commit && current != IVolquorum.Phase.Reveal) {
            revert IVolquorum.WrongPhase(taskId, round, current, IVolquorum.Phase.Commit);
        }
        if (first.commitment == second.commitment) {
            revert IVolquorum.NoEquivocation(taskId, round, first.commitment);
        }
        bytes32 separator = CommitmentLib.domainSeparator();
        address participant = CommitmentLib.committer(separator, taskId, round, first, 0);
        if (CommitmentLib.committer(separator, taskId, round, second, 1) != participant) {
            revert IVolquorum.BadSignature(1);
        }
        IVolquorum.Seat storage theirs = task.seatOf[participant];
        if (theirs.committedRound != round) revert IVolquorum.NotCommitted(taskId, round, participant);
        if (theirs.commitment == 0) revert IVolquorum.AlreadyRevealed(taskId, round, participant);

        _slice(taskId, task, participant, theirs, msg.sender, IVolquorum.Offence.Equivocation);
    }

    // ------------------------------------------------------------------------------------------------- rewards

    /// @dev See `IVolquorum`.
    function commitScores(bytes32 taskId, uint32 round, bytes32 commitment) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _undecided(taskId, round);
        IVolquorum.Deadlines memory ends = task.deadlines(facts);
        _checkScoring(taskId, round, ends.availability, ends.scoreCommit);
        IVolquorum.Seat storage mine = task.seatOf[msg.sender];
        if (mine.committedRound != round || mine.commitment != 0) {
            revert IVolquorum.NotSeated(taskId, msg.sender, round);
        }
        bytes24 stored = _stored(commitment);
        if (stored == 0) revert IVolquorum.EmptyCommitment();

        mine.scoredRound = round;
        mine.scoreCommitment = stored;
        emit IVolquorum.ScoresCommitted(taskId, round, msg.sender, commitment);
    }

    /// @dev See `IVolquorum`.
    function revealScores(bytes32 taskId, uint32 round, bytes calldata scores, bytes32 salt) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _undecided(taskId, round);
        IVolquorum.Deadlines memory ends = task.deadlines(facts);
        _checkScoring(taskId, round, ends.scoreCommit, ends.scoreReveal);
        uint256 revealed = facts.revealed();
        if (scores.length != revealed) revert IVolquorum.WrongLength(scores.length, revealed);
        IVolquorum.Seat storage mine = task.seatOf[msg.sender];
        bytes24 opened = _stored(CommitmentLib.scoresCommitment(taskId, round, msg.sender, scores, salt));
        if (mine.scoredRound != round || mine.scoreCommitment != opened) {
            revert IVolquorum.ScoresMismatch(taskId, round, msg.sender);
        }

        mine.scoreCommitment = 0;
        facts.scoresHash = CommitmentLib.scoresStep(facts.scoresHash, msg.sender, scores);
        emit IVolquorum.ScoresRevealed(taskId, round, msg.sender, scores);
    }

    /// @dev See `IVolquorum`.
    function distribute(bytes32 taskId, uint32 round, IVolquorum.Update[] calldata updates, bytes calldata scores)
        external
    {
        Task storage task = _task(taskId);
        IVolquorum.RoundState storage facts = task.roundOf[round];
        if (round == task.round) _settleEnded(taskId, task);
        if (facts.distributed || task.phase(facts, block.timestamp) != IVolquorum.Phase.Final) {
            revert IVolquorum.NothingToDistribute(taskId, round);
        }
        CommitmentLib.checkUpdates(facts, taskId, round, updates);
        ScoreLib.check(facts, taskId, round, updates, scores);

        facts.distributed = true;
        uint64 unavailable = facts.unavailable;
        uint256[] memory weights = _weights(task, unavailable, updates, scores);
        (uint96[] memory sharesWei, uint256 restWei) = _share(task, unavailable, updates, weights);
        _credit(task.currency, task.sponsor, restWei);
        emit IVolquorum.RewardsDistributed(taskId, round, sharesWei, restWei);
    }

    /// @dev See `IVolquorum`. What a seat earned stays its owner's when it is gone.
    function claim(bytes32 taskId, address participant) external {
        Task storage task = _task(taskId);
        IVolquorum.Seat storage theirs = task.seatOf[participant];
        uint256 amountWei = theirs.rewardWei;
        if (amountWei == 0) revert IVolquorum.NothingToWithdraw(participant);

        theirs.rewardWei = 0;
        _credit(task.currency, participant, amountWei);
        emit IVolquorum.RewardClaimed(taskId, participant, amountWei);
    }

    // ------------------------------------------------------------------------------------------------- look-up

    /// @dev A task that may open another round.
    function _lastingTask(bytes32 taskId) private view returns (Task storage task) {
        task = _openTask(taskId);
        if (task.exhausted(block.timestamp)) revert IVolquorum.NoMoreRounds(taskId, task.round, task.closesAt);
    }

    function _checkScoring(bytes32 taskId, uint32 round, uint64 from, uint64 until) private view {
        if (block.timestamp < from || block.timestamp >= until) {
            revert IVolquorum.NotScoring(taskId, round, from, until);
        }
    }

    /// @dev The low 192 bits, which share a storage slot with two numbers.
    function _stored(bytes32 commitment) private pure returns (bytes24) {
        return bytes24(commitment << 64);
    }

    // ------------------------------------------------------------------------------------------------- effects

    /// @dev Counts a seat that is taken or restored among those of the round from which it may act. Where rounds draw that
    /// is not the next one, whose seed may be foreseen by who opens it.
    function _admit(Task storage task) private returns (uint32 activeFrom) {
        uint32 round = task.round;
        if (round != 0 && task.active + task.entering > task.cohort) {
            ++task.pending;
            return round + 2;
        }
        ++task.entering;
        return round + 1;
    }

    /// @dev One weight per revealed update; zero for excluded ones.
    function _weights(
        Task storage task,
        uint64 unavailable,
        IVolquorum.Update[] calldata updates,
        bytes calldata scores
    ) private view returns (uint256[] memory weights) {
        IVolquorum.RewardRule rule = task.rewardRule;
        uint256 count = updates.length;
        if (rule == IVolquorum.RewardRule.Scores) return ScoreLib.weights(count, unavailable, scores);
        uint256 sampleCap = task.sampleCap;
        weights = new uint256[](count);
        for (uint256 index = 0; index < count; ++index) {
            if (_excluded(unavailable, index)) continue;
            weights[index] = rule == IVolquorum.RewardRule.Equal
                ? 1
                : FixedPointMathLib.min(task.seatOf[updates[index].participant].samples, sampleCap);
        }
    }

    /// @dev Adds its share of a round's reward to each included seat. Invariant: shares and rest are the reward to the
    /// last wei.
    function _share(
        Task storage task,
        uint64 unavailable,
        IVolquorum.Update[] calldata updates,
        uint256[] memory weights
    ) private returns (uint96[] memory sharesWei, uint256 restWei) {
        uint256 rewardWei = task.rewardWei;
        uint256 total = 0;
        for (uint256 index = 0; index < weights.length; ++index) {
            total += weights[index];
        }
        sharesWei = new uint96[](weights.length);
        restWei = rewardWei;
        for (uint256 index = 0; index < weights.length; ++index) {
            if (_excluded(unavailable, index)) continue;
            uint96 shareWei = total == 0 ? 0 : uint96(rewardWei * weights[index] / total);
            IVolquorum.Seat storage theirs = task.seatOf[updates[index].participant];
            theirs.rewardWei += shareWei;
            uint16 served = theirs.served;
            if (served != type(uint16).max) theirs.served = served + 1;
            sharesWei[index] = shareWei;
            restWei -= shareWei;
        }
    }

    function _excluded(uint64 unavailable, uint256 index) private pure returns (bool) {
        return unavailable >> index & 1 == 1;
    }
}
