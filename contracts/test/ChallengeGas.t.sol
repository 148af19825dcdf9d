// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {GramLib} from "../src/libraries/GramLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {Fixture} from "./Fixture.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice What a whole challenge costs as a transaction, for a model of four million parameters in chunks of 256 unless
/// said otherwise; and that the dearest ones fit a transaction.
/// @dev The chunk and its siblings are drawn and the roots follow from them: nobody has to build such a tree.
contract ChallengeGasTest is Fixture {
    string private constant GROUP = "challenge";
    // The mappings of what is owed to whom and of what is burned, by currency.
    uint256 private constant CREDITS_SLOT = 1;
    uint256 private constant BURNED_SLOT = 2;

    // What a transaction may take, by EIP-7825.
    uint256 private constant MOST_GAS = 16_777_216;
    // What nodes pass on; less what is signed around it.
    uint256 private constant MOST_BYTES = 128 * 1024 - 1024;

    // What is posted: a model of ten thousand parameters in the same chunks, which is one part.
    uint32 private constant SMALL_DIMENSION = 10_000;

    IVolquorum.Update[] private revealed;
    address[] private participants;
    PlainTree.Node[] private tops;
    bytes private openings;
    uint256 private depth = 14;
    uint16 private chunkLength = 256;
    uint32 private contested = 9_999;

    /// @dev Whatever is burned first in a contract's life pays for the field that it is counted in.
    function setUp() public override {
        super.setUp();
        vm.store(address(volquorum), keccak256(abi.encode(ETH, BURNED_SLOT)), bytes32(uint256(1)));
        assertEq(volquorum.burnedOf(ETH), 1);
    }

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

    /// @dev Every update is longer than the norm to which it is clipped: each costs as much as any can.
    function testGasOfAChallengeOfAClippedMean() public {
        measureRule("challenge_clipped_n8_c256", IVolquorum.Rule.ClippedMean, 8);
    }

    function testGasOfAChallengeOfAClippedMeanOfSixteen() public {
        measureRule("challenge_clipped_n16_c256", IVolquorum.Rule.ClippedMean, 16);
    }

    function testGasOfAChallengeOfAClippedMeanOfThirtyTwo() public {
        measureRule("challenge_clipped_n32_c256", IVolquorum.Rule.ClippedMean, 32);
    }

    function testGasOfAChallengeOfAClippedMeanOfSixtyFour() public {
        measureRule("challenge_clipped_n64_c256", IVolquorum.Rule.ClippedMean, 64);
    }

    function testGasOfAChallengeOfCenteredClipping() public {
        measureRule("challenge_centered_n8_c256", IVolquorum.Rule.CenteredClipping, 8);
    }

    function testGasOfAChallengeOfCenteredClippingOfSixtyFour() public {
        measureRule("challenge_centered_n64_c256", IVolquorum.Rule.CenteredClipping, 64);
    }

    function testGasOfAChallengeOfAMedian() public {
        measureRule("challenge_median_n8_c256", IVolquorum.Rule.Median, 8);
    }

    function testGasOfAChallengeOfAMedianOfSixteen() public {
        measureRule("challenge_median_n16_c256", IVolquorum.Rule.Median, 16);
    }

    function testGasOfAChallengeOfAMedianOfThirtyTwo() public {
        measureRule("challenge_median_n32_c256", IVolquorum.Rule.Median, 32);
    }

    function testGasOfAChallengeOfAMedianOfSixtyFour() public {
        measureRule("challenge_median_n64_c256", IVolquorum.Rule.Median, 64);
    }

    // Of the longest chunks, in the largest model that there can be.

    function testGasOfTheLargestChallengeOfATrimmedMean() public {
        (chunkLength, depth) = (512, 22);
        measureRule("challenge_n64_c512", IVolquorum.Rule.TrimmedMean, 64);
    }

    function testGasOfTheLargestChallengeOfAClippedMean() public {
        (chunkLength, depth) = (512, 22);
        measureRule("challenge_clipped_n64_c512", IVolquorum.Rule.ClippedMean, 64);
    }

    /// @dev The dearest that a task's parameters allow, with the most chunks for which 64 have a table. More tolerance
    /// would clip more and sort less.
    function testGasOfTheLargestChallengeOfClippedAndMixedUpdates() public {
        chunkLength = 512;
        measureMixed("challenge_arc_nnm_n64_c512", 64, 24);
    }

    function testGasOfAChallengeOfAModel() public {
        (bytes32 taskId, uint32 round, bytes memory all) = playToAWrongModel();
        volquorum.challengeModel(taskId, round, contested, all, 0);
        vm.snapshotGasLastCall(GROUP, "challenge_model");
    }

    /// @dev Of somebody who copied it, and then the award of who had sealed it.
    function testGasOfAChallengeWithoutASeal() public {
        (bytes32 taskId, uint32 round, bytes memory all) = playToAWrongModel();
        bytes32 lie = volquorum.roundState(taskId, round).modelRoot;
        vm.prank(stranger);
        volquorum.challengeModel(taskId, round, contested, all, 0);
        vm.snapshotGasLastCall(GROUP, "challenge_model_unsealed");
        vm.roll(block.number + 1);
        volquorum.claimAward(taskId, round, 1, contested, lie, 0);
        vm.snapshotGasLastCall(GROUP, "claim_award");
    }

    /// @dev Of somebody who is owed something already; a first credit is a new field.
    function testGasOfAChallengeOfANorm() public {
        bytes32 ofCurrency = keccak256(abi.encode(ETH, CREDITS_SLOT));
        vm.store(address(volquorum), keccak256(abi.encode(address(this), ofCurrency)), bytes32(uint256(1)));
        assertEq(volquorum.creditOf(ETH, address(this)), 1);
        measureNorm("challenge_norm", 8);
    }

    function testGasOfAChallengeOfANormForAFirstCredit() public {
        measureNorm("challenge_norm_first_credit", 8);
    }

    function testGasOfAChallengeOfANormAmongSixtyFour() public {
        measureNorm("challenge_norm_n64", 64);
    }

    function testGasOfAChallengeOfTenClippedAndMixedUpdates() public {
        measureMixed("challenge_arc_nnm_n10", 10, 4);
    }

    function testGasOfAChallengeOfThirtyTwoClippedAndMixedUpdates() public {
        measureMixed("challenge_arc_nnm_n32", 32, 15);
    }

    function testGasOfAChallengeOfAChoiceAmongTen() public {
        measureChoice("challenge_choice_n10", 10);
    }

    function testGasOfAChallengeOfAChoiceAmongThirtyTwo() public {
        measureChoice("challenge_choice_n32", 32);
    }

    function testGasOfAChallengeOfAChoiceAmongSixtyFour() public {
        measureChoice("challenge_choice_n64", 64);
    }

    function testGasOfAChallengeOfAGeometricMedian() public {
        measureWeighted("challenge_geometric_median_n10", IVolquorum.Rule.GeometricMedian, 10);
    }

    function testGasOfAChallengeOfAGeometricMedianOfSixtyFour() public {
        measureWeighted("challenge_geometric_median_n64", IVolquorum.Rule.GeometricMedian, 64);
    }

    function testGasOfAChallengeOfFLTrust() public {
        measureWeighted("challenge_fltrust_n10", IVolquorum.Rule.FLTrust, 10);
    }

    function testGasOfAChallengeOfFLTrustOfSixtyFour() public {
        measureWeighted("challenge_fltrust_n64", IVolquorum.Rule.FLTrust, 64);
    }

    function testGasOfAChallengeOfAGeometricMediansWeights() public {
        measureChoice("challenge_choice_geometric_median_n10", IVolquorum.Rule.GeometricMedian, 10);
    }

    function testGasOfAChallengeOfAGeometricMediansWeightsOfThirtyTwo() public {
        measureChoice("challenge_choice_geometric_median_n32", IVolquorum.Rule.GeometricMedian, 32);
    }

    function testGasOfAChallengeOfAGeometricMediansWeightsOfSixtyFour() public {
        measureChoice("challenge_choice_geometric_median_n64", IVolquorum.Rule.GeometricMedian, 64);
    }

    function testGasOfAChallengeOfFLTrustsWeights() public {
        measureChoice("challenge_choice_fltrust_n10", IVolquorum.Rule.FLTrust, 10);
    }

    function testGasOfAChallengeOfFLTrustsWeightsOfSixtyFour() public {
        measureChoice("challenge_choice_fltrust_n64", IVolquorum.Rule.FLTrust, 64);
    }

    function testGasOfAChallengeOfAProduct() public {
        (bytes32 taskId, uint32 round) = playToReveal(mixedParams(10, 4), 10);
        revealAll(taskId, round);
        walkToAggregate(taskId, round);
        // Of the first two updates, since theirs is the second pair.
        uint32 leaf = uint32(1 << depth | contested);
        bytes memory path = drawnRecords(11);
        (bytes32 root,,) = this.rootByRecords(leaf, path);
        publishTable(taskId, round, root, "choice");
        bytes memory all = bytes.concat(path, slice(openings, 0, 2 * (512 + 40 * depth)));
        IVolquorum.Update[] memory updates = revealed;
        contested = leaf;
        sealFor(taskId, round, 3, root);
        volquorum.challengeProduct(taskId, round, updates, leaf, all, "choice", 0);
        vm.snapshotGasLastCall(GROUP, "challenge_product");
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
        measureRule(name, IVolquorum.Rule.TrimmedMean, count);
    }

    function measureRule(string memory name, IVolquorum.Rule rule, uint8 count) private {
        IVolquorum.TaskParams memory params = largeParams(count);
        params.rule = rule;
        bool clips = rule == IVolquorum.Rule.ClippedMean || rule == IVolquorum.Rule.CenteredClipping;
        params.clipNorm = clips ? 1 : 0;
        bytes memory aggregate = drawnOpening(101, 2);
        (bytes32 taskId, uint32 round) =
            playAndPublish(params, PlainTree.rootOf(fold(aggregate, 2), shapeOf(2)), MODEL_ROOT);
        bytes memory all = bytes.concat(openings, pathOf(aggregate, 2));
        sealFor(taskId, round, 0, PlainTree.rootOf(fold(aggregate, 2), shapeOf(2)));
        address[] memory included = participants;
        volquorum.challengeAggregate(taskId, round, included, new IVolquorum.Update[](0), contested, all, "", 0);
        assertLt(vm.snapshotGasLastCall(GROUP, name), MOST_GAS);
    }

    /// @dev Masks of as many updates as tolerance leaves, drawn by nobody's distance: they cost the same.
    function measureMixed(string memory name, uint8 count, uint8 tolerance) private {
        bytes memory masks;
        for (uint256 row = 0; row < count; ++row) {
            uint256 mask = (1 << (count - tolerance)) - 1;
            masks = abi.encodePacked(masks, uint64((mask << row | mask << row >> count) & ((1 << count) - 1)));
        }
        measureChosen(name, mixedParams(count, tolerance), masks);
    }

    /// @dev Weights that nobody's distance asks for cost the same too, if none of them is zero.
    function measureWeighted(string memory name, IVolquorum.Rule rule, uint8 count) private {
        bytes memory weights;
        for (uint256 row = 0; row < count; ++row) {
            weights = abi.encodePacked(weights, uint64(2 ** 30 - 12_345_679 * row));
        }
        measureChosen(name, weightedParams(rule, count), abi.encodePacked(weights, uint64(uint256(count) << 29)));
    }

    function measureChosen(string memory name, IVolquorum.TaskParams memory params, bytes memory choice) private {
        (bytes32 taskId, uint32 round) = playToReveal(params, params.cohort);
        revealAll(taskId, round);
        walkToAggregate(taskId, round);
        bytes memory aggregate = drawnOpening(101, 2);
        IVolquorum.Result memory result;
        result.aggregateRoot = PlainTree.rootOf(fold(aggregate, 2), shapeOf(2));
        (result.tableRoot, result.choiceHash) = ("table", keccak256(choice));
        publishResult(taskId, round, result);
        sealFor(taskId, round, 0, result.aggregateRoot);
        bytes memory all = bytes.concat(openings, pathOf(aggregate, 2));
        challenge(taskId, round, all, bytes.concat(result.tableRoot, choice));
        assertLt(vm.snapshotGasLastCall(GROUP, name), MOST_GAS);
    }

    function challenge(bytes32 taskId, uint32 round, bytes memory all, bytes memory evidence) private {
        address[] memory included = participants;
        IVolquorum.Update[] memory none;
        volquorum.challengeAggregate(taskId, round, included, none, contested, all, evidence, 0);
    }

    function measureChoice(string memory name, uint8 count) private {
        measureChoice(name, mixedParams(count, (count - 1) / 2));
    }

    /// @dev What FLTrust asks for is the last of all, so that every update is looked at.
    function measureChoice(string memory name, IVolquorum.Rule rule, uint8 count) private {
        measureChoice(name, weightedParams(rule, count));
    }

    function measureChoice(string memory name, IVolquorum.TaskParams memory params) private {
        uint8 count = params.cohort;
        (bytes32 taskId, uint32 round) = playToReveal(params, count);
        revealAll(taskId, round);
        walkToAggregate(taskId, round);
        bytes memory nodes;
        for (uint256 row = 0; row < count; ++row) {
            nodes = bytes.concat(nodes, drawnNodes(row, count - row));
        }
        bytes32 root = this.rootOfPairs(count, nodes);
        publishTable(taskId, round, root, "choice");
        contested = 0;
        sealFor(taskId, round, 4, root);
        IVolquorum.Update[] memory updates;
        if (params.rule == IVolquorum.Rule.FLTrust) updates = revealed;
        bytes memory data = abi.encodeCall(IVolquorum.challengeChoice, (taskId, round, updates, nodes, "choice", 0));
        assertLt(data.length, MOST_BYTES);
        volquorum.challengeChoice(taskId, round, updates, nodes, "choice", 0);
        assertLt(vm.snapshotGasLastCall(GROUP, name), MOST_GAS);
    }

    function drawnNodes(uint256 seed, uint256 count) private pure returns (bytes memory nodes) {
        for (uint256 index = 0; index < count; ++index) {
            bytes32 draw = keccak256(abi.encode(seed, index));
            nodes = abi.encodePacked(nodes, draw, uint64(uint256(draw) >> 216));
        }
    }

    function rootOfPairs(uint256 count, bytes calldata nodes) external view returns (bytes32) {
        return GramLib.rootOfPairs(GramLib.Shape(count, 1 << depth), nodes);
    }

    function rootByRecords(uint32 leaf, bytes calldata path) external view returns (bytes32, int256, bool) {
        return GramLib.rootByRecords(GramLib.Shape(10, 1 << depth), leaf, path);
    }

    /// @dev A path on which every sum is that of what is below it.
    function drawnRecords(uint256 height) private pure returns (bytes memory path) {
        uint64 sum = 12_345;
        for (uint256 level = 0; level < height; ++level) {
            bytes32 draw = keccak256(abi.encode("record", level));
            uint64 beside = uint64(uint256(draw) % 2 ** 38);
            path = abi.encodePacked(path, sum, draw, beside);
            sum += beside;
        }
        path = abi.encodePacked(path, sum);
    }

    function publishTable(bytes32 taskId, uint32 round, bytes32 root, bytes32 choiceHash) private {
        IVolquorum.Result memory result;
        (result.aggregateRoot, result.tableRoot, result.choiceHash) = (AGGREGATE_ROOT, root, choiceHash);
        publishResult(taskId, round, result);
    }

    function publishResult(bytes32 taskId, uint32 round, IVolquorum.Result memory result) private {
        result.modelRoot = MODEL_ROOT;
        result.updatesHash = volquorum.roundState(taskId, round).updatesHash;
        publish(taskId, round, aggregator, result);
    }

    /// @dev Clipping and mixing before a trimmed mean, in a model of 32 chunks, or of 16 if a table has no room for more.
    function mixedParams(uint8 count, uint8 tolerance) private returns (IVolquorum.TaskParams memory params) {
        (depth, contested) = (count < 63 ? 5 : 4, 11);
        params = largeParams(count);
        (params.preSteps, params.tolerance) = (3, tolerance);
    }

    /// @dev Geometric median and FLTrust in such a model; the geometric median behind clipping.
    function weightedParams(IVolquorum.Rule rule, uint8 count) private returns (IVolquorum.TaskParams memory params) {
        params = mixedParams(count, 1);
        params.rule = rule;
        params.preSteps = rule == IVolquorum.Rule.GeometricMedian ? 1 : 0;
        if (rule == IVolquorum.Rule.FLTrust) params.trusted = desk(count - 1);
    }

    /// @dev Up to a proof by this account, which has sealed it.
    function playToAWrongModel() private returns (bytes32 taskId, uint32 round, bytes memory all) {
        IVolquorum.TaskParams memory params = largeParams(3);
        bytes memory base = drawnOpening(100, 4);
        bytes memory aggregate = drawnOpening(101, 2);
        bytes memory model = drawnOpening(102, 4);
        params.genesisModelRoot = PlainTree.rootOf(fold(base, 4), shapeOf(4));
        bytes32 lie = PlainTree.rootOf(fold(model, 4), shapeOf(4));
        (taskId, round) = playAndPublish(params, PlainTree.rootOf(fold(aggregate, 2), shapeOf(2)), lie);
        all = bytes.concat(base, aggregate, pathOf(model, 4));
        sealFor(taskId, round, 1, lie);
    }

    /// @dev The recorded sum of the last update's chunk is one too many.
    function measureNorm(string memory name, uint8 count) private {
        bytes memory opening = drawnOpening(64, 2);
        bytes memory proof = slice(opening, 0, 512);
        PlainTree.Node memory node = PlainTree.leaf(proof, 2, contested);
        ++node.sum;
        for (uint256 height = 0; height < depth; ++height) {
            bytes memory sibling = slice(opening, 512 + 40 * height, 40);
            proof = abi.encodePacked(proof, node.sum, sibling);
            node = above(node, height, sibling);
        }
        (bytes32 taskId, uint32 round) = playToReveal(largeParams(count), count - 1);
        addUpdate(taskId, round, node, shapeOf(2));
        revealAll(taskId, round);
        sealFor(taskId, round, 2, PlainTree.rootOf(node, shapeOf(2)));
        IVolquorum.Update[] memory updates = revealed;
        volquorum.challengeNorm(taskId, round, updates, count - 1, contested, proof, 0);
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
        SumTree.Shape memory shape = SumTree.Shape(params.dimension, params.chunkLength, 2);
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
                    contested,
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
        params.dimension = uint32(uint256(chunkLength) << depth);
        params.chunkLength = chunkLength;
        setCohort(params, count);
        params.quorum = count;
        params.tolerance = count / 4;
        params.maxSquaredNorm = type(uint64).max;
    }

    function shapeOf(uint256 widthBytes) private view returns (SumTree.Shape memory) {
        return SumTree.Shape(uint256(chunkLength) << depth, chunkLength, widthBytes);
    }

    function drawnOpening(uint256 seed, uint256 widthBytes) private view returns (bytes memory opening) {
        opening = drawnBytes(seed, chunkLength * widthBytes);
        for (uint256 height = 0; height < depth; ++height) {
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
    function pathOf(bytes memory opening, uint256 widthBytes) private view returns (bytes memory) {
        uint256 length = chunkLength * widthBytes;
        PlainTree.Node memory leaf = PlainTree.leaf(slice(opening, 0, length), widthBytes, contested);
        return abi.encodePacked(leaf.hash, leaf.sum, slice(opening, length, 40 * depth));
    }

    function fold(bytes memory opening, uint256 widthBytes) private view returns (PlainTree.Node memory node) {
        uint256 length = chunkLength * widthBytes;
        node = PlainTree.leaf(slice(opening, 0, length), widthBytes, contested);
        for (uint256 height = 0; height < depth; ++height) {
            node = above(node, height, slice(opening, length + 40 * height, 40));
        }
    }

    function above(PlainTree.Node memory node, uint256 height, bytes memory sibling)
        private
        view
        returns (PlainTree.Node memory)
    {
        PlainTree.Node memory other = PlainTree.Node(bytes32(sibling), uint64(bytes8(slice(sibling, 32, 8))));
        return (contested >> height) & 1 == 1 ? PlainTree.parent(other, node) : PlainTree.parent(node, other);
    }

    function slice(bytes memory from, uint256 start, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 index = 0; index < length; ++index) {
            part[index] = from[start + index];
        }
    }
}
