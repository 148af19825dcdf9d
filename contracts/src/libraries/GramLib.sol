// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {Lanes} from "./Lanes.sol";
import {SumTree} from "./SumTree.sol";

/// @notice The table behind a choice by distance: a Merkle sum tree over the inner products of all pairs of rows, chunk
/// by chunk, whose node above a pair carries the pair's entry of the Gram matrix.
/// @dev Pairs (i, j) with i <= j are numbered row by row. A pair has 2^D leaves, D the depth of an update's tree, one
/// for each chunk; what is left of them, and of the pairs up to a power of two, is padding of zeros. A leaf has no hash
/// and its product as its sum. Sums are two's complement in 64 bits, added modulo 2^64. Invariant: no sum of right
/// products leaves 64 bits; one is below 2^39, and a table has at most 2^16 of them.
library GramLib {
    // Sixteen ASCII bytes each, so that a tag and two numbers of 64 bits fill one word.
    bytes32 internal constant NODE_TAG = "volquorum.gram.1";
    bytes32 internal constant ROOT_TAG = "volquorum.root.2";

    uint256 internal constant LEAF_BYTES = 8;
    // 32,768 bytes, as the parts of vectors have.
    uint256 internal constant MAX_PART_LEVELS = 12;

    uint256 private constant SUM = 0xffffffffffffffff;
    // The lowest 16 bits of each of a word's four lanes of 64 bits; the lower half of each of its eight lanes of 32
    // bits, and one in each of them; every other lane of 64 bits.
    uint256 private constant LANES = 0x000000000000ffff000000000000ffff000000000000ffff000000000000ffff;
    uint256 private constant EVEN = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant LOWER = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;

    /// @notice What fixes a table's shape: how many rows, and how many chunks each of them has.
    struct Shape {
        uint256 rows;
        uint256 chunks;
    }

    // --------------------------------------------------------------------------------------------------- geometry

    function pairCount(uint256 rows) internal pure returns (uint256) {
        return rows * (rows + 1) / 2;
    }

    /// @notice The number of a pair of rows, the earlier one first.
    function pairOf(uint256 rows, uint256 first, uint256 second) internal pure returns (uint256) {
        return first * rows - first * (first + 1) / 2 + second;
    }

    /// @notice Levels below a pair's node, and all levels.
    function levels(Shape memory shape) internal pure returns (uint256 depth, uint256 height) {
        depth = levelsOver(shape.chunks);
        height = depth + levelsOver(pairCount(shape.rows));
    }

    function isPadding(Shape memory shape, uint256 leaf) internal pure returns (bool) {
        uint256 depth = levelsOver(shape.chunks);
        return leaf >> depth >= pairCount(shape.rows) || leaf & ((1 << depth) - 1) >= shape.chunks;
    }

    /// @notice The rows and the chunk that a leaf is of, unless it is padding.
    function placeOf(Shape memory shape, uint256 leaf)
        internal
        pure
        returns (uint256 first, uint256 second, uint256 chunk)
    {
        uint256 depth = levelsOver(shape.chunks);
        chunk = leaf & ((1 << depth) - 1);
        second = leaf >> depth;
        // Row `first` has as many pairs as there are rows from it on.
        while (second >= shape.rows - first) {
            second -= shape.rows - first;
            ++first;
        }
        second += first;
    }

    // --------------------------------------------------------------------------------------------------- products

    /// @notice The inner product of two rows' chunks, which may be the same one.
    /// @dev With a = x + 2^15 and b = y + 2^15 there is x y = a b - 2^15 (a + b) + 2^30. Four lanes times four lanes in
    /// reverse order hold the sum of the four a b in the top lane. No lane carries into the next: one product adds at
    /// most 2^34 to it, and the longest chunk has 2^7 of them.
    function innerProduct(Lanes.Rows memory rows, uint256 first, uint256 second)
        internal
        pure
        returns (int256 product)
    {
        uint256 width = rows.width;
        uint256 p = rows.start + first * rows.stride;
        uint256 offset = rows.start + second * rows.stride;
        assembly ("memory-safe") {
            // On the stack, as in `SumTree.squares`.
            let lanes := LANES
            let even := EVEN
            let lower := LOWER
            let products := 0
            let biased := 0
            offset := sub(offset, p)
            for { let end := add(p, width) } lt(p, end) { p := add(p, 32) } {
                let word := mload(p)
                let other := mload(add(p, offset))
                biased := add(biased, add(and(word, even), and(shr(16, word), even)))
                biased := add(biased, add(and(other, even), and(shr(16, other), even)))
                other := or(shl(128, other), shr(128, other))
                other := or(shl(64, and(other, lower)), and(shr(64, other), lower))
                products := add(products, mul(and(word, lanes), and(other, lanes)))
                products := add(products, mul(and(shr(16, word), lanes), and(shr(16, other), lanes)))
                products := add(products, mul(and(shr(32, word), lanes), and(shr(32, other), lanes)))
                products := add(products, mul(and(shr(48, word), lanes), and(shr(48, other), lanes)))
            }
            product := add(shr(192, products), shl(29, width))
            product := sub(product, shl(15, shr(224, mul(biased, ONES))))
        }
    }

    // ------------------------------------------------------------------------------------------------------ paths

    /// @notice Length of a recorded path: for each level from the leaf upward 8 bytes, the sum that the parent records
    /// for the node on the way, and the sibling's hash and sum; then 8 bytes, the sum that the root records.
    function pathBytes(Shape memory shape) internal pure returns (uint256) {
        (, uint256 height) = levels(shape);
        return SumTree.RECORD_BYTES * height + LEAF_BYTES;
    }

    /// @notice The root that a recorded path leads to, the product that it records for its leaf, and whether the table
    /// is wrong for what the path alone shows: a sum that is not that of what is below it, or padding that is not zero.
    /// Reverts if the path is not as long as it must be, or the table has no such leaf.
    function rootByRecords(Shape memory shape, uint32 leaf, bytes calldata path)
        internal
        pure
        returns (bytes32 found, int256 product, bool wrong)
    {
        SumTree.checkLength(path, pathBytes(shape));
        (, uint256 height) = levels(shape);
        // Invariant: a leaf has one number. With another it would be taken for padding.
        if (leaf >> height != 0) revert IVolquorum.UnknownChunk(leaf, 1 << height);
        uint256 end = path.length - LEAF_BYTES;
        uint256 total = uint64(bytes8(path[end:]));
        // The first sum is the leaf's own, also where the root records it.
        product = int64(uint64(bytes8(path)));
        (bytes32 hash, uint256 sum, uint256 difference) = climbRecorded(leaf, uint64(bytes8(path)), path[:end]);
        found = root(shape, hash, total);
        wrong = difference | (sum ^ total) != 0 || (product != 0 && isPadding(shape, leaf));
    }

    /// @dev From a leaf to the top: its hash, the sum of the sums recorded below it, and the bits in which any sum on
    /// the way is not that of what is below it.
    function climbRecorded(uint256 index, uint256 product, bytes calldata records)
        private
        pure
        returns (bytes32 hash, uint256 sum, uint256 difference)
    {
        sum = product;
        bytes32 tag = NODE_TAG;
        assembly ("memory-safe") {
            let free := mload(0x40)
            for { let p := records.offset } lt(p, add(records.offset, records.length)) { p := add(p, 48) } {
                let recorded := shr(192, calldataload(p))
                let beside := shr(192, calldataload(add(p, 40)))
                difference := or(difference, xor(sum, recorded))
                sum := and(add(recorded, beside), SUM)
                // A left child is one with an even number. Places are in bytes here, in bits below.
                let place := shl(5, and(index, 1))
                mstore(add(free, place), hash)
                mstore(add(free, sub(32, place)), calldataload(add(p, 8)))
                place := shl(1, place)
                mstore(add(free, 64), or(tag, or(shl(sub(64, place), recorded), shl(place, beside))))
                hash := keccak256(free, 96)
                index := shr(1, index)
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------ pairs

    /// @notice The root above the nodes of all pairs, 40 bytes each. Reverts unless there are as many as pairs.
    function rootOfPairs(Shape memory shape, bytes calldata nodes) internal pure returns (bytes32) {
        uint256 count = pairCount(shape.rows);
        SumTree.checkLength(nodes, count * SumTree.NODE_BYTES);
        (uint256 depth, uint256 height) = levels(shape);
        uint256 start;
        assembly ("memory-safe") {
            start := mload(0x40)
            let p := nodes.offset
            let end := add(start, shl(6, count))
            // With room for one more.
            mstore(0x40, add(end, 64))
            for { let q := start } lt(q, end) { q := add(q, 64) } {
                mstore(q, calldataload(p))
                mstore(add(q, 32), shr(192, calldataload(add(p, 32))))
                p := add(p, 40)
            }
        }
        (bytes32 top, uint256 total) = fold(start, count, height - depth, paddingAt(depth));
        return root(shape, top, total);
    }

    // ------------------------------------------------------------------------------------------------------ parts

    /// @notice How many parts a table has: those with a pair in them.
    function partCount(Shape memory shape) internal pure returns (uint256) {
        (uint256 depth, uint256 height) = levels(shape);
        return (((pairCount(shape.rows) << depth) - 1) >> partLevels(height)) + 1;
    }

    /// @notice Reverts unless the bytes are that part of the table that has this root: its leaves one after another,
    /// padding included, and the siblings of the part's own node from its level upward. What is behind the last part is
    /// padding, whatever its siblings say.
    /// @dev Invariant: a root under which all parts were posted is the root of exactly the table in them. So every hash
    /// and sum above the parts is recomputed, and padding is believed nowhere.
    function checkPart(
        Shape memory shape,
        uint256 part,
        bytes calldata leaves,
        bytes calldata siblings,
        bytes32 expectedRoot
    ) internal pure {
        if (part >= partCount(shape)) revert IVolquorum.BadPart(part);
        (, uint256 height) = levels(shape);
        uint256 own = partLevels(height);
        SumTree.checkLength(leaves, LEAF_BYTES << own);
        SumTree.checkLength(siblings, (height - own) * SumTree.NODE_BYTES);
        (bytes32 hash, uint256 sum) = foldLeaves(leaves, own);
        (hash, sum) = climb(part, partCount(shape) - 1, hash, sum, siblings, paddingAt(own));
        if (!padded(shape, part << own, leaves) || root(shape, hash, sum) != expectedRoot) {
            revert IVolquorum.BadPart(part);
        }
    }

    // ------------------------------------------------------------------------------------------------------ steps

    function root(Shape memory shape, bytes32 top, uint256 total) private pure returns (bytes32) {
        return EfficientHashLib.hash(tagged(ROOT_TAG, shape.rows, total), top);
    }

    function parent(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum) private pure returns (bytes32) {
        return EfficientHashLib.hash(left, right, tagged(NODE_TAG, leftSum, rightSum));
    }

    /// @dev From a part's node to the top; `last` is the number of the last part.
    function climb(uint256 index, uint256 last, bytes32 from, uint256 fromSum, bytes calldata siblings, bytes32 padding)
        private
        pure
        returns (bytes32 hash, uint256 sum)
    {
        (hash, sum) = (from, fromSum);
        for (uint256 offset = 0; offset < siblings.length; offset += SumTree.NODE_BYTES) {
            (bytes32 beside, uint256 besideSum) = SumTree.node(siblings[offset:]);
            // slither-disable-next-line incorrect-exp -- the sibling's number, no power
            if ((index ^ 1) > last) (beside, besideSum) = (padding, 0);
            hash = index & 1 == 0 ? parent(hash, sum, beside, besideSum) : parent(beside, besideSum, hash, sum);
            sum = (sum + besideSum) & SUM;
            padding = parent(padding, 0, padding, 0);
            index >>= 1;
            last >>= 1;
        }
    }

    /// @dev The hash of padding this many levels above the leaves.
    function paddingAt(uint256 height) private pure returns (bytes32 padding) {
        for (; height > 0; --height) {
            padding = parent(padding, 0, padding, 0);
        }
    }

    /// @dev The node this many levels above `count` nodes, in memory as two words each, and the padding behind them.
    /// Each level is folded into the place of the one below.
    function fold(uint256 nodes, uint256 count, uint256 height, bytes32 padding)
        private
        pure
        returns (bytes32 hash, uint256 sum)
    {
        bytes32 tag = NODE_TAG;
        assembly ("memory-safe") {
            let free := mload(0x40)
            for {} height { height := sub(height, 1) } {
                let end := add(nodes, shl(6, count))
                if and(count, 1) {
                    mstore(end, padding)
                    mstore(add(end, 32), 0)
                }
                let to := nodes
                for { let p := nodes } lt(p, end) { p := add(p, 128) } {
                    let left := mload(add(p, 32))
                    let right := mload(add(p, 96))
                    mstore(free, mload(p))
                    mstore(add(free, 32), mload(add(p, 64)))
                    mstore(add(free, 64), or(tag, or(shl(64, left), right)))
                    mstore(to, keccak256(free, 96))
                    mstore(add(to, 32), and(add(left, right), SUM))
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

    /// @dev The node this many levels above all the leaves. Leaves have no hash, so the first level is made from
    /// calldata.
    function foldLeaves(bytes calldata leaves, uint256 height) private pure returns (bytes32 hash, uint256 sum) {
        if (height == 0) return (0, uint64(bytes8(leaves)));
        uint256 count = 1 << (height - 1);
        uint256 start;
        bytes32 tag = NODE_TAG;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, 0)
            mstore(add(free, 32), 0)
            start := add(free, 96)
            let end := add(start, shl(6, count))
            let p := leaves.offset
            for { let q := start } lt(q, end) { q := add(q, 64) } {
                let sums := shr(128, calldataload(p))
                mstore(add(free, 64), or(tag, sums))
                mstore(q, keccak256(free, 96))
                mstore(add(q, 32), and(add(shr(64, sums), sums), SUM))
                p := add(p, 16)
            }
            mstore(0x40, add(end, 64))
        }
        return fold(start, count, height - 1, 0);
    }

    /// @dev Whether every leaf that is padding is zero, from the leaf numbered `first` on.
    // slither-disable-next-line incorrect-shift -- one, by so many bits
    function padded(Shape memory shape, uint256 first, bytes calldata leaves) private pure returns (bool zero) {
        uint256 depth = levelsOver(shape.chunks);
        uint256 chunks = shape.chunks;
        uint256 end = pairCount(shape.rows) << depth;
        assembly ("memory-safe") {
            let mask := sub(shl(depth, 1), 1)
            let found := 0
            let index := first
            for { let p := leaves.offset } lt(p, add(leaves.offset, leaves.length)) { p := add(p, 8) } {
                if iszero(and(lt(and(index, mask), chunks), lt(index, end))) { found := or(found, calldataload(p)) }
                index := add(index, 1)
            }
            zero := iszero(shr(192, found))
        }
    }

    function partLevels(uint256 height) private pure returns (uint256) {
        return height < MAX_PART_LEVELS ? height : MAX_PART_LEVELS;
    }

    /// @dev The least height of a tree with this many leaves.
    function levelsOver(uint256 count) private pure returns (uint256) {
        return count == 1 ? 0 : LibBit.fls(count - 1) + 1;
    }

    function tagged(bytes32 tag, uint256 first, uint256 second) private pure returns (bytes32) {
        return tag | bytes32(first << 64 | second);
    }
}
