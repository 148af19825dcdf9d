// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IERC20} from "forge-std/interfaces/IERC20.sol";

import {Availability} from "../src/Availability.sol";
import {Challenges} from "../src/Challenges.sol";
import {Members} from "../src/Members.sol";
import {Volquorum} from "../src/Volquorum.sol";
import {Votes} from "../src/Votes.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {SumTree} from "../src/libraries/SumTree.sol";

/// @notice The deployed contracts, an ordinary task, and the steps of a round as sentences.
abstract contract Fixture is Test {
    uint256 internal constant START = 1_750_000_000;
    bytes32 internal constant AGGREGATE_ROOT = keccak256("aggregate");
    bytes32 internal constant MODEL_ROOT = keccak256("model");
    bytes32 internal constant SCORES_SALT = "salt";

    address internal constant ETH = address(0);

    IVolquorum internal volquorum;
    address internal members;
    address internal availability;
    address internal challenges;
    address internal votesModule;
    address internal sponsor = makeAddr("sponsor");
    address internal aggregator = makeAddr("aggregator");
    address internal stranger = makeAddr("stranger");

    function setUp() public virtual {
        vm.warp(START);
        (members, availability) = (address(new Members()), address(new Availability()));
        (challenges, votesModule) = (address(new Challenges()), address(new Votes()));
        volquorum = IVolquorum(address(new Volquorum(members, availability, challenges, votesModule)));
        vm.deal(sponsor, 1e6 ether);
        vm.deal(aggregator, 1e6 ether);
        vm.deal(stranger, 1e6 ether);
    }

    // ---------------------------------------------------------------------------------------------- an ordinary task

    function ordinaryParams() internal view returns (IVolquorum.TaskParams memory params) {
        params.modelSpecHash = keccak256("spec");
        params.genesisModelRoot = keccak256("genesis");
        params.dimension = 1473;
        params.chunkLength = 256;
        params.shift = 16;
        params.rule = IVolquorum.Rule.TrimmedMean;
        params.tolerance = 1;
        params.quorum = 3;
        setCohort(params, 5);
        params.maxSquaredNorm = 1e12;
        params.aggregator = aggregator;
        params.selectionSeconds = 10;
        params.commitSeconds = 60;
        params.revealSeconds = 50;
        params.availabilitySeconds = 40;
        params.aggregatorSeconds = 30;
        params.aggregateSeconds = 90;
        params.challengeSeconds = 70;
        params.rounds = 4;
        params.closesAt = uint64(START + 30 days);
        params.stakeWei = 1 ether;
        params.sliceWei = 0.1 ether;
        params.bondWei = 2 ether;
        params.flagWei = 0.01 ether;
        params.rewardWei = 0.7 ether;
        params.maxMissed = 3;
        params.salt = keccak256("salt");
    }

    /// @dev An ordinary task whose results are judged by votes.
    function votedParams() internal view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        params.rule = IVolquorum.Rule.MinimumDiameter;
        params.publisherWei = 0.05 ether;
    }

    /// @dev As many seats as a round takes, so that none is drawn.
    function setCohort(IVolquorum.TaskParams memory params, uint8 cohort) internal pure {
        (params.cohort, params.seats, params.drawn) = (cohort, cohort, cohort);
    }

    function create(IVolquorum.TaskParams memory params) internal returns (bytes32 taskId) {
        uint256 fundsWei = fundsOf(params);
        uint256 valueWei = provide(params.currency, sponsor, fundsWei);
        vm.prank(sponsor);
        taskId = volquorum.createTask{value: valueWei}(params);
    }

    function fundsOf(IVolquorum.TaskParams memory params) internal pure returns (uint256) {
        return uint256(params.rounds) * (uint256(params.rewardWei) + params.publisherWei);
    }

    /// @dev Gives an account what it must pay, and lets the contract take it if it is a token's; what to send along.
    function provide(address currency, address account, uint256 amountWei) internal returns (uint256 valueWei) {
        if (currency == ETH) {
            vm.deal(account, account.balance + amountWei);
            return amountWei;
        }
        deal(currency, account, IERC20(currency).balanceOf(account) + amountWei);
        vm.prank(account);
        IERC20(currency).approve(address(volquorum), type(uint256).max);
    }

    function createOrdinary() internal returns (bytes32) {
        return create(ordinaryParams());
    }

    /// @dev An ordinary task with its five seats taken.
    function createSeated() internal returns (bytes32 taskId) {
        taskId = createOrdinary();
        joinAll(taskId, 5);
    }

    // ---------------------------------------------------------------------------------------------- steps of a round

    function desk(uint256 index) internal pure returns (address) {
        return vm.addr(keyOf(index));
    }

    function keyOf(uint256 index) internal pure returns (uint256) {
        return 0xde5c0000 + index;
    }

    function samplesOf(address account) internal pure returns (uint32) {
        return 1000 + uint32(uint160(account) % 1000);
    }

    function join(bytes32 taskId, address account) internal {
        join(taskId, account, samplesOf(account));
    }

    function join(bytes32 taskId, address account, uint32 samples) internal {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        uint256 valueWei = provide(params.currency, account, params.stakeWei);
        vm.prank(account);
        volquorum.join{value: valueWei}(taskId, samples);
    }

    function restore(bytes32 taskId, address account) internal {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        uint256 missingWei = params.stakeWei - volquorum.seat(taskId, account).stakeWei;
        uint256 valueWei = provide(params.currency, account, missingWei);
        vm.prank(account);
        volquorum.restore{value: valueWei}(taskId);
    }

    function leave(bytes32 taskId, address account) internal {
        vm.prank(account);
        volquorum.leave(taskId);
    }

    function joinAll(bytes32 taskId, uint256 count) internal {
        for (uint256 index = 0; index < count; ++index) {
            join(taskId, desk(index));
        }
    }

    function open(bytes32 taskId) internal returns (uint32 round) {
        round = volquorum.openRound(taskId);
    }

    function walkToCommit(bytes32 taskId, uint32 round) internal {
        vm.warp(volquorum.deadlines(taskId, round).selection);
    }

    function walkToReveal(bytes32 taskId, uint32 round) internal {
        vm.warp(volquorum.deadlines(taskId, round).commit);
    }

    function walkToAvailability(bytes32 taskId, uint32 round) internal {
        vm.warp(volquorum.deadlines(taskId, round).reveal);
    }

    function walkToAggregate(bytes32 taskId, uint32 round) internal {
        vm.warp(volquorum.deadlines(taskId, round).availability);
    }

    function walkToEnd(bytes32 taskId, uint32 round) internal {
        IVolquorum.Deadlines memory ends = volquorum.deadlines(taskId, round);
        vm.warp(ends.challenge > ends.aggregate ? ends.challenge : ends.aggregate);
    }

    function treeTop(address account, uint32 round) internal pure returns (bytes32) {
        return keccak256(abi.encode("top", account, round));
    }

    function squaredNorm(address account, uint32 round) internal pure returns (uint64) {
        return uint64(uint256(keccak256(abi.encode("norm", account, round))) % 1e12);
    }

    function salt(address account, uint32 round) internal pure returns (bytes32) {
        return keccak256(abi.encode("salt", account, round));
    }

    function updateRoot(bytes32 taskId, address account, uint32 round) internal view returns (bytes32) {
        return
            SumTree.root(volquorum.taskParams(taskId).dimension, squaredNorm(account, round), treeTop(account, round));
    }

    function commitmentTo(bytes32 taskId, uint32 round, address account, bytes32 root, uint64 norm)
        internal
        view
        returns (bytes32)
    {
        return volquorum.commitmentOf(taskId, round, account, root, norm, salt(account, round));
    }

    function commitmentBy(bytes32 taskId, uint32 round, address account) internal view returns (bytes32) {
        bytes32 root = updateRoot(taskId, account, round);
        return commitmentTo(taskId, round, account, root, squaredNorm(account, round));
    }

    function commit(bytes32 taskId, uint32 round, address account) internal {
        bytes32 commitment = commitmentBy(taskId, round, account);
        vm.prank(account);
        volquorum.commitUpdate(taskId, round, commitment);
    }

    function commitAll(bytes32 taskId, uint32 round, uint256 count) internal {
        for (uint256 index = 0; index < count; ++index) {
            commit(taskId, round, desk(index));
        }
    }

    function reveal(bytes32 taskId, uint32 round, address account) internal {
        vm.prank(account);
        volquorum.revealUpdate(
            taskId, round, treeTop(account, round), squaredNorm(account, round), salt(account, round)
        );
    }

    function revealAll(bytes32 taskId, uint32 round, uint256 count) internal {
        for (uint256 index = 0; index < count; ++index) {
            reveal(taskId, round, desk(index));
        }
    }

    // --------------------------------------------------------------------------------------------------- in batches

    /// @dev What is signed under a structure, EIP-712.
    function typed(bytes32 content) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("volquorum"),
                keccak256("1"),
                block.chainid,
                address(volquorum)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    /// @dev What a participant signs under a commitment.
    function commitDigest(bytes32 taskId, uint32 round, bytes32 commitment) internal view returns (bytes32) {
        bytes32 kind = keccak256("Commit(bytes32 taskId,uint32 round,bytes32 commitment)");
        return typed(keccak256(abi.encode(kind, taskId, round, commitment)));
    }

    /// @dev What a participant signs under a vote.
    function voteDigest(bytes32 taskId, uint32 round, IVolquorum.Result memory result) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "Vote(bytes32 taskId,uint32 round,bytes32 updatesHash,uint64 unavailable,bytes32 aggregateRoot,bytes32 modelRoot)"
        );
        bytes memory found = abi.encode(result.updatesHash, result.unavailable, result.aggregateRoot, result.modelRoot);
        return typed(keccak256(bytes.concat(abi.encode(kind, taskId, round), found)));
    }

    /// @dev A vote, signed by the desk of this number.
    function signedVote(bytes32 taskId, uint32 round, uint256 index, IVolquorum.Result memory result)
        internal
        view
        returns (IVolquorum.Signature memory)
    {
        (bytes32 r, bytes32 vs) = vm.signCompact(keyOf(index), voteDigest(taskId, round, result));
        return IVolquorum.Signature(r, vs);
    }

    /// @dev Of the desks from one number to before another.
    function signedVotes(bytes32 taskId, uint32 round, uint256 first, uint256 end, IVolquorum.Result memory result)
        internal
        view
        returns (IVolquorum.Signature[] memory signatures)
    {
        signatures = new IVolquorum.Signature[](end - first);
        for (uint256 index = first; index < end; ++index) {
            signatures[index - first] = signedVote(taskId, round, index, result);
        }
    }

    /// @dev A commitment, signed by the desk of this number.
    function signed(bytes32 taskId, uint32 round, uint256 index, bytes32 commitment)
        internal
        view
        returns (IVolquorum.SignedCommit memory)
    {
        (bytes32 r, bytes32 vs) = vm.signCompact(keyOf(index), commitDigest(taskId, round, commitment));
        return IVolquorum.SignedCommit(commitment, r, vs);
    }

    /// @dev What `commitAll` commits the first `count` desks to, signed by them.
    function signedAll(bytes32 taskId, uint32 round, uint256 count)
        internal
        view
        returns (IVolquorum.SignedCommit[] memory commits)
    {
        commits = new IVolquorum.SignedCommit[](count);
        for (uint256 index = 0; index < count; ++index) {
            commits[index] = signed(taskId, round, index, commitmentBy(taskId, round, desk(index)));
        }
    }

    function openingBy(address account, uint32 round) internal pure returns (IVolquorum.Opening memory) {
        return IVolquorum.Opening(account, treeTop(account, round), squaredNorm(account, round), salt(account, round));
    }

    /// @dev What opens the commitments of the first `count` desks.
    function openingsOf(uint32 round, uint256 count) internal pure returns (IVolquorum.Opening[] memory openings) {
        openings = new IVolquorum.Opening[](count);
        for (uint256 index = 0; index < count; ++index) {
            openings[index] = openingBy(desk(index), round);
        }
    }

    // ------------------------------------------------------------------------------------------------------ results

    function publish(bytes32 taskId, uint32 round, address account) internal {
        publish(taskId, round, account, AGGREGATE_ROOT, MODEL_ROOT);
    }

    function publish(bytes32 taskId, uint32 round, address account, bytes32 aggregateRoot, bytes32 modelRoot) internal {
        publish(taskId, round, account, resultFor(taskId, round, aggregateRoot, modelRoot));
    }

    /// @dev In the next second, if something was refuted in this one.
    function publish(bytes32 taskId, uint32 round, address account, IVolquorum.Result memory result) internal {
        if (volquorum.roundState(taskId, round).restartedAt == block.timestamp) vm.warp(block.timestamp + 1);
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        uint256 valueWei = provide(params.currency, account, params.bondWei);
        vm.prank(account);
        volquorum.publish{value: valueWei}(taskId, round, result);
    }

    function vote(bytes32 taskId, uint32 round, address account, bytes32 aggregateRoot, bytes32 modelRoot) internal {
        IVolquorum.Result memory result = resultFor(taskId, round, aggregateRoot, modelRoot);
        vm.prank(account);
        volquorum.vote(taskId, round, result);
    }

    /// @dev For the result that `publish` publishes.
    function vote(bytes32 taskId, uint32 round, address account) internal {
        vote(taskId, round, account, AGGREGATE_ROOT, MODEL_ROOT);
    }

    /// @dev What `vote` votes for, of the updates that the round includes now.
    function resultFor(bytes32 taskId, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot)
        internal
        view
        returns (IVolquorum.Result memory)
    {
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        return plain(aggregateRoot, modelRoot, facts.updatesHash, facts.unavailable);
    }

    function commitScores(bytes32 taskId, uint32 round, address account, bytes memory scores) internal {
        bytes32 tag = keccak256("volquorum.scores.1");
        bytes32 hash = keccak256(scores);
        bytes32 commitment =
            keccak256(abi.encode(tag, block.chainid, address(volquorum), taskId, round, account, hash, SCORES_SALT));
        vm.prank(account);
        volquorum.commitScores(taskId, round, commitment);
    }

    function revealScores(bytes32 taskId, uint32 round, address account, bytes memory scores) internal {
        vm.prank(account);
        volquorum.revealScores(taskId, round, scores, SCORES_SALT);
    }

    /// @dev Of a final round whose updates the first `count` desks revealed, without scores.
    function distribute(bytes32 taskId, uint32 round, uint256 count) internal {
        volquorum.distribute(taskId, round, updatesOf(taskId, round, count), "");
    }

    /// @dev The result of a task without a table.
    function plain(bytes32 aggregateRoot, bytes32 modelRoot, bytes32 updatesHash, uint64 unavailable)
        internal
        pure
        returns (IVolquorum.Result memory)
    {
        return IVolquorum.Result(aggregateRoot, modelRoot, updatesHash, unavailable, 0, 0);
    }

    /// @dev The updates of the first `count` desks, as `revealAll` reveals them.
    function updatesOf(bytes32 taskId, uint32 round, uint256 count)
        internal
        view
        returns (IVolquorum.Update[] memory updates)
    {
        updates = new IVolquorum.Update[](count);
        for (uint256 index = 0; index < count; ++index) {
            updates[index] = updateOf(taskId, round, desk(index));
        }
    }

    function updateOf(bytes32 taskId, uint32 round, address account) internal view returns (IVolquorum.Update memory) {
        return IVolquorum.Update(account, updateRoot(taskId, account, round), squaredNorm(account, round));
    }

    function flag(bytes32 taskId, uint32 round, IVolquorum.Update[] memory updates, uint256 index, address account)
        internal
    {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        uint256 valueWei = provide(params.currency, account, params.flagWei);
        vm.prank(account);
        volquorum.flagUpdate{value: valueWei}(taskId, round, updates, index);
    }

    function flagResult(bytes32 taskId, uint32 round, IVolquorum.Published what, address account) internal {
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        uint256 valueWei = provide(params.currency, account, params.flagWei);
        vm.prank(account);
        volquorum.flagResult{value: valueWei}(taskId, round, what);
    }

    // ------------------------------------------------------------------------------------------- rounds up to a phase

    function openToCommit(bytes32 taskId) internal returns (uint32 round) {
        round = open(taskId);
        walkToCommit(taskId, round);
    }

    function openToReveal(bytes32 taskId, uint256 committed) internal returns (uint32 round) {
        round = openToCommit(taskId);
        commitAll(taskId, round, committed);
        walkToReveal(taskId, round);
    }

    function openToAvailability(bytes32 taskId, uint256 revealed) internal returns (uint32 round) {
        round = openToReveal(taskId, revealed);
        revealAll(taskId, round, revealed);
        walkToAvailability(taskId, round);
    }

    function openToAggregate(bytes32 taskId, uint256 revealed) internal returns (uint32 round) {
        round = openToAvailability(taskId, revealed);
        walkToAggregate(taskId, round);
    }

    function openToFinal(bytes32 taskId, uint256 revealed) internal returns (uint32 round) {
        round = openToAggregate(taskId, revealed);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
    }

    /// @dev A final round with its reward distributed.
    function playRound(bytes32 taskId, uint256 revealed) internal returns (uint32 round) {
        round = openToFinal(taskId, revealed);
        distribute(taskId, round, revealed);
    }

    function openToVoid(bytes32 taskId) internal returns (uint32 round) {
        round = open(taskId);
        walkToEnd(taskId, round);
    }

    // ------------------------------------------------------------------------------------------------ what is expected

    function expectWrongPhase(bytes32 taskId, uint32 round, IVolquorum.Phase current, IVolquorum.Phase required)
        internal
    {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongPhase.selector, taskId, round, current, required));
    }

    function phaseOf(bytes32 taskId, uint32 round) internal view returns (IVolquorum.Phase) {
        return volquorum.phase(taskId, round);
    }

    /// @dev Number of revealed updates, which is the last byte of their hash.
    function revealedIn(bytes32 taskId, uint32 round) internal view returns (uint256) {
        return uint8(uint256(volquorum.roundState(taskId, round).updatesHash));
    }

    /// @dev The running hash after one more reveal.
    function updatesStep(bytes32 previous, address account, bytes32 root, uint64 norm) internal pure returns (bytes32) {
        bytes32 hash = keccak256(abi.encode(previous, account, root, norm));
        return bytes32(uint256(hash) >> 8 << 8 | (uint256(previous) & 0xff) + 1);
    }

    /// @dev What an account may withdraw in ETH.
    function creditOf(address account) internal view returns (uint256) {
        return volquorum.creditOf(ETH, account);
    }

    function assertPhase(IVolquorum.Phase found, IVolquorum.Phase wanted) internal pure {
        assertEq(uint8(found), uint8(wanted), "phase");
    }
}
