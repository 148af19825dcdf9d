// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Disputes} from "../src/Disputes.sol";
import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";

/// @notice The two contracts, where they are, and that each fits where it must.
contract DeploymentTest is Fixture {
    function testDisputesAreTheFirstContractThatVolquorumCreated() public view {
        assertEq(disputes(), vm.computeCreateAddress(address(volquorum), 1));
        assertEq(disputes().code, type(Disputes).runtimeCode);
        assertEq(address(volquorum).code, type(Volquorum).runtimeCode);
    }

    function testBothCodesAndTheirCreationFitTheirLimits() public {
        assertLe(type(Volquorum).runtimeCode.length, 24_576, "EIP-170");
        assertLe(type(Disputes).runtimeCode.length, 24_576, "EIP-170");
        assertLe(type(Volquorum).creationCode.length, 49_152, "EIP-3860");
        uint256 before = gasleft();
        new Volquorum();
        uint256 calldataGas = 16 * type(Volquorum).creationCode.length;
        assertLe(before - gasleft() + calldataGas + 53_000, 16_777_216, "EIP-7825");
    }

    function testCalledDirectlyDisputesKnowNoTaskAndTakeNoMoney(bytes32 salt) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.salt = salt;
        bytes32 taskId = create(params);
        joinAll(taskId, 3);
        openToAvailability(taskId, 3);
        IVolquorum.Update[] memory updates = updatesOf(taskId, 1, 3);
        bytes[9] memory calls = [
            abi.encodeCall(IVolquorum.flagUpdate, (taskId, 1, updates, 0)),
            abi.encodeCall(IVolquorum.flagResult, (taskId, 1, IVolquorum.Published.Model)),
            abi.encodeCall(IVolquorum.flagTable, (taskId, 1, salt, salt)),
            abi.encodeCall(IVolquorum.postUpdate, (taskId, 1, desk(0), "", "")),
            abi.encodeCall(IVolquorum.reclaimDeposit, (taskId, desk(0))),
            abi.encodeCall(IVolquorum.refuteUnavailable, (taskId, 1, IVolquorum.Published.Model)),
            abi.encodeCall(IVolquorum.challengeModel, (taskId, 1, 0, "", salt)),
            abi.encodeCall(IVolquorum.challengeProduct, (taskId, 1, updates, 0, "", salt, salt)),
            abi.encodeCall(IVolquorum.challengeChoice, (taskId, 1, "", salt, salt))
        ];
        for (uint256 index = 0; index < calls.length; ++index) {
            (bool done, bytes memory reason) = disputes().call{value: index < 3 ? 0.01 ether : 0}(calls[index]);
            assertFalse(done);
            assertEq(reason, abi.encodeWithSelector(IVolquorum.UnknownTask.selector, taskId));
        }
    }

    function testOnlyFlagsTakeMoney(uint96 amountWei) public {
        amountWei = uint96(bound(amountWei, 1, 1e24));
        bytes32 taskId = createSeated();
        bytes[4] memory calls = [
            abi.encodeCall(IVolquorum.reclaimDeposit, (taskId, desk(0))),
            abi.encodeCall(IVolquorum.postUpdate, (taskId, 1, desk(0), "", "")),
            abi.encodeCall(IVolquorum.sealChallenge, (taskId)),
            abi.encodeCall(IVolquorum.challengeModel, (taskId, 1, 0, "", 0))
        ];
        vm.deal(stranger, amountWei);
        for (uint256 index = 0; index < calls.length; ++index) {
            vm.prank(stranger);
            (bool done, bytes memory reason) = address(volquorum).call{value: amountWei}(calls[index]);
            assertFalse(done);
            assertEq(reason.length, 0);
        }
    }

    function disputes() private view returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"d694", address(volquorum), hex"01")))));
    }
}
