import numpy as np
import pytest
import torch

from node.market.panel import TENOR_YEARS, vols_at
from node.models.points import Points
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit


def test_volatility_at_the_expiry_is_the_panels():
    found = samples()
    np.testing.assert_allclose(Points.of(found).at_expiry(), found.panel_vols, rtol=1e-12)


def test_standard_deviations_are_those_of_the_samples():
    points = Points.of(samples())
    np.testing.assert_allclose(points.z(points.at_expiry()), samples().z, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("years", [0.001, *TENOR_YEARS, 0.03, 3.0])
def test_every_time_has_a_volatility_flat_outside_the_tenors(years):
    found = samples().take(slice(0, 8))
    surface = found.surfaces[found.surface_row]
    points = Points.of(found)
    moved = Points(
        points.log_moneyness, torch.full((8,), years).double(), points.is_btc, points.surface
    )
    np.testing.assert_allclose(
        moved.at_expiry(), vols_at(surface, np.full(8, np.float64(np.float32(years)))), rtol=1e-6
    )


def test_a_point_is_differentiable_in_strike_and_time():
    points = Points.of(samples().take(slice(0, 50)))
    k, years = (part.clone().requires_grad_() for part in (points.log_moneyness, points.years))
    moved = Points(k, years, points.is_btc, points.surface)
    z = moved.z(moved.at_expiry())
    for_strike, for_time = torch.autograd.grad(z.sum(), (k, years))
    step = 1e-6
    later = Points(points.log_moneyness, points.years + step, points.is_btc, points.surface)
    by_difference = (later.z(later.at_expiry()) - z.detach()) / step
    np.testing.assert_allclose(for_time, by_difference, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(for_strike * points.log_moneyness, z.detach(), rtol=1e-9, atol=1e-9)
