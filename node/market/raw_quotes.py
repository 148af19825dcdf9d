"""Quotes as a venue sends them, and how they become quote tables.

A raw quote's premium is in coin or in dollars, its forward, volatility and delta may be missing,
and it may be of a coin that nobody here prices. `complete` makes what can be made a quote, leaves
out the rest and counts it by reason.

    timestamp, currency, expiry, strike_usd, is_call, delta, open_interest_coin, volume_coin
                    as in a quote table; any coin, and any time
    forward_usd     null where the venue names none: put-call parity then says it
    in_usd          the premium is paid in dollars (USD, USDC, USDT), else in coin
    bid, ask, mark  premiums, in dollars or coin per option on one coin; null or 0 where there is
                    no bid or ask, null where there is no mark
    mark_iv         per square root of a year; null or 0 where the mark's is to be inverted
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from node.market.black76 import implied_vol
from node.market.forwards import EXPIRY_KEY, parity_forwards
from node.market.quotes import CURRENCIES, OPTION_KEY, QUOTES, check_quotes, years_to_expiry

RAW_QUOTES: Final = pl.Schema(
    {
        name: QUOTES[name]
        for name in ("timestamp", "currency", "expiry", "strike_usd", "is_call", "forward_usd")
    }
    | {"in_usd": pl.Boolean(), "bid": pl.Float64(), "ask": pl.Float64(), "mark": pl.Float64()}
    | {name: QUOTES[name] for name in ("mark_iv", "delta", "open_interest_coin", "volume_coin")}
)

SKIPPED: Final = (
    "other_coin",
    "expired",
    "no_mark",
    "no_forward",
    "no_volatility",
    "linear_twin",
)
"""Why a raw quote is left out, in the order of the tests. A linear twin is an option in dollars
beside the same option in coin: a quote table has room for one."""

_PREMIUMS: Final = ("bid", "ask", "mark")


@dataclass(frozen=True)
class Completed:
    """A checked quote table, and what is not in it."""

    quotes: pl.DataFrame
    skipped: dict[str, int]
    """Rows by the first of `SKIPPED` that applied; only reasons that did."""
    without_forward: pl.DataFrame
    """Expiries of a snapshot (`EXPIRY_KEY`) that had no forward and too little to estimate it."""


def complete(raw: pl.DataFrame) -> Completed:
    """Raw quotes of whole snapshots as a quote table; the order of those kept is the same.

    Raises: DataError naming the column that has a value where none can be.
    """
    skipped: dict[str, int] = {}
    left = raw.with_columns(
        pl.when(pl.col(name) != 0).then(pl.col(name)).alias(name)
        for name in ("forward_usd", "bid", "ask", "mark_iv")
    )
    left = _without(left, skipped, "other_coin", pl.col("currency").is_in(CURRENCIES).not_())
    left = _without(left, skipped, "expired", pl.col("expiry") <= pl.col("timestamp"))
    left = _without(left, skipped, "no_mark", pl.col("mark").is_null())
    left, without_forward = _with_forwards(left)
    left = _without(left, skipped, "no_forward", pl.col("forward_usd").is_null())
    left = _with_volatilities(_in_coin(left))
    left = _without(left, skipped, "no_volatility", pl.col("mark_iv").is_null())
    left = _without(left, skipped, "linear_twin", _is_twin())
    renamed = left.rename({name: f"{name}_coin" for name in _PREMIUMS})
    return Completed(check_quotes(renamed.select(list(QUOTES))), skipped, without_forward)


def _without(
    frame: pl.DataFrame, skipped: dict[str, int], reason: str, applies: pl.Expr
) -> pl.DataFrame:
    # A null key passes: the check of the finished table names it.
    kept = frame.filter(applies.fill_null(value=False).not_())
    if kept.height < frame.height:
        skipped[reason] = frame.height - kept.height
    return kept


def _with_forwards(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    unknown = frame.filter(pl.col("forward_usd").is_null()).select(EXPIRY_KEY).unique()
    if unknown.is_empty():
        return frame, unknown
    wanted = frame.join(unknown, on=EXPIRY_KEY, how="semi")
    estimates = parity_forwards(wanted).select(*EXPIRY_KEY, estimate="forward_usd")
    found = unknown.join(estimates, on=EXPIRY_KEY, how="left")
    filled = frame.join(found, on=EXPIRY_KEY, how="left", maintain_order="left")
    without = found.filter(pl.col("estimate").is_null()).select(EXPIRY_KEY).sort(EXPIRY_KEY)
    forward = pl.coalesce("forward_usd", "estimate")
    return filled.with_columns(forward_usd=forward).drop("estimate"), without


def _in_coin(frame: pl.DataFrame) -> pl.DataFrame:
    """Premiums in dollars over the forward: what the inverse option would cost."""
    return frame.with_columns(
        pl.when("in_usd").then(pl.col(name) / pl.col("forward_usd")).otherwise(name).alias(name)
        for name in _PREMIUMS
    )


def _with_volatilities(frame: pl.DataFrame) -> pl.DataFrame:
    unknown = frame["mark_iv"].is_null().to_numpy()
    if not unknown.any():
        return frame
    years = frame.select(years_to_expiry()).to_series()
    columns = [frame[name] for name in ("mark", "forward_usd", "strike_usd")]
    arguments = [column.to_numpy()[unknown] for column in (*columns, years, frame["is_call"])]
    vols = np.full(frame.height, np.nan)
    vols[unknown] = implied_vol(*arguments)
    inverted = pl.Series(vols, nan_to_null=True)
    return frame.with_columns(pl.col("mark_iv").fill_null(inverted))


def _is_twin() -> pl.Expr:
    in_coin = pl.col("in_usd").not_().any().over(OPTION_KEY)
    return pl.col("in_usd") & in_coin
