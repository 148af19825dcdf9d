// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {Fixture} from "./Fixture.sol";

/// @notice The calls of a round: open, commit, reveal, publish, finalise, void.
contract RoundTest is Fixture {
    bytes32 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = createSeated();
    }

    // --------------------------------------------------------------------------------------------------- openRound

    function testAnybodyOpensARound() public {
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundOpened(taskId, 1, keccak256("genesis"));
        vm.prank(stranger);
        assertEq(volquorum.openRound(taskId), 1);

        IVolquorum.RoundState memory state = volquorum.roundState(taskId, 1);
        assertEq(state.openedAt, START);
        bytes32 start = keccak256(abi.encode(keccak256("volquorum.updates.1"), taskId, uint32(1)));
        assertEq(state.updatesHash, bytes32(uint256(start) >> 8 << 8), "none is revealed");
        IVolquorum.TaskState memory task = volquorum.taskState(taskId);
        assertEq(task.round, 1);
        assertEq(abi.encode(task.seats, task.active, task.entering, task.pending), abi.encode(5, 5, 0, 0));
        assertFalse(task.draws);
    }

    function testNextRoundStartsFromTheFinalModel() public {
        openToFinal(taskId, 5);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundFinalised(taskId, 1, MODEL_ROOT);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundOpened(taskId, 2, MODEL_ROOT);
        open(taskId);
    }

    function testNextRoundAfterAVoidOneStartsFromTheSameModel() public {
        openToVoid(taskId);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundVoided(taskId, 1, 0);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundOpened(taskId, 2, keccak256("genesis"));
        open(taskId);
    }

    function testNoRoundOpensWhileOneRuns(uint256 wait) public {
        uint32 round = openToAggregate(taskId, 3);
        publish(taskId, round, aggregator);
        vm.warp(bound(wait, START, volquorum.deadlines(taskId, round).challenge - 1));
        IVolquorum.Phase current = phaseOf(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.RoundRunning.selector, taskId, round, current));
        volquorum.openRound(taskId);
    }

    function testNoMoreRoundsOpenThanTheTaskHas() public {
        for (uint256 index = 0; index < 4; ++index) {
            openToVoid(taskId);
        }
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoMoreRounds.selector, taskId, 4, uint64(START + 30 days)));
        volquorum.openRound(taskId);
    }

    function testNoRoundOpensFromTheClosingTimeOn(uint64 wait) public {
        vm.warp(START + 30 days + bound(wait, 0, 1e9));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoMoreRounds.selector, taskId, 0, uint64(START + 30 days)));
        volquorum.openRound(taskId);
    }

    function testNoRoundOpensOfAnEndedTask() public {
        vm.prank(sponsor);
        volquorum.endTask(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoMoreRounds.selector, taskId, 0, uint64(START + 30 days)));
        volquorum.openRound(taskId);
    }

    function testNoRoundOpensBelowItsQuorum() public {
        for (uint256 index = 0; index < 3; ++index) {
            leave(taskId, desk(index));
        }
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.QuorumUnreachable.selector, taskId, 2, 3));
        volquorum.openRound(taskId);
    }

    // ------------------------------------------------------------------------------------------------ commitUpdate

    function testCommitmentIsStoredInTheSeat(bytes32 commitment) public {
        vm.assume(uint224(uint256(commitment)) != 0);
        uint32 round = openToCommit(taskId);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.UpdateCommitted(taskId, round, desk(0), commitment);
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, round, commitment);

        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.committedRound, round);
        assertEq(uint224(seat.commitment), uint224(uint256(commitment)));
    }

    function testLaterCommitmentReplacesTheFirst(bytes32 first) public {
        vm.assume(uint224(uint256(first)) != 0);
        uint32 round = openToCommit(taskId);
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, round, first);
        commit(taskId, round, desk(0));
        walkToReveal(taskId, round);
        reveal(taskId, round, desk(0));
    }

    function testCommitmentIsTakenInItsPhaseOnly(uint256 wait) public {
        uint32 round = open(taskId);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Commit) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Commit);
        }
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, round, "commitment");
    }

    function testCommitmentToAnotherRoundIsRefused(uint32 given) public {
        uint32 round = openToCommit(taskId);
        vm.assume(given != round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, given, round));
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, given, "commitment");
    }

    function testBeforeTheFirstRoundNobodyCommits() public {
        expectWrongPhase(taskId, 0, IVolquorum.Phase.None, IVolquorum.Phase.Commit);
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, 0, "commitment");
    }

    function testOnlySeatsCommit() public {
        uint32 round = openToCommit(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, stranger, round));
        vm.prank(stranger);
        volquorum.commitUpdate(taskId, round, "commitment");
    }

    function testSeatTakenInARoundWaitsForTheNext() public {
        leave(taskId, desk(4));
        uint32 round = open(taskId);
        join(taskId, desk(5));
        walkToCommit(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(5), round));
        vm.prank(desk(5));
        volquorum.commitUpdate(taskId, round, "commitment");

        walkToEnd(taskId, round);
        round = openToCommit(taskId);
        commit(taskId, round, desk(5));
    }

    function testLeavingAndReturningGivesNoSecondVoiceInTheRound() public {
        uint32 round = open(taskId);
        leave(taskId, desk(0));
        join(taskId, desk(0));
        walkToCommit(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(0), round));
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, round, "commitment");
    }

    function testCommitmentWithoutStoredBitsIsRefused(uint32 high) public {
        uint32 round = openToCommit(taskId);
        vm.expectRevert(IVolquorum.EmptyCommitment.selector);
        vm.prank(desk(0));
        volquorum.commitUpdate(taskId, round, bytes32(uint256(high) << 224));
    }

    // ------------------------------------------------------------------------------------------------ revealUpdate

    function testRevealsAreChainedInTheirOrder() public {
        uint32 round = openToReveal(taskId, 3);
        bytes32 expected = volquorum.roundState(taskId, round).updatesHash;
        for (uint256 index = 0; index < 3; ++index) {
            bytes32 root = updateRoot(taskId, desk(index), round);
            uint64 norm = squaredNorm(desk(index), round);
            vm.expectEmit(address(volquorum));
            emit IVolquorum.UpdateRevealed(taskId, round, desk(index), root, norm);
            reveal(taskId, round, desk(index));
            expected = updatesStep(expected, desk(index), root, norm);
            assertEq(revealedIn(taskId, round), index + 1);
        }
        assertEq(volquorum.roundState(taskId, round).updatesHash, expected);
        assertEq(volquorum.seat(taskId, desk(0)).committedRound, round);
        assertEq(volquorum.seat(taskId, desk(0)).commitment, bytes28(0), "opened");
    }

    function testRevealIsTakenInItsPhaseOnly(uint256 wait) public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Reveal) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Reveal);
        }
        reveal(taskId, round, desk(0));
    }

    function testRevealOpensOnlyWhatWasCommitted(bytes32 top, uint64 norm, bytes32 otherSalt) public {
        uint32 round = openToReveal(taskId, 1);
        norm = uint64(bound(norm, 0, 1e12));
        vm.assume(
            top != treeTop(desk(0), round) || norm != squaredNorm(desk(0), round) || otherSalt != salt(desk(0), round)
        );
        bytes32 root = SumTree.root(1473, norm, top);
        bytes32 full = volquorum.commitmentOf(taskId, round, desk(0), root, norm, otherSalt);
        vm.expectRevert(
            abi.encodeWithSelector(
                IVolquorum.CommitmentMismatch.selector,
                taskId,
                round,
                desk(0),
                volquorum.seat(taskId, desk(0)).commitment,
                bytes28(uint224(uint256(full)))
            )
        );
        vm.prank(desk(0));
        volquorum.revealUpdate(taskId, round, top, norm, otherSalt);
    }

    function testCopiedCommitmentCannotBeOpenedByTheCopier() public {
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        bytes32 root = updateRoot(taskId, desk(0), round);
        bytes32 copied = commitmentTo(taskId, round, desk(0), root, squaredNorm(desk(0), round));
        vm.prank(desk(1));
        volquorum.commitUpdate(taskId, round, copied);
        walkToReveal(taskId, round);
        reveal(taskId, round, desk(0));

        vm.expectPartialRevert(IVolquorum.CommitmentMismatch.selector);
        vm.prank(desk(1));
        volquorum.revealUpdate(
            taskId, round, treeTop(desk(0), round), squaredNorm(desk(0), round), salt(desk(0), round)
        );
    }

    function testCommitmentOfAnEarlierRoundDoesNotOpenInThis() public {
        openToFinal(taskId, 5);
        uint32 round = openToReveal(taskId, 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotCommitted.selector, taskId, round, desk(0)));
        reveal(taskId, round, desk(0));
    }

    function testSecondRevealIsRefused() public {
        uint32 round = openToReveal(taskId, 1);
        reveal(taskId, round, desk(0));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyRevealed.selector, taskId, round, desk(0)));
        reveal(taskId, round, desk(0));
    }

    function testNormAboveTheBoundIsRefused(uint64 norm) public {
        norm = uint64(bound(norm, 1e12 + 1, type(uint64).max));
        uint32 round = openToCommit(taskId);
        commitAs(desk(0), round, "top", norm);
        walkToReveal(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NormTooLarge.selector, norm, uint64(1e12)));
        revealAs(desk(0), round, "top", norm);
    }

    function testNormAtTheBoundIsTaken() public {
        uint32 round = openToCommit(taskId);
        commitAs(desk(0), round, "top", 1e12);
        walkToReveal(taskId, round);
        revealAs(desk(0), round, "top", 1e12);
    }

    /// @dev Two desks that learned nothing have the same update, and each must be able to open its commitment.
    function testTwoMayRevealTheSameUpdate(bytes32 top, uint64 norm) public {
        norm = uint64(bound(norm, 0, 1e12));
        uint32 round = openToCommit(taskId);
        commitAs(desk(0), round, top, norm);
        commitAs(desk(1), round, top, norm);
        walkToReveal(taskId, round);
        revealAs(desk(0), round, top, norm);
        revealAs(desk(1), round, top, norm);
        assertEq(uint8(uint256(volquorum.roundState(taskId, round).updatesHash)), 2);
    }

    function testUpdateOfAnEarlierRoundMayComeAgain(bytes32 top) public {
        for (uint32 round = 1; round <= 2; ++round) {
            openToCommit(taskId);
            commitAs(desk(0), round, top, 1);
            walkToReveal(taskId, round);
            revealAs(desk(0), round, top, 1);
            walkToEnd(taskId, round);
        }
    }

    function testUpdateOfAnotherTaskIsNoDuplicate(bytes32 top) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.salt = "other";
        bytes32 first = taskId;
        bytes32 second = create(params);
        joinAll(second, 5);
        for (uint256 index = 0; index < 2; ++index) {
            taskId = index == 0 ? first : second;
            vm.warp(START);
            openToCommit(taskId);
            commitAs(desk(0), 1, top, 1);
            walkToReveal(taskId, 1);
            revealAs(desk(0), 1, top, 1);
        }
    }

    function testRewardOfTheRoundBeforeIsKeptWhenTheNextIsRevealed() public {
        playRound(taskId, 5);
        openToAggregate(taskId, 5);
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.rewardWei, uint256(0.7 ether) / 5);
        assertEq(seat.served, 1);
        assertEq(seat.committedRound, 2);
    }

    function testRewardOfAnEarlierRoundIsDistributedDuringALaterOne() public {
        uint32 round = openToFinal(taskId, 5);
        openToAggregate(taskId, 5);
        distribute(taskId, round, 5);
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, uint256(0.7 ether) / 5);
    }

    // ---------------------------------------------------------------------------------------------------- publish

    function testPublishedResultIsStoredWithItsBond(bytes32 aggregateRoot, bytes32 modelRoot) public {
        vm.assume(aggregateRoot != 0 && modelRoot != 0);
        uint32 round = openToAggregate(taskId, 4);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        vm.expectEmit(address(volquorum));
        emit IVolquorum.AggregatePublished(taskId, round, aggregator, aggregateRoot, modelRoot, updatesHash, 0, 0, 0);
        vm.prank(aggregator);
        volquorum.publish{value: 2 ether}(taskId, round, plain(aggregateRoot, modelRoot, updatesHash, 0));

        IVolquorum.RoundState memory state = volquorum.roundState(taskId, round);
        assertEq(state.publishedAt, block.timestamp);
        assertEq(state.aggregateRoot, aggregateRoot);
        assertEq(state.modelRoot, modelRoot);
        assertEq(state.publisher, aggregator);
        assertEq(state.bondWei, 2 ether);
        assertEq(volquorum.taskState(taskId).modelRoot, keccak256("genesis"), "not before it is final");
        assertEq(volquorum.deadlines(taskId, round).challenge, block.timestamp + 70);
    }

    function testResultIsTakenInItsPhaseOnly(uint256 wait) public {
        uint32 round = openToAggregate(taskId, 3);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Aggregate) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Aggregate);
        }
        vm.prank(aggregator);
        volquorum.publish{value: 2 ether}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, updatesHash, 0));
    }

    function testFirstResultWins() public {
        uint32 round = openToAggregate(taskId, 3);
        publish(taskId, round, aggregator);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        expectWrongPhase(taskId, round, IVolquorum.Phase.Challenge, IVolquorum.Phase.Aggregate);
        vm.prank(stranger);
        volquorum.publish{value: 2 ether}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, updatesHash, 0));
    }

    function testOthersWaitForTheAggregatorsHeadStart(uint256 wait) public {
        uint32 round = openToAggregate(taskId, 3);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        vm.warp(bound(wait, ends.availability, ends.aggregator - 1));
        vm.expectRevert(
            abi.encodeWithSelector(IVolquorum.AggregatorFirst.selector, taskId, round, aggregator, ends.aggregator)
        );
        vm.prank(stranger);
        volquorum.publish{value: 2 ether}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, updatesHash, 0));

        vm.warp(ends.aggregator);
        publish(taskId, round, stranger);
    }

    function testWithoutANamedAggregatorAnybodyPublishesAtOnce(address publisher) public {
        vm.assume(publisher != address(0) && publisher != address(volquorum));
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.aggregator = address(0);
        bytes32 task = create(params);
        joinAll(task, 3);
        publish(task, openToAggregate(task, 3), publisher);
    }

    function testResultOfOtherUpdatesIsRefused(bytes32 given) public {
        uint32 round = openToAggregate(taskId, 3);
        bytes32 revealed = volquorum.roundState(taskId, round).updatesHash;
        vm.assume(given != revealed);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.UpdatesMismatch.selector, taskId, round, given, revealed));
        vm.prank(aggregator);
        volquorum.publish{value: 2 ether}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, given, 0));
    }

    function testResultOfAnotherSelectionIsRefused(uint64 given) public {
        uint32 round = openToAggregate(taskId, 3);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        vm.assume(given != 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.ExcludedMismatch.selector, taskId, round, given, 0));
        vm.prank(aggregator);
        volquorum.publish{value: 2 ether}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, updatesHash, given));
    }

    function testEmptyRootsAreRefused() public {
        uint32 round = openToAggregate(taskId, 3);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        vm.startPrank(aggregator);
        vm.expectRevert(IVolquorum.EmptyRoot.selector);
        volquorum.publish{value: 2 ether}(taskId, round, plain(0, MODEL_ROOT, updatesHash, 0));
        vm.expectRevert(IVolquorum.EmptyRoot.selector);
        volquorum.publish{value: 2 ether}(taskId, round, plain(AGGREGATE_ROOT, 0, updatesHash, 0));
        vm.stopPrank();
    }

    function testBondMustBePaidExactly(uint96 sentWei) public {
        vm.assume(sentWei != 2 ether);
        uint32 round = openToAggregate(taskId, 3);
        bytes32 updatesHash = volquorum.roundState(taskId, round).updatesHash;
        vm.deal(aggregator, sentWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, 2 ether));
        vm.prank(aggregator);
        volquorum.publish{value: sentWei}(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, updatesHash, 0));
    }

    // --------------------------------------------------------------------------------------------- finalise and void

    function testFinalRoundPaysEachRevealAndThePublisher(uint96 rewardWei, uint96 publisherWei, uint256 revealed)
        public
    {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rewardWei = uint96(bound(rewardWei, 0, type(uint96).max / params.rounds));
        params.publisherWei = uint96(bound(publisherWei, 0, type(uint96).max / params.rounds - params.rewardWei));
        bytes32 task = create(params);
        joinAll(task, 5);
        revealed = bound(revealed, 3, 5);
        uint32 round = openToFinal(task, revealed);
        uint96 shareWei = uint96(params.rewardWei / revealed);

        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundFinalised(task, round, MODEL_ROOT);
        vm.prank(stranger);
        volquorum.finalise(task);

        IVolquorum.TaskState memory state = volquorum.taskState(task);
        assertEq(state.modelRoot, MODEL_ROOT);
        assertEq(state.fundsWei, 3 * (uint256(params.rewardWei) + params.publisherWei));
        assertEq(creditOf(aggregator), 2 ether + uint256(params.publisherWei), "the bond returns");
        distribute(task, round, revealed);
        assertEq(creditOf(sponsor), params.rewardWei - uint256(shareWei) * revealed, "the rest returns");
        if (shareWei != 0) volquorum.claim(task, desk(0));
        assertEq(creditOf(desk(0)), shareWei);
    }

    function testResultIsFinalOnlyAfterItsChallengeTime(uint256 wait) public {
        uint32 round = openToAggregate(taskId, 3);
        publish(taskId, round, aggregator);
        vm.warp(bound(wait, block.timestamp, volquorum.deadlines(taskId, round).challenge - 1));
        expectWrongPhase(taskId, round, IVolquorum.Phase.Challenge, IVolquorum.Phase.Final);
        volquorum.finalise(taskId);
    }

    function testVoidRoundSpendsNothing(uint256 revealed) public {
        uint32 round = openToReveal(taskId, 5);
        revealed = bound(revealed, 0, 5);
        revealAll(taskId, round, revealed);
        walkToEnd(taskId, round);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundVoided(taskId, round, uint8(revealed));
        vm.prank(stranger);
        volquorum.voidRound(taskId);
        assertEq(volquorum.taskState(taskId).fundsWei, 2.8 ether);
        assertEq(volquorum.taskState(taskId).modelRoot, keccak256("genesis"));
    }

    function testAFinalRoundIsNotVoidedNorAVoidOneFinalised() public {
        uint32 round = openToFinal(taskId, 3);
        expectWrongPhase(taskId, round, IVolquorum.Phase.Final, IVolquorum.Phase.Void);
        volquorum.voidRound(taskId);
        round = openToVoid(taskId);
        expectWrongPhase(taskId, round, IVolquorum.Phase.Void, IVolquorum.Phase.Final);
        volquorum.finalise(taskId);
    }

    function testNothingIsSettledBeforeTheFirstRound() public {
        expectWrongPhase(taskId, 0, IVolquorum.Phase.None, IVolquorum.Phase.Final);
        volquorum.finalise(taskId);
        expectWrongPhase(taskId, 0, IVolquorum.Phase.None, IVolquorum.Phase.Void);
        volquorum.voidRound(taskId);
    }

    function testRoundIsSettledOnce() public {
        uint32 round = openToFinal(taskId, 3);
        volquorum.finalise(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadySettled.selector, taskId, round));
        volquorum.finalise(taskId);
        round = openToVoid(taskId);
        volquorum.voidRound(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadySettled.selector, taskId, round));
        volquorum.voidRound(taskId);
    }

    // ------------------------------------------------------------------------------------------------ commitmentOf

    function testCommitmentOfIsRefusedOnceItsBaseModelIsGone() public {
        uint32 round = openToFinal(taskId, 3);
        volquorum.finalise(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadySettled.selector, taskId, round));
        volquorum.commitmentOf(taskId, round, desk(0), "root", 1, "salt");
        open(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, round, round + 1));
        volquorum.commitmentOf(taskId, round, desk(0), "root", 1, "salt");
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function commitAs(address account, uint32 round, bytes32 top, uint64 norm) private {
        bytes32 commitment = commitmentTo(taskId, round, account, SumTree.root(1473, norm, top), norm);
        vm.prank(account);
        volquorum.commitUpdate(taskId, round, commitment);
    }

    function revealAs(address account, uint32 round, bytes32 top, uint64 norm) private {
        bytes32 accountSalt = salt(account, round);
        vm.prank(account);
        volquorum.revealUpdate(taskId, round, top, norm, accountSalt);
    }
}
