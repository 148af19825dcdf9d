"""Desks of a small made-up market are cut without overlap with what is held out."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest

from benchmarks import field as fields
from benchmarks.field import Field
from node.learning.division import Market
from node.market.pipeline import cleaned_chain
from node.market.sources import quotes_of

pytestmark = pytest.mark.unit

DESKS = 3


@pytest.fixture(autouse=True)
def short_market(monkeypatch):
    monkeypatch.setattr(fields, "quotes_of", partial(quotes_of, days=14))


def cut(how="desks", *, anchored=False):
    return Field.cut(None, how, DESKS, 3, anchored=anchored)


def moments(samples):
    return set(samples.snapshot.tolist())


def test_nobody_trains_on_what_is_held_out():
    field = cut()
    windows = [field.pooled, field.validation, *field.held_out.values()]
    for one, other in combinations(map(moments, windows), 2):
        assert not one & other
    assert all(moments(desk) <= moments(field.pooled) for desk in field.desks)
    assert sum(map(len, field.desks)) == len(field.pooled)


def test_anchored_desks_train_on_the_public_points_too():
    plain, anchored = cut(), cut(anchored=True)
    public = len(anchored.anchors)
    assert public > 0
    assert [len(desk) for desk in anchored.desks] == [len(desk) + public for desk in plain.desks]
    assert len(anchored.pooled) == len(plain.pooled) + public


def test_desks_that_divide_by_what_is_quoted_have_a_part_of_the_test_each():
    field = cut()
    assert sum(map(len, field.own_test)) == len(field.held_out["test"])
    assert set(field.own_test[0].is_btc.tolist()) == set(field.desks[0].is_btc.tolist()) == {True}
    assert cut("time").own_test == ()


def test_one_anchored_desk_has_all_quotes_and_the_public_points():
    whole = Market.of(cleaned_chain(fields.quotes_of(None)))
    field = Field.cut(None, "desks", 1, 0, anchored=True)
    np.testing.assert_array_equal(whole.pooled.target_vol, field.pooled.target_vol)
    assert {name: len(window) for name, window in whole.windows.items()} == {
        "validation": len(field.validation),
        "test": len(field.held_out["test"]),
        "stress": len(field.held_out["stress"]),
    }
