// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";

/// @notice The hashes by which a task, an update, a round's set of updates and a challenge are named. Each is
/// domain-tagged, and those that a signature or a secret hangs on are bound to the chain and to this contract.
library CommitmentLib {
    bytes32 internal constant TASK_TAG = keccak256("volquorum.task.1");
    bytes32 internal constant COMMITMENT_TAG = keccak256("volquorum.commitment.1");
    bytes32 internal constant UPDATES_TAG = keccak256("volquorum.updates.1");
    bytes32 internal constant SEAL_TAG = keccak256("volquorum.seal.1");

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

    function taskId(address sponsor, IVolquorum.TaskParams calldata params) internal view returns (bytes32) {
        return keccak256(abi.encode(TASK_TAG, block.chainid, address(this), sponsor, params));
    }

    function commitment(
        bytes32 task,
        uint32 round,
        bytes32 baseModelRoot,
        address participant,
        bytes32 updateRoot,
        uint64 squaredNorm,
        bytes32 salt
    ) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                COMMITMENT_TAG,
                block.chainid,
                address(this),
                task,
                round,
                baseModelRoot,
                participant,
                updateRoot,
                squaredNorm,
                salt
            )
        );
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

    /// @dev The low 224 bits, which share a storage slot with the round's number.
    function stored(bytes32 full) internal pure returns (bytes28) {
        return bytes28(full << 32);
    }

    /// @dev The running hash of a round in which nothing was revealed yet.
    function updatesStart(bytes32 task, uint32 round) internal pure returns (bytes32) {
        return keccak256(abi.encode(UPDATES_TAG, task, round));
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
                hash := keccak256(step, 128)
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
        return EfficientHashLib.hash(
            previous, bytes32(uint256(uint160(participant))), updateRoot, bytes32(uint256(squaredNorm))
        );
    }
}
