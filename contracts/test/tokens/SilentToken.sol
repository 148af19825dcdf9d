// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ledger} from "./Ledger.sol";

/// @notice A token that returns nothing when it moves.
contract SilentToken is Ledger {
    function transfer(address to, uint256 amountWei) external {
        _move(msg.sender, to, amountWei);
    }

    function transferFrom(address from, address to, uint256 amountWei) external {
        _spend(from, amountWei);
        _move(from, to, amountWei);
    }
}
