// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Books} from "./Books.sol";

/// @notice How a final round's reward is divided, when, and that no wei of it is lost. Scores have a file of their own.
contract RewardsTest is Books {
    bytes32 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = createSeated();
    }

    // ------------------------------------------------------------------------------------------------------ the rules

    function testEqualSharesAreTheSameAndTheSponsorGetsTheRest(uint256 revealed, uint96 rewardWei) public {
        revealed = bound(revealed, 3, 5);
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rewardWei = uint96(bound(rewardWei, 0, type(uint96).max / 4));
        taskId = recreate(params);
        uint32 round = openToFinal(taskId, revealed);
        uint96[] memory sharesWei = new uint96[](revealed);
        for (uint256 index = 0; index < revealed; ++index) {
            sharesWei[index] = params.rewardWei / uint96(revealed);
        }
        uint256 restWei = params.rewardWei % revealed;
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RewardsDistributed(taskId, round, sharesWei, restWei);
        vm.prank(stranger);
        distribute(taskId, round, revealed);

        assertTrue(volquorum.roundState(taskId, round).distributed);
        assertEq(creditOf(sponsor), restWei);
        for (uint256 index = 0; index < 5; ++index) {
            IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(index));
            assertEq(seat.rewardWei, index < revealed ? sharesWei[index] : 0);
            assertEq(seat.served, index < revealed ? 1 : 0);
        }
    }

    function testSamplesWeighUpToTheirCap(uint32[5] calldata samples, uint32 sampleCap, uint96 rewardWei) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rewardRule = IVolquorum.RewardRule.Samples;
        params.sampleCap = uint32(bound(sampleCap, 1, type(uint32).max));
        params.rewardWei = uint96(bound(rewardWei, 0, type(uint96).max / 4));
        params.salt = "samples";
        taskId = create(params);
        uint256[5] memory weights;
        uint256 total = 0;
        for (uint256 index = 0; index < 5; ++index) {
            join(taskId, desk(index), samples[index]);
            weights[index] = samples[index] < params.sampleCap ? samples[index] : params.sampleCap;
            total += weights[index];
        }
        playRound(taskId, 5);
        uint256 restWei = params.rewardWei;
        for (uint256 index = 0; index < 5; ++index) {
            uint256 shareWei = total == 0 ? 0 : params.rewardWei * weights[index] / total;
            assertEq(volquorum.seat(taskId, desk(index)).rewardWei, shareWei);
            restWei -= shareWei;
        }
        assertEq(creditOf(sponsor), restWei);
    }

    function testDidNobodyDeclareSamplesTheRewardIsTheSponsors() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.rewardRule, params.sampleCap, params.salt) = (IVolquorum.RewardRule.Samples, 100, "samples");
        taskId = create(params);
        for (uint256 index = 0; index < 3; ++index) {
            join(taskId, desk(index), 0);
        }
        uint32 round = openToFinal(taskId, 3);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RewardsDistributed(taskId, round, new uint96[](3), 0.7 ether);
        distribute(taskId, round, 3);
        assertEq(creditOf(sponsor), 0.7 ether);
        assertEq(volquorum.seat(taskId, desk(0)).served, 1);
    }

    function testExcludedUpdatesShareNothing(uint256 excluded, bool bySamples) public {
        excluded = bound(excluded, 0, 4);
        IVolquorum.TaskParams memory params = ordinaryParams();
        if (bySamples) (params.rewardRule, params.sampleCap) = (IVolquorum.RewardRule.Samples, 1);
        taskId = recreate(params);
        uint32 round = openToAvailability(taskId, 5);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        flag(taskId, round, updates, excluded, stranger);
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        distribute(taskId, round, 5);
        for (uint256 index = 0; index < 5; ++index) {
            IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(index));
            assertEq(seat.rewardWei, index == excluded ? 0 : 0.7 ether / 4);
            assertEq(seat.served, index == excluded ? 0 : 1);
        }
    }

    function testRoundsServedAreCountedAsFarAsTheyGo() public {
        playRound(taskId, 5);
        vm.record();
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        (bytes32[] memory reads,) = vm.accesses(address(volquorum));
        uint256 most = uint256(type(uint16).max) << 224;
        vm.store(address(volquorum), reads[0], bytes32(uint256(vm.load(address(volquorum), reads[0])) | most));
        assertEq(volquorum.seat(taskId, desk(0)).served, type(uint16).max);
        playRound(taskId, 5);
        assertEq(volquorum.seat(taskId, desk(0)).served, type(uint16).max);
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, 2 * seat.rewardWei);
        assertEq(volquorum.seat(taskId, desk(1)).served, 2);
    }

    function testPublisherIsPaidForAFinalRound(uint96 publisherWei) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.publisherWei = uint96(bound(publisherWei, 1, 1e24));
        taskId = recreate(params);
        uint256 fundsWei = volquorum.taskState(taskId).fundsWei;
        assertEq(fundsWei, 4 * (uint256(params.rewardWei) + params.publisherWei));
        playRound(taskId, 5);
        assertEq(creditOf(aggregator), params.bondWei + params.publisherWei);
        openToVoid(taskId);
        volquorum.voidRound(taskId);
        assertEq(creditOf(aggregator), params.bondWei + params.publisherWei);
        assertEq(volquorum.taskState(taskId).fundsWei, fundsWei - params.rewardWei - params.publisherWei);
    }

    // ----------------------------------------------------------------------------------------------------------- when

    function testRewardIsDistributedOnce() public {
        uint32 round = playRound(taskId, 5);
        refusedToDistribute(round, updatesOf(taskId, round, 5));
        playRound(taskId, 5);
        refusedToDistribute(round, updatesOf(taskId, round, 5));
    }

    function testRewardIsDistributedWhenTheRoundIsFinal(uint256 wait) public {
        uint32 round = openToAggregate(taskId, 5);
        publish(taskId, round, aggregator);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        uint64 end = volquorum.deadlines(taskId, round).challenge;
        vm.warp(bound(wait, START, end - 1));
        refusedToDistribute(round, updates);
        vm.warp(end);
        distribute(taskId, round, 5);
        assertTrue(volquorum.roundState(taskId, round).settled, "on the way");
        assertEq(volquorum.taskState(taskId).modelRoot, MODEL_ROOT);
        assertEq(creditOf(aggregator), 2 ether);
        assertBooks(taskId, 5);
    }

    function testVoidOrUnknownRoundsHaveNoReward(uint32 unknown) public {
        uint32 round = openToAggregate(taskId, 5);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        walkToEnd(taskId, round);
        refusedToDistribute(round, updates);
        openToVoid(taskId);
        refusedToDistribute(round, updates);
        vm.assume(unknown != 1 && unknown != 2);
        refusedToDistribute(unknown, updates);
    }

    function testBeforeTheFirstRoundThereIsNoReward() public {
        refusedToDistribute(0, new IVolquorum.Update[](0));
    }

    function testRewardsOfEarlierRoundsWait() public {
        for (uint256 index = 0; index < 3; ++index) {
            openToFinal(taskId, 5 - index);
        }
        open(taskId);
        distribute(taskId, 2, 4);
        distribute(taskId, 3, 3);
        distribute(taskId, 1, 5);
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, uint256(0.14 ether) + 0.175 ether + uint256(0.7 ether) / 3);
        assertEq(volquorum.seat(taskId, desk(0)).served, 3);
        assertEq(volquorum.seat(taskId, desk(4)).rewardWei, 0.14 ether);
        assertBooks(taskId, 5);
    }

    function testRewardIsDistributedAfterItsTaskWasClosed() public {
        uint32 round = openToFinal(taskId, 3);
        vm.warp(START + 30 days);
        volquorum.closeTask(taskId);
        assertEq(creditOf(sponsor), 2.1 ether);
        assertBooks(taskId, 5);
        distribute(taskId, round, 3);
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, uint256(0.7 ether) / 3);
        assertEq(creditOf(sponsor), 2.1 ether + uint256(0.7 ether) % 3);
        assertBooks(taskId, 5);
    }

    // ---------------------------------------------------------------------------------------------- seats that are gone

    function testWhoLeftBeforeTheDistributionClaimsItsShare() public {
        uint32 round = openToFinal(taskId, 5);
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), 1 ether);
        distribute(taskId, round, 5);
        assertBooks(taskId, 5);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RewardClaimed(taskId, desk(0), 0.14 ether);
        volquorum.claim(taskId, desk(0));
        assertEq(creditOf(desk(0)), 1.14 ether);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToWithdraw.selector, desk(0)));
        volquorum.claim(taskId, desk(0));
        assertBooks(taskId, 5);
    }

    function testWhoLeftAndCameBackKeepsItsShare() public {
        uint32 round = openToFinal(taskId, 5);
        leave(taskId, desk(0));
        distribute(taskId, round, 5);
        join(taskId, desk(0));
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.rewardWei, 0.14 ether);
        assertEq(seat.stakeWei, 1 ether);
        assertEq(seat.served, 1);
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), 2.14 ether);
        assertBooks(taskId, 5);
    }

    function testWhoWasSlashedForALaterRoundKeepsItsShare() public {
        uint32 round = openToFinal(taskId, 5);
        uint32 next = openToReveal(taskId, 5);
        walkToEnd(taskId, next);
        volquorum.slashWithheld(taskId, desk(0));
        distribute(taskId, round, 5);
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.rewardWei, 0.14 ether);
        assertEq(seat.stakeWei, 0.9 ether);
        assertEq(seat.activeFrom, type(uint32).max, "suspended");
        assertEq(seat.missed, 1);
        assertEq(seat.served, 1);
        volquorum.claim(taskId, desk(0));
        assertEq(creditOf(desk(0)), 0.14 ether);
    }

    // -------------------------------------------------------------------------------------------------- what is given

    function testOtherUpdatesThanTheRevealedOnesAreRefused(uint256 kind) public {
        uint32 round = openToFinal(taskId, 5);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        kind %= 4;
        if (kind == 0) updates[1].participant = stranger;
        if (kind == 1) ++updates[4].squaredNorm;
        if (kind == 2) (updates[0], updates[1]) = (updates[1], updates[0]);
        if (kind == 3) updates = updatesOf(taskId, round, 4);
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.distribute(taskId, round, updates, "");
    }

    function testScoresAreNotTakenWhereNobodyGaveAny(bytes calldata scores) public {
        vm.assume(scores.length != 0);
        uint32 round = openToFinal(taskId, 5);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, scores.length, 0));
        volquorum.distribute(taskId, round, updates, scores);
    }

    // -------------------------------------------------------------------------------------------------- every wei

    /// forge-config: default.fuzz.runs = 64
    function testNoWeiIsLostInATasksWholeLife(
        uint256 seed,
        uint96 rewardWei,
        uint96 publisherWei,
        uint96 sliceWei,
        bool bySamples
    ) public {
        vm.prank(sponsor);
        volquorum.endTask(taskId);
        volquorum.closeTask(taskId);
        for (uint256 index = 0; index < 5; ++index) {
            leave(taskId, desk(index));
        }
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rewardWei = uint96(bound(rewardWei, 0, 1e20));
        params.publisherWei = uint96(bound(publisherWei, 0, 1e20));
        params.sliceWei = uint96(bound(sliceWei, 0, params.stakeWei));
        if (bySamples) (params.rewardRule, params.sampleCap) = (IVolquorum.RewardRule.Samples, 1500);
        (params.rounds, params.salt) = (5, "life");
        live(create(params), seed);
    }

    // --------------------------------------------------------------------------------------------------------- steps

    /// @dev Another task with its five seats taken.
    function recreate(IVolquorum.TaskParams memory params) private returns (bytes32 created) {
        params.salt = "other";
        created = create(params);
        joinAll(created, 5);
    }

    function refusedToDistribute(uint32 round, IVolquorum.Update[] memory updates) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToDistribute.selector, taskId, round));
        volquorum.distribute(taskId, round, updates, "");
    }
}
