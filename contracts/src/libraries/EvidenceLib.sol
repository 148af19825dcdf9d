// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {ChoiceLib} from "./ChoiceLib.sol";
import {CommitmentLib} from "./CommitmentLib.sol";
import {GramLib} from "./GramLib.sol";
import {Lanes} from "./Lanes.sol";
import {PhaseLib} from "./PhaseLib.sol";
import {RuleLib} from "./RuleLib.sol";
import {SumTree} from "./SumTree.sol";
import {Task, TaskLib} from "./TaskLib.sol";
import {WeightLib} from "./WeightLib.sol";

/// @notice The evidence that comes with a result whose updates are chosen or weighed by distance: a table of inner
/// products and the choice made by it; whether they are the published ones, and whether they are right.
library EvidenceLib {
    using Lanes for Lanes.Rows;
    using TaskLib for Task;

    // Of a revealed update in a call.
    uint256 private constant UPDATE_BYTES = 96;

    /// @notice The included updates as their reveals recorded them, in their order.
    struct Included {
        bytes32[] roots;
        uint256[] squaredNorms;
    }

    /// @notice Whose product a leaf records: two included updates, or twice the same one, and their chunk.
    struct Factors {
        SumTree.Shape shape;
        uint256[2] numbers;
        uint256 chunk;
    }

    function hashOf(bytes32 tableRoot, bytes32 choiceHash) internal pure returns (bytes32) {
        return EfficientHashLib.hash(tableRoot, choiceHash);
    }

    /// @notice Reverts unless these are the published table and choice.
    function check(IVolquorum.RoundState storage facts, bytes32 tableRoot, bytes32 choiceHash) internal view {
        if (hashOf(tableRoot, choiceHash) != facts.evidenceHash) {
            revert IVolquorum.EvidenceMismatch(tableRoot, choiceHash);
        }
    }

    /// @notice The published choice; nothing without a table.
    function choiceIn(Task storage task, IVolquorum.RoundState storage facts, bytes calldata evidence)
        internal
        view
        returns (bytes calldata choice)
    {
        uint256 count = ChoiceLib.lengthOf(task.rule, PhaseLib.included(facts));
        bool hasTable = task.hasTable();
        SumTree.checkLength(evidence, hasTable ? 32 + count * ChoiceLib.CHOICE_BYTES : 0);
        if (!hasTable) return evidence;
        choice = evidence[32:];
        check(facts, bytes32(evidence), keccak256(choice));
    }

    /// @notice The shape of the table over a round's included updates.
    function shapeOf(Task storage task, IVolquorum.RoundState storage facts)
        internal
        view
        returns (GramLib.Shape memory)
    {
        return GramLib.Shape(PhaseLib.included(facts), SumTree.chunkCount(task.shapeOf(SumTree.INT16_BYTES)));
    }

    // ----------------------------------------------------------------------------------------------------- choices

    /// @notice The root of the table with these nodes above its pairs, and whether a choice is what it asks for.
    function choiceHolds(
        Task storage task,
        IVolquorum.RoundState storage facts,
        CommitmentLib.Claim memory claim,
        IVolquorum.Update[] calldata updates,
        bytes calldata nodes,
        bytes32 choiceHash
    ) internal view returns (bytes32 tableRoot, bool holds) {
        GramLib.Shape memory shape = shapeOf(task, facts);
        tableRoot = GramLib.rootOfPairs(shape, nodes);
        uint256 trusted = placeOfTrusted(task, facts, claim, updates);
        holds = keccak256(choiceBy(task, nodes, shape.rows, trusted)) == choiceHash;
    }

    function choiceBy(Task storage task, bytes calldata nodes, uint256 count, uint256 trusted)
        private
        view
        returns (bytes memory)
    {
        (IVolquorum.Rule rule, uint256 tolerance) = (task.rule, task.tolerance);
        if (rule == IVolquorum.Rule.GeometricMedian) return WeightLib.median(nodes, count);
        if (rule == IVolquorum.Rule.FLTrust) return WeightLib.trusting(nodes, count, trusted);
        if (!ChoiceLib.choosesBest(rule)) return ChoiceLib.neighbours(nodes, count, tolerance);
        return ChoiceLib.best(nodes, count, tolerance, ChoiceLib.membersOf(rule, count, tolerance));
    }

    /// @dev Which of the included updates is the trusted participant's; their number if none is. Reverts unless updates
    /// are given for FLTrust, which alone asks for it, and for no other rule.
    function placeOfTrusted(
        Task storage task,
        IVolquorum.RoundState storage facts,
        CommitmentLib.Claim memory claim,
        IVolquorum.Update[] calldata updates
    ) private view returns (uint256 place) {
        if (task.rule != IVolquorum.Rule.FLTrust) {
            if (updates.length != 0) {
                revert IVolquorum.WrongLength(updates.length * UPDATE_BYTES, 0);
            }
            return place;
        }
        CommitmentLib.checkUpdates(facts, claim.taskId, claim.round, updates);
        (address trusted, uint256 unavailable) = (task.trusted, facts.unavailable);
        for (uint256 index = 0; index < updates.length; ++index) {
            if (unavailable >> index & 1 == 1) continue;
            if (updates[index].participant == trusted) break;
            ++place;
        }
    }

    // ---------------------------------------------------------------------------------------------------- products

    /// @notice The root of the table with this recorded path, and whether all that the path records is right.
    /// @dev Invariant: a product is that of the included updates, for roots and norms are the revealed ones. Where the
    /// path alone is wrong they are not asked.
    function productHolds(
        Task storage task,
        IVolquorum.RoundState storage facts,
        CommitmentLib.Claim memory claim,
        IVolquorum.Update[] calldata updates,
        bytes calldata openings
    ) internal view returns (bytes32 tableRoot, bool holds) {
        GramLib.Shape memory table = shapeOf(task, facts);
        uint256 end = GramLib.pathBytes(table);
        if (openings.length < end) revert IVolquorum.WrongLength(openings.length, end);
        int256 recorded;
        bool wrong;
        (tableRoot, recorded, wrong) = GramLib.rootByRecords(table, claim.chunk, openings[:end]);
        if (!wrong) holds = recorded == productAt(task, facts, table, claim, updates, openings[end:]);
    }

    /// @dev What a leaf must record; for padding zero.
    function productAt(
        Task storage task,
        IVolquorum.RoundState storage facts,
        GramLib.Shape memory table,
        CommitmentLib.Claim memory claim,
        IVolquorum.Update[] calldata updates,
        bytes calldata openings
    ) private view returns (int256) {
        if (GramLib.isPadding(table, claim.chunk)) {
            SumTree.checkLength(openings, 0);
            return 0;
        }
        Included memory included = includedOf(facts, claim, updates);
        return productOf(task, factorsOf(task, table, claim.chunk), included, openings);
    }

    /// @dev The revealed updates without the excluded ones.
    function includedOf(
        IVolquorum.RoundState storage facts,
        CommitmentLib.Claim memory claim,
        IVolquorum.Update[] calldata updates
    ) private view returns (Included memory included) {
        CommitmentLib.checkUpdates(facts, claim.taskId, claim.round, updates);
        uint256 count = PhaseLib.included(facts);
        included = Included(new bytes32[](count), new uint256[](count));
        uint256 unavailable = facts.unavailable;
        uint256 taken = 0;
        for (uint256 index = 0; index < updates.length; ++index) {
            if (unavailable >> index & 1 == 1) continue;
            included.roots[taken] = updates[index].updateRoot;
            included.squaredNorms[taken] = updates[index].squaredNorm;
            ++taken;
        }
    }

    function factorsOf(Task storage task, GramLib.Shape memory table, uint256 leaf)
        private
        view
        returns (Factors memory factors)
    {
        factors.shape = task.shapeOf(SumTree.INT16_BYTES);
        (factors.numbers[0], factors.numbers[1], factors.chunk) = GramLib.placeOf(table, leaf);
    }

    /// @dev The inner product of the two chunks, clipped as the task asks.
    function productOf(Task storage task, Factors memory factors, Included memory included, bytes calldata openings)
        private
        view
        returns (int256)
    {
        uint256 length = SumTree.openingBytes(factors.shape);
        uint256 count = factors.numbers[0] == factors.numbers[1] ? 1 : 2;
        SumTree.checkLength(openings, count * length);
        uint256[] memory scales = new uint256[](0);
        if (task.preSteps & ChoiceLib.ARC != 0) {
            scales = ChoiceLib.clipFactors(included.squaredNorms, task.tolerance);
        }
        Lanes.Rows memory rows = Lanes.room(count, SumTree.chunkBytes(factors.shape));
        for (uint256 row = 0; row < count; ++row) {
            uint256 number = factors.numbers[row];
            openRow(factors, rows, row, openings[:length], included.roots[number]);
            openings = openings[length:];
            if (scales.length != 0) rows.scale(row, scales[number], RuleLib.ONE);
        }
        return GramLib.innerProduct(rows, 0, count - 1);
    }

    function openRow(Factors memory factors, Lanes.Rows memory rows, uint256 row, bytes calldata opening, bytes32 root)
        private
        pure
    {
        uint256 start = rows.start + row * rows.stride;
        (bytes32 found, uint256 squaredNorm) = SumTree.rootOf(factors.chunk, opening, factors.shape, start);
        if (found != root || !SumTree.bounded(squaredNorm) || !SumTree.padded(factors.chunk, opening, factors.shape)) {
            revert IVolquorum.BadOpening(row);
        }
    }
}
