// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChallengeFixture} from "./ChallengeFixture.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice Which norms can be proven false, and what becomes of the seats behind them.
/// forge-config: default.fuzz.runs = 64
contract NormTest is ChallengeFixture {
    uint256 private constant DEPTH = 2;

    address private challenger = makeAddr("challenger");
    bool private sealing = true;
    // How many of the five reveal the last one's update.
    uint256 private liars = 1;

    /// @dev Where the last update's tree lies: by how much, how far above which chunk's leaf.
    struct Lie {
        uint64 excess;
        uint256 height;
        uint32 chunk;
    }

    // --------------------------------------------------------------------------------------------- what is proven

    function testFalseSumAnywhereOnTheWayUpIsProven(uint256 seed, uint64 excess, uint256 height, uint32 chunk) public {
        Lie memory lie = play(seed, excess, height, chunk);
        challenge(4, lie.chunk, proofOf(4, lie.chunk, lie));
        assertEq(volquorum.roundState(taskId, round).unavailable, 1 << 4);
    }

    function testFalseSumIsProvenByTheChunksBelowItOnly(uint64 excess, uint256 height, uint32 chunk) public {
        Lie memory lie = play(1, excess, height, chunk);
        for (uint32 other = 0; other < CHUNKS; ++other) {
            if (other >> lie.height == lie.chunk >> lie.height) continue;
            noFraud(4, other, proofOf(4, other, lie));
        }
        challenge(4, lie.chunk, proofOf(4, lie.chunk, lie));
    }

    function testTrueNormCannotBeProvenFalseByAnyChunk(uint256 seed) public {
        play(seed, 1, 0, 0);
        Lie memory none;
        for (uint256 index = 0; index < 4; ++index) {
            for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
                noFraud(index, chunk, proofOf(index, chunk, none));
            }
        }
    }

    function testProofWithAnyByteChangedIsRefused(uint256 place, bytes1 change, bool honest) public {
        vm.assume(change != 0);
        Lie memory lie = play(1, 7, 1, 2);
        Lie memory none;
        uint256 index = honest ? 2 : 4;
        bytes memory proof = proofOf(index, 2, honest ? none : lie);
        proof[place % proof.length] ^= change;
        refused(index, 2, proof, abi.encodeWithSelector(IVolquorum.BadOpening.selector, index));
    }

    function testProofOfAnotherLengthIsRefused(uint256 length) public {
        play(1, 7, 1, 2);
        length = bound(length, 0, 300);
        vm.assume(length != 32 + 48 * DEPTH);
        bytes memory wrong = abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, 32 + 48 * DEPTH);
        refused(4, 2, new bytes(length), wrong);
    }

    function testProofOfAChunkThatDoesNotExistIsRefused(uint32 chunk) public {
        Lie memory lie = play(1, 7, 1, 2);
        chunk = uint32(bound(chunk, CHUNKS, type(uint32).max));
        refused(4, chunk, proofOf(4, 2, lie), abi.encodeWithSelector(IVolquorum.UnknownChunk.selector, chunk, CHUNKS));
    }

    function testNormsOfRevealedUpdatesOnlyAreContested(uint256 index) public {
        Lie memory lie = play(1, 7, 1, 2);
        index = bound(index, 5, type(uint256).max);
        bytes memory proof = proofOf(4, 2, lie);
        refused(index, 2, proof, abi.encodeWithSelector(IVolquorum.UnknownUpdate.selector, index, 5));
        IVolquorum.Update[] memory updates = revealed;
        --updates[4].squaredNorm;
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeNorm(taskId, round, updates, 4, 2, proof, 0);
    }

    function testNormsAreContestedInAvailabilityOnly(uint256 wait) public {
        Lie memory lie = play(1, 7, 1, 2);
        bytes memory proof = proofOf(4, 2, lie);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Availability) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Availability);
        }
        volquorum.challengeNorm(taskId, round, revealed, 4, 2, proof, 0);
    }

    // ----------------------------------------------------------------------------------------- what a proof does

    function testProofTakesTheSeatAndSplitsTheStake(bool wasSealed) public {
        Lie memory lie = play(1, 7, 1, 2);
        bytes memory proof = proofOf(4, 2, lie);
        if (wasSealed) sealFor(challenger, 2, 2, revealed[4].updateRoot);
        sealing = false;
        (uint256 awardWei, uint256 lostWei) = wasSealed ? (0.5 ether, 0.5 ether + 1) : (0, 1 ether + 1);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.NormRefuted(taskId, round, desk(4), challenger, 2, awardWei, lostWei);
        challenge(4, 2, proof);

        IVolquorum.Seat memory expected;
        (expected.slashed, expected.samples) = (1, samplesOf(desk(4)));
        assertEq(abi.encode(volquorum.seat(taskId, desk(4))), abi.encode(expected));
        assertEq(volquorum.taskState(taskId).seats, 4);
        assertEq(volquorum.taskState(taskId).active, 4);
        assertEq(creditOf(challenger), awardWei);
        assertEq(volquorum.burnedOf(ETH), lostWei);
        assertEq(creditOf(desk(4)), 0);
    }

    function testSealOfTheSameBlockOrOfAnotherEarnsNothing(bool another) public {
        Lie memory lie = play(1, 7, 1, 2);
        sealing = false;
        if (another) sealFor(stranger, 2, 2, revealed[4].updateRoot);
        else volquorum.sealChallenge(sealOf(challenger, 2, 2, revealed[4].updateRoot));
        challenge(4, 2, proofOf(4, 2, lie));
        assertEq(creditOf(challenger), 0);
        assertEq(volquorum.burnedOf(ETH), 1 ether + 1);
    }

    function testWhoSealedClaimsHalfOfWhatACopyTook() public {
        Lie memory lie = play(1, 7, 1, 2);
        bytes32 root = revealed[4].updateRoot;
        sealFor(challenger, 2, 2, root);
        (sealing, challenger) = (false, stranger);
        challenge(4, 2, proofOf(4, 2, lie));
        assertEq(volquorum.burnedOf(ETH), 1 ether + 1);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoAward.selector, taskId, round, stranger));
        vm.prank(stranger);
        volquorum.claimAward(taskId, round, 2, 2, root, SEAL_SALT);
        address owner = makeAddr("challenger");
        vm.prank(owner);
        volquorum.claimAward(taskId, round, 2, 2, root, SEAL_SALT);
        assertEq(creditOf(owner), 0.5 ether);
        assertEq(volquorum.burnedOf(ETH), 0.5 ether + 1);
    }

    /// @dev One seal stands for all of them, and so may one copier.
    function testWhoSealedClaimsForEachSeatBehindOneUpdate(bool sameBlock, bool inBetween) public {
        liars = 2;
        Lie memory lie = play(1, 7, 1, 2);
        bytes32 root = revealed[4].updateRoot;
        assertEq(root, revealed[3].updateRoot);
        sealFor(challenger, 2, 2, root);
        address owner = challenger;
        (sealing, challenger) = (false, stranger);
        challenge(3, 2, proofOf(3, 2, lie));
        if (inBetween) {
            vm.prank(owner);
            volquorum.claimAward(taskId, round, 2, 2, root, SEAL_SALT);
        }
        if (!sameBlock) vm.roll(block.number + 1);
        challenge(4, 2, proofOf(4, 2, lie));
        assertEq(volquorum.burnedOf(ETH), inBetween ? 1.5 ether + 2 : 2 ether + 2);
        vm.prank(owner);
        volquorum.claimAward(taskId, round, 2, 2, root, SEAL_SALT);
        assertEq(creditOf(owner), 1 ether);
        assertEq(volquorum.burnedOf(ETH), 1 ether + 2);
    }

    function testWhoProvesHimselfFalseLosesMoreThanHalf() public {
        Lie memory lie = play(1, 7, 1, 2);
        challenger = desk(4);
        challenge(4, 2, proofOf(4, 2, lie));
        assertEq(creditOf(desk(4)), 0.5 ether);
    }

    function testRewardsOfEarlierRoundsStayEarned() public {
        Lie memory lie = playAfter(2, 7, 1, 2);
        challenge(4, 2, proofOf(4, 2, lie));
        assertEq(volquorum.seat(taskId, desk(4)).rewardWei, 2 * (uint256(0.7 ether) / 5));
        assertEq(volquorum.seat(taskId, desk(4)).served, 2);
        volquorum.claim(taskId, desk(4));
        assertEq(creditOf(desk(4)), 2 * (uint256(0.7 ether) / 5));
        assertEq(volquorum.burnedOf(ETH), 0.5 ether + 1);
    }

    function testFlagOnAFalseUpdateIsGivenBack() public {
        Lie memory lie = play(1, 7, 1, 2);
        flag(taskId, round, revealed, 4, stranger);
        challenge(4, 2, proofOf(4, 2, lie));
        assertEq(creditOf(stranger), 0.01 ether);
        bytes memory part = partOf(packed(values[4], 2), 2);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotFlagged.selector, taskId, round));
        volquorum.postUpdate(taskId, round, desk(4), part, "");
        walkToAggregate(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.DepositNotFree.selector, taskId, desk(4)));
        volquorum.reclaimDeposit(taskId, desk(4));
    }

    function testFalseUpdateIsExcludedForGood(bool flaggedBefore) public {
        Lie memory lie = playAfter(1, 7, 1, 2);
        if (flaggedBefore) flag(taskId, round, revealed, 4, stranger);
        challenge(4, 2, proofOf(4, 2, lie));
        bytes32 root = revealed[4].updateRoot;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyFlagged.selector, taskId, round, root));
        volquorum.flagUpdate{value: 0.01 ether}(taskId, round, revealed, 4);
        walkToAggregate(taskId, round);
        makeResult();
        publishResult(aggregator);
        bytes memory openings = aggregateOpenings(0);
        (address[] memory included, IVolquorum.Update[] memory others) = (participants(), excluded());
        assertEq(others[0].participant, desk(4));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, 0));
        volquorum.challengeAggregate(taskId, round, included, others, 0, openings, "", 0);
        walkToEnd(taskId, round);
        volquorum.distribute(taskId, round, revealed, "");
        assertEq(volquorum.seat(taskId, desk(4)).rewardWei, uint256(0.7 ether) / 5, "of the round before");
        volquorum.claim(taskId, desk(0));
        assertEq(creditOf(desk(0)), uint256(0.7 ether) / 5 + uint256(0.7 ether) / 4);
    }

    function testWhoWasSlashedMayComeBackAndIsNotSlashedTwice() public {
        Lie memory lie = play(1, 7, 1, 2);
        bytes memory proof = proofOf(4, 2, lie);
        challenge(4, 2, proof);
        bytes memory gone = abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(4), round);
        refused(4, 2, proof, gone);
        join(taskId, desk(4));
        refused(4, 2, proof, gone);
        assertEq(volquorum.seat(taskId, desk(4)).activeFrom, round + 1);
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        playRound(taskId, 5);
        leave(taskId, desk(4));
        assertEq(creditOf(desk(4)), 1 ether + 1 + uint256(0.7 ether) / 5);
    }

    function testEmptiedSeatIsFreeForAnother() public {
        Lie memory lie = play(1, 7, 1, 2);
        challenge(4, 2, proofOf(4, 2, lie));
        join(taskId, desk(5));
        assertEq(volquorum.taskState(taskId).seats, 5);
    }

    function testWhoWasProvenFalseHasNoVoteInItsRound(bool cameBack) public {
        makeTask(challengeParams(IVolquorum.Rule.MinimumDiameter), 1);
        Lie memory lie = playRound(1, 7, 1, 2);
        challenge(4, 2, proofOf(4, 2, lie));
        if (cameBack) join(taskId, desk(4));
        walkToAggregate(taskId, round);
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotIncluded.selector, taskId, round, desk(4)));
        vm.prank(desk(4));
        volquorum.vote(taskId, round, plain(AGGREGATE_ROOT, MODEL_ROOT, facts.updatesHash, facts.unavailable));
        vote(taskId, round, desk(0));
        assertEq(volquorum.votesFor(taskId, round, AGGREGATE_ROOT, MODEL_ROOT), 1);
    }

    function testRoundThatMissesItsQuorumByAProofIsVoid() public {
        Lie memory lie = play(1, 7, 1, 2);
        flag(taskId, round, revealed, 0, stranger);
        flag(taskId, round, revealed, 1, stranger);
        challenge(4, 2, proofOf(4, 2, lie));
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Availability);
        walkToAggregate(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Void);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev Five updates up to Availability, revealed in the order of their desks, the last of them false.
    function play(uint256 seed, uint64 excess, uint256 height, uint32 chunk) private returns (Lie memory) {
        makeTask(seed);
        return playRound(seed, excess, height, chunk);
    }

    /// @dev The same after some final rounds.
    function playAfter(uint256 rounds, uint64 excess, uint256 height, uint32 chunk) private returns (Lie memory) {
        makeTask(1);
        for (uint256 count = 0; count < rounds; ++count) {
            playRound(taskId, 5);
        }
        return playRound(1, excess, height, chunk);
    }

    function makeTask(uint256 seed) private {
        makeTask(challengeParams(IVolquorum.Rule.Median), seed);
    }

    function makeTask(IVolquorum.TaskParams memory params, uint256 seed) private {
        setCohort(params, 5);
        params.stakeWei = 1 ether + 1;
        base = drawnBase(seed);
        params.genesisModelRoot = PlainTree.rootOf(packed(base, 4), modelShape());
        taskId = create(params);
        joinAll(taskId, 5);
    }

    function playRound(uint256 seed, uint64 excess, uint256 height, uint32 chunk) private returns (Lie memory lie) {
        lie = Lie(
            uint64(bound(excess, 1, type(uint64).max)), bound(height, 0, DEPTH), uint32(bound(chunk, 0, CHUNKS - 1))
        );
        round = openToCommit(taskId);
        delete values;
        for (uint256 index = 0; index < 5; ++index) {
            bool lies = index >= 5 - liars;
            values.push(drawnUpdate(seed, lies ? 4 : index));
            if (!lies) {
                commitValues(index);
                continue;
            }
            (, PlainTree.Node memory top) = climb(index, lie.chunk, lie);
            bytes32 root = PlainTree.rootOf(top, updateShape());
            bytes32 commitment = commitmentTo(taskId, round, desk(index), root, top.sum);
            vm.prank(desk(index));
            volquorum.commitUpdate(taskId, round, commitment);
        }
        walkToReveal(taskId, round);
        delete revealed;
        for (uint256 index = 0; index < 5; ++index) {
            PlainTree.Node memory top;
            if (index < 5 - liars) top = PlainTree.topOf(packed(values[index], 2), updateShape());
            else (, top) = climb(index, lie.chunk, lie);
            vm.prank(desk(index));
            volquorum.revealUpdate(taskId, round, top.hash, top.sum, salt(desk(index), round));
            revealed.push(IVolquorum.Update(desk(index), PlainTree.rootOf(top, updateShape()), top.sum));
        }
        walkToAvailability(taskId, round);
    }

    function proofOf(uint256 index, uint32 chunk, Lie memory lie) private view returns (bytes memory proof) {
        (proof,) = climb(index, chunk, lie);
    }

    /// @dev What is recorded on the way up from a chunk, and the top, where the sum of a node may be false.
    function climb(uint256 index, uint32 chunk, Lie memory lie)
        private
        view
        returns (bytes memory proof, PlainTree.Node memory node)
    {
        (PlainTree.Node[] memory nodes) = leaves(index);
        proof = slice(partOf(packed(values[index], 2), 2), 32 * uint256(chunk), 32);
        for (uint256 height = 0;; ++height) {
            if (lie.excess != 0 && lie.height == height) {
                PlainTree.Node memory wrong = nodes[lie.chunk >> height];
                unchecked {
                    wrong.sum += lie.excess;
                }
            }
            if (height == DEPTH) return (proof, nodes[0]);
            PlainTree.Node memory sibling = nodes[(chunk >> height) ^ 1];
            proof = abi.encodePacked(proof, nodes[chunk >> height].sum, sibling.hash, sibling.sum);
            PlainTree.Node[] memory parents = new PlainTree.Node[](nodes.length / 2);
            for (uint256 place = 0; place < parents.length; ++place) {
                parents[place] = above(nodes[2 * place], nodes[2 * place + 1]);
            }
            nodes = parents;
        }
    }

    function leaves(uint256 index) private view returns (PlainTree.Node[] memory nodes) {
        bytes memory chunks = partOf(packed(values[index], 2), 2);
        nodes = new PlainTree.Node[](1 << DEPTH);
        for (uint256 chunk = 0; chunk < CHUNKS; ++chunk) {
            nodes[chunk] = PlainTree.leaf(slice(chunks, 32 * chunk, 32), 2, chunk);
        }
    }

    /// @dev A liar's sum may wrap.
    function above(PlainTree.Node memory left, PlainTree.Node memory right)
        private
        pure
        returns (PlainTree.Node memory)
    {
        bytes32 hash = keccak256(abi.encodePacked(left.hash, right.hash, "volquorum.node.1", left.sum, right.sum));
        unchecked {
            return PlainTree.Node(hash, left.sum + right.sum);
        }
    }

    function challenge(uint256 index, uint32 chunk, bytes memory proof) private {
        if (sealing) sealFor(challenger, 2, chunk, revealed[index].updateRoot);
        vm.prank(challenger);
        volquorum.challengeNorm(taskId, round, revealed, index, chunk, proof, SEAL_SALT);
    }

    function noFraud(uint256 index, uint32 chunk, bytes memory proof) private {
        refused(index, chunk, proof, abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, chunk));
    }

    function refused(uint256 index, uint32 chunk, bytes memory proof, bytes memory reason) private {
        vm.expectRevert(reason);
        volquorum.challengeNorm(taskId, round, revealed, index, chunk, proof, 0);
    }
}
