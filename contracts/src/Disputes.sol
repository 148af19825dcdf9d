// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {ChallengeLib} from "./libraries/ChallengeLib.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {PostLib} from "./libraries/PostLib.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {Task} from "./libraries/TaskLib.sol";

/// @title The part of Volquorum that decides what is contested: flags, posts and challenges
/// @notice Runs in the storage of `Volquorum`, which forwards these calls; their promises are written on `IVolquorum`.
/// @dev Called directly it knows no task.
// slither-disable-next-line locked-ether -- called directly it refuses any, and otherwise `Volquorum` holds it
contract Disputes is VolquorumBase {
    using PhaseLib for Task;

    /// @dev What a proof is about. Kept in memory because the stack has no room.
    struct Claim {
        bytes32 taskId;
        uint32 round;
        uint8 kind;
        uint32 chunk;
        bytes32 subject;
        bytes32 salt;
    }

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
        uint96 flagWei = task.flagWei;
        _takeExactly(flagWei);

        address earlier = flag.flagger;
        if (earlier != address(0)) _releaseDeposit(flag, earlier, flagWei);
        _raise(flag, round, uint8(index), update.updateRoot);
        facts.unavailable |= bit;
        emit IVolquorum.UpdateFlagged(taskId, round, update.participant, msg.sender, update.updateRoot);
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
        if (!_post(taskId, flag, _shape(task, SumTree.INT16_BYTES), chunks, siblings)) return;

        facts.unavailable &= ~_bit(flag.index);
        _releaseDeposit(flag, participant, task.flagWei);
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
        _releaseDeposit(flag, flagger, task.flagWei);
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
        Claim memory claim = Claim(taskId, round, CommitmentLib.SEAL_NORM, chunk, 0, salt);
        (Task storage task, IVolquorum.RoundState storage facts) =
            _inPhase(taskId, round, IVolquorum.Phase.Availability);
        IVolquorum.Update calldata update = _revealed(taskId, round, facts, updates, index);
        claim.subject = update.updateRoot;
        if (ChallengeLib.normHolds(task, update, index, chunk, opening)) {
            revert IVolquorum.NoFraud(taskId, round, chunk);
        }
        facts.unavailable |= _bit(index);
        _slash(task, update.participant, claim);
    }

    // ------------------------------------------------------------------------------------------------ results

    /// @dev See `IVolquorum.flagResult`.
    function flagResult(bytes32 taskId, uint32 round, IVolquorum.Published what) external payable {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        uint64 until = task.deadlines(facts).flagResult;
        if (block.timestamp >= until) revert IVolquorum.FlaggingOver(taskId, round, until);
        bytes32 root = what == IVolquorum.Published.Aggregate ? facts.aggregateRoot : facts.modelRoot;
        if (_isFlagged(facts, what)) revert IVolquorum.AlreadyFlagged(taskId, round, root);
        _takeExactly(task.flagWei);

        facts.resultFlags |= uint8(1 << uint8(what));
        _raise(task.resultFlagOf[what], round, uint8(what), root);
        emit IVolquorum.ResultFlagged(taskId, round, msg.sender, what, root);
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
        uint256 widthBytes = what == IVolquorum.Published.Aggregate ? SumTree.INT16_BYTES : SumTree.INT32_BYTES;
        if (!_post(taskId, flag, _shape(task, widthBytes), chunks, siblings)) return;

        _releaseDeposit(flag, facts.publisher, task.flagWei);
    }

    /// @dev See `IVolquorum.refuteUnavailable`.
    function refuteUnavailable(bytes32 taskId, uint32 round, IVolquorum.Published what) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        IVolquorum.Flag storage flag = task.resultFlagOf[what];
        if (block.timestamp < task.deadlines(facts).postResult || !_unanswered(facts, flag, what)) {
            revert IVolquorum.NotUnavailable(taskId, round, what);
        }
        IVolquorum.Fault fault = what == IVolquorum.Published.Aggregate
            ? IVolquorum.Fault.AggregateUnavailable
            : IVolquorum.Fault.ModelUnavailable;
        Claim memory claim = Claim(taskId, round, 0, 0, 0, 0);
        _refute(task, facts, claim, fault, flag.flagger, facts.bondWei / 2);
    }

    /// @dev See `IVolquorum.challengeAggregate`.
    function challengeAggregate(
        bytes32 taskId,
        uint32 round,
        address[] calldata participants,
        IVolquorum.Update[] calldata excluded,
        uint32 chunk,
        bytes calldata openings,
        bytes32 salt
    ) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        if (ChallengeLib.aggregateHolds(task, facts, taskId, round, participants, excluded, chunk, openings)) {
            revert IVolquorum.NoFraud(taskId, round, chunk);
        }
        Claim memory claim = Claim(taskId, round, CommitmentLib.SEAL_AGGREGATE, chunk, facts.aggregateRoot, salt);
        _refute(task, facts, claim, IVolquorum.Fault.Aggregate, msg.sender, _award(claim, facts.bondWei));
    }

    /// @dev See `IVolquorum.challengeModel`.
    function challengeModel(bytes32 taskId, uint32 round, uint32 chunk, bytes calldata openings, bytes32 salt)
        external
    {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        if (ChallengeLib.modelHolds(task, facts, chunk, openings)) revert IVolquorum.NoFraud(taskId, round, chunk);
        Claim memory claim = Claim(taskId, round, CommitmentLib.SEAL_MODEL, chunk, facts.modelRoot, salt);
        _refute(task, facts, claim, IVolquorum.Fault.Model, msg.sender, _award(claim, facts.bondWei));
    }

    // -------------------------------------------------------------------------------------------------- checks

    /// @dev The update of this number, if `updates` are the revealed ones.
    function _revealed(
        bytes32 taskId,
        uint32 round,
        IVolquorum.RoundState storage facts,
        IVolquorum.Update[] calldata updates,
        uint256 index
    ) private view returns (IVolquorum.Update calldata) {
        bytes32 given = CommitmentLib.updatesHash(taskId, round, updates);
        if (given != facts.updatesHash) {
            revert IVolquorum.UpdatesMismatch(taskId, round, given, facts.updatesHash);
        }
        if (index >= updates.length) revert IVolquorum.UnknownUpdate(index, updates.length);
        return updates[index];
    }

    function _unanswered(IVolquorum.RoundState storage facts, IVolquorum.Flag storage flag, IVolquorum.Published what)
        private
        view
        returns (bool)
    {
        return _isFlagged(facts, what) && flag.flagger != address(0);
    }

    function _shape(Task storage task, uint256 widthBytes) private view returns (SumTree.Shape memory) {
        return SumTree.Shape(task.dimension, task.chunkLength, widthBytes);
    }

    function _bit(uint256 index) private pure returns (uint64) {
        return uint64(1 << index);
    }

    // ------------------------------------------------------------------------------------------------- effects

    function _raise(IVolquorum.Flag storage flag, uint32 round, uint8 index, bytes32 root) private {
        flag.round = round;
        flag.index = index;
        flag.posted = 0;
        flag.flagger = msg.sender;
        flag.root = root;
    }

    /// @dev Publishes the flagged vector's next part; whether it was the last.
    function _post(
        bytes32 taskId,
        IVolquorum.Flag storage flag,
        SumTree.Shape memory shape,
        bytes calldata chunks,
        bytes calldata siblings
    ) private returns (bool) {
        uint32 part = flag.posted;
        bytes32 root = flag.root;
        PostLib.checkPart(shape, part, chunks, siblings, root);
        flag.posted = part + 1;
        emit IVolquorum.BytesPosted(root, taskId, part, chunks);
        return part + 1 == PostLib.partCount(shape);
    }

    /// @dev Half of what a proof takes, if its sender sealed it in an earlier block: a proof that was copied on its way
    /// into a block earns nothing.
    function _award(Claim memory claim, uint256 takenWei) private view returns (uint256) {
        bytes32 seal = CommitmentLib.seal(
            claim.taskId, claim.round, msg.sender, claim.kind, claim.chunk, claim.subject, claim.salt
        );
        uint256 number = sealedAt[seal];
        return number != 0 && number < block.number ? takenWei / 2 : 0;
    }

    /// @dev Unpublishes the result of a round in its challenge phase. Invariant: what the round held of a bond is split
    /// between `burned` and the challenger's credit to the last wei.
    function _refute(
        Task storage task,
        IVolquorum.RoundState storage facts,
        Claim memory claim,
        IVolquorum.Fault fault,
        address challenger,
        uint256 awardWei
    ) private {
        address publisher = facts.publisher;
        uint256 lostWei = facts.bondWei - awardWei;
        _returnResultDeposits(task, facts);
        facts.publishedAt = 0;
        facts.restartedAt = uint40(block.timestamp);
        ++facts.refutations;
        facts.resultFlags = 0;
        facts.aggregateRoot = 0;
        facts.modelRoot = 0;
        facts.publisher = address(0);
        facts.bondWei = 0;
        burned += lostWei;
        credits[challenger] += awardWei;
        emit IVolquorum.ResultRefuted(
            claim.taskId, claim.round, publisher, challenger, fault, claim.chunk, awardWei, lostWei
        );
    }

    /// @dev Takes away the seat behind a false norm. Invariant: a seat pays for the round that it revealed in. One that
    /// was taken since, by whoever was slashed, has not committed in it.
    function _slash(Task storage task, address participant, Claim memory claim) private {
        IVolquorum.Seat storage theirs = task.seatOf[participant];
        if (theirs.committedRound != claim.round) {
            revert IVolquorum.NotSeated(claim.taskId, participant, claim.round);
        }
        uint256 stakeWei = theirs.stakeWei;
        uint256 rewardWei = theirs.rewardWei;
        delete task.seatOf[participant];
        --task.seats;
        IVolquorum.Flag storage flag = task.updateFlagOf[participant];
        address flagger = flag.flagger;
        if (flagger != address(0)) _releaseDeposit(flag, flagger, task.flagWei);

        uint256 awardWei = _award(claim, stakeWei);
        uint256 lostWei = stakeWei - awardWei;
        burned += lostWei;
        credits[participant] += rewardWei;
        credits[msg.sender] += awardWei;
        emit IVolquorum.NormRefuted(claim.taskId, claim.round, participant, msg.sender, claim.chunk, awardWei, lostWei);
    }
}
