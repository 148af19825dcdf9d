"""A model of a desk's own, for its own quotes: never uploaded.

A desk's head is the shared model's last layer, fitted once more to the desk's own quotes until its
later days, which it does not train on, stop gaining; everything before that layer stays shared. By
the same days the desk chooses (`choose`) between the shared model, its head and what it trained
alone: none of the three is best for every desk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

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
"""What a desk chooses between: the shared model, its own head, what it trained alone."""


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


def choose(candidates: Mapping[str, Pricer], later: Samples) -> Choice:
    """The pricer that errs least on a desk's later days; of equals the one named first."""
    rmse = {name: rmse_of(price, later) for name, price in candidates.items()}
    return Choice(min(rmse, key=rmse.__getitem__), rmse)
