// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Books} from "./Books.sol";
import {DrawFixture} from "./DrawFixture.sol";
import {Fixture} from "./Fixture.sol";

/// @notice When seats may act, and what costs a seat a slice of its stake.
contract MembersTest is Books, DrawFixture {
    uint32 private constant SUSPENDED = type(uint32).max;
    uint96 private constant STAKE = 1 ether;
    uint96 private constant SLICE = 0.1 ether;

    bytes32 private taskId;

    function setUp() public override(Fixture, DrawFixture) {
        super.setUp();
        taskId = createSeated();
    }

    // ------------------------------------------------------------------------------------------ ended tasks

    function testCalledDirectlyMembersCreateNoTask(bytes32 salt, uint96 valueWei) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.salt = salt;
        bytes32 unknown = keccak256(abi.encode(keccak256("volquorum.task.1"), block.chainid, members, stranger, params));
        vm.deal(stranger, valueWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.UnknownTask.selector, unknown));
        vm.prank(stranger);
        IVolquorum(members).createTask{value: valueWei}(params);
    }

    function testEndedTaskTakesNoSeatAndOpensNoRound() public {
        vm.prank(sponsor);
        volquorum.endTask(taskId);
        expectNoMoreRounds(0);
        volquorum.openRound(taskId);
        expectNoMoreRounds(0);
        vm.prank(stranger);
        volquorum.join{value: STAKE}(taskId, 1);
        volquorum.closeTask(taskId);
        assertEq(creditOf(sponsor), 2.8 ether);
        assertBooks(taskId, 5);
    }

    // ------------------------------------------------------------------------------------- when a seat may act

    function testWhenSeatsLeaveBeforeTheDrawTheOthersAreDrawn(uint256 left) public {
        bytes32 drawing = createDrawing(5, 6);
        uint32 round = open(drawing);
        bytes32 seed = seedThatDraws(drawing, round, 6, 6);
        left = bound(left, 1, 6);
        for (uint256 index = 0; index < left; ++index) {
            leave(drawing, desk(index));
        }
        draw(drawing, round, seed);
        for (uint256 index = left; index < 6; ++index) {
            assertTrue(volquorum.mayCommit(drawing, desk(index)));
        }
    }

    function testSuspendedSeatTakesUpASeatButNoTurn() public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        walkToAvailability(taskId, round);
        assertCounts(taskId, 5, 5, 0, 0);
        volquorum.slashWithheld(taskId, desk(0));
        assertCounts(taskId, 5, 4, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeatsTaken.selector, taskId, 5));
        vm.prank(stranger);
        volquorum.join{value: STAKE}(taskId, 1);
        leave(taskId, desk(0));
        assertCounts(taskId, 4, 4, 0, 0);
        join(taskId, desk(5));
        assertCounts(taskId, 5, 4, 1, 0);
    }

    function testRoundNeedsAsManyActiveSeatsAsItsQuorum() public {
        uint32 round = openToReveal(taskId, 3);
        walkToEnd(taskId, round);
        for (uint256 index = 0; index < 3; ++index) {
            volquorum.slashWithheld(taskId, desk(index));
        }
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.QuorumUnreachable.selector, taskId, 2, 3));
        volquorum.openRound(taskId);
        restore(taskId, desk(1));
        open(taskId);
    }

    /// @dev Whatever happens, the numbers are those that counting all seats gives.
    function testNumbersOfSeatsAreThoseOfAllSeats(uint256[16] calldata steps) public {
        bytes32 drawing = createDrawing(5, 4);
        for (uint256 index = 0; index < steps.length; ++index) {
            tryAnything(drawing, steps[index]);
            uint256[4] memory counts;
            uint32 round = volquorum.taskState(drawing).round;
            for (uint256 seat = 0; seat < 10; ++seat) {
                uint32 activeFrom = volquorum.seat(drawing, desk(seat)).activeFrom;
                if (activeFrom == 0) continue;
                ++counts[0];
                if (activeFrom == SUSPENDED) continue;
                ++counts[activeFrom <= round ? 1 : activeFrom - round + 1];
            }
            assertCounts(drawing, counts[0], counts[1], counts[2], counts[3]);
        }
    }

    function tryAnything(bytes32 drawing, uint256 drawn) private {
        address account = desk((drawn >> 8) % 10);
        IVolquorum.TaskState memory state = volquorum.taskState(drawing);
        source.set(state.openedBlock, bytes32(drawn));
        vm.warp(block.timestamp + (drawn >> 16) % 60);
        bytes[7] memory calls = [
            abi.encodeCall(IVolquorum.openRound, (drawing)),
            abi.encodeCall(IVolquorum.drawSeats, (drawing, state.round)),
            abi.encodeCall(IVolquorum.commitUpdate, (drawing, state.round, "commitment")),
            abi.encodeCall(IVolquorum.slashWithheld, (drawing, account)),
            abi.encodeCall(IVolquorum.leave, (drawing)),
            abi.encodeCall(IVolquorum.join, (drawing, samplesOf(account))),
            abi.encodeCall(IVolquorum.restore, (drawing))
        ];
        uint256 kind = drawn % 7;
        uint256 valueWei = kind < 5 ? 0 : kind == 5 ? STAKE : SLICE;
        vm.deal(account, valueWei);
        vm.prank(account);
        (bool done,) = address(volquorum).call{value: valueWei}(calls[kind]);
        done; // a refused call changes nothing
    }

    // ------------------------------------------------------------------------------------------------------- samples

    function testFewerSamplesThanTheTaskAsksForAreRefused(uint32 minSamples, uint32 samples) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.minSamples = minSamples;
        params.salt = "samples";
        bytes32 asking = create(params);
        if (samples < minSamples) expectWrongSamples(asking, samples, minSamples);
        vm.prank(stranger);
        volquorum.join{value: STAKE}(asking, samples);
        if (samples >= minSamples) assertEq(volquorum.seat(asking, stranger).samples, samples);
    }

    function testSamplesAreDeclaredOnce(uint32 declared, uint32 other) public {
        declared = uint32(bound(declared, 1, type(uint32).max));
        vm.assume(other != declared);
        bytes32 drawing = createDrawing(5, 0);
        join(drawing, desk(0), declared);
        leave(drawing, desk(0));
        assertEq(volquorum.seat(drawing, desk(0)).samples, declared);

        vm.deal(desk(0), STAKE);
        expectWrongSamples(drawing, other, declared);
        vm.prank(desk(0));
        volquorum.join{value: STAKE}(drawing, other);
        join(drawing, desk(0), declared);
    }

    function testWhoDeclaredNoneMayDeclareSomeLater() public {
        bytes32 drawing = createDrawing(5, 0);
        join(drawing, desk(0), 0);
        leave(drawing, desk(0));
        join(drawing, desk(0), 7);
        assertEq(volquorum.seat(drawing, desk(0)).samples, 7);
    }

    // -------------------------------------------------------------------------------------------- what is withheld

    function testWhoeverSaysThatACommitmentWasWithheldGetsHalfOfTheSlice() public {
        uint32 round = withhold(desk(0));
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatSuspended(
            taskId, round, desk(0), stranger, IVolquorum.Offence.Withheld, SLICE / 2, SLICE / 2
        );
        vm.prank(stranger);
        volquorum.slashWithheld(taskId, desk(0));

        assertEq(creditOf(stranger), SLICE / 2);
        assertEq(volquorum.burnedOf(ETH), SLICE / 2);
        assertSliced(desk(0), 1, 1);
        assertBooks(taskId, 5);
    }

    function testWithheldCommitmentIsSlashedOnce() public {
        withhold(desk(0));
        volquorum.slashWithheld(taskId, desk(0));
        expectNothingWithheld(desk(0));
        volquorum.slashWithheld(taskId, desk(0));
    }

    function testNextCommitFindsWhatWasWithheldAndBindsNobody() public {
        walkToEnd(taskId, withhold(desk(0)));
        uint32 next = openToCommit(taskId);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatSuspended(taskId, 1, desk(0), address(0), IVolquorum.Offence.Withheld, 0, SLICE);
        vm.recordLogs();
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, next, "commitment");
        assertEq(vm.getRecordedLogs().length, 1, "no commitment");

        assertEq(volquorum.burnedOf(ETH), SLICE);
        assertSliced(desk(0), 1, 1);
        assertBooks(taskId, 5);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(0), next));
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, next, "commitment");
    }

    function testBatchLeavesOutWhoWithheld() public {
        walkToEnd(taskId, withhold(desk(0)));
        uint32 next = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, next, 2);
        address[] memory bound = new address[](1);
        bytes32[] memory commitments = new bytes32[](1);
        (bound[0], commitments[0]) = (desk(1), commits[1].commitment);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.UpdatesCommitted(taskId, next, bound, commitments);
        volquorum.commitUpdates(taskId, next, commits);
        assertSliced(desk(0), 1, 1);
        assertEq(volquorum.seat(taskId, desk(1)).committedRound, next);
    }

    function testWhoLeavesPaysForWhatItWithheldFirst() public {
        walkToEnd(taskId, withhold(desk(0)));
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatSuspended(taskId, 1, desk(0), address(0), IVolquorum.Offence.Withheld, 0, SLICE);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatLeft(taskId, desk(0), STAKE - SLICE);
        leave(taskId, desk(0));

        assertEq(creditOf(desk(0)), STAKE - SLICE);
        assertEq(volquorum.burnedOf(ETH), SLICE);
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        IVolquorum.Seat memory left;
        (left.missed, left.slashed, left.samples) = (1, 1, samplesOf(desk(0)));
        assertEq(abi.encode(seat), abi.encode(left), "what stays");
        assertBooks(taskId, 5);
    }

    function testNothingIsWithheldWhileItCanBeOpened(uint256 wait) public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, block.timestamp, ends.aggregate));
        if (block.timestamp < ends.reveal) expectNothingWithheld(desk(0));
        volquorum.slashWithheld(taskId, desk(0));
    }

    function testWhoRevealedOrDidNotCommitWithheldNothing() public {
        uint32 round = openToReveal(taskId, 4);
        revealAll(taskId, round, 4);
        walkToEnd(taskId, round);
        address[3] memory innocent = [desk(0), desk(4), stranger];
        for (uint256 index = 0; index < 3; ++index) {
            expectNothingWithheld(innocent[index]);
            volquorum.slashWithheld(taskId, innocent[index]);
        }
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), STAKE);
    }

    function testSeatThatWithheldServesUntilItsRoundEndsOrItIsSlashed() public {
        uint32 round = openToReveal(taskId, 4);
        reveal(taskId, round, desk(1));
        reveal(taskId, round, desk(2));
        reveal(taskId, round, desk(3));
        walkToAvailability(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeatServing.selector, taskId, desk(0), round));
        leave(taskId, desk(0));
        volquorum.slashWithheld(taskId, desk(0));
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), STAKE - SLICE);
    }

    function testSliceIsTakenToTheWei(uint96 sliceWei, bool leaves) public {
        sliceWei = uint96(bound(sliceWei, 1, STAKE));
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.sliceWei, params.salt) = (sliceWei, "slice");
        taskId = create(params);
        joinAll(taskId, 5);
        walkToEnd(taskId, withhold(desk(0)));
        if (leaves) {
            leave(taskId, desk(0));
            assertEq(creditOf(desk(0)), STAKE - sliceWei);
        } else {
            vm.prank(stranger);
            volquorum.slashWithheld(taskId, desk(0));
            assertEq(creditOf(stranger), sliceWei / 2);
            assertEq(volquorum.seat(taskId, desk(0)).stakeWei, STAKE - sliceWei);
            restore(taskId, desk(0));
        }
        assertEq(volquorum.burnedOf(ETH), leaves ? sliceWei : sliceWei - sliceWei / 2);
    }

    function testWithoutASliceNothingIsLostButCounted() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.sliceWei, params.rounds, params.rewardWei, params.closesAt) = (0, 300, 0, uint64(START + 3650 days));
        taskId = create(params);
        joinAll(taskId, 5);
        for (uint256 count = 1; count <= 256; ++count) {
            uint32 round = withhold(desk(0));
            volquorum.slashWithheld(taskId, desk(0));
            expectNothingWithheld(desk(0));
            volquorum.slashWithheld(taskId, desk(0));
            walkToEnd(taskId, round);
            assertEq(volquorum.seat(taskId, desk(0)).missed, count < 256 ? count : 255);
        }
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.stakeWei, STAKE);
        assertEq(seat.slashed, 0);
        assertEq(seat.activeFrom, 1);
        assertCounts(taskId, 5, 5, 0, 0);
    }

    // ------------------------------------------------------------------------------------------------------- restore

    function testRestoredSeatActsFromTheNextRound() public {
        uint32 round = suspend(desk(0));
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatRestored(taskId, desk(0), round + 1);
        restore(taskId, desk(0));

        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.stakeWei, STAKE);
        assertEq(seat.activeFrom, round + 1);
        assertCounts(taskId, 5, 4, 1, 0);
        walkToEnd(taskId, round);
        round = openToCommit(taskId);
        assertCounts(taskId, 5, 5, 0, 0);
        commit(taskId, round, desk(0));
        walkToReveal(taskId, round);
        reveal(taskId, round, desk(0));
    }

    function testWhileRoundsDrawRestoredSeatWaitsForTheOneAfterTheNext() public {
        bytes32 drawing = createDrawing(5, 8);
        uint32 round = openDrawn(drawing, seedThatDraws(drawing, 1, 8, desk(0)));
        commit(drawing, round, desk(0));
        walkToEnd(drawing, round);
        volquorum.slashWithheld(drawing, desk(0));
        restore(drawing, desk(0));
        assertEq(volquorum.seat(drawing, desk(0)).activeFrom, round + 2);
        assertCounts(drawing, 8, 7, 0, 1);
    }

    function testSeatIsRestoredForExactlyWhatItLost(uint96 sentWei) public {
        vm.assume(sentWei != SLICE);
        suspend(desk(0));
        vm.deal(desk(0), sentWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, SLICE));
        vm.prank(desk(0));
        volquorum.restore{value: sentWei}(taskId);
    }

    function testOnlySuspendedSeatsAreRestored() public {
        expectNotRestorable(desk(0), 0);
        vm.prank(desk(0));
        volquorum.restore(taskId);
        expectNotRestorable(stranger, 0);
        vm.prank(stranger);
        volquorum.restore(taskId);
        suspend(desk(1));
        leave(taskId, desk(1));
        expectNotRestorable(desk(1), 1);
        vm.prank(desk(1));
        volquorum.restore(taskId);
    }

    function testWhoWithholdsTooOftenIsNeverRestored(uint8 maxMissed) public {
        maxMissed = uint8(bound(maxMissed, 0, 3));
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.maxMissed, params.rounds) = (maxMissed, 5);
        taskId = create(params);
        joinAll(taskId, 5);
        for (uint8 missed = 1; missed <= maxMissed; ++missed) {
            walkToEnd(taskId, suspend(desk(0)));
            restore(taskId, desk(0));
        }
        suspend(desk(0));
        assertSliced(desk(0), maxMissed + 1, maxMissed + 1);
        expectNotRestorable(desk(0), maxMissed + 1);
        vm.prank(desk(0));
        volquorum.restore{value: 0}(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadySeated.selector, taskId, desk(0)));
        vm.prank(desk(0));
        volquorum.join(taskId, samplesOf(desk(0)));
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), STAKE - SLICE);
    }

    function testNobodyIsRestoredForATaskWithoutAnotherRound() public {
        suspend(desk(0));
        vm.prank(sponsor);
        volquorum.endTask(taskId);
        vm.deal(desk(0), SLICE);
        expectNoMoreRounds(1);
        vm.prank(desk(0));
        volquorum.restore{value: SLICE}(taskId);
        walkToEnd(taskId, 1);
        volquorum.closeTask(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.TaskIsClosed.selector, taskId));
        vm.prank(desk(0));
        volquorum.restore{value: SLICE}(taskId);
    }

    // -------------------------------------------------------------------------------------------------- equivocation

    function testTwoSignedCommitmentsCostASliceAndTheCommitment(bytes32 first, bytes32 second, bool inReveal) public {
        vm.assume(first != second);
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        if (inReveal) walkToReveal(taskId, round);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatSuspended(
            taskId, round, desk(0), stranger, IVolquorum.Offence.Equivocation, SLICE / 2, SLICE / 2
        );
        vm.prank(stranger);
        volquorum.slashEquivocation(taskId, round, signed(taskId, round, 0, first), signed(taskId, round, 0, second));

        assertEq(creditOf(stranger), SLICE / 2);
        assertEq(volquorum.burnedOf(ETH), SLICE / 2);
        assertSliced(desk(0), 0, 1);
        assertCounts(taskId, 5, 4, 0, 0);
        assertBooks(taskId, 5);
    }

    function testWhoEquivocatedNeitherCommitsAgainNorReveals() public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        equivocate(round, 0);
        bytes32 commitment = commitmentBy(taskId, round, desk(0));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(0), round));
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, round, commitment);
        walkToReveal(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotCommitted.selector, taskId, round, desk(0)));
        reveal(taskId, round, desk(0));
        walkToAvailability(taskId, round);
        expectNothingWithheld(desk(0));
        volquorum.slashWithheld(taskId, desk(0));
    }

    function testRoundGoesOnWithoutWhoEquivocated() public {
        uint32 round = openToReveal(taskId, 5);
        reveal(taskId, round, desk(1));
        equivocate(round, 0);
        reveal(taskId, round, desk(2));
        reveal(taskId, round, desk(3));
        walkToAggregate(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), STAKE - SLICE);
    }

    function testWhoEquivocatedIsRestored() public {
        uint32 round = openToReveal(taskId, 5);
        equivocate(round, 0);
        restore(taskId, desk(0));
        assertEq(volquorum.seat(taskId, desk(0)).activeFrom, round + 1);
    }

    function testRelayedCommitmentIsOneOfTheTwo() public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 1);
        volquorum.commitUpdates(taskId, round, commits);
        volquorum.slashEquivocation(taskId, round, commits[0], signed(taskId, round, 0, "another"));
        assertSliced(desk(0), 0, 1);
    }

    function testEquivocationIsProvenWhileTheRoundTakesUpdates(uint256 wait) public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, START, ends.aggregate));
        IVolquorum.Phase current = phaseOf(taskId, round);
        (IVolquorum.SignedCommit memory first, IVolquorum.SignedCommit memory second) = twoOf(round, 0);
        if (current != IVolquorum.Phase.Commit && current != IVolquorum.Phase.Reveal) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Commit);
        }
        volquorum.slashEquivocation(taskId, round, first, second);
    }

    function testNobodyEquivocatesInAnotherRound(uint32 given) public {
        uint32 round = openToCommit(taskId);
        vm.assume(given != round);
        (IVolquorum.SignedCommit memory first, IVolquorum.SignedCommit memory second) = twoOf(given, 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, given, round));
        volquorum.slashEquivocation(taskId, given, first, second);
    }

    function testOneCommitmentSignedTwiceIsNoEquivocation(bytes32 commitment) public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        IVolquorum.SignedCommit memory first = signed(taskId, round, 0, commitment);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoEquivocation.selector, taskId, round, commitment));
        volquorum.slashEquivocation(taskId, round, first, first);
    }

    function testTwoWhoSignedOneEachDidNotEquivocate() public {
        uint32 round = openToCommit(taskId);
        commitAll(taskId, round, 2);
        (IVolquorum.SignedCommit memory first,) = twoOf(round, 0);
        (, IVolquorum.SignedCommit memory second) = twoOf(round, 1);
        expectBadSignature(1);
        volquorum.slashEquivocation(taskId, round, first, second);
    }

    function testSignatureForAnotherRoundOrTaskProvesNothing() public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        (IVolquorum.SignedCommit memory first,) = twoOf(round, 0);
        expectBadSignature(1);
        volquorum.slashEquivocation(taskId, round, first, signed(taskId, round + 1, 0, "another"));
        expectBadSignature(1);
        volquorum.slashEquivocation(taskId, round, first, signed("task", round, 0, "another"));
    }

    function testBytesThatNobodySignedProveNothing() public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        (IVolquorum.SignedCommit memory first, IVolquorum.SignedCommit memory second) = twoOf(round, 0);
        second.r = 0;
        expectBadSignature(1);
        volquorum.slashEquivocation(taskId, round, first, second);
        first.vs = 0;
        expectBadSignature(0);
        volquorum.slashEquivocation(taskId, round, first, second);
    }

    function testWhoDidNotCommitOrRevealedIsNotSlashedForSigning() public {
        uint32 round = openToReveal(taskId, 4);
        reveal(taskId, round, desk(0));
        (IVolquorum.SignedCommit memory first, IVolquorum.SignedCommit memory second) = twoOf(round, 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyRevealed.selector, taskId, round, desk(0)));
        volquorum.slashEquivocation(taskId, round, first, second);
        (first, second) = twoOf(round, 4);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotCommitted.selector, taskId, round, desk(4)));
        volquorum.slashEquivocation(taskId, round, first, second);
    }

    function testWithoutASliceEquivocationCostsTheCommitmentAlone() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.sliceWei, params.salt) = (0, "slice");
        taskId = create(params);
        joinAll(taskId, 5);
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        (IVolquorum.SignedCommit memory first, IVolquorum.SignedCommit memory second) = twoOf(round, 0);
        volquorum.slashEquivocation(taskId, round, first, second);
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.commitment, 0);
        assertEq(seat.committedRound, 0);
        assertEq(seat.slashed, 0);
        assertEq(seat.stakeWei, STAKE);
        assertCounts(taskId, 5, 5, 0, 0);
        walkToReveal(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotCommitted.selector, taskId, round, desk(0)));
        reveal(taskId, round, desk(0));
    }

    // --------------------------------------------------------------------------------------------------------- steps

    /// @dev A round in which an account alone committed and did not reveal.
    function withhold(address account) private returns (uint32 round) {
        round = openToCommit(taskId);
        commit(taskId, round, account);
        walkToAvailability(taskId, round);
    }

    function suspend(address account) private returns (uint32 round) {
        round = withhold(account);
        volquorum.slashWithheld(taskId, account);
    }

    function twoOf(uint32 round, uint256 index)
        private
        view
        returns (IVolquorum.SignedCommit memory, IVolquorum.SignedCommit memory)
    {
        return (signed(taskId, round, index, "one"), signed(taskId, round, index, "another"));
    }

    function equivocate(uint32 round, uint256 index) private {
        (IVolquorum.SignedCommit memory first, IVolquorum.SignedCommit memory second) = twoOf(round, index);
        volquorum.slashEquivocation(taskId, round, first, second);
    }

    // --------------------------------------------------------------------------------------------- what is expected

    function assertCounts(bytes32 task, uint256 seats, uint256 active, uint256 entering, uint256 pending) private view {
        IVolquorum.TaskState memory state = volquorum.taskState(task);
        assertEq(state.seats, seats, "seats");
        assertEq(state.active, active, "active");
        assertEq(state.entering, entering, "entering");
        assertEq(state.pending, pending, "pending");
    }

    /// @dev A seat without one slice, which acts no more.
    function assertSliced(address account, uint8 missed, uint8 slashed) private view {
        IVolquorum.Seat memory seat = volquorum.seat(taskId, account);
        assertEq(seat.stakeWei, STAKE - SLICE, "stake");
        assertEq(seat.activeFrom, SUSPENDED, "suspended");
        assertEq(seat.missed, missed, "missed");
        assertEq(seat.slashed, slashed, "slashed");
        assertEq(seat.committedRound, 0, "round");
        assertEq(seat.commitment, 0, "commitment");
    }

    function expectNothingWithheld(address account) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingWithheld.selector, taskId, account));
    }

    function expectNotRestorable(address account, uint8 missed) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotRestorable.selector, taskId, account, missed));
    }

    function expectNoMoreRounds(uint32 round) private {
        vm.expectRevert(
            abi.encodeWithSelector(IVolquorum.NoMoreRounds.selector, taskId, round, uint64(START + 30 days))
        );
    }

    function expectWrongSamples(bytes32 task, uint32 declared, uint32 required) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongSamples.selector, task, declared, required));
    }

    function expectBadSignature(uint256 index) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadSignature.selector, index));
    }
}
