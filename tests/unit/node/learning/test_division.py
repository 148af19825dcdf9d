"""Nobody trains on held-out days, and desks have what may be trained on without overlap."""

from dataclasses import replace
from datetime import timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from node.learning.division import Market
from node.market.cleaning import clean
from node.market.samples import Samples
from node.market.synthetic import market
from protocol.errors import DataError

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def chain() -> pl.DataFrame:
    return clean(market(3, days=12)).quotes


@pytest.fixture(scope="module")
def divided(chain: pl.DataFrame) -> Market:
    return Market.of(chain).divided("desks", 3, 3)


def moments(samples: Samples) -> set[int]:
    return set(samples.snapshot.tolist())


def test_training_validation_test_and_stress_share_no_snapshot(divided):
    windows = [divided.pooled, divided.validation, divided.test, divided.stress]

    for one, other in combinations(map(moments, windows), 2):
        assert not one & other


def test_desks_together_hold_exactly_the_training_quotes(divided):
    joined = Samples.join(*divided.own, divided.anchors)

    assert len(divided.own) == 3
    assert len(joined) == len(divided.pooled)
    assert moments(joined) == moments(divided.pooled)


def test_every_desk_trains_on_its_own_quotes_and_on_the_public_anchors(divided):
    assert [len(desk) - len(divided.anchors) for desk in divided.desks] == list(
        map(len, divided.own)
    )


@pytest.mark.parametrize(
    ("window", "changes"),
    [
        ("validation", {"validation_end": "train_end"}),
        ("test", {"test_end": "test_start"}),
        ("stress", {"stress_end": "stress_start"}),
    ],
)
def test_data_without_a_held_out_window_is_refused(chain, divided, window, changes):
    empty = replace(
        divided.split, **{end: getattr(divided.split, at) for end, at in changes.items()}
    )

    with pytest.raises(DataError, match=f"the {window} window has no quotes"):
        Market.of(chain, empty)


def test_quotes_are_divided_at_the_times_that_are_told(chain, divided):
    earlier = replace(divided.split, train_end=divided.split.train_end - timedelta(days=2))
    told = Market.of(chain, earlier)

    assert told.split == earlier
    assert len(told.pooled) < len(divided.pooled)
    assert len(told.validation) > len(divided.validation)
    assert moments(told.test) == moments(divided.test)


def test_stress_days_are_neither_trained_nor_chosen_on_wherever_they_lie(chain, divided):
    split = divided.split
    about_the_end = timedelta(days=1)
    moved = replace(
        split,
        stress_start=split.train_end - about_the_end,
        stress_end=split.train_end + about_the_end,
    )
    told = Market.of(chain, moved)

    assert len(told.stress)
    assert not moments(told.stress) & (moments(told.pooled) | moments(told.validation))


def test_dates_before_all_quotes_leave_nothing_to_train_on(chain, divided):
    before = divided.split.train_end - timedelta(days=400)
    with pytest.raises(DataError, match="no quotes are left to train on"):
        Market.of(chain, replace(divided.split, train_end=before))


def test_one_desk_has_everything_until_the_market_is_divided(chain):
    (own,) = Market.of(chain).own
    (dealt,) = Market.of(chain).divided("desks", 1, 0).own

    np.testing.assert_array_equal(own.target_vol, dealt.target_vol)


def test_market_that_is_divided_again_is_as_if_it_had_not_been(chain, divided):
    anew = Market.of(chain).divided("dirichlet", 3, 5)
    again = divided.divided("dirichlet", 3, 5)

    assert list(map(len, again.own)) != list(map(len, divided.own))
    for one, other in zip(anew.desks, again.desks, strict=True):
        np.testing.assert_array_equal(one.target_vol, other.target_vol)
