// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The number and the randomness in a block's header, as RLP has it.
/// @dev Reads no more of RLP than a header needs: one list of byte strings. Whose header it is, only its hash tells.
library HeaderLib {
    // The prefixes of RLP: byte strings from SHORT on, from LONG on with their length before them, lists likewise.
    uint256 private constant SHORT = 0x80;
    uint256 private constant LONG = 0xb8;
    uint256 private constant LIST = 0xc0;
    uint256 private constant LONG_LIST = 0xf8;

    // The places of a header's fields, counted from zero.
    uint256 private constant DIFFICULTY = 7;
    uint256 private constant NUMBER = 8;
    uint256 private constant MIX_HASH = 13;

    /// @notice Thrown when bytes are not exactly one header with a place for randomness.
    error BadHeader();

    /// @notice The block's number, and the randomness that it was made with.
    /// @dev Since the Merge the difficulty is zero, and only since then is the mix hash randomness: EIP-4399.
    function read(bytes calldata header) internal pure returns (uint256 number, bytes32 prevrandao) {
        bytes calldata rest = fieldsOf(header);
        bytes calldata field = rest;
        for (uint256 place = 0; place <= MIX_HASH; ++place) {
            (field, rest) = next(rest);
            if (place == DIFFICULTY && field.length != 0) revert BadHeader();
            if (place == NUMBER) number = integer(field);
        }
        if (field.length != 32) revert BadHeader();
        prevrandao = bytes32(field);
    }

    /// @dev What is in the list that a header is. Its bloom alone makes it a long one.
    function fieldsOf(bytes calldata header) private pure returns (bytes calldata) {
        (uint256 start, uint256 length) = longItem(header, LONG_LIST);
        if (start + length != header.length) revert BadHeader();
        return header[start:];
    }

    /// @dev The first byte string, and what is behind it.
    function next(bytes calldata items) private pure returns (bytes calldata item, bytes calldata rest) {
        if (items.length == 0) revert BadHeader();
        uint256 prefix = uint8(items[0]);
        if (prefix >= LIST) revert BadHeader();
        (uint256 start, uint256 length) = (0, 1);
        if (prefix >= LONG) (start, length) = longItem(items, LONG);
        else if (prefix >= SHORT) (start, length) = (1, prefix - SHORT);
        uint256 end = start + length;
        if (end > items.length) revert BadHeader();
        return (items[start:end], items[end:]);
    }

    /// @dev Where the content begins of an item whose length is written in two bytes at most, and that length.
    function longItem(bytes calldata items, uint256 prefix) private pure returns (uint256 start, uint256 length) {
        if (items.length < 3) revert BadHeader();
        uint256 found = uint8(items[0]);
        if (found == prefix) return (2, uint8(items[1]));
        if (found == prefix + 1) return (3, uint16(bytes2(items[1:3])));
        revert BadHeader();
    }

    function integer(bytes calldata field) private pure returns (uint256) {
        if (field.length > 8) revert BadHeader();
        return uint64(bytes8(field)) >> (8 * (8 - field.length));
    }
}
