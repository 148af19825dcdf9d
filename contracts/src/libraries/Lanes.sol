// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Arithmetic on sixteen int16 coordinates of a word at once.
/// @dev A row is one update's chunk in memory, each coordinate x biased to x + 2^15: an unsigned lane of 16 bits whose
/// order is that of x. No operation lets one lane carry into or borrow from the next; why not is said at each.
library Lanes {
    // The highest bit of each lane, which is the bias too, and the other fifteen.
    uint256 private constant HIGH = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant LOW = 0x7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff;
    // Every other lane, with room to grow to 32 bits; and one in each such wide lane, and the highest bit of each.
    uint256 private constant EVEN = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant GUARD = 0x8000000080000000800000008000000080000000800000008000000080000000;

    /// @notice Rows of `width` bytes in memory, each followed by a word more if that makes it an even number of words.
    struct Rows {
        uint256 start;
        uint256 count;
        uint256 width;
        uint256 stride;
    }

    /// @notice Copies the first `width` bytes, whole words, of each of `count` openings.
    function load(bytes calldata openings, uint256 openingBytes, uint256 count, uint256 width)
        internal
        pure
        returns (Rows memory rows)
    {
        rows.count = count;
        rows.width = width;
        uint256 stride = (width + 63) & ~uint256(63);
        rows.stride = stride;
        uint256 start;
        assembly ("memory-safe") {
            start := mload(0x40)
            let p := start
            let from := openings.offset
            let last := add(start, mul(count, stride))
            for {} lt(p, last) { p := add(p, stride) } {
                calldatacopy(p, from, width)
                for { let q := p } lt(q, add(p, width)) { q := add(q, 32) } { mstore(q, xor(mload(q), HIGH)) }
                from := add(from, openingBytes)
            }
            mstore(0x40, last)
        }
        rows.start = start;
    }

    /// @notice Replaces each x of a row by floor(x * numerator / denominator), with numerator <= denominator.
    /// @dev For b = x + 2^15 and a numerator c over a denominator s, (b c + 2^15 (s - c)) / s rounded down is
    /// floor(x c / s) + 2^15, biased again; it is not negative, and below 2^16 because c <= s.
    function scale(Rows memory rows, uint256 row, uint256 numerator, uint256 denominator) internal pure {
        uint256 start = rows.start + row * rows.stride;
        uint256 end = start + rows.width;
        uint256 shift = (denominator - numerator) << 15;
        assembly ("memory-safe") {
            for { let p := start } lt(p, end) { p := add(p, 32) } {
                let word := mload(p)
                let scaled := 0
                for { let bit := 0 } lt(bit, 256) { bit := add(bit, 16) } {
                    let lane := and(shr(bit, word), 0xffff)
                    scaled := or(scaled, shl(bit, div(add(mul(lane, numerator), shift), denominator)))
                }
                mstore(p, scaled)
            }
        }
    }

    /// @notice Runs comparators in order, each leaving lane by lane the lesser value in its first row and the greater
    /// in its second. A comparator is a word in memory: number of the first row << 128 | number of the second.
    /// @dev `reach` has in its high bits whether the low 15 bits of a are at least those of b; it cannot borrow, for
    /// a's high bits are set and b's are not. Where the high bits of a and b differ, a's own decides instead. Each high
    /// bit then widens to its whole lane, by which both rows swap what must be swapped.
    function exchange(Rows memory rows, uint256 comparators, uint256 count) internal pure {
        uint256 start = rows.start;
        uint256 stride = rows.stride;
        assembly ("memory-safe") {
            for { let last := add(comparators, shl(5, count)) } lt(comparators, last) {
                comparators := add(comparators, 32)
            } {
                let pair := mload(comparators)
                let p := add(start, mul(stride, shr(128, pair)))
                let q := add(start, mul(stride, and(pair, 0xffffffffffffffffffffffffffffffff)))
                let offset := sub(q, p)
                for { let end := add(p, stride) } lt(p, end) { p := add(p, 64) } {
                    {
                        q := add(p, offset)
                        let a := mload(p)
                        let b := mload(q)
                        let differ := xor(a, b)
                        let reach := sub(or(a, HIGH), and(b, LOW))
                        let high := and(xor(reach, and(differ, xor(a, reach))), HIGH)
                        let swap := and(differ, mul(shr(15, high), 0xffff))
                        mstore(p, xor(a, swap))
                        mstore(q, xor(b, swap))
                    }
                    // The same for the next word: two a turn cost a tenth less.
                    {
                        q := add(p, 32)
                        let a := mload(q)
                        let b := mload(add(q, offset))
                        let differ := xor(a, b)
                        let reach := sub(or(a, HIGH), and(b, LOW))
                        let high := and(xor(reach, and(differ, xor(a, reach))), HIGH)
                        let swap := and(differ, mul(shr(15, high), 0xffff))
                        mstore(q, xor(a, swap))
                        mstore(add(q, offset), xor(b, swap))
                    }
                }
            }
        }
    }

    /// @notice Whether a chunk is, coordinate by coordinate, the floor of the mean of the rows from `first` to before
    /// `end`.
    /// @dev With m rows, their biased sum T and the chunk's biased A, that is 0 <= T - A m < m, which needs no division.
    /// All of it in wide lanes: T, A m and A m + m - 1 stay below 2^31 for m up to 2^15, so that subtracting one from
    /// the other with its guard bit set keeps that bit exactly where the difference is not negative.
    function floorMeanIs(Rows memory rows, uint256 first, uint256 end, bytes calldata chunk)
        internal
        pure
        returns (bool same)
    {
        uint256 width = rows.width;
        uint256 stride = rows.stride;
        uint256 top = rows.start + first * stride;
        uint256 m = end - first;
        assembly ("memory-safe") {
            function misses(total, claimed, rowCount) -> missed {
                let least := mul(claimed, rowCount)
                let most := add(least, mul(sub(rowCount, 1), ONES))
                missed := not(and(sub(or(total, GUARD), least), sub(or(most, GUARD), total)))
            }
            let missed := 0
            for { let column := 0 } lt(column, width) { column := add(column, 32) } {
                let even := 0
                let odd := 0
                let p := add(top, column)
                for { let last := add(p, mul(m, stride)) } lt(p, last) { p := add(p, stride) } {
                    let word := mload(p)
                    even := add(even, and(word, EVEN))
                    odd := add(odd, and(shr(16, word), EVEN))
                }
                let claimed := xor(calldataload(add(chunk.offset, column)), HIGH)
                missed := or(missed, misses(even, and(claimed, EVEN), m))
                missed := or(missed, misses(odd, and(shr(16, claimed), EVEN), m))
            }
            same := iszero(and(missed, GUARD))
        }
    }
}
