// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Rewards, credits and payments, also to receivers that misbehave.
contract MoneyTest is Fixture {
    bytes32 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = createSeated();
    }

    // ------------------------------------------------------------------------------------------------------- claim

    function testAnybodyClaimsForAParticipant(uint256 rounds) public {
        rounds = bound(rounds, 1, 4);
        for (uint256 index = 0; index < rounds; ++index) {
            playRound(taskId, 5);
        }
        uint256 earnedWei = rounds * (uint256(0.7 ether) / 5);

        vm.expectEmit(address(volquorum));
        emit IVolquorum.RewardClaimed(taskId, desk(0), earnedWei);
        vm.prank(stranger);
        volquorum.claim(taskId, desk(0));

        assertEq(creditOf(desk(0)), earnedWei);
        assertEq(creditOf(stranger), 0);
        assertEq(volquorum.seat(taskId, desk(0)).rewardWei, 0);
        assertEq(volquorum.seat(taskId, desk(0)).stakeWei, 1 ether);
    }

    function testNothingIsClaimedBeforeTheRewardIsDistributed() public {
        uint32 round = openToFinal(taskId, 5);
        refusedToClaim(desk(0));
        volquorum.finalise(taskId);
        refusedToClaim(desk(0));
        distribute(taskId, round, 5);
        volquorum.claim(taskId, desk(0));
    }

    function testClaimInsideARoundKeepsItsRevealOnRecord() public {
        playRound(taskId, 5);
        uint32 round = openToReveal(taskId, 5);
        reveal(taskId, round, desk(0));
        volquorum.claim(taskId, desk(0));
        assertEq(volquorum.seat(taskId, desk(0)).committedRound, round);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.AlreadyRevealed.selector, taskId, round, desk(0)));
        reveal(taskId, round, desk(0));
    }

    function testRewardIsClaimedOnce() public {
        playRound(taskId, 5);
        volquorum.claim(taskId, desk(0));
        refusedToClaim(desk(0));
    }

    function testVoidRoundEarnsNothing() public {
        openToAggregate(taskId, 5);
        walkToEnd(taskId, 1);
        volquorum.voidRound(taskId);
        refusedToClaim(desk(0));
        assertEq(volquorum.taskState(taskId).fundsWei, 2.8 ether);
    }

    function testWhoDidNotRevealEarnsNothing() public {
        playRound(taskId, 4);
        refusedToClaim(desk(4));
    }

    function testWithoutASeatThereIsNothingToClaim() public {
        refusedToClaim(stranger);
    }

    function testRewardDistributedAfterLeavingIsClaimedWithoutASeat() public {
        uint32 round = openToFinal(taskId, 5);
        leave(taskId, desk(0));
        assertEq(creditOf(desk(0)), 1 ether);
        distribute(taskId, round, 5);
        volquorum.claim(taskId, desk(0));
        assertEq(creditOf(desk(0)), 1 ether + uint256(0.7 ether) / 5);
    }

    // ---------------------------------------------------------------------------------------------------- withdraw

    function testWholeCreditIsPaidToWhomItsOwnerNames(address to) public {
        assumePayable(to);
        vm.assume(to != address(volquorum) && to != address(0));
        leave(taskId, desk(0));
        uint256 before = to.balance;

        vm.expectEmit(address(volquorum));
        emit IVolquorum.Withdrawn(desk(0), to, ETH, 1 ether);
        vm.prank(desk(0));
        volquorum.withdraw(ETH, to);
        assertEq(to.balance, before + 1 ether);
        assertEq(creditOf(desk(0)), 0);
    }

    function testWithoutACreditNothingIsPaid() public {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToWithdraw.selector, stranger));
        vm.prank(stranger);
        volquorum.withdraw(ETH, stranger);
    }

    function testRefusedPaymentStaysACredit() public {
        leave(taskId, desk(0));
        address[3] memory refusing = [address(new Refusing()), address(volquorum), address(0)];
        for (uint256 index = 0; index < 3; ++index) {
            vm.expectRevert(abi.encodeWithSelector(IVolquorum.TransferFailed.selector, refusing[index], 1 ether));
            vm.prank(desk(0));
            volquorum.withdraw(ETH, refusing[index]);
            assertEq(creditOf(desk(0)), 1 ether);
        }
        vm.prank(desk(0));
        volquorum.withdraw(ETH, desk(0));
        assertEq(desk(0).balance, 1 ether);
    }

    function testReceiverThatReturnsAFloodOfBytesIsPaid() public {
        leave(taskId, desk(0));
        address flooding = address(new Flooding());
        vm.prank(desk(0));
        volquorum.withdraw{gas: 300_000}(ETH, flooding);
        assertEq(flooding.balance, 1 ether);
    }

    function testReenteringReceiverIsPaidOnce() public {
        leave(taskId, desk(4));
        Reentering thief = new Reentering(volquorum, taskId);
        vm.deal(address(thief), 1 ether);
        thief.join();
        thief.leave();
        assertEq(creditOf(address(thief)), 1 ether);

        thief.withdraw();
        assertEq(thief.attempts(), 3, "it tried");
        assertEq(address(thief).balance, 1 ether);
        assertEq(creditOf(address(thief)), 0);
    }

    function testParticipantThatRefusesMoneyStopsNobody() public {
        leave(taskId, desk(4));
        Refusing refusing = new Refusing();
        join(taskId, address(refusing));
        uint32 round = openToCommit(taskId);
        commitAll(taskId, round, 4);
        commit(taskId, round, address(refusing));
        walkToReveal(taskId, round);
        revealAll(taskId, round, 4);
        reveal(taskId, round, address(refusing));
        walkToAggregate(taskId, round);
        publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        IVolquorum.Update[] memory updates = updatesOf(taskId, round, 5);
        updates[4] = updateOf(taskId, round, address(refusing));
        volquorum.distribute(taskId, round, updates, "");
        volquorum.claim(taskId, address(refusing));
        assertEq(creditOf(address(refusing)), uint256(0.7 ether) / 5);
    }

    // -------------------------------------------------------------------------------------------------- isolation

    function testOneTasksRoundsLeaveAnotherAsItWas(uint256 revealed) public {
        IVolquorum.TaskParams memory params = ordinaryParams();
        params.salt = "other";
        bytes32 other = create(params);
        joinAll(other, 5);
        uint32 otherRound = open(other);
        bytes32 before = digest(other, otherRound);

        revealed = bound(revealed, 0, 5);
        uint32 round = openToReveal(taskId, 5);
        revealAll(taskId, round, revealed);
        walkToAggregate(taskId, round);
        if (revealed >= 3) publish(taskId, round, aggregator);
        walkToEnd(taskId, round);
        leave(taskId, desk(0));
        vm.warp(START + 30 days);
        volquorum.closeTask(taskId);

        assertEq(digest(other, otherRound), before);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function digest(bytes32 task, uint32 round) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                volquorum.taskState(task),
                volquorum.roundState(task, round),
                volquorum.seat(task, desk(0)),
                volquorum.seat(task, desk(4))
            )
        );
    }

    function refusedToClaim(address participant) private {
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NothingToWithdraw.selector, participant));
        volquorum.claim(taskId, participant);
    }
}

contract Refusing {}

contract Flooding {
    receive() external payable {
        assembly {
            return(0, 100000)
        }
    }
}

/// @notice Tries to be paid a second time while it is being paid.
contract Reentering {
    IVolquorum private immutable VOLQUORUM;
    bytes32 private immutable TASK_ID;
    uint256 public attempts;

    constructor(IVolquorum volquorum, bytes32 taskId) {
        VOLQUORUM = volquorum;
        TASK_ID = taskId;
    }

    receive() external payable {
        attempt(abi.encodeCall(IVolquorum.withdraw, (address(0), address(this))));
        attempt(abi.encodeCall(IVolquorum.leave, (TASK_ID)));
        attempt(abi.encodeCall(IVolquorum.claim, (TASK_ID, address(this))));
    }

    function join() external {
        VOLQUORUM.join{value: 1 ether}(TASK_ID, 1);
    }

    function leave() external {
        VOLQUORUM.leave(TASK_ID);
    }

    function withdraw() external {
        VOLQUORUM.withdraw(address(0), address(this));
    }

    function attempt(bytes memory call) private {
        ++attempts;
        (bool done,) = address(VOLQUORUM).call(call);
        require(!done, "paid twice");
    }
}
