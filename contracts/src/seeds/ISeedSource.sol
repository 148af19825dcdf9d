// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the seats of a round are drawn with
/// @notice A seed belongs to a block, the one that opened the round, so that nobody chooses when to draw: whoever calls
/// first or last gets the same seats.
interface ISeedSource {
    /// @notice The seed of the rounds that a block opened; zero until it is known. Once known it never changes.
    function seedOf(uint256 openedBlock) external view returns (bytes32);
}
