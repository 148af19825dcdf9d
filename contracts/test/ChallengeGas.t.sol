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

    // What is posted: a model of ten thousand parameters in the same chunks, which is one part.
    uint32 private constant SMALL_DIMENSION = 10_000;

    IVolquorum.Update[] private revealed;
    address[] private participants;
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
        bytes memory all = bytes.concat(base, aggregate, pathOf(model, 4));
        sealFor(taskId, round, 1, PlainTree.rootOf(fold(model, 4), shapeOf(4)));
        volquorum.challengeModel(taskId, round, CHUNK, all, 0);
        vm.snapshotGasLastCall(GROUP, "challenge_model");
    }

    function testGasOfAChallengeOfANorm() public {
        measureNorm("challenge_norm", 16);
    }

    function testGasOfAChallengeOfANormAmongSixtyFour() public {
        measureNorm("challenge_norm_n64", 64);
    }

    function testGasOfPostingAnUpdate() public {
        IVolquorum.TaskParams memory params = largeParams(3);
        params.dimension = SMALL_DIMENSION;
        SumTree.Shape memory shape = SumTree.Shape(SMALL_DIMENSION, 256, 2);
        bytes memory vector = drawnBytes(100, 2 * SMALL_DIMENSION);
        (bytes32 taskId, uint32 round) = playToReveal(params, 2);
        addUpdate(taskId, round, PlainTree.topOf(vector, shape), shape);
        revealAll(taskId, round);
        flag(taskId, round, revealed, 2, stranger);
        vm.snapshotGasLastCall(GROUP, "flag_update");
        bytes memory part = bytes.concat(vector, new bytes(40 * 512 - vector.length));
        volquorum.postUpdate(taskId, round, desk(2), part, "");
        vm.snapshotGasLastCall(GROUP, "post_update_10000");
    }

    /// @dev With a quarter of the updates liars, as many as are tolerated.
    function measureAggregate(string memory name, uint8 count) private {
        bytes memory aggregate = drawnOpening(101, 2);
        (bytes32 taskId, uint32 round) =
            playAndPublish(largeParams(count), PlainTree.rootOf(fold(aggregate, 2), shapeOf(2)), MODEL_ROOT);
        bytes memory all = bytes.concat(openings, pathOf(aggregate, 2));
        sealFor(taskId, round, 0, PlainTree.rootOf(fold(aggregate, 2), shapeOf(2)));
        address[] memory included = participants;
        volquorum.challengeAggregate(taskId, round, included, new IVolquorum.Update[](0), CHUNK, all, 0);
        vm.snapshotGasLastCall(GROUP, name);
    }

    /// @dev The recorded sum of the last update's chunk is one too many.
    function measureNorm(string memory name, uint8 count) private {
        bytes memory opening = drawnOpening(64, 2);
        bytes memory proof = slice(opening, 0, 512);
        PlainTree.Node memory node = PlainTree.leaf(proof, 2, CHUNK);
        ++node.sum;
        for (uint256 height = 0; height < DEPTH; ++height) {
            bytes memory sibling = slice(opening, 512 + 40 * height, 40);
            proof = abi.encodePacked(proof, node.sum, sibling);
            node = above(node, height, sibling);
        }
        (bytes32 taskId, uint32 round) = playToReveal(largeParams(count), count - 1);
        addUpdate(taskId, round, node, shapeOf(2));
        revealAll(taskId, round);
        sealFor(taskId, round, 2, PlainTree.rootOf(node, shapeOf(2)));
        IVolquorum.Update[] memory updates = revealed;
        volquorum.challengeNorm(taskId, round, updates, count - 1, CHUNK, proof, 0);
        vm.snapshotGasLastCall(GROUP, name);
    }

    function playAndPublish(IVolquorum.TaskParams memory params, bytes32 aggregateRoot, bytes32 modelRoot)
        private
        returns (bytes32 taskId, uint32 round)
    {
        (taskId, round) = playToReveal(params, params.cohort);
        revealAll(taskId, round);
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator, aggregateRoot, modelRoot);
    }

    /// @dev A full cohort of which `count` have committed to a drawn update.
    function playToReveal(IVolquorum.TaskParams memory params, uint256 count)
        private
        returns (bytes32 taskId, uint32 round)
    {
        taskId = create(params);
        joinAll(taskId, params.cohort);
        round = openToCommit(taskId);
        SumTree.Shape memory shape = SumTree.Shape(params.dimension, 256, 2);
        for (uint256 index = 0; index < count; ++index) {
            bytes memory opening = drawnOpening(index, 2);
            addUpdate(taskId, round, fold(opening, 2), shape);
            openings = bytes.concat(openings, opening);
        }
    }

    function addUpdate(bytes32 taskId, uint32 round, PlainTree.Node memory top, SumTree.Shape memory shape) private {
        address account = desk(tops.length);
        bytes32 root = PlainTree.rootOf(top, shape);
        bytes32 commitment = commitmentTo(taskId, round, account, root, top.sum);
        vm.prank(account);
        volquorum.commitUpdate(taskId, round, commitment);
        tops.push(top);
        revealed.push(IVolquorum.Update(account, root, top.sum));
        participants.push(account);
    }

    function revealAll(bytes32 taskId, uint32 round) private {
        walkToReveal(taskId, round);
        for (uint256 index = 0; index < tops.length; ++index) {
            vm.prank(desk(index));
            volquorum.revealUpdate(taskId, round, tops[index].hash, tops[index].sum, salt(desk(index), round));
        }
        walkToAvailability(taskId, round);
    }

    function sealFor(bytes32 taskId, uint32 round, uint8 kind, bytes32 subject) private {
        bytes32 tag = keccak256("volquorum.seal.1");
        volquorum.sealChallenge(
            keccak256(
                abi.encode(
                    tag,
                    block.chainid,
                    address(volquorum),
                    taskId,
                    round,
                    address(this),
                    kind,
                    CHUNK,
                    subject,
                    bytes32(0)
                )
            )
        );
        vm.snapshotGasLastCall(GROUP, "seal_challenge");
        vm.roll(block.number + 1);
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
        opening = drawnBytes(seed, 256 * widthBytes);
        for (uint256 height = 0; height < DEPTH; ++height) {
            bytes32 draw = keccak256(abi.encode(seed, "sibling", height));
            uint64 sum = widthBytes == 4 ? 0 : uint64((uint256(draw) % 2 ** 38) << height);
            opening = abi.encodePacked(opening, draw, sum);
        }
    }

    function drawnBytes(uint256 seed, uint256 length) private pure returns (bytes memory drawn) {
        drawn = new bytes(length);
        for (uint256 offset = 0; offset < length; ++offset) {
            if (offset % 32 == 0) seed = uint256(keccak256(abi.encode(seed)));
            drawn[offset] = bytes1(uint8(seed >> 8 * (offset % 32)));
        }
    }

    /// @dev An opening without its chunk, whose leaf stands in its place.
    function pathOf(bytes memory opening, uint256 widthBytes) private pure returns (bytes memory) {
        uint256 length = 256 * widthBytes;
        PlainTree.Node memory leaf = PlainTree.leaf(slice(opening, 0, length), widthBytes, CHUNK);
        return abi.encodePacked(leaf.hash, leaf.sum, slice(opening, length, 40 * DEPTH));
    }

    function fold(bytes memory opening, uint256 widthBytes) private pure returns (PlainTree.Node memory node) {
        uint256 length = 256 * widthBytes;
        node = PlainTree.leaf(slice(opening, 0, length), widthBytes, CHUNK);
        for (uint256 height = 0; height < DEPTH; ++height) {
            node = above(node, height, slice(opening, length + 40 * height, 40));
        }
    }

    function above(PlainTree.Node memory node, uint256 height, bytes memory sibling)
        private
        pure
        returns (PlainTree.Node memory)
    {
        PlainTree.Node memory other = PlainTree.Node(bytes32(sibling), uint64(bytes8(slice(sibling, 32, 8))));
        return (CHUNK >> height) & 1 == 1 ? PlainTree.parent(other, node) : PlainTree.parent(node, other);
    }

    function slice(bytes memory from, uint256 start, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 index = 0; index < length; ++index) {
            part[index] = from[start + index];
        }
    }
}
