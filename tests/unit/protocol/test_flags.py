"""What cannot be had is found in order of reveal; a table is taken for what its root names."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.blobs import DirectoryStore
from protocol.choice import choice_of
from protocol.encoding import encode_update
from protocol.errors import BlobNotFound, VerificationFailed
from protocol.flags import first_missing, flagged_table
from protocol.recompute import RevealedUpdate
from protocol.state import RoundState
from protocol.sumtree import SumTree
from protocol.task import PreSteps, Rule, TaskParams

pytestmark = pytest.mark.unit

DIMENSION, COUNT = 20, 5
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=b"\1" * 32,
        genesis_model_root=b"\2" * 32,
        dimension=DIMENSION,
        closes_at=100,
    ),
    chunk_length=16,
    rule=Rule.MEDIAN,
    pre_steps=PreSteps.NNM,
    tolerance=1,
)
UPDATES = np.random.default_rng(7).integers(-9, 9, (COUNT, DIMENSION)).astype(np.int16)
TREES = [SumTree.of(update, PARAMS.chunk_length) for update in UPDATES]
REVEALED = [
    RevealedUpdate(f"0x{desk:040x}", tree.root, tree.squared_norm)
    for desk, tree in enumerate(TREES)
]


@pytest.fixture
def store(tmp_path):
    """With every update but the last two."""
    store = DirectoryStore(tmp_path)
    for update in UPDATES[:-2]:
        store.put(encode_update(update, PARAMS.shift), chunk_length=PARAMS.chunk_length)
    return store


def missing(store, *, unavailable=0, had=()):
    """The place that is found, and the places of what was kept on the way."""
    kept = []

    def keep(revealed, update):
        kept.append(REVEALED.index(revealed))
        assert np.array_equal(update, UPDATES[kept[-1]])

    state = RoundState(opened_at=1, unavailable=unavailable)
    is_had = {REVEALED[place] for place in had}.__contains__
    return first_missing(PARAMS, state, REVEALED, store, is_had=is_had, keep=keep), kept


def test_first_that_cannot_be_had_is_named_and_what_was_fetched_is_kept(store):
    assert missing(store) == (3, [0, 1, 2])


def test_neither_what_is_had_nor_what_is_flagged_is_fetched(store):
    assert missing(store, unavailable=0b1000, had=(0, 2)) == (4, [1])
    assert missing(store, unavailable=0b11000, had=(0, 1, 2)) == (None, [])


def test_update_with_another_norm_than_was_revealed_counts_as_missing(store, monkeypatch):
    monkeypatch.setitem(globals(), "REVEALED", [REVEALED[0]._replace(squared_norm=1)])
    assert missing(store) == (0, [])


def test_table_is_that_of_the_included_updates_or_none(store):
    included, updates = REVEALED[:3], UPDATES[:3]
    choice = choice_of(PARAMS, updates)

    assert flagged_table(PARAMS, choice.table.root, included, store).root == choice.table.root
    with pytest.raises(VerificationFailed, match="do not give the table 0x0505"):
        flagged_table(PARAMS, b"\5" * 32, included, store)
    with pytest.raises(BlobNotFound):
        flagged_table(PARAMS, choice.table.root, REVEALED, store)


def test_rule_without_a_table_has_none_to_flag(store):
    without = replace(PARAMS, pre_steps=PreSteps.NONE)
    with pytest.raises(VerificationFailed):
        flagged_table(without, b"\5" * 32, REVEALED[:3], store)
