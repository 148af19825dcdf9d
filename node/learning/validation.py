"""How much a model errs on days that it was not trained on, and which days those may be.

Quotes of one snapshot err together, and neighbouring days nearly so: a random share of the quotes
would look like days that were trained on.
"""

from collections.abc import Iterable
from functools import partial

import numpy as np

from node.market.panel import Floats, Integers
from node.market.quotes import MICROSECONDS_PER_DAY, VOL_POINTS
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.formulas import Pricer
from node.models.smile import SMILE
from protocol.errors import DataError


def turbulent_days(samples: Samples, count: int) -> Integers:
    """So many days of the largest moves of the 30-day volatility, and the days beside them.

    A move is that of either coin's logarithm from a day's last snapshot to the next day's. Days are
    counted from 1970 on.

    Raises: DataError unless so many days have a day before them.
    """
    days, moves = [], []
    for is_btc in (False, True):
        own = np.flatnonzero(samples.is_btc == is_btc)
        own = own[np.argsort(samples.snapshot[own], kind="stable")]
        day = samples.snapshot[own] // MICROSECONDS_PER_DAY
        last = np.flatnonzero(np.diff(day, append=-1))
        adjacent = np.diff(day[last]) == 1
        days.append(day[last][1:][adjacent])
        moves.append(np.abs(np.diff(np.log(samples.atm_30d_vol[own[last]])))[adjacent])
    falling = np.concatenate(days)[np.argsort(-np.concatenate(moves), kind="stable")]
    _, first = np.unique(falling, return_index=True)
    if first.size < count:
        raise DataError(f"{count} days with a day before them are wanted, found {first.size}")
    largest = falling[np.sort(first)[:count]]
    return np.unique(np.concatenate([largest - 1, largest, largest + 1]))


def best_on(
    validation: Samples, versions: Iterable[Floats], architecture: Architecture = SMILE
) -> Floats:
    """The version of a model that errs least on later days that nobody trained on. Shape: [d]"""
    return min(versions, key=lambda vector: rmse_vol_points(architecture, vector, validation))


def rmse_vol_points(architecture: Architecture, vector: Floats, samples: Samples) -> float:
    """How much a model errs against the mark. Shape: vector [d]"""
    return rmse_of(partial(architecture.predict, vector), samples)


def rmse_of(price: Pricer, samples: Samples) -> float:
    """How much a pricer errs against the mark, vol points."""
    return VOL_POINTS * float(np.sqrt(np.mean((price(samples) - samples.target_vol) ** 2)))
