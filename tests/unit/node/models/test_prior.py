from dataclasses import replace

import numpy as np
import pytest
import torch

from node.evaluation.metrics import measure
from node.market.panel import AT_MONEY, TENOR_DAYS
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import anchor_samples
from node.models import clock
from node.models.formulas import quadratic_smile
from node.models.points import Points
from node.models.prior import LOWEST_VARIANCE, Prior, prior_anchors
from tests.unit.node.small_market import panel, samples, slanted_panel

pytestmark = pytest.mark.unit


def asked(business_days, z=0.0, **changed):
    """The slanted panel's points at business times of its own calendar."""
    anchor = Points.of(anchor_samples(slanted_panel()).take(slice(0, 1)))
    day = anchor.day.expand(len(business_days))
    plain = [_plain(anchor.day, wanted) for wanted in business_days]
    years = torch.tensor(plain, dtype=torch.float64) / DAYS_PER_YEAR
    surface = changed.get("surface", anchor.surface).expand(len(business_days), 3, 5)
    flat = Points(torch.zeros_like(years), years, torch.ones_like(years), day, surface)
    at_money = Prior.of(flat).at_expiry[:, AT_MONEY]
    return replace(flat, log_moneyness=z * at_money * torch.sqrt(years))


def _plain(day, business_days):
    """Days after which so many business days have passed, by bisection."""
    low, high = torch.zeros(1, dtype=torch.float64), torch.full((1,), 800.0, dtype=torch.float64)
    for _ in range(60):
        middle = (low + high) / 2
        late = clock.between(day, middle) > business_days
        low, high = torch.where(late, low, middle), torch.where(late, middle, high)
    return low.item()


def tenors():
    return clock.to_tenors(Points.of(anchor_samples(slanted_panel()).take(slice(0, 1))).day)[0]


def test_it_says_what_the_panel_says_where_the_panel_was_read():
    at_tenors = tenors()
    for row, z in enumerate((-1.0, 0.0, 1.0)):
        points = asked(at_tenors.tolist(), z)
        prior = Prior.of(points)
        total = slanted_panel().vols[0, row] ** 2 * TENOR_DAYS
        found = prior.vol**2 * points.years * DAYS_PER_YEAR
        np.testing.assert_allclose(found, total, rtol=1e-3)
        np.testing.assert_allclose(prior.gap, 0.0, atol=1e-9)
        np.testing.assert_allclose(prior.z, z, atol=1e-9)


def test_variance_between_two_tenors_is_even_in_business_time():
    first, second = tenors()[2:4].tolist()
    points = asked([first, (first + second) / 2, second])
    prior = Prior.of(points)
    total = prior.at_expiry**2 * points.years[:, None]
    np.testing.assert_allclose(total[1], (total[0] + total[2]) / 2, rtol=1e-9)
    np.testing.assert_allclose(prior.gap, [0.0, 0.5, 0.0], atol=1e-9)


def test_variance_goes_on_beyond_the_last_tenor_and_is_flat_before_the_first():
    at_tenors = tenors().tolist()
    last, before = at_tenors[4], at_tenors[3]
    points = asked([before, last, 2 * last - before, at_tenors[0], at_tenors[0] / 2])
    prior = Prior.of(points)
    total = prior.at_expiry**2 * points.years[:, None]
    np.testing.assert_allclose(total[2], 2 * total[1] - total[0], rtol=1e-9)
    np.testing.assert_allclose(total[4], total[3] / 2, rtol=1e-9)
    assert prior.gap[4].item() == pytest.approx(np.log(2))
    assert prior.gap[2].item() == pytest.approx(np.log(2 - before / last))


def test_total_variance_never_falls_beyond_a_panel_that_falls():
    falling = torch.from_numpy(slanted_panel().vols).clone()
    falling[:, :, 4] *= 0.5
    points = asked([tenors()[4].item(), 360.0], surface=falling)
    total = Prior.of(points).at_expiry ** 2 * points.years[:, None]
    np.testing.assert_allclose(total[1], total[0], rtol=1e-9)


def test_wings_are_straight_in_variance_and_stay_above_the_floor():
    wide = [Prior.of(asked([30.0], z)).vol.item() ** 2 for z in (40.0, 80.0, 120.0)]
    assert wide[2] - wide[1] == pytest.approx(wide[1] - wide[0], rel=0.02)
    frowning = torch.tensor([0.45, 0.5, 0.45], dtype=torch.float64)[None, :, None].expand(1, 3, 5)
    far = Prior.of(asked([30.0], 9.0, surface=frowning))
    assert far.vol.item() ** 2 / 0.25 == pytest.approx(LOWEST_VARIANCE, rel=0.3)
    assert far.vol.item() ** 2 > LOWEST_VARIANCE * 0.25 * 0.98


def test_it_errs_less_than_the_quadratic_smile_without_training():
    found = samples()
    prior = measure(Prior.of(Points.of(found)).vol.numpy(), found)
    assert prior.rmse < 0.9 * measure(quadratic_smile(found), found).rmse


def test_it_is_differentiable_in_strike_and_time():
    points = Points.of(samples().take(slice(0, 400)))
    k, years = points.log_moneyness.requires_grad_(), points.years.requires_grad_()
    vol = Prior.of(points).vol
    skew, drift = torch.autograd.grad(vol.sum(), (k, years))
    step = 1e-7

    def moved(by_k, by_years):
        there = replace(points, log_moneyness=k.detach() + by_k, years=years.detach() + by_years)
        return Prior.of(there).vol

    for_k = ((moved(step, 0) - moved(-step, 0)) / (2 * step)).numpy()
    # Expiries lie where the rate of the clock changes: theirs is the rate of the day before.
    for_years = ((moved(0, 0) - moved(0, -step)) / step).numpy()
    np.testing.assert_allclose(skew, for_k, rtol=1e-4, atol=1e-5)
    assert np.median(np.abs(drift.numpy() - for_years) / (1e-3 + np.abs(for_years))) < 1e-3
    assert torch.isfinite(skew).all()
    assert torch.isfinite(drift).all()


def test_prior_anchors_are_the_panels_points_with_the_priors_answers():
    anchors, plain = prior_anchors(panel()), anchor_samples(panel())
    np.testing.assert_array_equal(anchors.strike, plain.strike)
    np.testing.assert_array_equal(anchors.target_vol, Prior.of(Points.of(plain)).vol)
    two_days = np.isclose(plain.tenor_days, 2.0)
    np.testing.assert_allclose(
        anchors.target_vol[two_days], plain.target_vol[two_days], rtol=1e-3, atol=1e-5
    )
    week = np.isclose(plain.tenor_days, 7.0)
    assert np.abs(anchors.target_vol[week] / plain.target_vol[week] - 1).max() > 0.01
