"""Tomorrow's quotes are priced from the panels of today that they should be, and no others."""

import numpy as np
import pytest

from benchmarks.forecast_quotes import Later, errors
from node.forecasting.pairs import surface_pairs
from node.market.quotes import MICROSECONDS_PER_DAY, VOL_POINTS
from node.market.state import DAY
from node.models.formulas import quadratic_smile, term_structure
from tests.unit.node.small_market import panel, samples

pytestmark = pytest.mark.unit

PAIRS = surface_pairs(panel(), DAY)
START = int(panel().snapshot.min()) + 2 * MICROSECONDS_PER_DAY
LATER = Later.joined(samples(), PAIRS, START)


def test_quotes_are_those_with_a_panel_a_day_before():
    row = LATER.rows[LATER.of]
    np.testing.assert_array_equal(PAIRS.target[row], LATER.quotes.snapshot)
    np.testing.assert_array_equal(PAIRS.is_btc[row], LATER.quotes.is_btc)
    assert PAIRS.origin[row].min() >= START
    late = samples().snapshot >= START + DAY.total_seconds() * 1e6
    assert len(LATER.quotes) == late.sum()


def test_with_their_own_panel_quotes_are_priced_as_ever():
    found = errors(LATER, quadratic_smile, {})["own panel"]
    as_ever = VOL_POINTS * (quadratic_smile(LATER.quotes) - LATER.quotes.target_vol)
    np.testing.assert_allclose(found[0], as_ever, atol=1e-9)


def test_persistence_prices_by_the_panel_of_a_day_before():
    found = errors(LATER, term_structure, {"persistence": PAIRS.now[None]})["persistence"][0]
    before = panel().rows(PAIRS.origin[LATER.rows[LATER.of]], LATER.quotes.is_btc)
    own = panel().rows(LATER.quotes.snapshot, LATER.quotes.is_btc)
    asked = LATER.by(PAIRS.now)
    np.testing.assert_allclose(asked.surfaces[asked.surface_row], panel().vols[before])
    moved = np.abs(panel().vols[before] - panel().vols[own]).max(axis=(1, 2)) > 1e-6
    assert (found != errors(LATER, term_structure, {})["own panel"][0])[moved].any()
    np.testing.assert_allclose(asked.strike, LATER.quotes.strike)


def test_an_aged_quote_is_a_day_longer_on_the_day_before():
    aged = LATER.aged()
    np.testing.assert_allclose(aged.years - LATER.quotes.years, 1.0 / 365.25, rtol=1e-9)
    np.testing.assert_array_equal(LATER.quotes.snapshot - aged.snapshot, MICROSECONDS_PER_DAY)
    np.testing.assert_allclose(aged.log_moneyness, LATER.quotes.log_moneyness, atol=1e-12)
