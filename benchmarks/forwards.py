"""How far forwards by put-call parity lie from those that the venue names.

python benchmarks/forwards.py DATA [--end 2026-06-01]
"""

import argparse
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import polars as pl

from node.market.batches import Reading
from node.market.forwards import EXPIRY_KEY, parity_forwards
from node.market.layouts import read_batches
from node.market.quotes import DAYS_PER_YEAR, years_to_expiry

DAYS = (0.0, 1.0, 7.0, 30.0, 90.0, 366.0)


def beside(quotes: pl.DataFrame) -> pl.DataFrame:
    """Of each expiry the venue's forward, its days, and how many basis points parity is off."""
    raw = quotes.rename({"bid_coin": "bid", "ask_coin": "ask"})
    estimates = parity_forwards(raw.with_columns(in_usd=pl.lit(value=False)))
    named = quotes.group_by(EXPIRY_KEY).agg(
        pl.col("forward_usd").median().alias("named"),
        (years_to_expiry().first() * DAYS_PER_YEAR).alias("days"),
    )
    joined = named.join(estimates, on=EXPIRY_KEY, how="left")
    return joined.with_columns(basis_points=(pl.col("forward_usd") / pl.col("named") - 1.0) * 1e4)


def main() -> None:
    """Measure and print a line for each coin and stretch of days to expiry."""
    parser = argparse.ArgumentParser(description="Forwards by parity beside the venue's")
    parser.add_argument("data", type=Path, help="folder of quotes with forwards")
    parser.add_argument("--end", type=datetime.fromisoformat, help="day before which is read")
    asked = parser.parse_args()
    reading = Reading(end=asked.end.replace(tzinfo=UTC) if asked.end else None)
    found = pl.concat(beside(batch.quotes) for batch in read_batches(asked.data, reading=reading))
    for currency in ("BTC", "ETH"):
        for low, high in pairwise(DAYS):
            here = found.filter(
                pl.col("currency") == currency, pl.col("days") > low, pl.col("days") <= high
            )
            off = here["basis_points"].abs()
            print(
                f"{currency} {low:4.0f} to {high:3.0f} days{here.height:7,} expiries  median "
                f"{off.median():5.2f} bp  95 % within {off.quantile(0.95):6.2f} bp  "
                f"not estimated {here['forward_usd'].null_count() / here.height:6.2%}"
            )
    off = found["basis_points"].abs()
    print(
        f"all{found.height:25,} expiries  median {off.median():5.2f} bp  95 % within "
        f"{off.quantile(0.95):6.2f} bp  not estimated "
        f"{found['forward_usd'].null_count() / found.height:6.2%}"
    )


if __name__ == "__main__":
    main()
