// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "./interfaces/IVolquorum.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {Task, TaskLib} from "./libraries/TaskLib.sol";

/// @notice The storage that `Volquorum` and `Disputes` share, and what both do with it.
/// @dev Two contracts, because the code of one alone exceeds what a contract may have.
abstract contract VolquorumBase {
    using PhaseLib for Task;
    using TaskLib for Task;

    mapping(bytes32 taskId => Task task) internal tasks;
    mapping(address account => uint256 amountWei) internal credits;
    // slither-disable-next-line uninitialized-state,constable-states -- `Disputes` alone writes it
    uint256 internal burned;
    // slither-disable-next-line uninitialized-state -- `Volquorum` alone writes it
    mapping(bytes32 seal => uint256 blockNumber) internal seals;

    // ------------------------------------------------------------------------------------------------- look-up

    function _task(bytes32 taskId) internal view returns (Task storage task) {
        task = tasks[taskId];
        if (!task.exists()) revert IVolquorum.UnknownTask(taskId);
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

    function _takeExactly(uint256 requiredWei) internal view {
        if (msg.value != requiredWei) revert IVolquorum.WrongValue(msg.value, requiredWei);
    }

    // ------------------------------------------------------------------------------------------------- deposits

    /// @dev Credits an unanswered flag's deposit. Invariant: a deposit is credited once, for then nobody owns it.
    function _releaseDeposit(IVolquorum.Flag storage flag, address to, uint96 depositWei) internal {
        flag.flagger = address(0);
        credits[to] += depositWei;
    }

    /// @dev Credits the deposits of a published result's unanswered flags to their flaggers.
    function _returnResultDeposits(Task storage task, IVolquorum.RoundState storage facts) internal {
        if (facts.resultFlags == 0) return;
        for (uint8 index = 0; index <= uint8(type(IVolquorum.Published).max); ++index) {
            if (!_isFlagged(facts, IVolquorum.Published(index))) continue;
            IVolquorum.Flag storage flag = task.resultFlagOf[IVolquorum.Published(index)];
            address flagger = flag.flagger;
            if (flagger != address(0)) _releaseDeposit(flag, flagger, task.flagWei);
        }
    }

    function _isFlagged(IVolquorum.RoundState storage facts, IVolquorum.Published what) internal view returns (bool) {
        return facts.resultFlags >> uint8(what) & 1 == 1;
    }
}
