// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {ChoiceLib} from "./ChoiceLib.sol";
import {RevealTable} from "./RevealTable.sol";
import {SumTree} from "./SumTree.sol";

/// @notice A task as it is stored: its parameters, its changing facts, its rounds and its seats.
/// @dev Ordered by who reads what, not by meaning: one slot serves every commit and reveal.
struct Task {
    // Slot 0: commit and reveal
    uint32 round;
    uint8 seats;
    bool closed;
    uint8 quorum;
    uint8 cohort;
    uint32 dimension;
    uint32 selectionSeconds;
    uint32 commitSeconds;
    uint32 revealSeconds;
    uint64 maxSquaredNorm;
    // Slot 1: money
    address sponsor;
    uint96 fundsWei;
    // Slot 2
    bytes32 modelRoot;
    // Slot 3: publish, what every challenge needs
    uint32 availabilitySeconds;
    uint32 aggregatorSeconds;
    uint32 aggregateSeconds;
    uint32 challengeSeconds;
    uint16 chunkLength;
    IVolquorum.Rule rule;
    uint8 preSteps;
    uint8 tolerance;
    uint64 clipNorm;
    uint8 shift;
    IVolquorum.Privacy privacy;
    // Slot 4: publish
    uint96 bondWei;
    address aggregator;
    // Slot 5: join, open
    uint96 stakeWei;
    uint64 closesAt;
    uint32 rounds;
    // Slot 6: settle, flag
    uint96 rewardWei;
    uint96 flagWei;
    // From slot 7 on: what only a reader needs
    bytes32 modelSpecHash;
    bytes32 genesisModelRoot;
    bytes32 salt;
    mapping(uint32 round => IVolquorum.RoundState) roundOf;
    mapping(address account => IVolquorum.Seat) seatOf;
    mapping(address participant => IVolquorum.Flag) updateFlagOf;
    mapping(IVolquorum.Published what => IVolquorum.Flag) resultFlagOf;
    RevealTable.Table revealTable;
}

/// @notice Writes a task's parameters to storage and reads parameters and state back as the interface shows them.
library TaskLib {
    function create(Task storage task, address sponsor, uint96 fundsWei, IVolquorum.TaskParams calldata given)
        internal
    {
        task.sponsor = sponsor;
        task.fundsWei = fundsWei;
        task.modelRoot = given.genesisModelRoot;

        task.modelSpecHash = given.modelSpecHash;
        task.genesisModelRoot = given.genesisModelRoot;
        task.dimension = given.dimension;
        task.chunkLength = given.chunkLength;
        task.shift = given.shift;
        task.rule = given.rule;
        task.tolerance = given.tolerance;
        task.preSteps = given.preSteps;
        task.privacy = given.privacy;
        task.quorum = given.quorum;
        task.cohort = given.cohort;
        task.clipNorm = given.clipNorm;
        task.maxSquaredNorm = given.maxSquaredNorm;
        task.aggregator = given.aggregator;
        task.selectionSeconds = given.selectionSeconds;
        task.commitSeconds = given.commitSeconds;
        task.revealSeconds = given.revealSeconds;
        task.availabilitySeconds = given.availabilitySeconds;
        task.aggregatorSeconds = given.aggregatorSeconds;
        task.aggregateSeconds = given.aggregateSeconds;
        task.challengeSeconds = given.challengeSeconds;
        task.rounds = given.rounds;
        task.closesAt = given.closesAt;
        task.stakeWei = given.stakeWei;
        task.bondWei = given.bondWei;
        task.flagWei = given.flagWei;
        task.rewardWei = given.rewardWei;
        task.salt = given.salt;
    }

    /// @dev A quorum is never zero, and it lies in the slot that every call reads anyway.
    function exists(Task storage task) internal view returns (bool) {
        return task.quorum != 0;
    }

    /// @dev Whether updates are chosen by distance, so that a result comes with a table.
    function hasTable(Task storage task) internal view returns (bool) {
        return ChoiceLib.byDistance(task.rule, task.preSteps);
    }

    /// @dev The shape of the trees over the task's vectors.
    function shapeOf(Task storage task, uint256 widthBytes) internal view returns (SumTree.Shape memory) {
        return SumTree.Shape(task.dimension, task.chunkLength, widthBytes);
    }

    /// @dev Whether no further round can open.
    function exhausted(Task storage task, uint256 time) internal view returns (bool) {
        return task.round == task.rounds || time >= task.closesAt;
    }

    function params(Task storage task) internal view returns (IVolquorum.TaskParams memory copy) {
        copy.modelSpecHash = task.modelSpecHash;
        copy.genesisModelRoot = task.genesisModelRoot;
        copy.dimension = task.dimension;
        copy.chunkLength = task.chunkLength;
        copy.shift = task.shift;
        copy.rule = task.rule;
        copy.tolerance = task.tolerance;
        copy.preSteps = task.preSteps;
        copy.privacy = task.privacy;
        copy.quorum = task.quorum;
        copy.cohort = task.cohort;
        copy.clipNorm = task.clipNorm;
        copy.maxSquaredNorm = task.maxSquaredNorm;
        copy.aggregator = task.aggregator;
        copy.selectionSeconds = task.selectionSeconds;
        copy.commitSeconds = task.commitSeconds;
        copy.revealSeconds = task.revealSeconds;
        copy.availabilitySeconds = task.availabilitySeconds;
        copy.aggregatorSeconds = task.aggregatorSeconds;
        copy.aggregateSeconds = task.aggregateSeconds;
        copy.challengeSeconds = task.challengeSeconds;
        copy.rounds = task.rounds;
        copy.closesAt = task.closesAt;
        copy.stakeWei = task.stakeWei;
        copy.bondWei = task.bondWei;
        copy.flagWei = task.flagWei;
        copy.rewardWei = task.rewardWei;
        copy.salt = task.salt;
    }

    function state(Task storage task) internal view returns (IVolquorum.TaskState memory) {
        return IVolquorum.TaskState({
            sponsor: task.sponsor,
            round: task.round,
            seats: task.seats,
            closed: task.closed,
            fundsWei: task.fundsWei,
            modelRoot: task.modelRoot
        });
    }
}
