// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PostLib} from "../src/libraries/PostLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice Parts of a vector against plain trees, and every way in which they or their root may lie.
contract PostTest is Test {
    uint256 private constant PART_BYTES = 32_768;

    // ------------------------------------------------------------------------------------------- what is accepted

    function testVectorOfOnePartIsAccepted(uint256 seed, uint256 dimension, uint256 chunkLength, bool model)
        public
        view
    {
        chunkLength = 16 * bound(chunkLength, 1, 32);
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, 1, 2_000), chunkLength, model ? 4 : 2);
        assertEq(PostLib.partCount(shape), 1);
        checkAllParts(seed, shape);
    }

    /// forge-config: default.fuzz.runs = 8
    function testVectorOfSeveralPartsIsAccepted(uint256 seed, uint256 dimension, uint256 chunkLength, bool model)
        public
        view
    {
        chunkLength = 16 * bound(chunkLength, 4, 32);
        uint256 width = model ? 4 : 2;
        uint256 perPart = chunkLength << heightOf(SumTree.Shape(type(uint32).max, chunkLength, width));
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, perPart + 1, 3 * perPart), chunkLength, width);
        assertEq(PostLib.partCount(shape), (shape.dimension + perPart - 1) / perPart);
        checkAllParts(seed, shape);
    }

    function testPartCountsAreThoseOfTheGreatestSubtreesThatFit(uint256 dimension, uint256 chunkLength, bool model)
        public
        pure
    {
        chunkLength = 16 * bound(chunkLength, 1, 32);
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, 1, type(uint32).max), chunkLength, model ? 4 : 2);
        uint256 perPart = chunkLength << heightOf(shape);
        assertEq(PostLib.partCount(shape), (shape.dimension + perPart - 1) / perPart);
    }

    /// @dev Any part of a vector of any dimension: the siblings are drawn, and the root follows from them.
    /// forge-config: default.fuzz.runs = 48
    function testPartOfAnyVectorIsAcceptedAndNoChangeOfItIs(
        uint256 seed,
        uint256 dimension,
        uint256 chunkLength,
        bool model,
        uint256 part,
        bytes1 change
    ) public {
        vm.assume(change != 0);
        SumTree.Shape memory shape =
            SumTree.Shape(bound(dimension, 1, type(uint32).max), 16 * bound(chunkLength, 1, 32), model ? 4 : 2);
        part = bound(part, 0, PostLib.partCount(shape) - 1);
        // The last part, which may be short and stand beside padding, as often as all the others.
        if (seed % 2 == 0) part = PostLib.partCount(shape) - 1;
        (bytes memory chunks, bytes memory siblings, bytes32 root) = drawnPart(seed, shape, part);
        this.check(shape, part, chunks, siblings, root);

        uint256 place = uint256(keccak256(abi.encode(seed, "place"))) % chunks.length;
        chunks[place] ^= change;
        refused(shape, part, chunks, siblings, root);
        chunks[place] ^= change;
        refused(shape, part, chunks, siblings, keccak256(abi.encode(root)));
        if (siblings.length == 0) return;
        siblings[place % siblings.length] ^= change;
        refused(shape, part, chunks, siblings, root);
    }

    // -------------------------------------------------------------------------------------------- what is refused

    /// @dev Four whole parts, then one of a single chunk that is half padding, beside padding of two heights.
    function testEveryBitOfAPartCounts() public {
        SumTree.Shape memory shape = SumTree.Shape(4 * 16 * 1024 + 8, 16, 2);
        (bytes memory chunks, bytes memory siblings, bytes32 root) = drawnPart(1, shape, 4);
        assertEq(chunks.length, 32);
        assertEq(siblings.length, 3 * 40);
        this.check(shape, 4, chunks, siblings, root);
        for (uint256 bit = 0; bit < 8 * chunks.length; ++bit) {
            chunks[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            refused(shape, 4, chunks, siblings, root);
            chunks[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        }
        for (uint256 bit = 0; bit < 8 * siblings.length; ++bit) {
            siblings[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            refused(shape, 4, chunks, siblings, root);
            siblings[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        }
    }

    function testEveryByteOfASmallVectorCounts(uint256 seed, uint256 dimension, bool model, bytes1 change) public {
        vm.assume(change != 0);
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, 1, 70), 16, model ? 4 : 2);
        bytes memory values = drawBytes(seed, shape.dimension * shape.widthBytes);
        bytes32 root = PlainTree.rootOf(values, shape);
        (bytes memory chunks, bytes memory siblings) = PlainTree.part(values, shape, 0, heightOf(shape));
        for (uint256 place = 0; place < chunks.length; ++place) {
            chunks[place] ^= change;
            refused(shape, 0, chunks, siblings, root);
            chunks[place] ^= change;
        }
    }

    function testWrongLengthsAreRefused(uint256 part, uint256 wrong) public {
        SumTree.Shape memory shape = SumTree.Shape(3 * 16 * 1024 + 16 * 7, 16, 2);
        part = bound(part, 0, 3);
        uint256 right = part == 3 ? 7 * 32 : PART_BYTES;
        wrong = bound(wrong, 0, 2 * PART_BYTES);
        if (wrong != right) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, wrong, right));
            this.check(shape, part, new bytes(wrong), new bytes(80), 0);
        }
        wrong = wrong % 200;
        if (wrong != 80) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, wrong, 80));
            this.check(shape, part, new bytes(right), new bytes(wrong), 0);
        }
    }

    /// forge-config: default.fuzz.runs = 8
    function testPartOfAnotherNumberIsRefused(uint256 seed, uint256 other) public {
        SumTree.Shape memory shape = SumTree.Shape(4 * 512 * 32, 512, 2);
        (bytes memory chunks, bytes memory siblings, bytes32 root) = drawnPart(seed, shape, seed % 4);
        other = bound(other, 0, 3);
        if (other != seed % 4) refused(shape, other, chunks, siblings, root);
    }

    function testPartBehindTheLastIsRefused(uint256 part) public {
        SumTree.Shape memory shape = SumTree.Shape(3 * 512 * 32, 512, 2);
        part = bound(part, 3, type(uint256).max);
        refused(shape, part, new bytes(PART_BYTES), new bytes(80), 0);
    }

    // --------------------------------------------------------------------------- roots that a liar made as he liked

    function testRootOverNonZeroPaddingOfTheVectorIsRefused(uint256 dimension, uint256 place, bytes1 dirt, bool model)
        public
    {
        vm.assume(dirt != 0);
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, 1, 79), 16, model ? 4 : 2);
        uint256 used = shape.dimension * shape.widthBytes;
        uint256 chunkBytes = 16 * shape.widthBytes;
        uint256 whole = (used + chunkBytes - 1) / chunkBytes * chunkBytes;
        vm.assume(whole != used);
        bytes memory values = new bytes(whole);
        values[bound(place, used, whole - 1)] = dirt;
        (bytes memory chunks, bytes memory siblings) = PlainTree.part(values, shape, 0, heightOf(shape));
        refused(shape, 0, chunks, siblings, PlainTree.rootOf(values, shape));
    }

    /// @dev A leaf behind the last chunk, with a hash, a sum, or both; or a later node that is no padding.
    function testRootOverSomethingElseThanPaddingLeavesIsRefused(uint256 seed, uint256 dimension, uint64 sum) public {
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, 1, 16 * 15), 16, 2);
        PlainTree.Node[][] memory levels = PlainTree.levelsOf(drawBytes(seed, shape.dimension * 2), shape);
        uint256 chunks = (shape.dimension + 15) / 16;
        vm.assume(chunks < levels[0].length);
        levels[0][chunks + seed % (levels[0].length - chunks)] = PlainTree.Node(
            seed % 3 == 0 ? bytes32(0) : bytes32(seed), uint64(bound(sum, seed % 3 == 1 ? 0 : 1, 1 << 40))
        );
        PlainTree.fold(levels);
        bytes32 root = PlainTree.rootOf(levels[levels.length - 1][0], shape);
        refused(shape, 0, PlainTree.slice(drawBytes(seed, shape.dimension * 2), 0, chunks * 32), "", root);
    }

    /// @dev What stands behind the last part is not posted, so nothing but padding may be there.
    /// forge-config: default.fuzz.runs = 64
    function testRootOverSomethingElseThanPaddingBehindTheLastPartIsRefused(
        uint256 seed,
        uint256 place,
        uint256 bit,
        uint256 parts
    ) public {
        parts = bound(parts, 3, 30);
        vm.assume((parts & (parts - 1)) != 0);
        SumTree.Shape memory shape = SumTree.Shape(parts * 16 * 1024 - 16 * 1023, 16, 2);
        uint256 last = parts - 1;
        (bytes memory chunks, bytes memory siblings,) = drawnPart(seed, shape, last);
        uint256 depth = siblings.length / 40;
        place = place % depth;
        while (((last >> place) ^ 1) <= (last >> place)) place = (place + 1) % depth;
        // Any bit of the hash, or of the sum as far as the whole stays believable.
        bit = bound(bit, 0, 255 + 40);
        uint256 offset = 40 * place + (bit < 256 ? bit / 8 : 39 - (bit - 256) / 8);
        siblings[offset] ^= bytes1(uint8(1 << (bit % 8)));
        refused(shape, last, chunks, siblings, rootOfPart(shape, last, chunks, siblings));
    }

    function testRootThatRecordsAnotherSumOfALeafIsRefused(uint256 seed, uint256 dimension, uint64 sum) public {
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, 1, 16 * 16), 16, 2);
        bytes memory values = drawBytes(seed, shape.dimension * 2);
        PlainTree.Node[][] memory levels = PlainTree.levelsOf(values, shape);
        uint256 chunks = (shape.dimension + 15) / 16;
        PlainTree.Node memory liar = levels[0][seed % chunks];
        sum = uint64(bound(sum, 0, 1 << 40));
        vm.assume(sum != liar.sum);
        liar.sum = sum;
        PlainTree.fold(levels);
        bytes32 root = PlainTree.rootOf(levels[levels.length - 1][0], shape);
        refused(shape, 0, PlainTree.slice(values, 0, chunks * 32), "", root);
    }

    function testRootOfAModelWithSumsIsRefused(uint256 seed, uint64 sum) public {
        sum = uint64(bound(sum, 1, 1 << 40));
        SumTree.Shape memory shape = SumTree.Shape(64, 16, 4);
        bytes memory values = drawBytes(seed, 256);
        PlainTree.Node[][] memory levels = PlainTree.levelsOf(values, shape);
        levels[0][seed % 4].sum = sum;
        PlainTree.fold(levels);
        refused(shape, 0, values, "", PlainTree.rootOf(levels[2][0], shape));
    }

    /// @dev The liar knows the wrapped sum's root; the wrap itself is what must be refused.
    /// forge-config: default.fuzz.runs = 64
    function testSumThatWrapsIsRefused(uint64 high) public {
        high = uint64(bound(high, 1 << 63, type(uint64).max));
        SumTree.Shape memory shape = SumTree.Shape(16 * 1024 + 16, 16, 2);
        bytes memory siblings = abi.encodePacked(keccak256("other"), high);
        bytes memory chunks = new bytes(32);
        refused(shape, 1, chunks, siblings, rootOfPart(shape, 1, chunks, siblings));
        siblings = abi.encodePacked(keccak256("other"), uint64(1 << 63) - 1);
        this.check(shape, 1, chunks, siblings, rootOfPart(shape, 1, chunks, siblings));
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function check(
        SumTree.Shape calldata shape,
        uint256 part,
        bytes calldata chunks,
        bytes calldata siblings,
        bytes32 root
    ) external pure {
        PostLib.checkPart(shape, part, chunks, siblings, root);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function checkAllParts(uint256 seed, SumTree.Shape memory shape) private view {
        bytes memory values = drawBytes(seed, shape.dimension * shape.widthBytes);
        PlainTree.Node[][] memory levels = PlainTree.levelsOf(values, shape);
        bytes32 root = PlainTree.rootOf(levels[levels.length - 1][0], shape);
        uint256 height = heightOf(shape);
        for (uint256 part = 0; part < PostLib.partCount(shape); ++part) {
            bytes memory chunks = chunksOf(values, shape, part);
            this.check(shape, part, chunks, PlainTree.siblingsOf(levels, part, height), root);
        }
    }

    function refused(SumTree.Shape memory shape, uint256 part, bytes memory chunks, bytes memory siblings, bytes32 root)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadPart.selector, part));
        this.check(shape, part, chunks, siblings, root);
    }

    /// @dev A part with drawn siblings, but for those behind the vector's end.
    function drawnPart(uint256 seed, SumTree.Shape memory shape, uint256 part)
        private
        pure
        returns (bytes memory chunks, bytes memory siblings, bytes32 root)
    {
        // Only as much of the vector as the part has of it.
        uint256 skipped = (part << heightOf(shape)) * shape.chunkLength;
        uint256 most = shape.chunkLength << heightOf(shape);
        uint256 used = shape.dimension - skipped < most ? shape.dimension - skipped : most;
        uint256 whole = (used + shape.chunkLength - 1) / shape.chunkLength * shape.chunkLength;
        chunks = PlainTree.slice(drawBytes(seed, used * shape.widthBytes), 0, whole * shape.widthBytes);
        siblings = drawnSiblings(seed, shape, part << heightOf(shape));
        root = rootOfPart(shape, part, chunks, siblings);
    }

    function drawnSiblings(uint256 seed, SumTree.Shape memory shape, uint256 first)
        private
        pure
        returns (bytes memory siblings)
    {
        PlainTree.Node memory padding;
        for (uint256 level = 0; level < depthOf(shape); ++level) {
            uint256 sibling = (first >> level) ^ 1;
            PlainTree.Node memory node = PlainTree.Node(padding.hash, padding.sum);
            if ((sibling << level) * shape.chunkLength < shape.dimension) {
                node.hash = keccak256(abi.encode(seed, "sibling", level));
                node.sum = shape.widthBytes == 4 ? 0 : uint64(uint256(node.hash) % 2 ** 52);
            }
            if (level >= heightOf(shape)) siblings = bytes.concat(siblings, PlainTree.packed(node));
            padding = PlainTree.parent(padding, padding);
        }
    }

    /// @dev Whatever the siblings are.
    function rootOfPart(SumTree.Shape memory shape, uint256 part, bytes memory chunks, bytes memory siblings)
        private
        pure
        returns (bytes32)
    {
        PlainTree.Node memory node = nodeOfPart(shape, part, chunks);
        for (uint256 offset = 0; offset < siblings.length; offset += 40) {
            PlainTree.Node memory sibling = PlainTree.Node(
                bytes32(PlainTree.slice(siblings, offset, 32)),
                uint64(bytes8(PlainTree.slice(siblings, offset + 32, 8)))
            );
            node = part % 2 == 0 ? PlainTree.parent(node, sibling) : PlainTree.parent(sibling, node);
            part /= 2;
        }
        return PlainTree.rootOf(node, shape);
    }

    function nodeOfPart(SumTree.Shape memory shape, uint256 part, bytes memory chunks)
        private
        pure
        returns (PlainTree.Node memory)
    {
        uint256 height = heightOf(shape);
        uint256 length = shape.chunkLength * shape.widthBytes;
        PlainTree.Node[][] memory levels = new PlainTree.Node[][](height + 1);
        levels[0] = new PlainTree.Node[](1 << height);
        for (uint256 index = 0; index < chunks.length / length; ++index) {
            bytes memory chunk = PlainTree.slice(chunks, index * length, length);
            levels[0][index] = PlainTree.leaf(chunk, shape.widthBytes, (part << height) + index);
        }
        PlainTree.fold(levels);
        return levels[height][0];
    }

    /// @dev As far as the vector has chunks.
    function chunksOf(bytes memory values, SumTree.Shape memory shape, uint256 part)
        private
        pure
        returns (bytes memory)
    {
        uint256 chunks = (shape.dimension + shape.chunkLength - 1) / shape.chunkLength;
        uint256 length = shape.chunkLength * shape.widthBytes;
        uint256 first = part << heightOf(shape);
        uint256 count = chunks - first;
        if (count > 1 << heightOf(shape)) count = 1 << heightOf(shape);
        return PlainTree.slice(values, first * length, count * length);
    }

    /// @dev The greatest height of a subtree whose chunks fit into a part.
    function heightOf(SumTree.Shape memory shape) private pure returns (uint256 height) {
        for (uint256 next = 0; next <= depthOf(shape); ++next) {
            if (shape.chunkLength * shape.widthBytes * 2 ** next <= PART_BYTES) height = next;
        }
    }

    function depthOf(SumTree.Shape memory shape) private pure returns (uint256 depth) {
        while (shape.chunkLength * 2 ** depth < shape.dimension) ++depth;
    }

    function drawBytes(uint256 seed, uint256 length) private pure returns (bytes memory drawn) {
        bytes32[] memory words = new bytes32[]((length + 31) / 32);
        for (uint256 index = 0; index < words.length; ++index) {
            words[index] = keccak256(abi.encode(seed, index));
        }
        return PlainTree.slice(abi.encodePacked(words), 0, length);
    }
}
