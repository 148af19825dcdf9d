// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IHooked} from "./tokens/ReenteringToken.sol";

/// @notice An account that refuses money, or calls back while it is paid or pays.
/// @dev It is put where a key signs for it, so that it takes part in everything.
contract Hostile is IHooked {
    address private target;
    bool private refuses;
    bytes[] private meanwhile;
    uint256 public reentered;
    bool private entered;

    /// @notice How it behaves from now on.
    function become(address target_, bool refuses_, bytes[] memory meanwhile_) external {
        (target, refuses, meanwhile) = (target_, refuses_, meanwhile_);
    }

    receive() external payable {
        require(!refuses, "refused");
        callBack();
    }

    function onMove() external {
        require(!refuses, "refused");
        callBack();
    }

    /// @dev Whatever is refused does not matter.
    function callBack() private {
        if (entered) return;
        entered = true;
        for (uint256 index = 0; index < meanwhile.length; ++index) {
            (bool done,) = target.call(meanwhile[index]);
            if (done) ++reentered;
        }
        entered = false;
    }
}
