// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "./Fixture.sol";
import {Handler} from "./Handler.sol";
import {PlainToken} from "./tokens/PlainToken.sol";
import {ReenteringToken} from "./tokens/ReenteringToken.sol";

/// @notice What holds in every reachable state. More invariants are checked inside the handler, after each call: which
/// calls succeed, that none but a proof, a slash, more votes or the answer to a flag changes what anybody is worth, that no
/// phase goes backwards but by a refutation, which updates are included, and that the tolerated liars outvote nobody.
abstract contract WhatHolds is Fixture {
    uint256 private constant CURRENCIES = 3;

    Handler internal handler;

    function setUp() public virtual override {
        super.setUp();
        handler = new Handler(volquorum, address(new PlainToken()), address(new ReenteringToken()));
    }

    /// @dev What the contract has is what lies in tasks, what it owes, and what burned; and that, with the awards, is all
    /// that was ever slashed.
    function checkBooks() internal view {
        for (uint256 currency = 0; currency < CURRENCIES; ++currency) {
            uint256 burnedWei = volquorum.burnedOf(handler.currencies(currency));
            uint256 owedWei = burnedWei;
            for (uint256 who = 0; who < handler.accountCount(); ++who) {
                owedWei += handler.worth(currency, who) - handler.purse(currency, who);
            }
            assertEq(handler.balanceOf(currency), owedWei, "books");
            assertEq(handler.slashedWei(currency), burnedWei + handler.awardedWei(currency), "slashed");
        }
    }

    function checkThoroughly() internal {
        for (uint256 index = 0; index < handler.taskCount(); ++index) {
            handler.checkSeats(handler.tasks(index));
        }
        handler.checkEverything();
        checkTimeAloneGivesEverybodyEverythingBack();
    }

    /// @dev And but for what burned nothing stays behind.
    function checkTimeAloneGivesEverybodyEverythingBack() private {
        uint256 snapshot = vm.snapshotState();
        handler.unwind();
        for (uint256 currency = 0; currency < CURRENCIES; ++currency) {
            uint256 burnedWei = volquorum.burnedOf(handler.currencies(currency));
            assertEq(handler.balanceOf(currency), burnedWei, "something stayed behind");
        }
        vm.revertToStateAndDelete(snapshot);
    }
}

/// @notice Sequences of calls that forge draws. It plays those of one contract one after the other and those of two side by
/// side, so there are two, each with half of the runs.
abstract contract DrawnSequences is WhatHolds {
    // The dearer checks are made once in so many states.
    uint256 private constant SELDOM = 32;
    uint256 private constant CALLS = 4;

    uint256 private immutable TURN;

    /// @dev From one seed forge draws the same places of the list of calls; a list turned by `turn` makes others of them.
    constructor(uint256 turn) {
        TURN = turn;
    }

    function setUp() public override {
        super.setUp();
        targetContract(address(handler));
        bytes4[CALLS] memory calls =
            [Handler.anyCall.selector, Handler.fittingCall.selector, Handler.playRound.selector, Handler.walk.selector];
        bytes4[] memory turned = new bytes4[](CALLS);
        for (uint256 index = 0; index < CALLS; ++index) {
            turned[index] = calls[(index + TURN) % CALLS];
        }
        targetSelector(FuzzSelector(address(handler), turned));
    }

    /// @dev One invariant, because forge plays the same calls for each.
    function invariantEverythingHolds() public {
        checkBooks();
        if (uint256(keccak256(abi.encode(block.timestamp, handler.balanceOf(0)))) % SELDOM == 0) checkThoroughly();
    }

    function afterInvariant() public {
        checkThoroughly();
    }
}

contract InvariantsTest is DrawnSequences(0) {}

contract TurnedInvariantsTest is DrawnSequences(2) {}

/// @notice No invariant holds because nothing happens.
contract ReachTest is WhatHolds {
    function testDrawnCallsReachEverything() public {
        string[43] memory names = [
            "create",
            "end",
            "close",
            "join",
            "restore",
            "leave",
            "slashWithheld",
            "equivocate",
            "open",
            "draw",
            "commit",
            "commitBatch",
            "withheld found",
            "reveal",
            "revealBatch",
            "finalise",
            "void",
            "publish",
            "flagUpdate",
            "postUpdate",
            "reclaim",
            "flagResult",
            "postResult",
            "refuteUnavailable",
            "refuteNorm",
            "refuteAggregate",
            "refuteModel",
            "refuteProduct",
            "refuteChoice",
            "lastRefutation",
            "vote",
            "relayVotes",
            "passed over",
            "refuteOutvoted",
            "void for want of votes",
            "seal",
            "claimAward",
            "commitScores",
            "revealScores",
            "distribute",
            "claim",
            "withdraw",
            "reentered"
        ];
        uint256[43] memory reached;
        vm.pauseGasMetering();
        for (uint256 run = 0; run < 20; ++run) {
            setUp();
            for (uint256 step = 0; step < 60; ++step) {
                drawnCall(run, step);
            }
            for (uint256 index = 0; index < names.length; ++index) {
                reached[index] += handler.done(names[index]);
            }
            checkBooks();
            checkThoroughly();
        }
        for (uint256 index = 0; index < names.length; ++index) {
            assertGt(reached[index], 0, names[index]);
        }
    }

    function drawnCall(uint256 run, uint256 step) private {
        uint256 seed = uint256(keccak256(abi.encode(run, step)));
        (uint256 second, uint256 third) =
            (uint256(keccak256(abi.encode(seed, 2))), uint256(keccak256(abi.encode(seed, 3))));
        if (step % 4 == 0) handler.playRound(seed, second, third);
        else if (step % 4 == 1) handler.fittingCall(seed, second, third, seed >> 7);
        else if (step % 4 == 2) handler.anyCall(seed, second, third, seed >> 7);
        else handler.walk(seed, second % 2 == 0);
    }
}
