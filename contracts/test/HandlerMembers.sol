// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../src/libraries/PhaseLib.sol";
import {HandlerModel} from "./HandlerModel.sol";

/// @notice What participants do, and whoever relays for them or slashes them: in time or not, honestly or not.
abstract contract HandlerMembers is HandlerModel {
    using PhaseLib for IVolquorum.Phase;

    /// @dev Signed commitments, by whom, and whether each withheld its last one and what that costs.
    struct Batch {
        IVolquorum.SignedCommit[] commits;
        uint256[] members;
        bool[] withheld;
        uint256[] slicesWei;
        bool expected;
    }

    // --------------------------------------------------------------------------------------------------- seats

    function join(bytes32 taskId, uint256 who, uint256) internal {
        bytes memory data = abi.encodeCall(IVolquorum.join, (taskId, samplesOf(who)));
        pay("join", who, taskId, termsOf[taskId].stakeWei, data);
        check(taskId);
    }

    function restore(bytes32 taskId, uint256 who, uint256) internal {
        uint256 missingWei = termsOf[taskId].stakeWei - VOLQUORUM.seat(taskId, accounts[who]).stakeWei;
        pay("restore", who, taskId, missingWei, abi.encodeCall(IVolquorum.restore, (taskId)));
        check(taskId);
    }

    /// @dev Invariant: a seat is left exactly if no commitment binds it to a running round; whoever leaves pays for what
    /// it withheld, and nobody else does.
    function leave(bytes32 taskId, uint256 who, uint256) internal {
        (bool withheld, uint256 sliceWei) = (hasWithheld(taskId, who), sliceOf(taskId, who));
        IVolquorum.Seat memory seat = VOLQUORUM.seat(taskId, accounts[who]);
        uint32 round = latestOf(taskId);
        bool serves = seat.committedRound == round && round != 0 && !VOLQUORUM.phase(taskId, round).isEnd();
        bool expected = seat.activeFrom != 0 && !serves;
        assertEq(call("leave", who, 0, abi.encodeCall(IVolquorum.leave, (taskId))), expected, "who may leave");
        if (expected) {
            if (withheld) lose(termsOf[taskId].currency, who, who, sliceWei, false);
            pledgeOf[taskId][who].open = false;
        }
        check(taskId);
    }

    /// @dev Invariant: a slice is taken exactly for what was withheld, once, and half of it is the prover's.
    function slashWithheld(bytes32 taskId, uint256 who, uint256 seed) internal {
        // Mostly of one that did, if there is any.
        for (uint256 tried = 0; tried < ACCOUNTS && seed % 4 != 0 && !hasWithheld(taskId, who); ++tried) {
            who = (who + 1) % ACCOUNTS;
        }
        (bool expected, uint256 sliceWei) = (hasWithheld(taskId, who), sliceOf(taskId, who));
        bytes memory data = abi.encodeCall(IVolquorum.slashWithheld, (taskId, accounts[who]));
        assertEq(call("slashWithheld", seed, 0, data), expected, "what was withheld, and nothing else");
        if (expected) slashed(taskId, who, seed % ACCOUNTS, sliceWei);
        check(taskId);
    }

    /// @dev Invariant: two signed commitments cost a slice exactly in the round they are for, before it is opened.
    function equivocate(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        bool same = seed % 4 == 0;
        Pledge memory pledge = pledgeOf[taskId][who];
        IVolquorum.Phase current = VOLQUORUM.phase(taskId, round);
        bool expected = !same && pledge.open && pledge.round == round
            && (current == IVolquorum.Phase.Commit || current == IVolquorum.Phase.Reveal);
        uint256 sliceWei = sliceOf(taskId, who);
        IVolquorum.SignedCommit memory first = signed(taskId, round, who, "one");
        IVolquorum.SignedCommit memory second = same ? first : signed(taskId, round, who, "two");
        bytes memory data = abi.encodeCall(IVolquorum.slashEquivocation, (taskId, round, first, second));
        assertEq(call("equivocate", seed, 0, data), expected, "who equivocated, and nobody else");
        if (expected) slashed(taskId, who, seed % ACCOUNTS, sliceWei);
        check(taskId);
    }

    function slashed(bytes32 taskId, uint256 who, uint256 prover, uint256 sliceWei) private {
        lose(termsOf[taskId].currency, who, prover, sliceWei, true);
        pledgeOf[taskId][who].open = false;
        if (sliceWei == 0) return;
        assertEq(VOLQUORUM.seat(taskId, accounts[who]).activeFrom, type(uint32).max, "suspended");
    }

    // -------------------------------------------------------------------------------------------------- commits

    /// @dev Invariant: a seat commits exactly if it may; one that withheld its last commitment loses a slice instead.
    function commit(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        if (round == 0 || VOLQUORUM.roundState(taskId, round).settled) return;
        bool expected =
            VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Commit && VOLQUORUM.mayCommit(taskId, accounts[who]);
        (bool withheld, uint256 sliceWei) = (hasWithheld(taskId, who), sliceOf(taskId, who));
        bytes32 commitment = commitmentBy(taskId, round, who, kindOf(seed));
        bytes memory data = abi.encodeCall(IVolquorum.commitUpdate, (taskId, round, commitment));
        assertEq(call("commit", who, 0, data), expected, "who may commit, and nobody else");
        if (expected) committed(taskId, round, who, commitment, withheld, sliceWei);
        check(taskId);
    }

    function committed(bytes32 taskId, uint32 round, uint256 who, bytes32 commitment, bool withheld, uint256 sliceWei)
        private
    {
        if (withheld) {
            ++done["withheld found"];
            lose(termsOf[taskId].currency, who, who, sliceWei, false);
        }
        pledgeOf[taskId][who] = Pledge(round, commitment, !withheld || sliceWei == 0);
    }

    /// @dev Of everybody who may, and perhaps of one more. Invariant: a batch is taken exactly if everybody in it may commit, has not,
    /// and signed.
    function commitBatch(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        if (round == 0 || VOLQUORUM.roundState(taskId, round).settled) return;
        uint256 members = membersOf(taskId, round);
        if (seed % 4 == 0) members |= 1 << who;
        Batch memory batch = batchOf(taskId, round, members, kindOf(seed));
        if (VOLQUORUM.phase(taskId, round) != IVolquorum.Phase.Commit) batch.expected = false;
        // Now and then one is not what was signed.
        if (seed % 16 == 5 && batch.commits.length != 0) {
            (batch.commits[0].commitment, batch.expected) = (keccak256("another"), false);
        }
        bytes memory data = abi.encodeCall(IVolquorum.commitUpdates, (taskId, round, batch.commits));
        assertEq(call("commitBatch", who, 0, data), batch.expected, "a batch of who may commit, and no other");
        for (uint256 index = 0; batch.expected && index < batch.commits.length; ++index) {
            bytes32 commitment = batch.commits[index].commitment;
            committed(taskId, round, batch.members[index], commitment, batch.withheld[index], batch.slicesWei[index]);
        }
        check(taskId);
    }

    function membersOf(bytes32 taskId, uint32 round) private view returns (uint256 members) {
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            if (fits(taskId, round, who)) members |= 1 << who;
        }
    }

    /// @dev What the members, one bit each, sign, and what each would lose.
    function batchOf(bytes32 taskId, uint32 round, uint256 members, uint8 kind) private returns (Batch memory batch) {
        uint256 count = 0;
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            count += members >> who & 1;
        }
        batch = Batch(
            new IVolquorum.SignedCommit[](count), new uint256[](count), new bool[](count), new uint256[](count), true
        );
        for (uint256 who = ACCOUNTS; who > 0; --who) {
            if (members >> (who - 1) & 1 == 0) continue;
            addTo(batch, --count, taskId, round, who - 1, kind);
        }
    }

    function addTo(Batch memory batch, uint256 index, bytes32 taskId, uint32 round, uint256 who, uint8 kind) private {
        batch.commits[index] = signed(taskId, round, who, commitmentBy(taskId, round, who, kind));
        batch.members[index] = who;
        batch.withheld[index] = hasWithheld(taskId, who);
        batch.slicesWei[index] = sliceOf(taskId, who);
        if (!fits(taskId, round, who)) batch.expected = false;
    }

    /// @dev Whether a batch may have an account's commitment.
    function fits(bytes32 taskId, uint32 round, uint256 who) private view returns (bool) {
        if (VOLQUORUM.seat(taskId, accounts[who]).committedRound == round) return false;
        return VOLQUORUM.mayCommit(taskId, accounts[who]);
    }

    // -------------------------------------------------------------------------------------------------- reveals

    /// @dev Invariant: a commitment is opened exactly by what it was made to, once, in its round, while there is room.
    function reveal(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        if (round == 0 || VOLQUORUM.roundState(taskId, round).settled) return;
        uint8 kind = kindBy(taskId, round, who, seed);
        bool expected = opens(taskId, round, who, kind);
        (bytes32 top, bytes32 root, uint64 norm) = update(who, kind);
        bytes memory data = abi.encodeCall(IVolquorum.revealUpdate, (taskId, round, top, norm, "salt"));
        assertEq(call("reveal", who, 0, data), expected, "what was committed to, and nothing else");
        if (expected) revealed(taskId, round, who, root, norm);
        check(taskId);
    }

    /// @dev What the account committed to, if that can be told, else a drawn one.
    function kindBy(bytes32 taskId, uint32 round, uint256 who, uint256 seed) private returns (uint8) {
        for (uint8 kind = 0; kind < 4; ++kind) {
            if (pledgeOf[taskId][who].commitment == commitmentBy(taskId, round, who, kind)) return kind;
        }
        return kindOf(seed);
    }

    function opens(bytes32 taskId, uint32 round, uint256 who, uint8 kind) private returns (bool) {
        Pledge memory pledge = pledgeOf[taskId][who];
        if (VOLQUORUM.phase(taskId, round) != IVolquorum.Phase.Reveal) return false;
        // The second kind's norm is too large.
        if (!pledge.open || pledge.round != round || kind == 2) return false;
        if (pledge.commitment != commitmentBy(taskId, round, who, kind)) return false;
        return watchedIn[taskId][round].revealed.length < termsOf[taskId].cohort;
    }

    function revealed(bytes32 taskId, uint32 round, uint256 who, bytes32 root, uint64 norm) private {
        watchedIn[taskId][round].revealed.push(IVolquorum.Update(accounts[who], root, norm));
        pledgeOf[taskId][who].open = false;
    }

    /// @dev The openings of whoever can be opened, and now and then of one more.
    function revealBatch(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        if (round == 0 || VOLQUORUM.roundState(taskId, round).settled) return;
        (IVolquorum.Opening[] memory openings, bool expected) = openingsOf(taskId, round, seed);
        if (VOLQUORUM.phase(taskId, round) != IVolquorum.Phase.Reveal) expected = false;
        bytes memory data = abi.encodeCall(IVolquorum.revealUpdates, (taskId, round, openings));
        assertEq(call("revealBatch", who, 0, data), expected, "a batch of what was committed to, and no other");
        for (uint256 index = 0; expected && index < openings.length; ++index) {
            uint256 member = numberOf(openings[index].participant);
            (, bytes32 root, uint64 norm) = update(member, kindBy(taskId, round, member, 0));
            revealed(taskId, round, member, root, norm);
        }
        check(taskId);
    }

    function openingsOf(bytes32 taskId, uint32 round, uint256 seed)
        private
        returns (IVolquorum.Opening[] memory openings, bool expected)
    {
        openings = new IVolquorum.Opening[](ACCOUNTS);
        uint256 count = 0;
        uint256 room = termsOf[taskId].cohort - watchedIn[taskId][round].revealed.length;
        expected = true;
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            uint8 kind = kindBy(taskId, round, who, 0);
            bool isOpened = opens(taskId, round, who, kind);
            // One more than there is room for, and one that is not bound or was opened.
            if (seed % 16 != who && (!isOpened || (count == room && seed % 4 != 1))) continue;
            if (!isOpened || count == room) expected = false;
            (bytes32 top,, uint64 norm) = update(who, kind);
            openings[count++] = IVolquorum.Opening(accounts[who], top, norm, "salt");
        }
        assembly ("memory-safe") {
            mstore(openings, count)
        }
    }

    // --------------------------------------------------------------------------------------------------- scores

    function commitScores(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        bytes32 tag = keccak256("volquorum.scores.1");
        bytes32 scores = keccak256(scoresBy(taskId, round, who, seed));
        bytes32 salt = "salt";
        bytes32 commitment =
            keccak256(abi.encode(tag, block.chainid, address(VOLQUORUM), taskId, round, accounts[who], scores, salt));
        act("commitScores", who, taskId, abi.encodeCall(IVolquorum.commitScores, (taskId, round, commitment)));
    }

    function revealScores(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        bytes memory scores = scoresBy(taskId, round, who, seed);
        bytes memory data = abi.encodeCall(IVolquorum.revealScores, (taskId, round, scores, "salt"));
        if (!act("revealScores", who, taskId, data)) return;
        Watched storage watched = watchedIn[taskId][round];
        for (uint256 index = 0; index < watched.revealed.length; ++index) {
            if (watched.revealed[index].participant != accounts[who]) continue;
            watched.scores = abi.encodePacked(watched.scores, uint8(index), scores);
        }
    }

    /// @dev One of two, so that what is revealed is what was committed to, often enough.
    function scoresBy(bytes32 taskId, uint32 round, uint256 who, uint256 seed)
        private
        view
        returns (bytes memory scores)
    {
        scores = new bytes(watchedIn[taskId][round].revealed.length);
        for (uint256 index = 0; seed % 8 != 0 && index < scores.length; ++index) {
            scores[index] = bytes1(keccak256(abi.encode(who, index)));
        }
    }

    // ------------------------------------------------------------------------------------------------------- steps

    function kindOf(uint256 seed) private pure returns (uint8) {
        // Most are one's own.
        return seed >> 128 & 12 != 0 ? 0 : uint8(seed >> 128 & 3);
    }

    function commitmentBy(bytes32 taskId, uint32 round, uint256 who, uint8 kind) private returns (bytes32) {
        (, bytes32 root, uint64 norm) = update(who, kind);
        return VOLQUORUM.commitmentOf(taskId, round, accounts[who], root, norm, "salt");
    }

    function signed(bytes32 taskId, uint32 round, uint256 who, bytes32 commitment)
        private
        view
        returns (IVolquorum.SignedCommit memory)
    {
        bytes32 commitType = keccak256("Commit(bytes32 taskId,uint32 round,bytes32 commitment)");
        (bytes32 r, bytes32 vs) = sign(who, keccak256(abi.encode(commitType, taskId, round, commitment)));
        return IVolquorum.SignedCommit(commitment, r, vs);
    }

    /// @dev An account's signature under a structure, EIP-712.
    function sign(uint256 who, bytes32 content) internal view returns (bytes32 r, bytes32 vs) {
        bytes32 domainType =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain = keccak256(
            abi.encode(domainType, keccak256("volquorum"), keccak256("1"), block.chainid, address(VOLQUORUM))
        );
        return vm.signCompact(keyOf(who), keccak256(abi.encodePacked(hex"1901", domain, content)));
    }
}
