// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ParamsLib} from "../src/libraries/ParamsLib.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Creating and closing tasks, taking seats and leaving them.
contract TaskTest is Fixture {
    // -------------------------------------------------------------------------------------------------- createTask

    function testTaskIsStoredAsGiven(uint256 seed, address creator) public {
        IVolquorum.TaskParams memory params = anyParams(seed);
        vm.assume(creator != address(volquorum));
        uint256 fundsWei = fundsOf(params);
        vm.deal(creator, fundsWei);
        bytes32 expectedId =
            keccak256(abi.encode(keccak256("volquorum.task.1"), block.chainid, address(volquorum), creator, params));

        vm.expectEmit(address(volquorum));
        emit IVolquorum.TaskCreated(expectedId, creator, params);
        vm.prank(creator);
        bytes32 taskId = volquorum.createTask{value: fundsWei}(params);

        assertEq(taskId, expectedId, "id");
        assertEq(volquorum.taskIdOf(creator, params), taskId, "taskIdOf");
        assertEq(abi.encode(volquorum.taskParams(taskId)), abi.encode(params), "params");
        IVolquorum.TaskState memory expected;
        (expected.sponsor, expected.fundsWei) = (creator, uint96(fundsWei));
        expected.modelRoot = params.genesisModelRoot;
        expected.byVotes = isByVotes(params);
        assertEq(abi.encode(volquorum.taskState(taskId)), abi.encode(expected), "state");
        assertEq(address(volquorum).balance, fundsWei, "funds");
    }

    function testTaskIdTellsSponsorsAndSaltsApart(address other, bytes32 otherSalt) public view {
        IVolquorum.TaskParams memory params = ordinaryParams();
        vm.assume(other != sponsor && otherSalt != params.salt);
        bytes32 taskId = volquorum.taskIdOf(sponsor, params);
        assertNotEq(taskId, volquorum.taskIdOf(other, params));
        params.salt = otherSalt;
        assertNotEq(taskId, volquorum.taskIdOf(sponsor, params));
    }

    function testSameTaskTwiceIsRefused() public {
        bytes32 taskId = createOrdinary();
        vm.deal(sponsor, 2.8 ether);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.TaskExists.selector, taskId));
        vm.prank(sponsor);
        volquorum.createTask{value: 2.8 ether}(ordinaryParams());
    }

    function testTaskMustBeFundedExactly(uint96 sentWei) public {
        vm.assume(sentWei != 2.8 ether);
        vm.deal(sponsor, sentWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, 2.8 ether));
        vm.prank(sponsor);
        volquorum.createTask{value: sentWei}(ordinaryParams());
    }

    // -------------------------------------------------------------------------------------------------- parameters

    function testZeroHashesAreRefused() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.modelSpecHash = 0;
        refused(params, "modelSpecHash", 0);
        params = ordinaryParams();
        params.genesisModelRoot = 0;
        refused(params, "genesisModelRoot", 0);
    }

    function testEmptyModelIsRefused() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.dimension = 0;
        refused(params, "dimension", 0);
    }

    function testChunkLengthIsWholeWordsUpToItsLimit(uint16 chunkLength) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.chunkLength = chunkLength;
        acceptedIf(chunkLength >= 16 && chunkLength <= 512 && chunkLength % 16 == 0, params, "chunkLength", chunkLength);
    }

    function testShiftFitsAModelCoordinate(uint8 shift) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.shift = shift;
        acceptedIf(shift <= 31, params, "shift", shift);
    }

    function testCohortIsOneToSixtyFour(uint8 cohort) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        setCohort(params, cohort);
        (params.quorum, params.tolerance) = (1, 0);
        acceptedIf(cohort >= 1 && cohort <= 64, params, "cohort", cohort);
    }

    function testQuorumIsOneToCohort(uint8 cohort, uint8 quorum) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        setCohort(params, uint8(bound(cohort, 1, 64)));
        (params.quorum, params.tolerance) = (quorum, 0);
        acceptedIf(quorum >= 1 && quorum <= params.cohort, params, "quorum", quorum);
    }

    function testMeanToleratesNobody(uint8 tolerance) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.rule, params.tolerance) = (IVolquorum.Rule.Mean, tolerance);
        acceptedIf(tolerance == 0, params, "tolerance", tolerance);
    }

    function testRobustRulesNeedAnHonestMajorityOfTheQuorum(uint8 rule, uint8 quorum, uint8 tolerance) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rule = IVolquorum.Rule(bound(rule, 1, 3));
        params.clipNorm = params.rule == IVolquorum.Rule.ClippedMean ? 1 : 0;
        setCohort(params, 64);
        params.quorum = uint8(bound(quorum, 1, 64));
        params.tolerance = uint8(bound(tolerance, 0, 70));
        acceptedIf(2 * uint256(params.tolerance) < params.quorum, params, "tolerance", params.tolerance);
    }

    function testPreStepsGoBeforeEveryRule(uint8 rule, uint8 preSteps) public {
        IVolquorum.TaskParams memory params = ruleParams(rule);
        params.preSteps = preSteps;
        if (params.rule == IVolquorum.Rule.Mean && preSteps == 0) params.tolerance = 0;
        bool fits = preSteps <= 3 && (preSteps == 0 || params.rule != IVolquorum.Rule.FLTrust);
        acceptedIf(fits, params, "preSteps", preSteps);
    }

    function testOnlyFLTrustTrustsAParticipant(uint8 rule, address trusted) public {
        IVolquorum.TaskParams memory params = ruleParams(rule);
        if (params.rule == IVolquorum.Rule.Mean) params.tolerance = 0;
        bool trusts = params.rule == IVolquorum.Rule.FLTrust;
        params.trusted = trusted;
        acceptedIf(trusts == (trusted != address(0)), params, "trusted", uint160(trusted));
        (params.trusted, params.salt) = (address(0), "other");
        acceptedIf(!trusts, params, "trusted", 0);
    }

    function testWhatChoosesAmongUpdatesToleratesAtLeastOneLiar(uint8 rule, uint8 preSteps, uint8 quorum, uint8 liars)
        public
    {
        IVolquorum.TaskParams memory params = tableParams();
        params.rule = [IVolquorum.Rule.Mean, IVolquorum.Rule.Median, IVolquorum.Rule.TrimmedMean][rule % 3];
        params.preSteps = uint8(bound(preSteps, 1, 3));
        params.quorum = uint8(bound(quorum, 1, params.cohort));
        params.tolerance = uint8(bound(liars, 0, 40));
        bool fits = params.tolerance >= 1 && 2 * uint256(params.tolerance) < params.quorum;
        acceptedIf(fits, params, "tolerance", params.tolerance);
    }

    function testKrumAndMultiKrumNeedTwoMoreThanAMajority(bool several, uint8 preSteps, uint8 quorum, uint8 liars)
        public
    {
        IVolquorum.TaskParams memory params = tableParams();
        params.rule = several ? IVolquorum.Rule.MultiKrum : IVolquorum.Rule.Krum;
        params.preSteps = preSteps % 4;
        params.quorum = uint8(bound(quorum, 1, params.cohort));
        params.tolerance = uint8(bound(liars, 0, 40));
        bool fits = params.tolerance >= 1 && 2 * uint256(params.tolerance) + 3 <= params.quorum;
        acceptedIf(fits, params, "tolerance", params.tolerance);
    }

    function testBulyanNeedsThreeMoreThanFourTimesItsLiars(uint8 preSteps, uint8 quorum, uint8 liars) public {
        IVolquorum.TaskParams memory params = tableParams();
        (params.rule, params.preSteps) = (IVolquorum.Rule.Bulyan, preSteps % 4);
        setCohort(params, 64);
        params.quorum = uint8(bound(quorum, 1, 64));
        params.tolerance = uint8(bound(liars, 0, 40));
        bool fits = params.tolerance >= 1 && 4 * uint256(params.tolerance) + 3 <= params.quorum;
        acceptedIf(fits, params, "tolerance", params.tolerance);
    }

    function testWhatWeighsAndWhatVotesJudgeTolerateAtLeastOneLiarAndAMinority(uint256 which, uint8 quorum, uint8 liars)
        public
    {
        IVolquorum.TaskParams memory params = ruleParams(
            uint8(
                [IVolquorum.Rule.GeometricMedian, IVolquorum.Rule.FLTrust, IVolquorum.Rule.MinimumDiameter][which % 3]
            )
        );
        params.quorum = uint8(bound(quorum, 1, params.cohort));
        params.tolerance = uint8(bound(liars, 0, 40));
        bool fits = params.tolerance >= 1 && 2 * uint256(params.tolerance) < params.quorum;
        acceptedIf(fits, params, "tolerance", params.tolerance);
    }

    function testTaskIsByVotesIfNoTransactionProvesItsAggregatesWrong() public {
        bool[4] memory never = [false, false, false, false];
        bool[4] memory ifMixed = [false, false, true, true];
        bool[4] memory ifClippedOrMixed = [false, true, true, true];
        bool[4] memory always = [true, true, true, true];
        bool[4][11] memory expected = [
            never, // Mean
            ifClippedOrMixed, // ClippedMean
            never, // Median
            never, // TrimmedMean
            ifMixed, // MultiKrum
            ifMixed, // Krum
            ifMixed, // GeometricMedian
            ifClippedOrMixed, // CenteredClipping
            never, // FLTrust
            always, // Bulyan
            always // MinimumDiameter
        ];
        for (uint8 rule = 0; rule < 11; ++rule) {
            for (uint8 preSteps = 0; preSteps < 4; ++preSteps) {
                IVolquorum.TaskParams memory params = ruleParams(rule);
                if (params.rule == IVolquorum.Rule.FLTrust && preSteps != 0) continue;
                params.preSteps = preSteps;
                if (rule == 0 && preSteps == 0) params.tolerance = 0;
                bytes32 taskId = create(params);
                assertEq(volquorum.taskState(taskId).byVotes, expected[rule][preSteps], vm.toString(rule));
            }
        }
    }

    function testTaskWhoseTableWouldBeTooHighIsByVotes(uint8 cohort, uint32 dimension, uint256 kind) public {
        IVolquorum.TaskParams memory params = tableParams();
        setCohort(params, uint8(bound(cohort, 5, 64)));
        params.dimension = uint32(bound(dimension, 1, kind % 5 == 0 ? type(uint32).max : 1 << 17));
        params.preSteps = uint8(kind % 4);
        if (kind % 4 == 0) {
            params.rule = [
                IVolquorum.Rule.MultiKrum,
                IVolquorum.Rule.Krum,
                IVolquorum.Rule.GeometricMedian,
                IVolquorum.Rule.FLTrust
            ][kind / 4 % 4];
        }
        if (params.rule == IVolquorum.Rule.FLTrust) params.trusted = desk(0);
        bool choosesByDistance = kind % 4 != 1;
        assertEq(volquorum.taskState(create(params)).byVotes, choosesByDistance && tableLeaves(params) > 65_536);
    }

    function testOnlyRulesThatClipToANormHaveOne(uint8 rule, uint64 clipNorm) public {
        IVolquorum.TaskParams memory params = ruleParams(rule);
        bool clips = params.rule == IVolquorum.Rule.ClippedMean || params.rule == IVolquorum.Rule.CenteredClipping;
        if (params.rule == IVolquorum.Rule.Mean) params.tolerance = 0;
        params.clipNorm = clipNorm;
        acceptedIf(clips == (clipNorm != 0), params, "clipNorm", clipNorm);
        (params.clipNorm, params.salt) = (0, "other");
        acceptedIf(!clips, params, "clipNorm", 0);
    }

    function testZeroNormBoundIsRefused() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.maxSquaredNorm = 0;
        refused(params, "maxSquaredNorm", 0);
    }

    function testWindowsLastAtMostAYear(uint32 duration) public {
        duration = uint32(bound(duration, 365 days + 1, type(uint32).max));
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.selectionSeconds = duration;
        refused(params, "selectionSeconds", duration);
        params = ordinaryParams();
        params.commitSeconds = duration;
        refused(params, "commitSeconds", duration);
        params = ordinaryParams();
        params.revealSeconds = duration;
        refused(params, "revealSeconds", duration);
        params = ordinaryParams();
        params.availabilitySeconds = duration;
        refused(params, "availabilitySeconds", duration);
        params = ordinaryParams();
        params.aggregateSeconds = duration;
        refused(params, "aggregateSeconds", duration);
        params = ordinaryParams();
        params.challengeSeconds = duration;
        refused(params, "challengeSeconds", duration);
    }

    function testWindowsInWhichSomebodyMustActAreNotEmpty() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.commitSeconds = 0;
        refused(params, "commitSeconds", 0);
        params = ordinaryParams();
        params.revealSeconds = 0;
        refused(params, "revealSeconds", 0);
        params = ordinaryParams();
        (params.aggregateSeconds, params.aggregatorSeconds) = (0, 0);
        refused(params, "aggregateSeconds", 0);
    }

    function testOtherWindowsMayBeEmpty() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.selectionSeconds, params.availabilitySeconds) = (0, 0);
        (params.challengeSeconds, params.aggregatorSeconds) = (0, 0);
        create(params);
    }

    function testSeatsAreAtLeastTheCohort(uint16 seats) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.seats, params.seedSource) = (seats, seats == 5 ? address(0) : address(1));
        acceptedIf(seats >= 5, params, "seats", seats);
    }

    function testDrawnAreFromQuorumToCohort(uint8 drawn) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.seats, params.drawn, params.seedSource) = (6, drawn, address(1));
        acceptedIf(drawn >= 3 && drawn <= 5, params, "drawn", drawn);
    }

    function testOnlyTasksWithMoreSeatsThanTheirCohortHaveASeedSource(uint16 seats, address source) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.seats, params.seedSource) = (uint16(bound(seats, 5, 7)), uint160(source) % 3 == 0 ? address(0) : source);
        bool fits = (params.seedSource != address(0)) == (params.seats != 5);
        acceptedIf(fits, params, "seedSource", uint160(params.seedSource));
    }

    function testScoresTakeTimeWithinChallengeExactlyIfRewardsNeedThem(uint8 rule, uint32 scoreSeconds) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rewardRule = IVolquorum.RewardRule(bound(rule, 0, 2));
        params.scoreSeconds = scoreSeconds = uint32(bound(scoreSeconds, 0, 100));
        if (params.rewardRule == IVolquorum.RewardRule.Samples) params.sampleCap = 1;
        bool scores = params.rewardRule == IVolquorum.RewardRule.Scores;
        acceptedIf(
            scores ? scoreSeconds >= 2 && scoreSeconds <= 70 : scoreSeconds == 0, params, "scoreSeconds", scoreSeconds
        );
    }

    function testOnlyRewardsBySamplesHaveACap(uint8 rule, uint32 sampleCap) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rewardRule = IVolquorum.RewardRule(bound(rule, 0, 2));
        params.sampleCap = sampleCap = sampleCap % 3 == 0 ? 0 : sampleCap;
        bool samples = params.rewardRule == IVolquorum.RewardRule.Samples;
        if (params.rewardRule == IVolquorum.RewardRule.Scores) params.scoreSeconds = 10;
        acceptedIf(samples == (sampleCap != 0), params, "sampleCap", sampleCap);
    }

    function testSliceIsAPartOfTheStake(uint96 sliceWei) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.sliceWei = sliceWei = uint96(bound(sliceWei, 0, 2 ether));
        acceptedIf(sliceWei <= 1 ether, params, "sliceWei", sliceWei);
    }

    function testHeadStartLiesInsideItsWindow(uint32 aggregatorSeconds) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.aggregatorSeconds = aggregatorSeconds;
        acceptedIf(aggregatorSeconds <= params.aggregateSeconds, params, "aggregatorSeconds", aggregatorSeconds);
    }

    function testClosingTimeLiesAheadAndWithinTenYears(uint64 closesAt) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.closesAt = closesAt;
        acceptedIf(closesAt > START && closesAt <= START + 3650 days, params, "closesAt", closesAt);
        params.closesAt = uint64(START);
        refused(params, "closesAt", START);
        params.closesAt = uint64(START * 1000);
        refused(params, "closesAt", START * 1000);
    }

    function testTaskHasARound() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rounds = 0;
        refused(params, "rounds", 0);
    }

    function testRewardsThatOverflowTheFundsAreRefused(uint32 rounds, uint96 rewardWei, uint96 publisherWei) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rounds = uint32(bound(rounds, 2, type(uint32).max));
        uint256 most = type(uint96).max / params.rounds;
        (params.rewardWei, params.publisherWei) = (rewardWei, publisherWei);
        uint256 sumWei = uint256(rewardWei) + publisherWei;
        if (sumWei <= most) params.publisherWei = uint96(most + 1 - rewardWei);
        refused(params, "rewardWei", uint256(rewardWei) + params.publisherWei);
    }

    function testRewardsThatJustFillTheFundsAreTaken(uint32 rounds, uint96 publisherWei) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rounds = uint32(bound(rounds, 1, type(uint32).max));
        uint96 most = type(uint96).max / params.rounds;
        params.publisherWei = uint96(bound(publisherWei, 0, most));
        params.rewardWei = most - params.publisherWei;
        assertEq(volquorum.taskState(create(params)).fundsWei, uint256(most) * params.rounds);
    }

    // --------------------------------------------------------------------------------------------------- closeTask

    function testClosedTaskRefundsItsUnspentRewards() public {
        bytes32 taskId = createSeated();
        openToFinal(taskId, 3);
        vm.warp(START + 30 days);

        vm.expectEmit(address(volquorum));
        emit IVolquorum.TaskClosed(taskId, 2.1 ether);
        vm.prank(stranger);
        volquorum.closeTask(taskId);

        assertEq(creditOf(sponsor), 2.1 ether);
        assertTrue(volquorum.taskState(taskId).closed);
        assertEq(volquorum.taskState(taskId).fundsWei, 0);
        assertTrue(volquorum.roundState(taskId, 1).settled, "the last round is settled on the way");
        distribute(taskId, 1, 3);
        assertEq(creditOf(sponsor), 2.1 ether + 0.7 ether % 3, "what rounding left");
    }

    function testTaskClosesWhenItsRoundsAreUsedUp() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.rounds = 1;
        bytes32 taskId = create(params);
        joinAll(taskId, 3);
        openToVoid(taskId);
        volquorum.closeTask(taskId);
        assertEq(creditOf(sponsor), 0.7 ether);
    }

    function testTaskWithoutARoundClosesAtItsTimeOnly(uint64 time) public {
        bytes32 taskId = createOrdinary();
        vm.warp(bound(time, START, START + 30 days - 1));
        refusedToClose(taskId, 0, IVolquorum.Phase.None);
        vm.warp(START + 30 days);
        volquorum.closeTask(taskId);
        assertEq(creditOf(sponsor), 2.8 ether);
    }

    function testTaskDoesNotCloseWhileARoundRuns() public {
        bytes32 taskId = createSeated();
        vm.warp(START + 30 days - 1);
        uint32 round = openToAggregate(taskId, 5);
        refusedToClose(taskId, round, IVolquorum.Phase.Aggregate);
        publish(taskId, round, aggregator);
        refusedToClose(taskId, round, IVolquorum.Phase.Challenge);
        walkToEnd(taskId, round);
        volquorum.closeTask(taskId);
    }

    function testEndedTaskClosesWhenItsRoundHasEnded() public {
        bytes32 taskId = createSeated();
        uint32 round = openToAggregate(taskId, 5);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.TaskEnded(taskId);
        vm.prank(sponsor);
        volquorum.endTask(taskId);
        assertTrue(volquorum.taskState(taskId).ended);
        refusedToClose(taskId, round, IVolquorum.Phase.Aggregate);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        volquorum.closeTask(taskId);
        assertEq(creditOf(sponsor), 2.1 ether, "the round that ran is paid");
        distribute(taskId, round, 5);
    }

    function testOnlyTheSponsorEndsATask(address account) public {
        bytes32 taskId = createSeated();
        vm.assume(account != sponsor);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSponsor.selector, taskId, account));
        vm.prank(account);
        volquorum.endTask(taskId);
    }

    function testTaskWithRoundsLeftDoesNotCloseEarly() public {
        bytes32 taskId = createSeated();
        uint32 round = openToVoid(taskId);
        refusedToClose(taskId, round, IVolquorum.Phase.Void);
    }

    function testClosedTaskTakesNoSeatNoRoundAndNoSecondClosing() public {
        bytes32 taskId = createSeated();
        vm.warp(START + 30 days);
        volquorum.closeTask(taskId);
        bytes memory closed = abi.encodeWithSelector(IVolquorum.TaskIsClosed.selector, taskId);
        vm.expectRevert(closed);
        volquorum.closeTask(taskId);
        vm.expectRevert(closed);
        volquorum.openRound(taskId);
        vm.expectRevert(closed);
        volquorum.join(taskId, 1);
        vm.expectRevert(closed);
        volquorum.restore(taskId);
        vm.expectRevert(closed);
        vm.prank(sponsor);
        volquorum.endTask(taskId);
    }

    // -------------------------------------------------------------------------------------------------------- join

    function testSeatIsActiveFromTheNextRound() public {
        bytes32 taskId = createOrdinary();
        joinAll(taskId, 3);
        assertEq(volquorum.seat(taskId, desk(0)).activeFrom, 1);
        open(taskId);

        vm.deal(desk(3), 1 ether);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatTaken(taskId, desk(3), 2);
        vm.prank(desk(3));
        volquorum.join{value: 1 ether}(taskId, 123);

        IVolquorum.Seat memory expected;
        (expected.stakeWei, expected.activeFrom, expected.samples) = (1 ether, 2, 123);
        assertEq(abi.encode(volquorum.seat(taskId, desk(3))), abi.encode(expected));
        IVolquorum.TaskState memory task = volquorum.taskState(taskId);
        assertEq(abi.encode(task.seats, task.active, task.entering, task.pending), abi.encode(4, 3, 1, 0));
    }

    function testSeatMustBePaidExactly(uint96 sentWei) public {
        vm.assume(sentWei != 1 ether);
        bytes32 taskId = createOrdinary();
        vm.deal(stranger, sentWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, 1 ether));
        vm.prank(stranger);
        volquorum.join{value: sentWei}(taskId, 1);
    }

    function testNobodyTakesTwoSeats() public {
        bytes32 taskId = createOrdinary();
        join(taskId, desk(0));
        vm.deal(desk(0), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadySeated.selector, taskId, desk(0)));
        vm.prank(desk(0));
        volquorum.join{value: 1 ether}(taskId, 1);
    }

    function testNobodyJoinsBeyondTheSeats() public {
        bytes32 taskId = createSeated();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeatsTaken.selector, taskId, 5));
        vm.prank(stranger);
        volquorum.join{value: 1 ether}(taskId, 1);
    }

    function testNobodyJoinsATaskThatOpensNoMoreRounds() public {
        bytes32 taskId = createOrdinary();
        vm.warp(START + 30 days);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoMoreRounds.selector, taskId, 0, uint64(START + 30 days)));
        vm.prank(stranger);
        volquorum.join{value: 1 ether}(taskId, 1);
    }

    // ------------------------------------------------------------------------------------------------------- leave

    function testLeavingCreditsTheStake() public {
        bytes32 taskId = createSeated();
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatLeft(taskId, desk(2), 1 ether);
        vm.prank(desk(2));
        volquorum.leave(taskId);

        assertEq(creditOf(desk(2)), 1 ether);
        assertEq(volquorum.taskState(taskId).seats, 4);
        IVolquorum.Seat memory expected;
        expected.samples = samplesOf(desk(2));
        assertEq(abi.encode(volquorum.seat(taskId, desk(2))), abi.encode(expected), "what was declared stays");
    }

    function testLeavingTakesTheRewardsThatAreDistributed() public {
        bytes32 taskId = createSeated();
        playRound(taskId, 3);
        leave(taskId, desk(2));
        assertEq(creditOf(desk(2)), 1 ether + uint256(0.7 ether) / 3);
        assertEq(volquorum.seat(taskId, desk(2)).rewardWei, 0);
        assertEq(volquorum.seat(taskId, desk(2)).served, 1);
    }

    function testWhoCommittedStaysUntilTheRoundHasEnded(uint256 wait) public {
        bytes32 taskId = createSeated();
        uint32 round = openToCommit(taskId);
        commit(taskId, round, desk(0));
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, ends.selection, ends.reveal - 1));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeatServing.selector, taskId, desk(0), round));
        vm.prank(desk(0));
        volquorum.leave(taskId);
        vm.warp(ends.reveal); // below quorum, so the round is void
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), 0.9 ether, "its commitment was not opened");
    }

    function testWhoDidNotCommitLeavesAtAnyTime(uint256 wait) public {
        bytes32 taskId = createSeated();
        uint32 round = openToFinal(taskId, 4);
        vm.warp(bound(wait, START, volquorum.deadlines(taskId, round).challenge));
        leave(taskId, desk(4));
    }

    function testWhoLeftMayComeBackForTheNextRound() public {
        bytes32 taskId = createSeated();
        playRound(taskId, 5);
        leave(taskId, desk(0));
        join(taskId, desk(0));
        assertEq(volquorum.seat(taskId, desk(0)).activeFrom, 2);
        playRound(taskId, 5);
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), 2 ether + 2 * uint256(0.7 ether) / 5);
    }

    function testWithoutASeatThereIsNothingToLeave() public {
        bytes32 taskId = createSeated();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, stranger, 0));
        vm.prank(stranger);
        volquorum.leave(taskId);
    }

    // ------------------------------------------------------------------------------------------------ unknown tasks

    function testEveryCallOnAnUnknownTaskSaysSo(bytes32 taskId) public {
        bytes memory unknown = abi.encodeWithSelector(IVolquorum.UnknownTask.selector, taskId);
        vm.expectRevert(unknown);
        volquorum.closeTask(taskId);
        vm.expectRevert(unknown);
        volquorum.endTask(taskId);
        vm.expectRevert(unknown);
        volquorum.join(taskId, 1);
        vm.expectRevert(unknown);
        volquorum.restore(taskId);
        vm.expectRevert(unknown);
        volquorum.slashWithheld(taskId, stranger);
        IVolquorum.SignedCommit memory none;
        vm.expectRevert(unknown);
        volquorum.slashEquivocation(taskId, 1, none, none);
        vm.expectRevert(unknown);
        volquorum.commitScores(taskId, 1, "commitment");
        vm.expectRevert(unknown);
        volquorum.revealScores(taskId, 1, "", "salt");
        vm.expectRevert(unknown);
        volquorum.distribute(taskId, 1, new IVolquorum.Update[](0), "");
        vm.expectRevert(unknown);
        volquorum.drawSeats(taskId, 1);
        vm.expectRevert(unknown);
        volquorum.commitUpdates(taskId, 1, new IVolquorum.SignedCommit[](1));
        vm.expectRevert(unknown);
        volquorum.revealUpdates(taskId, 1, new IVolquorum.Opening[](1));
        vm.expectRevert(unknown);
        volquorum.leave(taskId);
        vm.expectRevert(unknown);
        volquorum.openRound(taskId);
        vm.expectRevert(unknown);
        volquorum.commitUpdate(taskId, 1, "commitment");
        vm.expectRevert(unknown);
        volquorum.revealUpdate(taskId, 1, "top", 1, "salt");
        vm.expectRevert(unknown);
        volquorum.publish(taskId, 1, plain("aggregate", "model", "updates", 0));
        vm.expectRevert(unknown);
        volquorum.flagUpdate(taskId, 1, new IVolquorum.Update[](0), 0);
        vm.expectRevert(unknown);
        volquorum.postUpdate(taskId, 1, stranger, "", "");
        vm.expectRevert(unknown);
        volquorum.reclaimDeposit(taskId, stranger);
        vm.expectRevert(unknown);
        volquorum.challengeNorm(taskId, 1, new IVolquorum.Update[](0), 0, 0, "", "salt");
        vm.expectRevert(unknown);
        volquorum.flagResult(taskId, 1, IVolquorum.Published.Model);
        vm.expectRevert(unknown);
        volquorum.flagTable(taskId, 1, "table", "choice");
        vm.expectRevert(unknown);
        volquorum.postResult(taskId, 1, IVolquorum.Published.Model, "", "");
        vm.expectRevert(unknown);
        volquorum.refuteUnavailable(taskId, 1, IVolquorum.Published.Model);
        vm.expectRevert(unknown);
        volquorum.challengeAggregate(taskId, 1, new address[](0), new IVolquorum.Update[](0), 0, "", "", "salt");
        vm.expectRevert(unknown);
        volquorum.challengeModel(taskId, 1, 0, "", "salt");
        vm.expectRevert(unknown);
        volquorum.challengeProduct(taskId, 1, new IVolquorum.Update[](0), 0, "", "choice", "salt");
        vm.expectRevert(unknown);
        volquorum.challengeChoice(taskId, 1, new IVolquorum.Update[](0), "", "choice", "salt");
        vm.expectRevert(unknown);
        volquorum.vote(taskId, 1, plain("aggregate", "model", "updates", 0));
        vm.expectRevert(unknown);
        volquorum.refuteOutvoted(taskId, 1, "aggregate", "model");
        vm.expectRevert(unknown);
        volquorum.finalise(taskId);
        vm.expectRevert(unknown);
        volquorum.voidRound(taskId);
        vm.expectRevert(unknown);
        volquorum.claim(taskId, stranger);
        vm.expectRevert(unknown);
        volquorum.commitmentOf(taskId, 1, stranger, "root", 1, "salt");
    }

    function testViewsOfAnUnknownTaskAreEmpty(bytes32 taskId, uint32 round) public view {
        assertEq(volquorum.taskState(taskId).sponsor, address(0));
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.None);
        IVolquorum.Deadlines memory none;
        assertEq(abi.encode(volquorum.deadlines(taskId, round)), abi.encode(none));
        IVolquorum.Flag memory noFlag;
        assertEq(abi.encode(volquorum.updateFlag(taskId, stranger)), abi.encode(noFlag));
        assertEq(abi.encode(volquorum.resultFlag(taskId, IVolquorum.Published.Model)), abi.encode(noFlag));
        assertEq(volquorum.sealedAt(taskId), 0);
        assertFalse(volquorum.mayCommit(taskId, stranger));
        assertEq(volquorum.votesFor(taskId, round, "aggregate", "model"), 0);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev What makes a task one by votes, by its definition.
    function isByVotes(IVolquorum.TaskParams memory params) private pure returns (bool) {
        IVolquorum.Rule rule = params.rule;
        if (rule == IVolquorum.Rule.Bulyan || rule == IVolquorum.Rule.MinimumDiameter) return true;
        bool clips = rule == IVolquorum.Rule.ClippedMean || rule == IVolquorum.Rule.CenteredClipping;
        if (clips) return params.preSteps != 0;
        bool byRanks =
            rule == IVolquorum.Rule.Mean || rule == IVolquorum.Rule.Median || rule == IVolquorum.Rule.TrimmedMean;
        if (!byRanks && params.preSteps > 1) return true;
        return (!byRanks || params.preSteps > 1) && tableLeaves(params) > 65_536;
    }

    /// @dev Of a table over a whole cohort, padding included.
    function tableLeaves(IVolquorum.TaskParams memory params) private pure returns (uint256) {
        uint256 pairs = uint256(params.cohort) * (params.cohort + 1) / 2;
        uint256 chunks = (uint256(params.dimension) + params.chunkLength - 1) / params.chunkLength;
        (uint256 wide, uint256 high) = (1, 1);
        while (wide < chunks) wide *= 2;
        while (high < pairs) high *= 2;
        return wide * high;
    }

    /// @dev Of any rule, with one liar.
    function ruleParams(uint8 rule) private view returns (IVolquorum.TaskParams memory params) {
        params = tableParams();
        params.rule = IVolquorum.Rule(bound(rule, 0, 10));
        if (params.rule == IVolquorum.Rule.FLTrust) params.trusted = desk(0);
        bool clips = params.rule == IVolquorum.Rule.ClippedMean || params.rule == IVolquorum.Rule.CenteredClipping;
        params.clipNorm = clips ? 1 : 0;
        if (params.rule == IVolquorum.Rule.Bulyan) params.quorum = 7;
    }

    /// @dev Of few chunks, with room for every rule and every pre-step.
    function tableParams() private view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        setCohort(params, 7);
        (params.quorum, params.tolerance) = (5, 1);
    }

    function refused(IVolquorum.TaskParams memory params, bytes32 field, uint256 value) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.InvalidParameter.selector, field, value));
        volquorum.createTask(params);
    }

    function acceptedIf(bool fits, IVolquorum.TaskParams memory params, bytes32 field, uint256 value) private {
        if (fits) create(params);
        else refused(params, field, value);
    }

    function refusedToClose(bytes32 taskId, uint32 round, IVolquorum.Phase current) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.TaskNotOver.selector, taskId, round, current));
        volquorum.closeTask(taskId);
    }

    /// @dev Any parameters that a task may have, over their whole ranges.
    function anyParams(uint256 seed) private pure returns (IVolquorum.TaskParams memory params) {
        params.modelSpecHash = keccak256(abi.encode(seed, "modelSpecHash"));
        params.genesisModelRoot = keccak256(abi.encode(seed, "genesisModelRoot"));
        params.salt = keccak256(abi.encode(seed, "salt"));
        params.aggregator = address(uint160(draw(seed, "aggregator", 0, type(uint160).max)));
        params.dimension = uint32(draw(seed, "dimension", 1, type(uint32).max));
        params.chunkLength = uint16(draw(seed, "chunkLength", 1, 32) * 16);
        params.shift = uint8(draw(seed, "shift", 0, 31));
        setCohort(params, uint8(draw(seed, "cohort", 7, 64)));
        params.quorum = uint8(draw(seed, "quorum", 7, params.cohort));
        if (seed % 2 == 0) {
            params.seats = uint16(draw(seed, "seats", params.cohort + 1, type(uint16).max));
            params.drawn = uint8(draw(seed, "drawn", params.quorum, params.cohort));
            params.seedSource = address(uint160(draw(seed, "seedSource", 1, type(uint160).max)));
        }
        params.rule = IVolquorum.Rule(draw(seed, "rule", 0, 10));
        if (params.rule == IVolquorum.Rule.FLTrust) {
            params.trusted = address(uint160(draw(seed, "trusted", 1, type(uint160).max)));
        } else {
            params.preSteps = uint8(draw(seed, "preSteps", 0, 3));
        }
        (uint256 least, uint256 most) = ParamsLib.liars(params.rule, params.preSteps, params.quorum);
        params.tolerance = uint8(draw(seed, "tolerance", least, most));
        if (ParamsLib.clips(params.rule)) {
            params.clipNorm = uint64(draw(seed, "clipNorm", 1, type(uint64).max));
        }
        params.maxSquaredNorm = uint64(draw(seed, "maxSquaredNorm", 1, type(uint64).max));
        params.selectionSeconds = uint32(draw(seed, "selectionSeconds", 0, 365 days));
        params.commitSeconds = uint32(draw(seed, "commitSeconds", 1, 365 days));
        params.revealSeconds = uint32(draw(seed, "revealSeconds", 1, 365 days));
        params.availabilitySeconds = uint32(draw(seed, "availabilitySeconds", 0, 365 days));
        params.aggregateSeconds = uint32(draw(seed, "aggregateSeconds", 1, 365 days));
        params.aggregatorSeconds = uint32(draw(seed, "aggregatorSeconds", 0, params.aggregateSeconds));
        params.challengeSeconds = uint32(draw(seed, "challengeSeconds", 0, 365 days));
        params.rounds = uint32(draw(seed, "rounds", 1, type(uint32).max));
        params.closesAt = uint64(draw(seed, "closesAt", START + 1, START + 3650 days));
        params.stakeWei = uint96(draw(seed, "stakeWei", 0, type(uint96).max));
        params.bondWei = uint96(draw(seed, "bondWei", 0, type(uint96).max));
        params.flagWei = uint96(draw(seed, "flagWei", 0, type(uint96).max));
        params.rewardWei = uint96(draw(seed, "rewardWei", 0, type(uint96).max / params.rounds));
        drawMemberParams(seed, params);
    }

    /// @dev A function of its own because the stack has no room.
    function drawMemberParams(uint256 seed, IVolquorum.TaskParams memory params) private pure {
        params.sliceWei = uint96(draw(seed, "sliceWei", 0, params.stakeWei));
        params.publisherWei = uint96(draw(seed, "publisherWei", 0, type(uint96).max / params.rounds - params.rewardWei));
        params.minSamples = uint32(draw(seed, "minSamples", 0, type(uint32).max));
        params.maxMissed = uint8(draw(seed, "maxMissed", 0, type(uint8).max));
        // There is no such token, so it must not be asked for anything.
        if (seed % 3 == 0) {
            params.currency = address(uint160(draw(seed, "currency", 1, type(uint160).max)));
            (params.rewardWei, params.publisherWei) = (0, 0);
        }
        params.rewardRule = IVolquorum.RewardRule(draw(seed, "rewardRule", 0, 2));
        if (params.rewardRule == IVolquorum.RewardRule.Samples) {
            params.sampleCap = uint32(draw(seed, "sampleCap", 1, type(uint32).max));
        }
        if (params.rewardRule != IVolquorum.RewardRule.Scores) return;
        params.challengeSeconds = uint32(draw(seed, "challengeSeconds", 2, 365 days));
        params.scoreSeconds = uint32(draw(seed, "scoreSeconds", 2, params.challengeSeconds));
    }

    function draw(uint256 seed, bytes memory field, uint256 least, uint256 most) private pure returns (uint256) {
        return bound(uint256(keccak256(abi.encode(seed, field))), least, most);
    }
}
