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

/// @notice Several tasks and a few accounts in every role, called in any order at any time. Publishers may lie, norms may
/// be false, and bytes may be flagged and left unanswered.
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

    mapping(bytes32 taskId => Money money) private moneyOf;
    // What each account was worth when that was last noted.
    uint256[] private known;
    mapping(bytes32 taskId => mapping(uint32 round => Watched watched)) private watchedIn;
    mapping(bytes32 root => Vector vector) private vectorOf;
    uint256 private salts;

    struct Money {
        uint256 rewardWei;
        uint256 flagWei;
    }

    struct Watched {
        IVolquorum.Update[] revealed;
        uint64 excluded; // bits of the updates that are excluded, by what was done
        uint64 decided; // what they were when that was decided
        IVolquorum.Phase furthest; // phase seen since the latest proof
    }

    /// @dev The vector behind a root, and whether its recorded norm is false.
    struct Vector {
        bytes chunk;
        bool falseNorm;
    }

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
        params.availabilitySeconds = uint32(draw(seed, "availability", 0, 6));
        params.aggregateSeconds = uint32(draw(seed, "aggregate", 1, 4));
        params.aggregatorSeconds = uint32(draw(seed, "aggregator", 0, params.aggregateSeconds));
        params.challengeSeconds = uint32(draw(seed, "challenge", 0, 9));
        params.rounds = uint32(draw(seed, "rounds", 1, 4));
        params.closesAt = uint64(block.timestamp + draw(seed, "closesAt", 10, 500));
        params.stakeWei = uint96(draw(seed, "stake", 0, 5));
        params.bondWei = uint96(draw(seed, "bond", 0, 5));
        params.flagWei = uint96(draw(seed, "flag", 0, 5));
        params.rewardWei = uint96(draw(seed, "reward", 0, 50));
        params.salt = bytes32(tasks.length);
        address sponsor = account(sponsorSeed);
        bytes32 taskId = VOLQUORUM.taskIdOf(sponsor, params);
        if (call("create", sponsor, params.rounds * params.rewardWei, abi.encodeCall(IVolquorum.createTask, (params))))
        {
            tasks.push(taskId);
            moneyOf[taskId] = Money(params.rewardWei, params.flagWei);
        }
    }

    function join(uint256 taskSeed, uint256 accountSeed) external checked {
        tryJoin(task(taskSeed), account(accountSeed));
    }

    function tryJoin(bytes32 taskId, address joining) private {
        uint256 stakeWei = VOLQUORUM.taskParams(taskId).stakeWei;
        call("join", joining, stakeWei, abi.encodeCall(IVolquorum.join, (taskId)));
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
        (, bytes32 root, uint64 norm) = update(committing, kind);
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
        (bytes32 top, bytes32 root, uint64 norm) = update(revealing, kind);
        bytes memory data = abi.encodeCall(IVolquorum.revealUpdate, (taskId, round, top, norm, "salt"));
        if (call("reveal", revealing, 0, data)) {
            watchedIn[taskId][round].revealed.push(IVolquorum.Update(revealing, root, norm));
        }
    }

    function publish(uint256 taskSeed, uint256 accountSeed, uint8 lie) public checked {
        checkWorths();
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        (bytes memory aggregate, bytes memory model) = result(taskId, round);
        if (lie % 3 == 1) aggregate[lie % 32] ^= 0x01;
        if (lie % 3 == 2) model[lie % 64] ^= 0x01;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bytes memory data = abi.encodeCall(
            IVolquorum.publish,
            (
                taskId,
                round,
                IVolquorum.Result(rootOf(aggregate, 2), rootOf(model, 4), facts.updatesHash, facts.unavailable, 0, 0)
            )
        );
        bool published = call("publish", account(accountSeed), VOLQUORUM.taskParams(taskId).bondWei, data);
        // Without a challenge time the result is final at once, as if time had passed.
        if (published && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Final) noteWorths();
    }

    function flagUpdate(uint256 taskSeed, uint256 accountSeed, uint256 index) public checked {
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.Update[] memory updates = watchedIn[taskId][round].revealed;
        if (updates.length == 0) return;
        index %= updates.length;
        uint256 flagWei = moneyOf[taskId].flagWei;
        bytes memory data = abi.encodeCall(IVolquorum.flagUpdate, (taskId, round, updates, index));
        if (call("flagUpdate", account(accountSeed), flagWei, data)) {
            watchedIn[taskId][round].excluded |= uint64(1 << index);
        }
    }

    /// @dev Invariant: the bytes behind an open flag can be posted until Availability ends.
    function postUpdate(uint256 taskSeed, uint256 accountSeed, uint256 index) public checked {
        checkWorths();
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        if (watchedIn[taskId][round].revealed.length == 0) return;
        index %= watchedIn[taskId][round].revealed.length;
        IVolquorum.Update memory flagged = watchedIn[taskId][round].revealed[index];
        IVolquorum.Flag memory flag = VOLQUORUM.updateFlag(taskId, flagged.participant);
        bool answerable = flag.round == round && flag.flagger != address(0) && !vectorOf[flagged.updateRoot].falseNorm;
        bytes memory data = abi.encodeCall(
            IVolquorum.postUpdate, (taskId, round, flagged.participant, vectorOf[flagged.updateRoot].chunk, "")
        );
        bool posted = call("postUpdate", account(accountSeed), 0, data);
        bool inTime = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Availability;
        assertEq(posted, answerable && inTime, "an answer to an open flag, and to nothing else");
        if (!posted) return;
        watchedIn[taskId][round].excluded &= ~uint64(1 << index);
        move(flag.flagger, flagged.participant, moneyOf[taskId].flagWei);
    }

    function reclaimDeposit(uint256 taskSeed, uint256 accountSeed, uint256 whose) public checked {
        bytes memory data = abi.encodeCall(IVolquorum.reclaimDeposit, (task(taskSeed), account(whose)));
        call("reclaim", account(accountSeed), 0, data);
    }

    /// @dev Invariant: a seat is taken away exactly if the norm of its update is false and Availability still runs.
    function challengeNorm(uint256 taskSeed, uint256 accountSeed, uint256 index, bool isSealed) public checked {
        checkWorths();
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.Update[] memory updates = watchedIn[taskId][round].revealed;
        if (updates.length == 0) return;
        index %= updates.length;
        IVolquorum.Update memory contested = updates[index];
        IVolquorum.Seat memory seat = VOLQUORUM.seat(taskId, contested.participant);
        bool expected = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Availability
            && vectorOf[contested.updateRoot].falseNorm && seat.committedRound == round;
        bytes32 salt = sealed_(isSealed, account(accountSeed), taskId, round, 2, contested.updateRoot);
        bytes memory data = abi.encodeCall(
            IVolquorum.challengeNorm, (taskId, round, updates, index, 0, vectorOf[contested.updateRoot].chunk, salt)
        );
        bool proven = call("refuteNorm", account(accountSeed), 0, data);
        assertEq(proven, expected, "a proof of a false norm, and of nothing else");
        if (!proven) return;
        watchedIn[taskId][round].excluded |= uint64(1 << index);
        lose(contested.participant, account(accountSeed), seat.stakeWei, isSealed);
    }

    function challengeAggregate(uint256 taskSeed, uint256 accountSeed, bool isSealed) public checked {
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        (IVolquorum.Update[] memory included, IVolquorum.Update[] memory excluded) = selection(taskId, round);
        address[] memory participants = new address[](included.length);
        bytes memory openings;
        // A norm that nobody contested in time is false for ever, and no opening leads to it.
        bool provable = true;
        for (uint256 index = 0; index < included.length; ++index) {
            participants[index] = included[index].participant;
            openings = bytes.concat(openings, vectorOf[included[index].updateRoot].chunk);
            if (vectorOf[included[index].updateRoot].falseNorm) provable = false;
        }
        bytes32 root = VOLQUORUM.roundState(taskId, round).aggregateRoot;
        if (root == 0) return;
        openings = bytes.concat(openings, pathOf(root, 2));
        (bytes memory aggregate,) = result(taskId, round);
        bytes32 salt = sealed_(isSealed, account(accountSeed), taskId, round, 0, root);
        bytes memory data = abi.encodeCall(
            IVolquorum.challengeAggregate, (taskId, round, participants, excluded, 0, openings, "", salt)
        );
        challenge(taskId, account(accountSeed), provable && rootOf(aggregate, 2) != root, isSealed, data);
    }

    function challengeModel(uint256 taskSeed, uint256 accountSeed, bool isSealed) public checked {
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bytes memory base = vectorOf[VOLQUORUM.taskState(taskId).modelRoot].chunk;
        bytes memory aggregate = vectorOf[facts.aggregateRoot].chunk;
        if (aggregate.length == 0) return;
        bytes32 salt = sealed_(isSealed, account(accountSeed), taskId, round, 1, facts.modelRoot);
        bytes memory openings = bytes.concat(base, aggregate, pathOf(facts.modelRoot, 4));
        bytes memory data = abi.encodeCall(IVolquorum.challengeModel, (taskId, round, 0, openings, salt));
        bool wrong = rootOf(sum(base, aggregate), 4) != facts.modelRoot;
        challenge(taskId, account(accountSeed), wrong, isSealed, data);
    }

    function flagResult(uint256 taskSeed, uint256 accountSeed, bool inModel) public checked {
        bytes32 taskId = task(taskSeed);
        uint256 flagWei = moneyOf[taskId].flagWei;
        uint32 round = VOLQUORUM.taskState(taskId).round;
        bytes memory data = abi.encodeCall(IVolquorum.flagResult, (taskId, round, kindOf(inModel)));
        call("flagResult", account(accountSeed), flagWei, data);
    }

    /// @dev Invariant: whoever has the bytes of a flagged result can post them in time, and the publisher is paid.
    function postResult(uint256 taskSeed, uint256 accountSeed, bool inModel) public checked {
        checkWorths();
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        address flagger = flaggerOf(taskId, facts, inModel);
        bytes memory chunk = vectorOf[inModel ? facts.modelRoot : facts.aggregateRoot].chunk;
        bytes memory data = abi.encodeCall(IVolquorum.postResult, (taskId, round, kindOf(inModel), chunk, ""));
        bool posted = call("postResult", account(accountSeed), 0, data);
        bool inTime = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge
            && block.timestamp < VOLQUORUM.deadlines(taskId, round).postResult;
        assertEq(posted, inTime && flagger != address(0), "an answer to an open flag, and to nothing else");
        if (posted) move(flagger, facts.publisher, moneyOf[taskId].flagWei);
    }

    /// @dev Invariant: a result is refuted as unavailable exactly if a flag was left open until posting was over. So a
    /// publisher who posts what is flagged is never refuted but by a proof.
    function refuteUnavailable(uint256 taskSeed, uint256 accountSeed, bool inModel) public checked {
        checkWorths();
        bytes32 taskId = task(taskSeed);
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        address flagger = flaggerOf(taskId, facts, inModel);
        bool expected = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge
            && block.timestamp >= VOLQUORUM.deadlines(taskId, round).postResult && flagger != address(0);
        bytes memory data = abi.encodeCall(IVolquorum.refuteUnavailable, (taskId, round, kindOf(inModel)));
        bool refuted = call("refuteUnavailable", account(accountSeed), 0, data);
        assertEq(refuted, expected, "what nobody posted, and nothing else");
        if (refuted) unpublished(taskId, round, facts, flagger, true);
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

    /// @dev A round up to a drawn step, with what a drawn `mischief` makes of it, so that late states are reached often.
    function playRound(uint256 taskSeed, uint256 steps, uint256 mischief) external checked {
        bytes32 taskId = task(taskSeed);
        if (mischief >> 30 & 1 == 1) walkToEnd(taskId);
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            tryJoin(taskId, accounts[index]);
        }
        if (!call("open", accounts[0], 0, abi.encodeCall(IVolquorum.openRound, (taskId)))) return;
        IVolquorum.Deadlines memory ends = VOLQUORUM.deadlines(taskId, VOLQUORUM.taskState(taskId).round);
        steps = bound(steps, 0, 4 * ACCOUNTS);
        // One account's norm is false in every other round.
        playUpdates(taskSeed, steps, ends, mischief & 1 == 1 ? 3 : 0);
        if (steps <= ACCOUNTS) return;
        walkTo(ends.reveal);
        playAvailability(taskSeed, mischief >> 1);
        walkTo(ends.availability);
        if (mischief >> 24 & 7 == 7) playLies(taskSeed, 0, mischief >> 27);
        publish(taskSeed, 0, uint8(steps));
        if (steps > 2 * ACCOUNTS) playChallenge(taskId, taskSeed, mischief >> 16);
        if (steps <= 3 * ACCOUNTS) return;
        walkToEnd(taskId);
        reclaimAll(taskSeed);
    }

    function playUpdates(uint256 taskSeed, uint256 steps, IVolquorum.Deadlines memory ends, uint8 kind) private {
        walkTo(ends.selection);
        for (uint256 index = 0; index < ACCOUNTS && steps > 0; ++index) {
            tryCommit(taskSeed, index, index == 2 ? kind : 0);
        }
        walkTo(ends.commit);
        for (uint256 index = 0; index < ACCOUNTS && index < steps; ++index) {
            tryReveal(taskSeed, index, index == 2 ? kind : 0);
        }
    }

    function reclaimAll(uint256 taskSeed) private {
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            reclaimDeposit(taskSeed, 0, index);
        }
    }

    function walkToEnd(bytes32 taskId) private {
        IVolquorum.Deadlines memory ends = VOLQUORUM.deadlines(taskId, VOLQUORUM.taskState(taskId).round);
        walkTo(ends.challenge > ends.aggregate ? ends.challenge : ends.aggregate);
    }

    function playAvailability(uint256 taskSeed, uint256 mischief) private {
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            if (mischief >> index & 5 == 5) flagUpdate(taskSeed, index + 1, index);
        }
        if (mischief & 1 == 1) challengeNorm(taskSeed, mischief, 2, mischief & 2 == 2);
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            if (mischief >> (6 + index) & 1 == 1) postUpdate(taskSeed, index + 2, index);
        }
    }

    function playChallenge(bytes32 taskId, uint256 taskSeed, uint256 mischief) private {
        bool inModel = mischief & 1 == 1;
        if (mischief & 18 != 0) flagResult(taskSeed, mischief, inModel);
        if (mischief & 4 == 4) flagResult(taskSeed, mischief ^ 1, !inModel);
        if (mischief & 8 == 8) postResult(taskSeed, mischief, inModel);
        walkTo(VOLQUORUM.deadlines(taskId, VOLQUORUM.taskState(taskId).round).postResult);
        refuteUnavailable(taskSeed, mischief ^ 2, inModel);
    }

    /// @dev As many lies in one round as its end allows.
    function playLies(uint256 taskSeed, uint256 accountSeed, uint256 lies) public checked {
        for (lies = lies % 10; lies > 0; --lies) {
            publish(taskSeed, accountSeed, 2);
            challengeModel(taskSeed, accountSeed ^ 1, lies & 1 == 1);
        }
    }

    function walk(uint256 seconds_) external {
        walkTo(block.timestamp + bound(seconds_, 0, 4));
    }

    function walkFar(uint256 seconds_) external {
        if (seconds_ % 8 == 0) walkTo(block.timestamp + bound(seconds_, 0, 60));
    }

    // ----------------------------------------------------------------------------------------------- what is watched

    /// @dev All that each account could take out at this time: purse, credit, stakes, rewards, bonds, deposits, unspent
    /// funds.
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
        uint256 spentWei = latest.settled ? 0 : shareOf(taskId, state.round) * includedIn(latest);
        address[] memory owners = flaggers(taskId);
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            IVolquorum.Seat memory seat = VOLQUORUM.seat(taskId, accounts[index]);
            worthWei[index] += uint256(seat.stakeWei) + seat.rewardWei;
            worthWei[index] += earned(taskId, seat.revealedRound, accounts[index]);
            if (latest.publisher == accounts[index] && !latest.settled) worthWei[index] += latest.bondWei;
            if (state.sponsor == accounts[index]) worthWei[index] += state.fundsWei - spentWei;
            for (uint256 flag = 0; flag < owners.length; ++flag) {
                if (owners[flag] == accounts[index]) worthWei[index] += moneyOf[taskId].flagWei;
            }
        }
    }

    /// @notice Who owns the deposit of each flag of a task; zero where nobody does.
    function flaggers(bytes32 taskId) public view returns (address[] memory owners) {
        owners = new address[](ACCOUNTS + 2);
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            owners[index] = VOLQUORUM.updateFlag(taskId, accounts[index]).flagger;
        }
        owners[ACCOUNTS] = VOLQUORUM.resultFlag(taskId, IVolquorum.Published.Aggregate).flagger;
        owners[ACCOUNTS + 1] = VOLQUORUM.resultFlag(taskId, IVolquorum.Published.Model).flagger;
    }

    /// @notice What a participant has earned in a round by now, settled or not.
    function earned(bytes32 taskId, uint32 round, address participant) public view returns (uint256) {
        IVolquorum.Update[] storage updates = watchedIn[taskId][round].revealed;
        for (uint256 index = 0; index < updates.length; ++index) {
            if (updates[index].participant != participant) continue;
            return watchedIn[taskId][round].excluded >> index & 1 == 1 ? 0 : shareOf(taskId, round);
        }
        return 0;
    }

    /// @dev What an included update of a round has earned by now, settled or not.
    function shareOf(bytes32 taskId, uint32 round) private view returns (uint256) {
        if (VOLQUORUM.phase(taskId, round) != IVolquorum.Phase.Final) return 0;
        return moneyOf[taskId].rewardWei / includedIn(VOLQUORUM.roundState(taskId, round));
    }

    function includedIn(IVolquorum.RoundState memory facts) private pure returns (uint256 count) {
        for (uint256 index = 0; index < facts.revealed; ++index) {
            if (facts.unavailable >> index & 1 == 0) ++count;
        }
    }

    function flagWeiOf(bytes32 taskId) external view returns (uint256) {
        return moneyOf[taskId].flagWei;
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

    /// @dev Invariant: a proof succeeds exactly if the result is wrong and can still be contested.
    function challenge(bytes32 taskId, address challenger, bool wrong, bool isSealed, bytes memory data) private {
        checkWorths();
        uint32 round = VOLQUORUM.taskState(taskId).round;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bool contestable = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge;
        bool proven = call(wrong ? "refute" : "accuse", challenger, 0, data);
        assertEq(proven, contestable && wrong, "a proof of a wrong result, and of nothing else");
        if (proven) unpublished(taskId, round, facts, challenger, isSealed);
    }

    /// @dev Invariant: a refutation takes the publisher's bond, and it alone sets a phase back, from Challenge to
    /// Aggregate, but for the last.
    function unpublished(
        bytes32 taskId,
        uint32 round,
        IVolquorum.RoundState memory before,
        address challenger,
        bool awarded
    ) private {
        IVolquorum.Phase current = VOLQUORUM.phase(taskId, round);
        bool last = before.refutations + 1 == PhaseLib.MAX_REFUTATIONS;
        assertEq(uint8(current), uint8(last ? IVolquorum.Phase.Void : IVolquorum.Phase.Aggregate), "the round goes on");
        if (last) ++done["lastRefutation"];
        watchedIn[taskId][round].furthest = IVolquorum.Phase.Aggregate;
        lose(before.publisher, challenger, before.bondWei, awarded);
    }

    /// @dev Half of what a proof takes goes to who sealed it, the rest to nobody.
    function lose(address from, address challenger, uint256 takenWei, bool awarded) private {
        uint256 awardWei = awarded ? takenWei / 2 : 0;
        move(from, challenger, awardWei);
        burnedWei += takenWei - awardWei;
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            if (accounts[index] == from) known[index] -= takenWei - awardWei;
        }
    }

    function move(address from, address to, uint256 amountWei) private {
        for (uint256 index = 0; index < ACCOUNTS; ++index) {
            if (accounts[index] == from) known[index] -= amountWei;
            if (accounts[index] == to) known[index] += amountWei;
        }
    }

    /// @dev A salt, whose seal was stored in an earlier block, or not at all.
    function sealed_(bool isSealed, address challenger, bytes32 taskId, uint32 round, uint8 kind, bytes32 subject)
        private
        returns (bytes32 salt)
    {
        salt = bytes32(++salts);
        if (!isSealed) return salt;
        bytes32 tag = keccak256("volquorum.seal.1");
        address to = address(VOLQUORUM);
        bytes32 seal =
            keccak256(abi.encode(tag, block.chainid, to, taskId, round, challenger, kind, uint32(0), subject, salt));
        require(call("seal", challenger, 0, abi.encodeCall(IVolquorum.sealChallenge, (seal))), "a new seal");
        vm.roll(block.number + 1);
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
                IVolquorum.Phase before = watchedIn[taskId][round].furthest;
                assertGe(uint8(current), uint8(before), "a phase went backwards");
                watchSelection(taskId, round, current);
                if (before.isEnd()) assertEq(uint8(current), uint8(before), "an ended round changed");
                else if (current.isEnd()) ++ended;
                watchedIn[taskId][round].furthest = current;
            }
        }
    }

    /// @dev Invariant: which updates are included is what was flagged, answered and proven, and nothing changes it once
    /// Availability is over.
    function watchSelection(bytes32 taskId, uint32 round, IVolquorum.Phase current) private {
        uint64 unavailable = VOLQUORUM.roundState(taskId, round).unavailable;
        assertEq(unavailable, watchedIn[taskId][round].excluded, "excluded without a reason");
        if (watchedIn[taskId][round].furthest > IVolquorum.Phase.Availability) {
            assertEq(unavailable, watchedIn[taskId][round].decided, "the selection changed");
        }
        if (current > IVolquorum.Phase.Availability) watchedIn[taskId][round].decided = unavailable;
    }

    /// @dev Kind 0 is an update of one's own, 1 one that everybody has, 2 one whose norm is too large, 3 one's own with
    /// a false norm.
    function update(address owner, uint8 kind) private returns (bytes32 top, bytes32 root, uint64 norm) {
        bytes memory chunk = new bytes(32);
        kind %= 4;
        chunk[1] = kind == 1 ? bytes1(0x07) : bytes1(uint8(uint160(owner)) + 1);
        if (kind == 2) chunk[3] = 0x20;
        PlainTree.Node memory leaf = PlainTree.leaf(chunk, 2, 0);
        if (kind == 3) ++leaf.sum;
        (top, norm) = (leaf.hash, leaf.sum);
        root = PlainTree.rootOf(leaf, SumTree.Shape(16, 16, 2));
        vectorOf[root].chunk = chunk;
        vectorOf[root].falseNorm = kind == 3;
    }

    function selection(bytes32 taskId, uint32 round)
        private
        view
        returns (IVolquorum.Update[] memory included, IVolquorum.Update[] memory excluded)
    {
        IVolquorum.Update[] memory updates = watchedIn[taskId][round].revealed;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        included = new IVolquorum.Update[](includedIn(facts));
        excluded = new IVolquorum.Update[](updates.length - included.length);
        for ((uint256 index, uint256 taken) = (0, 0); index < updates.length; ++index) {
            if (facts.unavailable >> index & 1 == 0) included[taken++] = updates[index];
            else excluded[index - taken] = updates[index];
        }
    }

    function flaggerOf(bytes32 taskId, IVolquorum.RoundState memory facts, bool inModel)
        private
        view
        returns (address)
    {
        bool flagged = facts.resultFlags >> uint8(kindOf(inModel)) & 1 == 1;
        return flagged ? VOLQUORUM.resultFlag(taskId, kindOf(inModel)).flagger : address(0);
    }

    function kindOf(bool inModel) private pure returns (IVolquorum.Published) {
        return inModel ? IVolquorum.Published.Model : IVolquorum.Published.Aggregate;
    }

    /// @dev The only leaf of a vector of one chunk.
    function pathOf(bytes32 root, uint256 widthBytes) private view returns (bytes memory) {
        PlainTree.Node memory leaf = PlainTree.leaf(vectorOf[root].chunk, widthBytes, 0);
        return abi.encodePacked(leaf.hash, leaf.sum);
    }

    /// @dev The right result of a round, with the base model and the included updates it has now.
    function result(bytes32 taskId, uint32 round) private returns (bytes memory aggregate, bytes memory model) {
        (IVolquorum.Update[] memory updates,) = selection(taskId, round);
        aggregate = new bytes(32);
        if (updates.length > 0) {
            int256[][] memory values = new int256[][](updates.length);
            for (uint256 index = 0; index < updates.length; ++index) {
                values[index] = PlainRules.unpacked(vectorOf[updates[index].updateRoot].chunk, 2);
            }
            RuleLib.Terms memory terms = RuleLib.Terms(IVolquorum.Rule.Median, 0, 0);
            aggregate = PlainRules.packed(PlainRules.aggregate(values, new uint64[](updates.length), terms), 2);
        }
        model = sum(vectorOf[VOLQUORUM.taskState(taskId).modelRoot].chunk, aggregate);
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
        vectorOf[root].chunk = chunk;
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
