// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";
import {ScriptedSource} from "./ScriptedSource.sol";

/// @notice Tasks with more seats than a round takes, drawn with seeds that a test chooses.
abstract contract DrawFixture is Fixture {
    ScriptedSource internal source;

    function setUp() public virtual override {
        super.setUp();
        source = new ScriptedSource();
        vm.roll(1000);
    }

    /// @dev Twelve seats, of which a round takes five.
    function drawingParams(uint8 drawn) internal view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        (params.seats, params.drawn, params.seedSource) = (12, drawn, address(source));
    }

    /// @dev With as many seats taken.
    function createDrawing(uint8 drawn, uint256 seats) internal returns (bytes32 taskId) {
        taskId = create(drawingParams(drawn));
        joinAll(taskId, seats);
    }

    /// @dev The next round up to Commit, drawn with this seed.
    function openDrawn(bytes32 taskId, bytes32 seed) internal returns (uint32 round) {
        round = open(taskId);
        draw(taskId, round, seed);
        walkToCommit(taskId, round);
    }

    function draw(bytes32 taskId, uint32 round, bytes32 seed) internal {
        source.set(volquorum.taskState(taskId).openedBlock, seed);
        volquorum.drawSeats(taskId, round);
    }

    /// @dev A seed that draws as many of the first `seats` desks, where these are the active ones.
    function seedThatDraws(bytes32 taskId, uint32 round, uint256 seats, uint256 count)
        internal
        view
        returns (bytes32 seed)
    {
        uint8 drawn = volquorum.taskParams(taskId).drawn;
        for (uint256 attempt = 0;; ++attempt) {
            seed = keccak256(abi.encode("seed", attempt));
            if (drawnDesks(drawOf(seed, taskId, round, drawn, seats), seats).length == count) return seed;
        }
    }

    /// @dev A seed that draws this account, where this many seats are active.
    function seedThatDraws(bytes32 taskId, uint32 round, uint256 seats, address account)
        internal
        view
        returns (bytes32 seed)
    {
        uint8 drawn = volquorum.taskParams(taskId).drawn;
        for (uint256 attempt = 0;; ++attempt) {
            seed = keccak256(abi.encode("seed", attempt));
            if (isDrawn(drawOf(seed, taskId, round, drawn, seats), account)) return seed;
        }
    }

    /// @dev The numbers of the desks that a draw chooses.
    function drawnDesks(bytes32 drawn, uint256 seats) internal pure returns (uint256[] memory desks) {
        desks = new uint256[](seats);
        uint256 count = 0;
        for (uint256 index = 0; index < seats; ++index) {
            if (isDrawn(drawn, desk(index))) desks[count++] = index;
        }
        assembly ("memory-safe") {
            mstore(desks, count)
        }
    }

    function drawOf(bytes32 seed, bytes32 taskId, uint32 round, uint256 drawn, uint256 active)
        internal
        pure
        returns (bytes32)
    {
        bytes24 own = bytes24(keccak256(abi.encode(seed, taskId, round)));
        return bytes32(abi.encodePacked(own, uint64(drawn * 2 ** 64 / active)));
    }

    function isDrawn(bytes32 drawn, address account) internal pure returns (bool) {
        return uint256(keccak256(abi.encodePacked(bytes24(drawn), account))) >> 192 < uint256(drawn) % 2 ** 64;
    }
}
