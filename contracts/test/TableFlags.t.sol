// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";
import {PlainGram} from "./PlainGram.sol";

/// @notice Flags on published tables, what answers them, and what refutes a result whose table nobody can fetch.
/// @dev Any bytes are posted that lead to the root: whether products are right is for challenges. Of five updates of 512
/// chunks the table has two parts.
/// forge-config: default.fuzz.runs = 16
contract TableFlagsTest is Fixture {
    uint256 private constant CHUNKS = 512;
    uint256 private constant PAIRS = 15;
    bytes32 private constant CHOICE_HASH = keccak256("choice");

    address private flagger = makeAddr("flagger");
    bytes32 private taskId;
    uint32 private round;
    bytes32 private tableRoot;
    bytes[2] private parts;
    bytes[2] private siblings;

    function setUp() public override {
        super.setUp();
        IVolquorum.TaskParams memory params = ordinaryParams();
        (params.preSteps, params.chunkLength, params.dimension) = (2, 16, uint32(16 * CHUNKS));
        taskId = create(params);
        joinAll(taskId, 5);
        round = openToAggregate(taskId, 5);
        makeTable();
        publishTable(aggregator);
        vm.deal(flagger, 1 ether);
    }

    function testFlagOfATableIsStored() public {
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultFlagged(taskId, round, flagger, IVolquorum.Published.Table, tableRoot);
        flagTable();
        assertEq(volquorum.roundState(taskId, round).resultFlags, 4);
        assertEq(
            abi.encode(volquorum.resultFlag(taskId, IVolquorum.Published.Table)),
            abi.encode(IVolquorum.Flag(round, 2, 0, flagger, tableRoot))
        );
    }

    function testOnlyThePublishedTableIsFlagged(bytes32 root, bytes32 choiceHash, bool right) public {
        if (right) root = tableRoot;
        vm.assume(root != tableRoot || choiceHash != CHOICE_HASH);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, root, choiceHash));
        volquorum.flagTable{value: 0.01 ether}(taskId, round, root, choiceHash);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, 0, 0));
        volquorum.flagResult{value: 0.01 ether}(taskId, round, IVolquorum.Published.Table);
    }

    function testTableIsFlaggedOnceAndInTime(uint256 wait) public {
        vm.warp(bound(wait, block.timestamp, block.timestamp + 40));
        uint64 until = volquorum.deadlines(taskId, round).flagResult;
        if (block.timestamp >= until) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.FlaggingOver.selector, taskId, round, until));
            flagTable();
            return;
        }
        flagTable();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyFlagged.selector, taskId, round, tableRoot));
        flagTable();
    }

    function testDepositOnATableMustBePaidExactly(uint96 sentWei) public {
        vm.assume(sentWei != 0.01 ether);
        vm.deal(flagger, sentWei);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, 0.01 ether));
        vm.prank(flagger);
        volquorum.flagTable{value: sentWei}(taskId, round, tableRoot, CHOICE_HASH);
    }

    function testAnybodyPostsAllPartsAndThePublisherEarnsTheDeposit(address poster) public {
        notFlagged();
        flagTable();
        vm.startPrank(poster);
        for (uint32 number = 0; number < 2; ++number) {
            assertEq(creditOf(aggregator), 0);
            vm.expectEmit(address(volquorum));
            emit IVolquorum.BytesPosted(tableRoot, taskId, number, parts[number]);
            post(number);
            assertEq(volquorum.resultFlag(taskId, IVolquorum.Published.Table).posted, number + 1);
        }
        vm.stopPrank();
        assertEq(creditOf(aggregator), 0.01 ether);
        notFlagged();
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        notUnavailable();
    }

    function testOtherBytesOfATableAreRefused(uint256 place, bytes1 change) public {
        vm.assume(change != 0);
        flagTable();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadPart.selector, 0));
        post(1);
        bytes memory part = parts[0];
        part[place % part.length] ^= change;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadPart.selector, 0));
        volquorum.postResult(taskId, round, IVolquorum.Published.Table, part, siblings[0]);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, 32_769, 32_768));
        volquorum.postResult(taskId, round, IVolquorum.Published.Table, bytes.concat(part, "0"), siblings[0]);
    }

    function testTableThatIsNotPostedInTimeRefutesItsResult(bool half, address caller) public {
        flagTable();
        if (half) post(0);
        notUnavailable();
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.PostingOver.selector, taskId, round, block.timestamp));
        post(half ? 1 : 0);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultRefuted(
            taskId, round, aggregator, flagger, IVolquorum.Fault.TableUnavailable, 0, 1 ether, 1 ether
        );
        vm.prank(caller);
        volquorum.refuteUnavailable(taskId, round, IVolquorum.Published.Table);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        assertEq(volquorum.roundState(taskId, round).evidenceHash, 0);
        assertEq(creditOf(flagger), 1.01 ether);
    }

    function testLaterTableIsFlaggedAnew() public {
        flagTable();
        vm.warp(volquorum.deadlines(taskId, round).postResult);
        volquorum.refuteUnavailable(taskId, round, IVolquorum.Published.Table);
        publishTable(stranger);
        notFlagged();
        flagTable();
        post(0);
        post(1);
        assertEq(creditOf(stranger), 0.01 ether);
    }

    function testFinalRoundReturnsTheDepositOnATable() public {
        flagTable();
        walkToEnd(taskId, round);
        volquorum.finalise(taskId);
        assertEq(creditOf(flagger), 0.01 ether);
        assertEq(creditOf(aggregator), 2 ether);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function makeTable() private {
        int64[][] memory products = new int64[][](PAIRS);
        for (uint256 pair = 0; pair < PAIRS; ++pair) {
            products[pair] = new int64[](CHUNKS);
            for (uint256 chunk = 0; chunk < CHUNKS; ++chunk) {
                products[pair][chunk] = int64(int256(pair * CHUNKS) - int256(7 * chunk));
            }
        }
        PlainGram.Node[][] memory levels = PlainGram.levelsOf(products);
        tableRoot = PlainGram.rootOf(levels, 5);
        for (uint256 number = 0; number < 2; ++number) {
            parts[number] = leavesOf(levels[0], 4096 * number);
            siblings[number] = PlainGram.packed(levels[12][1 - number]);
        }
    }

    function leavesOf(PlainGram.Node[] memory leaves, uint256 first) private pure returns (bytes memory part) {
        part = new bytes(32_768);
        for (uint256 leaf = 0; leaf < 4096; ++leaf) {
            bytes8 product = bytes8(uint64(leaves[first + leaf].sum));
            for (uint256 place = 0; place < 8; ++place) {
                part[8 * leaf + place] = product[place];
            }
        }
    }

    function publishTable(address publisher) private {
        IVolquorum.RoundState memory facts = volquorum.roundState(taskId, round);
        IVolquorum.Result memory result = plain(AGGREGATE_ROOT, MODEL_ROOT, facts.updatesHash, facts.unavailable);
        (result.tableRoot, result.choiceHash) = (tableRoot, CHOICE_HASH);
        publish(taskId, round, publisher, result);
    }

    function flagTable() private {
        vm.prank(flagger);
        volquorum.flagTable{value: 0.01 ether}(taskId, round, tableRoot, CHOICE_HASH);
    }

    function post(uint256 number) private {
        volquorum.postResult(taskId, round, IVolquorum.Published.Table, parts[number], siblings[number]);
    }

    function notFlagged() private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotFlagged.selector, taskId, round));
        post(0);
    }

    function notUnavailable() private {
        IVolquorum.Published what = IVolquorum.Published.Table;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NotUnavailable.selector, taskId, round, what));
        volquorum.refuteUnavailable(taskId, round, what);
    }
}
