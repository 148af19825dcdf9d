// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";

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

    // A node: a hash and a sum of 64 bits. A record: the sum that its parent records for a node, and its sibling.
    uint256 internal constant NODE_BYTES = 40;
    uint256 internal constant RECORD_BYTES = 48;

    // 0x8000 in each of a word's sixteen lanes of 16 bits; the lowest of these, and what is just beyond it, in each of
    // its four lanes of 64 bits; and every other one of those.
    uint256 private constant BIAS = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant LANES = 0x000000000000ffff000000000000ffff000000000000ffff000000000000ffff;
    uint256 private constant BEYOND = 0x0000000000010000000000000001000000000000000100000000000000010000;
    uint256 private constant LOWER = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;

    /// @notice What fixes a tree's shape.
    struct Shape {
        uint256 dimension;
        uint256 chunkLength;
        uint256 widthBytes;
    }

    function root(uint256 dimension, uint256 squaredNorm, bytes32 top) internal pure returns (bytes32) {
        return EfficientHashLib.hash(tagged(ROOT_TAG, dimension, squaredNorm), top);
    }

    /// @notice Whether a total is one that walks believe.
    /// @dev Invariant: no sum wraps. A liar chooses the siblings' sums, and one that wrapped would hide a large norm.
    /// The largest honest sum is 2^62, of 2^32 coordinates of at most 2^15 each; from 2^63 on none is believed. On a
    /// walk a sum is kept in 256 bits and only grows, so that it is looked at once, at the top.
    function bounded(uint256 sum) internal pure returns (bool) {
        return sum >> 63 == 0;
    }

    /// @notice The root that an opening of the right length, for an index that exists, leads to, and the squared norm
    /// in it; whatever its padding. Its chunk is copied to `start` in memory and left as `leafAt` leaves it.
    function rootOf(uint256 index, bytes calldata opening, Shape memory shape, uint256 start)
        internal
        pure
        returns (bytes32 found, uint256 sum)
    {
        bytes32 top;
        uint256 width = chunkBytes(shape);
        copy(opening, 0, start, width);
        (top, sum) = leafAt(index, start, width, shape.widthBytes);
        (top, sum) = climb(index, top, sum, opening[width:]);
        found = root(shape.dimension, sum, top);
    }

    /// @notice Whether an opening of the right length, for an index that exists, leads to a root; whatever its padding.
    function opens(uint256 index, bytes calldata opening, bytes32 expectedRoot, Shape memory shape)
        internal
        pure
        returns (bool)
    {
        (bytes32 found, uint256 sum) = rootOf(index, opening, shape, unused());
        return bounded(sum) && found == expectedRoot;
    }

    /// @notice Whether a path of the right length, for an index that exists, leads to a root.
    function leads(uint256 index, bytes calldata path, bytes32 expectedRoot, Shape memory shape)
        internal
        pure
        returns (bool)
    {
        (bytes32 top, uint256 sum) = node(path);
        (top, sum) = climb(index, top, sum, path[NODE_BYTES:]);
        return bounded(sum) && root(shape.dimension, sum, top) == expectedRoot;
    }

    /// @notice The root that a recorded opening of the right length, for an index that exists, leads to, and whether
    /// one of the sums that it shows on the way is wrong: not the sum of what is below it. `squaredNorm` is the root's
    /// own.
    function rootByRecords(uint256 index, bytes calldata opening, uint256 squaredNorm, Shape memory shape)
        internal
        pure
        returns (bytes32 found, bool wrong)
    {
        uint256 width = chunkBytes(shape);
        uint256 start = unused();
        copy(opening, 0, start, width);
        (bytes32 top, uint256 sum) = leafAt(index, start, width, shape.widthBytes);
        (top, wrong) = climbRecorded(index, top, sum, opening[width:], squaredNorm);
        found = root(shape.dimension, squaredNorm, top);
    }

    /// @notice Whether a chunk reaches behind the vector's end.
    function isShort(uint256 index, Shape memory shape) internal pure returns (bool) {
        return (index + 1) * shape.chunkLength > shape.dimension;
    }

    /// @notice Whether an opening's chunk holds nothing but zeros behind the vector's end.
    function padded(uint256 index, bytes calldata opening, Shape memory shape) internal pure returns (bool) {
        if (!isShort(index, shape)) return true;
        uint256 rest = shape.dimension - index * shape.chunkLength;
        return zeroFrom(opening[:chunkBytes(shape)], rest * shape.widthBytes);
    }

    /// @notice Length of an opening: the chunk's big-endian integers, then, from the leaf upward, each sibling's hash
    /// and the sum below it.
    function openingBytes(Shape memory shape) internal pure returns (uint256) {
        return chunkBytes(shape) + NODE_BYTES * depth(shape);
    }

    /// @notice Length of a recorded opening: at each sibling, before it, stands the sum that the parent records for the
    /// node itself.
    function recordedBytes(Shape memory shape) internal pure returns (uint256) {
        return chunkBytes(shape) + RECORD_BYTES * depth(shape);
    }

    /// @notice Length of a path: an opening with the leaf's own hash and sum in place of the chunk.
    function pathBytes(Shape memory shape) internal pure returns (uint256) {
        return NODE_BYTES * (1 + depth(shape));
    }

    function chunkBytes(Shape memory shape) internal pure returns (uint256) {
        return shape.chunkLength * shape.widthBytes;
    }

    /// @notice Chunks of a vector, the padded last one included.
    function chunkCount(Shape memory shape) internal pure returns (uint256) {
        return (shape.dimension + shape.chunkLength - 1) / shape.chunkLength;
    }

    /// @notice Levels between leaves and top: the least depth that has room for all chunks.
    function depth(Shape memory shape) internal pure returns (uint256) {
        uint256 last = chunkCount(shape) - 1;
        return last == 0 ? 0 : LibBit.fls(last) + 1;
    }

    /// @notice The hash and the sum of a leaf whose chunk, whole words, lies in memory. Overwrites the word before it;
    /// an update's coordinates, and the word behind them, it leaves as `squares` does.
    function leafAt(uint256 index, uint256 start, uint256 length, uint256 widthBytes)
        internal
        pure
        returns (bytes32 hash, uint256 sum)
    {
        bytes32 header = tagged(LEAF_TAG, widthBytes, index);
        assembly ("memory-safe") {
            mstore(sub(start, 32), header)
            hash := keccak256(sub(start, 32), add(length, 32))
        }
        if (widthBytes == INT16_BYTES) sum = squares(start, length);
    }

    /// @notice Copies `length` bytes to memory, from byte `offset` on.
    function copy(bytes calldata from, uint256 offset, uint256 start, uint256 length) internal pure {
        assembly ("memory-safe") {
            calldatacopy(start, add(from.offset, offset), length)
        }
    }

    /// @notice Where in memory a chunk may be put that is used only until memory is allocated again.
    function unused() internal pure returns (uint256 start) {
        assembly ("memory-safe") {
            start := add(mload(0x40), 32)
        }
    }

    /// @notice The hash and the sum of a node that calldata begins with.
    function node(bytes calldata packed) internal pure returns (bytes32 hash, uint256 sum) {
        assembly ("memory-safe") {
            hash := calldataload(packed.offset)
            sum := shr(192, calldataload(add(packed.offset, 32)))
        }
    }

    /// @notice The node above two others. The sums are below 2^64.
    function parent(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum)
        internal
        pure
        returns (bytes32 hash)
    {
        return EfficientHashLib.hash(left, right, tagged(NODE_TAG, leftSum, rightSum));
    }

    /// @notice From a node, the index-th of its level, to the top, past the siblings on the way.
    function climb(uint256 index, bytes32 hash, uint256 sum, bytes calldata siblings)
        internal
        pure
        returns (bytes32 top, uint256 total)
    {
        bytes32 tag = NODE_TAG;
        // A node fills the scratch space and the word behind it, which gets its content back.
        assembly ("memory-safe") {
            let free := mload(0x40)
            let end := add(siblings.offset, siblings.length)
            for { let p := siblings.offset } lt(p, end) { p := add(p, NODE_BYTES) } {
                let otherSum := shr(192, calldataload(add(p, 32)))
                switch and(index, 1)
                case 0 {
                    mstore(0x00, hash)
                    mstore(0x20, calldataload(p))
                    mstore(0x40, or(tag, or(shl(64, sum), otherSum)))
                }
                default {
                    mstore(0x00, calldataload(p))
                    mstore(0x20, hash)
                    mstore(0x40, or(tag, or(shl(64, otherSum), sum)))
                }
                hash := keccak256(0x00, 0x60)
                sum := add(sum, otherSum)
                index := shr(1, index)
            }
            mstore(0x40, free)
            top := hash
            total := sum
        }
    }

    /// @notice From a leaf to the top by the sums that each parent records, and whether one of them, or the one that
    /// the root records, is wrong.
    /// @dev In 256 bits, so that a sum that wraps differs from what a parent can record.
    function climbRecorded(uint256 index, bytes32 hash, uint256 sum, bytes calldata records, uint256 topSum)
        internal
        pure
        returns (bytes32 top, bool wrong)
    {
        bytes32 tag = NODE_TAG;
        uint256 difference = 0;
        assembly ("memory-safe") {
            let free := mload(0x40)
            let end := add(records.offset, records.length)
            for { let p := records.offset } lt(p, end) { p := add(p, RECORD_BYTES) } {
                let recorded := shr(192, calldataload(p))
                let otherSum := shr(192, calldataload(add(p, 40)))
                difference := or(difference, xor(sum, recorded))
                sum := add(recorded, otherSum)
                switch and(index, 1)
                case 0 {
                    mstore(0x00, hash)
                    mstore(0x20, calldataload(add(p, 8)))
                    mstore(0x40, or(tag, or(shl(64, recorded), otherSum)))
                }
                default {
                    mstore(0x00, calldataload(add(p, 8)))
                    mstore(0x20, hash)
                    mstore(0x40, or(tag, or(shl(64, otherSum), recorded)))
                }
                hash := keccak256(0x00, 0x60)
                index := shr(1, index)
            }
            mstore(0x40, free)
            top := hash
        }
        wrong = difference != 0 || sum != topSum;
    }

    /// @notice The sum of squares of a chunk of int16, in whole words, in memory. Leaves each coordinate x as x + 2^15,
    /// and overwrites the word behind the last.
    /// @dev With b = x + 2^15, x^2 = b (b - 2^16) + 2^30. Four b at a time, in lanes of 64 bits, times the same four
    /// less 2^16 in reverse order: as numbers with such digits, some of them negative, their product has the sum of the
    /// four products as its digit at 2^192, and what is above that drops out. The longest chunk adds less than 2^43 to
    /// a digit in all, so the digits below come to less than 2^191 together, and rounding takes them off. Where all b
    /// are zero nothing is added.
    // One word after the other would be shorter, and dearer in every challenge.
    // solhint-disable-next-line function-max-lines
    function squares(uint256 start, uint256 length) internal pure returns (uint256 sum) {
        assembly ("memory-safe") {
            // On the stack, since the compiler would compute constants that it meets so often from smaller ones.
            let lanes := LANES
            let beyond := BEYOND
            let lower := LOWER
            let products := shl(191, 1)
            let end := add(start, length)
            mstore(end, BIAS)
            for { let p := start } lt(p, end) { p := add(p, 32) } {
                let word := xor(mload(p), BIAS)
                mstore(p, word)
                let back := or(shl(128, word), shr(128, word))
                back := or(shl(64, and(back, lower)), and(shr(64, back), lower))
                products := add(
                    add(
                        add(
                            mul(and(word, lanes), sub(and(back, lanes), beyond)),
                            mul(and(shr(16, word), lanes), sub(and(shr(16, back), lanes), beyond))
                        ),
                        add(
                            mul(and(shr(32, word), lanes), sub(and(shr(32, back), lanes), beyond)),
                            mul(and(shr(48, word), lanes), sub(and(shr(48, back), lanes), beyond))
                        )
                    ),
                    products
                )
                // The same for the next word: two a turn cost a tenth less.
                p := add(p, 32)
                word := xor(mload(p), BIAS)
                mstore(p, word)
                back := or(shl(128, word), shr(128, word))
                back := or(shl(64, and(back, lower)), and(shr(64, back), lower))
                products := add(
                    add(
                        add(
                            mul(and(word, lanes), sub(and(back, lanes), beyond)),
                            mul(and(shr(16, word), lanes), sub(and(shr(16, back), lanes), beyond))
                        ),
                        add(
                            mul(and(shr(32, word), lanes), sub(and(shr(32, back), lanes), beyond)),
                            mul(and(shr(48, word), lanes), sub(and(shr(48, back), lanes), beyond))
                        )
                    ),
                    products
                )
            }
            sum := and(add(shr(192, products), shl(29, length)), 0xffffffffffffffff)
        }
    }

    /// @notice Whether a chunk, whole words, holds only zeros from byte `start` on.
    function zeroFrom(bytes calldata chunk, uint256 start) internal pure returns (bool zero) {
        assembly ("memory-safe") {
            let end := add(chunk.offset, chunk.length)
            let p := add(chunk.offset, and(start, not(31)))
            let found := shl(shl(3, and(start, 31)), calldataload(p))
            for { p := add(p, 32) } lt(p, end) { p := add(p, 32) } { found := or(found, calldataload(p)) }
            zero := iszero(found)
        }
    }

    /// @notice Reverts unless bytes that a call carries are as many as their layout asks for.
    function checkLength(bytes calldata given, uint256 requiredBytes) internal pure {
        if (given.length != requiredBytes) revert IVolquorum.WrongLength(given.length, requiredBytes);
    }

    function tagged(bytes32 tag, uint256 first, uint256 second) private pure returns (bytes32) {
        return tag | bytes32(first << 64 | second);
    }
}
