// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SumTree} from "../src/libraries/SumTree.sol";

/// @notice Sum trees and their openings as their definition says them, from whole vectors.
library PlainTree {
    struct Node {
        bytes32 hash;
        uint64 sum;
    }

    /// @notice The top of a vector's tree.
    function topOf(bytes memory values, SumTree.Shape memory shape) internal pure returns (Node memory) {
        return levelOf(values, shape, SumTree.depth(shape))[0];
    }

    function rootOf(bytes memory values, SumTree.Shape memory shape) internal pure returns (bytes32) {
        return rootOf(topOf(values, shape), shape);
    }

    function rootOf(Node memory top, SumTree.Shape memory shape) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("volquorum.root.1", uint64(shape.dimension), top.sum, top.hash));
    }

    /// @notice The opening of one chunk.
    function open(bytes memory values, SumTree.Shape memory shape, uint256 index)
        internal
        pure
        returns (bytes memory opening)
    {
        opening = chunkOf(values, shape, index);
        for (uint256 height = 0; height < SumTree.depth(shape); ++height) {
            Node memory sibling = levelOf(values, shape, height)[(index >> height) ^ 1];
            opening = abi.encodePacked(opening, sibling.hash, sibling.sum);
        }
    }

    function leaf(bytes memory chunk, uint256 widthBytes, uint256 index) internal pure returns (Node memory node) {
        node.hash = keccak256(abi.encodePacked("volquorum.leaf.1", uint64(widthBytes), uint64(index), chunk));
        for (uint256 offset = 0; widthBytes == 2 && offset < chunk.length; offset += 2) {
            int256 value = int16(uint16(bytes2(abi.encodePacked(chunk[offset], chunk[offset + 1]))));
            node.sum += uint64(uint256(value * value));
        }
    }

    function parent(Node memory left, Node memory right) internal pure returns (Node memory) {
        return Node(
            keccak256(abi.encodePacked(left.hash, right.hash, "volquorum.node.1", left.sum, right.sum)),
            left.sum + right.sum
        );
    }

    /// @dev The nodes `height` levels above the leaves, padding included.
    function levelOf(bytes memory values, SumTree.Shape memory shape, uint256 height)
        private
        pure
        returns (Node[] memory nodes)
    {
        nodes = new Node[](1 << SumTree.depth(shape));
        for (uint256 index = 0; index < SumTree.chunkCount(shape); ++index) {
            nodes[index] = leaf(chunkOf(values, shape, index), shape.widthBytes, index);
        }
        for (; height > 0; --height) {
            Node[] memory parents = new Node[](nodes.length / 2);
            for (uint256 index = 0; index < parents.length; ++index) {
                parents[index] = parent(nodes[2 * index], nodes[2 * index + 1]);
            }
            nodes = parents;
        }
    }

    /// @dev With what `values` holds behind the vector's end, or zeros.
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
}
