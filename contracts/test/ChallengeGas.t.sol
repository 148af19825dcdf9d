// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {Fixture} from "./Fixture.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice What a whole challenge costs as a transaction, for a model of four million parameters in chunks of 256.
/// @dev The chunk and its siblings are drawn and the roots follow from them: nobody has to build such a tree.
contract ChallengeGasTest is Fixture {
    uint32 private constant CHUNK = 9_999;
    uint256 private constant DEPTH = 14;
    string private constant GROUP = "challenge";

    IVolquorum.Update[] private revealed;
    PlainTree.Node[] private tops;
    bytes private openings;

    function testGasOfAChallengeOfEightUpdates() public {
        measureAggregate("challenge_n8_c256", 8);
    }

    function testGasOfAChallengeOfSixteenUpdates() public {
        measureAggregate("challenge_n16_c256", 16);
    }

    function testGasOfAChallengeOfThirtyTwoUpdates() public {
        measureAggregate("challenge_n32_c256", 32);
    }

    function testGasOfAChallengeOfSixtyFourUpdates() public {
        measureAggregate("challenge_n64_c256", 64);
    }

    function testGasOfAChallengeOfAModel() public {
        IVolquorum.TaskParams memory params = largeParams(3);
        bytes memory base = drawnOpening(100, 4);
        bytes memory aggregate = drawnOpening(101, 2);
        bytes memory model = drawnOpening(102, 4);
        params.genesisModelRoot = PlainTree.rootOf(fold(base, 4), shapeOf(4));
        (bytes32 taskId, uint32 round) = playAndPublish(
            params, PlainTree.rootOf(fold(aggregate, 2), shapeOf(2)), PlainTree.rootOf(fold(model, 4), shapeOf(4))
        );
        volquorum.challengeModel(taskId, round, CHUNK, bytes.concat(base, aggregate, model));
        vm.snapshotGasLastCall(GROUP, "challenge_model");
    }

    /// @dev With a quarter of the updates liars, as many as are tolerated.
    function measureAggregate(string memory name, uint8 count) private {
        bytes memory aggregate = drawnOpening(101, 2);
        (bytes32 taskId, uint32 round) =
            playAndPublish(largeParams(count), PlainTree.rootOf(fold(aggregate, 2), shapeOf(2)), MODEL_ROOT);
        bytes memory all = bytes.concat(openings, aggregate);
        volquorum.challengeAggregate(taskId, round, revealed, CHUNK, all);
        vm.snapshotGasLastCall(GROUP, name);
    }

    function playAndPublish(IVolquorum.TaskParams memory params, bytes32 aggregateRoot, bytes32 modelRoot)
        private
        returns (bytes32 taskId, uint32 round)
    {
        taskId = create(params);
        joinAll(taskId, params.cohort);
        round = openToCommit(taskId);
        for (uint256 index = 0; index < params.cohort; ++index) {
            bytes memory opening = drawnOpening(index, 2);
            PlainTree.Node memory top = fold(opening, 2);
            bytes32 root = PlainTree.rootOf(top, shapeOf(2));
            bytes32 commitment = commitmentTo(taskId, round, desk(index), root, top.sum);
            vm.prank(desk(index));
            volquorum.commitUpdate(taskId, round, commitment);
            openings = bytes.concat(openings, opening);
            tops.push(top);
            revealed.push(IVolquorum.Update(desk(index), root, top.sum));
        }
        walkToReveal(taskId, round);
        for (uint256 index = 0; index < params.cohort; ++index) {
            vm.prank(desk(index));
            volquorum.revealUpdate(taskId, round, tops[index].hash, tops[index].sum, salt(desk(index), round));
        }
        walkToAggregate(taskId, round);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        vm.prank(aggregator);
        volquorum.publish{value: params.bondWei}(taskId, round, aggregateRoot, modelRoot, updatesHash);
    }

    function largeParams(uint8 count) private view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        params.dimension = uint32(256 << DEPTH);
        params.cohort = count;
        params.quorum = count;
        params.tolerance = count / 4;
        params.maxSquaredNorm = type(uint64).max;
    }

    function shapeOf(uint256 widthBytes) private pure returns (SumTree.Shape memory) {
        return SumTree.Shape(256 << DEPTH, 256, widthBytes);
    }

    function drawnOpening(uint256 seed, uint256 widthBytes) private pure returns (bytes memory opening) {
        for (uint256 word = 0; word < 8 * widthBytes; ++word) {
            opening = bytes.concat(opening, keccak256(abi.encode(seed, "chunk", word)));
        }
        for (uint256 height = 0; height < DEPTH; ++height) {
            bytes32 draw = keccak256(abi.encode(seed, "sibling", height));
            uint64 sum = widthBytes == 4 ? 0 : uint64((uint256(draw) % 2 ** 38) << height);
            opening = abi.encodePacked(opening, draw, sum);
        }
    }

    function fold(bytes memory opening, uint256 widthBytes) private pure returns (PlainTree.Node memory node) {
        uint256 length = 256 * widthBytes;
        node = PlainTree.leaf(slice(opening, 0, length), widthBytes, CHUNK);
        for (uint256 height = 0; height < DEPTH; ++height) {
            uint256 offset = length + 40 * height;
            PlainTree.Node memory other =
                PlainTree.Node(bytes32(slice(opening, offset, 32)), uint64(bytes8(slice(opening, offset + 32, 8))));
            node = (CHUNK >> height) & 1 == 1 ? PlainTree.parent(other, node) : PlainTree.parent(node, other);
        }
    }

    function slice(bytes memory from, uint256 start, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 index = 0; index < length; ++index) {
            part[index] = from[start + index];
        }
    }
}
