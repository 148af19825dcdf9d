// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChoiceLib} from "../src/libraries/ChoiceLib.sol";
import {WeightLib} from "../src/libraries/WeightLib.sol";
import {PlainGram} from "./PlainGram.sol";
import {PlainWeights} from "./PlainWeights.sol";

/// @notice Choices by networks of packed keys and weights by packed matrices against plain sorts of distances between
/// whole rows and plain weights of them, and against the vectors that Python passes.
contract ChoiceTest is Test {
    // ----------------------------------------------------------------------------------------------------- vectors

    function testVectorsOfChoices() public view {
        string memory json = vm.readFile("tests/vectors/gram.json");
        bytes[] memory nodes = vm.parseJsonBytesArray(json, ".pairNodes");
        bytes[] memory choices = vm.parseJsonBytesArray(json, ".choice");
        uint256[] memory counts = vm.parseJsonUintArray(json, ".count");
        uint256[] memory tolerances = vm.parseJsonUintArray(json, ".tolerance");
        uint256[] memory trusted = vm.parseJsonUintArray(json, ".trusted");
        uint256[] memory rules = vm.parseJsonUintArray(json, ".rule");
        assertGt(nodes.length, 0, "no vectors");
        for (uint256 row = 0; row < nodes.length; ++row) {
            IVolquorum.Rule rule = IVolquorum.Rule(rules[row]);
            assertEq(this.chosen(nodes[row], counts[row], rule, tolerances[row], trusted[row]), choices[row]);
        }
    }

    function chosen(bytes calldata nodes, uint256 count, IVolquorum.Rule rule, uint256 tolerance, uint256 trusted)
        external
        view
        returns (bytes memory)
    {
        if (rule == IVolquorum.Rule.GeometricMedian) return this.median(nodes, count);
        if (rule == IVolquorum.Rule.FLTrust) return this.trusting(nodes, count, trusted);
        if (!ChoiceLib.choosesBest(rule)) return this.neighbours(nodes, count, tolerance);
        return this.best(nodes, count, tolerance, rule == IVolquorum.Rule.Krum);
    }

    // -------------------------------------------------------------------------------------------------------- fuzz

    function testNeighboursAgreeWithAPlainSort(uint256 seed, uint256 count, uint256 tolerance) public view {
        count = bound(count, 1, 24);
        tolerance = bound(tolerance, 0, (count - 1) / 2);
        int256[][] memory rows = draw(seed, count);
        assertEq(this.neighbours(nodesOf(rows), count, tolerance), PlainGram.neighbours(rows, tolerance));
    }

    function testBestAgreesWithAPlainSort(uint256 seed, uint256 count, uint256 tolerance, uint256 members) public view {
        count = bound(count, 3, 24);
        tolerance = bound(tolerance, 0, (count - 3) / 2);
        int256[][] memory rows = draw(seed, count);
        members = bound(members, 1, count - tolerance);
        assertEq(this.ranked(nodesOf(rows), count, tolerance, members), PlainGram.best(rows, tolerance, members));
        assertEq(this.best(nodesOf(rows), count, tolerance, true), PlainGram.best(rows, tolerance, 1), "Krum");
    }

    /// forge-config: default.fuzz.runs = 64
    function testMedianAgreesWithPlainWeights(uint256 seed, uint256 count) public view {
        count = bound(count, 1, 20);
        int256[][] memory rows = draw(seed, count);
        assertEq(this.median(nodesOf(rows), count), PlainWeights.geometricMedian(rows));
    }

    function testTrustAgreesWithPlainWeights(uint256 seed, uint256 count, uint256 trusted) public view {
        count = bound(count, 1, 24);
        trusted = bound(trusted, 0, count);
        int256[][] memory rows = draw(seed, count);
        bytes memory found = this.trusting(nodesOf(rows), count, trusted);
        assertEq(found, PlainWeights.trusting(rows, trusted));
        if (trusted == count) assertEq(found, new bytes(8 * count + 8), "nobody is trusted");
        else assertEq(PlainWeights.numberAt(found, trusted), 0, "its own weight");
    }

    /// @dev The least and the greatest of all weights, and what is all zeros.
    function testTrustHasABoundAndZerosHaveNone() public view {
        int256[][] memory rows = new int256[][](5);
        for (uint256 row = 0; row < 5; ++row) {
            rows[row] = new int256[](3);
        }
        (rows[0][0], rows[1][0], rows[2][0], rows[3][1]) = (32_767, 1, 32_767, 5);
        bytes memory found = this.trusting(nodesOf(rows), 5, 0);
        uint256 whole = 2 ** 24;
        // One unit long and as far that way as it can be: a 64th of the trusted one's length would weigh as much.
        uint256 share = (2 ** 30 + 32_766) / 32_767;
        assertEq(found, abi.encodePacked(uint64(0), uint64(2 ** 30), uint64(whole), uint128(0), uint64(whole + share)));
        assertEq(found, PlainWeights.trusting(rows, 0));
        assertEq(this.trusting(nodesOf(rows), 5, 4), new bytes(48), "zeros agree with nobody");
        assertEq(this.median(nodesOf(rows), 5), PlainWeights.geometricMedian(rows));
    }

    /// forge-config: default.fuzz.runs = 2
    function testChoicesAmongTheMostRows(uint256 seed, uint256 tolerance) public view {
        int256[][] memory rows = draw(seed, 64);
        bytes memory nodes = nodesOf(rows);
        tolerance = bound(tolerance, 0, 30);
        assertEq(this.neighbours(nodes, 64, tolerance), PlainGram.neighbours(rows, tolerance), "neighbours");
        assertEq(this.best(nodes, 64, tolerance, false), PlainGram.best(rows, tolerance, 64 - tolerance), "best");
        assertEq(this.best(nodes, 64, tolerance, true), PlainGram.best(rows, tolerance, 1), "the best");
        assertEq(this.median(nodes, 64), PlainWeights.geometricMedian(rows), "median");
        assertEq(this.trusting(nodes, 64, tolerance), PlainWeights.trusting(rows, tolerance), "trust");
    }

    /// @dev The greatest products that a table can hold: 2^16 chunks of 512 coordinates at both ends.
    function testDistancesOfExtremesDoNotOverflow() public view {
        bytes memory nodes = abi.encodePacked(
            node(2 ** 55), node(-2 ** 55), node(2 ** 55), node(2 ** 55), node(-2 ** 55), node(2 ** 55)
        );
        // Rows 0 and 2 are the same, row 1 is their opposite.
        assertEq(this.neighbours(nodes, 3, 1), abi.encodePacked(uint64(5), uint64(3), uint64(5)));
        // The two that are the same hold the median but for 2^-10 of nothing; one of them trusts the other alone.
        bytes memory weights = this.median(nodes, 3);
        assertEq(weights, abi.encodePacked(uint64(2 ** 30), uint64(0), uint64(2 ** 30), uint64(2 ** 31)));
        weights = this.trusting(nodes, 3, 0);
        assertEq(weights, abi.encodePacked(uint128(0), uint64(2 ** 24), uint64(2 ** 24)));
    }

    function testOfEquallyNearRowsTheEarlierAreTaken() public view {
        int256[][] memory rows = new int256[][](7);
        for (uint256 row = 0; row < 7; ++row) {
            rows[row] = new int256[](3);
        }
        bytes memory nodes = nodesOf(rows);
        assertEq(this.best(nodes, 7, 2, false), abi.encodePacked(uint64(31)), "best");
        assertEq(this.best(nodes, 7, 2, true), abi.encodePacked(uint64(1)), "the best");
        bytes memory masks = this.neighbours(nodes, 7, 3);
        for (uint256 row = 0; row < 7; ++row) {
            assertEq(uint8(masks[8 * row + 7]), 15, "neighbours");
        }
    }

    /// @dev What a liar's table says must not make the proof of his other lies fail, nor the calculation dear.
    /// forge-config: default.fuzz.runs = 32
    function testAnyTableGivesMasksOfTheRightSize(uint256 seed, uint256 count) public view {
        count = bound(count, 3, 64);
        uint256 tolerance = (count - 3) / 2;
        bytes memory nodes;
        for (uint256 pair = 0; pair < count * (count + 1) / 2; ++pair) {
            nodes = bytes.concat(nodes, node(int64(uint64(uint256(keccak256(abi.encode(seed, pair)))))));
            if (nodes.length > 8000) break;
        }
        nodes = bytes.concat(nodes, new bytes(20 * count * (count + 1) - nodes.length));
        bytes memory masks = this.neighbours(nodes, count, tolerance);
        assertEq(masks.length, 8 * count);
        for (uint256 row = 0; row <= count + 1; ++row) {
            bytes memory all = row < count ? masks : this.best(nodes, count, tolerance, row > count);
            uint256 members = 0;
            for (uint256 other = 0; other < 64; ++other) {
                members += uint8(all[8 * (row % count % (all.length / 8)) + 7 - other / 8]) >> (other % 8) & 1;
            }
            assertEq(members, row > count ? 1 : count - tolerance);
        }
    }

    // ------------------------------------------------------------------------------------------------------- factors

    function testFactorsAreTheRootsOfTheRatios(uint256 seed, uint256 count, uint256 tolerance) public pure {
        count = bound(count, 1, 64);
        tolerance = bound(tolerance, 0, (count - 1) / 2);
        uint256[] memory norms = new uint256[](count);
        for (uint256 row = 0; row < count; ++row) {
            norms[row] = uint256(keccak256(abi.encode(seed, row))) >> (193 + 8 * (seed % 7));
        }
        uint256[] memory factors = ChoiceLib.clipFactors(norms, tolerance);
        uint256 longest = 2 * tolerance * (count - tolerance) / count;
        uint256 limit = greatestBut(norms, longest);
        for (uint256 row = 0; row < count; ++row) {
            uint256 factor = factors[row];
            if (norms[row] <= limit) {
                assertEq(factor, 2 ** 30, "untouched");
            } else {
                assertLe(factor * factor * norms[row], limit << 60, "not above");
                assertGt((factor + 1) ** 2 * norms[row], limit << 60, "not below");
            }
        }
    }

    function greatestBut(uint256[] memory norms, uint256 longest) private pure returns (uint256) {
        for (uint256 row = 0; row < norms.length; ++row) {
            uint256 greater = 0;
            uint256 equal = 0;
            for (uint256 other = 0; other < norms.length; ++other) {
                if (norms[other] > norms[row]) ++greater;
                if (norms[other] == norms[row]) ++equal;
            }
            if (greater <= longest && longest < greater + equal) return norms[row];
        }
        revert("no such rank");
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function neighbours(bytes calldata nodes, uint256 count, uint256 tolerance) external pure returns (bytes memory) {
        return ChoiceLib.neighbours(nodes, count, tolerance);
    }

    /// @notice As multi-Krum chooses, or as Krum does.
    function best(bytes calldata nodes, uint256 count, uint256 tolerance, bool one)
        external
        pure
        returns (bytes memory)
    {
        IVolquorum.Rule rule = one ? IVolquorum.Rule.Krum : IVolquorum.Rule.MultiKrum;
        return ChoiceLib.best(nodes, count, tolerance, ChoiceLib.membersOf(rule, count, tolerance));
    }

    function median(bytes calldata nodes, uint256 count) external pure returns (bytes memory) {
        return WeightLib.median(nodes, count);
    }

    function trusting(bytes calldata nodes, uint256 count, uint256 trusted) external pure returns (bytes memory) {
        return WeightLib.trusting(nodes, count, trusted);
    }

    function ranked(bytes calldata nodes, uint256 count, uint256 tolerance, uint256 members)
        external
        pure
        returns (bytes memory)
    {
        return ChoiceLib.best(nodes, count, tolerance, members);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev Three coordinates, so few values that ties are common in some rows, and many in others.
    function draw(uint256 seed, uint256 count) private pure returns (int256[][] memory rows) {
        rows = new int256[][](count);
        for (uint256 row = 0; row < count; ++row) {
            rows[row] = new int256[](3);
            for (uint256 column = 0; column < 3; ++column) {
                int256 value = int16(uint16(uint256(keccak256(abi.encode(seed, row, column)))));
                rows[row][column] = value >> (seed % 3 * 7);
            }
        }
    }

    function nodesOf(int256[][] memory rows) private pure returns (bytes memory nodes) {
        nodes = new bytes(20 * rows.length * (rows.length + 1));
        uint256 offset = 32;
        for (uint256 i = 0; i < rows.length; ++i) {
            for (uint256 j = i; j < rows.length; ++j) {
                int256 product = 0;
                for (uint256 column = 0; column < 3; ++column) {
                    product += rows[i][column] * rows[j][column];
                }
                for (uint256 place = 0; place < 8; ++place) {
                    nodes[offset + place] = bytes8(uint64(int64(product)))[place];
                    nodes[offset - 4 * place - 1] = 0xff;
                }
                offset += 40;
            }
        }
    }

    /// @dev With a hash that must not be taken for anything.
    function node(int64 sum) private pure returns (bytes memory) {
        return abi.encodePacked(keccak256(abi.encode(sum)), sum);
    }
}
