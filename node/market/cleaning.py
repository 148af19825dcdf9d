"""Which quotes a model may learn from, and how many were dropped for which reason.

A quote is dropped by the first rule it fails, in the order of `REASONS`, so the counts add up to
what is missing. The cheap rules come first: only what passes them is inverted to volatilities.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from node.market.black76 import Bools, Floats, delta, implied_vol
from node.market.quotes import DAYS_PER_YEAR, years_to_expiry

REASONS: Final = (
    "one_sided",
    "crossed",
    "in_the_money",
    "short_tenor",
    "long_tenor",
    "small_mark",
    "small_delta",
    "not_invertible",
    "wide_spread",
    "mid_off_mark",
)


@dataclass(frozen=True)
class CleaningRules:
    """What a quote must be. The defaults drop stale and one-tick quotes from recorded chains."""

    min_days: float = 1.0
    """Days to expiry, ACT; below a day gamma makes a volatility meaningless."""
    max_days: float = DAYS_PER_YEAR
    """Days to expiry."""
    min_abs_delta: float = 0.01
    """Coin of forward per option; below, one tick is many vol points."""
    min_mark_coin: float = 0.0002
    """Coin: two of the exchange's smallest ticks."""
    max_spread_vol_points: float = 10.0
    """Ask minus bid volatility; a stale ask can be hundreds of vol points away."""
    max_mid_from_mark_vol_points: float = 3.0
    """Absolute difference of the mid premium's volatility and the mark's."""


@dataclass(frozen=True)
class Cleaned:
    """The quotes that are left, with `bid_iv`, `ask_iv`, `mid_iv` (decimal) and no null delta."""

    quotes: pl.DataFrame
    dropped: dict[str, int]
    """Rows by the first reason that applied; every one of `REASONS`, in order."""


DEFAULT_RULES: Final = CleaningRules()


def clean(frame: pl.DataFrame, rules: CleaningRules = DEFAULT_RULES) -> Cleaned:
    """A checked quote table without the rows that break a rule; the order of the rest is kept.

    A missing delta is filled with Black-76's at the mark's volatility.
    """
    dropped = dict.fromkeys(REASONS, 0)
    left = _keep(frame, _listed(rules), dropped)
    left = _keep(_with_delta(left), _sensitive(rules), dropped)
    left = _keep(_with_vols(left), _agreeing(rules), dropped)
    return Cleaned(left, dropped)


def _listed(rules: CleaningRules) -> dict[str, pl.Expr]:
    days = years_to_expiry() * DAYS_PER_YEAR
    return {
        "one_sided": pl.col("bid_coin").is_null() | pl.col("ask_coin").is_null(),
        "crossed": pl.col("bid_coin") > pl.col("ask_coin"),
        "in_the_money": pl.col("is_call") != (pl.col("strike_usd") >= pl.col("forward_usd")),
        "short_tenor": days < rules.min_days,
        "long_tenor": days > rules.max_days,
        "small_mark": pl.col("mark_coin") < rules.min_mark_coin,
    }


def _sensitive(rules: CleaningRules) -> dict[str, pl.Expr]:
    return {"small_delta": pl.col("delta").abs() < rules.min_abs_delta}


def _agreeing(rules: CleaningRules) -> dict[str, pl.Expr]:
    spread = pl.col("ask_iv") - pl.col("bid_iv")
    off_mark = (pl.col("mid_iv") - pl.col("mark_iv")).abs()
    return {
        "not_invertible": pl.any_horizontal(pl.col("bid_iv", "ask_iv", "mid_iv").is_nan()),
        "wide_spread": spread * 100.0 > rules.max_spread_vol_points,
        "mid_off_mark": off_mark * 100.0 > rules.max_mid_from_mark_vol_points,
    }


def _keep(
    frame: pl.DataFrame, failures: dict[str, pl.Expr], dropped: dict[str, int]
) -> pl.DataFrame:
    reason = pl.coalesce([pl.when(failed).then(pl.lit(name)) for name, failed in failures.items()])
    reasons = frame.select(reason.alias("reason"))["reason"]
    for name, count in reasons.drop_nulls().value_counts().iter_rows():
        dropped[name] += count
    return frame.filter(reasons.is_null())


def _with_delta(frame: pl.DataFrame) -> pl.DataFrame:
    if frame["delta"].null_count() == 0:
        return frame
    forward, strike, years, calls = _listing(frame)
    model = delta(forward, strike, years, frame["mark_iv"].to_numpy(), calls)
    return frame.with_columns(pl.col("delta").fill_null(pl.Series(model)))


def _with_vols(frame: pl.DataFrame) -> pl.DataFrame:
    forward, strike, years, calls = _listing(frame)
    bid, ask = frame["bid_coin"].to_numpy(), frame["ask_coin"].to_numpy()
    start = frame["mark_iv"].to_numpy()
    premiums = {"bid_iv": bid, "ask_iv": ask, "mid_iv": 0.5 * (bid + ask)}
    return frame.with_columns(
        pl.Series(name, implied_vol(premium, forward, strike, years, calls, start=start))
        for name, premium in premiums.items()
    )


def _listing(frame: pl.DataFrame) -> tuple[Floats, Floats, Floats, Bools]:
    years = frame.select(years_to_expiry()).to_series()
    return (
        frame["forward_usd"].to_numpy(),
        frame["strike_usd"].to_numpy(),
        years.to_numpy(),
        frame["is_call"].to_numpy(),
    )
