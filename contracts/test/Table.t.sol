// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVolquorum} from "../src/interfaces/IVolquorum.sol";
import {ChallengeFixture} from "./ChallengeFixture.sol";
import {PlainGram} from "./PlainGram.sol";
import {PlainTree} from "./PlainTree.sol";
import {PlainWeights} from "./PlainWeights.sol";

/// @notice Rounds of tasks that clip, mix nearest neighbours, or choose or weigh updates by a table: what is published with
/// their results, what of it can be proven wrong and what cannot.
/// forge-config: default.fuzz.runs = 48
contract TableTest is ChallengeFixture {
    // Three chunks and up to seven updates.
    uint256 private constant DEPTH = 2;
    address private challenger = makeAddr("challenger");

    // ------------------------------------------------------------------------------------------------ publication

    function testEvidenceOfAResultIsStoredAndTold(uint256 seed, bytes32 root, bytes32 choiceHash) public {
        vm.assume(root != 0 && choiceHash != 0);
        play(withTable(seed), 5, seed);
        IVolquorum.Result memory result = resultWith(root, choiceHash);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.AggregatePublished(
            taskId,
            round,
            aggregator,
            result.aggregateRoot,
            result.modelRoot,
            result.updatesHash,
            result.unavailable,
            root,
            choiceHash
        );
        publish(taskId, round, aggregator, result);
        assertEq(volquorum.roundState(taskId, round).evidenceHash, keccak256(abi.encode(root, choiceHash)));
    }

    function testResultWithoutItsTableIsRefused(uint256 seed, bytes32 root) public {
        vm.assume(root != 0);
        play(withTable(seed), 5, seed);
        publicationIsRefused(0, root, abi.encodeWithSelector(IVolquorum.EmptyRoot.selector));
        publicationIsRefused(root, 0, abi.encodeWithSelector(IVolquorum.EmptyRoot.selector));
    }

    function testTableOfATaskWithoutOneIsRefused(uint8 rule, bytes32 root, bytes32 choiceHash) public {
        vm.assume(root | choiceHash != 0);
        IVolquorum.TaskParams memory params = challengeParams(IVolquorum.Rule.Median);
        params.preSteps = rule % 2;
        playToAvailability(params, 5, 1);
        walkToAggregate(taskId, round);
        publicationIsRefused(
            root, choiceHash, abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, root, choiceHash)
        );
        publishResult(aggregator);
        assertEq(volquorum.roundState(taskId, round).evidenceHash, 0);
    }

    // -------------------------------------------------------------------------------------------------- aggregates

    function testHonestResultCannotBeRefutedByAnything(uint256 seed, uint256 kind, uint256 count) public {
        play(kind, count, seed);
        publishResult(aggregator);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            noFraudInAggregate(chunk);
        }
        if (!hasTable()) return;
        // Some of the right leaves, and some of the padding.
        PlainGram.Node[][] memory levels = PlainGram.levelsOf(products);
        for (uint256 leaf = seed % 11; leaf < levels[0].length; leaf += 11) {
            noFraudAt(uint32(leaf), levels);
        }
        noFraudInChoice();
    }

    function testWrongCoordinateOfTheAggregateIsRefutedByItsChunkOnly(
        uint256 seed,
        uint256 kind,
        uint256 count,
        uint256 place
    ) public {
        play(kind, count, seed);
        place = bound(place, 0, aggregate.length - 1);
        aggregate[place] ^= 0x10;
        publishResult(aggregator);
        noFraudInAggregate(uint32((place / 32 + 1) % CHUNKS));
        if (hasTable()) noFraudInChoice();
        challengeAggregate(uint32(place / 32));
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        assertEq(volquorum.roundState(taskId, round).evidenceHash, 0);
    }

    function testResultOfPlainRanksIsWrongWhereUpdatesAreClipped(uint256 seed) public {
        play(0, 5, seed);
        IVolquorum.TaskParams memory params = volquorum.taskParams(taskId);
        assertEq(params.preSteps, 1);
        bytes memory right = aggregate;
        // Without its longest updates clipped the same round has another mean.
        makePlainMean();
        assertNotEq(aggregate, right);
        publishResult(aggregator);
        uint32 chunk = 0;
        while (same(aggregate, right, chunk)) ++chunk;
        challengeAggregate(chunk);
    }

    function testOtherEvidenceThanThePublishedIsRefused(uint256 seed, uint256 kind, uint256 place, bytes1 change)
        public
    {
        vm.assume(change != 0);
        play(withTable(kind), 6, seed);
        publishResult(aggregator);
        bytes memory shown = evidence();
        shown[place % shown.length] ^= change;
        bytes32 root = bytes32(shown);
        bytes32 choiceHash = keccak256(slice(shown, 32, shown.length - 32));
        aggregateIsRefused(shown, abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, root, choiceHash));
    }

    function testEvidenceOfAnotherLengthIsRefused(uint256 seed, uint256 kind, uint256 length) public {
        play(kind, 5, seed);
        publishResult(aggregator);
        uint256 right = evidence().length;
        length = bound(length, 0, 100);
        vm.assume(length != right);
        aggregateIsRefused(new bytes(length), abi.encodeWithSelector(IVolquorum.WrongLength.selector, length, right));
    }

    // ----------------------------------------------------------------------------------------------------- choices

    function testWrongChoiceIsRefutedAndNothingElse(uint256 seed, uint256 kind, uint256 row) public {
        play(withTable(kind), 6, seed);
        spoilChoice(row % (choice.length / 8));
        publishResult(aggregator);
        noFraudAt(uint32(seed % 64), PlainGram.levelsOf(products));
        sealFor(challenger, 4, 0, tableRoot());
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultRefuted(
            taskId, round, aggregator, challenger, IVolquorum.Fault.Choice, 0, 1 ether, 1 ether + 1
        );
        challengeChoice(keccak256(choice));
        assertRefuted();
    }

    function testAggregateByAWrongChoiceIsRight(uint256 seed, uint256 kind) public {
        // Without clipping: multi-Krum, Krum, geometric median, FLTrust.
        play([9, 10, 13, 15][kind % 4], 6, seed);
        spoilChoice(0);
        makeAggregateOf(choice);
        publishResult(aggregator);
        for (uint32 chunk = 0; chunk < CHUNKS; ++chunk) {
            noFraudInAggregate(chunk);
        }
        challengeChoice(keccak256(choice));
    }

    /// @dev Krum takes one update. Whoever publishes another one, with everything else made to fit it, has chosen
    /// wrongly; and who takes two, or none, has done so too.
    function testKrumTakesOneUpdateAndNoOther(uint256 seed, uint8 mask) public {
        mask %= 1 << 6;
        play(10, 6, seed);
        uint256 count = participants().length;
        vm.assume(mask != uint8(choice[7]));
        choice[7] = bytes1(mask);
        if (mask != 0 && mask < 1 << count) makeAggregateOf(choice);
        publishResult(aggregator);
        sealFor(challenger, 4, 0, tableRoot());
        challengeChoice(keccak256(choice));
        assertRefuted();
        makeResult();
        publishResult(stranger);
        noFraudInChoice();
        assertEq(aggregate, packed(takenByKrum(), 2));
    }

    function testChoiceIsContestedByThePublishedTableOnly(uint256 seed, uint256 place, bytes1 change, bytes32 other)
        public
    {
        vm.assume(change != 0 && other != keccak256(choice));
        play(withTable(seed), 5, seed);
        spoilChoice(0);
        publishResult(aggregator);
        bytes memory nodes = pairNodes();
        IVolquorum.Update[] memory updates = updatesForChoice();
        bytes32 root = tableRoot();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, root, other));
        volquorum.challengeChoice(taskId, round, updates, nodes, other, 0);
        nodes[place % nodes.length] ^= change;
        vm.expectPartialRevert(IVolquorum.EvidenceMismatch.selector);
        volquorum.challengeChoice(taskId, round, updates, nodes, keccak256(choice), 0);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, nodes.length + 1, nodes.length));
        volquorum.challengeChoice(taskId, round, updates, bytes.concat(nodes, "0"), keccak256(choice), 0);
    }

    function testWhoIsTrustedFollowsFromTheRevealedUpdatesOnly(uint256 seed) public {
        play(15, 6, seed);
        spoilChoice(0);
        publishResult(aggregator);
        (bytes memory nodes, bytes32 choiceHash) = (pairNodes(), keccak256(choice));
        IVolquorum.Update[] memory updates = revealed;
        (updates[0], updates[1]) = (updates[1], updates[0]);
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeChoice(taskId, round, updates, nodes, choiceHash, 0);
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeChoice(taskId, round, new IVolquorum.Update[](0), nodes, choiceHash, 0);
        challengeChoice(choiceHash);
    }

    function testOtherChoicesAreContestedWithoutUpdates(uint256 seed, uint256 kind) public {
        play(3 + kind % 12, 6, seed);
        spoilChoice(0);
        publishResult(aggregator);
        (bytes memory nodes, bytes32 choiceHash) = (pairNodes(), keccak256(choice));
        IVolquorum.Update[] memory updates = revealed;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, 96 * updates.length, 0));
        volquorum.challengeChoice(taskId, round, updates, nodes, choiceHash, 0);
        challengeChoice(choiceHash);
    }

    /// @dev Whoever FLTrust measures the others by has no weight itself; without it there is none at all.
    function testWithoutATrustedUpdateFLTrustsResultIsZero(uint256 seed) public {
        IVolquorum.TaskParams memory params = challengeParams(IVolquorum.Rule.FLTrust);
        params.trusted = stranger;
        playToAvailability(params, 5, seed);
        walkToAggregate(taskId, round);
        makeResult();
        assertEq(choice, new bytes(48));
        assertEq(aggregate, new bytes(2 * DIMENSION));
        publishResult(aggregator);
        noFraudInChoice();
        noFraudInAggregate(0);
        noFraudInAggregate(2);
    }

    // ---------------------------------------------------------------------------------------------------- products

    function testWrongProductIsRefutedByItsLeafOnly(uint256 seed, uint256 kind, uint256 place, int32 error) public {
        vm.assume(error != 0);
        play(withTable(kind), 6, seed);
        uint256 pair = place % products.length;
        uint256 chunk = (place >> 128) % CHUNKS;
        products[pair][chunk] += error;
        publishResult(aggregator);
        PlainGram.Node[][] memory levels = PlainGram.levelsOf(products);
        uint32 leaf = uint32(pair << DEPTH | chunk);
        noFraudAt(uint32((leaf + 4) % levels[0].length), levels);
        sealFor(challenger, 3, leaf, tableRoot());
        bytes memory openings = productOpenings(leaf, levels);
        vm.expectEmit(address(volquorum));
        emit IVolquorum.ResultRefuted(
            taskId, round, aggregator, challenger, IVolquorum.Fault.Product, leaf, 1 ether, 1 ether + 1
        );
        challengeProduct(leaf, openings);
        assertRefuted();
    }

    function testWrongSumIsRefutedFromBelowIt(uint256 seed, uint256 kind, uint256 height, uint256 leaf, int64 error)
        public
    {
        vm.assume(error != 0);
        play(withTable(kind), 5, seed);
        PlainGram.Node[][] memory levels = PlainGram.levelsOf(products);
        height = bound(height, 1, levels.length - 1);
        leaf = bound(leaf, 0, levels[0].length - 1);
        unchecked {
            levels[height][leaf >> height].sum += error;
        }
        for (uint256 above = height + 1; above < levels.length; ++above) {
            PlainGram.foldLevel(levels, above);
        }
        publish(taskId, round, aggregator, resultWith(rootOf(levels), keccak256(choice)));
        // What is recorded shows it: nothing needs to be opened.
        bytes memory path = PlainGram.pathOf(levels, leaf);
        volquorum.challengeProduct(taskId, round, new IVolquorum.Update[](0), uint32(leaf), path, keccak256(choice), 0);
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
    }

    function testPaddingThatIsNotZeroIsRefuted(uint256 seed, uint256 kind, uint256 which, int64 product) public {
        vm.assume(product != 0);
        play(withTable(kind), 5, seed);
        PlainGram.Node[][] memory levels = PlainGram.levelsOf(products);
        // Behind a pair's three chunks, or behind the fifteen pairs.
        uint32 leaf = uint32(which % 2 == 0 ? (which / 2 % 15) << DEPTH | 3 : 60 + which / 2 % 4);
        levels[0][leaf].sum = product;
        PlainGram.fold(levels);
        publish(taskId, round, aggregator, resultWith(rootOf(levels), keccak256(choice)));
        volquorum.challengeProduct(taskId, round, revealed, leaf, PlainGram.pathOf(levels, leaf), keccak256(choice), 0);
    }

    function testProductIsContestedByThePublishedTableOnly(uint256 seed, uint256 place, bytes1 change, bytes32 other)
        public
    {
        vm.assume(change != 0);
        (uint32 leaf, bytes memory openings) = playToAWrongProduct(seed);
        vm.assume(other != keccak256(choice));
        bytes32 root = tableRoot();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.EvidenceMismatch.selector, root, other));
        volquorum.challengeProduct(taskId, round, revealed, leaf, openings, other, 0);
        openings[place % (48 * 6 + 8)] ^= change;
        vm.expectPartialRevert(IVolquorum.EvidenceMismatch.selector);
        volquorum.challengeProduct(taskId, round, revealed, leaf, openings, keccak256(choice), 0);
    }

    function testProductIsContestedByTheRevealedUpdatesOnly(uint256 seed, uint256 place, bytes1 change) public {
        vm.assume(change != 0);
        (uint32 leaf, bytes memory openings) = playToAWrongProduct(seed);
        bytes32 choiceHash = keccak256(choice);
        IVolquorum.Update[] memory updates = revealed;
        (updates[0], updates[1]) = (updates[1], updates[0]);
        vm.expectPartialRevert(IVolquorum.UpdatesMismatch.selector);
        volquorum.challengeProduct(taskId, round, updates, leaf, openings, choiceHash, 0);
        uint256 start = 48 * 6 + 8;
        place = place % (openings.length - start);
        openings[start + place] ^= change;
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.BadOpening.selector, place / UPDATE_OPENING));
        volquorum.challengeProduct(taskId, round, revealed, leaf, openings, choiceHash, 0);
    }

    function testProductNeedsAllThatItsLeafAsksFor(uint256 seed, uint256 length) public {
        (uint32 leaf, bytes memory openings) = playToAWrongProduct(seed);
        uint256 start = 48 * 6 + 8;
        length = bound(length, 0, openings.length - 1);
        (uint256 found, uint256 wanted) = (length, start);
        if (length >= start) (found, wanted) = (length - start, openings.length - start);
        bytes memory cut = slice(openings, 0, length);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, found, wanted));
        volquorum.challengeProduct(taskId, round, revealed, leaf, cut, keccak256(choice), 0);
        // Nothing is opened at a padding leaf.
        bytes memory path = PlainGram.pathOf(PlainGram.levelsOf(products), 63);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.WrongLength.selector, 1, 0));
        volquorum.challengeProduct(taskId, round, revealed, 63, bytes.concat(path, "0"), keccak256(choice), 0);
    }

    function testLeafThatDoesNotExistIsRefused(uint32 leaf) public {
        (, bytes memory openings) = playToAWrongProduct(1);
        leaf = uint32(bound(leaf, 64, type(uint32).max));
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.UnknownChunk.selector, leaf, 64));
        volquorum.challengeProduct(taskId, round, revealed, leaf, openings, keccak256(choice), 0);
    }

    // ------------------------------------------------------------------------------------------- phases and tasks

    function testTaskWithoutATableHasNoneToContest(bool clipping) public {
        IVolquorum.TaskParams memory params = challengeParams(IVolquorum.Rule.TrimmedMean);
        params.preSteps = clipping ? 1 : 0;
        playToAvailability(params, 5, 1);
        walkToAggregate(taskId, round);
        makeResult();
        publishResult(aggregator);
        bytes memory noTable = abi.encodeWithSelector(IVolquorum.NoTable.selector, taskId);
        vm.expectRevert(noTable);
        volquorum.flagTable{value: 0.01 ether}(taskId, round, "table", "choice");
        vm.expectRevert(noTable);
        volquorum.challengeProduct(taskId, round, revealed, 0, "", "choice", 0);
        vm.expectRevert(noTable);
        volquorum.challengeChoice(taskId, round, new IVolquorum.Update[](0), "", "choice", 0);
    }

    function testTablesAreContestedInChallengeOnly() public {
        play(5, 5, 1);
        refusedInPhase(IVolquorum.Phase.Aggregate);
        publishResult(aggregator);
        walkToEnd(taskId, round);
        refusedInPhase(IVolquorum.Phase.Final);
    }

    function testRoundAfterARefutedTableEndsWell(uint256 seed, uint256 kind) public {
        play(withTable(kind), 5, seed);
        spoilChoice(0);
        publishResult(aggregator);
        challengeChoice(keccak256(choice));
        makeResult();
        publishResult(stranger);
        noFraudInChoice();
        noFraudInAggregate(1);
        walkToEnd(taskId, round);
        volquorum.finalise(taskId);
        assertEq(volquorum.taskState(taskId).modelRoot, PlainTree.rootOf(model, modelShape()));
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// @dev Every rule that weighs or chooses updates, and others behind every pre-step; one update in three excluded if
    /// the quorum allows.
    function play(uint256 kind, uint256 count, uint256 seed) private {
        (IVolquorum.Rule rule, uint8 preSteps) = method(kind % 17);
        IVolquorum.TaskParams memory params = challengeParams(rule);
        params.tolerance = 1;
        params.quorum = 5;
        params.preSteps = preSteps;
        count = bound(count, 5, 7);
        playToAvailability(params, count, seed);
        for (uint256 index = 0; index < count; ++index) {
            if (seed >> index & 3 == 3 && participants().length > 5) flag(taskId, round, revealed, index, stranger);
        }
        walkToAggregate(taskId, round);
        makeResult();
    }

    function method(uint256 kind) private pure returns (IVolquorum.Rule rule, uint8 preSteps) {
        if (kind < 9) {
            rule = [IVolquorum.Rule.Mean, IVolquorum.Rule.Median, IVolquorum.Rule.TrimmedMean][kind % 3];
            return (rule, uint8(1 + kind / 3));
        }
        if (kind < 13) {
            return (kind % 2 == 1 ? IVolquorum.Rule.MultiKrum : IVolquorum.Rule.Krum, uint8((kind - 9) / 2));
        }
        if (kind < 15) return (IVolquorum.Rule.GeometricMedian, uint8(kind - 13));
        return (kind == 15 ? IVolquorum.Rule.FLTrust : IVolquorum.Rule.CenteredClipping, 0);
    }

    /// @dev Not one of the first three, nor the last one, which only clip.
    function withTable(uint256 kind) private pure returns (uint256) {
        return 3 + kind % 13;
    }

    /// @dev The only update in the choice.
    function takenByKrum() private view returns (int256[] memory) {
        for ((uint256 index, uint256 taken) = (0, 0); index < values.length; ++index) {
            if (isIncluded(index) && uint8(choice[7]) == 1 << taken++) return values[index];
        }
        revert("none");
    }

    /// @dev With five updates, all included, and the product of two of them wrong.
    function playToAWrongProduct(uint256 seed) private returns (uint32 leaf, bytes memory openings) {
        play(withTable(seed), 5, seed);
        leaf = uint32(3 << DEPTH);
        ++products[3][0];
        publishResult(aggregator);
        openings = productOpenings(leaf, PlainGram.levelsOf(products));
    }

    /// @dev One that is chosen makes room for one that is not; a weight is half of the greatest off.
    function spoilChoice(uint256 row) private {
        if (weighs(volquorum.taskParams(taskId).rule)) {
            choice[8 * row + 4] ^= 0x20;
            return;
        }
        uint8 last = uint8(choice[8 * row + 7]);
        uint8 chosen = 0;
        while (last >> chosen & 1 == 0) ++chosen;
        uint8 other = 0;
        while (last >> other & 1 == 1) ++other;
        choice[8 * row + 7] = bytes1(uint8(last ^ (1 << chosen) ^ (1 << other)));
    }

    function makePlainMean() private {
        int256[][] memory rows = values;
        bytes8 all = bytes8(uint64((1 << rows.length) - 1));
        aggregate = packed(PlainGram.mixed(rows, bytes.concat(all))[0], 2);
    }

    /// @dev What a rule without pre-steps makes by this choice.
    function makeAggregateOf(bytes memory chosen) private {
        int256[][] memory rows = new int256[][](participants().length);
        for ((uint256 index, uint256 taken) = (0, 0); index < values.length; ++index) {
            if (isIncluded(index)) rows[taken++] = values[index];
        }
        bool byWeights = weighs(volquorum.taskParams(taskId).rule);
        rows = byWeights ? PlainWeights.averagedBy(rows, chosen) : PlainGram.mixed(rows, chosen);
        aggregate = packed(rows[0], 2);
    }

    function same(bytes memory one, bytes memory other, uint256 chunk) private pure returns (bool) {
        uint256 length = chunk < 2 ? 32 : 16;
        return keccak256(slice(one, 32 * chunk, length)) == keccak256(slice(other, 32 * chunk, length));
    }

    function rootOf(PlainGram.Node[][] memory levels) private view returns (bytes32) {
        return PlainGram.rootOf(levels, participants().length);
    }

    function pairNodes() private view returns (bytes memory) {
        int64[][] memory all = products;
        return PlainGram.pairNodes(PlainGram.levelsOf(all), all);
    }

    /// @dev A leaf's path, and its rows' chunks if it is of any.
    function productOpenings(uint256 leaf, PlainGram.Node[][] memory levels)
        private
        view
        returns (bytes memory openings)
    {
        openings = PlainGram.pathOf(levels, leaf);
        uint256 chunk = leaf % 4;
        uint256 pair = 0;
        for (uint256 i = 0; i < values.length; ++i) {
            for (uint256 j = i; j < values.length; ++j) {
                if (!isIncluded(i) || !isIncluded(j)) continue;
                if (pair++ != leaf >> DEPTH || chunk == 3) continue;
                openings = bytes.concat(openings, PlainTree.open(packed(values[i], 2), updateShape(), chunk));
                if (i == j) continue;
                openings = bytes.concat(openings, PlainTree.open(packed(values[j], 2), updateShape(), chunk));
            }
        }
    }

    function challengeAggregate(uint32 chunk) private {
        volquorum.challengeAggregate(
            taskId, round, participants(), excluded(), chunk, aggregateOpenings(chunk), evidence(), 0
        );
    }

    function challengeProduct(uint32 leaf, bytes memory openings) private {
        vm.prank(challenger);
        volquorum.challengeProduct(taskId, round, revealed, leaf, openings, keccak256(choice), SEAL_SALT);
    }

    function challengeChoice(bytes32 choiceHash) private {
        bytes memory nodes = pairNodes();
        IVolquorum.Update[] memory updates = updatesForChoice();
        vm.prank(challenger);
        volquorum.challengeChoice(taskId, round, updates, nodes, choiceHash, SEAL_SALT);
    }

    function assertRefuted() private view {
        assertPhase(phaseOf(taskId, round), IVolquorum.Phase.Aggregate);
        assertEq(creditOf(challenger), 1 ether);
        assertEq(volquorum.burnedOf(ETH), 1 ether + 1);
        assertEq(volquorum.roundState(taskId, round).evidenceHash, 0);
    }

    function noFraudInAggregate(uint32 chunk) private {
        bytes memory openings = aggregateOpenings(chunk);
        (address[] memory included, IVolquorum.Update[] memory others) = (participants(), excluded());
        bytes memory shown = evidence();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, chunk));
        volquorum.challengeAggregate(taskId, round, included, others, chunk, openings, shown, 0);
    }

    function noFraudAt(uint32 leaf, PlainGram.Node[][] memory levels) private {
        bytes memory openings = productOpenings(leaf, levels);
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, leaf));
        volquorum.challengeProduct(taskId, round, revealed, leaf, openings, keccak256(choice), 0);
    }

    function noFraudInChoice() private {
        bytes memory nodes = pairNodes();
        IVolquorum.Update[] memory updates = updatesForChoice();
        vm.expectRevert(abi.encodeWithSelector(IVolquorum.NoFraud.selector, taskId, round, 0));
        volquorum.challengeChoice(taskId, round, updates, nodes, keccak256(choice), 0);
    }

    function aggregateIsRefused(bytes memory shown, bytes memory reason) private {
        bytes memory openings = aggregateOpenings(0);
        (address[] memory included, IVolquorum.Update[] memory others) = (participants(), excluded());
        vm.expectRevert(reason);
        volquorum.challengeAggregate(taskId, round, included, others, 0, openings, shown, 0);
    }

    function publicationIsRefused(bytes32 root, bytes32 choiceHash, bytes memory reason) private {
        IVolquorum.Result memory result = resultWith(root, choiceHash);
        vm.deal(aggregator, 2 ether + 1);
        vm.expectRevert(reason);
        vm.prank(aggregator);
        volquorum.publish{value: 2 ether + 1}(taskId, round, result);
    }

    function refusedInPhase(IVolquorum.Phase current) private {
        expectWrongPhase(taskId, round, current, IVolquorum.Phase.Challenge);
        volquorum.flagTable{value: 0.01 ether}(taskId, round, "table", "choice");
        expectWrongPhase(taskId, round, current, IVolquorum.Phase.Challenge);
        volquorum.challengeProduct(taskId, round, revealed, 0, "", "choice", 0);
        expectWrongPhase(taskId, round, current, IVolquorum.Phase.Challenge);
        volquorum.challengeChoice(taskId, round, new IVolquorum.Update[](0), "", "choice", 0);
    }
}
