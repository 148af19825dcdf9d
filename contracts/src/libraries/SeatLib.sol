// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../interfaces/IVolquorum.sol";

/// @notice What binds a seat to an update: the round and the commitment, one word, read and written at once.
/// @dev The compiler reads a word anew for each of its fields, which every commit and reveal would pay for.
library SeatLib {
    // The word behind stake, reward and counts.
    uint256 private constant SLOT = 1;

    /// @notice The latest round committed in, and the low 224 bits of that commitment, zero once it was opened.
    function bound(IVolquorum.Seat storage seat) internal view returns (uint32 round, bytes28 commitment) {
        bytes32 word;
        assembly ("memory-safe") {
            word := sload(add(seat.slot, SLOT))
        }
        return (uint32(uint256(word)), bytes28(word));
    }

    function bind(IVolquorum.Seat storage seat, uint32 round, bytes28 commitment) internal {
        bytes32 word = bytes32(commitment) | bytes32(uint256(round));
        assembly ("memory-safe") {
            sstore(add(seat.slot, SLOT), word)
        }
    }
}
