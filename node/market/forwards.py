"""Forwards by put-call parity, for venues that name none.

A call minus the put of the same strike is the forward less the strike. In coin, per strike K,

    call - put = 1 - K / F        F = K / (1 - (call - put))

and in dollars F = K + call - put. Every strike with both mids says its own F; the median of those
nearest the money is taken, where quotes are tight and a stale one is outvoted.
"""

from typing import Final

import polars as pl

EXPIRY_KEY: Final = ("timestamp", "currency", "expiry")
"""What names one expiry of one snapshot."""
NEAREST: Final = 5
"""Strikes about the money that vote."""
FEWEST: Final = 3
"""Below this many strikes with both mids there is no majority."""
MOST_DISPERSION: Final = 0.01
"""Half the voters must lie within this share of their median: else they say different things."""


def parity_forwards(quotes: pl.DataFrame) -> pl.DataFrame:
    """The forward of every expiry of whole snapshots: `EXPIRY_KEY`, `forward_usd`, `strikes`.

    `quotes` has `EXPIRY_KEY`, `strike_usd`, `is_call`, `in_usd`, `bid` and `ask`, null where there
    is no order. A forward is null where fewer than `FEWEST` strikes have both mids, or where these
    disagree; `strikes` counts them.
    """
    return (
        _pairs(quotes)
        .with_columns(rough=pl.col("estimate").median().over(EXPIRY_KEY))
        .with_columns(away=(pl.col("strike_usd") / pl.col("rough")).log().abs())
        .filter(pl.col("away").rank("ordinal").over(EXPIRY_KEY) <= NEAREST)
        .with_columns(middle=pl.col("estimate").median().over(EXPIRY_KEY))
        .with_columns(off=(pl.col("estimate") / pl.col("middle") - 1.0).abs())
        .group_by(EXPIRY_KEY)
        .agg(
            forward_usd=pl.when(pl.len() >= FEWEST, pl.col("off").median() <= MOST_DISPERSION).then(
                pl.col("middle").first()
            ),
            strikes=pl.len(),
        )
        .sort(EXPIRY_KEY)
    )


def _pairs(quotes: pl.DataFrame) -> pl.DataFrame:
    """Strikes where call and put both have a mid, and the forward that each pair says."""
    strike = [*EXPIRY_KEY, "strike_usd", "in_usd"]
    mids = quotes.select(
        *strike, "is_call", ((pl.col("bid") + pl.col("ask")) / 2).alias("mid")
    ).drop_nulls()
    calls, puts = mids.filter("is_call"), mids.filter(pl.col("is_call").not_())
    difference = pl.col("mid") - pl.col("mid_put")
    estimate = (
        pl.when("in_usd")
        .then(pl.col("strike_usd") + difference)
        .otherwise(pl.col("strike_usd") / (1.0 - difference))
    )
    return (
        calls.join(puts, on=strike, suffix="_put")
        .with_columns(estimate=estimate)
        .filter(pl.col("estimate") > 0, pl.col("estimate").is_finite())
    )
