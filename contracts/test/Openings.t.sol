// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChallengeLib} from "../src/libraries/ChallengeLib.sol";
import {CommitmentLib} from "../src/libraries/CommitmentLib.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {Task} from "../src/libraries/TaskLib.sol";
import {PlainRules} from "./PlainRules.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice What a challenger may send, and what those who made the trees may have lied in, without a round around it:
/// three chunks of sixteen coordinates, the last one half padding, and a padding leaf.
/// forge-config: default.fuzz.runs = 96
contract OpeningsTest is Test {
    uint256 private constant DIMENSION = 40;
    uint256 private constant CHUNKS = 3;
    uint256 private constant UPDATE_OPENING = 32 + 2 * 40;
    uint256 private constant MODEL_OPENING = 64 + 2 * 40;
    uint32 private constant ROUND = 7;
    bytes32 private constant TASK_ID = keccak256("task");

    Task private task;
    IVolquorum.Update[] private revealed;
    bytes[] private vectors;
    bytes private base;
    bytes private aggregate;
    bytes private model;

    // -------------------------------------------------------------------------------------------------- aggregates

    /// forge-config: default.fuzz.runs = 32
    function testRightAggregateHoldsWhoeverIsExcluded(uint256 seed, uint256 rule, uint256 count, uint64 unavailable)
        public
    {
        play(seed, rule, count, unavailable);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            assertTrue(judgeAggregate(chunk));
            assertTrue(judgeModel(chunk));
        }
    }

    /// forge-config: default.fuzz.runs = 4
    function testRightAggregateHoldsForEveryCount(uint256 seed, uint256 rule) public {
        for (uint256 count = 1; count <= 64; count += 7) {
            play(seed, rule, count, 0);
            assertTrue(judgeAggregate(uint32(seed % CHUNKS)));
        }
    }

    /// forge-config: default.fuzz.runs = 2
    function testEveryWrongBitOfAnAggregateIsSeen(uint256 seed, uint256 rule, uint64 unavailable) public {
        play(seed, rule, 5, unavailable);
        bytes memory right = aggregate;
        uint32 chunk = uint32(seed % CHUNKS);
        for (uint256 bit = 256 * chunk; bit < 256 * (chunk + 1); ++bit) {
            // Padding too: it must be zero.
            aggregate = PlainTree.slice(right, 0, 96);
            aggregate[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            task.roundOf[ROUND].aggregateRoot = PlainTree.rootOf(aggregate, updateShape());
            assertFalse(judgeAggregate(chunk));
        }
        assertTrue(judgeAggregate((chunk + 1) % 3));
    }

    function testWrongSumOfAnAggregatesLeafIsSeen(uint256 seed, uint64 sum) public {
        play(seed, 3, 5, 0);
        uint32 chunk = uint32(seed % CHUNKS);
        PlainTree.Node[][] memory levels = PlainTree.levelsOf(aggregate, updateShape());
        sum = uint64(bound(sum, 0, 1 << 40));
        vm.assume(sum != levels[0][chunk].sum);
        levels[0][chunk].sum = sum;
        task.roundOf[ROUND].aggregateRoot = foldedRoot(levels, updateShape());
        bytes memory path = bytes.concat(PlainTree.packed(levels[0][chunk]), PlainTree.siblingsOf(levels, chunk, 0));
        assertFalse(this.aggregateHolds(participants(), excluded(), chunk, bytes.concat(updateOpenings(chunk), path)));
    }

    function testOpeningsOfUpdatesWithAnyByteChangedAreRefused(uint256 seed, uint256 place, bytes1 change) public {
        vm.assume(change != 0);
        play(seed, 3, 6, uint64(1 << (seed % 6)));
        uint32 chunk = uint32(seed % CHUNKS);
        bytes memory openings = aggregateOpenings(chunk);
        place = bound(place, 0, 5 * UPDATE_OPENING - 1);
        openings[place] ^= change;
        (address[] memory included, IVolquorum.Update[] memory others) = (participants(), excluded());
        try this.aggregateHolds(included, others, chunk, openings) {
            assertTrue(false, "judged");
        } catch (bytes memory reason) {
            // Padding and sums that nobody believes are known without the hash.
            if (bytes4(reason) == IVolquorum.BadOpening.selector) {
                assertEq(reason, abi.encodeWithSelector(IVolquorum.BadOpening.selector, place / UPDATE_OPENING));
            } else {
                assertEq(bytes4(reason), IVolquorum.UpdatesMismatch.selector);
            }
        }
    }

    /// forge-config: default.fuzz.runs = 2
    function testPathOfAnAggregateWithAnyBitChangedIsRefused(uint256 seed) public {
        play(seed, 3, 4, 2);
        uint32 chunk = uint32(seed % CHUNKS);
        bytes memory openings = aggregateOpenings(chunk);
        for (uint256 bit = 8 * 3 * UPDATE_OPENING; bit < 8 * openings.length; ++bit) {
            openings[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            refused(participants(), excluded(), chunk, openings, badOpening(3));
            openings[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        }
    }

    function testOpeningsOfAnotherChunkAreRefused(uint256 seed) public {
        play(seed, 2, 4, 0);
        uint32 chunk = uint32(seed % CHUNKS);
        uint32 other = (chunk + 1) % uint32(CHUNKS);
        bytes memory mixed = bytes.concat(updateOpenings(other), PlainTree.path(aggregate, updateShape(), chunk));
        refused(participants(), excluded(), other, mixed, badOpening(4));
        // Of the last chunk, whose padding these openings do not have, the first is wrong already.
        if (other == 2) refused(participants(), excluded(), other, aggregateOpenings(chunk), badOpening(0));
        else mismatched(participants(), excluded(), other, aggregateOpenings(chunk));
    }

    function testOpeningsOfAnotherLengthAreRefused(uint256 seed, uint256 length) public {
        play(seed, 1, 3, 1);
        bytes memory openings = aggregateOpenings(0);
        length = bound(length, 0, 2 * openings.length);
        vm.assume(length != openings.length);
        bytes memory reason = abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, openings.length);
        refused(participants(), excluded(), 0, PlainTree.slice(openings, 0, length), reason);
    }

    function testChunkBehindTheLastIsRefused(uint32 chunk) public {
        play(1, 1, 3, 0);
        chunk = uint32(bound(chunk, CHUNKS, type(uint32).max));
        bytes memory reason = abi.encodeWithSelector(IVolquorum.UnknownChunk.selector, chunk, CHUNKS);
        refused(participants(), excluded(), chunk, aggregateOpenings(0), reason);
        vm.expectRevert(reason);
        this.modelHolds(chunk, modelOpenings(0));
        vm.expectRevert(reason);
        this.normHolds(revealed[0], 0, chunk, PlainTree.openRecorded(vectors[0], updateShape(), 0));
    }

    // --------------------------------------------------------------------------------------- the set of updates

    function testOtherParticipantsThanTheIncludedAreRefused(uint256 seed, address other) public {
        play(seed, 0, 6, 9);
        uint32 chunk = uint32(seed % CHUNKS);
        bytes memory openings = aggregateOpenings(chunk);
        address[] memory included = participants();
        uint256 index = seed % included.length;
        address right = included[index];
        vm.assume(other != right);
        included[index] = other;
        mismatched(included, excluded(), chunk, openings);
        included[index] = included[(index + 1) % 4];
        included[(index + 1) % 4] = right;
        mismatched(included, excluded(), chunk, openings);
    }

    function testOtherUpdatesThanTheExcludedAreRefused(uint256 seed, bytes32 change) public {
        vm.assume(uint64(uint256(change)) != 0);
        play(seed, 0, 6, 9);
        uint32 chunk = uint32(seed % CHUNKS);
        bytes memory openings = aggregateOpenings(chunk);
        IVolquorum.Update[] memory others = excluded();
        (others[0], others[1]) = (others[1], others[0]);
        mismatched(participants(), others, chunk, openings);
        others = excluded();
        IVolquorum.Update memory changed = others[seed % 2];
        changed.squaredNorm ^= uint64(uint256(change));
        mismatched(participants(), others, chunk, openings);
        changed.squaredNorm ^= uint64(uint256(change));
        changed.updateRoot ^= change;
        mismatched(participants(), others, chunk, openings);
        changed.updateRoot ^= change;
        changed.participant = address(uint160(changed.participant) ^ uint64(uint256(change)));
        mismatched(participants(), others, chunk, openings);
    }

    /// @dev Nobody moves between the two, is left out, or comes on top; not even with all hashes right.
    function testSetsOfOtherSizesAreRefused(uint256 seed) public {
        play(seed, 0, 6, 9);
        // One more included: the first excluded update, which stands first.
        task.roundOf[ROUND].unavailable = 8;
        bytes memory openings = aggregateOpenings(0);
        (address[] memory included, IVolquorum.Update[] memory others) = (participants(), excluded());
        assertTrue(included.length == 5 && others.length == 1);
        task.roundOf[ROUND].unavailable = 9;
        mismatched(included, others, 0, openings);

        // One more excluded.
        task.roundOf[ROUND].unavailable = 11;
        openings = aggregateOpenings(0);
        (included, others) = (participants(), excluded());
        task.roundOf[ROUND].unavailable = 9;
        mismatched(included, others, 0, openings);

        // One of each exchanged: the numbers are right.
        task.roundOf[ROUND].unavailable = 10;
        openings = aggregateOpenings(0);
        (included, others) = (participants(), excluded());
        task.roundOf[ROUND].unavailable = 9;
        mismatched(included, others, 0, openings);

        // One less, one more, nobody.
        openings = aggregateOpenings(0);
        mismatched(participants(), new IVolquorum.Update[](0), 0, openings);
        mismatched(participants(), new IVolquorum.Update[](3), 0, openings);
        mismatched(new address[](0), excluded(), 0, PlainTree.path(aggregate, updateShape(), 0));
        mismatched(new address[](0), new IVolquorum.Update[](6), 0, PlainTree.path(aggregate, updateShape(), 0));
        bytes memory more = bytes.concat(updateOpenings(0), aggregateOpenings(0));
        mismatched(new address[](8), excluded(), 0, more);
    }

    function testParticipantWithBitsAboveAnAddressIsRefused(uint256 seed, uint256 dirt) public {
        play(seed, 0, 1, 0);
        dirt = bound(dirt, 1, type(uint96).max);
        bytes memory call = abi.encodeCall(this.aggregateHolds, (participants(), excluded(), 0, aggregateOpenings(0)));
        // Behind the selector, the four heads and the array's length.
        uint256 place = 4 + 32 * 5;
        assertEq(uint8(call[place + 31]), uint8(uint160(revealed[0].participant)));
        (bool judged,) = address(this).call(call);
        assertTrue(judged, "clean");
        for (uint256 offset = 0; offset < 12; ++offset) {
            call[place + offset] = bytes1(uint8(dirt >> (8 * offset)));
        }
        (judged,) = address(this).call(call);
        assertFalse(judged, "dirty");
    }

    // ------------------------------------------------------------------------- trees that a liar made as he liked

    /// @dev He knows the root of what he made, so no hash gives him away.
    function testUpdateWithNonZeroPaddingIsNoEvidence(uint256 seed, uint256 place, bytes1 dirt) public {
        vm.assume(dirt != 0);
        play(seed, 0, 4, 0);
        vectors[2] = PlainTree.slice(vectors[2], 0, 96);
        vectors[2][bound(place, 80, 95)] = dirt;
        recommit(2);
        refused(participants(), excluded(), 2, aggregateOpenings(2), badOpening(2));
    }

    function testUpdateWhoseSumsNobodyBelievesIsNoEvidence(uint64 high) public {
        play(1, 0, 3, 0);
        high = uint64(bound(high, 1 << 63, type(uint64).max));
        (bytes memory opening, bytes32 root) = openingBeside(new bytes(32), high, 0);
        refuseOpening(opening, root, high);
        // A sum that wraps to zero.
        (opening, root) = openingBeside(new bytes(32), 1 << 63, 1 << 63);
        refuseOpening(opening, root, 0);
        (opening, root) = openingBeside(new bytes(32), type(uint64).max, 1);
        refuseOpening(opening, root, 0);
    }

    function testAggregateWhoseSumsNobodyBelievesCannotBeOpened(uint64 high) public {
        play(1, 0, 3, 0);
        high = uint64(bound(high, 1 << 63, type(uint64).max));
        (bytes memory opening, bytes32 root) = openingBeside(new bytes(32), high, 0);
        task.roundOf[ROUND].aggregateRoot = root;
        PlainTree.Node memory leaf = PlainTree.leaf(new bytes(32), 2, 0);
        bytes memory path = bytes.concat(PlainTree.packed(leaf), PlainTree.slice(opening, 32, 80));
        refused(participants(), excluded(), 0, bytes.concat(updateOpenings(0), path), badOpening(3));
    }

    // ------------------------------------------------------------------------------------------------------ models

    /// forge-config: default.fuzz.runs = 2
    function testEveryWrongBitOfAModelIsSeen(uint256 seed) public {
        play(seed, 3, 5, 0);
        bytes memory right = model;
        uint32 chunk = uint32(seed % CHUNKS);
        for (uint256 bit = 512 * chunk; bit < 512 * (chunk + 1); ++bit) {
            model = PlainTree.slice(right, 0, 192);
            model[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            task.roundOf[ROUND].modelRoot = PlainTree.rootOf(model, modelShape());
            assertFalse(judgeModel(chunk));
        }
        assertTrue(judgeModel((chunk + 1) % 3));
    }

    function testSumOfAModelsLeafIsSeen(uint256 seed, uint64 sum) public {
        play(seed, 3, 5, 0);
        sum = uint64(bound(sum, 1, (1 << 63) - 1));
        uint32 chunk = uint32(seed % CHUNKS);
        PlainTree.Node[][] memory levels = PlainTree.levelsOf(model, modelShape());
        levels[0][chunk].sum = sum;
        task.roundOf[ROUND].modelRoot = foldedRoot(levels, modelShape());
        bytes memory path = bytes.concat(PlainTree.packed(levels[0][chunk]), PlainTree.siblingsOf(levels, chunk, 0));
        bytes memory openings = modelOpenings(chunk);
        assertFalse(this.modelHolds(chunk, bytes.concat(PlainTree.slice(openings, 0, 256), path)));
    }

    function testNoModelIsRightWhereASumLeavesInt32(uint256 seed, uint256 place, bool below) public {
        play(seed, 3, 5, 0);
        place = bound(place, 0, DIMENSION - 1);
        uint32 chunk = uint32(place / 16);
        int256[] memory bases = PlainRules.unpacked(base, 4);
        int256[] memory steps = PlainRules.unpacked(aggregate, 2);
        steps[place] = below ? -1 - int256(seed % 32_768) : 1 + int256(seed % 32_767);
        // The last sum that fits, then the first that does not.
        bases[place] = (below ? int256(type(int32).min) : type(int32).max) - steps[place];
        makeModel(bases, steps);
        assertTrue(judgeModel(chunk));
        bases[place] += below ? -1 : int256(1);
        makeModel(bases, steps);
        assertFalse(judgeModel(chunk));
        assertTrue(judgeModel((chunk + 1) % 3));
    }

    function testModelOpeningsWithAnyByteChangedAreRefused(uint256 seed, uint256 place, bytes1 change) public {
        vm.assume(change != 0);
        play(seed, 3, 5, 0);
        uint32 chunk = uint32(seed % CHUNKS);
        bytes memory openings = modelOpenings(chunk);
        assertEq(openings.length, MODEL_OPENING + UPDATE_OPENING + 3 * 40);
        place = bound(place, 0, openings.length - 1);
        openings[place] ^= change;
        uint256 index = place < MODEL_OPENING ? 0 : place < MODEL_OPENING + UPDATE_OPENING ? 1 : 2;
        vm.expectRevert(badOpening(index));
        this.modelHolds(chunk, openings);
    }

    function testModelOpeningsOfAnotherLengthAreRefused(uint256 length) public {
        play(1, 3, 5, 0);
        bytes memory openings = modelOpenings(1);
        length = bound(length, 0, 2 * openings.length);
        vm.assume(length != openings.length);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, openings.length));
        this.modelHolds(1, PlainTree.slice(openings, 0, length));
    }

    function testBaseModelWithNonZeroPaddingIsNoEvidence(uint256 place, bytes1 dirt) public {
        vm.assume(dirt != 0);
        play(1, 3, 5, 0);
        base = PlainTree.slice(base, 0, 192);
        base[bound(place, 160, 191)] = dirt;
        task.modelRoot = PlainTree.rootOf(base, modelShape());
        bytes memory openings = modelOpenings(2);
        vm.expectRevert(badOpening(0));
        this.modelHolds(2, openings);
    }

    // ------------------------------------------------------------------------------------------------------- norms

    function testRightNormHolds(uint256 seed, uint256 dimension) public {
        play(seed, 0, 1, 0);
        SumTree.Shape memory shape = SumTree.Shape(bound(dimension, 1, 150), 16, 2);
        task.dimension = uint32(shape.dimension);
        bytes memory vector = drawBytes(seed, 2 * shape.dimension);
        PlainTree.Node memory top = PlainTree.topOf(vector, shape);
        IVolquorum.Update memory update = IVolquorum.Update(address(1), PlainTree.rootOf(top, shape), top.sum);
        for (uint32 chunk = 0; chunk < SumTree.chunkCount(shape); ++chunk) {
            assertTrue(this.normHolds(update, 0, chunk, PlainTree.openRecorded(vector, shape, chunk)));
        }
    }

    /// @dev Of a leaf or of a node: whoever opens a chunk below it sees it, and whoever opens one beside it does too,
    /// for their parent then records another sum than theirs.
    function testWrongSumAnywhereInATreeIsSeen(uint256 seed, uint256 height, uint64 sum, bool carried) public {
        play(seed, 0, 1, 0);
        PlainTree.Node[][] memory levels = PlainTree.levelsOf(vectors[0], updateShape());
        height = bound(height, 0, 2);
        uint256 liar = seed % (height == 0 ? CHUNKS : levels[height].length);
        sum = uint64(bound(sum, 0, 1 << 40));
        vm.assume(sum != levels[height][liar].sum);
        int256 change = int256(uint256(sum)) - int256(uint256(levels[height][liar].sum));
        levels[height][liar].sum = sum;
        rehash(levels, height, liar, carried ? change : int256(0));
        IVolquorum.Update memory update = updateOf(levels);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            bytes memory opening =
                bytes.concat(PlainTree.slice(vectors[0], 32 * chunk, 32), PlainTree.recordsOf(levels, chunk));
            // Where the lie is carried on to the root, only those below its place see it.
            bool below = chunk >> height == liar;
            bool beside = !carried && height < 2 && chunk >> (height + 1) == liar / 2;
            assertEq(this.normHolds(update, 0, chunk, opening), !(below || beside));
        }
    }

    /// @dev Wrapped, the sums below give what is recorded.
    function testRecordedSumThatWrappedIsSeen(uint64 low) public {
        play(1, 0, 1, 0);
        bytes memory chunk = PlainTree.slice(vectors[0], 0, 32);
        PlainTree.Node memory leaf = PlainTree.leaf(chunk, 2, 0);
        uint64 wrapped = uint64(bound(low, 0, leaf.sum - 1));
        PlainTree.Node memory beside = PlainTree.Node("beside", type(uint64).max - leaf.sum + 1 + wrapped);
        PlainTree.Node memory above = PlainTree.Node(nodeHash(leaf, beside), wrapped);
        PlainTree.Node memory far = PlainTree.Node("far", 5);
        PlainTree.Node memory top = PlainTree.Node(nodeHash(above, far), wrapped + 5);
        IVolquorum.Update memory update = IVolquorum.Update(address(1), PlainTree.rootOf(top, updateShape()), top.sum);
        bytes memory opening =
            abi.encodePacked(chunk, leaf.sum, PlainTree.packed(beside), wrapped, PlainTree.packed(far));
        assertFalse(this.normHolds(update, 0, 0, opening));
    }

    function testNormThatTheRootAloneRecordsIsSeen(uint256 seed, uint64 claimed) public {
        play(seed, 0, 1, 0);
        PlainTree.Node memory top = PlainTree.topOf(vectors[0], updateShape());
        vm.assume(claimed != top.sum);
        top.sum = claimed;
        IVolquorum.Update memory update = IVolquorum.Update(address(1), PlainTree.rootOf(top, updateShape()), claimed);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            assertFalse(this.normHolds(update, 0, chunk, PlainTree.openRecorded(vectors[0], updateShape(), chunk)));
        }
    }

    function testNormOfAVectorOfOneChunkIsSeen(uint256 seed, uint64 claimed) public {
        play(seed, 0, 1, 0);
        task.dimension = 16;
        SumTree.Shape memory shape = SumTree.Shape(16, 16, 2);
        bytes memory chunk = drawBytes(seed, 32);
        PlainTree.Node memory leaf = PlainTree.leaf(chunk, 2, 0);
        assertTrue(this.normHolds(IVolquorum.Update(address(1), PlainTree.rootOf(leaf, shape), leaf.sum), 0, 0, chunk));
        vm.assume(claimed != leaf.sum);
        leaf.sum = claimed;
        assertFalse(this.normHolds(IVolquorum.Update(address(1), PlainTree.rootOf(leaf, shape), claimed), 0, 0, chunk));
    }

    /// forge-config: default.fuzz.runs = 2
    function testRecordedOpeningsWithAnyBitChangedAreRefused(uint256 seed) public {
        play(seed, 0, 1, 0);
        uint32 chunk = uint32(seed % CHUNKS);
        bytes memory opening = PlainTree.openRecorded(vectors[0], updateShape(), chunk);
        for (uint256 bit = 0; bit < 8 * opening.length; ++bit) {
            opening[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            vm.expectRevert(badOpening(3));
            this.normHolds(revealed[0], 3, chunk, opening);
            opening[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        }
    }

    function testRecordedOpeningsOfAnotherLengthAreRefused(uint256 length) public {
        play(1, 0, 1, 0);
        uint256 right = 32 + 2 * 48;
        length = bound(length, 0, 2 * right);
        vm.assume(length != right);
        bytes memory opening = PlainTree.openRecorded(vectors[0], updateShape(), 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, right));
        this.normHolds(revealed[0], 0, 0, PlainTree.slice(opening, 0, length));
    }

    // ------------------------------------------------------------------------------- the library, called from outside

    function aggregateHolds(
        address[] calldata included,
        IVolquorum.Update[] calldata others,
        uint32 chunk,
        bytes calldata openings
    ) external view returns (bool) {
        CommitmentLib.Claim memory claim = CommitmentLib.Claim(TASK_ID, ROUND, 0, chunk, 0, 0);
        return ChallengeLib.aggregateHolds(task, task.roundOf[ROUND], claim, included, others, openings, openings[:0]);
    }

    function modelHolds(uint32 chunk, bytes calldata openings) external view returns (bool) {
        return ChallengeLib.modelHolds(task, task.roundOf[ROUND], chunk, openings);
    }

    function normHolds(IVolquorum.Update calldata update, uint256 index, uint32 chunk, bytes calldata opening)
        external
        view
        returns (bool)
    {
        return ChallengeLib.normHolds(task, update, index, chunk, opening);
    }

    // ------------------------------------------------------------------------------------------------------- rounds

    /// @dev With at least one update included, and the right result of the included ones.
    function play(uint256 seed, uint256 rule, uint256 count, uint64 unavailable) private {
        count = bound(count, 1, 64);
        unavailable &= uint64((1 << count) - 1);
        if (popCount(unavailable) == count) unavailable &= ~uint64(1 << (seed % count));
        uint256 included = count - popCount(unavailable);
        task.dimension = uint32(DIMENSION);
        task.chunkLength = 16;
        task.rule = IVolquorum.Rule(bound(rule, 0, 3));
        task.tolerance = uint8(seed % ((included + 1) / 2));
        task.clipNorm = uint64(1 + seed % 200_000);
        delete revealed;
        delete vectors;
        for (uint256 index = 0; index < count; ++index) {
            vectors.push(drawBytes(uint256(keccak256(abi.encode(seed, index))), 2 * DIMENSION));
            revealed.push(IVolquorum.Update(address(uint160(1000 + index)), 0, 0));
        }
        IVolquorum.RoundState storage facts = task.roundOf[ROUND];
        facts.unavailable = unavailable;
        for (uint256 index = 0; index < count; ++index) {
            recommit(index);
        }
        int256[] memory bases = PlainRules.unpacked(drawBytes(seed, 4 * DIMENSION), 4);
        for (uint256 index = 0; index < DIMENSION; ++index) {
            bases[index] /= 2;
        }
        makeModel(bases, rightAggregate());
    }

    /// @dev Notes a vector's root and norm, and the hash over all updates.
    function recommit(uint256 index) private {
        PlainTree.Node memory top = PlainTree.topOf(vectors[index], updateShape());
        note(index, PlainTree.rootOf(top, updateShape()), top.sum);
    }

    function note(uint256 index, bytes32 root, uint64 squaredNorm) private {
        revealed[index].updateRoot = root;
        revealed[index].squaredNorm = squaredNorm;
        bytes32 hash = CommitmentLib.updatesStart(TASK_ID, ROUND);
        for (uint256 each = 0; each < revealed.length; ++each) {
            hash = bytes32(uint256(keccak256(abi.encode(hash, revealed[each]))) >> 8 << 8 | (each + 1));
        }
        task.roundOf[ROUND].updatesHash = hash;
    }

    function rightAggregate() private view returns (int256[] memory) {
        int256[][] memory values = new int256[][](participants().length);
        uint256 taken = 0;
        for (uint256 index = 0; index < vectors.length; ++index) {
            if (isIncluded(index)) values[taken++] = PlainRules.unpacked(vectors[index], 2);
        }
        RuleLib.Terms memory terms = RuleLib.Terms(task.rule, task.tolerance, task.clipNorm);
        return PlainRules.aggregate(values, PlainRules.squaredNorms(values), terms);
    }

    /// @dev Sums that leave int32 are cut, as whoever publishes in spite of them would.
    function makeModel(int256[] memory bases, int256[] memory steps) private {
        int256[] memory next = new int256[](DIMENSION);
        for (uint256 index = 0; index < DIMENSION; ++index) {
            next[index] = bases[index] + steps[index];
        }
        base = PlainRules.packed(bases, 4);
        aggregate = PlainRules.packed(steps, 2);
        model = PlainRules.packed(next, 4);
        task.modelRoot = PlainTree.rootOf(base, modelShape());
        task.roundOf[ROUND].aggregateRoot = PlainTree.rootOf(aggregate, updateShape());
        task.roundOf[ROUND].modelRoot = PlainTree.rootOf(model, modelShape());
    }

    function isIncluded(uint256 index) private view returns (bool) {
        return (task.roundOf[ROUND].unavailable >> index) & 1 == 0;
    }

    // ---------------------------------------------------------------------------------------------------- openings

    function participants() private view returns (address[] memory included) {
        included = new address[](revealed.length - popCount(task.roundOf[ROUND].unavailable));
        uint256 taken = 0;
        for (uint256 index = 0; index < revealed.length; ++index) {
            if (isIncluded(index)) included[taken++] = revealed[index].participant;
        }
    }

    function excluded() private view returns (IVolquorum.Update[] memory others) {
        others = new IVolquorum.Update[](popCount(task.roundOf[ROUND].unavailable));
        uint256 taken = 0;
        for (uint256 index = 0; index < revealed.length; ++index) {
            if (!isIncluded(index)) others[taken++] = revealed[index];
        }
    }

    function updateOpenings(uint32 chunk) private view returns (bytes memory openings) {
        for (uint256 index = 0; index < vectors.length; ++index) {
            if (!isIncluded(index)) continue;
            openings = bytes.concat(openings, PlainTree.open(vectors[index], updateShape(), chunk));
        }
    }

    function aggregateOpenings(uint32 chunk) private view returns (bytes memory) {
        return bytes.concat(updateOpenings(chunk), PlainTree.path(aggregate, updateShape(), chunk));
    }

    function modelOpenings(uint32 chunk) private view returns (bytes memory) {
        return bytes.concat(
            PlainTree.open(base, modelShape(), chunk),
            PlainTree.open(aggregate, updateShape(), chunk),
            PlainTree.path(model, modelShape(), chunk)
        );
    }

    /// @dev Of chunk 0 beside two siblings of these sums, and the root with what remains of the total in 64 bits.
    function openingBeside(bytes memory chunk, uint64 near, uint64 far)
        private
        pure
        returns (bytes memory opening, bytes32 root)
    {
        PlainTree.Node memory node = PlainTree.leaf(chunk, 2, 0);
        opening = chunk;
        uint64[2] memory sums = [near, far];
        for (uint256 height = 0; height < 2; ++height) {
            PlainTree.Node memory sibling = PlainTree.Node(keccak256(abi.encode(height)), sums[height]);
            opening = bytes.concat(opening, PlainTree.packed(sibling));
            node.hash = nodeHash(node, sibling);
            unchecked {
                node.sum += sibling.sum;
            }
        }
        root = PlainTree.rootOf(node, updateShape());
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function judgeAggregate(uint32 chunk) private view returns (bool) {
        return this.aggregateHolds(participants(), excluded(), chunk, aggregateOpenings(chunk));
    }

    function judgeModel(uint32 chunk) private view returns (bool) {
        return this.modelHolds(chunk, modelOpenings(chunk));
    }

    function refused(
        address[] memory included,
        IVolquorum.Update[] memory others,
        uint32 chunk,
        bytes memory openings,
        bytes memory reason
    ) private {
        vm.expectRevert(reason);
        this.aggregateHolds(included, others, chunk, openings);
    }

    function mismatched(
        address[] memory included,
        IVolquorum.Update[] memory others,
        uint32 chunk,
        bytes memory openings
    ) private {
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        this.aggregateHolds(included, others, chunk, openings);
    }

    /// @dev As the second of three updates.
    function refuseOpening(bytes memory opening, bytes32 root, uint64 squaredNorm) private {
        note(1, root, squaredNorm);
        bytes memory openings = bytes.concat(
            PlainTree.open(vectors[0], updateShape(), 0),
            opening,
            PlainTree.open(vectors[2], updateShape(), 0),
            PlainTree.path(aggregate, updateShape(), 0)
        );
        refused(participants(), excluded(), 0, openings, badOpening(1));
    }

    /// @dev Makes the hashes above a node anew; the sums above it change by `change`.
    function rehash(PlainTree.Node[][] memory levels, uint256 height, uint256 index, int256 change) private pure {
        for (; height + 1 < levels.length; ++height) {
            index /= 2;
            PlainTree.Node memory above = levels[height + 1][index];
            above.hash = nodeHash(levels[height][2 * index], levels[height][2 * index + 1]);
            above.sum = uint64(uint256(int256(uint256(above.sum)) + change));
        }
    }

    function foldedRoot(PlainTree.Node[][] memory levels, SumTree.Shape memory shape) private pure returns (bytes32) {
        PlainTree.fold(levels);
        return PlainTree.rootOf(levels[levels.length - 1][0], shape);
    }

    function updateOf(PlainTree.Node[][] memory levels) private pure returns (IVolquorum.Update memory) {
        PlainTree.Node memory top = levels[levels.length - 1][0];
        return IVolquorum.Update(address(1), PlainTree.rootOf(top, updateShape()), top.sum);
    }

    function nodeHash(PlainTree.Node memory left, PlainTree.Node memory right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(left.hash, right.hash, "volquorum.node.1", left.sum, right.sum));
    }

    function badOpening(uint256 index) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IVolquorum.BadOpening.selector, index);
    }

    function popCount(uint64 bits) private pure returns (uint256 count) {
        for (; bits != 0; bits >>= 1) {
            count += bits & 1;
        }
    }

    function updateShape() private pure returns (SumTree.Shape memory) {
        return SumTree.Shape(DIMENSION, 16, 2);
    }

    function modelShape() private pure returns (SumTree.Shape memory) {
        return SumTree.Shape(DIMENSION, 16, 4);
    }

    function drawBytes(uint256 seed, uint256 length) private pure returns (bytes memory) {
        bytes32[] memory words = new bytes32[]((length + 31) / 32);
        for (uint256 index = 0; index < words.length; ++index) {
            words[index] = keccak256(abi.encode(seed, index));
        }
        return PlainTree.slice(abi.encodePacked(words), 0, length);
    }
}
