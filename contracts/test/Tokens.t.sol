// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Books} from "./Books.sol";
import {FeeToken} from "./tokens/FeeToken.sol";
import {PlainToken} from "./tokens/PlainToken.sol";
import {ReenteringToken, Thief} from "./tokens/ReenteringToken.sol";
import {RefusingToken} from "./tokens/RefusingToken.sol";
import {SilentToken} from "./tokens/SilentToken.sol";

/// @notice Tasks whose currency is a token, honest or not.
contract TokensTest is Books {
    uint256 private constant STAKE = 1 ether;

    // ------------------------------------------------------------------------------------------------ honest tokens

    /// forge-config: default.fuzz.runs = 64
    function testNoUnitOfATokenIsLostInATasksWholeLife(uint256 seed, bool silent) public {
        address token = silent ? address(new SilentToken()) : address(new PlainToken());
        IVolquorum.TaskParams memory params = paramsIn(token);
        (params.rounds, params.publisherWei) = (5, 12345);
        live(create(params), seed);
        assertEq(address(volquorum).balance, 0);
    }

    function testCallsInATokenTakeNoEther(uint96 sentWei) public {
        sentWei = uint96(bound(sentWei, 1, 1e24));
        IVolquorum.TaskParams memory params = paramsIn(address(new PlainToken()));
        provide(params.currency, stranger, 1e6 ether);
        vm.deal(stranger, sentWei);
        expectWrongValue(sentWei);
        vm.prank(stranger);
        volquorum.createTask{value: sentWei}(params);
        bytes32 taskId = create(params);
        expectWrongValue(sentWei);
        vm.prank(stranger);
        volquorum.join{value: sentWei}(taskId, 1);

        joinAll(taskId, 5);
        uint32 round = openToReveal(taskId, 1);
        walkToEnd(taskId, round);
        vm.prank(stranger);
        volquorum.slashWithheld(taskId, desk(0));
        vm.deal(desk(0), sentWei);
        expectWrongValue(sentWei);
        vm.prank(desk(0));
        volquorum.restore{value: sentWei}(taskId);
        restore(taskId, desk(0));
        assertBooks(taskId, 5);
    }

    function testWhoAllowsTooLittleTakesNoSeat(uint96 allowedWei) public {
        allowedWei = uint96(bound(allowedWei, 0, STAKE - 1));
        PlainToken token = new PlainToken();
        bytes32 taskId = create(paramsIn(address(token)));
        provide(address(token), stranger, STAKE);
        vm.startPrank(stranger);
        token.approve(address(volquorum), allowedWei);
        vm.expectRevert(SafeTransferLib.TransferFromFailed.selector);
        volquorum.join(taskId, 1);
        assertEq(volquorum.seat(taskId, stranger).activeFrom, 0);
    }

    function testEachCurrencyHasItsOwnBooks() public {
        PlainToken token = new PlainToken();
        bytes32 inToken = create(paramsIn(address(token)));
        bytes32 inEther = createOrdinary();
        join(inToken, desk(0));
        join(inEther, desk(0));
        leave(inToken, desk(0));
        assertEq(volquorum.creditOf(address(token), desk(0)), STAKE);
        assertEq(creditOf(desk(0)), 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToWithdraw.selector, desk(0)));
        vm.prank(desk(0));
        volquorum.withdraw(ETH, desk(0));

        vm.expectEmit(address(volquorum));
        emit IVolquorum.Withdrawn(desk(0), stranger, address(token), STAKE);
        vm.prank(desk(0));
        volquorum.withdraw(address(token), stranger);
        assertEq(token.balanceOf(stranger), STAKE);
        assertEq(token.balanceOf(address(volquorum)), 2.8 ether);
        assertEq(address(volquorum).balance, 2.8 ether + STAKE);
    }

    function testSlashedTokensAreBurnedAsSuch() public {
        PlainToken token = new PlainToken();
        bytes32 taskId = create(paramsIn(address(token)));
        joinAll(taskId, 5);
        uint32 round = openToReveal(taskId, 1);
        walkToEnd(taskId, round);
        vm.prank(stranger);
        volquorum.slashWithheld(taskId, desk(0));
        assertEq(volquorum.burnedOf(address(token)), 0.05 ether);
        assertEq(volquorum.creditOf(address(token), stranger), 0.05 ether);
        assertEq(volquorum.burnedOf(ETH), 0);
        assertBooks(taskId, 5);
    }

    function testNobodyWithdrawsTokensToNobody() public {
        PlainToken token = new PlainToken();
        bytes32 taskId = create(paramsIn(address(token)));
        join(taskId, desk(0));
        leave(taskId, desk(0));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.TransferFailed.selector, address(0), STAKE));
        vm.prank(desk(0));
        volquorum.withdraw(address(token), address(0));
    }

    // ------------------------------------------------------------------------------------------------- other tokens

    function testTokenThatTakesAFeeIsRefused() public {
        FeeToken token = new FeeToken();
        IVolquorum.TaskParams memory params = paramsIn(address(token));
        provide(address(token), sponsor, 2.8 ether);
        expectWrongTransfer(address(token), 2.772 ether, 2.8 ether);
        vm.prank(sponsor);
        volquorum.createTask(params);

        // It moves small amounts whole, so that a task is created, but takes no stake.
        params.rewardWei = 10;
        bytes32 taskId = create(params);
        provide(address(token), stranger, STAKE);
        expectWrongTransfer(address(token), 0.99 ether, STAKE);
        vm.prank(stranger);
        volquorum.join(taskId, 1);
    }

    function testTokenThatSaysNoMovesNothing() public {
        address token = address(new RefusingToken());
        provide(token, sponsor, 2.8 ether);
        vm.expectRevert(SafeTransferLib.TransferFromFailed.selector);
        vm.prank(sponsor);
        volquorum.createTask(paramsIn(token));
    }

    function testTokenThatRefusesToPayLeavesTheCredit() public {
        PlainToken token = new PlainToken();
        bytes32 taskId = create(paramsIn(address(token)));
        join(taskId, desk(0));
        leave(taskId, desk(0));
        vm.etch(address(token), address(new RefusingToken()).code);
        vm.expectRevert(SafeTransferLib.TransferFailed.selector);
        vm.prank(desk(0));
        volquorum.withdraw(address(token), desk(0));
        assertEq(volquorum.creditOf(address(token), desk(0)), STAKE);
    }

    function testAddressWithoutATokenTakesNothing(address nobody) public {
        vm.assume(nobody != ETH && nobody.code.length == 0);
        assumeNotPrecompile(nobody);
        assumeNotForgeAddress(nobody);
        vm.expectRevert();
        vm.prank(sponsor);
        volquorum.createTask(paramsIn(nobody));
    }

    // -------------------------------------------------------------------------------------------------- re-entering

    function testWhoLeavesWhileItJoinsGetsNoSeatForNothing() public {
        (bytes32 taskId, ReenteringToken token, Thief thief) = besieged();
        bytes[] memory inHook = new bytes[](2);
        inHook[0] = abi.encodeCall(IVolquorum.leave, (taskId));
        inHook[1] = abi.encodeCall(IVolquorum.withdraw, (address(token), address(thief)));
        // The stake that goes in is the one that went out.
        expectWrongTransfer(address(token), 0, STAKE);
        thief.act(abi.encodeCall(IVolquorum.join, (taskId, 1)), inHook);
    }

    function testWhoLeavesAndJoinsWhileItJoinsHasOneSeatForOneStake() public {
        (bytes32 taskId, ReenteringToken token, Thief thief) = besieged();
        bytes[] memory inHook = new bytes[](3);
        inHook[0] = abi.encodeCall(IVolquorum.leave, (taskId));
        inHook[1] = abi.encodeCall(IVolquorum.withdraw, (address(token), address(thief)));
        inHook[2] = abi.encodeCall(IVolquorum.join, (taskId, 1));
        uint256 heldWei = held(address(token));
        uint256 ownWei = token.balanceOf(address(thief));
        thief.act(abi.encodeCall(IVolquorum.join, (taskId, 1)), inHook);
        assertTrue(thief.reentered());
        assertEq(held(address(token)), heldWei + STAKE);
        assertEq(token.balanceOf(address(thief)), ownWei - STAKE);
        assertEq(volquorum.seat(taskId, address(thief)).stakeWei, STAKE);
        assertEq(volquorum.creditOf(address(token), address(thief)), 0);
        assertEq(volquorum.taskState(taskId).seats, 6);
    }

    function testTwoPaymentsAtOnceAreRefused() public {
        (bytes32 taskId, ReenteringToken token, Thief thief) = besieged();
        IVolquorum.TaskParams memory params = paramsIn(address(token));
        params.salt = "another";
        bytes[] memory inHook = new bytes[](1);
        inHook[0] = abi.encodeCall(IVolquorum.createTask, (params));
        expectWrongTransfer(address(token), STAKE + 2.8 ether, STAKE);
        thief.act(abi.encodeCall(IVolquorum.join, (taskId, 1)), inHook);
    }

    function testTaskThatEndsWhileItIsCreatedPaysNothingOut() public {
        (, ReenteringToken token, Thief thief) = besieged();
        IVolquorum.TaskParams memory params = paramsIn(address(token));
        params.salt = "another";
        bytes32 taskId = volquorum.taskIdOf(address(thief), params);
        bytes[] memory inHook = new bytes[](3);
        inHook[0] = abi.encodeCall(IVolquorum.endTask, (taskId));
        inHook[1] = abi.encodeCall(IVolquorum.closeTask, (taskId));
        inHook[2] = abi.encodeCall(IVolquorum.withdraw, (address(token), address(thief)));
        expectWrongTransfer(address(token), 0, 2.8 ether);
        thief.act(abi.encodeCall(IVolquorum.createTask, (params)), inHook);
    }

    function testCreditIsPaidOnceHoweverOftenItsReceiverAsks() public {
        (bytes32 taskId, ReenteringToken token, Thief thief) = besieged();
        bytes[] memory none = new bytes[](0);
        thief.act(abi.encodeCall(IVolquorum.join, (taskId, 1)), none);
        thief.act(abi.encodeCall(IVolquorum.leave, (taskId)), none);
        bytes memory withdraw = abi.encodeCall(IVolquorum.withdraw, (address(token), address(thief)));
        bytes[] memory inHook = new bytes[](1);
        inHook[0] = withdraw;
        vm.expectRevert(SafeTransferLib.TransferFailed.selector);
        thief.act(withdraw, inHook);
        thief.act(withdraw, none);
        assertEq(held(address(token)), 2.8 ether + 5 * STAKE);
    }

    // --------------------------------------------------------------------------------------------------------- steps

    function paramsIn(address token) private view returns (IVolquorum.TaskParams memory params) {
        params = ordinaryParams();
        params.currency = token;
    }

    /// @dev A task with five stakes in it and a sixth seat to take, and an account that calls back.
    function besieged() private returns (bytes32 taskId, ReenteringToken token, Thief thief) {
        token = new ReenteringToken();
        IVolquorum.TaskParams memory params = paramsIn(address(token));
        (params.seats, params.seedSource) = (6, makeAddr("source"));
        taskId = create(params);
        joinAll(taskId, 5);
        thief = new Thief(address(volquorum), token);
        deal(address(token), address(thief), 10 ether);
    }

    function expectWrongValue(uint256 sentWei) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongValue.selector, sentWei, 0));
    }

    function expectWrongTransfer(address token, uint256 receivedWei, uint256 requiredWei) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongTransfer.selector, token, receivedWei, requiredWei));
    }
}
