// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Volquorum} from "../src/Volquorum.sol";
import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {CommitmentLib} from "../src/libraries/CommitmentLib.sol";

/// @notice Commitments, task ids, running hashes, seals and parameter ranges against the vectors that Python passes too.
contract CommitmentTest is Test {
    function testVectorsOfCommitments() public {
        string memory json = vm.readFile("tests/vectors/commitment.json");
        bytes32[] memory expected = vm.parseJsonBytes32Array(json, ".commitment");
        assertGt(expected.length, 0, "no vectors");
        for (uint256 row = 0; row < expected.length; ++row) {
            vm.chainId(vm.parseJsonUintArray(json, ".chainId")[row]);
            CommitmentHarness harness = CommitmentHarness(
                placed(vm.parseJsonAddressArray(json, ".contract")[row], type(CommitmentHarness).runtimeCode)
            );
            bytes32 full = harness.commitment(
                vm.parseJsonBytes32Array(json, ".taskId")[row],
                uint32(vm.parseJsonUintArray(json, ".round")[row]),
                vm.parseJsonBytes32Array(json, ".baseModelRoot")[row],
                vm.parseJsonAddressArray(json, ".participant")[row],
                vm.parseJsonBytes32Array(json, ".updateRoot")[row],
                uint64(bytes8(vm.parseJsonBytesArray(json, ".squaredNorm")[row])),
                vm.parseJsonBytes32Array(json, ".salt")[row]
            );
            assertEq(full, expected[row], "commitment");
            assertEq(CommitmentLib.stored(full), bytes28(vm.parseJsonBytesArray(json, ".stored")[row]), "stored bits");
        }
    }

    function testVectorsOfUpdatesHashes() public view {
        string memory json = vm.readFile("tests/vectors/updates_hash.json");
        bytes32[] memory expected = vm.parseJsonBytes32Array(json, ".updatesHash");
        assertGt(expected.length, 0, "no vectors");
        for (uint256 row = 0; row < expected.length; ++row) {
            assertEq(
                CommitmentLib.updatesStart(
                    vm.parseJsonBytes32Array(json, ".taskId")[row], uint32(vm.parseJsonUintArray(json, ".round")[row])
                ),
                vm.parseJsonBytes32Array(json, ".start")[row],
                "start"
            );
            assertEq(
                CommitmentLib.updatesStep(
                    vm.parseJsonBytes32Array(json, ".previous")[row],
                    vm.parseJsonAddressArray(json, ".participant")[row],
                    vm.parseJsonBytes32Array(json, ".updateRoot")[row],
                    uint64(vm.parseJsonUintArray(json, ".squaredNorm")[row])
                ),
                expected[row],
                "step"
            );
        }
    }

    function testVectorsOfSeals() public {
        string memory json = vm.readFile("tests/vectors/seal.json");
        bytes32[] memory expected = vm.parseJsonBytes32Array(json, ".seal");
        assertGt(expected.length, 0, "no vectors");
        for (uint256 row = 0; row < expected.length; ++row) {
            vm.chainId(vm.parseJsonUintArray(json, ".chainId")[row]);
            CommitmentHarness harness = CommitmentHarness(
                placed(vm.parseJsonAddressArray(json, ".contract")[row], type(CommitmentHarness).runtimeCode)
            );
            assertEq(
                harness.seal(
                    vm.parseJsonBytes32Array(json, ".taskId")[row],
                    uint32(vm.parseJsonUintArray(json, ".round")[row]),
                    vm.parseJsonAddressArray(json, ".challenger")[row],
                    uint8(vm.parseJsonUintArray(json, ".kind")[row]),
                    uint32(vm.parseJsonUintArray(json, ".chunk")[row]),
                    vm.parseJsonBytes32Array(json, ".subject")[row],
                    vm.parseJsonBytes32Array(json, ".salt")[row]
                ),
                expected[row],
                "seal"
            );
        }
    }

    function testVectorsOfTaskIds() public {
        string memory json = vm.readFile("tests/vectors/task_id.json");
        bytes32[] memory expected = vm.parseJsonBytes32Array(json, ".taskId");
        assertGt(expected.length, 0, "no vectors");
        for (uint256 row = 0; row < expected.length; ++row) {
            vm.chainId(vm.parseJsonUintArray(json, ".chainId")[row]);
            Volquorum volquorum =
                Volquorum(placed(vm.parseJsonAddressArray(json, ".contract")[row], type(Volquorum).runtimeCode));
            bytes memory params = vm.parseJsonBytesArray(json, ".params")[row];
            assertEq(
                volquorum.taskIdOf(
                    vm.parseJsonAddressArray(json, ".sponsor")[row], abi.decode(params, (IVolquorum.TaskParams))
                ),
                expected[row],
                "task id"
            );
        }
    }

    function testVectorsOfFalseParameters() public {
        string memory json = vm.readFile("tests/vectors/invalid/task.json");
        string[] memory fields = vm.parseJsonStringArray(json, ".field");
        assertGt(fields.length, 0, "no vectors");
        Volquorum volquorum = new Volquorum();
        for (uint256 row = 0; row < fields.length; ++row) {
            vm.warp(vm.parseJsonUintArray(json, ".now")[row]);
            bytes memory params = vm.parseJsonBytesArray(json, ".params")[row];
            (bool done, bytes memory answer) =
                address(volquorum).call(abi.encodePacked(IVolquorum.createTask.selector, params));
            assertFalse(done, fields[row]);
            assertEq(bytes4(answer), IVolquorum.InvalidParameter.selector, fields[row]);
            bytes32 named;
            assembly ("memory-safe") {
                named := mload(add(answer, 36))
            }
            assertEq(named, bytes32(bytes(fields[row])), fields[row]);
        }
    }

    function testCommitmentDependsOnEachPart(uint256 part, bytes32 other) public {
        bytes32[6] memory parts =
            [bytes32("task"), bytes32(uint256(1)), "base", bytes32(uint256(2)), "root", bytes32(uint256(3))];
        bytes32 before = commitmentTo(parts, "salt");
        part = bound(part, 0, 8);
        if (part == 6) {
            vm.assume(other != "salt");
            assertNotEq(commitmentTo(parts, other), before);
        } else if (part == 7) {
            vm.chainId(bound(uint256(other), 31_338, type(uint64).max - 1));
            assertNotEq(commitmentTo(parts, "salt"), before);
        } else if (part == 8) {
            CommitmentHarness harness = new CommitmentHarness();
            assertNotEq(harness.commitment("task", 1, "base", address(2), "root", 3, "salt"), before);
        } else {
            if (part == 1) other = bytes32(uint256(uint32(uint256(other))));
            if (part == 3) other = bytes32(uint256(uint160(uint256(other))));
            if (part == 5) other = bytes32(uint256(uint64(uint256(other))));
            vm.assume(other != parts[part]);
            parts[part] = other;
            assertNotEq(commitmentTo(parts, "salt"), before);
        }
    }

    function commitmentTo(bytes32[6] memory parts, bytes32 salt) private view returns (bytes32) {
        return CommitmentLib.commitment(
            parts[0],
            uint32(uint256(parts[1])),
            parts[2],
            address(uint160(uint256(parts[3]))),
            parts[4],
            uint64(uint256(parts[5])),
            salt
        );
    }

    function placed(address where, bytes memory code) private returns (address) {
        vm.etch(where, code);
        return where;
    }
}

contract CommitmentHarness {
    function commitment(
        bytes32 task,
        uint32 round,
        bytes32 baseModelRoot,
        address participant,
        bytes32 updateRoot,
        uint64 squaredNorm,
        bytes32 salt
    ) external view returns (bytes32) {
        return CommitmentLib.commitment(task, round, baseModelRoot, participant, updateRoot, squaredNorm, salt);
    }

    function seal(
        bytes32 task,
        uint32 round,
        address challenger,
        uint8 kind,
        uint32 chunk,
        bytes32 subject,
        bytes32 salt
    ) external view returns (bytes32) {
        return CommitmentLib.seal(CommitmentLib.Claim(task, round, kind, chunk, subject, salt), challenger);
    }
}
