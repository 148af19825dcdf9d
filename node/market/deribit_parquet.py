"""Recorded Deribit option chains as quote tables.

The layout is that of Deribit's REST answers flattened to columns; `COLUMNS` says what becomes of
each. The recording's delta is minutes younger than its prices: good enough to filter by, not to
hedge with.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from node.market.batches import Layout, Reading, Scan, scan_table, typed
from node.market.quotes import QUOTES

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


def _scan(path: Path, _reading: Reading) -> Scan:
    """13 of the 24 columns: 1.17 million rows are 107 MB. They stay float64: a deep in-the-money
    premium minus its intrinsic value would lose its time value in float32."""
    table = scan_table(path, tuple(COLUMNS))
    schema = table.collect_schema()
    quotes = [
        typed(name, schema[name], QUOTES[quote]).alias(quote) for name, quote in COLUMNS.items()
    ]
    return Scan(table.select(quotes).select(list(QUOTES)))


RECORDED: Final = Layout("recorded", tuple(COLUMNS), _scan)
