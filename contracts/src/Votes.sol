// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {VolquorumBase} from "./VolquorumBase.sol";
import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {SeatLib} from "./libraries/SeatLib.sol";
import {Task, TaskLib} from "./libraries/TaskLib.sol";

/// @title The module of Volquorum that counts what participants found, where no transaction can prove a result wrong
/// @notice Runs in the storage of `Volquorum`, which forwards these calls; their promises are written on `IVolquorum`.
/// @dev Called directly it knows no task.
contract Votes is VolquorumBase {
    using SeatLib for IVolquorum.Seat;
    using TaskLib for Task;

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
}
