"""A wrong result is shown by openings that a judge, who reads the layout alone, finds wrong too."""

from dataclasses import replace

import numpy as np
import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from protocol.blobs import DirectoryStore
from protocol.chain.code import INTERFACE
from protocol.challenge import Case, challenge_norm
from protocol.choice import choice_hash, choice_of, encode_chosen, trust
from protocol.commitment import Evidence, ProofKind, counted, seal
from protocol.encoding import encode_model, encode_update
from protocol.errors import BlobNotFound, VerificationFailed
from protocol.gram import Table
from protocol.proofs import encode_sums, falsely_recorded, wrong_aggregate, wrong_model, wrong_norm
from protocol.recompute import RevealedUpdate, combine, combine_updates
from protocol.state import Published, RoundState
from protocol.sumtree import SumTree, depth_of
from protocol.task import MAX_CHUNK_LENGTH, MAX_COHORT, ZERO_HASH, PreSteps, Rule, TaskParams
from tests.vectors import reference_rules

pytestmark = pytest.mark.unit

# What nodes pass on to each other; geth's `txMaxSize`.
LARGEST_TRANSACTION_BYTES = 128 * 1024
# A signed transaction's other fields, and the call's selector, offsets and lengths.
ENVELOPE_BYTES = 576
# An excluded update's three words in the call, and an included one's participant.
UPDATE_BYTES = 96
PARTICIPANT_BYTES = 32
TABLE_BYTES = 32
CHOICE_BYTES = 8
CHUNK = 16
SHIFT = 16
TASK = b"\7" * 32
SALT = b"\x08" * 32


def largest_challenge_bytes(params: TaskParams) -> int:
    """The size of a challenge when all seats revealed."""
    depth = depth_of(params.dimension, params.chunk_length)
    opening = 2 * params.chunk_length + 40 * depth
    excluded = params.cohort - params.quorum
    included = params.quorum * (PARTICIPANT_BYTES + opening)
    # Weights have a divisor behind them.
    evidence = (TABLE_BYTES + (params.quorum + 1) * CHOICE_BYTES) * params.has_table
    return ENVELOPE_BYTES + excluded * UPDATE_BYTES + included + evidence + 40 * (depth + 1)


@pytest.mark.parametrize("dimension", [1, 10**4, 10**6, 2**31])
def test_every_legal_task_can_be_challenged_in_one_transaction(dimension):
    for chunk_length in (CHUNK, 256, MAX_CHUNK_LENGTH):
        cohort = {"cohort": MAX_COHORT, "quorum": MAX_COHORT}
        params = replace(params_of(dimension), **cohort, chunk_length=chunk_length)
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
        return numbers, self.walk(*self.leaf(numbers, index, width), path, index), rest

    def leaf(self, numbers: list[int], index: int, width: int) -> tuple[bytes, int]:
        """Hash and sum of a leaf that holds these integers."""
        chunk = b"".join(number.to_bytes(width, "big", signed=True) for number in numbers)
        total = sum(number**2 for number in numbers) if width == 2 else 0
        tag = b"volquorum.leaf.1" + width.to_bytes(8, "big") + index.to_bytes(8, "big")
        return keccak(tag + chunk), total

    def place(self, openings: bytes, index: int) -> tuple[tuple[bytes, int], bytes]:
        """The published leaf and the root it is proven under; nothing may follow."""
        assert len(openings) == 40 * (self.depth + 1), "not a place"
        leaf = openings[:32], int.from_bytes(openings[32:40], "big")
        return leaf, self.walk(*leaf, openings[40:], index)

    def walk(self, node: bytes, total: int, path: bytes, index: int) -> bytes:
        """The root above a leaf."""
        for height in range(self.depth):
            other = path[40 * height : 40 * height + 32]
            beside = int.from_bytes(path[40 * height + 32 : 40 * height + 40], "big")
            pair, sums = (node, other), (total, beside)
            if index >> height & 1:
                pair, sums = pair[::-1], sums[::-1]
            tagged = b"volquorum.node.1" + b"".join(each.to_bytes(8, "big") for each in sums)
            node, total = keccak(b"".join(pair) + tagged), total + beside
        head = b"volquorum.root.1" + self.dimension.to_bytes(8, "big") + total.to_bytes(8, "big")
        return keccak(head + node)


def numbers_of(count: int, dimension: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return chance.integers(-(2**15), 2**15, size=(count, dimension)).astype(np.int16)


PROVABLE = [rule for rule in Rule if rule < Rule.BULYAN]


@st.composite
def contested(draw):
    """A task's rule over extreme updates, and one coordinate that was published wrongly."""
    count, dimension = draw(st.integers(1, 9)), draw(st.integers(1, 5 * CHUNK))
    rules = [rule for rule in PROVABLE if count > 2 or not rule.chooses_best]
    rule = draw(st.sampled_from(rules))
    alone = rule.clips or rule is Rule.FLTRUST  # which trusts the first here
    known = range(1 if alone else 4 if rule.takes_ranks else 2)
    steps = PreSteps(draw(st.sampled_from(known)))
    tolerance = draw(st.integers(0, rule.most_liars(count, steps)))
    clip = 1_000 if rule.clips else 0
    changes = {"tolerance": tolerance, "clip_norm": clip, "pre_steps": steps}
    params = params_of(dimension, rule, **changes)
    updates = numbers_of(count, dimension, draw(st.integers(0, 2**32)))
    return params, updates, draw(st.integers(0, dimension - 1))


@given(contested())
def test_openings_show_the_judge_the_first_wrong_chunk_of_the_aggregate(facts):
    params, updates, where = facts
    honest = combine_updates(params, updates, trusted_row=0)
    published = honest.copy()
    published[where] ^= 1
    published[-1] ^= 2

    proof = wrong_aggregate(updates, honest, published, CHUNK)

    assert proof is not None
    assert proof.chunk == where // CHUNK
    judge, rest = Judge(params), proof.openings
    first = proof.chunk * CHUNK
    for vector in updates:
        numbers, root, rest = judge.read(rest, proof.chunk, 2)
        used = min(CHUNK, params.dimension - first)
        assert numbers[:used] == vector[first : first + used].tolist()
        assert not any(numbers[used:])
        assert root == SumTree.of(vector, CHUNK).root
    leaf, root = judge.place(rest, proof.chunk)
    assert root == SumTree.of(published, CHUNK).root
    right = honest[first : first + CHUNK].tolist()
    right += [0] * (CHUNK - len(right))
    assert leaf != judge.leaf(right, proof.chunk, 2)
    depth = depth_of(params.dimension, CHUNK)
    size = len(updates) * (2 * CHUNK + 40 * depth) + 40 * (depth + 1)
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
    for vector, width in ((base, 4), (change, 2)):
        numbers, root, rest = judge.read(rest, proof.chunk, width)
        assert root == SumTree.of(vector, CHUNK).root
        opened.append(numbers)
    leaf, root = judge.place(rest, proof.chunk)
    assert root == SumTree.of(published, CHUNK).root
    sums = [old + step for old, step in zip(*opened, strict=True)]
    too_large = any(not -(2**31) <= total < 2**31 for total in sums)
    assert too_large == overflows
    assert too_large or leaf != judge.leaf(sums, proof.chunk, 4)
    assert len(proof.openings) == 6 * CHUNK + 120 * depth_of(params.dimension, CHUNK) + 40


@given(contested())
def test_right_result_cannot_be_shown_wrong(facts):
    params, updates, _ = facts
    combined = combine(params, np.zeros(params.dimension, dtype=np.int32), updates, 0)
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
        updates_hash=counted(ZERO_HASH, 3),
        aggregate_root=aggregate_root,
        model_root=model_root,
    )
    return replace(Case(PARAMS, TASK, 4, state, REVEALED, BASE, UPDATES), **changes)


def put_update(store, values: np.ndarray, shift: int = SHIFT) -> bytes:
    return store.put(encode_update(values, shift), chunk_length=CHUNK)


def put_model(store, values: np.ndarray) -> bytes:
    return store.put(encode_model(values, SHIFT), chunk_length=CHUNK)


@pytest.mark.parametrize("shift", [SHIFT, SHIFT - 1])
def test_wrong_aggregate_is_challenged_with_the_participants_in_order_of_reveal(store, shift):
    wrong = HONEST.aggregate.copy()
    wrong[2 * CHUNK + 1] += 1
    root = put_update(store, wrong, shift)

    case = case_of(root, put_model(store, BASE + wrong))
    challenge = case.challenge(store)

    assert case.wrong is Published.AGGREGATE
    assert challenge is not None
    assert challenge.function == "challengeAggregate"
    assert (challenge.kind, challenge.chunk, challenge.subject) == (ProofKind.AGGREGATE, 2, root)
    openings = wrong_aggregate(UPDATES, HONEST.aggregate, wrong, CHUNK).openings
    desks = tuple(update.participant for update in REVEALED)
    assert challenge.args(SALT) == (TASK, 4, desks, (), 2, openings, b"", SALT)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_excluded_update_is_named_but_not_opened(store, gone):
    staying = [index for index in range(3) if index != gone]
    all_three = case_of(HONEST.aggregate_root, put_model(store, HONEST.model))
    put_update(store, HONEST.aggregate)
    state = replace(all_three.round_state, unavailable=1 << gone)

    case = replace(all_three, round_state=state, updates=UPDATES[staying])
    challenge = case.challenge(store)

    assert challenge is not None
    _, _, desks, excluded, chunk, openings, _, _ = challenge.args(SALT)
    assert desks == tuple(REVEALED[index].participant for index in staying)
    assert excluded == (tuple(REVEALED[gone]),)
    right = combine(PARAMS, BASE, UPDATES[staying]).aggregate
    proof = wrong_aggregate(UPDATES[staying], right, HONEST.aggregate, CHUNK)
    assert proof == (chunk, openings)


VOTING = replace(PARAMS, rule=Rule.MINIMUM_DIAMETER, tolerance=1)


def test_wrong_aggregate_of_a_task_by_votes_is_for_votes(store):
    right = combine(VOTING, BASE, UPDATES)
    wrong = right.aggregate.copy()
    wrong[3] -= 2
    root = put_update(store, wrong)

    case = case_of(root, put_model(store, BASE + wrong), params=VOTING)

    assert case.wrong is Published.AGGREGATE
    assert case.is_for_votes
    assert case.challenge(store) is None
    assert case.right == right.roots


def test_wrong_model_of_a_task_by_votes_is_proven_like_any_other(store):
    right = combine(VOTING, BASE, UPDATES)
    wrong = right.model.copy()
    wrong[-1] += 1

    case = case_of(right.aggregate_root, put_model(store, wrong), params=VOTING)
    challenge = case.challenge(store)

    assert not case.is_for_votes
    assert challenge is not None
    assert challenge.function == "challengeModel"
    assert case.right == right.roots


def test_right_result_of_a_task_by_votes_is_for_nobody_to_refute(store):
    right = combine(VOTING, BASE, UPDATES)
    case = case_of(right.aggregate_root, right.model_root, params=VOTING)
    assert (case.wrong, case.is_for_votes, case.challenge(store)) == (None, False, None)


def test_result_of_fltrust_is_judged_by_the_update_of_whom_it_trusts():
    gone, trusted = 0, 2
    params = replace(PARAMS, rule=Rule.FLTRUST, tolerance=0, trusted=REVEALED[trusted].participant)
    right = combine(params, BASE, UPDATES[1:], trusted - 1)
    case = case_of(right.aggregate_root, right.model_root, params=params, evidence=right.evidence)
    state = replace(case.round_state, unavailable=1 << gone)
    assert right.aggregate.any()
    assert replace(case, round_state=state, updates=UPDATES[1:]).wrong is None
    without = replace(case.round_state, unavailable=1 << trusted)
    alone = replace(case, round_state=without, updates=UPDATES[:trusted])
    assert not alone.honest.any()
    # It is in no one's place: what was chosen with it is wrong without it.
    assert alone.wrong is Published.TABLE
    chosen = trust(Table.of(UPDATES[:trusted], CHUNK).sums, None)
    evidence = Evidence(Table.of(UPDATES[:trusted], CHUNK).root, choice_hash(chosen))
    assert chosen == (0, 0, 0)
    assert replace(alone, evidence=evidence).wrong is Published.AGGREGATE


def test_wrong_model_of_a_right_aggregate_is_challenged(store):
    wrong = HONEST.model.copy()
    wrong[-1] -= 1
    root = put_model(store, wrong)

    case = case_of(HONEST.aggregate_root, root)
    challenge = case.challenge(store)

    assert case.wrong is Published.MODEL
    assert challenge is not None
    assert challenge.function == "challengeModel"
    assert (challenge.kind, challenge.chunk, challenge.subject) == (ProofKind.MODEL, 3, root)
    openings = wrong_model(BASE, HONEST.aggregate, wrong, CHUNK).openings
    assert challenge.args(SALT) == (TASK, 4, 3, openings, SALT)


def test_any_model_where_the_sum_leaves_int32_is_challenged(store):
    base = np.full(DIMENSION, 2**31 - 1, dtype=np.int32)
    case = case_of(HONEST.aggregate_root, put_model(store, base), base_model=base)

    challenge = case.challenge(store)

    assert case.wrong is Published.MODEL
    assert challenge is not None
    assert challenge.function == "challengeModel"


def test_right_result_is_not_challenged(store):
    case = case_of(HONEST.aggregate_root, HONEST.model_root)

    assert case.wrong is None
    assert case.challenge(store) is None


def test_seal_of_a_challenge_names_what_it_proves(store):
    wrong = HONEST.model ^ 1
    challenge = case_of(HONEST.aggregate_root, put_model(store, wrong)).challenge(store)

    assert challenge is not None
    where = {"chain_id": 5, "contract": "0x" + "c0" * 20, "challenger": "0x" + "a1" * 20}
    named = {"task_id": TASK, "round_number": 4, "kind": ProofKind.MODEL, "chunk": 0}
    subject = SumTree.of(wrong, CHUNK).root
    assert challenge.seal(**where, salt=SALT) == seal(**where, **named, subject=subject, salt=SALT)


@pytest.mark.parametrize("gone", [0, 1])
def test_call_of_a_whole_cohort_is_no_larger_than_was_reckoned(store, gone):
    case = case_of(put_update(store, HONEST.aggregate ^ 1), bytes(32))
    state = replace(case.round_state, unavailable=gone)
    challenge = replace(case, round_state=state, updates=UPDATES[gone:]).challenge(store)

    assert challenge is not None
    call = INTERFACE.functions[challenge.function].encode(challenge.args(SALT))
    largest = largest_challenge_bytes(replace(PARAMS, cohort=3, quorum=3 - gone))
    # What is left is for the transaction around it: nonce, fees, receiver, signature.
    assert 128 <= largest - len(call) < 576


@pytest.mark.parametrize(
    ("roots", "what"),
    [
        ((b"\4" * 32, HONEST.model_root), Published.AGGREGATE),
        ((HONEST.aggregate_root, b"\4" * 32), Published.MODEL),
    ],
)
def test_wrong_vector_that_nobody_serves_is_named_to_be_flagged(store, roots, what):
    case = case_of(*roots)
    with pytest.raises(BlobNotFound, match=f"published {what.name.lower()} of round 4") as it:
        case.challenge(store)
    assert it.value.root == b"\4" * 32
    assert "must be flagged" in str(it.value)
    assert case.wrong is what


@pytest.mark.parametrize(
    ("put", "values", "found"),
    [
        (put_model, HONEST.model, "found MODEL with 53"),
        (put_update, HONEST.aggregate[:-1], "found UPDATE with 52"),
    ],
)
def test_root_of_something_else_has_no_opening_and_that_is_said(store, put, values, found):
    case = case_of(put(store, values), HONEST.model_root)
    with pytest.raises(VerificationFailed, match=found):
        case.challenge(store)
    assert case.wrong is Published.AGGREGATE


def honest_sums(values: np.ndarray) -> list[list[int]]:
    return [[node.sum for node in level] for level in SumTree.of(values, CHUNK).levels]


@st.composite
def false_sums(draw):
    """An update, and a tree of it whose sums are false in one node, on which all above may rely."""
    values = numbers_of(1, draw(st.integers(1, 9 * CHUNK)), draw(st.integers(0, 2**32)))[0]
    sums = honest_sums(values)
    height = draw(st.integers(0, len(sums) - 1))
    index = draw(st.integers(0, len(sums[height]) - 1))
    change = draw(st.integers(-sums[height][index], 2**40).filter(bool))
    carried = draw(st.integers(height, len(sums) - 1))
    for above in range(height, carried + 1):
        sums[above][index >> (above - height)] += change
    return values, sums


@given(false_sums())
def test_false_sum_is_shown_by_a_chunk_on_whose_way_it_is(facts):
    values, sums = facts
    tree = SumTree.recorded(values, CHUNK, sums)
    assert tree.squared_norm == sums[-1][0]

    proof = wrong_norm(tree)

    assert proof is not None
    # The opening, read from its layout alone, leads to the root by the recorded sums.
    judge = Judge(params_of(values.size))
    chunk, path = proof.openings[: 2 * CHUNK], proof.openings[2 * CHUNK :]
    node, true_sum = judge.leaf(words(chunk, 2), proof.chunk, 2)
    assert len(path) == 48 * judge.depth
    frauds = []
    for level in range(judge.depth):
        step = path[48 * level : 48 * level + 48]
        recorded, other = int.from_bytes(step[:8], "big"), step[8:40]
        beside = int.from_bytes(step[40:], "big")
        frauds.append(recorded != true_sum)
        pair, both = (node, other), (recorded, beside)
        if proof.chunk >> level & 1:
            pair, both = pair[::-1], both[::-1]
        tagged = b"volquorum.node.1" + b"".join(each.to_bytes(8, "big") for each in both)
        node, true_sum = keccak(b"".join(pair) + tagged), recorded + beside
    frauds.append(tree.squared_norm != true_sum)
    assert any(frauds)
    norm = tree.squared_norm.to_bytes(8, "big")
    head = b"volquorum.root.1" + values.size.to_bytes(8, "big") + norm
    assert keccak(head + node) == tree.root


@given(st.integers(1, 9 * CHUNK), st.integers(0, 2**32))
def test_true_norm_cannot_be_shown_false(dimension, seed):
    values = numbers_of(1, dimension, seed)[0]
    tree = SumTree.recorded(values, CHUNK, honest_sums(values))
    assert tree.root == SumTree.of(values, CHUNK).root
    assert wrong_norm(tree) is None
    assert challenge_norm(TASK, 4, REVEALED, 1, tree) is None


@pytest.mark.parametrize("dimension", [1, CHUNK, DIMENSION])
def test_root_that_records_another_norm_than_what_is_served_is_found_out(dimension):
    values = numbers_of(1, dimension, 3)[0]
    sums = honest_sums(values)
    sums[-1][0] += 5
    tree = SumTree.recorded(values, CHUNK, sums)
    lie = RevealedUpdate(REVEALED[1].participant, tree.root, tree.squared_norm)
    params = params_of(dimension)
    served = [encode_update(-values, SHIFT), encode_update(values, SHIFT)]

    found = falsely_recorded(params, lie, served)

    assert found is not None
    assert challenge_norm(TASK, 4, [lie], 0, found) == challenge_norm(TASK, 4, [lie], 0, tree)
    assert falsely_recorded(params, lie, served[:1]) is None
    assert falsely_recorded(params, lie, [encode_model(values.astype(np.int32), SHIFT)]) is None
    assert falsely_recorded(params_of(dimension + 1), lie, served) is None


def test_false_norm_is_challenged_with_all_revealed_updates():
    sums = honest_sums(UPDATES[1])
    sums[-1][0] = 1
    tree = SumTree.recorded(UPDATES[1], CHUNK, sums)
    lie = RevealedUpdate(REVEALED[1].participant, tree.root, tree.squared_norm)
    revealed = (REVEALED[0], lie, REVEALED[2])

    challenge = challenge_norm(TASK, 4, revealed, 1, tree)

    assert challenge is not None
    assert challenge.function == "challengeNorm"
    assert (challenge.kind, challenge.chunk, challenge.subject) == (
        ProofKind.NORM,
        0,
        lie.update_root,
    )
    updates = tuple(tuple(each) for each in revealed)
    assert challenge.args(SALT) == (TASK, 4, updates, 1, 0, encode_sums(tree, 0), SALT)


BOTH = PreSteps.ARC | PreSteps.NNM
FIVE = numbers_of(5, DIMENSION, 11) // 2
FIVE[1] //= 50
FIVE[2:] += FIVE[1]
FIVE_REVEALED = tuple(
    RevealedUpdate(f"0x{desk:040x}", tree.root, tree.squared_norm)
    for desk, tree in enumerate(SumTree.of(update, CHUNK) for update in FIVE)
)
CHOOSING = [
    params_of(DIMENSION, Rule.TRIMMED_MEAN, tolerance=2, pre_steps=BOTH),
    params_of(DIMENSION, Rule.MEAN, tolerance=1, pre_steps=PreSteps.NNM),
    params_of(DIMENSION, Rule.MULTI_KRUM, tolerance=1),
    params_of(DIMENSION, Rule.KRUM, tolerance=1),
    params_of(DIMENSION, Rule.MULTI_KRUM, tolerance=1, pre_steps=PreSteps.ARC),
    params_of(DIMENSION, Rule.GEOMETRIC_MEDIAN, tolerance=2),
    params_of(DIMENSION, Rule.GEOMETRIC_MEDIAN, tolerance=2, pre_steps=PreSteps.ARC),
    params_of(DIMENSION, Rule.FLTRUST, tolerance=1, trusted=FIVE_REVEALED[1].participant),
]
TRUSTED_ROW = 1
EVERY_CHOICE = pytest.mark.parametrize("params", CHOOSING, ids=lambda params: params.rule_in_words)


class Posted:
    """One posted table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def table(self, root: bytes, rows: int) -> Table:
        assert (root, rows) == (self._table.root, self._table.geometry.rows)
        return self._table


def chosen_case(params: TaskParams, **changes) -> Case:
    """The honest result of five updates, but for these changes."""
    combined = combine(params, BASE, FIVE, TRUSTED_ROW)
    state = RoundState(
        opened_at=1,
        published_at=2,
        updates_hash=counted(ZERO_HASH, 5),
        aggregate_root=changes.pop("aggregate_root", combined.aggregate_root),
        model_root=combined.model_root,
    )
    case = Case(params, TASK, 4, state, FIVE_REVEALED, BASE, FIVE, combined.evidence)
    return replace(case, **changes)


def false_table(params: TaskParams, pair: int, chunk: int) -> Table:
    choice = choice_of(params, FIVE, TRUSTED_ROW)
    assert choice is not None
    products = choice.table.products.copy()
    products[pair, chunk] += 1
    return Table.over(products, len(FIVE))


def walk_of_table(leaf: int, path: bytes, rows: int) -> tuple[int, bytes]:
    """The product that a path records, and the root above it, from the layout alone."""
    node, product = bytes(32), int.from_bytes(path[:8], "big", signed=True)
    steps, total = path[:-8], path[-8:]
    for height in range(len(steps) // 48):
        step = steps[48 * height : 48 * height + 48]
        pair, sums = (node, step[8:40]), (step[:8], step[40:])
        if leaf >> height & 1:
            pair, sums = pair[::-1], sums[::-1]
        node = keccak(b"".join(pair) + b"volquorum.gram.1" + b"".join(sums))
    return product, keccak(b"volquorum.root.2" + rows.to_bytes(8, "big") + total + node)


@EVERY_CHOICE
def test_right_choice_is_not_challenged(params, store):
    case = chosen_case(params)
    assert case.wrong is None
    assert case.challenge(store) is None


@EVERY_CHOICE
@pytest.mark.parametrize(("pair", "rows"), [(0, (0, 0)), (4, (0, 4)), (9, (2, 2)), (13, (3, 4))])
def test_wrong_product_is_shown_by_the_two_chunks_that_it_is_of(params, store, pair, rows):
    false, chunk = false_table(params, pair, 2), 2
    chosen = choice_hash((1, 2, 3))

    case = chosen_case(params, evidence=Evidence(false.root, chosen))
    challenge = case.challenge(store, Posted(false))

    assert case.wrong is Published.TABLE
    assert challenge is not None
    assert challenge.function == "challengeProduct"
    task, number, updates, leaf, openings, choice, salt = challenge.args(SALT)
    assert (task, number, choice, salt) == (TASK, 4, chosen, SALT)
    assert updates == tuple(tuple(each) for each in FIVE_REVEALED)
    assert leaf == 4 * pair + chunk
    kind = (challenge.kind, challenge.chunk, challenge.subject)
    assert kind == (ProofKind.PRODUCT, leaf, false.root)
    length = 48 * 6 + 8
    product, root = walk_of_table(leaf, openings[:length], len(FIVE))
    assert root == false.root
    judge, rest = Judge(params), openings[length:]
    for row in dict.fromkeys(rows):
        numbers, root, rest = judge.read(rest, chunk, 2)
        assert root == FIVE_REVEALED[row].update_root
        assert numbers == FIVE[row, chunk * CHUNK : (chunk + 1) * CHUNK].tolist()
    assert rest == b""
    seen = FIVE.tolist()
    if PreSteps.ARC in params.pre_steps:
        seen = reference_rules.arc(seen, params.tolerance)
    first, second = (seen[row][chunk * CHUNK : (chunk + 1) * CHUNK] for row in rows)
    assert product == sum(a * b for a, b in zip(first, second, strict=True)) + 1


@EVERY_CHOICE
def test_table_that_nobody_posted_is_to_be_flagged(params, store):
    false = false_table(params, 3, 0)
    case = chosen_case(params, evidence=Evidence(false.root, b"\5" * 32))
    with pytest.raises(BlobNotFound, match="must be flagged"):
        case.challenge(store)
    assert case.wrong is Published.TABLE


@EVERY_CHOICE
def test_wrong_choice_is_shown_by_the_nodes_above_the_pairs(params, store):
    choice = choice_of(params, FIVE, TRUSTED_ROW)
    assert choice is not None
    false = choice_hash(tuple(reversed(choice.chosen[:-1])))

    case = chosen_case(params, evidence=Evidence(choice.table.root, false))
    challenge = case.challenge(store)

    assert case.wrong is Published.TABLE
    assert challenge is not None
    assert challenge.function == "challengeChoice"
    kind = (challenge.kind, challenge.chunk, challenge.subject)
    assert kind == (ProofKind.CHOICE, 0, choice.table.root)
    # All of them, so that the contract learns where FLTrust's reference is; else none.
    shown = FIVE_REVEALED if params.rule is Rule.FLTRUST else ()
    updates = tuple(tuple(each) for each in shown)
    assert challenge.args(SALT) == (TASK, 4, updates, choice.table.pair_nodes, false, SALT)


@EVERY_CHOICE
def test_wrong_aggregate_of_a_right_choice_carries_the_choice(params, store):
    wrong = combine(params, BASE, FIVE, TRUSTED_ROW).aggregate.copy()
    wrong[CHUNK] ^= 1
    choice = choice_of(params, FIVE, TRUSTED_ROW)
    assert choice is not None

    case = chosen_case(params, aggregate_root=put_update(store, wrong))
    challenge = case.challenge(store)

    assert case.wrong is Published.AGGREGATE
    assert challenge is not None
    *_, chunk, openings, shown, _ = challenge.args(SALT)
    assert (chunk, shown) == (1, choice.table.root + encode_chosen(choice.chosen))
    assert openings == wrong_aggregate(FIVE, case.honest, wrong, CHUNK).openings
    weighs = params.rule.chooses_by_distance and not params.rule.chooses_best
    assert len(shown) == 32 + 8 * (1 if params.rule.chooses_best else 5 + weighs)


@pytest.mark.parametrize(
    "params",
    [
        params_of(DIMENSION, Rule.MEDIAN, tolerance=2, pre_steps=PreSteps.ARC),
        params_of(DIMENSION, Rule.CENTERED_CLIPPING, clip_norm=9_000),
    ],
    ids=lambda params: params.rule_in_words,
)
def test_clipping_alone_needs_no_evidence(params, store):
    unclipped = combine_updates(params_of(DIMENSION, Rule.MEAN), FIVE)

    case = chosen_case(params, aggregate_root=put_update(store, unclipped))
    challenge = case.challenge(store)

    assert case.choice is None
    assert case.wrong is Published.AGGREGATE
    assert challenge is not None
    assert challenge.args(SALT)[-2] == b""


def test_table_is_challenged_before_the_aggregate_that_follows_from_it(store):
    params = CHOOSING[0]
    false = false_table(params, 3, 0)
    root = put_update(store, FIVE[0])
    case = chosen_case(params, aggregate_root=root, evidence=Evidence(false.root, b"\5" * 32))
    challenge = case.challenge(store, Posted(false))
    assert challenge is not None
    assert challenge.kind is ProofKind.PRODUCT
