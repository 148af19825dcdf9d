import numpy as np
import pytest
from scipy import stats

from node.forecasting.comparison import diebold_mariano
from protocol.errors import DataError

pytestmark = pytest.mark.unit


def test_without_overlap_it_is_students_test_of_the_mean_difference():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1.0, 1.0, 80) ** 2, rng.normal(1.1, 1.0, 80) ** 2
    theirs = stats.ttest_1samp(first - second, 0.0)
    found = diebold_mariano(first, second, 0)
    # With no overlap the correction turns the variance over n into that over n - 1.
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_its_sign_says_who_loses_less():
    rng = np.random.default_rng(1)
    good, bad = rng.random(200), rng.random(200) + 0.3
    assert diebold_mariano(good, bad, 3).statistic < -5
    assert diebold_mariano(bad, good, 3).statistic > 5


def rejected(overlap, seed, trials=300):
    """Share of tests at 5 % that see a difference where there is none but overlapping errors."""
    rng = np.random.default_rng(seed)
    count = 0
    for _ in range(trials):
        shocks = rng.normal(size=303)
        difference = np.convolve(shocks, np.ones(4), mode="valid")
        count += diebold_mariano(difference, np.zeros(300), overlap).p_value < 0.05
    return count / trials


def test_overlapping_forecasts_are_not_taken_for_evidence():
    assert rejected(0, 2) > 0.2
    assert rejected(8, 2) < 0.12


def test_equal_losses_show_nothing():
    same = np.arange(9.0)
    assert diebold_mariano(same, same, 1).p_value == 1.0


@pytest.mark.parametrize("sizes", [(8, 9), (4, 4)])
def test_losses_that_cannot_be_compared_are_refused(sizes):
    first, second = (np.zeros(size) for size in sizes)
    with pytest.raises(DataError, match="losses of the same 7 or more"):
        diebold_mariano(first, second, 2)
