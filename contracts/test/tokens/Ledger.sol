// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What all test tokens have in common: who has how much, and who may take it.
abstract contract Ledger {
    mapping(address account => uint256 amountWei) public balanceOf;
    mapping(address account => mapping(address spender => uint256 amountWei)) public allowance;

    function approve(address spender, uint256 amountWei) external returns (bool) {
        allowance[msg.sender][spender] = amountWei;
        return true;
    }

    function _spend(address from, uint256 amountWei) internal {
        allowance[from][msg.sender] -= amountWei;
    }

    function _move(address from, address to, uint256 amountWei) internal virtual {
        balanceOf[from] -= amountWei;
        balanceOf[to] += amountWei;
    }
}
