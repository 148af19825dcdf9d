// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

/// @notice Merkle sum trees over the chunks of a vector: a root commits to every coordinate and to the squared norm.
/// @dev A leaf is bound to its index and to the width of its integers, every node carries the sum of squares below it,
/// and the depth follows from the dimension alone. Trees of int32 (models) carry no norm: their leaves' sums are zero.
library SumTree {
    // Sixteen ASCII bytes each, so that a tag and two numbers of 64 bits fill one word.
    bytes32 internal constant LEAF_TAG = "volquorum.leaf.1";
    bytes32 internal constant NODE_TAG = "volquorum.node.1";
    bytes32 internal constant ROOT_TAG = "volquorum.root.1";

    uint256 internal constant INT16_BYTES = 2;
    uint256 internal constant INT32_BYTES = 4;

    // The largest honest sum is below 2^62: 2^32 coordinates of at most 2^30 each.
    uint256 private constant SUM_LIMIT = 1 << 63;

    // 0x8000 in each of a word's sixteen lanes of 16 bits, and the lowest lane of each of its four lanes of 64 bits.
    uint256 private constant BIAS = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant LANES = 0x000000000000ffff000000000000ffff000000000000ffff000000000000ffff;
    uint256 private constant ONES = 0x0000000000000001000000000000000100000000000000010000000000000001;

    /// @notice What fixes a tree's shape.
    struct Shape {
        uint256 dimension;
        uint256 chunkLength;
        uint256 widthBytes;
    }

    /// @notice A subtree's hash and the sum of squares below it.
    struct Node {
        bytes32 hash;
        uint64 sum;
    }

    /// @notice One chunk, its big-endian integers with their padding, and the way from its leaf upward.
    struct Opening {
        uint256 index;
        bytes chunk;
        Node[] siblings;
    }

    function root(uint256 dimension, uint256 squaredNorm, bytes32 top) internal pure returns (bytes32) {
        return EfficientHashLib.hash(tagged(ROOT_TAG, dimension, squaredNorm), top);
    }

    /// @notice Whether an opening proves its chunk under a root.
    function verify(Opening calldata opening, bytes32 expectedRoot, Shape memory shape) internal pure returns (bool) {
        if (!wellFormed(opening, shape)) return false;
        (bytes32 top, uint256 sum, bool bounded) = walk(opening, shape.widthBytes);
        return bounded && root(shape.dimension, sum, top) == expectedRoot;
    }

    /// @notice Chunks of a vector, the padded last one included.
    function chunkCount(Shape memory shape) internal pure returns (uint256) {
        return (shape.dimension + shape.chunkLength - 1) / shape.chunkLength;
    }

    /// @notice Levels between leaves and top: the least depth that has room for all chunks.
    function depth(Shape memory shape) internal pure returns (uint256 levels) {
        uint256 count = chunkCount(shape);
        while ((1 << levels) < count) ++levels;
    }

    function leafHash(uint256 widthBytes, uint256 index, bytes calldata chunk) internal pure returns (bytes32 hash) {
        bytes32 header = tagged(LEAF_TAG, widthBytes, index);
        assembly ("memory-safe") {
            let leaf := mload(0x40)
            mstore(leaf, header)
            calldatacopy(add(leaf, 32), chunk.offset, chunk.length)
            hash := keccak256(leaf, add(chunk.length, 32))
        }
    }

    function nodeHash(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum) internal pure returns (bytes32) {
        return EfficientHashLib.hash(left, right, tagged(NODE_TAG, leftSum, rightSum));
    }

    /// @notice The sum of squares of a chunk of int16, in whole words.
    /// @dev Four coordinates at a time, each as b = x + 2^15, so that x^2 = b^2 - 2^16 b + 2^30: four lanes times the
    /// same lanes in reverse order hold the sum of the four b^2 in the top lane. No lane carries into the next: one
    /// product adds at most 2^34 to it, and the longest chunk has 2^8 of them.
    function squares(bytes calldata chunk) internal pure returns (uint256 sum) {
        assembly ("memory-safe") {
            let products := 0
            let biased := 0
            let end := add(chunk.offset, chunk.length)
            for { let p := chunk.offset } lt(p, end) { p := add(p, 32) } {
                let word := xor(calldataload(p), BIAS)
                let back := or(shl(128, word), shr(128, word))
                back := or(
                    shl(64, and(back, 0xffffffffffffffff0000000000000000ffffffffffffffff)),
                    and(shr(64, back), 0xffffffffffffffff0000000000000000ffffffffffffffff)
                )
                for { let bit := 0 } lt(bit, 64) { bit := add(bit, 16) } {
                    let lanes := and(shr(bit, word), LANES)
                    products := add(products, mul(lanes, and(shr(bit, back), LANES)))
                    biased := add(biased, lanes)
                }
            }
            sum := add(shr(192, products), shl(29, chunk.length))
            sum := sub(sum, shl(16, shr(192, mul(biased, ONES))))
        }
    }

    function tagged(bytes32 tag, uint256 first, uint256 second) private pure returns (bytes32) {
        return tag | bytes32(first << 64 | second);
    }

    function wellFormed(Opening calldata opening, Shape memory shape) private pure returns (bool) {
        uint256 index = opening.index;
        if (index >= chunkCount(shape)) return false;
        if (opening.chunk.length != shape.chunkLength * shape.widthBytes) return false;
        if (opening.siblings.length != depth(shape)) return false;
        uint256 rest = shape.dimension - index * shape.chunkLength;
        return rest >= shape.chunkLength || zeroFrom(opening.chunk, rest * shape.widthBytes);
    }

    /// @dev Whether the chunk, whole words, holds only zeros from byte `start` on.
    function zeroFrom(bytes calldata chunk, uint256 start) private pure returns (bool zero) {
        assembly ("memory-safe") {
            let end := add(chunk.offset, chunk.length)
            let p := add(chunk.offset, and(start, not(31)))
            let found := shl(shl(3, and(start, 31)), calldataload(p))
            for { p := add(p, 32) } lt(p, end) { p := add(p, 32) } { found := or(found, calldataload(p)) }
            zero := iszero(found)
        }
    }

    /// @dev Invariant: no sum wraps. A liar chooses the siblings' sums, and one that wrapped would hide a large norm.
    function walk(Opening calldata opening, uint256 widthBytes)
        private
        pure
        returns (bytes32 hash, uint256 sum, bool bounded)
    {
        uint256 index = opening.index;
        hash = leafHash(widthBytes, index, opening.chunk);
        if (widthBytes == INT16_BYTES) sum = squares(opening.chunk);
        Node[] calldata siblings = opening.siblings;
        for (uint256 height = 0; height < siblings.length; ++height) {
            bytes32 other = siblings[height].hash;
            uint256 otherSum = siblings[height].sum;
            hash = (index >> height) & 1 == 1
                ? nodeHash(other, otherSum, hash, sum)
                : nodeHash(hash, sum, other, otherSum);
            sum += otherSum;
            if (sum >= SUM_LIMIT) return (0, 0, false);
        }
        bounded = true;
    }
}
