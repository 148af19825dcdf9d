// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {SumTree} from "./SumTree.sol";

/// @notice The parts in which a vector is put on chain, and whether one of them belongs to a root.
/// @dev A part is the greatest complete subtree whose chunks fit into `MAX_PART_BYTES`. Invariant: a root under which
/// all parts were posted is the root of exactly the vector in them. So every hash and sum above the parts is
/// recomputed, and nothing but padding is believed behind the last chunk.
library PostLib {
    // A quarter of the 128 KiB that nodes pass on: about 1.3 million gas a part, and up to 2.5 in the shortest chunks.
    uint256 internal constant MAX_PART_BYTES = 32_768;

    /// @notice How many parts a vector has.
    function partCount(SumTree.Shape memory shape) internal pure returns (uint256) {
        return ((SumTree.chunkCount(shape) - 1) >> partDepth(shape)) + 1;
    }

    /// @notice Reverts unless the bytes are that part of the vector that has this root: its chunks one after another,
    /// and the siblings of the part's own node from its level upward.
    function checkPart(
        SumTree.Shape memory shape,
        uint256 part,
        bytes calldata chunks,
        bytes calldata siblings,
        bytes32 root
    ) internal pure {
        uint256 levels = partDepth(shape);
        uint256 total = SumTree.chunkCount(shape);
        if (part > (total - 1) >> levels) revert IVolquorum.BadPart(part);
        uint256 count = total - (part << levels);
        if (count >> levels != 0) count = 1 << levels;
        SumTree.checkLength(chunks, count * SumTree.chunkBytes(shape));
        SumTree.checkLength(siblings, (SumTree.depth(shape) - levels) * SumTree.NODE_BYTES);

        (bytes32 top, uint256 sum) = foldPart(shape, part << levels, chunks, levels);
        (top, sum) = SumTree.climb(part, top, sum, siblings);
        if (
            !endsInZeros(shape, (part << levels) + count - 1, chunks)
                || !endsInPadding((total - 1) >> levels, part, siblings, paddingAt(levels)) || !SumTree.bounded(sum)
                || SumTree.root(shape.dimension, sum, top) != root
        ) revert IVolquorum.BadPart(part);
    }

    /// @dev Levels from the leaves up to a part's own node.
    function partDepth(SumTree.Shape memory shape) private pure returns (uint256 levels) {
        uint256 most = SumTree.depth(shape);
        uint256 width = 2 * SumTree.chunkBytes(shape);
        while (levels < most && width << levels <= MAX_PART_BYTES) ++levels;
    }

    /// @dev The node above consecutive chunks, of which `first` is the number of the first and which padding completes.
    function foldPart(SumTree.Shape memory shape, uint256 first, bytes calldata chunks, uint256 levels)
        private
        pure
        returns (bytes32 hash, uint256 sum)
    {
        uint256 nodes = leaves(shape, first, chunks);
        uint256 count = chunks.length / SumTree.chunkBytes(shape);
        bytes32 tag = SumTree.NODE_TAG;
        // Nodes are pairs of words, hash and sum; each level is folded into the place of the one below. Padding has no
        // sum, and from the first level up the hash of two paddings.
        assembly ("memory-safe") {
            let free := mload(0x40)
            let padding := 0
            for {} levels { levels := sub(levels, 1) } {
                let end := add(nodes, shl(6, count))
                if and(count, 1) {
                    mstore(end, padding)
                    mstore(add(end, 32), 0)
                }
                let to := nodes
                for { let p := nodes } lt(p, end) { p := add(p, 128) } {
                    let leftSum := mload(add(p, 32))
                    let rightSum := mload(add(p, 96))
                    mstore(free, mload(p))
                    mstore(add(free, 32), mload(add(p, 64)))
                    mstore(add(free, 64), or(tag, or(shl(64, leftSum), rightSum)))
                    mstore(to, keccak256(free, 96))
                    mstore(add(to, 32), add(leftSum, rightSum))
                    to := add(to, 64)
                }
                mstore(free, padding)
                mstore(add(free, 32), padding)
                mstore(add(free, 64), tag)
                padding := keccak256(free, 96)
                count := shr(1, add(count, 1))
            }
            hash := mload(nodes)
            sum := mload(add(nodes, 32))
        }
    }

    /// @dev Where in memory the chunks' leaves are, with room behind for one more.
    function leaves(SumTree.Shape memory shape, uint256 first, bytes calldata chunks)
        private
        pure
        returns (uint256 nodes)
    {
        uint256 width = SumTree.chunkBytes(shape);
        uint256 count = chunks.length / width;
        assembly ("memory-safe") {
            nodes := mload(0x40)
            mstore(0x40, add(nodes, shl(6, add(count, 1))))
        }
        uint256 start = SumTree.unused();
        for (uint256 index = 0; index < count; ++index) {
            SumTree.copy(chunks, index * width, start, width);
            (bytes32 hash, uint256 sum) = SumTree.leafAt(first + index, start, width, shape.widthBytes);
            assembly ("memory-safe") {
                let to := add(nodes, shl(6, index))
                mstore(to, hash)
                mstore(add(to, 32), sum)
            }
        }
    }

    /// @dev Whether the last of the chunks, the vector's `last`, holds only zeros behind the vector's end.
    function endsInZeros(SumTree.Shape memory shape, uint256 last, bytes calldata chunks) private pure returns (bool) {
        return SumTree.padded(last, chunks[chunks.length - SumTree.chunkBytes(shape):], shape);
    }

    /// @dev Whether each sibling behind the last part is padding. `index` and `last` are numbers of nodes of a level.
    function endsInPadding(uint256 last, uint256 index, bytes calldata siblings, bytes32 padding)
        private
        pure
        returns (bool)
    {
        for (uint256 offset = 0; offset < siblings.length; offset += SumTree.NODE_BYTES) {
            (bytes32 hash, uint256 sum) = SumTree.node(siblings[offset:]);
            // slither-disable-next-line incorrect-exp -- the sibling's number, no power
            if ((index ^ 1) > last && (hash != padding || sum != 0)) return false;
            padding = SumTree.parent(padding, 0, padding, 0);
            last >>= 1;
            index >>= 1;
        }
        return true;
    }

    /// @dev The hash of padding this many levels above the leaves.
    function paddingAt(uint256 levels) private pure returns (bytes32 padding) {
        for (; levels > 0; --levels) {
            padding = SumTree.parent(padding, 0, padding, 0);
        }
    }
}
