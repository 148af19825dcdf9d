// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Handler} from "./Handler.sol";

/// @notice What holds in every reachable state. Two more invariants are checked inside the handler, after each call: no
/// call but a proof changes what anybody is worth, and no phase goes backwards but by one.
contract InvariantsTest is Test {
    Volquorum private volquorum;
    Handler private handler;

    function setUp() public {
        vm.warp(1_750_000_000);
        volquorum = new Volquorum();
        handler = new Handler(volquorum);
        targetContract(address(handler));
    }

    function invariantBalanceEqualsStakesBondsCreditsUnspentRewardsAndWhatBurned() public view {
        assertEq(address(volquorum).balance, creditsWei() + tasksWei() + volquorum.burnedWei());
    }

    /// @dev No less than an account owns already, a sponsor's funds aside; and what the contract held, all in all, but
    /// for what refuted publishers lost.
    function invariantTimeAloneGivesEverybodyEverythingBack() public {
        uint256 count = handler.accountCount();
        uint256[] memory owedWei = new uint256[](count);
        uint256 totalWei = address(volquorum).balance;
        for (uint256 index = 0; index < count; ++index) {
            owedWei[index] = owedTo(handler.accounts(index));
            totalWei += handler.accounts(index).balance;
        }
        unwind();
        for (uint256 index = 0; index < count; ++index) {
            assertGe(handler.accounts(index).balance, owedWei[index], "somebody lost money");
            totalWei -= handler.accounts(index).balance;
        }
        assertEq(address(volquorum).balance, volquorum.burnedWei(), "something stayed behind");
        assertEq(totalWei, volquorum.burnedWei(), "something went elsewhere");
    }

    function invariantSeatsAreCountedRight() public view {
        for (uint256 index = 0; index < handler.taskCount(); ++index) {
            bytes32 taskId = handler.tasks(index);
            uint256 seats;
            for (uint256 who = 0; who < handler.accountCount(); ++who) {
                if (volquorum.seat(taskId, handler.accounts(who)).activeFrom != 0) ++seats;
            }
            assertEq(volquorum.taskState(taskId).seats, seats, "seats");
            assertLe(seats, volquorum.taskParams(taskId).cohort, "cohort");
        }
    }

    function invariantWhatBurnedIsWhatWasRefuted() public view {
        assertEq(volquorum.burnedWei(), handler.burnedWei());
    }

    function invariantOnlyTheLatestRoundIsUnsettled() public view {
        for (uint256 index = 0; index < handler.taskCount(); ++index) {
            bytes32 taskId = handler.tasks(index);
            for (uint32 round = 1; round < volquorum.taskState(taskId).round; ++round) {
                assertTrue(volquorum.roundState(taskId, round).settled, "settled");
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev Nobody does anything any more but what each may do alone, in the worst order.
    function unwind() private {
        vm.warp(block.timestamp + 1 days);
        for (uint256 index = 0; index < handler.taskCount(); ++index) {
            bytes32 taskId = handler.tasks(index);
            if (!volquorum.taskState(taskId).closed) volquorum.closeTask(taskId);
            for (uint256 who = 0; who < handler.accountCount(); ++who) {
                address account = handler.accounts(who);
                if (volquorum.seat(taskId, account).activeFrom == 0) continue;
                vm.prank(account);
                volquorum.leave(taskId);
            }
        }
        for (uint256 who = 0; who < handler.accountCount(); ++who) {
            address account = handler.accounts(who);
            if (volquorum.creditOf(account) == 0) continue;
            vm.prank(account);
            volquorum.withdraw(account);
        }
    }

    function creditsWei() private view returns (uint256 sumWei) {
        for (uint256 who = 0; who < handler.accountCount(); ++who) {
            sumWei += volquorum.creditOf(handler.accounts(who));
        }
    }

    function tasksWei() private view returns (uint256 sumWei) {
        for (uint256 index = 0; index < handler.taskCount(); ++index) {
            bytes32 taskId = handler.tasks(index);
            IVolquorum.TaskState memory state = volquorum.taskState(taskId);
            IVolquorum.RoundState memory latest = volquorum.roundState(taskId, state.round);
            sumWei += state.fundsWei;
            if (!latest.settled) sumWei += latest.bondWei;
            for (uint256 who = 0; who < handler.accountCount(); ++who) {
                sumWei += seatWei(taskId, handler.accounts(who));
            }
        }
    }

    /// @dev A seat's stake and rewards, and the share of a settled round that was not moved into it yet.
    function seatWei(bytes32 taskId, address account) private view returns (uint256) {
        IVolquorum.Seat memory seat = volquorum.seat(taskId, account);
        uint256 shareWei = volquorum.roundState(taskId, seat.revealedRound).shareWei;
        return uint256(seat.stakeWei) + seat.rewardWei + shareWei;
    }

    /// @dev An account's purse and what is its own whatever happens: credit, seats, bonds. Not a sponsor's funds.
    function owedTo(address account) private view returns (uint256 owedWei) {
        owedWei = account.balance + volquorum.creditOf(account);
        for (uint256 index = 0; index < handler.taskCount(); ++index) {
            bytes32 taskId = handler.tasks(index);
            IVolquorum.RoundState memory latest = volquorum.roundState(taskId, volquorum.taskState(taskId).round);
            owedWei += seatWei(taskId, account);
            if (latest.publisher == account && !latest.settled) owedWei += latest.bondWei;
        }
    }
}
