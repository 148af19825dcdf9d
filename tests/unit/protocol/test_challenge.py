"""A wrong result is shown by openings that a judge, who reads the layout alone, finds wrong too."""

from dataclasses import replace

import numpy as np
import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from protocol.blobs import DirectoryStore
from protocol.chain.gateway import INTERFACE
from protocol.challenge import Case, wrong_aggregate, wrong_model
from protocol.encoding import encode_model, encode_update
from protocol.errors import BlobNotFound, VerificationFailed
from protocol.recompute import RevealedUpdate, combine
from protocol.rules import aggregate
from protocol.sumtree import SumTree, depth_of
from protocol.task import MAX_CHUNK_LENGTH, MAX_COHORT, RoundState, Rule, TaskParams

pytestmark = pytest.mark.unit

# What nodes pass on to each other; geth's `txMaxSize`.
LARGEST_TRANSACTION_BYTES = 128 * 1024
# A signed transaction's other fields, and the call's selector, offsets and lengths.
ENVELOPE_BYTES = 512
# A revealed update's three words in the call.
UPDATE_BYTES = 96
CHUNK = 16
SHIFT = 16
TASK = b"\7" * 32


def largest_challenge_bytes(params: TaskParams) -> int:
    """The size of a challenge when all seats revealed."""
    depth = depth_of(params.dimension, params.chunk_length)
    opening = 2 * params.chunk_length + 40 * depth
    return ENVELOPE_BYTES + params.cohort * UPDATE_BYTES + (params.cohort + 1) * opening


@pytest.mark.parametrize("dimension", [1, 10**4, 10**6, 2**31])
def test_every_legal_task_can_be_challenged_in_one_transaction(dimension):
    for chunk_length in (CHUNK, 256, MAX_CHUNK_LENGTH):
        params = replace(params_of(dimension), cohort=MAX_COHORT, chunk_length=chunk_length)
        assert largest_challenge_bytes(params) <= LARGEST_TRANSACTION_BYTES


def params_of(dimension: int, rule: Rule = Rule.MEAN, **changes) -> TaskParams:
    params = TaskParams.default(
        model_spec_hash=b"\1" * 32,
        genesis_model_root=b"\2" * 32,
        dimension=dimension,
        closes_at=1,
    )
    return replace(params, chunk_length=CHUNK, rule=rule, **({"tolerance": 0} | changes))


def words(content: bytes, width: int) -> list[int]:
    steps = range(0, len(content), width)
    return [int.from_bytes(content[at : at + width], "big", signed=True) for at in steps]


class Judge:
    """The contract's side, written from the layout: it sees calldata and roots, nothing else."""

    def __init__(self, params: TaskParams) -> None:
        self.dimension = params.dimension
        chunks = -(-params.dimension // CHUNK)
        self.depth = (chunks - 1).bit_length()

    def read(self, openings: bytes, index: int, width: int) -> tuple[list[int], bytes, bytes]:
        """The chunk's integers, the root it proves, and what follows."""
        length = CHUNK * width + 40 * self.depth
        opening, rest = openings[:length], openings[length:]
        assert len(opening) == length, "too short"
        chunk, path = opening[: CHUNK * width], opening[CHUNK * width :]
        numbers = words(chunk, width)
        total = sum(number**2 for number in numbers) if width == 2 else 0
        tag = b"volquorum.leaf.1" + width.to_bytes(8, "big") + index.to_bytes(8, "big")
        node = keccak(tag + chunk)
        for height in range(self.depth):
            other = path[40 * height : 40 * height + 32]
            beside = int.from_bytes(path[40 * height + 32 : 40 * height + 40], "big")
            pair, sums = (node, other), (total, beside)
            if index >> height & 1:
                pair, sums = pair[::-1], sums[::-1]
            tagged = b"volquorum.node.1" + b"".join(each.to_bytes(8, "big") for each in sums)
            node, total = keccak(b"".join(pair) + tagged), total + beside
        head = b"volquorum.root.1" + self.dimension.to_bytes(8, "big") + total.to_bytes(8, "big")
        return numbers, keccak(head + node), rest


def numbers_of(count: int, dimension: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return chance.integers(-(2**15), 2**15, size=(count, dimension)).astype(np.int16)


@st.composite
def contested(draw):
    """A task's rule over extreme updates, and one coordinate that was published wrongly."""
    count, dimension = draw(st.integers(1, 9)), draw(st.integers(1, 5 * CHUNK))
    rule = draw(st.sampled_from(Rule))
    tolerance = draw(st.integers(0, (count - 1) // 2)) if rule is Rule.TRIMMED_MEAN else 0
    clip = 1_000 if rule is Rule.CLIPPED_MEAN else 0
    params = params_of(dimension, rule, tolerance=tolerance, clip_norm=clip)
    updates = numbers_of(count, dimension, draw(st.integers(0, 2**32)))
    return params, updates, draw(st.integers(0, dimension - 1))


@given(contested())
def test_openings_show_the_judge_the_first_wrong_chunk_of_the_aggregate(facts):
    params, updates, where = facts
    honest = aggregate(params.rule, updates, tolerance=params.tolerance, clip_norm=params.clip_norm)
    published = honest.copy()
    published[where] ^= 1
    published[-1] ^= 2

    proof = wrong_aggregate(updates, honest, published, CHUNK)

    assert proof is not None
    assert proof.chunk == where // CHUNK
    judge, rest = Judge(params), proof.openings
    first = proof.chunk * CHUNK
    for vector in (*updates, published):
        numbers, root, rest = judge.read(rest, proof.chunk, 2)
        used = min(CHUNK, params.dimension - first)
        assert numbers[:used] == vector[first : first + used].tolist()
        assert not any(numbers[used:])
        assert root == SumTree.of(vector, CHUNK).root
    assert rest == b""
    size = (len(updates) + 1) * (2 * CHUNK + 40 * depth_of(params.dimension, CHUNK))
    assert len(proof.openings) == size


@given(contested(), st.booleans())
def test_openings_show_the_judge_the_first_wrong_chunk_of_the_model(facts, overflows):
    params, _, where = facts
    base = np.full(params.dimension, 2**31 - 1 if overflows else -5, dtype=np.int32)
    change = np.where(np.arange(params.dimension) == where, 1, -1).astype(np.int16)
    published = (base.astype(np.int64) + change).astype(np.int32)
    if not overflows:
        published[where] += 1

    proof = wrong_model(base, change, published, CHUNK)

    assert proof is not None
    assert proof.chunk == where // CHUNK
    judge, rest, opened = Judge(params), proof.openings, []
    for vector, width in ((base, 4), (change, 2), (published, 4)):
        numbers, root, rest = judge.read(rest, proof.chunk, width)
        assert root == SumTree.of(vector, CHUNK).root
        opened.append(numbers)
    assert rest == b""
    sums = [old + step for old, step in zip(*opened[:2], strict=True)]
    assert sums != opened[2]
    assert len(proof.openings) == 10 * CHUNK + 120 * depth_of(params.dimension, CHUNK)


@given(contested())
def test_right_result_cannot_be_shown_wrong(facts):
    params, updates, _ = facts
    combined = combine(params, np.zeros(params.dimension, dtype=np.int32), updates)
    zero = np.zeros(params.dimension, dtype=np.int32)
    assert wrong_aggregate(updates, combined.aggregate, combined.aggregate, CHUNK) is None
    assert wrong_model(zero, combined.aggregate, combined.model, CHUNK) is None


DIMENSION = 3 * CHUNK + 5
PARAMS = params_of(DIMENSION)
BASE = np.arange(DIMENSION, dtype=np.int32)
UPDATES = numbers_of(3, DIMENSION, 5)
HONEST = combine(PARAMS, BASE, UPDATES)
REVEALED = tuple(
    RevealedUpdate(f"0x{desk:040x}", tree.root, tree.squared_norm)
    for desk, tree in enumerate(SumTree.of(update, CHUNK) for update in UPDATES)
)


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path)


def case_of(aggregate_root: bytes, model_root: bytes, **changes) -> Case:
    state = RoundState(
        opened_at=1,
        published_at=2,
        revealed=3,
        aggregate_root=aggregate_root,
        model_root=model_root,
    )
    return replace(Case(PARAMS, TASK, 4, state, REVEALED, BASE, UPDATES), **changes)


def put_update(store, values: np.ndarray, shift: int = SHIFT) -> bytes:
    return store.put(encode_update(values, shift), chunk_length=CHUNK)


def put_model(store, values: np.ndarray) -> bytes:
    return store.put(encode_model(values, SHIFT), chunk_length=CHUNK)


@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 1])
def test_wrong_aggregate_is_challenged_with_the_updates_in_order_of_reveal(store, shift):
    wrong = HONEST.aggregate.copy()
    wrong[2 * CHUNK + 1] += 1
    root = put_update(store, wrong, shift)

    challenge = case_of(root, put_model(store, BASE + wrong)).challenge(store)

    assert challenge is not None
    assert challenge.function == "challengeAggregate"
    task, number, updates, chunk, openings = challenge.args
    assert (task, number, chunk) == (TASK, 4, 2)
    assert updates == tuple(tuple(update) for update in REVEALED)
    assert openings == wrong_aggregate(UPDATES, HONEST.aggregate, wrong, CHUNK).openings


def test_wrong_model_of_a_right_aggregate_is_challenged(store):
    wrong = HONEST.model.copy()
    wrong[-1] -= 1

    challenge = case_of(HONEST.aggregate_root, put_model(store, wrong)).challenge(store)

    assert challenge is not None
    assert challenge.function == "challengeModel"
    assert challenge.args[:3] == (TASK, 4, 3)
    assert challenge.args[3] == wrong_model(BASE, HONEST.aggregate, wrong, CHUNK).openings


def test_any_model_where_the_sum_leaves_int32_is_challenged(store):
    base = np.full(DIMENSION, 2**31 - 1, dtype=np.int32)
    case = case_of(HONEST.aggregate_root, put_model(store, base), base_model=base)

    challenge = case.challenge(store)

    assert challenge is not None
    assert challenge.function == "challengeModel"


def test_right_result_is_not_challenged(store):
    put_model(store, HONEST.model)

    assert case_of(HONEST.aggregate_root, HONEST.model_root).challenge(store) is None


def test_call_of_a_whole_cohort_is_no_larger_than_was_reckoned(store):
    wrong = HONEST.aggregate ^ 1
    challenge = case_of(put_update(store, wrong), bytes(32)).challenge(store)

    assert challenge is not None
    call = INTERFACE.functions[challenge.function].encode(challenge.args)
    largest = largest_challenge_bytes(replace(PARAMS, cohort=len(UPDATES)))
    # What is left is for the transaction around it: nonce, fees, receiver, signature.
    assert 128 <= largest - len(call) < 512


@pytest.mark.parametrize(
    ("roots", "what"),
    [
        ((b"\4" * 32, HONEST.model_root), "aggregate"),
        ((HONEST.aggregate_root, b"\4" * 32), "model"),
    ],
)
def test_result_that_nobody_serves_cannot_be_challenged_and_that_is_said(store, roots, what):
    with pytest.raises(BlobNotFound, match=f"published {what} cannot be had, so no opening") as it:
        case_of(*roots).challenge(store)
    assert it.value.root == b"\4" * 32
    assert "round 4 cannot be challenged" in str(it.value)


@pytest.mark.parametrize(
    ("put", "values", "found"),
    [
        (put_model, HONEST.model, "found MODEL with 53"),
        (put_update, HONEST.aggregate[:-1], "found UPDATE with 52"),
    ],
)
def test_root_of_something_else_has_no_opening_and_that_is_said(store, put, values, found):
    with pytest.raises(VerificationFailed, match=found):
        case_of(put(store, values), HONEST.model_root).challenge(store)
