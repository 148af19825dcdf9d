from dataclasses import fields, replace
from datetime import timedelta

import numpy as np
import pytest

from node.forecasting.pairs import (
    DAILY_STEPS,
    SURFACE_LAGS,
    Pairs,
    daily_pairs,
    forecast_panel,
    surface_pairs,
)
from node.market.panel import Panel
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.state import DAY, Series
from protocol.errors import DataError
from tests.unit.node.forecasting.small_history import (
    HOUR,
    daily,
    index_series,
    panels,
    surfaces,
)

pytestmark = pytest.mark.unit

SIX_HOURS = timedelta(hours=6)
KNOWN_AT_THE_ORIGIN = [
    field.name for field in fields(Pairs) if field.name not in ("later", "target")
]


def test_a_days_pair_is_its_close_and_the_next_days():
    close, high, low = index_series(50)
    pairs = daily_pairs(close, high, low, is_btc=True)
    assert len(pairs) == 50 - DAILY_STEPS + 1
    np.testing.assert_allclose(100 * np.exp(pairs.now[:, 0]), close.value[DAILY_STEPS - 1 :])
    np.testing.assert_allclose(100 * np.exp(pairs.later[:-1, 0]), close.value[DAILY_STEPS:])
    assert np.isnan(pairs.later[-1]).all()
    assert (pairs.target - pairs.origin == MICROSECONDS_PER_DAY).all()


def test_a_missing_day_is_no_target():
    kept = np.delete(np.arange(60), 45)
    series = [Series(part.known_at[kept], part.value[kept]) for part in index_series(60)]
    pairs = daily_pairs(*series, is_btc=False)
    gone = index_series(60)[0].known_at[45]
    assert np.isnan(pairs.later[pairs.target == gone]).all()
    assert np.isnan(pairs.later).sum() == 2


def test_the_week_and_the_month_are_trailing_averages():
    close = index_series(90)[0].value
    pairs = daily(days=90)
    logs = np.log(close / 100.0)
    np.testing.assert_allclose(pairs.means[-1, 0, 0], logs[-1])
    np.testing.assert_allclose(pairs.means[-1, 1, 0], logs[-7:].mean())
    np.testing.assert_allclose(pairs.means[-1, 2, 0], logs[-30:].mean())


def test_what_is_known_at_an_origin_does_not_depend_on_later_days():
    series = index_series(90)
    cut = [Series(part.known_at[:60], part.value[:60]) for part in series]
    whole, part = (daily_pairs(*known, is_btc=True) for known in (series, cut))
    for name in KNOWN_AT_THE_ORIGIN:
        np.testing.assert_array_equal(getattr(whole, name)[: len(part)], getattr(part, name))


def test_what_is_known_of_surfaces_does_not_depend_on_later_snapshots():
    every, cut = panels(120), 80
    early = Panel(every.snapshot[:cut], every.is_btc[:cut], every.vols[:cut], incomplete=0)
    whole, part = (surface_pairs(panel, DAY) for panel in (every, early))
    for name in KNOWN_AT_THE_ORIGIN:
        np.testing.assert_array_equal(getattr(whole, name)[:cut], getattr(part, name))


def test_a_surfaces_pair_is_the_snapshot_nearest_the_horizon():
    panel = panels(40)
    pairs = surface_pairs(panel, DAY)
    btc = pairs.take(pairs.is_btc)
    vols = panel.vols[panel.is_btc].reshape(40, 15)
    np.testing.assert_allclose(np.exp(btc.now), vols)
    np.testing.assert_allclose(np.exp(btc.later[:-4]), vols[4:])
    assert np.isnan(btc.later[-4:]).all()


def test_a_snapshot_too_far_from_the_horizon_is_no_target():
    pairs = surface_pairs(panels(30, hours=9), SIX_HOURS)
    assert np.isnan(pairs.later).all()
    moved = panels(30)
    at = moved.snapshot + (moved.snapshot // (6 * HOUR) % 2) * HOUR
    found = surface_pairs(replace(moved, snapshot=at), SIX_HOURS)
    known = np.isfinite(found.later).all(axis=1)
    assert known.sum() == 58
    assert (np.abs(found.target - found.origin - 6 * HOUR)[known] == HOUR).all()


def test_past_surfaces_are_those_last_known_at_the_lags():
    panel = panels(60)
    pairs = surface_pairs(panel, DAY)
    btc = pairs.take(pairs.is_btc)
    logs = np.log(panel.vols[panel.is_btc].reshape(60, 15))
    for place, lag in enumerate(SURFACE_LAGS):
        steps = lag // SIX_HOURS
        np.testing.assert_allclose(btc.past[40, place], logs[40 - steps] - logs[40], atol=1e-12)


def test_only_targets_that_have_come_are_learned_from():
    pairs = surfaces()
    moment = int(pairs.origin[300])
    known = pairs.known_by(moment)
    assert (known.target <= moment).all()
    assert len(known) == (pairs.target <= moment).sum()
    assert np.isfinite(known.later).all()
    assert (known.origin <= moment - MICROSECONDS_PER_DAY + 2 * HOUR).all()


def test_more_of_the_market_is_one_number_more_a_snapshot():
    panel = panels(20)
    state = np.arange(40.0)[:, None]
    plain, richer = surface_pairs(panel, DAY), surface_pairs(panel, DAY, state)
    np.testing.assert_array_equal(richer.around[:, :-1], plain.around)
    np.testing.assert_array_equal(richer.around[:, -1], np.arange(40.0))


def test_more_of_the_market_is_one_number_more_a_day():
    series = index_series(days=40)
    state = np.arange(40.0)[:, None]
    plain, richer = (
        daily_pairs(*series, is_btc=True),
        daily_pairs(*series, is_btc=True, state=state),
    )
    np.testing.assert_array_equal(richer.around[:, :-1], plain.around)
    np.testing.assert_array_equal(richer.around[:, -1], np.arange(29.0, 40.0))


def test_a_forecast_is_a_panel_again():
    pairs = surfaces(snapshots=20)
    panel = forecast_panel(pairs, pairs.now)
    np.testing.assert_allclose(panel.vols, panels(20).vols)
    np.testing.assert_array_equal(panel.snapshot, pairs.target)


def test_different_days_or_too_few_are_refused():
    close, high, low = index_series(60)
    with pytest.raises(DataError, match="same days"):
        daily_pairs(close, high, Series(low.known_at[1:], low.value[1:]), is_btc=True)
    with pytest.raises(DataError, match="more than 30 days"):
        daily(days=30)
