"""A desk holds its latest whole days out, one at least."""

import numpy as np
import pytest

from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.split import hold_out
from protocol.errors import DataError
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

TRAINED, HELD_OUT = hold_out(samples())


def test_latest_whole_days_are_held_out():
    days = samples().snapshot // MICROSECONDS_PER_DAY
    assert len(TRAINED) + len(HELD_OUT) == len(samples())
    assert set(TRAINED.snapshot // MICROSECONDS_PER_DAY) == set(np.unique(days)[:-1])
    assert set(HELD_OUT.snapshot // MICROSECONDS_PER_DAY) == {days.max()}


def test_rows_out_of_the_order_of_time_are_held_out_alike():
    order = np.random.default_rng(0).permutation(len(samples()))
    for found, wanted in zip(hold_out(samples().take(order)), (TRAINED, HELD_OUT), strict=True):
        assert sorted(found.z) == sorted(wanted.z)
        assert set(found.snapshot) == set(wanted.snapshot)


@pytest.mark.parametrize(("share", "kept_back"), [(0.01, 1), (0.25, 3), (0.5, 7)])
def test_share_of_the_days_is_held_out_and_at_least_one(share, kept_back):
    _, held_out = hold_out(samples(), share)
    assert np.unique(held_out.snapshot // MICROSECONDS_PER_DAY).size == kept_back


def test_desk_of_one_day_has_nothing_to_judge_by():
    with pytest.raises(DataError, match="two days"):
        hold_out(HELD_OUT)
