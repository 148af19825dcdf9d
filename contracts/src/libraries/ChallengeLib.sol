// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {ChoiceLib} from "./ChoiceLib.sol";
import {CommitmentLib} from "./CommitmentLib.sol";
import {EvidenceLib} from "./EvidenceLib.sol";
import {Lanes} from "./Lanes.sol";
import {MixLib} from "./MixLib.sol";
import {PhaseLib} from "./PhaseLib.sol";
import {RuleLib} from "./RuleLib.sol";
import {SumTree} from "./SumTree.sol";
import {Task, TaskLib} from "./TaskLib.sol";
import {WeightLib} from "./WeightLib.sol";

/// @notice Whether one chunk of a published result, or of an update's norm, is right, judged from the openings that a
/// challenger sends.
/// @dev Their layout is written on `IVolquorum`. What was published is opened by its leaf's hash and sum alone: the
/// right chunk is computed here, and right is what has the same.
library ChallengeLib {
    using Lanes for Lanes.Rows;
    using RuleLib for Lanes.Rows;
    using TaskLib for Task;

    /// @notice The included updates as their openings show them, and what they were opened to.
    struct Opened {
        SumTree.Shape shape;
        Lanes.Rows rows;
        bytes32[] roots;
        uint256[] squaredNorms;
    }

    /// @notice Whether the published aggregate's chunk is what the task's rule makes of the included updates' chunks.
    /// @dev An included update's root and norm are those that its opening leads to. Invariant: they are the revealed
    /// ones, since with the participants and the excluded updates they give the hash over all that was revealed.
    function aggregateHolds(
        Task storage task,
        IVolquorum.RoundState storage facts,
        CommitmentLib.Claim memory claim,
        address[] calldata participants,
        IVolquorum.Update[] calldata excluded,
        bytes calldata openings,
        bytes calldata evidence
    ) internal view returns (bool) {
        Opened memory opened = openUpdates(task, participants.length, claim.chunk, openings);
        checkRevealed(facts, claim.taskId, claim.round, participants, excluded, opened);
        prepare(task, facts, opened, evidence);
        return chunkHolds(task, facts.aggregateRoot, claim.chunk, openings, opened);
    }

    /// @notice Whether the published model's chunk is the base model's plus the published aggregate's.
    function modelHolds(Task storage task, IVolquorum.RoundState storage facts, uint32 chunk, bytes calldata openings)
        internal
        view
        returns (bool)
    {
        SumTree.Shape memory models = shapeOf(task, SumTree.INT32_BYTES, chunk);
        SumTree.Shape memory updates = shapeOf(task, SumTree.INT16_BYTES, chunk);
        uint256 baseEnd = SumTree.openingBytes(models);
        uint256 aggregateEnd = baseEnd + SumTree.openingBytes(updates);
        SumTree.checkLength(openings, aggregateEnd + SumTree.pathBytes(models));
        if (!SumTree.padded(chunk, openings[:baseEnd], models)) revert IVolquorum.BadOpening(0);
        checkOpening(0, chunk, openings[:baseEnd], task.modelRoot, models);
        checkOpening(1, chunk, openings[baseEnd:aggregateEnd], facts.aggregateRoot, updates);
        checkPath(2, chunk, openings[aggregateEnd:], facts.modelRoot, models);
        (uint256 start, bool fits) = sums(openings, openings[baseEnd:], models.chunkLength);
        return fits && isLeaf(openings[aggregateEnd:], chunk, start, models);
    }

    /// @notice Whether every sum that a revealed update's tree records on the way from a chunk to its root is right.
    function normHolds(
        Task storage task,
        IVolquorum.Update calldata update,
        uint256 index,
        uint32 chunk,
        bytes calldata opening
    ) internal view returns (bool) {
        SumTree.Shape memory shape = shapeOf(task, SumTree.INT16_BYTES, chunk);
        SumTree.checkLength(opening, SumTree.recordedBytes(shape));
        (bytes32 root, bool wrong) = SumTree.rootByRecords(chunk, opening, update.squaredNorm, shape);
        if (root != update.updateRoot) revert IVolquorum.BadOpening(index);
        return !wrong;
    }

    // ------------------------------------------------------------------------------------------------- aggregates

    /// @dev Of `count` updates, whose openings are followed by a path of the aggregate.
    function openUpdates(Task storage task, uint256 count, uint32 chunk, bytes calldata openings)
        private
        view
        returns (Opened memory opened)
    {
        SumTree.Shape memory shape = shapeOf(task, SumTree.INT16_BYTES, chunk);
        uint256 length = SumTree.openingBytes(shape);
        SumTree.checkLength(openings, count * length + SumTree.pathBytes(shape));
        opened = Opened(shape, Lanes.room(count, SumTree.chunkBytes(shape)), new bytes32[](count), new uint256[](count));
        bool short = SumTree.isShort(chunk, shape);
        for (uint256 index = 0; index < count; ++index) {
            bytes calldata opening = openings[:length];
            openings = openings[length:];
            if (short && !SumTree.padded(chunk, opening, shape)) revert IVolquorum.BadOpening(index);
            openUpdate(index, chunk, opening, opened);
        }
    }

    function openUpdate(uint256 index, uint32 chunk, bytes calldata opening, Opened memory opened) private pure {
        uint256 row = opened.rows.start + index * opened.rows.stride;
        (bytes32 root, uint256 squaredNorm) = SumTree.rootOf(chunk, opening, opened.shape, row);
        if (!SumTree.bounded(squaredNorm)) revert IVolquorum.BadOpening(index);
        opened.roots[index] = root;
        opened.squaredNorms[index] = squaredNorm;
    }

    /// @dev Merges the included and the excluded updates by the bits of `unavailable`, in order of reveal.
    function checkRevealed(
        IVolquorum.RoundState storage facts,
        bytes32 taskId,
        uint32 round,
        address[] calldata participants,
        IVolquorum.Update[] calldata excluded,
        Opened memory opened
    ) private view {
        uint256 unavailable = facts.unavailable;
        bytes32 hash = 0;
        // Where not even the numbers are right, the hash given stays zero.
        if (
            participants.length + excluded.length == PhaseLib.revealed(facts)
                && excluded.length == LibBit.popCount(unavailable)
        ) {
            hash = mergedHash(CommitmentLib.updatesStart(taskId, round), unavailable, participants, excluded, opened);
        }
        if (hash != facts.updatesHash) revert IVolquorum.UpdatesMismatch(taskId, round, hash, facts.updatesHash);
    }

    /// @dev Steps as `CommitmentLib.updatesHash` does. Bits that do not belong there give another hash.
    function mergedHash(
        bytes32 hash,
        uint256 unavailable,
        address[] calldata participants,
        IVolquorum.Update[] calldata excluded,
        Opened memory opened
    ) private pure returns (bytes32 merged) {
        bytes32[] memory roots = opened.roots;
        uint256[] memory squaredNorms = opened.squaredNorms;
        assembly ("memory-safe") {
            let step := mload(0x40)
            let participant := participants.offset
            let other := excluded.offset
            mstore(step, hash)
            let end := add(participants.length, excluded.length)
            for { let count := 1 } iszero(gt(count, end)) { count := add(count, 1) } {
                switch and(unavailable, 1)
                case 0 {
                    roots := add(roots, 32)
                    squaredNorms := add(squaredNorms, 32)
                    mstore(add(step, 32), calldataload(participant))
                    mstore(add(step, 64), mload(roots))
                    mstore(add(step, 96), mload(squaredNorms))
                    participant := add(participant, 32)
                }
                default {
                    calldatacopy(add(step, 32), other, 96)
                    other := add(other, 96)
                }
                mstore(step, or(and(keccak256(step, 128), not(0xff)), count))
                unavailable := shr(1, unavailable)
            }
            merged := mload(step)
        }
    }

    /// @dev Does to the opened rows what the task does before its rule takes their ranks.
    function prepare(
        Task storage task,
        IVolquorum.RoundState storage facts,
        Opened memory opened,
        bytes calldata evidence
    ) private view {
        Lanes.Rows memory rows = opened.rows;
        (IVolquorum.Rule rule, uint256 tolerance) = (task.rule, task.tolerance);
        if (task.preSteps & ChoiceLib.ARC != 0) {
            MixLib.clip(rows, ChoiceLib.clipFactors(opened.squaredNorms, tolerance));
        }
        bytes calldata choice = EvidenceLib.choiceIn(task, facts, evidence);
        if (choice.length == 0) return;
        if (ChoiceLib.weighs(rule)) {
            (uint256[] memory weights, uint256 divisor) = WeightLib.decoded(choice);
            opened.rows = rows.averaged(weights, divisor);
        } else {
            opened.rows = MixLib.mixed(rows, choice, ChoiceLib.membersOf(rule, rows.count, tolerance));
        }
    }

    function chunkHolds(
        Task storage task,
        bytes32 aggregateRoot,
        uint32 chunk,
        bytes calldata openings,
        Opened memory opened
    ) private view returns (bool) {
        SumTree.Shape memory shape = opened.shape;
        uint256 count = opened.roots.length;
        bytes calldata published = openings[openings.length - SumTree.pathBytes(shape):];
        checkPath(count, chunk, published, aggregateRoot, shape);
        RuleLib.Terms memory terms = RuleLib.Terms(task.rule, task.tolerance, task.clipNorm);
        return isLeaf(published, chunk, opened.rows.combined(terms, opened.squaredNorms), shape);
    }

    // ------------------------------------------------------------------------------------------------------ models

    /// @dev Base plus aggregate in the first `count` coordinates, where in memory they begin, and whether each sum is
    /// an int32. The word before them is free.
    function sums(bytes calldata base, bytes calldata aggregate, uint256 count)
        private
        pure
        returns (uint256 start, bool fits)
    {
        assembly ("memory-safe") {
            start := add(mload(0x40), 32)
            let end := add(start, shl(2, count))
            mstore(0x40, add(end, 32))
            let excess := 0
            let addend := aggregate.offset
            let augend := base.offset
            for { let p := start } lt(p, end) { p := add(p, 4) } {
                let sum := signextend(3, shr(224, calldataload(augend)))
                sum := add(sum, signextend(1, shr(240, calldataload(addend))))
                excess := or(excess, xor(sum, signextend(3, sum)))
                mstore(p, shl(224, sum))
                augend := add(augend, 4)
                addend := add(addend, 2)
            }
            fits := iszero(excess)
        }
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev Whether a path begins with the leaf of the chunk that begins at `start` in memory.
    function isLeaf(bytes calldata path, uint256 chunk, uint256 start, SumTree.Shape memory shape)
        private
        pure
        returns (bool)
    {
        (bytes32 hash, uint256 sum) = SumTree.leafAt(chunk, start, SumTree.chunkBytes(shape), shape.widthBytes);
        (bytes32 published, uint256 publishedSum) = SumTree.node(path);
        return hash == published && sum == publishedSum;
    }

    function shapeOf(Task storage task, uint256 widthBytes, uint32 chunk)
        private
        view
        returns (SumTree.Shape memory shape)
    {
        shape = task.shapeOf(widthBytes);
        uint256 chunks = SumTree.chunkCount(shape);
        if (chunk >= chunks) revert IVolquorum.UnknownChunk(chunk, chunks);
    }

    function checkOpening(uint256 index, uint32 chunk, bytes calldata opening, bytes32 root, SumTree.Shape memory shape)
        private
        pure
    {
        if (!SumTree.opens(chunk, opening, root, shape)) revert IVolquorum.BadOpening(index);
    }

    function checkPath(uint256 index, uint32 chunk, bytes calldata path, bytes32 root, SumTree.Shape memory shape)
        private
        pure
    {
        if (!SumTree.leads(chunk, path, root, shape)) revert IVolquorum.BadOpening(index);
    }
}
