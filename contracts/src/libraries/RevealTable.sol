// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The set of update roots revealed in a task's latest round, as a hash table that each round writes over.
/// @dev An entry carries its round, so entries of earlier rounds count as free and nothing is ever cleared. Writing
/// over one costs 5k gas where a fresh slot per root costs 22k. Twice as many entries as seats keep probing short.
library RevealTable {
    uint256 internal constant MAX_COHORT = 64;

    struct Table {
        uint256[2 * MAX_COHORT] entries;
    }

    /// @notice Adds a root to the round's set, unless it is there.
    /// @dev Invariant: a seat reveals once in a round and keeps its place until reveals are over, so the set never
    /// outgrows `cohort` and the search always meets a free entry.
    function add(Table storage table, uint32 round, uint8 cohort, bytes32 root) internal returns (bool added) {
        uint256 size = 2 * uint256(cohort);
        uint256 entry = (uint256(round) << 224) | uint224(uint256(root));
        uint256 index = uint256(root) % size;
        while (true) {
            uint256 found = table.entries[index];
            if (found == entry) return false;
            if (found >> 224 != round) break;
            index = (index + 1) % size;
        }
        table.entries[index] = entry;
        return true;
    }
}
