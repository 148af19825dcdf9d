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

    // A hash and a sum of 64 bits.
    uint256 internal constant SIBLING_BYTES = 40;

    // 0x8000 in each of a word's sixteen lanes of 16 bits, and the lowest lane of each of its four lanes of 64 bits.
    uint256 private constant BIAS = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant LANES = 0x000000000000ffff000000000000ffff000000000000ffff000000000000ffff;
    // The lower lane of each of its eight lanes of 32 bits, and one in each of them.
    uint256 private constant EVEN = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;

    /// @notice What fixes a tree's shape.
    struct Shape {
        uint256 dimension;
        uint256 chunkLength;
        uint256 widthBytes;
    }

    function root(uint256 dimension, uint256 squaredNorm, bytes32 top) internal pure returns (bytes32) {
        return EfficientHashLib.hash(tagged(ROOT_TAG, dimension, squaredNorm), top);
    }

    /// @notice Whether an opening, of any length and for any index, proves its chunk under a root.
    function verify(uint256 index, bytes calldata opening, bytes32 expectedRoot, Shape memory shape)
        internal
        pure
        returns (bool)
    {
        return index < chunkCount(shape) && opening.length == openingBytes(shape) && padded(index, opening, shape)
            && opens(index, opening, expectedRoot, shape);
    }

    /// @notice Whether an opening of the right length, for an index that exists, leads to a root; whatever its padding.
    function opens(uint256 index, bytes calldata opening, bytes32 expectedRoot, Shape memory shape)
        internal
        pure
        returns (bool)
    {
        (bytes32 top, uint256 sum, bool bounded) = walk(index, opening, shape);
        return bounded && root(shape.dimension, sum, top) == expectedRoot;
    }

    /// @notice Whether an opening's chunk holds nothing but zeros behind the vector's end.
    function padded(uint256 index, bytes calldata opening, Shape memory shape) internal pure returns (bool) {
        uint256 rest = shape.dimension - index * shape.chunkLength;
        return rest >= shape.chunkLength || zeroFrom(opening[:chunkBytes(shape)], rest * shape.widthBytes);
    }

    /// @notice Length of an opening: the chunk's big-endian integers, then, from the leaf upward, each sibling's hash
    /// and the sum below it.
    function openingBytes(Shape memory shape) internal pure returns (uint256) {
        return chunkBytes(shape) + SIBLING_BYTES * depth(shape);
    }

    function chunkBytes(Shape memory shape) internal pure returns (uint256) {
        return shape.chunkLength * shape.widthBytes;
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
                products := add(products, mul(and(word, LANES), and(back, LANES)))
                products := add(products, mul(and(shr(16, word), LANES), and(shr(16, back), LANES)))
                products := add(products, mul(and(shr(32, word), LANES), and(shr(32, back), LANES)))
                products := add(products, mul(and(shr(48, word), LANES), and(shr(48, back), LANES)))
                biased := add(biased, add(and(word, EVEN), and(shr(16, word), EVEN)))
            }
            sum := add(shr(192, products), shl(29, chunk.length))
            sum := sub(sum, shl(16, shr(224, mul(biased, ONES))))
        }
    }

    function tagged(bytes32 tag, uint256 first, uint256 second) private pure returns (bytes32) {
        return tag | bytes32(first << 64 | second);
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

    /// @dev Invariant: no sum wraps. A liar chooses the siblings' sums, and one that wrapped would hide a large norm. The
    /// largest honest sum is 2^62, of 2^32 coordinates of at most 2^15 each; from 2^63 on none is believed. In 256 bits
    /// the sum only grows, so that it is looked at once.
    function walk(uint256 index, bytes calldata opening, Shape memory shape)
        private
        pure
        returns (bytes32 hash, uint256 sum, bool bounded)
    {
        bytes calldata chunk = opening[:chunkBytes(shape)];
        hash = leafHash(shape.widthBytes, index, chunk);
        if (shape.widthBytes == INT16_BYTES) sum = squares(chunk);
        bytes32 tag = NODE_TAG;
        assembly ("memory-safe") {
            let node := mload(0x40)
            let end := add(opening.offset, opening.length)
            for { let p := add(chunk.offset, chunk.length) } lt(p, end) { p := add(p, SIBLING_BYTES) } {
                let otherSum := shr(192, calldataload(add(p, 32)))
                // A left child is one with an even index. Places are in bytes here, in bits below.
                let place := shl(5, and(index, 1))
                mstore(add(node, place), hash)
                mstore(add(node, sub(32, place)), calldataload(p))
                place := shl(1, place)
                mstore(add(node, 64), or(tag, or(shl(sub(64, place), sum), shl(place, otherSum))))
                hash := keccak256(node, 96)
                sum := add(sum, otherSum)
                index := shr(1, index)
            }
            bounded := iszero(shr(63, sum))
        }
    }
}
