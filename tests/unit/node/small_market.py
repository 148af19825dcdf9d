"""A made-up chain that is small enough for unit tests, and hand-made quotes with known answers."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

from node.market.cleaning import clean
from node.market.panel import Panel, build_panel
from node.market.samples import Samples, build_samples
from node.market.synthetic import market

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MICROSECONDS = int(NOON.timestamp()) * 1_000_000


@cache
def quotes() -> pl.DataFrame:
    return clean(market(7, days=14, snapshots_per_day=2)).quotes


@cache
def panel() -> Panel:
    return build_panel(quotes())


@cache
def samples() -> Samples:
    return build_samples(quotes(), panel())


def quote(days: float, strike: float, vol: float, **changed: object) -> dict[str, object]:
    """One cleaned quote at a forward of 100 with the same volatility on all sides."""
    plain: dict[str, object] = {
        "timestamp": NOON,
        "currency": "BTC",
        "expiry": NOON + timedelta(days=days),
        "strike_usd": strike,
        "forward_usd": 100.0,
        "mark_iv": vol,
        "mid_iv": vol,
        "bid_iv": vol,
        "ask_iv": vol,
    }
    return plain | changed


def frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    instant = pl.Datetime("us", "UTC")
    return pl.DataFrame(rows, schema_overrides={"timestamp": instant, "expiry": instant})


def slanted_panel(**changed) -> Panel:
    """One panel of BTC whose every entry differs."""
    atm = np.array([0.8, 0.7, 0.6, 0.55, 0.5])
    plain = {
        "snapshot": np.array([NOON_MICROSECONDS]),
        "is_btc": np.array([True]),
        "vols": np.stack([atm * 1.2, atm, atm * 1.1])[None],
        "incomplete": 0,
    }
    return Panel(**(plain | changed))
