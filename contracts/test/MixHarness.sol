// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChoiceLib} from "../src/libraries/ChoiceLib.sol";
import {GramLib} from "../src/libraries/GramLib.sol";
import {Lanes} from "../src/libraries/Lanes.sol";
import {MixLib} from "../src/libraries/MixLib.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";

/// @notice Rows as a rule finds them: each coordinate x of a chunk as x + 2^15.
library Loading {
    uint256 private constant BIAS = 0x8000800080008000800080008000800080008000800080008000800080008000;

    /// @notice The rows of `width` bytes, whole words, that follow each other in calldata.
    function load(bytes calldata chunks, uint256 width) internal pure returns (Lanes.Rows memory rows) {
        rows = Lanes.room(chunks.length / width, width);
        for (uint256 offset = 0; offset < chunks.length; offset += 32) {
            uint256 to = rows.start + offset / width * rows.stride + offset % width;
            uint256 word = uint256(bytes32(chunks[offset:])) ^ BIAS;
            assembly ("memory-safe") {
                mstore(to, word)
            }
        }
    }
}

/// @notice A whole round by the libraries that judge a chunk of it: from updates to a table's sums, to a choice, to the
/// aggregate.
contract MixHarness {
    struct Terms {
        bool clipped;
        bool mixed;
        bool multiKrum;
        IVolquorum.Rule rule;
        uint256 tolerance;
        uint256 chunkBytes;
    }

    /// @notice The aggregate of updates of whole chunks, and the choice behind it.
    function aggregate(bytes[] calldata updates, uint256[] calldata squaredNorms, Terms calldata terms)
        external
        view
        returns (bytes memory result, bytes memory masks)
    {
        uint256 chunks = updates[0].length / terms.chunkBytes;
        if (terms.mixed || terms.multiKrum) masks = this.choice(this.pairs(updates, squaredNorms, terms), terms);
        for (uint256 chunk = 0; chunk < chunks; ++chunk) {
            bytes memory rows = chunkOf(updates, chunk, terms.chunkBytes);
            result = bytes.concat(result, this.combined(rows, squaredNorms, masks, terms));
        }
    }

    /// @notice A table's nodes above its pairs, without their hashes.
    function pairs(bytes[] calldata updates, uint256[] calldata squaredNorms, Terms calldata terms)
        external
        view
        returns (bytes memory nodes)
    {
        int256[] memory sums = new int256[](GramLib.pairCount(updates.length));
        for (uint256 chunk = 0; chunk < updates[0].length / terms.chunkBytes; ++chunk) {
            int256[] memory addends = this.products(chunkOf(updates, chunk, terms.chunkBytes), squaredNorms, terms);
            for (uint256 pair = 0; pair < sums.length; ++pair) {
                sums[pair] += addends[pair];
            }
        }
        for (uint256 pair = 0; pair < sums.length; ++pair) {
            nodes = abi.encodePacked(nodes, bytes32(0), int64(sums[pair]));
        }
    }

    function products(bytes calldata chunks, uint256[] calldata squaredNorms, Terms calldata terms)
        external
        pure
        returns (int256[] memory found)
    {
        Lanes.Rows memory rows = clippedRows(chunks, squaredNorms, terms);
        found = new int256[](GramLib.pairCount(rows.count));
        for (uint256 pair = 0; pair < found.length; ++pair) {
            (uint256 first, uint256 second,) = GramLib.placeOf(GramLib.Shape(rows.count, 1), pair);
            found[pair] = GramLib.innerProduct(rows, first, second);
        }
    }

    function choice(bytes calldata nodes, Terms calldata terms) external pure returns (bytes memory) {
        uint256 rows = 1;
        while (GramLib.pairCount(rows) * 40 < nodes.length) ++rows;
        if (terms.multiKrum) return ChoiceLib.best(nodes, rows, terms.tolerance);
        return ChoiceLib.neighbours(nodes, rows, terms.tolerance);
    }

    function combined(
        bytes calldata chunks,
        uint256[] calldata squaredNorms,
        bytes calldata masks,
        Terms calldata terms
    ) external pure returns (bytes memory chunk) {
        Lanes.Rows memory rows = clippedRows(chunks, squaredNorms, terms);
        if (masks.length > 0) rows = MixLib.mixed(rows, masks, rows.count - terms.tolerance);
        // Multi-Krum's only row is its own mean.
        IVolquorum.Rule rule = terms.multiKrum ? IVolquorum.Rule.Mean : terms.rule;
        uint256 start = RuleLib.combined(rows, RuleLib.Terms(rule, terms.tolerance, 0), new uint256[](0));
        uint256 width = terms.chunkBytes;
        assembly ("memory-safe") {
            chunk := sub(start, 32)
            mstore(chunk, width)
        }
    }

    function clippedRows(bytes calldata chunks, uint256[] calldata squaredNorms, Terms calldata terms)
        private
        pure
        returns (Lanes.Rows memory rows)
    {
        rows = Loading.load(chunks, terms.chunkBytes);
        if (terms.clipped) MixLib.clip(rows, ChoiceLib.clipFactors(squaredNorms, terms.tolerance));
    }

    /// @dev This chunk of all updates, one after another.
    function chunkOf(bytes[] calldata updates, uint256 chunk, uint256 chunkBytes)
        private
        pure
        returns (bytes memory chunks)
    {
        for (uint256 row = 0; row < updates.length; ++row) {
            chunks = bytes.concat(chunks, updates[row][chunk * chunkBytes:(chunk + 1) * chunkBytes]);
        }
    }
}
