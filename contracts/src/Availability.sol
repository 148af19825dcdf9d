// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {ChallengeLib} from "./libraries/ChallengeLib.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {EvidenceLib} from "./libraries/EvidenceLib.sol";
import {GramLib} from "./libraries/GramLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {PostLib} from "./libraries/PostLib.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {Task, TaskLib} from "./libraries/TaskLib.sol";

/// @title The module of Volquorum for flags, posts and norms: whether bytes can be had, and which updates are included
/// @notice Runs in the storage of `Volquorum`, which forwards these calls; their promises are written on `IVolquorum`.
/// @dev Called directly it knows no task.
// slither-disable-next-line locked-ether -- called directly it refuses any, and otherwise `Volquorum` holds it
contract Availability is VolquorumBase {
    using PhaseLib for Task;
    using TaskLib for Task;

    // ------------------------------------------------------------------------------------------------ updates

    /// @dev See `IVolquorum.flagUpdate`.
    function flagUpdate(bytes32 taskId, uint32 round, IVolquorum.Update[] calldata updates, uint256 index)
        external
        payable
    {
        (Task storage task, IVolquorum.RoundState storage facts) =
            _inPhase(taskId, round, IVolquorum.Phase.Availability);
        uint64 until = task.deadlines(facts).flagUpdate;
        if (block.timestamp >= until) revert IVolquorum.FlaggingOver(taskId, round, until);
        IVolquorum.Update calldata update = _revealed(taskId, round, facts, updates, index);
        IVolquorum.Flag storage flag = task.updateFlagOf[update.participant];
        uint64 bit = _bit(index);
        if (flag.round == round || facts.unavailable & bit != 0) {
            revert IVolquorum.AlreadyFlagged(taskId, round, update.updateRoot);
        }

        address earlier = flag.flagger;
        if (earlier != address(0)) _releaseDeposit(task, flag, earlier);
        _raise(flag, round, uint8(index), update.updateRoot);
        facts.unavailable |= bit;
        emit IVolquorum.UpdateFlagged(taskId, round, update.participant, msg.sender, update.updateRoot);
        _take(task, task.flagWei);
    }

    /// @dev See `IVolquorum.postUpdate`.
    function postUpdate(
        bytes32 taskId,
        uint32 round,
        address participant,
        bytes calldata chunks,
        bytes calldata siblings
    ) external {
        (Task storage task, IVolquorum.RoundState storage facts) =
            _inPhase(taskId, round, IVolquorum.Phase.Availability);
        IVolquorum.Flag storage flag = task.updateFlagOf[participant];
        if (flag.round != round || flag.flagger == address(0)) revert IVolquorum.NotFlagged(taskId, round);
        if (!_postVector(taskId, flag, task.shapeOf(SumTree.INT16_BYTES), chunks, siblings)) return;

        facts.unavailable &= ~_bit(flag.index);
        _releaseDeposit(task, flag, participant);
    }

    /// @dev See `IVolquorum.reclaimDeposit`.
    function reclaimDeposit(bytes32 taskId, address participant) external {
        Task storage task = _task(taskId);
        IVolquorum.Flag storage flag = task.updateFlagOf[participant];
        address flagger = flag.flagger;
        uint32 round = flag.round;
        if (flagger == address(0) || task.phase(task.roundOf[round], block.timestamp) <= IVolquorum.Phase.Availability)
        {
            revert IVolquorum.DepositNotFree(taskId, participant);
        }
        _releaseDeposit(task, flag, flagger);
    }

    /// @dev See `IVolquorum.challengeNorm`.
    function challengeNorm(
        bytes32 taskId,
        uint32 round,
        IVolquorum.Update[] calldata updates,
        uint256 index,
        uint32 chunk,
        bytes calldata opening,
        bytes32 salt
    ) external {
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(taskId, round, CommitmentLib.SEAL_NORM, chunk, 0, salt);
        (Task storage task, IVolquorum.RoundState storage facts) =
            _inPhase(taskId, round, IVolquorum.Phase.Availability);
        IVolquorum.Update calldata update = _revealed(taskId, round, facts, updates, index);
        claim.subject = update.updateRoot;
        if (ChallengeLib.normHolds(task, update, index, chunk, opening)) {
            revert IVolquorum.NoFraud(taskId, round, chunk);
        }
        uint64 bit = _bit(index);
        // Without the bit, no flag of this round waits for an answer.
        if (facts.unavailable & bit != 0) _returnUpdateDeposit(task, update.participant);
        else facts.unavailable |= bit;
        _slash(task, update.participant, claim);
    }

    // ------------------------------------------------------------------------------------------------ results

    /// @dev See `IVolquorum.flagResult`.
    function flagResult(bytes32 taskId, uint32 round, IVolquorum.Published what) external payable {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        // The root of a table is not stored, so that it must be given.
        if (what == IVolquorum.Published.Table) revert IVolquorum.EvidenceMismatch(0, 0);
        bytes32 root = what == IVolquorum.Published.Aggregate ? facts.aggregateRoot : facts.modelRoot;
        _flagResult(taskId, round, task, facts, what, root);
    }

    /// @dev See `IVolquorum.flagTable`.
    function flagTable(bytes32 taskId, uint32 round, bytes32 tableRoot, bytes32 choiceHash) external payable {
        (Task storage task, IVolquorum.RoundState storage facts) = _withTable(taskId, round);
        EvidenceLib.check(facts, tableRoot, choiceHash);
        _flagResult(taskId, round, task, facts, IVolquorum.Published.Table, tableRoot);
    }

    /// @dev See `IVolquorum.postResult`.
    function postResult(
        bytes32 taskId,
        uint32 round,
        IVolquorum.Published what,
        bytes calldata chunks,
        bytes calldata siblings
    ) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        uint64 until = task.deadlines(facts).postResult;
        if (block.timestamp >= until) revert IVolquorum.PostingOver(taskId, round, until);
        IVolquorum.Flag storage flag = task.resultFlagOf[what];
        if (!_unanswered(facts, flag, what)) revert IVolquorum.NotFlagged(taskId, round);
        bool complete;
        if (what == IVolquorum.Published.Table) {
            complete = _postTable(taskId, flag, EvidenceLib.shapeOf(task, facts), chunks, siblings);
        } else {
            uint256 widthBytes = what == IVolquorum.Published.Aggregate ? SumTree.INT16_BYTES : SumTree.INT32_BYTES;
            complete = _postVector(taskId, flag, task.shapeOf(widthBytes), chunks, siblings);
        }
        if (complete) _releaseDeposit(task, flag, facts.publisher);
    }

    /// @dev See `IVolquorum.refuteUnavailable`.
    function refuteUnavailable(bytes32 taskId, uint32 round, IVolquorum.Published what) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        IVolquorum.Flag storage flag = task.resultFlagOf[what];
        if (block.timestamp < task.deadlines(facts).postResult || !_unanswered(facts, flag, what)) {
            revert IVolquorum.NotUnavailable(taskId, round, what);
        }
        IVolquorum.Fault fault = IVolquorum.Fault.TableUnavailable;
        if (what == IVolquorum.Published.Aggregate) fault = IVolquorum.Fault.AggregateUnavailable;
        if (what == IVolquorum.Published.Model) fault = IVolquorum.Fault.ModelUnavailable;
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(taskId, round, 0, 0, 0, 0);
        _refute(task, facts, claim, fault, flag.flagger, facts.bondWei / 2);
    }

    // ------------------------------------------------------------------------------------------------- flags

    function _raise(IVolquorum.Flag storage flag, uint32 round, uint8 index, bytes32 root) private {
        flag.round = round;
        flag.index = index;
        flag.posted = 0;
        flag.flagger = msg.sender;
        flag.root = root;
    }

    function _flagResult(
        bytes32 taskId,
        uint32 round,
        Task storage task,
        IVolquorum.RoundState storage facts,
        IVolquorum.Published what,
        bytes32 root
    ) private {
        uint64 until = task.deadlines(facts).flagResult;
        if (block.timestamp >= until) revert IVolquorum.FlaggingOver(taskId, round, until);
        if (_isFlagged(facts, what)) revert IVolquorum.AlreadyFlagged(taskId, round, root);

        facts.resultFlags |= uint8(1 << uint8(what));
        _raise(task.resultFlagOf[what], round, uint8(what), root);
        emit IVolquorum.ResultFlagged(taskId, round, msg.sender, what, root);
        _take(task, task.flagWei);
    }

    function _unanswered(IVolquorum.RoundState storage facts, IVolquorum.Flag storage flag, IVolquorum.Published what)
        private
        view
        returns (bool)
    {
        return _isFlagged(facts, what) && flag.flagger != address(0);
    }

    // ------------------------------------------------------------------------------------------------- posts

    /// @dev Publishes the flagged vector's next part; whether it was the last.
    function _postVector(
        bytes32 taskId,
        IVolquorum.Flag storage flag,
        SumTree.Shape memory shape,
        bytes calldata chunks,
        bytes calldata siblings
    ) private returns (bool) {
        PostLib.checkPart(shape, flag.posted, chunks, siblings, flag.root);
        return _post(taskId, flag, chunks) == PostLib.partCount(shape);
    }

    /// @dev Publishes the flagged table's next part; whether it was the last.
    function _postTable(
        bytes32 taskId,
        IVolquorum.Flag storage flag,
        GramLib.Shape memory shape,
        bytes calldata leaves,
        bytes calldata siblings
    ) private returns (bool) {
        GramLib.checkPart(shape, flag.posted, leaves, siblings, flag.root);
        return _post(taskId, flag, leaves) == GramLib.partCount(shape);
    }

    /// @dev Publishes a checked part; how many have been.
    function _post(bytes32 taskId, IVolquorum.Flag storage flag, bytes calldata part) private returns (uint32 posted) {
        posted = flag.posted + 1;
        flag.posted = posted;
        emit IVolquorum.BytesPosted(flag.root, taskId, posted - 1, part);
    }

    // ------------------------------------------------------------------------------------------------- norms

    function _returnUpdateDeposit(Task storage task, address participant) private {
        IVolquorum.Flag storage flag = task.updateFlagOf[participant];
        address flagger = flag.flagger;
        if (flagger != address(0)) _releaseDeposit(task, flag, flagger);
    }

    /// @dev Takes away the seat behind a false norm. Invariant: a seat pays for the round that it revealed in. One that
    /// was taken since, by whoever was slashed, has not committed in it.
    function _slash(Task storage task, address participant, CommitmentLib.Claim memory claim) private {
        IVolquorum.Seat storage theirs = task.seatOf[participant];
        if (theirs.committedRound != claim.round) {
            revert IVolquorum.NotSeated(claim.taskId, participant, claim.round);
        }
        uint96 stakeWei = theirs.stakeWei;
        uint256 awardWei = _award(task, claim, stakeWei);
        uint256 lostWei = stakeWei - awardWei;
        _retire(task, theirs);
        --task.seats;
        theirs.stakeWei = 0;
        theirs.activeFrom = 0;
        theirs.committedRound = 0;
        theirs.commitment = 0;
        theirs.slashed = _oneMore(theirs.slashed);
        _burn(task.currency, lostWei);
        _credit(task.currency, msg.sender, awardWei);
        emit IVolquorum.NormRefuted(claim.taskId, claim.round, participant, msg.sender, claim.chunk, awardWei, lostWei);
    }
}
