"""A result is recomputed bit for bit from what the chain names, and every lie is named."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.blobs import DirectoryStore
from protocol.choice import choice_hash, choice_of, neighbours
from protocol.commitment import counted
from protocol.encoding import Blob, Kind, encode_model, encode_update
from protocol.errors import BlobCorrupt, BlobNotFound, RangeError, RuleError, VerificationFailed
from protocol.gram import Table
from protocol.recompute import RevealedUpdate, check_published, combine, recompute_round
from protocol.rules import RULES, arc, compose
from protocol.state import RoundState
from protocol.sumtree import SumTree
from protocol.task import ZERO_HASH, PreSteps, Rule, TaskParams

pytestmark = pytest.mark.unit

DIMENSION, CHUNK_LENGTH, SHIFT = 40, 16, 16
DESKS = [f"0x{i:040x}" for i in range(1, 6)]
PUBLISHER = "0x" + "99" * 20
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=bytes([1]) * 32,
        genesis_model_root=bytes([2]) * 32,
        dimension=DIMENSION,
        closes_at=100,
    ),
    chunk_length=CHUNK_LENGTH,
    shift=SHIFT,
    rule=Rule.MEDIAN,
)
BASE = np.arange(DIMENSION, dtype=np.int32) * 10**6


class LyingStore:
    """Answers the same decoded blob to everything and checks nothing."""

    def __init__(self, blob):
        self.blob = blob

    def get(self, *_args, **_named):
        return self.blob


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path)


def drawn_updates(count=5):
    return np.random.default_rng(7).integers(-3000, 3000, (count, DIMENSION)).astype(np.int16)


def revealed_in(store, updates):
    """The updates in a store, and their reveals."""
    reveals = []
    for desk, update in zip(DESKS, updates, strict=False):
        root = store.put(encode_update(update, SHIFT), chunk_length=CHUNK_LENGTH)
        reveals.append(RevealedUpdate(desk, root, SumTree.of(update, CHUNK_LENGTH).squared_norm))
    return reveals


def published(combined, **changes):
    facts = RoundState(
        opened_at=1,
        published_at=2,
        updates_hash=counted(ZERO_HASH, 5),
        aggregate_root=combined.aggregate_root,
        model_root=combined.model_root,
        publisher=PUBLISHER,
    )
    return replace(facts, **changes)


def test_result_is_the_rule_added_to_the_base():
    updates = drawn_updates()
    found = combine(PARAMS, BASE, updates)
    np.testing.assert_array_equal(found.aggregate, np.median(updates, axis=0))
    np.testing.assert_array_equal(found.model, BASE + found.aggregate)
    assert (found.aggregate.dtype, found.model.dtype) == (np.int16, np.int32)
    assert found.aggregate_root == SumTree.of(found.aggregate, CHUNK_LENGTH).root
    assert found.model_root == SumTree.of(found.model, CHUNK_LENGTH).root


def test_task_parameters_reach_the_rule():
    outlier = np.full((5, DIMENSION), 10, dtype=np.int16)
    outlier[0] = 5000
    results = {
        (rule, tolerance, clip_norm): int(
            combine(
                replace(PARAMS, rule=rule, tolerance=tolerance, clip_norm=clip_norm), BASE, outlier
            ).aggregate[0]
        )
        for rule, tolerance, clip_norm in (
            (Rule.MEAN, 0, 0),
            (Rule.TRIMMED_MEAN, 0, 0),
            (Rule.TRIMMED_MEAN, 1, 0),
            (Rule.CLIPPED_MEAN, 0, 1000),
        )
    }
    # sqrt(40) * 5000 is clipped to 1000: 158 a coordinate.
    assert list(results.values()) == [1008, 1008, 10, (158 + 4 * 10) // 5]


def test_round_is_recomputed_from_blobs(store):
    updates = drawn_updates()
    found = recompute_round(PARAMS, BASE, revealed_in(store, updates), store)
    expected = combine(PARAMS, BASE, updates)
    assert (found.aggregate_root, found.model_root) == (
        expected.aggregate_root,
        expected.model_root,
    )
    check_published(found, published(expected))


def test_order_of_reveals_does_not_change_the_result(store):
    reveals = revealed_in(store, drawn_updates())
    found = recompute_round(PARAMS, BASE, reveals[::-1], store)
    assert found.model_root == recompute_round(PARAMS, BASE, reveals, store).model_root


def test_missing_blob_is_named_by_its_root(store):
    reveals = revealed_in(store, drawn_updates())
    store.file_of(reveals[3].update_root).unlink()
    with pytest.raises(BlobNotFound) as caught:
        recompute_round(PARAMS, BASE, reveals, store)
    assert caught.value.root == reveals[3].update_root


@pytest.mark.parametrize("position", [0, 3, 4, 5, 6, 7, 11, 12, 50, -1])
def test_one_flipped_byte_in_a_store_is_refused(store, position):
    reveals = revealed_in(store, drawn_updates())
    file = store.file_of(reveals[2].update_root)
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(BlobCorrupt):
        recompute_round(PARAMS, BASE, reveals, store)


@pytest.mark.parametrize(
    ("blob", "what"),
    [
        (Blob(Kind.MODEL, SHIFT, np.zeros(DIMENSION, dtype=np.int32)), "kind must be UPDATE"),
        (Blob(Kind.UPDATE, SHIFT, np.zeros(39, dtype=np.int16)), "dimension must be 40; found 39"),
        (Blob(Kind.UPDATE, 15, np.zeros(DIMENSION, dtype=np.int16)), "shift must be 16; found 15"),
        (Blob(Kind.UPDATE, SHIFT, np.zeros(DIMENSION, dtype=np.int16)), "root must be"),
    ],
)
def test_store_that_checks_nothing_cannot_smuggle_anything_in(store, blob, what):
    reveals = revealed_in(store, drawn_updates())
    with pytest.raises(VerificationFailed, match=f"update of {DESKS[0]}: {what}"):
        recompute_round(PARAMS, BASE, reveals, LyingStore(blob))


def test_norm_that_is_not_the_updates_is_refused_by_name(store):
    reveals = revealed_in(store, drawn_updates())
    lie = reveals[4]._replace(squared_norm=reveals[4].squared_norm - 1)
    with pytest.raises(VerificationFailed, match=f"update of {DESKS[4]}: squared norm"):
        recompute_round(PARAMS, BASE, [*reveals[:4], lie], store)


def test_model_revealed_as_an_update_is_refused_by_name(store):
    root = store.put(encode_model(BASE, SHIFT), chunk_length=CHUNK_LENGTH)
    with pytest.raises(VerificationFailed, match=f"update of {DESKS[0]}: kind"):
        recompute_round(PARAMS, BASE, [RevealedUpdate(DESKS[0], root, 0)], store)


def test_base_of_another_dimension_is_refused(store):
    reveals = revealed_in(store, drawn_updates())
    with pytest.raises(VerificationFailed, match="base model must have 40 coordinates"):
        recompute_round(PARAMS, BASE[:-1], reveals, store)


def test_round_without_reveals_has_no_result(store):
    with pytest.raises(RuleError):
        recompute_round(PARAMS, BASE, [], store)


def test_model_that_would_overflow_has_no_result():
    updates = np.full((3, DIMENSION), 1, dtype=np.int16)
    base = np.full(DIMENSION, 2**31 - 1, dtype=np.int32)
    with pytest.raises(RangeError):
        combine(PARAMS, base, updates)


@pytest.mark.parametrize(
    ("root", "named"),
    [("aggregate_root", "aggregate root"), ("model_root", "model root")],
)
def test_wrong_published_root_is_named_with_both_values(root, named):
    combined = combine(PARAMS, BASE, drawn_updates())
    lie = bytes([7]) * 32
    with pytest.raises(VerificationFailed) as caught:
        check_published(combined, published(combined, **{root: lie}))
    message = str(caught.value)
    assert message.startswith(named)
    assert getattr(combined, root).hex() in message
    assert lie.hex() in message
    assert PUBLISHER in message


def test_one_coordinate_off_is_a_wrong_root():
    combined = combine(PARAMS, BASE, drawn_updates())
    off = combined.aggregate.copy()
    off[17] += 1
    lie = SumTree.of(off, CHUNK_LENGTH).root
    with pytest.raises(VerificationFailed, match="aggregate root"):
        check_published(combined, published(combined, aggregate_root=lie))


def test_nothing_published_is_not_a_match():
    combined = combine(PARAMS, BASE, drawn_updates())
    with pytest.raises(VerificationFailed, match="nothing is published"):
        check_published(combined, published(combined, published_at=0))


CHOOSING = replace(PARAMS, pre_steps=PreSteps.ARC | PreSteps.NNM, tolerance=2)


def test_result_by_choice_comes_with_its_table_and_masks():
    updates = drawn_updates()
    found = combine(CHOOSING, BASE, updates)
    choice = choice_of(CHOOSING, updates)
    assert choice is not None
    assert (found.table_root, found.choice_hash) == (choice.table.root, choice_hash(choice.chosen))
    clipped = arc(updates, 2).array()
    assert choice.table.root == Table.of(clipped, CHUNK_LENGTH).root
    assert choice.chosen == neighbours(Table.of(clipped, CHUNK_LENGTH).sums, 2)
    expected = compose(["arc", "nnm"], "median", f=2)(updates)
    np.testing.assert_array_equal(found.aggregate, expected)


@pytest.mark.parametrize(("rule", "members"), [(Rule.MULTI_KRUM, 4), (Rule.KRUM, 1)])
def test_krum_s_rules_show_whom_they_average(rule, members):
    params = replace(PARAMS, rule=rule, tolerance=1)
    updates = drawn_updates()
    choice = choice_of(params, updates)
    assert choice is not None
    (mask,) = choice.chosen
    chosen = [row for row in range(5) if mask >> row & 1]
    assert len(chosen) == mask.bit_count() == members
    expected = updates[chosen].astype(int).sum(axis=0) // members
    np.testing.assert_array_equal(combine(params, BASE, updates).aggregate, expected)


@pytest.mark.parametrize(
    "changes", [{}, {"pre_steps": PreSteps.ARC}, {"rule": Rule.MEAN, "pre_steps": PreSteps.ARC}]
)
def test_result_without_a_choice_has_no_evidence(changes):
    found = combine(replace(PARAMS, **changes), BASE, drawn_updates())
    assert (found.table_root, found.choice_hash) == (bytes(32), bytes(32))


TRUSTING = replace(PARAMS, rule=Rule.FLTRUST, tolerance=1, trusted=DESKS[3])


def test_fltrust_finds_its_reference_among_the_included_updates(store):
    updates = drawn_updates() // 4 + np.int16(1000)  # so that all agree
    reveals = revealed_in(store, updates)
    others = np.delete(updates, 3, axis=0)

    found = recompute_round(TRUSTING, BASE, reveals, store)

    np.testing.assert_array_equal(found.aggregate, RULES["fltrust"](others, updates[3]))
    assert found.aggregate.any()
    shuffled = [reveals[index] for index in (3, 1, 4, 0, 2)]
    assert recompute_round(TRUSTING, BASE, shuffled, store).roots == found.roots
    assert recompute_round(TRUSTING, BASE, reveals[:4], store).roots != found.roots


def test_without_its_reference_fltrust_leaves_the_model_as_it_is(store):
    reveals = revealed_in(store, drawn_updates())
    found = recompute_round(TRUSTING, BASE, [*reveals[:3], reveals[4]], store)
    assert not found.aggregate.any()
    np.testing.assert_array_equal(found.model, BASE)


def test_result_names_what_it_was_computed_from():
    combined = combine(CHOOSING, BASE, drawn_updates())
    state = published(combined, updates_hash=b"\6" * 32, unavailable=0b10)
    assert combined.result(state) == (
        *(combined.aggregate_root, combined.model_root, b"\6" * 32, 0b10),
        *combined.evidence,
    )


def test_wrong_evidence_is_named_though_the_vectors_are_right():
    combined = combine(CHOOSING, BASE, drawn_updates())
    right = published(combined, evidence_hash=combined.evidence.hash)
    check_published(combined, right)
    for lie in (bytes(32), b"\5" * 32):
        with pytest.raises(VerificationFailed, match="hash of table and choice: "):
            check_published(combined, replace(right, evidence_hash=lie))
