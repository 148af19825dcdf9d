// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../src/libraries/PhaseLib.sol";
import {Task} from "../src/libraries/TaskLib.sol";

/// @notice A round's phase at every boundary, against a plain table of half-open windows.
contract PhaseTest is Test {
    using PhaseLib for Task;
    using PhaseLib for IVolquorum.Phase;
    using PhaseLib for IVolquorum.RoundState;

    Task private task;
    IVolquorum.RoundState private round;

    function setUp() public {
        task.quorum = 3;
        task.selectionSeconds = 10;
        task.commitSeconds = 20;
        task.revealSeconds = 30;
        task.availabilitySeconds = 40;
        task.aggregatorSeconds = 25;
        task.aggregateSeconds = 50;
        task.challengeSeconds = 60;
        (task.openedAt, round.openedAt) = (1000, 1000);
        setRevealed(3);
    }

    function testRoundThatWasNotOpenedHasNoPhase(uint64 time) public {
        (task.openedAt, round.openedAt) = (0, 0);
        assertPhase(time, IVolquorum.Phase.None);
        IVolquorum.Deadlines memory none;
        assertEq(abi.encode(task.deadlines(round)), abi.encode(none));
    }

    function testWindowsWithoutAResult() public view {
        assertPhase(1000, IVolquorum.Phase.Selection);
        assertPhase(1009, IVolquorum.Phase.Selection);
        assertPhase(1010, IVolquorum.Phase.Commit);
        assertPhase(1029, IVolquorum.Phase.Commit);
        assertPhase(1030, IVolquorum.Phase.Reveal);
        assertPhase(1059, IVolquorum.Phase.Reveal);
        assertPhase(1060, IVolquorum.Phase.Availability);
        assertPhase(1099, IVolquorum.Phase.Availability);
        assertPhase(1100, IVolquorum.Phase.Aggregate);
        assertPhase(1149, IVolquorum.Phase.Aggregate);
        assertPhase(1150, IVolquorum.Phase.Void);
        assertPhase(type(uint64).max, IVolquorum.Phase.Void);
    }

    function testMissedQuorumVoidsTheRoundWhenRevealsEnd() public {
        setRevealed(2);
        assertPhase(1059, IVolquorum.Phase.Reveal);
        assertPhase(1060, IVolquorum.Phase.Void);
        assertPhase(type(uint64).max, IVolquorum.Phase.Void);
    }

    function testQuorumMissedByExclusionVoidsTheRoundWhenAvailabilityEnds() public {
        round.unavailable = 2;
        assertPhase(1099, IVolquorum.Phase.Availability);
        assertPhase(1100, IVolquorum.Phase.Void);
        setRevealed(4);
        assertPhase(1100, IVolquorum.Phase.Aggregate);
    }

    function testLastRefutationEndsTheRound() public {
        round.restartedAt = 1110;
        round.refutations = 7;
        assertPhase(1110, IVolquorum.Phase.Aggregate);
        round.refutations = 8;
        assertPhase(1110, IVolquorum.Phase.Void);
        assertPhase(type(uint64).max, IVolquorum.Phase.Void);
    }

    function testWindowsOfFlagsRoundDown(uint32 availabilitySeconds, uint32 challengeSeconds) public {
        task.availabilitySeconds = availabilitySeconds = uint32(bound(availabilitySeconds, 0, 365 days));
        task.challengeSeconds = challengeSeconds = uint32(bound(challengeSeconds, 0, 365 days));
        round.publishedAt = 5000;
        IVolquorum.Deadlines memory ends = task.deadlines(round);
        assertEq(ends.flagUpdate, 1060 + availabilitySeconds / 2);
        assertEq(ends.flagResult, 5000 + uint256(challengeSeconds) / 3);
        assertEq(ends.postResult, 5000 + uint256(challengeSeconds) * 2 / 3);
        if (challengeSeconds > 2) assertLt(ends.flagResult, ends.postResult, "time to post");
        if (challengeSeconds > 0) assertLt(ends.postResult, ends.challenge, "time to refute");
    }

    function testChallengeRunsFromPublication() public {
        round.publishedAt = 1149;
        assertPhase(1149, IVolquorum.Phase.Challenge);
        assertPhase(1208, IVolquorum.Phase.Challenge);
        assertPhase(1209, IVolquorum.Phase.Final);
        assertPhase(type(uint64).max, IVolquorum.Phase.Final);
    }

    function testResultByVotesIsFinalWithMoreVotesThanLiarsAreTolerated(uint8 tolerance, uint8 votes) public {
        (task.byVotes, task.tolerance) = (true, tolerance);
        (round.publishedAt, round.votes) = (1149, votes);
        IVolquorum.Phase end = votes > tolerance ? IVolquorum.Phase.Final : IVolquorum.Phase.Void;
        assertPhase(1149, IVolquorum.Phase.Challenge);
        assertPhase(1208, IVolquorum.Phase.Challenge);
        assertPhase(1209, end);
        assertPhase(type(uint64).max, end);
    }

    function testWithoutChallengeTimeAResultIsFinalAtOnce() public {
        task.challengeSeconds = 0;
        round.publishedAt = 1100;
        assertPhase(1100, IVolquorum.Phase.Final);
    }

    function testEmptyWindowsAreSkipped() public {
        task.selectionSeconds = 0;
        task.availabilitySeconds = 0;
        assertPhase(1000, IVolquorum.Phase.Commit);
        assertPhase(1050, IVolquorum.Phase.Aggregate);
    }

    function testDeadlinesAreTheFirstSecondOfTheNextPhase() public {
        assertEq(
            abi.encode(task.deadlines(round)),
            abi.encode(IVolquorum.Deadlines(1010, 1030, 1060, 1100, 1125, 1150, 0, 0, 0, 1080, 0, 0))
        );
        round.publishedAt = 1111;
        assertEq(task.deadlines(round).challenge, 1171);
        assertEq(task.deadlines(round).flagResult, 1131);
        assertEq(task.deadlines(round).postResult, 1151);
    }

    function testScoresAreCommittedInTheFirstHalfOfTheirTime(uint32 scoreSeconds) public {
        task.scoreSeconds = scoreSeconds = uint32(bound(scoreSeconds, 2, 365 days));
        assertEq(task.deadlines(round).scoreCommit, 1100 + scoreSeconds / 2);
        assertEq(task.deadlines(round).scoreReveal, 1100 + uint256(scoreSeconds));
        assertLt(task.deadlines(round).scoreCommit, task.deadlines(round).scoreReveal, "time to reveal");
        // A refutation does not give more time.
        round.restartedAt = 1200;
        assertEq(task.deadlines(round).scoreCommit, 1100 + scoreSeconds / 2);
    }

    function testRefutedResultOpensTheAggregateWindowAnewForEverybody() public {
        round.restartedAt = 1200;
        assertPhase(1200, IVolquorum.Phase.Aggregate);
        assertPhase(1249, IVolquorum.Phase.Aggregate);
        assertPhase(1250, IVolquorum.Phase.Void);
        assertEq(
            abi.encode(task.deadlines(round)),
            abi.encode(IVolquorum.Deadlines(1010, 1030, 1060, 1100, 1200, 1250, 0, 0, 0, 1080, 0, 0))
        );
        round.publishedAt = 1249;
        assertPhase(1249, IVolquorum.Phase.Challenge);
        assertPhase(1309, IVolquorum.Phase.Final);
        assertEq(task.deadlines(round).challenge, 1309);
    }

    function testPhaseAgreesWithATableOfWindows(
        uint32[7] memory seconds_,
        uint40 openedAt,
        uint8 revealed,
        uint64 unavailable,
        uint256 seed
    ) public {
        for (uint256 index = 0; index < 7; ++index) {
            seconds_[index] = uint32(bound(seconds_[index], 0, 365 days));
        }
        setWindows(seconds_);
        task.openedAt = round.openedAt = openedAt = uint40(bound(openedAt, 1, type(uint40).max / 2));
        setRevealed(revealed = uint8(bound(revealed, 0, 64)));
        round.unavailable = seed % 5 == 0 ? 0 : uint64(unavailable & ((1 << revealed) - 1));
        round.refutations = uint8(seed % 9);
        (task.byVotes, task.tolerance, round.votes) = (seed % 7 < 3, uint8(seed >> 8 & 7), uint8(seed >> 16 & 7));
        round.mostVotes = round.votes + uint8(seed >> 24 & seed >> 25 & 1);

        uint256[6] memory starts;
        starts[0] = openedAt;
        for (uint256 index = 0; index < 5; ++index) {
            starts[index + 1] = starts[index] + seconds_[index];
        }
        uint256 aggregateFrom = starts[4];
        if (seed % 3 == 1) {
            aggregateFrom = bound(seed, starts[4], starts[5] + 365 days);
            round.restartedAt = uint40(aggregateFrom);
            starts[5] = aggregateFrom + seconds_[4];
        }
        if (seed % 2 == 1 && seconds_[4] != 0) {
            round.publishedAt = uint40(bound(seed, aggregateFrom, starts[5] - 1));
        }

        checkAround(starts, bound(seed, openedAt, uint256(openedAt) + 8 * 365 days));
    }

    /// @dev Each boundary from both sides, and any other time.
    function checkAround(uint256[6] memory starts, uint256 time) private view {
        for (uint256 index = 0; index < 6; ++index) {
            assertPhase(starts[index], expected(starts, starts[index]));
            if (index > 0) assertPhase(starts[index] - 1, expected(starts, starts[index] - 1));
        }
        uint256 challengeEnd = round.publishedAt + uint256(task.challengeSeconds);
        if (round.publishedAt != 0) {
            assertPhase(challengeEnd, expected(starts, challengeEnd));
            assertPhase(challengeEnd - 1, expected(starts, challengeEnd - 1));
        }
        assertPhase(time, expected(starts, time));
    }

    /// @dev The last byte of the updates' hash counts them; the others must not matter.
    function setRevealed(uint8 count) private {
        round.updatesHash = bytes32(uint256(keccak256(abi.encode(count))) >> 8 << 8 | count);
        assertEq(round.revealed(), count, "revealed");
    }

    function setWindows(uint32[7] memory seconds_) private {
        task.selectionSeconds = seconds_[0];
        task.commitSeconds = seconds_[1];
        task.revealSeconds = seconds_[2];
        task.availabilitySeconds = seconds_[3];
        task.aggregateSeconds = seconds_[4];
        task.aggregatorSeconds = seconds_[5];
        task.challengeSeconds = seconds_[6];
    }

    function testOnlyFinalAndVoidAreEnds() public pure {
        for (uint8 index = 0; index <= uint8(type(IVolquorum.Phase).max); ++index) {
            IVolquorum.Phase current = IVolquorum.Phase(index);
            assertEq(current.isEnd(), current == IVolquorum.Phase.Final || current == IVolquorum.Phase.Void, "isEnd");
        }
    }

    /// @dev The last window that has begun, corrected for what was missed or published.
    function expected(uint256[6] memory starts, uint256 time) private view returns (IVolquorum.Phase) {
        uint8 begun;
        for (uint8 index = 0; index < 6; ++index) {
            if (time >= starts[index]) begun = index;
        }
        if (begun < 3) return IVolquorum.Phase(begun + 1);
        if (round.revealed() < 3) return IVolquorum.Phase.Void;
        if (begun == 3) return IVolquorum.Phase.Availability;
        return expectedOfResult(begun == 4, time);
    }

    function expectedOfResult(bool mayPublish, uint256 time) private view returns (IVolquorum.Phase) {
        uint256 included;
        for (uint256 index = 0; index < round.revealed(); ++index) {
            if (round.unavailable >> index & 1 == 0) ++included;
        }
        if (included < 3) return IVolquorum.Phase.Void;
        if (round.publishedAt == 0) {
            return mayPublish && round.refutations < 8 ? IVolquorum.Phase.Aggregate : IVolquorum.Phase.Void;
        }
        if (time < uint256(round.publishedAt) + task.challengeSeconds) return IVolquorum.Phase.Challenge;
        bool counts = !task.byVotes || (round.votes > task.tolerance && round.votes >= round.mostVotes);
        return counts ? IVolquorum.Phase.Final : IVolquorum.Phase.Void;
    }

    /// @dev The shorter walk of commits and reveals agrees up to Reveal, and calls everything behind it Availability.
    function assertPhase(uint256 time, IVolquorum.Phase wanted) private view {
        assertEq(uint8(task.phase(round, time)), uint8(wanted), vm.toString(time));
        IVolquorum.Phase early = wanted > IVolquorum.Phase.Reveal ? IVolquorum.Phase.Availability : wanted;
        assertEq(uint8(task.earlyPhase(time)), uint8(early), vm.toString(time));
    }
}
