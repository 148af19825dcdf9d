import numpy as np
import pytest

from node.forecasting.forecasters import har, persistence
from node.forecasting.walk_forward import walk_forward
from protocol.errors import DataError
from tests.unit.node.forecasting.small_history import daily

pytestmark = pytest.mark.unit


def refits(pairs, *shares):
    return [int(pairs.origin[int(share * len(pairs))]) for share in shares]


def test_each_fit_sees_only_targets_that_had_come():
    seen = []

    def spy(pairs, seed):
        seen.append((int(pairs.target.max()), len(pairs)))
        return persistence(pairs, seed)

    pairs = daily()
    at = refits(pairs, 0.3, 0.5, 0.8)
    walk_forward(pairs, spy, at, 0)
    assert all(latest <= moment for (latest, _), moment in zip(seen, at, strict=True))
    assert [count for _, count in seen] == sorted({count for _, count in seen})


def test_a_forecast_does_not_depend_on_what_comes_after_its_fit():
    pairs = daily()
    at = refits(pairs, 0.4, 0.7)
    cut = pairs.take(pairs.origin < at[1])
    whole, part = walk_forward(pairs, har, at, 0), walk_forward(cut, har, at, 0)
    np.testing.assert_array_equal(whole[: len(cut)], part)


def test_before_the_first_fit_there_is_no_forecast():
    pairs = daily()
    at = refits(pairs, 0.5)
    found = walk_forward(pairs, persistence, at, 0)
    np.testing.assert_array_equal(np.isnan(found[:, 0]), pairs.origin < at[0])


def test_refits_that_do_not_rise_are_refused():
    pairs = daily(days=60)
    with pytest.raises(DataError, match="rising order"):
        walk_forward(pairs, persistence, [5, 5], 0)
