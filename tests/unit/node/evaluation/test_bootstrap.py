"""Days are drawn, not quotes: the intervals hold what they say, and pairs share their days."""

import numpy as np
import pytest

from node.evaluation.bootstrap import Days, Estimate
from node.market.quotes import MICROSECONDS_PER_DAY
from protocol.errors import DataError

pytestmark = pytest.mark.unit

NOON = MICROSECONDS_PER_DAY // 2


def moments(days: list[int]) -> np.ndarray:
    return np.array(days, dtype=np.int64) * MICROSECONDS_PER_DAY + NOON


def mean_of(days: Days, snapshot: np.ndarray, values: np.ndarray) -> np.ndarray:
    total, count = days.sums(snapshot, np.stack([values, np.ones(values.size)], axis=1)).T
    return total / count


def test_the_window_itself_comes_first():
    snapshot = moments([5, 5, 6, 9])
    sums = Days(snapshot).sums(snapshot, np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]))
    np.testing.assert_allclose(sums[0], [16.0, 20.0])


def test_redrawn_windows_are_made_of_whole_days_and_are_as_long():
    snapshot = moments([5, 5, 6, 9])
    days = Days(snapshot, draws=200)
    quotes_of_day_5, rows = days.sums(snapshot, np.array([[1.0, 1], [1, 1], [0, 1], [0, 1]])).T
    drawn = quotes_of_day_5[1:] / 2
    assert len(days) == 3
    assert set(drawn.tolist()) == {0.0, 1.0, 2.0, 3.0}
    np.testing.assert_allclose(rows[1:], 3 + drawn)


def test_two_halves_of_a_day_are_one_day():
    snapshot = np.array([0, MICROSECONDS_PER_DAY - 1, MICROSECONDS_PER_DAY], dtype=np.int64)
    assert len(Days(snapshot)) == 2


def test_the_same_days_are_drawn_for_whatever_is_measured():
    snapshot = moments([1, 2, 3, 4])
    one, other = Days(snapshot), Days(snapshot)
    values = np.array([[1.0], [10.0], [100.0], [1000.0]])
    np.testing.assert_array_equal(one.sums(snapshot, values), other.sums(snapshot, values))


def test_groups_are_summed_apart():
    snapshot = moments([1, 1, 2])
    group, values = np.array([0, 2, 2]), np.array([1.0, 10.0, 100.0])
    days = Days(snapshot)
    sums = days.sums_by(snapshot, group, 3, values)
    np.testing.assert_allclose(sums[0], [1.0, 0.0, 110.0])
    np.testing.assert_allclose(sums.sum(axis=1), days.sums(snapshot, values[:, None])[:, 0])


def test_an_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(4)
    hits, windows, count, quotes = 0, 300, 30, 20
    snapshot = np.repeat(moments(list(range(count))), quotes)
    days = Days(snapshot, draws=400)
    for _ in range(windows):
        # Quotes of a day share most of their error, as real ones do.
        values = np.repeat(rng.normal(0.0, 1.0, count), quotes) + rng.normal(
            0.0, 0.3, count * quotes
        )
        low, high = Estimate.of([mean_of(days, snapshot, values)]).ci95
        hits += low <= 0.0 <= high
    assert 0.90 <= hits / windows <= 0.97


def test_pairs_are_compared_on_the_same_days():
    rng = np.random.default_rng(2)
    snapshot = moments(list(range(20)))
    days, one = Days(snapshot), rng.uniform(1.0, 9.0, 20)
    ratio = Estimate.of([mean_of(days, snapshot, 1.1 * one) / mean_of(days, snapshot, one)])
    low, high = Estimate.of([mean_of(days, snapshot, one)]).ci95
    assert ratio.mean == pytest.approx(1.1)
    assert ratio.ci95 == pytest.approx((1.1, 1.1))
    assert high - low > 0.5


def test_seeds_are_averaged_and_shown():
    found = Estimate.of([np.array([1.0, 1.0, 3.0]), np.array([2.0, 4.0, 4.0])])
    assert found.mean == 1.5
    assert found.seeds == (1.0, 2.0)
    assert found.ci95 == pytest.approx((2.5 + 0.025, 3.5 - 0.025))


def test_windows_without_what_is_asked_for_say_nothing():
    found = Estimate.of([np.array([1.0, np.nan, 2.0, 2.0])])
    assert found.ci95 == (2.0, 2.0)
    assert np.isnan(Estimate.of([np.full(4, np.nan)]).mean)


def test_a_percentile_is_exact_on_the_window_and_close_on_others():
    rng = np.random.default_rng(8)
    snapshot = np.sort(rng.integers(0, 12, 600)) * MICROSECONDS_PER_DAY
    values = rng.exponential(1.0, 600)
    days = Days(snapshot, draws=50)
    found = days.percentile(snapshot, values, 95.0)
    assert found[0] == np.percentile(values, 95.0)
    counted = days.sums_by(snapshot, snapshot // MICROSECONDS_PER_DAY, 12, np.ones(600))[1:]
    of_day = np.bincount(snapshot // MICROSECONDS_PER_DAY)
    for redrawn, times in zip(found[1:], counted / of_day, strict=True):
        repeated = np.concatenate(
            [
                np.repeat(values[snapshot // MICROSECONDS_PER_DAY == day], int(times[day]))
                for day in range(12)
            ]
        )
        assert redrawn == pytest.approx(np.quantile(repeated, 0.95, method="hazen"), abs=0.08)


def test_one_day_has_no_interval():
    with pytest.raises(DataError, match="at least two days"):
        Days(moments([3, 3]))
