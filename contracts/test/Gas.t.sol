// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";

/// @notice What each call costs at 3, 10, 30 and 64 participants, the first time and in steady state.
/// @dev Run with --isolate, so that each call is a transaction of its own with cold storage.
contract GasTest is Fixture {
    // A task's reveal table has no fresh entry left after this many rounds, but for bad luck.
    uint32 private constant WARM_ROUNDS = 12;

    function testGasOfThreeParticipants() public {
        measure("participants-3", 3);
    }

    function testGasOfFiveParticipants() public {
        measure("participants-5", 5);
    }

    function testGasOfTenParticipants() public {
        measure("participants-10", 10);
    }

    function testGasOfThirtyParticipants() public {
        measure("participants-30", 30);
    }

    function testGasOfSixtyFourParticipants() public {
        measure("participants-64", 64);
    }

    function measure(string memory group, uint8 count) private {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.cohort = count;
        params.quorum = count;
        params.rounds = WARM_ROUNDS + 2; // the last one is void
        vm.deal(sponsor, uint256(params.rounds) * params.rewardWei);
        vm.prank(sponsor);
        bytes32 taskId = volquorum.createTask{value: uint256(params.rounds) * params.rewardWei}(params);
        vm.snapshotGasLastCall(group, "createTask");
        joinAll(taskId, count);
        vm.snapshotGasLastCall(group, "join");

        measureRound(group, "first", taskId, count);
        for (uint256 warm = 1; warm < WARM_ROUNDS; ++warm) {
            openToFinal(taskId, count);
        }
        volquorum.finalise(taskId);
        measureRound(group, "steady", taskId, count);

        openToVoid(taskId);
        volquorum.voidRound(taskId);
        vm.snapshotGasLastCall(group, "voidRound");
        volquorum.claim(taskId, desk(0));
        vm.snapshotGasLastCall(group, "claim");
        vm.prank(desk(0));
        volquorum.withdraw(desk(0));
        vm.snapshotGasLastCall(group, "withdraw");
        vm.prank(desk(0));
        volquorum.leave(taskId);
        vm.snapshotGasLastCall(group, "leave");
        volquorum.closeTask(taskId);
        vm.snapshotGasLastCall(group, "closeTask");
    }

    /// @dev Commit and reveal are the mean over the participants; the round is the sum of its transactions.
    function measureRound(string memory group, string memory when, bytes32 taskId, uint256 count) private {
        uint256 total;
        uint32 round = open(taskId);
        total += vm.snapshotGasLastCall(group, string.concat("openRound ", when));

        walkToCommit(taskId, round);
        uint256 commits;
        for (uint256 index = 0; index < count; ++index) {
            commit(taskId, round, desk(index));
            commits += vm.lastCallGas().gasTotalUsed;
        }
        vm.snapshotValue(group, string.concat("commitUpdate ", when), commits / count);

        walkToReveal(taskId, round);
        uint256 reveals;
        for (uint256 index = 0; index < count; ++index) {
            reveal(taskId, round, desk(index));
            reveals += vm.lastCallGas().gasTotalUsed;
        }
        vm.snapshotValue(group, string.concat("revealUpdate ", when), reveals / count);

        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        total += vm.snapshotGasLastCall(group, string.concat("publish ", when));
        walkToEnd(taskId, round);
        volquorum.finalise(taskId);
        total += vm.snapshotGasLastCall(group, string.concat("finalise ", when));
        vm.snapshotValue(group, string.concat("whole round ", when), total + commits + reveals);
    }
}
