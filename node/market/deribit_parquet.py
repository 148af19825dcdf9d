"""Recorded Deribit option chains, one parquet file a month, as quote tables.

The layout is that of Deribit's REST answers flattened to columns; `COLUMNS` says what becomes of
each. The recording's delta is minutes younger than its prices: good enough to filter by, not to
hedge with.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import polars as pl

from node.market.quotes import QUOTES, check_quotes
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
    files = sorted(path for path in folder.glob("*.parquet") if _MONTH_FILE.fullmatch(path.name))
    if not files:
        raise DataError(f"{folder}: wanted files named YYYY-MM.parquet, found none")
    return check_quotes(read_recorded(files, start=start, end=end))


def read_recorded(
    files: Sequence[Path], *, start: datetime | None = None, end: datetime | None = None
) -> pl.DataFrame:
    """The given files' quotes in [start, end), in the quote table's columns and not yet checked."""
    lazy = pl.concat([_recorded(path) for path in files])
    if start is not None:
        lazy = lazy.filter(pl.col("timestamp") >= _aware(start))
    if end is not None:
        lazy = lazy.filter(pl.col("timestamp") < _aware(end))
    quotes = lazy.collect()
    # Sorting copies the table; a recording is nearly always in order.
    if quotes["timestamp"].is_sorted():
        return quotes
    return quotes.sort("timestamp", maintain_order=True)


def _aware(bound: datetime) -> datetime:
    if bound.tzinfo is None:
        raise DataError(f"wanted a time with a time zone, found {bound.isoformat()}; say which")
    return bound


def _recorded(path: Path) -> pl.LazyFrame:
    try:
        schema = pl.read_parquet_schema(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: wanted a parquet file, found something else: {error}") from error
    require_columns(path, list(schema))
    return to_quotes(pl.scan_parquet(path))


def require_columns(path: Path, found: Sequence[str]) -> None:
    """Raises: DataError naming every recorded column that is missing."""
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise DataError(f"{path}: missing columns {missing}; found {list(found)}")


def to_quotes(recorded: pl.LazyFrame) -> pl.LazyFrame:
    """Recorded columns under the quote table's names, types and order."""
    return recorded.select(
        [
            _is_call() if name == "option_type" else pl.col(name).cast(QUOTES[quote]).alias(quote)
            for name, quote in COLUMNS.items()
        ]
    ).select(list(QUOTES))


def _is_call() -> pl.Expr:
    # An unknown word becomes null, which the check then names; `== "call"` would call it a put.
    words = {"call": True, "put": False, "C": True, "P": False}
    kind = pl.col("option_type").replace_strict(words, default=None, return_dtype=pl.Boolean)
    return kind.alias("is_call")
