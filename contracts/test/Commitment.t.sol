// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {CommitmentLib} from "../src/libraries/CommitmentLib.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Commitments, signatures, task ids, running hashes, seals and parameter ranges against the vectors that Python
/// passes too.
contract CommitmentTest is Fixture {
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

    function testVectorsOfSignaturesAndScores() public {
        string memory json = vm.readFile("tests/vectors/members.json");
        bytes32[] memory digests = vm.parseJsonBytes32Array(json, ".digest");
        assertGt(digests.length, 0, "no vectors");
        for (uint256 row = 0; row < digests.length; ++row) {
            vm.chainId(vm.parseJsonUintArray(json, ".chainId")[row]);
            CommitmentHarness harness = CommitmentHarness(
                placed(vm.parseJsonAddressArray(json, ".contract")[row], type(CommitmentHarness).runtimeCode)
            );
            checkSignature(json, row, harness, digests[row]);
            checkVote(json, row, harness);
            checkScores(json, row, harness);
        }
    }

    function checkSignature(string memory json, uint256 row, CommitmentHarness harness, bytes32 digest) private view {
        uint256 key = uint256(vm.parseJsonBytes32Array(json, ".key")[row]);
        IVolquorum.SignedCommit memory commit = IVolquorum.SignedCommit(
            vm.parseJsonBytes32Array(json, ".commitment")[row],
            vm.parseJsonBytes32Array(json, ".r")[row],
            vm.parseJsonBytes32Array(json, ".vs")[row]
        );
        (bytes32 r, bytes32 vs) = vm.signCompact(key, digest);
        assertEq(abi.encode(commit.r, commit.vs), abi.encode(r, vs), "signature");
        address participant = vm.parseJsonAddressArray(json, ".participant")[row];
        assertEq(vm.addr(key), participant);
        bytes32 task = vm.parseJsonBytes32Array(json, ".taskId")[row];
        uint32 round = uint32(vm.parseJsonUintArray(json, ".round")[row]);
        assertEq(harness.committer(task, round, commit), participant, "signer");
    }

    function checkVote(string memory json, uint256 row, CommitmentHarness harness) private view {
        IVolquorum.Result memory result = IVolquorum.Result({
            aggregateRoot: vm.parseJsonBytes32Array(json, ".aggregateRoot")[row],
            modelRoot: vm.parseJsonBytes32Array(json, ".modelRoot")[row],
            updatesHash: vm.parseJsonBytes32Array(json, ".updatesHash")[row],
            unavailable: uint64(bytes8(vm.parseJsonBytesArray(json, ".unavailable")[row])),
            tableRoot: 0,
            choiceHash: 0
        });
        bytes32 task = vm.parseJsonBytes32Array(json, ".taskId")[row];
        uint32 round = uint32(vm.parseJsonUintArray(json, ".round")[row]);
        bytes32 digest = harness.voteDigest(task, round, result);
        assertEq(digest, vm.parseJsonBytes32Array(json, ".voteDigest")[row], "vote");
        (bytes32 r, bytes32 vs) = vm.signCompact(uint256(vm.parseJsonBytes32Array(json, ".key")[row]), digest);
        assertEq(vm.parseJsonBytes32Array(json, ".voteR")[row], r, "signature of a vote");
        assertEq(vm.parseJsonBytes32Array(json, ".voteVs")[row], vs, "signature of a vote");
        address participant = vm.parseJsonAddressArray(json, ".participant")[row];
        assertEq(CommitmentLib.signer(digest, r, vs, 0), participant, "voter");
    }

    function checkScores(string memory json, uint256 row, CommitmentHarness harness) private view {
        bytes memory scores = vm.parseJsonBytesArray(json, ".scores")[row];
        address participant = vm.parseJsonAddressArray(json, ".participant")[row];
        bytes32 full = harness.scoresCommitment(
            vm.parseJsonBytes32Array(json, ".taskId")[row],
            uint32(vm.parseJsonUintArray(json, ".round")[row]),
            participant,
            scores,
            vm.parseJsonBytes32Array(json, ".salt")[row]
        );
        assertEq(full, vm.parseJsonBytes32Array(json, ".scoresCommitment")[row], "commitment to scores");
        bytes32 previous = vm.parseJsonBytes32Array(json, ".previous")[row];
        assertEq(
            harness.scoresStep(previous, participant, scores),
            vm.parseJsonBytes32Array(json, ".scoresHash")[row],
            "step of scores"
        );
    }

    function testUpdatesHashCountsItsStepsInItsLastByte(bytes32 task, uint32 round, uint256 count, bytes32 seed)
        public
    {
        count = bound(count, 0, 64);
        IVolquorum.Update[] memory updates = new IVolquorum.Update[](count);
        bytes32 running = CommitmentLib.updatesStart(task, round);
        assertEq(running, withCount(keccak256(abi.encode(keccak256("volquorum.updates.1"), task, round)), 0), "start");
        for (uint256 index = 0; index < count; ++index) {
            seed = keccak256(abi.encode(seed));
            updates[index] = IVolquorum.Update(address(bytes20(seed)), seed, uint64(uint256(seed)));
            bytes32 hash = keccak256(abi.encode(running, updates[index]));
            running = CommitmentLib.updatesStep(
                running, updates[index].participant, updates[index].updateRoot, updates[index].squaredNorm
            );
            assertEq(running, withCount(hash, index + 1), "step");
        }
        assertEq(new CommitmentHarness().updatesHash(task, round, updates), running, "all at once");
    }

    function testScoresHashCountsItsStepsInItsLastByte(address participant, bytes calldata scores) public {
        CommitmentHarness harness = new CommitmentHarness();
        bytes32 running;
        for (uint256 count = 1; count <= 64; ++count) {
            bytes32 hash = keccak256(abi.encode(running, participant, keccak256(scores)));
            running = harness.scoresStep(running, participant, scores);
            assertEq(running, withCount(hash, count));
        }
    }

    function testVectorsOfTaskIds() public {
        string memory json = vm.readFile("tests/vectors/task_id.json");
        bytes32[] memory expected = vm.parseJsonBytes32Array(json, ".taskId");
        assertGt(expected.length, 0, "no vectors");
        for (uint256 row = 0; row < expected.length; ++row) {
            vm.chainId(vm.parseJsonUintArray(json, ".chainId")[row]);
            IVolquorum there =
                IVolquorum(placed(vm.parseJsonAddressArray(json, ".contract")[row], address(volquorum).code));
            IVolquorum.TaskParams memory params =
                abi.decode(vm.parseJsonBytesArray(json, ".params")[row], (IVolquorum.TaskParams));
            address whose = vm.parseJsonAddressArray(json, ".sponsor")[row];
            assertEq(there.taskIdOf(whose, params), expected[row], "task id");
            // There is no such token.
            params.currency = ETH;
            params.salt = bytes32(row);
            bool byVotes = vm.parseJsonUintArray(json, ".byVotes")[row] == 1;
            assertEq(volquorum.taskState(create(params)).byVotes, byVotes, "by votes");
        }
    }

    function testVectorsOfFalseParameters() public {
        string memory json = vm.readFile("tests/vectors/invalid/task.json");
        string[] memory fields = vm.parseJsonStringArray(json, ".field");
        assertGt(fields.length, 0, "no vectors");
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

    function withCount(bytes32 hash, uint256 count) private pure returns (bytes32) {
        return bytes32(uint256(hash) >> 8 << 8 | count);
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

    function committer(bytes32 task, uint32 round, IVolquorum.SignedCommit calldata commit)
        external
        view
        returns (address)
    {
        return CommitmentLib.committer(CommitmentLib.domainSeparator(), task, round, commit, 0);
    }

    function voteDigest(bytes32 task, uint32 round, IVolquorum.Result calldata result) external view returns (bytes32) {
        return CommitmentLib.voteDigest(task, round, result);
    }

    function scoresCommitment(bytes32 task, uint32 round, address participant, bytes calldata scores, bytes32 salt)
        external
        view
        returns (bytes32)
    {
        return CommitmentLib.scoresCommitment(task, round, participant, scores, salt);
    }

    function scoresStep(bytes32 previous, address participant, bytes calldata scores) external pure returns (bytes32) {
        return CommitmentLib.scoresStep(previous, participant, scores);
    }

    function updatesHash(bytes32 task, uint32 round, IVolquorum.Update[] calldata updates)
        external
        pure
        returns (bytes32)
    {
        return CommitmentLib.updatesHash(task, round, updates);
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
