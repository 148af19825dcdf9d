// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {EvidenceLib} from "./libraries/EvidenceLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {SeatLib} from "./libraries/SeatLib.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {Task, TaskLib} from "./libraries/TaskLib.sol";
import {ISeedSource} from "./seeds/ISeedSource.sol";

/// @title Volquorum
/// @notice The round machine, at the address where every call of `IVolquorum` goes; what each promises is written there.
/// @dev Rounds and views are here. Everything else is forwarded to one of four modules, which run in this storage:
/// `Members` has tasks, seats and rewards, `Availability` flags, posts and norms, `Challenges` proofs about results,
/// `Votes` votes. The storage layout is `VolquorumBase`'s and `TaskLib`'s, the clock `PhaseLib`'s, the hashes
/// `CommitmentLib`'s and `SumTree`'s.
contract Volquorum is VolquorumBase {
    using PhaseLib for Task;
    using PhaseLib for IVolquorum.Phase;
    using PhaseLib for IVolquorum.RoundState;
    using SeatLib for IVolquorum.Seat;
    using TaskLib for Task;

    address private immutable MEMBERS;
    address private immutable AVAILABILITY;
    address private immutable CHALLENGES;
    address private immutable VOTES;

    // slither-disable-next-line missing-zero-check -- whoever connects checks the code of all four
    constructor(address members, address availability, address challenges, address votes) {
        MEMBERS = members;
        AVAILABILITY = availability;
        CHALLENGES = challenges;
        VOTES = votes;
    }

    /// @dev Lets the module that has this call run it in this contract's storage.
    // solhint-disable-next-line no-complex-fallback
    fallback() external payable {
        address module = _module(msg.sig);
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), module, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }

    // -------------------------------------------------------------------------------------------------- rounds

    /// @dev See `IVolquorum`.
    function openRound(bytes32 taskId) external returns (uint32 round) {
        Task storage task = _openTask(taskId);
        IVolquorum.Phase current = _settleEnded(taskId, task);
        round = task.round;
        if (_running(current)) revert IVolquorum.RoundRunning(taskId, round, current);
        if (task.exhausted(block.timestamp)) revert IVolquorum.NoMoreRounds(taskId, round, task.closesAt);
        uint16 active = task.active + task.entering;
        if (active < task.quorum) revert IVolquorum.QuorumUnreachable(taskId, active, task.quorum);

        task.round = ++round;
        task.openedAt = uint40(block.timestamp);
        bool draws = active > task.cohort;
        task.draws = draws;
        task.active = active;
        task.entering = task.pending;
        task.pending = 0;
        if (draws) {
            task.draw = 0;
            task.openedBlock = uint64(block.number);
        }
        IVolquorum.RoundState storage facts = task.roundOf[round];
        facts.openedAt = uint40(block.timestamp);
        facts.active = active;
        facts.updatesHash = CommitmentLib.updatesStart(taskId, round);
        emit IVolquorum.RoundOpened(taskId, round, task.modelRoot);
    }

    /// @dev See `IVolquorum`.
    function drawSeats(bytes32 taskId, uint32 round) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _latest(taskId, round);
        IVolquorum.Phase current = task.phase(facts, block.timestamp);
        if (current != IVolquorum.Phase.Selection && current != IVolquorum.Phase.Commit) {
            revert IVolquorum.WrongPhase(taskId, round, current, IVolquorum.Phase.Selection);
        }
        if (!task.draws) revert IVolquorum.NothingToDraw(taskId, round);
        if (task.draw != 0) revert IVolquorum.AlreadyDrawn(taskId, round);
        bytes32 seed = ISeedSource(task.seedSource).seedOf(task.openedBlock);
        if (seed == 0) revert IVolquorum.SeedNotReady(taskId, round);

        // Invariant: a round draws if more seats were active than it is to draw, so the threshold fits its eight bytes.
        // Who left since does not move it.
        uint256 threshold = (uint256(task.drawn) << 64) / facts.active;
        bytes32 hash = keccak256(abi.encode(seed, taskId, round));
        bytes32 draw = bytes32((uint256(hash) & ~uint256(type(uint64).max)) | threshold);
        task.draw = draw;
        emit IVolquorum.SeatsDrawn(taskId, round, draw);
    }

    /// @dev See `IVolquorum`.
    function commitUpdate(bytes32 taskId, uint32 round, bytes32 commitment) external {
        Task storage task = _inEarlyPhase(taskId, round, IVolquorum.Phase.Commit);
        if (_bind(taskId, task, round, msg.sender, commitment, true)) {
            emit IVolquorum.UpdateCommitted(taskId, round, msg.sender, commitment);
        }
    }

    /// @dev See `IVolquorum`.
    function commitUpdates(bytes32 taskId, uint32 round, IVolquorum.SignedCommit[] calldata commits) external {
        Task storage task = _inEarlyPhase(taskId, round, IVolquorum.Phase.Commit);
        bytes32 separator = CommitmentLib.domainSeparator();
        address[] memory participants = new address[](commits.length);
        bytes32[] memory commitments = new bytes32[](commits.length);
        uint256 bound = 0;
        for (uint256 index = 0; index < commits.length; ++index) {
            address signer = CommitmentLib.committer(separator, taskId, round, commits[index], index);
            bytes32 commitment = commits[index].commitment;
            if (!_bind(taskId, task, round, signer, commitment, false)) continue;
            participants[bound] = signer;
            commitments[bound] = commitment;
            ++bound;
        }
        assembly ("memory-safe") {
            mstore(participants, bound)
            mstore(commitments, bound)
        }
        emit IVolquorum.UpdatesCommitted(taskId, round, participants, commitments);
    }

    /// @dev See `IVolquorum`.
    function revealUpdate(bytes32 taskId, uint32 round, bytes32 treeTop, uint64 squaredNorm, bytes32 salt) external {
        Task storage task = _inEarlyPhase(taskId, round, IVolquorum.Phase.Reveal);
        IVolquorum.RoundState storage facts = task.roundOf[round];
        CommitmentLib.Preimage memory content = CommitmentLib.preimage(taskId, round, task.modelRoot);
        content.participant = msg.sender;
        content.squaredNorm = squaredNorm;
        content.salt = salt;
        facts.updatesHash = _open(task, facts.updatesHash, content, treeTop);
        emit IVolquorum.UpdateRevealed(taskId, round, msg.sender, content.updateRoot, squaredNorm);
    }

    /// @dev See `IVolquorum`.
    function revealUpdates(bytes32 taskId, uint32 round, IVolquorum.Opening[] calldata openings) external {
        Task storage task = _inEarlyPhase(taskId, round, IVolquorum.Phase.Reveal);
        IVolquorum.RoundState storage facts = task.roundOf[round];
        bytes32 updatesHash = facts.updatesHash;
        CommitmentLib.Preimage memory content = CommitmentLib.preimage(taskId, round, task.modelRoot);
        IVolquorum.Update[] memory updates = new IVolquorum.Update[](openings.length);
        for (uint256 index = 0; index < openings.length; ++index) {
            IVolquorum.Opening calldata opening = openings[index];
            content.participant = opening.participant;
            content.squaredNorm = opening.squaredNorm;
            content.salt = opening.salt;
            updatesHash = _open(task, updatesHash, content, opening.treeTop);
            updates[index] = IVolquorum.Update(content.participant, content.updateRoot, content.squaredNorm);
        }
        facts.updatesHash = updatesHash;
        emit IVolquorum.UpdatesRevealed(taskId, round, updates);
    }

    /// @dev See `IVolquorum`.
    function publish(bytes32 taskId, uint32 round, IVolquorum.Result calldata result) external payable {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Aggregate);
        _checkTurn(taskId, round, task, facts);
        bool hasTable = task.hasTable();
        _checkResult(taskId, round, facts, result, hasTable);
        uint96 bondWei = task.bondWei;

        facts.publishedAt = uint40(block.timestamp);
        facts.aggregateRoot = result.aggregateRoot;
        facts.modelRoot = result.modelRoot;
        facts.publisher = msg.sender;
        facts.bondWei = bondWei;
        if (hasTable) facts.evidenceHash = EvidenceLib.hashOf(result.tableRoot, result.choiceHash);
        if (task.byVotes) facts.votes = task.votesFor(round, result.aggregateRoot, result.modelRoot);
        _emitPublished(taskId, round, result);
        _take(task, bondWei);
    }

    /// @dev See `IVolquorum`.
    function finalise(bytes32 taskId) external {
        _settleAs(taskId, IVolquorum.Phase.Final);
    }

    /// @dev See `IVolquorum`.
    function voidRound(bytes32 taskId) external {
        _settleAs(taskId, IVolquorum.Phase.Void);
    }

    // --------------------------------------------------------------------------------------------------- money

    /// @dev See `IVolquorum`.
    function withdraw(address currency, address to) external {
        uint256 amountWei = credits[currency][msg.sender];
        if (amountWei == 0) revert IVolquorum.NothingToWithdraw(msg.sender);

        credits[currency][msg.sender] = 0;
        emit IVolquorum.Withdrawn(msg.sender, to, currency, amountWei);
        if (to == address(0)) revert IVolquorum.TransferFailed(to, amountWei);
        if (currency != ETH) {
            SafeTransferLib.safeTransfer(currency, to, amountWei);
        } else if (!SafeTransferLib.trySafeTransferETH(to, amountWei, gasleft())) {
            revert IVolquorum.TransferFailed(to, amountWei);
        }
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @dev See `IVolquorum`.
    function creditOf(address currency, address account) external view returns (uint256) {
        return credits[currency][account];
    }

    /// @dev See `IVolquorum`.
    function burnedOf(address currency) external view returns (uint256) {
        return burned[currency];
    }

    /// @dev See `IVolquorum`.
    function mayCommit(bytes32 taskId, address account) external view returns (bool) {
        Task storage task = tasks[taskId];
        return _active(task.seatOf[account], task.round) && (!task.draws || _isDrawn(task.draw, account));
    }

    /// @dev See `IVolquorum`.
    function sealedAt(bytes32 seal) external view returns (uint256 blockNumber) {
        return seals[seal];
    }

    /// @dev See `IVolquorum`.
    function taskIdOf(address sponsor, IVolquorum.TaskParams calldata params) external view returns (bytes32) {
        return CommitmentLib.taskId(sponsor, params);
    }

    /// @dev See `IVolquorum`.
    function taskParams(bytes32 taskId) external view returns (IVolquorum.TaskParams memory) {
        return tasks[taskId].params();
    }

    /// @dev See `IVolquorum`.
    function taskState(bytes32 taskId) external view returns (IVolquorum.TaskState memory) {
        return tasks[taskId].state();
    }

    /// @dev See `IVolquorum`.
    function roundState(bytes32 taskId, uint32 round) external view returns (IVolquorum.RoundState memory) {
        return tasks[taskId].roundOf[round];
    }

    /// @dev See `IVolquorum`.
    function seat(bytes32 taskId, address account) external view returns (IVolquorum.Seat memory) {
        return tasks[taskId].seatOf[account];
    }

    /// @dev See `IVolquorum`.
    function updateFlag(bytes32 taskId, address participant) external view returns (IVolquorum.Flag memory) {
        return tasks[taskId].updateFlagOf[participant];
    }

    /// @dev See `IVolquorum`.
    function resultFlag(bytes32 taskId, IVolquorum.Published what) external view returns (IVolquorum.Flag memory) {
        return tasks[taskId].resultFlagOf[what];
    }

    /// @dev See `IVolquorum`.
    function phase(bytes32 taskId, uint32 round) external view returns (IVolquorum.Phase) {
        Task storage task = tasks[taskId];
        return task.phase(task.roundOf[round], block.timestamp);
    }

    /// @dev See `IVolquorum`.
    function deadlines(bytes32 taskId, uint32 round) external view returns (IVolquorum.Deadlines memory) {
        Task storage task = tasks[taskId];
        return task.deadlines(task.roundOf[round]);
    }

    /// @dev See `IVolquorum`.
    function commitmentOf(
        bytes32 taskId,
        uint32 round,
        address participant,
        bytes32 updateRoot,
        uint64 squaredNorm,
        bytes32 salt
    ) external view returns (bytes32) {
        (Task storage task, IVolquorum.RoundState storage facts) = _latest(taskId, round);
        // The base model that a settled round started from is gone.
        if (facts.settled) revert IVolquorum.AlreadySettled(taskId, round);
        return CommitmentLib.commitment(taskId, round, task.modelRoot, participant, updateRoot, squaredNorm, salt);
    }

    // -------------------------------------------------------------------------------------------------- checks

    /// @dev Like `_inPhase`, for a phase up to Reveal and with fewer reads.
    function _inEarlyPhase(bytes32 taskId, uint32 round, IVolquorum.Phase required)
        private
        view
        returns (Task storage task)
    {
        task = tasks[taskId];
        if (round != task.round || task.earlyPhase(block.timestamp) != required) {
            // slither-disable-next-line unused-return -- it finds the reason, which the fewer reads do not tell
            _inPhase(taskId, round, required);
        }
    }

    function _active(IVolquorum.Seat storage mine, uint32 round) private view returns (bool) {
        uint32 activeFrom = mine.activeFrom;
        return activeFrom != 0 && activeFrom <= round;
    }

    function _isDrawn(bytes32 draw, address account) private pure returns (bool) {
        return uint64(bytes8(keccak256(abi.encodePacked(bytes24(draw), account)))) < uint64(uint256(draw));
    }

    function _checkTurn(bytes32 taskId, uint32 round, Task storage task, IVolquorum.RoundState storage facts)
        private
        view
    {
        // Where none was refuted that is zero, which no time is.
        // slither-disable-next-line incorrect-equality -- the time of the refutation alone is meant
        if (facts.restartedAt == block.timestamp) revert IVolquorum.JustRefuted(taskId, round);
        address aggregator = task.aggregator;
        if (aggregator == address(0) || aggregator == msg.sender) return;
        uint64 until = task.deadlines(facts).aggregator;
        if (block.timestamp < until) revert IVolquorum.AggregatorFirst(taskId, round, aggregator, until);
    }

    // ------------------------------------------------------------------------------------------------- updates

    /// @dev Binds a seat to a commitment, which may replace one of this round only if its owner sends it. Not if the seat
    /// turns out to have withheld its last one, which suspends it; that must not be undone, so it does not revert.
    function _bind(
        bytes32 taskId,
        Task storage task,
        uint32 round,
        address account,
        bytes32 commitment,
        bool mayReplace
    ) private returns (bool) {
        bytes28 stored = CommitmentLib.stored(commitment);
        if (stored == 0) revert IVolquorum.EmptyCommitment();
        IVolquorum.Seat storage theirs = task.seatOf[account];
        (uint32 earlier, bytes28 unopened) = theirs.bound();
        if (earlier != round) {
            // A seat that committed since it was taken or restored was active then and still is, which spares reading
            // its other slot.
            if (earlier == 0 && !_active(theirs, round)) revert IVolquorum.NotSeated(taskId, account, round);
            if (task.draws) _checkDrawn(taskId, task, round, account);
            if (unopened != 0 && _withheld(task, theirs)) {
                _slice(taskId, task, account, theirs, address(0), IVolquorum.Offence.Withheld);
                if (theirs.activeFrom == SUSPENDED) return false;
            }
        } else if (!mayReplace) {
            revert IVolquorum.AlreadyCommitted(taskId, round, account);
        }
        theirs.bind(round, stored);
        return true;
    }

    function _checkDrawn(bytes32 taskId, Task storage task, uint32 round, address account) private view {
        bytes32 draw = task.draw;
        if (draw == 0) revert IVolquorum.SeedNotReady(taskId, round);
        if (!_isDrawn(draw, account)) revert IVolquorum.NotDrawn(taskId, round, account);
    }

    /// @dev Opens the commitment that has this content but for its update's root, which follows from the tree's top: the
    /// next hash of the round's updates.
    function _open(Task storage task, bytes32 updatesHash, CommitmentLib.Preimage memory content, bytes32 treeTop)
        private
        returns (bytes32)
    {
        (bytes32 taskId, uint32 round) = (content.taskId, content.round);
        IVolquorum.Seat storage theirs = task.seatOf[content.participant];
        (uint32 bound, bytes28 committed) = theirs.bound();
        if (bound != round) revert IVolquorum.NotCommitted(taskId, round, content.participant);
        uint8 cohort = task.cohort;
        if (uint8(uint256(updatesHash)) == cohort) revert IVolquorum.RoundFull(taskId, round, cohort);
        _checkOpens(task, committed, content, treeTop);

        theirs.bind(round, 0);
        return CommitmentLib.updatesStep(updatesHash, content.participant, content.updateRoot, content.squaredNorm);
    }

    /// @dev Completes what opens a commitment with the update's root.
    function _checkOpens(Task storage task, bytes28 committed, CommitmentLib.Preimage memory content, bytes32 treeTop)
        private
        view
    {
        uint64 squaredNorm = content.squaredNorm;
        if (committed == 0) revert IVolquorum.AlreadyRevealed(content.taskId, content.round, content.participant);
        uint64 most = task.maxSquaredNorm;
        if (squaredNorm > most) revert IVolquorum.NormTooLarge(squaredNorm, most);
        content.updateRoot = SumTree.root(task.dimension, squaredNorm, treeTop);
        bytes28 opened = CommitmentLib.stored(CommitmentLib.hashOf(content));
        if (opened != committed) {
            revert IVolquorum.CommitmentMismatch(content.taskId, content.round, content.participant, committed, opened);
        }
    }

    // ---------------------------------------------------------------------------------------------- settlement

    function _settleAs(bytes32 taskId, IVolquorum.Phase required) private {
        Task storage task = _task(taskId);
        uint32 round = task.round;
        IVolquorum.RoundState storage facts = task.roundOf[round];
        IVolquorum.Phase current = task.phase(facts, block.timestamp);
        if (current != required) revert IVolquorum.WrongPhase(taskId, round, current, required);
        if (facts.settled) revert IVolquorum.AlreadySettled(taskId, round);
        _settle(taskId, task, facts, current);
    }

    /// @dev A function of its own because the stack has no room.
    function _emitPublished(bytes32 taskId, uint32 round, IVolquorum.Result calldata result) private {
        emit IVolquorum.AggregatePublished(
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

    // ------------------------------------------------------------------------------------------------ modules

    /// @dev The module that has a function. What none has is refused by `Challenges`.
    function _module(bytes4 sig) private view returns (address) {
        if (
            sig == IVolquorum.createTask.selector || sig == IVolquorum.endTask.selector
                || sig == IVolquorum.closeTask.selector || sig == IVolquorum.join.selector
                || sig == IVolquorum.restore.selector || sig == IVolquorum.leave.selector
                || sig == IVolquorum.slashWithheld.selector || sig == IVolquorum.slashEquivocation.selector
                || sig == IVolquorum.commitScores.selector || sig == IVolquorum.revealScores.selector
                || sig == IVolquorum.distribute.selector || sig == IVolquorum.claim.selector
        ) return MEMBERS;
        if (
            sig == IVolquorum.flagUpdate.selector || sig == IVolquorum.postUpdate.selector
                || sig == IVolquorum.reclaimDeposit.selector || sig == IVolquorum.challengeNorm.selector
                || sig == IVolquorum.flagResult.selector || sig == IVolquorum.flagTable.selector
                || sig == IVolquorum.postResult.selector || sig == IVolquorum.refuteUnavailable.selector
        ) return AVAILABILITY;
        if (
            sig == IVolquorum.vote.selector || sig == IVolquorum.relayVotes.selector
                || sig == IVolquorum.refuteOutvoted.selector || sig == IVolquorum.votesFor.selector
        ) return VOTES;
        return CHALLENGES;
    }
}
