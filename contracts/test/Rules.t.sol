// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Lanes} from "../src/libraries/Lanes.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
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
            assertTrue(accepts(values, aggregate, terms), names[row]);
            for (uint256 index = 0; index < aggregate.length; ++index) {
                int256 right = aggregate[index];
                aggregate[index] = right == type(int16).max ? right - 1 : right + 1;
                assertFalse(accepts(values, aggregate, terms), names[row]);
                aggregate[index] = right;
            }
        }
    }

    // -------------------------------------------------------------------------------------------------------- fuzz

    function testRulesAcceptWhatPlainRulesGiveAndNothingElse(
        uint256 seed,
        uint256 count,
        uint256 tolerance,
        uint256 rule,
        int16 wrong
    ) public view {
        count = bound(count, 1, 64);
        RuleLib.Terms memory terms = RuleLib.Terms(
            IVolquorum.Rule(bound(rule, 0, 3)),
            bound(tolerance, 0, (count - 1) / 2),
            bound(uint256(keccak256(abi.encode(seed, "clip"))), 1, 200_000)
        );
        checkAgainstPlain(drawn(seed, count, 16 * (1 + seed % 3)), terms, seed, wrong);
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
        RuleLib.Terms memory terms = RuleLib.Terms(IVolquorum.Rule.ClippedMean, 0, clipNorm);
        int256[] memory expected = PlainRules.aggregate(values, norms, terms);
        assertTrue(this.holds(packed(values), values.length, packed(one(expected)), terms, updatesOf(norms)));
        expected[3] += expected[3] == type(int16).max ? -1 : int256(1);
        assertFalse(this.holds(packed(values), values.length, packed(one(expected)), terms, updatesOf(norms)));
    }

    function testHalfAnEvenMedianRoundsDown() public view {
        int256[][] memory values = new int256[][](2);
        (values[0], values[1]) = (new int256[](16), new int256[](16));
        (values[0][0], values[1][0]) = (-3, 0);
        int256[] memory expected = new int256[](16);
        expected[0] = -2;
        assertTrue(accepts(values, expected, RuleLib.Terms(IVolquorum.Rule.Median, 0, 0)));
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function holds(
        bytes calldata rows,
        uint256 count,
        bytes calldata chunk,
        RuleLib.Terms memory terms,
        IVolquorum.Update[] calldata updates
    ) external pure returns (bool) {
        return RuleLib.holds(Lanes.load(rows, chunk.length, count, chunk.length), chunk, terms, updates);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev One coordinate, drawn, is made wrong: next to right, at an end, or anything.
    function checkAgainstPlain(int256[][] memory values, RuleLib.Terms memory terms, uint256 seed, int16 wrong)
        private
        view
    {
        int256[] memory expected = PlainRules.aggregate(values, PlainRules.squaredNorms(values), terms);
        assertTrue(accepts(values, expected, terms), "right");
        uint256 column = seed % expected.length;
        int256 right = expected[column];
        int256[5] memory others = [right + 1, right - 1, wrong, int256(type(int16).min), type(int16).max];
        for (uint256 index = 0; index < 5; ++index) {
            if (others[index] == right || others[index] != int16(others[index])) continue;
            expected[column] = others[index];
            assertFalse(accepts(values, expected, terms), "wrong");
        }
    }

    function accepts(int256[][] memory values, int256[] memory aggregate, RuleLib.Terms memory terms)
        private
        view
        returns (bool)
    {
        return this.holds(
            packed(values), values.length, packed(one(aggregate)), terms, updatesOf(PlainRules.squaredNorms(values))
        );
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

    function updatesOf(uint64[] memory norms) private pure returns (IVolquorum.Update[] memory updates) {
        updates = new IVolquorum.Update[](norms.length);
        for (uint256 index = 0; index < norms.length; ++index) {
            updates[index].squaredNorm = norms[index];
        }
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
