"""Recorded Deribit option chains as quote tables.

The layout is that of Deribit's REST answers flattened to columns; `COLUMNS` says what becomes of
each. The recording's delta is minutes younger than its prices: good enough to filter by, not to
hedge with.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from node.market.batches import (
    EVERYTHING,
    TABLE_SUFFIXES,
    Batch,
    Layout,
    Reading,
    Scan,
    scan_table,
    stream,
    typed,
    whole,
)
from node.market.quotes import QUOTES
from protocol.errors import DataError

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "timestamp": "timestamp",
        "currency": "currency",
        "expiry_datetime": "expiry",
        "strike": "strike_usd",
        "option_type": "is_call",
        "underlying": "forward_usd",
        "bid_price": "bid_coin",
        "ask_price": "ask_coin",
        "mark_price": "mark_coin",
        "implied_volatility": "mark_iv",
        "delta": "delta",
        "open_interest": "open_interest_coin",
        "volume": "volume_coin",
    }
)
"""Recorded column to quote column; the layout's others follow from these and are not read."""

_MONTH_FILE = re.compile(r"\d{4}-\d{2}\.parquet")


def read_chains(
    folder: Path, *, start: datetime | None = None, end: datetime | None = None
) -> pl.DataFrame:
    """Every quote of the folder's `YYYY-MM.parquet` files in [start, end), by time.

    13 of the 24 columns are read, and only the row groups in range: 1.17 million rows are 107 MB.
    They stay float64: a deep in-the-money premium minus its intrinsic value would lose its time
    value in float32.

    Raises: DataError where a file is missing, unreadable or lacks a column.
    """
    return whole(chain_batches(folder, Reading(start=start, end=end)))


def chain_batches(folder: Path, reading: Reading = EVERYTHING) -> Iterator[Batch]:
    """The same, some days at a time."""
    files = sorted(path for path in folder.glob("*.parquet") if _MONTH_FILE.fullmatch(path.name))
    if not files:
        raise DataError(f"{folder}: wanted files named YYYY-MM.parquet, found none")
    return stream([(path, RECORDED) for path in files], reading)


def _scan(path: Path, _reading: Reading) -> Scan:
    table = scan_table(path, tuple(COLUMNS))
    schema = table.collect_schema()
    quotes = [
        typed(name, schema[name], QUOTES[quote]).alias(quote) for name, quote in COLUMNS.items()
    ]
    return Scan(table.select(quotes).select(list(QUOTES)))


RECORDED: Final = Layout("recorded", tuple(COLUMNS), TABLE_SUFFIXES, _scan)
