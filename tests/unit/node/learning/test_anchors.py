"""The public batch: one seed one batch, no static arbitrage, and answers that fit the panel."""

import numpy as np
import pytest

from node.learning.anchors import DAYS, DEVIATIONS, Surfaces, synthetic_anchors
from node.market.panel import TENOR_YEARS, vols_at
from node.market.quotes import DAYS_PER_YEAR

pytestmark = pytest.mark.unit

COUNT = 64


@pytest.fixture(scope="module")
def surfaces():
    return Surfaces.draw(3, COUNT)


def rows(values):
    return np.broadcast_to(values, (COUNT, values.size))


def test_the_seed_is_the_batch():
    first, again, other = (synthetic_anchors(seed, COUNT) for seed in (3, 3, 4))
    assert len(first) == COUNT * DAYS.size * DEVIATIONS.size
    np.testing.assert_array_equal(first.target_vol, again.target_vol)
    assert (first.target_vol != other.target_vol).any()


def test_total_variance_rises_in_time_at_every_strike(surfaces):
    years = np.linspace(1, 365, 120) / DAYS_PER_YEAR
    for k in np.linspace(-1.5, 1.5, 13):
        variance = surfaces.vols(np.full((COUNT, years.size), k), rows(years)) ** 2 * years
        assert (np.diff(variance, axis=1) > 0).all()


def test_the_density_that_prices_imply_is_nowhere_negative(surfaces):
    k = np.linspace(-2.0, 2.0, 801)
    step = k[1] - k[0]
    for days in (2.0, 30.0, 300.0):
        years = rows(np.full(k.size, days / DAYS_PER_YEAR))
        w = surfaces.vols(rows(k), years) ** 2 * years
        slope, bend = np.gradient(w, step, axis=1), np.diff(w, 2, axis=1) / step**2
        w, slope = w[:, 1:-1], slope[:, 1:-1]
        density = (1 - k[1:-1] * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 0.25) + bend / 2
        assert density.min() > -1e-3


def test_the_panel_is_the_surface_at_its_own_points(surfaces):
    panel, years = surfaces.panel(), rows(TENOR_YEARS)
    assert panel.vols.shape == (COUNT, 3, TENOR_YEARS.size)
    np.testing.assert_allclose(panel.vols[:, 1], surfaces.vols(0 * years, years))
    upper = panel.vols[:, 1] * np.sqrt(years)
    np.testing.assert_allclose(panel.vols[:, 2], surfaces.vols(upper, years))
    at_tenor = vols_at(panel.vols, np.full(COUNT, TENOR_YEARS[2]))
    np.testing.assert_allclose(at_tenor, panel.vols[:, :, 2])


def test_answers_lie_on_the_surface_that_the_sample_sees(surfaces):
    samples = synthetic_anchors(3, COUNT)
    k = np.log(samples.strike / samples.forward).reshape(COUNT, -1)
    found = surfaces.vols(k, samples.years.reshape(COUNT, -1)).ravel()
    np.testing.assert_allclose(samples.target_vol, found)
    np.testing.assert_allclose(samples.surfaces, surfaces.panel().vols)
    assert (np.bincount(samples.surface_row) == DAYS.size * DEVIATIONS.size).all()
