// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {ChallengeLib} from "./libraries/ChallengeLib.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {ParamsLib} from "./libraries/ParamsLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {RevealTable} from "./libraries/RevealTable.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {Task, TaskLib} from "./libraries/TaskLib.sol";

/// @title Volquorum
/// @notice The round machine; what each call promises is written on `IVolquorum`.
/// @dev The storage layout is `TaskLib`'s, the clock `PhaseLib`'s, the hashes `CommitmentLib`'s and `SumTree`'s, the
/// judgement of a challenge `ChallengeLib`'s. Money moves into credits only; `withdraw` alone calls out, after its
/// effects.
contract Volquorum is IVolquorum {
    using ParamsLib for TaskParams;
    using PhaseLib for Task;
    using PhaseLib for Phase;
    using RevealTable for RevealTable.Table;
    using TaskLib for Task;

    mapping(bytes32 taskId => Task task) private tasks;

    /// @inheritdoc IVolquorum
    mapping(address account => uint256 amountWei) public creditOf;

    /// @inheritdoc IVolquorum
    uint256 public burnedWei;

    // --------------------------------------------------------------------------------------------------- tasks

    /// @inheritdoc IVolquorum
    function createTask(TaskParams calldata params) external payable returns (bytes32 taskId) {
        params.check(block.timestamp);
        taskId = CommitmentLib.taskId(msg.sender, params);
        Task storage task = tasks[taskId];
        if (task.exists()) revert TaskExists(taskId);
        uint96 fundsWei = params.rounds * params.rewardWei;
        _takeExactly(fundsWei);

        task.create(msg.sender, fundsWei, params);
        emit TaskCreated(taskId, msg.sender, params);
    }

    /// @inheritdoc IVolquorum
    function closeTask(bytes32 taskId) external {
        Task storage task = _openTask(taskId);
        Phase current = _settleEnded(taskId, task);
        if (!task.exhausted(block.timestamp) || _running(current)) revert TaskNotOver(taskId, task.round, current);

        uint256 refundWei = task.fundsWei;
        task.closed = true;
        task.fundsWei = 0;
        creditOf[task.sponsor] += refundWei;
        emit TaskClosed(taskId, refundWei);
    }

    /// @inheritdoc IVolquorum
    function join(bytes32 taskId) external payable {
        Task storage task = _openTask(taskId);
        if (task.exhausted(block.timestamp)) revert NoMoreRounds(taskId, task.round, task.closesAt);
        Seat storage mine = task.seatOf[msg.sender];
        if (mine.activeFrom != 0) revert AlreadySeated(taskId, msg.sender);
        if (task.seats == task.cohort) revert CohortFull(taskId, task.cohort);
        uint96 stakeWei = task.stakeWei;
        _takeExactly(stakeWei);

        uint32 activeFrom = task.round + 1;
        ++task.seats;
        mine.stakeWei = stakeWei;
        mine.activeFrom = activeFrom;
        emit SeatTaken(taskId, msg.sender, activeFrom);
    }

    /// @inheritdoc IVolquorum
    function leave(bytes32 taskId) external {
        Task storage task = _task(taskId);
        Seat storage mine = _seat(taskId, task, msg.sender);
        Phase current = _settleEnded(taskId, task);
        if (mine.committedRound == task.round && _running(current)) {
            revert SeatServing(taskId, msg.sender, task.round);
        }

        _accrue(task, mine, 0);
        uint256 creditedWei = uint256(mine.stakeWei) + mine.rewardWei;
        delete task.seatOf[msg.sender];
        --task.seats;
        creditOf[msg.sender] += creditedWei;
        emit SeatLeft(taskId, msg.sender, creditedWei);
    }

    // -------------------------------------------------------------------------------------------------- rounds

    /// @inheritdoc IVolquorum
    function openRound(bytes32 taskId) external returns (uint32 round) {
        Task storage task = _openTask(taskId);
        Phase current = _settleEnded(taskId, task);
        round = task.round;
        if (_running(current)) revert RoundRunning(taskId, round, current);
        if (task.exhausted(block.timestamp)) revert NoMoreRounds(taskId, round, task.closesAt);
        if (task.seats < task.quorum) revert QuorumUnreachable(taskId, task.seats, task.quorum);

        task.round = ++round;
        RoundState storage facts = task.roundOf[round];
        facts.openedAt = uint48(block.timestamp);
        facts.updatesHash = CommitmentLib.updatesStart(taskId, round);
        emit RoundOpened(taskId, round, task.modelRoot);
    }

    /// @inheritdoc IVolquorum
    function commitUpdate(bytes32 taskId, uint32 round, bytes32 commitment) external {
        (Task storage task,) = _inPhase(taskId, round, Phase.Commit);
        Seat storage mine = task.seatOf[msg.sender];
        // A seat that committed before was active then and still is, which spares reading its other slot.
        if (mine.committedRound == 0 && !_active(mine, round)) revert NotSeated(taskId, msg.sender, round);
        bytes28 stored = CommitmentLib.stored(commitment);
        if (stored == 0) revert EmptyCommitment();

        mine.committedRound = round;
        mine.commitment = stored;
        emit UpdateCommitted(taskId, round, msg.sender, commitment);
    }

    /// @inheritdoc IVolquorum
    function revealUpdate(bytes32 taskId, uint32 round, bytes32 treeTop, uint64 squaredNorm, bytes32 salt) external {
        (Task storage task, RoundState storage facts) = _inPhase(taskId, round, Phase.Reveal);
        Seat storage mine = task.seatOf[msg.sender];
        if (mine.committedRound != round) revert NotCommitted(taskId, round, msg.sender);
        if (mine.revealedRound == round) revert AlreadyRevealed(taskId, round, msg.sender);
        if (squaredNorm > task.maxSquaredNorm) revert NormTooLarge(squaredNorm, task.maxSquaredNorm);
        bytes32 updateRoot = SumTree.root(task.dimension, squaredNorm, treeTop);
        _checkOpens(
            mine.commitment,
            taskId,
            round,
            CommitmentLib.commitment(taskId, round, task.modelRoot, msg.sender, updateRoot, squaredNorm, salt)
        );
        if (!task.revealTable.add(round, task.cohort, updateRoot)) revert DuplicateUpdate(taskId, round, updateRoot);

        _accrue(task, mine, round);
        ++facts.revealed;
        facts.updatesHash = CommitmentLib.updatesStep(facts.updatesHash, msg.sender, updateRoot, squaredNorm);
        emit UpdateRevealed(taskId, round, msg.sender, updateRoot, squaredNorm);
    }

    /// @inheritdoc IVolquorum
    function publish(bytes32 taskId, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot, bytes32 updatesHash)
        external
        payable
    {
        (Task storage task, RoundState storage facts) = _inPhase(taskId, round, Phase.Aggregate);
        _checkTurn(taskId, round, task, facts);
        if (updatesHash != facts.updatesHash) revert UpdatesMismatch(taskId, round, updatesHash, facts.updatesHash);
        if (aggregateRoot == 0 || modelRoot == 0) revert EmptyRoot();
        uint96 bondWei = task.bondWei;
        _takeExactly(bondWei);

        facts.publishedAt = uint48(block.timestamp);
        facts.aggregateRoot = aggregateRoot;
        facts.modelRoot = modelRoot;
        facts.publisher = msg.sender;
        facts.bondWei = bondWei;
        emit AggregatePublished(taskId, round, msg.sender, aggregateRoot, modelRoot, updatesHash);
    }

    /// @inheritdoc IVolquorum
    function challengeAggregate(
        bytes32 taskId,
        uint32 round,
        Update[] calldata updates,
        uint32 chunk,
        bytes calldata openings
    ) external {
        (Task storage task, RoundState storage facts) = _inPhase(taskId, round, Phase.Challenge);
        bytes32 given = CommitmentLib.updatesHash(taskId, round, updates);
        if (given != facts.updatesHash) revert UpdatesMismatch(taskId, round, given, facts.updatesHash);
        if (ChallengeLib.aggregateHolds(task, facts.aggregateRoot, updates, chunk, openings)) {
            revert NoFraud(taskId, round, chunk);
        }
        _refute(taskId, round, facts, Fault.Aggregate, chunk);
    }

    /// @inheritdoc IVolquorum
    function challengeModel(bytes32 taskId, uint32 round, uint32 chunk, bytes calldata openings) external {
        (Task storage task, RoundState storage facts) = _inPhase(taskId, round, Phase.Challenge);
        if (ChallengeLib.modelHolds(task, facts, chunk, openings)) revert NoFraud(taskId, round, chunk);
        _refute(taskId, round, facts, Fault.Model, chunk);
    }

    /// @inheritdoc IVolquorum
    function finalise(bytes32 taskId) external {
        _settleAs(taskId, Phase.Final);
    }

    /// @inheritdoc IVolquorum
    function voidRound(bytes32 taskId) external {
        _settleAs(taskId, Phase.Void);
    }

    // --------------------------------------------------------------------------------------------------- money

    /// @inheritdoc IVolquorum
    function claim(bytes32 taskId, address participant) external {
        Task storage task = _task(taskId);
        Seat storage theirs = _seat(taskId, task, participant);
        _accrue(task, theirs, 0);
        uint256 amountWei = theirs.rewardWei;
        if (amountWei == 0) revert NothingToWithdraw(participant);

        theirs.rewardWei = 0;
        creditOf[participant] += amountWei;
        emit RewardClaimed(taskId, participant, amountWei);
    }

    /// @inheritdoc IVolquorum
    function withdraw(address to) external {
        uint256 amountWei = creditOf[msg.sender];
        if (amountWei == 0) revert NothingToWithdraw(msg.sender);

        creditOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amountWei);
        if (to == address(0) || !SafeTransferLib.trySafeTransferETH(to, amountWei, gasleft())) {
            revert TransferFailed(to, amountWei);
        }
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IVolquorum
    function taskIdOf(address sponsor, TaskParams calldata params) external view returns (bytes32) {
        return CommitmentLib.taskId(sponsor, params);
    }

    /// @inheritdoc IVolquorum
    function taskParams(bytes32 taskId) external view returns (TaskParams memory) {
        return tasks[taskId].params();
    }

    /// @inheritdoc IVolquorum
    function taskState(bytes32 taskId) external view returns (TaskState memory) {
        return tasks[taskId].state();
    }

    /// @inheritdoc IVolquorum
    function roundState(bytes32 taskId, uint32 round) external view returns (RoundState memory) {
        return tasks[taskId].roundOf[round];
    }

    /// @inheritdoc IVolquorum
    function seat(bytes32 taskId, address account) external view returns (Seat memory) {
        return tasks[taskId].seatOf[account];
    }

    /// @inheritdoc IVolquorum
    function phase(bytes32 taskId, uint32 round) external view returns (Phase) {
        Task storage task = tasks[taskId];
        return task.phase(task.roundOf[round], block.timestamp);
    }

    /// @inheritdoc IVolquorum
    function deadlines(bytes32 taskId, uint32 round) external view returns (Deadlines memory) {
        Task storage task = tasks[taskId];
        return task.deadlines(task.roundOf[round]);
    }

    /// @inheritdoc IVolquorum
    function commitmentOf(
        bytes32 taskId,
        uint32 round,
        address participant,
        bytes32 updateRoot,
        uint64 squaredNorm,
        bytes32 salt
    ) external view returns (bytes32) {
        (Task storage task, RoundState storage facts) = _latest(taskId, round);
        // The base model that a settled round started from is gone.
        if (facts.settled) revert AlreadySettled(taskId, round);
        return CommitmentLib.commitment(taskId, round, task.modelRoot, participant, updateRoot, squaredNorm, salt);
    }

    // ------------------------------------------------------------------------------------------------- look-up

    function _task(bytes32 taskId) private view returns (Task storage task) {
        task = tasks[taskId];
        if (!task.exists()) revert UnknownTask(taskId);
    }

    function _openTask(bytes32 taskId) private view returns (Task storage task) {
        task = _task(taskId);
        if (task.closed) revert TaskIsClosed(taskId);
    }

    function _latest(bytes32 taskId, uint32 round) private view returns (Task storage task, RoundState storage facts) {
        task = _task(taskId);
        if (round != task.round) revert WrongRound(taskId, round, task.round);
        facts = task.roundOf[round];
    }

    function _inPhase(bytes32 taskId, uint32 round, Phase required)
        private
        view
        returns (Task storage task, RoundState storage facts)
    {
        (task, facts) = _latest(taskId, round);
        Phase current = task.phase(facts, block.timestamp);
        if (current != required) revert WrongPhase(taskId, round, current, required);
    }

    function _seat(bytes32 taskId, Task storage task, address account) private view returns (Seat storage found) {
        found = task.seatOf[account];
        if (found.activeFrom == 0) revert NotSeated(taskId, account, task.round);
    }

    // -------------------------------------------------------------------------------------------------- checks

    function _active(Seat storage mine, uint32 round) private view returns (bool) {
        uint32 activeFrom = mine.activeFrom;
        return activeFrom != 0 && activeFrom <= round;
    }

    /// @dev A task without a round has nothing running.
    function _running(Phase current) private pure returns (bool) {
        return current != Phase.None && !current.isEnd();
    }

    function _takeExactly(uint256 requiredWei) private view {
        if (msg.value != requiredWei) revert WrongValue(msg.value, requiredWei);
    }

    function _checkOpens(bytes28 committed, bytes32 taskId, uint32 round, bytes32 commitment) private view {
        bytes28 opened = CommitmentLib.stored(commitment);
        if (opened != committed) revert CommitmentMismatch(taskId, round, msg.sender, committed, opened);
    }

    function _checkTurn(bytes32 taskId, uint32 round, Task storage task, RoundState storage facts) private view {
        address aggregator = task.aggregator;
        if (aggregator == address(0) || aggregator == msg.sender) return;
        uint64 until = task.deadlines(facts).aggregator;
        if (block.timestamp < until) revert AggregatorFirst(taskId, round, aggregator, until);
    }

    // ---------------------------------------------------------------------------------------------- settlement

    /// @dev Unpublishes the result of a round in its challenge phase. Invariant: what the round held of a bond is split
    /// between `burnedWei` and the challenger's credit to the last wei.
    function _refute(bytes32 taskId, uint32 round, RoundState storage facts, Fault fault, uint32 chunk) private {
        address publisher = facts.publisher;
        uint256 awardWei = facts.bondWei / 2;
        uint256 lostWei = facts.bondWei - awardWei;
        facts.publishedAt = 0;
        facts.restartedAt = uint48(block.timestamp);
        facts.aggregateRoot = 0;
        facts.modelRoot = 0;
        facts.publisher = address(0);
        facts.bondWei = 0;
        burnedWei += lostWei;
        creditOf[msg.sender] += awardWei;
        emit ResultRefuted(taskId, round, publisher, msg.sender, fault, chunk, awardWei, lostWei);
    }

    function _settleAs(bytes32 taskId, Phase required) private {
        Task storage task = _task(taskId);
        uint32 round = task.round;
        RoundState storage facts = task.roundOf[round];
        Phase current = task.phase(facts, block.timestamp);
        if (current != required) revert WrongPhase(taskId, round, current, required);
        if (facts.settled) revert AlreadySettled(taskId, round);
        _settle(taskId, task, facts, current);
    }

    /// @dev Settles the latest round if it has ended and nobody did; returns its phase.
    function _settleEnded(bytes32 taskId, Task storage task) private returns (Phase current) {
        RoundState storage facts = task.roundOf[task.round];
        current = task.phase(facts, block.timestamp);
        if (current.isEnd() && !facts.settled) _settle(taskId, task, facts, current);
    }

    /// @dev Invariant: each round is settled at most once, and spends at most `rewardWei` of the task's funds, of which
    /// there are `rounds` times as much.
    function _settle(bytes32 taskId, Task storage task, RoundState storage facts, Phase ended) private {
        facts.settled = true;
        // slither-disable-next-line incorrect-equality -- a phase, not an amount
        if (ended == Phase.Void) {
            emit RoundVoided(taskId, task.round, facts.revealed);
            return;
        }
        uint96 shareWei = task.rewardWei / facts.revealed;
        facts.shareWei = shareWei;
        // slither-disable-next-line divide-before-multiply -- the rest of the division stays with the task
        task.fundsWei -= shareWei * facts.revealed;
        task.modelRoot = facts.modelRoot;
        creditOf[facts.publisher] += facts.bondWei;
        emit RoundFinalised(taskId, task.round, facts.modelRoot, shareWei);
    }

    /// @dev Moves the share of the seat's last revealed round into it and notes `next` in its place. Invariant: a round
    /// that still runs stays noted; it is the latest, in which a seat reveals only once, so `next` is zero then.
    function _accrue(Task storage task, Seat storage theirs, uint32 next) private {
        uint32 revealed = theirs.revealedRound;
        if (revealed != 0) {
            RoundState storage facts = task.roundOf[revealed];
            if (facts.settled) theirs.rewardWei += facts.shareWei;
            else next = revealed;
        }
        theirs.revealedRound = next;
    }
}
