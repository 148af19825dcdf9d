// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";
import {StdAssertions} from "forge-std/StdAssertions.sol";
import {StdUtils} from "forge-std/StdUtils.sol";

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../src/libraries/PhaseLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";

/// @notice Several tasks and a few accounts in every role, called in any order at any time.
/// @dev Calls may be refused; what an invariant says must hold after refused calls too.
contract Handler is CommonBase, StdAssertions, StdUtils {
    using PhaseLib for IVolquorum.Phase;

    uint256 private constant ACCOUNTS = 6;
    uint256 private constant MAX_TASKS = 3;

    Volquorum public immutable VOLQUORUM;
    bytes32[] public tasks;
    address[] public accounts;
    mapping(string call => uint256 count) public done;
    uint256 public ended;

    mapping(bytes32 taskId => uint256 rewardWei) private rewardOf;
    // What each account was worth when that was last noted.
    uint256[] private known;
    // Per round: the furthest phase seen.
    mapping(bytes32 taskId => mapping(uint32 round => IVolquorum.Phase)) private furthest;

    constructor(Volquorum volquorum) {
        VOLQUORUM = volquorum;
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            accounts.push(address(uint160(0xacc0000 + index)));
            vm.deal(accounts[index], 1000 ether);
        }
        noteWorths();
        create(0, 0);
        create(1, 1);
    }

    modifier checked() {
        _;
        check();
    }

    // ------------------------------------------------------------------------------------------------------- calls

    function create(uint256 sponsorSeed, uint256 seed) public checked {
        if (tasks.length == MAX_TASKS) return;
        IVolquorum.TaskParams memory params;
        params.modelSpecHash = "spec";
        params.genesisModelRoot = "genesis";
        params.dimension = 100;
        params.chunkLength = 16;
        params.rule = IVolquorum.Rule.Median;
        params.cohort = uint8(draw(seed, "cohort", 1, 5));
        params.quorum = uint8(draw(seed, "quorum", 1, params.cohort));
        params.maxSquaredNorm = 1000;
        params.aggregator = draw(seed, "named", 0, 1) == 0 ? address(0) : accounts[0];
        params.selectionSeconds = uint32(draw(seed, "selection", 0, 2));
        params.commitSeconds = uint32(draw(seed, "commit", 1, 3));
        params.revealSeconds = uint32(draw(seed, "reveal", 1, 3));
        params.availabilitySeconds = uint32(draw(seed, "availability", 0, 2));
        params.aggregateSeconds = uint32(draw(seed, "aggregate", 1, 4));
        params.aggregatorSeconds = uint32(draw(seed, "aggregator", 0, params.aggregateSeconds));
        params.challengeSeconds = uint32(draw(seed, "challenge", 0, 3));
        params.rounds = uint32(draw(seed, "rounds", 1, 4));
        params.closesAt = uint64(block.timestamp + draw(seed, "closesAt", 10, 200));
        params.stakeWei = uint96(draw(seed, "stake", 0, 5));
        params.bondWei = uint96(draw(seed, "bond", 0, 5));
        params.rewardWei = uint96(draw(seed, "reward", 0, 50));
        params.salt = bytes32(tasks.length);
        address sponsor = account(sponsorSeed);
        bytes32 taskId = VOLQUORUM.taskIdOf(sponsor, params);
        if (call("create", sponsor, params.rounds * params.rewardWei, abi.encodeCall(IVolquorum.createTask, (params))))
        {
            tasks.push(taskId);
            rewardOf[taskId] = params.rewardWei;
        }
    }

    function join(uint256 taskSeed, uint256 accountSeed) external checked {
        bytes32 taskId = task(taskSeed);
        uint256 stakeWei = VOLQUORUM.taskParams(taskId).stakeWei;
        call("join", account(accountSeed), stakeWei, abi.encodeCall(IVolquorum.join, (taskId)));
    }

    function leave(uint256 taskSeed, uint256 accountSeed) external checked {
        call("leave", account(accountSeed), 0, abi.encodeCall(IVolquorum.leave, (task(taskSeed))));
    }

    function open(uint256 taskSeed, uint256 accountSeed) external checked {
        call("open", account(accountSeed), 0, abi.encodeCall(IVolquorum.openRound, (task(taskSeed))));
    }

    function commit(uint256 taskSeed, uint256 accountSeed, uint8 kind) external checked {
        tryCommit(taskSeed, accountSeed, kind);
    }

    function tryCommit(uint256 taskSeed, uint256 accountSeed, uint8 kind) private {
        bytes32 taskId = task(taskSeed);
        address committing = account(accountSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        if (round == 0 || VOLQUORUM.roundState(taskId, round).settled) return;
        (bytes32 top, uint64 norm) = update(committing, kind);
        bytes32 root = SumTree.root(100, norm, top);
        bytes32 commitment = VOLQUORUM.commitmentOf(taskId, round, committing, root, norm, "salt");
        call("commit", committing, 0, abi.encodeCall(IVolquorum.commitUpdate, (taskId, round, commitment)));
    }

    function reveal(uint256 taskSeed, uint256 accountSeed, uint8 kind) external checked {
        tryReveal(taskSeed, accountSeed, kind);
    }

    function tryReveal(uint256 taskSeed, uint256 accountSeed, uint8 kind) private {
        bytes32 taskId = task(taskSeed);
        address revealing = account(accountSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        (bytes32 top, uint64 norm) = update(revealing, kind);
        call("reveal", revealing, 0, abi.encodeCall(IVolquorum.revealUpdate, (taskId, round, top, norm, "salt")));
    }

    function publish(uint256 taskSeed, uint256 accountSeed) public checked {
        checkWorths();
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        bytes32 updatesHash = VOLQUORUM.roundState(taskId, round).updatesHash;
        bytes32 modelRoot = keccak256(abi.encode(taskId, round));
        uint256 bondWei = VOLQUORUM.taskParams(taskId).bondWei;
        bytes memory data = abi.encodeCall(IVolquorum.publish, (taskId, round, "aggregate", modelRoot, updatesHash));
        bool published = call("publish", account(accountSeed), bondWei, data);
        // Without a challenge time the result is final at once, as if time had passed.
        if (published && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Final) noteWorths();
    }

    function finalise(uint256 taskSeed, uint256 accountSeed) external checked {
        call("finalise", account(accountSeed), 0, abi.encodeCall(IVolquorum.finalise, (task(taskSeed))));
    }

    function voidRound(uint256 taskSeed, uint256 accountSeed) external checked {
        call("void", account(accountSeed), 0, abi.encodeCall(IVolquorum.voidRound, (task(taskSeed))));
    }

    function close(uint256 taskSeed, uint256 accountSeed) external checked {
        call("close", account(accountSeed), 0, abi.encodeCall(IVolquorum.closeTask, (task(taskSeed))));
    }

    function claimAll(uint256 taskSeed, uint256 accountSeed) external checked {
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            bytes memory data = abi.encodeCall(IVolquorum.claim, (task(taskSeed), accounts[index]));
            call("claim", account(accountSeed), 0, data);
        }
    }

    function withdraw(uint256 accountSeed) external checked {
        address withdrawing = account(accountSeed);
        call("withdraw", withdrawing, 0, abi.encodeCall(IVolquorum.withdraw, (withdrawing)));
    }

    /// @dev A round in which nobody makes a mistake, up to a drawn step, so that late states are reached often.
    function playRound(uint256 taskSeed, uint256 steps) external checked {
        bytes32 taskId = task(taskSeed);
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            uint256 stakeWei = VOLQUORUM.taskParams(taskId).stakeWei;
            call("join", accounts[index], stakeWei, abi.encodeCall(IVolquorum.join, (taskId)));
        }
        if (!call("open", accounts[0], 0, abi.encodeCall(IVolquorum.openRound, (taskId)))) return;
        IVolquorum.Deadlines memory ends = VOLQUORUM.deadlines(taskId, VOLQUORUM.taskState(taskId).round);
        steps = bound(steps, 0, 3 * ACCOUNTS);
        walkTo(ends.selection);
        for (uint256 index = 0; index < ACCOUNTS && steps > 0; ++index) {
            tryCommit(taskSeed, index, 0);
        }
        walkTo(ends.commit);
        for (uint256 index = 0; index < ACCOUNTS && index < steps; ++index) {
            tryReveal(taskSeed, index, 0);
        }
        if (steps <= ACCOUNTS) return;
        walkTo(ends.availability);
        publish(taskSeed, 0);
        if (steps > 2 * ACCOUNTS) walkTo(ends.aggregate + 3);
    }

    function walk(uint256 seconds_) external {
        walkTo(block.timestamp + bound(seconds_, 0, 4));
    }

    function walkFar(uint256 seconds_) external {
        if (seconds_ % 8 == 0) walkTo(block.timestamp + bound(seconds_, 0, 60));
    }

    // ----------------------------------------------------------------------------------------------- what is watched

    /// @dev All that each account could take out at this time: purse, credit, stakes, rewards, bonds, unspent funds.
    function worths() private view returns (uint256[] memory worthWei) {
        worthWei = new uint256[](ACCOUNTS);
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            worthWei[index] = accounts[index].balance + VOLQUORUM.creditOf(accounts[index]);
        }
        for (uint256 index = 0; index < tasks.length; ++index) {
            addWorths(tasks[index], worthWei);
        }
    }

    function addWorths(bytes32 taskId, uint256[] memory worthWei) private view {
        IVolquorum.TaskState memory state = VOLQUORUM.taskState(taskId);
        IVolquorum.RoundState memory latest = VOLQUORUM.roundState(taskId, state.round);
        uint256 shareWei = shareOf(taskId, state.round);
        uint256 spentWei = latest.settled ? 0 : shareWei * latest.revealed;
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            IVolquorum.Seat memory seat = VOLQUORUM.seat(taskId, accounts[index]);
            worthWei[index] += uint256(seat.stakeWei) + seat.rewardWei;
            if (seat.revealedRound != 0) {
                worthWei[index] += seat.revealedRound == state.round ? shareWei : shareOf(taskId, seat.revealedRound);
            }
            if (latest.publisher == accounts[index] && !latest.settled) worthWei[index] += latest.bondWei;
            if (state.sponsor == accounts[index]) worthWei[index] += state.fundsWei - spentWei;
        }
    }

    /// @dev What a revealed update of a round has earned by now, settled or not.
    function shareOf(bytes32 taskId, uint32 round) private view returns (uint256) {
        if (VOLQUORUM.phase(taskId, round) != IVolquorum.Phase.Final) return 0;
        return rewardOf[taskId] / VOLQUORUM.roundState(taskId, round).revealed;
    }

    function taskCount() external view returns (uint256) {
        return tasks.length;
    }

    function accountCount() external view returns (uint256) {
        return accounts.length;
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function call(string memory name, address caller, uint256 valueWei, bytes memory data)
        private
        returns (bool success)
    {
        vm.prank(caller);
        (success,) = address(VOLQUORUM).call{value: valueWei}(data);
        if (success) ++done[name];
    }

    function walkTo(uint256 time) private {
        check();
        if (time <= block.timestamp) return;
        vm.warp(time);
        watchPhases();
        noteWorths();
    }

    function check() private {
        checkWorths();
        watchPhases();
    }

    /// @dev Invariant: no call changes what anybody is worth, the caller included; only time does.
    function checkWorths() private view {
        uint256[] memory worthWei = worths();
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            assertEq(worthWei[index], known[index], "a call moved money");
        }
    }

    function noteWorths() private {
        known = worths();
    }

    /// @dev Invariant: a round's phase never goes backwards, and an end stays what it is.
    function watchPhases() private {
        for (uint256 index = 0; index < tasks.length; ++index) {
            bytes32 taskId = tasks[index];
            uint32 latest = VOLQUORUM.taskState(taskId).round;
            for (uint32 round = 1; round <= latest; ++round) {
                IVolquorum.Phase current = VOLQUORUM.phase(taskId, round);
                IVolquorum.Phase before = furthest[taskId][round];
                assertGe(uint8(current), uint8(before), "a phase went backwards");
                if (before.isEnd()) assertEq(uint8(current), uint8(before), "an ended round changed");
                else if (current.isEnd()) ++ended;
                furthest[taskId][round] = current;
            }
        }
    }

    /// @dev Kind 0 is an update of one's own, 1 one that everybody has, 2 one whose norm is too large.
    function update(address owner, uint8 kind) private pure returns (bytes32 top, uint64 norm) {
        kind %= 3;
        top = kind == 1 ? bytes32("shared") : keccak256(abi.encode(owner));
        norm = kind == 2 ? 1001 : 1000;
    }

    function task(uint256 seed) private view returns (bytes32) {
        return tasks[seed % tasks.length];
    }

    function account(uint256 seed) private view returns (address) {
        return accounts[seed % accounts.length];
    }

    function draw(uint256 seed, bytes memory field, uint256 least, uint256 most) private pure returns (uint256) {
        return bound(uint256(keccak256(abi.encode(seed, field))), least, most);
    }
}
