// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ISeedSource} from "../src/seeds/ISeedSource.sol";
import {DrawFixture} from "./DrawFixture.sol";

/// @notice Which seats may act in a round, where a task has more than a round takes.
/// forge-config: default.fuzz.runs = 64
contract DrawTest is DrawFixture {
    // ---------------------------------------------------------------------------------------------- what is drawn

    function testRoundDrawsIfMoreSeatsAreActiveThanItTakes(uint256 seats) public {
        seats = bound(seats, 3, 12);
        bytes32 taskId = createDrawing(4, seats);
        vm.roll(1234);
        uint32 round = open(taskId);
        IVolquorum.TaskState memory task = volquorum.taskState(taskId);
        assertEq(task.active, seats);
        assertEq(task.draws, seats > 5);
        assertEq(task.openedBlock, seats > 5 ? 1234 : 0);
        if (seats > 5) return;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToDraw.selector, taskId, round));
        volquorum.drawSeats(taskId, round);
        for (uint256 index = 0; index < 12; ++index) {
            assertEq(volquorum.mayCommit(taskId, desk(index)), index < seats);
        }
    }

    function testAnybodyDrawsWithTheSeedOfTheBlockThatOpenedTheRound(
        bytes32 seed,
        uint8 drawn,
        uint256 seats,
        address who
    ) public {
        vm.assume(seed != 0);
        (drawn, seats) = (uint8(bound(drawn, 3, 5)), bound(seats, 6, 12));
        bytes32 taskId = createDrawing(drawn, seats);
        uint256 openedBlock = block.number;
        uint32 round = open(taskId);
        vm.roll(openedBlock + 10);
        source.set(openedBlock, seed);
        bytes32 expected = drawOf(seed, taskId, round, drawn, seats);
        vm.expectCall(address(source), abi.encodeCall(ISeedSource.seedOf, (openedBlock)));
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatsDrawn(taskId, round, expected);
        vm.prank(who);
        volquorum.drawSeats(taskId, round);
        assertEq(volquorum.taskState(taskId).draw, expected);
    }

    function testSeatsAreDrawnInSelectionAndCommitOnly(uint256 wait) public {
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = open(taskId);
        source.set(block.number, "seed");
        vm.warp(bound(wait, START, volquorum.deadlines(taskId, round).aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Selection && current != IVolquorum.Phase.Commit) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Selection);
        }
        volquorum.drawSeats(taskId, round);
    }

    /// @dev Nor by anything else that happens between, so that nobody chooses the threshold.
    function testWhoLeavesBeforeTheDrawDoesNotMoveIt(uint256 leaving) public {
        leaving = bound(leaving, 1, 8);
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = open(taskId);
        assertEq(volquorum.roundState(taskId, round).active, 8);
        for (uint256 index = 0; index < leaving; ++index) {
            leave(taskId, desk(index));
        }
        join(taskId, desk(8));
        draw(taskId, round, "seed");
        assertEq(volquorum.taskState(taskId).draw, drawOf("seed", taskId, round, 4, 8));
    }

    function testSeatsOfAnotherRoundAreNotDrawn(uint32 given) public {
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = open(taskId);
        vm.assume(given != round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, given, round));
        volquorum.drawSeats(taskId, given);
    }

    function testSeatsAreDrawnOnce(bytes32 later) public {
        vm.assume(later != 0);
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = openDrawn(taskId, "seed");
        bytes32 drawn = volquorum.taskState(taskId).draw;
        source.set(volquorum.taskState(taskId).openedBlock, later);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyDrawn.selector, taskId, round));
        volquorum.drawSeats(taskId, round);
        assertEq(volquorum.taskState(taskId).draw, drawn);
    }

    function testNothingIsDrawnBeforeTheSeedIsKnown() public {
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = open(taskId);
        source.set(block.number - 1, "of an earlier block");
        source.set(block.number + 1, "of a later block");
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeedNotReady.selector, taskId, round));
        volquorum.drawSeats(taskId, round);
    }

    function testSourceThatFailsDrawsNothing() public {
        IVolquorum.TaskParams memory params = drawingParams(4);
        params.seedSource = stranger;
        bytes32 taskId = create(params);
        joinAll(taskId, 8);
        uint32 round = open(taskId);
        vm.expectRevert();
        volquorum.drawSeats(taskId, round);
        vm.mockCallRevert(stranger, abi.encodeCall(ISeedSource.seedOf, (block.number)), "broken");
        vm.expectRevert("broken");
        volquorum.drawSeats(taskId, round);
        assertEq(volquorum.taskState(taskId).draw, 0);
    }

    function testVectorsOfDraws() public view {
        string memory json = vm.readFile("tests/vectors/members.json");
        bytes32[] memory draws = vm.parseJsonBytes32Array(json, ".draw");
        assertGt(draws.length, 0, "no vectors");
        for (uint256 row = 0; row < draws.length; ++row) {
            bytes32 drawn = drawOf(
                vm.parseJsonBytes32Array(json, ".seed")[row],
                vm.parseJsonBytes32Array(json, ".taskId")[row],
                uint32(vm.parseJsonUintArray(json, ".round")[row]),
                vm.parseJsonUintArray(json, ".draws")[row],
                vm.parseJsonUintArray(json, ".active")[row]
            );
            assertEq(drawn, draws[row], "draw");
            bool expected = vm.parseJsonUintArray(json, ".drawn")[row] == 1;
            assertEq(isDrawn(drawn, vm.parseJsonAddressArray(json, ".participant")[row]), expected, "drawn");
        }
    }

    // ------------------------------------------------------------------------------------------------ who may act

    function testDrawnSeatsCommitAndNoOthers(bytes32 seed) public {
        vm.assume(seed != 0);
        bytes32 taskId = createDrawing(4, 9);
        uint32 round = openDrawn(taskId, seed);
        bytes32 drawn = volquorum.taskState(taskId).draw;
        for (uint256 index = 0; index < 9; ++index) {
            if (!isDrawn(drawn, desk(index))) {
                vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotDrawn.selector, taskId, round, desk(index)));
            }
            vm.prank(desk(index));
            volquorum.commitUpdate(taskId, round, "commitment");
        }
    }

    function testBeforeTheDrawNobodyCommits() public {
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = openToCommit(taskId);
        for (uint256 index = 0; index < 8; ++index) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeedNotReady.selector, taskId, round));
            vm.prank(desk(index));
            volquorum.commitUpdate(taskId, round, "commitment");
            assertFalse(volquorum.mayCommit(taskId, desk(index)));
        }
        // Commit still runs.
        draw(taskId, round, seedThatDraws(taskId, round, 8, desk(3)));
        commit(taskId, round, desk(3));
    }

    /// @dev Whoever joined late, left, was suspended or is a stranger included.
    function testMayCommitTellsWhatCommitDoes(bytes32 seed, uint256 seats, uint256 who) public {
        seats = bound(seats, 5, 9);
        bytes32 taskId = createDrawing(4, seats);
        uint32 round = open(taskId);
        if (seats > 5) draw(taskId, round, seedThatDraws(taskId, round, seats, desk(0)));
        walkToCommit(taskId, round);
        for (uint256 index = 0; index < seats; ++index) {
            if (volquorum.mayCommit(taskId, desk(index))) commit(taskId, round, desk(index));
        }
        walkToEnd(taskId, round);
        // Nobody revealed; one is suspended for that already.
        volquorum.slashWithheld(taskId, desk(0));
        leave(taskId, desk(seats - 1));
        vm.roll(block.number + 1);
        round = open(taskId);
        join(taskId, desk(9));
        walkToCommit(taskId, round);
        if (volquorum.taskState(taskId).draws && seed != 0) draw(taskId, round, seed);

        address account = who % 11 == 10 ? stranger : desk(who % 11);
        // What was not opened is found when its participant commits again, which suspends the seat instead.
        bool withheld = volquorum.seat(taskId, account).commitment != 0;
        bool expected = volquorum.mayCommit(taskId, account);
        vm.prank(account);
        (bool done,) =
            address(volquorum).call(abi.encodeCall(IVolquorum.commitUpdate, (taskId, round, keccak256("commitment"))));
        assertEq(done, expected, "mayCommit");
        if (done) assertEq(volquorum.seat(taskId, account).committedRound, withheld ? 0 : round);
        if (withheld && done) assertFalse(volquorum.mayCommit(taskId, account));
    }

    /// forge-config: default.fuzz.runs = 4
    function testEachSeatIsDrawnWithTheSameChance(uint256 seed) public {
        bytes32 taskId = createDrawing(3, 12);
        uint32 round = open(taskId);
        uint256 snapshot = vm.snapshotState();
        uint256[] memory times = new uint256[](12);
        uint256 total;
        for (uint256 attempt = 0; attempt < 400; ++attempt) {
            draw(taskId, round, keccak256(abi.encode(seed, attempt)));
            for (uint256 index = 0; index < 12; ++index) {
                if (!volquorum.mayCommit(taskId, desk(index))) continue;
                ++times[index];
                ++total;
            }
            vm.revertToState(snapshot);
        }
        // 1,200 are expected, of standard deviation 30; 100 for each seat, of 8.7. Six of them are out of reach.
        assertApproxEqAbs(total, 1200, 180);
        for (uint256 index = 0; index < 12; ++index) {
            assertApproxEqAbs(times[index], 100, 52);
        }
    }

    function testDrawsOfTasksAndRoundsAreIndependent(bytes32 seed) public {
        vm.assume(seed != 0);
        IVolquorum.TaskParams memory params = drawingParams(4);
        bytes32 first = create(params);
        params.salt = "other";
        bytes32 second = create(params);
        joinAll(first, 8);
        joinAll(second, 8);
        openDrawn(first, seed);
        vm.warp(START);
        openDrawn(second, seed);
        bytes32 drawn = volquorum.taskState(first).draw;
        assertNotEq(drawn, volquorum.taskState(second).draw, "tasks");
        walkToEnd(first, 1);
        openDrawn(first, seed);
        assertNotEq(drawn, volquorum.taskState(first).draw, "rounds");
        assertEq(uint64(uint256(drawn)), uint64(uint256(volquorum.taskState(first).draw)), "the same chance");
    }

    // --------------------------------------------------------------------------------------------- from round to round

    function testRoundThatIsNeverDrawnIsVoidByTimeAndCostsNobodyAnything() public {
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = open(taskId);
        vm.warp(volquorum.deadlines(taskId, round).reveal);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Void);
        volquorum.voidRound(taskId);
        assertEq(volquorum.taskState(taskId).fundsWei, 2.8 ether);
        for (uint256 index = 0; index < 8; ++index) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingWithheld.selector, taskId, desk(index)));
            volquorum.slashWithheld(taskId, desk(index));
            leave(taskId, desk(index));
            assertEq(creditOf(desk(index)), 1 ether);
        }
    }

    function testNextRoundIsDrawnAnew() public {
        bytes32 taskId = createDrawing(4, 8);
        uint32 round = openDrawn(taskId, "seed");
        walkToEnd(taskId, round);
        vm.roll(block.number + 7);
        round = open(taskId);
        IVolquorum.TaskState memory task = volquorum.taskState(taskId);
        assertEq(task.openedBlock, block.number);
        assertEq(task.draw, 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeedNotReady.selector, taskId, round));
        volquorum.drawSeats(taskId, round);
    }

    function testRoundOfFewAgainTakesAllOfThem() public {
        bytes32 taskId = createDrawing(3, 6);
        uint32 round = openDrawn(taskId, "seed");
        walkToEnd(taskId, round);
        leave(taskId, desk(5));
        round = openToCommit(taskId);
        assertFalse(volquorum.taskState(taskId).draws);
        commitAll(taskId, round, 5);
    }

    function testNewSeatsWaitOneRoundMoreWhileRoundsDraw() public {
        bytes32 taskId = createDrawing(3, 5);
        // Before the first round nobody can foresee anything.
        join(taskId, desk(5));
        join(taskId, desk(6));
        assertCounters(taskId, 0, 7, 0);
        uint32 round = open(taskId);
        assertCounters(taskId, 7, 0, 0);
        join(taskId, desk(7));
        assertEq(volquorum.seat(taskId, desk(7)).activeFrom, round + 2);
        assertCounters(taskId, 7, 0, 1);

        walkToEnd(taskId, round);
        round = openDrawn(taskId, "seed");
        assertCounters(taskId, 7, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(7), round));
        vm.prank(desk(7));
        volquorum.commitUpdate(taskId, round, "commitment");
        assertFalse(volquorum.mayCommit(taskId, desk(7)));

        walkToEnd(taskId, round);
        round = openDrawn(taskId, seedThatDraws(taskId, round + 1, 8, desk(7)));
        assertCounters(taskId, 8, 0, 0);
        commit(taskId, round, desk(7));
    }

    function testNewSeatsOfARoundThatTakesAllActInTheNext() public {
        bytes32 taskId = createDrawing(3, 4);
        uint32 round = open(taskId);
        join(taskId, desk(4));
        assertEq(volquorum.seat(taskId, desk(4)).activeFrom, round + 1, "five at most are active then");
        join(taskId, desk(5));
        assertEq(volquorum.seat(taskId, desk(5)).activeFrom, round + 1, "so the next round draws");
        join(taskId, desk(6));
        assertEq(volquorum.seat(taskId, desk(6)).activeFrom, round + 2);
        assertCounters(taskId, 4, 2, 1);
        walkToEnd(taskId, round);
        open(taskId);
        assertTrue(volquorum.taskState(taskId).draws);
        assertCounters(taskId, 6, 1, 0);
    }

    function testWhoLeavesIsNotCountedWhereverItWaited() public {
        bytes32 taskId = createDrawing(3, 6);
        open(taskId);
        join(taskId, desk(6));
        walkToEnd(taskId, 1);
        open(taskId);
        join(taskId, desk(7));
        assertCounters(taskId, 6, 1, 1);
        leave(taskId, desk(7));
        assertCounters(taskId, 6, 1, 0);
        leave(taskId, desk(6));
        assertCounters(taskId, 6, 0, 0);
        leave(taskId, desk(0));
        assertCounters(taskId, 5, 0, 0);
    }

    function testQuorumIsOfActiveSeats() public {
        bytes32 taskId = createDrawing(3, 6);
        open(taskId);
        // This one waits for the round after the next.
        join(taskId, desk(6));
        for (uint256 index = 0; index < 4; ++index) {
            leave(taskId, desk(index));
        }
        walkToEnd(taskId, 1);
        assertCounters(taskId, 2, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.QuorumUnreachable.selector, taskId, 2, 3));
        volquorum.openRound(taskId);
        // Two active ones are so few that the next round would take all.
        join(taskId, desk(7));
        open(taskId);
        assertCounters(taskId, 3, 1, 0);
    }

    // --------------------------------------------------------------------------------------------------- the cap

    function testFirstOfTheDrawnThatRevealAreIn(bool batched) public {
        (bytes32 taskId, uint32 round, uint256[] memory desks) = playFull(7);
        for (uint256 index = 5; index < 7; ++index) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.RoundFull.selector, taskId, round, 5));
            if (!batched) {
                reveal(taskId, round, desk(desks[index]));
                continue;
            }
            IVolquorum.Opening[] memory openings = new IVolquorum.Opening[](1);
            openings[0] = openingBy(desk(desks[index]), round);
            volquorum.revealUpdates(taskId, round, openings);
        }
        assertEq(revealedIn(taskId, round), 5);
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        IVolquorum.Update[] memory updates = new IVolquorum.Update[](5);
        for (uint256 index = 0; index < 5; ++index) {
            updates[index] = updateOf(taskId, round, desk(desks[index]));
        }
        volquorum.distribute(taskId, round, updates, "");
        assertEq(volquorum.seat(taskId, desk(desks[4])).served, 1);
        assertEq(volquorum.seat(taskId, desk(desks[5])).served, 0);
    }

    function testWhoCouldNotRevealBecauseTheRoundWasFullLosesNothing(uint256 way) public {
        (bytes32 taskId, uint32 round, uint256[] memory desks) = playFull(6);
        address late = desk(desks[5]);
        walkToEnd(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingWithheld.selector, taskId, late));
        volquorum.slashWithheld(taskId, late);
        if (way % 2 == 0) {
            leave(taskId, late);
            assertEq(creditOf(late), 1 ether);
            return;
        }
        round = openDrawn(taskId, seedThatDraws(taskId, round + 1, 8, late));
        commit(taskId, round, late);
        IVolquorum.Seat memory seat = volquorum.seat(taskId, late);
        assertEq(abi.encode(seat.stakeWei, seat.missed, seat.slashed), abi.encode(1 ether, 0, 0));
        assertEq(seat.committedRound, round);
    }

    function testWhoDidNotRevealInARoundWithRoomIsSlashed() public {
        bytes32 taskId = createDrawing(5, 8);
        uint32 round = openDrawn(taskId, seedThatDraws(taskId, 1, 8, 6));
        uint256[] memory desks = drawnDesks(volquorum.taskState(taskId).draw, 8);
        for (uint256 index = 0; index < 6; ++index) {
            commit(taskId, round, desk(desks[index]));
        }
        walkToReveal(taskId, round);
        for (uint256 index = 0; index < 4; ++index) {
            reveal(taskId, round, desk(desks[index]));
        }
        walkToAvailability(taskId, round);
        for (uint256 index = 4; index < 6; ++index) {
            vm.prank(stranger);
            volquorum.slashWithheld(taskId, desk(desks[index]));
        }
        assertEq(creditOf(stranger), 0.1 ether);
        assertCounters(taskId, 6, 0, 0);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev Eight seats, of which this many are drawn and commit; the first five reveal.
    function playFull(uint256 count) private returns (bytes32 taskId, uint32 round, uint256[] memory desks) {
        taskId = createDrawing(5, 8);
        round = openDrawn(taskId, seedThatDraws(taskId, 1, 8, count));
        desks = drawnDesks(volquorum.taskState(taskId).draw, 8);
        for (uint256 index = 0; index < count; ++index) {
            commit(taskId, round, desk(desks[index]));
        }
        walkToReveal(taskId, round);
        for (uint256 index = 0; index < 5; ++index) {
            reveal(taskId, round, desk(desks[index]));
        }
    }

    function assertCounters(bytes32 taskId, uint256 active, uint256 entering, uint256 pending) private view {
        IVolquorum.TaskState memory task = volquorum.taskState(taskId);
        assertEq(
            abi.encode(task.active, task.entering, task.pending), abi.encode(active, entering, pending), "counters"
        );
    }
}
