"""A model of a desk's own, for its own quotes: never uploaded.

A desk's head is the shared model's last layer, fitted once more to the desk's own quotes until its
later days, which it does not train on, stop gaining; everything before that layer stays shared.
What the desk trained alone errs otherwise than the head does, so a mean of their volatilities often
errs less than either. By the same days the desk chooses (`choose`) how much of each it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from node.learning.training import LocalTraining, TrainingSettings, round_seed
from node.learning.validation import rmse_of, rmse_vol_points
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import LAST_LAYER, Architecture
from node.models.formulas import Pricer
from node.models.smile import SMILE

SHARED: Final = "shared"
HEAD: Final = "head"
LOCAL: Final = "local"
BLEND: Final = "blend"
"""What a desk chooses between: the shared model, its own head, what it trained alone, and a mean of
the last two."""
SHARES: Final = 64
"""A share in 64ths: a file holds it exactly."""


@dataclass(frozen=True)
class PersonalSettings:
    """Source of the defaults: docs/learning.md, "A model of one's own", on May."""

    pieces: int = 20
    """After each piece of training the later days are priced."""
    patience: int = 5
    """Pieces without gain after which training stops."""
    steps: int = 20
    """Of Adam, a piece."""
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Choice:
    """Which of several pricers a desk takes, and what each is worth to it."""

    name: str
    rmse: Mapping[str, float]
    """Of each by name, vol points, on the desk's later days."""
    share: float
    """Of what the desk trained alone, in the blend."""


def fit_head(
    shared: Floats,
    own: Samples,
    later: Samples,
    settings: TrainingSettings,
    *,
    seed: int,
    personal: PersonalSettings | None = None,
    device: str = "cpu",
    architecture: Architecture = SMILE,
) -> Floats:
    """The shared model with a head of this desk's own; the shared one itself where none is better.

    `own` are the desk's quotes without public points, `later` those of days that come after them
    and that the shared model had better not have seen: it would look better there than it is.

    Shape: shared [d] -> [d]. Raises: DataError without quotes.
    """
    personal = personal or PersonalSettings()
    rate = personal.learning_rate
    piece = replace(
        settings, steps_per_round=personal.steps, learning_rate=rate, final_learning_rate=rate
    )
    training = LocalTraining(own, piece, architecture, device)
    best = vector = shared
    least = rmse_vol_points(architecture, shared, later)
    since = 0
    for number in range(1, personal.pieces + 1):
        vector = training.train(vector, seed=round_seed(seed, number), layers=LAST_LAYER).vector
        found = rmse_vol_points(architecture, vector, later)
        if found < least:
            best, least, since = vector, found, 0
        else:
            since += 1
        if since == personal.patience:
            break
    return best


def choose(shared: Pricer, head: Pricer, local: Pricer, later: Samples) -> Choice:
    """What errs least on a desk's later days; of equals the simplest.

    Nothing errs less there than the blend, whose share is fitted to them: something else is chosen
    where that is 0 or 1.
    """
    share = fit_share(head(later), local(later), later.target_vol)
    candidates = {SHARED: shared, HEAD: head, LOCAL: local, BLEND: mixed(head, local, share)}
    rmse = {name: rmse_of(price, later) for name, price in candidates.items()}
    return Choice(min(rmse, key=rmse.__getitem__), rmse, share)


def fit_share(head: Floats, local: Floats, wanted: Floats) -> float:
    """How much of `local` the mean of two volatilities takes that errs least, from 0 to 1.

    Shape: all [n].
    """
    apart = local - head
    squares = float(apart @ apart)
    # What a desk trained alone may answer without bound.
    if not 0.0 < squares < np.inf:
        return 0.0
    found = float(apart @ (wanted - head)) / squares
    return round(SHARES * min(max(found, 0.0), 1.0)) / SHARES


def mixed(head: Pricer, local: Pricer, share: float) -> Pricer:
    """The mean of two volatilities, with a `share` of the second."""
    if share in (0.0, 1.0):
        return local if share else head
    return lambda samples: (1.0 - share) * head(samples) + share * local(samples)
