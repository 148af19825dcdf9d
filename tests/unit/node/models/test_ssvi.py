from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import QuantLib

from node.market.panel import TENOR_YEARS
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import anchor_samples, grid_samples
from node.models.expiries import Expiries, visible_half
from node.models.formulas import FORMULAS
from node.models.ssvi import LARGEST_ETA, Surfaces, fit_panel, fit_quotes, ssvi, ssvi_from
from tests.unit.node.small_market import panel, samples

pytestmark = pytest.mark.unit

TRUTH = Surfaces(
    np.array([-0.35, 0.1, -0.6]), np.array([0.9, 0.7, 1.1]), np.array([0.45, 0.3, 0.4])
)
ATM_VOLS = np.array([0.42, 0.45, 0.5, 0.53, 0.55])
Z = np.linspace(-3.0, 3.0, 13)


def vols(row, k, theta, years):
    return np.sqrt(TRUTH.total_variance(row, k, theta) / years)


@cache
def exact_panel():
    """Three panels on exact surfaces."""
    theta = ATM_VOLS**2 * TENOR_YEARS
    surfaces = [
        [vols(np.full(5, row), z * np.sqrt(theta), theta, TENOR_YEARS) for z in (-1.0, 0.0, 1.0)]
        for row in range(3)
    ]
    known = panel()
    return replace(
        known, snapshot=known.snapshot[:3], is_btc=known.is_btc[:3], vols=np.array(surfaces)
    )


@cache
def exact():
    """Quotes on the same surfaces, at the panel's tenors and between."""
    asked = grid_samples(exact_panel(), Z, np.array([2, 5, 20, 30, 60, 150, 300]) / DAYS_PER_YEAR)
    theta = asked.atm_vol**2 * asked.years
    found = vols(asked.surface_row, asked.log_moneyness, theta, asked.years)
    return replace(asked, target_vol=found, mid_vol=found)


def rmse(found, asked):
    return 100.0 * np.sqrt(np.mean((found - asked.target_vol) ** 2))


def test_a_slice_is_quantlibs_svi():
    """Source of the conversion: Gatheral and Jacquier 2014, lemma 3.1."""
    theta, years = 0.05, 0.25
    rho, eta, gamma = (part[0] for part in (TRUTH.rho, TRUTH.eta, TRUTH.gamma))
    phi = eta / (theta**gamma * (1.0 + theta) ** (1.0 - gamma))
    root = np.sqrt(1.0 - rho**2)
    raw = [theta / 2 * (1 - rho**2), theta * phi / 2, root / phi, rho, -rho / phi]
    theirs = QuantLib.SviSmileSection(years, 100.0, [float(part) for part in raw])
    for strike in (50.0, 90.0, 100.0, 150.0):
        ours = TRUTH.total_variance(0, np.log(strike / 100.0), theta)
        assert ours == pytest.approx(theirs.variance(strike), rel=1e-12)


def test_a_panel_on_an_exact_surface_gives_its_parameters_back():
    found = fit_panel(exact_panel().vols)
    for name in ("rho", "eta", "gamma"):
        np.testing.assert_allclose(getattr(found, name), getattr(TRUTH, name), atol=1e-5)
    assert rmse(ssvi(exact()), exact()) < 1e-3


def test_visible_quotes_on_an_exact_surface_price_the_hidden_ones():
    visible = visible_half(exact(), 0)
    hidden = exact().take(~visible)
    assert rmse(ssvi_from(exact().take(visible))(hidden), hidden) < 0.02
    shown = exact().take(visible)
    found, theta = fit_quotes(shown, Expiries.of(shown))
    order = np.lexsort((exact_panel().is_btc, exact_panel().snapshot))
    np.testing.assert_allclose(found.rho, TRUTH.rho[order], atol=5e-3)
    assert theta.size == 21


def test_snapshots_and_expiries_without_quotes_fall_back_on_the_panel():
    first = exact().take(exact().surface_row == 0)
    seen = first.take(first.tenor_days < 100.0)
    found = ssvi_from(seen)(exact())
    other = exact().surface_row != 0
    np.testing.assert_array_equal(found[other], ssvi(exact())[other])
    assert rmse(found[~other], first) < 0.02


def test_a_single_quote_moves_its_expirys_level():
    one = exact().take(np.array([3]))
    expiry = exact().take((exact().surface_row == 0) & (exact().years == one.years[0]))
    found = ssvi_from(one)(expiry)
    assert np.isfinite(found).all()
    assert found[3] == pytest.approx(one.target_vol[0], abs=1e-3)


def test_the_panels_atm_vols_are_met_and_its_wings_nearly():
    points = anchor_samples(panel())
    found, at_money = ssvi(points), points.z == 0.0
    np.testing.assert_allclose(found[at_money], points.target_vol[at_money], rtol=1e-9)
    assert rmse(found, points) < rmse(FORMULAS["term_structure"](points), points) / 3


def test_no_surface_leaves_the_bounds_that_forbid_arbitrage():
    noise = np.exp(np.random.default_rng(2).normal(0.0, 0.5, panel().vols.shape))
    found = fit_panel(panel().vols * noise)
    # To a rounding: the bound itself is allowed.
    assert (found.eta * (1.0 + np.abs(found.rho)) <= LARGEST_ETA + 1e-12).all()
    assert ((found.gamma >= 0.0) & (found.gamma <= 0.5)).all()
    grid = np.linspace(-6.0, 6.0, 601)
    for row in range(0, len(found.rho), 7):
        theta = 0.05
        k = grid * np.sqrt(theta)
        w = found.total_variance(row, k, theta)
        first, second = np.gradient(w, k), np.gradient(np.gradient(w, k), k)
        density = (1 - k * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + 0.25) + second / 2
        assert density[2:-2].min() > -1e-3


def test_ssvi_prices_the_made_up_market_better_than_the_term_structure():
    error = {name: rmse(FORMULAS[name](samples()), samples()) for name in FORMULAS}
    assert error["ssvi"] < error["term_structure"] / 2
