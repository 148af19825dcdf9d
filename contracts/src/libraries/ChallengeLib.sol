// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {Lanes} from "./Lanes.sol";
import {RuleLib} from "./RuleLib.sol";
import {SumTree} from "./SumTree.sol";
import {Task} from "./TaskLib.sol";

/// @notice Whether one chunk of a published result is right, judged from the openings that a challenger sends.
/// @dev Their layout is written on `IVolquorum.challengeAggregate`. All openings of one width have the same length, so
/// they are cut by number.
library ChallengeLib {
    using RuleLib for Lanes.Rows;

    /// @notice Whether the published aggregate's chunk is what the task's rule makes of the updates' chunks.
    /// @dev The caller has checked that `updates` are the revealed ones.
    function aggregateHolds(
        Task storage task,
        bytes32 aggregateRoot,
        IVolquorum.Update[] calldata updates,
        uint32 chunk,
        bytes calldata openings
    ) internal view returns (bool) {
        (Lanes.Rows memory rows, bytes calldata published) = opened(task, aggregateRoot, updates, chunk, openings);
        return rows.holds(published, RuleLib.Terms(task.rule, task.tolerance, task.clipNorm), updates);
    }

    /// @dev The updates' chunks, and the aggregate's with its siblings behind.
    function opened(
        Task storage task,
        bytes32 aggregateRoot,
        IVolquorum.Update[] calldata updates,
        uint32 chunk,
        bytes calldata openings
    ) private view returns (Lanes.Rows memory rows, bytes calldata published) {
        SumTree.Shape memory shape = shapeOf(task, SumTree.INT16_BYTES, chunk);
        uint256 length = SumTree.openingBytes(shape);
        checkLength(openings, (updates.length + 1) * length);
        checkUpdates(updates, chunk, openings, length, shape);
        published = openings[updates.length * length:];
        checkOpening(updates.length, chunk, published, aggregateRoot, shape);
        rows = Lanes.load(openings, length, updates.length, SumTree.chunkBytes(shape));
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
        checkLength(openings, aggregateEnd + baseEnd);
        if (!SumTree.padded(chunk, openings[:baseEnd], models)) revert IVolquorum.BadOpening(0);
        checkOpening(0, chunk, openings[:baseEnd], task.modelRoot, models);
        checkOpening(1, chunk, openings[baseEnd:aggregateEnd], facts.aggregateRoot, updates);
        checkOpening(2, chunk, openings[aggregateEnd:], facts.modelRoot, models);
        return sumsAre(openings, openings[baseEnd:], openings[aggregateEnd:], models.chunkLength);
    }

    function checkUpdates(
        IVolquorum.Update[] calldata updates,
        uint32 chunk,
        bytes calldata openings,
        uint256 length,
        SumTree.Shape memory shape
    ) private pure {
        for (uint256 index = 0; index < updates.length; ++index) {
            bytes calldata opening = openings[index * length:(index + 1) * length];
            if (!SumTree.padded(chunk, opening, shape)) revert IVolquorum.BadOpening(index);
            checkOpening(index, chunk, opening, updates[index].updateRoot, shape);
        }
    }

    /// @dev Whether model = base + aggregate in the first `count` coordinates. In 256 bits, so a sum that an int32 cannot
    /// hold differs from every int32 that may stand in the model.
    function sumsAre(bytes calldata base, bytes calldata aggregate, bytes calldata model, uint256 count)
        private
        pure
        returns (bool same)
    {
        assembly ("memory-safe") {
            let difference := 0
            for { let index := 0 } lt(index, count) { index := add(index, 1) } {
                let wide := shl(2, index)
                let sum := signextend(3, shr(224, calldataload(add(base.offset, wide))))
                sum := add(sum, signextend(1, shr(240, calldataload(add(aggregate.offset, shl(1, index))))))
                let found := signextend(3, shr(224, calldataload(add(model.offset, wide))))
                difference := or(difference, xor(sum, found))
            }
            same := iszero(difference)
        }
    }

    function shapeOf(Task storage task, uint256 widthBytes, uint32 chunk)
        private
        view
        returns (SumTree.Shape memory shape)
    {
        shape = SumTree.Shape(task.dimension, task.chunkLength, widthBytes);
        uint256 chunks = SumTree.chunkCount(shape);
        if (chunk >= chunks) revert IVolquorum.UnknownChunk(chunk, chunks);
    }

    function checkLength(bytes calldata openings, uint256 requiredBytes) private pure {
        if (openings.length != requiredBytes) revert IVolquorum.WrongLength(openings.length, requiredBytes);
    }

    function checkOpening(uint256 index, uint32 chunk, bytes calldata opening, bytes32 root, SumTree.Shape memory shape)
        private
        pure
    {
        if (!SumTree.opens(chunk, opening, root, shape)) revert IVolquorum.BadOpening(index);
    }
}
