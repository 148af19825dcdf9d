"""What is unknown of a panel is what is expected given the known: by hand, and on recorded days."""

from datetime import UTC, datetime

import numpy as np
import pytest

from node.market.cleaning import clean
from node.market.completion import FACTORS, MEAN, NOISE, WHOLE, completed
from node.market.panel import AT_MONEY, THIRTY_DAYS, build_panel
from tests.unit.node import recorded
from tests.unit.node.small_market import panel

pytestmark = pytest.mark.unit


def with_holes(vols, known):
    places = np.tile(np.arange(WHOLE), (len(vols), 1))
    order = np.random.default_rng(known).permuted(places, axis=1)
    return np.where((order < known).reshape(vols.shape), vols, np.nan)


@pytest.mark.parametrize("known", [1, 4, 9, 14])
def test_the_unknown_is_the_mean_of_a_normal_given_the_known(known):
    holed = with_holes(panel().vols[:6], known)
    factors = FACTORS.reshape(-1, WHOLE)
    covariance = factors.T @ factors + NOISE**2 * np.eye(WHOLE)
    for vols, found in zip(holed, completed(holed), strict=True):
        seen = np.isfinite(vols).ravel()
        moves = (np.log(vols) - MEAN).ravel()[seen]
        told = np.linalg.solve(covariance[np.ix_(seen, seen)], moves)
        expected = np.exp(MEAN.ravel() + covariance[:, seen] @ told)
        np.testing.assert_allclose(found.ravel()[~seen], expected[~seen], rtol=1e-9)


def test_what_is_known_stays_to_the_bit():
    whole = panel().vols
    holed = with_holes(whole, 7)
    found = completed(holed)
    seen = np.isfinite(holed)
    np.testing.assert_array_equal(found[seen], whole[seen])
    assert (found > 0).all()
    np.testing.assert_array_equal(completed(whole), whole)
    assert np.isnan(holed).sum() == 8 * len(whole)


def test_panels_do_not_depend_on_each_other():
    holed = with_holes(panel().vols, 5)
    together = completed(holed)
    for row in (0, 3, len(holed) - 1):
        np.testing.assert_allclose(completed(holed[row : row + 1])[0], together[row], rtol=1e-12)


def test_the_unknown_follows_the_level_of_the_known():
    one = np.full((2, 3, 5), np.nan)
    one[:, AT_MONEY, THIRTY_DAYS] = [0.5, 0.8]
    calm, high = completed(one)
    assert (high > calm).all()


def test_where_nothing_is_known_it_is_the_mean():
    np.testing.assert_allclose(completed(np.full((1, 3, 5), np.nan))[0], np.exp(MEAN))


@recorded.needs_chains
def test_hidden_volatilities_of_recorded_days_are_found():
    june = (datetime(2026, 6, day, tzinfo=UTC) for day in (1, 30))
    whole = build_panel(clean(recorded.recorded_chain(*june)).quotes).vols
    for known, most in ((10, 2.0), (5, 4.0)):
        holed = with_holes(whole, known)
        missed = 100.0 * (completed(holed) - whole)[np.isnan(holed)]
        assert 0.1 < np.sqrt(np.mean(missed**2)) < most
