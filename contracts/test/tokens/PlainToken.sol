// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ledger} from "./Ledger.sol";

/// @notice A token as ERC-20 has it.
contract PlainToken is Ledger {
    function transfer(address to, uint256 amountWei) external returns (bool) {
        _move(msg.sender, to, amountWei);
        return true;
    }

    function transferFrom(address from, address to, uint256 amountWei) external returns (bool) {
        _spend(from, amountWei);
        _move(from, to, amountWei);
        return true;
    }
}
