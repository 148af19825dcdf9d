"""The plain table: a quote table's columns, less those that can be computed or done without.

must be there       timestamp, currency, expiry, strike_usd, is_call (true or false, or call or
                    put), and bid and ask premiums: bid_coin and ask_coin, or bid_usd and
                    ask_usd, in which case the whole file is of linear options
may be there        forward_usd, else by put-call parity; mark_coin or mark_usd, else the mid;
                    mark_iv (decimal), else inverted from the mark; delta, open_interest_coin,
                    volume_coin, else unknown
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from node.market.batches import Layout, Reading, Scan, scan_table, typed
from node.market.raw_quotes import RAW_QUOTES
from protocol.errors import DataError

REQUIRED: Final = ("timestamp", "currency", "expiry", "strike_usd", "is_call")
OPTIONAL: Final = ("forward_usd", "mark_iv", "delta", "open_interest_coin", "volume_coin")
UNITS: Final = ("coin", "usd")


def _scan(path: Path, _reading: Reading) -> Scan:
    table = scan_table(path, REQUIRED)
    schema = table.collect_schema()
    unit = _unit(path, schema.names())
    names = {name: f"{name}_{unit}" for name in ("bid", "ask", "mark")}
    present = {
        quote: typed(name, schema[name], RAW_QUOTES[quote]).alias(quote)
        for quote in RAW_QUOTES
        if (name := names.get(quote, quote)) in schema
    }
    absent = {
        "in_usd": pl.lit(unit == "usd"),
        "mark": (pl.col("bid") + pl.col("ask")) / 2.0,
    }
    rest = [
        absent.get(quote, pl.lit(None)).cast(kind).alias(quote)
        for quote, kind in RAW_QUOTES.items()
        if quote not in present
    ]
    return Scan(table.select(present.values()).with_columns(rest).select(list(RAW_QUOTES)))


def _unit(path: Path, found: Sequence[str]) -> str:
    units = [unit for unit in UNITS if {f"bid_{unit}", f"ask_{unit}"} <= set(found)]
    if len(units) != 1:
        raise DataError(
            f"{path}: missing columns: wanted either ['bid_coin', 'ask_coin'] or ['bid_usd', "
            f"'ask_usd'], found {list(found)}"
        )
    return units[0]


PLAIN: Final = Layout("plain", REQUIRED, _scan, raw=True)
