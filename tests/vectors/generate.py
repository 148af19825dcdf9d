"""Writes the vectors beside this file: `python -m tests.vectors.generate`.

Each file is a table: equally long columns of integers below 2^53 and of hex strings.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from eth_hash.auto import keccak
from eth_keys import keys

from tests.vectors import generate_gram, generate_rules, reference, reference_rules

Cell = str | int
Row = dict[str, Cell]

FOLDER = Path(__file__).parent

CHAIN_ID = 31337
CONTRACT = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
SPONSOR = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
NOBODY = "0x" + "00" * 20
DESKS = tuple("0x" + keccak(f"desk {i}".encode())[12:].hex() for i in range(4))

MEMBERS = 6
CENTERED_CLIPPING = 7

LOWEST, HIGHEST = -(2**15), 2**15 - 1
DIMENSIONS = (1, 15, 16, 17, 256, 257, 1000, 4097)

# Solidity's names, in the order of the struct.
PARAMS: dict[str, reference.Word] = {
    "modelSpecHash": keccak(b"spec"),
    "genesisModelRoot": keccak(b"genesis"),
    "dimension": 4097,
    "chunkLength": 256,
    "shift": 16,
    "rule": 3,
    "tolerance": 1,
    "preSteps": 0,
    "privacy": 0,
    "quorum": 3,
    "cohort": 5,
    "seats": 5,
    "drawn": 5,
    "seedSource": NOBODY,
    "clipNorm": 0,
    "maxSquaredNorm": 2**48,
    "aggregator": DESKS[3],
    "trusted": NOBODY,
    "selectionSeconds": 5,
    "commitSeconds": 20,
    "revealSeconds": 10,
    "availabilitySeconds": 6,
    "aggregatorSeconds": 7,
    "aggregateSeconds": 21,
    "challengeSeconds": 8,
    "scoreSeconds": 0,
    "rounds": 10,
    "closesAt": 1_800_000_000,
    "currency": NOBODY,
    "stakeWei": 10**16,
    "sliceWei": 10**15,
    "bondWei": 2 * 10**16,
    "flagWei": 3 * 10**15,
    "rewardWei": 10**15,
    "publisherWei": 10**14,
    "rewardRule": 0,
    "minSamples": 100,
    "sampleCap": 0,
    "maxMissed": 3,
    "salt": keccak(b"salt"),
}
# When the parameters in invalid/task.json are judged.
NOW = 1_790_000_000


def files() -> dict[str, str]:
    """The text of every vector file by its path below this folder."""
    tables = {
        "encoding.json": encoding(),
        "sumtree.json": sumtree(),
        "openings.json": openings(),
        "commitment.json": commitments(),
        "updates_hash.json": updates_hashes(),
        "members.json": members(),
        "shares.json": shares(),
        "task_id.json": task_ids(),
        "seal.json": seals(),
        "challenges.json": challenges(),
        "norms.json": norms(),
        "parts.json": parts(),
        "rules.json": rules(),
        "numbers.json": numbers(),
        "add_update.json": add_updates(),
        "invalid/encoding.json": invalid_encoding(),
        "invalid/openings.json": invalid_openings(),
        "invalid/task.json": invalid_tasks(),
        "invalid/rules.json": invalid_rules(),
        "invalid/numbers.json": invalid_numbers(),
        "invalid/add_update.json": invalid_add_updates(),
        **generate_rules.tables(),
        **generate_gram.tables(),
    }
    return {name: _as_table(rows) for name, rows in tables.items()}


def encoding() -> Iterator[Row]:
    for kind, shift, values in (
        (1, 16, [0]),
        (1, 0, [LOWEST, -1, 0, 1, HIGHEST]),
        (1, 255, reference.stream("update", 17)),
        (2, 16, [0]),
        (2, 31, [-(2**31), -1, 0, 1, 2**31 - 1]),
        (2, 20, reference.stream("model", 33, 4)),
    ):
        yield {
            "kind": kind,
            "shift": shift,
            "dimension": len(values),
            "values": _hex(reference.integers(values, 2 * kind)),
            "blob": _hex(reference.blob(kind, shift, values)),
        }


def sumtree() -> Iterator[Row]:
    for name, values, width_bytes, chunk_length in _trees():
        leaves = reference.leaves(values, width_bytes, chunk_length)
        levels = reference.levels(leaves)
        top = levels[-1][0]
        yield {
            "name": name,
            "dimension": len(values),
            "chunkLength": chunk_length,
            "widthBytes": width_bytes,
            "values": _hex(reference.integers(values, width_bytes)),
            "depth": len(levels) - 1,
            "leafHashes": _hex(b"".join(leaf for leaf, _ in leaves)),
            "leafSums": _hex(b"".join(reference.u64(total) for _, total in leaves)),
            "top": _hex(top[0]),
            "squaredNorm": top[1],
            "root": _hex(reference.root(len(values), top)),
        }


def openings() -> Iterator[Row]:
    for name, values, width_bytes, chunk_length in _trees():
        last = (len(values) - 1) // chunk_length
        for index in sorted({0, last // 2, last}):
            yield _opening(name, values, width_bytes, chunk_length, index)
    yield _opening_with_sum(2**63 - 1)


def commitments() -> Iterator[Row]:
    for i, (squared_norm, round_number) in enumerate(((0, 1), (12345, 2), (2**64 - 1, 2**32 - 1))):
        fields: dict[str, reference.Word] = {
            "chainId": CHAIN_ID + i,
            "contract": CONTRACT,
            "taskId": keccak(b"task"),
            "round": round_number,
            "baseModelRoot": keccak(b"base"),
            "participant": DESKS[i],
            "updateRoot": keccak(f"update {i}".encode()),
            "squaredNorm": squared_norm,
            "salt": keccak(f"salt {i}".encode()),
        }
        commitment = keccak(reference.words(keccak(b"volquorum.commitment.1"), *fields.values()))
        yield {
            **_cells(fields),
            "squaredNorm": _hex(reference.u64(squared_norm)),  # beyond 2^53
            "commitment": _hex(commitment),
            "stored": _hex(commitment[4:]),
        }


def updates_hashes() -> Iterator[Row]:
    for task, round_number in ((keccak(b"task"), 1), (keccak(b"other task"), 7)):
        start = reference.counted(0, keccak(b"volquorum.updates.1"), task, round_number)
        running = start
        for position, desk in enumerate(DESKS):
            update_root, squared_norm = keccak(f"update {position}".encode()), 10**position
            step = reference.counted(position + 1, running, desk, update_root, squared_norm)
            yield {
                "taskId": _hex(task),
                "round": round_number,
                "start": _hex(start),
                "previous": _hex(running),
                "participant": desk,
                "updateRoot": _hex(update_root),
                "squaredNorm": squared_norm,
                "updatesHash": _hex(running := step),
            }


def members() -> Iterator[Row]:
    """What the participants of one round sign, whether a draw chooses them, and their scores."""
    task, round_number, seed = keccak(b"task"), 7, keccak(b"seed")
    own_seed = keccak(reference.words(seed, task, round_number))[:24]
    draw = own_seed + reference.u64(MEMBERS // 2 * 2**64 // MEMBERS)
    running = bytes(32)
    for number in range(MEMBERS):
        key = keccak(f"member {number}".encode())
        member = "0x" + keccak(keys.PrivateKey(key).public_key.to_bytes())[12:].hex()
        commitment = keccak(f"commitment {number}".encode())
        digest = reference.signed_text(
            CHAIN_ID,
            CONTRACT,
            "Commit(bytes32 taskId,uint32 round,bytes32 commitment)",
            *(task, round_number, commitment),
        )
        r, vs = reference.signature(key, digest)
        unavailable = keccak(f"unavailable {number}".encode())[:8]
        found: dict[str, reference.Word] = {
            "updatesHash": keccak(f"updates {number}".encode()),
            "unavailable": int.from_bytes(unavailable, "big"),
            "aggregateRoot": keccak(f"aggregate {number}".encode()),
            "modelRoot": keccak(f"model {number}".encode()),
        }
        vote = reference.signed_text(
            CHAIN_ID,
            CONTRACT,
            "Vote(bytes32 taskId,uint32 round,bytes32 updatesHash,uint64 unavailable,"
            "bytes32 aggregateRoot,bytes32 modelRoot)",
            *(task, round_number, *found.values()),
        )
        vote_r, vote_vs = reference.signature(key, vote)
        scores, salt = keccak(f"scores {number}".encode())[:MEMBERS], keccak(f"{number}".encode())
        place = (CHAIN_ID, CONTRACT, task, round_number, member)
        promised = reference.words(keccak(b"volquorum.scores.1"), *place, keccak(scores), salt)
        step = reference.counted(number + 1, running, member, keccak(scores))
        yield {
            "chainId": CHAIN_ID,
            "contract": CONTRACT,
            "taskId": _hex(task),
            "round": round_number,
            "key": _hex(key),
            "participant": member,
            "commitment": _hex(commitment),
            "digest": _hex(digest),
            "r": _hex(r),
            "vs": _hex(vs),
            **_cells(found | {"unavailable": unavailable}),
            "voteDigest": _hex(vote),
            "voteR": _hex(vote_r),
            "voteVs": _hex(vote_vs),
            "seed": _hex(seed),
            "active": MEMBERS,
            "draws": MEMBERS // 2,
            "draw": _hex(draw),
            "drawn": int(reference.lot(draw, member) < int.from_bytes(draw[24:], "big")),
            "scores": _hex(scores),
            "salt": _hex(salt),
            "scoresCommitment": _hex(keccak(promised)),
            "scoresStored": _hex(keccak(promised)[8:]),
            "previous": _hex(running),
            "scoresHash": _hex(running := step),
        }


def shares() -> Iterator[Row]:
    """How rewards are divided; each participant of whom `scores` has bytes gave some."""
    samples = [100, 5_000, 0, 2**32 - 1, 700]
    scored = [bytes(keccak(f"shares {i}".encode())[:5]) for i in range(5)]
    some = [scored[0], b"", scored[2], b"", scored[4]]
    none = [b""] * 5
    three = [bytes([0, 200, 100]), bytes([255, 0, 50]), bytes([9, 8, 7])]
    for name, rule, reward, cap, unavailable, declared, given in (
        ("equal", 0, 10**15, 0, 0, samples, none),
        ("equal with a rest", 0, 10**15 + 1, 0, 0b00110, samples, none),
        ("samples", 1, 10**15, 1_000, 0, samples, none),
        ("samples of the included", 1, 10**15, 1_000, 0b01010, samples, none),
        ("no samples at all", 1, 10**15, 1_000, 0, [0] * 5, none),
        ("widest samples", 1, 2**96 - 1, 2**32 - 1, 0, [2**32 - 1] * 64, [b""] * 64),
        ("scores of all", 2, 10**15, 0, 0, samples, scored),
        ("scores of most", 2, 10**15, 0, 0, samples, some),
        ("scores of half", 2, 10**15, 0, 0b00010, samples, [scored[0], b"", scored[2], b"", b""]),
        ("scores of excluded", 2, 10**15, 0, 0b00101, samples, scored),
        ("of excluded alone", 2, 10**15, 0, 0b11000, samples, [*none[:3], *scored[3:]]),
        ("an odd number", 2, 10**15, 0, 0, samples[:3], three),
        ("alone", 2, 10**15, 0, 0, [1], [bytes([255])]),
        ("all scores zero", 2, 10**15, 0, 0, [1] * 3, [bytes(3)] * 3),
        ("no reward", 2, 0, 0, 0, samples, scored),
    ):
        found = reference.shares(
            rule, reward, cap=cap, unavailable=unavailable, samples=declared, scores=given
        )
        carried = b"".join(bytes([i]) + row for i, row in enumerate(given) if row)
        yield {
            "name": name,
            "rewardRule": rule,
            "rewardWei": _hex(reward.to_bytes(12, "big")),
            "sampleCap": cap,
            "count": len(declared),
            "unavailable": unavailable,
            "samples": _hex(b"".join(number.to_bytes(4, "big") for number in declared)),
            "scores": _hex(carried),
            "sharesWei": _hex(b"".join(share.to_bytes(12, "big") for share in found)),
        }


def task_ids() -> Iterator[Row]:
    cases: tuple[tuple[str, dict[str, reference.Word]], ...] = (
        ("plain", {}),
        ("anybody aggregates", {"aggregator": "0x" + "00" * 20}),
        ("clipped mean", {"rule": 1, "tolerance": 0, "clipNorm": 2**64 - 1}),
        ("widest", {"dimension": 2**32 - 1, "stakeWei": 2**96 - 1, "bondWei": 2**96 - 1}),
        ("clipped and mixed", {"preSteps": 3}),
        ("clipped before a mean", {"rule": 0, "preSteps": 1, "dimension": 2**32 - 1}),
        ("multi-Krum", {"rule": 4, "quorum": 5}),
        ("Krum", {"rule": 5, "quorum": 5}),
        ("multi-Krum of clipped", {"rule": 4, "quorum": 5, "preSteps": 1}),
        ("Krum of clipped", {"rule": 5, "quorum": 5, "preSteps": 1}),
        ("geometric median", {"rule": 6}),
        ("geometric median of clipped", {"rule": 6, "preSteps": 1}),
        ("centered clipping", {"rule": 7, "clipNorm": 1}),
        ("centered clipping that tolerates nobody", {"rule": 7, "clipNorm": 1, "tolerance": 0}),
        ("trusted", {"rule": 8, "trusted": DESKS[1]}),
        ("largest table", {"preSteps": 2, **_with_cohort(63), "dimension": 32 * 256}),
        ("drawn", {"seats": 2**16 - 1, "drawn": 3, "seedSource": DESKS[0]}),
        ("paid in a token, by samples", {"currency": DESKS[1], "rewardRule": 1, "sampleCap": 1}),
        ("paid by scores", {"rewardRule": 2, "scoreSeconds": 8, "maxMissed": 255}),
        ("nothing to lose or to earn", {"sliceWei": 0, "rewardWei": 0, "publisherWei": 0}),
    )
    by_votes: tuple[tuple[str, dict[str, reference.Word]], ...] = (
        ("Bulyan", {"rule": 9, **_with_cohort(7), "drawn": 7, "quorum": 7}),
        ("minimum diameter", {"rule": 10}),
        ("minimum diameter of clipped", {"rule": 10, "preSteps": 1}),
        ("clipped twice", {"rule": 1, "clipNorm": 1, "preSteps": 1}),
        ("centered clipping of clipped", {"rule": 7, "clipNorm": 1, "preSteps": 1}),
        ("clipped mean of mixed", {"rule": 1, "clipNorm": 1, "preSteps": 2}),
        ("centered clipping of mixed", {"rule": 7, "clipNorm": 1, "preSteps": 2}),
        ("multi-Krum of mixed", {"rule": 4, "quorum": 5, "preSteps": 2}),
        ("Krum of clipped and mixed", {"rule": 5, "quorum": 5, "preSteps": 3}),
        ("geometric median of mixed", {"rule": 6, "preSteps": 2}),
        ("geometric median, clipped and mixed", {"rule": 6, "preSteps": 3}),
        ("too large a table", {"preSteps": 2, **_with_cohort(63), "dimension": 32 * 256 + 1}),
        (
            "too large a table for multi-Krum",
            {"rule": 4, "quorum": 5, **_with_cohort(64), "dimension": 16 * 256 + 1},
        ),
        (
            "too large a table for a geometric median",
            {"rule": 6, **_with_cohort(64), "dimension": 16 * 256 + 1},
        ),
        (
            "too large a table for a trusted one",
            {"rule": 8, "trusted": DESKS[1], **_with_cohort(64), "dimension": 16 * 256 + 1},
        ),
    )
    for name, changes in cases + by_votes:
        params = reference.words(*(PARAMS | changes).values())
        domain = keccak(b"volquorum.task.1")
        yield {
            "name": name,
            "chainId": CHAIN_ID,
            "contract": CONTRACT,
            "sponsor": SPONSOR,
            "params": _hex(params),
            "byVotes": int((name, changes) in by_votes),
            "taskId": _hex(keccak(reference.words(domain, CHAIN_ID, CONTRACT, SPONSOR) + params)),
        }


def seals() -> Iterator[Row]:
    rounds_and_chunks = ((1, 0), (2, 12345), (2**32 - 1, 2**32 - 1), (3, 65_535), (4, 0))
    for kind, (round_number, chunk) in enumerate(rounds_and_chunks):
        fields: dict[str, reference.Word] = {
            "chainId": CHAIN_ID + kind,
            "contract": CONTRACT,
            "taskId": keccak(b"task"),
            "round": round_number,
            "challenger": DESKS[kind % len(DESKS)],
            "kind": kind,
            "chunk": chunk,
            "subject": keccak(f"subject {kind}".encode()),
            "salt": keccak(f"salt {kind}".encode()),
        }
        seal = keccak(reference.words(keccak(b"volquorum.seal.1"), *fields.values()))
        yield {**_cells(fields), "seal": _hex(seal)}


def challenges() -> Iterator[Row]:
    """The openings of wrong results; the published vectors are the right ones with one change."""
    for dimension, chunk_length, where in ((5, 16, 4), (100, 16, 70), (600, 256, 0)):
        updates = [reference.stream(f"challenge/{desk}", dimension) for desk in range(3)]
        honest = reference.aggregate(2, updates, 0, 0)
        base = reference.stream("challenge/base", dimension, 4)
        base = [value // 2 for value in base]
        model = [old + step for old, step in zip(base, honest, strict=True)]
        for name, opened, published, width_bytes in (
            ("aggregate", [(2, update) for update in updates], honest, 2),
            ("model", [(4, base), (2, honest)], model, 4),
        ):
            lie = [*published[:where], published[where] ^ 1, *published[where + 1 :]]
            chunk = where // chunk_length
            levels = reference.levels(reference.leaves(lie, width_bytes, chunk_length))
            openings = [_laid_out(values, width, chunk_length, chunk) for width, values in opened]
            yield {
                "name": name,
                "dimension": dimension,
                "chunkLength": chunk_length,
                "updates": _hex(b"".join(reference.integers(update, 2) for update in updates)),
                "baseModel": _hex(reference.integers(base, 4)),
                "published": _hex(reference.integers(lie, width_bytes)),
                "chunk": chunk,
                "openings": _hex(b"".join(openings) + reference.place(levels, chunk)),
            }


def norms() -> Iterator[Row]:
    """Trees that record a false sum somewhere, and how the first wrong chunk shows it."""
    for name, dimension, height, index, lie in (
        ("the only leaf", 9, 0, 0, -1),
        ("first leaf", 100, 0, 0, 1),
        ("last leaf", 100, 0, 6, -5),
        ("inner node", 100, 1, 2, 2**40),
        ("top", 100, 3, 0, -1000),
        ("true", 100, 3, 0, 0),
    ):
        values = reference.stream("norm", dimension)
        levels = reference.recorded(reference.leaves(values, 2, 16), height, index, lie)
        sums = [total for level in levels for _, total in level]
        chunk = index << height
        carried = reference.integers([*values, *[0] * 16][chunk * 16 : chunk * 16 + 16], 2)
        yield {
            "name": name,
            "dimension": dimension,
            "chunkLength": 16,
            "values": _hex(reference.integers(values, 2)),
            "sums": _hex(b"".join(reference.u64(total) for total in sums)),
            "squaredNorm": levels[-1][0][1],
            "root": _hex(reference.root(dimension, levels[-1][0])),
            "chunk": chunk,
            "opening": _hex(carried + reference.recorded_opening(levels, chunk)),
            "false": int(lie != 0),
        }


def parts() -> Iterator[Row]:
    """Every part of a few vectors, which are drawn from the stream of this name."""
    for dimension, chunk_length, width_bytes in (
        (1, 16, 2),
        (300, 256, 4),
        (16_384, 16, 2),
        (16_385, 16, 2),
        (24_576, 512, 4),
        (40_000, 48, 2),
    ):
        name = f"part/{dimension}"
        values = reference.stream(name, dimension, width_bytes)
        levels = reference.levels(reference.leaves(values, width_bytes, chunk_length))
        height = reference.part_height(dimension, width_bytes, chunk_length)
        step = chunk_length << height
        for number in range(-(-dimension // step)):
            cut = values[number * step : (number + 1) * step]
            cut += [0] * (-len(cut) % chunk_length)
            yield {
                "name": name,
                "dimension": dimension,
                "chunkLength": chunk_length,
                "widthBytes": width_bytes,
                "root": _hex(reference.root(dimension, levels[-1][0])),
                "part": number,
                "chunksBytes": len(cut) * width_bytes,
                "chunksHash": _hex(keccak(reference.integers(cut, width_bytes))),
                "siblings": _hex(reference.nodes(reference.siblings(levels[height:], number))),
            }


def rules() -> Iterator[Row]:
    for name, updates, tolerance, clip_norm in _update_sets():
        for rule in (0, 1, 2, 3, CENTERED_CLIPPING):
            # A mean tolerates nobody.
            clips = rule in {1, CENTERED_CLIPPING}
            liars, norm = tolerance * (rule != 0), clip_norm * clips
            if rule == CENTERED_CLIPPING:
                zero = [0] * len(updates[0])
                result = reference_rules.centered_clipping(updates, norm, 1, zero)
            else:
                result = reference.aggregate(rule, updates, liars, norm)
            yield {
                **_rule_case(name, rule, updates, liars, norm),
                "aggregate": _hex(reference.integers(result, 2)),
            }


def numbers() -> Iterator[Row]:
    for name, shift, values, units in (
        (
            "toward zero",
            0,
            [0.9, -0.9, 1.0, -1.0, 1.9, -1.9, 0.0, -0.0],
            [0, 0, 1, -1, 1, -1, 0, 0],
        ),
        ("limits", 15, [-1.0, 1.0 - 2.0**-15, 1.0 - 2.0**-16], [LOWEST, HIGHEST, HIGHEST]),
        ("just inside", 0, [-32768.999, 32767.999], [LOWEST, HIGHEST]),
        ("vanishing", 16, [5e-324, -5e-324, 2.0**-16, 2.0**-17, -(2.0**-17)], [0, 0, 1, 0, 0]),
        ("thirds", 16, [1 / 3, -1 / 3, 0.1, -0.1], [21845, -21845, 6553, -6553]),
    ):
        yield {**_floats(name, shift, values), "units": _hex(reference.integers(units, 2))}


def add_updates() -> Iterator[Row]:
    model = [0, 5, -5, 2**31 - 1 - HIGHEST, -(2**31) - LOWEST, *reference.stream("base", 11)]
    update = [0, -7, 7, HIGHEST, LOWEST, *reference.stream("step", 11)]
    total = [a + b for a, b in zip(model, update, strict=True)]
    yield {
        "model": _hex(reference.integers(model, 4)),
        "aggregate": _hex(reference.integers(update, 2)),
        "next": _hex(reference.integers(total, 4)),
    }


def invalid_encoding() -> Iterator[Row]:
    good = reference.blob(1, 16, [1, -2, 3])
    header, payload = good[:12], good[12:]
    for name, raw in (
        ("empty", b""),
        ("header cut short", header[:11]),
        ("header alone", header),
        ("wrong magic", b"VLR" + good[3:]),
        ("version 0", good[:3] + b"\0" + good[4:]),
        ("version 2", good[:3] + b"\2" + good[4:]),
        ("kind 0", good[:4] + b"\0" + good[5:]),
        ("kind 3", good[:4] + b"\3" + good[5:]),
        ("kind of another width", good[:4] + b"\2" + good[5:]),
        ("reserved byte set", good[:7] + b"\1" + good[8:]),
        ("dimension 0", header[:8] + bytes(4)),
        ("dimension 0 with values", header[:8] + bytes(4) + payload),
        ("dimension too small", header[:8] + (2).to_bytes(4, "big") + payload),
        ("dimension too large", header[:8] + (4).to_bytes(4, "big") + payload),
        ("dimension beyond memory", header[:8] + b"\xff" * 4 + payload),
        ("little-endian dimension", header[:8] + (3).to_bytes(4, "little") + payload),
        ("trailing byte", good + b"\0"),
        ("trailing coordinate", good + b"\0\0"),
        ("cut short by a byte", good[:-1]),
        ("twice", good + good),
    ):
        yield {"name": name, "blob": _hex(raw), "error": "EncodingError"}


def invalid_openings() -> Iterator[Row]:
    values = reference.stream("openings", 257)
    good = _opening("", values, 2, 16, 5)
    hashes, sums, chunk = str(good["siblingHashes"]), str(good["siblingSums"]), str(good["chunk"])
    last = _opening("", values, 2, 16, 16)
    model = _opening("", values, 4, 16, 5)
    # Both are 64 zero bytes in one leaf with sum 0: only the width tells them apart.
    zero_model = _opening("", [0] * 10, 4, 16, 0)
    # A sum that wraps around 2^64 would hide any norm.
    wrapping = "0x" + "ff" * 8 + sums[18:]
    for name, change in (
        ("another index", good | {"index": 4}),
        ("index of a padding leaf", good | {"index": 17}),
        ("index beyond the tree", good | {"index": 32 + 5}),
        ("another root", good | {"root": _hex(keccak(b"root"))}),
        ("another dimension", good | {"dimension": 258}),
        ("changed coordinate", good | {"chunk": _flipped(chunk, 2)}),
        ("chunk too short", good | {"chunk": chunk[:-4]}),
        ("chunk too long", good | {"chunk": chunk + "0000"}),
        ("empty chunk", good | {"chunk": "0x"}),
        ("changed sibling", good | {"siblingHashes": _flipped(hashes, 2)}),
        ("changed sibling sum", good | {"siblingSums": _flipped(sums, 17)}),
        ("sibling sum that wraps", good | {"siblingSums": wrapping}),
        ("sibling missing", good | {"siblingHashes": hashes[:-64], "siblingSums": sums[:-16]}),
        (
            "sibling too many",
            good | {"siblingHashes": hashes + "00" * 32, "siblingSums": sums + "00" * 8},
        ),
        (
            "inner node as leaf",
            good | {"siblingHashes": "0x" + hashes[66:], "siblingSums": "0x" + sums[18:]},
        ),
        ("dirty padding", last | {"chunk": str(last["chunk"])[:-4] + "0001"}),
        ("a model's chunk as an update's", model | {"widthBytes": 2}),
        ("an update's chunk as a model's", good | {"widthBytes": 4}),
        ("a zero model as a zero update", zero_model | {"widthBytes": 2, "chunkLength": 32}),
        ("larger chunks", good | {"chunkLength": 32}),
        # No honest tree gets near, and a sum that is kept small can never wrap.
        ("a sum of 2^63", _opening_with_sum(2**63)),
    ):
        yield change | {"name": name, "error": "VerificationFailed"}


def invalid_tasks() -> Iterator[Row]:
    """One parameter out of its range, with the field that is refused."""
    day = 86_400
    cases: tuple[tuple[str, dict[str, reference.Word]], ...] = (
        ("modelSpecHash", {"modelSpecHash": bytes(32)}),
        ("genesisModelRoot", {"genesisModelRoot": bytes(32)}),
        ("dimension", {"dimension": 0}),
        ("chunkLength", {"chunkLength": 0}),
        ("chunkLength", {"chunkLength": 250}),
        ("chunkLength", {"chunkLength": 528}),
        ("shift", {"shift": 32}),
        ("cohort", {"cohort": 0}),
        ("cohort", {"cohort": 65}),
        ("quorum", {"quorum": 0}),
        ("quorum", {"quorum": 6}),
        ("seats", {"seats": 4}),
        ("drawn", {"drawn": 2}),
        ("drawn", {"drawn": 6}),
        ("seedSource", {"seedSource": DESKS[0]}),
        ("seedSource", {"seats": 6}),
        ("tolerance", {"tolerance": 2}),
        ("tolerance", {"rule": 0, "tolerance": 1}),
        ("tolerance", {"rule": 2, "quorum": 4, "tolerance": 2}),
        ("tolerance", {"preSteps": 1, "tolerance": 0}),
        ("tolerance", {"preSteps": 2, "tolerance": 2}),
        ("tolerance", {"rule": 4, "tolerance": 0, "quorum": 5}),
        ("tolerance", {"rule": 4, "quorum": 4}),
        ("tolerance", {"rule": 4, "preSteps": 1, "quorum": 4}),
        ("tolerance", {"rule": 5, "quorum": 4}),
        ("tolerance", {"rule": 5, "quorum": 5, "tolerance": 0}),
        ("tolerance", {"rule": 6, "tolerance": 0}),
        ("tolerance", {"rule": 6, "tolerance": 2}),
        ("tolerance", {"rule": 7, "clipNorm": 1, "tolerance": 2}),
        ("tolerance", {"rule": 7, "clipNorm": 1, "tolerance": 0, "preSteps": 2}),
        ("tolerance", {"rule": 8, "trusted": DESKS[1], "tolerance": 0}),
        ("tolerance", {"rule": 8, "trusted": DESKS[1], "tolerance": 2}),
        ("tolerance", {"rule": 9, **_with_cohort(7), "drawn": 6, "quorum": 6}),
        ("tolerance", {"rule": 10, "tolerance": 0}),
        ("trusted", {"trusted": DESKS[1]}),
        ("trusted", {"rule": 7, "clipNorm": 1, "trusted": DESKS[1]}),
        ("trusted", {"rule": 8}),
        ("preSteps", {"preSteps": 4}),
        ("preSteps", {"rule": 6, "preSteps": 4}),
        ("preSteps", {"rule": 8, "trusted": DESKS[1], "preSteps": 1}),
        ("clipNorm", {"clipNorm": 1}),
        ("clipNorm", {"rule": 1, "clipNorm": 0}),
        ("clipNorm", {"rule": 6, "clipNorm": 1}),
        ("clipNorm", {"rule": 7}),
        ("maxSquaredNorm", {"maxSquaredNorm": 0}),
        ("selectionSeconds", {"selectionSeconds": 365 * day + 1}),
        ("commitSeconds", {"commitSeconds": 0}),
        ("commitSeconds", {"commitSeconds": 365 * day + 1}),
        ("revealSeconds", {"revealSeconds": 0}),
        ("revealSeconds", {"revealSeconds": 365 * day + 1}),
        ("availabilitySeconds", {"availabilitySeconds": 365 * day + 1}),
        ("aggregateSeconds", {"aggregateSeconds": 0, "aggregatorSeconds": 0}),
        ("aggregateSeconds", {"aggregateSeconds": 365 * day + 1}),
        ("aggregatorSeconds", {"aggregatorSeconds": 22}),
        ("challengeSeconds", {"challengeSeconds": 365 * day + 1}),
        ("scoreSeconds", {"scoreSeconds": 2}),
        ("scoreSeconds", {"rewardRule": 1, "sampleCap": 1, "scoreSeconds": 8}),
        ("scoreSeconds", {"rewardRule": 2}),
        ("scoreSeconds", {"rewardRule": 2, "scoreSeconds": 1}),
        ("scoreSeconds", {"rewardRule": 2, "scoreSeconds": 9}),
        ("sampleCap", {"sampleCap": 1}),
        ("sampleCap", {"rewardRule": 1}),
        ("sampleCap", {"rewardRule": 2, "scoreSeconds": 8, "sampleCap": 1}),
        ("closesAt", {"closesAt": NOW}),
        ("closesAt", {"closesAt": NOW + 3650 * day + 1}),
        ("rounds", {"rounds": 0}),
        ("rewardWei", {"rewardWei": (2**96 - 1) // 10 + 1, "publisherWei": 0}),
        ("rewardWei", {"rewardWei": (2**96 - 1) // 10, "publisherWei": 1}),
        ("rewardWei", {"rewardWei": 0, "publisherWei": (2**96 - 1) // 10 + 1}),
        ("sliceWei", {"sliceWei": 10**16 + 1}),
    )
    for field, changes in cases:
        params = _hex(reference.words(*(PARAMS | changes).values()))
        yield {"field": field, "now": NOW, "params": params, "error": "InvalidParameter"}


def _with_cohort(cohort: int) -> dict[str, reference.Word]:
    """As many seats as a round includes updates."""
    return {"cohort": cohort, "seats": cohort}


def invalid_rules() -> Iterator[Row]:
    two, three = [[1, 2], [3, 4]], [[1, 2], [3, 4], [5, 6]]
    for name, rule, updates, tolerance, clip_norm in (
        ("a mean asked to tolerate a liar", 0, three, 1, 0),
        ("a clipped mean without a norm", 1, three, 1, 0),
        ("a centered clipping without a norm", CENTERED_CLIPPING, three, 1, 0),
        ("as many liars as honest updates", 1, two, 1, 9),
        ("as many liars as honest updates", CENTERED_CLIPPING, two, 1, 9),
        ("as many liars as honest updates", 2, two, 1, 0),
        ("nothing left after trimming", 3, two, 1, 0),
        ("more liars than updates", 3, three, 255, 0),
    ):
        case = _rule_case(name, rule, updates, tolerance, clip_norm)
        yield {**case, "error": "RuleError"}


def invalid_numbers() -> Iterator[Row]:
    for name, shift, values in (
        ("not a number", 16, [0.0, float("nan")]),
        ("infinite", 16, [float("inf")]),
        ("minus infinite", 16, [float("-inf")]),
        ("one unit too large", 15, [1.0]),
        ("one unit too small", 15, [-1.0 - 2.0**-15]),
        ("overflows when scaled", 31, [1.7e308]),
    ):
        yield {**_floats(name, shift, values), "error": "RangeError"}


def invalid_add_updates() -> Iterator[Row]:
    for name, model, update in (("above", 2**31 - 1, 1), ("below", -(2**31), -1)):
        yield {
            "name": name,
            "model": _hex(reference.integers([0, model], 4)),
            "aggregate": _hex(reference.integers([0, update], 2)),
            "error": "RangeError",
        }


def _trees() -> Iterator[tuple[str, list[int], int, int]]:
    for width_bytes in (2, 4):
        limit = 2 ** (8 * width_bytes - 1)
        for dimension in DIMENSIONS:
            drawn = reference.stream(f"tree/{dimension}", dimension, width_bytes)
            values = [-limit, limit - 1, -1, 0, 1, *drawn][:dimension]
            for chunk_length in (16, 256):
                yield "drawn", values, width_bytes, chunk_length
    yield "all lowest", [LOWEST] * 257, 2, 16
    yield "all zero", [0] * 17, 2, 16


def _laid_out(values: Sequence[int], width_bytes: int, chunk_length: int, index: int) -> bytes:
    """An opening as a challenge carries it."""
    levels = reference.levels(reference.leaves(values, width_bytes, chunk_length))
    chunk = reference.integers(values[index * chunk_length :][:chunk_length], width_bytes)
    padded = chunk.ljust(chunk_length * width_bytes, b"\0")
    return padded + reference.nodes(reference.siblings(levels, index))


def _opening(
    name: str, values: Sequence[int], width_bytes: int, chunk_length: int, index: int
) -> Row:
    levels = reference.levels(reference.leaves(values, width_bytes, chunk_length))
    path = reference.siblings(levels, index)
    chunk = reference.integers(values[index * chunk_length :][:chunk_length], width_bytes)
    return {
        "name": name,
        "root": _hex(reference.root(len(values), levels[-1][0])),
        "dimension": len(values),
        "chunkLength": chunk_length,
        "widthBytes": width_bytes,
        "index": index,
        "chunk": _hex(chunk.ljust(chunk_length * width_bytes, b"\0")),
        "siblingHashes": _hex(b"".join(sibling for sibling, _ in path)),
        "siblingSums": _hex(b"".join(reference.u64(total) for _, total in path)),
    }


def _opening_with_sum(total: int) -> Row:
    """The opening of one leaf beside an invented node, so that the root's sum is `total`."""
    values = reference.stream("sum", 16)
    (leaf,) = reference.leaves(values, 2, 16)
    invented = (keccak(b"invented"), total - leaf[1])
    return {
        "name": "largest sum",
        "root": _hex(reference.root(32, reference.node(leaf, invented))),
        "dimension": 32,
        "chunkLength": 16,
        "widthBytes": 2,
        "index": 0,
        "chunk": _hex(reference.integers(values, 2)),
        "siblingHashes": _hex(invented[0]),
        "siblingSums": _hex(reference.u64(invented[1])),
    }


def _update_sets() -> Iterator[tuple[str, list[list[int]], int, int]]:
    outlier = [[1, 10, -3], [2, 9, -1], [3, 7, 0], [4, 8, 2], [100, -50, 1000]]
    yield "one outlier", outlier, 1, 10
    yield "least instance", [[0], [0], [0], [1], [1]], 1, 1  # no rule can tell who lies
    yield "alone", [[LOWEST, -1, 0, 1, HIGHEST]], 0, 40_000
    yield "floor below zero", [[-1, -1, -3], [0, -2, -4]], 0, 3
    yield "extremes", [[LOWEST, HIGHEST], [HIGHEST, LOWEST], [LOWEST, LOWEST]], 1, 32_768
    yield "all equal", [[7, -7]] * 6, 2, 5
    yield "ties", [[5, 1], [5, 1], [5, 2], [1, 2], [1, 2]], 2, 3
    yield "short and long", [[0, 0], [1, -1], [300, -400], [-300, -400], [30_000, 1]], 2, 500
    yield "just within the norm", [[3, 4], [-3, -4], [3, -4]], 1, 5
    yield "just beyond the norm", [[3, 4], [-3, -4], [3, -5]], 1, 5
    for count, tolerance in ((2, 0), (3, 1), (8, 2), (15, 7), (16, 3), (33, 16), (64, 12)):
        drawn = [reference.stream(f"rules/{count}/{i}", 16) for i in range(count)]
        yield f"drawn {count}", drawn, tolerance, 50_000


def _rule_case(
    name: str, rule: int, updates: Sequence[Sequence[int]], tolerance: int, clip_norm: int
) -> Row:
    return {
        "name": name,
        "rule": rule,
        "tolerance": tolerance,
        "clipNorm": clip_norm,
        "count": len(updates),
        "dimension": len(updates[0]),
        "updates": _hex(b"".join(reference.integers(update, 2) for update in updates)),
    }


def _floats(name: str, shift: int, values: Sequence[float]) -> Row:
    raw = struct.pack(f">{len(values)}d", *values)
    return {"name": name, "shift": shift, "values": _hex(raw)}


def _flipped(text: str, position: int) -> str:
    digit = "0" if text[position] != "0" else "1"
    return text[:position] + digit + text[position + 1 :]


def _cells(fields: dict[str, reference.Word]) -> Row:
    return {
        name: _hex(value) if isinstance(value, bytes) else value for name, value in fields.items()
    }


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def _as_table(rows: Iterator[Row]) -> str:
    listed = list(rows)
    columns = {name: [row[name] for row in listed] for name in listed[0]}
    return json.dumps(columns, indent=1) + "\n"


if __name__ == "__main__":
    for path, text in files().items():
        (FOLDER / path).write_text(text, encoding="ascii")
