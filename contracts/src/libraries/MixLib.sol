// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChoiceLib} from "./ChoiceLib.sol";
import {Lanes} from "./Lanes.sol";
import {RuleLib} from "./RuleLib.sol";

/// @notice What is done to one chunk of all updates before a rule takes its ranks: clipping, and mixing by masks. Of
/// nearest-neighbour mixing one row for each update comes out, of Krum and multi-Krum a single one, whose mean is itself.
library MixLib {
    using Lanes for Lanes.Rows;

    // As in `Lanes`: every other lane of 16 bits, with room to grow to 32; every other one of those, with room to grow
    // to 64, and its lowest 16 bits.
    uint256 private constant EVEN = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant WIDE = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant WIDER = 0x000000000000ffff000000000000ffff000000000000ffff000000000000ffff;

    // Bytes of a table of sums: of a field, and of the sixteen fields of four rows.
    uint256 private constant FIELD = 64;
    uint256 private constant GROUP = 1024;

    /// @notice Scales the rows by their factors, one each.
    function clip(Lanes.Rows memory rows, uint256[] memory factors) internal pure {
        for (uint256 row = 0; row < factors.length; ++row) {
            if (factors[row] != RuleLib.ONE) rows.scale(row, factors[row], RuleLib.ONE);
        }
    }

    /// @notice One row for each mask: the floor of the mean of the `members` rows in it, rows and masks being at most
    /// 64.
    /// @dev Rows are taken by fours: for each word of a row, the sums of all choices among the four are tabulated, and
    /// a mask's digits in base 16 say which of them to add. Invariant: no lane overflows, whatever the masks are, for a
    /// sum of 64 rows is below 2^22.
    function mixed(Lanes.Rows memory rows, bytes calldata masks, uint256 members)
        internal
        pure
        returns (Lanes.Rows memory mixes)
    {
        mixes = Lanes.room(masks.length / ChoiceLib.CHOICE_BYTES, rows.width);
        uint256 table = emptyTable(rows.count);
        uint256 inverse = (1 << 30) / members + 1;
        for (uint256 column = 0; column < rows.width; column += 32) {
            tabulate(rows, column, table);
            mix(mixes, column, table, masks, (1 << rows.count) - 1, inverse);
        }
    }

    /// @dev A table's fields, two words each, come in groups of sixteen, of which a mask's byte asks for two. The first
    /// of a group is the sum of no row.
    function emptyTable(uint256 count) private pure returns (uint256 table) {
        assembly ("memory-safe") {
            table := mload(0x40)
            let end := add(table, shl(11, shr(3, add(count, 7))))
            mstore(0x40, end)
            for { let p := table } lt(p, end) { p := add(p, GROUP) } {
                mstore(p, 0)
                mstore(add(p, 32), 0)
            }
        }
    }

    /// @dev Field s of a group is, in 32-bit lanes, the sum of those of its four rows whose bit is set in s: every
    /// other coordinate of a word in its first word, those between in its second.
    function tabulate(Lanes.Rows memory rows, uint256 column, uint256 table) private pure {
        uint256 p = rows.start + column;
        uint256 stride = rows.stride;
        uint256 height = rows.count * stride;
        assembly ("memory-safe") {
            let evens := EVEN
            let half := FIELD
            for { let last := add(p, height) } lt(p, last) { p := add(p, stride) } {
                let odd := mload(p)
                let even := and(odd, evens)
                odd := and(shr(16, odd), evens)
                for { let end := add(table, half) } lt(table, end) { table := add(table, FIELD) } {
                    let to := add(table, half)
                    mstore(to, add(mload(table), even))
                    mstore(add(to, 32), add(mload(add(table, 32)), odd))
                }
                // The next row's half begins where the group does, or it is the next group's first.
                table := sub(table, half)
                half := shl(1, half)
                if eq(half, GROUP) {
                    table := add(table, GROUP)
                    half := FIELD
                }
            }
        }
    }

    /// @dev Writes one word of each mix, by a division as in `Lanes.floorMean`.
    function mix(
        Lanes.Rows memory mixes,
        uint256 column,
        uint256 table,
        bytes calldata masks,
        uint256 known,
        uint256 inverse
    ) private pure {
        uint256 to = mixes.start + column;
        uint256 stride = mixes.stride;
        uint256 offset;
        assembly ("memory-safe") {
            offset := masks.offset
        }
        for (uint256 row = 0; row < mixes.count; ++row) {
            assembly ("memory-safe") {
                function divided(sums, factor) -> means {
                    means := and(shr(30, mul(and(sums, WIDE), factor)), WIDER)
                    means := or(means, shl(32, and(shr(30, mul(and(shr(32, sums), WIDE), factor)), WIDER)))
                }
                let even := 0
                let odd := 0
                let group := table
                for { let mask := and(shr(192, calldataload(offset)), known) } mask { mask := shr(8, mask) } {
                    let field := add(group, shl(6, and(mask, 0x0f)))
                    even := add(even, mload(field))
                    odd := add(odd, mload(add(field, 32)))
                    field := add(add(group, GROUP), shl(2, and(mask, 0xf0)))
                    even := add(even, mload(field))
                    odd := add(odd, mload(add(field, 32)))
                    group := add(group, 2048)
                }
                mstore(to, or(divided(even, inverse), shl(16, divided(odd, inverse))))
                to := add(to, stride)
                offset := add(offset, 8)
            }
        }
    }
}
