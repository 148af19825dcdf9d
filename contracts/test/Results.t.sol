// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChallengeFixture} from "./ChallengeFixture.sol";

/// @notice Flags on published results, what answers them, and what refutes a result that nobody can fetch.
/// forge-config: default.fuzz.runs = 64
contract ResultsTest is ChallengeFixture {
    address private flagger = makeAddr("flagger");

    function setUp() public override {
        super.setUp();
        playToAggregate(IVolquorum.Rule.TrimmedMean, 5, 1);
        publishResult(aggregator);
    }

    // -------------------------------------------------------------------------------------------------- flagResult

    function testFlagOfAResultIsStored(bool inModel) public {
        IVolquorum.Published what = kind(inModel);
        bytes32 root = rootOf(inModel);
        vm.deal(flagger, 0.01 ether);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultFlagged(taskId, round, flagger, what, root);
        vm.prank(flagger);
        volquorum.flagResult{value: 0.01 ether}(taskId, round, what);
        assertEq(volquorum.roundState(taskId, round).resultFlags, inModel ? 2 : 1);
        assertEq(
            abi.encode(volquorum.resultFlag(taskId, what)),
            abi.encode(IVolquorum.Flag(round, uint8(what), 0, flagger, root))
        );
    }

    function testResultsAreFlaggedInTheFirstThirdOfChallengeOnly(uint256 wait, bool inModel) public {
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        assertEq(ends.flagResult, block.timestamp + 23);
        vm.warp(bound(wait, ends.availability, ends.challenge + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Challenge) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Challenge);
        } else if (block.timestamp >= ends.flagResult) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.FlaggingOver.selector, taskId, round, ends.flagResult));
        }
        volquorum.flagResult{value: 0.01 ether}(taskId, round, kind(inModel));
    }

    function testBeforeItIsPublishedNothingIsFlagged() public {
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 5);
        expectWrongPhase(taskId, round, IVolquorum.Phase.Aggregate, IVolquorum.Phase.Challenge);
        volquorum.flagResult{value: 0.01 ether}(taskId, round, IVolquorum.Published.Model);
    }

    function testDepositOnAResultMustBePaidExactly(uint96 sentWei) public {
        vm.assume(sentWei != 0.01 ether);
        vm.deal(flagger, sentWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, 0.01 ether));
        vm.prank(flagger);
        volquorum.flagResult{value: sentWei}(taskId, round, IVolquorum.Published.Model);
    }

    function testEachVectorOfAResultIsFlaggedOnce(bool inModel) public {
        flagResult(taskId, round, kind(inModel), flagger);
        refusedToFlag(inModel);
        post(inModel);
        refusedToFlag(inModel);
        flagResult(taskId, round, kind(!inModel), flagger);
        assertEq(volquorum.roundState(taskId, round).resultFlags, 3);
    }

    // -------------------------------------------------------------------------------------------------- postResult

    function testAnybodyPostsAndThePublisherEarnsTheDeposit(bool inModel, address poster) public {
        flagResult(taskId, round, kind(inModel), flagger);
        bytes memory part = partOfResult(inModel);
        bytes32 root = rootOf(inModel);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.BytesPosted(root, taskId, 0, part);
        vm.prank(poster);
        volquorum.postResult(taskId, round, kind(inModel), part, "");
        assertEq(creditOf(aggregator), 0.01 ether);
        assertEq(volquorum.resultFlag(taskId, kind(inModel)).flagger, address(0));
        assertEq(volquorum.resultFlag(taskId, kind(inModel)).posted, 1);
        refusedToPost(inModel);
    }

    function testResultsArePostedInTheFirstTwoThirdsOfChallengeOnly(uint256 wait, bool inModel) public {
        flagResult(taskId, round, kind(inModel), flagger);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        assertEq(ends.postResult, block.timestamp + 46);
        vm.warp(bound(wait, block.timestamp, ends.challenge + 100));
        if (block.timestamp >= ends.challenge) {
            expectWrongPhase(taskId, round, IVolquorum.Phase.Final, IVolquorum.Phase.Challenge);
        } else if (block.timestamp >= ends.postResult) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.PostingOver.selector, taskId, round, ends.postResult));
        }
        post(inModel);
    }

    function testOnlyAFlaggedResultIsPosted(bool inModel) public {
        refusedToPost(inModel);
        flagResult(taskId, round, kind(!inModel), flagger);
        refusedToPost(inModel);
    }

    function testFlagOfAnEarlierResultIsNotAnswered(bool inModel) public {
        flagResult(taskId, round, kind(inModel), flagger);
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 5);
        publish(taskId, round, aggregator);
        refusedToPost(inModel);
    }

    function testOtherBytesOfAResultAreRefused(bool inModel, uint256 place, bytes1 change) public {
        vm.assume(change != 0);
        flagResult(taskId, round, kind(inModel), flagger);
        bytes memory part = partOfResult(inModel);
        part[place % part.length] ^= change;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadPart.selector, 0));
        volquorum.postResult(taskId, round, kind(inModel), part, "");
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, part.length + 1, part.length));
        volquorum.postResult(taskId, round, kind(inModel), bytes.concat(part, "0"), "");
    }

    // ------------------------------------------------------------------------------------------- refuteUnavailable

    function testUnavailableResultIsRefutedForItsFlagger(bool inModel, address caller) public {
        flagResult(taskId, round, kind(inModel), flagger);
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        IVolquorum.Fault fault = inModel ? IVolquorum.Fault.ModelUnavailable : IVolquorum.Fault.AggregateUnavailable;
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultRefuted(taskId, round, aggregator, flagger, fault, 0, 1 ether, 1 ether + 1);
        vm.prank(caller);
        volquorum.refuteUnavailable(taskId, round, kind(inModel));

        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        assertEq(facts.restartedAt, block.timestamp);
        assertEq(facts.refutations, 1);
        assertEq(facts.resultFlags, 0);
        assertEq(facts.publisher, address(0));
        assertEq(creditOf(flagger), 1.01 ether);
        assertEq(volquorum.burnedOf(ETH), 1 ether + 1);
        assertEq(volquorum.resultFlag(taskId, kind(inModel)).flagger, address(0));
    }

    function testResultIsRefutedOnlyInTheLastThirdOfChallenge(bool inModel, uint256 wait) public {
        flagResult(taskId, round, kind(inModel), flagger);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, block.timestamp, ends.challenge + 100));
        if (block.timestamp >= ends.challenge) {
            expectWrongPhase(taskId, round, IVolquorum.Phase.Final, IVolquorum.Phase.Challenge);
        } else if (block.timestamp < ends.postResult) {
            expectNotUnavailable(inModel);
        }
        volquorum.refuteUnavailable(taskId, round, kind(inModel));
    }

    function testHonestPublisherWhoPostsIsNotRefuted(bool inModel, uint256 wait) public {
        flagResult(taskId, round, kind(inModel), flagger);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, block.timestamp, ends.postResult - 1));
        post(inModel);
        vm.warp(bound(wait, ends.postResult, ends.challenge - 1));
        expectNotUnavailable(inModel);
        volquorum.refuteUnavailable(taskId, round, kind(inModel));
        expectNotUnavailable(!inModel);
        volquorum.refuteUnavailable(taskId, round, kind(!inModel));
        vm.warp(ends.challenge);
        volquorum.finalise(taskId);
        assertEq(creditOf(aggregator), 2.01 ether + 1);
    }

    function testRefutationReturnsTheOtherDeposit(bool inModel, bool posted) public {
        flagResult(taskId, round, kind(inModel), flagger);
        flagResult(taskId, round, kind(!inModel), stranger);
        if (posted) post(!inModel);
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        volquorum.refuteUnavailable(taskId, round, kind(inModel));
        assertEq(creditOf(flagger), 1.01 ether);
        assertEq(creditOf(stranger), posted ? 0 : 0.01 ether);
        assertEq(creditOf(aggregator), posted ? 0.01 ether : 0);
        assertEq(address(volquorum).balance, creditsWei() + volquorum.burnedOf(ETH) + 5 ether + 2.8 ether);
    }

    function testProofReturnsTheDeposits() public {
        walkToEnd(taskId, round);
        playToAggregate(IVolquorum.Rule.Mean, 5, 2);
        model[0] ^= 0x01;
        publishResult(aggregator);
        flagResult(taskId, round, IVolquorum.Published.Aggregate, flagger);
        flagResult(taskId, round, IVolquorum.Published.Model, stranger);
        volquorum.challengeModel(taskId, round, 0, modelOpenings(0), 0);
        assertEq(creditOf(flagger), 0.01 ether);
        assertEq(creditOf(stranger), 0.01 ether);
        assertEq(volquorum.roundState(taskId, round).resultFlags, 0);
    }

    function testLaterPublicationStartsWithoutFlags(bool inModel) public {
        flagResult(taskId, round, kind(inModel), flagger);
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        volquorum.refuteUnavailable(taskId, round, kind(inModel));
        publishResult(stranger);
        refusedToPost(inModel);
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        expectNotUnavailable(inModel);
        volquorum.refuteUnavailable(taskId, round, kind(inModel));
    }

    function testLaterPublicationIsFlaggedAnew(bool inModel) public {
        flagResult(taskId, round, kind(inModel), flagger);
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        volquorum.refuteUnavailable(taskId, round, kind(inModel));
        publishResult(stranger);
        flagResult(taskId, round, kind(inModel), aggregator);
        post(inModel);
        assertEq(creditOf(stranger), 0.01 ether);
    }

    function testResultOfALaterRoundIsPostedFromTheFirstPartOn(bool inModel) public {
        flagResult(taskId, round, kind(inModel), flagger);
        post(inModel);
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 5);
        publishResult(aggregator);
        flagResult(taskId, round, kind(inModel), flagger);
        post(inModel);
        assertEq(creditOf(aggregator), 2.02 ether + 1);
    }

    // ------------------------------------------------------------------------------------------------- settlement

    function testResultThatNobodyRefutedIsFinalAndReturnsItsDeposits(bool posted) public {
        flagResult(taskId, round, IVolquorum.Published.Aggregate, flagger);
        flagResult(taskId, round, IVolquorum.Published.Model, stranger);
        if (posted) post(true);
        walkToEnd(taskId, round);
        volquorum.finalise(taskId);
        assertEq(creditOf(flagger), 0.01 ether);
        assertEq(creditOf(stranger), posted ? 0 : 0.01 ether);
        assertEq(creditOf(aggregator), posted ? 2.01 ether + 1 : 2 ether + 1);
        assertEq(volquorum.resultFlag(taskId, IVolquorum.Published.Aggregate).flagger, address(0));
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function kind(bool inModel) private pure returns (IVolquorum.Published) {
        return inModel ? IVolquorum.Published.Model : IVolquorum.Published.Aggregate;
    }

    function rootOf(bool inModel) private view returns (bytes32) {
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        return inModel ? facts.modelRoot : facts.aggregateRoot;
    }

    function partOfResult(bool inModel) private view returns (bytes memory) {
        return inModel ? partOf(model, 4) : partOf(aggregate, 2);
    }

    function post(bool inModel) private {
        volquorum.postResult(taskId, round, kind(inModel), partOfResult(inModel), "");
    }

    function creditsWei() private view returns (uint256) {
        return creditOf(flagger) + creditOf(stranger) + creditOf(aggregator);
    }

    function refusedToFlag(bool inModel) private {
        bytes32 root = rootOf(inModel);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyFlagged.selector, taskId, round, root));
        volquorum.flagResult{value: 0.01 ether}(taskId, round, kind(inModel));
    }

    function refusedToPost(bool inModel) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotFlagged.selector, taskId, round));
        post(inModel);
    }

    function expectNotUnavailable(bool inModel) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotUnavailable.selector, taskId, round, kind(inModel)));
    }
}
