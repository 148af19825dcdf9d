// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SumTree} from "../src/libraries/SumTree.sol";

/// @notice Sum trees and what is shown of them as their definition says it, from whole vectors.
library PlainTree {
    struct Node {
        bytes32 hash;
        uint64 sum;
    }

    /// @notice The top of a vector's tree.
    function topOf(bytes memory values, SumTree.Shape memory shape) internal pure returns (Node memory) {
        Node[][] memory levels = levelsOf(values, shape);
        return levels[levels.length - 1][0];
    }

    function rootOf(bytes memory values, SumTree.Shape memory shape) internal pure returns (bytes32) {
        return rootOf(topOf(values, shape), shape);
    }

    function rootOf(Node memory top, SumTree.Shape memory shape) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("volquorum.root.1", uint64(shape.dimension), top.sum, top.hash));
    }

    /// @notice The opening of one chunk: itself and its siblings.
    function open(bytes memory values, SumTree.Shape memory shape, uint256 index)
        internal
        pure
        returns (bytes memory opening)
    {
        return bytes.concat(
            slice(values, index * shape.chunkLength * shape.widthBytes, shape.chunkLength * shape.widthBytes),
            siblingsOf(levelsOf(values, shape), index, 0)
        );
    }

    /// @notice The path of one chunk: its leaf's hash and sum, and its siblings.
    function path(bytes memory values, SumTree.Shape memory shape, uint256 index) internal pure returns (bytes memory) {
        Node[][] memory levels = levelsOf(values, shape);
        return bytes.concat(packed(levels[0][index]), siblingsOf(levels, index, 0));
    }

    /// @notice The opening of one chunk with the sums that each parent records.
    function openRecorded(bytes memory values, SumTree.Shape memory shape, uint256 index)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(
            slice(values, index * shape.chunkLength * shape.widthBytes, shape.chunkLength * shape.widthBytes),
            recordsOf(levelsOf(values, shape), index)
        );
    }

    /// @notice A part of 2^height chunks: these, as far as the vector has them, and the siblings from `height` upward.
    function part(bytes memory values, SumTree.Shape memory shape, uint256 number, uint256 height)
        internal
        pure
        returns (bytes memory chunks, bytes memory siblings)
    {
        uint256 first = number << height;
        uint256 end = first + (1 << height);
        uint256 last = (shape.dimension + shape.chunkLength - 1) / shape.chunkLength;
        if (end > last) end = last;
        uint256 chunkBytes = shape.chunkLength * shape.widthBytes;
        chunks = slice(values, first * chunkBytes, (end - first) * chunkBytes);
        siblings = siblingsOf(levelsOf(values, shape), number, height);
    }

    function leaf(bytes memory chunk, uint256 widthBytes, uint256 index) internal pure returns (Node memory node) {
        node.hash = keccak256(abi.encodePacked("volquorum.leaf.1", uint64(widthBytes), uint64(index), chunk));
        for (uint256 offset = 0; widthBytes == 2 && offset < chunk.length; offset += 2) {
            int256 value = int16(uint16(uint8(chunk[offset])) << 8 | uint8(chunk[offset + 1]));
            node.sum += uint64(uint256(value * value));
        }
    }

    function parent(Node memory left, Node memory right) internal pure returns (Node memory) {
        return Node(
            keccak256(abi.encodePacked(left.hash, right.hash, "volquorum.node.1", left.sum, right.sum)),
            left.sum + right.sum
        );
    }

    /// @notice All nodes, padding included, from the leaves up to the top.
    function levelsOf(bytes memory values, SumTree.Shape memory shape) internal pure returns (Node[][] memory levels) {
        uint256 chunks = (shape.dimension + shape.chunkLength - 1) / shape.chunkLength;
        uint256 depth = 0;
        while (2 ** depth < chunks) ++depth;
        uint256 length = shape.chunkLength * shape.widthBytes;
        levels = new Node[][](depth + 1);
        levels[0] = new Node[](2 ** depth);
        for (uint256 index = 0; index < chunks; ++index) {
            levels[0][index] = leaf(slice(values, index * length, length), shape.widthBytes, index);
        }
        fold(levels);
    }

    /// @notice Makes every level above the leaves anew.
    function fold(Node[][] memory levels) internal pure {
        for (uint256 height = 1; height < levels.length; ++height) {
            levels[height] = new Node[](levels[height - 1].length / 2);
            for (uint256 index = 0; index < levels[height].length; ++index) {
                levels[height][index] = parent(levels[height - 1][2 * index], levels[height - 1][2 * index + 1]);
            }
        }
    }

    /// @notice The siblings on the way from a node, the index-th of its level, to the top.
    function siblingsOf(Node[][] memory levels, uint256 index, uint256 height)
        internal
        pure
        returns (bytes memory siblings)
    {
        for (; height + 1 < levels.length; ++height) {
            siblings = bytes.concat(siblings, packed(levels[height][index ^ 1]));
            index /= 2;
        }
    }

    /// @notice The same from a leaf, each with the sum of the node beside it in front.
    function recordsOf(Node[][] memory levels, uint256 index) internal pure returns (bytes memory records) {
        for (uint256 height = 0; height + 1 < levels.length; ++height) {
            records = abi.encodePacked(records, levels[height][index].sum, packed(levels[height][index ^ 1]));
            index /= 2;
        }
    }

    function packed(Node memory node) internal pure returns (bytes memory) {
        return abi.encodePacked(node.hash, node.sum);
    }

    /// @notice A stretch of bytes, with zeros behind their end.
    function slice(bytes memory from, uint256 start, uint256 length) internal pure returns (bytes memory stretch) {
        stretch = new bytes(length);
        if (start >= from.length) return stretch;
        if (length > from.length - start) length = from.length - start;
        assembly ("memory-safe") {
            mcopy(add(stretch, 32), add(add(from, 32), start), length)
        }
    }
}
