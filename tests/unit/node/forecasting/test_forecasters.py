from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from eth_hash.auto import keccak

from node.forecasting.forecasters import (
    GROUP,
    HAR,
    RESIDUAL,
    SEASONAL_HAR,
    forward_variance,
    har,
    installed,
    persistence,
)
from node.forecasting.networks import (
    FEWEST_PAIRS,
    Lstm,
    NetworkSettings,
    Residual,
    Transformer,
    fit_network,
)
from node.market.panel import TENOR_YEARS
from node.models import registry
from protocol.errors import ConfigError, DataError
from tests.unit.node.forecasting.small_history import daily, surfaces

pytestmark = pytest.mark.unit

QUICK = NetworkSettings(width=16, epochs=15, members=1, learning_rate=5e-3, dropout=0.0)
NETWORKS = {"residual": Residual, "lstm": Lstm, "transformer": Transformer}


def cut(pairs, share=0.7):
    moment = int(pairs.origin[int(share * len(pairs))])
    later = pairs.take((pairs.origin >= moment) & np.isfinite(pairs.later).all(axis=1))
    return pairs.known_by(moment), later


def rmse(log_vols, pairs):
    return 100.0 * np.sqrt(np.mean((np.exp(log_vols) - np.exp(pairs.later)) ** 2))


def ratio(fit, pairs):
    """RMSE over persistence's on later days."""
    early, later = cut(pairs)
    return rmse(fit(early, 0)(later), later) / rmse(later.now, later)


@pytest.mark.parametrize("name", ["persistence", "forward_variance", "har", "seasonal_har"])
def test_every_surface_forecaster_answers_every_pair(name):
    early, later = cut(surfaces())
    found = installed("surface")[name].fit(early, 0)(later)
    assert found.shape == later.now.shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["persistence", "har", "seasonal_har"])
def test_every_daily_regression_answers_every_pair(name):
    early, later = cut(daily())
    assert np.isfinite(installed("daily")[name].fit(early, 0)(later)).all()


def test_installed_forecasters_are_found_by_what_they_forecast():
    both = {"har", "persistence", "seasonal_har"}
    assert set(installed("daily")) == both | {"lstm", "transformer"}
    assert set(installed("surface")) == both | {"forward_variance", "residual"}
    assert all(each.name == name for name, each in installed("surface").items())


def test_a_hash_says_which_forecaster_it_is():
    everybody = {**installed("daily"), **installed("surface")}
    assert len({each.hash for each in everybody.values()}) == len(everybody)
    assert replace(HAR).hash == HAR.hash
    assert replace(HAR, version=2).hash != HAR.hash
    wider = {**RESIDUAL.settings, "width": 64}
    assert replace(RESIDUAL, settings=wider).hash != RESIDUAL.hash
    assert HAR.hash == keccak(b'{"name":"har","settings":{"seasonal":false},"version":1}')


def test_another_package_can_bring_a_forecaster(monkeypatch):
    def install(value):
        entry = EntryPoint("residual", value, GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda *, group: [entry] * (group == GROUP))
        installed.cache_clear()
        return installed("surface")

    try:
        assert install("node.forecasting.forecasters:RESIDUAL") == {"residual": RESIDUAL}
        with pytest.raises(ConfigError, match="class Forecaster with this name, found 'har'"):
            install("node.forecasting.forecasters:HAR")
    finally:
        installed.cache_clear()


def test_persistence_is_today():
    early, later = cut(daily())
    np.testing.assert_array_equal(persistence(early, 0)(later), later.now)


def test_har_recovers_a_pull_to_the_mean():
    assert ratio(har, daily(days=600)) < 0.97


def test_har_finds_nothing_in_a_walk():
    assert ratio(har, daily(days=600, pull=0.0)) > 0.98


def test_the_calendar_forecasts_a_weekly_wave():
    pairs = surfaces()
    assert ratio(SEASONAL_HAR.fit, pairs) < 0.95 * ratio(har, pairs)


def test_a_flat_term_structure_rolls_into_itself():
    pairs = surfaces(snapshots=20)
    flat = replace(pairs, now=np.full_like(pairs.now, np.log(0.5)))
    np.testing.assert_allclose(forward_variance(flat, 0)(flat), flat.now, rtol=1e-12)


def test_a_rising_term_structure_rolls_upwards():
    """Total variance linear in time with an offset: later is known in closed form."""
    pairs = surfaces(snapshots=20)
    ahead = (pairs.target - pairs.origin)[0] / (365.25 * 86_400e6)
    total = 0.25 * TENOR_YEARS - 0.0005
    now = np.tile(np.log(np.sqrt(total / TENOR_YEARS)), 3)
    found = forward_variance(pairs, 0)(replace(pairs, now=np.tile(now, (len(pairs), 1))))
    short = ahead * total[0] / TENOR_YEARS[0]
    wanted = np.sqrt((0.25 * (TENOR_YEARS + ahead) - 0.0005 - short) / TENOR_YEARS)
    # Beyond 180 days the panel's volatility is flat.
    np.testing.assert_allclose(np.exp(found[0, 5:9]), wanted[:4], rtol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_untrained_network_is_persistence(name):
    early, later = cut(surfaces(snapshots=60))
    untrained = fit_network(NETWORKS[name], replace(QUICK, epochs=0), early, 0)
    np.testing.assert_allclose(untrained(later), later.now, atol=1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_a_pull_to_the_mean(name):
    assert ratio(partial(fit_network, NETWORKS[name], QUICK), daily(days=500, noise=0.03)) < 0.99


def test_the_residual_forecaster_learns_a_weekly_wave():
    assert ratio(partial(fit_network, Residual, QUICK), surfaces()) < 0.7


def test_the_same_seed_gives_the_same_forecast_and_another_does_not():
    early, later = cut(daily(days=200))
    fit = partial(fit_network, Residual, replace(QUICK, epochs=3))
    first, again, other = (fit(early, seed)(later) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_unknown_numbers_do_not_reach_a_forecast():
    pairs = surfaces(snapshots=80)
    unknown = np.full((len(pairs), 1), np.nan)
    richer = replace(pairs, around=np.concatenate([pairs.around, unknown], axis=1))
    early, later = cut(richer)
    found = fit_network(Residual, replace(QUICK, epochs=2), early, 0)(later)
    assert np.isfinite(found).all()


def test_the_epoch_is_chosen_on_days_whose_targets_were_not_learned_from(monkeypatch):
    seen = []
    known_by = type(surfaces()).known_by

    def recorded(self, moment):
        seen.append((known_by(self, moment), moment))
        return seen[-1][0]

    pairs, _ = cut(surfaces(snapshots=80))
    monkeypatch.setattr(type(pairs), "known_by", recorded)
    fit_network(Residual, replace(QUICK, epochs=1), pairs, 0)
    (early, begins), *_ = seen
    assert early.target.max() <= begins < pairs.origin.max()


def test_too_little_to_learn_from_is_refused():
    early, _ = cut(daily(days=200))
    with pytest.raises(DataError, match=f"at least {FEWEST_PAIRS} pairs"):
        fit_network(Residual, QUICK, early.take(slice(FEWEST_PAIRS - 1)), 0)
