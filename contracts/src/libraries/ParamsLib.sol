// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../interfaces/IVolquorum.sol";
import {ChoiceLib} from "./ChoiceLib.sol";
import {GramLib} from "./GramLib.sol";
import {SumTree} from "./SumTree.sol";

/// @notice What a task's parameters may be.
/// @dev A task is immutable, so what would strand money or make a result impossible is refused when it is created.
library ParamsLib {
    // A round's updates are counted in the bits of one number, and a challenge carries all of them.
    uint256 internal constant MAX_COHORT = 64;
    // A challenge carries one chunk of every update with its siblings. With 64 updates of 512 int16 coordinates it
    // stays inside the 128 KiB that nodes pass on, up to a depth of 22. 16 coordinates fill a word.
    uint256 internal constant MAX_CHUNK_LENGTH = 512;
    uint256 internal constant CHUNK_LENGTH_STEP = 16;
    // A model's coordinate is an int32, so a smaller unit would leave no whole number.
    uint256 internal constant MAX_SHIFT = 31;
    // Time alone must end a round and a task within the lives of its participants, also when somebody writes
    // milliseconds. All windows together and any `closesAt` stay far below 2^64.
    uint256 internal constant MAX_PHASE_SECONDS = 365 days;
    uint256 internal constant MAX_TASK_SECONDS = 10 * 365 days;
    // Whoever publishes must be able to post the table in time: this high it has sixteen parts. A higher one is none.
    uint256 internal constant MAX_TABLE_HEIGHT = 16;

    function check(IVolquorum.TaskParams calldata params, uint256 time) internal pure {
        require_(params.modelSpecHash != 0, "modelSpecHash", 0);
        require_(params.genesisModelRoot != 0, "genesisModelRoot", 0);
        require_(params.dimension != 0, "dimension", 0);
        within("chunkLength", params.chunkLength, CHUNK_LENGTH_STEP, MAX_CHUNK_LENGTH);
        require_(params.chunkLength % CHUNK_LENGTH_STEP == 0, "chunkLength", params.chunkLength);
        within("shift", params.shift, 0, MAX_SHIFT);
        within("cohort", params.cohort, 1, MAX_COHORT);
        within("quorum", params.quorum, 1, params.cohort);
        within("seats", params.seats, params.cohort, type(uint16).max);
        within("drawn", params.drawn, params.quorum, params.cohort);
        bool draws = params.seats != params.cohort;
        require_((params.seedSource != address(0)) == draws, "seedSource", uint160(params.seedSource));
        bool byTrust = params.rule == IVolquorum.Rule.FLTrust;
        within("preSteps", params.preSteps, 0, byTrust ? 0 : ChoiceLib.ARC | ChoiceLib.NNM);
        require_((params.trusted != address(0)) == byTrust, "trusted", uint160(params.trusted));
        (uint256 least, uint256 most) = liars(params.rule, params.preSteps, params.quorum);
        within("tolerance", params.tolerance, least, most);
        require_((params.clipNorm != 0) == clips(params.rule), "clipNorm", params.clipNorm);
        require_(params.maxSquaredNorm != 0, "maxSquaredNorm", 0);

        within("selectionSeconds", params.selectionSeconds, 0, MAX_PHASE_SECONDS);
        within("commitSeconds", params.commitSeconds, 1, MAX_PHASE_SECONDS);
        within("revealSeconds", params.revealSeconds, 1, MAX_PHASE_SECONDS);
        within("availabilitySeconds", params.availabilitySeconds, 0, MAX_PHASE_SECONDS);
        within("aggregateSeconds", params.aggregateSeconds, 1, MAX_PHASE_SECONDS);
        within("aggregatorSeconds", params.aggregatorSeconds, 0, params.aggregateSeconds);
        within("challengeSeconds", params.challengeSeconds, 0, MAX_PHASE_SECONDS);
        checkRewards(params);
        within("closesAt", params.closesAt, time + 1, time + MAX_TASK_SECONDS);
        require_(params.rounds != 0, "rounds", 0);
        // Invariant: a task's whole reward fits the field that holds it.
        within("rewardWei", uint256(params.rewardWei) + params.publisherWei, 0, type(uint96).max / params.rounds);
        within("sliceWei", params.sliceWei, 0, params.stakeWei);
    }

    /// @dev Scores take half of their time to commit and half to reveal. It ends before any result can be final, so that
    /// the scores are known when the reward is distributed, and before a seat's place for them is used again.
    function checkRewards(IVolquorum.TaskParams calldata params) private pure {
        bool scores = params.rewardRule == IVolquorum.RewardRule.Scores;
        bool samples = params.rewardRule == IVolquorum.RewardRule.Samples;
        within("scoreSeconds", params.scoreSeconds, scores ? 2 : 0, scores ? params.challengeSeconds : 0);
        require_((params.sampleCap != 0) == samples, "sampleCap", params.sampleCap);
    }

    /// @dev Whether a rule has a bound of its own to clip to.
    function clips(IVolquorum.Rule rule) internal pure returns (bool) {
        return rule == IVolquorum.Rule.ClippedMean || rule == IVolquorum.Rule.CenteredClipping;
    }

    /// @dev Whether nothing that fits a transaction proves an aggregate wrong: the contract knows no such rule, knows it
    /// only without what goes before it, or the table that shows the distances is too high.
    function byVotes(IVolquorum.TaskParams calldata params) internal pure returns (bool) {
        (IVolquorum.Rule rule, uint256 preSteps) = (params.rule, params.preSteps);
        if (rule > IVolquorum.Rule.FLTrust || (preSteps != 0 && clips(rule))) return true;
        if (preSteps & ChoiceLib.NNM != 0 && rule > IVolquorum.Rule.TrimmedMean) return true;
        if (!ChoiceLib.byDistance(rule, preSteps)) return false;
        SumTree.Shape memory update = SumTree.Shape(params.dimension, params.chunkLength, SumTree.INT16_BYTES);
        // slither-disable-next-line unused-return -- how much of the height is below pairs does not matter
        (, uint256 height) = GramLib.levels(GramLib.Shape(params.cohort, SumTree.chunkCount(update)));
        return height > MAX_TABLE_HEIGHT;
    }

    /// @dev One liar moves a plain mean anywhere, so it can be asked to tolerate none. Everything else needs an honest
    /// majority in the smallest set it may be applied to, nothing symmetric can do with less; Krum and multi-Krum two
    /// more; and Bulyan, which trims as many again of what Krum chose, that twice over. What chooses among updates,
    /// asked to tolerate nobody, would choose all; and where votes judge, a single one must not say what is right.
    function liars(IVolquorum.Rule rule, uint256 preSteps, uint256 quorum)
        internal
        pure
        returns (uint256 least, uint256 most)
    {
        if (rule == IVolquorum.Rule.Bulyan) return (1, quorum < 3 ? 0 : (quorum - 3) / 4);
        if (ChoiceLib.choosesBest(rule)) return (1, quorum < 3 ? 0 : (quorum - 3) / 2);
        if (ChoiceLib.weighs(rule) || rule > IVolquorum.Rule.FLTrust || preSteps != 0) return (1, (quorum - 1) / 2);
        return (0, rule == IVolquorum.Rule.Mean ? 0 : (quorum - 1) / 2);
    }

    function within(bytes32 field, uint256 value, uint256 least, uint256 most) private pure {
        require_(value >= least && value <= most, field, value);
    }

    function require_(bool fits, bytes32 field, uint256 value) private pure {
        if (!fits) revert IVolquorum.InvalidParameter(field, value);
    }
}
