"""How the comparison of forecasters is cut, scored and read."""

import json
from argparse import ArgumentTypeError
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from benchmarks import forecasting, smiles
from node.forecasting.forecasters import HAR, PERSISTENCE, SEASONAL_HAR
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
    off = forecasting.errors(pairs, {"persistence": PERSISTENCE, "har": HAR}, [start], seeds)
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


def gas_file(folder, quotes):
    """A price a day from the first day on: 10, 11, 12 and so on."""
    days = quotes["timestamp"].dt.truncate("1d").unique().sort()
    rows = [f"{day:%Y-%m-%d},{10 + place}" for place, day in enumerate(days)]
    path = folder / "gas.csv"
    path.write_text("\n".join(["time,gas_gwei", *rows]))
    return path


def test_a_users_file_reaches_what_the_forecasters_see(monkeypatch, tmp_path):
    quotes = market(7, days=14, snapshots_per_day=2)
    gas = gas_file(tmp_path, quotes)
    chains = tmp_path / "deribit_chains"
    chains.mkdir()
    write_desk(chains, quotes)
    seen = []

    def looks(pairs, _seed):
        seen.append(pairs)
        return lambda asked: asked.now

    looking = {"persistence": replace(PERSISTENCE, fit=looks)}
    monkeypatch.setattr(forecasting, "installed", lambda _subject: looking)
    monkeypatch.setattr(forecasting, "HORIZONS", (DAY / 2,))
    monkeypatch.setattr(forecasting, "calendar_of", cut_of(quotes))
    arguments = ["--data", str(tmp_path), "--only", "surface", "--windows", "test"]
    arguments += ["--json", str(tmp_path / "scores.json")]
    for state in ([], ["--state", f"gas_price={gas}"]):
        monkeypatch.setattr("sys.argv", ["forecasting.py", *arguments, *state])
        forecasting.main()
    plain, richer = seen
    np.testing.assert_array_equal(richer.around[:, :-1], plain.around)
    first = int(quotes["timestamp"].dt.truncate("1d").min().timestamp()) * 1_000_000
    expected = 10 + (richer.origin - first) // (DAY // timedelta(microseconds=1))
    np.testing.assert_allclose(np.exp(richer.around[:, -1]), expected)
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["forecasters"] == {"persistence": f"0x{PERSISTENCE.hash.hex()}"}


def test_a_users_file_reaches_the_daily_forecasters_too(tmp_path):
    days = np.datetime64("2024-01-01") + np.arange(40)
    dvol = "\n".join(f"{day},BTC,50,52,49,51" for day in days)
    (tmp_path / "btc_dvol.csv").write_text(f"date,symbol,open,high,low,close\n{dvol}")
    gas = tmp_path / "gas.csv"
    gas.write_text("\n".join(["time,gas_gwei", *(f"{day},{n + 1}" for n, day in enumerate(days))]))
    pairs = forecasting.dvol_pairs(tmp_path, "BTC", [("gas_price", gas)])
    # A day's close is known at midnight, as the next day's gas price is.
    np.testing.assert_allclose(np.exp(pairs.around[:, -1]), np.arange(31.0, 41.0))


@pytest.mark.parametrize("text", ["gas_price", "gas_price=", "mood=some.csv", "=some.csv"])
def test_state_without_a_known_name_or_a_file_is_refused(text):
    with pytest.raises(ArgumentTypeError, match=r"wanted NAME=FILE .* dvol_daily"):
        forecasting.state_file(text)


def cut_of(quotes):
    """Fitted once, on the first ten days, and scored on the others."""
    start = int(quotes["timestamp"].min().timestamp()) * 1_000_000
    day = DAY // timedelta(microseconds=1)
    windows = {"test": (start + 10 * day, start + 14 * day)}
    return lambda _: ([start + 10 * day], windows)


def test_surfaces_are_scored_from_a_folder_of_chains(monkeypatch, tmp_path):
    quick = {"persistence": PERSISTENCE, "har": SEASONAL_HAR}
    quotes = market(7, days=14, snapshots_per_day=2)
    write_desk(tmp_path, quotes)
    monkeypatch.setattr(forecasting, "installed", lambda _subject: quick)
    monkeypatch.setattr(forecasting, "HORIZONS", (DAY / 2,))
    monkeypatch.setattr(forecasting, "calendar_of", cut_of(quotes))
    found = dict(forecasting.surfaces(tmp_path, 1))
    assert set(found) == {
        f"surface 12h {column} test" for column in ("panel", "atm 2d", "atm 30d", "atm 180d")
    }
    assert all(score.forecasts == 14 for scores in found.values() for score in scores.values())
    last = f"{quotes['timestamp'].max():%Y-%m-%d}"
    fewer = dict(forecasting.surfaces(tmp_path, 1, until=last))
    assert {score.forecasts for scores in fewer.values() for score in scores.values()} == {10}
    first = f"{quotes['timestamp'].min():%Y-%m-%d}"
    assert dict(forecasting.surfaces(tmp_path, 1, until=first)) == {}


def test_smiles_from_more_quotes_err_less():
    samples = small_market.samples()
    window = samples.take(samples.snapshot < np.unique(samples.snapshot)[6])
    found = smiles.compare(window, 0)
    assert found["svi, all visible"].rmse < found["svi, half hidden"].rmse
    assert found["svi, half hidden"].rmse < found["quadratic panel, half hidden"].rmse
    assert found["ssvi, half hidden"].quotes < found["ssvi, all visible"].quotes
