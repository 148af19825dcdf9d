// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {SumTree} from "../src/libraries/SumTree.sol";

/// @notice Sum trees against the vectors that Python passes too, and against plain arithmetic.
contract SumTreeTest is Test {
    struct Node {
        bytes32 hash;
        uint64 sum;
    }

    struct Opening {
        uint256 index;
        bytes chunk;
        Node[] siblings;
    }

    // ----------------------------------------------------------------------------------------------------- vectors

    function testVectorsOfTrees() public view {
        string memory json = vm.readFile("tests/vectors/sumtree.json");
        bytes[] memory values = vm.parseJsonBytesArray(json, ".values");
        bytes[] memory leafHashes = vm.parseJsonBytesArray(json, ".leafHashes");
        bytes[] memory leafSums = vm.parseJsonBytesArray(json, ".leafSums");
        bytes32[] memory tops = vm.parseJsonBytes32Array(json, ".top");
        bytes32[] memory roots = vm.parseJsonBytes32Array(json, ".root");
        uint256[] memory depths = vm.parseJsonUintArray(json, ".depth");
        uint256[] memory norms = vm.parseJsonUintArray(json, ".squaredNorm");
        assertGt(roots.length, 0, "no vectors");
        for (uint256 row = 0; row < roots.length; ++row) {
            SumTree.Shape memory shape = shapeOf(json, row);
            Node[] memory leaves = leavesOf(values[row], shape);
            assertEq(SumTree.depth(shape), depths[row], "depth");
            assertEq(abi.encodePacked(hashesOf(leaves)), leafHashes[row], "leaf hashes");
            assertEq(packedSums(leaves), leafSums[row], "leaf sums");
            Node memory top = topOf(leaves, depths[row]);
            assertEq(top.hash, tops[row], "top");
            assertEq(top.sum, norms[row], "squared norm");
            assertEq(SumTree.root(shape.dimension, top.sum, top.hash), roots[row], "root");
        }
    }

    function testVectorsOfOpenings() public view {
        checkOpenings("tests/vectors/openings.json", true);
    }

    function testVectorsOfFalseOpenings() public view {
        checkOpenings("tests/vectors/invalid/openings.json", false);
    }

    // -------------------------------------------------------------------------------------------------------- fuzz

    function testSquaresAgreeWithPlainArithmetic(bytes32[] memory words, uint256 length) public view {
        length = bound(length, 0, words.length < 64 ? words.length : 64);
        bytes32[] memory chunk = new bytes32[](length);
        for (uint256 index = 0; index < length; ++index) {
            chunk[index] = words[index];
        }
        bytes memory packed = abi.encodePacked(chunk);
        assertEq(this.squares(packed), plainSquares(packed));
    }

    function testSquaresOfExtremes() public view {
        bytes memory chunk = new bytes(2048);
        assertEq(this.squares(chunk), 0, "zeros");
        for (uint256 index = 0; index < chunk.length; index += 2) {
            chunk[index] = 0x80;
        }
        assertEq(this.squares(chunk), 1024 * 2 ** 30, "lowest");
        for (uint256 index = 0; index < chunk.length; index += 2) {
            (chunk[index], chunk[index + 1]) = (0x7f, 0xff);
        }
        assertEq(this.squares(chunk), 1024 * 32767 ** 2, "highest");
    }

    function testEveryChunkOpensAndNoChangeOfItDoes(uint256 seed, uint256 dimension, bool model) public view {
        SumTree.Shape memory shape = SumTree.Shape(
            bound(dimension, 1, 400), 16 * bound(seed, 1, 3), model ? SumTree.INT32_BYTES : SumTree.INT16_BYTES
        );
        Node[] memory leaves = leavesOf(drawBytes(seed, shape.dimension * shape.widthBytes), shape);
        Node memory top = topOf(leaves, SumTree.depth(shape));
        bytes32 root = SumTree.root(shape.dimension, top.sum, top.hash);
        Opening memory opening =
            openingOf(drawBytes(seed, shape.dimension * shape.widthBytes), leaves, shape, seed % leaves.length);
        assertTrue(proves(opening, root, shape), "honest");

        assertFalse(proves(opening, keccak256(abi.encode(root)), shape), "another root");
        opening.chunk[seed % opening.chunk.length] ^= 0x01;
        assertFalse(proves(opening, root, shape), "changed coordinate");
        opening.chunk[seed % opening.chunk.length] ^= 0x01;
        if (opening.siblings.length > 0) {
            uint256 height = seed % opening.siblings.length;
            opening.siblings[height].sum ^= uint64(1 << (seed % 64));
            assertFalse(proves(opening, root, shape), "changed sum");
            opening.siblings[height].sum ^= uint64(1 << (seed % 64));
            opening.siblings[height].hash ^= bytes32(1 << (seed % 256));
            assertFalse(proves(opening, root, shape), "changed hash");
            opening.siblings[height].hash ^= bytes32(1 << (seed % 256));
            opening.index ^= 1 << height;
            assertFalse(proves(opening, root, shape), "another index");
            opening.index ^= 1 << height;
        }
        opening.index += 1 << SumTree.depth(shape);
        assertFalse(proves(opening, root, shape), "index beyond the tree");
    }

    /// @dev The liar knows the wrapped sum's root; the wrap itself is what must be refused.
    function testSumThatWrapsIsRefused(uint64 high) public view {
        high = uint64(bound(high, 1 << 63, type(uint64).max));
        SumTree.Shape memory shape = SumTree.Shape(32, 16, SumTree.INT16_BYTES);
        Opening memory opening = Opening(0, new bytes(32), new Node[](1));
        opening.siblings[0] = Node(keccak256("other"), high);
        bytes32 top = nodeHash(this.leafHash(2, 0, opening.chunk), 0, opening.siblings[0].hash, high);
        assertFalse(proves(opening, SumTree.root(32, high, top), shape), "too large");
        opening.siblings[0].sum = (1 << 63) - 1;
        top = nodeHash(this.leafHash(2, 0, opening.chunk), 0, opening.siblings[0].hash, (1 << 63) - 1);
        assertTrue(proves(opening, SumTree.root(32, (1 << 63) - 1, top), shape), "largest");
    }

    /// @dev The liar committed to a tree with such a chunk, so no hash gives him away.
    function testNonZeroPaddingIsRefused(uint256 dimension, uint256 place, bytes1 dirt) public view {
        dimension = bound(dimension, 1, 63);
        place = bound(place, 2 * dimension, 127);
        SumTree.Shape memory shape = SumTree.Shape(dimension, 64, SumTree.INT16_BYTES);
        Opening memory opening = Opening(0, new bytes(128), new Node[](0));
        opening.chunk[place] = dirt;
        bool proven = proves(opening, rootOfOneChunk(dimension, opening.chunk), shape);
        assertEq(proven, dirt == 0);
        opening.chunk[place] = 0;
        opening.chunk[place % (2 * dimension)] = dirt;
        assertTrue(proves(opening, rootOfOneChunk(dimension, opening.chunk), shape), "no padding");
    }

    function testChunkOfAnotherLengthIsRefused(uint256 words) public view {
        words = bound(words, 0, 64);
        SumTree.Shape memory shape = SumTree.Shape(64, 64, SumTree.INT16_BYTES);
        Opening memory opening = Opening(0, new bytes(32 * words), new Node[](0));
        assertEq(proves(opening, rootOfOneChunk(64, opening.chunk), shape), words == 4);
    }

    function testTreeOfAnotherDepthIsRefused(uint256 height) public view {
        height = bound(height, 0, 6);
        SumTree.Shape memory shape = SumTree.Shape(16 * 5, 16, SumTree.INT16_BYTES);
        Opening memory opening = Opening(0, new bytes(32), new Node[](height));
        bytes32 top = this.leafHash(2, 0, opening.chunk);
        for (uint256 index = 0; index < height; ++index) {
            top = nodeHash(top, 0, 0, 0);
        }
        assertEq(proves(opening, SumTree.root(16 * 5, 0, top), shape), height == 3);
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function verify(uint256 index, bytes calldata opening, bytes32 root, SumTree.Shape memory shape)
        external
        pure
        returns (bool)
    {
        return index < SumTree.chunkCount(shape) && opening.length == SumTree.openingBytes(shape)
            && SumTree.padded(index, opening, shape) && SumTree.opens(index, opening, root, shape);
    }

    function squares(bytes memory chunk) external pure returns (uint256) {
        uint256 start;
        assembly ("memory-safe") {
            start := add(chunk, 32)
        }
        return SumTree.squares(start, chunk.length);
    }

    function leafHash(uint256 widthBytes, uint256 index, bytes calldata chunk) external pure returns (bytes32 hash) {
        SumTree.copy(chunk, 0, SumTree.unused(), chunk.length);
        (hash,) = SumTree.leafAt(index, SumTree.unused(), chunk.length, widthBytes);
    }

    // ------------------------------------------------------------------------------------------------- plain trees

    function checkOpenings(string memory path, bool wanted) private view {
        string memory json = vm.readFile(path);
        bytes32[] memory roots = vm.parseJsonBytes32Array(json, ".root");
        string[] memory names = vm.parseJsonStringArray(json, ".name");
        bytes[] memory chunks = vm.parseJsonBytesArray(json, ".chunk");
        bytes[] memory hashes = vm.parseJsonBytesArray(json, ".siblingHashes");
        bytes[] memory sums = vm.parseJsonBytesArray(json, ".siblingSums");
        uint256[] memory indices = vm.parseJsonUintArray(json, ".index");
        assertGt(roots.length, 0, "no vectors");
        for (uint256 row = 0; row < roots.length; ++row) {
            Opening memory opening = Opening(indices[row], chunks[row], nodesOf(hashes[row], sums[row]));
            assertEq(proves(opening, roots[row], shapeOf(json, row)), wanted, names[row]);
        }
    }

    function proves(Opening memory opening, bytes32 root, SumTree.Shape memory shape) private view returns (bool) {
        bytes memory packed = opening.chunk;
        for (uint256 height = 0; height < opening.siblings.length; ++height) {
            packed = abi.encodePacked(packed, opening.siblings[height].hash, opening.siblings[height].sum);
        }
        return this.verify(opening.index, packed, root, shape);
    }

    function nodeHash(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(left, right, "volquorum.node.1", uint64(leftSum), uint64(rightSum)));
    }

    function rootOfOneChunk(uint256 dimension, bytes memory chunk) private view returns (bytes32) {
        return SumTree.root(dimension, plainSquares(chunk), this.leafHash(2, 0, chunk));
    }

    function shapeOf(string memory json, uint256 row) private pure returns (SumTree.Shape memory) {
        return SumTree.Shape(
            vm.parseJsonUintArray(json, ".dimension")[row],
            vm.parseJsonUintArray(json, ".chunkLength")[row],
            vm.parseJsonUintArray(json, ".widthBytes")[row]
        );
    }

    function nodesOf(bytes memory hashes, bytes memory sums) private pure returns (Node[] memory nodes) {
        nodes = new Node[](hashes.length / 32);
        for (uint256 index = 0; index < nodes.length; ++index) {
            nodes[index].hash = bytes32(slice(hashes, 32 * index, 32));
            nodes[index].sum = uint64(bytes8(slice(sums, 8 * index, 8)));
        }
    }

    function leavesOf(bytes memory values, SumTree.Shape memory shape) private view returns (Node[] memory leaves) {
        leaves = new Node[](SumTree.chunkCount(shape));
        for (uint256 index = 0; index < leaves.length; ++index) {
            bytes memory chunk = chunkOf(values, shape, index);
            leaves[index].hash =
                keccak256(abi.encodePacked("volquorum.leaf.1", uint64(shape.widthBytes), uint64(index), chunk));
            if (shape.widthBytes == 2) leaves[index].sum = uint64(plainSquares(chunk));
            assertEq(this.leafHash(shape.widthBytes, index, chunk), leaves[index].hash, "leaf");
        }
    }

    function topOf(Node[] memory leaves, uint256 depth) private pure returns (Node memory) {
        return levelOf(leaves, depth)[0];
    }

    /// @dev The nodes `height` levels above the leaves, padding included.
    function levelOf(Node[] memory leaves, uint256 height) private pure returns (Node[] memory nodes) {
        uint256 width = 1;
        while (width < leaves.length) width *= 2;
        nodes = new Node[](width);
        for (uint256 index = 0; index < leaves.length; ++index) {
            nodes[index] = leaves[index];
        }
        for (; height > 0; --height) {
            Node[] memory parents = new Node[](nodes.length / 2);
            for (uint256 index = 0; index < parents.length; ++index) {
                (Node memory left, Node memory right) = (nodes[2 * index], nodes[2 * index + 1]);
                parents[index].hash =
                    keccak256(abi.encodePacked(left.hash, right.hash, "volquorum.node.1", left.sum, right.sum));
                parents[index].sum = left.sum + right.sum;
            }
            nodes = parents;
        }
    }

    function openingOf(bytes memory values, Node[] memory leaves, SumTree.Shape memory shape, uint256 index)
        private
        pure
        returns (Opening memory opening)
    {
        opening.index = index;
        opening.chunk = chunkOf(values, shape, index);
        opening.siblings = new Node[](SumTree.depth(shape));
        for (uint256 height = 0; height < opening.siblings.length; ++height) {
            opening.siblings[height] = levelOf(leaves, height)[(index >> height) ^ 1];
        }
    }

    function chunkOf(bytes memory values, SumTree.Shape memory shape, uint256 index)
        private
        pure
        returns (bytes memory chunk)
    {
        uint256 length = shape.chunkLength * shape.widthBytes;
        chunk = new bytes(length);
        for (uint256 offset = 0; offset < length && index * length + offset < values.length; ++offset) {
            chunk[offset] = values[index * length + offset];
        }
    }

    function plainSquares(bytes memory chunk) private pure returns (uint256 sum) {
        for (uint256 index = 0; index < chunk.length; index += 2) {
            int256 value = int16(uint16(bytes2(slice(chunk, index, 2))));
            sum += uint256(value * value);
        }
    }

    function hashesOf(Node[] memory nodes) private pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](nodes.length);
        for (uint256 index = 0; index < nodes.length; ++index) {
            hashes[index] = nodes[index].hash;
        }
    }

    function packedSums(Node[] memory nodes) private pure returns (bytes memory packed) {
        for (uint256 index = 0; index < nodes.length; ++index) {
            packed = abi.encodePacked(packed, nodes[index].sum);
        }
    }

    function drawBytes(uint256 seed, uint256 length) private pure returns (bytes memory drawn) {
        drawn = new bytes(length);
        for (uint256 index = 0; index < length; ++index) {
            drawn[index] = bytes32(keccak256(abi.encode(seed, index / 32)))[index % 32];
        }
    }

    function slice(bytes memory from, uint256 start, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 index = 0; index < length; ++index) {
            part[index] = from[start + index];
        }
    }
}
