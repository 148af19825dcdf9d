// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {Fixture} from "./Fixture.sol";
import {PlainRules} from "./PlainRules.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice Rounds whose vectors exist: three chunks of sixteen coordinates, the last one half padding.
abstract contract ChallengeFixture is Fixture {
    uint256 internal constant DIMENSION = 40;
    uint256 internal constant CHUNKS = 3;
    uint256 internal constant UPDATE_OPENING = 32 + 2 * 40;
    uint256 internal constant MODEL_OPENING = 64 + 2 * 40;

    bytes32 internal taskId;
    uint32 internal round;
    IVolquorum.Update[] internal revealed;
    int256[][] internal values;
    int256[] internal base;
    // What is or will be published, as bytes, so that a test may make any of it wrong.
    bytes internal aggregate;
    bytes internal model;

    // ----------------------------------------------------------------------------------------------------- rounds

    function challengeParams(IVolquorum.Rule rule) internal view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        params.dimension = uint32(DIMENSION);
        params.chunkLength = 16;
        params.rule = rule;
        params.tolerance = rule == IVolquorum.Rule.Mean ? 0 : 1;
        params.clipNorm = rule == IVolquorum.Rule.ClippedMean ? 60_000 : 0;
        params.maxSquaredNorm = type(uint64).max;
        params.cohort = 7;
        params.bondWei = 2 ether + 1;
    }

    /// @dev A round of drawn updates up to its aggregate phase, with the right result at hand.
    function playToAggregate(IVolquorum.Rule rule, uint256 count, uint256 seed) internal {
        IVolquorum.TaskParams memory params = challengeParams(rule);
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
        walkToAggregate(taskId, round);
        makeResult(RuleLib.Terms(rule, params.tolerance, params.clipNorm));
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

    function makeResult(RuleLib.Terms memory terms) internal {
        int256[] memory combined = PlainRules.aggregate(values, PlainRules.squaredNorms(values), terms);
        int256[] memory next = new int256[](DIMENSION);
        for (uint256 index = 0; index < DIMENSION; ++index) {
            next[index] = base[index] + combined[index];
        }
        aggregate = packed(combined, 2);
        model = packed(next, 4);
    }

    function publishResult(address publisher) internal {
        uint256 bondWei = volquorum.taskParams(taskId).bondWei;
        vm.deal(publisher, publisher.balance + bondWei);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        bytes32 aggregateRoot = PlainTree.rootOf(aggregate, updateShape());
        bytes32 modelRoot = PlainTree.rootOf(model, modelShape());
        vm.prank(publisher);
        volquorum.publish{value: bondWei}(taskId, round, aggregateRoot, modelRoot, updatesHash);
    }

    // --------------------------------------------------------------------------------------------------- openings

    function aggregateOpenings(uint32 chunk) internal view returns (bytes memory openings) {
        for (uint256 index = 0; index < values.length; ++index) {
            openings = bytes.concat(openings, PlainTree.open(packed(values[index], 2), updateShape(), chunk));
        }
        openings = bytes.concat(openings, PlainTree.open(aggregate, updateShape(), chunk));
    }

    function modelOpenings(uint32 chunk) internal view returns (bytes memory) {
        return bytes.concat(
            PlainTree.open(packed(base, 4), modelShape(), chunk),
            PlainTree.open(aggregate, updateShape(), chunk),
            PlainTree.open(model, modelShape(), chunk)
        );
    }

    function updateShape() internal pure returns (SumTree.Shape memory) {
        return SumTree.Shape(DIMENSION, 16, 2);
    }

    function modelShape() internal pure returns (SumTree.Shape memory) {
        return SumTree.Shape(DIMENSION, 16, 4);
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

    function packed(int256[] memory row, uint256 widthBytes) internal pure returns (bytes memory) {
        return PlainRules.packed(row, widthBytes);
    }
}
