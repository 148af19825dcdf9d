from dataclasses import replace

import numpy as np
import pytest

from node.evaluation.metrics import measure
from node.market.cleaning import clean
from node.market.panel import build_panel
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import build_samples
from node.market.split import RECORDED_SPLIT
from node.models.formulas import (
    FLAT_FROM_Z,
    FORMULAS,
    LOWEST_VOL,
    flat,
    quadratic_smile,
    term_structure,
    volatility_smile,
)
from tests.unit.node.recorded import needs_chains, recorded_chain
from tests.unit.node.small_market import frame, quote, samples

pytestmark = pytest.mark.unit


def variance(z):
    return 0.36 - 0.03 * z + 0.02 * z**2


def parabola():
    """Samples whose variance is exactly quadratic in z, the same at every expiry."""
    rows = []
    for days in (1.0, 3.0, 12.0, 45.0, 120.0, 300.0):
        sigma = np.sqrt(variance(0.0) * days / DAYS_PER_YEAR)
        rows.extend(
            quote(days, 100.0 * np.exp(z * sigma), np.sqrt(variance(z)))
            for z in np.linspace(-3.0, 3.0, 13)
        )
    # The panel reads the wings at exactly one standard deviation, which is among the strikes.
    quotes = frame(rows)
    return build_samples(quotes, build_panel(quotes))


def test_the_quadratic_smile_reproduces_a_quadratic_variance():
    exact = parabola()
    np.testing.assert_allclose(quadratic_smile(exact), exact.target_vol, rtol=1e-6)


def at(z):
    return replace(samples(), z=np.full(len(samples()), z))


@pytest.mark.parametrize("smile", [quadratic_smile, volatility_smile])
def test_a_quadratic_smile_passes_through_the_panel(smile):
    for column, z in enumerate((-1.0, 0.0, 1.0)):
        np.testing.assert_allclose(smile(at(z)), samples().panel_vols[:, column])


@pytest.mark.parametrize("smile", [quadratic_smile, volatility_smile])
def test_a_quadratic_smile_never_leaves_the_positive_numbers(smile):
    frowning = np.tile([0.3, 0.5, 0.3], (len(samples()), 1))
    assert (smile(replace(at(9.0), panel_vols=frowning)) == LOWEST_VOL).all()


def test_a_smile_in_volatility_is_a_parabola_that_is_flat_far_out():
    lower, at_money, upper = samples().panel_vols.T
    parabola_at_2 = at_money + (upper - lower) + 2 * (upper + lower - 2 * at_money)
    np.testing.assert_allclose(volatility_smile(at(2.0)), parabola_at_2)
    for side in (-1.0, 1.0):
        edge = volatility_smile(at(side * FLAT_FROM_Z))
        np.testing.assert_array_equal(volatility_smile(at(side * 8.0)), edge)


def test_each_formula_sees_more_of_the_panel_and_errs_less():
    error = {name: measure(price(samples()), samples()).rmse for name, price in FORMULAS.items()}
    assert error["quadratic"] < error["term_structure"] < error["flat"]


def test_flat_is_one_volatility_a_coin_and_snapshot():
    found = samples()
    first = (found.snapshot == found.snapshot[0]) & found.is_btc
    assert np.unique(flat(found)[first]).size == 1
    assert np.unique(term_structure(found)[first]).size > 5


@needs_chains
def test_formulas_err_on_recorded_june_as_measured_before():
    quotes = clean(recorded_chain(start=RECORDED_SPLIT.test_start)).quotes
    june = build_samples(quotes, build_panel(quotes))
    found = {name: measure(price(june), june).rmse for name, price in FORMULAS.items()}
    wanted = {"flat": 10.296, "term_structure": 8.657, "quadratic": 1.886, "ssvi": 2.564}
    assert found == pytest.approx(wanted, abs=2e-3)
