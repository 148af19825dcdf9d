// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {DrawFixture} from "./DrawFixture.sol";

/// @notice Commitments and openings of many in one transaction of anybody's.
/// forge-config: default.fuzz.runs = 64
contract BatchTest is DrawFixture {
    // The order of secp256k1.
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    bytes32 private taskId;
    address private relayer = makeAddr("relayer");

    function setUp() public override {
        super.setUp();
        taskId = createSeated();
    }

    // -------------------------------------------------------------------------------------------------- the effects

    function testBatchesDoWhatDirectCallsDo(uint256 count, uint256 revealed) public {
        count = bound(count, 0, 5);
        revealed = bound(revealed, 0, count);
        uint32 round = openToCommit(taskId);
        uint256 snapshot = vm.snapshotState();
        commitAll(taskId, round, count);
        walkToReveal(taskId, round);
        revealAll(taskId, round, revealed);
        bytes32 direct = digest(round);

        vm.revertToState(snapshot);
        commitBatch(round, signedAll(taskId, round, count));
        walkToReveal(taskId, round);
        revealBatch(round, openingsOf(round, revealed));
        assertEq(digest(round), direct);
    }

    function testBatchesTellWhomTheyServed() public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 3);
        address[] memory participants = new address[](3);
        bytes32[] memory commitments = new bytes32[](3);
        for (uint256 index = 0; index < 3; ++index) {
            (participants[index], commitments[index]) = (desk(index), commits[index].commitment);
        }
        vm.expectEmit(address(volquorum));
        emit IVolquorum.UpdatesCommitted(taskId, round, participants, commitments);
        commitBatch(round, commits);
        walkToReveal(taskId, round);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.UpdatesRevealed(taskId, round, updatesOf(taskId, round, 3));
        revealBatch(round, openingsOf(round, 3));
        walkToAggregate(taskId, round);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
    }

    function testSeveralBatchesAndDirectCallsFollowEachOther() public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 4);
        commitBatch(round, taken(commits, 0, 2));
        commit(taskId, round, desk(4));
        commitBatch(round, taken(commits, 2, 4));
        walkToReveal(taskId, round);
        IVolquorum.Opening[] memory openings = openingsOf(round, 5);
        revealBatch(round, taken(openings, 3, 5));
        reveal(taskId, round, desk(0));
        revealBatch(round, taken(openings, 1, 3));

        bytes32 expected = updatesStart(round);
        uint8[5] memory order = [3, 4, 0, 1, 2];
        for (uint256 index = 0; index < 5; ++index) {
            IVolquorum.Update memory update = updateOf(taskId, round, desk(order[index]));
            expected = updatesStep(expected, update.participant, update.updateRoot, update.squaredNorm);
        }
        assertEq(volquorum.roundState(taskId, round).updatesHash, expected);
    }

    function testWholeCohortComesInOneBatch() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        setCohort(params, 64);
        taskId = create(params);
        joinAll(taskId, 64);
        uint32 round = openToCommit(taskId);
        commitBatch(round, signedAll(taskId, round, 64));
        walkToReveal(taskId, round);
        revealBatch(round, openingsOf(round, 64));
        assertEq(revealedIn(taskId, round), 64);
    }

    // ---------------------------------------------------------------------------------------------------- signatures

    function testForgedSignatureBindsNobody(uint256 index, bytes32 r, bytes32 vs) public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 5);
        index = bound(index, 0, 4);
        vm.assume(r != commits[index].r || vs != commits[index].vs);
        (commits[index].r, commits[index].vs) = (r, vs);
        bytes memory expected = reasonFor(round, commits[index], index);
        vm.expectRevert(expected);
        commitBatch(round, commits);
    }

    function testSignatureWithAnyBitChangedBindsNobody(uint256 index, uint256 bit) public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 5);
        (index, bit) = (bound(index, 0, 4), bound(bit, 0, 767));
        bytes32 flip = bytes32(1 << bit % 256);
        if (bit < 256) commits[index].r ^= flip;
        else if (bit < 512) commits[index].vs ^= flip;
        else commits[index].commitment ^= flip;
        bytes memory expected = reasonFor(round, commits[index], index);
        vm.expectRevert(expected);
        commitBatch(round, commits);
    }

    /// @dev What the curve allows with the other s, whose top bit is that of v here.
    function testOtherSignatureOfTheSameKeyIsNone(uint256 index, bool odd) public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 5);
        index = bound(index, 0, 4);
        uint256 high = ORDER - (uint256(commits[index].vs) << 1 >> 1);
        assertGe(high, 1 << 255 >> 1, "high");
        commits[index].vs = bytes32(high << 1 >> 1 | (odd ? 1 << 255 : 0));
        bytes memory expected = reasonFor(round, commits[index], index);
        vm.expectRevert(expected);
        commitBatch(round, commits);
    }

    function testSignatureForAnotherRoundIsNone() public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 5);
        walkToEnd(taskId, round);
        uint32 later = openToCommit(taskId);
        vm.expectPartialRevert(IVolquorum.NotSeated.selector);
        commitBatch(later, commits);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, round, later));
        commitBatch(round, commits);
    }

    function testSignatureForAnotherTaskIsNone() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.salt = "other";
        bytes32 other = create(params);
        joinAll(other, 5);
        uint32 round = openToCommit(taskId);
        vm.warp(START);
        openToCommit(other);
        IVolquorum.SignedCommit[] memory commits = signedAll(other, round, 5);
        vm.expectPartialRevert(IVolquorum.NotSeated.selector);
        commitBatch(round, commits);
        volquorum.commitUpdates(other, round, commits);
    }

    function testSignatureForAnotherContractIsNone() public {
        uint32 round = openToCommit(taskId);
        IVolquorum here = volquorum;
        volquorum = IVolquorum(address(new Volquorum(members, availability, challenges, votesModule)));
        IVolquorum.SignedCommit[] memory commits = new IVolquorum.SignedCommit[](1);
        commits[0] = signed(taskId, round, 0, "commitment");
        volquorum = here;
        vm.expectPartialRevert(IVolquorum.NotSeated.selector);
        commitBatch(round, commits);
        commits[0] = signed(taskId, round, 0, "commitment");
        commitBatch(round, commits);
    }

    function testSignatureForAnotherChainIsNone(uint64 chain) public {
        chain = uint64(bound(chain, 1, type(uint64).max - 1));
        uint256 here = block.chainid;
        vm.assume(chain != here);
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = new IVolquorum.SignedCommit[](1);
        vm.chainId(chain);
        commits[0] = signed(taskId, round, 0, "commitment");
        vm.chainId(here);
        vm.expectPartialRevert(IVolquorum.NotSeated.selector);
        commitBatch(round, commits);
        vm.chainId(chain);
        commitBatch(round, commits);
    }

    function testSignatureOfNoSeatIsRefused() public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = new IVolquorum.SignedCommit[](1);
        commits[0] = signed(taskId, round, 7, "commitment");
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(7), round));
        commitBatch(round, commits);
    }

    // ------------------------------------------------------------------------------------------------------ commits

    function testBatchesAreTakenInTheirPhaseOnly(uint256 wait) public {
        uint32 round = open(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 5);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Commit) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Commit);
        }
        commitBatch(round, commits);
    }

    function testWhoHasCommittedIsNotBoundByABatch(bool direct) public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 5);
        if (direct) commit(taskId, round, desk(3));
        else commitBatch(round, taken(commits, 3, 4));
        bytes32 before = digest(round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyCommitted.selector, taskId, round, desk(3)));
        commitBatch(round, commits);
        assertEq(digest(round), before, "nobody is bound by a batch that is refused");
    }

    function testNobodyIsTwiceInABatch() public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = new IVolquorum.SignedCommit[](2);
        (commits[0], commits[1]) = (signed(taskId, round, 1, "commitment"), signed(taskId, round, 1, "another one"));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyCommitted.selector, taskId, round, desk(1)));
        commitBatch(round, commits);
    }

    /// @dev So a relayer cannot bring back a commitment that its participant took back.
    function testParticipantReplacesWhatWasRelayedAndNobodyElseDoes() public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = new IVolquorum.SignedCommit[](1);
        commits[0] = signed(taskId, round, 0, "first");
        commitBatch(round, commits);
        commit(taskId, round, desk(0));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyCommitted.selector, taskId, round, desk(0)));
        commitBatch(round, commits);
        walkToReveal(taskId, round);
        reveal(taskId, round, desk(0));
    }

    function testSignedCommitmentWithoutStoredBitsIsRefused(uint32 high) public {
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = new IVolquorum.SignedCommit[](1);
        commits[0] = signed(taskId, round, 0, bytes32(uint256(high) << 224));
        vm.expectRevert(IVolquorum.EmptyCommitment.selector);
        commitBatch(round, commits);
    }

    /// @dev A batch is passed on without whoever turns out to have withheld an update; nobody is paid for finding out.
    function testWhoWithheldIsSlashedInABatchAndPassedOver(uint256 whose) public {
        whose = bound(whose, 0, 4);
        uint32 round = openToReveal(taskId, 5);
        for (uint256 index = 0; index < 5; ++index) {
            if (index != whose) reveal(taskId, round, desk(index));
        }
        walkToEnd(taskId, round);
        uint32 later = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, later, 5);
        address[] memory participants = new address[](4);
        bytes32[] memory commitments = new bytes32[](4);
        for ((uint256 index, uint256 bound) = (0, 0); index < 5; ++index) {
            if (index == whose) continue;
            (participants[bound], commitments[bound++]) = (desk(index), commits[index].commitment);
        }
        vm.expectEmit(address(volquorum));
        emit IVolquorum.SeatSuspended(taskId, round, desk(whose), address(0), IVolquorum.Offence.Withheld, 0, 0.1 ether);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.UpdatesCommitted(taskId, later, participants, commitments);
        commitBatch(later, commits);

        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(whose));
        assertEq(seat.activeFrom, type(uint32).max);
        assertEq(abi.encode(seat.stakeWei, seat.missed, seat.slashed), abi.encode(0.9 ether, 1, 1));
        assertEq(abi.encode(seat.committedRound, seat.commitment), abi.encode(0, 0));
        assertEq(volquorum.taskState(taskId).active, 4);
        assertEq(volquorum.burnedOf(ETH), 0.1 ether);
        assertEq(creditOf(relayer), 0);
        // From now on its entry does not fit a batch any more.
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, desk(whose), later));
        commitBatch(later, taken(commits, whose, whose + 1));
    }

    function testWithoutASliceWhoWithheldIsBoundByABatch() public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.sliceWei = 0;
        taskId = create(params);
        joinAll(taskId, 5);
        uint32 round = openToReveal(taskId, 5);
        walkToEnd(taskId, round);
        round = openToCommit(taskId);
        commitBatch(round, signedAll(taskId, round, 5));
        IVolquorum.Seat memory seat = volquorum.seat(taskId, desk(0));
        assertEq(abi.encode(seat.stakeWei, seat.missed, seat.slashed), abi.encode(1 ether, 1, 0));
        assertEq(seat.committedRound, round);
        walkToReveal(taskId, round);
        revealBatch(round, openingsOf(round, 5));
    }

    function testBatchOfADrawnRoundTakesDrawnSeatsOnly() public {
        taskId = createDrawing(4, 8);
        uint32 round = openToCommit(taskId);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 8);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.SeedNotReady.selector, taskId, round));
        commitBatch(round, commits);
        draw(taskId, round, "seed");
        bytes32 drawn = volquorum.taskState(taskId).draw;
        for (uint256 index = 0; index < 8; ++index) {
            if (!isDrawn(drawn, desk(index))) {
                vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotDrawn.selector, taskId, round, desk(index)));
            }
            commitBatch(round, taken(commits, index, index + 1));
        }
    }

    // ------------------------------------------------------------------------------------------------------ openings

    function testOpeningsAreTakenInTheirPhaseOnly(uint256 wait) public {
        uint32 round = openToCommit(taskId);
        commitAll(taskId, round, 5);
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(bound(wait, START, ends.aggregate + 100));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Reveal) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Reveal);
        }
        revealBatch(round, openingsOf(round, 5));
    }

    function testOpeningThatDoesNotFitUndoesTheBatch(uint256 index, uint256 part, bytes32 other) public {
        uint32 round = openToReveal(taskId, 5);
        IVolquorum.Opening[] memory openings = openingsOf(round, 5);
        index = bound(index, 0, 4);
        IVolquorum.Opening memory opening = openings[index];
        part = bound(part, 0, 2);
        if (part == 0) opening.treeTop ^= other;
        if (part == 1) opening.squaredNorm = uint64(uint256(other) % 1e12);
        if (part == 2) opening.salt ^= other;
        vm.assume(keccak256(abi.encode(opening)) != keccak256(abi.encode(openingBy(desk(index), round))));
        bytes32 before = digest(round);
        bytes32 root = SumTree.root(1473, opening.squaredNorm, opening.treeTop);
        bytes32 full = volquorum.commitmentOf(taskId, round, desk(index), root, opening.squaredNorm, opening.salt);
        bytes28 committed = volquorum.seat(taskId, desk(index)).commitment;
        vm.expectRevert(
            abi.encodeWithSelector(
                IVolquorum.CommitmentMismatch.selector,
                taskId,
                round,
                desk(index),
                committed,
                bytes28(uint224(uint256(full)))
            )
        );
        revealBatch(round, openings);
        assertEq(digest(round), before);
    }

    function testOpeningOfAnotherIsNotOnesOwn() public {
        uint32 round = openToReveal(taskId, 5);
        IVolquorum.Opening[] memory openings = openingsOf(round, 2);
        (openings[0].participant, openings[1].participant) = (desk(1), desk(0));
        vm.expectPartialRevert(IVolquorum.CommitmentMismatch.selector);
        revealBatch(round, openings);
    }

    function testWhoRevealedIsNotRevealedByABatch(bool direct) public {
        uint32 round = openToReveal(taskId, 5);
        IVolquorum.Opening[] memory openings = openingsOf(round, 5);
        if (direct) reveal(taskId, round, desk(3));
        else openings[4] = openings[3];
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyRevealed.selector, taskId, round, desk(3)));
        revealBatch(round, openings);
    }

    function testWhoDidNotCommitIsNotRevealedByABatch() public {
        uint32 round = openToReveal(taskId, 4);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotCommitted.selector, taskId, round, desk(4)));
        revealBatch(round, openingsOf(round, 5));
    }

    function testNormAboveTheBoundIsRefusedInABatch(uint64 norm) public {
        norm = uint64(bound(norm, 1e12 + 1, type(uint64).max));
        uint32 round = openToReveal(taskId, 5);
        IVolquorum.Opening[] memory openings = openingsOf(round, 5);
        openings[2].squaredNorm = norm;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NormTooLarge.selector, norm, uint64(1e12)));
        revealBatch(round, openings);
    }

    function testBatchBeyondTheCohortIsRefusedAndCostsNobodyAnything() public {
        taskId = createDrawing(5, 8);
        uint32 round = openDrawn(taskId, seedThatDraws(taskId, 1, 8, 7));
        uint256[] memory desks = drawnDesks(volquorum.taskState(taskId).draw, 8);
        IVolquorum.Opening[] memory openings = new IVolquorum.Opening[](7);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, round, 8);
        for (uint256 index = 0; index < 7; ++index) {
            commitBatch(round, taken(commits, desks[index], desks[index] + 1));
            openings[index] = openingBy(desk(desks[index]), round);
        }
        walkToReveal(taskId, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.RoundFull.selector, taskId, round, 5));
        revealBatch(round, taken(openings, 0, 6));
        revealBatch(round, taken(openings, 0, 5));
        walkToEnd(taskId, round);
        for (uint256 index = 5; index < 7; ++index) {
            address late = desk(desks[index]);
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingWithheld.selector, taskId, late));
            volquorum.slashWithheld(taskId, late);
            leave(taskId, late);
            assertEq(creditOf(late), 1 ether);
        }
    }

    // ------------------------------------------------------------------------------------------------- the relayer

    function testRelayerExcludesNobody() public {
        uint32 round = openToCommit(taskId);
        commitBatch(round, signedAll(taskId, round, 4));
        // Left out, and one that is in the batch changed its mind.
        commit(taskId, round, desk(4));
        commit(taskId, round, desk(0));
        walkToReveal(taskId, round);
        revealBatch(round, openingsOf(round, 3));
        reveal(taskId, round, desk(4));
        reveal(taskId, round, desk(3));
        assertEq(revealedIn(taskId, round), 5);
    }

    function testWhoRelaysOwesAndEarnsNothing() public {
        uint32 round = openToCommit(taskId);
        commitBatch(round, signedAll(taskId, round, 5));
        walkToReveal(taskId, round);
        revealBatch(round, openingsOf(round, 5));
        assertEq(creditOf(relayer), 0);
        IVolquorum.Seat memory none;
        assertEq(abi.encode(volquorum.seat(taskId, relayer)), abi.encode(none));
        vm.deal(relayer, 1);
        vm.prank(relayer);
        (bool done,) = address(volquorum).call{value: 1}(
            abi.encodeCall(IVolquorum.revealUpdates, (taskId, round, new IVolquorum.Opening[](0)))
        );
        assertFalse(done, "no money is taken");
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function commitBatch(uint32 round, IVolquorum.SignedCommit[] memory commits) private {
        vm.prank(relayer);
        volquorum.commitUpdates(taskId, round, commits);
    }

    function revealBatch(uint32 round, IVolquorum.Opening[] memory openings) private {
        vm.prank(relayer);
        volquorum.revealUpdates(taskId, round, openings);
    }

    function taken(IVolquorum.SignedCommit[] memory commits, uint256 from, uint256 end)
        private
        pure
        returns (IVolquorum.SignedCommit[] memory part)
    {
        part = new IVolquorum.SignedCommit[](end - from);
        for (uint256 index = from; index < end; ++index) {
            part[index - from] = commits[index];
        }
    }

    function taken(IVolquorum.Opening[] memory openings, uint256 from, uint256 end)
        private
        pure
        returns (IVolquorum.Opening[] memory part)
    {
        part = new IVolquorum.Opening[](end - from);
        for (uint256 index = from; index < end; ++index) {
            part[index - from] = openings[index];
        }
    }

    /// @dev Why a forged commitment is refused: nobody signed it, or somebody without a seat.
    function reasonFor(uint32 round, IVolquorum.SignedCommit memory commit, uint256 index)
        private
        view
        returns (bytes memory)
    {
        bytes32 hash = commitDigest(taskId, round, commit.commitment);
        bytes32 s = bytes32(uint256(commit.vs) << 1 >> 1);
        address signer = ecrecover(hash, uint8(27 + (uint256(commit.vs) >> 255)), commit.r, s);
        if (signer == address(0)) return abi.encodeWithSelector(IVolquorum.BadSignature.selector, index);
        for (uint256 desks = 0; desks < 5; ++desks) {
            assertNotEq(signer, desk(desks), "forged");
        }
        return abi.encodeWithSelector(IVolquorum.NotSeated.selector, taskId, signer, round);
    }

    function digest(uint32 round) private view returns (bytes32) {
        bytes memory seats;
        for (uint256 index = 0; index < 5; ++index) {
            seats = abi.encode(seats, volquorum.seat(taskId, desk(index)));
        }
        return keccak256(abi.encode(seats, volquorum.taskState(taskId), volquorum.roundState(taskId, round)));
    }

    function updatesStart(uint32 round) private view returns (bytes32) {
        return bytes32(uint256(keccak256(abi.encode(keccak256("volquorum.updates.1"), taskId, round))) >> 8 << 8);
    }
}
