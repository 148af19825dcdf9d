// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {Disputes} from "./Disputes.sol";
import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {EvidenceLib} from "./libraries/EvidenceLib.sol";
import {ParamsLib} from "./libraries/ParamsLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {RevealTable} from "./libraries/RevealTable.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {Task, TaskLib} from "./libraries/TaskLib.sol";

/// @title Volquorum
/// @notice The round machine; what each call promises is written on `IVolquorum`.
/// @dev The storage layout is `VolquorumBase`'s and `TaskLib`'s, the clock `PhaseLib`'s, the hashes `CommitmentLib`'s and
/// `SumTree`'s; flags, posts and challenges are judged by `Disputes`. Money moves into credits only; `withdraw` alone
/// calls out, after its effects.
contract Volquorum is VolquorumBase, IVolquorum {
    using ParamsLib for TaskParams;
    using PhaseLib for Task;
    using PhaseLib for Phase;
    using PhaseLib for RoundState;
    using RevealTable for RevealTable.Table;
    using TaskLib for Task;

    constructor() {
        new Disputes();
    }

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
        credits[task.sponsor] += refundWei;
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

        _accrue(task, msg.sender, mine, 0);
        uint256 creditedWei = uint256(mine.stakeWei) + mine.rewardWei;
        delete task.seatOf[msg.sender];
        --task.seats;
        credits[msg.sender] += creditedWei;
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
        facts.openedAt = uint40(block.timestamp);
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

        _accrue(task, msg.sender, mine, round);
        ++facts.revealed;
        facts.updatesHash = CommitmentLib.updatesStep(facts.updatesHash, msg.sender, updateRoot, squaredNorm);
        emit UpdateRevealed(taskId, round, msg.sender, updateRoot, squaredNorm);
    }

    /// @inheritdoc IVolquorum
    function publish(bytes32 taskId, uint32 round, Result calldata result) external payable {
        (Task storage task, RoundState storage facts) = _inPhase(taskId, round, Phase.Aggregate);
        _checkTurn(taskId, round, task, facts);
        if (result.updatesHash != facts.updatesHash) {
            revert UpdatesMismatch(taskId, round, result.updatesHash, facts.updatesHash);
        }
        if (result.unavailable != facts.unavailable) {
            revert ExcludedMismatch(taskId, round, result.unavailable, facts.unavailable);
        }
        bool hasTable = task.hasTable();
        _checkResult(result, hasTable);
        uint96 bondWei = task.bondWei;
        _takeExactly(bondWei);

        facts.publishedAt = uint40(block.timestamp);
        facts.aggregateRoot = result.aggregateRoot;
        facts.modelRoot = result.modelRoot;
        facts.publisher = msg.sender;
        facts.bondWei = bondWei;
        if (hasTable) facts.evidenceHash = EvidenceLib.hashOf(result.tableRoot, result.choiceHash);
        _emitPublished(taskId, round, result);
    }

    /// @inheritdoc IVolquorum
    function finalise(bytes32 taskId) external {
        _settleAs(taskId, Phase.Final);
    }

    /// @inheritdoc IVolquorum
    function voidRound(bytes32 taskId) external {
        _settleAs(taskId, Phase.Void);
    }

    // ------------------------------------------------------------------------------------------------ disputes

    /// @inheritdoc IVolquorum
    function flagUpdate(bytes32, uint32, Update[] calldata, uint256) external payable {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function postUpdate(bytes32, uint32, address, bytes calldata, bytes calldata) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function reclaimDeposit(bytes32, address) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function flagResult(bytes32, uint32, Published) external payable {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function flagTable(bytes32, uint32, bytes32, bytes32) external payable {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function postResult(bytes32, uint32, Published, bytes calldata, bytes calldata) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function refuteUnavailable(bytes32, uint32, Published) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function sealChallenge(bytes32 seal) external {
        if (seals[seal] != 0) revert SealExists(seal);
        seals[seal] = block.number;
    }

    /// @inheritdoc IVolquorum
    function challengeNorm(bytes32, uint32, Update[] calldata, uint256, uint32, bytes calldata, bytes32) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function challengeAggregate(
        bytes32,
        uint32,
        address[] calldata,
        Update[] calldata,
        uint32,
        bytes calldata,
        bytes calldata,
        bytes32
    ) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function challengeModel(bytes32, uint32, uint32, bytes calldata, bytes32) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function challengeProduct(bytes32, uint32, Update[] calldata, uint32, bytes calldata, bytes32, bytes32) external {
        _dispute();
    }

    /// @inheritdoc IVolquorum
    function challengeChoice(bytes32, uint32, bytes calldata, bytes32, bytes32) external {
        _dispute();
    }

    // --------------------------------------------------------------------------------------------------- money

    /// @inheritdoc IVolquorum
    function claim(bytes32 taskId, address participant) external {
        Task storage task = _task(taskId);
        Seat storage theirs = _seat(taskId, task, participant);
        _accrue(task, participant, theirs, 0);
        uint256 amountWei = theirs.rewardWei;
        if (amountWei == 0) revert NothingToWithdraw(participant);

        theirs.rewardWei = 0;
        credits[participant] += amountWei;
        emit RewardClaimed(taskId, participant, amountWei);
    }

    /// @inheritdoc IVolquorum
    function withdraw(address to) external {
        uint256 amountWei = credits[msg.sender];
        if (amountWei == 0) revert NothingToWithdraw(msg.sender);

        credits[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amountWei);
        if (to == address(0) || !SafeTransferLib.trySafeTransferETH(to, amountWei, gasleft())) {
            revert TransferFailed(to, amountWei);
        }
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IVolquorum
    function creditOf(address account) external view returns (uint256) {
        return credits[account];
    }

    /// @inheritdoc IVolquorum
    function burnedWei() external view returns (uint256) {
        return burned;
    }

    /// @inheritdoc IVolquorum
    function sealedAt(bytes32 seal) external view returns (uint256 blockNumber) {
        return seals[seal];
    }

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
    function updateFlag(bytes32 taskId, address participant) external view returns (Flag memory) {
        return tasks[taskId].updateFlagOf[participant];
    }

    /// @inheritdoc IVolquorum
    function resultFlag(bytes32 taskId, Published what) external view returns (Flag memory) {
        return tasks[taskId].resultFlagOf[what];
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

    function _openTask(bytes32 taskId) private view returns (Task storage task) {
        task = _task(taskId);
        if (task.closed) revert TaskIsClosed(taskId);
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

    function _checkOpens(bytes28 committed, bytes32 taskId, uint32 round, bytes32 commitment) private view {
        bytes28 opened = CommitmentLib.stored(commitment);
        if (opened != committed) revert CommitmentMismatch(taskId, round, msg.sender, committed, opened);
    }

    function _checkResult(Result calldata result, bool hasTable) private pure {
        (bytes32 tableRoot, bytes32 choiceHash) = (result.tableRoot, result.choiceHash);
        if (result.aggregateRoot == 0 || result.modelRoot == 0) revert EmptyRoot();
        if (hasTable && (tableRoot == 0 || choiceHash == 0)) revert EmptyRoot();
        if (!hasTable && tableRoot | choiceHash != 0) revert EvidenceMismatch(tableRoot, choiceHash);
    }

    function _checkTurn(bytes32 taskId, uint32 round, Task storage task, RoundState storage facts) private view {
        address aggregator = task.aggregator;
        if (aggregator == address(0) || aggregator == msg.sender) return;
        uint64 until = task.deadlines(facts).aggregator;
        if (block.timestamp < until) revert AggregatorFirst(taskId, round, aggregator, until);
    }

    // ---------------------------------------------------------------------------------------------- settlement

    function _settleAs(bytes32 taskId, Phase required) private {
        Task storage task = _task(taskId);
        uint32 round = task.round;
        RoundState storage facts = task.roundOf[round];
        Phase current = task.phase(facts, block.timestamp);
        if (current != required) revert WrongPhase(taskId, round, current, required);
        if (facts.settled) revert AlreadySettled(taskId, round);
        _settle(taskId, task, facts, current);
    }

    /// @dev A function of its own because the stack has no room.
    function _emitPublished(bytes32 taskId, uint32 round, Result calldata result) private {
        emit AggregatePublished(
            taskId,
            round,
            msg.sender,
            result.aggregateRoot,
            result.modelRoot,
            result.updatesHash,
            result.unavailable,
            result.tableRoot,
            result.choiceHash
        );
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
        _returnResultDeposits(task, facts);
        uint96 shareWei = _shareWei(task, facts);
        // slither-disable-next-line divide-before-multiply -- the rest of the division stays with the task
        task.fundsWei -= shareWei * uint96(facts.included());
        task.modelRoot = facts.modelRoot;
        credits[facts.publisher] += facts.bondWei;
        emit RoundFinalised(taskId, task.round, facts.modelRoot, shareWei);
    }

    /// @dev Moves the share of the seat's last revealed round into it and notes `next` in its place. Invariant: a round
    /// that still runs stays noted; it is the latest, in which a seat reveals only once, so `next` is zero then.
    function _accrue(Task storage task, address participant, Seat storage theirs, uint32 next) private {
        uint32 revealed = theirs.revealedRound;
        if (revealed != 0) {
            RoundState storage facts = task.roundOf[revealed];
            if (!facts.settled) next = revealed;
            else if (_earned(task, participant, revealed, facts)) theirs.rewardWei += _shareWei(task, facts);
        }
        theirs.revealedRound = next;
    }

    /// @dev Whether a settled round has a share for a seat that revealed in it. Invariant: a flag tells an excluded
    /// update's number until its participant reveals in a later round, which moves the share first. An update with a
    /// false norm has no seat to ask.
    function _earned(Task storage task, address participant, uint32 round, RoundState storage facts)
        private
        view
        returns (bool)
    {
        if (facts.publishedAt == 0) return false;
        uint64 unavailable = facts.unavailable;
        if (unavailable == 0) return true;
        Flag storage flag = task.updateFlagOf[participant];
        return flag.round != round || unavailable >> flag.index & 1 == 0;
    }

    /// @dev Each included update's part of a final round's reward.
    function _shareWei(Task storage task, RoundState storage facts) private view returns (uint96) {
        return task.rewardWei / uint96(facts.included());
    }

    // ------------------------------------------------------------------------------------------------ disputes

    /// @dev Lets `Disputes` run the call in this contract's storage. Its address is that of the first contract which this
    /// one created: an immutable would be a part of the code, which would differ from deployment to deployment.
    function _dispute() private {
        bytes32 hash = keccak256(abi.encodePacked(hex"d694", address(this), hex"01"));
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), hash, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }
}
