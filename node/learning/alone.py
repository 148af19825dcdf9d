"""What one desk reaches alone, and what one would reach that saw everybody's quotes."""

from collections.abc import Iterator
from dataclasses import replace

from node.learning.training import LocalTraining, TrainingSettings, round_seed
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
    validation: Samples,
    seed: int,
    device: str = "cpu",
    architecture: Architecture = SMILE,
) -> Floats:
    """The network on one desk's samples, never shared, after the best round of the recipe.

    That is the round that errs least on `validation`, the desk's own later days: a desk that went
    on to the last would look worse than one that watches them.

    Shape: genesis [d] -> [d].
    """
    found = versions(
        genesis, samples, settings, seed=seed, device=device, architecture=architecture
    )
    return best_on(validation, found, architecture)


def train_central(
    genesis: Floats,
    pooled: Samples,
    settings: TrainingSettings,
    *,
    validation: Samples,
    seed: int,
    device: str = "cpu",
    architecture: Architecture = SMILE,
) -> Floats:
    """The network on everybody's samples, after the best round of its own recipe.

    The round that is best on `validation` is kept, or the comparison would flatter the federated
    model.

    Shape: genesis [d] -> [d].
    """
    return train_alone(
        genesis,
        pooled,
        central_recipe(settings),
        seed=seed,
        validation=validation,
        device=device,
        architecture=architecture,
    )


def central_recipe(settings: TrainingSettings) -> TrainingSettings:
    """The recipe for one model of everybody's samples: longer, since nobody averages it.

    Source: `docs/learning.md`, "Everybody's data in one place".
    """
    return replace(
        settings,
        rounds=2 * settings.rounds,
        steps_per_round=3 * settings.steps_per_round // 2,
    )


def unaided_recipe(settings: TrainingSettings) -> TrainingSettings:
    """The recipe of a desk that takes nothing from the public: no echoes on public surfaces, and no
    penalty for arbitrage on them. Its samples are its own quotes alone."""
    return replace(settings.plain(), arbitrage_weight=0.0)


def versions(
    genesis: Floats,
    samples: Samples,
    settings: TrainingSettings,
    *,
    seed: int,
    device: str = "cpu",
    architecture: Architecture = SMILE,
) -> Iterator[Floats]:
    """What one desk has alone after every round of the recipe. Shape: genesis [d] -> [d] each."""
    training, vector = LocalTraining(samples, settings, architecture, device), genesis
    for number in range(1, settings.rounds + 1):
        seeded = round_seed(seed, number)
        vector = training.train(vector, seed=seeded, round_number=number).vector
        yield vector
