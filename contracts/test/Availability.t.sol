// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {ChallengeFixture} from "./ChallengeFixture.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice Flags on updates, what answers them, and what follows where nobody does.
/// forge-config: default.fuzz.runs = 64
contract AvailabilityTest is ChallengeFixture {
    address private flagger = makeAddr("flagger");

    // -------------------------------------------------------------------------------------------------- flagUpdate

    function testFlagExcludesTheUpdate(uint256 index) public {
        play(5);
        index = bound(index, 0, 4);
        IVolquorum.Update memory update = revealed[index];
        vm.deal(flagger, 0.01 ether);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.UpdateFlagged(taskId, round, update.participant, flagger, update.updateRoot);
        vm.prank(flagger);
        volquorum.flagUpdate{value: 0.01 ether}(taskId, round, revealed, index);

        assertEq(volquorum.roundState(taskId, round).unavailable, 1 << index);
        assertEq(
            abi.encode(volquorum.updateFlag(taskId, update.participant)),
            abi.encode(IVolquorum.Flag(round, uint8(index), 0, flagger, update.updateRoot))
        );
    }

    function testFlagsOfSeveralUpdatesAreKeptApart(uint8 which) public {
        play(7);
        which &= 0x7f;
        flagAll(which);
        assertEq(volquorum.roundState(taskId, round).unavailable, which);
        for (uint256 index = 0; index < 7; ++index) {
            if (which >> index & 1 == 1) post(index);
        }
        assertEq(volquorum.roundState(taskId, round).unavailable, 0);
    }

    function testUpdatesAreFlaggedInTheFirstHalfOfAvailabilityOnly(uint256 wait) public {
        play(3);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        assertEq(ends.flagUpdate, ends.reveal + 20);
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Availability) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Availability);
        } else if (block.timestamp >= ends.flagUpdate) {
            expectFlaggingOver(ends.flagUpdate);
        }
        volquorum.flagUpdate{value: 0.01 ether}(taskId, round, revealed, 0);
    }

    function testLastSecondForFlaggingIsTaken() public {
        play(3);
        uint64 end = volquorum.deadlines(taskId, round).flagUpdate;
        vm.warp(end - 1);
        flag(taskId, round, revealed, 0, flagger);
        vm.warp(end);
        expectFlaggingOver(end);
        volquorum.flagUpdate{value: 0.01 ether}(taskId, round, revealed, 1);
    }

    function testDepositMustBePaidExactly(uint96 sentWei) public {
        vm.assume(sentWei != 0.01 ether);
        play(3);
        vm.deal(flagger, sentWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, 0.01 ether));
        vm.prank(flagger);
        volquorum.flagUpdate{value: sentWei}(taskId, round, revealed, 0);
    }

    function testUpdateIsFlaggedOnce() public {
        play(3);
        flag(taskId, round, revealed, 1, flagger);
        refusedToFlag(1);
        post(1);
        refusedToFlag(1);
        flag(taskId, round, revealed, 0, flagger);
    }

    function testOnlyRevealedUpdatesAreFlagged(uint256 index, uint256 kind, bytes32 other) public {
        play(4);
        index = bound(index, 4, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.UnknownUpdate.selector, index, 4));
        volquorum.flagUpdate{value: 0.01 ether}(taskId, round, revealed, index);

        IVolquorum.Update[] memory updates = revealed;
        kind = bound(kind, 0, 4);
        if (kind == 0) updates[1].participant = address(uint160(uint256(other)));
        if (kind == 1) updates[1].updateRoot = other;
        if (kind == 2) updates[1].squaredNorm = uint64(uint256(other));
        if (kind == 3) (updates[0], updates[1]) = (updates[1], updates[0]);
        if (kind == 4) updates = new IVolquorum.Update[](uint256(other) % 4);
        vm.assume(keccak256(abi.encode(updates)) != keccak256(abi.encode(revealed)));
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.flagUpdate{value: 0.01 ether}(taskId, round, updates, 1);
    }

    function testWithoutAvailabilityTimeNothingIsFlagged() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.availabilitySeconds = 0;
        bytes32 task = create(params);
        joinAll(task, 3);
        openToAvailability(task, 3);
        expectWrongPhase(task, 1, IVolquorum.Phase.Aggregate, IVolquorum.Phase.Availability);
        volquorum.flagUpdate(task, 1, new IVolquorum.Update[](0), 0);
    }

    // -------------------------------------------------------------------------------------------------- postUpdate

    function testAnybodyPostsAndTheParticipantEarnsTheDeposit(uint256 seed, address poster) public {
        playToAvailability(IVolquorum.Rule.Median, 4, seed);
        uint256 index = seed % 4;
        flag(taskId, round, revealed, index, flagger);
        address participant = revealed[index].participant;
        bytes memory part = partOf(packed(values[index], 2), 2);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.BytesPosted(revealed[index].updateRoot, taskId, 0, part);
        vm.prank(poster);
        volquorum.postUpdate(taskId, round, participant, part, "");

        assertEq(volquorum.roundState(taskId, round).unavailable, 0);
        assertEq(creditOf(participant), 0.01 ether);
        IVolquorum.Flag memory answered = volquorum.updateFlag(taskId, participant);
        assertEq(abi.encode(answered), abi.encode(IVolquorum.Flag(round, uint8(index), 1, address(0), answered.root)));
    }

    function testUpdatesArePostedUntilAvailabilityEnds(uint256 wait) public {
        play(4);
        flag(taskId, round, revealed, 1, flagger);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, ends.reveal, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current == IVolquorum.Phase.Availability) return post(1);
        expectWrongPhase(taskId, round, current, IVolquorum.Phase.Availability);
        postBytes(1, partOf(packed(values[1], 2), 2), "");
    }

    function testOnlyAnOpenFlagIsAnswered() public {
        play(4);
        bytes memory part = partOf(packed(values[1], 2), 2);
        refusedToPost(1, part);
        flag(taskId, round, revealed, 1, flagger);
        post(1);
        refusedToPost(1, part);
        address nobody = stranger;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotFlagged.selector, taskId, round));
        volquorum.postUpdate(taskId, round, nobody, part, "");
    }

    function testFlagOfAnEarlierRoundIsNotAnsweredInALaterOne() public {
        play(4);
        flag(taskId, round, revealed, 1, flagger);
        bytes memory part = partOf(packed(values[1], 2), 2);
        walkToEnd(taskId, round);
        uint32 later = openToAvailability(taskId, 4);
        address participant = revealed[1].participant;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotFlagged.selector, taskId, later));
        volquorum.postUpdate(taskId, later, participant, part, "");
    }

    function testOtherBytesAreRefused(uint256 seed, uint256 place, bytes1 change, uint256 length) public {
        vm.assume(change != 0);
        playToAvailability(IVolquorum.Rule.Median, 3, seed);
        flag(taskId, round, revealed, 2, flagger);
        bytes memory part = partOf(packed(values[2], 2), 2);
        part[place % part.length] ^= change;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadPart.selector, 0));
        postBytes(2, part, "");
        part = new bytes(bound(length, 0, 200));
        vm.assume(part.length != 96);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, part.length, 96));
        postBytes(2, part, "");
    }

    /// @dev Two parts: thirty-two chunks of 1,024 bytes, and one more.
    function testUpdateOfSeveralPartsIsPostedInTheirOrder() public {
        (bytes memory vector, bytes[2] memory siblings) = playLarge();
        flag(taskId, round, revealed, 0, flagger);
        bytes[2] memory parts = [slice(vector, 0, 32_768), slice(vector, 32_768, 1024)];

        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, 1024, 32_768));
        postBytes(0, parts[1], siblings[1]);
        postBytes(0, parts[0], siblings[0]);
        assertEq(volquorum.updateFlag(taskId, desk(0)).posted, 1);
        assertEq(volquorum.roundState(taskId, round).unavailable, 1, "not yet");
        assertEq(creditOf(desk(0)), 0);

        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, 32_768, 1024));
        postBytes(0, parts[0], siblings[0]);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadPart.selector, 1));
        postBytes(0, parts[1], siblings[0]);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.BytesPosted(revealed[0].updateRoot, taskId, 1, parts[1]);
        postBytes(0, parts[1], siblings[1]);
        assertEq(volquorum.roundState(taskId, round).unavailable, 0);
        assertEq(creditOf(desk(0)), 0.01 ether);
    }

    function testHalfAnAnswerIsNone() public {
        (bytes memory vector, bytes[2] memory siblings) = playLarge();
        flag(taskId, round, revealed, 0, flagger);
        postBytes(0, slice(vector, 0, 32_768), siblings[0]);
        walkToAggregate(taskId, round);
        assertEq(volquorum.roundState(taskId, round).unavailable, 1);
        volquorum.reclaimDeposit(taskId, desk(0));
        assertEq(creditOf(flagger), 0.01 ether);
    }

    // ------------------------------------------------------------------------------------------------ what follows

    function testOnlyIncludedUpdatesAreRewarded(uint8 which, uint96 rewardWei) public {
        IVolquorum.TaskParams memory params = challengeParams(IVolquorum.Rule.Median);
        params.rewardWei = uint96(bound(rewardWei, 7, type(uint96).max / params.rounds));
        which &= 0x7f;
        vm.assume(LibBit.popCount(which) <= 4);
        taskId = create(params);
        joinAll(taskId, 7);
        round = openToAvailability(taskId, 7);
        keep(updatesOf(taskId, round, 7));
        flagAll(which);
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        uint256 count = 7 - LibBit.popCount(which);
        uint256 shareWei = params.rewardWei / count;
        uint96[] memory sharesWei = new uint96[](7);
        for (uint256 index = 0; index < 7; ++index) {
            sharesWei[index] = which >> index & 1 == 1 ? 0 : uint96(shareWei);
        }
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RewardsDistributed(taskId, round, sharesWei, params.rewardWei - shareWei * count);
        distribute(taskId, round, 7);

        assertEq(volquorum.taskState(taskId).fundsWei, uint256(params.rewardWei) * 3);
        assertEq(creditOf(sponsor), params.rewardWei - shareWei * count);
        for (uint256 index = 0; index < 7; ++index) {
            assertEq(volquorum.seat(taskId, desk(index)).served, which >> index & 1 == 1 ? 0 : 1);
            leave(taskId, desk(index));
            assertEq(creditOf(desk(index)), 1 ether + sharesWei[index], "nobody loses a stake");
        }
    }

    function testExclusionIsOfItsRoundOnly() public {
        play(5);
        flag(taskId, round, revealed, 0, flagger);
        finishRound();
        volquorum.distribute(taskId, round, revealed, "");
        for (uint256 count = 0; count < 2; ++count) {
            playRound(taskId, 5);
        }
        volquorum.claim(taskId, revealed[0].participant);
        volquorum.claim(taskId, revealed[1].participant);
        uint256 shareWei = uint256(0.7 ether) / 5;
        assertEq(creditOf(revealed[0].participant), 2 * shareWei);
        assertEq(creditOf(revealed[1].participant), 2 * shareWei + uint256(0.7 ether) / 4);
    }

    function testReclaimedDepositLeavesTheUpdateExcluded() public {
        play(5);
        flag(taskId, round, revealed, 0, flagger);
        finishRound();
        address participant = revealed[0].participant;
        volquorum.reclaimDeposit(taskId, participant);
        volquorum.distribute(taskId, round, revealed, "");
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToWithdraw.selector, participant));
        volquorum.claim(taskId, participant);
    }

    function testQuorumIsOfIncludedUpdates(uint8 which) public {
        play(5);
        which &= 0x1f;
        flagAll(which);
        walkToAggregate(taskId, round);
        bool met = 5 - LibBit.popCount(which) >= 3;
        assertPhase(phaseOf(taskId, round), met ? IVolquorum.Phase.Aggregate : IVolquorum.Phase.Void);
        if (met) return;
        volquorum.voidRound(taskId);
        assertEq(volquorum.taskState(taskId).fundsWei, 2.8 ether);
        for (uint256 index = 0; index < 5; ++index) {
            if (which >> index & 1 == 1) volquorum.reclaimDeposit(taskId, revealed[index].participant);
        }
        assertEq(creditOf(flagger), LibBit.popCount(which) * 0.01 ether);
        open(taskId);
    }

    function testResultNamesWhatItWasComputedWithout(uint64 given) public {
        play(5);
        flag(taskId, round, revealed, 3, flagger);
        walkToAggregate(taskId, round);
        vm.assume(given != 8);
        bytes32 hash = volquorum.roundState(taskId, round).updatesHash;
        vm.startPrank(aggregator);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.ExcludedMismatch.selector, taskId, round, given, 8));
        volquorum.publish{value: 2 ether + 1}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, hash, given));
        vm.expectEmit(address(volquorum));
        emit IVolquorum.AggregatePublished(taskId, round, aggregator, AGGREGATE_ROOT, MODEL_ROOT, hash, 8, 0, 0);
        volquorum.publish{value: 2 ether + 1}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, hash, 8));
        vm.stopPrank();
    }

    // ---------------------------------------------------------------------------------------------- reclaimDeposit

    function testDepositIsReclaimedOnceAvailabilityIsOver(uint256 wait) public {
        play(4);
        flag(taskId, round, revealed, 0, flagger);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        address participant = revealed[0].participant;
        vm.warp(bound(wait, ends.reveal, ends.availability - 1));
        refusedToReclaim(participant);
        vm.warp(bound(wait, ends.availability, ends.aggregate + 100));
        vm.prank(stranger);
        volquorum.reclaimDeposit(taskId, participant);
        assertEq(creditOf(flagger), 0.01 ether);
        assertEq(volquorum.updateFlag(taskId, participant).round, round);
        assertEq(volquorum.updateFlag(taskId, participant).flagger, address(0));
        refusedToReclaim(participant);
        assertEq(creditOf(flagger), 0.01 ether);
    }

    function testAnsweredDepositIsNotReclaimed() public {
        play(4);
        flag(taskId, round, revealed, 0, flagger);
        post(0);
        walkToAggregate(taskId, round);
        refusedToReclaim(revealed[0].participant);
    }

    function testWhereNothingWasFlaggedNothingIsReclaimed(address participant) public {
        play(4);
        refusedToReclaim(participant);
    }

    function testDepositOfAnEarlierRoundIsReclaimedDuringALaterOne() public {
        play(5);
        flag(taskId, round, revealed, 0, flagger);
        finishRound();
        openToAvailability(taskId, 5);
        volquorum.reclaimDeposit(taskId, revealed[0].participant);
        assertEq(creditOf(flagger), 0.01 ether);
    }

    function testLaterFlagGivesAnEarlierDepositBack() public {
        play(5);
        flag(taskId, round, revealed, 0, flagger);
        address participant = revealed[0].participant;
        finishRound();
        round = openToAvailability(taskId, 5);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        assertEq(updates[4].participant, participant);
        flag(taskId, round, updates, 4, stranger);
        assertEq(creditOf(flagger), 0.01 ether);
        IVolquorum.Flag memory latest = volquorum.updateFlag(taskId, participant);
        assertEq(abi.encode(latest), abi.encode(IVolquorum.Flag(round, 4, 0, stranger, updates[4].updateRoot)));
        walkToAggregate(taskId, round);
        volquorum.reclaimDeposit(taskId, participant);
        assertEq(creditOf(stranger), 0.01 ether);
    }

    function testLaterFlagIsAnsweredFromTheFirstPartOn() public {
        play(5);
        flag(taskId, round, revealed, 0, flagger);
        post(0);
        finishRound();
        round = openToAvailability(taskId, 5);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        flag(taskId, round, updates, 4, flagger);
        assertEq(updates[4].participant, revealed[0].participant);
        assertEq(volquorum.updateFlag(taskId, updates[4].participant).posted, 0);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function play(uint256 count) private {
        playToAvailability(IVolquorum.Rule.Median, count, 1);
    }

    /// @dev One true update of two parts, and the siblings of each part, among three.
    function playLarge() private returns (bytes memory vector, bytes[2] memory siblings) {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.dimension = 32 * 512 + 7;
        params.chunkLength = 512;
        params.quorum = 2;
        params.tolerance = 0;
        params.maxSquaredNorm = type(uint64).max;
        taskId = create(params);
        joinAll(taskId, 3);
        round = openToCommit(taskId);
        vector = new bytes(33 * 1024);
        for (uint256 offset = 0; offset < 2 * params.dimension; offset += 97) {
            vector[offset] = bytes1(uint8(offset));
        }
        SumTree.Shape memory shape = SumTree.Shape(params.dimension, 512, 2);
        PlainTree.Node memory first = topOf(slice(vector, 0, 32_768), 0);
        PlainTree.Node memory second = topOf(slice(vector, 32_768, 1024), 32);
        siblings = [abi.encodePacked(second.hash, second.sum), abi.encodePacked(first.hash, first.sum)];
        PlainTree.Node memory top = PlainTree.parent(first, second);
        bytes32 root = PlainTree.rootOf(top, shape);
        bytes32 commitment = commitmentTo(taskId, round, desk(0), root, top.sum);
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, round, commitment);
        commit(taskId, round, desk(1));
        commit(taskId, round, desk(2));
        walkToReveal(taskId, round);
        vm.prank(desk(0));
        volquorum.revealUpdate(taskId, round, top.hash, top.sum, salt(desk(0), round));
        reveal(taskId, round, desk(1));
        reveal(taskId, round, desk(2));
        walkToAvailability(taskId, round);
        keep(updatesOf(taskId, round, 3));
        revealed[0] = IVolquorum.Update(desk(0), root, top.sum);
    }

    /// @dev The node five levels above chunks of which the first has this number, padded.
    function topOf(bytes memory chunks, uint256 first) private pure returns (PlainTree.Node memory) {
        PlainTree.Node[] memory nodes = new PlainTree.Node[](32);
        for (uint256 index = 0; index < chunks.length / 1024; ++index) {
            nodes[index] = PlainTree.leaf(slice(chunks, 1024 * index, 1024), 2, first + index);
        }
        for (uint256 count = 16; count > 0; count /= 2) {
            for (uint256 index = 0; index < count; ++index) {
                nodes[index] = PlainTree.parent(nodes[2 * index], nodes[2 * index + 1]);
            }
        }
        return nodes[0];
    }

    function keep(IVolquorum.Update[] memory updates) private {
        delete revealed;
        for (uint256 index = 0; index < updates.length; ++index) {
            revealed.push(updates[index]);
        }
    }

    function flagAll(uint256 which) private {
        for (uint256 index = 0; index < 64; ++index) {
            if (which >> index & 1 == 1) flag(taskId, round, revealed, index, flagger);
        }
    }

    function finishRound() private {
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
    }

    function post(uint256 index) private {
        postBytes(index, partOf(packed(values[index], 2), 2), "");
    }

    function postBytes(uint256 index, bytes memory chunks, bytes memory siblings) private {
        volquorum.postUpdate(taskId, round, revealed[index].participant, chunks, siblings);
    }

    function refusedToFlag(uint256 index) private {
        bytes32 root = revealed[index].updateRoot;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyFlagged.selector, taskId, round, root));
        volquorum.flagUpdate{value: 0.01 ether}(taskId, round, revealed, index);
    }

    function refusedToPost(uint256 index, bytes memory part) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotFlagged.selector, taskId, round));
        postBytes(index, part, "");
    }

    function refusedToReclaim(address participant) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.DepositNotFree.selector, taskId, participant));
        volquorum.reclaimDeposit(taskId, participant);
    }

    function expectFlaggingOver(uint64 until) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.FlaggingOver.selector, taskId, round, until));
    }
}
