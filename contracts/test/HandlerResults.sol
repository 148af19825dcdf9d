// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";
import {StdAssertions} from "forge-std/StdAssertions.sol";
import {StdUtils} from "forge-std/StdUtils.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {PlainGram} from "./PlainGram.sol";
import {PlainRules} from "./PlainRules.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice The vectors of hostile rounds, and what a right result of them is.
/// @dev A vector is one chunk of sixteen coordinates, so a chunk is its whole opening, and a table has a leaf per pair.
abstract contract HandlerResults is CommonBase, StdAssertions, StdUtils {
    uint64 internal constant MAX_SQUARED_NORM = 2000;

    /// @dev The vector behind a root, and whether its recorded norm is false.
    struct Vector {
        bytes chunk;
        bool falseNorm;
    }

    /// @dev How a task combines updates. What is right by votes the contract cannot know; here it is the mean.
    struct Recipe {
        IVolquorum.Rule rule;
        uint8 tolerance;
        uint8 preSteps;
        bool hasTable;
        bool byVotes;
    }

    /// @dev A result; without a table the last two are empty.
    struct Made {
        bytes aggregate;
        bytes model;
        int64[][] products;
        bytes masks;
    }

    /// @dev A round's votes, by results, and of them those for something wrong. A result is the hash of both its roots.
    struct Ballot {
        mapping(bytes32 result => uint256 count) votes;
        mapping(uint256 who => bool) hasVoted;
        uint256 most; // that any result has
        uint256 liars;
        bytes32 right;
    }

    mapping(bytes32 root => Vector vector) internal vectorOf;
    mapping(bytes32 taskId => mapping(uint32 round => Ballot ballot)) internal ballotIn;

    /// @dev Kind 0 is an update of one's own, 1 one that everybody has, 2 one whose norm is too large, 3 one's own with
    /// a false norm.
    function update(uint256 owner, uint8 kind) internal returns (bytes32 top, bytes32 root, uint64 norm) {
        int256[] memory values = new int256[](16);
        kind %= 4;
        values[0] = kind == 1 ? int256(20) : int256(owner + 1);
        if (kind != 1) values[1] = -int256(owner * owner) / 2;
        if (kind == 2) values[2] = 100;
        bytes memory chunk = PlainRules.packed(values, 2);
        PlainTree.Node memory leaf = PlainTree.leaf(chunk, 2, 0);
        if (kind == 3) ++leaf.sum;
        (top, norm) = (leaf.hash, leaf.sum);
        root = PlainTree.rootOf(leaf, SumTree.Shape(16, 16, 2));
        vectorOf[root].chunk = chunk;
        vectorOf[root].falseNorm = kind == 3;
    }

    /// @dev The right result of these updates; what was clipped and chosen shows in products and masks.
    function make(Recipe memory recipe, bytes32[] memory roots, bytes32 baseRoot)
        internal
        view
        returns (Made memory made)
    {
        int256[][] memory rows = rowsOf(recipe, roots);
        if (recipe.hasTable) {
            made.products = PlainGram.products(rows, 16);
            made.masks = choiceBy(recipe, made.products, rows.length);
        }
        made.aggregate = aggregateBy(recipe, rows, made.masks);
        made.model = sum(vectorOf[baseRoot].chunk, made.aggregate);
    }

    /// @dev The updates after clipping, if there is any.
    function rowsOf(Recipe memory recipe, bytes32[] memory roots) internal view returns (int256[][] memory rows) {
        rows = new int256[][](roots.length);
        for (uint256 index = 0; index < roots.length; ++index) {
            rows[index] = PlainRules.unpacked(vectorOf[roots[index]].chunk, 2);
        }
        if (recipe.preSteps & 1 == 1) rows = PlainGram.clipped(rows, recipe.tolerance);
    }

    /// @dev The aggregate of clipped updates by a choice.
    function aggregateBy(Recipe memory recipe, int256[][] memory rows, bytes memory masks)
        internal
        pure
        returns (bytes memory)
    {
        if (recipe.hasTable) rows = PlainGram.mixed(rows, masks);
        RuleLib.Terms memory terms = RuleLib.Terms(recipe.rule, recipe.tolerance, 0);
        return PlainRules.packed(PlainRules.aggregate(rows, new uint64[](rows.length), terms), 2);
    }

    /// @dev The choice that a table asks for, whether it is right or not.
    function choiceBy(Recipe memory recipe, int64[][] memory products, uint256 count)
        internal
        pure
        returns (bytes memory)
    {
        int256[][] memory distances = PlainGram.distancesBy(products, count);
        return choosesBest(recipe.rule)
            ? PlainGram.bestBy(distances, recipe.tolerance, membersOf(recipe, count))
            : PlainGram.neighboursBy(distances, recipe.tolerance);
    }

    function choosesBest(IVolquorum.Rule rule) internal pure returns (bool) {
        return rule == IVolquorum.Rule.MultiKrum || rule == IVolquorum.Rule.Krum;
    }

    function membersOf(Recipe memory recipe, uint256 count) private pure returns (uint256) {
        return recipe.rule == IVolquorum.Rule.Krum ? 1 : count - recipe.tolerance;
    }

    /// @dev As many members as a choice has, but always the first.
    function firstMembers(Recipe memory recipe, uint256 count) internal pure returns (bytes memory masks) {
        uint256 rows = choosesBest(recipe.rule) ? 1 : count;
        for (uint256 row = 0; row < rows; ++row) {
            masks = abi.encodePacked(masks, uint64((1 << membersOf(recipe, count)) - 1));
        }
    }

    function hashOf(bytes32 aggregateRoot, bytes32 modelRoot) internal pure returns (bytes32) {
        return keccak256(abi.encode(aggregateRoot, modelRoot));
    }

    function tableRootOf(int64[][] memory products, uint256 count) internal pure returns (bytes32) {
        return PlainGram.rootOf(PlainGram.levelsOf(products), count);
    }

    function sum(bytes memory base, bytes memory aggregate) internal pure returns (bytes memory) {
        int256[] memory total = PlainRules.unpacked(base, 4);
        int256[] memory step = PlainRules.unpacked(aggregate, 2);
        for (uint256 index = 0; index < total.length; ++index) {
            total[index] += step[index];
        }
        return PlainRules.packed(total, 4);
    }

    function rootOf(bytes memory chunk, uint256 widthBytes) internal returns (bytes32 root) {
        root = plainRootOf(chunk, widthBytes);
        vectorOf[root].chunk = chunk;
    }

    function plainRootOf(bytes memory chunk, uint256 widthBytes) internal pure returns (bytes32) {
        return PlainTree.rootOf(PlainTree.leaf(chunk, widthBytes, 0), SumTree.Shape(16, 16, widthBytes));
    }

    /// @dev The only leaf of a vector of one chunk.
    function pathOf(bytes32 root, uint256 widthBytes) internal view returns (bytes memory) {
        PlainTree.Node memory leaf = PlainTree.leaf(vectorOf[root].chunk, widthBytes, 0);
        return abi.encodePacked(leaf.hash, leaf.sum);
    }

    function draw(uint256 seed, bytes memory field, uint256 least, uint256 most) internal pure returns (uint256) {
        return _bound(uint256(keccak256(abi.encode(seed, field))), least, most);
    }
}
