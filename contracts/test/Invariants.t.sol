// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Handler} from "./Handler.sol";

/// @notice What holds in every reachable state. More invariants are checked inside the handler, after each call: no call
/// but a refutation or the answer to a flag changes what anybody is worth, no phase goes backwards but by a refutation,
/// and which updates are included is what was done in Availability.
contract InvariantsTest is Test {
    Volquorum private volquorum;
    Handler private handler;

    function setUp() public {
        vm.warp(1_750_000_000);
        volquorum = new Volquorum();
        handler = new Handler(volquorum);
        targetContract(address(handler));
    }

    /// @dev One invariant, because forge plays the same calls for each.
    function invariantEverythingHolds() public {
        checkBalanceEqualsStakesBondsDepositsCreditsUnspentRewardsAndWhatBurned();
        checkSeatsAreCountedRight();
        checkWhatBurnedIsWhatWasRefuted();
        checkOnlyTheLatestRoundIsUnsettled();
        checkTimeAloneGivesEverybodyEverythingBack();
    }

    function checkBalanceEqualsStakesBondsDepositsCreditsUnspentRewardsAndWhatBurned() private view {
        assertEq(address(volquorum).balance, creditsWei() + tasksWei() + volquorum.burnedWei());
    }

    /// @dev No less than an account owns already, a sponsor's funds aside; and what the contract held, all in all, but
    /// for what refuted publishers and slashed seats lost.
    function checkTimeAloneGivesEverybodyEverythingBack() private {
        uint256 count = handler.accountCount();
        uint256[] memory owedWei = owed();
        uint256 totalWei = address(volquorum).balance;
        for (uint256 index = 0; index < count; ++index) {
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

    function checkSeatsAreCountedRight() private view {
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

    function checkWhatBurnedIsWhatWasRefuted() private view {
        assertEq(volquorum.burnedWei(), handler.burnedWei());
    }

    function checkOnlyTheLatestRoundIsUnsettled() private view {
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
                if (volquorum.updateFlag(taskId, account).flagger != address(0)) {
                    volquorum.reclaimDeposit(taskId, account);
                }
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
            address[] memory flaggers = handler.flaggers(taskId);
            for (uint256 flag = 0; flag < flaggers.length; ++flag) {
                if (flaggers[flag] != address(0)) sumWei += handler.flagWeiOf(taskId);
            }
            if (!latest.settled) sumWei += latest.bondWei;
            for (uint256 who = 0; who < handler.accountCount(); ++who) {
                sumWei += seatWei(taskId, handler.accounts(who));
            }
        }
    }

    /// @dev A seat's stake and rewards, and the share of a settled round that was not moved into it yet.
    function seatWei(bytes32 taskId, address account) private view returns (uint256) {
        IVolquorum.Seat memory seat = volquorum.seat(taskId, account);
        bool settled = volquorum.roundState(taskId, seat.revealedRound).settled;
        uint256 shareWei = settled ? handler.earned(taskId, seat.revealedRound, account) : 0;
        return uint256(seat.stakeWei) + seat.rewardWei + shareWei;
    }

    /// @dev Each account's purse and what is its own whatever happens: credit, seats, bonds, deposits. Not a sponsor's
    /// funds.
    function owed() private view returns (uint256[] memory owedWei) {
        owedWei = new uint256[](handler.accountCount());
        for (uint256 who = 0; who < owedWei.length; ++who) {
            address account = handler.accounts(who);
            owedWei[who] = account.balance + volquorum.creditOf(account);
        }
        for (uint256 index = 0; index < handler.taskCount(); ++index) {
            bytes32 taskId = handler.tasks(index);
            IVolquorum.RoundState memory latest = volquorum.roundState(taskId, volquorum.taskState(taskId).round);
            address[] memory flaggers = handler.flaggers(taskId);
            for (uint256 who = 0; who < owedWei.length; ++who) {
                address account = handler.accounts(who);
                owedWei[who] += seatWei(taskId, account);
                if (latest.publisher == account && !latest.settled) owedWei[who] += latest.bondWei;
                for (uint256 flag = 0; flag < flaggers.length; ++flag) {
                    if (flaggers[flag] == account) owedWei[who] += handler.flagWeiOf(taskId);
                }
            }
        }
    }
}
