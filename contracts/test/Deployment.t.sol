// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Availability} from "../src/Availability.sol";
import {Challenges} from "../src/Challenges.sol";
import {Members} from "../src/Members.sol";
import {Volquorum} from "../src/Volquorum.sol";
import {Votes} from "../src/Votes.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";

/// @notice The five contracts: what each has, that each fits where it must, and that the modules alone hold nothing.
contract DeploymentTest is Fixture {
    // Long enough for the arguments of any call; all zero, so that every offset, length and number is.
    uint256 private constant ARGUMENT_BYTES = 2048;

    // ------------------------------------------------------------------------------------------------- the code

    function testCodesFitTheirLimits() public view {
        address[5] memory contracts = [address(volquorum), members, availability, challenges, votesModule];
        for (uint256 index = 0; index < 5; ++index) {
            assertLe(contracts[index].code.length, 24_576, "EIP-170");
        }
        assertLe(type(Volquorum).creationCode.length, 49_152, "EIP-3860");
        assertLe(type(Members).creationCode.length, 49_152, "EIP-3860");
        assertLe(type(Availability).creationCode.length, 49_152, "EIP-3860");
        assertLe(type(Challenges).creationCode.length, 49_152, "EIP-3860");
        assertLe(type(Votes).creationCode.length, 49_152, "EIP-3860");
    }

    function testEachContractIsCreatedByOneTransaction() public {
        uint256 before = gasleft();
        new Members();
        checkCreation(before - gasleft(), type(Members).creationCode.length);
        before = gasleft();
        new Availability();
        checkCreation(before - gasleft(), type(Availability).creationCode.length);
        before = gasleft();
        new Challenges();
        checkCreation(before - gasleft(), type(Challenges).creationCode.length);
        before = gasleft();
        new Votes();
        checkCreation(before - gasleft(), type(Votes).creationCode.length);
        before = gasleft();
        new Volquorum(members, availability, challenges, votesModule);
        checkCreation(before - gasleft(), type(Volquorum).creationCode.length);
    }

    /// @dev Whoever connects compares the code and takes the modules' addresses from where they are.
    function testVolquorumsCodeDiffersByTheModulesAddressesAlone() public {
        address[4] memory modules = [members, availability, challenges, votesModule];
        address[4] memory others =
            [makeAddr("members"), makeAddr("availability"), makeAddr("challenges"), makeAddr("votes")];
        bytes memory code = address(volquorum).code;
        bytes memory other = address(new Volquorum(others[0], others[1], others[2], others[3])).code;
        bytes memory plain = address(new Volquorum(address(0), address(0), address(0), address(0))).code;
        assertEq(code.length, plain.length);
        assertEq(other.length, plain.length);
        uint256[4] memory places;
        for (uint256 index = 0; index < plain.length; ++index) {
            if (code[index] == plain[index] && other[index] == plain[index]) continue;
            // An address, whose first byte differs, lies behind twelve zeros.
            bytes32 word = wordAt(code, index - 12);
            uint256 module = 0;
            while (module < 3 && word != asWord(modules[module])) ++module;
            assertEq(word, asWord(modules[module]), "another difference");
            assertEq(wordAt(other, index - 12), asWord(others[module]));
            assertEq(wordAt(plain, index - 12), 0);
            ++places[module];
            index += 19;
        }
        for (uint256 module = 0; module < 4; ++module) {
            assertGt(places[module], 0, "a module has no place");
        }
    }

    // ------------------------------------------------------------------------------------------ what goes where

    /// @dev Calls of modules that say who they are, and the modules themselves, with every call of the interface.
    function testEveryCallReachesTheOnlyModuleThatHasIt() public {
        address[4] memory modules = [members, availability, challenges, votesModule];
        address marked = address(
            new Volquorum(
                address(new Marked("members")),
                address(new Marked("availability")),
                address(new Marked("challenges")),
                address(new Marked("votes"))
            )
        );
        bytes4[] memory selectors = allSelectors();
        for (uint256 index = 0; index < selectors.length; ++index) {
            bytes memory data = abi.encodePacked(selectors[index], new bytes(ARGUMENT_BYTES));
            (bool done, bytes memory reason) = marked.call(data);
            uint256 place = done ? 4 : placeOf(reason);
            for (uint256 module = 0; module < 4; ++module) {
                assertEq(has(modules[module], data), module == place, vm.toString(selectors[index]));
            }
            assertTrue(has(address(volquorum), data), vm.toString(selectors[index]));
        }
    }

    function testSelectorsAreThoseOfTheInterface() public pure {
        bytes4[] memory selectors = allSelectors();
        bytes4 all;
        for (uint256 index = 0; index < selectors.length; ++index) {
            for (uint256 other = 0; other < index; ++other) {
                assertNotEq(selectors[other], selectors[index], "twice");
            }
            all ^= selectors[index];
        }
        assertEq(all, type(IVolquorum).interfaceId, "a call is missing");
    }

    function testWhatNoModuleHasIsRefused(bytes4 selector, bytes calldata arguments, uint96 valueWei) public {
        bytes4[] memory selectors = allSelectors();
        for (uint256 index = 0; index < selectors.length; ++index) {
            vm.assume(selector != selectors[index]);
        }
        vm.deal(address(this), valueWei);
        (bool done, bytes memory reason) =
            address(volquorum).call{value: valueWei}(abi.encodePacked(selector, arguments));
        assertFalse(done);
        assertEq(reason.length, 0);
    }

    function testMoneyAloneIsRefused(uint96 valueWei) public {
        vm.deal(address(this), valueWei);
        (bool done,) = address(volquorum).call{value: valueWei}("");
        assertFalse(done);
    }

    // -------------------------------------------------------------------------------- modules that are called directly

    /// @dev With what they ask for, with nothing and with too much. A seal is all that a module can store: of no use to
    /// anybody, since no challenge comes to it.
    function testCalledDirectlyModulesKeepNothing() public {
        bytes32 taskId = playedTask();
        bytes[] memory calls = callsOf(taskId);
        address[4] memory modules = [members, availability, challenges, votesModule];
        uint256[5] memory amountsWei = [uint256(0), 0.01 ether, 1 ether, 2.8 ether, 5 ether];
        vm.deal(address(this), 5 ether);
        for (uint256 index = 0; index < 5 * calls.length; ++index) {
            for (uint256 module = 0; module < 4; ++module) {
                vm.record();
                (bool done,) = modules[module].call{value: amountsWei[index % 5]}(calls[index / 5]);
                (, bytes32[] memory writes) = vm.accesses(modules[module]);
                assertFalse(done);
                assertEq(writes.length, 0, "kept");
                assertEq(modules[module].balance, 0, "took");
            }
        }
    }

    function testCalledDirectlyModulesKnowNoTask() public {
        bytes[] memory calls = callsOf(playedTask());
        address[4] memory modules = [members, availability, challenges, votesModule];
        for (uint256 index = 0; index < calls.length; ++index) {
            uint256 found;
            for (uint256 module = 0; module < 4; ++module) {
                (bool done, bytes memory reason) = modules[module].call(calls[index]);
                assertFalse(done);
                if (reason.length == 0) continue;
                ++found;
                assertEq(bytes4(reason), IVolquorum.UnknownTask.selector, vm.toString(bytes4(calls[index])));
            }
            assertEq(found, 1, vm.toString(bytes4(calls[index])));
        }
    }

    function testCallsThatTakeNoMoneyRefuseIt() public {
        bytes[] memory calls = callsOf(playedTask());
        for (uint256 index = 0; index < calls.length; ++index) {
            bytes4 selector = bytes4(calls[index]);
            if (
                selector == IVolquorum.createTask.selector || selector == IVolquorum.join.selector
                    || selector == IVolquorum.restore.selector || selector == IVolquorum.flagUpdate.selector
                    || selector == IVolquorum.flagResult.selector || selector == IVolquorum.flagTable.selector
            ) continue;
            vm.prank(stranger);
            (bool done, bytes memory reason) = address(volquorum).call{value: 1}(calls[index]);
            assertFalse(done);
            assertEq(reason.length, 0, vm.toString(selector));
        }
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function checkCreation(uint256 gas, uint256 creationBytes) private pure {
        assertLe(gas + 16 * creationBytes + 53_000, 16_777_216, "EIP-7825");
    }

    /// @dev A function that is not there is refused without a word. None of the others gives neither word nor result.
    function has(address target, bytes memory data) private returns (bool) {
        (bool done, bytes memory reason) = target.call(data);
        return done || reason.length != 0;
    }

    function placeOf(bytes memory reason) private pure returns (uint256) {
        string[4] memory names = ["members", "availability", "challenges", "votes"];
        for (uint256 place = 0; place < 4; ++place) {
            if (keccak256(reason) == keccak256(bytes(names[place]))) return place;
        }
        return 4;
    }

    function wordAt(bytes memory code, uint256 index) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(code, 32), index))
        }
    }

    function asWord(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    /// @dev A task in Availability, of which the modules must not know.
    function playedTask() private returns (bytes32 taskId) {
        taskId = createOrdinary();
        joinAll(taskId, 3);
        openToAvailability(taskId, 3);
    }

    /// @dev Every call that one of the modules has, but for the seal.
    function callsOf(bytes32 taskId) private view returns (bytes[] memory calls) {
        bytes32 salt = "salt";
        IVolquorum.Update[] memory updates = updatesOf(taskId, 1, 3);
        IVolquorum.SignedCommit[] memory commits = signedAll(taskId, 1, 2);
        IVolquorum.Published what = IVolquorum.Published.Model;
        calls = new bytes[](28);
        calls[0] = abi.encodeCall(IVolquorum.createTask, (ordinaryParams()));
        calls[1] = abi.encodeCall(IVolquorum.endTask, (taskId));
        calls[2] = abi.encodeCall(IVolquorum.closeTask, (taskId));
        calls[3] = abi.encodeCall(IVolquorum.join, (taskId, 1));
        calls[4] = abi.encodeCall(IVolquorum.leave, (taskId));
        calls[5] = abi.encodeCall(IVolquorum.restore, (taskId));
        calls[6] = abi.encodeCall(IVolquorum.slashWithheld, (taskId, desk(0)));
        calls[7] = abi.encodeCall(IVolquorum.slashEquivocation, (taskId, 1, commits[0], commits[1]));
        calls[8] = abi.encodeCall(IVolquorum.commitScores, (taskId, 1, salt));
        calls[9] = abi.encodeCall(IVolquorum.revealScores, (taskId, 1, "", salt));
        calls[10] = abi.encodeCall(IVolquorum.distribute, (taskId, 1, updates, ""));
        calls[11] = abi.encodeCall(IVolquorum.claim, (taskId, desk(0)));
        calls[12] = abi.encodeCall(IVolquorum.postUpdate, (taskId, 1, desk(0), "", ""));
        calls[13] = abi.encodeCall(IVolquorum.flagUpdate, (taskId, 1, updates, 0));
        calls[14] = abi.encodeCall(IVolquorum.reclaimDeposit, (taskId, desk(0)));
        calls[15] = abi.encodeCall(IVolquorum.flagResult, (taskId, 1, what));
        calls[16] = abi.encodeCall(IVolquorum.postResult, (taskId, 1, what, "", ""));
        calls[17] = abi.encodeCall(IVolquorum.flagTable, (taskId, 1, salt, salt));
        calls[18] = abi.encodeCall(IVolquorum.refuteUnavailable, (taskId, 1, what));
        calls[19] = abi.encodeCall(IVolquorum.challengeNorm, (taskId, 1, updates, 0, 0, "", salt));
        calls[20] =
            abi.encodeCall(IVolquorum.challengeAggregate, (taskId, 1, new address[](0), updates, 0, "", "", salt));
        calls[21] = abi.encodeCall(IVolquorum.challengeModel, (taskId, 1, 0, "", salt));
        calls[22] = abi.encodeCall(IVolquorum.challengeProduct, (taskId, 1, updates, 0, "", salt, salt));
        calls[23] = abi.encodeCall(IVolquorum.challengeChoice, (taskId, 1, updates, "", salt, salt));
        calls[24] = abi.encodeCall(IVolquorum.vote, (taskId, 1, plain(salt, salt, salt, 0)));
        calls[25] = abi.encodeCall(IVolquorum.refuteOutvoted, (taskId, 1, salt, salt));
        IVolquorum.Result memory result = plain(salt, salt, salt, 0);
        calls[26] = abi.encodeCall(IVolquorum.relayVotes, (taskId, 1, result, signedVotes(taskId, 1, 0, 2, result)));
        calls[27] = abi.encodeCall(IVolquorum.claimAward, (taskId, 1, 0, 0, salt, salt));
    }

    function allSelectors() private pure returns (bytes4[] memory selectors) {
        bytes4[54] memory all = [
            IVolquorum.createTask.selector,
            IVolquorum.endTask.selector,
            IVolquorum.closeTask.selector,
            IVolquorum.join.selector,
            IVolquorum.restore.selector,
            IVolquorum.leave.selector,
            IVolquorum.slashWithheld.selector,
            IVolquorum.slashEquivocation.selector,
            IVolquorum.commitScores.selector,
            IVolquorum.revealScores.selector,
            IVolquorum.distribute.selector,
            IVolquorum.claim.selector,
            IVolquorum.flagUpdate.selector,
            IVolquorum.postUpdate.selector,
            IVolquorum.reclaimDeposit.selector,
            IVolquorum.flagResult.selector,
            IVolquorum.flagTable.selector,
            IVolquorum.postResult.selector,
            IVolquorum.refuteUnavailable.selector,
            IVolquorum.sealChallenge.selector,
            IVolquorum.claimAward.selector,
            IVolquorum.challengeNorm.selector,
            IVolquorum.challengeAggregate.selector,
            IVolquorum.challengeModel.selector,
            IVolquorum.challengeProduct.selector,
            IVolquorum.challengeChoice.selector,
            IVolquorum.vote.selector,
            IVolquorum.relayVotes.selector,
            IVolquorum.refuteOutvoted.selector,
            IVolquorum.votesFor.selector,
            IVolquorum.openRound.selector,
            IVolquorum.drawSeats.selector,
            IVolquorum.commitUpdate.selector,
            IVolquorum.commitUpdates.selector,
            IVolquorum.revealUpdate.selector,
            IVolquorum.revealUpdates.selector,
            IVolquorum.publish.selector,
            IVolquorum.finalise.selector,
            IVolquorum.voidRound.selector,
            IVolquorum.withdraw.selector,
            IVolquorum.creditOf.selector,
            IVolquorum.burnedOf.selector,
            IVolquorum.sealedAt.selector,
            IVolquorum.taskIdOf.selector,
            IVolquorum.taskParams.selector,
            IVolquorum.taskState.selector,
            IVolquorum.roundState.selector,
            IVolquorum.seat.selector,
            IVolquorum.updateFlag.selector,
            IVolquorum.resultFlag.selector,
            IVolquorum.phase.selector,
            IVolquorum.deadlines.selector,
            IVolquorum.mayCommit.selector,
            IVolquorum.commitmentOf.selector
        ];
        selectors = new bytes4[](all.length);
        for (uint256 index = 0; index < all.length; ++index) {
            selectors[index] = all[index];
        }
    }
}

/// @notice Refuses every call with its own name.
contract Marked {
    bytes32 private immutable NAME;
    uint256 private immutable LENGTH;

    constructor(string memory name) {
        (NAME, LENGTH) = (bytes32(bytes(name)), bytes(name).length);
    }

    fallback() external payable {
        (bytes32 name, uint256 length) = (NAME, LENGTH);
        assembly {
            mstore(0, name)
            revert(0, length)
        }
    }
}
