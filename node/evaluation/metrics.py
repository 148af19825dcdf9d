"""How well volatilities fit quotes that nobody trained on, in vol points and as prices.

The exchange's mark is smoothed, so errors are taken against the mark and against the mid, and the
share of quotes priced inside bid and ask says whether an error matters at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from types import MappingProxyType
from typing import Final

import numpy as np

from node.evaluation.bootstrap import Days
from node.market.black76 import price_coin
from node.market.panel import Floats, Integers
from node.market.quotes import VOL_POINTS
from node.market.samples import Samples
from protocol.errors import DataError

BASIS_POINTS: Final = 1e4
"""A premium in coin is the USD premium over the forward."""
TENOR_EDGES_DAYS: Final = (0.0, 2.0, 7.0, 30.0, 90.0, 367.0)
"""Between the panel's tenors, where a model must interpolate."""
MONEYNESS_EDGES: Final = (-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, np.inf)
"""In standard deviations; beyond one lies outside the panel's quotes."""


@dataclass(frozen=True)
class Metrics:
    """Errors over some quotes, in vol points where they do not say otherwise."""

    quotes: int
    rmse: float
    """Against the mark, as all that do not say otherwise."""
    mae: float
    p95: float
    """The absolute error that one quote in twenty exceeds."""
    rmse_mid: float
    mae_mid: float
    p95_mid: float
    inside_spread: float
    """Share of quotes priced between bid and ask."""
    price_rmse_bp: float
    """Of the premium, in basis points of the forward."""
    price_mae_bp: float


@dataclass(frozen=True)
class Where:
    """One coin, one stretch of tenors, one stretch of moneyness; upper edges are excluded."""

    coin: str
    tenor_days: tuple[float, float]
    z: tuple[float, float]


@dataclass(frozen=True)
class Cell(Where):
    """What is measured there."""

    metrics: Metrics


CELLS: Final = tuple(
    Where(*edges)
    for edges in product(("BTC", "ETH"), pairwise(TENOR_EDGES_DAYS), pairwise(MONEYNESS_EDGES))
)


def measure(vols: Floats, samples: Samples) -> Metrics:
    """Metrics of decimal volatilities, one a sample.

    Raises: DataError if there are no samples or the lengths differ.
    """
    terms = _terms(vols, samples)
    means = {name: float(value) for name, value in _from_means(terms.mean(axis=0)).items()}
    ends = {name: float(np.percentile(terms[:, at], _END)) for name, at in _ABSOLUTE.items()}
    return Metrics(quotes=vols.size, **ends, **means)


def measure_redrawn(vols: Floats, samples: Samples, days: Days) -> dict[str, Floats]:
    """What `measure` measures, as statistics: by name, each [1 + draws].

    Raises: DataError if there are no samples or the lengths differ.
    """
    terms = _terms(vols, samples)
    counted = np.column_stack([np.ones(len(samples)), terms])
    sums = days.sums(samples.snapshot, counted)
    return {
        **_from_means(sums[:, 1:] / sums[:, :1]),
        **{
            name: days.percentile(samples.snapshot, terms[:, at], _END)
            for name, at in _ABSOLUTE.items()
        },
    }


def by_cell(vols: Floats, samples: Samples) -> tuple[Cell, ...]:
    """Metrics of every cell that has quotes: coin by tenor by moneyness."""
    place = cell_of(samples)
    return tuple(
        Cell(where.coin, where.tenor_days, where.z, measure(vols[rows], samples.take(rows)))
        for number, where in enumerate(CELLS)
        if (rows := place == number).any()
    )


def cell_of(samples: Samples) -> Integers:
    """The place in `CELLS` of every sample, -1 outside. Shape: -> [n]"""
    tenor = np.searchsorted(TENOR_EDGES_DAYS, samples.tenor_days, side="right") - 1
    moneyness = np.searchsorted(MONEYNESS_EDGES, samples.z, side="right") - 1
    tenors, strikes = len(TENOR_EDGES_DAYS) - 1, len(MONEYNESS_EDGES) - 1
    place = (np.where(samples.is_btc, 0, tenors) + tenor) * strikes + moneyness
    return np.where((tenor >= 0) & (tenor < tenors), place, -1)


_ABSOLUTE: Final[Mapping[str, int]] = MappingProxyType({"p95": 0, "p95_mid": 2})
"""The columns of `_terms` with absolute errors against the mark and the mid, by what is made of
them."""
_END: Final = 95.0
"""Percent of the quotes that err less."""


def _terms(vols: Floats, samples: Samples) -> Floats:
    """What is averaged over quotes, in the order that `_from_means` reads. Shape: [n] -> [n, 7]"""
    if vols.shape != samples.target_vol.shape or not vols.size:
        raise DataError(
            f"one volatility for each of one or more quotes is wanted, found {vols.shape}"
            f" for {len(samples)} quotes"
        )
    error = np.abs(vols - samples.target_vol) * VOL_POINTS
    from_mid = np.abs(vols - samples.mid_vol) * VOL_POINTS
    inside = (vols >= samples.bid_vol) & (vols <= samples.ask_vol)
    price = np.abs(_premium(vols, samples) - _premium(samples.target_vol, samples)) * BASIS_POINTS
    columns = (error, error**2, from_mid, from_mid**2, inside, price, price**2)
    return np.stack(columns, axis=1).astype(np.float64)


def _from_means(means: Floats) -> dict[str, Floats]:
    mae, square, mae_mid, square_mid, inside, price_mae, price_square = np.moveaxis(means, -1, 0)
    return {
        "rmse": np.sqrt(square),
        "mae": mae,
        "rmse_mid": np.sqrt(square_mid),
        "mae_mid": mae_mid,
        "inside_spread": inside,
        "price_rmse_bp": np.sqrt(price_square),
        "price_mae_bp": price_mae,
    }


def _premium(vols: Floats, samples: Samples) -> Floats:
    """Of the option out of the money; errors of calls and puts are equal by parity."""
    is_call = samples.strike >= samples.forward
    return price_coin(samples.forward, samples.strike, samples.years, vols, is_call)
