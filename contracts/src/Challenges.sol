// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {ChallengeLib} from "./libraries/ChallengeLib.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {EvidenceLib} from "./libraries/EvidenceLib.sol";
import {SeatLib} from "./libraries/SeatLib.sol";
import {Task, TaskLib, Unclaimed} from "./libraries/TaskLib.sol";

/// @title The module of Volquorum that decides whether published results and recorded norms are right
/// @notice Runs in the storage of `Volquorum`, which forwards these calls; their promises are written on `IVolquorum`.
/// @dev By proofs and, in a task by votes, by votes. Called directly it knows no task.
contract Challenges is VolquorumBase {
    using SeatLib for IVolquorum.Seat;
    using TaskLib for Task;

    /// @dev See `IVolquorum.sealChallenge`.
    function sealChallenge(bytes32 seal) external {
        if (seals[seal] != 0) revert IVolquorum.SealExists(seal);
        seals[seal] = block.number;
    }

    /// @dev See `IVolquorum`. Invariant: an award is in `burned` until it is credited, and credited once.
    function claimAward(bytes32 taskId, uint32 round, uint8 kind, uint32 chunk, bytes32 subject, bytes32 salt)
        external
    {
        Task storage task = _task(taskId);
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(taskId, round, kind, chunk, subject, salt);
        Unclaimed[] storage proven = task.unclaimedOf[CommitmentLib.claimKey(claim)];
        uint256 number = _sealedAt(claim);
        uint256 awardWei = 0;
        // At most as many as a round bears refutations or includes updates.
        for (uint256 index = proven.length; index > 0 && number < proven[index - 1].blockNumber; --index) {
            awardWei += proven[index - 1].awardWei;
            proven[index - 1].awardWei = 0;
        }
        if (awardWei == 0) revert IVolquorum.NoAward(taskId, round, msg.sender);
        burned[task.currency] -= awardWei;
        _credit(task.currency, msg.sender, awardWei);
        emit IVolquorum.AwardClaimed(taskId, round, msg.sender, kind, chunk, subject, awardWei);
    }

    // ------------------------------------------------------------------------------------------------ updates

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

    /// @dev See `IVolquorum.challengeAggregate`.
    function challengeAggregate(
        bytes32 taskId,
        uint32 round,
        address[] calldata participants,
        IVolquorum.Update[] calldata excluded,
        uint32 chunk,
        bytes calldata openings,
        bytes calldata evidence,
        bytes32 salt
    ) external {
        CommitmentLib.Claim memory claim =
            CommitmentLib.Claim(taskId, round, CommitmentLib.SEAL_AGGREGATE, chunk, 0, salt);
        _challengeAggregate(claim, participants, excluded, openings, evidence);
    }

    /// @dev See `IVolquorum.challengeModel`.
    function challengeModel(bytes32 taskId, uint32 round, uint32 chunk, bytes calldata openings, bytes32 salt)
        external
    {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        CommitmentLib.Claim memory claim =
            CommitmentLib.Claim(taskId, round, CommitmentLib.SEAL_MODEL, chunk, facts.modelRoot, salt);
        bool holds = ChallengeLib.modelHolds(task, facts, chunk, openings);
        _decide(task, facts, claim, IVolquorum.Fault.Model, holds);
    }

    /// @dev See `IVolquorum.challengeProduct`.
    function challengeProduct(
        bytes32 taskId,
        uint32 round,
        IVolquorum.Update[] calldata updates,
        uint32 leaf,
        bytes calldata openings,
        bytes32 choiceHash,
        bytes32 salt
    ) external {
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(taskId, round, CommitmentLib.SEAL_PRODUCT, leaf, 0, salt);
        (Task storage task, IVolquorum.RoundState storage facts) = _withTable(claim.taskId, claim.round);
        bool holds;
        (claim.subject, holds) = EvidenceLib.productHolds(task, facts, claim, updates, openings);
        EvidenceLib.check(facts, claim.subject, choiceHash);
        _decide(task, facts, claim, IVolquorum.Fault.Product, holds);
    }

    /// @dev See `IVolquorum.challengeChoice`.
    function challengeChoice(bytes32 taskId, uint32 round, bytes calldata nodes, bytes32 choiceHash, bytes32 salt)
        external
    {
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(taskId, round, CommitmentLib.SEAL_CHOICE, 0, 0, salt);
        (Task storage task, IVolquorum.RoundState storage facts) = _withTable(taskId, round);
        bool holds;
        (claim.subject, holds) = EvidenceLib.choiceHolds(task, facts, nodes, choiceHash);
        EvidenceLib.check(facts, claim.subject, choiceHash);
        _decide(task, facts, claim, IVolquorum.Fault.Choice, holds);
    }

    // -------------------------------------------------------------------------------------------------- votes

    /// @dev See `IVolquorum`.
    function vote(bytes32 taskId, uint32 round, IVolquorum.Result calldata result) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _voting(taskId, round, result);
        bytes32 key = TaskLib.resultKey(round, result.aggregateRoot, result.modelRoot);
        uint8 votes = task.votesOf[key] + 1;
        if (!_cast(taskId, task, facts, round, msg.sender, result, votes)) {
            revert IVolquorum.AlreadyVoted(taskId, round, msg.sender);
        }
        _count(task, facts, key, result, votes);
    }

    /// @dev See `IVolquorum`.
    function relayVotes(
        bytes32 taskId,
        uint32 round,
        IVolquorum.Result calldata result,
        IVolquorum.Signature[] calldata signatures
    ) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _voting(taskId, round, result);
        bytes32 key = TaskLib.resultKey(round, result.aggregateRoot, result.modelRoot);
        uint8 votes = task.votesOf[key];
        bytes32 digest = CommitmentLib.voteDigest(taskId, round, result);
        for (uint256 index = 0; index < signatures.length; ++index) {
            address voter = CommitmentLib.signer(digest, signatures[index].r, signatures[index].vs, index);
            if (_cast(taskId, task, facts, round, voter, result, votes + 1)) ++votes;
        }
        _count(task, facts, key, result, votes);
    }

    /// @dev See `IVolquorum`. The published roots never have more votes than they have, so they need no look.
    function refuteOutvoted(bytes32 taskId, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot) external {
        (Task storage task, IVolquorum.RoundState storage facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        if (!task.byVotes) revert IVolquorum.NotByVotes(taskId);
        uint256 votes = task.votesFor(round, aggregateRoot, modelRoot);
        uint256 required = 1 + FixedPointMathLib.max(task.tolerance, facts.votes);
        if (votes < required) revert IVolquorum.NotOutvoted(taskId, round, votes, required);
        // Who voted may have published too, so that an award would pay for lies.
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(taskId, round, 0, 0, 0, 0);
        _refute(task, facts, claim, IVolquorum.Fault.Outvoted, msg.sender, 0);
    }

    /// @dev See `IVolquorum`.
    function votesFor(bytes32 taskId, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot)
        external
        view
        returns (uint8)
    {
        return tasks[taskId].votesFor(round, aggregateRoot, modelRoot);
    }

    /// @dev A round that this result can be voted for in.
    function _voting(bytes32 taskId, uint32 round, IVolquorum.Result calldata result)
        private
        view
        returns (Task storage task, IVolquorum.RoundState storage facts)
    {
        (task, facts) = _undecided(taskId, round);
        if (!task.byVotes) revert IVolquorum.NotByVotes(taskId);
        _checkResult(taskId, round, facts, result, false);
    }

    /// @dev Marks a seat as one that voted, and announces its vote as the one of this number, unless it has voted in this
    /// round. What all votes of a call come to is written by `_count`.
    function _cast(
        bytes32 taskId,
        Task storage task,
        IVolquorum.RoundState storage facts,
        uint32 round,
        address voter,
        IVolquorum.Result calldata result,
        uint8 number
    ) private returns (bool) {
        if (!_included(task, facts, round, voter)) revert IVolquorum.NotIncluded(taskId, round, voter);
        IVolquorum.Seat storage theirs = task.seatOf[voter];
        if (theirs.votedRound == round) return false;
        theirs.votedRound = round;
        emit IVolquorum.Voted(taskId, round, voter, result.aggregateRoot, result.modelRoot, number);
        return true;
    }

    /// @dev Writes how many votes a result has.
    function _count(
        Task storage task,
        IVolquorum.RoundState storage facts,
        bytes32 key,
        IVolquorum.Result calldata result,
        uint8 votes
    ) private {
        task.votesOf[key] = votes;
        if (votes > facts.mostVotes) facts.mostVotes = votes;
        bool published = facts.publishedAt != 0 && result.aggregateRoot == facts.aggregateRoot
            && result.modelRoot == facts.modelRoot;
        if (published) facts.votes = votes;
    }

    /// @dev Whether an account has an included update in the latest round. A false norm took the seat's binding; a flag
    /// that nobody answered left its bit.
    function _included(Task storage task, IVolquorum.RoundState storage facts, uint32 round, address account)
        private
        view
        returns (bool)
    {
        (uint32 bound, bytes28 unopened) = task.seatOf[account].bound();
        if (bound != round || unopened != 0) return false;
        uint64 unavailable = facts.unavailable;
        if (unavailable == 0) return true;
        IVolquorum.Flag storage flag = task.updateFlagOf[account];
        return flag.round != round || unavailable & _bit(flag.index) == 0;
    }

    // ------------------------------------------------------------------------------------------------- effects

    /// @dev A function of its own because the stack has no room.
    function _challengeAggregate(
        CommitmentLib.Claim memory claim,
        address[] calldata participants,
        IVolquorum.Update[] calldata excluded,
        bytes calldata openings,
        bytes calldata evidence
    ) private {
        (Task storage task, IVolquorum.RoundState storage facts) =
            _inPhase(claim.taskId, claim.round, IVolquorum.Phase.Challenge);
        if (task.byVotes) revert IVolquorum.ByVotes(claim.taskId);
        bool holds = ChallengeLib.aggregateHolds(task, facts, claim, participants, excluded, openings, evidence);
        claim.subject = facts.aggregateRoot;
        _decide(task, facts, claim, IVolquorum.Fault.Aggregate, holds);
    }

    /// @dev Refutes a result by a proof of the caller's, unless it holds.
    function _decide(
        Task storage task,
        IVolquorum.RoundState storage facts,
        CommitmentLib.Claim memory claim,
        IVolquorum.Fault fault,
        bool holds
    ) private {
        if (holds) revert IVolquorum.NoFraud(claim.taskId, claim.round, claim.chunk);
        _refute(task, facts, claim, fault, msg.sender, _award(task, claim, facts.bondWei));
    }

    /// @dev Half of what a proof takes, if its sender sealed it in an earlier block: a proof that was copied on its way
    /// into a block earns nothing, and what it does not earn is kept for who sealed it.
    function _award(Task storage task, CommitmentLib.Claim memory claim, uint256 takenWei)
        private
        returns (uint256 awardWei)
    {
        awardWei = takenWei / 2;
        if (awardWei == 0 || _sealedAt(claim) < block.number) return awardWei;
        task.unclaimedOf[CommitmentLib.claimKey(claim)].push(Unclaimed(uint96(awardWei), uint64(block.number)));
        return 0;
    }

    /// @dev The block in which the caller sealed this challenge; one that never comes if he did not.
    function _sealedAt(CommitmentLib.Claim memory claim) private view returns (uint256) {
        uint256 number = seals[CommitmentLib.seal(claim, msg.sender)];
        return number != 0 ? number : type(uint256).max;
    }

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
