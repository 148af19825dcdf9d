// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "forge-std/interfaces/IERC20.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../src/libraries/PhaseLib.sol";
import {HandlerResults} from "./HandlerResults.sol";

/// @notice What everybody must own, by the rules and by what was done, and what must never change.
/// @dev All that an account could ever take out is its worth. Invariant: nothing but time, a proof, the answer to a flag
/// and a lost slice changes what anybody is worth.
abstract contract HandlerModel is HandlerResults {
    using PhaseLib for IVolquorum.Phase;

    uint256 internal constant ACCOUNTS = 7;
    uint256 internal constant CURRENCIES = 3;
    uint32 private constant SUSPENDED = type(uint32).max;

    /// @dev What the model needs of a task's parameters.
    struct Terms {
        uint256 currency; // its number
        uint256 stakeWei;
        uint256 sliceWei;
        uint256 bondWei;
        uint256 flagWei;
        uint256 rewardWei;
        uint256 publisherWei;
        IVolquorum.RewardRule rewardRule;
        uint256 sampleCap;
        uint256 cohort;
        uint256 sponsor; // number of the account
        bool draws; // has a seed source
        bool flagged; // a result of it was flagged at some time
    }

    /// @dev An account's latest commitment in a task.
    struct Pledge {
        uint32 round;
        bytes32 commitment;
        bool open; // not opened, and not lost
    }

    /// @dev What was just taken from an account, who may have got a part of it, and what both were worth before.
    struct Loss {
        uint256 currency;
        uint256 from;
        uint256 challenger;
        uint256 takenWei;
        uint256 beforeWei;
    }

    struct Watched {
        IVolquorum.Update[] revealed;
        bytes scores; // as `distribute` carries those that were revealed
        uint64 excluded; // bits of the updates that are excluded, by what was done
        uint64 decided; // what they were when that was decided
        IVolquorum.Phase furthest; // phase seen since the latest proof
        bool distributed;
        uint8 refutations;
    }

    IVolquorum public immutable VOLQUORUM;
    bytes32[] public tasks;
    address[] public accounts;
    address[] public currencies;
    mapping(string call => uint256 count) public done;

    mapping(bytes32 taskId => Terms terms) internal termsOf;
    mapping(bytes32 taskId => Recipe recipe) internal recipeOf;
    mapping(bytes32 taskId => mapping(uint256 who => Pledge pledge)) internal pledgeOf;
    mapping(bytes32 taskId => mapping(uint32 round => Watched watched)) internal watchedIn;
    mapping(bytes32 taskId => mapping(uint256 who => bool)) internal everFlagged;
    mapping(uint256 currency => uint256 amountWei) public slashedWei;
    mapping(uint256 currency => uint256 amountWei) public awardedWei;
    // What each account is worth in each currency, by the model.
    uint256[ACCOUNTS][CURRENCIES] internal known;
    Loss[] private losses;
    // Whether a call succeeded since that was checked, and whether it is checked at the end only.
    bool internal changed;
    bool internal unwinding;
    // How much of that lay in each task when it was last looked at.
    mapping(bytes32 taskId => uint256[ACCOUNTS] amountsWei) private inTask;

    constructor(IVolquorum volquorum) {
        VOLQUORUM = volquorum;
    }

    // ------------------------------------------------------------------------------------------------------ worths

    /// @notice What lies in a task for each account.
    function held(bytes32 taskId) public view returns (uint256[ACCOUNTS] memory heldWei) {
        Terms memory terms = termsOf[taskId];
        IVolquorum.TaskState memory state = VOLQUORUM.taskState(taskId);
        heldWei[terms.sponsor] += state.fundsWei;
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            IVolquorum.Seat memory seat = VOLQUORUM.seat(taskId, accounts[who]);
            heldWei[who] += uint256(seat.stakeWei) + seat.rewardWei;
            if (everFlagged[taskId][who]) {
                addDeposit(heldWei, VOLQUORUM.updateFlag(taskId, accounts[who]).flagger, terms.flagWei);
            }
        }
        for (uint8 what = 0; terms.flagged && what < 3; ++what) {
            IVolquorum.Flag memory flag = VOLQUORUM.resultFlag(taskId, IVolquorum.Published(what));
            addDeposit(heldWei, flag.flagger, terms.flagWei);
        }
        for (uint32 round = 1; round <= state.round; ++round) {
            addRound(taskId, round, terms, heldWei);
        }
    }

    /// @dev A bond that is locked, and the money of a final round, wherever it is.
    function addRound(bytes32 taskId, uint32 round, Terms memory terms, uint256[ACCOUNTS] memory heldWei) private view {
        Watched storage watched = watchedIn[taskId][round];
        bool hasNone = watched.furthest == IVolquorum.Phase.Void && !recipeOf[taskId].byVotes;
        if (watched.distributed || hasNone) return;
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        if (facts.publishedAt == 0) return;
        if (!facts.settled) heldWei[numberOf(facts.publisher)] += facts.bondWei;
        if (VOLQUORUM.phase(taskId, round) != IVolquorum.Phase.Final) return;
        if (!facts.settled) {
            heldWei[numberOf(facts.publisher)] += terms.publisherWei;
            heldWei[terms.sponsor] -= terms.rewardWei + terms.publisherWei;
        }
        uint256 restWei = terms.rewardWei;
        uint256[] memory sharesWei = sharesOf(taskId, round);
        for (uint256 index = 0; index < sharesWei.length; ++index) {
            heldWei[numberOf(watched.revealed[index].participant)] += sharesWei[index];
            restWei -= sharesWei[index];
        }
        heldWei[terms.sponsor] += restWei;
    }

    function addDeposit(uint256[ACCOUNTS] memory heldWei, address flagger, uint256 flagWei) private view {
        if (flagger != address(0)) heldWei[numberOf(flagger)] += flagWei;
    }

    /// @dev Purse and credit.
    function loose(uint256 currency, uint256 who) internal view returns (uint256) {
        return purse(currency, who) + VOLQUORUM.creditOf(currencies[currency], accounts[who]);
    }

    function purse(uint256 currency, uint256 who) public view returns (uint256) {
        address token = currencies[currency];
        return token == address(0) ? accounts[who].balance : IERC20(token).balanceOf(accounts[who]);
    }

    /// @notice All that an account could ever take out of a currency.
    function worth(uint256 currency, uint256 who) external view returns (uint256) {
        return known[currency][who];
    }

    /// @notice What the contract has of a currency.
    function balanceOf(uint256 currency) public view returns (uint256) {
        address token = currencies[currency];
        return token == address(0) ? address(VOLQUORUM).balance : IERC20(token).balanceOf(address(VOLQUORUM));
    }

    // ----------------------------------------------------------------------------------------------------- rewards

    /// @dev The shares of a final round by the rule's definition.
    function sharesOf(bytes32 taskId, uint32 round) private view returns (uint256[] memory sharesWei) {
        Terms memory terms = termsOf[taskId];
        uint256[] memory weights = weightsOf(taskId, round, terms);
        uint256 total;
        for (uint256 index = 0; index < weights.length; ++index) {
            total += weights[index];
        }
        sharesWei = new uint256[](weights.length);
        for (uint256 index = 0; total != 0 && index < weights.length; ++index) {
            sharesWei[index] = terms.rewardWei * weights[index] / total;
        }
    }

    function weightsOf(bytes32 taskId, uint32 round, Terms memory terms)
        private
        view
        returns (uint256[] memory weights)
    {
        Watched memory watched = watchedIn[taskId][round];
        weights = new uint256[](watched.revealed.length);
        for (uint256 index = 0; index < weights.length; ++index) {
            if (watched.excluded >> index & 1 == 1) continue;
            weights[index] = 1;
            if (terms.rewardRule == IVolquorum.RewardRule.Samples) {
                uint256 samples = samplesOf(numberOf(watched.revealed[index].participant));
                weights[index] = samples < terms.sampleCap ? samples : terms.sampleCap;
            }
            if (terms.rewardRule == IVolquorum.RewardRule.Scores) weights[index] = scoreWeight(watched, index);
        }
    }

    /// @dev The lower median of what the other included voters gave, if most of the included ones voted.
    function scoreWeight(Watched memory watched, uint256 index) private pure returns (uint256) {
        uint256 count = watched.revealed.length;
        (uint256 voters, uint256 others) = (0, 0);
        uint256[] memory sorted = new uint256[](count);
        for (uint256 start = 0; start < watched.scores.length; start += count + 1) {
            uint256 voter = uint8(watched.scores[start]);
            if (watched.excluded >> voter & 1 == 1) continue;
            ++voters;
            if (voter == index) continue;
            uint256 score = uint8(watched.scores[start + 1 + index]);
            uint256 place = others++;
            for (; place > 0 && sorted[place - 1] > score; --place) {
                sorted[place] = sorted[place - 1];
            }
            sorted[place] = score;
        }
        if (2 * voters <= includedIn(watched)) return 1;
        return others == 0 ? 0 : sorted[(others - 1) / 2];
    }

    function includedIn(Watched memory watched) internal pure returns (uint256 count) {
        for (uint256 index = 0; index < watched.revealed.length; ++index) {
            if (watched.excluded >> index & 1 == 0) ++count;
        }
    }

    function samplesOf(uint256 who) internal pure returns (uint32) {
        return uint32(10 * who + 5);
    }

    // ----------------------------------------------------------------------------------------------------- pledges

    /// @dev Whether an account did not open its commitment in time, in a round with room for it.
    function hasWithheld(bytes32 taskId, uint256 who) public view returns (bool) {
        Pledge memory pledge = pledgeOf[taskId][who];
        if (!pledge.open) return false;
        if (VOLQUORUM.phase(taskId, pledge.round) <= IVolquorum.Phase.Reveal) return false;
        return watchedIn[taskId][pledge.round].revealed.length < termsOf[taskId].cohort;
    }

    /// @dev What a slice takes from a seat now.
    function sliceOf(bytes32 taskId, uint256 who) public view returns (uint256) {
        uint256 stakeWei = VOLQUORUM.seat(taskId, accounts[who]).stakeWei;
        return stakeWei < termsOf[taskId].sliceWei ? stakeWei : termsOf[taskId].sliceWei;
    }

    // ----------------------------------------------------------------------------------------------- what may change

    /// @dev Of what an account lost half goes to who is awarded, the rest to nobody.
    function lose(uint256 currency, uint256 from, uint256 challenger, uint256 takenWei, bool awarded) internal {
        uint256 awardWei = awarded ? takenWei / 2 : 0;
        losses.push(Loss(currency, from, challenger, takenWei, together(known[currency], from, challenger)));
        slashedWei[currency] += takenWei;
        awardedWei[currency] += awardWei;
        known[currency][from] -= takenWei;
        known[currency][challenger] += awardWei;
    }

    function move(uint256 currency, uint256 from, uint256 to, uint256 amountWei) internal {
        known[currency][from] -= amountWei;
        known[currency][to] += amountWei;
    }

    // ----------------------------------------------------------------------------------------------- what is checked

    /// @dev After a call that names one task, or none and one currency. One that was refused has changed nothing.
    function check(bytes32 taskId) internal {
        if (!changed || unwinding) return;
        changed = false;
        inTask[taskId] = held(taskId);
        checkLosses();
        checkWorths(termsOf[taskId].currency);
        watchPhases(taskId);
    }

    /// @dev Invariant: nobody gains by proving something against himself, or against who shares with him: together they
    /// lose half of what was taken at least.
    function checkLosses() private {
        for (uint256 index = 0; index < losses.length; ++index) {
            Loss memory loss = losses[index];
            uint256 leftWei = together(worths(loss.currency), loss.from, loss.challenger);
            assertLe(leftWei + loss.takenWei - loss.takenWei / 2, loss.beforeWei, "somebody gained");
        }
        delete losses;
    }

    function together(uint256[ACCOUNTS] memory worthWei, uint256 one, uint256 other) private pure returns (uint256) {
        return one == other ? worthWei[one] : worthWei[one] + worthWei[other];
    }

    function checkWorths(uint256 currency) internal view {
        uint256[ACCOUNTS] memory worthWei = worths(currency);
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            assertEq(worthWei[who], known[currency][who], "a call moved money");
        }
    }

    /// @dev With what lay in the tasks when that was looked at.
    function worths(uint256 currency) private view returns (uint256[ACCOUNTS] memory worthWei) {
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            worthWei[who] = loose(currency, who);
        }
        for (uint256 index = 0; index < tasks.length; ++index) {
            if (termsOf[tasks[index]].currency != currency) continue;
            for (uint256 who = 0; who < ACCOUNTS; ++who) {
                worthWei[who] += inTask[tasks[index]][who];
            }
        }
    }

    /// @notice Invariant: a call changes nothing of a task that it does not name, nor of another currency.
    function checkEverything() external view {
        for (uint256 index = 0; index < tasks.length; ++index) {
            uint256[ACCOUNTS] memory heldWei = held(tasks[index]);
            for (uint256 who = 0; who < ACCOUNTS; ++who) {
                assertEq(heldWei[who], inTask[tasks[index]][who], "another task's money moved");
            }
        }
        for (uint256 currency = 0; currency < CURRENCIES; ++currency) {
            checkWorths(currency);
        }
    }

    /// @dev What time did is nobody's doing: from here on this is what everybody is worth.
    function note() internal {
        for (uint256 index = 0; index < tasks.length; ++index) {
            watchPhases(tasks[index]);
            inTask[tasks[index]] = held(tasks[index]);
        }
        for (uint256 currency = 0; currency < CURRENCIES; ++currency) {
            known[currency] = worths(currency);
        }
    }

    /// @dev Of one task whose round a call ended.
    function note(bytes32 taskId) internal {
        watchPhases(taskId);
        inTask[taskId] = held(taskId);
        known[termsOf[taskId].currency] = worths(termsOf[taskId].currency);
    }

    /// @dev Invariant: a round's phase never goes backwards without a proof, and an end stays what it is.
    function watchPhases(bytes32 taskId) private {
        uint32 latest = VOLQUORUM.taskState(taskId).round;
        for (uint32 round = 1; round <= latest; ++round) {
            IVolquorum.Phase before = watchedIn[taskId][round].furthest;
            // What ended two rounds ago is looked at when everything is.
            if (before.isEnd() && round + 1 < latest) continue;
            IVolquorum.Phase current = VOLQUORUM.phase(taskId, round);
            assertGe(uint8(current), uint8(before), "a phase went backwards");
            watchSelection(taskId, round, current);
            if (before.isEnd()) assertEq(uint8(current), uint8(before), "an ended round changed");
            else if (current.isEnd()) ++done[current == IVolquorum.Phase.Final ? "ended final" : "ended void"];
            if (recipeOf[taskId].byVotes) watchVotes(taskId, round, current);
            watchedIn[taskId][round].furthest = current;
        }
    }

    /// @dev Invariant: which updates are included is what was flagged, answered and proven, and nothing changes it once
    /// Availability is over; and the revealed ones are those that were.
    function watchSelection(bytes32 taskId, uint32 round, IVolquorum.Phase current) private {
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        Watched storage watched = watchedIn[taskId][round];
        assertEq(facts.unavailable, watched.excluded, "excluded without a reason");
        assertEq(uint8(uint256(facts.updatesHash)), watched.revealed.length, "revealed");
        assertEq(facts.refutations, watched.refutations, "refutations");
        if (watched.furthest > IVolquorum.Phase.Availability) {
            assertEq(facts.unavailable, watched.decided, "the selection changed");
        }
        if (current > IVolquorum.Phase.Availability) watched.decided = facts.unavailable;
    }

    /// @dev Invariant: a round by votes ends with a result exactly if more voted for it than may lie, and no fewer than for
    /// any other; and unless more lied than may it is the right one.
    function watchVotes(bytes32 taskId, uint32 round, IVolquorum.Phase current) private {
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bytes32 result = hashOf(facts.aggregateRoot, facts.modelRoot);
        Ballot storage ballot = ballotIn[taskId][round];
        uint256 votes = facts.publishedAt == 0 ? 0 : ballot.votes[result];
        assertEq(abi.encode(facts.votes, facts.mostVotes), abi.encode(votes, ballot.most), "votes");
        uint256 tolerance = recipeOf[taskId].tolerance;
        if (current == IVolquorum.Phase.Final) {
            assertGt(votes, tolerance, "final without votes");
            assertEq(votes, ballot.most, "final, and outvoted");
            if (ballot.liars <= tolerance) assertEq(result, ballot.right, "a lie is final");
        } else if (current == IVolquorum.Phase.Void && facts.publishedAt != 0) {
            assertTrue(votes <= tolerance || votes < ballot.most, "void with votes");
            if (!watchedIn[taskId][round].furthest.isEnd()) ++done["void for want of votes"];
        }
    }

    /// @notice Invariant: seats are counted right, and pledges are what seats are bound to.
    function checkSeats(bytes32 taskId) external view {
        IVolquorum.TaskState memory state = VOLQUORUM.taskState(taskId);
        (uint256 seats, uint256 active, uint256 entering, uint256 pending) = (0, 0, 0, 0);
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            IVolquorum.Seat memory seat = VOLQUORUM.seat(taskId, accounts[who]);
            Pledge memory pledge = pledgeOf[taskId][who];
            assertEq(seat.commitment != 0, pledge.open, "an open pledge");
            if (pledge.open) assertEq(seat.committedRound, pledge.round, "the round of a pledge");
            if (state.round != 0) {
                assertEq(
                    seat.votedRound == state.round, ballotIn[taskId][state.round].hasVoted[who], "the round of a vote"
                );
            }
            if (seat.activeFrom == 0) {
                assertEq(seat.stakeWei, 0, "a stake without a seat");
                continue;
            }
            ++seats;
            if (seat.activeFrom == SUSPENDED) continue;
            assertEq(seat.stakeWei, termsOf[taskId].stakeWei, "a seat that acts has its whole stake");
            if (seat.activeFrom <= state.round) ++active;
            else if (seat.activeFrom == state.round + 1) ++entering;
            else ++pending;
        }
        assertEq(abi.encode(state.seats, state.active), abi.encode(seats, active), "seats");
        assertEq(abi.encode(state.entering, state.pending), abi.encode(entering, pending), "waiting seats");
        assertEq(state.draws, state.round != 0 && state.draws && termsOf[taskId].draws, "draws");
    }

    // ------------------------------------------------------------------------------------------------------- calls

    function call(string memory name, uint256 who, uint256 valueWei, bytes memory data)
        internal
        returns (bool success)
    {
        vm.prank(accounts[who % ACCOUNTS]);
        (success,) = address(VOLQUORUM).call{value: valueWei}(data);
        if (!success) return false;
        ++done[name];
        changed = true;
    }

    /// @dev A call that pays in a task's currency.
    function pay(string memory name, uint256 who, bytes32 taskId, uint256 amountWei, bytes memory data)
        internal
        returns (bool)
    {
        return call(name, who, termsOf[taskId].currency == 0 ? amountWei : 0, data);
    }

    /// @dev A call that must not change what anybody is worth, whoever makes it.
    function act(string memory name, uint256 who, bytes32 taskId, bytes memory data) internal returns (bool success) {
        success = call(name, who, 0, data);
        check(taskId);
    }

    // ------------------------------------------------------------------------------------------------------ look-up

    function numberOf(address account_) internal view returns (uint256) {
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            if (accounts[who] == account_) return who;
        }
        revert("money of a stranger");
    }

    function keyOf(uint256 who) internal pure returns (uint256) {
        return 0xacc0000 + who;
    }

    function latestOf(bytes32 taskId) internal view returns (uint32) {
        return VOLQUORUM.taskState(taskId).round;
    }

    function taskCount() external view returns (uint256) {
        return tasks.length;
    }

    function accountCount() external pure returns (uint256) {
        return ACCOUNTS;
    }
}
