// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {PlainWeights} from "./PlainWeights.sol";

/// @notice The rules as their definitions say them, with a sort and a division for each coordinate.
library PlainRules {
    function aggregate(int256[][] memory values, uint64[] memory norms, RuleLib.Terms memory terms)
        internal
        pure
        returns (int256[] memory result)
    {
        if (terms.rule == IVolquorum.Rule.CenteredClipping) {
            uint256[] memory shares = PlainWeights.clipped(norms, terms.clipNorm);
            return PlainWeights.averaged(values, shares, 2 ** 30)[0];
        }
        result = new int256[](values[0].length);
        for (uint256 column = 0; column < result.length; ++column) {
            int256[] memory sorted = new int256[](values.length);
            for (uint256 row = 0; row < values.length; ++row) {
                int256 value = values[row][column];
                if (terms.rule == IVolquorum.Rule.ClippedMean) value = clipped(value, norms[row], terms.clipNorm);
                uint256 place = row;
                for (; place > 0 && sorted[place - 1] > value; --place) {
                    sorted[place] = sorted[place - 1];
                }
                sorted[place] = value;
            }
            result[column] = meanOf(sorted, terms);
        }
    }

    function squaredNorms(int256[][] memory values) internal pure returns (uint64[] memory norms) {
        norms = new uint64[](values.length);
        for (uint256 row = 0; row < values.length; ++row) {
            for (uint256 column = 0; column < values[row].length; ++column) {
                norms[row] += uint64(uint256(values[row][column] * values[row][column]));
            }
        }
    }

    /// @notice Big-endian integers in two's complement.
    function packed(int256[] memory row, uint256 widthBytes) internal pure returns (bytes memory all) {
        all = new bytes(row.length * widthBytes);
        for (uint256 offset = 0; offset < all.length; ++offset) {
            uint256 byteFromRight = widthBytes - 1 - offset % widthBytes;
            all[offset] = bytes1(uint8(uint256(row[offset / widthBytes]) >> (8 * byteFromRight)));
        }
    }

    function unpacked(bytes memory all, uint256 widthBytes) internal pure returns (int256[] memory row) {
        row = new int256[](all.length / widthBytes);
        for (uint256 index = 0; index < row.length; ++index) {
            uint256 value;
            for (uint256 offset = 0; offset < widthBytes; ++offset) {
                value = value << 8 | uint8(all[index * widthBytes + offset]);
            }
            row[index] = widthBytes == 2 ? int256(int16(uint16(value))) : int256(int32(uint32(value)));
        }
    }

    function meanOf(int256[] memory sorted, RuleLib.Terms memory terms) private pure returns (int256) {
        uint256 first = 0;
        uint256 end = sorted.length;
        if (terms.rule == IVolquorum.Rule.TrimmedMean) (first, end) = (terms.tolerance, end - terms.tolerance);
        if (terms.rule == IVolquorum.Rule.Median) (first, end) = ((end - 1) / 2, end / 2 + 1);
        int256 total;
        for (uint256 rank = first; rank < end; ++rank) {
            total += sorted[rank];
        }
        return floorDivision(total, int256(end - first));
    }

    function clipped(int256 value, uint256 squaredNorm, uint256 clipNorm) private pure returns (int256) {
        if (squaredNorm <= clipNorm * clipNorm) return value;
        return floorDivision(value * int256(clipNorm), int256(leastRoot(squaredNorm)));
    }

    /// @dev The least integer whose square is at least `square`, by halving.
    function leastRoot(uint256 square) private pure returns (uint256 high) {
        uint256 low = 0;
        high = 1 << 32;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (middle * middle >= square) high = middle;
            else low = middle + 1;
        }
    }

    function floorDivision(int256 numerator, int256 denominator) private pure returns (int256 quotient) {
        quotient = numerator / denominator;
        if (numerator % denominator != 0 && numerator < 0) --quotient;
    }
}
