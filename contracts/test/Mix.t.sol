// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChoiceLib} from "../src/libraries/ChoiceLib.sol";
import {Lanes} from "../src/libraries/Lanes.sol";
import {MixLib} from "../src/libraries/MixLib.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {Loading, MixHarness} from "./MixHarness.sol";
import {PlainGram} from "./PlainGram.sol";
import {PlainRules} from "./PlainRules.sol";
import {PlainTree} from "./PlainTree.sol";
import {PlainWeights} from "./PlainWeights.sol";

/// @notice Clipping and mixing in packed lanes against plain numbers, whole rounds too, and against the vectors that
/// Python passes.
contract MixTest is Test {
    MixHarness private harness = new MixHarness();

    // ----------------------------------------------------------------------------------------------------- vectors

    function testVectorsOfAggregates() public view {
        string memory json = vm.readFile("tests/vectors/gram.json");
        bytes[] memory updates = vm.parseJsonBytesArray(json, ".updates");
        assertGt(updates.length, 0, "no vectors");
        for (uint256 row = 0; row < updates.length; ++row) {
            this.checkVector(json, row, updates[row]);
        }
    }

    function testVectorsOfClipping() public view {
        MixHarness.Terms memory terms = oneChunk();
        terms.clipped = true;
        checkChanges("tests/vectors/rules/arc.json", terms);
    }

    function testVectorsOfMixing() public view {
        MixHarness.Terms memory terms = oneChunk();
        terms.mixed = true;
        checkChanges("tests/vectors/rules/nnm.json", terms);
    }

    function testVectorsOfClippingMixingAndTrimming() public view {
        MixHarness.Terms memory terms = oneChunk();
        (terms.clipped, terms.mixed, terms.rule) = (true, true, IVolquorum.Rule.TrimmedMean);
        string memory json = vm.readFile("tests/vectors/rules/composed.json");
        bytes[] memory aggregates = vm.parseJsonBytesArray(json, ".aggregate");
        for (uint256 row = 0; row < aggregates.length; ++row) {
            (bytes memory aggregate,) = this.playSmall(json, row, terms);
            assertEq(aggregate, this.padded(aggregates[row], 1), "aggregate");
        }
    }

    /// @dev The contract averages n - f; vectors of other numbers are everybody else's.
    function testVectorsOfMultiKrum() public view {
        MixHarness.Terms memory terms = oneChunk();
        terms.rule = IVolquorum.Rule.MultiKrum;
        string memory json = vm.readFile("tests/vectors/rules/multi_krum.json");
        bytes[] memory aggregates = vm.parseJsonBytesArray(json, ".aggregate");
        uint256[] memory taken = vm.parseJsonUintArray(json, ".m");
        uint256 checked;
        for (uint256 row = 0; row < aggregates.length; ++row) {
            uint256 count = vm.parseJsonUintArray(json, ".count")[row];
            if (taken[row] != count - vm.parseJsonUintArray(json, ".f")[row]) continue;
            (bytes memory aggregate,) = this.playSmall(json, row, terms);
            assertEq(aggregate, this.padded(aggregates[row], 1), "aggregate");
            ++checked;
        }
        assertGt(checked, 0, "no vectors");
    }

    function testVectorsOfKrum() public view {
        MixHarness.Terms memory terms = oneChunk();
        terms.rule = IVolquorum.Rule.Krum;
        string memory json = vm.readFile("tests/vectors/rules/krum.json");
        bytes[] memory aggregates = vm.parseJsonBytesArray(json, ".aggregate");
        assertGt(aggregates.length, 0, "no vectors");
        for (uint256 row = 0; row < aggregates.length; ++row) {
            (bytes memory aggregate,) = this.playSmall(json, row, terms);
            assertEq(aggregate, this.padded(aggregates[row], 1), "aggregate");
        }
    }

    function checkChanges(string memory file, MixHarness.Terms memory terms) private view {
        string memory json = vm.readFile(file);
        bytes[] memory changed = vm.parseJsonBytesArray(json, ".changed");
        assertGt(changed.length, 0, "no vectors");
        for (uint256 row = 0; row < changed.length; ++row) {
            (, bytes memory found) = this.playSmall(json, row, terms);
            assertEq(found, this.padded(changed[row], vm.parseJsonUintArray(json, ".count")[row]), "rows");
        }
    }

    /// @notice The aggregate and what pre-steps made of the updates of one vector.
    function playSmall(string calldata json, uint256 row, MixHarness.Terms memory terms)
        external
        view
        returns (bytes memory, bytes memory)
    {
        terms.tolerance = vm.parseJsonUintArray(json, ".f")[row];
        uint256 count = vm.parseJsonUintArray(json, ".count")[row];
        bytes memory updates = this.padded(vm.parseJsonBytesArray(json, ".updates")[row], count);
        (bytes[] memory aggregates,, bytes[] memory changes) = harness.rounds(updates, count, terms);
        return (aggregates[0], changes[0]);
    }

    /// @notice Rows of at most a word, each filled up with zeros.
    function padded(bytes calldata all, uint256 count) external pure returns (bytes memory rows) {
        uint256 length = all.length / count;
        for (uint256 row = 0; row < count; ++row) {
            rows = bytes.concat(rows, all[row * length:(row + 1) * length], new bytes(32 - length));
        }
    }

    function oneChunk() private pure returns (MixHarness.Terms memory terms) {
        terms.chunkBytes = 32;
    }

    function checkVector(string calldata json, uint256 row, bytes calldata updates) external view {
        MixHarness.Terms memory terms = termsOf(json, row);
        bytes[] memory whole = new bytes[](vm.parseJsonUintArray(json, ".count")[row]);
        uint256 length = updates.length / whole.length;
        bytes memory zeros = new bytes((terms.chunkBytes - length % terms.chunkBytes) % terms.chunkBytes);
        int256[][] memory values = new int256[][](whole.length);
        for (uint256 desk = 0; desk < whole.length; ++desk) {
            whole[desk] = bytes.concat(updates[desk * length:(desk + 1) * length], zeros);
            values[desk] = PlainRules.unpacked(whole[desk], 2);
        }
        bytes[2] memory found;
        (found[0], found[1]) = harness.aggregate(whole, normsOf(values), terms);
        assertEq(found[0], bytes.concat(vm.parseJsonBytesArray(json, ".aggregate")[row], zeros), "aggregate");
        assertEq(found[1], vm.parseJsonBytesArray(json, ".choice")[row], "choice");
    }

    function termsOf(string calldata json, uint256 row) private pure returns (MixHarness.Terms memory terms) {
        terms.clipped = vm.parseJsonUintArray(json, ".arc")[row] == 1;
        terms.rule = IVolquorum.Rule(vm.parseJsonUintArray(json, ".rule")[row]);
        terms.mixed = !ChoiceLib.byDistance(terms.rule, 0);
        terms.trusted = vm.parseJsonUintArray(json, ".trusted")[row];
        terms.tolerance = vm.parseJsonUintArray(json, ".tolerance")[row];
        terms.chunkBytes = 2 * vm.parseJsonUintArray(json, ".chunkLength")[row];
    }

    // -------------------------------------------------------------------------------------------------------- fuzz

    function testWholeRoundsAgreeWithPlainOnes(uint256 seed, uint256 count, uint256 tolerance, uint256 rule)
        public
        view
    {
        count = bound(count, 3, 10);
        tolerance = bound(tolerance, 0, (count - 3) / 2);
        MixHarness.Terms memory terms =
            MixHarness.Terms(seed % 2 == 0, seed % 6 < 3, IVolquorum.Rule.Mean, tolerance, 0, 32, rule % count);
        if (rule % 3 != 0) terms.rule = IVolquorum.Rule(1 + rule % 3);
        if (seed % 6 > 3) {
            terms.rule = [
                IVolquorum.Rule.MultiKrum,
                IVolquorum.Rule.Krum,
                IVolquorum.Rule.GeometricMedian,
                IVolquorum.Rule.FLTrust
            ][rule % 4];
        }
        int256[][] memory rows = draw(seed, count, 32);
        bytes[] memory updates = new bytes[](count);
        for (uint256 row = 0; row < count; ++row) {
            updates[row] = PlainRules.packed(rows[row], 2);
        }
        (bytes memory found, bytes memory chosen) = harness.aggregate(updates, normsOf(rows), terms);

        if (terms.clipped) rows = PlainGram.clipped(rows, tolerance);
        bytes memory plain = plainChoice(rows, terms);
        assertEq(chosen, plain, "choice");
        if (ChoiceLib.weighs(terms.rule)) rows = PlainWeights.averagedBy(rows, plain);
        else if (plain.length > 0) rows = PlainGram.mixed(rows, plain);
        RuleLib.Terms memory ranks = RuleLib.Terms(terms.rule, tolerance, 0);
        int256[] memory aggregate = PlainRules.aggregate(rows, PlainRules.squaredNorms(rows), ranks);
        assertEq(found, PlainRules.packed(aggregate, 2), "aggregate");
    }

    function plainChoice(int256[][] memory rows, MixHarness.Terms memory terms) private pure returns (bytes memory) {
        if (terms.rule == IVolquorum.Rule.GeometricMedian) return PlainWeights.geometricMedian(rows);
        if (terms.rule == IVolquorum.Rule.FLTrust) return PlainWeights.trusting(rows, terms.trusted);
        if (ChoiceLib.choosesBest(terms.rule)) {
            uint256 members = ChoiceLib.membersOf(terms.rule, rows.length, terms.tolerance);
            return PlainGram.best(rows, terms.tolerance, members);
        }
        return terms.mixed ? PlainGram.neighbours(rows, terms.tolerance) : bytes("");
    }

    /// @dev Any weights that a choice may have, and any divisor, so that many results are held at the type's ends.
    function testAveragesAreFloorsHeldWithin16Bits(uint256 seed, uint256 count, uint256 divisor, uint256 words)
        public
        view
    {
        count = bound(count, 1, 64);
        words = bound(words, 1, 5);
        int256[][] memory rows = draw(seed, count, 16 * words);
        uint256[] memory weights = new uint256[](count);
        uint256 sum = 0;
        for (uint256 row = 0; row < count; ++row) {
            weights[row] = bound(uint256(keccak256(abi.encode(seed, row))), 0, 2 ** (30 - seed % 4 * 10));
            sum += weights[row];
        }
        divisor = [sum, 2 ** 30, bound(divisor, 0, 2 ** 36), divisor % 3][divisor % 4];
        assertEq(this.averaged(packed(rows), weights, divisor), packed(PlainWeights.averaged(rows, weights, divisor)));
    }

    /// @dev A liar's weights change the row that is averaged, and nothing beside it.
    function testAnyWeightsSpoilNothingElse(uint256 seed, uint64[7] calldata chosen, uint64 divisor) public view {
        bytes memory all = packed(draw(seed, 7, 32));
        uint256[] memory weights = new uint256[](7);
        for (uint256 row = 0; row < 7; ++row) {
            weights[row] = chosen[row];
        }
        assertEq(this.averaged(all, weights, divisor).length, 64);
        assertEq(this.averagedLeaving(all, weights, divisor), all, "rows");
    }

    /// @dev Any masks of the right size, also of few rows or of rows that do not exist.
    function testMixesAreFloorMeans(uint256 seed, uint256 count, uint256 members, uint256 words) public view {
        count = bound(count, 1, 64);
        members = bound(members, 1, count);
        words = bound(words, 1, 3);
        int256[][] memory rows = draw(seed, count, 16 * words);
        bytes memory masks;
        for (uint256 row = 0; row < 1 + seed % 5; ++row) {
            masks = abi.encodePacked(masks, drawMask(uint256(keccak256(abi.encode(seed, row))), count, members));
        }
        int256[][] memory mixes = PlainGram.mixed(rows, masks);
        assertEq(this.mixed(packed(rows), count, masks, members), packed(mixes));
    }

    /// @dev All rows equal, so that each total is a multiple: the floor is exact there and just below and above.
    function testMixesAreExactBesideEveryMultiple(uint256 count, uint256 tolerance, uint256 value) public view {
        count = bound(count, 1, 64);
        tolerance = bound(tolerance, 0, (count - 1) / 2);
        int256 biased = int256(bound(value, 0, 65_535));
        int256[][] memory rows = new int256[][](count);
        for (uint256 row = 0; row < count; ++row) {
            rows[row] = new int256[](16);
            for (uint256 column = 0; column < 16; ++column) {
                rows[row][column] = biased - 32_768;
            }
        }
        if (biased > 0) --rows[0][3];
        if (biased < 65_535) ++rows[0][4];
        bytes memory masks = abi.encodePacked(drawMask(value, count, count - tolerance));
        assertEq(this.mixed(packed(rows), count, masks, count - tolerance), packed(PlainGram.mixed(rows, masks)));
    }

    /// @dev A liar's mask, of any number of rows and of some that do not exist, makes one wrong row.
    function testWrongMaskSpoilsNoOtherRow(uint256 seed, uint64 wrong) public view {
        int256[][] memory rows = draw(seed, 20, 32);
        uint64 right = drawMask(seed, 20, 12);
        bytes memory found = this.mixed(packed(rows), 20, abi.encodePacked(wrong, right, wrong), 12);
        bytes memory plain = packed(PlainGram.mixed(rows, abi.encodePacked(right)));
        for (uint256 place = 0; place < 64; ++place) {
            assertEq(found[64 + place], plain[place]);
            assertEq(found[place], found[128 + place]);
        }
        bytes memory known = abi.encodePacked(wrong & (1 << 20) - 1);
        assertEq(PlainTree.slice(found, 0, 64), this.mixed(packed(rows), 20, known, 12));
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function averaged(bytes calldata all, uint256[] calldata weights, uint256 divisor)
        external
        pure
        returns (bytes memory)
    {
        Lanes.Rows memory rows = Loading.load(all, all.length / weights.length);
        return Loading.unloaded(Lanes.averaged(rows, weights, divisor));
    }

    /// @notice What was averaged, as it is afterwards.
    function averagedLeaving(bytes calldata all, uint256[] calldata weights, uint256 divisor)
        external
        pure
        returns (bytes memory)
    {
        Lanes.Rows memory rows = Loading.load(all, all.length / weights.length);
        Lanes.averaged(rows, weights, divisor);
        return Loading.unloaded(rows);
    }

    function mixed(bytes calldata all, uint256 count, bytes calldata masks, uint256 members)
        external
        pure
        returns (bytes memory mixes)
    {
        uint256 width = all.length / count;
        // Memory behind what is allocated need not be zero.
        assembly ("memory-safe") {
            let end := add(mload(0x40), 0x10000)
            for { let p := mload(0x40) } lt(p, end) { p := add(p, 32) } { mstore(p, not(0)) }
        }
        Lanes.Rows memory rows = MixLib.mixed(Loading.load(all, width), masks, members);
        assertEq(rows.count, masks.length / ChoiceLib.CHOICE_BYTES);
        for (uint256 row = 0; row < rows.count; ++row) {
            uint256 start = Lanes.floorMean(rows, row, row + 1);
            bytes memory one;
            assembly ("memory-safe") {
                one := sub(start, 32)
                mstore(one, width)
            }
            mixes = bytes.concat(mixes, one);
        }
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev `members` of `count` rows.
    function drawMask(uint256 seed, uint256 count, uint256 members) private pure returns (uint64 mask) {
        while (members > 0) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint64 bit = uint64(1 << (seed % count));
            if (mask & bit != 0) continue;
            mask |= bit;
            --members;
        }
    }

    function draw(uint256 seed, uint256 count, uint256 length) private pure returns (int256[][] memory rows) {
        rows = new int256[][](count);
        for (uint256 row = 0; row < count; ++row) {
            rows[row] = new int256[](length);
            for (uint256 column = 0; column < length; ++column) {
                int256 value = int16(uint16(uint256(keccak256(abi.encode(seed, row, column)))));
                rows[row][column] = value >> ((seed >> 8) % 3 * 7);
            }
        }
    }

    function packed(int256[][] memory rows) private pure returns (bytes memory all) {
        for (uint256 row = 0; row < rows.length; ++row) {
            all = bytes.concat(all, PlainRules.packed(rows[row], 2));
        }
    }

    function normsOf(int256[][] memory rows) private pure returns (uint256[] memory norms) {
        uint64[] memory squares = PlainRules.squaredNorms(rows);
        norms = new uint256[](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            norms[row] = squares[row];
        }
    }
}
