// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {CommitmentLib} from "./CommitmentLib.sol";
import {Lanes} from "./Lanes.sol";
import {RuleLib} from "./RuleLib.sol";

/// @notice What a round's updates weigh by the scores that its participants gave each other.
/// @dev All scores lie one voter behind the other: a byte with the number of the voter's update, then a byte for each
/// revealed update.
library ScoreLib {
    using Lanes for Lanes.Rows;

    uint256 private constant HIGHEST_SCORE = 255;
    // Every other 8, 4, 2 and 1 bytes.
    uint256 private constant EIGHTS = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
    uint256 private constant FOURS = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant TWOS = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant ONES = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;

    /// @notice Reverts unless these are all the scores that a round revealed, in their order.
    function check(
        IVolquorum.RoundState storage facts,
        bytes32 taskId,
        uint32 round,
        IVolquorum.Update[] calldata updates,
        bytes calldata scores
    ) internal view {
        bytes32 revealed = facts.scoresHash;
        uint256 length = updates.length + 1;
        uint256 required = uint8(uint256(revealed)) * length;
        if (scores.length != required) revert IVolquorum.WrongLength(scores.length, required);
        bytes32 given = 0;
        for (uint256 start = 0; start < required; start += length) {
            uint256 voter = uint8(scores[start]);
            if (voter >= updates.length) revert IVolquorum.UnknownUpdate(voter, updates.length);
            given = CommitmentLib.scoresStep(given, updates[voter].participant, scores[start + 1:start + length]);
        }
        if (given != revealed) revert IVolquorum.WrongScores(taskId, round, given, revealed);
    }

    /// @notice The weight of each of `count` revealed updates, zero for the excluded ones; scores must be checked.
    /// @dev Invariant: unless more than half of the included participants gave scores, nobody's count.
    function weights(uint256 count, uint64 unavailable, bytes calldata scores)
        internal
        pure
        returns (uint256[] memory byUpdate)
    {
        byUpdate = new uint256[](count);
        Lanes.Rows memory rows = ballots(count, unavailable, scores);
        bool decided = 2 * rows.count > count - LibBit.popCount(unavailable);
        uint256 middle = decided ? medians(rows) : 0;
        for (uint256 index = 0; index < count; ++index) {
            if (unavailable >> index & 1 == 1) continue;
            byUpdate[index] = decided ? scoreIn(middle, index) : 1;
        }
    }

    /// @dev One row for each included voter, with a lane for each update.
    ///
    /// Nobody's score for its own update counts, so in that lane one of m rows says nothing, and what is asked for has
    /// rank floor((m - 2) / 2) of the other m - 1. In all other lanes it is rank floor((m - 1) / 2) of m. To find both at
    /// the same rank of m rows, a voter gives itself the lowest score if m is odd, the highest if m is even.
    function ballots(uint256 count, uint64 unavailable, bytes calldata scores)
        private
        pure
        returns (Lanes.Rows memory rows)
    {
        uint256 voters = 0;
        for (uint256 start = 0; start < scores.length; start += count + 1) {
            if (unavailable >> uint8(scores[start]) & 1 == 0) ++voters;
        }
        rows = Lanes.room(voters, 2 * count);
        uint256 own = voters % 2 == 1 ? 0 : HIGHEST_SCORE;
        uint256 row = rows.start;
        for (uint256 start = 0; start < scores.length; start += count + 1) {
            uint256 voter = uint8(scores[start]);
            if (unavailable >> voter & 1 == 1) continue;
            spread(scores, start + 1, row, 2 * count);
            assembly ("memory-safe") {
                mstore8(add(add(row, mul(2, voter)), 1), own)
            }
            row += rows.stride;
        }
    }

    /// @dev Writes bytes as lanes of 16 bits: `width` bytes and what is left of the last word, whatever that holds.
    function spread(bytes calldata scores, uint256 start, uint256 row, uint256 width) private pure {
        assembly ("memory-safe") {
            let from := add(scores.offset, start)
            for { let end := add(row, width) } lt(row, end) { row := add(row, 32) } {
                let word := shr(128, calldataload(from))
                word := and(or(word, shl(64, word)), EIGHTS)
                word := and(or(word, shl(32, word)), FOURS)
                word := and(or(word, shl(16, word)), TWOS)
                mstore(row, and(or(word, shl(8, word)), ONES))
                from := add(from, 16)
            }
        }
    }

    /// @dev Where in memory the row of the middle rank begins, once the rows are sorted as far as it needs.
    function medians(Lanes.Rows memory rows) private pure returns (uint256 middle) {
        uint256 rank = (rows.count - 1) / 2;
        (uint256 comparators, uint256 kept) = RuleLib.network(rows.count, rank, rank + 1);
        rows.exchange(comparators, kept);
        // slither-disable-next-line divide-before-multiply -- a row, not an amount
        return rows.start + rank * rows.stride;
    }

    /// @dev A score in a row, whose lanes have it in their lower bytes.
    function scoreIn(uint256 row, uint256 index) private pure returns (uint256 score) {
        assembly ("memory-safe") {
            score := and(mload(sub(add(row, mul(2, index)), 30)), 0xff)
        }
    }
}
