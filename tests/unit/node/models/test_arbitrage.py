"""Calendar, butterfly and wings: known where a formula has them, and lower after training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from node.learning.training import LocalTraining, TrainingSettings
from node.market.black76 import price_coin
from node.market.panel import TENOR_YEARS
from node.market.samples import grid_samples
from node.models.arbitrage import (
    CANDIDATES,
    DEEP,
    LONGEST_YEARS,
    MARGIN,
    NEAREST,
    REACH_Z,
    ROWS,
    SHORTEST_YEARS,
    TENOR_REACH,
    TOLERANCE,
    WATCHED_TIMES,
    WATCHED_Z,
    Stencil,
    Watch,
)
from node.models.formulas import flat, term_structure
from node.models.points import Points
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import ConfigError
from tests.unit.node.small_market import panel, samples

pytestmark = pytest.mark.unit

Z = np.linspace(-4.0, 4.0, 33)
YEARS = np.array([2 / 365.25, 0.05, 0.3, 1.0])
STENCIL = Stencil.about(grid_samples(panel().take(np.array([0, 1])), Z, YEARS))
K, T = STENCIL.samples.log_moneyness, STENCIL.samples.years


def found(variance):
    """Conditions of a formula for total variance, of all samples' k and T."""
    return STENCIL.conditions(torch.from_numpy(np.sqrt(variance(K, T) / T)))


def svi(k):
    """One smile of J. Gatheral's raw form."""
    return 0.1 + 0.4 * (-0.3 * k + np.sqrt(k**2 + 0.2**2))


def test_flat_surface_grows_in_proportion_to_time_and_has_a_normal_density():
    flat_surface = found(lambda _, years: 0.36 * years)
    np.testing.assert_allclose(flat_surface.calendar, 1.0, atol=1e-9)
    np.testing.assert_allclose(flat_surface.butterfly, 1.0, atol=1e-9)
    np.testing.assert_allclose(flat_surface.slope, 0.0, atol=1e-9)


def test_conditions_of_a_raw_svi_are_those_of_its_derivatives():
    conditions = found(lambda k, years: svi(k) * years**0.5)
    k, scale = STENCIL.log_moneyness.numpy(), np.sqrt(STENCIL.years.numpy())
    root = np.sqrt(k**2 + 0.2**2)
    w, first = svi(k) * scale, 0.4 * (k / root - 0.3) * scale
    second = 0.4 * (0.2**2 / root**3) * scale
    g = (1 - k * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + 0.25) + second / 2
    np.testing.assert_allclose(conditions.calendar, 0.5, atol=1e-9)
    np.testing.assert_allclose(conditions.slope, first, atol=1e-2)
    np.testing.assert_allclose(conditions.butterfly, g, atol=5e-2)
    near = STENCIL.years.numpy() < 0.1
    np.testing.assert_allclose(conditions.butterfly[near], g[near], atol=2e-3)


def test_butterfly_is_below_zero_where_prices_are_not_convex():
    """Vogt's smile. Source: Gatheral and Jacquier 2014, example 3.1."""

    def vogt(k, years):
        off = k - 0.3586
        return -0.0410 + 0.1331 * (0.3060 * off + np.sqrt(off**2 + 0.4153**2)) + 0.0 * years

    conditions = found(vogt)
    one_year = STENCIL.years.numpy() == 1.0
    k, dented = STENCIL.log_moneyness[one_year], conditions.broken()[1].numpy()[one_year]

    def call(at):
        strike = np.exp(at)
        return price_coin(1.0, strike, 1.0, np.sqrt(vogt(at, 1.0)), is_call=True)

    def convexity(at, step=0.01):
        """Of call prices in the strike."""
        low, mid, high = np.exp(at - step), np.exp(at), np.exp(at + step)
        rise = (call(at + step) - call(at)) / (high - mid)
        return rise - (call(at) - call(at - step)) / (mid - low)

    np.testing.assert_array_equal(dented, convexity(k.numpy()) < 0.0)
    assert 0 < dented.sum() < dented.size
    np.testing.assert_array_equal(conditions.broken()[0].numpy(), False)


def test_calendar_is_below_zero_where_variance_falls():
    falls = found(lambda _, years: 0.01 * years**-0.5)
    np.testing.assert_allclose(falls.calendar, -0.5, atol=1e-9)
    assert falls.broken()[0].all()


def test_what_is_no_number_is_broken():
    broken = STENCIL.conditions(torch.full((len(STENCIL.samples),), math.nan)).broken()
    assert all(part.all() for part in broken)


def test_panels_term_structure_is_free_of_butterflies():
    """At any strike the same volatility; in time it may fall if the panel's own does."""
    for price in (flat, term_structure):
        vols = torch.from_numpy(price(STENCIL.samples))
        assert not STENCIL.conditions(vols).broken()[1].any()


def test_scattered_points_fill_the_range_and_repeat_for_a_seed():
    points = Stencil.scattered(samples(), 2000, seed=3)
    own = points.samples.take(slice(0, None, ROWS))
    assert len(own) == 2000
    assert -WATCHED_Z < own.z.min() < -REACH_Z
    assert REACH_Z < own.z.max() < WATCHED_Z
    assert SHORTEST_YEARS / WATCHED_TIMES <= own.years.min() < SHORTEST_YEARS
    assert LONGEST_YEARS < own.years.max() <= LONGEST_YEARS * WATCHED_TIMES
    nearest = np.abs(np.log(own.years[:, None] / TENOR_YEARS)).min(axis=1)
    assert 0.45 < (nearest < TENOR_REACH).mean() < 0.65
    again, other = (Stencil.scattered(samples(), 2000, seed).samples.z for seed in (3, 4))
    np.testing.assert_array_equal(points.samples.z, again)
    assert not np.array_equal(again, other)


def test_a_share_of_scattered_points_is_on_panels_unlike_the_samples():
    known = {panel.tobytes() for panel in samples().surfaces}
    points = Stencil.scattered(samples(), 2000, seed=3, unlike=0.5).samples
    unlike = [panel.tobytes() not in known for panel in points.surfaces]
    assert 0.3 < np.mean(unlike) <= 0.52
    # A point and its neighbours lie on one surface.
    assert (np.ptp(points.surface_row.reshape(-1, ROWS), axis=1) == 0).all()


def test_neighbours_lie_on_the_same_surface_at_the_same_strike():
    at, lower, upper, later = (STENCIL.samples.take(slice(row, None, ROWS)) for row in range(ROWS))
    np.testing.assert_allclose(later.strike, at.strike, rtol=1e-12)
    np.testing.assert_array_less(at.years, later.years)
    np.testing.assert_array_less(lower.strike, at.strike)
    np.testing.assert_array_less(at.strike, upper.strike)
    for part in (lower, upper, later):
        np.testing.assert_array_equal(part.surface_row, at.surface_row)


def test_float32_moves_the_conditions_less_than_the_tolerance():
    rng = np.random.default_rng(3)
    vector = numbers.to_float(SMILE.genesis(0), 14) + 0.05 * rng.normal(size=SMILE.spec.dimension)
    module = SMILE.module()
    SMILE.load(module, vector)
    with torch.inference_mode():
        exact = module.double()(*SMILE.inputs(Points.of(STENCIL.samples)))
    rounded = STENCIL.conditions(torch.from_numpy(SMILE.predict(vector, STENCIL.samples)))
    wanted = STENCIL.conditions(exact)
    for name in ("calendar", "butterfly"):
        found = getattr(rounded, name)
        assert 0.0 < (found - getattr(wanted, name)).abs().max() < 1e-4 < TOLERANCE


class Falling(nn.Module):
    """Volatility so that total variance falls in time as T^-0.2, at one parameter's height."""

    def __init__(self):
        super().__init__()
        self.height = nn.Parameter(torch.tensor(0.1))

    def forward(self, _, years):
        return self.height * years**-0.6


def test_penalty_grows_with_what_falls_short_and_straight_where_that_is_deep():
    architecture = replace(
        SMILE, module=Falling, inputs=lambda points: (points.is_btc, points.years)
    )
    watch = Watch.over(architecture, samples(), (3, 50), 1, "cpu")
    penalties = [watch.penalty(Falling(), look).item() for look in range(3)]
    short = MARGIN + 0.2
    assert short > DEEP
    # Half of the conditions fall short: the calendar's.
    assert penalties == pytest.approx([2.0 * DEEP * (short - 0.5 * DEEP)] * 3, rel=1e-3)


def test_looks_of_a_watch_are_different_points():
    watch = Watch.over(SMILE, samples(), (2, 50), 1, "cpu")
    assert not torch.equal(watch.geometry[0], watch.geometry[1])
    assert watch.seen[0].shape[:2] == (2, ROWS * 50)


def test_chosen_looks_are_a_share_of_the_candidates_and_hold_the_worst_of_them():
    looks, count = 3, 40
    pool = Watch.over(SMILE, samples(), (CANDIDATES * looks, count), 1, "cpu")
    rng = np.random.default_rng(5)
    rough = numbers.to_float(SMILE.genesis(0), 14) + 0.15 * rng.normal(size=SMILE.spec.dimension)
    module = SMILE.module()
    SMILE.load(module, rough)

    def least(watch):
        with torch.no_grad():
            found = [
                watch.conditions(module(*(part[look] for part in watch.seen)), look)
                for look in range(len(watch.geometry))
            ]
        return torch.cat([torch.minimum(one.calendar, one.butterfly) for one in found])

    chosen = pool.chosen(module, 7)
    assert chosen.geometry.shape == (looks, 3, count)
    near = round(NEAREST * looks * count)
    wanted, found = least(pool).sort().values[:near], least(chosen).sort().values
    torch.testing.assert_close(found[:near], wanted, atol=1e-5, rtol=1e-5)
    # Chance takes a quarter of the others, not only the worst.
    assert found[-1] > least(pool).quantile(0.9)
    again, other = pool.chosen(module, 7), pool.chosen(module, 8)
    assert torch.equal(again.geometry, chosen.geometry)
    assert not torch.equal(other.geometry, chosen.geometry)


def test_training_with_the_penalty_leaves_less_arbitrage():
    """From a rough model, so that there is some to remove."""
    stencil = Stencil.scattered(samples(), 2000, seed=9)
    rng = np.random.default_rng(5)
    rough = numbers.to_float(SMILE.genesis(0), 14) + 0.15 * rng.normal(size=SMILE.spec.dimension)
    settings = TrainingSettings(rounds=1, steps_per_round=60, batch_size=64, arbitrage_points=64)

    def broken(vector):
        vols = torch.from_numpy(SMILE.predict(vector, stencil.samples))
        return sum(float(part.double().mean()) for part in stencil.conditions(vols).broken())

    def trained(weight):
        training = LocalTraining(samples(), replace(settings, arbitrage_weight=weight))
        first = training.train(rough, seed=1).vector
        return training.train(first, seed=2).vector

    with_penalty, without = broken(trained(settings.arbitrage_weight)), broken(trained(0.0))
    assert with_penalty < 0.5 * without
    assert without > 0.01


def test_weight_may_be_nothing_and_not_less():
    assert TrainingSettings(arbitrage_weight=0.0).arbitrage_weight == 0.0
    with pytest.raises(ConfigError, match="arbitrage_weight"):
        TrainingSettings(arbitrage_weight=-1.0)
