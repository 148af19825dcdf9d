// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {Fixture} from "./Fixture.sol";
import {PlainGram} from "./PlainGram.sol";
import {PlainRules} from "./PlainRules.sol";
import {PlainTree} from "./PlainTree.sol";
import {PlainWeights} from "./PlainWeights.sol";

/// @notice Rounds whose vectors exist: three chunks of sixteen coordinates, the last one half padding.
abstract contract ChallengeFixture is Fixture {
    uint256 internal constant DIMENSION = 40;
    uint256 internal constant CHUNKS = 3;
    uint256 internal constant UPDATE_OPENING = 32 + 2 * 40;
    uint256 internal constant MODEL_OPENING = 64 + 2 * 40;
    uint256 internal constant PATH = 40 + 2 * 40;
    bytes32 internal constant SEAL_SALT = keccak256("seal");

    bytes32 internal taskId;
    uint32 internal round;
    IVolquorum.Update[] internal revealed;
    int256[][] internal values;
    int256[] internal base;
    // What is or will be published, as bytes, so that a test may make any of it wrong.
    bytes internal aggregate;
    bytes internal model;
    // Of a task that has a table, products of pairs and chunks, and the choice by them.
    int64[][] internal products;
    bytes internal choice;

    // ----------------------------------------------------------------------------------------------------- rounds

    function challengeParams(IVolquorum.Rule rule) internal view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        params.dimension = uint32(DIMENSION);
        params.chunkLength = 16;
        params.rule = rule;
        params.tolerance = rule == IVolquorum.Rule.Mean ? 0 : 1;
        bool clips = rule == IVolquorum.Rule.ClippedMean || rule == IVolquorum.Rule.CenteredClipping;
        params.clipNorm = clips ? 60_000 : 0;
        if (rule == IVolquorum.Rule.FLTrust) params.trusted = desk(1);
        params.maxSquaredNorm = type(uint64).max;
        setCohort(params, 7);
        params.bondWei = 2 ether + 1;
    }

    /// @dev A round of drawn updates up to its aggregate phase, with the right result at hand.
    function playToAggregate(IVolquorum.Rule rule, uint256 count, uint256 seed) internal {
        playToAvailability(rule, count, seed);
        walkToAggregate(taskId, round);
        makeResult();
    }

    function playToAvailability(IVolquorum.Rule rule, uint256 count, uint256 seed) internal {
        playToAvailability(challengeParams(rule), count, seed);
    }

    function playToAvailability(IVolquorum.TaskParams memory params, uint256 count, uint256 seed) internal {
        base = drawnBase(seed);
        params.genesisModelRoot = PlainTree.rootOf(packed(base, 4), modelShape());
        taskId = create(params);
        joinAll(taskId, count);
        round = openToCommit(taskId);
        delete values;
        for (uint256 index = 0; index < count; ++index) {
            values.push(drawnUpdate(seed, index));
            commitValues(index);
        }
        walkToReveal(taskId, round);
        revealValues();
        walkToAvailability(taskId, round);
    }

    function commitValues(uint256 index) internal {
        PlainTree.Node memory top = PlainTree.topOf(packed(values[index], 2), updateShape());
        bytes32 root = PlainTree.rootOf(top, updateShape());
        bytes32 commitment = commitmentTo(taskId, round, desk(index), root, top.sum);
        vm.prank(desk(index));
        volquorum.commitUpdate(taskId, round, commitment);
    }

    /// @dev From the last to the first, so that the order of reveal is not that of the seats.
    function revealValues() internal {
        delete revealed;
        int256[][] memory order = new int256[][](values.length);
        for (uint256 left = values.length; left > 0; --left) {
            uint256 index = left - 1;
            PlainTree.Node memory top = PlainTree.topOf(packed(values[index], 2), updateShape());
            vm.prank(desk(index));
            volquorum.revealUpdate(taskId, round, top.hash, top.sum, salt(desk(index), round));
            order[revealed.length] = values[index];
            revealed.push(IVolquorum.Update(desk(index), PlainTree.rootOf(top, updateShape()), top.sum));
        }
        values = order;
    }

    /// @dev From the updates that are included now.
    function makeResult() internal {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        int256[][] memory included = new int256[][](participants().length);
        for ((uint256 index, uint256 taken) = (0, 0); index < values.length; ++index) {
            if (isIncluded(index)) included[taken++] = values[index];
        }
        if (params.preSteps & 1 != 0) included = PlainGram.clipped(included, params.tolerance);
        if (hasTable()) {
            products = PlainGram.products(padded(included), 16);
            choice = choiceAmong(included, params);
            included =
                weighs(params.rule) ? PlainWeights.averagedBy(included, choice) : PlainGram.mixed(included, choice);
        }
        makeResult(included, RuleLib.Terms(params.rule, params.tolerance, params.clipNorm));
    }

    function weighs(IVolquorum.Rule rule) internal pure returns (bool) {
        return rule == IVolquorum.Rule.GeometricMedian || rule == IVolquorum.Rule.FLTrust;
    }

    /// @dev Which of the included updates is the trusted participant's; their number if none is.
    function trustedRow(address trusted) internal view returns (uint256 row) {
        address[] memory included = participants();
        while (row < included.length && included[row] != trusted) ++row;
    }

    function choiceAmong(int256[][] memory rows, IVolquorum.TaskParams memory params)
        private
        view
        returns (bytes memory)
    {
        uint256 tolerance = params.tolerance;
        if (params.rule == IVolquorum.Rule.Krum) return PlainGram.best(rows, tolerance, 1);
        if (params.rule == IVolquorum.Rule.MultiKrum) return PlainGram.best(rows, tolerance, rows.length - tolerance);
        if (params.rule == IVolquorum.Rule.GeometricMedian) return PlainWeights.geometricMedian(rows);
        if (params.rule == IVolquorum.Rule.FLTrust) return PlainWeights.trusting(rows, trustedRow(params.trusted));
        return PlainGram.neighbours(rows, tolerance);
    }

    function makeResult(int256[][] memory included, RuleLib.Terms memory terms) private {
        int256[] memory combined = PlainRules.aggregate(included, PlainRules.squaredNorms(included), terms);
        int256[] memory next = new int256[](DIMENSION);
        for (uint256 index = 0; index < DIMENSION; ++index) {
            next[index] = base[index] + combined[index];
        }
        aggregate = packed(combined, 2);
        model = packed(next, 4);
    }

    function publishResult(address publisher) internal {
        publish(taskId, round, publisher, hasTable() ? resultWith(tableRoot(), keccak256(choice)) : resultWith(0, 0));
    }

    function resultWith(bytes32 root, bytes32 choiceHash) internal view returns (IVolquorum.Result memory) {
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        return IVolquorum.Result(
            PlainTree.rootOf(aggregate, updateShape()),
            PlainTree.rootOf(model, modelShape()),
            facts.updatesHash,
            facts.unavailable,
            root,
            choiceHash
        );
    }

    function hasTable() internal view returns (bool) {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        return params.preSteps & 2 != 0 || params.rule == IVolquorum.Rule.MultiKrum
            || params.rule == IVolquorum.Rule.Krum || weighs(params.rule);
    }

    /// @dev What a challenge of the choice carries of the updates.
    function updatesForChoice() internal view returns (IVolquorum.Update[] memory updates) {
        if (volquorum.taskParams(taskId).rule == IVolquorum.Rule.FLTrust) updates = revealed;
    }

    function tableRoot() internal view returns (bytes32) {
        return PlainGram.rootOf(PlainGram.levelsOf(products), participants().length);
    }

    /// @dev What challenges of the aggregate carry of the table and the choice.
    function evidence() internal view returns (bytes memory) {
        return hasTable() ? bytes.concat(tableRoot(), choice) : bytes("");
    }

    function isIncluded(uint256 index) internal view returns (bool) {
        return volquorum.roundState(taskId, round).unavailable >> index & 1 == 0;
    }

    /// @dev Those of the included updates, in order of reveal.
    function participants() internal view returns (address[] memory included) {
        included = new address[](values.length - excluded().length);
        for ((uint256 index, uint256 taken) = (0, 0); index < values.length; ++index) {
            if (isIncluded(index)) included[taken++] = revealed[index].participant;
        }
    }

    function excluded() internal view returns (IVolquorum.Update[] memory updates) {
        uint256 count;
        for (uint256 index = 0; index < values.length; ++index) {
            if (!isIncluded(index)) ++count;
        }
        updates = new IVolquorum.Update[](count);
        for ((uint256 index, uint256 taken) = (0, 0); index < values.length; ++index) {
            if (!isIncluded(index)) updates[taken++] = revealed[index];
        }
    }

    // --------------------------------------------------------------------------------------------------- openings

    function aggregateOpenings(uint32 chunk) internal view returns (bytes memory openings) {
        for (uint256 index = 0; index < values.length; ++index) {
            if (!isIncluded(index)) continue;
            openings = bytes.concat(openings, PlainTree.open(packed(values[index], 2), updateShape(), chunk));
        }
        openings = bytes.concat(openings, PlainTree.path(aggregate, updateShape(), chunk));
    }

    function modelOpenings(uint32 chunk) internal view returns (bytes memory) {
        return bytes.concat(
            PlainTree.open(packed(base, 4), modelShape(), chunk),
            PlainTree.open(aggregate, updateShape(), chunk),
            PlainTree.path(model, modelShape(), chunk)
        );
    }

    /// @dev The only part of a vector: its whole chunks, padded.
    function partOf(bytes memory vector, uint256 widthBytes) internal pure returns (bytes memory) {
        return bytes.concat(vector, new bytes(CHUNKS * 16 * widthBytes - vector.length));
    }

    function slice(bytes memory from, uint256 start, uint256 length) internal pure returns (bytes memory) {
        return PlainTree.slice(from, start, length);
    }

    function updateShape() internal pure returns (SumTree.Shape memory) {
        return SumTree.Shape(DIMENSION, 16, 2);
    }

    function modelShape() internal pure returns (SumTree.Shape memory) {
        return SumTree.Shape(DIMENSION, 16, 4);
    }

    // ------------------------------------------------------------------------------------------------------- seals

    /// @dev Stores the account's seal in this block, unless it is there, and goes on to the next.
    function sealFor(address account, uint8 kind, uint32 chunk, bytes32 subject) internal {
        try volquorum.sealChallenge(sealOf(account, kind, chunk, subject)) {} catch {}
        vm.roll(block.number + 1);
    }

    function sealOf(address account, uint8 kind, uint32 chunk, bytes32 subject) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("volquorum.seal.1"),
                block.chainid,
                address(volquorum),
                taskId,
                round,
                account,
                kind,
                chunk,
                subject,
                SEAL_SALT
            )
        );
    }

    // ----------------------------------------------------------------------------------------------------- vectors

    function drawnUpdate(uint256 seed, uint256 index) internal pure returns (int256[] memory drawn) {
        drawn = new int256[](DIMENSION);
        for (uint256 column = 0; column < DIMENSION; ++column) {
            drawn[column] = int16(uint16(uint256(keccak256(abi.encode(seed, index, column)))));
        }
    }

    /// @dev Not so large that an honest sum could leave int32.
    function drawnBase(uint256 seed) internal pure returns (int256[] memory drawn) {
        drawn = new int256[](DIMENSION);
        for (uint256 column = 0; column < DIMENSION; ++column) {
            drawn[column] = int256(uint256(keccak256(abi.encode(seed, column))) % 2 ** 31) - 2 ** 30;
        }
    }

    /// @dev With zeros up to whole chunks.
    function padded(int256[][] memory rows) internal pure returns (int256[][] memory longer) {
        longer = new int256[][](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            longer[row] = new int256[](CHUNKS * 16);
            for (uint256 column = 0; column < rows[row].length; ++column) {
                longer[row][column] = rows[row][column];
            }
        }
    }

    function packed(int256[] memory row, uint256 widthBytes) internal pure returns (bytes memory) {
        return PlainRules.packed(row, widthBytes);
    }
}
