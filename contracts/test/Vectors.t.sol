// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChallengeLib} from "../src/libraries/ChallengeLib.sol";
import {CommitmentLib} from "../src/libraries/CommitmentLib.sol";
import {PostLib} from "../src/libraries/PostLib.sol";
import {RuleLib} from "../src/libraries/RuleLib.sol";
import {SumTree} from "../src/libraries/SumTree.sol";
import {Task} from "../src/libraries/TaskLib.sol";
import {PlainRules} from "./PlainRules.sol";
import {PlainTree} from "./PlainTree.sol";

/// @notice What challenges and posts carry, against the vectors that Python passes too.
contract VectorsTest is Test {
    uint256 private constant UPDATES = 3;

    Task private task;
    IVolquorum.RoundState private facts;

    function testVectorsOfChallenges() public {
        string memory json = vm.readFile("tests/vectors/challenges.json");
        string[] memory names = vm.parseJsonStringArray(json, ".name");
        assertGt(names.length, 0, "no vectors");
        for (uint256 row = 0; row < names.length; ++row) {
            bool ofModel = keccak256(bytes(names[row])) == keccak256("model");
            setTask(json, row);
            task.rule = IVolquorum.Rule.Median;
            SumTree.Shape memory shape = SumTree.Shape(task.dimension, task.chunkLength, ofModel ? 4 : 2);
            bytes memory published = vm.parseJsonBytesArray(json, ".published")[row];
            uint32 chunk = uint32(vm.parseJsonUintArray(json, ".chunk")[row]);
            bytes memory openings = vm.parseJsonBytesArray(json, ".openings")[row];
            if (ofModel) {
                setBase(json, row);
                facts.modelRoot = PlainTree.rootOf(published, shape);
                assertFalse(this.modelHolds(chunk, openings), "model");
            } else {
                address[] memory participants = reveal(vm.parseJsonBytesArray(json, ".updates")[row], shape);
                facts.aggregateRoot = PlainTree.rootOf(published, shape);
                assertFalse(this.aggregateHolds(participants, chunk, openings), "aggregate");
            }
        }
    }

    function testVectorsOfNorms() public {
        string memory json = vm.readFile("tests/vectors/norms.json");
        bytes32[] memory roots = vm.parseJsonBytes32Array(json, ".root");
        assertGt(roots.length, 0, "no vectors");
        for (uint256 row = 0; row < roots.length; ++row) {
            setTask(json, row);
            IVolquorum.Update memory update =
                IVolquorum.Update(address(1), roots[row], uint64(vm.parseJsonUintArray(json, ".squaredNorm")[row]));
            uint32 chunk = uint32(vm.parseJsonUintArray(json, ".chunk")[row]);
            bool holds = this.normHolds(update, chunk, vm.parseJsonBytesArray(json, ".opening")[row]);
            assertEq(holds, vm.parseJsonUintArray(json, ".false")[row] == 0, "norm");
        }
    }

    function testVectorsOfParts() public {
        string memory json = vm.readFile("tests/vectors/parts.json");
        string[] memory names = vm.parseJsonStringArray(json, ".name");
        assertGt(names.length, 0, "no vectors");
        uint256 next;
        for (uint256 row = 0; row < names.length; ++row) {
            setTask(json, row);
            assertEq(vm.parseJsonUintArray(json, ".part")[row], next, "order");
            uint256 width = vm.parseJsonUintArray(json, ".widthBytes")[row];
            SumTree.Shape memory shape = SumTree.Shape(task.dimension, task.chunkLength, width);
            checkPartOf(json, row, drawn(names[row], next, shape), shape);
            next = next + 1 == PostLib.partCount(shape) ? 0 : next + 1;
        }
        assertEq(next, 0, "a part is missing");
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function setTask(string memory json, uint256 row) private {
        task.dimension = uint32(vm.parseJsonUintArray(json, ".dimension")[row]);
        task.chunkLength = uint16(vm.parseJsonUintArray(json, ".chunkLength")[row]);
    }

    /// @dev The base model, and the right aggregate of the updates.
    function setBase(string memory json, uint256 row) private {
        bytes memory base = vm.parseJsonBytesArray(json, ".baseModel")[row];
        task.modelRoot = PlainTree.rootOf(base, SumTree.Shape(task.dimension, task.chunkLength, 4));
        bytes memory updates = vm.parseJsonBytesArray(json, ".updates")[row];
        int256[][] memory values = new int256[][](UPDATES);
        for (uint256 index = 0; index < UPDATES; ++index) {
            uint256 length = uint256(task.dimension) * 2;
            values[index] = PlainRules.unpacked(PlainTree.slice(updates, index * length, length), 2);
        }
        RuleLib.Terms memory terms = RuleLib.Terms(IVolquorum.Rule.Median, 0, 0);
        bytes memory aggregate = PlainRules.packed(PlainRules.aggregate(values, new uint64[](UPDATES), terms), 2);
        facts.aggregateRoot = PlainTree.rootOf(aggregate, SumTree.Shape(task.dimension, task.chunkLength, 2));
    }

    function checkPartOf(string memory json, uint256 row, bytes memory chunks, SumTree.Shape memory shape)
        private
        view
    {
        assertEq(chunks.length, vm.parseJsonUintArray(json, ".chunksBytes")[row], "length");
        assertEq(keccak256(chunks), vm.parseJsonBytes32Array(json, ".chunksHash")[row], "stream");
        bytes memory siblings = vm.parseJsonBytesArray(json, ".siblings")[row];
        bytes32 root = vm.parseJsonBytes32Array(json, ".root")[row];
        this.checkPart(shape, vm.parseJsonUintArray(json, ".part")[row], chunks, siblings, root);
    }

    /// @dev Notes the updates, one behind the other, as revealed.
    function reveal(bytes memory updates, SumTree.Shape memory shape) private returns (address[] memory participants) {
        participants = new address[](UPDATES);
        bytes32 hash = CommitmentLib.updatesStart("task", 1);
        for (uint256 index = 0; index < UPDATES; ++index) {
            participants[index] = address(uint160(index + 1));
            bytes memory update = PlainTree.slice(updates, index * shape.dimension * 2, shape.dimension * 2);
            PlainTree.Node memory top = PlainTree.topOf(update, shape);
            hash = CommitmentLib.updatesStep(hash, participants[index], PlainTree.rootOf(top, shape), top.sum);
        }
        facts.updatesHash = hash;
    }

    /// @dev One part of the vector that consecutive words of keccak256(name/counter) make, padded with zeros.
    function drawn(string memory name, uint256 part, SumTree.Shape memory shape)
        private
        pure
        returns (bytes memory chunks)
    {
        uint256 first = part * partBytes(shape);
        uint256 length = SumTree.chunkCount(shape) * SumTree.chunkBytes(shape) - first;
        chunks = new bytes(length < partBytes(shape) ? length : partBytes(shape));
        uint256 end = shape.dimension * shape.widthBytes;
        for (uint256 offset = 0; offset < chunks.length && first + offset < end; offset += 32) {
            bytes32 word = keccak256(abi.encodePacked(name, "/", vm.toString((first + offset) / 32)));
            uint256 beyond = first + offset + 32 > end ? first + offset + 32 - end : 0;
            word = word >> 8 * beyond << 8 * beyond;
            assembly ("memory-safe") {
                mstore(add(add(chunks, 32), offset), word)
            }
        }
    }

    function partBytes(SumTree.Shape memory shape) private pure returns (uint256 length) {
        length = SumTree.chunkBytes(shape);
        while (2 * length <= 32_768) length *= 2;
    }

    function aggregateHolds(address[] calldata participants, uint32 chunk, bytes calldata openings)
        external
        view
        returns (bool)
    {
        IVolquorum.Update[] calldata none;
        assembly ("memory-safe") {
            none.offset := 0
            none.length := 0
        }
        CommitmentLib.Claim memory claim = CommitmentLib.Claim("task", 1, 0, chunk, 0, 0);
        return ChallengeLib.aggregateHolds(task, facts, claim, participants, none, openings, openings[:0]);
    }

    function modelHolds(uint32 chunk, bytes calldata openings) external view returns (bool) {
        return ChallengeLib.modelHolds(task, facts, chunk, openings);
    }

    function normHolds(IVolquorum.Update calldata update, uint32 chunk, bytes calldata opening)
        external
        view
        returns (bool)
    {
        return ChallengeLib.normHolds(task, update, 0, chunk, opening);
    }

    function checkPart(
        SumTree.Shape memory shape,
        uint256 part,
        bytes calldata chunks,
        bytes calldata siblings,
        bytes32 root
    ) external pure {
        PostLib.checkPart(shape, part, chunks, siblings, root);
    }
}
