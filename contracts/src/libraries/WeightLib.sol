// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {ChoiceLib} from "./ChoiceLib.sol";
import {GramLib} from "./GramLib.sol";
import {RuleLib} from "./RuleLib.sol";
import {SumTree} from "./SumTree.sol";

/// @notice What rules choose that weigh rows by distances or by agreement: eight bytes for the weight of each, at most
/// 2^30, then eight for what the weighted sum is divided by.
/// @dev In a table that a liar made anything may come out; then one of its products is wrong.
library WeightLib {
    // Trust is in units of 2^-24.
    uint256 private constant TRUST_BITS = 24;

    // Of the geometric median: its steps, and what part of the median distance a row keeps at least, as a shift.
    uint256 private constant STEPS = 32;
    uint256 private constant NEAR_BITS = 10;

    uint256 private constant SUM = 0xffffffffffffffff;
    uint256 private constant SIGN = 1 << 63;
    uint256 private constant HALF = 0xffffffffffffffffffffffffffffffff;

    /// @notice A choice's weights and its divisor.
    function decoded(bytes calldata choice) internal pure returns (uint256[] memory weights, uint256 divisor) {
        uint256 count = choice.length / ChoiceLib.CHOICE_BYTES - 1;
        weights = new uint256[](count);
        for (uint256 row = 0; row < count; ++row) {
            weights[row] = numberAt(choice, row);
        }
        divisor = numberAt(choice, count);
    }

    function numberAt(bytes calldata choice, uint256 place) private pure returns (uint256) {
        return uint64(bytes8(choice[place * ChoiceLib.CHOICE_BYTES:]));
    }

    // ------------------------------------------------------------------------------------------------ by agreement

    /// @notice What FLTrust gives to each row for its agreement with the trusted one, whose own weight is zero; zeros
    /// if there is no row of that number. Source: Cao et al., FLTrust, 2021.
    function trusting(bytes calldata nodes, uint256 count, uint256 trusted)
        internal
        pure
        returns (bytes memory weights)
    {
        weights = new bytes((count + 1) * ChoiceLib.CHOICE_BYTES);
        if (trusted >= count) return weights;
        uint256[] memory squares = ChoiceLib.squaresOf(nodes, count);
        uint256 divisor = 0;
        for (uint256 row = 0; row < count; ++row) {
            if (row == trusted) continue;
            uint256 weight = agreement(productOf(nodes, count, row, trusted), squares[row]);
            if (weight == 0) continue;
            ChoiceLib.store(weights, row, weight);
            // Rounded up, so that no rounding makes the result longer than the trusted row.
            uint256 square = FixedPointMathLib.divUp(weight * weight * squares[row], squares[trusted]);
            divisor += 1 + FixedPointMathLib.sqrt(square - 1);
        }
        ChoiceLib.store(weights, count, divisor);
    }

    function agreement(int256 product, uint256 square) private pure returns (uint256) {
        if (product <= 0 || square == 0) return 0;
        return FixedPointMathLib.min(RuleLib.ONE, (uint256(product) << TRUST_BITS) / square);
    }

    function productOf(bytes calldata nodes, uint256 count, uint256 row, uint256 other) private pure returns (int256) {
        (uint256 first, uint256 second) = row < other ? (row, other) : (other, row);
        // slither-disable-next-line unused-return -- a product is the sum alone
        (, uint256 sum) = SumTree.node(nodes[GramLib.pairOf(count, first, second) * SumTree.NODE_BYTES:]);
        return int64(uint64(sum));
    }

    // ------------------------------------------------------------------------------------------------- by distance

    /// @notice The weights of the smoothed geometric median, whose sum they are divided by. Source: Weiszfeld, Sur le
    /// point pour lequel la somme des distances de n points donnés est minimum, 1937; Pillutla et al., Robust
    /// Aggregation for Federated Learning, 2022.
    /// @dev From equal weights on, a step makes each weight the inverse of the row's distance from the mean by the
    /// weights before, or of 2^-10 of the (lower) median of these distances if that is more; the greatest is one.
    function median(bytes calldata nodes, uint256 count) internal pure returns (bytes memory encoded) {
        uint256[] memory squares = ChoiceLib.squaresOf(nodes, count);
        uint256[] memory table = byTwos(nodes, count);
        // What is behind the last row in a table of fours stays zero.
        uint256[] memory weights = new uint256[](columnsOf(count));
        for (uint256 row = 0; row < count; ++row) {
            weights[row] = 1;
        }
        uint256[] memory distances = new uint256[](count);
        uint256 keys = ChoiceLib.startOf(new uint256[](count));
        uint256 rank = (count - 1) / 2;
        (uint256 comparators, uint256 kept) = RuleLib.network(count, rank, rank + 1);
        for (uint256 step = 0; step < STEPS; ++step) {
            measure(distances, table, squares, weights);
            copy(distances, keys);
            ChoiceLib.exchange(keys, comparators, kept);
            reweigh(weights, distances, ChoiceLib.keyAt(keys, rank) >> NEAR_BITS);
        }
        encoded = encode(weights, count);
    }

    function columnsOf(uint256 count) private pure returns (uint256) {
        return (count + 3) & ~uint256(3);
    }

    /// @dev The Gram matrix, its entries biased to G + 2^63 and two rows a word, the even one in the upper half; each
    /// row's words up to a multiple of four.
    function byTwos(bytes calldata nodes, uint256 count) private pure returns (uint256[] memory table) {
        uint256 columns = columnsOf(count);
        // slither-disable-next-line divide-before-multiply -- pairs of rows are whole
        table = new uint256[]((count + 1) / 2 * columns);
        assembly ("memory-safe") {
            let start := add(table, 32)
            let stride := shl(5, columns)
            // A word that ends with the sum.
            let p := add(nodes.offset, 8)
            for { let row := 0 } lt(row, count) { row := add(row, 1) } {
                let along := add(start, mul(shr(1, row), stride))
                let half := shl(7, iszero(and(row, 1)))
                for { let other := row } lt(other, count) { other := add(other, 1) } {
                    let entry := xor(and(calldataload(p), SUM), SIGN)
                    let place := add(along, shl(5, other))
                    mstore(place, or(mload(place), shl(half, entry)))
                    place := add(add(start, mul(shr(1, other), stride)), shl(5, row))
                    mstore(place, or(mload(place), shl(shl(7, iszero(and(other, 1))), entry)))
                    p := add(p, 40)
                }
            }
        }
    }

    /// @dev The distance of each row from the rows' mean z by these weights, rounded down. With W the weights' sum,
    /// |W (x - z)|^2 follows from the matrix without a division. Invariant: nothing overflows in a right table, whose
    /// entries are below 2^55; the greatest term is below 2^129.
    function measure(
        uint256[] memory distances,
        uint256[] memory table,
        uint256[] memory squares,
        uint256[] memory weights
    ) private pure {
        uint256 count = distances.length;
        uint256 total = sumOf(weights);
        uint256[] memory towards = multiplied(table, weights);
        unchecked {
            uint256 own = 0;
            for (uint256 row = 0; row < count; ++row) {
                // Two's complement from here on: what is added up at the end is no less than zero.
                towards[row] -= total * SIGN;
                own += weights[row] * towards[row];
            }
            for (uint256 row = 0; row < count; ++row) {
                uint256 square = total * (total * squares[row] - 2 * towards[row]) + own;
                distances[row] = FixedPointMathLib.sqrt((square << 2 * RuleLib.DISTANCE_BITS) / (total * total));
            }
        }
    }

    /// @dev The biased matrix times the weights: for row i the sum of w_j (G_ij + 2^63). Invariant: the lower of two
    /// rows never carries into the upper one, whatever the table: 64 terms below 2^94.
    function multiplied(uint256[] memory table, uint256[] memory weights)
        private
        pure
        returns (uint256[] memory towards)
    {
        uint256 columns = weights.length;
        towards = new uint256[](2 * table.length / columns);
        assembly ("memory-safe") {
            let p := add(table, 32)
            let first := add(weights, 32)
            let last := add(first, shl(5, columns))
            let to := add(towards, 32)
            for { let end := add(to, shl(5, mload(towards))) } lt(to, end) { to := add(to, 64) } {
                let sums := 0
                for { let q := first } lt(q, last) { q := add(q, 128) } {
                    let two := add(mul(mload(p), mload(q)), mul(mload(add(p, 32)), mload(add(q, 32))))
                    sums := add(sums, two)
                    two := add(mul(mload(add(p, 64)), mload(add(q, 64))), mul(mload(add(p, 96)), mload(add(q, 96))))
                    sums := add(sums, two)
                    p := add(p, 128)
                }
                mstore(to, shr(128, sums))
                mstore(add(to, 32), and(sums, HALF))
            }
        }
    }

    function reweigh(uint256[] memory weights, uint256[] memory distances, uint256 least) private pure {
        least = FixedPointMathLib.max(1, least);
        uint256 nearest = type(uint256).max;
        for (uint256 row = 0; row < distances.length; ++row) {
            nearest = FixedPointMathLib.min(nearest, distances[row]);
        }
        uint256 whole = FixedPointMathLib.max(nearest, least) * RuleLib.ONE;
        for (uint256 row = 0; row < distances.length; ++row) {
            weights[row] = whole / FixedPointMathLib.max(distances[row], least);
        }
    }

    function sumOf(uint256[] memory weights) private pure returns (uint256 sum) {
        for (uint256 row = 0; row < weights.length; ++row) {
            sum += weights[row];
        }
    }

    function copy(uint256[] memory words, uint256 start) private pure {
        assembly ("memory-safe") {
            mcopy(start, add(words, 32), shl(5, mload(words)))
        }
    }

    function encode(uint256[] memory weights, uint256 count) private pure returns (bytes memory encoded) {
        encoded = new bytes((count + 1) * ChoiceLib.CHOICE_BYTES);
        for (uint256 row = 0; row < count; ++row) {
            ChoiceLib.store(encoded, row, weights[row]);
        }
        ChoiceLib.store(encoded, count, sumOf(weights));
    }
}
