// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "forge-std/interfaces/IERC20.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Where a task's money is, to the wei, and a task's whole life in which it goes everywhere.
abstract contract Books is Fixture {
    // Who revealed in each round of the life, in order.
    mapping(uint32 round => address[] accounts) private revealers;

    /// @dev What the contract holds in the currency of its only task: what it owes to accounts and to seats, the
    /// sponsor's funds, bonds and rewards of rounds, and what is burned. No deposit is on anything.
    function assertBooks(bytes32 taskId, uint256 desks) internal view {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        IVolquorum.TaskState memory state = volquorum.taskState(taskId);
        address currency = params.currency;
        uint256 owedWei = state.fundsWei + volquorum.burnedOf(currency);
        owedWei += volquorum.creditOf(currency, sponsor) + volquorum.creditOf(currency, aggregator)
        + volquorum.creditOf(currency, stranger);
        for (uint256 index = 0; index < desks; ++index) {
            IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(index));
            owedWei += volquorum.creditOf(currency, desk(index)) + seat.stakeWei + seat.rewardWei;
        }
        for (uint32 round = 1; round <= state.round; ++round) {
            IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
            if (facts.publishedAt == 0) continue;
            if (!facts.settled) owedWei += facts.bondWei;
            else if (!facts.distributed && isFinal(taskId, round)) owedWei += params.rewardWei;
        }
        assertEq(held(currency), owedWei, "books");
    }

    function held(address currency) internal view returns (uint256) {
        return currency == ETH ? address(volquorum).balance : IERC20(currency).balanceOf(address(volquorum));
    }

    /// @dev Plays all rounds of a task with five seats and a quorum of three, in which anybody may withhold, be excluded,
    /// be slashed, be restored or leave, and rewards may wait. At its end everybody withdraws what is owed.
    function live(bytes32 taskId, uint256 seed) internal {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        joinAll(taskId, 5);
        for (uint32 round = 1; round <= params.rounds; ++round) {
            uint256 drawn = uint256(keccak256(abi.encode(seed, round)));
            if (volquorum.taskState(taskId).active + volquorum.taskState(taskId).entering < 3) break;
            open(taskId);
            serve(taskId, round, drawn);
            assertBooks(taskId, 5);
            conclude(taskId, round, drawn >> 32);
            assertBooks(taskId, 5);
            for (uint256 index = 0; index < 5; ++index) {
                change(taskId, desk(index), uint8(drawn >> (64 + 8 * index)));
            }
            assertBooks(taskId, 5);
        }
        payOut(taskId, params.currency);
    }

    function serve(bytes32 taskId, uint32 round, uint256 drawn) private {
        walkToCommit(taskId, round);
        for (uint256 index = 0; index < 5; ++index) {
            if (volquorum.mayCommit(taskId, desk(index)) && drawn >> 3 * index & 7 != 0) {
                commit(taskId, round, desk(index));
            }
        }
        walkToReveal(taskId, round);
        for (uint256 index = 5; index > 0; --index) {
            address account = desk(index - 1);
            // In every other round one withholds.
            if ((drawn >> 16) % 10 == index || volquorum.seat(taskId, account).committedRound != round) continue;
            reveal(taskId, round, account);
            revealers[round].push(account);
        }
        walkToAvailability(taskId, round);
    }

    function conclude(bytes32 taskId, uint32 round, uint256 drawn) private {
        IVolquorum.Update[] memory updates = updatesIn(taskId, round);
        if (updates.length >= 3) {
            if (drawn % 3 == 0) flag(taskId, round, updates, drawn % updates.length, stranger);
            walkToAggregate(taskId, round);
            if (drawn % 3 == 0) volquorum.reclaimDeposit(taskId, updates[drawn % updates.length].participant);
            bool aggregates = phaseOf(taskId, round) == IVolquorum.Phase.Aggregate;
            if (aggregates && drawn % 4 != 0) publish(taskId, round, aggregator);
            // Of seats whose update is included, often none.
            bool votes = aggregates && volquorum.taskState(taskId).byVotes;
            for (uint256 index = 0; votes && index < drawn % 7 && index < updates.length; ++index) {
                if (drawn % 3 == 0 && index == drawn % updates.length) continue;
                vote(taskId, round, updates[index].participant);
            }
        }
        walkToEnd(taskId, round);
        bool waits = drawn % 5 == 0;
        if (isFinal(taskId, round) && !waits) {
            volquorum.distribute(taskId, round, updates, "");
        }
    }

    function change(bytes32 taskId, address account, uint8 drawn) private {
        uint256 kind = drawn % 12;
        IVolquorum.Seat memory seat = volquorum.seat(taskId, account);
        bytes memory data = abi.encodeCall(IVolquorum.slashWithheld, (taskId, account));
        if (kind < 5) data = abi.encodeCall(IVolquorum.withdraw, (volquorum.taskParams(taskId).currency, account));
        if (kind < 3) data = abi.encodeCall(IVolquorum.claim, (taskId, account));
        if (kind == 0) data = abi.encodeCall(IVolquorum.leave, (taskId));
        bool exhausted = volquorum.taskState(taskId).round == volquorum.taskParams(taskId).rounds;
        if (seat.activeFrom == 0 && !exhausted) join(taskId, account);
        else if (seat.activeFrom == type(uint32).max && !exhausted) restore(taskId, account);
        vm.prank(kind < 5 ? account : stranger);
        (bool done,) = address(volquorum).call(data);
        done; // a refused call moves nothing
    }

    function payOut(bytes32 taskId, address currency) private {
        if (!volquorum.taskState(taskId).ended) {
            vm.prank(sponsor);
            volquorum.endTask(taskId);
        }
        volquorum.closeTask(taskId);
        for (uint32 round = 1; round <= volquorum.taskState(taskId).round; ++round) {
            IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
            bool pays = isFinal(taskId, round) && !facts.distributed;
            if (pays) volquorum.distribute(taskId, round, updatesIn(taskId, round), "");
        }
        assertBooks(taskId, 5);
        for (uint256 index = 0; index < 5; ++index) {
            if (volquorum.seat(taskId, desk(index)).activeFrom != 0) leave(taskId, desk(index));
            else if (volquorum.seat(taskId, desk(index)).rewardWei != 0) volquorum.claim(taskId, desk(index));
            withdrawAll(currency, desk(index));
        }
        withdrawAll(currency, sponsor);
        withdrawAll(currency, aggregator);
        withdrawAll(currency, stranger);
        assertEq(held(currency), volquorum.burnedOf(currency), "what is left is burned");
    }

    function isFinal(bytes32 taskId, uint32 round) private view returns (bool) {
        return phaseOf(taskId, round) == IVolquorum.Phase.Final;
    }

    function updatesIn(bytes32 taskId, uint32 round) internal view returns (IVolquorum.Update[] memory updates) {
        address[] storage accounts = revealers[round];
        updates = new IVolquorum.Update[](accounts.length);
        for (uint256 index = 0; index < accounts.length; ++index) {
            address account = accounts[index];
            updates[index] = IVolquorum.Update(account, updateRoot(taskId, account, round), squaredNorm(account, round));
        }
    }

    function withdrawAll(address currency, address account) private {
        if (volquorum.creditOf(currency, account) == 0) return;
        vm.prank(account);
        volquorum.withdraw(currency, account);
    }
}
