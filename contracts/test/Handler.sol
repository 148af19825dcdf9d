// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";
import {StdAssertions} from "forge-std/StdAssertions.sol";
import {StdUtils} from "forge-std/StdUtils.sol";

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../src/libraries/PhaseLib.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {PlainRules} from "./PlainRules.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice Several tasks and a few accounts in every role, called in any order at any time. Publishers may lie.
/// @dev Calls may be refused; what an invariant says must hold after refused calls too. A vector is one chunk of sixteen
/// coordinates, so a chunk is its whole opening.
contract Handler is CommonBase, StdAssertions, StdUtils {
    using PhaseLib for IVolquorum.Phase;

    uint256 private constant ACCOUNTS = 6;
    uint256 private constant MAX_TASKS = 3;

    Volquorum public immutable VOLQUORUM;
    bytes32[] public tasks;
    address[] public accounts;
    mapping(string call => uint256 count) public done;
    uint256 public ended;
    uint256 public burnedWei;

    mapping(bytes32 taskId => uint256 rewardWei) private rewardOf;
    // What each account was worth when that was last noted.
    uint256[] private known;
    // Per round: the revealed updates and their chunks, and the vectors behind published roots.
    mapping(bytes32 taskId => mapping(uint32 round => IVolquorum.Update[])) private revealedIn;
    mapping(bytes32 updateRoot => bytes chunk) private chunkOf;
    // Per round: the furthest phase seen since the latest proof.
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
        params.genesisModelRoot = rootOf(new bytes(64), 4);
        params.dimension = 16;
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
        bytes memory chunk = update(committing, kind);
        (bytes32 root, uint64 norm) = (rootOf(chunk, 2), PlainTree.leaf(chunk, 2, 0).sum);
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
        bytes memory chunk = update(revealing, kind);
        PlainTree.Node memory top = PlainTree.leaf(chunk, 2, 0);
        bytes memory data = abi.encodeCall(IVolquorum.revealUpdate, (taskId, round, top.hash, top.sum, "salt"));
        if (call("reveal", revealing, 0, data)) {
            revealedIn[taskId][round].push(IVolquorum.Update(revealing, rootOf(chunk, 2), top.sum));
        }
    }

    function publish(uint256 taskSeed, uint256 accountSeed, uint8 lie) public checked {
        checkWorths();
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        (bytes memory aggregate, bytes memory model) = result(taskId, round);
        if (lie % 3 == 1) aggregate[lie % 32] ^= 0x01;
        if (lie % 3 == 2) model[lie % 64] ^= 0x01;
        bytes memory data = abi.encodeCall(
            IVolquorum.publish,
            (taskId, round, rootOf(aggregate, 2), rootOf(model, 4), VOLQUORUM.roundState(taskId, round).updatesHash)
        );
        bool published = call("publish", account(accountSeed), VOLQUORUM.taskParams(taskId).bondWei, data);
        // Without a challenge time the result is final at once, as if time had passed.
        if (published && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Final) noteWorths();
    }

    function challengeAggregate(uint256 taskSeed, uint256 accountSeed) external checked {
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.Update[] memory updates = revealedIn[taskId][round];
        bytes memory openings;
        for (uint256 index = 0; index < updates.length; ++index) {
            openings = bytes.concat(openings, chunkOf[updates[index].updateRoot]);
        }
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        openings = bytes.concat(openings, chunkOf[facts.aggregateRoot]);
        (bytes memory aggregate,) = result(taskId, round);
        challenge(
            taskId,
            account(accountSeed),
            rootOf(aggregate, 2) != facts.aggregateRoot,
            abi.encodeCall(IVolquorum.challengeAggregate, (taskId, round, updates, 0, openings))
        );
    }

    function challengeModel(uint256 taskSeed, uint256 accountSeed) external checked {
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bytes memory base = chunkOf[VOLQUORUM.taskState(taskId).modelRoot];
        bytes memory aggregate = chunkOf[facts.aggregateRoot];
        if (aggregate.length == 0) return;
        challenge(
            taskId,
            account(accountSeed),
            rootOf(sum(base, aggregate), 4) != facts.modelRoot,
            abi.encodeCall(
                IVolquorum.challengeModel, (taskId, round, 0, bytes.concat(base, aggregate, chunkOf[facts.modelRoot]))
            )
        );
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
        publish(taskSeed, 0, uint8(steps));
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

    /// @dev Invariant: a proof succeeds exactly if the result is wrong and can still be contested. It takes the
    /// publisher's bond, gives half of it to the challenger, and alone sets a phase back, from Challenge to Aggregate.
    function challenge(bytes32 taskId, address challenger, bool wrong, bytes memory data) private {
        checkWorths();
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bool contestable = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge;
        bool proven = call(wrong ? "refute" : "accuse", challenger, 0, data);
        assertEq(proven, contestable && wrong, "a proof of a wrong result, and of nothing else");
        if (!proven) return;
        assertEq(uint8(VOLQUORUM.phase(taskId, round)), uint8(IVolquorum.Phase.Aggregate), "the round goes on");
        furthest[taskId][round] = IVolquorum.Phase.Aggregate;
        burnedWei += facts.bondWei - facts.bondWei / 2;
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            if (accounts[index] == facts.publisher) known[index] -= facts.bondWei;
            if (accounts[index] == challenger) known[index] += facts.bondWei / 2;
        }
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

    /// @dev Invariant: no call but a proof changes what anybody is worth, the caller included; only time does.
    function checkWorths() private view {
        uint256[] memory worthWei = worths();
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            assertEq(worthWei[index], known[index], "a call moved money");
        }
    }

    function noteWorths() private {
        known = worths();
    }

    /// @dev Invariant: a round's phase never goes backwards without a proof, and an end stays what it is.
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
    function update(address owner, uint8 kind) private pure returns (bytes memory chunk) {
        chunk = new bytes(32);
        kind %= 3;
        chunk[1] = kind == 1 ? bytes1(0x07) : bytes1(uint8(uint160(owner)) + 1);
        if (kind == 2) chunk[3] = 0x20;
    }

    /// @dev The right result of a round, with the base model and the updates it has now.
    function result(bytes32 taskId, uint32 round) private returns (bytes memory aggregate, bytes memory model) {
        IVolquorum.Update[] memory updates = revealedIn[taskId][round];
        aggregate = new bytes(32);
        if (updates.length > 0) {
            int256[][] memory values = new int256[][](updates.length);
            for (uint256 index = 0; index < updates.length; ++index) {
                values[index] = PlainRules.unpacked(chunkOf[updates[index].updateRoot], 2);
            }
            RuleLib.Terms memory terms = RuleLib.Terms(IVolquorum.Rule.Median, 0, 0);
            aggregate = PlainRules.packed(PlainRules.aggregate(values, new uint64[](updates.length), terms), 2);
        }
        model = sum(chunkOf[VOLQUORUM.taskState(taskId).modelRoot], aggregate);
    }

    function sum(bytes memory base, bytes memory aggregate) private pure returns (bytes memory) {
        int256[] memory total = PlainRules.unpacked(base, 4);
        int256[] memory step = PlainRules.unpacked(aggregate, 2);
        for (uint256 index = 0; index < total.length; ++index) {
            total[index] += step[index];
        }
        return PlainRules.packed(total, 4);
    }

    function rootOf(bytes memory chunk, uint256 widthBytes) private returns (bytes32 root) {
        root = PlainTree.rootOf(PlainTree.leaf(chunk, widthBytes, 0), SumTree.Shape(16, 16, widthBytes));
        chunkOf[root] = chunk;
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
