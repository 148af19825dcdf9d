// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {ISeedSource} from "./ISeedSource.sol";

/// @title Seeds from secrets that anybody puts together
/// @notice For chains whose blocks have no randomness worth the name. Blocks are cut into epochs; in the first part of
/// one anybody commits to a secret with a bond, in the second part the secrets are revealed. The seed of the rounds that
/// a block opened is that of the first epoch that begins behind this block, once that is over; there is none if nobody
/// revealed. Who does not reveal loses the bond to nobody: it stays here for ever.
///
/// What can be gained: whoever reveals last knows what the seed will be with his secret and without, and may take the
/// better one for a bond; with k secrets of his own one of up to 2^k, at one bond for each that he holds back. A
/// proposer may also keep others' reveals out of his blocks, at their cost, so the second part must be long enough for
/// an honest block. One honest secret that is revealed makes the seed unknown until then; without any, a single liar
/// chooses it as he likes. So whoever relies on the draw commits too.
contract CommitRevealBeacon is ISeedSource {
    struct Epoch {
        bytes32 mix;
        uint256 secrets;
    }

    bytes32 private constant COMMITMENT_TAG = keccak256("volquorum.beacon.1");

    uint256 public immutable BOND_WEI;
    uint256 public immutable COMMIT_BLOCKS;
    uint256 public immutable EPOCH_BLOCKS;

    /// @notice The secrets revealed in an epoch: the XOR of their hashes, and how many.
    /// @dev Not hashed one after another: who orders the reveals would choose among all their orders.
    mapping(uint256 epoch => Epoch revealed) public epochs;
    /// @notice What an account committed to in an epoch; zero once it was revealed.
    mapping(uint256 epoch => mapping(address account => bytes32 commitment)) public commitments;
    /// @notice The bonds that an account may withdraw.
    mapping(address account => uint256 amountWei) public creditOf;

    event SecretCommitted(uint256 indexed epoch, address indexed account, bytes32 commitment);
    event SecretRevealed(uint256 indexed epoch, address indexed account, bytes32 secret);
    event Withdrawn(address indexed account, address indexed to, uint256 amountWei);

    /// @notice Thrown when a part of an epoch would have no block.
    error EmptyPart(uint256 commitBlocks, uint256 revealBlocks);
    /// @notice Thrown when a commitment carries another amount than exactly the bond.
    error WrongBond(uint256 sentWei, uint256 requiredWei);
    /// @notice Thrown when an epoch is in its other part.
    error WrongPart(uint256 epoch, uint256 blockNumber, uint256 revealsFrom);
    /// @notice Thrown when a commitment is zero.
    error EmptyCommitment();
    /// @notice Thrown when the account committed in this epoch before.
    error AlreadyCommitted(uint256 epoch, address account);
    /// @notice Thrown when a secret is not what the account committed to in this epoch, or was revealed before.
    error WrongSecret(uint256 epoch, address account, bytes32 committed, bytes32 opened);
    /// @notice Thrown when there is nothing to pay out.
    error NothingToWithdraw(address account);
    /// @notice Thrown when the receiver refuses the money.
    error TransferFailed(address to, uint256 amountWei);

    constructor(uint256 bondWei, uint256 commitBlocks, uint256 revealBlocks) {
        if (commitBlocks == 0 || revealBlocks == 0) revert EmptyPart(commitBlocks, revealBlocks);
        BOND_WEI = bondWei;
        COMMIT_BLOCKS = commitBlocks;
        EPOCH_BLOCKS = commitBlocks + revealBlocks;
    }

    /// @notice Commits the caller to a secret, with exactly the bond, once in the first part of an epoch.
    /// @param commitment What `commitmentOf` gives for it.
    function commit(bytes32 commitment) external payable {
        uint256 epoch = _inPart(false);
        if (msg.value != BOND_WEI) revert WrongBond(msg.value, BOND_WEI);
        if (commitment == 0) revert EmptyCommitment();
        if (commitments[epoch][msg.sender] != 0) revert AlreadyCommitted(epoch, msg.sender);

        commitments[epoch][msg.sender] = commitment;
        emit SecretCommitted(epoch, msg.sender, commitment);
    }

    /// @notice Reveals the caller's secret in the second part of an epoch, and credits the bond.
    function reveal(bytes32 secret) external {
        uint256 epoch = _inPart(true);
        bytes32 committed = commitments[epoch][msg.sender];
        bytes32 opened = commitmentOf(epoch, msg.sender, secret);
        if (opened != committed) revert WrongSecret(epoch, msg.sender, committed, opened);

        delete commitments[epoch][msg.sender];
        creditOf[msg.sender] += BOND_WEI;
        Epoch storage revealed = epochs[epoch];
        // Equal secrets must not cancel each other out.
        revealed.mix ^= EfficientHashLib.hash(bytes32(uint256(uint160(msg.sender))), secret);
        ++revealed.secrets;
        emit SecretRevealed(epoch, msg.sender, secret);
    }

    /// @notice Pays the caller's bonds out to `to`.
    function withdraw(address to) external {
        uint256 amountWei = creditOf[msg.sender];
        if (amountWei == 0) revert NothingToWithdraw(msg.sender);

        creditOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amountWei);
        if (to == address(0) || !SafeTransferLib.trySafeTransferETH(to, amountWei, gasleft())) {
            revert TransferFailed(to, amountWei);
        }
    }

    /// @inheritdoc ISeedSource
    function seedOf(uint256 openedBlock) external view returns (bytes32) {
        uint256 epoch = openedBlock / EPOCH_BLOCKS + 1;
        Epoch storage revealed = epochs[epoch];
        if (block.number / EPOCH_BLOCKS <= epoch || revealed.secrets == 0) return 0;
        return EfficientHashLib.hash(revealed.mix, bytes32(epoch));
    }

    /// @notice What an account commits to a secret with. Another one's commitment is of no use: it names its account.
    function commitmentOf(uint256 epoch, address account, bytes32 secret) public view returns (bytes32) {
        return keccak256(abi.encode(COMMITMENT_TAG, block.chainid, address(this), epoch, account, secret));
    }

    /// @dev The running epoch, if it is in this part.
    function _inPart(bool reveals) private view returns (uint256 epoch) {
        epoch = block.number / EPOCH_BLOCKS;
        // slither-disable-next-line divide-before-multiply -- the first block of an epoch
        uint256 revealsFrom = epoch * EPOCH_BLOCKS + COMMIT_BLOCKS;
        if (block.number >= revealsFrom != reveals) revert WrongPart(epoch, block.number, revealsFrom);
    }
}
