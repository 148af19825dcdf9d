// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Votes of many, signed, in one transaction of anybody's.
/// forge-config: default.fuzz.runs = 24
contract RelayedVotesTest is Fixture {
    uint256 private constant COUNT = 7;
    bytes32 private constant OTHER_MODEL = keccak256("another model");

    bytes32 private taskId;
    uint32 private round;
    address private relayer = makeAddr("relayer");

    function setUp() public override {
        super.setUp();
        taskId = create(params());
        joinAll(taskId, COUNT);
        round = openToAggregate(taskId, COUNT);
    }

    // -------------------------------------------------------------------------------------------------- the effects

    function testBatchesDoWhatDirectVotesDo(uint256 count, uint256 relayed, bool published, bool right) public {
        count = bound(count, 0, COUNT);
        relayed = bound(relayed, 0, count);
        if (published) publish(taskId, round, aggregator);
        IVolquorum.Result memory given = right ? result() : lie();
        uint256 snapshot = vm.snapshotState();
        voteFrom(0, count, given);
        bytes32 direct = digest();

        vm.revertToState(snapshot);
        relay(signedVotes(taskId, round, 0, relayed, given), given);
        voteFrom(relayed, count, given);
        assertEq(digest(), direct);
        vm.revertToState(snapshot);
        voteFrom(relayed, count, given);
        relay(signedVotes(taskId, round, 0, relayed, given), given);
        assertEq(digest(), direct);
    }

    function testEachVoteOfABatchIsAnnounced() public {
        voteFrom(0, 2, result());
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, COUNT, result());
        for (uint256 index = 2; index < COUNT; ++index) {
            vm.expectEmit(address(volquorum));
            emit IVolquorum.Voted(taskId, round, desk(index), AGGREGATE_ROOT, MODEL_ROOT, uint8(index + 1));
        }
        relay(signatures, result());
        assertEq(votesFor(MODEL_ROOT), COUNT);
    }

    function testWholeCohortVotesInOneBatch() public {
        IVolquorum.TaskParams memory many = params();
        setCohort(many, 64);
        taskId = create(many);
        joinAll(taskId, 64);
        round = openToAggregate(taskId, 64);
        relay(signedVotes(taskId, round, 0, 64, result()), result());
        assertEq(votesFor(MODEL_ROOT), 64);
        assertEq(volquorum.roundState(taskId, round).mostVotes, 64);
    }

    function testEmptyBatchChangesNothing(bool published) public {
        if (published) publish(taskId, round, aggregator);
        voteFrom(0, 3, result());
        bytes32 before = digest();
        relay(new IVolquorum.Signature[](0), result());
        relay(new IVolquorum.Signature[](0), lie());
        assertEq(digest(), before);
    }

    function testRelayedVotesDecide(uint256 liars, bool refuted) public {
        liars = bound(liars, 0, COUNT);
        publish(taskId, round, aggregator);
        relay(signedVotes(taskId, round, liars, COUNT, result()), result());
        relay(signedVotes(taskId, round, 0, liars, lie()), lie());
        bool outvoted = liars > COUNT - liars && liars > 2;
        if (refuted) {
            if (!outvoted) vm.expectPartialRevert(IVolquorum.NotOutvoted.selector);
            volquorum.refuteOutvoted(taskId, round, AGGREGATE_ROOT, OTHER_MODEL);
            if (outvoted) return assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        }
        walkToEnd(taskId, round);
        assertPhase(phaseOf(taskId, round), outvoted ? IVolquorum.Phase.Void : IVolquorum.Phase.Final);
    }

    // --------------------------------------------------------------------------------------------------- once each

    function testWhoHasVotedIsPassedOver(uint256 voted, uint256 lied, bool published) public {
        if (published) publish(taskId, round, aggregator);
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, COUNT, result());
        uint256 others = 0;
        for (uint256 index = 0; index < COUNT; ++index) {
            if (voted >> index & 1 == 0) continue;
            bool lies = lied >> index & 1 == 1;
            if (lies) ++others;
            voteFrom(index, index + 1, lies ? lie() : result());
        }
        relay(signatures, result());
        assertEq(votesFor(MODEL_ROOT), COUNT - others);
        assertEq(votesFor(OTHER_MODEL), others);
        assertEq(volquorum.roundState(taskId, round).votes, published ? COUNT - others : 0);
    }

    function testReplayIsWithoutEffect(uint256 first, uint256 end, bool published) public {
        first = bound(first, 0, COUNT);
        end = bound(end, first, COUNT);
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, first, end, result());
        relay(signatures, result());
        if (published) publish(taskId, round, aggregator);
        bytes32 before = digest();
        vm.recordLogs();
        relay(signatures, result());
        assertEq(vm.getRecordedLogs().length, 0, "announced again");
        assertEq(digest(), before);
    }

    function testSignatureCountsOnceInABatch() public {
        IVolquorum.Signature[] memory signatures = new IVolquorum.Signature[](3);
        signatures[0] = signatures[2] = signedVote(taskId, round, 1, result());
        signatures[1] = signedVote(taskId, round, 2, result());
        relay(signatures, result());
        assertEq(votesFor(MODEL_ROOT), 2);
    }

    function testOfTwoSignedVotesTheOneThatIsSentFirstCounts(bool lieFirst) public {
        IVolquorum.Result memory first = lieFirst ? lie() : result();
        IVolquorum.Result memory second = lieFirst ? result() : lie();
        relay(signedVotes(taskId, round, 0, 1, first), first);
        relay(signedVotes(taskId, round, 0, 1, second), second);
        assertEq(votesFor(first.modelRoot), 1);
        assertEq(votesFor(second.modelRoot), 0);
        assertEq(volquorum.seat(taskId, desk(0)).stakeWei, 1 ether);
    }

    function testWhoWasRelayedDoesNotVoteAgain() public {
        relay(signedVotes(taskId, round, 0, 1, result()), result());
        IVolquorum.Result memory given = lie();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyVoted.selector, taskId, round, desk(0)));
        vm.prank(desk(0));
        volquorum.vote(taskId, round, given);
    }

    // -------------------------------------------------------------------------------------------------- signatures

    function testForgedSignatureVotesForNobody(uint256 index, bytes32 r, bytes32 vs) public {
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, COUNT, result());
        index = bound(index, 0, COUNT - 1);
        vm.assume(r != signatures[index].r || vs != signatures[index].vs);
        signatures[index] = IVolquorum.Signature(r, vs);
        refused(signatures, result(), reasonFor(signatures[index], result(), index));
    }

    function testSignatureWithAnyBitChangedVotesForNobody(uint256 index, uint256 bit) public {
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, COUNT, result());
        (index, bit) = (bound(index, 0, COUNT - 1), bound(bit, 0, 511));
        bytes32 flip = bytes32(1 << bit % 256);
        if (bit < 256) signatures[index].r ^= flip;
        else signatures[index].vs ^= flip;
        refused(signatures, result(), reasonFor(signatures[index], result(), index));
    }

    /// @dev In either root. In anything else the call itself is refused first.
    function testSignatureUnderAnotherResultIsNone(bytes32 root, bool inModel) public {
        vm.assume(root != 0 && root != MODEL_ROOT && root != AGGREGATE_ROOT);
        IVolquorum.Result memory other = result();
        if (inModel) other.modelRoot = root;
        else other.aggregateRoot = root;
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, 1, other);
        refused(signatures, result(), reasonFor(signatures[0], result(), 0));
        relay(signatures, other);
    }

    /// @dev Of updates, too, that were fewer when it was signed.
    function testSignatureUnderAnotherSelectionIsNone(uint64 unavailable, bytes32 updatesHash) public {
        IVolquorum.Result memory other = result();
        vm.assume(unavailable != 0 || updatesHash != other.updatesHash);
        (other.unavailable, other.updatesHash) = (unavailable, updatesHash);
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, 1, other);
        refused(signatures, result(), reasonFor(signatures[0], result(), 0));
    }

    function testSignatureForAnotherRoundIsNone() public {
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, COUNT, result());
        IVolquorum.Result memory given = result();
        walkToEnd(taskId, round);
        round = openToAggregate(taskId, COUNT);
        refused(signatures, result(), reasonFor(signatures[0], result(), 0));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongRound.selector, taskId, 1, 2));
        volquorum.relayVotes(taskId, 1, given, signatures);
    }

    function testSignatureForAnotherTaskIsNone() public {
        IVolquorum.Signature[] memory signatures = signedVotes("another task", round, 0, COUNT, result());
        refused(signatures, result(), reasonFor(signatures[0], result(), 0));
    }

    function testSignatureForAnotherContractIsNone() public {
        IVolquorum.Result memory given = result();
        IVolquorum here = volquorum;
        volquorum = IVolquorum(address(new Volquorum(members, availability, challenges, votesModule)));
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, 1, given);
        volquorum = here;
        refused(signatures, given, reasonFor(signatures[0], given, 0));
    }

    function testSignatureForAnotherChainIsNone(uint64 chain) public {
        chain = uint64(bound(chain, 1, type(uint64).max - 1));
        uint256 here = block.chainid;
        vm.assume(chain != here);
        vm.chainId(chain);
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, 1, result());
        vm.chainId(here);
        refused(signatures, result(), reasonFor(signatures[0], result(), 0));
        vm.chainId(chain);
        relay(signatures, result());
    }

    function testSignatureUnderACommitmentIsNoVote(bytes32 commitment) public {
        IVolquorum.SignedCommit memory signed_ = signed(taskId, round, 0, commitment);
        IVolquorum.Signature[] memory signatures = new IVolquorum.Signature[](1);
        signatures[0] = IVolquorum.Signature(signed_.r, signed_.vs);
        refused(signatures, result(), reasonFor(signatures[0], result(), 0));
    }

    // ------------------------------------------------------------------------------------------------ who may vote

    function testWhoHasNoUpdateInTheRoundDoesNotVoteInABatch(uint256 index) public {
        index = bound(index, 0, COUNT);
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, COUNT + 1, result());
        (signatures[index], signatures[COUNT]) = (signatures[COUNT], signatures[index]);
        refused(
            signatures, result(), abi.encodeWithSelector(IVolquorum.NotIncluded.selector, taskId, round, desk(COUNT))
        );
        assertEq(votesFor(MODEL_ROOT), 0, "a refused batch counts for nobody");
    }

    function testWhoseUpdateIsExcludedDoesNotVoteInABatch(uint256 index) public {
        walkToEnd(taskId, round);
        round = openToAvailability(taskId, COUNT);
        index = bound(index, 0, COUNT - 1);
        flag(taskId, round, updatesOf(taskId, round, COUNT), index, stranger);
        walkToAggregate(taskId, round);
        refused(
            signedVotes(taskId, round, 0, COUNT, result()),
            result(),
            abi.encodeWithSelector(IVolquorum.NotIncluded.selector, taskId, round, desk(index))
        );
        relay(signedVotes(taskId, round, 0, index, result()), result());
        relay(signedVotes(taskId, round, index + 1, COUNT, result()), result());
        assertEq(votesFor(MODEL_ROOT), COUNT - 1);
    }

    function testBatchesAreTakenWhereVotesAre(uint256 wait, bool published) public {
        IVolquorum.Signature[] memory signatures = signedVotes(taskId, round, 0, COUNT, result());
        IVolquorum.Result memory given = result();
        if (published) publish(taskId, round, aggregator);
        vm.warp(bound(wait, START, block.timestamp + 400));
        IVolquorum.Phase current = phaseOf(taskId, round);
        if (current != IVolquorum.Phase.Aggregate && current != IVolquorum.Phase.Challenge) {
            expectWrongPhase(taskId, round, current, IVolquorum.Phase.Aggregate);
        }
        volquorum.relayVotes(taskId, round, given, signatures);
    }

    function testBatchIsForAResultThatCanBeVotedFor(bytes32 root) public {
        vm.assume(root != 0);
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        IVolquorum.Signature[] memory none = new IVolquorum.Signature[](0);
        IVolquorum.Result memory given = result();
        given.modelRoot = 0;
        refused(none, given, abi.encodeWithSelector(IVolquorum.EmptyRoot.selector));
        given = result();
        given.tableRoot = root;
        refused(none, given, abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, root, 0));
        given = result();
        given.updatesHash = root;
        refused(
            none,
            given,
            abi.encodeWithSelector(IVolquorum.UpdatesMismatch.selector, taskId, round, root, facts.updatesHash)
        );
        given = result();
        given.unavailable = 1;
        refused(none, given, abi.encodeWithSelector(IVolquorum.ExcludedMismatch.selector, taskId, round, 1, 0));
    }

    function testTaskThatIsNotByVotesTakesNoBatch() public {
        taskId = createSeated();
        round = openToAggregate(taskId, 5);
        refused(
            signedVotes(taskId, round, 0, 5, result()),
            result(),
            abi.encodeWithSelector(IVolquorum.NotByVotes.selector, taskId)
        );
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function params() private view returns (IVolquorum.TaskParams memory voted) {
        voted = votedParams();
        setCohort(voted, uint8(COUNT));
        (voted.quorum, voted.tolerance, voted.aggregator) = (5, 2, address(0));
    }

    function result() private view returns (IVolquorum.Result memory) {
        return resultFor(taskId, round, AGGREGATE_ROOT, MODEL_ROOT);
    }

    function lie() private view returns (IVolquorum.Result memory) {
        return resultFor(taskId, round, AGGREGATE_ROOT, OTHER_MODEL);
    }

    function voteFrom(uint256 first, uint256 end, IVolquorum.Result memory given) private {
        for (uint256 index = first; index < end; ++index) {
            vote(taskId, round, desk(index), given.aggregateRoot, given.modelRoot);
        }
    }

    function relay(IVolquorum.Signature[] memory signatures, IVolquorum.Result memory given) private {
        vm.prank(relayer);
        volquorum.relayVotes(taskId, round, given, signatures);
    }

    function refused(IVolquorum.Signature[] memory signatures, IVolquorum.Result memory given, bytes memory reason)
        private
    {
        vm.expectRevert(reason);
        volquorum.relayVotes(taskId, round, given, signatures);
    }

    /// @dev Why a batch with this signature is refused: nobody signed the result, or somebody without an update.
    function reasonFor(IVolquorum.Signature memory signature, IVolquorum.Result memory given, uint256 index)
        private
        view
        returns (bytes memory)
    {
        bytes32 s = bytes32(uint256(signature.vs) << 1 >> 1);
        uint8 v = uint8(27 + (uint256(signature.vs) >> 255));
        address signer = ecrecover(voteDigest(taskId, round, given), v, signature.r, s);
        if (signer == address(0)) return abi.encodeWithSelector(IVolquorum.BadSignature.selector, index);
        for (uint256 desks = 0; desks < COUNT; ++desks) {
            assertNotEq(signer, desk(desks), "forged");
        }
        return abi.encodeWithSelector(IVolquorum.NotIncluded.selector, taskId, round, signer);
    }

    function votesFor(bytes32 modelRoot) private view returns (uint256) {
        return volquorum.votesFor(taskId, round, AGGREGATE_ROOT, modelRoot);
    }

    /// @dev All that votes can change.
    function digest() private view returns (bytes32) {
        bytes memory seats;
        for (uint256 index = 0; index < COUNT; ++index) {
            seats = abi.encode(seats, volquorum.seat(taskId, desk(index)));
        }
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        return keccak256(abi.encode(seats, facts, votesFor(MODEL_ROOT), votesFor(OTHER_MODEL)));
    }
}
