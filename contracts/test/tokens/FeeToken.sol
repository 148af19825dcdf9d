// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @notice A token that keeps a hundredth of what it moves.
contract FeeToken is PlainToken {
    function _move(address from, address to, uint256 amountWei) internal override {
        uint256 feeWei = amountWei / 100;
        super._move(from, to, amountWei - feeWei);
        super._move(from, address(this), feeWei);
    }
}
