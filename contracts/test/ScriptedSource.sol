// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISeedSource} from "../src/seeds/ISeedSource.sol";

/// @notice Seeds that a test chooses.
contract ScriptedSource is ISeedSource {
    mapping(uint256 openedBlock => bytes32 seed) public seedOf;

    function set(uint256 openedBlock, bytes32 seed) external {
        seedOf[openedBlock] = seed;
    }
}
