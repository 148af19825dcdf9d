// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {LibRLP} from "solady/utils/LibRLP.sol";

import {CommitRevealBeacon} from "../src/seeds/CommitRevealBeacon.sol";
import {HeaderLib} from "../src/seeds/HeaderLib.sol";
import {ISeedSource} from "../src/seeds/ISeedSource.sol";
import {PrevrandaoSource} from "../src/seeds/PrevrandaoSource.sol";

/// @notice Block headers, field by field, as a client encodes them.
abstract contract Headers is Test {
    using LibRLP for LibRLP.List;

    uint256 internal constant DELAY = 4;
    // Fields of a header since each fork.
    uint256 internal constant LONDON = 16;
    uint256 internal constant PRAGUE = 21;

    struct Header {
        uint256 difficulty;
        bytes number;
        bytes extra;
        bytes mixHash;
        uint256 fields;
    }

    function headerOf(uint256 number, bytes32 prevrandao) internal pure returns (Header memory header) {
        header.number = minimal(number);
        header.extra = "extra";
        header.mixHash = abi.encode(prevrandao);
        header.fields = PRAGUE;
    }

    function encoded(uint256 number, bytes32 prevrandao) internal pure returns (bytes memory) {
        return encode(headerOf(number, prevrandao));
    }

    function encode(Header memory header) internal pure returns (bytes memory) {
        bytes memory word = abi.encode(keccak256("a hash"));
        LibRLP.List memory list = LibRLP.p(word).p(word).p(address(0xfee)).p(word).p(word).p(word);
        list = list.p(new bytes(256)).p(header.difficulty).p(header.number).p(30e6).p(21_000).p(1.75e9);
        list = list.p(header.extra).p(header.mixHash).p(new bytes(8)).p(1 gwei);
        if (header.fields > LONDON) list = list.p(word).p(uint256(0)).p(uint256(7)).p(word).p(word);
        return list.encode();
    }

    /// @dev Its bytes without leading zeros, as RLP has integers.
    function minimal(uint256 number) internal pure returns (bytes memory trimmed) {
        uint256 length = 0;
        while (number >> (8 * length) != 0) ++length;
        trimmed = new bytes(length);
        for (uint256 index = 0; index < length; ++index) {
            trimmed[index] = bytes1(uint8(number >> (8 * (length - 1 - index))));
        }
    }

    /// @dev Makes the bytes the header of that block of the chain.
    function mine(uint256 number, bytes memory header) internal {
        if (block.number <= number) vm.roll(number + 1);
        vm.setBlockhash(number, keccak256(header));
    }
}

/// @notice A block's randomness is recorded from its true header alone.
contract PrevrandaoSourceTest is Headers {
    // EIP-2935: its address and its code; each hash lies in the slot of its number modulo 8,191.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    bytes private constant HISTORY_CODE = hex"3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f356001430381116042"
        hex"57611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500";
    uint256 private constant HISTORY_BLOCKS = 8191;
    uint256 private constant OPENED = 20_000_000;
    bytes32 private constant PREVRANDAO = keccak256("prevrandao");

    PrevrandaoSource private source;

    function setUp() public {
        source = new PrevrandaoSource(DELAY);
        vm.roll(OPENED);
    }

    function testSeedIsThatOfTheBlockAfterTheDelay() public {
        uint256 due = OPENED + DELAY;
        assertEq(source.seedOf(OPENED), 0, "not recorded");
        bytes memory header = encoded(due, PREVRANDAO);
        mine(due, header);
        vm.expectEmit(address(source));
        emit PrevrandaoSource.HeaderRecorded(due, PREVRANDAO);
        source.record(header);
        assertEq(source.prevrandaoOf(due), PREVRANDAO);
        assertEq(source.seedOf(OPENED), keccak256(abi.encode(PREVRANDAO, due)), "seed");
        assertEq(source.seedOf(OPENED - 1), 0, "a block earlier");
        assertEq(source.seedOf(OPENED + 1), 0, "a block later");
    }

    function testRecordingAgainChangesNothing() public {
        bytes memory header = encoded(OPENED, PREVRANDAO);
        mine(OPENED, header);
        source.record(header);
        bytes32 seed = source.seedOf(OPENED - DELAY);
        source.record(header);
        assertEq(source.seedOf(OPENED - DELAY), seed);
    }

    function testAnyHeaderIsRead(uint64 number, bytes32 prevrandao, uint8 extraBytes, bool london) public {
        number = uint64(bound(number, DELAY, type(uint64).max - 1));
        vm.assume(prevrandao != 0);
        Header memory header = headerOf(number, prevrandao);
        header.extra = new bytes(extraBytes % 33);
        if (london) header.fields = LONDON;
        vm.roll(uint256(number) + 1);
        mine(number, encode(header));
        source.record(encode(header));
        assertEq(source.prevrandaoOf(number), prevrandao);
    }

    function testForgedRandomnessIsRefused(bytes32 forged) public {
        vm.assume(forged != PREVRANDAO);
        bytes memory header = encoded(OPENED, PREVRANDAO);
        mine(OPENED, header);
        expectWrongHeader(OPENED, encoded(OPENED, forged), keccak256(header));
    }

    function testAnyFlippedBitIsRefused(uint256 bit) public {
        bytes memory header = encoded(OPENED, PREVRANDAO);
        mine(OPENED, header);
        bit = bound(bit, 0, 8 * header.length - 1);
        header[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        vm.expectRevert();
        source.record(header);
    }

    function testHeaderOfAnotherNumberIsRefused() public {
        mine(OPENED, encoded(OPENED, PREVRANDAO));
        mine(OPENED + 1, encoded(OPENED + 1, keccak256("next")));
        expectWrongHeader(
            OPENED + 1, encoded(OPENED + 1, PREVRANDAO), keccak256(encoded(OPENED + 1, keccak256("next")))
        );
    }

    function testBlockToComeIsRefused() public {
        expectWrongHeader(OPENED, encoded(OPENED, PREVRANDAO), 0);
        expectWrongHeader(type(uint64).max, encoded(type(uint64).max, PREVRANDAO), 0);
    }

    function testOldBlockIsRefusedWithoutHistory() public {
        bytes memory header = encoded(OPENED, PREVRANDAO);
        mine(OPENED, header);
        vm.roll(OPENED + 257);
        expectWrongHeader(OPENED, header, 0);
    }

    function testHistoryReachesBack8191Blocks() public {
        vm.etch(HISTORY, HISTORY_CODE);
        bytes memory header = encoded(OPENED, PREVRANDAO);
        vm.store(HISTORY, bytes32(OPENED % HISTORY_BLOCKS), keccak256(header));
        vm.roll(OPENED + HISTORY_BLOCKS + 1);
        expectWrongHeader(OPENED, header, 0);
        vm.roll(OPENED + HISTORY_BLOCKS);
        source.record(header);
        assertEq(source.prevrandaoOf(OPENED), PREVRANDAO);
    }

    function testHeaderIsExactlyOneList() public {
        bytes memory header = encoded(OPENED, PREVRANDAO);
        expectBadHeader(abi.encodePacked(header, hex"00"));
        expectBadHeader(abi.encodePacked(header, header));
        expectBadHeader("");
        for (uint256 length = 1; length < header.length; length += 7) {
            expectBadHeader(prefixOf(header, length));
        }
        // The same content as a byte string, and in a list that is said to be one byte longer or shorter.
        for (uint256 index = 0; index < 3; ++index) {
            bytes memory other = encoded(OPENED, PREVRANDAO);
            other[index == 0 ? 0 : 2] = index == 0 ? bytes1(0xb9) : bytes1(uint8(other[2]) + uint8(2 * index) - 3);
            expectBadHeader(other);
        }
    }

    function testFieldsOfWrongLengthsAreRefused() public {
        Header memory header = headerOf(OPENED, PREVRANDAO);
        header.mixHash = new bytes(31);
        expectBadHeader(encode(header));
        header.mixHash = new bytes(33);
        expectBadHeader(encode(header));
        header = headerOf(OPENED, PREVRANDAO);
        header.number = abi.encodePacked(uint8(1), uint64(OPENED));
        expectBadHeader(encode(header));
        // A list in the place of the last field that is read, and too few fields.
        bytes memory items = encoded(OPENED, PREVRANDAO);
        items[mixHashIn(items)] = 0xe0;
        expectBadHeader(items);
        expectBadHeader(hex"f9000480808080");
    }

    function testHeaderFromBeforeTheMergeIsRefused() public {
        Header memory header = headerOf(OPENED, PREVRANDAO);
        header.difficulty = 1;
        expectBadHeader(encode(header));
    }

    function testBlockWithoutRandomnessIsRefused() public {
        bytes memory header = encoded(OPENED, 0);
        mine(OPENED, header);
        vm.expectRevert(abi.encodeWithSelector(PrevrandaoSource.NoRandomness.selector, OPENED));
        source.record(header);
    }

    function testBytesAreNoHeader(bytes calldata any) public {
        vm.expectRevert();
        source.record(any);
    }

    function testDelayInWhichTheOpenerKnowsTheSeedIsRefused() public {
        for (uint256 delay = 0; delay < 2; ++delay) {
            vm.expectRevert(abi.encodeWithSelector(PrevrandaoSource.DelayTooShort.selector, delay, 2));
            new PrevrandaoSource(delay);
        }
        assertEq(new PrevrandaoSource(2).DELAY_BLOCKS(), 2);
    }

    function expectWrongHeader(uint256 number, bytes memory header, bytes32 known) private {
        bytes memory refusal =
            abi.encodeWithSelector(PrevrandaoSource.WrongHeader.selector, number, keccak256(header), known);
        vm.expectRevert(refusal);
        source.record(header);
    }

    /// @dev Refused for what it is, even where the chain's block had this hash.
    function expectBadHeader(bytes memory header) private {
        mine(OPENED, header);
        vm.expectRevert(HeaderLib.BadHeader.selector);
        source.record(header);
    }

    function prefixOf(bytes memory header, uint256 length) private pure returns (bytes memory prefix) {
        prefix = new bytes(length);
        for (uint256 index = 0; index < length; ++index) {
            prefix[index] = header[index];
        }
    }

    /// @dev Where the prefix of the mix hash stands.
    function mixHashIn(bytes memory header) private pure returns (uint256 place) {
        for (; place < header.length; ++place) {
            if (header[place] != 0xa0) continue;
            bytes32 content;
            assembly ("memory-safe") {
                content := mload(add(header, add(33, place)))
            }
            if (content == PREVRANDAO) return place;
        }
    }
}

/// @notice Secrets make a seed; one that is held back costs its bond.
contract CommitRevealBeaconTest is Test {
    uint256 private constant BOND = 1 ether;
    uint256 private constant COMMIT_BLOCKS = 6;
    uint256 private constant REVEAL_BLOCKS = 4;
    uint256 private constant EPOCH_BLOCKS = COMMIT_BLOCKS + REVEAL_BLOCKS;
    uint256 private constant EPOCH = 77;
    uint256 private constant BEGIN = EPOCH * EPOCH_BLOCKS;
    // The last block whose rounds this epoch's seed is for.
    uint256 private constant OPENED = BEGIN - 1;

    CommitRevealBeacon private beacon;

    function setUp() public {
        beacon = new CommitRevealBeacon(BOND, COMMIT_BLOCKS, REVEAL_BLOCKS);
        vm.roll(BEGIN);
    }

    function testSeedIsThatOfTheFirstEpochBehindTheBlock() public {
        draw();
        bytes32 seed = beacon.seedOf(OPENED);
        assertTrue(seed != 0, "seed");
        assertEq(beacon.seedOf(OPENED - EPOCH_BLOCKS + 1), seed, "first block before the epoch");
        assertEq(beacon.seedOf(OPENED - EPOCH_BLOCKS), 0, "an epoch earlier");
        assertEq(beacon.seedOf(BEGIN), 0, "in the epoch itself");
    }

    function testSeedIsUnknownUntilTheEpochIsOver() public {
        commit(1);
        commit(2);
        vm.roll(BEGIN + COMMIT_BLOCKS);
        reveal(1);
        assertEq(beacon.seedOf(OPENED), 0, "others may still reveal");
        vm.roll(BEGIN + EPOCH_BLOCKS - 1);
        reveal(2);
        assertEq(beacon.seedOf(OPENED), 0, "last block");
        vm.roll(BEGIN + EPOCH_BLOCKS);
        bytes32 seed = beacon.seedOf(OPENED);
        assertTrue(seed != 0, "over");
        vm.roll(BEGIN + 100 * EPOCH_BLOCKS);
        assertEq(beacon.seedOf(OPENED), seed, "for ever");
    }

    function testNoSecretNoSeed() public {
        commit(1);
        vm.roll(BEGIN + EPOCH_BLOCKS);
        assertEq(beacon.seedOf(OPENED), 0);
    }

    function testOrderOfRevealsDoesNotMatter(uint8 secrets, uint8 rotation) public {
        secrets = uint8(bound(secrets, 2, 12));
        bytes32[2] memory seeds;
        uint256 before = vm.snapshotState();
        for (uint256 run = 0; run < 2; ++run) {
            for (uint256 index = 0; index < secrets; ++index) {
                commit(index);
            }
            vm.roll(BEGIN + COMMIT_BLOCKS);
            for (uint256 index = 0; index < secrets; ++index) {
                reveal(run == 0 ? index : (secrets - 1 - index + rotation) % secrets);
            }
            vm.roll(BEGIN + EPOCH_BLOCKS);
            seeds[run] = beacon.seedOf(OPENED);
            vm.revertToState(before);
        }
        assertEq(seeds[0], seeds[1]);
    }

    function testEverySecretCounts() public {
        uint256 before = vm.snapshotState();
        bytes32[8] memory seeds;
        for (uint256 revealed = 1; revealed < 8; ++revealed) {
            for (uint256 index = 0; index < 3; ++index) {
                commit(index);
            }
            vm.roll(BEGIN + COMMIT_BLOCKS);
            for (uint256 index = 0; index < 3; ++index) {
                if (revealed >> index & 1 == 1) reveal(index);
            }
            vm.roll(BEGIN + EPOCH_BLOCKS);
            seeds[revealed] = beacon.seedOf(OPENED);
            for (uint256 other = 0; other < revealed; ++other) {
                assertTrue(seeds[revealed] != seeds[other], "another subset, another seed");
            }
            vm.revertToState(before);
        }
    }

    function testEqualSecretsDoNotCancelOut() public {
        bytes32 secret = keccak256("the same");
        for (uint256 index = 0; index < 2; ++index) {
            commitAs(account(index), beacon.commitmentOf(EPOCH, account(index), secret));
        }
        vm.roll(BEGIN + COMMIT_BLOCKS);
        for (uint256 index = 0; index < 2; ++index) {
            vm.prank(account(index));
            beacon.reveal(secret);
        }
        (bytes32 mix, uint256 secrets) = beacon.epochs(EPOCH);
        assertTrue(mix != 0, "mix");
        assertEq(secrets, 2);
    }

    function testCopiedCommitmentCannotBeOpened() public {
        bytes32 copied = beacon.commitmentOf(EPOCH, account(1), secretOf(1));
        commitAs(account(2), copied);
        vm.roll(BEGIN + COMMIT_BLOCKS);
        bytes32 opened = beacon.commitmentOf(EPOCH, account(2), secretOf(1));
        expectWrongSecret(account(2), secretOf(1), copied, opened);
    }

    function testSecretIsRevealedOnce() public {
        commit(1);
        vm.roll(BEGIN + COMMIT_BLOCKS);
        bytes32 opened = beacon.commitmentOf(EPOCH, account(1), secretOf(1));
        expectWrongSecret(account(1), secretOf(2), opened, beacon.commitmentOf(EPOCH, account(1), secretOf(2)));
        expectWrongSecret(account(2), secretOf(1), 0, beacon.commitmentOf(EPOCH, account(2), secretOf(1)));
        reveal(1);
        expectWrongSecret(account(1), secretOf(1), 0, opened);
    }

    function testCommitmentOfAnotherEpochCannotBeOpened() public {
        commit(1);
        vm.roll(BEGIN + EPOCH_BLOCKS + COMMIT_BLOCKS);
        bytes32 opened = beacon.commitmentOf(EPOCH + 1, account(1), secretOf(1));
        vm.expectRevert(
            abi.encodeWithSelector(CommitRevealBeacon.WrongSecret.selector, EPOCH + 1, account(1), bytes32(0), opened)
        );
        vm.prank(account(1));
        beacon.reveal(secretOf(1));
    }

    function testPartsOfAnEpochFollowOneAnother(uint256 number) public {
        number = bound(number, 0, type(uint64).max);
        vm.roll(number);
        uint256 epoch = number / EPOCH_BLOCKS;
        uint256 from = epoch * EPOCH_BLOCKS + COMMIT_BLOCKS;
        bytes memory refusal = abi.encodeWithSelector(CommitRevealBeacon.WrongPart.selector, epoch, number, from);
        vm.deal(address(this), BOND);
        if (number < from) {
            vm.expectRevert(refusal);
            beacon.reveal(0);
            beacon.commit{value: BOND}(keccak256("commitment"));
        } else {
            vm.expectRevert(refusal);
            beacon.commit{value: BOND}(keccak256("commitment"));
        }
    }

    function testCommitmentNeedsExactlyTheBond() public {
        vm.deal(address(this), 10 ether);
        uint256[3] memory wrong = [0, BOND - 1, BOND + 1];
        for (uint256 index = 0; index < wrong.length; ++index) {
            vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.WrongBond.selector, wrong[index], BOND));
            beacon.commit{value: wrong[index]}(keccak256("commitment"));
        }
        vm.expectRevert(CommitRevealBeacon.EmptyCommitment.selector);
        beacon.commit{value: BOND}(0);
    }

    function testAnAccountCommitsOnceAnEpoch() public {
        commit(1);
        vm.deal(account(1), BOND);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.AlreadyCommitted.selector, EPOCH, account(1)));
        vm.prank(account(1));
        beacon.commit{value: BOND}(keccak256("another"));
        vm.roll(BEGIN + EPOCH_BLOCKS);
        commitAs(account(1), keccak256("another"));
    }

    function testBondsComeBackToWhoReveals() public {
        draw();
        assertEq(beacon.creditOf(account(1)), BOND);
        vm.expectEmit(address(beacon));
        emit CommitRevealBeacon.Withdrawn(account(1), address(0xbeef), BOND);
        vm.prank(account(1));
        beacon.withdraw(address(0xbeef));
        assertEq(address(0xbeef).balance, BOND);
        assertEq(address(beacon).balance, BOND, "what was held back stays");
        for (uint256 index = 1; index < 3; ++index) {
            vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.NothingToWithdraw.selector, account(index)));
            vm.prank(account(index));
            beacon.withdraw(address(0xbeef));
        }
    }

    function testRefusedMoneyStays() public {
        draw();
        address[2] memory refusing = [address(0), address(beacon)];
        for (uint256 index = 0; index < 2; ++index) {
            vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.TransferFailed.selector, refusing[index], BOND));
            vm.prank(account(1));
            beacon.withdraw(refusing[index]);
        }
        assertEq(beacon.creditOf(account(1)), BOND);
    }

    function testPartWithoutABlockIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.EmptyPart.selector, 0, 1));
        new CommitRevealBeacon(BOND, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.EmptyPart.selector, 1, 0));
        new CommitRevealBeacon(BOND, 1, 0);
    }

    /// @dev An epoch in which one reveals and another does not.
    function draw() private {
        commit(1);
        commit(2);
        vm.roll(BEGIN + COMMIT_BLOCKS);
        reveal(1);
        vm.roll(BEGIN + EPOCH_BLOCKS);
    }

    function commit(uint256 index) private {
        commitAs(account(index), beacon.commitmentOf(EPOCH, account(index), secretOf(index)));
    }

    function commitAs(address who, bytes32 commitment) private {
        vm.deal(who, BOND);
        vm.prank(who);
        beacon.commit{value: BOND}(commitment);
    }

    function reveal(uint256 index) private {
        vm.prank(account(index));
        beacon.reveal(secretOf(index));
    }

    function expectWrongSecret(address who, bytes32 secret, bytes32 committed, bytes32 opened) private {
        bytes memory refusal =
            abi.encodeWithSelector(CommitRevealBeacon.WrongSecret.selector, EPOCH, who, committed, opened);
        vm.expectRevert(refusal);
        vm.prank(who);
        beacon.reveal(secret);
    }

    function account(uint256 index) private pure returns (address) {
        return address(uint160(0xacc0000 + index));
    }

    function secretOf(uint256 index) private pure returns (bytes32) {
        return keccak256(abi.encode("secret", index));
    }
}

/// @notice A seed as of the moment in which somebody asks for it: what a source must not be.
contract MomentSource is ISeedSource {
    function seedOf(uint256) external view returns (bytes32) {
        return keccak256(abi.encode(block.prevrandao, block.number));
    }
}

/// @notice What whoever grinds a draw gains: how many of his own seats are drawn, over many rounds.
/// @dev He has 20 of 100 seats, of which 20 are drawn: 4 of his, give or take 1.79. The better of two draws has on
/// average 0.56 deviations more, the best of 32 has 2.07.
contract GrindingTest is Headers {
    uint256 private constant ROUNDS = 400;
    uint256 private constant OWN = 20;
    uint256 private constant ACTIVE = 100;
    uint256 private constant DRAWN = 20;
    uint256 private constant MOMENTS = 32;
    uint256 private constant OPENED = 20_000_000;

    // Thousandths of a seat, and how far a mean over so many rounds may be off: nearly three deviations.
    uint256 private constant FAIR = 4000;
    uint256 private constant BETTER_OF_TWO = 1010;
    uint256 private constant SLACK = 250;

    function testWithheldBlockIsWorthASecondDraw() public {
        uint256 fair = 0;
        uint256 ground = 0;
        for (uint256 round = 0; round < ROUNDS; ++round) {
            uint256 made = ownAfter(round, keccak256(abi.encode(round, "his block")));
            uint256 skipped = ownAfter(round, keccak256(abi.encode(round, "the next one's")));
            fair += made;
            ground += made > skipped ? made : skipped;
        }
        assertApproxEqAbs(1000 * fair / ROUNDS, FAIR, SLACK, "without grinding");
        assertApproxEqAbs(1000 * ground / ROUNDS, FAIR + BETTER_OF_TWO, SLACK, "better of two");
    }

    function testChosenMomentIsWorthAllDraws() public {
        MomentSource source = new MomentSource();
        uint256 ground = 0;
        for (uint256 round = 0; round < ROUNDS; ++round) {
            uint256 best = 0;
            for (uint256 moment = 0; moment < MOMENTS; ++moment) {
                vm.roll(OPENED + MOMENTS * round + moment);
                vm.prevrandao(keccak256(abi.encode(round, moment)));
                uint256 own = this.ownDrawn(source.seedOf(OPENED), round);
                if (own > best) best = own;
            }
            ground += best;
        }
        assertGt(1000 * ground / ROUNDS, FAIR + 3 * BETTER_OF_TWO, "best of all moments");
    }

    /// @dev Another moment to record or to draw in is another draw only if the seed depends on it.
    function testChosenMomentIsWorthNothing() public {
        PrevrandaoSource source = new PrevrandaoSource(DELAY);
        bytes memory header = encoded(OPENED + DELAY, keccak256("prevrandao"));
        mine(OPENED + DELAY, header);
        uint256 before = vm.snapshotState();
        bytes32 first;
        for (uint256 moment = 1; moment <= MOMENTS; ++moment) {
            vm.roll(OPENED + DELAY + moment);
            vm.prevrandao(keccak256(abi.encode(moment)));
            vm.setBlockhash(OPENED + DELAY, keccak256(header));
            source.record(header);
            bytes32 seed = source.seedOf(OPENED);
            if (moment == 1) first = seed;
            assertEq(seed, first);
            vm.revertToState(before);
        }
    }

    /// @dev His seats that a round draws, if the deciding block was made with this randomness.
    function ownAfter(uint256 round, bytes32 prevrandao) private returns (uint256) {
        PrevrandaoSource source = new PrevrandaoSource(DELAY);
        uint256 opened = OPENED + 10 * round;
        bytes memory header = encoded(opened + DELAY, prevrandao);
        mine(opened + DELAY, header);
        source.record(header);
        return this.ownDrawn(source.seedOf(opened), round);
    }

    /// @dev As `IVolquorum.drawSeats` says it. External, so that each call gives its memory back.
    function ownDrawn(bytes32 seed, uint256 round) external pure returns (uint256 drawn) {
        bytes24 draw = bytes24(keccak256(abi.encode(seed, keccak256("task"), round)));
        uint256 threshold = (DRAWN << 64) / ACTIVE;
        for (uint256 index = 0; index < OWN; ++index) {
            address own = address(uint160(0x5ea7000 + index));
            if (uint64(bytes8(keccak256(abi.encodePacked(draw, own)))) < threshold) ++drawn;
        }
    }
}
