// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {ChoiceLib} from "./ChoiceLib.sol";
import {SumTree} from "./SumTree.sol";

/// @notice What a proof without a seal would have earned, nothing once that was claimed, and the block that it came in.
struct Unclaimed {
    uint96 awardWei;
    uint64 blockNumber;
}

/// @notice A task as it is stored: its parameters, its changing facts, its rounds and its seats.
/// @dev Ordered by who reads what, not by meaning: one slot serves every commit and reveal.
struct Task {
    // Slot 0: commit and reveal
    uint32 round;
    uint40 openedAt; // of that round, which has it too
    uint32 selectionSeconds;
    uint32 commitSeconds;
    uint32 revealSeconds;
    uint32 dimension;
    uint8 quorum;
    uint8 cohort;
    bool draws; // that round takes only seats that are drawn
    bool closed;
    bool ended;
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
    bool byVotes; // follows from what is above; asked for with it
    // Slot 4: publish
    uint96 bondWei;
    address aggregator;
    // Slot 5: join, open, reveal
    uint96 stakeWei;
    uint64 closesAt;
    uint32 rounds;
    uint64 maxSquaredNorm;
    // Slot 6: settle, flag, draw
    uint96 rewardWei;
    uint96 flagWei;
    uint64 openedBlock; // that opened the latest round that draws
    // Slot 7: whatever pays
    address currency;
    uint96 sliceWei;
    // Slot 8: settle, draw
    address seedSource;
    uint96 publisherWei;
    // Slot 9: join, leave, open, distribute
    uint16 mostSeats;
    uint16 seats;
    uint16 active;
    uint16 entering;
    uint16 pending;
    uint8 drawn;
    IVolquorum.RewardRule rewardRule;
    uint8 maxMissed;
    uint32 minSamples;
    uint32 sampleCap;
    uint32 scoreSeconds;
    // Slot 10: commit, where seats are drawn
    bytes32 draw;
    // From slot 11 on: what only a reader needs
    bytes32 modelSpecHash;
    bytes32 genesisModelRoot;
    bytes32 salt;
    address trusted;
    mapping(uint32 round => IVolquorum.RoundState) roundOf;
    mapping(address account => IVolquorum.Seat) seatOf;
    mapping(address participant => IVolquorum.Flag) updateFlagOf;
    mapping(IVolquorum.Published what => IVolquorum.Flag) resultFlagOf;
    mapping(bytes32 resultKey => uint8) votesOf;
    // Several of one challenge: a lie may be published again, a false update be revealed by many.
    mapping(bytes32 claimKey => Unclaimed[]) unclaimedOf;
}

/// @notice Writes a task's parameters to storage and reads parameters and state back as the interface shows them.
library TaskLib {
    function create(
        Task storage task,
        address sponsor,
        uint96 fundsWei,
        bool byVotes,
        IVolquorum.TaskParams calldata given
    ) internal {
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
        task.byVotes = byVotes;
        task.quorum = given.quorum;
        task.cohort = given.cohort;
        task.mostSeats = given.seats;
        task.drawn = given.drawn;
        task.seedSource = given.seedSource;
        task.clipNorm = given.clipNorm;
        task.maxSquaredNorm = given.maxSquaredNorm;
        task.aggregator = given.aggregator;
        task.trusted = given.trusted;
        task.selectionSeconds = given.selectionSeconds;
        task.commitSeconds = given.commitSeconds;
        task.revealSeconds = given.revealSeconds;
        task.availabilitySeconds = given.availabilitySeconds;
        task.aggregatorSeconds = given.aggregatorSeconds;
        task.aggregateSeconds = given.aggregateSeconds;
        task.challengeSeconds = given.challengeSeconds;
        task.scoreSeconds = given.scoreSeconds;
        task.salt = given.salt;
        setMoney(task, given);
    }

    function setMoney(Task storage task, IVolquorum.TaskParams calldata given) private {
        task.rounds = given.rounds;
        task.closesAt = given.closesAt;
        task.currency = given.currency;
        task.stakeWei = given.stakeWei;
        task.sliceWei = given.sliceWei;
        task.bondWei = given.bondWei;
        task.flagWei = given.flagWei;
        task.rewardWei = given.rewardWei;
        task.publisherWei = given.publisherWei;
        task.rewardRule = given.rewardRule;
        task.minSamples = given.minSamples;
        task.sampleCap = given.sampleCap;
        task.maxMissed = given.maxMissed;
    }

    /// @dev A quorum is never zero, and it lies in the slot that every call reads anyway.
    function exists(Task storage task) internal view returns (bool) {
        return task.quorum != 0;
    }

    /// @dev Whether updates are chosen or weighed by distance, and provably, so that a result comes with a table.
    function hasTable(Task storage task) internal view returns (bool) {
        return ChoiceLib.byDistance(task.rule, task.preSteps) && !task.byVotes;
    }

    /// @dev How many voted in a round for the result with these roots.
    function votesFor(Task storage task, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot)
        internal
        view
        returns (uint8)
    {
        return task.votesOf[resultKey(round, aggregateRoot, modelRoot)];
    }

    function resultKey(uint32 round, bytes32 aggregateRoot, bytes32 modelRoot) internal pure returns (bytes32) {
        return EfficientHashLib.hash(bytes32(uint256(round)), aggregateRoot, modelRoot);
    }

    /// @dev The shape of the trees over the task's vectors.
    function shapeOf(Task storage task, uint256 widthBytes) internal view returns (SumTree.Shape memory) {
        return SumTree.Shape(task.dimension, task.chunkLength, widthBytes);
    }

    /// @dev Whether no further round can open.
    function exhausted(Task storage task, uint256 time) internal view returns (bool) {
        return task.ended || task.round == task.rounds || time >= task.closesAt;
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
        copy.seats = task.mostSeats;
        copy.drawn = task.drawn;
        copy.seedSource = task.seedSource;
        copy.clipNorm = task.clipNorm;
        copy.maxSquaredNorm = task.maxSquaredNorm;
        copy.aggregator = task.aggregator;
        copy.trusted = task.trusted;
        copy.selectionSeconds = task.selectionSeconds;
        copy.commitSeconds = task.commitSeconds;
        copy.revealSeconds = task.revealSeconds;
        copy.availabilitySeconds = task.availabilitySeconds;
        copy.aggregatorSeconds = task.aggregatorSeconds;
        copy.aggregateSeconds = task.aggregateSeconds;
        copy.challengeSeconds = task.challengeSeconds;
        copy.scoreSeconds = task.scoreSeconds;
        copy.salt = task.salt;
        readMoney(task, copy);
    }

    function readMoney(Task storage task, IVolquorum.TaskParams memory copy) private view {
        copy.rounds = task.rounds;
        copy.closesAt = task.closesAt;
        copy.currency = task.currency;
        copy.stakeWei = task.stakeWei;
        copy.sliceWei = task.sliceWei;
        copy.bondWei = task.bondWei;
        copy.flagWei = task.flagWei;
        copy.rewardWei = task.rewardWei;
        copy.publisherWei = task.publisherWei;
        copy.rewardRule = task.rewardRule;
        copy.minSamples = task.minSamples;
        copy.sampleCap = task.sampleCap;
        copy.maxMissed = task.maxMissed;
    }

    function state(Task storage task) internal view returns (IVolquorum.TaskState memory) {
        return IVolquorum.TaskState({
            sponsor: task.sponsor,
            round: task.round,
            seats: task.seats,
            active: task.active,
            entering: task.entering,
            pending: task.pending,
            closed: task.closed,
            ended: task.ended,
            draws: task.draws,
            byVotes: task.byVotes,
            openedBlock: task.openedBlock,
            draw: task.draw,
            fundsWei: task.fundsWei,
            modelRoot: task.modelRoot
        });
    }
}
