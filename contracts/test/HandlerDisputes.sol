// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {PhaseLib} from "../src/libraries/PhaseLib.sol";
import {HandlerMembers} from "./HandlerMembers.sol";
import {PlainGram} from "./PlainGram.sol";

/// @notice What publishers, flaggers and challengers do: lie, leave bytes unanswered, contest what is right or wrong.
abstract contract HandlerDisputes is HandlerMembers {
    using PhaseLib for IVolquorum.Phase;

    // What was published last, of each task.
    mapping(bytes32 taskId => Made made) private publishedOf;
    uint256 private salts;
    // What the latest proof is about.
    Claim private sealedClaim;

    // -------------------------------------------------------------------------------------------------- results

    /// @dev Lie 1 is an aggregate, 2 a model, 3 a product, 4 a choice that the aggregate follows, 5 one that it does not.
    function publish(bytes32 taskId, uint256 who, uint256 lie) internal {
        uint32 round = latestOf(taskId);
        bytes32[] memory roots = includedRoots(taskId, round);
        Recipe memory recipe = recipeOf[taskId];
        if (roots.length <= 2 * uint256(recipe.tolerance)) return;
        bytes32 base = VOLQUORUM.taskState(taskId).modelRoot;
        Made memory made = make(recipe, roots, base);
        makeWrong(recipe, made, roots, base, lie % (recipe.hasTable ? 6 : 3));
        bytes memory data = abi.encodeCall(IVolquorum.publish, (taskId, round, resultOf(taskId, round, made)));
        uint256 refutedAt = VOLQUORUM.roundState(taskId, round).restartedAt;
        if (pay("publish", who, taskId, termsOf[taskId].bondWei, data)) {
            assertNotEq(refutedAt, block.timestamp, "published in the block of a refutation");
            keep(taskId, made);
            // Without a challenge time the round has ended at once, as if time had passed.
            if (VOLQUORUM.phase(taskId, round).isEnd()) note(taskId);
        }
        check(taskId);
    }

    function makeWrong(Recipe memory recipe, Made memory made, bytes32[] memory roots, bytes32 base, uint256 lie)
        private
        view
    {
        if (lie == 1) made.aggregate[3] ^= 0x01;
        if (lie == 2) made.model[7] ^= 0x01;
        // The second pair is of two different updates, and no distance may be less than nothing.
        if (lie == 3) --made.products[1][0];
        if (lie > 3) made.masks = firstMembers(recipe, roots.length);
        if (lie == 4) made.aggregate = aggregateBy(recipe, rowsOf(recipe, roots), made.masks);
        if (lie == 1 || lie == 4) made.model = sum(vectorOf[base].chunk, made.aggregate);
    }

    function resultOf(bytes32 taskId, uint32 round, Made memory made)
        private
        returns (IVolquorum.Result memory result)
    {
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        (result.aggregateRoot, result.modelRoot) = (rootOf(made.aggregate, 2), rootOf(made.model, 4));
        (result.updatesHash, result.unavailable) = (facts.updatesHash, facts.unavailable);
        if (recipeOf[taskId].hasTable) (result.tableRoot, result.choiceHash) = tableOf(made);
    }

    /// @dev Nested arrays cannot be copied to storage as they are.
    function keep(bytes32 taskId, Made memory made) private {
        Made storage kept = publishedOf[taskId];
        (kept.aggregate, kept.model, kept.masks) = (made.aggregate, made.model, made.masks);
        delete kept.products;
        for (uint256 pair = 0; pair < made.products.length; ++pair) {
            kept.products.push(made.products[pair]);
        }
    }

    function tableOf(Made memory made) private pure returns (bytes32 root, bytes32 choiceHash) {
        uint256 rows = 0;
        while (rows * (rows + 1) / 2 < made.products.length) ++rows;
        return (tableRootOf(made.products, rows), keccak256(made.masks));
    }

    // ----------------------------------------------------------------------------------------------------- votes

    /// @dev Invariant: who has an included update votes once a round, as it likes, while the result is undecided.
    function vote(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        bytes32[] memory roots = includedRoots(taskId, round);
        if (roots.length <= 2 * uint256(recipeOf[taskId].tolerance)) return;
        IVolquorum.Result memory given = resultToVote(taskId, round, roots, seed);
        bool expected =
            takesVotes(taskId, round) && isIncluded(taskId, round, who) && !ballotIn[taskId][round].hasVoted[who];
        bytes memory data = abi.encodeCall(IVolquorum.vote, (taskId, round, given));
        assertEq(call("vote", who, 0, data), expected, "one vote of each who is included");
        if (expected) voted(taskId, round, who, given);
        check(taskId);
    }

    /// @dev Of some, perhaps of one who is not included, or with one signature under something else. Invariant: a batch is
    /// taken exactly if everybody in it is included and signed this; who has voted is passed over.
    function relayVotes(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        bytes32[] memory roots = includedRoots(taskId, round);
        if (roots.length <= 2 * uint256(recipeOf[taskId].tolerance)) return;
        IVolquorum.Result memory given = resultToVote(taskId, round, roots, seed);
        (uint256[] memory voters, bool fit) = votersIn(taskId, round, who, seed >> 8);
        bool expected = fit && takesVotes(taskId, round) && seed >> 24 & 7 != 7;
        IVolquorum.Signature[] memory signatures = new IVolquorum.Signature[](voters.length);
        for (uint256 index = 0; index < voters.length; ++index) {
            signatures[index] = signedVote(taskId, round, voters[index], given);
        }
        if (seed >> 24 & 7 == 7) signatures[0] = signedVote(taskId, round, voters[0], swapped(given));
        bytes memory data = abi.encodeCall(IVolquorum.relayVotes, (taskId, round, given, signatures));
        assertEq(call("relayVotes", who, 0, data), expected, "votes of who is included, and of nobody else");
        for (uint256 index = 0; expected && index < voters.length; ++index) {
            if (ballotIn[taskId][round].hasVoted[voters[index]]) ++done["passed over"];
            else voted(taskId, round, voters[index], given);
        }
        check(taskId);
    }

    /// @dev Included ones, drawn; at least one, the first once more behind them, or instead of that another account. Whether
    /// all are included.
    function votersIn(bytes32 taskId, uint32 round, uint256 other, uint256 drawn)
        private
        view
        returns (uint256[] memory voters, bool fit)
    {
        (IVolquorum.Update[] memory included,) = selection(taskId, round);
        uint256 count = 1 + drawn % included.length;
        voters = new uint256[](count + 1);
        for (uint256 index = 0; index <= count; ++index) {
            voters[index] = numberOf(included[(drawn + index % count) % included.length].participant);
        }
        if (drawn >> 8 & 7 == 7) voters[count] = other;
        fit = isIncluded(taskId, round, voters[count]);
    }

    function takesVotes(bytes32 taskId, uint32 round) private view returns (bool) {
        IVolquorum.Phase current = VOLQUORUM.phase(taskId, round);
        bool undecided = current == IVolquorum.Phase.Aggregate || current == IVolquorum.Phase.Challenge;
        return undecided && recipeOf[taskId].byVotes;
    }

    function voted(bytes32 taskId, uint32 round, uint256 who, IVolquorum.Result memory given) private {
        Ballot storage ballot = ballotIn[taskId][round];
        bytes32 result = hashOf(given.aggregateRoot, given.modelRoot);
        ballot.hasVoted[who] = true;
        if (++ballot.votes[result] > ballot.most) ballot.most = ballot.votes[result];
        if (result != ballot.right) ++ballot.liars;
    }

    function signedVote(bytes32 taskId, uint32 round, uint256 who, IVolquorum.Result memory given)
        private
        view
        returns (IVolquorum.Signature memory)
    {
        bytes32 voteType = keccak256(
            "Vote(bytes32 taskId,uint32 round,bytes32 updatesHash,uint64 unavailable,bytes32 aggregateRoot,bytes32 modelRoot)"
        );
        bytes memory what = abi.encode(given.updatesHash, given.unavailable, given.aggregateRoot, given.modelRoot);
        (bytes32 r, bytes32 vs) = sign(who, keccak256(bytes.concat(abi.encode(voteType, taskId, round), what)));
        return IVolquorum.Signature(r, vs);
    }

    /// @dev Another result, of the same updates.
    function swapped(IVolquorum.Result memory given) private pure returns (IVolquorum.Result memory) {
        return IVolquorum.Result(given.modelRoot, given.aggregateRoot, given.updatesHash, given.unavailable, 0, 0);
    }

    /// @dev Some lie, in one of two ways.
    function resultToVote(bytes32 taskId, uint32 round, bytes32[] memory roots, uint256 seed)
        private
        returns (IVolquorum.Result memory)
    {
        Recipe memory recipe = recipeOf[taskId];
        // In other tasks it is refused whatever it is.
        recipe.hasTable = false;
        bytes32 base = VOLQUORUM.taskState(taskId).modelRoot;
        Made memory made = make(recipe, roots, base);
        if (VOLQUORUM.phase(taskId, round) < IVolquorum.Phase.Final) {
            ballotIn[taskId][round].right = hashOf(rootOf(made.aggregate, 2), rootOf(made.model, 4));
        }
        makeWrong(recipe, made, roots, base, seed % 4 == 0 ? 1 + (seed >> 2) % 2 : 0);
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        return
            IVolquorum.Result(
                rootOf(made.aggregate, 2), rootOf(made.model, 4), facts.updatesHash, facts.unavailable, 0, 0
            );
    }

    function isIncluded(bytes32 taskId, uint32 round, uint256 who) private view returns (bool) {
        (IVolquorum.Update[] memory included,) = selection(taskId, round);
        for (uint256 index = 0; index < included.length; ++index) {
            if (included[index].participant == accounts[who]) return true;
        }
        return false;
    }

    /// @dev Invariant: a result is outvoted exactly by more than may lie and more than voted for it; nobody but its
    /// publisher's bond pays for that, and unless more lied than may, it was wrong.
    function refuteOutvoted(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        bytes32[] memory roots = includedRoots(taskId, round);
        if (roots.length <= 2 * uint256(recipeOf[taskId].tolerance)) return;
        IVolquorum.Result memory other = resultToVote(taskId, round, roots, seed);
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bytes32 published = hashOf(facts.aggregateRoot, facts.modelRoot);
        Ballot storage ballot = ballotIn[taskId][round];
        uint256 votes = ballot.votes[hashOf(other.aggregateRoot, other.modelRoot)];
        Recipe memory recipe = recipeOf[taskId];
        bool expected = recipe.byVotes && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge
            && votes > recipe.tolerance && votes > ballot.votes[published];
        bytes memory data =
            abi.encodeCall(IVolquorum.refuteOutvoted, (taskId, round, other.aggregateRoot, other.modelRoot));
        assertEq(call("refuteOutvoted", who, 0, data), expected, "what was outvoted, and nothing else");
        if (expected) {
            if (ballot.liars <= recipe.tolerance) assertNotEq(published, ballot.right, "an honest publisher");
            unpublished(taskId, round, facts, who, false);
        }
        check(taskId);
    }

    // -------------------------------------------------------------------------------------------- availability

    function flagUpdate(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        IVolquorum.Update[] memory updates = watchedIn[taskId][round].revealed;
        if (updates.length == 0) return;
        uint256 index = seed % updates.length;
        everFlagged[taskId][numberOf(updates[index].participant)] = true;
        bytes memory data = abi.encodeCall(IVolquorum.flagUpdate, (taskId, round, updates, index));
        if (pay("flagUpdate", who, taskId, termsOf[taskId].flagWei, data)) {
            watchedIn[taskId][round].excluded |= uint64(1 << index);
        }
        check(taskId);
    }

    /// @dev Invariant: the bytes behind an open flag can be posted until Availability ends.
    function postUpdate(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        Watched storage watched = watchedIn[taskId][round];
        if (watched.revealed.length == 0) return;
        uint256 index = seed % watched.revealed.length;
        IVolquorum.Update memory flagged = watched.revealed[index];
        IVolquorum.Flag memory flag = VOLQUORUM.updateFlag(taskId, flagged.participant);
        bool expected = flag.round == round && flag.flagger != address(0) && !vectorOf[flagged.updateRoot].falseNorm
            && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Availability;
        bytes memory chunk = vectorOf[flagged.updateRoot].chunk;
        bytes memory data = abi.encodeCall(IVolquorum.postUpdate, (taskId, round, flagged.participant, chunk, ""));
        assertEq(call("postUpdate", who, 0, data), expected, "an answer to an open flag, and to nothing else");
        if (expected) {
            watched.excluded &= ~uint64(1 << index);
            answered(taskId, flag.flagger, flagged.participant);
        }
        check(taskId);
    }

    function answered(bytes32 taskId, address flagger, address earner) private {
        Terms memory terms = termsOf[taskId];
        move(terms.currency, numberOf(flagger), numberOf(earner), terms.flagWei);
    }

    function reclaimDeposit(bytes32 taskId, uint256 who, uint256 seed) internal {
        address whose = accounts[seed % ACCOUNTS];
        act("reclaim", who, taskId, abi.encodeCall(IVolquorum.reclaimDeposit, (taskId, whose)));
    }

    function flagResult(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        IVolquorum.Published what = IVolquorum.Published(seed % 3);
        bytes memory data = abi.encodeCall(IVolquorum.flagResult, (taskId, round, what));
        if (what == IVolquorum.Published.Table) {
            if (publishedOf[taskId].products.length == 0) return;
            (bytes32 root, bytes32 choiceHash) = tableOf(publishedOf[taskId]);
            data = abi.encodeCall(IVolquorum.flagTable, (taskId, round, root, choiceHash));
        }
        termsOf[taskId].flagged = true;
        pay("flagResult", who, taskId, termsOf[taskId].flagWei, data);
        check(taskId);
    }

    /// @dev Invariant: whoever has the bytes of a flagged result can post them in time, and the publisher is paid.
    function postResult(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        IVolquorum.Published what = IVolquorum.Published(seed % 3);
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        address flagger = flaggerOf(taskId, facts, what);
        bool expected = flagger != address(0) && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge
            && block.timestamp < VOLQUORUM.deadlines(taskId, round).postResult;
        bytes memory chunks = partOf(taskId, facts, what);
        bytes memory data = abi.encodeCall(IVolquorum.postResult, (taskId, round, what, chunks, ""));
        assertEq(call("postResult", who, 0, data), expected, "an answer to an open flag, and to nothing else");
        if (expected) answered(taskId, flagger, facts.publisher);
        check(taskId);
    }

    /// @dev Invariant: a result is refuted as unavailable exactly if a flag was left open until posting was over. So a
    /// publisher who posts what is flagged is never refuted but by a proof.
    function refuteUnavailable(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        IVolquorum.Published what = IVolquorum.Published(seed % 3);
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        address flagger = flaggerOf(taskId, facts, what);
        bool expected = flagger != address(0) && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge
            && block.timestamp >= VOLQUORUM.deadlines(taskId, round).postResult;
        bytes memory data = abi.encodeCall(IVolquorum.refuteUnavailable, (taskId, round, what));
        assertEq(call("refuteUnavailable", who, 0, data), expected, "what nobody posted, and nothing else");
        if (expected) unpublished(taskId, round, facts, numberOf(flagger), true);
        check(taskId);
    }

    // ---------------------------------------------------------------------------------------------- challenges

    /// @dev Invariant: a seat is taken away exactly if the norm of its update is false and Availability still runs.
    function challengeNorm(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        Watched storage watched = watchedIn[taskId][round];
        if (watched.revealed.length == 0) return;
        uint256 index = seed % watched.revealed.length;
        IVolquorum.Update memory contested = watched.revealed[index];
        IVolquorum.Seat memory seat = VOLQUORUM.seat(taskId, contested.participant);
        bool expected = VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Availability
            && vectorOf[contested.updateRoot].falseNorm && seat.committedRound == round;
        bytes memory data = dataOfNorm(taskId, who, round, index, seed);
        bool succeeded = call("refuteNorm", proverOf(who, seed), 0, data);
        assertEq(succeeded, expected, "a proof of a false norm, and of nothing else");
        if (expected) {
            watched.excluded |= uint64(1 << index);
            provenFalse(taskId, round, contested.participant, seat.stakeWei, who, seed);
        }
        check(taskId);
    }

    function dataOfNorm(bytes32 taskId, uint256 who, uint32 round, uint256 index, uint256 seed)
        private
        returns (bytes memory)
    {
        IVolquorum.Update[] memory updates = watchedIn[taskId][round].revealed;
        bytes32 root = updates[index].updateRoot;
        bytes32 salt = sealFor(who, taskId, round, Claim(2, 0, root), seed);
        return abi.encodeCall(IVolquorum.challengeNorm, (taskId, round, updates, index, 0, vectorOf[root].chunk, salt));
    }

    /// @dev A function of its own because the stack has no room.
    function provenFalse(
        bytes32 taskId,
        uint32 round,
        address participant,
        uint256 stakeWei,
        uint256 challenger,
        uint256 seed
    ) private {
        uint256 prover = proverOf(challenger, seed);
        lose(termsOf[taskId].currency, numberOf(participant), prover, stakeWei, isSealed(seed) && prover == challenger);
        claimAward(taskId, round, challenger, seed, stakeWei / 2);
    }

    function challengeAggregate(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        bytes32 root = VOLQUORUM.roundState(taskId, round).aggregateRoot;
        if (root == 0) return;
        bytes32 salt = sealFor(who, taskId, round, Claim(0, 0, root), seed);
        bytes memory data = dataOfAggregate(taskId, round, root, salt);
        challenge("refuteAggregate", taskId, who, isWrongAggregate(taskId, round, root), seed, data);
    }

    function dataOfAggregate(bytes32 taskId, uint32 round, bytes32 root, bytes32 salt)
        private
        view
        returns (bytes memory)
    {
        (IVolquorum.Update[] memory included, IVolquorum.Update[] memory excluded) = selection(taskId, round);
        address[] memory participants = new address[](included.length);
        bytes memory openings;
        for (uint256 index = 0; index < included.length; ++index) {
            participants[index] = included[index].participant;
            openings = bytes.concat(openings, vectorOf[included[index].updateRoot].chunk);
        }
        openings = bytes.concat(openings, pathOf(root, 2));
        bytes memory evidence = evidenceOf(taskId);
        return abi.encodeCall(
            IVolquorum.challengeAggregate, (taskId, round, participants, excluded, 0, openings, evidence, salt)
        );
    }

    function evidenceOf(bytes32 taskId) private view returns (bytes memory) {
        if (!recipeOf[taskId].hasTable) return "";
        (bytes32 root,) = tableOf(publishedOf[taskId]);
        return bytes.concat(root, publishedOf[taskId].masks);
    }

    /// @dev By the published choice, whether that is right or not.
    function isWrongAggregate(bytes32 taskId, uint32 round, bytes32 root) private view returns (bool) {
        (IVolquorum.Update[] memory included,) = selection(taskId, round);
        Recipe memory recipe = recipeOf[taskId];
        if (!isProvable(included) || recipe.byVotes) return false;
        int256[][] memory rows = rowsOf(recipe, includedRoots(taskId, round));
        return plainRootOf(aggregateBy(recipe, rows, publishedOf[taskId].masks), 2) != root;
    }

    function challengeModel(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bytes memory base = vectorOf[VOLQUORUM.taskState(taskId).modelRoot].chunk;
        bytes memory aggregate = vectorOf[facts.aggregateRoot].chunk;
        if (aggregate.length == 0) return;
        bytes32 salt = sealFor(who, taskId, round, Claim(1, 0, facts.modelRoot), seed);
        bytes memory openings = bytes.concat(base, aggregate, pathOf(facts.modelRoot, 4));
        bytes memory data = abi.encodeCall(IVolquorum.challengeModel, (taskId, round, 0, openings, salt));
        challenge("refuteModel", taskId, who, plainRootOf(sum(base, aggregate), 4) != facts.modelRoot, seed, data);
    }

    function challengeProduct(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        (IVolquorum.Update[] memory included,) = selection(taskId, round);
        if (!hasPublishedTable(taskId, round) || !isProvable(included)) return;
        uint256 leaves = 2 ** PlainGram.heightOver(publishedOf[taskId].products.length);
        // Often the one that lies are about.
        uint32 leaf = seed % 2 == 0 ? 1 : uint32((seed >> 8) % leaves);
        bytes memory data = dataOfProduct(taskId, who, round, leaf, seed);
        challenge("refuteProduct", taskId, who, isWrongProduct(taskId, round, leaf), seed, data);
    }

    function dataOfProduct(bytes32 taskId, uint256 who, uint32 round, uint32 leaf, uint256 seed)
        private
        returns (bytes memory)
    {
        (bytes32 root, bytes32 choiceHash) = tableOf(publishedOf[taskId]);
        bytes32 salt = sealFor(who, taskId, round, Claim(3, leaf, root), seed);
        bytes memory openings = openingsOfLeaf(taskId, round, leaf);
        return abi.encodeCall(
            IVolquorum.challengeProduct,
            (taskId, round, watchedIn[taskId][round].revealed, leaf, openings, choiceHash, salt)
        );
    }

    function openingsOfLeaf(bytes32 taskId, uint32 round, uint32 leaf) private view returns (bytes memory openings) {
        bytes32[] memory roots = includedRoots(taskId, round);
        openings = PlainGram.pathOf(PlainGram.levelsOf(publishedOf[taskId].products), leaf);
        for ((uint256 i, uint256 pair) = (0, 0); i < roots.length; ++i) {
            for (uint256 j = i; j < roots.length; ++j) {
                if (pair++ != leaf) continue;
                openings = bytes.concat(openings, vectorOf[roots[i]].chunk);
                if (i != j) openings = bytes.concat(openings, vectorOf[roots[j]].chunk);
            }
        }
    }

    /// @dev Padding is never wrong here.
    function isWrongProduct(bytes32 taskId, uint32 round, uint32 leaf) private view returns (bool) {
        int64[][] memory products = publishedOf[taskId].products;
        if (leaf >= products.length) return false;
        int256[][] memory rows = rowsOf(recipeOf[taskId], includedRoots(taskId, round));
        return PlainGram.products(rows, 16)[leaf][0] != products[leaf][0];
    }

    function challengeChoice(bytes32 taskId, uint256 who, uint256 seed) internal {
        uint32 round = latestOf(taskId);
        if (!hasPublishedTable(taskId, round)) return;
        int64[][] memory products = publishedOf[taskId].products;
        (bytes32 root, bytes32 choiceHash) = tableOf(publishedOf[taskId]);
        bytes32 salt = sealFor(who, taskId, round, Claim(4, 0, root), seed);
        bytes memory nodes = PlainGram.pairNodes(PlainGram.levelsOf(products), products);
        IVolquorum.Update[] memory none;
        bytes memory data = abi.encodeCall(IVolquorum.challengeChoice, (taskId, round, none, nodes, choiceHash, salt));
        bytes memory right = choiceBy(recipeOf[taskId], products, includedRoots(taskId, round).length);
        challenge("refuteChoice", taskId, who, keccak256(right) != choiceHash, seed, data);
    }

    /// @dev Invariant: a proof succeeds exactly if the result is wrong and can still be contested.
    function challenge(string memory name, bytes32 taskId, uint256 who, bool wrong, uint256 seed, bytes memory data)
        private
    {
        uint32 round = latestOf(taskId);
        IVolquorum.RoundState memory facts = VOLQUORUM.roundState(taskId, round);
        bool expected = wrong && VOLQUORUM.phase(taskId, round) == IVolquorum.Phase.Challenge;
        bool succeeded = call(name, proverOf(who, seed), 0, data);
        assertEq(succeeded, expected, "a proof of a wrong result, and of nothing else");
        if (expected) {
            uint256 prover = proverOf(who, seed);
            unpublished(taskId, round, facts, prover, isSealed(seed) && prover == who);
            claimAward(taskId, round, who, seed, facts.bondWei / 2);
        }
        check(taskId);
    }

    /// @dev Who sends the proof: somebody who copied it, if it is copied.
    function proverOf(uint256 who, uint256 seed) private pure returns (uint256) {
        return isCopied(seed) ? (who + 1) % ACCOUNTS : who;
    }

    function isCopied(uint256 seed) private pure returns (bool) {
        return seed >> 161 & 1 == 1;
    }

    /// @dev Invariant: what a proof without a seal did not earn is claimed exactly by who had sealed it, once.
    function claimAward(bytes32 taskId, uint32 round, uint256 who, uint256 seed, uint256 awardWei) private {
        Claim memory claim = sealedClaim;
        bytes memory data = abi.encodeCall(
            IVolquorum.claimAward, (taskId, round, claim.kind, claim.chunk, claim.subject, bytes32(salts))
        );
        bool expected = isSealed(seed) && isCopied(seed) && awardWei != 0;
        assertFalse(call("claimAward", proverOf(who, seed), 0, data) && proverOf(who, seed) != who, "not the copier's");
        assertEq(call("claimAward", who, 0, data), expected, "what was sealed and copied, and nothing else");
        if (!expected) return;
        awardedWei[termsOf[taskId].currency] += awardWei;
        known[termsOf[taskId].currency][who] += awardWei;
        assertFalse(call("claimAward", who, 0, data), "claimed once");
    }

    /// @dev Invariant: a refutation takes the publisher's bond, and it alone sets a phase back, from Challenge to
    /// Aggregate, but for the last.
    function unpublished(
        bytes32 taskId,
        uint32 round,
        IVolquorum.RoundState memory before,
        uint256 challenger,
        bool awarded
    ) private {
        IVolquorum.Phase current = VOLQUORUM.phase(taskId, round);
        bool last = before.refutations + 1 == PhaseLib.MAX_REFUTATIONS;
        assertEq(uint8(current), uint8(last ? IVolquorum.Phase.Void : IVolquorum.Phase.Aggregate), "the round goes on");
        if (last) ++done["lastRefutation"];
        watchedIn[taskId][round].furthest = IVolquorum.Phase.Aggregate;
        ++watchedIn[taskId][round].refutations;
        lose(termsOf[taskId].currency, numberOf(before.publisher), challenger, before.bondWei, awarded);
    }

    // ------------------------------------------------------------------------------------------------------- steps

    struct Claim {
        uint8 kind;
        uint32 chunk;
        bytes32 subject;
    }

    /// @dev A salt, whose seal was stored in an earlier block, or not at all.
    function sealFor(uint256 who, bytes32 taskId, uint32 round, Claim memory claim, uint256 seed)
        private
        returns (bytes32 salt)
    {
        salt = bytes32(++salts);
        sealedClaim = claim;
        if (!isSealed(seed)) return salt;
        bytes32 tag = keccak256("volquorum.seal.1");
        address to = address(VOLQUORUM);
        bytes32 seal = keccak256(
            abi.encode(
                tag, block.chainid, to, taskId, round, accounts[who], claim.kind, claim.chunk, claim.subject, salt
            )
        );
        assertTrue(call("seal", who, 0, abi.encodeCall(IVolquorum.sealChallenge, (seal))), "a new seal");
        vm.roll(block.number + 1);
    }

    function isSealed(uint256 seed) private pure returns (bool) {
        return seed >> 160 & 1 == 1;
    }

    function selection(bytes32 taskId, uint32 round)
        private
        view
        returns (IVolquorum.Update[] memory included, IVolquorum.Update[] memory excluded)
    {
        Watched memory watched = watchedIn[taskId][round];
        included = new IVolquorum.Update[](includedIn(watched));
        excluded = new IVolquorum.Update[](watched.revealed.length - included.length);
        for ((uint256 index, uint256 taken) = (0, 0); index < watched.revealed.length; ++index) {
            if (watched.excluded >> index & 1 == 0) included[taken++] = watched.revealed[index];
            else excluded[index - taken] = watched.revealed[index];
        }
    }

    function includedRoots(bytes32 taskId, uint32 round) private view returns (bytes32[] memory roots) {
        (IVolquorum.Update[] memory included,) = selection(taskId, round);
        roots = new bytes32[](included.length);
        for (uint256 index = 0; index < roots.length; ++index) {
            roots[index] = included[index].updateRoot;
        }
    }

    /// @dev A norm that nobody contested in time is false for ever, and no opening leads to it.
    function isProvable(IVolquorum.Update[] memory included) private view returns (bool) {
        for (uint256 index = 0; index < included.length; ++index) {
            if (vectorOf[included[index].updateRoot].falseNorm) return false;
        }
        return true;
    }

    function hasPublishedTable(bytes32 taskId, uint32 round) private view returns (bool) {
        return recipeOf[taskId].hasTable && VOLQUORUM.roundState(taskId, round).publishedAt != 0;
    }

    function partOf(bytes32 taskId, IVolquorum.RoundState memory facts, IVolquorum.Published what)
        private
        view
        returns (bytes memory chunks)
    {
        if (what == IVolquorum.Published.Aggregate) return vectorOf[facts.aggregateRoot].chunk;
        if (what == IVolquorum.Published.Model) return vectorOf[facts.modelRoot].chunk;
        int64[][] memory products = publishedOf[taskId].products;
        if (products.length != 0) (chunks,) = PlainGram.part(PlainGram.levelsOf(products), 0);
    }

    function flaggerOf(bytes32 taskId, IVolquorum.RoundState memory facts, IVolquorum.Published what)
        private
        view
        returns (address)
    {
        bool flagged = facts.resultFlags >> uint8(what) & 1 == 1;
        return flagged ? VOLQUORUM.resultFlag(taskId, what).flagger : address(0);
    }
}
