// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {SumTree} from "../src/libraries/SumTree.sol";

/// @notice A deployed contract, an ordinary task, and the steps of a round as sentences.
abstract contract Fixture is Test {
    uint256 internal constant START = 1_750_000_000;
    bytes32 internal constant AGGREGATE_ROOT = keccak256("aggregate");
    bytes32 internal constant MODEL_ROOT = keccak256("model");

    Volquorum internal volquorum;
    address internal sponsor = makeAddr("sponsor");
    address internal aggregator = makeAddr("aggregator");
    address internal stranger = makeAddr("stranger");

    function setUp() public virtual {
        vm.warp(START);
        volquorum = new Volquorum();
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
        params.cohort = 5;
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
        params.bondWei = 2 ether;
        params.flagWei = 0.01 ether;
        params.rewardWei = 0.7 ether;
        params.salt = keccak256("salt");
    }

    function create(IVolquorum.TaskParams memory params) internal returns (bytes32 taskId) {
        uint256 fundsWei = uint256(params.rounds) * params.rewardWei;
        vm.deal(sponsor, fundsWei);
        vm.prank(sponsor);
        taskId = volquorum.createTask{value: fundsWei}(params);
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
        return address(uint160(0xde5c0000 + index));
    }

    function join(bytes32 taskId, address account) internal {
        uint256 stakeWei = volquorum.taskParams(taskId).stakeWei;
        vm.deal(account, account.balance + stakeWei);
        vm.prank(account);
        volquorum.join{value: stakeWei}(taskId);
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

    function commit(bytes32 taskId, uint32 round, address account) internal {
        bytes32 root = updateRoot(taskId, account, round);
        bytes32 commitment = commitmentTo(taskId, round, account, root, squaredNorm(account, round));
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

    function publish(bytes32 taskId, uint32 round, address account) internal {
        publish(taskId, round, account, AGGREGATE_ROOT, MODEL_ROOT);
    }

    function publish(bytes32 taskId, uint32 round, address account, bytes32 aggregateRoot, bytes32 modelRoot) internal {
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        publish(taskId, round, account, plain(aggregateRoot, modelRoot, facts.updatesHash, facts.unavailable));
    }

    function publish(bytes32 taskId, uint32 round, address account, IVolquorum.Result memory result) internal {
        uint256 bondWei = volquorum.taskParams(taskId).bondWei;
        vm.deal(account, account.balance + bondWei);
        vm.prank(account);
        volquorum.publish{value: bondWei}(taskId, round, result);
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
            address account = desk(index);
            updates[index] = IVolquorum.Update(account, updateRoot(taskId, account, round), squaredNorm(account, round));
        }
    }

    function flag(bytes32 taskId, uint32 round, IVolquorum.Update[] memory updates, uint256 index, address account)
        internal
    {
        uint256 flagWei = volquorum.taskParams(taskId).flagWei;
        vm.deal(account, account.balance + flagWei);
        vm.prank(account);
        volquorum.flagUpdate{value: flagWei}(taskId, round, updates, index);
    }

    function flagResult(bytes32 taskId, uint32 round, IVolquorum.Published what, address account) internal {
        uint256 flagWei = volquorum.taskParams(taskId).flagWei;
        vm.deal(account, account.balance + flagWei);
        vm.prank(account);
        volquorum.flagResult{value: flagWei}(taskId, round, what);
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

    function assertPhase(IVolquorum.Phase found, IVolquorum.Phase wanted) internal pure {
        assertEq(uint8(found), uint8(wanted), "phase");
    }
}
