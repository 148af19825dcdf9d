// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "forge-std/interfaces/IERC20.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../src/libraries/PhaseLib.sol";
import {HandlerDisputes} from "./HandlerDisputes.sol";
import {HandlerModel} from "./HandlerModel.sol";
import {Hostile} from "./Hostile.sol";
import {ScriptedSource} from "./ScriptedSource.sol";
import {ReenteringToken} from "./tokens/ReenteringToken.sol";

/// @notice Several tasks and a few accounts in every role, called in any order at any time. Participants may withhold,
/// equivocate, score and vote as they like, publishers may lie, norms may be false, bytes may be flagged and left unanswered,
/// and one account refuses money or calls back.
/// @dev Calls may be refused; what an invariant says must hold after refused calls too.
contract Handler is HandlerDisputes {
    using PhaseLib for IVolquorum.Phase;

    uint256 private constant MAX_TASKS = 7;
    uint256 private constant KINDS = 5;
    uint256 private constant HOSTILE = ACCOUNTS - 1;
    uint256 private constant PURSE_WEI = 100_000;
    uint256 private constant ACTIONS = 53;

    ScriptedSource private immutable SOURCE;

    constructor(IVolquorum volquorum, address token, address reentering) HandlerModel(volquorum) {
        SOURCE = new ScriptedSource();
        currencies = [address(0), token, reentering];
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            accounts.push(vm.addr(keyOf(who)));
            enrich(accounts[who]);
        }
        vm.etch(accounts[HOSTILE], type(Hostile).runtimeCode);
        vm.prank(accounts[HOSTILE]);
        ReenteringToken(reentering).hook();
        note();
        // One of each kind and each currency, in which everything can happen for long.
        for (uint256 kind = 0; kind < KINDS; ++kind) {
            IVolquorum.TaskParams memory params = drawnParams(kind);
            makeGenerous(params, kind);
            create(params, kind, kind % CURRENCIES);
        }
    }

    /// @dev A token's balances are what it stores first.
    function enrich(address owner) private {
        vm.deal(owner, PURSE_WEI);
        for (uint256 currency = 1; currency < CURRENCIES; ++currency) {
            vm.store(currencies[currency], keccak256(abi.encode(owner, 0)), bytes32(PURSE_WEI));
            vm.prank(owner);
            IERC20(currencies[currency]).approve(address(VOLQUORUM), type(uint256).max);
        }
    }

    // ------------------------------------------------------------------------------------------------- any sequence

    /// @notice Any call, whether it fits or not.
    function anyCall(uint256 which, uint256 taskSeed, uint256 who, uint256 seed) external {
        actions()[which % ACTIONS](task(taskSeed), who % ACCOUNTS, seed);
    }

    /// @notice A call that may fit what the task's round is in.
    function fittingCall(uint256 which, uint256 taskSeed, uint256 who, uint256 seed) external {
        bytes32 taskId = task(taskSeed);
        (uint256 first, uint256 count) = fitting(VOLQUORUM.phase(taskId, latestOf(taskId)));
        actions()[first + which % count](taskId, who % ACCOUNTS, seed);
    }

    /// @notice A round up to a drawn step, with what a drawn `mischief` makes of it, so that late states are reached often.
    function playRound(uint256 taskSeed, uint256 steps, uint256 mischief) external {
        bytes32 taskId = task(taskSeed);
        if (mischief >> 40 & 1 == 1) walkToEnd(taskId);
        takeSeats(taskId);
        if (!act("open", 0, taskId, abi.encodeCall(IVolquorum.openRound, (taskId)))) return;
        IVolquorum.Deadlines memory ends = VOLQUORUM.deadlines(taskId, latestOf(taskId));
        steps = _bound(steps, 0, 7);
        if (termsOf[taskId].draws) drawSeats(taskId, 0, mischief | 1);
        playUpdates(taskId, steps, ends, mischief >> 64);
        if (steps < 2) return;
        walkTo(ends.reveal);
        playAvailability(taskId, mischief);
        walkTo(ends.availability);
        playScores(taskId, ends, mischief >> 32);
        playVotes(taskId, mischief >> 80);
        playLies(taskId, mischief >> 24);
        publish(taskId, mischief >> 50 & 1 == 1 ? HOSTILE : 0, steps == 7 ? 0 : mischief);
        if (steps > 3) playChallenge(taskId, mischief);
        if (steps > 5) playEnd(taskId, steps == 7, mischief >> 41);
    }

    function walk(uint256 seconds_, bool far) external {
        walkTo(block.timestamp + _bound(seconds_, 0, far && seconds_ % 4 == 0 ? 40 : 3));
    }

    /// @dev Ordered so that what fits a phase is consecutive.
    function actions() private pure returns (function(bytes32, uint256, uint256) internal[ACTIONS] memory) {
        return [
            // Selection, or no round
            createAnother,
            join,
            restore,
            leave,
            end,
            close,
            open,
            claim,
            withdraw,
            drawSeats,
            // Commit
            commit,
            commitBatch,
            commit,
            equivocate,
            slashWithheld,
            drawSeats,
            // Reveal
            reveal,
            revealBatch,
            reveal,
            equivocate,
            slashWithheld,
            leave,
            // Availability
            flagUpdate,
            postUpdate,
            challengeNorm,
            slashWithheld,
            // Aggregate
            publish,
            vote,
            vote,
            relayVotes,
            commitScores,
            revealScores,
            reclaimDeposit,
            // Challenge
            vote,
            relayVotes,
            refuteOutvoted,
            flagResult,
            postResult,
            refuteUnavailable,
            commitScores,
            revealScores,
            challengeAggregate,
            challengeModel,
            challengeProduct,
            challengeChoice,
            // Final and Void
            finalise,
            voidRound,
            distribute,
            claim,
            withdraw,
            open,
            close,
            slashWithheld
        ];
    }

    function fitting(IVolquorum.Phase current) private pure returns (uint256 first, uint256 count) {
        if (current <= IVolquorum.Phase.Selection) return (0, 10);
        if (current == IVolquorum.Phase.Commit) return (10, 6);
        if (current == IVolquorum.Phase.Reveal) return (16, 6);
        if (current == IVolquorum.Phase.Availability) return (22, 4);
        if (current == IVolquorum.Phase.Aggregate) return (26, 7);
        if (current == IVolquorum.Phase.Challenge) return (33, 12);
        return (45, 8);
    }

    // --------------------------------------------------------------------------------------------------- tasks

    /// @dev Now and then only, so that there is room for one late.
    function createAnother(bytes32, uint256 who, uint256 seed) private {
        if (seed % 2 == 0 && tasks.length < MAX_TASKS) create(drawnParams(seed >> 1), who, (seed >> 8) % CURRENCIES);
    }

    function create(IVolquorum.TaskParams memory params, uint256 who, uint256 currency) private {
        params.currency = currencies[currency];
        bytes32 taskId = VOLQUORUM.taskIdOf(accounts[who], params);
        uint256 fundsWei = params.rounds * (uint256(params.rewardWei) + params.publisherWei);
        termsOf[taskId].currency = currency;
        if (!pay("create", who, taskId, fundsWei, abi.encodeCall(IVolquorum.createTask, (params)))) return;
        tasks.push(taskId);
        bool hasTable = params.preSteps & 2 == 2 || choosesBest(params.rule);
        bool byVotes = params.rule > IVolquorum.Rule.FLTrust || (clips(params.rule) && params.preSteps != 0);
        recipeOf[taskId] = byVotes
            ? Recipe(IVolquorum.Rule.Mean, params.tolerance, 0, false, true)
            : Recipe(params.rule, params.tolerance, params.preSteps, hasTable, false);
        keepTerms(termsOf[taskId], params, who);
        check(taskId);
    }

    function keepTerms(Terms storage terms, IVolquorum.TaskParams memory params, uint256 sponsor) private {
        terms.stakeWei = params.stakeWei;
        terms.sliceWei = params.sliceWei;
        terms.bondWei = params.bondWei;
        terms.flagWei = params.flagWei;
        terms.rewardWei = params.rewardWei;
        terms.publisherWei = params.publisherWei;
        terms.rewardRule = params.rewardRule;
        terms.sampleCap = params.sampleCap;
        terms.cohort = params.cohort;
        terms.sponsor = sponsor;
        terms.draws = params.seedSource != address(0);
    }

    function makeGenerous(IVolquorum.TaskParams memory params, uint256 kind) private view {
        (params.rounds, params.closesAt) = (12, uint64(block.timestamp + 900));
        (params.availabilitySeconds, params.aggregateSeconds, params.challengeSeconds) = (5, 4, 9);
        (params.stakeWei, params.sliceWei, params.bondWei, params.flagWei) = (9, 5, 7, 3);
        (params.rewardWei, params.publisherWei, params.maxMissed) = (50, 3, 6);
        if (kind == 1) params.preSteps = 3;
        params.rewardRule = IVolquorum.RewardRule(kind % 3);
        params.sampleCap = params.rewardRule == IVolquorum.RewardRule.Samples ? 40 : 0;
        params.scoreSeconds = params.rewardRule == IVolquorum.RewardRule.Scores ? 4 : 0;
    }

    function drawnParams(uint256 seed) private returns (IVolquorum.TaskParams memory params) {
        params.modelSpecHash = "spec";
        params.genesisModelRoot = rootOf(new bytes(64), 4);
        (params.dimension, params.chunkLength, params.maxSquaredNorm) = (16, 16, MAX_SQUARED_NORM);
        drawRule(params, seed);
        params.aggregator = draw(seed, "named", 0, 3) != 0 ? address(0) : accounts[0];
        params.selectionSeconds = uint32(draw(seed, "selection", 0, 2));
        params.commitSeconds = uint32(draw(seed, "commit", 1, 3));
        params.revealSeconds = uint32(draw(seed, "reveal", 1, 3));
        params.availabilitySeconds = uint32(draw(seed, "availability", 0, 6));
        params.aggregateSeconds = uint32(draw(seed, "aggregate", 1, 4));
        params.aggregatorSeconds = uint32(draw(seed, "aggregator", 0, params.aggregateSeconds));
        params.challengeSeconds = uint32(draw(seed, "challenge", 0, 9));
        params.rounds = uint32(draw(seed, "rounds", 1, 12));
        params.closesAt = uint64(block.timestamp + draw(seed, "closesAt", 10, 900));
        drawMoney(params, seed);
        params.salt = bytes32(tasks.length);
    }

    function clips(IVolquorum.Rule rule) private pure returns (bool) {
        return rule == IVolquorum.Rule.ClippedMean || rule == IVolquorum.Rule.CenteredClipping;
    }

    /// @dev Kind 0 has plain updates, 1 clips or mixes before a rule, 2 is multi-Krum or Krum, 3 draws its seats, 4 is by votes.
    function drawRule(IVolquorum.TaskParams memory params, uint256 seed) private view {
        uint256 kind = seed % KINDS;
        params.rule = IVolquorum.Rule.Median;
        params.quorum = uint8(draw(seed, "quorum", 1, 3));
        params.cohort = uint8(draw(seed, "cohort", 3, 6));
        if (kind == 1) {
            IVolquorum.Rule[3] memory rules =
                [IVolquorum.Rule.Mean, IVolquorum.Rule.Median, IVolquorum.Rule.TrimmedMean];
            params.rule = rules[draw(seed, "rule", 0, 2)];
            (params.preSteps, params.tolerance) = (uint8(draw(seed, "preSteps", 1, 3)), 1);
            params.quorum = 3;
        }
        if (kind == 2) {
            params.rule = draw(seed, "rule", 0, 1) == 0 ? IVolquorum.Rule.MultiKrum : IVolquorum.Rule.Krum;
            params.tolerance = 1;
            (params.quorum, params.cohort) = (5, 6);
        }
        if (kind == 4) {
            params.rule = [
                IVolquorum.Rule.ClippedMean, IVolquorum.Rule.CenteredClipping, IVolquorum.Rule.MinimumDiameter
            ][draw(seed, "rule", 0, 2)];
            params.clipNorm = clips(params.rule) ? 1 : 0;
            params.preSteps = uint8(draw(seed, "preSteps", 1, 3));
            (params.quorum, params.tolerance) = (3, 1);
        }
        (params.seats, params.drawn) = (params.cohort, params.cohort);
        if (kind != 3) return;
        params.cohort = 3;
        (params.seats, params.drawn) = (uint16(ACCOUNTS), uint8(draw(seed, "drawn", params.quorum, 3)));
        params.seedSource = address(SOURCE);
    }

    function drawMoney(IVolquorum.TaskParams memory params, uint256 seed) private pure {
        params.stakeWei = uint96(draw(seed, "stake", 0, 9));
        params.sliceWei = uint96(draw(seed, "slice", 0, params.stakeWei));
        params.bondWei = uint96(draw(seed, "bond", 0, 9));
        params.flagWei = uint96(draw(seed, "flag", 0, 5));
        params.rewardWei = uint96(draw(seed, "reward", 0, 50));
        params.publisherWei = uint96(draw(seed, "publisher", 0, 5));
        params.maxMissed = uint8(draw(seed, "missed", 0, 6));
        params.minSamples = uint32(draw(seed, "samples", 0, 12));
        params.rewardRule = IVolquorum.RewardRule(draw(seed, "rewardRule", 0, 2));
        if (params.rewardRule == IVolquorum.RewardRule.Samples) params.sampleCap = 40;
        if (params.rewardRule != IVolquorum.RewardRule.Scores) return;
        params.challengeSeconds = uint32(draw(seed, "challenge", 4, 9));
        params.scoreSeconds = uint32(draw(seed, "score", 2, params.challengeSeconds));
    }

    /// @dev Invariant: only its sponsor ends a task, which he seldom does.
    function end(bytes32 taskId, uint256 who, uint256 seed) private {
        if (seed % 4 == 0) who = termsOf[taskId].sponsor;
        else if (who == termsOf[taskId].sponsor) return;
        bool ended = act("end", who, taskId, abi.encodeCall(IVolquorum.endTask, (taskId)));
        if (ended) assertEq(who, termsOf[taskId].sponsor, "the sponsor alone");
    }

    function close(bytes32 taskId, uint256 who, uint256) private {
        act("close", who, taskId, abi.encodeCall(IVolquorum.closeTask, (taskId)));
    }

    // -------------------------------------------------------------------------------------------------- rounds

    function open(bytes32 taskId, uint256 who, uint256) private {
        act("open", who, taskId, abi.encodeCall(IVolquorum.openRound, (taskId)));
    }

    /// @dev With a seed of the block that opened the round, unless that is not known yet.
    function drawSeats(bytes32 taskId, uint256 who, uint256 seed) private {
        SOURCE.set(VOLQUORUM.taskState(taskId).openedBlock, seed % 8 == 0 ? bytes32(0) : keccak256(abi.encode(seed)));
        act("draw", who, taskId, abi.encodeCall(IVolquorum.drawSeats, (taskId, latestOf(taskId))));
    }

    function finalise(bytes32 taskId, uint256 who, uint256) private {
        act("finalise", who, taskId, abi.encodeCall(IVolquorum.finalise, (taskId)));
    }

    function voidRound(bytes32 taskId, uint256 who, uint256) private {
        act("void", who, taskId, abi.encodeCall(IVolquorum.voidRound, (taskId)));
    }

    // --------------------------------------------------------------------------------------------------- money

    function distribute(bytes32 taskId, uint256 who, uint256 seed) private {
        uint32 latest = latestOf(taskId);
        if (latest != 0) distributeIn(taskId, who, latest - uint32(seed % 2 == 0 ? 0 : (seed >> 8) % latest));
    }

    /// @dev Invariant: the reward of a final round is distributed exactly once.
    function distributeIn(bytes32 taskId, uint256 who, uint32 round) private {
        Watched memory watched = watchedIn[taskId][round];
        bool expected = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Final && !watched.distributed;
        bytes memory data = abi.encodeCall(IVolquorum.distribute, (taskId, round, watched.revealed, watched.scores));
        assertEq(call("distribute", who, 0, data), expected, "a final round's reward, once");
        if (expected) watchedIn[taskId][round].distributed = true;
        check(taskId);
    }

    function claim(bytes32 taskId, uint256 who, uint256 seed) private {
        act("claim", who, taskId, abi.encodeCall(IVolquorum.claim, (taskId, accounts[seed % ACCOUNTS])));
    }

    /// @dev The hostile account refuses, or calls back, if `seed` says so; or it does so while it pays, or withdraws to
    /// somebody else.
    function withdraw(bytes32 taskId, uint256 who, uint256 seed) private {
        behave(taskId, seed);
        uint256 kind = seed >> 16 & 3;
        if (kind == 3) join(taskId, HOSTILE, 0);
        else if (kind == 2) pay(taskId, HOSTILE, who);
        else pay(taskId, kind == 1 ? HOSTILE : who, kind == 1 ? HOSTILE : who);
        done["reentered"] = Hostile(payable(accounts[HOSTILE])).reentered();
        behave(taskId, 0);
    }

    function pay(bytes32 taskId, uint256 from, uint256 to) private {
        uint256 currency = termsOf[taskId].currency;
        uint256 amountWei = VOLQUORUM.creditOf(currencies[currency], accounts[from]);
        bytes memory data = abi.encodeCall(IVolquorum.withdraw, (currencies[currency], accounts[to]));
        if (call("withdraw", from, 0, data)) move(currency, from, to, amountWei);
        check(taskId);
    }

    /// @dev It leaves the task now and then, if that costs it nothing.
    function behave(bytes32 taskId, uint256 seed) private {
        bytes[] memory calls = new bytes[](seed % 4 < 2 ? 0 : 4);
        if (calls.length != 0) {
            address currency = currencies[termsOf[taskId].currency];
            calls[0] = abi.encodeCall(IVolquorum.withdraw, (currency, accounts[HOSTILE]));
            calls[1] = abi.encodeCall(IVolquorum.claim, (taskId, accounts[HOSTILE]));
            calls[2] = abi.encodeCall(IVolquorum.finalise, (taskId));
            calls[3] = pledgeOf[taskId][HOSTILE].open || seed % 8 < 6
                ? abi.encodeCall(IVolquorum.closeTask, (taskId))
                : abi.encodeCall(IVolquorum.leave, (taskId));
        }
        Hostile(payable(accounts[HOSTILE])).become(address(VOLQUORUM), seed % 4 == 1, calls);
    }

    // ------------------------------------------------------------------------------------------------- whole rounds

    /// @dev Whoever has none, and whoever lost a slice of his. The hostile account comes first, for not all find one.
    function takeSeats(bytes32 taskId) private {
        for (uint256 left = ACCOUNTS; left > 0; --left) {
            uint256 who = left - 1;
            uint32 activeFrom = VOLQUORUM.seat(taskId, accounts[who]).activeFrom;
            if (activeFrom == 0) join(taskId, who, 0);
            if (activeFrom == type(uint32).max) restore(taskId, who, 0);
        }
    }

    /// @dev By batches or direct calls; norms may be false, somebody may withhold or equivocate.
    function playUpdates(bytes32 taskId, uint256 steps, IVolquorum.Deadlines memory ends, uint256 mischief) private {
        bool batched = mischief & 3 == 3;
        // One account's may be of another kind, the others' are honest.
        uint256 odd = mischief & 4 == 4 ? 3 << 128 : 0;
        walkTo(ends.selection);
        if (batched) commitBatch(taskId, 0, 1 << 136 | 1);
        for (uint256 who = 0; who < ACCOUNTS && !batched; ++who) {
            commit(taskId, who, who == 5 ? odd : 1 << 130);
        }
        if (mischief & 56 == 56) equivocate(taskId, 5, mischief >> 8);
        if (steps == 0) return;
        walkTo(ends.commit);
        if (batched) revealBatch(taskId, 0, 15);
        for (uint256 who = 0; who < ACCOUNTS && !batched; ++who) {
            if (mischief & 192 == 192 && who == 4) continue;
            reveal(taskId, who, 0);
        }
    }

    function playAvailability(bytes32 taskId, uint256 mischief) private {
        for (uint256 index = 0; index < 4; ++index) {
            if (mischief >> index & 5 == 5) flagUpdate(taskId, index + 1, index);
        }
        for (uint256 index = 0; index < 3 && mischief & 16 == 16; ++index) {
            challengeNorm(taskId, mischief % ACCOUNTS, (mischief & 1 << 160) + index);
        }
        for (uint256 index = 0; index < 4; ++index) {
            if (mischief >> (6 + index) & 1 == 1) postUpdate(taskId, index + 2, index);
        }
    }

    function playScores(bytes32 taskId, IVolquorum.Deadlines memory ends, uint256 mischief) private {
        // Who publishes may come later, but not too late.
        if (ends.scoreCommit == 0 || ends.scoreCommit >= ends.aggregate) return;
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            if (mischief >> who & 3 != 0) commitScores(taskId, who, mischief);
        }
        walkTo(ends.scoreCommit);
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            revealScores(taskId, who, mischief);
        }
    }

    /// @dev All, some or none; those who lie may be many.
    function playVotes(bytes32 taskId, uint256 mischief) private {
        if (mischief >> 40 & 1 == 1) relayVotes(taskId, 0, mischief >> 48);
        for (uint256 who = 0; recipeOf[taskId].byVotes && who < ACCOUNTS; ++who) {
            if (mischief >> who & 3 != 0) vote(taskId, who, mischief >> (8 + 3 * who) & 7);
        }
    }

    function playChallenge(bytes32 taskId, uint256 mischief) private {
        uint256 who = mischief % ACCOUNTS;
        if (mischief & 384 != 0) refuteOutvoted(taskId, who, mischief >> 90);
        if (mischief & 6 != 0) flagResult(taskId, who, mischief);
        if (mischief & 8 == 8) flagResult(taskId, 1, mischief ^ 1);
        if (mischief & 16 == 16) postResult(taskId, who, mischief);
        if (mischief & 96 != 0) {
            challengeAggregate(taskId, who, mischief);
            challengeModel(taskId, who, mischief);
            challengeProduct(taskId, who, mischief & ~uint256(1));
            challengeChoice(taskId, who, mischief);
        }
        walkTo(VOLQUORUM.deadlines(taskId, latestOf(taskId)).postResult);
        refuteUnavailable(taskId, 2, mischief);
    }

    /// @dev Seldom, but then as many lies in one round as its end allows.
    function playLies(bytes32 taskId, uint256 lies) private {
        if (lies & 15 != 15) return;
        for (uint256 count = (lies >> 4) % 10; count > 0; --count) {
            publish(taskId, 0, 2);
            challengeModel(taskId, 1, count << 160);
            walkTo(block.timestamp + 1);
        }
    }

    function playEnd(bytes32 taskId, bool paid, uint256 mischief) private {
        walkToEnd(taskId);
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            reclaimDeposit(taskId, 0, who);
            if (mischief & 1 == 1) slashWithheld(taskId, who, HOSTILE);
        }
        if (!paid) return;
        distributeIn(taskId, 0, latestOf(taskId));
        // The last one claims while it is paid.
        for (uint256 who = 0; who < HOSTILE; ++who) {
            claim(taskId, 0, who);
            withdraw(taskId, who, mischief >> 3);
        }
        withdraw(taskId, HOSTILE, 1 << 16 | 2);
    }

    function walkToEnd(bytes32 taskId) private {
        IVolquorum.Deadlines memory ends = VOLQUORUM.deadlines(taskId, latestOf(taskId));
        walkTo(ends.challenge > ends.aggregate ? ends.challenge : ends.aggregate);
    }

    function walkTo(uint256 time) private {
        if (time <= block.timestamp) return;
        vm.warp(time);
        note();
    }

    function task(uint256 seed) private view returns (bytes32) {
        return tasks[seed % tasks.length];
    }

    // --------------------------------------------------------------------------------------------------- the end

    /// @notice Each on its own, long after everything. Invariant: it gets what it is worth.
    function unwind() external {
        walkTo(block.timestamp + 1 days);
        unwinding = true;
        for (uint256 index = 0; index < tasks.length; ++index) {
            unwind(tasks[index]);
        }
        for (uint256 currency = 0; currency < CURRENCIES; ++currency) {
            for (uint256 who = 0; who < ACCOUNTS; ++who) {
                call("unwind", who, 0, abi.encodeCall(IVolquorum.withdraw, (currencies[currency], accounts[who])));
                assertEq(purse(currency, who), known[currency][who], "somebody lost money");
            }
        }
    }

    function unwind(bytes32 taskId) private {
        if (!VOLQUORUM.taskState(taskId).closed) {
            assertTrue(call("unwind", 0, 0, abi.encodeCall(IVolquorum.closeTask, (taskId))), "time ends a task");
        }
        uint32 latest = latestOf(taskId);
        for (uint32 round = 1; round <= latest; ++round) {
            assertTrue(VOLQUORUM.phase(taskId, round).isEnd(), "time ends a round");
            distributeIn(taskId, 0, round);
        }
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            reclaimDeposit(taskId, 0, who);
            leave(taskId, who, 0);
            assertEq(VOLQUORUM.seat(taskId, accounts[who]).activeFrom, 0, "nothing holds a seat");
            claim(taskId, 0, who);
        }
    }
}
