// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {Lanes} from "./Lanes.sol";

/// @notice The aggregation rules, carried out on one chunk of every update. All are the floor of the mean of a range of
/// ranks: Mean and ClippedMean of all, Median of the middle one or two, TrimmedMean of those without the `tolerance`
/// least and greatest. What weighs or chooses updates leaves a single row, whose mean is itself.
library RuleLib {
    using Lanes for Lanes.Rows;

    // A factor of one. Factors and weights are in units of 2^-30, distances in units of 2^-16.
    uint256 internal constant ONE = 1 << 30;
    uint256 internal constant DISTANCE_BITS = 16;

    /// @notice A task's rule and what it depends on beside the updates.
    struct Terms {
        IVolquorum.Rule rule;
        uint256 tolerance;
        uint256 clipNorm;
    }

    /// @notice What a rule makes of one chunk of all updates, given their squared norms: where in memory it begins. The
    /// words before and behind it are free. Changes the rows.
    /// @dev Invariant: tolerance is below half the quorum, hence of the rows, and at least one rank remains.
    function combined(Lanes.Rows memory rows, Terms memory terms, uint256[] memory squaredNorms)
        internal
        pure
        returns (uint256 start)
    {
        if (terms.rule == IVolquorum.Rule.ClippedMean) clip(rows, terms.clipNorm, squaredNorms);
        if (terms.rule == IVolquorum.Rule.CenteredClipping) {
            rows = rows.averaged(shares(terms.clipNorm, squaredNorms), ONE);
        }
        (uint256 first, uint256 end) = ranks(rows.count, terms);
        (uint256 comparators, uint256 count) = network(rows.count, first, end);
        rows.exchange(comparators, count);
        return rows.floorMean(first, end);
    }

    /// @notice The ranks, from the first to before the end, whose mean the rule takes.
    function ranks(uint256 count, Terms memory terms) internal pure returns (uint256 first, uint256 end) {
        if (terms.rule == IVolquorum.Rule.Median) return ((count - 1) / 2, count / 2 + 1);
        if (terms.rule == IVolquorum.Rule.TrimmedMean) return (terms.tolerance, count - terms.tolerance);
        return (0, count);
    }

    /// @notice Scales each row whose norm exceeds `clipNorm` down to it: by clipNorm / s, with s the least integer
    /// whose square is at least the row's squared norm.
    function clip(Lanes.Rows memory rows, uint256 clipNorm, uint256[] memory squaredNorms) internal pure {
        for (uint256 row = 0; row < squaredNorms.length; ++row) {
            uint256 squaredNorm = squaredNorms[row];
            if (squaredNorm <= clipNorm * clipNorm) continue;
            rows.scale(row, clipNorm, 1 + FixedPointMathLib.sqrt(squaredNorm - 1));
        }
    }

    /// @notice The shares of the rows in one step of centered clipping from zero, which leaves the rest to zero. Source:
    /// Karimireddy et al., Learning from History for Byzantine Robust Optimization, 2021.
    /// @dev Invariant: norms are below 2^63.
    function shares(uint256 clipNorm, uint256[] memory squaredNorms) internal pure returns (uint256[] memory found) {
        uint256 count = squaredNorms.length;
        found = new uint256[](count);
        for (uint256 row = 0; row < count; ++row) {
            uint256 radius = FixedPointMathLib.max(1, FixedPointMathLib.sqrt(squaredNorms[row] << 2 * DISTANCE_BITS));
            found[row] = FixedPointMathLib.min(ONE, clipNorm * (ONE << DISTANCE_BITS) / radius) / count;
        }
    }

    /// @notice The comparators of Batcher's network for `count` rows which bring the ranks from `first` to before `end`
    /// into the rows of these numbers, in any order among themselves. Where in memory they are, and how many.
    /// @dev Pass (p, q) compares rows x and x + q of the same block of 2p, where x runs over every other stretch of q,
    /// counted from row q, or from row 0 if q = p. If all ranks are wanted, nothing is left of it. Passes are walked
    /// from the last to the first, and the list is filled from its end: a comparator is left out if what it orders
    /// stays on one side of both bounds. Each row starts with the side that its rank is on; behind a comparator that is
    /// needed, either value may go to either side, so its rows get marks that no other row has. Source: Batcher,
    /// Sorting Networks and Their Applications, 1968.
    function network(uint256 count, uint256 first, uint256 end)
        internal
        pure
        returns (uint256 comparators, uint256 kept)
    {
        uint256 highest = 1;
        uint256 passes = 1;
        for (uint256 level = 2; 2 * highest < count; ++level) {
            highest *= 2;
            passes += level;
        }
        assembly ("memory-safe") {
            let marks := mload(0x40)
            for { let row := 0 } lt(row, count) { row := add(row, 1) } {
                mstore(add(marks, shl(5, row)), add(iszero(lt(row, first)), iszero(lt(row, end))))
            }
            // A pass compares each row at most once, so with at most count / 2 comparators.
            let last := add(marks, shl(5, add(count, shr(1, mul(count, passes)))))
            mstore(0x40, last)
            comparators := last
            for { let p := highest } p { p := shr(1, p) } {
                for { let q := 1 } iszero(gt(q, p)) { q := shl(1, q) } {
                    let x := and(q, sub(p, 1))
                    for { let y := add(x, q) } lt(y, count) { y := add(x, q) } {
                        let markOfX := add(marks, shl(5, x))
                        let markOfY := add(marks, shl(5, y))
                        if iszero(or(eq(mload(markOfX), mload(markOfY)), iszero(lt(xor(x, y), shl(1, p))))) {
                            mstore(markOfX, add(x, 3))
                            mstore(markOfY, add(y, 3))
                            comparators := sub(comparators, 32)
                            mstore(comparators, or(shl(128, x), y))
                        }
                        // Behind a stretch of q rows comes one of rows that are compared already.
                        x := add(x, 1)
                        if iszero(and(sub(x, and(q, sub(p, 1))), q)) { continue }
                        x := add(x, q)
                    }
                }
            }
            kept := shr(5, sub(last, comparators))
        }
    }
}
