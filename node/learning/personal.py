"""A desk's own last layer: the shared model fitted once more to the desk's own quotes.

What comes of it is never uploaded and prices for this desk only. Everything before the last layer
stays shared, and training stops where the desk's own latest days, which it does not train on, stop
gaining: a head that would not help is the shared one.
"""

from dataclasses import dataclass, replace

from node.learning.contribution import hold_out
from node.learning.training import TrainingSettings, round_seed, train_locally
from node.learning.validation import rmse_vol_points
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import LAST_LAYER, Architecture
from node.models.smile import SMILE


@dataclass(frozen=True)
class PersonalSettings:
    """Source of the defaults: `python -m benchmarks.learning --data DIR`, on May."""

    layers: str = LAST_LAYER
    """How the names of the parameters begin that are fitted; all of them where empty."""
    pieces: int = 20
    """After each piece of training the latest days are priced."""
    patience: int = 5
    """Pieces without gain after which training stops."""
    steps: int = 20
    """Of Adam, a piece."""
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Personal:
    """A desk's own model, and what it is worth on the desk's latest days."""

    vector: Floats
    shared_rmse: float
    """Vol points, on days that neither was fitted to by this desk's head."""
    personal_rmse: float


def personalise(
    shared: Floats,
    own: Samples,
    settings: TrainingSettings,
    *,
    seed: int,
    personal: PersonalSettings | None = None,
    architecture: Architecture = SMILE,
) -> Personal:
    """The shared model with a head of this desk's own; the shared one itself where none is better.

    `own` are the desk's quotes without public points. Shape: shared [d].

    Raises: DataError if there are fewer than two days of them.
    """
    personal = personal or PersonalSettings()
    fitted_on, latest = hold_out(own)
    rate = personal.learning_rate
    piece = replace(
        settings, steps_per_round=personal.steps, learning_rate=rate, final_learning_rate=rate
    )
    best = vector = shared
    shared_rmse = least = rmse_vol_points(architecture, shared, latest)
    since = 0
    for number in range(1, personal.pieces + 1):
        vector = train_locally(
            vector,
            fitted_on,
            piece,
            seed=round_seed(seed, number),
            architecture=architecture,
            layers=personal.layers,
        ).vector
        found = rmse_vol_points(architecture, vector, latest)
        since = 0 if found < least else since + 1
        if found < least:
            best, least = vector, found
        if since == personal.patience:
            break
    return Personal(best, shared_rmse, least)
