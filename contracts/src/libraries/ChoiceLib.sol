// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {RuleLib} from "./RuleLib.sol";
import {SumTree} from "./SumTree.sol";

/// @notice What rules choose by norms and by distances: how far each row is clipped, which rows are near to which,
/// which of them are best. What is chosen is a mask of eight bytes, whose bit j stands for row j; weights are
/// `WeightLib`'s.
/// @dev Orders are found by the sorting networks of the rules, so that no liar can make a choice dear: what a choice
/// costs depends on the number of rows alone. Ties go to the earlier row, for keys end in its number.
library ChoiceLib {
    // Of a mask, and of a weight.
    uint256 internal constant CHOICE_BYTES = 8;

    // Bits of `preSteps`.
    uint256 internal constant ARC = 1;
    uint256 internal constant NNM = 2;

    // There are at most 64 rows.
    uint256 private constant ROW_BITS = 6;

    /// @notice Whether a task chooses by distance.
    function byDistance(IVolquorum.Rule rule, uint256 preSteps) internal pure returns (bool) {
        return preSteps & NNM != 0 || choosesBest(rule) || weighs(rule);
    }

    /// @notice Whether a rule's choice is a single mask, of the best rows.
    function choosesBest(IVolquorum.Rule rule) internal pure returns (bool) {
        return rule == IVolquorum.Rule.MultiKrum || rule == IVolquorum.Rule.Krum;
    }

    /// @notice Whether a rule's choice is a weight for each row, and what their sum is divided by.
    function weighs(IVolquorum.Rule rule) internal pure returns (bool) {
        return rule == IVolquorum.Rule.GeometricMedian || rule == IVolquorum.Rule.FLTrust;
    }

    /// @notice How many masks or weights a choice among so many rows has, what is divided by included.
    function lengthOf(IVolquorum.Rule rule, uint256 count) internal pure returns (uint256) {
        if (choosesBest(rule)) return 1;
        return weighs(rule) ? count + 1 : count;
    }

    /// @notice How many rows each mask of a choice has.
    function membersOf(IVolquorum.Rule rule, uint256 count, uint256 tolerance) internal pure returns (uint256) {
        return rule == IVolquorum.Rule.Krum ? 1 : count - tolerance;
    }

    // ----------------------------------------------------------------------------------------------------- clipping

    /// @notice The factors of adaptive robust clipping: the floor(2 f (n - f) / n) longest rows are scaled to the norm
    /// of the next one. Source: Allouah et al., Adaptive Gradient Clipping for Robust Federated Learning, 2024.
    /// @dev Invariant: norms are below 2^63, and `tolerance` is below half their number.
    function clipFactors(uint256[] memory squaredNorms, uint256 tolerance)
        internal
        pure
        returns (uint256[] memory factors)
    {
        uint256 count = squaredNorms.length;
        factors = new uint256[](count);
        for (uint256 row = 0; row < count; ++row) {
            factors[row] = squaredNorms[row];
        }
        uint256 rank = count - 1 - 2 * tolerance * (count - tolerance) / count;
        order(startOf(factors), count, rank, rank + 1);
        uint256 limit = factors[rank];
        for (uint256 row = 0; row < count; ++row) {
            uint256 squaredNorm = squaredNorms[row];
            factors[row] = squaredNorm > limit ? FixedPointMathLib.sqrt((limit << 60) / squaredNorm) : RuleLib.ONE;
        }
    }

    // ----------------------------------------------------------------------------------------------------- distances

    /// @notice For each row the mask of the n - f rows nearest to it, itself included, by the nodes of all pairs of a
    /// table. Source: Allouah et al., Fixing by Mixing, 2023.
    function neighbours(bytes calldata nodes, uint256 count, uint256 tolerance)
        internal
        pure
        returns (bytes memory masks)
    {
        uint256 members = count - tolerance;
        masks = new bytes(count * CHOICE_BYTES);
        uint256[] memory squares = squaresOf(nodes, count);
        uint256 keys = startOf(new uint256[](count));
        (uint256 comparators, uint256 kept) = RuleLib.network(count, 0, members);
        for (uint256 row = 0; row < count; ++row) {
            distancesFrom(keys, nodes, squares, row);
            exchange(keys, comparators, kept);
            store(masks, row, maskOf(keys, members));
        }
    }

    /// @notice The mask of the `members` rows whose sum of squared distances to the n - f - 2 nearest others is least.
    /// Source: Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, 2017.
    /// @dev Invariant: n >= 2 f + 3.
    function best(bytes calldata nodes, uint256 count, uint256 tolerance, uint256 members)
        internal
        pure
        returns (bytes memory mask)
    {
        uint256 end = count - tolerance - 1;
        uint256[] memory squares = squaresOf(nodes, count);
        uint256 keys = startOf(new uint256[](count));
        uint256[] memory scores = new uint256[](count);
        // Nothing is nearer to a row than itself, so its own zero comes first.
        (uint256 comparators, uint256 kept) = RuleLib.network(count, 1, end);
        for (uint256 row = 0; row < count; ++row) {
            distancesFrom(keys, nodes, squares, row);
            exchange(keys, comparators, kept);
            scores[row] = scoreOf(keys, end) << ROW_BITS | row;
        }
        keys = startOf(scores);
        order(keys, count, 0, members);
        mask = new bytes(CHOICE_BYTES);
        store(mask, 0, maskOf(keys, members));
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev The entries of the Gram matrix's diagonal.
    function squaresOf(bytes calldata nodes, uint256 count) internal pure returns (uint256[] memory squares) {
        squares = new uint256[](count);
        uint256 pair = 0;
        for (uint256 row = 0; row < count; ++row) {
            // slither-disable-next-line unused-return -- a square is the sum alone
            (, squares[row]) = SumTree.node(nodes[pair * SumTree.NODE_BYTES:]);
            pair += count - row;
        }
    }

    /// @dev Writes the key of each row as seen from one: the squared distance, then the row's number. In a table that a
    /// liar made a distance may be negative, and the key wraps; then one of its products is wrong.
    function distancesFrom(uint256 keys, bytes calldata nodes, uint256[] memory squares, uint256 row) private pure {
        uint256 from = startOf(squares);
        uint256 count = squares.length;
        assembly ("memory-safe") {
            let square := mload(add(from, shl(5, row)))
            // A word that ends with the sum. In an earlier row this one's pair lies as much farther left as that row
            // has fewer pairs; its own follow each other.
            let p := add(add(nodes.offset, 8), mul(row, 40))
            for { let other := 0 } lt(other, count) { other := add(other, 1) } {
                let product := signextend(7, calldataload(p))
                let distance := sub(add(square, mload(add(from, shl(5, other)))), shl(1, product))
                mstore(add(keys, shl(5, other)), or(shl(ROW_BITS, distance), other))
                switch lt(other, row)
                case 1 { p := add(p, mul(40, sub(sub(count, other), 1))) }
                default { p := add(p, 40) }
            }
        }
    }

    /// @dev Brings the ranks from `first` to before `end` into these places, in any order among themselves.
    function order(uint256 keys, uint256 count, uint256 first, uint256 end) private pure {
        (uint256 comparators, uint256 kept) = RuleLib.network(count, first, end);
        exchange(keys, comparators, kept);
    }

    /// @dev `Lanes.exchange` for rows of one number of 256 bits.
    function exchange(uint256 keys, uint256 comparators, uint256 count) internal pure {
        assembly ("memory-safe") {
            for { let last := add(comparators, shl(5, count)) } lt(comparators, last) {
                comparators := add(comparators, 32)
            } {
                let pair := mload(comparators)
                let p := add(keys, shl(5, shr(128, pair)))
                let q := add(keys, shl(5, shr(128, shl(128, pair))))
                let a := mload(p)
                let b := mload(q)
                if gt(a, b) {
                    mstore(p, b)
                    mstore(q, a)
                }
            }
        }
    }

    /// @dev The rows of the first `members` keys.
    // slither-disable-next-line incorrect-shift -- one, by so many bits
    function maskOf(uint256 keys, uint256 members) private pure returns (uint256 mask) {
        assembly ("memory-safe") {
            for { let end := add(keys, shl(5, members)) } lt(keys, end) { keys := add(keys, 32) } {
                mask := or(mask, shl(and(mload(keys), 63), 1))
            }
        }
    }

    /// @dev The sum of the distances in the keys from the second to before `end`.
    function scoreOf(uint256 keys, uint256 end) private pure returns (uint256 score) {
        assembly ("memory-safe") {
            let last := add(keys, shl(5, end))
            for { let p := add(keys, 32) } lt(p, last) { p := add(p, 32) } {
                score := add(score, shr(ROW_BITS, mload(p)))
            }
        }
    }

    /// @dev Writes a mask or a weight.
    function store(bytes memory choice, uint256 place, uint256 chosen) internal pure {
        assembly ("memory-safe") {
            let p := add(add(choice, 32), shl(3, place))
            mstore(p, or(shl(192, chosen), shr(64, shl(64, mload(p)))))
        }
    }

    function startOf(uint256[] memory words) internal pure returns (uint256 start) {
        assembly ("memory-safe") {
            start := add(words, 32)
        }
    }

    function keyAt(uint256 keys, uint256 rank) internal pure returns (uint256 key) {
        assembly ("memory-safe") {
            key := mload(add(keys, shl(5, rank)))
        }
    }
}
