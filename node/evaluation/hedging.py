"""What a model's delta is worth: an option held for a day and hedged once, as a trader would.

The value of a position is marked in USD, and every amount is in basis points of the forward of its
expiry when the position was opened:

    gain  = (V1 F1 - V0 F0) / F0        V: the exchange's mark, coin; F: the forward, USD
    moved = (F1 - F0) / F0
    hedged gain = gain - delta moved

Two deltas of a model at its volatility sigma(k) are held against each other: the strike's
volatility stays (Black-76's delta), or it moves along the model's smile while the panel stays,

    delta = Black-76's - vega dsigma/dk        vega: coin per unit of volatility, k = ln(K / F)

A later mark counts even where the quote would not survive cleaning any more: options that ran far
into the money are those that a hedge is for.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from node.evaluation.bootstrap import Days
from node.evaluation.metrics import BASIS_POINTS
from node.market import black76
from node.market.panel import Booleans, Floats, Panel
from node.market.quotes import OPTION_KEY, snapshot_id
from node.market.samples import Samples, build_samples
from node.models.formulas import Pricer
from protocol.errors import DataError

HELD: Final = timedelta(hours=24)
TOLERANCE: Final = timedelta(hours=3)
"""By which the later quote may be early or late; recorded snapshots are six hours apart."""

STRIKE_STEP_Z: Final = 0.1
"""In standard deviations: a network answers in float32."""

_OPTION: Final = tuple(name for name in OPTION_KEY if name != "timestamp")


@dataclass(frozen=True)
class Positions:
    """One coin's worth of every option that is still quoted a day later.

    Shape: all [n].
    """

    samples: Samples
    """As they were opened."""
    is_call: Booleans
    gain_bp: Floats
    moved_bp: Floats
    exchange_delta: Floats
    """NaN where it was not recorded. Recordings may take it minutes after the prices."""

    def __len__(self) -> int:
        return len(self.samples)

    def delta(self, vols: Floats) -> Floats:
        """Black-76's at a model's volatilities, the strike's volatility held. Shape: [n] -> [n]"""
        held = self.samples
        return black76.delta(held.forward, held.strike, held.years, vols, self.is_call)

    def delta_along_smile(self, price: Pricer) -> Floats:
        """With the strike's volatility moving along a smooth pricer's smile. Shape: -> [n]"""
        held = self.samples
        k, step = held.log_moneyness, STRIKE_STEP_Z * held.atm_vol * np.sqrt(held.years)
        lower, higher = (price(held.elsewhere(k + side * step, held.years)) for side in (-1, 1))
        vols = price(held)
        vega = black76.vega(held.forward, held.strike, held.years, vols)
        return np.asarray(self.delta(vols) - vega * (higher - lower) / (2.0 * step))

    def hedged_bp(self, delta: Floats) -> Floats:
        """The gain after one hedge by the forward, opened with the position. Shape: [n] -> [n]"""
        return self.gain_bp - delta * self.moved_bp


def open_positions(opened: pl.DataFrame, panel: Panel, chain: pl.DataFrame) -> Positions:
    """A position in every cleaned quote whose option the uncleaned chain has again a day later.

    Raises: DataError if there is none.
    """
    later = chain.select(
        *_OPTION,
        due="timestamp",
        later_forward_usd="forward_usd",
        later_mark_coin="mark_coin",
    ).sort("due")
    recorded = chain.select(*OPTION_KEY, exchange_delta="delta")
    rows = panel.rows(
        opened.select(snapshot_id()).to_series().to_numpy(),
        (opened["currency"] == "BTC").to_numpy(),
    )
    held = (
        opened.filter(pl.Series(rows >= 0))
        .with_columns(due=pl.col("timestamp") + HELD)
        .sort("due")
        .join_asof(
            later,
            on="due",
            by=list(_OPTION),
            strategy="nearest",
            tolerance=TOLERANCE,
            check_sortedness=False,  # both are sorted above; polars cannot check within groups
        )
        .drop_nulls("later_mark_coin")
        .join(recorded, on=list(OPTION_KEY), how="left", maintain_order="left")
    )
    if held.is_empty():
        raise DataError(
            f"options that are quoted again {HELD} later (within {TOLERANCE}) are wanted, found"
            f" none of {opened.height}; give a day more of data, or more snapshots a day"
        )
    forward, later_forward = held["forward_usd"].to_numpy(), held["later_forward_usd"].to_numpy()
    value, later_value = (
        held["mark_coin"].to_numpy() * forward,
        held["later_mark_coin"].to_numpy() * later_forward,
    )
    return Positions(
        samples=build_samples(held, panel),
        is_call=held["is_call"].to_numpy(),
        gain_bp=(later_value - value) / forward * BASIS_POINTS,
        moved_bp=(later_forward - forward) / forward * BASIS_POINTS,
        exchange_delta=held["exchange_delta"].fill_null(np.nan).to_numpy(),
    )


def deviation(gains_bp: Floats, positions: Positions, days: Days, *, is_btc: bool) -> Floats:
    """Standard deviation of one coin's gains as a statistic, NaN where they are not known.

    Shape: gains_bp [n] -> [1 + draws].
    """
    rows = (positions.samples.is_btc == is_btc) & np.isfinite(gains_bp)
    gains = gains_bp[rows]
    terms = np.stack([np.ones(gains.size), gains, gains**2], axis=1)
    count, total, squares = days.sums(positions.samples.snapshot[rows], terms).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0)))
