// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Books} from "./Books.sol";
import {ChallengeFixture} from "./ChallengeFixture.sol";

/// @notice Tasks whose results are judged by votes: who votes, what votes decide, and what no proof decides there.
/// forge-config: default.fuzz.runs = 24
contract VotesTest is ChallengeFixture, Books {
    bytes32 private constant OTHER_AGGREGATE = keccak256("another aggregate");
    bytes32 private constant OTHER_MODEL = keccak256("another model");

    // --------------------------------------------------------------------------------------------------------- vote

    function testVoteIsCountedAndShown(bool published) public {
        play(3);
        if (published) publish(taskId, round, aggregator);
        for (uint8 index = 0; index < 3; ++index) {
            vm.expectEmit(address(volquorum));
            emit IVolquorum.Voted(taskId, round, desk(index), AGGREGATE_ROOT, MODEL_ROOT, index + 1);
            vote(taskId, round, desk(index));
            assertEq(votes(), index + 1);
            assertEq(volquorum.roundState(taskId, round).votes, published ? index + 1 : 0);
            assertEq(volquorum.seat(taskId, desk(index)).votedRound, round);
        }
        assertEq(volquorum.seat(taskId, desk(3)).votedRound, 0);
        if (!published) publish(taskId, round, aggregator);
        assertEq(volquorum.roundState(taskId, round).votes, 3);
        assertTrue(volquorum.taskState(taskId).byVotes);
    }

    function testVotesAreForBothRootsTogether() public {
        play(5);
        publish(taskId, round, aggregator);
        vote(taskId, round, desk(0));
        vote(taskId, round, desk(1));
        vote(taskId, round, desk(2), OTHER_AGGREGATE, MODEL_ROOT);
        vote(taskId, round, desk(3), AGGREGATE_ROOT, OTHER_MODEL);
        vote(taskId, round, desk(4), MODEL_ROOT, AGGREGATE_ROOT);
        assertEq(votes(), 2);
        assertEq(volquorum.roundState(taskId, round).votes, 2);
        assertEq(votesFor(OTHER_AGGREGATE, MODEL_ROOT), 1);
        assertEq(votesFor(AGGREGATE_ROOT, OTHER_MODEL), 1);
        assertEq(votesFor(MODEL_ROOT, AGGREGATE_ROOT), 1);
    }

    function testVotesAreCastInAggregateAndInChallenge(uint256 wait, bool published) public {
        play(3);
        if (published) publish(taskId, round, aggregator);
        vm.warp(bound(wait, START, block.timestamp + 400));
        IVolquorum.Phase current = phaseOf(taskId, round);
        IVolquorum.Result memory given = result();
        if (current != IVolquorum.Phase.Aggregate && current != IVolquorum.Phase.Challenge) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Aggregate);
        }
        vm.prank(desk(0));
        volquorum.vote(taskId, round, given);
    }

    function testVotesAreOfTheLatestRound(uint32 other) public {
        play(3);
        vm.assume(other != round);
        IVolquorum.Result memory given = result();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, other, round));
        volquorum.vote(taskId, other, given);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, other, round));
        volquorum.refuteOutvoted(taskId, other, OTHER_AGGREGATE, OTHER_MODEL);
    }

    function testVoteOfOtherUpdatesThanTheIncludedOnesIsRefused(bytes32 updatesHash, uint64 unavailable) public {
        play(3);
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        vm.assume(updatesHash != facts.updatesHash && unavailable != 0);
        refused(
            plain(AGGREGATE_ROOT, MODEL_ROOT, updatesHash, 0),
            abi.encodeWithSelector(IVolquorum.UpdatesMismatch.selector, taskId, round, updatesHash, facts.updatesHash)
        );
        refused(
            plain(AGGREGATE_ROOT, MODEL_ROOT, facts.updatesHash, unavailable),
            abi.encodeWithSelector(IVolquorum.ExcludedMismatch.selector, taskId, round, unavailable, 0)
        );
    }

    function testVoteNamesBothRootsAndNoTable(bytes32 root) public {
        play(3);
        vm.assume(root != 0);
        IVolquorum.Result memory given = result();
        given.aggregateRoot = 0;
        refused(given, abi.encodeWithSelector(IVolquorum.EmptyRoot.selector));
        given = result();
        given.modelRoot = 0;
        refused(given, abi.encodeWithSelector(IVolquorum.EmptyRoot.selector));
        given = result();
        given.tableRoot = root;
        refused(given, abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, root, 0));
        given = result();
        given.choiceHash = root;
        refused(given, abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, 0, root));
    }

    function testVoteIsCastOnceARound(bool another) public {
        play(3);
        vote(taskId, round, desk(0));
        vm.warp(block.timestamp + 1);
        publish(taskId, round, aggregator);
        IVolquorum.Result memory second = result();
        if (another) (second.aggregateRoot, second.modelRoot) = (OTHER_AGGREGATE, OTHER_MODEL);
        refused(second, abi.encodeWithSelector(IVolquorum.AlreadyVoted.selector, taskId, round, desk(0)));
        assertEq(votes(), 1);
    }

    function testEachRoundHasItsOwnVotes() public {
        play(3);
        for (uint256 index = 0; index < 3; ++index) {
            vote(taskId, round, desk(index));
        }
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 3);
        assertEq(votes(), 0);
        publish(taskId, round, aggregator);
        assertEq(volquorum.roundState(taskId, round).votes, 0);
        vote(taskId, round, desk(0));
        assertEq(votes(), 1);
        assertEq(volquorum.votesFor(taskId, 1, AGGREGATE_ROOT, MODEL_ROOT), 3);
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Void);
        assertPhase(phaseOf(taskId, 1), IVolquorum.Phase.Final);
    }

    function testEachTaskHasItsOwnVotes() public {
        IVolquorum.TaskParams memory params = votedParams();
        params.salt = "another";
        bytes32 other = create(params);
        joinAll(other, 3);
        play(3);
        vm.warp(START);
        openToAggregate(other, 3);
        vote(taskId, round, desk(0));
        assertEq(volquorum.votesFor(other, 1, AGGREGATE_ROOT, MODEL_ROOT), 0);
        assertEq(volquorum.seat(other, desk(0)).votedRound, 0);
        vote(other, 1, desk(0));
        assertEq(votes(), 1);
    }

    // ------------------------------------------------------------------------------------------------ who may vote

    function testWhoHasNoUpdateInTheRoundDoesNotVote() public {
        taskId = create(votedParams());
        joinAll(taskId, 5);
        round = openToReveal(taskId, 4);
        revealAll(taskId, round, 3);
        walkToAvailability(taskId, round);
        walkToAggregate(taskId, round);
        expectNotIncluded(stranger);
        // Took a seat and did not commit, or committed and did not reveal.
        expectNotIncluded(desk(4));
        expectNotIncluded(desk(3));
        vote(taskId, round, desk(2));
        assertEq(votes(), 1);
    }

    function testWhoServedInAnEarlierRoundOnlyDoesNotVote() public {
        play(5);
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 4);
        expectNotIncluded(desk(4));
    }

    /// @dev What a rule tolerates is a number of liars among the included, so that these alone are counted.
    function testWhoseUpdateIsExcludedDoesNotVote(uint256 index, bool reclaimed) public {
        toAvailability();
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        index = bound(index, 0, 4);
        flag(taskId, round, updates, index, stranger);
        walkToAggregate(taskId, round);
        if (reclaimed) volquorum.reclaimDeposit(taskId, desk(index));
        expectNotIncluded(desk(index));
        for (uint256 other = 0; other < 5; ++other) {
            if (other != index) vote(taskId, round, desk(other));
        }
        assertEq(votes(), 4);
    }

    function testWhoseUpdateWasExcludedInAnEarlierRoundVotesAgain() public {
        toAvailability();
        flag(taskId, round, updatesOf(taskId, round, 5), 1, stranger);
        walkToEnd(taskId, round);
        round = openToAvailability(taskId, 5);
        flag(taskId, round, updatesOf(taskId, round, 5), 0, stranger);
        walkToAggregate(taskId, round);
        vote(taskId, round, desk(1));
        expectNotIncluded(desk(0));
    }

    function testWhoseFlaggedUpdateWasPostedVotes() public {
        playClipped();
        flag(taskId, round, revealed, 0, stranger);
        flag(taskId, round, revealed, 2, stranger);
        volquorum.postUpdate(taskId, round, revealed[0].participant, partOf(packed(values[0], 2), 2), "");
        walkToAggregate(taskId, round);
        vote(taskId, round, revealed[0].participant);
        expectNotIncluded(revealed[2].participant);
    }

    function testWhoVotedServesUntilItsRoundEndsAndMayVoteAgainOnceItCameBack() public {
        play(5);
        vote(taskId, round, desk(0));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeatServing.selector, taskId, desk(0), round));
        leave(taskId, desk(0));
        walkToEnd(taskId, round);
        leave(taskId, desk(0));
        join(taskId, desk(0));
        round = openToAggregate(taskId, 5);
        vote(taskId, round, desk(0));
        assertEq(votes(), 1);
    }

    // ------------------------------------------------------------------------------------------- what votes decide

    function testResultIsFinalIfMoreVotedForItThanMayLie(uint8 tolerance, uint256 count, uint256 before) public {
        IVolquorum.TaskParams memory params = votedParams();
        (params.quorum, params.tolerance) = (5, uint8(bound(tolerance, 1, 2)));
        play(params, 5);
        count = bound(count, 0, 5);
        before = bound(before, 0, count);
        for (uint256 index = 0; index < before; ++index) {
            vote(taskId, round, desk(index));
        }
        publish(taskId, round, aggregator);
        vm.warp(volquorum.deadlines(taskId, round).challenge - 1);
        for (uint256 index = before; index < count; ++index) {
            vote(taskId, round, desk(index));
        }
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Challenge);
        vm.warp(block.timestamp + 1);
        bool enough = count > params.tolerance;
        assertPhase(phaseOf(taskId, round), enough ? IVolquorum.Phase.Final : IVolquorum.Phase.Void);
        if (enough) volquorum.finalise(taskId);
        else volquorum.voidRound(taskId);
        assertEq(volquorum.taskState(taskId).modelRoot, enough ? MODEL_ROOT : params.genesisModelRoot);
        assertEq(creditOf(aggregator), enough ? 2.05 ether : 2 ether);
    }

    function testVotesForOtherRootsDoNotMakeAResultFinal() public {
        play(5);
        publish(taskId, round, aggregator);
        vote(taskId, round, desk(0));
        vote(taskId, round, desk(1), AGGREGATE_ROOT, OTHER_MODEL);
        vote(taskId, round, desk(2), OTHER_AGGREGATE, MODEL_ROOT);
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Void);
    }

    function testWithoutChallengeTimeVotesComeFirst(bool voted) public {
        IVolquorum.TaskParams memory params = votedParams();
        params.challengeSeconds = 0;
        play(params, 3);
        for (uint256 index = 0; voted && index < 2; ++index) {
            vote(taskId, round, desk(index));
        }
        publish(taskId, round, aggregator);
        assertPhase(phaseOf(taskId, round), voted ? IVolquorum.Phase.Final : IVolquorum.Phase.Void);
    }

    function testVotesDecideATaskWhoseTableWouldBeTooHigh(bool voted) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.preSteps, params.dimension) = (2, 1 << 24);
        play(params, 3);
        assertTrue(volquorum.taskState(taskId).byVotes);
        for (uint256 index = 0; voted && index < 2; ++index) {
            vote(taskId, round, desk(index));
        }
        publish(taskId, round, aggregator);
        assertEq(volquorum.roundState(taskId, round).evidenceHash, 0);
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), voted ? IVolquorum.Phase.Final : IVolquorum.Phase.Void);
    }

    /// @dev Liars vote and publish as they like, in any order; the honest vote for what is right, some of them.
    function testTheToleratedLiarsNeitherFinaliseALieNorCostAnHonestPublisherHisBond(uint256 seed) public {
        IVolquorum.TaskParams memory params = votedParams();
        (params.quorum, params.tolerance, params.aggregator) = (5, 2, address(0));
        play(params, 5);
        for (uint256 step = 0; step < 24; ++step) {
            attempt(uint256(keccak256(abi.encode(seed, step))));
        }
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        assertTrue(facts.publisher == aggregator || creditOf(aggregator) == 0);
        walkToEnd(taskId, round);
        bool isFinal = phaseOf(taskId, round) == IVolquorum.Phase.Final;
        if (isFinal) assertEq(facts.modelRoot, MODEL_ROOT, "a lie is final");
        open(taskId);
        if (facts.publisher == aggregator) assertEq(creditOf(aggregator), isFinal ? 2.05 ether : 2 ether, "a bond");
        assertEq(volquorum.taskState(taskId).modelRoot, isFinal ? MODEL_ROOT : params.genesisModelRoot);
    }

    /// @dev Two of five lie first, and whoever publishes with them; three are honest.
    function testTheHonestAloneBringARightResultThrough(uint256 lies) public {
        IVolquorum.TaskParams memory params = votedParams();
        (params.quorum, params.tolerance, params.aggregator) = (5, 2, address(0));
        play(params, 5);
        vote(taskId, round, desk(0), OTHER_AGGREGATE, OTHER_MODEL);
        vote(taskId, round, desk(1), OTHER_AGGREGATE, OTHER_MODEL);
        for (uint256 index = 2; index < 5; ++index) {
            vote(taskId, round, desk(index));
        }
        lies = bound(lies, 0, 7);
        for (uint256 count = 0; count < lies; ++count) {
            publish(taskId, round, stranger, OTHER_AGGREGATE, OTHER_MODEL);
            refuteOutvoted();
        }
        publish(taskId, round, aggregator);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotOutvoted.selector, taskId, round, 2, 4));
        volquorum.refuteOutvoted(taskId, round, OTHER_AGGREGATE, OTHER_MODEL);
        walkToEnd(taskId, round);
        volquorum.finalise(taskId);
        assertEq(volquorum.taskState(taskId).modelRoot, MODEL_ROOT);
        assertEq(volquorum.burnedOf(ETH), lies * 2 ether);
    }

    /// @dev However many lie, and though nobody refutes in time.
    function testResultThatAnotherOneHasOutvotedIsNeverFinal(uint8 tolerance, uint256 own, uint256 others, bool first)
        public
    {
        playForEight(tolerance);
        own = bound(own, 0, 8);
        others = bound(others, 0, 8 - own);
        if (!first) publish(taskId, round, aggregator);
        for (uint256 index = 0; index < own + others; ++index) {
            if (index < own) vote(taskId, round, desk(index));
            else vote(taskId, round, desk(index), OTHER_AGGREGATE, OTHER_MODEL);
        }
        if (first) publish(taskId, round, aggregator);
        uint256 most = own > others ? own : others;
        assertEq(volquorum.roundState(taskId, round).mostVotes, most);
        walkToEnd(taskId, round);
        bool isFinal = own > volquorum.taskParams(taskId).tolerance && own == most;
        assertPhase(phaseOf(taskId, round), isFinal ? IVolquorum.Phase.Final : IVolquorum.Phase.Void);
        open(taskId);
        assertEq(creditOf(aggregator), isFinal ? 2.05 ether : 2 ether, "the bond");
    }

    /// @dev Half of each pair, so that three results have votes.
    function testMostVotesAreThoseOfWhicheverResultHasMost(uint256 seed) public {
        playForEight(1);
        bytes32[3] memory models = [MODEL_ROOT, OTHER_MODEL, keccak256("a third model")];
        uint256[3] memory counts;
        uint256 most = 0;
        for (uint256 index = 0; index < 8; ++index) {
            uint256 which = (seed >> 8 * index) % 3;
            vote(taskId, round, desk(index), AGGREGATE_ROOT, models[which]);
            if (++counts[which] > most) most = counts[which];
            assertEq(volquorum.roundState(taskId, round).mostVotes, most);
        }
    }

    /// @dev What was refuted because nobody can have its bytes still outvotes what follows it.
    function testMostVotesOutliveARefutation() public {
        playForEight(2);
        for (uint256 index = 0; index < 7; ++index) {
            if (index < 4) vote(taskId, round, desk(index), OTHER_AGGREGATE, OTHER_MODEL);
            else vote(taskId, round, desk(index));
        }
        publish(taskId, round, aggregator, OTHER_AGGREGATE, OTHER_MODEL);
        flagResult(taskId, round, IVolquorum.Published.Model, stranger);
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        volquorum.refuteUnavailable(taskId, round, IVolquorum.Published.Model);
        assertEq(volquorum.roundState(taskId, round).mostVotes, 4);
        publish(taskId, round, aggregator);
        uint256 snapshot = vm.snapshotState();
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Void);
        vm.revertToState(snapshot);
        vote(taskId, round, desk(7));
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Final);
    }

    // ------------------------------------------------------------------------------------- void for want of votes

    function testResultThatIsVoidForWantOfVotesCostsNobodyAnything(uint8 way, uint256 answered) public {
        playClipped();
        walkToAggregate(taskId, round);
        makeResult();
        publishResult(aggregator);
        flagResult(taskId, round, IVolquorum.Published.Aggregate, stranger);
        flagResult(taskId, round, IVolquorum.Published.Model, desk(0));
        if (answered % 2 == 1) {
            volquorum.postResult(taskId, round, IVolquorum.Published.Model, partOf(model, 4), "");
        }
        walkToEnd(taskId, round);
        uint256 fundsWei = volquorum.taskState(taskId).fundsWei;
        settle(way % 3);

        assertEq(creditOf(aggregator), 2 ether + 1 + (answered % 2 == 1 ? 0.01 ether : 0), "bond");
        assertEq(creditOf(stranger), 0.01 ether, "deposit");
        assertEq(creditOf(desk(0)), answered % 2 == 1 ? 0 : 0.01 ether, "deposit");
        assertEq(volquorum.burnedOf(ETH), 0);
        IVolquorum.TaskState memory state = volquorum.taskState(taskId);
        assertEq(way % 3 == 2 ? creditOf(sponsor) : state.fundsWei, fundsWei, "funds");
        assertEq(state.modelRoot, volquorum.taskParams(taskId).genesisModelRoot);
        expectPaidOnce();
    }

    function testRoundThatIsVoidForWantOfVotesIsAnnouncedAndHasNoReward() public {
        play(3);
        publish(taskId, round, aggregator);
        vote(taskId, round, desk(0));
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 3);
        walkToEnd(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToDistribute.selector, taskId, round));
        volquorum.distribute(taskId, round, updates, "");
        expectWrongPhase(taskId, round, IVolquorum.Phase.Void, IVolquorum.Phase.Final);
        volquorum.finalise(taskId);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RoundVoided(taskId, round, 3);
        volquorum.voidRound(taskId);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToDistribute.selector, taskId, round));
        volquorum.distribute(taskId, round, updates, "");
        round = openToAggregate(taskId, 3);
        assertEq(volquorum.taskState(taskId).fundsWei, 3 ether);
    }

    function testNoWeiIsLostInATasksWholeLifeByVotes(uint256 seed) public {
        IVolquorum.TaskParams memory params = votedParams();
        params.rounds = 5;
        live(create(params), seed);
    }

    // ---------------------------------------------------------------------------------------------- refuteOutvoted

    function testOutvotedResultIsRefutedAndItsWholeBondBurned(address anybody) public {
        vm.assume(anybody != address(volquorum));
        play(3);
        publish(taskId, round, aggregator, OTHER_AGGREGATE, OTHER_MODEL);
        flagResult(taskId, round, IVolquorum.Published.Model, stranger);
        vote(taskId, round, desk(0));
        vote(taskId, round, desk(1));
        vote(taskId, round, desk(2), OTHER_AGGREGATE, OTHER_MODEL);
        vm.warp(block.timestamp + 5);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultRefuted(taskId, round, aggregator, anybody, IVolquorum.Fault.Outvoted, 0, 0, 2 ether);
        vm.prank(anybody);
        volquorum.refuteOutvoted(taskId, round, AGGREGATE_ROOT, MODEL_ROOT);

        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        assertEq(abi.encode(facts.publishedAt, facts.publisher, facts.bondWei), abi.encode(0, address(0), 0));
        assertEq(abi.encode(facts.aggregateRoot, facts.modelRoot, facts.votes), abi.encode(0, 0, 0));
        assertEq(abi.encode(facts.restartedAt, facts.refutations), abi.encode(block.timestamp, 1));
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        assertEq(volquorum.burnedOf(ETH), 2 ether);
        assertEq(creditOf(stranger), 0.01 ether);
        if (anybody != stranger) assertEq(creditOf(anybody), 0);
    }

    function testVotesOutliveARefutation(bool byAFlag) public {
        play(3);
        publish(taskId, round, aggregator, OTHER_AGGREGATE, OTHER_MODEL);
        vote(taskId, round, desk(0));
        vote(taskId, round, desk(1));
        vote(taskId, round, desk(2), OTHER_AGGREGATE, OTHER_MODEL);
        if (byAFlag) {
            flagResult(taskId, round, IVolquorum.Published.Model, stranger);
            vm.warp(volquorum.deadlines(taskId, round).postResult);
            volquorum.refuteUnavailable(taskId, round, IVolquorum.Published.Model);
        } else {
            refuteOutvoted();
        }
        refused(result(), abi.encodeWithSelector(IVolquorum.AlreadyVoted.selector, taskId, round, desk(0)));
        publish(taskId, round, stranger);
        assertEq(volquorum.roundState(taskId, round).votes, 2);
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Final);
    }

    /// @dev With more liars than are tolerated, most votes still decide.
    function testResultIsOutvotedByMoreThanMayLieAndMoreThanItHasOnly(uint8 tolerance, uint256 others, uint256 own)
        public
    {
        playForEight(tolerance);
        tolerance = volquorum.taskParams(taskId).tolerance;
        own = bound(own, 0, 8);
        others = bound(others, 0, 8 - own);
        publish(taskId, round, aggregator);
        for (uint256 index = 0; index < own + others; ++index) {
            if (index < own) vote(taskId, round, desk(index));
            else vote(taskId, round, desk(index), OTHER_AGGREGATE, OTHER_MODEL);
        }
        uint256 required = 1 + (own > tolerance ? own : tolerance);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotOutvoted.selector, taskId, round, own, required));
        volquorum.refuteOutvoted(taskId, round, AGGREGATE_ROOT, MODEL_ROOT);
        bool outvoted = others >= required;
        if (!outvoted) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotOutvoted.selector, taskId, round, others, required));
        }
        volquorum.refuteOutvoted(taskId, round, OTHER_AGGREGATE, OTHER_MODEL);
        assertEq(volquorum.burnedOf(ETH), outvoted ? 2 ether : 0);
    }

    function testResultIsOutvotedInChallengeOnly(uint256 wait, bool published) public {
        play(3);
        for (uint256 index = 0; index < 3; ++index) {
            vote(taskId, round, desk(index), OTHER_AGGREGATE, OTHER_MODEL);
        }
        if (published) publish(taskId, round, aggregator);
        vm.warp(bound(wait, START, block.timestamp + 400));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Challenge) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Challenge);
        }
        volquorum.refuteOutvoted(taskId, round, OTHER_AGGREGATE, OTHER_MODEL);
    }

    /// @dev So that no transaction alone can use up what a round bears of lies.
    function testNothingIsPublishedInTheBlockOfARefutation(uint256 wait, bool anybody) public {
        play(3);
        vote(taskId, round, desk(0));
        vote(taskId, round, desk(1));
        publish(taskId, round, aggregator, OTHER_AGGREGATE, OTHER_MODEL);
        vm.warp(block.timestamp + bound(wait, 0, 69));
        refuteOutvoted();
        IVolquorum.Result memory given = result();
        address account = anybody ? stranger : aggregator;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.JustRefuted.selector, taskId, round));
        vm.prank(account);
        volquorum.publish{value: 2 ether}(taskId, round, given);
        vm.warp(block.timestamp + 1);
        vm.prank(account);
        volquorum.publish{value: 2 ether}(taskId, round, given);
        assertEq(volquorum.roundState(taskId, round).publishedAt, block.timestamp);
    }

    function testLastOfEightOutvotedLiesEndsTheRound() public {
        play(3);
        vote(taskId, round, desk(0));
        vote(taskId, round, desk(1));
        for (uint256 count = 0; count < 8; ++count) {
            assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
            publish(taskId, round, aggregator, OTHER_AGGREGATE, OTHER_MODEL);
            refuteOutvoted();
        }
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Void);
        volquorum.voidRound(taskId);
        assertEq(volquorum.burnedOf(ETH), 16 ether);
        assertEq(creditOf(aggregator), 0);
    }

    // ------------------------------------------------------------------------------------------ proofs, and flags

    /// @dev The same openings prove it in a task of the same rule without clipping before it.
    function testAggregateIsNotContestedByAProof(bool byVotes) public {
        IVolquorum.TaskParams memory params = challengeParams(IVolquorum.Rule.ClippedMean);
        params.preSteps = byVotes ? 1 : 0;
        playToAvailability(params, 5, 1);
        walkToAggregate(taskId, round);
        makeResult();
        aggregate[0] ^= 0x01;
        publishResult(aggregator);
        bytes memory openings = aggregateOpenings(0);
        address[] memory included = participants();
        if (byVotes) vm.expectRevert(abi.encodeWithSelector(IVolquorum.ByVotes.selector, taskId));
        volquorum.challengeAggregate(taskId, round, included, new IVolquorum.Update[](0), 0, openings, "", 0);
    }

    function testThereIsNoTableToContest(uint8 kind) public {
        IVolquorum.TaskParams memory params = votedParams();
        kind %= 6;
        if (kind == 1) (params.rule, params.preSteps) = (IVolquorum.Rule.Median, 2);
        if (kind == 2) (params.rule, params.quorum) = (IVolquorum.Rule.MultiKrum, 5);
        if (kind == 3) (params.rule, params.quorum) = (IVolquorum.Rule.Krum, 5);
        if (kind == 4) params.rule = IVolquorum.Rule.GeometricMedian;
        if (kind == 5) (params.rule, params.trusted) = (IVolquorum.Rule.FLTrust, desk(0));
        if (kind != 0) params.dimension = 1 << 24;
        play(params, 5);
        IVolquorum.Result memory given = result();
        (given.tableRoot, given.choiceHash) = ("table", "choice");
        vm.expectRevert(
            abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, bytes32("table"), bytes32("choice"))
        );
        vm.prank(aggregator);
        volquorum.publish{value: 2 ether}(taskId, round, given);
        publish(taskId, round, aggregator);
        bytes memory byVotes = abi.encodeWithSelector(IVolquorum.ByVotes.selector, taskId);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        vm.expectRevert(byVotes);
        volquorum.flagTable{value: 0.01 ether}(taskId, round, 0, 0);
        vm.expectRevert(byVotes);
        volquorum.challengeProduct(taskId, round, updates, 0, "", 0, 0);
        vm.expectRevert(byVotes);
        volquorum.challengeChoice(taskId, round, new IVolquorum.Update[](0), "", 0, 0);
    }

    function testModelIsContestedByAProofWhateverWasVoted(bool honest, uint256 count) public {
        playClipped();
        walkToAggregate(taskId, round);
        makeResult();
        if (!honest) model[3] ^= 0x01;
        publishResult(aggregator);
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        count = bound(count, 0, 5);
        for (uint256 index = 0; index < count; ++index) {
            vote(taskId, round, desk(index), facts.aggregateRoot, facts.modelRoot);
        }
        sealFor(stranger, 1, 0, facts.modelRoot);
        bytes memory openings = modelOpenings(0);
        if (honest) vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, 0));
        vm.prank(stranger);
        volquorum.challengeModel(taskId, round, 0, openings, SEAL_SALT);
        assertEq(creditOf(stranger), honest ? 0 : 1 ether);
        assertEq(volquorum.roundState(taskId, round).votes, honest ? count : 0);
    }

    function testTaskThatIsNotByVotesHasNone(uint8 kind) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        kind %= 7;
        if (kind == 1) params.preSteps = 3;
        if (kind == 2) (params.rule, params.quorum) = (IVolquorum.Rule.MultiKrum, 5);
        if (kind == 3) (params.rule, params.quorum) = (IVolquorum.Rule.Krum, 5);
        if (kind == 4) params.rule = IVolquorum.Rule.GeometricMedian;
        if (kind == 5) (params.rule, params.clipNorm) = (IVolquorum.Rule.CenteredClipping, 1);
        if (kind == 6) (params.rule, params.trusted) = (IVolquorum.Rule.FLTrust, desk(0));
        play(params, 5);
        bytes memory notByVotes = abi.encodeWithSelector(IVolquorum.NotByVotes.selector, taskId);
        IVolquorum.Result memory given = result();
        refused(given, notByVotes);
        if (kind != 0 && kind != 5) (given.tableRoot, given.choiceHash) = ("table", "choice");
        publish(taskId, round, aggregator, given);
        vm.expectRevert(notByVotes);
        volquorum.refuteOutvoted(taskId, round, OTHER_AGGREGATE, OTHER_MODEL);
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Final);
        assertFalse(volquorum.taskState(taskId).byVotes);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev A round by votes in Aggregate, with the updates of so many desks.
    function play(uint256 count) private {
        play(votedParams(), count);
    }

    function play(IVolquorum.TaskParams memory params, uint256 count) private {
        taskId = create(params);
        joinAll(taskId, count);
        round = openToAggregate(taskId, count);
    }

    function playForEight(uint8 tolerance) private {
        IVolquorum.TaskParams memory params = votedParams();
        setCohort(params, 8);
        (params.quorum, params.tolerance) = (8, uint8(bound(tolerance, 1, 3)));
        play(params, 8);
    }

    function toAvailability() private {
        taskId = create(votedParams());
        joinAll(taskId, 5);
        round = openToAvailability(taskId, 5);
    }

    /// @dev By votes because the contract does not clip twice; with vectors, in Availability.
    function playClipped() private {
        IVolquorum.TaskParams memory params = challengeParams(IVolquorum.Rule.ClippedMean);
        params.preSteps = 1;
        playToAvailability(params, 5, 1);
        assertTrue(volquorum.taskState(taskId).byVotes);
    }

    /// @dev The first two desks lie, and the stranger publishes for them.
    function attempt(uint256 drawn) private {
        uint256 kind = drawn % 8;
        address account = kind == 5 ? aggregator : kind == 6 ? stranger : desk((drawn >> 8) % 5);
        bool lies = kind == 6 || (kind < 5 && account != desk(2) && account != desk(3) && account != desk(4));
        (bytes32 aggregateRoot, bytes32 modelRoot) = (AGGREGATE_ROOT, MODEL_ROOT);
        if (lies && drawn >> 16 & 3 != 0) (aggregateRoot, modelRoot) = (OTHER_AGGREGATE, OTHER_MODEL);
        IVolquorum.Result memory given = result();
        (given.aggregateRoot, given.modelRoot) = (aggregateRoot, modelRoot);
        bytes memory data = abi.encodeCall(IVolquorum.vote, (taskId, round, given));
        if (kind == 5 || kind == 6) data = abi.encodeCall(IVolquorum.publish, (taskId, round, given));
        if (kind == 7) {
            if (drawn >> 16 & 1 == 1) (aggregateRoot, modelRoot) = (OTHER_AGGREGATE, OTHER_MODEL);
            data = abi.encodeCall(IVolquorum.refuteOutvoted, (taskId, round, aggregateRoot, modelRoot));
        }
        vm.prank(account);
        (bool done,) = address(volquorum).call{value: kind == 5 || kind == 6 ? 2 ether : 0}(data);
        done; // whatever is refused changes nothing
        vm.warp(block.timestamp + (drawn >> 32) % 5);
    }

    function settle(uint256 way) private {
        if (way == 0) volquorum.voidRound(taskId);
        if (way == 1) open(taskId);
        if (way != 2) return;
        vm.prank(sponsor);
        volquorum.endTask(taskId);
        volquorum.closeTask(taskId);
    }

    /// @dev That nothing that settles a round pays its publisher again.
    function expectPaidOnce() private {
        uint256 paidWei = creditOf(aggregator);
        address[2] memory anybody = [aggregator, stranger];
        bytes[4] memory calls = [
            abi.encodeCall(IVolquorum.voidRound, (taskId)),
            abi.encodeCall(IVolquorum.finalise, (taskId)),
            abi.encodeCall(IVolquorum.openRound, (taskId)),
            abi.encodeCall(IVolquorum.closeTask, (taskId))
        ];
        for (uint256 index = 0; index < 8; ++index) {
            vm.prank(anybody[index % 2]);
            (bool done,) = address(volquorum).call(calls[index / 2]);
            done; // whether it is refused or goes on with the task
        }
        assertEq(creditOf(aggregator), paidWei, "paid twice");
    }

    function refuteOutvoted() private {
        volquorum.refuteOutvoted(taskId, round, AGGREGATE_ROOT, MODEL_ROOT);
    }

    /// @dev What `vote` votes for, of the round's updates.
    function result() private view returns (IVolquorum.Result memory) {
        return resultFor(taskId, round, AGGREGATE_ROOT, MODEL_ROOT);
    }

    function votes() private view returns (uint256) {
        return votesFor(AGGREGATE_ROOT, MODEL_ROOT);
    }

    function votesFor(bytes32 aggregateRoot, bytes32 modelRoot) private view returns (uint256) {
        return volquorum.votesFor(taskId, round, aggregateRoot, modelRoot);
    }

    function expectNotIncluded(address account) private {
        IVolquorum.Result memory given = result();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotIncluded.selector, taskId, round, account));
        vm.prank(account);
        volquorum.vote(taskId, round, given);
    }

    /// @dev A vote of the first desk's.
    function refused(IVolquorum.Result memory given, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(desk(0));
        volquorum.vote(taskId, round, given);
    }
}
