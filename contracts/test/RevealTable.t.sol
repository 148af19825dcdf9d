// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {RevealTable} from "../src/libraries/RevealTable.sol";

/// @notice The table of revealed roots against a plain set.
contract RevealTableTest is Test {
    using RevealTable for RevealTable.Table;

    RevealTable.Table private table;
    mapping(uint32 round => mapping(bytes32 root => bool)) private revealed;

    function testTableIsASetThatEachRoundStartsEmpty(uint256 seed, uint8 cohort, uint32 firstRound) public {
        cohort = uint8(bound(cohort, 1, 64));
        firstRound = uint32(bound(firstRound, 1, type(uint32).max - 4));
        for (uint32 round = firstRound; round < firstRound + 4; ++round) {
            for (uint256 added = 0; added < cohort; seed = uint256(keccak256(abi.encode(seed)))) {
                // Few distinct roots, and few distinct places, so that roots repeat and collide.
                bytes32 root = bytes32(seed % (uint256(cohort) + 3) * (2 * uint256(cohort)) + seed % 2 + 1);
                assertEq(table.add(round, cohort, root), !revealed[round][root], "added");
                if (!revealed[round][root]) ++added;
                revealed[round][root] = true;
            }
        }
    }

    function testFullCohortInOnePlaceStillFits(uint32 round) public {
        round = uint32(bound(round, 1, type(uint32).max));
        for (uint256 index = 0; index < 64; ++index) {
            assertTrue(table.add(round, 64, bytes32(127 + 128 * index)), "new");
        }
        for (uint256 index = 0; index < 64; ++index) {
            assertFalse(table.add(round, 64, bytes32(127 + 128 * index)), "repeated");
        }
    }
}
