// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";

/// @notice The hashes by which a task, an update, a round's set of updates and a challenge are named. Each is
/// domain-tagged, and those that a signature or a secret hangs on are bound to the chain and to this contract.
library CommitmentLib {
    bytes32 internal constant TASK_TAG = keccak256("volquorum.task.1");
    bytes32 internal constant COMMITMENT_TAG = keccak256("volquorum.commitment.1");
    bytes32 internal constant UPDATES_TAG = keccak256("volquorum.updates.1");
    bytes32 internal constant SEAL_TAG = keccak256("volquorum.seal.1");
    bytes32 internal constant SCORES_TAG = keccak256("volquorum.scores.1");

    // EIP-712
    bytes32 internal constant DOMAIN_TYPE =
    // solhint-disable-next-line gas-small-strings
    keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant DOMAIN_NAME = keccak256("volquorum");
    bytes32 internal constant DOMAIN_VERSION = keccak256("1");
    // solhint-disable-next-line gas-small-strings
    bytes32 internal constant COMMIT_TYPE = keccak256("Commit(bytes32 taskId,uint32 round,bytes32 commitment)");
    // solhint-disable-next-line gas-small-strings
    bytes32 internal constant VOTE_TYPE = keccak256(
        "Vote(bytes32 taskId,uint32 round,bytes32 updatesHash,uint64 unavailable,bytes32 aggregateRoot,bytes32 modelRoot)"
    );

    // What a sealed challenge contests.
    uint8 internal constant SEAL_AGGREGATE = 0;
    uint8 internal constant SEAL_MODEL = 1;
    uint8 internal constant SEAL_NORM = 2;
    uint8 internal constant SEAL_PRODUCT = 3;
    uint8 internal constant SEAL_CHOICE = 4;

    /// @notice What a challenge is about: of what kind it is, and the root that it contests at a chunk or a leaf.
    struct Claim {
        bytes32 taskId;
        uint32 round;
        uint8 kind;
        uint32 chunk;
        bytes32 subject;
        bytes32 salt;
    }

    /// @notice What a commitment is the hash of. A batch fills the same one again for each of its participants.
    struct Preimage {
        bytes32 tag;
        uint256 chainId;
        address volquorum;
        bytes32 taskId;
        uint32 round;
        bytes32 baseModelRoot;
        address participant;
        bytes32 updateRoot;
        uint64 squaredNorm;
        bytes32 salt;
    }

    function taskId(address sponsor, IVolquorum.TaskParams calldata params) internal view returns (bytes32) {
        return keccak256(abi.encode(TASK_TAG, block.chainid, address(this), sponsor, params));
    }

    /// @notice The hash that a participant commits to.
    function commitment(
        bytes32 task,
        uint32 round,
        bytes32 baseModelRoot,
        address participant,
        bytes32 updateRoot,
        uint64 squaredNorm,
        bytes32 salt
    ) internal view returns (bytes32) {
        Preimage memory content = preimage(task, round, baseModelRoot);
        content.participant = participant;
        content.updateRoot = updateRoot;
        content.squaredNorm = squaredNorm;
        content.salt = salt;
        return hashOf(content);
    }

    /// @notice A commitment of nobody to nothing yet.
    function preimage(bytes32 task, uint32 round, bytes32 baseModelRoot)
        internal
        view
        returns (Preimage memory content)
    {
        content.tag = COMMITMENT_TAG;
        content.chainId = block.chainid;
        content.volquorum = address(this);
        content.taskId = task;
        content.round = round;
        content.baseModelRoot = baseModelRoot;
    }

    /// @dev In memory a struct of ten words lies as `abi.encode` would write it.
    function hashOf(Preimage memory content) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(content, 320)
        }
    }

    /// @notice What a challenger stores before he challenges.
    function seal(Claim memory claim, address challenger) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                SEAL_TAG,
                block.chainid,
                address(this),
                claim.taskId,
                claim.round,
                challenger,
                claim.kind,
                claim.chunk,
                claim.subject,
                claim.salt
            )
        );
    }

    /// @notice What a challenge in a task is about, whoever makes it.
    function claimKey(Claim memory claim) internal pure returns (bytes32) {
        return keccak256(abi.encode(claim.round, claim.kind, claim.chunk, claim.subject));
    }

    /// @dev The low 224 bits, which share a storage slot with the round's number.
    function stored(bytes32 full) internal pure returns (bytes28) {
        return bytes28(full << 32);
    }

    function domainSeparator() internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, block.chainid, address(this)));
    }

    /// @notice Who signed a commitment; `index` names it in the error.
    function committer(
        bytes32 separator,
        bytes32 task,
        uint32 round,
        IVolquorum.SignedCommit calldata signed,
        uint256 index
    ) internal view returns (address) {
        bytes32 content = keccak256(abi.encode(COMMIT_TYPE, task, round, signed.commitment));
        return signer(typed(separator, content), signed.r, signed.vs, index);
    }

    /// @notice What everybody signs who votes for a result.
    function voteDigest(bytes32 task, uint32 round, IVolquorum.Result calldata result) internal view returns (bytes32) {
        bytes32 content = keccak256(
            abi.encode(
                VOTE_TYPE, task, round, result.updatesHash, result.unavailable, result.aggregateRoot, result.modelRoot
            )
        );
        return typed(domainSeparator(), content);
    }

    /// @notice Who signed a digest; `index` names the signature in the error.
    function signer(bytes32 digest, bytes32 r, bytes32 vs, uint256 index) internal view returns (address account) {
        account = ECDSA.tryRecover(digest, r, vs);
        if (account == address(0)) revert IVolquorum.BadSignature(index);
    }

    /// @dev EIP-712's digest of a structure. Its 66 bytes need no memory but that of the free pointer, which is put back.
    function typed(bytes32 separator, bytes32 content) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(0x00, 0x1901)
            mstore(0x20, separator)
            mstore(0x40, content)
            digest := keccak256(0x1e, 66)
            mstore(0x40, free)
        }
    }

    /// @notice What a participant commits to before it reveals scores.
    function scoresCommitment(bytes32 task, uint32 round, address participant, bytes calldata scores, bytes32 salt)
        internal
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(SCORES_TAG, block.chainid, address(this), task, round, participant, keccak256(scores), salt)
        );
    }

    /// @notice The running hash after one more participant's scores.
    function scoresStep(bytes32 previous, address participant, bytes calldata scores) internal pure returns (bytes32) {
        return counted(keccak256(abi.encode(previous, participant, keccak256(scores))), uint8(uint256(previous)) + 1);
    }

    /// @dev A running hash tells in its last byte how many steps it took.
    function counted(bytes32 hash, uint256 count) internal pure returns (bytes32) {
        return bytes32((uint256(hash) & ~uint256(0xff)) | count);
    }

    /// @dev The running hash of a round in which nothing was revealed yet.
    function updatesStart(bytes32 task, uint32 round) internal pure returns (bytes32) {
        return counted(keccak256(abi.encode(UPDATES_TAG, task, round)), 0);
    }

    /// @notice The running hash after all given updates, in their order.
    /// @dev An update's three words lie in calldata as `updatesStep` hashes them behind the previous hash. Bits that do
    /// not belong there give another hash.
    function updatesHash(bytes32 task, uint32 round, IVolquorum.Update[] calldata updates)
        internal
        pure
        returns (bytes32 hash)
    {
        hash = updatesStart(task, round);
        assembly ("memory-safe") {
            let step := mload(0x40)
            for { let index := 0 } lt(index, updates.length) { index := add(index, 1) } {
                mstore(step, hash)
                calldatacopy(add(step, 32), add(updates.offset, mul(index, 96)), 96)
                hash := or(and(keccak256(step, 128), not(0xff)), add(index, 1))
            }
        }
    }

    /// @notice Reverts unless these are all the updates that a round revealed, in their order.
    function checkUpdates(
        IVolquorum.RoundState storage facts,
        bytes32 task,
        uint32 round,
        IVolquorum.Update[] calldata updates
    ) internal view {
        bytes32 given = updatesHash(task, round, updates);
        if (given != facts.updatesHash) revert IVolquorum.UpdatesMismatch(task, round, given, facts.updatesHash);
    }

    function updatesStep(bytes32 previous, address participant, bytes32 updateRoot, uint64 squaredNorm)
        internal
        pure
        returns (bytes32)
    {
        bytes32 next = EfficientHashLib.hash(
            previous, bytes32(uint256(uint160(participant))), updateRoot, bytes32(uint256(squaredNorm))
        );
        return counted(next, uint8(uint256(previous)) + 1);
    }
}
