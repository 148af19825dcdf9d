// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice How rewards are divided in whole rounds, against the vectors that Python passes too.
contract ShareVectorsTest is Fixture {
    /// @dev One row: what its task and its round are like.
    struct Row {
        IVolquorum.TaskParams params;
        uint256 count;
        uint256 unavailable;
        bytes samples;
        bytes scores;
    }

    function testVectorsOfShares() public {
        string memory json = vm.readFile("tests/vectors/shares.json");
        string[] memory names = vm.parseJsonStringArray(json, ".name");
        assertGt(names.length, 0, "no vectors");
        for (uint256 index = 0; index < names.length; ++index) {
            vm.warp(START);
            Row memory row = rowOf(json, index);
            (bytes32 taskId, IVolquorum.Update[] memory updates) = playToEnd(row);
            bytes memory shares = vm.parseJsonBytesArray(json, ".sharesWei")[index];
            (uint96[] memory sharesWei, uint256 restWei) = (new uint96[](row.count), row.params.rewardWei);
            for (uint256 each = 0; each < row.count; ++each) {
                sharesWei[each] = uint96(numberAt(shares, 12 * each, 12));
                restWei -= sharesWei[each];
            }
            vm.expectEmit(address(volquorum));
            emit IVolquorum.RewardsDistributed(taskId, 1, sharesWei, restWei);
            volquorum.distribute(taskId, 1, updates, row.scores);
            for (uint256 each = 0; each < row.count; ++each) {
                assertEq(volquorum.seat(taskId, desk(each)).rewardWei, sharesWei[each], names[index]);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function rowOf(string memory json, uint256 index) private view returns (Row memory row) {
        row.count = vm.parseJsonUintArray(json, ".count")[index];
        row.unavailable = vm.parseJsonUintArray(json, ".unavailable")[index];
        row.samples = vm.parseJsonBytesArray(json, ".samples")[index];
        row.scores = vm.parseJsonBytesArray(json, ".scores")[index];
        row.params = ordinaryParams();
        setCohort(row.params, uint8(row.count));
        (row.params.quorum, row.params.tolerance, row.params.rounds) = (1, 0, 1);
        row.params.salt = bytes32(index);
        row.params.rewardWei = uint96(bytes12(vm.parseJsonBytesArray(json, ".rewardWei")[index]));
        row.params.rewardRule = IVolquorum.RewardRule(vm.parseJsonUintArray(json, ".rewardRule")[index]);
        row.params.sampleCap = uint32(vm.parseJsonUintArray(json, ".sampleCap")[index]);
        if (row.params.rewardRule == IVolquorum.RewardRule.Scores) row.params.scoreSeconds = 60;
    }

    function playToEnd(Row memory row) private returns (bytes32 taskId, IVolquorum.Update[] memory updates) {
        taskId = create(row.params);
        for (uint256 each = 0; each < row.count; ++each) {
            join(taskId, desk(each), uint32(numberAt(row.samples, 4 * each, 4)));
        }
        openToAvailability(taskId, row.count);
        updates = updatesOf(taskId, 1, row.count);
        for (uint256 each = 0; each < row.count; ++each) {
            if (row.unavailable >> each & 1 == 1) flag(taskId, 1, updates, each, stranger);
        }
        walkToAggregate(taskId, 1);
        publish(taskId, 1, aggregator);
        if (row.scores.length != 0) giveScores(taskId, row);
        walkToEnd(taskId, 1);
    }

    /// @dev Everybody whose scores the row has, in its order.
    function giveScores(bytes32 taskId, Row memory row) private {
        uint256 length = row.count + 1;
        for (uint256 start = 0; start < row.scores.length; start += length) {
            bytes memory scores = PlainTree.slice(row.scores, start + 1, row.count);
            commitScores(taskId, 1, desk(uint8(row.scores[start])), scores);
        }
        vm.warp(volquorum.deadlines(taskId, 1).scoreCommit);
        for (uint256 start = 0; start < row.scores.length; start += length) {
            bytes memory scores = PlainTree.slice(row.scores, start + 1, row.count);
            revealScores(taskId, 1, desk(uint8(row.scores[start])), scores);
        }
    }

    function numberAt(bytes memory all, uint256 start, uint256 length) private pure returns (uint256 number) {
        for (uint256 offset = 0; offset < length; ++offset) {
            number = number << 8 | uint8(all[start + offset]);
        }
    }
}
