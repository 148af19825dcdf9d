// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LibBit} from "solady/utils/LibBit.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChallengeFixture} from "./ChallengeFixture.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice What can be proven wrong, what cannot, and what follows from a proof.
/// forge-config: default.fuzz.runs = 48
contract ChallengeTest is ChallengeFixture {
    address private challenger = makeAddr("challenger");
    bool private sealing = true;

    /// @dev Of one lie that is proven up to eight times: before which proof each of three sealed it, and what each earned;
    /// and what the proofs left.
    struct Awards {
        bytes32 lie;
        address[3] sealers;
        uint256[3] since;
        uint256[3] earnedWei;
        uint256[8] leftWei;
    }

    // ------------------------------------------------------------------------------------------- what is refuted

    function testHonestResultCannotBeRefutedByAnyChunk(uint256 seed, uint8 rule, uint8 count) public {
        play(seed, rule, count);
        publishResult(aggregator);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            noFraudIn(chunk);
            noFraudInModel(chunk);
        }
    }

    function testWrongCoordinateOfTheAggregateIsRefutedByItsChunkOnly(
        uint256 seed,
        uint8 rule,
        uint8 count,
        uint256 place,
        bytes1 change
    ) public {
        vm.assume(change != 0);
        play(seed, rule, count);
        place = bound(place, 0, aggregate.length - 1);
        aggregate[place] ^= change;
        publishResult(aggregator);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            if (chunk != place / 32) noFraudIn(chunk);
        }
        challengeAggregate(uint32(place / 32));
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
    }

    function testWrongCoordinateOfTheModelIsRefutedByItsChunkOnly(uint256 seed, uint256 place, bytes1 change) public {
        vm.assume(change != 0);
        play(seed, 3, 5);
        place = bound(place, 0, model.length - 1);
        model[place] ^= change;
        publishResult(aggregator);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            noFraudIn(chunk);
            if (chunk != place / 64) noFraudInModel(chunk);
        }
        challengeModel(uint32(place / 64));
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
    }

    function testSumThatLeavesInt32RefutesEveryModel(uint256 seed, bool below, bytes4 claimed) public {
        play(seed, 0, 5);
        // The base model is the sponsor's to choose, so it is changed under the round that runs on it.
        base[17] = below ? type(int32).min : type(int32).max;
        int256[] memory step = new int256[](DIMENSION);
        step[17] = below ? -1 : int256(1);
        aggregate = packed(step, 2);
        int256[] memory next = base;
        model = packed(next, 4);
        for (uint256 index = 0; index < 4; ++index) {
            model[4 * 17 + index] = claimed[index];
        }
        overwriteBase();
        publishResult(aggregator);
        noFraudInModel(0);
        challengeModel(1);
    }

    function testNonZeroPaddingOfWhatWasPublishedIsRefuted(uint256 place, bytes1 dirt, bool inModel) public {
        vm.assume(dirt != 0);
        play(1, 3, 5);
        if (inModel) {
            model = bytes.concat(model, new bytes(32));
            model[bound(place, 160, 191)] = dirt;
        } else {
            aggregate = bytes.concat(aggregate, new bytes(16));
            aggregate[bound(place, 80, 95)] = dirt;
        }
        publishResult(aggregator);
        if (inModel) challengeModel(2);
        else challengeAggregate(2);
    }

    // ------------------------------------------------------------------------------------------- what is no proof

    function testOpeningsWithAnyByteChangedAreRefused(uint256 seed, uint256 place, bytes1 change) public {
        vm.assume(change != 0);
        play(seed, 3, 5);
        publishResult(aggregator);
        uint32 chunk = uint32(seed % CHUNKS);
        bytes memory openings = aggregateOpenings(chunk);
        uint256 changed = bound(place, 0, openings.length - 1);
        openings[changed] ^= change;
        uint256 count = participants().length;
        if (changed < count * UPDATE_OPENING) {
            // Another update than the revealed one, or none at all.
            refusedAs(changed / UPDATE_OPENING, chunk, openings);
        } else {
            refused(chunk, openings, abi.encodeWithSelector(IVolquorum.BadOpening.selector, count));
        }

        openings = modelOpenings(chunk);
        changed = bound(place, 0, openings.length - 1);
        openings[changed] ^= change;
        uint256 index = changed < MODEL_OPENING ? 0 : changed < MODEL_OPENING + UPDATE_OPENING ? 1 : 2;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadOpening.selector, index));
        volquorum.challengeModel(taskId, round, chunk, openings, 0);
    }

    function testOpeningsOfAnotherChunkAreRefused(uint256 seed) public {
        play(seed, 2, 4);
        publishResult(aggregator);
        uint32 chunk = uint32(seed % CHUNKS);
        uint32 other = (chunk + 1) % uint32(CHUNKS);
        refusedAs(0, other, aggregateOpenings(chunk));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadOpening.selector, 0));
        volquorum.challengeModel(taskId, round, other, modelOpenings(chunk), 0);
    }

    function testUpdateThatDoesNotPadItsLastChunkWithZerosIsNoEvidence() public {
        play(1, 0, 3);
        publishResult(aggregator);
        bytes memory dirty = bytes.concat(packed(values[1], 2), bytes16(uint128(1)));
        bytes memory openings = bytes.concat(
            PlainTree.open(packed(values[0], 2), updateShape(), 2),
            PlainTree.open(dirty, updateShape(), 2),
            PlainTree.open(packed(values[2], 2), updateShape(), 2),
            PlainTree.path(aggregate, updateShape(), 2)
        );
        refused(2, openings, abi.encodeWithSelector(IVolquorum.BadOpening.selector, 1));
    }

    function testOpeningsOfAnotherLengthAreRefused(uint256 length) public {
        play(1, 3, 5);
        publishResult(aggregator);
        bytes memory openings = aggregateOpenings(0);
        length = bound(length, 0, 2 * openings.length);
        vm.assume(length != openings.length);
        refused(0, new bytes(length), abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, openings.length));
        uint256 required = MODEL_OPENING + UPDATE_OPENING + PATH;
        vm.assume(length != required);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, required));
        volquorum.challengeModel(taskId, round, 0, new bytes(length), 0);
    }

    function testChunkThatDoesNotExistIsRefused(uint32 chunk) public {
        play(1, 3, 5);
        publishResult(aggregator);
        chunk = uint32(bound(chunk, CHUNKS, type(uint32).max));
        bytes memory unknown = abi.encodeWithSelector(IVolquorum.UnknownChunk.selector, chunk, CHUNKS);
        refused(chunk, aggregateOpenings(0), unknown);
        vm.expectRevert(unknown);
        volquorum.challengeModel(taskId, round, chunk, modelOpenings(0), 0);
    }

    function testOtherParticipantsThanTheRevealedOnesAreRefused(uint256 which, address other) public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        publishResult(aggregator);
        address[] memory others = participants();
        which = bound(which, 0, 4);
        vm.assume(other != others[which]);
        others[which] = other;
        bytes memory openings = aggregateOpenings(0);
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeAggregate(taskId, round, others, new IVolquorum.Update[](0), 0, openings, "", 0);
    }

    function testAnotherOrderThanThatOfRevealIsRefused(uint256 which) public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        publishResult(aggregator);
        which = bound(which, 0, 3);
        (values[which], values[which + 1]) = (values[which + 1], values[which]);
        (revealed[which], revealed[which + 1]) = (revealed[which + 1], revealed[which]);
        bytes memory openings = aggregateOpenings(0);
        address[] memory others = participants();
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeAggregate(taskId, round, others, new IVolquorum.Update[](0), 0, openings, "", 0);
    }

    function testAnotherSelectionThanTheIncludedUpdatesIsRefused(uint256 which, bool wasExcluded) public {
        playToAvailability(IVolquorum.Rule.Median, 6, 1);
        flag(taskId, round, revealed, 2, stranger);
        walkToAggregate(taskId, round);
        makeResult();
        aggregate[0] ^= 0x01;
        publishResult(aggregator);
        which = bound(which, 0, 5);
        // The last digit of a bitmap with which the challenge would be right.
        uint256 given = wasExcluded ? 0 : 4 | 1 << which;
        vm.assume(given != 4);
        (address[] memory chosen, IVolquorum.Update[] memory rest, bytes memory openings) = choose(given);
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeAggregate(taskId, round, chosen, rest, 0, openings, "", 0);
        (chosen, rest, openings) = choose(4);
        volquorum.challengeAggregate(taskId, round, chosen, rest, 0, openings, "", 0);
    }

    function testUpdatesOfAnotherRoundAreRefused() public {
        play(1, 3, 5);
        publishResult(aggregator);
        bytes memory openings = aggregateOpenings(0);
        address[] memory before = participants();
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, 5);
        publish(taskId, round, aggregator);
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeAggregate(taskId, round, before, new IVolquorum.Update[](0), 0, openings, "", 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, 1, 2));
        volquorum.challengeAggregate(taskId, 1, before, new IVolquorum.Update[](0), 0, openings, "", 0);
    }

    function testOnlyThePhaseOfChallengeTakesChallenges() public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        model[0] ^= 0x01;
        refusedInPhase(IVolquorum.Phase.Aggregate);
        publishResult(aggregator);
        vm.warp(volquorum.deadlines(taskId, round).challenge);
        refusedInPhase(IVolquorum.Phase.Final);
        vm.warp(volquorum.deadlines(taskId, round).challenge - 1);
        challengeAggregate(0);
        refusedInPhase(IVolquorum.Phase.Aggregate);
    }

    // ------------------------------------------------------------------------------------------ what a proof does

    function testProofClearsThePublicationAndSplitsTheBond(bool inModel) public {
        play(1, 3, 5);
        if (inModel) model[0] ^= 0x01;
        else aggregate[0] ^= 0x01;
        publishResult(aggregator);
        vm.warp(block.timestamp + 3);
        IVolquorum.Fault fault = inModel ? IVolquorum.Fault.Model : IVolquorum.Fault.Aggregate;
        sealFor(challenger, inModel ? 1 : 0, 0, lieOf(inModel));
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultRefuted(taskId, round, aggregator, challenger, fault, 0, 1 ether, 1 ether + 1);
        if (inModel) challengeModel(0);
        else challengeAggregate(0);

        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        assertEq(facts.publishedAt, 0);
        assertEq(facts.restartedAt, block.timestamp);
        assertEq(facts.aggregateRoot, 0);
        assertEq(facts.modelRoot, 0);
        assertEq(facts.publisher, address(0));
        assertEq(facts.bondWei, 0);
        assertEq(uint8(uint256(facts.updatesHash)), 5);
        assertEq(creditOf(challenger), 1 ether);
        assertEq(creditOf(aggregator), 0);
        assertEq(volquorum.burnedOf(ETH), 1 ether + 1);
    }

    // ------------------------------------------------------------------------------------------------------ seals

    function testProofWithoutASealEarnsNothing(bool inModel) public {
        playToALie(inModel);
        sealing = false;
        prove(inModel);
        assertEarned(0, 2 ether + 1);
    }

    function testSealOfTheSameBlockEarnsNothing(bool inModel) public {
        playToALie(inModel);
        sealing = false;
        volquorum.sealChallenge(sealOf(challenger, inModel ? 1 : 0, 0, lieOf(inModel)));
        prove(inModel);
        assertEarned(0, 2 ether + 1);
    }

    function testSealIsGoodForEveryLaterBlock(bool inModel, uint32 blocks) public {
        playToALie(inModel);
        sealing = false;
        uint256 number = block.number;
        // Whoever copies a seal and is faster stores it for its challenger.
        vm.prank(stranger);
        volquorum.sealChallenge(sealOf(challenger, inModel ? 1 : 0, 0, lieOf(inModel)));
        vm.roll(number + 1 + blocks);
        prove(inModel);
        assertEarned(1 ether, 1 ether + 1);
    }

    function testWhoCopiesAProofEarnsNothing(bool inModel) public {
        playToALie(inModel);
        sealFor(challenger, inModel ? 1 : 0, 0, lieOf(inModel));
        sealing = false;
        (address owner, address copier) = (challenger, makeAddr("copier"));
        challenger = copier;
        prove(inModel);
        assertEq(creditOf(copier), 0);
        assertEq(creditOf(owner), 0);
        assertEq(volquorum.burnedOf(ETH), 2 ether + 1);
    }

    function testSealOfAnythingElseEarnsNothing(bool inModel, uint256 what) public {
        playToALie(inModel);
        uint8 kind = inModel ? 1 : 0;
        what = bound(what, 0, 2);
        if (what == 0) sealFor(challenger, 1 - kind, 0, lieOf(inModel));
        if (what == 1) sealFor(challenger, kind, 1, lieOf(inModel));
        if (what == 2) sealFor(challenger, kind, 0, lieOf(!inModel));
        sealing = false;
        prove(inModel);
        assertEarned(0, 2 ether + 1);
    }

    function testWhoSealedClaimsWhatACopyDidNotEarn(bool inModel, uint32 blocks) public {
        playToALie(inModel);
        bytes32 lie = lieOf(inModel);
        uint8 kind = inModel ? 1 : 0;
        playACopy(inModel);
        vm.roll(block.number + blocks);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.AwardClaimed(taskId, round, challenger, kind, 0, lie, 1 ether);
        claimAward(challenger, kind, 0, lie);
        assertEarned(1 ether, 1 ether + 1);
        expectNoAward(challenger);
        claimAward(challenger, kind, 0, lie);
    }

    function testAwardIsNobodysButWhoSealedBeforeTheProof(bool inModel, bool sameBlock) public {
        playToALie(inModel);
        bytes32 lie = lieOf(inModel);
        uint8 kind = inModel ? 1 : 0;
        playACopy(inModel);
        address late = makeAddr("late");
        if (!sameBlock) vm.roll(block.number + 1);
        sealFor(late, kind, 0, lie);
        address[3] memory others = [late, stranger, makeAddr("copier")];
        for (uint256 index = 0; index < 3; ++index) {
            expectNoAward(others[index]);
            claimAward(others[index], kind, 0, lie);
        }
        claimAward(challenger, kind, 0, lie);
    }

    function testWhatWasEarnedIsNotClaimedToo(bool inModel) public {
        playToALie(inModel);
        bytes32 lie = lieOf(inModel);
        sealFor(stranger, inModel ? 1 : 0, 0, lie);
        prove(inModel);
        assertEarned(1 ether, 1 ether + 1);
        expectNoAward(challenger);
        claimAward(challenger, inModel ? 1 : 0, 0, lie);
        expectNoAward(stranger);
        claimAward(stranger, inModel ? 1 : 0, 0, lie);
    }

    function testClaimIsOfOneChallengeOnly(bool inModel, uint256 what) public {
        playToALie(inModel);
        bytes32 lie = lieOf(inModel);
        (uint8 kind, uint32 chunk, bytes32 subject) = (inModel ? 1 : 0, 0, lie);
        what = bound(what, 0, 2);
        if (what == 0) kind = 1 - kind;
        if (what == 1) chunk = 1;
        if (what == 2) subject = "another root";
        sealFor(challenger, kind, chunk, subject);
        playACopy(inModel);
        expectNoAward(challenger);
        claimAward(challenger, kind, chunk, subject);
        expectNoAward(challenger);
        vm.prank(challenger);
        volquorum.claimAward(taskId, round, inModel ? 1 : 0, 0, lie, "another salt");
        claimAward(challenger, inModel ? 1 : 0, 0, lie);
    }

    /// @dev The same lie is published again and again, and its proof sent by one of three, or by a copier. Each of the
    /// three may seal it before any of the proofs, or in a block with one, and claim after any.
    function testWhoSealedClaimsTheAwardsOfAllLaterProofsAndOfNone(uint256 seed) public {
        playToALie(false);
        sealing = false;
        Awards memory awards;
        awards.lie = lieOf(false);
        awards.sealers = [challenger, stranger, aggregator];
        awards.since = [type(uint256).max, type(uint256).max, type(uint256).max];
        uint256 proofs = 1 + seed % 8;
        for (uint256 proof = 0; proof < proofs; ++proof) {
            seed = uint256(keccak256(abi.encode(seed)));
            if (proof != 0) publishResult(makeAddr("liar"));
            sealSome(awards, proof, seed);
            proveBy(awards, proof, seed >> 16 & 7);
            if (seed >> 24 & 3 < 3) claimAll(awards, seed >> 24 & 3);
            vm.roll(block.number + 1);
        }
        uint256 earnedWei = 0;
        for (uint256 who = 0; who < 3; ++who) {
            claimAll(awards, who);
            assertEq(creditOf(awards.sealers[who]), awards.earnedWei[who]);
            earnedWei += awards.earnedWei[who];
        }
        assertLe(2 * earnedWei, proofs * (2 ether + 1), "half of all bonds");
        assertEq(volquorum.burnedOf(ETH) + earnedWei, proofs * (2 ether + 1));
    }

    function testSealIsStoredOnce(bytes32 seal, uint32 blocks) public {
        uint256 stored = block.number;
        volquorum.sealChallenge(seal);
        vm.roll(block.number + blocks);
        assertEq(volquorum.sealedAt(seal), stored);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SealExists.selector, seal));
        volquorum.sealChallenge(seal);
    }

    // ------------------------------------------------------------------------------------------ what a round does

    function testAfterAProofAnybodyPublishesAtOnceAndTheRoundEndsWell() public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        publishResult(aggregator);
        challengeAggregate(0);
        aggregate[0] ^= 0x01;
        publishResult(stranger);
        noFraudIn(0);
        walkToEnd(taskId, round);
        volquorum.finalise(taskId);
        assertEq(creditOf(stranger), 2 ether + 1);
        assertEq(volquorum.taskState(taskId).modelRoot, PlainTree.rootOf(model, modelShape()));
        assertEq(volquorum.burnedOf(ETH), 1 ether + 1);
    }

    function testAfterAProofTheWholeAggregateWindowRunsAgainAndThenTimeEndsTheRound(uint256 late) public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        publishResult(aggregator);
        late = bound(late, 0, 69);
        vm.warp(block.timestamp + late);
        challengeAggregate(0);
        uint256 proven = block.timestamp;
        vm.warp(proven + 89);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        vm.warp(proven + 90);
        volquorum.voidRound(taskId);
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), 1 ether);
    }

    function testEachLieOfSeveralCostsItsBond() public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        for (uint256 lie = 1; lie <= 3; ++lie) {
            publishResult(stranger);
            vm.warp(block.timestamp + 60);
            challengeAggregate(0);
            assertEq(creditOf(challenger), lie * 1 ether);
            assertEq(volquorum.burnedOf(ETH), lie * (1 ether + 1));
        }
        assertEq(creditOf(stranger), 0);
    }

    function testLastOfEightLiesEndsTheRound() public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        for (uint256 count = 1; count <= 8; ++count) {
            assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
            publishResult(stranger);
            challengeAggregate(0);
            assertEq(volquorum.roundState(taskId, round).refutations, count);
        }
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Void);
        volquorum.voidRound(taskId);
        assertEq(volquorum.taskState(taskId).fundsWei, 2.8 ether);
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), 1 ether);
        open(taskId);
    }

    function testWhoRefutesHimselfLosesMoreThanHalf() public {
        play(1, 3, 5);
        aggregate[0] ^= 0x01;
        challenger = stranger;
        publishResult(stranger);
        challengeAggregate(0);
        assertEq(creditOf(stranger), 1 ether);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function play(uint256 seed, uint8 rule, uint8 count) private {
        playToAvailability(IVolquorum.Rule(rule % 4), bound(count, 3, 7), seed);
        for (uint256 index = 0; index < values.length; ++index) {
            if (seed >> index & 3 == 3 && participants().length > 3) flag(taskId, round, revealed, index, stranger);
        }
        walkToAggregate(taskId, round);
        makeResult();
        vm.warp(volquorum.deadlines(taskId, round).aggregator);
    }

    function playToALie(bool inModel) private {
        play(1, 3, 5);
        if (inModel) model[0] ^= 0x01;
        else aggregate[0] ^= 0x01;
        publishResult(aggregator);
    }

    function lieOf(bool inModel) private view returns (bytes32) {
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        return inModel ? facts.modelRoot : facts.aggregateRoot;
    }

    function prove(bool inModel) private {
        if (inModel) challengeModel(0);
        else challengeAggregate(0);
    }

    /// @dev The challenger's sealed proof, sent first by who copied it.
    function playACopy(bool inModel) private {
        sealFor(challenger, inModel ? 1 : 0, 0, lieOf(inModel));
        sealing = false;
        address owner = challenger;
        challenger = makeAddr("copier");
        prove(inModel);
        assertEq(creditOf(challenger), 0, "the copier");
        challenger = owner;
    }

    function claimAward(address account, uint8 kind, uint32 chunk, bytes32 subject) private {
        vm.prank(account);
        volquorum.claimAward(taskId, round, kind, chunk, subject, SEAL_SALT);
    }

    function sealSome(Awards memory awards, uint256 proof, uint256 seed) private {
        for (uint256 who = 0; who < 3; ++who) {
            if (seed >> 2 * who & 3 != 0 || awards.since[who] <= proof) continue;
            // What is sealed in the block of a proof is for the next ones.
            bool early = seed >> (8 + who) & 1 == 1;
            awards.since[who] = early ? proof : proof + 1;
            if (!early) continue;
            volquorum.sealChallenge(sealOf(awards.sealers[who], 0, 0, awards.lie));
        }
        vm.roll(block.number + 1);
        for (uint256 who = 0; who < 3; ++who) {
            if (awards.since[who] != proof + 1) continue;
            volquorum.sealChallenge(sealOf(awards.sealers[who], 0, 0, awards.lie));
        }
    }

    function proveBy(Awards memory awards, uint256 proof, uint256 prover) private {
        challenger = prover < 3 ? awards.sealers[prover] : makeAddr("copier");
        prove(false);
        if (prover < 3 && awards.since[prover] <= proof) awards.earnedWei[prover] += 1 ether;
        else awards.leftWei[proof] = 1 ether;
    }

    /// @dev What is left of the proofs that came after somebody's seal, if anything is.
    function claimAll(Awards memory awards, uint256 who) private {
        uint256 claimedWei = 0;
        for (uint256 proof = awards.since[who]; proof < 8; ++proof) {
            claimedWei += awards.leftWei[proof];
            awards.leftWei[proof] = 0;
        }
        awards.earnedWei[who] += claimedWei;
        if (claimedWei == 0) expectNoAward(awards.sealers[who]);
        claimAward(awards.sealers[who], 0, 0, awards.lie);
    }

    function expectNoAward(address account) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoAward.selector, taskId, round, account));
    }

    function challengeAggregate(uint32 chunk) private {
        bytes memory openings = aggregateOpenings(chunk);
        if (sealing) sealFor(challenger, 0, chunk, volquorum.roundState(taskId, round).aggregateRoot);
        (address[] memory included, IVolquorum.Update[] memory others) = (participants(), excluded());
        vm.prank(challenger);
        volquorum.challengeAggregate(taskId, round, included, others, chunk, openings, "", SEAL_SALT);
    }

    function challengeModel(uint32 chunk) private {
        bytes memory openings = modelOpenings(chunk);
        if (sealing) sealFor(challenger, 1, chunk, volquorum.roundState(taskId, round).modelRoot);
        vm.prank(challenger);
        volquorum.challengeModel(taskId, round, chunk, openings, SEAL_SALT);
    }

    function choose(uint256 left)
        private
        view
        returns (address[] memory chosen, IVolquorum.Update[] memory rest, bytes memory openings)
    {
        uint256 count = LibBit.popCount(left);
        (chosen, rest) = (new address[](values.length - count), new IVolquorum.Update[](count));
        for ((uint256 index, uint256 taken) = (0, 0); index < values.length; ++index) {
            if (left >> index & 1 == 1) {
                rest[index - taken] = revealed[index];
                continue;
            }
            chosen[taken++] = revealed[index].participant;
            openings = bytes.concat(openings, PlainTree.open(packed(values[index], 2), updateShape(), 0));
        }
        openings = bytes.concat(openings, PlainTree.path(aggregate, updateShape(), 0));
    }

    function assertEarned(uint256 awardWei, uint256 lostWei) private view {
        assertEq(creditOf(challenger), awardWei);
        assertEq(creditOf(aggregator), 0);
        assertEq(volquorum.burnedOf(ETH), lostWei);
    }

    function noFraudIn(uint32 chunk) private {
        refused(
            chunk, aggregateOpenings(chunk), abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, chunk)
        );
    }

    function noFraudInModel(uint32 chunk) private {
        bytes memory openings = modelOpenings(chunk);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, chunk));
        volquorum.challengeModel(taskId, round, chunk, openings, 0);
    }

    function refused(uint32 chunk, bytes memory openings, bytes memory reason) private {
        (address[] memory included, IVolquorum.Update[] memory others) = (participants(), excluded());
        vm.expectRevert(reason);
        volquorum.challengeAggregate(taskId, round, included, others, chunk, openings, "", 0);
    }

    /// @dev What was opened is no update, by its number, or it is none that was revealed.
    function refusedAs(uint256 index, uint32 chunk, bytes memory openings) private {
        (bool done, bytes memory reason) = address(volquorum)
            .call(
                abi.encodeCall(
                    IVolquorum.challengeAggregate, (taskId, round, participants(), excluded(), chunk, openings, "", 0)
                )
            );
        assertFalse(done);
        if (bytes4(reason) == IVolquorum.UpdatesMismatch.selector) return;
        assertEq(reason, abi.encodeWithSelector(IVolquorum.BadOpening.selector, index));
    }

    function refusedInPhase(IVolquorum.Phase current) private {
        bytes memory openings = aggregateOpenings(0);
        address[] memory included = participants();
        expectWrongPhase(taskId, round, current, IVolquorum.Phase.Challenge);
        volquorum.challengeAggregate(taskId, round, included, new IVolquorum.Update[](0), 0, openings, "", 0);
        openings = modelOpenings(0);
        expectWrongPhase(taskId, round, current, IVolquorum.Phase.Challenge);
        volquorum.challengeModel(taskId, round, 0, openings, 0);
    }

    /// @dev The base model's root lies in the task's third slot.
    function overwriteBase() private {
        bytes32 taskSlot = keccak256(abi.encode(taskId, 0));
        vm.store(address(volquorum), bytes32(uint256(taskSlot) + 2), PlainTree.rootOf(packed(base, 4), modelShape()));
        assertEq(volquorum.taskState(taskId).modelRoot, PlainTree.rootOf(packed(base, 4), modelShape()));
    }
}
