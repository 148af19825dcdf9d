"""Tardis `options_chain` files: every change of every option, made into snapshots.

A file holds a day of one exchange, ordered by `local_timestamp`, the microsecond at which a change
arrived. A snapshot at t is each option's last row that arrived before t, and no longer before than
`Reading.max_age`: what a trader could have known at t. Only those rows are ever held.

Source: docs.tardis.dev, "Downloadable CSV files", data type `options_chain`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from node.market.batches import Layout, Reading, Scan, scan_table, typed
from node.market.moments import MICROSECOND
from node.market.quotes import INSTANT
from node.market.raw_quotes import RAW_QUOTES
from protocol.errors import DataError

COLUMNS: Final = (
    "exchange",
    "symbol",
    "local_timestamp",
    "type",
    "strike_price",
    "expiration",
    "open_interest",
    "bid_price",
    "ask_price",
    "mark_price",
    "mark_iv",
    "underlying_price",
    "delta",
)
"""Those that are read, of 24."""

_NUMBERS: Final = (
    "strike_price", "open_interest", "bid_price", "ask_price", "mark_price", "mark_iv",
    "underlying_price", "delta",
)  # fmt: skip
_COIN: Final = r"^([A-Z0-9]+)"
_LINEAR: Final = r"^[A-Z0-9]+[_-](?:USDC|USDT|USD_UM)-"
"""BTC_USDC-27MAR26-90000-C and BTC-USDT-260327-90000-C are paid in dollars, BTC-27MAR26-90000-C and
BTC-USD-260327-90000-C in coin."""


@dataclass(frozen=True)
class _Venue:
    """How an exchange's own numbers are to be read; Tardis passes them on as they are."""

    in_percent: bool
    """Volatilities are 65 for 65 %, else 0.65."""
    names_forward: bool
    """`underlying_price` is the forward of the expiry, else the coin's index."""
    ours: bool
    """Delta is dV/dF of the dollar premium and open interest is in coin, else they are not read."""


VENUES: Mapping[str, _Venue] = MappingProxyType(
    {
        "deribit": _Venue(in_percent=True, names_forward=True, ours=True),
        "okex-options": _Venue(in_percent=False, names_forward=False, ours=False),
    }
)


def _scan(path: Path, reading: Reading) -> Scan:
    table = scan_table(path, COLUMNS)
    venue = _venue(path, table)
    schema = table.collect_schema()
    arrived = typed("local_timestamp", schema["local_timestamp"], pl.Int64())
    grid, age = (span // MICROSECOND for span in (reading.grid, reading.max_age))
    latest = (
        table.select(
            "symbol",
            "type",
            typed("expiration", schema["expiration"], pl.Int64()),
            *(typed(name, schema[name], pl.Float64()) for name in _NUMBERS),
            arrived=arrived,
        )
        # What arrives at the very instant of a snapshot is not known before it.
        .with_columns(snapshot=(pl.col("arrived") // grid + 1) * grid)
        .filter(pl.col("snapshot") - pl.col("arrived") <= age)
        .group_by("snapshot", "symbol")
        .agg(pl.all().last())
    )
    return Scan(latest.select(_raw(venue)).sort(list(RAW_QUOTES)[:5]))


def _venue(path: Path, table: pl.LazyFrame) -> _Venue:
    names = table.select("exchange").head(1).collect().to_series().to_list()
    venue = VENUES.get(names[0]) if names else VENUES["deribit"]
    if venue is None:
        raise DataError(f"{path}: wanted an exchange among {list(VENUES)}, found {names[0]!r}")
    return venue


def _raw(venue: _Venue) -> list[pl.Expr]:
    nothing = pl.lit(None, dtype=pl.Float64)
    columns = {
        "timestamp": pl.col("snapshot").cast(INSTANT),
        "currency": pl.col("symbol").str.extract(_COIN),
        "expiry": pl.col("expiration").cast(INSTANT),
        "strike_usd": pl.col("strike_price"),
        "is_call": typed("type", pl.String(), pl.Boolean()),
        "forward_usd": pl.col("underlying_price") if venue.names_forward else nothing,
        "in_usd": pl.col("symbol").str.contains(_LINEAR),
        "bid": pl.col("bid_price"),
        "ask": pl.col("ask_price"),
        "mark": pl.col("mark_price"),
        "mark_iv": pl.col("mark_iv") / (100.0 if venue.in_percent else 1.0),
        "delta": pl.col("delta") if venue.ours else nothing,
        "open_interest_coin": pl.col("open_interest") if venue.ours else nothing,
        "volume_coin": nothing,
    }
    return [value.alias(name) for name, value in columns.items()]


TARDIS: Final = Layout("tardis", COLUMNS, _scan, raw=True, ticks=True)
