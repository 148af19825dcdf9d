// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LibSort} from "solady/utils/LibSort.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ScoreLib} from "../src/libraries/ScoreLib.sol";
import {Books} from "./Books.sol";

/// @notice Scores: when they are committed and revealed, by whom, and what the updates weigh by them.
contract ScoresTest is Books {
    bytes32 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = create(scoringParams(5));
        joinAll(taskId, 5);
    }

    // -------------------------------------------------------------------------------------------------- commitScores

    function testWhoRevealedCommitsToScores(bytes32 commitment) public {
        vm.assume(uint192(uint256(commitment)) != 0);
        uint32 round = openToAggregate(taskId, 3);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ScoresCommitted(taskId, round, desk(0), commitment);
        vm.prank(desk(0));
        volquorum.commitScores(taskId, round, commitment);
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(seat.scoredRound, round);
        assertEq(uint192(seat.scoreCommitment), uint192(uint256(commitment)));
    }

    function testLaterCommitmentToScoresReplacesTheFirst(bytes32 first) public {
        vm.assume(uint192(uint256(first)) != 0);
        uint32 round = openToAggregate(taskId, 3);
        vm.prank(desk(0));
        volquorum.commitScores(taskId, round, first);
        commitScores(round, desk(0), hex"010203");
        walkToScoreReveal(round);
        revealScores(round, desk(0), hex"010203");
    }

    function testEmptyCommitmentToScoresIsRefused(uint64 above) public {
        uint32 round = openToAggregate(taskId, 3);
        vm.expectRevert(IVolquorum.EmptyCommitment.selector);
        vm.prank(desk(0));
        volquorum.commitScores(taskId, round, bytes32(uint256(above) << 192));
    }

    function testOnlyWhoRevealedCommitsToScores() public {
        uint32 round = openToReveal(taskId, 4);
        revealAll(taskId, round, 3);
        walkToAggregate(taskId, round);
        address[3] memory others = [desk(3), desk(4), stranger];
        for (uint256 index = 0; index < 3; ++index) {
            expectNotSeated(round, others[index]);
            vm.prank(others[index]);
            volquorum.commitScores(taskId, round, "commitment");
        }
    }

    function testWhoWithheldGivesNoScoresEvenWhereItCostsNothing() public {
        IVolquorum.TaskParams memory params = scoringParams(5);
        params.sliceWei = 0;
        taskId = create(params);
        joinAll(taskId, 5);
        uint32 round = openToReveal(taskId, 4);
        revealAll(taskId, round, 3);
        walkToAggregate(taskId, round);
        volquorum.slashWithheld(taskId, desk(3));
        expectNotSeated(round, desk(3));
        vm.prank(desk(3));
        volquorum.commitScores(taskId, round, "commitment");
    }

    function testScoresAreCommittedInTheFirstHalfOfTheirTime(uint256 wait, bool published) public {
        uint32 round = openToAggregate(taskId, 3);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        assertEq(ends.scoreCommit, ends.availability + 30);
        if (published) publish(taskId, round, aggregator);
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Aggregate && current != IVolquorum.Phase.Challenge) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Aggregate);
        } else if (block.timestamp >= ends.scoreCommit) {
            expectNotScoring(round, ends.availability, ends.scoreCommit);
        }
        vm.prank(desk(0));
        volquorum.commitScores(taskId, round, "commitment");
    }

    function testWithoutScoresInTheRewardThereIsNoTimeForThem() public {
        taskId = createSeated();
        uint32 round = openToAggregate(taskId, 3);
        uint64 from = volquorum.deadlines(taskId, round).availability;
        expectNotScoring(round, from, 0);
        vm.prank(desk(0));
        volquorum.commitScores(taskId, round, "commitment");
        expectNotScoring(round, 0, 0);
        vm.prank(desk(0));
        volquorum.revealScores(taskId, round, hex"010203", 0);
    }

    function testScoresAreForTheLatestRound(uint32 given) public {
        uint32 round = openToAggregate(taskId, 3);
        vm.assume(given != round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, given, round));
        volquorum.commitScores(taskId, given, "commitment");
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, given, round));
        volquorum.revealScores(taskId, given, "", 0);
    }

    // -------------------------------------------------------------------------------------------------- revealScores

    function testScoresAreRevealed(bytes3 scores) public {
        bytes memory given = abi.encodePacked(scores);
        uint32 round = openToAggregate(taskId, 3);
        commitScores(round, desk(1), given);
        commitScores(round, desk(0), given);
        walkToScoreReveal(round);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ScoresRevealed(taskId, round, desk(1), given);
        revealScores(round, desk(1), given);
        revealScores(round, desk(0), given);

        bytes32 hash = keccak256(abi.encode(bytes32(0), desk(1), keccak256(given)));
        hash = bytes32(uint256(hash) >> 8 << 8 | 1);
        hash = keccak256(abi.encode(hash, desk(0), keccak256(given)));
        assertEq(volquorum.roundState(taskId, round).scoresHash, bytes32(uint256(hash) >> 8 << 8 | 2));
        assertEq(volquorum.seat(taskId, desk(1)).scoreCommitment, 0);
    }

    function testScoresAreRevealedOnceAndAsCommitted(bytes3 scores, bytes3 others) public {
        vm.assume(scores != others);
        uint32 round = openToAggregate(taskId, 3);
        commitScores(round, desk(0), abi.encodePacked(scores));
        walkToScoreReveal(round);
        expectScoresMismatch(round, desk(0));
        revealScores(round, desk(0), abi.encodePacked(others));
        expectScoresMismatch(round, desk(1));
        revealScores(round, desk(1), abi.encodePacked(scores));
        revealScores(round, desk(0), abi.encodePacked(scores));
        expectScoresMismatch(round, desk(0));
        revealScores(round, desk(0), abi.encodePacked(scores));
    }

    function testScoresOfAnEarlierRoundAreNotRevealedInThisOne() public {
        uint32 round = openToAggregate(taskId, 3);
        commitScores(round, desk(0), hex"010203");
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 3);
        walkToScoreReveal(round);
        expectScoresMismatch(round, desk(0));
        revealScores(round, desk(0), hex"010203");
    }

    function testScoresAreOneByteForEachRevealedUpdate(bytes calldata scores) public {
        vm.assume(scores.length != 3);
        uint32 round = openToAggregate(taskId, 3);
        commitScores(round, desk(0), scores);
        walkToScoreReveal(round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, scores.length, 3));
        revealScores(round, desk(0), scores);
    }

    function testScoresAreRevealedInTheSecondHalfOfTheirTime(uint256 wait, bool published) public {
        uint32 round = openToAggregate(taskId, 3);
        commitScores(round, desk(0), hex"010203");
        if (published) publish(taskId, round, aggregator);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        assertEq(ends.scoreReveal, ends.availability + 60);
        vm.warp(bound(wait, block.timestamp, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Aggregate && current != IVolquorum.Phase.Challenge) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Aggregate);
        } else if (block.timestamp < ends.scoreCommit || block.timestamp >= ends.scoreReveal) {
            expectNotScoring(round, ends.scoreCommit, ends.scoreReveal);
        }
        revealScores(round, desk(0), hex"010203");
    }

    /// @dev So that they are known when the reward is distributed.
    function testNoResultIsFinalWhileScoresAreRevealed() public {
        uint32 round = openToAggregate(taskId, 3);
        publish(taskId, round, aggregator);
        vm.warp(volquorum.deadlines(taskId, round).scoreReveal - 1);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Challenge);
    }

    // ---------------------------------------------------------------------------------------------------- distribute

    function testUpdateWeighsTheMedianOfWhatTheOthersGaveIt() public {
        bytes[] memory scores = new bytes[](5);
        scores[0] = hex"ff0a140000";
        scores[1] = hex"05ff1e0000";
        scores[2] = hex"0a14ff0000";
        scores[3] = hex"0f1e28ff00";
        scores[4] = hex"142832ffff";
        // Medians 10, 20 and 30 of four others each, the lower ones; 0 and 0.
        uint32 round = openToScored(scores);
        uint96[] memory sharesWei = new uint96[](5);
        for (uint256 index = 0; index < 3; ++index) {
            sharesWei[index] = uint96(uint256(0.7 ether) * (10 + 10 * index) / 60);
        }
        uint256 restWei = uint256(0.7 ether) - sharesWei[0] - sharesWei[1] - sharesWei[2];
        vm.expectEmit(address(volquorum));
        emit IVolquorum.RewardsDistributed(taskId, round, sharesWei, restWei);
        volquorum.distribute(taskId, round, updatesOf(taskId, round, 5), allOf(scores));
        assertEq(creditOf(sponsor), restWei);
        assertEq(volquorum.seat(taskId, desk(2)).rewardWei, sharesWei[2]);
        assertEq(volquorum.seat(taskId, desk(4)).served, 1);
        assertBooks(taskId, 5);
    }

    /// @dev Every number of updates and of voters, and any of them excluded.
    function testWeightsAreThoseOfThePlainRule(uint256 seed, uint256 count, uint64 voters, uint64 unavailable)
        public
        view
    {
        count = bound(count, 1, 64);
        bytes memory scores;
        bytes[] memory byVoter = new bytes[](count);
        if (seed % 2 == 0) voters |= uint64(seed >> 64);
        if (seed % 3 == 0) unavailable &= uint64(seed >> 128) & uint64(seed >> 192);
        uint256 first = seed % count; // who revealed scores first
        for (uint256 index = 0; index < count; ++index) {
            uint256 voter = (first + index) % count;
            if (voters >> voter & 1 == 0) continue;
            byVoter[voter] = someScores(seed, voter, count);
            scores = abi.encodePacked(scores, uint8(voter), byVoter[voter]);
        }
        unavailable &= uint64((1 << count) - 1);
        uint256[] memory weights = this.weightsOf(count, unavailable, scores);
        assertEq(weights, plainWeights(byVoter, unavailable));
    }

    function testUnlessMoreThanHalfGaveScoresAllWeighTheSame(uint256 voters) public {
        voters = bound(voters, 0, 5);
        bytes[] memory scores = new bytes[](5);
        for (uint256 index = 0; index < voters; ++index) {
            scores[index] = hex"0000000001";
        }
        uint32 round = openToScored(scores);
        volquorum.distribute(taskId, round, updatesOf(taskId, round, 5), allOf(scores));
        bool decided = voters >= 3;
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, decided ? 0 : 0.14 ether);
        assertEq(volquorum.seat(taskId, desk(4)).rewardWei, decided ? 0.7 ether : 0.14 ether);
        assertBooks(taskId, 5);
    }

    function testAreAllScoresZeroTheRewardIsTheSponsors() public {
        bytes[] memory scores = new bytes[](5);
        for (uint256 index = 0; index < 5; ++index) {
            scores[index] = new bytes(5);
        }
        uint32 round = openToScored(scores);
        volquorum.distribute(taskId, round, updatesOf(taskId, round, 5), allOf(scores));
        assertEq(creditOf(sponsor), 0.7 ether);
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, 0);
        assertBooks(taskId, 5);
    }

    function testScoresOfExcludedParticipantsDoNotCount() public {
        uint32 round = openToAvailability(taskId, 5);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        flag(taskId, round, updates, 1, stranger);
        flag(taskId, round, updates, 3, stranger);
        walkToAggregate(taskId, round);
        bytes[] memory scores = new bytes[](5);
        scores[0] = hex"ff00020000";
        scores[1] = hex"00ffffffff";
        scores[2] = hex"01ffff0003";
        scores[3] = hex"00ffffffff";
        score(round, scores);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        volquorum.distribute(taskId, round, updates, allOf(scores));
        // Two of three included ones gave scores: 0 has 1 by the third, 2 has 2 by the first, 4 the lower of 0 and 3.
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, uint256(0.7 ether) / 3);
        assertEq(volquorum.seat(taskId, desk(1)).rewardWei, 0);
        assertEq(volquorum.seat(taskId, desk(2)).rewardWei, uint256(0.7 ether) * 2 / 3);
        assertEq(volquorum.seat(taskId, desk(4)).rewardWei, 0);
        assertEq(volquorum.seat(taskId, desk(1)).served, 0);
        assertEq(volquorum.seat(taskId, desk(4)).served, 1);
    }

    function testOtherScoresThanTheRevealedOnesAreRefused(uint256 place, uint8 other) public {
        bytes[] memory scores = someOfAll();
        uint32 round = openToScored(scores);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        bytes memory all = allOf(scores);
        place = bound(place, 0, all.length - 1);
        if (place % 6 == 0) other %= 5; // a voter
        vm.assume(bytes1(other) != all[place]);
        all[place] = bytes1(other);
        bytes32 hash = 0;
        for (uint256 start = 0; start < all.length; start += 6) {
            hash = step(hash, desk(uint8(all[start])), this.slice(all, start + 1, start + 6));
        }
        vm.expectRevert(
            abi.encodeWithSelector(
                IVolquorum.WrongScores.selector, taskId, round, hash, volquorum.roundState(taskId, round).scoresHash
            )
        );
        volquorum.distribute(taskId, round, updates, all);
    }

    function testScoresInAnotherOrderAreRefused() public {
        bytes[] memory scores = someOfAll();
        uint32 round = openToScored(scores);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        bytes memory all;
        for (uint256 index = 5; index > 0; --index) {
            all = abi.encodePacked(all, uint8(index - 1), scores[index - 1]);
        }
        vm.expectPartialRevert(IVolquorum.WrongScores.selector);
        volquorum.distribute(taskId, round, updates, all);
    }

    function testScoresOfAnUnknownUpdateAreRefused(uint8 voter) public {
        voter = uint8(bound(voter, 5, 255));
        bytes[] memory scores = someOfAll();
        uint32 round = openToScored(scores);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        bytes memory all = allOf(scores);
        all[12] = bytes1(voter);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.UnknownUpdate.selector, voter, 5));
        volquorum.distribute(taskId, round, updates, all);
    }

    function testAllRevealedScoresAreNeeded(bytes calldata all) public {
        bytes[] memory scores = someOfAll();
        scores[4] = "";
        uint32 round = openToScored(scores);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        vm.assume(all.length != 24);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, all.length, 24));
        volquorum.distribute(taskId, round, updates, all);
    }

    function testSingleParticipantHasNobodyToScoreIt() public {
        IVolquorum.TaskParams memory params = scoringParams(1);
        (params.quorum, params.tolerance) = (1, 0);
        taskId = create(params);
        joinAll(taskId, 1);
        bytes[] memory scores = new bytes[](1);
        scores[0] = hex"ff";
        uint32 round = openToScored(scores);
        volquorum.distribute(taskId, round, updatesOf(taskId, round, 1), allOf(scores));
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, 0);
        assertEq(creditOf(sponsor), 0.7 ether);
    }

    // ------------------------------------------------------------------------------------------------------ incentives

    /// @dev Whatever a minority gives, no weight of another leaves the range of what the honest ones gave.
    function testMinorityMovesNoWeightBeyondWhatSomebodyHonestGave(uint256 seed, uint256 count) public view {
        count = bound(count, 3, 16);
        uint256 liars = seed % ((count - 1) / 2); // fewer than half of the others of each
        bytes memory scores;
        bytes[] memory byVoter = new bytes[](count);
        for (uint256 voter = 0; voter < count; ++voter) {
            byVoter[voter] = someScores(seed, voter, count);
            if (voter >= liars) {
                for (uint256 index = 0; index < count; ++index) {
                    byVoter[voter][index] = bytes1(100 + uint8(byVoter[voter][index]) % 50);
                }
            }
            scores = abi.encodePacked(scores, uint8(voter), byVoter[voter]);
        }
        uint256[] memory weights = this.weightsOf(count, 0, scores);
        for (uint256 index = 0; index < count; ++index) {
            assertTrue(weights[index] >= 100 && weights[index] < 150);
        }
    }

    function testNobodysOwnScoreMovesItsWeight(uint256 seed, uint256 count, uint8 other) public view {
        count = bound(count, 1, 64);
        bytes memory scores;
        for (uint256 voter = 0; voter < count; ++voter) {
            scores = abi.encodePacked(scores, uint8(voter), someScores(seed, voter, count));
        }
        uint256 own = (seed >> 8) % count;
        uint256 before = this.weightsOf(count, 0, scores)[own];
        scores[own * (count + 1) + 1 + own] = bytes1(other);
        assertEq(this.weightsOf(count, 0, scores)[own], before);
    }

    // ------------------------------------------------------------------------------------------------------------ gas

    function testScoresOfSixtyFourAreDistributedForLessThanTwoMillionGas() public {
        taskId = create(scoringParams(64));
        joinAll(taskId, 64);
        bytes[] memory scores = new bytes[](64);
        for (uint256 index = 0; index < 64; ++index) {
            scores[index] = someScores(1, index, 64);
        }
        uint32 round = openToScored(scores);
        volquorum.distribute(taskId, round, updatesOf(taskId, round, 64), allOf(scores));
        assertLt(vm.lastCallGas().gasTotalUsed, 2_000_000);
    }

    // ---------------------------------------------------------------------------------------------------------- steps

    function scoringParams(uint8 cohort) private view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        setCohort(params, cohort);
        params.rewardRule = IVolquorum.RewardRule.Scores;
        params.scoreSeconds = 60;
        params.salt = bytes32(uint256(cohort));
    }

    /// @dev A final round in which the first desks gave these scores, those of them that gave any.
    function openToScored(bytes[] memory scores) private returns (uint32 round) {
        round = openToAggregate(taskId, scores.length);
        publish(taskId, round, aggregator);
        score(round, scores);
        walkToEnd(taskId, round);
    }

    function score(uint32 round, bytes[] memory scores) private {
        for (uint256 index = 0; index < scores.length; ++index) {
            if (scores[index].length != 0) commitScores(round, desk(index), scores[index]);
        }
        uint256 time = block.timestamp;
        walkToScoreReveal(round);
        for (uint256 index = 0; index < scores.length; ++index) {
            if (scores[index].length != 0) revealScores(round, desk(index), scores[index]);
        }
        vm.warp(time);
    }

    function commitScores(uint32 round, address account, bytes memory scores) private {
        bytes32 commitment = keccak256(
            abi.encode(
                keccak256("volquorum.scores.1"),
                block.chainid,
                address(volquorum),
                taskId,
                round,
                account,
                keccak256(scores),
                salt(account, round)
            )
        );
        vm.prank(account);
        volquorum.commitScores(taskId, round, commitment);
    }

    function revealScores(uint32 round, address account, bytes memory scores) private {
        vm.prank(account);
        volquorum.revealScores(taskId, round, scores, salt(account, round));
    }

    function walkToScoreReveal(uint32 round) private {
        vm.warp(volquorum.deadlines(taskId, round).scoreCommit);
    }

    /// @dev What `distribute` takes, if the desks revealed their scores in order.
    function allOf(bytes[] memory scores) private pure returns (bytes memory all) {
        for (uint256 index = 0; index < scores.length; ++index) {
            if (scores[index].length != 0) all = abi.encodePacked(all, uint8(index), scores[index]);
        }
    }

    function step(bytes32 previous, address account, bytes memory scores) private pure returns (bytes32) {
        bytes32 hash = keccak256(abi.encode(previous, account, keccak256(scores)));
        return bytes32(uint256(hash) >> 8 << 8 | (uint256(previous) & 0xff) + 1);
    }

    function slice(bytes calldata all, uint256 start, uint256 end) external pure returns (bytes memory) {
        return all[start:end];
    }

    function someOfAll() private pure returns (bytes[] memory scores) {
        scores = new bytes[](5);
        for (uint256 index = 0; index < 5; ++index) {
            scores[index] = someScores(7, index, 5);
        }
    }

    /// @dev Scores of a few values in some rounds, so that some are equal, and of all values in others.
    function someScores(uint256 seed, uint256 voter, uint256 count) private pure returns (bytes memory scores) {
        scores = new bytes(count);
        for (uint256 index = 0; index < count; ++index) {
            uint8 drawn = uint8(uint256(keccak256(abi.encode(seed, voter, index))));
            scores[index] = bytes1(seed % 5 == 0 ? drawn % 4 * 85 : drawn);
        }
    }

    // -------------------------------------------------------------------------------------------------- the plain rule

    function weightsOf(uint256 count, uint64 unavailable, bytes calldata scores)
        external
        pure
        returns (uint256[] memory)
    {
        return ScoreLib.weights(count, unavailable, scores);
    }

    function plainWeights(bytes[] memory byVoter, uint64 unavailable) private pure returns (uint256[] memory weights) {
        uint256 count = byVoter.length;
        weights = new uint256[](count);
        uint256 included = 0;
        uint256 voters = 0;
        for (uint256 index = 0; index < count; ++index) {
            if (unavailable >> index & 1 == 1) continue;
            ++included;
            if (byVoter[index].length != 0) ++voters;
        }
        for (uint256 index = 0; index < count; ++index) {
            if (unavailable >> index & 1 == 1) continue;
            weights[index] = 2 * voters > included ? plainMedian(byVoter, unavailable, index) : 1;
        }
    }

    function plainMedian(bytes[] memory byVoter, uint64 unavailable, uint256 index) private pure returns (uint256) {
        uint256[] memory scores = new uint256[](byVoter.length);
        uint256 count = 0;
        for (uint256 voter = 0; voter < byVoter.length; ++voter) {
            if (voter == index || unavailable >> voter & 1 == 1 || byVoter[voter].length == 0) continue;
            scores[count++] = uint8(byVoter[voter][index]);
        }
        assembly ("memory-safe") {
            mstore(scores, count)
        }
        LibSort.sort(scores);
        return count == 0 ? 0 : scores[(count - 1) / 2];
    }

    // --------------------------------------------------------------------------------------------- what is expected

    function expectNotSeated(uint32 round, address account) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, account, round));
    }

    function expectNotScoring(uint32 round, uint64 from, uint64 until) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotScoring.selector, taskId, round, from, until));
    }

    function expectScoresMismatch(uint32 round, address account) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.ScoresMismatch.selector, taskId, round, account));
    }
}
