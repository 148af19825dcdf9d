from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import QuantLib

from node.market.panel import build_panel
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import build_samples
from node.models.expiries import Expiries, visible_half
from node.models.formulas import quadratic_smile
from node.models.svi import FEWEST_QUOTES, STEEPEST_WING, fit_svi, raw_svi, svi
from tests.unit.node.small_market import frame, quote, samples

pytestmark = pytest.mark.unit

SLICES = {
    2.0: (0.0005, 0.02, -0.4, 0.01, 0.03),
    9.0: (0.002, 0.04, -0.2, 0.0, 0.08),
    30.0: (0.008, 0.08, -0.3, 0.02, 0.15),
    # Its a is below zero, its lowest total variance is not.
    90.0: (-0.01, 0.12, -0.1, 0.05, 0.6),
    200.0: (0.03, 0.2, 0.1, -0.05, 0.5),
}
"""Days to a, b, rho, m, s."""


@cache
def exact():
    """Samples whose total variance is exactly raw SVI, another one at every expiry."""
    rows = []
    for days, parameters in SLICES.items():
        years = days / DAYS_PER_YEAR
        sigma = np.sqrt(raw_svi(0.0, np.array(parameters)))
        for k in np.linspace(-3.0, 3.0, 25) * sigma:
            vol = np.sqrt(raw_svi(k, np.array(parameters)) / years)
            rows.append(quote(days, 100.0 * np.exp(k), vol))
    quotes = frame(rows)
    return build_samples(quotes, build_panel(quotes))


def rmse(vols, asked):
    return 100.0 * np.sqrt(np.mean((vols - asked.target_vol) ** 2))


def test_raw_svi_is_quantlibs():
    parameters, years = SLICES[30.0], 30.0 / DAYS_PER_YEAR
    a, b, rho, m, s = parameters
    theirs = QuantLib.SviSmileSection(years, 100.0, [a, b, s, rho, m])
    for strike in (40.0, 80.0, 100.0, 130.0, 300.0):
        ours = raw_svi(np.log(strike / 100.0), np.array(parameters))
        assert ours == pytest.approx(theirs.variance(strike), rel=1e-12)


def test_a_fit_recovers_exact_surfaces():
    slices = fit_svi(exact(), prior_weight=0.0)
    assert rmse(slices.vols(exact()), exact()) < 0.01
    rows = slices.expiries.rows(exact())
    for days, wanted in SLICES.items():
        row = rows[np.argmin(np.abs(exact().tenor_days - days))]
        found = slices.parameters[row]
        scale = np.sqrt(raw_svi(0.0, np.array(wanted)))
        assert found[2] == pytest.approx(wanted[2], abs=0.02)
        assert found[[3, 4]] == pytest.approx(wanted[3:], abs=0.03 * scale)
        assert found[1] == pytest.approx(wanted[1], rel=0.02)


def test_a_fit_is_as_close_as_quantlibs():
    noisy = exact().take(np.abs(exact().tenor_days - 30.0) < 1.0)
    noise = np.random.default_rng(3).normal(0.0, 0.004, len(noisy))
    noisy = replace(noisy, target_vol=noisy.target_vol + noise)
    strikes, vols = noisy.strike.tolist(), noisy.target_vol.tolist()
    today = QuantLib.Date(1, 1, 2026)
    QuantLib.Settings.instance().evaluationDate = today
    theirs = QuantLib.SviInterpolatedSmileSection(
        today + 30, 100.0, strikes, False, 0.5, vols, *(0.01, 0.1, 0.1, -0.1, 0.0), *[False] * 5,
        False,
    )  # fmt: skip
    fitted = np.array([theirs.volatility(strike) for strike in strikes])
    assert rmse(fit_svi(noisy, prior_weight=0.0).vols(noisy), noisy) <= rmse(fitted, noisy) * 1.01


def test_hidden_strikes_are_priced_from_the_visible_half():
    visible = visible_half(exact(), 0)
    hidden = exact().take(~visible)
    assert rmse(svi(exact().take(visible))(hidden), hidden) < 0.05
    assert rmse(quadratic_smile(hidden), hidden) > 0.3


def test_the_prior_keeps_a_wing_from_running_away():
    """Beyond the visible strikes; between them it changes little."""
    noise = np.random.default_rng(1).normal(0.0, 0.01, len(exact()))
    noisy = replace(exact(), target_vol=exact().target_vol + noise)
    visible = noisy.take((noisy.z > -0.8) & (noisy.z < 1.2))
    free, held = fit_svi(visible, prior_weight=0.0), fit_svi(visible)
    far, near = exact().take(np.abs(exact().z) > 2.0), exact().take(np.abs(exact().z) < 0.8)
    assert rmse(held.vols(far), far) < 0.7 * rmse(free.vols(far), far)
    assert rmse(held.vols(near), near) < 1.1 * rmse(free.vols(near), near)


def test_half_of_each_expirys_strikes_are_visible():
    visible, row = visible_half(samples(), 0), Expiries.of(samples()).row
    seen, listed = np.bincount(row, visible), np.bincount(row)
    assert (np.abs(2 * seen - listed) <= 1).all()
    assert (visible != visible_half(samples(), 1)).any()


def test_a_fit_does_not_depend_on_the_order_of_quotes():
    shuffled = exact().take(np.random.default_rng(0).permutation(len(exact())))
    np.testing.assert_allclose(
        fit_svi(shuffled).vols(exact()), fit_svi(exact()).vols(exact()), rtol=1e-6
    )


def test_total_variance_and_wings_stay_within_their_bounds():
    wild = samples()
    noise = np.random.default_rng(5).normal(0.0, 0.3, len(wild))
    wild = replace(wild, target_vol=wild.target_vol * np.exp(noise))
    a, b, rho, _, s = fit_svi(wild).parameters.T
    fitted = np.isfinite(a)
    assert fitted.sum() > 100
    assert (b[fitted] * (1.0 + np.abs(rho[fitted])) <= STEEPEST_WING + 1e-9).all()
    lowest = (a + b * s * np.sqrt(1.0 - rho**2))[fitted]
    assert (lowest >= -1e-12).all()
    assert (lowest < 1e-9).any(), "the bound was never in the way"


def test_an_expiry_with_too_few_quotes_is_priced_by_the_quadratic_smile():
    few = exact().take(np.abs(exact().tenor_days - 9.0) < 1.0).take(slice(FEWEST_QUOTES - 1))
    np.testing.assert_array_equal(svi(few)(exact()), quadratic_smile(exact()))
    enough = svi(exact())(exact())
    assert not np.isclose(enough, quadratic_smile(exact())).all()
