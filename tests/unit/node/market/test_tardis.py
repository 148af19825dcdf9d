import gzip
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from node.market.batches import Reading, whole
from node.market.layouts import read_batches, recognise
from node.market.tardis import COLUMNS, TARDIS
from protocol.errors import ConfigError, DataError

pytestmark = pytest.mark.unit

HEADER = (
    "exchange,symbol,timestamp,local_timestamp,type,strike_price,expiration,open_interest,"
    "last_price,bid_price,bid_amount,bid_iv,ask_price,ask_amount,ask_iv,mark_price,mark_iv,"
    "underlying_index,underlying_price,delta,gamma,vega,theta,rho"
)
EIGHT = datetime(2026, 3, 2, 8, tzinfo=UTC)
EXPIRY = datetime(2026, 3, 27, 8, tzinfo=UTC)


def micro(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def line(
    arrived: datetime,
    *,
    exchange: str = "deribit",
    symbol: str = "BTC-27MAR26-90000-C",
    kind: str = "call",
    strike: object = 90000,
    bid: object = 0.0095,
    ask: object = 0.01,
    mark: object = 0.00974,
    iv: object = 50.0,
    forward: object = 80000.5,
    delta: object = 0.17,
) -> str:
    sent = micro(arrived) - 3000
    return (
        f"{exchange},{symbol},{sent},{micro(arrived)},{kind},{strike},{micro(EXPIRY)},12.5,0.0096,"
        f"{bid},3,49.5,{ask},4,50.5,{mark},{iv},SYN.BTC-27MAR26,{forward},{delta},0.00001,45,-60,9"
    )


def read(folder, *lines: str, name: str = "deribit_options_chain_2026-03-02_OPTIONS.csv", **given):
    (folder / name).write_text("\n".join([HEADER, *lines]) + "\n")
    return whole(read_batches(folder, reading=Reading(**given)))


def before(minutes: float, hour: int = 9) -> datetime:
    return EIGHT.replace(hour=hour) - timedelta(minutes=minutes)


def test_row_is_read_in_the_tables_units(tmp_path):
    table = read(tmp_path, line(before(1)))
    assert table.rows(named=True) == [
        {
            "timestamp": EIGHT.replace(hour=9),
            "currency": "BTC",
            "expiry": EXPIRY,
            "strike_usd": 90_000.0,
            "is_call": True,
            "forward_usd": 80_000.5,
            "bid_coin": 0.0095,
            "ask_coin": 0.01,
            "mark_coin": 0.00974,
            "mark_iv": pytest.approx(0.5),
            "delta": 0.17,
            "open_interest_coin": 12.5,
            "volume_coin": None,
        }
    ]


def test_snapshot_has_each_options_latest_row_before_it(tmp_path):
    put = {"symbol": "BTC-27MAR26-80000-P", "kind": "put", "strike": 80000}
    table = read(
        tmp_path,
        line(before(4), bid=0.001),
        line(before(3), **put, bid=0.02, ask=0.03),
        line(before(2), bid=0.002),
        line(before(1), bid=0.003),
        line(before(0), bid=0.004),
        line(before(1, hour=10), bid=0.005),
    )
    assert table.select(pl.col("timestamp").dt.hour(), "is_call", "bid_coin").rows() == [
        (9, False, 0.02),
        (9, True, 0.003),
        (10, True, 0.005),
    ]


def test_row_older_than_the_limit_is_no_quote(tmp_path):
    assert read(tmp_path, line(before(6))).is_empty()
    assert read(tmp_path, line(before(6)), max_age=timedelta(minutes=6)).height == 1


def test_grid_is_the_callers(tmp_path):
    lines = [line(before(minutes)) for minutes in range(59, 0, -1)]
    table = read(tmp_path, *lines, grid=timedelta(minutes=20))
    assert table["timestamp"].dt.minute().to_list() == [20, 40, 0]


def test_latest_is_by_place_in_the_file_however_many_rows_there_are(tmp_path):
    rng = np.random.default_rng(1)
    rows = 60_000
    strikes = rng.integers(50, 150, rows) * 1000
    times = np.sort(rng.integers(0, 24 * 3_600_000_000, rows))
    lines = [
        line(
            EIGHT.replace(hour=0) + timedelta(microseconds=int(at)),
            symbol=f"BTC-27MAR26-{strike}-C",
            strike=strike,
            bid=(number + 1) / 1e7,
        )
        for number, (strike, at) in enumerate(zip(strikes, times, strict=True))
    ]
    table = read(tmp_path, *lines, max_age=timedelta(hours=1))
    expected = {
        (int(at // 3_600_000_000) + 1, float(strike)): (number + 1) / 1e7
        for number, (strike, at) in enumerate(zip(strikes, times, strict=True))
    }
    hours = (table["timestamp"] - EIGHT.replace(hour=0)).dt.total_hours()
    found = zip(hours, table["strike_usd"], table["bid_coin"], strict=True)
    assert {(hour, strike): bid for hour, strike, bid in found} == expected


def test_gzipped_days_follow_each_other(tmp_path):
    for day in (2, 3):
        at = before(1).replace(day=day)
        text = "\n".join([HEADER, line(at)]) + "\n"
        (tmp_path / f"2026-03-0{day}.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert whole(read_batches(tmp_path))["timestamp"].dt.day().to_list() == [2, 3]


def test_linear_options_are_converted_at_the_forward(tmp_path):
    linear = line(before(1), symbol="BTC_USDC-27MAR26-90000-C", bid=760, ask=800, mark=780)
    table = read(tmp_path, linear)
    assert table.select("currency", "bid_coin").row(0) == ("BTC", pytest.approx(760 / 80_000.5))


def test_venue_without_forwards_and_percent(tmp_path):
    """OKX names the coin's index, not the forward, and writes volatilities as decimals."""
    lines = [
        line(
            before(1),
            exchange="okex-options",
            symbol=f"BTC-USD-260327-{strike}-{kind[0].upper()}",
            kind=kind,
            strike=strike,
            bid=f"{premium - 0.0001:.6f}",
            ask=f"{premium + 0.0001:.6f}",
            mark=f"{premium:.6f}",
            iv=0.5,
            forward=79_000,
        )
        for strike in (78_000, 80_000, 82_000)
        for kind, premium in (("call", 0.05), ("put", 0.05 - (1 - strike / 80_500)))
    ]
    table = read(tmp_path, *lines)
    assert table["forward_usd"].to_list() == pytest.approx([80_500.0] * 6, rel=1e-5)
    assert set(table["mark_iv"]) == {0.5}
    assert table["delta"].null_count() == table["open_interest_coin"].null_count() == 6


def test_what_is_no_quote_is_counted(tmp_path):
    lines = [
        line(before(1)),
        line(before(1), symbol="SOL_USDC-27MAR26-200-C"),
        line(before(1), symbol="BTC-27MAR26-95000-C", strike=95000, mark=""),
    ]
    (tmp_path / "day.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    (batch,) = read_batches(tmp_path)
    assert batch.quotes.height == 1
    assert batch.skipped == {"other_coin": 1, "no_mark": 1}


def test_file_is_recognised_and_unknown_exchange_is_refused(tmp_path):
    path = tmp_path / "day.csv"
    path.write_text("\n".join([HEADER, line(before(1), exchange="nowhere")]) + "\n")
    assert recognise(path) is TARDIS
    with pytest.raises(DataError, match=r"day\.csv: wanted an exchange among \['deribit', "):
        list(read_batches(tmp_path))


def test_missing_columns_are_named(tmp_path):
    header = HEADER.replace("mark_iv,", "").replace(",delta", "")
    (tmp_path / "day.csv").write_text(header + "\n")
    with pytest.raises(DataError, match=r"day\.csv: missing columns \['mark_iv', 'delta'\]"):
        list(read_batches(tmp_path, layout="tardis"))
    assert set(COLUMNS) <= set(HEADER.split(","))


def test_age_longer_than_the_grid_is_refused():
    with pytest.raises(ConfigError, match="no longer than the grid"):
        Reading(grid=timedelta(minutes=1), max_age=timedelta(minutes=2))
