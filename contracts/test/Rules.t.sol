// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Lanes} from "../src/libraries/Lanes.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {PlainRules} from "./PlainRules.sol";

/// @notice The rules in packed lanes against plain ones, number by number, and against the vectors that Python passes.
contract RulesTest is Test {
    // ----------------------------------------------------------------------------------------------------- vectors

    function testVectorsOfRules() public view {
        string memory json = vm.readFile("tests/vectors/rules.json");
        string[] memory names = vm.parseJsonStringArray(json, ".name");
        bytes[] memory updates = vm.parseJsonBytesArray(json, ".updates");
        bytes[] memory aggregates = vm.parseJsonBytesArray(json, ".aggregate");
        uint256[] memory counts = vm.parseJsonUintArray(json, ".count");
        assertGt(names.length, 0, "no vectors");
        for (uint256 row = 0; row < names.length; ++row) {
            RuleLib.Terms memory terms = RuleLib.Terms(
                IVolquorum.Rule(vm.parseJsonUintArray(json, ".rule")[row]),
                vm.parseJsonUintArray(json, ".tolerance")[row],
                vm.parseJsonUintArray(json, ".clipNorm")[row]
            );
            int256[][] memory values = rowsOf(updates[row], counts[row]);
            int256[] memory aggregate = rowsOf(aggregates[row], 1)[0];
            assertEq(combined(values, PlainRules.squaredNorms(values), terms), packed(one(aggregate)), names[row]);
        }
    }

    // -------------------------------------------------------------------------------------------------------- fuzz

    function testRulesAgreeWithPlainRules(uint256 seed, uint256 count, uint256 tolerance, uint256 rule) public view {
        count = bound(count, 1, 64);
        checkAgainstPlain(
            drawn(seed, count, 16 * (1 + seed % 3)),
            RuleLib.Terms(
                [
                    IVolquorum.Rule.Mean,
                    IVolquorum.Rule.ClippedMean,
                    IVolquorum.Rule.Median,
                    IVolquorum.Rule.TrimmedMean,
                    IVolquorum.Rule.CenteredClipping
                ][rule % 5],
                bound(tolerance, 0, (count - 1) / 2),
                bound(uint256(keccak256(abi.encode(seed, "clip"))), 1, 200_000)
            )
        );
    }

    /// forge-config: default.fuzz.runs = 1
    function testRulesOfEveryCountAgreeWithPlainRules(uint256 seed) public view {
        for (uint256 count = 1; count <= 64; ++count) {
            uint256 tolerance = uint256(keccak256(abi.encode(seed, count))) % ((count + 1) / 2);
            this.checkCount(seed, count, tolerance);
        }
    }

    function checkCount(uint256 seed, uint256 count, uint256 tolerance) external view {
        int256[][] memory values = drawn(seed, count, 16);
        checkAgainstPlain(values, RuleLib.Terms(IVolquorum.Rule.Mean, 0, 0));
        checkAgainstPlain(values, RuleLib.Terms(IVolquorum.Rule.Median, 0, 0));
        checkAgainstPlain(values, RuleLib.Terms(IVolquorum.Rule.TrimmedMean, tolerance, 0));
    }

    /// @dev All rows equal, so that each total is m times a value: the quotient's floor is exact there and just below.
    function testFloorMeanIsExactBesideEveryMultiple(uint256 count, uint256 value) public view {
        count = bound(count, 1, 64);
        int256 biased = int256(bound(value, 0, 65_535));
        int256[][] memory values = new int256[][](count);
        for (uint256 row = 0; row < count; ++row) {
            values[row] = new int256[](16);
            for (uint256 column = 0; column < 16; ++column) {
                values[row][column] = biased - 32_768;
            }
        }
        // One unit more or less in one row, beside lanes that have none.
        if (biased > 0) --values[count - 1][3];
        if (biased < 65_535) ++values[0][4];
        RuleLib.Terms memory terms = RuleLib.Terms(IVolquorum.Rule.Mean, 0, 0);
        checkEqual(values, PlainRules.squaredNorms(values), terms);
    }

    /// @dev Like every network it treats all inputs right that does so with zeros and ones, here in columns of bits.
    function testNetworkOfEveryCountAndToleranceSeparatesZerosFromOnes(uint256 seed) public view {
        uint256 count = bound(seed, 1, 64);
        for (uint256 tolerance = 0; 2 * tolerance < count; ++tolerance) {
            this.checkNetwork(seed, count, tolerance, count - tolerance);
        }
        this.checkNetwork(seed, count, (count - 1) / 2, count / 2 + 1);
    }

    function checkNetwork(uint256 seed, uint256 count, uint256 first, uint256 end) external pure {
        uint256[] memory bits = new uint256[](count);
        for (uint256 row = 0; row < count; ++row) {
            uint256 draw = uint256(keccak256(abi.encode(seed, row)));
            uint256 other = uint256(keccak256(abi.encode(draw)));
            // About a quarter, a half, or three quarters of a column are ones.
            bits[row] = [draw, draw & other, draw | other][(seed >> 8) % 3];
        }
        (uint256 comparators, uint256 kept) = RuleLib.network(count, first, end);
        for (uint256 index = 0; index < kept; ++index) {
            uint256 pair;
            assembly ("memory-safe") {
                pair := mload(add(comparators, shl(5, index)))
            }
            (uint256 low, uint256 high) = (pair >> 128, uint128(pair));
            (bits[low], bits[high]) = (bits[low] & bits[high], bits[low] | bits[high]);
        }
        (uint256 below, uint256 lower, uint256 upper, uint256 above) = (0, 0, type(uint256).max, type(uint256).max);
        for (uint256 row = 0; row < count; ++row) {
            if (row < first) below |= bits[row];
            else upper &= bits[row];
            if (row < end) lower |= bits[row];
            else above &= bits[row];
        }
        assertEq(below & ~upper, 0, "a one below the first rank, a zero above");
        assertEq(~above & lower, 0, "a zero behind the last rank, a one below");
    }

    function testClippingFloorsAtEveryBoundary(uint64 squaredNorm, uint64 clipNorm, int16 value) public view {
        vm.assume(clipNorm != 0);
        int256[][] memory values = new int256[][](1);
        values[0] = new int256[](16);
        values[0][3] = value;
        uint64[] memory norms = new uint64[](1);
        norms[0] = squaredNorm;
        checkEqual(values, norms, RuleLib.Terms(IVolquorum.Rule.ClippedMean, 0, clipNorm));
    }

    function testHalfAnEvenMedianRoundsDown() public view {
        int256[][] memory values = new int256[][](2);
        (values[0], values[1]) = (new int256[](16), new int256[](16));
        (values[0][0], values[1][0]) = (-3, 0);
        int256[] memory expected = new int256[](16);
        expected[0] = -2;
        RuleLib.Terms memory terms = RuleLib.Terms(IVolquorum.Rule.Median, 0, 0);
        assertEq(combined(values, PlainRules.squaredNorms(values), terms), packed(one(expected)));
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function combine(bytes calldata rows, uint256 width, uint64[] calldata squaredNorms, RuleLib.Terms memory terms)
        external
        pure
        returns (bytes memory chunk)
    {
        uint256[] memory norms = new uint256[](squaredNorms.length);
        for (uint256 row = 0; row < norms.length; ++row) {
            norms[row] = squaredNorms[row];
        }
        Lanes.Rows memory lanes = Lanes.room(norms.length, width);
        for (uint256 row = 0; row < norms.length; ++row) {
            SumTree.copy(rows, row * width, lanes.start + row * lanes.stride, width);
            SumTree.squares(lanes.start + row * lanes.stride, width);
        }
        uint256 start = RuleLib.combined(lanes, terms, norms);
        // The word before it is free, for a length too.
        assembly ("memory-safe") {
            chunk := sub(start, 32)
            mstore(chunk, width)
        }
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function checkAgainstPlain(int256[][] memory values, RuleLib.Terms memory terms) private view {
        checkEqual(values, PlainRules.squaredNorms(values), terms);
    }

    function checkEqual(int256[][] memory values, uint64[] memory norms, RuleLib.Terms memory terms) private view {
        assertEq(combined(values, norms, terms), packed(one(PlainRules.aggregate(values, norms, terms))));
    }

    function combined(int256[][] memory values, uint64[] memory norms, RuleLib.Terms memory terms)
        private
        view
        returns (bytes memory)
    {
        bytes memory rows = packed(values);
        return this.combine(rows, rows.length / values.length, norms, terms);
    }

    /// @dev Each row of one kind: anything, few values with many ties, all equal, or extremes.
    function drawn(uint256 seed, uint256 count, uint256 dimension) private pure returns (int256[][] memory values) {
        values = new int256[][](count);
        uint256 kind = uint256(keccak256(abi.encode(seed, "kind"))) % 4;
        for (uint256 row = 0; row < count; ++row) {
            values[row] = new int256[](dimension);
            for (uint256 column = 0; column < dimension; ++column) {
                uint256 draw = uint256(keccak256(abi.encode(seed, kind == 2 ? 0 : row, column)));
                if (kind == 1) values[row][column] = int256(draw % 5) - 2;
                else if (kind == 3) values[row][column] = [int256(-32_768), 32_767, -32_767, 0, -1][draw % 5];
                else values[row][column] = int16(uint16(draw));
            }
        }
    }

    function one(int256[] memory row) private pure returns (int256[][] memory rows) {
        rows = new int256[][](1);
        rows[0] = row;
    }

    /// @dev Rows of whole words, each padded with zeros.
    function packed(int256[][] memory rows) private pure returns (bytes memory all) {
        uint256 width = (rows[0].length * 2 + 31) / 32 * 32;
        all = new bytes(rows.length * width);
        for (uint256 row = 0; row < rows.length; ++row) {
            for (uint256 column = 0; column < rows[row].length; ++column) {
                uint16 value = uint16(int16(rows[row][column]));
                all[row * width + 2 * column] = bytes1(uint8(value >> 8));
                all[row * width + 2 * column + 1] = bytes1(uint8(value));
            }
        }
    }

    function rowsOf(bytes memory all, uint256 count) private pure returns (int256[][] memory rows) {
        rows = new int256[][](count);
        uint256 dimension = all.length / 2 / count;
        for (uint256 row = 0; row < count; ++row) {
            rows[row] = new int256[](dimension);
            for (uint256 column = 0; column < dimension; ++column) {
                uint256 offset = 2 * (row * dimension + column);
                rows[row][column] = int16(uint16(bytes2(abi.encodePacked(all[offset], all[offset + 1]))));
            }
        }
    }
}
