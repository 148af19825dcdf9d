// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Members} from "../../src/Members.sol";
import {IVolquorum} from "../../src/interfaces/IVolquorum.sol";
import {CommitmentLib} from "../../src/libraries/CommitmentLib.sol";

/// @notice That shares and rest are a round's reward to the last wei.
/// @dev For equal shares: two different parts of an unknown reward are out of a solver's reach. Which updates are
/// excluded is tried one by one.
contract SharesChecks is Test, Members {
    uint256 private constant UPDATES = 3;

    function check_EqualSharesAndRestAreTheReward(bytes32 taskId, uint96 rewardWei, uint64 excluded) public {
        uint64 unavailable = uint64(oneOf(excluded, 1 << UPDATES));
        IVolquorum.Update[] memory updates = new IVolquorum.Update[](UPDATES);
        for (uint256 index = 0; index < UPDATES; ++index) {
            updates[index].participant = participant(index);
        }
        setFinal(taskId, rewardWei, unavailable);
        tasks[taskId].roundOf[1].updatesHash = this.hashOf(taskId, updates);
        this.distribute(taskId, 1, updates, "");

        uint256 paidWei = credits[ETH][tasks[taskId].sponsor];
        for (uint256 index = 0; index < UPDATES; ++index) {
            IVolquorum.Seat storage seat = tasks[taskId].seatOf[participant(index)];
            assert(seat.rewardWei <= rewardWei);
            assert(seat.served == 1 - (unavailable >> index & 1));
            assert(seat.served == 1 || seat.rewardWei == 0);
            paidWei += seat.rewardWei;
        }
        assert(paidWei == rewardWei);
    }

    function hashOf(bytes32 taskId, IVolquorum.Update[] calldata updates) external view returns (bytes32) {
        return CommitmentLib.updatesHash(taskId, 1, updates);
    }

    /// @dev The first round is final and settled, and a later one runs.
    function setFinal(bytes32 taskId, uint96 rewardWei, uint64 unavailable) private {
        tasks[taskId].quorum = 1;
        tasks[taskId].round = 2;
        tasks[taskId].sponsor = address(0x5005);
        tasks[taskId].rewardWei = rewardWei;
        IVolquorum.RoundState storage facts = tasks[taskId].roundOf[1];
        (facts.openedAt, facts.publishedAt, facts.settled) = (1, 1, true);
        facts.unavailable = unavailable;
        vm.warp(2);
    }

    /// @dev The value, known, on a path of its own for each.
    function oneOf(uint256 value, uint256 count) private pure returns (uint256) {
        for (uint256 known = 0; known < count; ++known) {
            if (value == known) return known;
        }
        vm.assume(false);
        return 0;
    }

    function participant(uint256 index) private pure returns (address) {
        return address(uint160(0xde5c + index));
    }
}
