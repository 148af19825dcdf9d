// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {GramLib} from "../src/libraries/GramLib.sol";
import {Loading} from "./MixHarness.sol";
import {PlainGram} from "./PlainGram.sol";
import {PlainRules} from "./PlainRules.sol";

/// @notice Tables against plain trees, and against the vectors that Python passes.
contract GramTest is Test {
    // ----------------------------------------------------------------------------------------------------- vectors

    function testVectorsOfTables() public {
        string memory json = vm.readFile("tests/vectors/gram.json");
        uint256[] memory counts = vm.parseJsonUintArray(json, ".count");
        uint256[] memory dimensions = vm.parseJsonUintArray(json, ".dimension");
        uint256[] memory lengths = vm.parseJsonUintArray(json, ".chunkLength");
        assertGt(counts.length, 0, "no vectors");
        GramLib.Shape[] memory shapes = new GramLib.Shape[](counts.length);
        for (uint256 row = 0; row < counts.length; ++row) {
            shapes[row] = GramLib.Shape(counts[row], (dimensions[row] - 1) / lengths[row] + 1);
        }
        checkPaths(json, shapes);
        checkPairs(json, shapes);
        checkOnlyParts(json, shapes);
    }

    function checkPaths(string memory json, GramLib.Shape[] memory shapes) private view {
        bytes[] memory paths = vm.parseJsonBytesArray(json, ".path");
        uint256[] memory leaves = vm.parseJsonUintArray(json, ".leaf");
        bytes32[] memory roots = vm.parseJsonBytes32Array(json, ".root");
        int256[] memory products = vm.parseJsonIntArray(json, ".product");
        for (uint256 row = 0; row < shapes.length; ++row) {
            (bytes32 found, int256 product, bool wrong) = this.rootByRecords(shapes[row], leaves[row], paths[row]);
            assertEq(found, roots[row], "root by a path");
            assertEq(product, products[row], "product");
            assertFalse(wrong, "right sums");
            assertEq(paths[row].length, GramLib.pathBytes(shapes[row]), "length of a path");
        }
    }

    function checkPairs(string memory json, GramLib.Shape[] memory shapes) private view {
        bytes[] memory nodes = vm.parseJsonBytesArray(json, ".pairNodes");
        bytes32[] memory roots = vm.parseJsonBytes32Array(json, ".root");
        for (uint256 row = 0; row < shapes.length; ++row) {
            assertEq(this.rootOfPairs(shapes[row], nodes[row]), roots[row], "root by pairs");
        }
    }

    function checkOnlyParts(string memory json, GramLib.Shape[] memory shapes) private {
        bytes[] memory leaves = vm.parseJsonBytesArray(json, ".leaves");
        bytes[] memory siblings = vm.parseJsonBytesArray(json, ".siblings");
        bytes32[] memory roots = vm.parseJsonBytes32Array(json, ".root");
        for (uint256 row = 0; row < shapes.length; ++row) {
            assertEq(GramLib.partCount(shapes[row]), 1, "parts");
            this.checkPart(shapes[row], 0, leaves[row], siblings[row], roots[row]);
            refused(shapes[row], 0, leaves[row], siblings[row], ~roots[row]);
        }
    }

    // ---------------------------------------------------------------------------------------------------- products

    function testProductsAgreeWithPlainArithmetic(uint256 seed, uint256 words) public view {
        words = bound(words, 1, 32);
        checkProduct(draw(seed, 16 * words), draw(~seed, 16 * words));
    }

    function testProductsOfExtremes() public view {
        for (uint256 signs = 0; signs < 4; ++signs) {
            int256[] memory left = new int256[](512);
            int256[] memory right = new int256[](512);
            for (uint256 column = 0; column < 512; ++column) {
                left[column] = signs & 1 == 0 ? int256(-32_768) : int256(32_767);
                right[column] = signs & 2 == 0 ? int256(-32_768) : int256(32_767);
            }
            checkProduct(left, right);
        }
    }

    function checkProduct(int256[] memory left, int256[] memory right) private view {
        bytes memory rows = bytes.concat(PlainRules.packed(left, 2), PlainRules.packed(right, 2));
        int256[3] memory plain;
        for (uint256 column = 0; column < left.length; ++column) {
            plain[0] += left[column] * right[column];
            plain[1] += left[column] * left[column];
            plain[2] += right[column] * right[column];
        }
        assertEq(this.innerProduct(rows, 0, 1), plain[0], "of two rows");
        assertEq(this.innerProduct(rows, 1, 0), plain[0], "of the same two");
        assertEq(this.innerProduct(rows, 0, 0), plain[1], "of the first with itself");
        assertEq(this.innerProduct(rows, 1, 1), plain[2], "of the second with itself");
    }

    // -------------------------------------------------------------------------------------------------------- trees

    function testEveryLeafLeadsToTheRoot(uint256 seed, uint256 rows, uint256 chunks) public view {
        GramLib.Shape memory shape = GramLib.Shape(bound(rows, 1, 9), bound(chunks, 1, 9));
        (int64[][] memory table, PlainGram.Node[][] memory levels) = drawn(seed, shape);
        bytes32 root = PlainGram.rootOf(levels, shape.rows);
        uint256 leaf = seed % levels[0].length;
        (bytes32 found, int256 product, bool wrong) = this.rootByRecords(shape, leaf, PlainGram.pathOf(levels, leaf));
        assertEq(found, root, "by a path");
        assertEq(product, levels[0][leaf].sum, "its product");
        assertFalse(wrong, "right sums");
        assertEq(this.rootOfPairs(shape, PlainGram.pairNodes(levels, table)), root, "by all pairs");
    }

    function testEveryPlaceIsThatOfItsPair(uint256 rows, uint256 chunks) public pure {
        GramLib.Shape memory shape = GramLib.Shape(bound(rows, 1, 12), bound(chunks, 1, 9));
        uint256 leaf = 0;
        uint256 room = 2 ** PlainGram.heightOver(shape.chunks);
        for (uint256 i = 0; i < shape.rows; ++i) {
            for (uint256 j = i; j < shape.rows; ++j) {
                for (uint256 chunk = 0; chunk < room; ++chunk) {
                    (uint256 first, uint256 second, uint256 found) = GramLib.placeOf(shape, leaf);
                    assertTrue(first == i && second == j && found == chunk, "place");
                    assertEq(GramLib.isPadding(shape, leaf++), chunk >= shape.chunks, "padding");
                }
            }
        }
        assertTrue(GramLib.isPadding(shape, leaf), "behind the last pair");
    }

    /// @dev A liar records another sum of one node, and hashes it well.
    function testOneFalseSumIsSeenFromBelowIt(uint256 seed, uint256 height, int64 sum) public view {
        GramLib.Shape memory shape = GramLib.Shape(2 + seed % 6, 1 + (seed >> 8) % 8);
        (, PlainGram.Node[][] memory levels) = drawn(seed, shape);
        height = bound(height, 1, levels.length - 1);
        uint256 index = (seed >> 16) % levels[height].length;
        vm.assume(sum != levels[height][index].sum);
        levels[height][index].sum = sum;
        for (uint256 above = height + 1; above < levels.length; ++above) {
            PlainGram.foldLevel(levels, above);
        }
        uint256 leaf = index << height;
        (bytes32 found,, bool wrong) = this.rootByRecords(shape, leaf, PlainGram.pathOf(levels, leaf));
        assertEq(found, PlainGram.rootOf(levels, shape.rows), "the liar's root");
        assertTrue(wrong, "false sum");
    }

    /// @dev Behind the last leaf the numbers would begin again, all of them padding.
    function testLeafBehindTheTableIsRefused(uint256 seed, uint32 leaf) public {
        GramLib.Shape memory shape = GramLib.Shape(2 + seed % 6, 1 + (seed >> 8) % 8);
        (, PlainGram.Node[][] memory levels) = drawn(seed, shape);
        leaf = uint32(bound(leaf, levels[0].length, type(uint32).max));
        bytes memory path = PlainGram.pathOf(levels, leaf % levels[0].length);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.UnknownChunk.selector, leaf, levels[0].length));
        this.rootByRecords(shape, leaf, path);
    }

    function testPathOfAnotherLengthIsRefused(uint256 rows, uint256 chunks, uint256 length) public {
        GramLib.Shape memory shape = GramLib.Shape(bound(rows, 1, 64), bound(chunks, 1, 64));
        uint256 right = GramLib.pathBytes(shape);
        length = bound(length, 0, 2 * right);
        vm.assume(length != right);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, right));
        this.rootByRecords(shape, 0, new bytes(length));
    }

    function testChangedPathLeadsElsewhere(uint256 seed, uint256 bit) public view {
        GramLib.Shape memory shape = GramLib.Shape(2 + seed % 6, 1 + (seed >> 8) % 8);
        (, PlainGram.Node[][] memory levels) = drawn(seed, shape);
        uint256 leaf = (seed >> 16) % levels[0].length;
        bytes memory path = PlainGram.pathOf(levels, leaf);
        bit = bound(bit, 0, 8 * path.length - 1);
        path[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        (bytes32 found,,) = this.rootByRecords(shape, leaf, path);
        assertNotEq(found, PlainGram.rootOf(levels, shape.rows));
    }

    function testChangedPairLeadsElsewhere(uint256 seed, uint256 bit) public view {
        GramLib.Shape memory shape = GramLib.Shape(2 + seed % 6, 1 + (seed >> 8) % 8);
        (int64[][] memory table, PlainGram.Node[][] memory levels) = drawn(seed, shape);
        bytes memory nodes = PlainGram.pairNodes(levels, table);
        bit = bound(bit, 0, 8 * nodes.length - 1);
        nodes[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        assertNotEq(this.rootOfPairs(shape, nodes), PlainGram.rootOf(levels, shape.rows));
    }

    function testWrongNumberOfPairsIsRefused(uint256 rows, uint256 length) public {
        rows = bound(rows, 1, 64);
        length = bound(length, 0, 4000);
        uint256 right = 20 * rows * (rows + 1);
        vm.assume(length != right);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, right));
        this.rootOfPairs(GramLib.Shape(rows, 1), new bytes(length));
    }

    // -------------------------------------------------------------------------------------------------------- parts

    /// forge-config: default.fuzz.runs = 32
    function testSmallTableIsOnePart(uint256 seed, uint256 rows, uint256 chunks, bytes1 change) public {
        vm.assume(change != 0);
        GramLib.Shape memory shape = GramLib.Shape(bound(rows, 1, 5), bound(chunks, 1, 5));
        (, PlainGram.Node[][] memory levels) = drawn(seed, shape);
        bytes32 root = PlainGram.rootOf(levels, shape.rows);
        assertEq(GramLib.partCount(shape), 1);
        (bytes memory leaves,) = PlainGram.part(levels, 0);
        this.checkPart(shape, 0, leaves, "", root);
        for (uint256 place = 0; place < leaves.length; ++place) {
            leaves[place] ^= change;
            refused(shape, 0, leaves, "", root);
            leaves[place] ^= change;
        }
    }

    /// @dev The liar's root, of a table with something else than zero where padding belongs.
    function testPaddingThatIsNotZeroIsRefusedAndProvable(uint256 seed, int64 product) public {
        vm.assume(product != 0);
        GramLib.Shape memory shape = GramLib.Shape(2 + seed % 3, 1 + (seed >> 8) % 5);
        (, PlainGram.Node[][] memory levels) = drawn(seed, shape);
        uint256 leaf = (seed >> 16) % levels[0].length;
        vm.assume(GramLib.isPadding(shape, leaf));
        levels[0][leaf].sum = product;
        PlainGram.fold(levels);
        bytes32 root = PlainGram.rootOf(levels, shape.rows);
        (bytes memory leaves,) = PlainGram.part(levels, 0);
        refused(shape, 0, leaves, "", root);
        (bytes32 found, int256 recorded, bool wrong) = this.rootByRecords(shape, leaf, PlainGram.pathOf(levels, leaf));
        assertTrue(found == root && recorded == product && wrong, "proof");
    }

    /// @dev 11 rows have 66 pairs, of which 128 leaves each make two whole parts and one of two pairs; a fourth would
    /// be padding.
    /// forge-config: default.fuzz.runs = 2
    function testPartsOfALargeTable(uint256 seed) public {
        GramLib.Shape memory shape = GramLib.Shape(11, 100);
        assertEq(GramLib.partCount(shape), 3);
        (PartOfTable[3] memory parts, bytes32 root) = largeTable(seed, shape);
        for (uint256 part = 0; part < 3; ++part) {
            this.checkPart(shape, part, parts[part].leaves, parts[part].siblings, root);
            refused(shape, part, parts[(part + 1) % 3].leaves, parts[part].siblings, root);
        }
        refused(shape, 3, new bytes(32_768), parts[2].siblings, root);
        // What the sibling of the last part says does not count, what that of its parent says does.
        parts[2].siblings[seed % 40] ^= 0x01;
        this.checkPart(shape, 2, parts[2].leaves, parts[2].siblings, root);
        parts[2].siblings[40 + seed % 40] ^= 0x01;
        refused(shape, 2, parts[2].leaves, parts[2].siblings, root);
        parts[1].siblings[seed % 40] ^= 0x01;
        refused(shape, 1, parts[1].leaves, parts[1].siblings, root);
    }

    struct PartOfTable {
        bytes leaves;
        bytes siblings;
        PlainGram.Node top;
    }

    function largeTable(uint256 seed, GramLib.Shape memory shape)
        private
        view
        returns (PartOfTable[3] memory parts, bytes32)
    {
        PlainGram.Node[4] memory tops;
        for (uint256 part = 0; part < 4; ++part) {
            (bytes memory leaves, PlainGram.Node memory top) = this.largePart(seed, shape, part);
            tops[part] = top;
            if (part < 3) parts[part].leaves = leaves;
        }
        PlainGram.Node memory left = PlainGram.parent(tops[0], tops[1]);
        PlainGram.Node memory right = PlainGram.parent(tops[2], tops[3]);
        parts[0].siblings = bytes.concat(PlainGram.packed(tops[1]), PlainGram.packed(right));
        parts[1].siblings = bytes.concat(PlainGram.packed(tops[0]), PlainGram.packed(right));
        parts[2].siblings = bytes.concat(PlainGram.packed(tops[3]), PlainGram.packed(left));
        PlainGram.Node[][] memory whole = new PlainGram.Node[][](1);
        whole[0] = new PlainGram.Node[](1);
        whole[0][0] = PlainGram.parent(left, right);
        return (parts, PlainGram.rootOf(whole, shape.rows));
    }

    /// @dev In a call of its own, so that its memory is freed.
    function largePart(uint256 seed, GramLib.Shape calldata shape, uint256 part)
        external
        pure
        returns (bytes memory leaves, PlainGram.Node memory top)
    {
        PlainGram.Node[][] memory levels = new PlainGram.Node[][](13);
        levels[0] = new PlainGram.Node[](4096);
        leaves = new bytes(32_768);
        for (uint256 leaf = 0; leaf < 4096; ++leaf) {
            if (GramLib.isPadding(shape, part * 4096 + leaf)) continue;
            int64 product = int64(int256(uint256(keccak256(abi.encode(seed, part, leaf))))) >> 24;
            levels[0][leaf].sum = product;
            for (uint256 place = 0; place < 8; ++place) {
                leaves[8 * leaf + place] = bytes8(uint64(product))[place];
            }
        }
        PlainGram.fold(levels);
        top = levels[12][0];
    }

    function testWrongLengthsAreRefused(uint256 wrong) public {
        GramLib.Shape memory shape = GramLib.Shape(11, 128);
        wrong = bound(wrong, 0, 65_536);
        if (wrong != 32_768) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, wrong, 32_768));
            this.checkPart(shape, 0, new bytes(wrong), new bytes(80), 0);
        }
        wrong %= 200;
        if (wrong != 80) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, wrong, 80));
            this.checkPart(shape, 0, new bytes(32_768), new bytes(wrong), 0);
        }
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function innerProduct(bytes calldata rows, uint256 first, uint256 second) external pure returns (int256) {
        return GramLib.innerProduct(Loading.load(rows, rows.length / 2), first, second);
    }

    function rootByRecords(GramLib.Shape calldata shape, uint256 leaf, bytes calldata path)
        external
        pure
        returns (bytes32, int256, bool)
    {
        return GramLib.rootByRecords(shape, uint32(leaf), path);
    }

    function rootOfPairs(GramLib.Shape calldata shape, bytes calldata nodes) external pure returns (bytes32) {
        return GramLib.rootOfPairs(shape, nodes);
    }

    function checkPart(
        GramLib.Shape calldata shape,
        uint256 part,
        bytes calldata leaves,
        bytes calldata siblings,
        bytes32 root
    ) external pure {
        GramLib.checkPart(shape, part, leaves, siblings, root);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function refused(GramLib.Shape memory shape, uint256 part, bytes memory leaves, bytes memory siblings, bytes32 root)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadPart.selector, part));
        this.checkPart(shape, part, leaves, siblings, root);
    }

    /// @dev Any products, not those of rows.
    function drawn(uint256 seed, GramLib.Shape memory shape)
        private
        pure
        returns (int64[][] memory table, PlainGram.Node[][] memory levels)
    {
        table = new int64[][](shape.rows * (shape.rows + 1) / 2);
        for (uint256 pair = 0; pair < table.length; ++pair) {
            table[pair] = new int64[](shape.chunks);
            for (uint256 chunk = 0; chunk < shape.chunks; ++chunk) {
                table[pair][chunk] = int64(uint64(uint256(keccak256(abi.encode(seed, pair, chunk)))));
            }
        }
        levels = PlainGram.levelsOf(table);
    }

    function draw(uint256 seed, uint256 count) private pure returns (int256[] memory values) {
        values = new int256[](count);
        for (uint256 column = 0; column < count; ++column) {
            values[column] = int16(uint16(uint256(keccak256(abi.encode(seed, column)))));
        }
    }
}
