// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {CommitmentLib} from "./libraries/CommitmentLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {Task, TaskLib, Unclaimed} from "./libraries/TaskLib.sol";

/// @notice The storage that `Volquorum` and its modules share, and what more than one of them does with it.
/// @dev Several contracts, because the code of one alone exceeds what a contract may have.
abstract contract VolquorumBase {
    using PhaseLib for Task;
    using PhaseLib for IVolquorum.Phase;
    using PhaseLib for IVolquorum.RoundState;
    using TaskLib for Task;

    // `activeFrom` of a seat that lost a slice of its stake.
    uint32 internal constant SUSPENDED = type(uint32).max;
    address internal constant ETH = address(0);

    mapping(bytes32 taskId => Task task) internal tasks;
    mapping(address currency => mapping(address account => uint256 amountWei)) internal credits;
    mapping(address currency => uint256 amountWei) internal burned;
    // slither-disable-next-line uninitialized-state,unused-state -- `Challenges` alone writes it
    mapping(bytes32 seal => uint256 blockNumber) internal seals;

    // ------------------------------------------------------------------------------------------------- look-up

    function _task(bytes32 taskId) internal view returns (Task storage task) {
        task = tasks[taskId];
        if (!task.exists()) revert IVolquorum.UnknownTask(taskId);
    }

    function _openTask(bytes32 taskId) internal view returns (Task storage task) {
        task = _task(taskId);
        if (task.closed) revert IVolquorum.TaskIsClosed(taskId);
    }

    function _latest(bytes32 taskId, uint32 round)
        internal
        view
        returns (Task storage task, IVolquorum.RoundState storage facts)
    {
        task = _task(taskId);
        if (round != task.round) revert IVolquorum.WrongRound(taskId, round, task.round);
        facts = task.roundOf[round];
    }

    function _inPhase(bytes32 taskId, uint32 round, IVolquorum.Phase required)
        internal
        view
        returns (Task storage task, IVolquorum.RoundState storage facts)
    {
        (task, facts) = _latest(taskId, round);
        IVolquorum.Phase current = task.phase(facts, block.timestamp);
        if (current != required) revert IVolquorum.WrongPhase(taskId, round, current, required);
    }

    /// @dev A round whose included updates are fixed and whose result is not.
    function _undecided(bytes32 taskId, uint32 round)
        internal
        view
        returns (Task storage task, IVolquorum.RoundState storage facts)
    {
        (task, facts) = _latest(taskId, round);
        IVolquorum.Phase current = task.phase(facts, block.timestamp);
        if (current != IVolquorum.Phase.Aggregate && current != IVolquorum.Phase.Challenge) {
            revert IVolquorum.WrongPhase(taskId, round, current, IVolquorum.Phase.Aggregate);
        }
    }

    /// @dev A task without a round has nothing running.
    function _running(IVolquorum.Phase current) internal pure returns (bool) {
        return current != IVolquorum.Phase.None && !current.isEnd();
    }

    // --------------------------------------------------------------------------------------------------- money

    /// @dev Takes what a call must pay. It calls a token, so it comes last; a token that calls back finds the payment
    /// booked, and the exact difference of balances leaves no room for another one meanwhile.
    // slither-disable-next-line msg-value-in-nonpayable -- every module has other payable functions that call it
    function _take(Task storage task, uint256 amountWei) internal {
        address currency = task.currency;
        if (currency == ETH) {
            if (msg.value != amountWei) revert IVolquorum.WrongValue(msg.value, amountWei);
            return;
        }
        if (msg.value != 0) revert IVolquorum.WrongValue(msg.value, 0);
        if (amountWei == 0) return;
        uint256 before = SafeTransferLib.balanceOf(currency, address(this));
        SafeTransferLib.safeTransferFrom(currency, msg.sender, address(this), amountWei);
        uint256 balance = SafeTransferLib.balanceOf(currency, address(this));
        // slither-disable-next-line incorrect-equality -- a token that keeps a part of what it moves is refused
        if (balance != before + amountWei) {
            revert IVolquorum.WrongTransfer(currency, balance < before ? 0 : balance - before, amountWei);
        }
    }

    /// @dev An account that gets nothing is not even looked up.
    function _credit(address currency, address account, uint256 amountWei) internal {
        if (amountWei != 0) credits[currency][account] += amountWei;
    }

    function _burn(address currency, uint256 amountWei) internal {
        if (amountWei != 0) burned[currency] += amountWei;
    }

    // ------------------------------------------------------------------------------------------------- deposits

    /// @dev Credits an unanswered flag's deposit. Invariant: a deposit is credited once, for then nobody owns it.
    function _releaseDeposit(Task storage task, IVolquorum.Flag storage flag, address to) internal {
        flag.flagger = address(0);
        _credit(task.currency, to, task.flagWei);
    }

    /// @dev Credits the deposits of a published result's unanswered flags to their flaggers.
    function _returnResultDeposits(Task storage task, IVolquorum.RoundState storage facts) internal {
        if (facts.resultFlags == 0) return;
        for (uint8 index = 0; index <= uint8(type(IVolquorum.Published).max); ++index) {
            if (!_isFlagged(facts, IVolquorum.Published(index))) continue;
            IVolquorum.Flag storage flag = task.resultFlagOf[IVolquorum.Published(index)];
            address flagger = flag.flagger;
            if (flagger != address(0)) _releaseDeposit(task, flag, flagger);
        }
    }

    function _isFlagged(IVolquorum.RoundState storage facts, IVolquorum.Published what) internal view returns (bool) {
        return facts.resultFlags >> uint8(what) & 1 == 1;
    }

    // --------------------------------------------------------------------------------------------------- seats

    /// @dev Takes a seat out of the number of those that are active, or will be.
    function _retire(Task storage task, IVolquorum.Seat storage theirs) internal {
        uint32 from = theirs.activeFrom;
        if (from == SUSPENDED) return;
        uint32 round = task.round;
        if (from <= round) --task.active;
        else if (from == round + 1) --task.entering;
        else --task.pending;
    }

    /// @dev Whether a seat's latest commitment was not opened and cannot be any more, in a round that had room for it.
    function _withheld(Task storage task, IVolquorum.Seat storage theirs) internal view returns (bool) {
        uint32 round = theirs.committedRound;
        if (theirs.commitment == 0) return false;
        if (round == task.round && task.earlyPhase(block.timestamp) < IVolquorum.Phase.Availability) return false;
        return task.roundOf[round].revealed() < task.cohort;
    }

    /// @dev Takes the slice of a stake and suspends the seat. Invariant: what the seat loses is split between `burned`
    /// and the prover's credit to the last wei. Where there is no slice, nothing is lost and nobody suspended.
    function _slice(
        bytes32 taskId,
        Task storage task,
        address participant,
        IVolquorum.Seat storage theirs,
        address prover,
        IVolquorum.Offence offence
    ) internal {
        uint32 round = theirs.committedRound;
        // Invariant: a seat that committed in a round and has nothing left to open has revealed in it.
        theirs.committedRound = 0;
        theirs.commitment = 0;
        if (offence == IVolquorum.Offence.Withheld) theirs.missed = _oneMore(theirs.missed);
        uint96 stakeWei = theirs.stakeWei;
        uint96 takenWei = task.sliceWei;
        // A stake is at least a slice, unless an earlier one was taken from a suspended seat.
        if (takenWei > stakeWei) takenWei = stakeWei;
        if (takenWei == 0) return;

        _retire(task, theirs);
        theirs.stakeWei = stakeWei - takenWei;
        theirs.activeFrom = SUSPENDED;
        theirs.slashed = _oneMore(theirs.slashed);
        uint256 awardWei = prover == address(0) ? 0 : takenWei / 2;
        _burn(task.currency, takenWei - awardWei);
        _credit(task.currency, prover, awardWei);
        emit IVolquorum.SeatSuspended(taskId, round, participant, prover, offence, awardWei, takenWei - awardWei);
    }

    function _oneMore(uint8 count) internal pure returns (uint8) {
        return count == type(uint8).max ? count : count + 1;
    }

    // ---------------------------------------------------------------------------------------------- settlement

    /// @dev Settles the latest round if it has ended and nobody did; returns its phase.
    function _settleEnded(bytes32 taskId, Task storage task) internal returns (IVolquorum.Phase current) {
        IVolquorum.RoundState storage facts = task.roundOf[task.round];
        current = task.phase(facts, block.timestamp);
        if (current.isEnd() && !facts.settled) _settle(taskId, task, facts, current);
    }

    /// @dev Invariant: each round is settled at most once, and takes at most `rewardWei + publisherWei` of the task's
    /// funds, of which there are `rounds` times as much. A final round's reward waits, in nobody's name, to be
    /// distributed. What a void one published, for which too few voted, costs nobody anything.
    function _settle(bytes32 taskId, Task storage task, IVolquorum.RoundState storage facts, IVolquorum.Phase ended)
        internal
    {
        facts.settled = true;
        // slither-disable-next-line incorrect-equality -- a phase, not an amount
        if (ended == IVolquorum.Phase.Void) {
            emit IVolquorum.RoundVoided(taskId, task.round, uint8(facts.revealed()));
            if (facts.publishedAt != 0) _settleResult(task, facts, 0);
            return;
        }
        uint96 publisherWei = task.publisherWei;
        task.fundsWei -= task.rewardWei + publisherWei;
        task.modelRoot = facts.modelRoot;
        _settleResult(task, facts, publisherWei);
        emit IVolquorum.RoundFinalised(taskId, task.round, facts.modelRoot);
    }

    /// @dev Credits what a published result that was not refuted holds of others' money, and what it earned.
    function _settleResult(Task storage task, IVolquorum.RoundState storage facts, uint96 earnedWei) private {
        _returnResultDeposits(task, facts);
        _credit(task.currency, facts.publisher, uint256(facts.bondWei) + earnedWei);
    }

    // ------------------------------------------------------------- what modules beside `Members` look up and do

    /// @dev A round in its challenge phase, of a task that has a table.
    function _withTable(bytes32 taskId, uint32 round)
        internal
        view
        returns (Task storage task, IVolquorum.RoundState storage facts)
    {
        (task, facts) = _inPhase(taskId, round, IVolquorum.Phase.Challenge);
        if (task.byVotes) revert IVolquorum.ByVotes(taskId);
        if (!task.hasTable()) revert IVolquorum.NoTable(taskId);
    }

    /// @dev The update of this number, if `updates` are the revealed ones.
    function _revealed(
        bytes32 taskId,
        uint32 round,
        IVolquorum.RoundState storage facts,
        IVolquorum.Update[] calldata updates,
        uint256 index
    ) internal view returns (IVolquorum.Update calldata) {
        CommitmentLib.checkUpdates(facts, taskId, round, updates);
        if (index >= updates.length) revert IVolquorum.UnknownUpdate(index, updates.length);
        return updates[index];
    }

    /// @dev Reverts unless a result is of the included updates, complete, and with a table exactly if the task has one.
    function _checkResult(
        bytes32 taskId,
        uint32 round,
        IVolquorum.RoundState storage facts,
        IVolquorum.Result calldata result,
        bool hasTable
    ) internal view {
        if (result.updatesHash != facts.updatesHash) {
            revert IVolquorum.UpdatesMismatch(taskId, round, result.updatesHash, facts.updatesHash);
        }
        if (result.unavailable != facts.unavailable) {
            revert IVolquorum.ExcludedMismatch(taskId, round, result.unavailable, facts.unavailable);
        }
        (bytes32 tableRoot, bytes32 choiceHash) = (result.tableRoot, result.choiceHash);
        if (result.aggregateRoot == 0 || result.modelRoot == 0) revert IVolquorum.EmptyRoot();
        if (hasTable && (tableRoot == 0 || choiceHash == 0)) revert IVolquorum.EmptyRoot();
        if (!hasTable && tableRoot | choiceHash != 0) revert IVolquorum.EvidenceMismatch(tableRoot, choiceHash);
    }

    /// @dev Half of what a proof takes, if its sender sealed it in an earlier block: a proof that was copied on its way
    /// into a block earns nothing, and what it does not earn is kept for who sealed it.
    function _award(Task storage task, CommitmentLib.Claim memory claim, uint256 takenWei)
        internal
        returns (uint256 awardWei)
    {
        awardWei = takenWei / 2;
        if (awardWei == 0 || _sealedAt(claim) < block.number) return awardWei;
        task.unclaimedOf[CommitmentLib.claimKey(claim)].push(Unclaimed(uint96(awardWei), uint64(block.number)));
        return 0;
    }

    /// @dev The block in which the caller sealed this challenge; one that never comes if he did not.
    function _sealedAt(CommitmentLib.Claim memory claim) internal view returns (uint256) {
        uint256 number = seals[CommitmentLib.seal(claim, msg.sender)];
        return number != 0 ? number : type(uint256).max;
    }

    function _bit(uint256 index) internal pure returns (uint64) {
        return uint64(1 << index);
    }

    /// @dev Unpublishes the result of a round in its challenge phase. Invariant: what the round held of a bond is split
    /// between `burned` and the challenger's credit to the last wei.
    function _refute(
        Task storage task,
        IVolquorum.RoundState storage facts,
        CommitmentLib.Claim memory claim,
        IVolquorum.Fault fault,
        address challenger,
        uint256 awardWei
    ) internal {
        address publisher = facts.publisher;
        uint256 lostWei = facts.bondWei - awardWei;
        _returnResultDeposits(task, facts);
        facts.publishedAt = 0;
        facts.restartedAt = uint40(block.timestamp);
        ++facts.refutations;
        facts.resultFlags = 0;
        facts.votes = 0;
        facts.aggregateRoot = 0;
        facts.modelRoot = 0;
        facts.publisher = address(0);
        facts.bondWei = 0;
        if (task.hasTable()) facts.evidenceHash = 0;
        _burn(task.currency, lostWei);
        _credit(task.currency, challenger, awardWei);
        emit IVolquorum.ResultRefuted(
            claim.taskId, claim.round, publisher, challenger, fault, claim.chunk, awardWei, lostWei
        );
    }
}
