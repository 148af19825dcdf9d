// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlainToken} from "./PlainToken.sol";

interface IHooked {
    function onMove() external;
}

/// @notice A token that calls whoever it takes from before it moves, and whoever gets it after.
contract ReenteringToken is PlainToken {
    mapping(address account => bool whether) public hooked;

    function hook() external {
        hooked[msg.sender] = true;
    }

    function _move(address from, address to, uint256 amountWei) internal override {
        if (hooked[from]) IHooked(from).onMove();
        super._move(from, to, amountWei);
        if (hooked[to]) IHooked(to).onMove();
    }
}

/// @notice An account that makes prepared calls, and others once while a token is moved.
contract Thief is IHooked {
    address private immutable TARGET;
    bytes[] private meanwhile;
    bool public reentered;

    constructor(address target, ReenteringToken token) {
        TARGET = target;
        token.hook();
        token.approve(target, type(uint256).max);
    }

    /// @dev Makes a call, and these others when a token is moved by it.
    function act(bytes memory data, bytes[] memory inHook) external {
        meanwhile = inHook;
        reentered = false;
        run(data);
    }

    function onMove() external {
        if (reentered) return;
        reentered = true;
        for (uint256 index = 0; index < meanwhile.length; ++index) {
            run(meanwhile[index]);
        }
    }

    function run(bytes memory data) private {
        (bool done, bytes memory reason) = TARGET.call(data);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}
