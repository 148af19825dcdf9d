// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {DrawFixture} from "./DrawFixture.sol";

/// @notice What rounds cost, as transactions: whole ones of 3 to 64 participants, and each call by itself.
/// @dev Run with --isolate, so that each call is a transaction of its own with cold storage. A round is measured after five
/// others: then every slot that rounds share was written before.
contract GasTest is DrawFixture {
    string private constant GROUP = "round";
    uint256 private constant WARM_ROUNDS = 5;

    function testGasOfThreeParticipants() public {
        measureDirect("round_n3_direct", playToWarm(3), 3);
    }

    function testGasOfTenParticipants() public {
        bytes32 taskId = playToWarm(10);
        uint256 snapshot = vm.snapshotState();
        measureDirect("round_n10_direct", taskId, 10);
        vm.snapshotGasLastCall(GROUP, "distribute_n10");
        vm.revertToState(snapshot);
        measureBatched("round_n10_batched", taskId, 10);
    }

    function testGasOfThirtyParticipants() public {
        measureDirect("round_n30_direct", playToWarm(30), 30);
    }

    function testGasOfSixtyFourParticipants() public {
        bytes32 taskId = playToWarm(64);
        uint256 snapshot = vm.snapshotState();
        uint256 gas = measureDirect("round_n64_direct", taskId, 64);
        vm.snapshotGasLastCall(GROUP, "distribute_n64");
        vm.snapshotValue(GROUP, "commit_reveal_direct", gas / 64);
        vm.revertToState(snapshot);
        gas = measureBatched("round_n64_batched", taskId, 64);
        vm.snapshotValue(GROUP, "commit_reveal_batched", gas / 64);
    }

    function testGasOfEachCallOfARound() public {
        bytes32 taskId = createFor(10);
        vm.snapshotGasLastCall(GROUP, "createTask");
        joinAll(taskId, 10);
        vm.snapshotGasLastCall(GROUP, "join");
        measureCalls("first", taskId, 10);
        for (uint256 warm = 1; warm < WARM_ROUNDS; ++warm) {
            playRound(taskId, 10);
        }
        measureCalls("steady", taskId, 10);

        openToVoid(taskId);
        volquorum.voidRound(taskId);
        vm.snapshotGasLastCall(GROUP, "voidRound");
        volquorum.claim(taskId, desk(0));
        vm.snapshotGasLastCall(GROUP, "claim");
        vm.prank(desk(0));
        volquorum.withdraw(ETH, desk(0));
        vm.snapshotGasLastCall(GROUP, "withdraw");
        leave(taskId, desk(0));
        vm.snapshotGasLastCall(GROUP, "leave");
        vm.prank(sponsor);
        volquorum.endTask(taskId);
        vm.snapshotGasLastCall(GROUP, "endTask");
        volquorum.closeTask(taskId);
        vm.snapshotGasLastCall(GROUP, "closeTask");
    }

    function testGasOfLosingASliceAndRestoringTheSeat() public {
        bytes32 taskId = createFor(10);
        joinAll(taskId, 10);
        uint32 round = openToReveal(taskId, 10);
        volquorum.slashEquivocation(
            taskId, round, signed(taskId, round, 0, "commitment"), signed(taskId, round, 0, "another one")
        );
        vm.snapshotGasLastCall(GROUP, "slashEquivocation");
        walkToEnd(taskId, round);
        volquorum.slashWithheld(taskId, desk(1));
        vm.snapshotGasLastCall(GROUP, "slashWithheld");
        restore(taskId, desk(1));
        vm.snapshotGasLastCall(GROUP, "restore");
    }

    function testGasOfADraw() public {
        bytes32 taskId = createDrawing(5, 12);
        for (uint256 round = 0; round < 2; ++round) {
            walkToEnd(taskId, openDrawn(taskId, "seed"));
        }
        uint32 latest = open(taskId);
        draw(taskId, latest, seedThatDraws(taskId, latest, 12, desk(0)));
        vm.snapshotGasLastCall(GROUP, "drawSeats");
        walkToCommit(taskId, latest);
        commit(taskId, latest, desk(0));
        vm.snapshotGasLastCall(GROUP, "commitUpdate drawn");
    }

    function testGasOfScores() public {
        IVolquorum.TaskParams memory params = paramsFor(64);
        (params.rewardRule, params.scoreSeconds) = (IVolquorum.RewardRule.Scores, 60);
        bytes32 taskId = create(params);
        joinAll(taskId, 64);
        // The second round writes where the first did.
        for (uint256 count = 0; count < 2; ++count) {
            uint32 round = openToAggregate(taskId, 64);
            bytes memory given = giveScores(taskId, round);
            publish(taskId, round, aggregator);
            walkToEnd(taskId, round);
            volquorum.distribute(taskId, round, updatesOf(taskId, round, 64), given);
        }
        vm.snapshotGasLastCall(GROUP, "distribute_scores_n64");
    }

    /// @dev Before anything is published: each vote is the last participant's, in a round that has some already.
    function testGasOfVotes() public {
        IVolquorum.TaskParams memory params = paramsFor(10);
        params.rule = IVolquorum.Rule.MinimumDiameter;
        bytes32 taskId = create(params);
        joinAll(taskId, 10);
        uint32 round = openToAggregate(taskId, 10);
        voteAll(taskId, round, 10);
        vm.snapshotGasLastCall(GROUP, "vote first");
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 10);
        voteAll(taskId, round, 10);
        vm.snapshotGasLastCall(GROUP, "vote steady");
        // Whatever is burned first pays for the field that it is counted in.
        for (uint256 count = 0; count < 2; ++count) {
            publish(taskId, round, aggregator, "another aggregate", "another model");
            volquorum.refuteOutvoted(taskId, round, AGGREGATE_ROOT, MODEL_ROOT);
        }
        vm.snapshotGasLastCall(GROUP, "refuteOutvoted");
    }

    /// @dev Before anything is published, for a result without votes, in a round that is not the first.
    function testGasOfRelayedVotes() public {
        measureRelayedVotes("votes_relayed_n10", 10);
        measureRelayedVotes("votes_relayed_n64", 64);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function measureRelayedVotes(string memory name, uint8 count) private {
        IVolquorum.TaskParams memory params = paramsFor(count);
        params.rule = IVolquorum.Rule.MinimumDiameter;
        bytes32 taskId = create(params);
        joinAll(taskId, count);
        for (uint256 played = 0; played < 2; ++played) {
            uint32 round = openToAggregate(taskId, count);
            IVolquorum.Result memory result = resultFor(taskId, round, AGGREGATE_ROOT, MODEL_ROOT);
            volquorum.relayVotes(taskId, round, result, signedVotes(taskId, round, 0, count, result));
            vm.snapshotGasLastCall(GROUP, name);
            publish(taskId, round, aggregator);
            walkToEnd(taskId, round);
        }
    }

    function voteAll(bytes32 taskId, uint32 round, uint256 count) private {
        for (uint256 index = 0; index < count; ++index) {
            vote(taskId, round, desk(index));
        }
    }

    function paramsFor(uint8 count) private view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        setCohort(params, count);
        params.rounds = 10;
        params.publisherWei = 0.01 ether;
    }

    function createFor(uint8 count) private returns (bytes32) {
        return create(paramsFor(count));
    }

    /// @dev A full cohort before its sixth round.
    function playToWarm(uint8 count) private returns (bytes32 taskId) {
        taskId = createFor(count);
        joinAll(taskId, count);
        for (uint256 warm = 0; warm < WARM_ROUNDS; ++warm) {
            playRound(taskId, count);
        }
    }

    /// @dev A round is the sum of its transactions; what commits and reveals cost together. The last call is the
    /// distribution.
    function measureDirect(string memory name, bytes32 taskId, uint256 count) private returns (uint256 gas) {
        uint32 round = open(taskId);
        uint256 opening = vm.lastCallGas().gasTotalUsed;
        walkToCommit(taskId, round);
        for (uint256 index = 0; index < count; ++index) {
            commit(taskId, round, desk(index));
            gas += vm.lastCallGas().gasTotalUsed;
        }
        walkToReveal(taskId, round);
        for (uint256 index = 0; index < count; ++index) {
            reveal(taskId, round, desk(index));
            gas += vm.lastCallGas().gasTotalUsed;
        }
        vm.snapshotValue(GROUP, name, opening + gas + measureEnd(taskId, round, count));
    }

    function measureBatched(string memory name, bytes32 taskId, uint256 count) private returns (uint256 gas) {
        uint32 round = open(taskId);
        uint256 opening = vm.lastCallGas().gasTotalUsed;
        walkToCommit(taskId, round);
        volquorum.commitUpdates(taskId, round, signedAll(taskId, round, count));
        gas += vm.lastCallGas().gasTotalUsed;
        walkToReveal(taskId, round);
        volquorum.revealUpdates(taskId, round, openingsOf(round, count));
        gas += vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue(GROUP, name, opening + gas + measureEnd(taskId, round, count));
    }

    function measureEnd(bytes32 taskId, uint32 round, uint256 count) private returns (uint256 gas) {
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        gas = vm.lastCallGas().gasTotalUsed;
        walkToEnd(taskId, round);
        distribute(taskId, round, count);
        gas += vm.lastCallGas().gasTotalUsed;
    }

    /// @dev The last participant's commit and reveal. `finalise` goes before `distribute`, which would do its work.
    function measureCalls(string memory when, bytes32 taskId, uint256 count) private {
        uint32 round = open(taskId);
        vm.snapshotGasLastCall(GROUP, string.concat("openRound ", when));
        walkToCommit(taskId, round);
        commitAll(taskId, round, count);
        vm.snapshotGasLastCall(GROUP, string.concat("commitUpdate ", when));
        walkToReveal(taskId, round);
        revealAll(taskId, round, count);
        vm.snapshotGasLastCall(GROUP, string.concat("revealUpdate ", when));
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        vm.snapshotGasLastCall(GROUP, string.concat("publish ", when));
        walkToEnd(taskId, round);
        volquorum.finalise(taskId);
        vm.snapshotGasLastCall(GROUP, string.concat("finalise ", when));
        distribute(taskId, round, count);
        vm.snapshotGasLastCall(GROUP, string.concat("distribute ", when));
    }

    /// @dev Everybody scores everybody, drawn; what `distribute` carries of it.
    function giveScores(bytes32 taskId, uint32 round) private returns (bytes memory given) {
        bytes[] memory scores = new bytes[](64);
        for (uint256 index = 0; index < 64; ++index) {
            bytes32 draw = keccak256(abi.encode("scores", index));
            scores[index] = abi.encodePacked(draw, keccak256(abi.encode(draw)));
            given = abi.encodePacked(given, uint8(index), scores[index]);
            commitScores(taskId, round, desk(index), scores[index]);
        }
        vm.snapshotGasLastCall(GROUP, "commitScores");
        vm.warp(volquorum.deadlines(taskId, round).scoreCommit);
        for (uint256 index = 0; index < 64; ++index) {
            revealScores(taskId, round, desk(index), scores[index]);
        }
        vm.snapshotGasLastCall(GROUP, "revealScores");
    }
}
