from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from node.market.quotes import DAYS_PER_YEAR, snapshot_id
from node.market.state import (
    DAY,
    LAYOUTS,
    Layout,
    Series,
    basis,
    chain_forward,
    chain_state,
    imbalance,
    log_return,
    logged,
    market_state,
    read_series,
    read_state,
    realised_vol,
)
from node.market.synthetic import market
from protocol.errors import ConfigError, DataError
from tests.unit.node.recorded import FOLDER, needs_chains

pytestmark = pytest.mark.unit

HOUR = 3_600_000_000
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def microseconds(moment):
    return int(moment.timestamp()) * 1_000_000


def path_of(tmp_path, text, name="some.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def random_series(seed, count=200):
    rng = np.random.default_rng(seed)
    known_at = np.sort(rng.integers(0, 40 * 24, count)) * HOUR
    return Series.of(known_at, np.exp(rng.normal(0.0, 0.1, count)))


def test_a_days_close_is_known_when_the_day_is_over(tmp_path):
    path = path_of(tmp_path, "date,symbol,open,close\n2026-03-02,BTC,50,55\n2026-03-01,BTC,48,50\n")
    series = read_series(path, LAYOUTS["dvol_daily"], "BTC")
    noon, midnight = MONDAY + timedelta(hours=12), MONDAY + DAY
    asked = np.array([microseconds(at) for at in (MONDAY, noon, midnight - DAY / 9, midnight)])
    np.testing.assert_array_equal(series.asof(asked), [50.0, 50.0, 50.0, 55.0])
    assert np.isnan(series.asof(asked[:1] - 1)).all()


def test_a_clock_ahead_of_utc_is_set_back(tmp_path):
    text = "Symbol,Date,Funding Rate\nBTC-USDT,2026-03-02 03:00:00.001,0.1\n"
    path = path_of(tmp_path, text)
    moscow = read_series(path, LAYOUTS["funding"], "BTC")
    utc = read_series(path, LAYOUTS["funding_utc"], "BTC")
    assert moscow.known_at[0] == microseconds(MONDAY) + 1000
    assert utc.known_at[0] - moscow.known_at[0] == 3 * HOUR


@pytest.mark.parametrize(
    "written", ["2026-03-02", "2026-03-02 00:00:00", "2026-03-02T00:00:00+00:00", "1772409600000"]
)
def test_times_may_be_written_as_dates_times_or_milliseconds(tmp_path, written):
    path = path_of(tmp_path, f"time,gas_gwei\n{written},7.5\n")
    series = read_series(path, LAYOUTS["gas_price"], "ETH")
    assert (series.known_at.tolist(), series.value.tolist()) == ([microseconds(MONDAY)], [7.5])


def test_parquet_is_read_like_csv(tmp_path):
    path = tmp_path / "oi.parquet"
    rows = {"time": [MONDAY], "open_interest_coin": [3.0], "currency": ["ETH"]}
    pl.DataFrame(rows).write_parquet(path)
    assert read_series(path, LAYOUTS["open_interest"], "ETH").value.tolist() == [3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,symbol,open\n2026-03-02,BTC,1\n", r"missing columns \['close'\]; found"),
        ("day,symbol,shut\n2026-03-02,BTC,1\n", r"missing columns \['date', 'close'\]"),
        ("date,symbol,close\n2026-03-02,ETH,1\n", "rows of BTC, found none"),
        ("date,symbol,close\nyesterday,BTC,1\n", "column date: wanted dates.*'yesterday'"),
        ("date,symbol,close\n2026-03-02,BTC,high\n", "column close: wanted numbers"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_series(path_of(tmp_path, text), LAYOUTS["dvol_daily"], "BTC")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        read_series(tmp_path / "nowhere.csv", LAYOUTS["gas_price"], "ETH")


def test_nothing_known_after_a_moment_changes_the_state_at_it():
    """Every source and everything derived from it, with the future replaced by nonsense."""

    def state(moment, *, rewritten):
        def told(seed):
            series = random_series(seed)
            later = series.known_at > moment
            noise = np.where(later, 1e3 + seed, 1.0) if rewritten else 1.0
            return Series.of(series.known_at, series.value * noise)

        prices, futures, bid, ask = (told(seed) for seed in range(4))
        moments = np.arange(0, moment + 1, 5 * HOUR)
        return market_state(
            moments,
            {
                "realised_vol": realised_vol(prices, timedelta(days=3)),
                "basis": basis(futures, prices, DAY),
                "imbalance": imbalance(bid, ask, DAY),
                "log_price": logged(prices),
            },
        ).values

    for moment in (30 * HOUR, 333 * HOUR, 700 * HOUR):
        before, after = (state(moment, rewritten=rewritten) for rewritten in (False, True))
        np.testing.assert_array_equal(before, after)
        assert np.isfinite(before[-1]).all() or moment < 100 * HOUR


def test_the_chains_own_numbers_do_not_look_ahead():
    chain = market(3, days=4, snapshots_per_day=2)
    moments = chain.select(snapshot_id()).to_series().unique().sort().to_numpy()
    early = chain.filter(chain["timestamp"].dt.epoch("us") <= moments[3])
    whole, part = (chain_forward(quotes, "BTC", 30.0) for quotes in (chain, early))
    np.testing.assert_array_equal(whole.asof(moments[:4]), part.asof(moments[:4]))
    np.testing.assert_array_equal(whole.known_at, moments)


def test_a_number_that_is_too_old_is_unknown():
    series = Series.of(np.array([0, 10 * HOUR]), np.array([1.0, 2.0]))
    found = series.asof(np.array([5, 9, 10, 30]) * HOUR, timedelta(hours=6))
    np.testing.assert_array_equal(found, [1.0, np.nan, 2.0, np.nan])


def test_of_two_numbers_known_at_once_the_later_entry_counts():
    series = Series.of(np.array([2, 1, 2]) * HOUR, np.array([1.0, 5.0, 3.0]))
    assert (series.value.tolist(), series.known_at.tolist()) == ([5.0, 3.0], [HOUR, 2 * HOUR])


def test_realised_vol_of_a_walk_is_its_volatility():
    rng = np.random.default_rng(1)
    at = np.cumsum(rng.integers(1, 4, 6000)) * HOUR
    years = np.diff(at, prepend=at[0]) / (24 * HOUR * DAYS_PER_YEAR)
    prices = Series(at, np.exp(np.cumsum(0.6 * np.sqrt(years) * rng.normal(size=at.size))))
    found = realised_vol(prices, timedelta(days=60))
    assert np.median(found.value) == pytest.approx(0.6, rel=0.03)
    assert found.known_at[0] >= 30 * 24 * HOUR


def test_a_return_looks_back_a_window_and_is_unknown_where_that_is_too_old():
    prices = Series(np.array([0, 20, 24, 48, 200]) * HOUR, np.array([1.0, 2.0, 4.0, 8.0, 16.0]))
    found = log_return(prices, DAY, timedelta(hours=6))
    assert (found.known_at // HOUR).tolist() == [24, 48]
    np.testing.assert_allclose(np.exp(found.value), [4.0, 2.0])


def test_a_chain_tells_its_own_state():
    chain = market(3, days=20, snapshots_per_day=2)
    known = chain_state(chain, "BTC")
    at = known["basis"].known_at[-1:]
    state = market_state(at, known)
    assert np.isfinite(state.values).all()
    thirty = chain_forward(chain, "BTC", 30.0)
    week = thirty.asof(at)[0] / thirty.asof(at - 7 * 24 * HOUR)[0]
    assert state.column("return_7d")[0] == pytest.approx(np.log(week))
    steep = (
        chain_forward(chain, "BTC", 180.0).value[-1] / chain_forward(chain, "BTC", 7.0).value[-1]
    )
    assert state.column("basis")[0] == pytest.approx(np.log(steep))


def test_a_forward_between_expiries_is_interpolated():
    chain = market(3, days=1, snapshots_per_day=1)
    spot = chain.filter(pl.col("currency") == "ETH")["forward_usd"]
    found = chain_forward(chain, "ETH", 60.0).value
    assert spot.min() < found[0] < spot.max()


FILES = {
    "dvol_daily": "date,symbol,close\n2026-03-01,{coin},50\n",
    "funding": "Date,Symbol,Funding Rate\n2026-03-02 03:00:00,{coin}-USDT,0.1\n",
    "funding_utc": "Date,Symbol,Funding Rate\n2026-03-02 00:00:00,{coin}-USDT,0.2\n",
    "index_price": "time,index_price,currency\n2026-03-02,80,{coin}\n",
    "futures_price": "time,futures_price,currency\n2026-03-02,88,{coin}\n",
    "open_interest": "time,open_interest_coin,currency\n2026-03-02,300,{coin}\n",
    "bid_amount": "time,bid_amount,currency\n2026-03-02,3,{coin}\n",
    "ask_amount": "time,ask_amount,currency\n2026-03-02,1,{coin}\n",
    "gas_price": "time,gas_gwei\n2026-03-02,7\n",
}


def perpetual_file(coin):
    """An hourly price that goes up and down by one percent."""
    header = "candle_open_time_ms,candle_open,coin\n"
    start = microseconds(MONDAY) // 1000 - 40 * 24 * 3_600_000
    rows = [f"{start + 3_600_000 * n},{100 * 1.01 ** (n % 2)},{coin}" for n in range(40 * 24)]
    return header + "\n".join(rows)


def state_files(tmp_path, coins=("BTC", "ETH")):
    texts = FILES | {"perpetual": None}
    return [
        (name, path_of(tmp_path, (text or perpetual_file(coin)).format(coin=coin), f"{name}{coin}"))
        for name, text in texts.items()
        for coin in coins
    ]


def test_a_users_files_tell_all_that_a_forecaster_takes(tmp_path):
    told = read_state(state_files(tmp_path), "ETH")
    state = market_state(np.array([microseconds(MONDAY)]), told, DAY)
    hourly_vol = np.log(np.log(1.01) * np.sqrt(24 * DAYS_PER_YEAR))
    assert dict(zip(state.names, state.values[0], strict=True)) == pytest.approx(
        {
            "funding": 0.1,
            "funding_utc": 0.2,
            "futures_basis": np.log(1.1),
            "imbalance": 0.5,
            "log_dvol_daily": np.log(50.0),
            "log_gas_price": np.log(7.0),
            "log_open_interest": np.log(300.0),
            "log_perpetual_vol_2d": hourly_vol,
            "log_perpetual_vol_7d": hourly_vol,
            "log_perpetual_vol_30d": hourly_vol,
        }
    )


def test_files_of_one_layout_are_one_series(tmp_path):
    (first,) = (path for name, path in state_files(tmp_path, ["BTC"]) if name == "dvol_daily")
    later = path_of(tmp_path, "date,symbol,close\n2026-03-02,BTC,60\n", "later.csv")
    told = read_state([("dvol_daily", later), ("dvol_daily", first)], "BTC")
    np.testing.assert_allclose(np.exp(told["log_dvol_daily"].value), [50.0, 60.0])


def test_layout_without_a_file_of_the_coin_is_refused(tmp_path):
    with pytest.raises(DataError, match="wanted rows of ETH, found none"):
        read_state(state_files(tmp_path, ["BTC"]), "ETH")


@pytest.mark.parametrize("half", ["index_price", "futures_price", "bid_amount", "ask_amount"])
def test_half_of_a_pair_is_refused(tmp_path, half):
    files = [each for each in state_files(tmp_path) if each[0] == half]
    with pytest.raises(ConfigError, match=f"found only {half}"):
        read_state(files, "BTC")


def test_unknown_layout_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"names out of .*'dvol_daily'.* found \['mood'\]"):
        read_state([("mood", tmp_path)], "BTC")


def test_an_unknown_source_gives_an_unknown_state():
    empty = Series.of(np.array([], dtype=np.int64), np.array([]))
    state = market_state(np.arange(3), {"gas": empty})
    assert np.isnan(state.column("gas")).all()
    assert market_state(np.arange(3), {}).values.shape == (3, 0)


def test_a_layout_of_ones_own_reads_other_columns(tmp_path):
    path = path_of(tmp_path, "when,what\n2026-03-02,4\n")
    own = Layout("when", "what", known_after=timedelta(hours=1))
    assert read_series(path, own, "BTC").known_at[0] == microseconds(MONDAY) + HOUR


@needs_chains
def test_recorded_files_are_read():
    dvol = read_series(FOLDER / "dvol" / "btc_dvol.csv", LAYOUTS["dvol_daily"], "BTC")
    assert dvol.value.size == 1840
    assert (np.diff(dvol.known_at) == 24 * HOUR).all()
    name = "BTC-USDT_binance_2020-01-01_2024-01-01_funding_history.csv"
    funding = read_series(FOLDER / "funding" / name, LAYOUTS["funding"], "BTC")
    # Binance settles at 0, 8 and 16 o'clock UTC.
    assert set((funding.known_at // HOUR % 24).tolist()) == {0, 8, 16}
    prices = FOLDER / "deribit_chains" / "perpetual_futures_prices.csv"
    perpetual = read_series(prices, LAYOUTS["perpetual"], "ETH")
    taken = read_series(prices, Layout("snapshot_timestamp_ms", "candle_open", "coin"), "ETH")
    age = taken.known_at - perpetual.known_at
    assert ((age >= 0) & (age < HOUR)).all()
