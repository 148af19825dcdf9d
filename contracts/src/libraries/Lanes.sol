// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Arithmetic on sixteen int16 coordinates of a word at once.
/// @dev A row is one update's chunk in memory, each coordinate x biased to x + 2^15: an unsigned lane of 16 bits whose
/// order is that of x. No operation lets one lane carry into or borrow from the next; why not is said at each.
library Lanes {
    // The highest bit of each lane, which is the bias too, and the other fifteen.
    uint256 private constant HIGH = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant LOW = 0x7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff7fff;
    // Every other lane, with room to grow to 32 bits; every other one of those, with room to grow to 64; its lowest 16
    // bits; and one of 64 bits.
    uint256 private constant EVEN = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant WIDE = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant WIDER = 0x000000000000ffff000000000000ffff000000000000ffff000000000000ffff;
    uint256 private constant LANE = 0xffffffffffffffff;

    /// @notice Rows of `width` bytes in memory, each behind a free word and with room for the next multiple of four
    /// words: `start` is the first row's place, `stride` leads from one to the next.
    struct Rows {
        uint256 start;
        uint256 count;
        uint256 width;
        uint256 stride;
    }

    /// @notice Room for rows of whole words.
    function room(uint256 count, uint256 width) internal pure returns (Rows memory rows) {
        uint256 stride = 32 + ((width + 127) & ~uint256(127));
        uint256 start;
        assembly ("memory-safe") {
            start := add(mload(0x40), 32)
            mstore(0x40, add(start, mul(count, stride)))
        }
        rows = Rows(start, count, width, stride);
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
    // One word after the other would be shorter, and dearer in every challenge.
    // solhint-disable-next-line function-max-lines
    function exchange(Rows memory rows, uint256 comparators, uint256 count) internal pure {
        uint256 start = rows.start;
        uint256 stride = rows.stride;
        assembly ("memory-safe") {
            // On the stack, as in `SumTree.squares`.
            let high := HIGH
            let low := LOW
            for { let last := add(comparators, shl(5, count)) } lt(comparators, last) {
                comparators := add(comparators, 32)
            } {
                let p := mload(comparators)
                let q := add(start, mul(stride, shr(128, shl(128, p))))
                p := add(start, mul(stride, shr(128, p)))
                for { let end := add(p, sub(stride, 32)) } lt(p, end) { p := add(p, 128) } {
                    {
                        let a := mload(p)
                        let b := mload(q)
                        let differ := xor(a, b)
                        let reach := sub(or(a, high), and(b, low))
                        let swap := and(mul(shr(15, and(xor(and(xor(a, reach), differ), reach), high)), 0xffff), differ)
                        mstore(p, xor(a, swap))
                        mstore(q, xor(b, swap))
                    }
                    // The same for the next three words: four a turn cost a sixth less.
                    {
                        let a := mload(add(p, 32))
                        let b := mload(add(q, 32))
                        let differ := xor(a, b)
                        let reach := sub(or(a, high), and(b, low))
                        let swap := and(mul(shr(15, and(xor(and(xor(a, reach), differ), reach), high)), 0xffff), differ)
                        mstore(add(p, 32), xor(a, swap))
                        mstore(add(q, 32), xor(b, swap))
                    }
                    {
                        let a := mload(add(p, 64))
                        let b := mload(add(q, 64))
                        let differ := xor(a, b)
                        let reach := sub(or(a, high), and(b, low))
                        let swap := and(mul(shr(15, and(xor(and(xor(a, reach), differ), reach), high)), 0xffff), differ)
                        mstore(add(p, 64), xor(a, swap))
                        mstore(add(q, 64), xor(b, swap))
                    }
                    {
                        let a := mload(add(p, 96))
                        let b := mload(add(q, 96))
                        let differ := xor(a, b)
                        let reach := sub(or(a, high), and(b, low))
                        let swap := and(mul(shr(15, and(xor(and(xor(a, reach), differ), reach), high)), 0xffff), differ)
                        mstore(add(p, 96), xor(a, swap))
                        mstore(add(q, 96), xor(b, swap))
                    }
                    q := add(q, 128)
                }
            }
        }
    }

    /// @notice The floor of the mean, coordinate by coordinate, of the rows from `first` to before `end`, of which
    /// there are 1 to 64: where in memory it begins, as big-endian int16. The words before and behind it are free.
    /// @dev With m rows and a lane's biased sum T, floor(T / m) is the mean's floor, biased. Division by a product:
    /// with M = floor(2^30 / m) + 1 there is 1 <= e <= m such that m M = 2^30 + e, so T M / 2^30 = T / m + (T e / 2^30)
    /// / m. T e < 2^22 * 2^6 < 2^30, so what is added is less than 1 / m, and a multiple of 1 / m that is no whole
    /// number lies at least 1 / m below the next one: the floor is that of T / m. T M < 2^53 stays inside a lane of 64
    /// bits.
    // Constants fewer on the stack would be shorter, and dearer in every challenge.
    // solhint-disable-next-line function-max-lines
    function floorMean(Rows memory rows, uint256 first, uint256 end) internal pure returns (uint256 start) {
        uint256 stride = rows.stride;
        uint256 count = end - first;
        uint256 top = rows.start + first * stride;
        uint256 columns = rows.width;
        uint256 inverse = (1 << 30) / count + 1;
        assembly ("memory-safe") {
            let evens := EVEN
            let wide := WIDE
            let wider := WIDER
            start := add(mload(0x40), 32)
            mstore(0x40, add(add(start, columns), 32))
            columns := add(start, columns)
            for { let to := start } lt(to, columns) { to := add(to, 32) } {
                // Totals of the even lanes and of the odd ones, two rows a turn after a single one.
                let even := 0
                let odd := 0
                let p := top
                let last := add(p, mul(count, stride))
                if and(count, 1) {
                    even := and(mload(p), evens)
                    odd := and(shr(16, mload(p)), evens)
                    p := add(p, stride)
                }
                for {} lt(p, last) { p := add(p, stride) } {
                    let word := mload(p)
                    p := add(p, stride)
                    let other := mload(p)
                    even := add(add(and(word, evens), and(other, evens)), even)
                    odd := add(add(and(shr(16, word), evens), and(shr(16, other), evens)), odd)
                }
                even := or(
                    and(shr(30, mul(and(even, wide), inverse)), wider),
                    shl(32, and(shr(30, mul(and(shr(32, even), wide), inverse)), wider))
                )
                odd := or(
                    and(shr(30, mul(and(odd, wide), inverse)), wider),
                    shl(32, and(shr(30, mul(and(shr(32, odd), wide), inverse)), wider))
                )
                mstore(to, xor(or(even, shl(16, odd)), HIGH))
                top := add(top, 32)
            }
        }
    }

    /// @notice A single row, floor(sum of w x / divisor) of the rows x and their weights w, held within 16 bits; zero if
    /// the divisor is.
    /// @dev Lanes of 64 bits hold the sums of the biased rows: with at most 64 rows and weights of at most 2^30 they stay
    /// below 2^52. Greater weights are a liar's; then anything may come out, and his choice is wrong.
    function averaged(Rows memory rows, uint256[] memory weights, uint256 divisor)
        internal
        pure
        returns (Rows memory mean)
    {
        mean = room(1, rows.width);
        // How much of the sums is the rows' bias.
        uint256 bias = 0;
        for (uint256 row = 0; row < rows.count; ++row) {
            bias += weights[row] << 15;
        }
        if (divisor == 0) (weights, bias, divisor) = (new uint256[](rows.count), 0, 1);
        for (uint256 column = 0; column < rows.width; column += 32) {
            average(rows, column, weights, bias, divisor, mean.start + column);
        }
    }

    /// @dev Writes one word of the mean.
    function average(
        Rows memory rows,
        uint256 column,
        uint256[] memory weights,
        uint256 bias,
        uint256 divisor,
        uint256 to
    ) private pure {
        uint256 p = rows.start + column;
        uint256 stride = rows.stride;
        uint256 height = rows.count * stride;
        assembly ("memory-safe") {
            // Biased again; what is below -2^15 becomes that, what is beyond 2^15 - 1 too.
            function divided(sums, less, by) -> means {
                for { let bit := 0 } lt(bit, 256) { bit := add(bit, 64) } {
                    let sum := add(and(shr(bit, sums), LANE), shl(15, by))
                    let lane := div(mul(gt(sum, less), sub(sum, less)), by)
                    means := or(means, shl(bit, and(or(lane, sub(0, gt(lane, 0xffff))), 0xffff)))
                }
            }
            // On the stack, as in `SumTree.squares`.
            let wider := WIDER
            let lowest := 0
            let low := 0
            let high := 0
            let highest := 0
            let q := add(weights, 32)
            for { let last := add(p, height) } lt(p, last) { p := add(p, stride) } {
                let word := mload(p)
                let weight := mload(q)
                lowest := add(lowest, mul(and(word, wider), weight))
                low := add(low, mul(and(shr(16, word), wider), weight))
                high := add(high, mul(and(shr(32, word), wider), weight))
                highest := add(highest, mul(and(shr(48, word), wider), weight))
                q := add(q, 32)
            }
            lowest := or(divided(lowest, bias, divisor), shl(16, divided(low, bias, divisor)))
            highest := or(shl(32, divided(high, bias, divisor)), shl(48, divided(highest, bias, divisor)))
            mstore(to, or(lowest, highest))
        }
    }
}
