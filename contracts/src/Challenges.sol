// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {ChallengeLib} from "./libraries/ChallengeLib.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {EvidenceLib} from "./libraries/EvidenceLib.sol";
import {Task, Unclaimed} from "./libraries/TaskLib.sol";

/// @title The module of Volquorum that decides whether published results are right
/// @notice Runs in the storage of `Volquorum`, which forwards these calls; their promises are written on `IVolquorum`.
/// @dev Called directly it knows no task.
contract Challenges is VolquorumBase {
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
    function challengeChoice(
        bytes32 taskId,
        uint32 round,
        IVolquorum.Update[] calldata updates,
        bytes calldata nodes,
        bytes32 choiceHash,
        bytes32 salt
    ) external {
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(taskId, round, CommitmentLib.SEAL_CHOICE, 0, 0, salt);
        (Task storage task, IVolquorum.RoundState storage facts) = _withTable(taskId, round);
        bool holds;
        (claim.subject, holds) = EvidenceLib.choiceHolds(task, facts, claim, updates, nodes, choiceHash);
        EvidenceLib.check(facts, claim.subject, choiceHash);
        _decide(task, facts, claim, IVolquorum.Fault.Choice, holds);
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
}
