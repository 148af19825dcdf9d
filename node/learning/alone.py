"""What one desk reaches alone, and what one would reach that saw everybody's quotes."""

from collections.abc import Iterator
from dataclasses import replace

from node.learning.training import TrainingSettings, round_seed, train_locally
from node.learning.validation import best_on
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.smile import SMILE


def train_alone(
    genesis: Floats,
    samples: Samples,
    settings: TrainingSettings,
    *,
    seed: int,
    validation: Samples | None = None,
    device: str = "cpu",
    architecture: Architecture = SMILE,
) -> Floats:
    """The network after every round of the recipe on one desk's samples, never shared.

    Or after the round that is best on `validation`, such as the desk's own later days.

    Shape: genesis [d] -> [d].
    """
    rounds = _rounds(
        genesis, samples, settings, seed=seed, device=device, architecture=architecture
    )
    if validation is not None:
        return best_on(validation, rounds, architecture)
    *_, last = rounds
    return last


def train_central(
    genesis: Floats,
    pooled: Samples,
    settings: TrainingSettings,
    *,
    participants: int,
    validation: Samples,
    seed: int,
    device: str = "cpu",
    architecture: Architecture = SMILE,
) -> Floats:
    """The network on everybody's samples, with as many steps as all participants take together.

    So many steps over-fit where nothing is averaged. The round that is best on `validation` is
    kept, or the comparison would flatter the federated model.

    Shape: genesis [d] -> [d].
    """
    everybody = replace(settings, steps_per_round=settings.steps_per_round * participants)
    rounds = _rounds(
        genesis, pooled, everybody, seed=seed, device=device, architecture=architecture
    )
    return best_on(validation, rounds, architecture)


def _rounds(
    genesis: Floats,
    samples: Samples,
    settings: TrainingSettings,
    *,
    seed: int,
    device: str,
    architecture: Architecture,
) -> Iterator[Floats]:
    vector = genesis
    for round_number in range(1, settings.rounds + 1):
        vector = train_locally(
            vector,
            samples,
            settings,
            seed=round_seed(seed, round_number),
            round_number=round_number,
            device=device,
            architecture=architecture,
        ).vector
        yield vector
