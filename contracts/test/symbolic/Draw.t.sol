// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Volquorum} from "../../src/Volquorum.sol";
import {ISeedSource} from "../../src/seeds/ISeedSource.sol";

/// @notice That the threshold of a draw fits its place, and that more chance never leaves a seat out.
contract DrawChecks is Test, Volquorum, ISeedSource {
    bytes32 private seed;

    constructor() Volquorum(address(0), address(0), address(0), address(0)) {}

    /// @inheritdoc ISeedSource
    function seedOf(uint256) external view returns (bytes32) {
        return seed;
    }

    /// @dev Else it would spill into the hash, and no seat would have its chance.
    function check_ThresholdFits(bytes32 taskId, bytes32 given, uint8 drawn, uint16 active) public {
        vm.assume(given != 0 && 0 < drawn && drawn < active);
        setDrawing(taskId, given, drawn, active);
        this.drawSeats(taskId, 1);
        uint256 draw = uint256(tasks[taskId].draw);
        assert(draw >> 64 == uint256(keccak256(abi.encode(given, taskId, uint32(1)))) >> 64);
        assert(uint64(draw) != 0);
    }

    function check_WhoIsDrawnStaysDrawnWithMoreChance(
        bytes32 taskId,
        uint192 hash,
        uint64 threshold,
        uint64 more,
        address account
    ) public {
        vm.assume(threshold <= more);
        (tasks[taskId].draws, tasks[taskId].round) = (true, 1);
        tasks[taskId].seatOf[account].activeFrom = 1;
        tasks[taskId].draw = bytes32(uint256(hash) << 64 | threshold);
        bool drawnBefore = this.mayCommit(taskId, account);
        tasks[taskId].draw = bytes32(uint256(hash) << 64 | more);
        assert(!drawnBefore || this.mayCommit(taskId, account));
    }

    /// @dev The first round may commit, and this contract has its seed.
    function setDrawing(bytes32 taskId, bytes32 given, uint8 drawn, uint16 active) private {
        seed = given;
        (tasks[taskId].quorum, tasks[taskId].round, tasks[taskId].openedAt) = (1, 1, 1);
        (tasks[taskId].commitSeconds, tasks[taskId].draws, tasks[taskId].drawn) = (1, true, drawn);
        tasks[taskId].seedSource = address(this);
        (tasks[taskId].roundOf[1].openedAt, tasks[taskId].roundOf[1].active) = (1, active);
        vm.warp(1);
    }
}
