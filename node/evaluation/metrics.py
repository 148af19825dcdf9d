"""How well volatilities fit quotes that nobody trained on, in vol points.

The exchange's mark is smoothed, so errors are taken against the mark and against the mid, and the
share of quotes priced inside bid and ask says whether an error matters at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from node.market.panel import Booleans, Floats
from node.market.samples import Samples
from protocol.errors import DataError

VOL_POINTS: Final = 100.0
TENOR_EDGES_DAYS: Final = (0.0, 2.0, 7.0, 30.0, 90.0, 367.0)
"""Between the panel's tenors, where a model must interpolate."""
MONEYNESS_EDGES: Final = (-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, np.inf)
"""In standard deviations; beyond one lies outside the panel's quotes."""


@dataclass(frozen=True)
class Metrics:
    """Errors in vol points over some quotes."""

    quotes: int
    rmse: float
    """Against the mark, as all that do not say otherwise."""
    mae: float
    p95: float
    """The absolute error that one quote in twenty exceeds."""
    rmse_mid: float
    mae_mid: float
    inside_spread: float
    """Share of quotes priced between bid and ask."""


@dataclass(frozen=True)
class Cell:
    """One coin, one stretch of tenors, one stretch of moneyness."""

    coin: str
    tenor_days: tuple[float, float]
    z: tuple[float, float]
    metrics: Metrics


def measure(vols: Floats, samples: Samples) -> Metrics:
    """Metrics of decimal volatilities, one a sample.

    Raises: DataError if there are no samples or the lengths differ.
    """
    if vols.shape != samples.target_vol.shape or not vols.size:
        raise DataError(
            f"one volatility for each of one or more quotes is wanted, found {vols.shape}"
            f" for {len(samples)} quotes"
        )
    error = np.abs(vols - samples.target_vol) * VOL_POINTS
    from_mid = np.abs(vols - samples.mid_vol) * VOL_POINTS
    inside = (vols >= samples.bid_vol) & (vols <= samples.ask_vol)
    return Metrics(
        quotes=vols.size,
        rmse=_root_mean_square(error),
        mae=float(error.mean()),
        p95=float(np.percentile(error, 95.0)),
        rmse_mid=_root_mean_square(from_mid),
        mae_mid=float(from_mid.mean()),
        inside_spread=float(inside.mean()),
    )


def by_cell(vols: Floats, samples: Samples) -> tuple[Cell, ...]:
    """Metrics of every cell that has quotes: coin by tenor by moneyness."""
    return tuple(
        Cell(coin, tenor, moneyness, measure(vols[rows], samples.take(rows)))
        for coin, coins in (("BTC", samples.is_btc), ("ETH", ~samples.is_btc))
        for tenor, tenors in _between(samples.tenor_days, TENOR_EDGES_DAYS)
        for moneyness, strikes in _between(samples.z, MONEYNESS_EDGES)
        if (rows := coins & tenors & strikes).any()
    )


def _between(
    values: Floats, edges: tuple[float, ...]
) -> Iterator[tuple[tuple[float, float], Booleans]]:
    for low, high in pairwise(edges):
        yield (low, high), (values >= low) & (values < high)


def _root_mean_square(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))
