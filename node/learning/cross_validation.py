"""Choosing settings on training days alone: whole weeks are held out in turn.

A random share of the quotes would look like days that were trained on; whole weeks look like days
to come.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from node.learning.federation import federate
from node.learning.training import TrainingSettings
from node.learning.validation import rmse_vol_points
from node.market.panel import Floats
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from node.models.architecture import Architecture
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
