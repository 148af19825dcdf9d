// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChoiceLib} from "../src/libraries/ChoiceLib.sol";
import {GramLib} from "../src/libraries/GramLib.sol";
import {Lanes} from "../src/libraries/Lanes.sol";
import {MixLib} from "../src/libraries/MixLib.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {WeightLib} from "../src/libraries/WeightLib.sol";

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

    /// @notice The same way back.
    function unloaded(Lanes.Rows memory rows) internal pure returns (bytes memory chunks) {
        chunks = new bytes(rows.count * rows.width);
        for (uint256 offset = 0; offset < chunks.length; offset += 32) {
            uint256 from = rows.start + offset / rows.width * rows.stride + offset % rows.width;
            assembly ("memory-safe") {
                mstore(add(add(chunks, 32), offset), xor(mload(from), BIAS))
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
        IVolquorum.Rule rule;
        uint256 tolerance;
        uint256 clipNorm;
        uint256 chunkBytes;
        uint256 trusted;
    }

    /// @notice Many small rounds of `count` updates of one chunk each, all end to end: of each its aggregate, the choice
    /// behind it, and what pre-steps made of its updates.
    function rounds(bytes calldata chunks, uint256 count, Terms calldata terms)
        external
        view
        returns (bytes[] memory aggregates, bytes[] memory choices, bytes[] memory changes)
    {
        uint256 length = count * terms.chunkBytes;
        uint256 all = chunks.length / length;
        (aggregates, choices, changes) = (new bytes[](all), new bytes[](all), new bytes[](all));
        for (uint256 index = 0; index < all; ++index) {
            bytes calldata own = chunks[index * length:(index + 1) * length];
            (aggregates[index], choices[index], changes[index]) = this.round(own, terms);
        }
    }

    /// @notice One of these.
    function round(bytes calldata chunks, Terms calldata terms)
        external
        view
        returns (bytes memory aggregated, bytes memory chosen, bytes memory changes)
    {
        (bytes[] memory updates, uint256[] memory squaredNorms) = this.split(chunks, terms.chunkBytes);
        (aggregated, chosen) = this.aggregate(updates, squaredNorms, terms);
        changes = this.changed(chunks, squaredNorms, chosen, terms);
    }

    /// @notice The updates of a small round, and their squared norms.
    function split(bytes calldata chunks, uint256 width)
        external
        pure
        returns (bytes[] memory updates, uint256[] memory squaredNorms)
    {
        Lanes.Rows memory rows = Loading.load(chunks, width);
        (updates, squaredNorms) = (new bytes[](rows.count), new uint256[](rows.count));
        for (uint256 row = 0; row < rows.count; ++row) {
            updates[row] = chunks[row * width:(row + 1) * width];
            squaredNorms[row] = uint256(GramLib.innerProduct(rows, row, row));
        }
    }

    /// @notice The aggregate of updates of whole chunks, and the choice behind it.
    function aggregate(bytes[] calldata updates, uint256[] calldata squaredNorms, Terms calldata terms)
        external
        view
        returns (bytes memory result, bytes memory chosen)
    {
        uint256 chunks = updates[0].length / terms.chunkBytes;
        if (ChoiceLib.byDistance(terms.rule, terms.mixed ? ChoiceLib.NNM : 0)) {
            chosen = this.choice(this.pairs(updates, squaredNorms, terms), terms);
        }
        for (uint256 chunk = 0; chunk < chunks; ++chunk) {
            bytes memory rows = chunkOf(updates, chunk, terms.chunkBytes);
            result = bytes.concat(result, this.combined(rows, squaredNorms, chosen, terms));
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
        return nodesOf(sums);
    }

    /// @dev At once, for what grows by copies takes hundreds of megabytes in the end.
    function nodesOf(int256[] memory sums) private pure returns (bytes memory nodes) {
        nodes = new bytes(40 * sums.length + 24);
        for (uint256 pair = 0; pair < sums.length; ++pair) {
            int256 sum = sums[pair];
            assembly ("memory-safe") {
                // Behind the hash's 32 bytes; the next hash begins 24 bytes before this word ends, with zeros too.
                mstore(add(add(nodes, 64), mul(40, pair)), shl(192, sum))
            }
        }
        assembly ("memory-safe") {
            mstore(nodes, sub(mload(nodes), 24))
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
        if (terms.rule == IVolquorum.Rule.GeometricMedian) return WeightLib.median(nodes, rows);
        if (terms.rule == IVolquorum.Rule.FLTrust) return WeightLib.trusting(nodes, rows, terms.trusted);
        if (!ChoiceLib.choosesBest(terms.rule)) return ChoiceLib.neighbours(nodes, rows, terms.tolerance);
        uint256 members = ChoiceLib.membersOf(terms.rule, rows, terms.tolerance);
        return ChoiceLib.best(nodes, rows, terms.tolerance, members);
    }

    function combined(
        bytes calldata chunks,
        uint256[] calldata squaredNorms,
        bytes calldata chosen,
        Terms calldata terms
    ) external pure returns (bytes memory chunk) {
        Lanes.Rows memory rows = changedRows(chunks, squaredNorms, chosen, terms);
        RuleLib.Terms memory ranks = RuleLib.Terms(terms.rule, terms.tolerance, terms.clipNorm);
        uint256 start = RuleLib.combined(rows, ranks, squaredNorms);
        uint256 width = terms.chunkBytes;
        assembly ("memory-safe") {
            chunk := sub(start, 32)
            mstore(chunk, width)
        }
    }

    /// @notice What the rule is applied to, without bias.
    function changed(
        bytes calldata chunks,
        uint256[] calldata squaredNorms,
        bytes calldata chosen,
        Terms calldata terms
    ) external pure returns (bytes memory) {
        return Loading.unloaded(changedRows(chunks, squaredNorms, chosen, terms));
    }

    function changedRows(
        bytes calldata chunks,
        uint256[] calldata squaredNorms,
        bytes calldata chosen,
        Terms calldata terms
    ) private pure returns (Lanes.Rows memory rows) {
        rows = clippedRows(chunks, squaredNorms, terms);
        if (chosen.length == 0) return rows;
        if (ChoiceLib.weighs(terms.rule)) {
            (uint256[] memory weights, uint256 divisor) = WeightLib.decoded(chosen);
            return Lanes.averaged(rows, weights, divisor);
        }
        return MixLib.mixed(rows, chosen, ChoiceLib.membersOf(terms.rule, rows.count, terms.tolerance));
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
