"""How the comparison of forecasters is cut, scored and read."""

from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from benchmarks import forecasting, smiles
from node.forecasting.forecasters import SURFACE, har, persistence
from node.market.desks import write_desk
from node.market.split import RECORDED_SPLIT
from node.market.state import DAY
from node.market.synthetic import market
from tests.unit.node import small_market
from tests.unit.node.forecasting.small_history import START, daily, surfaces

pytestmark = pytest.mark.unit


def scored(seeds=2):
    pairs = daily(days=300)
    start = int(pairs.origin[150])
    off = forecasting.errors(pairs, {"persistence": persistence, "har": har}, [start], seeds)
    rows = (pairs.origin >= start) & np.isfinite(pairs.later[:, 0])
    return pairs.take(rows), {name: error[:, rows] for name, error in off.items()}


def test_a_better_forecaster_is_read_as_better():
    pairs, off = scored()
    found = forecasting.scores(pairs.origin, off, 0)
    base, better = found["persistence"], found["har"]
    assert (base.to_persistence, base.diebold_mariano.p_value) == (1.0, 1.0)
    assert better.to_persistence_ci95[0] < better.to_persistence < better.to_persistence_ci95[1]
    assert better.to_persistence < 1.0
    assert better.diebold_mariano.statistic < 0
    off_by = 100 * (np.exp(pairs.now) - np.exp(pairs.later))
    assert base.rmse == pytest.approx(np.sqrt(np.mean(off_by**2)))
    assert base.mae == pytest.approx(np.abs(off_by).mean())


def test_windows_follow_each_other_and_every_one_is_forecast():
    refits, windows = forecasting.calendar_of(RECORDED_SPLIT)
    assert refits == sorted(refits)
    assert windows["stress"][0] == refits[0]
    assert windows["stress"][1] <= windows["choices"][0] == refits[1]
    assert windows["choices"][1] <= windows["test"][0] == refits[-1]


def test_both_coins_at_one_moment_are_one_observation():
    pairs = surfaces(snapshots=100)
    rows = np.isfinite(pairs.later).all(axis=1)
    pairs = pairs.take(rows)
    rng = np.random.default_rng(0)
    off = {name: rng.normal(1.0, 0.1, (1, len(pairs), 15)) for name in ("persistence", "other")}
    once = forecasting.scores(pairs.origin, off, 3)["other"].diebold_mariano
    doubled = np.concatenate([np.arange(len(pairs)), np.arange(len(pairs))])
    twice = {name: error[:, doubled] for name, error in off.items()}
    found = forecasting.scores(pairs.origin[doubled], twice, 3)["other"].diebold_mariano
    assert found.statistic == pytest.approx(once.statistic)


def test_daily_candles_are_read_without_the_last(tmp_path):
    days = np.datetime64("2024-01-01") + np.arange(40)
    rows = [f"{day},BTC,50,{52 + place},49,{51 + place}" for place, day in enumerate(days)]
    header = "date,symbol,open,high,low,close"
    (tmp_path / "btc_dvol.csv").write_text("\n".join([header, *rows]))
    pairs = forecasting.dvol_pairs(tmp_path, "BTC")
    assert pairs.origin[-1] == START + 39 * DAY // timedelta(microseconds=1)
    assert 100 * np.exp(pairs.now[-1, 0]) == pytest.approx(51 + 38)


def test_surfaces_are_scored_from_a_folder_of_chains(monkeypatch, tmp_path):
    quick = {"persistence": SURFACE["persistence"], "har": partial(har, seasonal=True)}
    quotes = market(7, days=14, snapshots_per_day=2)
    write_desk(tmp_path, quotes)
    monkeypatch.setattr(forecasting, "SURFACE", quick)
    monkeypatch.setattr(forecasting, "HORIZONS", (DAY / 2,))
    start = int(quotes["timestamp"].min().timestamp()) * 1_000_000
    day = DAY // timedelta(microseconds=1)
    windows = {"test": (start + 10 * day, start + 14 * day)}
    cut = ([start + 10 * day], windows)
    monkeypatch.setattr(forecasting, "calendar_of", lambda _: cut)
    found = dict(forecasting.surfaces(tmp_path, 1))
    assert set(found) == {
        f"surface 12h {column} test" for column in ("panel", "atm 2d", "atm 30d", "atm 180d")
    }
    assert all(score.forecasts == 14 for scores in found.values() for score in scores.values())


def test_smiles_from_more_quotes_err_less():
    samples = small_market.samples()
    window = samples.take(samples.snapshot < np.unique(samples.snapshot)[6])
    found = smiles.compare(window, 0)
    assert found["svi, all visible"].rmse < found["svi, half hidden"].rmse
    assert found["svi, half hidden"].rmse < found["quadratic panel, half hidden"].rmse
    assert found["ssvi, half hidden"].quotes < found["ssvi, all visible"].quotes
