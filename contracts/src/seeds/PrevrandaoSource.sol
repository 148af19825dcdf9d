// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockHashLib} from "solady/utils/BlockHashLib.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

import {HeaderLib} from "./HeaderLib.sol";
import {ISeedSource} from "./ISeedSource.sol";

/// @title Seeds from the randomness that blocks are made with
/// @notice The seed of the rounds that a block opened comes from the block `DELAY_BLOCKS` later, so that nobody chooses
/// the moment. Anybody records that block's header, as long as the chain still tells its hash: 256 blocks, or 8,191
/// where it keeps EIP-2935.
///
/// What can be gained: the randomness of a block follows from what the proposers before it reveal, which they cannot
/// choose, only withhold together with their blocks. So the last of them knows the seed before anybody, and may give
/// his block up for another seed: he takes the better of two draws at the most. Whoever proposes k blocks in a row there
/// has up to 2^k. Proposers are known about two epochs, 64 blocks, ahead: with a shorter delay, whoever opens the round
/// may wait until an accomplice is the last. A chain whose blocks have no randomness, or a single proposer, needs
/// another source.
contract PrevrandaoSource is ISeedSource {
    // The proposer of a block knows what the next one is made with: he could open a round or not as it suits him.
    uint256 public constant LEAST_DELAY_BLOCKS = 2;

    uint256 public immutable DELAY_BLOCKS;

    /// @notice The randomness of the recorded blocks; zero for the others.
    mapping(uint256 number => bytes32 prevrandao) public prevrandaoOf;

    event HeaderRecorded(uint256 indexed number, bytes32 prevrandao);

    /// @notice Thrown when a source is created with a delay in which the opener could know the seed.
    error DelayTooShort(uint256 delayBlocks, uint256 leastBlocks);
    /// @notice Thrown when a header is not that of the chain's block of this number, or the chain does not tell that
    /// block's hash: it is too old or not there yet.
    error WrongHeader(uint256 number, bytes32 given, bytes32 known);
    /// @notice Thrown when a block was made without randomness.
    error NoRandomness(uint256 number);

    constructor(uint256 delayBlocks) {
        if (delayBlocks < LEAST_DELAY_BLOCKS) revert DelayTooShort(delayBlocks, LEAST_DELAY_BLOCKS);
        DELAY_BLOCKS = delayBlocks;
    }

    /// @notice Records the randomness of a block; anybody may, and again. Its number is in its header.
    /// @param header The block's header in RLP.
    function record(bytes calldata header) external {
        (uint256 number, bytes32 prevrandao) = HeaderLib.read(header);
        (bytes32 given, bytes32 known) = (EfficientHashLib.hashCalldata(header), BlockHashLib.blockHash(number));
        if (given != known) revert WrongHeader(number, given, known);
        if (prevrandao == 0) revert NoRandomness(number);

        prevrandaoOf[number] = prevrandao;
        emit HeaderRecorded(number, prevrandao);
    }

    /// @inheritdoc ISeedSource
    function seedOf(uint256 openedBlock) external view returns (bytes32) {
        uint256 number = openedBlock + DELAY_BLOCKS;
        bytes32 prevrandao = prevrandaoOf[number];
        return prevrandao == 0 ? prevrandao : EfficientHashLib.hash(prevrandao, bytes32(number));
    }
}
