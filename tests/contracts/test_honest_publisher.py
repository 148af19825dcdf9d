"""Nobody can slash an honest publisher, whatever he sends.

Every call that could is mutated in every field, from single bits to whole openings of other chunks,
and none may succeed; the round then ends with the honest model and the bond given back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from protocol.errors import Reverted
from protocol.posting import Part, parts
from protocol.state import Published
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, Rule
from tests.contracts.revm import INTERFACE, Revm, account
from tests.contracts.stage import (
    CHALLENGER,
    FIRST_DESK,
    METHODS,
    PHASE_SECONDS,
    PUBLISHER,
    ROUND,
    Stage,
    drawn_updates,
)

pytestmark = pytest.mark.contracts

CALLS = 100_000
CALLS_A_ROUND = 2_500
WORD = 32
Mutation = Callable[[bytearray, np.random.Generator, "Seeds"], bytes]


@dataclass(frozen=True)
class Seeds:
    """Calldata of challenges that are right in everything but that there is no fraud."""

    calls: tuple[bytes, ...]

    def any(self, random: np.random.Generator) -> bytes:
        return self.calls[random.integers(len(self.calls))]


def a_byte(call: bytes, random: np.random.Generator) -> int:
    """A place behind the selector."""
    return int(random.integers(4, max(5, len(call) - 1)))


def a_word(call: bytes, random: np.random.Generator) -> int:
    """Where a word of the arguments begins."""
    return 4 + WORD * int(random.integers(max(1, (len(call) - 4) // WORD)))


def flip_a_bit(call: bytearray, random: np.random.Generator, _seeds: Seeds) -> bytes:
    call[a_byte(call, random)] ^= 1 << int(random.integers(8))
    return bytes(call)


def draw_a_byte(call: bytearray, random: np.random.Generator, _seeds: Seeds) -> bytes:
    call[a_byte(call, random)] = int(random.integers(256))
    return bytes(call)


def set_a_word(call: bytearray, random: np.random.Generator, _seeds: Seeds) -> bytes:
    start = a_word(call, random)
    edges = (0, 1, 2, 31, 32, 2**31, 2**63, 2**64 - 1, 2**64, 2**255, 2**256 - 1)
    call[start : start + WORD] = edges[random.integers(len(edges))].to_bytes(WORD, "big")
    return bytes(call)


def nudge_a_word(call: bytearray, random: np.random.Generator, _seeds: Seeds) -> bytes:
    start = a_word(call, random)
    word = int.from_bytes(call[start : start + WORD], "big") + int(random.integers(-3, 4))
    call[start : start + WORD] = (word % 2**256).to_bytes(WORD, "big")
    return bytes(call)


def copy_a_stretch(call: bytearray, random: np.random.Generator, _seeds: Seeds) -> bytes:
    length = int(random.integers(1, 200))
    source, target = random.integers(4, max(5, len(call) - length), 2)
    call[target : target + length] = call[source : source + length]
    return bytes(call)


def take_from_another(call: bytearray, random: np.random.Generator, seeds: Seeds) -> bytes:
    other = seeds.any(random)
    first, last = sorted((a_byte(other, random), a_byte(call, random)))
    call[first:last] = other[first:last]
    return bytes(call)


def cut_or_extend(call: bytearray, random: np.random.Generator, _seeds: Seeds) -> bytes:
    if random.integers(2):
        return bytes(call[: a_byte(call, random)])
    place = a_byte(call, random)
    return bytes(call[:place]) + random.bytes(int(random.integers(1, 80))) + bytes(call[place:])


def do_nothing(call: bytearray, _random: np.random.Generator, _seeds: Seeds) -> bytes:
    return bytes(call)


MUTATIONS: tuple[Mutation, ...] = (
    flip_a_bit,
    draw_a_byte,
    set_a_word,
    nudge_a_word,
    copy_a_stretch,
    take_from_another,
    cut_or_extend,
    do_nothing,
)


def test_no_mutated_challenge_slashes_an_honest_publisher() -> None:
    random = np.random.default_rng(4)
    reached = 0
    for _ in range(CALLS // CALLS_A_ROUND):
        stage = published_stage(random)
        seeds = Seeds(tuple(challenges(stage)))
        published = stage.state
        for third in range(3):
            reached += attack(stage, seeds, random, CALLS_A_ROUND // 3 + 1)
            assert stage.state == published, (third, stage.params)
            stage.revm.travel(stage.revm.now + PHASE_SECONDS // 3)
        finish(stage)
    # Most mutations break the calldata's layout or a hash; enough must get as far as the rule.
    assert reached > CALLS // 20


def test_the_same_calls_slash_a_publisher_who_lies() -> None:
    random = np.random.default_rng(5)
    stage = published_stage(random, lie=1)
    caught = 0
    for call in challenges(stage, lie=1):
        with stage.revm.undone():
            try:
                stage.revm.raw(account(CHALLENGER), call)
            except RuntimeError:
                continue
            assert stage.state.refutations == 1
            caught += 1
    # One chunk of the aggregate, and the model that does not follow from it.
    assert caught == 2


def attack(stage: Stage, seeds: Seeds, random: np.random.Generator, calls: int) -> int:
    """How many of the mutated calls were judged to show no fraud. None may succeed."""
    no_fraud = next(code for code, error in INTERFACE.errors.items() if error.name == "NoFraud")
    judged = 0
    for _ in range(calls):
        call = seeds.any(random)
        for _ in range(int(random.integers(1, 3))):
            mutation = MUTATIONS[random.integers(len(MUTATIONS))]
            call = mutation(bytearray(call.ljust(4 + WORD, b"\0")), random, seeds)
        caller = account(int(random.choice([PUBLISHER, CHALLENGER, 3])))
        try:
            stage.revm.raw(caller, call)
        except RuntimeError as refused:
            judged += no_fraud.hex() in str(refused)
        else:
            pytest.fail(f"succeeded: {call.hex()} in {stage.params}")
    return judged


def published_stage(random: np.random.Generator, lie: int = 0) -> Stage:
    """A result in its challenge phase, flagged and posted; honest but for the `lie`."""
    rule, pre_steps = METHODS[random.integers(len(METHODS))]
    tolerates = pre_steps or rule.chooses_by_distance
    least = 6 if rule.chooses_best else 4 if tolerates else 3
    count, dimension = int(random.integers(least, 8)), int(random.integers(33, 65))
    stage = Stage(
        Revm(),
        drawn_updates(random, count, dimension),
        random.integers(-(2**30), 2**30, dimension).astype(np.int32),
        rule=rule,
        tolerance=rule.most_liars(count - 1, pre_steps),
        pre_steps=pre_steps,
        clip_norm=50_000 if rule.clips else 0,
        # Perhaps the one that is flagged, and so excluded.
        trusted=account(FIRST_DESK + int(random.integers(count)))
        if rule is Rule.FLTRUST
        else ZERO_ADDRESS,
        quorum=count - 1,
    )
    stage.play_to_availability()
    stage.flag(int(random.integers(count)))
    stage.end_availability()
    right = stage.result()
    aggregate = right.aggregate.copy()
    aggregate[0] ^= lie
    stage.publish(aggregate, right.model)
    post(stage, "flagResult", (Published.AGGREGATE,), parts(aggregate, stage.params.chunk_length))
    post(stage, "flagResult", (Published.MODEL,), parts(right.model, stage.params.chunk_length))
    if stage.choice is not None:
        post(stage, "flagTable", stage.choice.evidence, tuple(stage.choice.table.parts()))
    return stage


def post(stage: Stage, flag: str, arguments: tuple[object, ...], posted: Sequence[Part]) -> None:
    """Flags what was published, and answers."""
    call = (stage.task_id, ROUND)
    flag_wei = stage.params.flag_wei
    stage.revm.send(account(CHALLENGER), flag, *call, *arguments, value_wei=flag_wei)
    what = Published.TABLE if flag == "flagTable" else arguments[0]
    for part in posted:
        stage.revm.send(account(PUBLISHER), "postResult", *call, what, *part)


def challenges(stage: Stage, lie: int = 0) -> Iterator[bytes]:
    """Every chunk's challenges, and the claim that nothing can be fetched."""
    right = stage.result()
    published = right.aggregate.copy()
    published[0] ^= lie
    aggregate, model = stage.tree(published), stage.tree(right.model)
    for chunk in range(len(aggregate.chunks)):
        yield encoded("challengeAggregate", stage.against_aggregate(aggregate, chunk))
        yield encoded("challengeModel", stage.against_model(aggregate, model, chunk))
    for what in Published:
        yield encoded("refuteUnavailable", (stage.task_id, ROUND, what))
        yield encoded("postResult", (stage.task_id, ROUND, what, *first_part(aggregate)))
    if stage.choice is not None:
        table, choice_hash = stage.choice.table, stage.choice.evidence.choice_hash
        yield encoded("challengeChoice", stage.against_choice(table, choice_hash))
        for leaf in range(0, 1 << table.geometry.height, 3):
            yield encoded("challengeProduct", stage.against_product(table, leaf, choice_hash))


def first_part(tree: SumTree) -> tuple[bytes, bytes]:
    return b"".join(tree.chunks), b""


def encoded(function: str, arguments: tuple[object, ...]) -> bytes:
    return INTERFACE.functions[function].encode(arguments)


def finish(stage: Stage) -> None:
    """The round becomes final, and the publisher gets the bond and what the flags were worth."""
    revm = stage.revm
    with pytest.raises(Reverted, match="WrongPhase"):
        revm.send(account(CHALLENGER), "voidRound", stage.task_id)
    revm.send(account(CHALLENGER), "finalise", stage.task_id)
    flagged = len(Published) if stage.params.has_table else len(Published) - 1
    owed_wei = stage.params.bond_wei + flagged * stage.params.flag_wei
    assert revm.send(account(CHALLENGER), "creditOf", ZERO_ADDRESS, account(PUBLISHER)) == owed_wei
    assert revm.send(account(CHALLENGER), "burnedOf", ZERO_ADDRESS) == 0
