"""Choosing settings on training days alone: whole weeks, or the most turbulent days, are held out.

Quotes of one snapshot err together, and neighbouring days nearly so. A random share of the quotes
would look like days that were trained on; whole weeks look like days to come.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from node.learning.federation import federate
from node.learning.training import TrainingSettings
from node.market.panel import Floats, Integers
from node.market.quotes import MICROSECONDS_PER_DAY, VOL_POINTS
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.formulas import Pricer
from node.models.smile import SMILE
from protocol.errors import DataError

WEEK_MICROSECONDS: Final = 7 * MICROSECONDS_PER_DAY

Train = Callable[[Sequence[Samples], TrainingSettings], Floats]
"""What desks make of their samples. Shape: -> [d]"""


def by_week(samples: Samples, folds: int) -> Iterator[tuple[Samples, Samples]]:
    """Samples of most weeks and of those held out; every `folds`-th week is, each once.

    Weeks are those of the calendar from 1970 on, so that all desks hold out the same days.

    Raises: DataError unless each fold has weeks to train on and to hold out.
    """
    fold = samples.snapshot // WEEK_MICROSECONDS % folds
    found = np.unique(fold)
    if folds < 2 or found.size < folds:
        raise DataError(
            f"two or more folds of whole weeks are wanted, found quotes for {found.size} of {folds}"
        )
    for held_out in range(folds):
        yield samples.take(fold != held_out), samples.take(fold == held_out)


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


def cross_validated(
    desks: Sequence[Samples],
    anchors: Samples,
    candidates: Mapping[str, TrainingSettings],
    *,
    folds: int = 4,
    train: Train = federate,
    architecture: Architecture = SMILE,
) -> dict[str, tuple[float, ...]]:
    """RMSE in vol points of each candidate on each fold, all desks' held-out quotes counting alike.

    Anchors are public and always trained on. A difference between candidates that is smaller than
    that between folds decides nothing.

    Raises: DataError if a desk's quotes miss a fold.
    """
    cut = [list(by_week(own, folds)) for own in desks]
    found: dict[str, tuple[float, ...]] = {}
    for name, settings in candidates.items():
        errors = []
        for fold in range(folds):
            trained = [Samples.join(parts[fold][0], anchors) for parts in cut]
            vector = train(trained, settings)
            held_out = Samples.join(*(parts[fold][1] for parts in cut))
            errors.append(rmse_vol_points(architecture, vector, held_out))
        found[name] = tuple(errors)
    return found


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
