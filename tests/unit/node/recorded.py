"""Where recorded market data lies beside the repository, and one hand-made quote."""

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from node.market.batches import Reading, whole
from node.market.layouts import read_batches
from node.market.quotes import QUOTES

FOLDER = Path(
    os.environ.get("VOLQUORUM_DATA", Path(__file__).parents[4] / "shared" / "data")
).resolve()
CHAINS = FOLDER / "deribit_chains"
SUMMARY_CSV = FOLDER / "deribit_book_summary_20210211_btc.csv"

needs_chains = pytest.mark.skipif(
    not CHAINS.is_dir(), reason=f"no recorded chains at {CHAINS}; set VOLQUORUM_DATA"
)
needs_summary = pytest.mark.skipif(
    not SUMMARY_CSV.is_file(), reason=f"no recorded summary at {SUMMARY_CSV}; set VOLQUORUM_DATA"
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

_ROW = {
    "timestamp": NOON,
    "currency": "BTC",
    "expiry": datetime(2026, 3, 27, 8, tzinfo=UTC),
    "strike_usd": 90_000.0,
    "is_call": True,
    "forward_usd": 80_000.0,
    "bid_coin": 0.0095,
    "ask_coin": 0.0100,
    "mark_coin": 0.00974,
    "mark_iv": 0.50,
    "delta": 0.17,
    "open_interest_coin": 12.5,
    "volume_coin": 0.0,
}


def recorded_chain(start: datetime | None = None, end: datetime | None = None) -> pl.DataFrame:
    """The recorded quotes of [start, end)."""
    return whole(read_batches(CHAINS, reading=Reading(start=start, end=end)))


def quotes(*changes: dict[str, object]) -> pl.DataFrame:
    """A quote table of one valid row per argument, each with its changes."""
    return pl.DataFrame([_ROW | change for change in changes], schema=QUOTES, strict=False)
