// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {VolquorumBase} from "../../src/VolquorumBase.sol";
import {IVolquorum} from "../../src/interfaces/IVolquorum.sol";
import {CommitmentLib} from "../../src/libraries/CommitmentLib.sol";
import {Task} from "../../src/libraries/TaskLib.sol";

/// @notice That slices and bonds are split to the last wei, for whatever a seat, a task or a round holds.
contract MoneyChecks is Test, VolquorumBase {
    Task private task;
    IVolquorum.RoundState private round;
    IVolquorum.Seat private seat;

    function check_SliceIsSplitToTheLastWei(
        bytes32 payWord,
        bytes32 seatWord,
        bytes32 boundWord,
        address participant,
        address prover,
        IVolquorum.Offence offence
    ) public {
        setTask(payWord);
        setSeat(seatWord, boundWord);
        IVolquorum.Seat memory before = seat;
        _slice(0, task, participant, seat, prover, offence);
        IVolquorum.Seat memory left = seat;

        uint256 awardWei = credits[task.currency][prover];
        uint256 takenWei = burned[task.currency] + awardWei;
        assert(left.stakeWei + takenWei == before.stakeWei);
        assert(takenWei == (task.sliceWei < before.stakeWei ? task.sliceWei : before.stakeWei));
        assert(awardWei == (prover == address(0) ? 0 : takenWei / 2));
        assert(left.rewardWei == before.rewardWei && left.served == before.served);
        // The commitment is gone either way, and with a slice so is the seat's part in rounds.
        assert(left.committedRound == 0 && left.commitment == 0);
        assert(left.activeFrom == (takenWei == 0 ? before.activeFrom : SUSPENDED));
    }

    function check_CountsOfASliceStopAtTheirTypesEnd(bytes32 payWord, bytes32 seatWord, IVolquorum.Offence offence)
        public
    {
        setTask(payWord);
        setSeat(seatWord, 0);
        IVolquorum.Seat memory before = seat;
        _slice(0, task, address(1), seat, address(2), offence);
        IVolquorum.Seat memory left = seat;

        bool withheld = offence == IVolquorum.Offence.Withheld;
        assert(left.missed == (withheld && before.missed != 255 ? before.missed + 1 : before.missed));
        bool lost = left.stakeWei != before.stakeWei;
        assert(left.slashed == (lost && before.slashed != 255 ? before.slashed + 1 : before.slashed));
    }

    /// @dev A sealed proof earns half of the bond, any other nothing.
    function check_RefutedBondIsSplitToTheLastWei(
        bytes32 payWord,
        bytes32 roundWord,
        uint96 bondWei,
        address challenger,
        bool isSealed
    ) public {
        setTask(payWord);
        IVolquorum.RoundState storage stored = round;
        assembly ("memory-safe") {
            sstore(stored.slot, roundWord)
        }
        vm.assume(round.resultFlags == 0 && round.refutations < 8);
        round.bondWei = bondWei;
        uint8 refutations = round.refutations;
        CommitmentLib.Claim memory claim;
        uint256 halfWei = round.bondWei / 2;
        _refute(task, round, claim, IVolquorum.Fault.Aggregate, challenger, isSealed ? halfWei : 0);

        uint256 awardWei = credits[task.currency][challenger];
        assert(awardWei + burned[task.currency] == bondWei);
        assert(awardWei <= bondWei - awardWei);
        assert(round.bondWei == 0 && round.publishedAt == 0 && round.refutations == refutations + 1);
    }

    /// @dev A void round has published something only if it is void for want of votes.
    function check_VoidRoundReturnsTheBondOfWhatItPublished(
        bytes32 payWord,
        bytes32 fundsWord,
        bytes32 roundWord,
        uint96 bondWei,
        address publisher
    ) public {
        setTask(payWord);
        Task storage stored = task;
        IVolquorum.RoundState storage storedRound = round;
        assembly ("memory-safe") {
            sstore(add(stored.slot, 1), fundsWord)
            sstore(storedRound.slot, roundWord)
        }
        vm.assume(round.resultFlags == 0 && (round.publishedAt != 0 || bondWei == 0));
        (round.bondWei, round.publisher) = (bondWei, publisher);
        uint96 fundsWei = task.fundsWei;
        _settle(0, task, round, IVolquorum.Phase.Void);
        assert(round.settled && credits[task.currency][publisher] == bondWei);
        assert(burned[task.currency] == 0 && task.fundsWei == fundsWei && task.modelRoot == 0);
    }

    function check_DepositOfAFlagIsCreditedOnce(bytes32 payWord, bytes32 flagWord, address flagger, uint8 index)
        public
    {
        setTask(payWord);
        vm.assume(index <= uint8(type(IVolquorum.Published).max) && flagger != address(0));
        Task storage stored = task;
        assembly ("memory-safe") {
            sstore(add(stored.slot, 6), flagWord)
        }
        round.resultFlags = uint8(1 << index);
        task.resultFlagOf[IVolquorum.Published(index)].flagger = flagger;
        _returnResultDeposits(task, round);
        _returnResultDeposits(task, round);
        assert(credits[task.currency][flagger] == task.flagWei);
    }

    /// @dev Currency and slice, and counters that hold the seat.
    function setTask(bytes32 payWord) private {
        Task storage stored = task;
        assembly ("memory-safe") {
            sstore(add(stored.slot, 7), payWord)
        }
        (task.round, task.active, task.entering, task.pending) = (7, 1, 1, 1);
    }

    function setSeat(bytes32 seatWord, bytes32 boundWord) private {
        IVolquorum.Seat storage stored = seat;
        assembly ("memory-safe") {
            sstore(stored.slot, seatWord)
            sstore(add(stored.slot, 1), boundWord)
        }
    }
}
