"""Local training: a fixed number of Adam steps on a desk's own samples, reproducible on a CPU.

A round is counted in steps, not epochs: a large and a small desk then cost and weigh the same, and
the cost of a task is known beforehand.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.smile import SMILE
from protocol.errors import ConfigError, DataError

VOL_POINTS = 100.0
"""The loss is in vol points, so that its size says something."""
LOSS_SAMPLES = 8192
"""The loss before and after is taken on at most so many samples, evenly spaced."""


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe every desk follows; the task publishes it.

    Source of the defaults: `python benchmarks/federated_recipe.py --data DIR`.
    """

    rounds: int = 30
    """The horizon of the learning-rate schedule."""
    steps_per_round: int = 100
    batch_size: int = 512
    learning_rate: float = 4e-3
    """Adam, in the first round."""
    final_learning_rate: float = 1e-4
    """Adam, in the last round; a cosine lies between."""
    huber_vol_points: float = 5.0
    """Errors beyond this count linearly, so a stale quote cannot steer the fit."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ConfigError(f"training setting {name} must be above zero, found {value}")

    def learning_rate_at(self, round_number: int) -> float:
        """Adam's step size in a round (counted from 1), constant after the horizon."""
        share = min(max(round_number - 1, 0) / max(self.rounds - 1, 1), 1.0)
        fall = 0.5 * (1.0 + math.cos(math.pi * share))
        return self.final_learning_rate + fall * (self.learning_rate - self.final_learning_rate)


@dataclass(frozen=True)
class TrainingOutcome:
    """A locally trained model and what it took."""

    vector: Floats
    loss_before: float
    """Mean Huber loss in squared vol points, before training."""
    loss_after: float
    samples: int
    seconds: float
    epochs: float
    """Passes over the data; a fraction where a desk has more samples than a round uses."""


def train_locally(
    model_vector: Floats,
    samples: Samples,
    settings: TrainingSettings,
    *,
    seed: int,
    round_number: int = 1,
    device: str = "cpu",
    architecture: Architecture = SMILE,
) -> TrainingOutcome:
    """Train one round from a global model.

    The result depends on nothing but the arguments; on a GPU only up to its arithmetic.

    Shape: model_vector [d] in canonical order.

    Raises: DataError without samples, or if training left the finite numbers.
    """
    if len(samples) == 0:
        raise DataError(
            "at least one training sample is wanted, found none; check the desk's folder"
        )
    begun = time.perf_counter()
    with _reproducible(device):
        module = architecture.module()
        architecture.load(module, model_vector)
        module.to(device)
        quotes = _Quotes.of(architecture, samples, device)
        loss_before = _loss(module, quotes, settings)
        _descend(module, quotes, settings, settings.learning_rate_at(round_number), seed)
        loss_after = _loss(module, quotes, settings)
        vector = architecture.vector(module)
    if not np.isfinite(vector).all():
        raise DataError(
            "training left the finite numbers; look for extreme volatilities in the data"
        )
    presented = settings.steps_per_round * settings.batch_size
    seconds = time.perf_counter() - begun
    return TrainingOutcome(
        vector, loss_before, loss_after, len(samples), seconds, presented / len(samples)
    )


def round_seed(seed: int, round_number: int) -> int:
    """One round's seed, so that rounds differ and each can be trained again alone."""
    return int(np.random.SeedSequence([seed, round_number]).generate_state(1)[0])


@dataclass(frozen=True)
class _Quotes:
    """Samples on the device, once: the module's inputs, and the targets [n] in vol points."""

    seen: tuple[Tensor, ...]
    target: Tensor

    @classmethod
    def of(cls, architecture: Architecture, samples: Samples, device: str) -> "_Quotes":
        target = (samples.target_vol * VOL_POINTS).astype(np.float32)
        return cls(
            tuple(part.to(device) for part in architecture.seen(samples)),
            torch.from_numpy(target).to(device),
        )

    def take(self, rows: Tensor) -> "_Quotes":
        seen = tuple(part.index_select(0, rows) for part in self.seen)
        return _Quotes(seen, self.target.index_select(0, rows))


def _descend(
    module: nn.Module, quotes: _Quotes, settings: TrainingSettings, learning_rate: float, seed: int
) -> None:
    adam = torch.optim.Adam(module.parameters(), lr=learning_rate, fused=True)
    size, steps = settings.batch_size, settings.steps_per_round
    order = _order(quotes.target.numel(), steps * size, seed).to(quotes.target.device)
    for step in range(steps):
        batch = quotes.take(order[step * size : (step + 1) * size])
        adam.zero_grad(set_to_none=True)
        loss = _huber(module(*batch.seen), batch.target, settings)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        adam.step()


def _order(population: int, wanted: int, seed: int) -> Tensor:
    """Shuffled passes over the population, one after another, cut to length."""
    generator = torch.Generator().manual_seed(seed)
    passes = -(-wanted // population)
    shuffled = [torch.randperm(population, generator=generator) for _ in range(passes)]
    return torch.cat(shuffled)[:wanted]


def _loss(module: nn.Module, quotes: _Quotes, settings: TrainingSettings) -> float:
    count = quotes.target.numel()
    rows = torch.arange(0, count, max(1, count // LOSS_SAMPLES), device=quotes.target.device)
    some = quotes.take(rows)
    with torch.inference_mode():
        return float(_huber(module(*some.seen), some.target, settings))


def _huber(vols: Tensor, target: Tensor, settings: TrainingSettings) -> Tensor:
    return nn.functional.huber_loss(VOL_POINTS * vols, target, delta=settings.huber_vol_points)


@contextmanager
def _reproducible(device: str) -> Iterator[None]:
    """One thread, deterministic kernels: a float sum depends on how it is cut into pieces."""
    threads, before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    # A GPU's matrix products would need an environment variable set before the process starts.
    torch.use_deterministic_algorithms(mode=device == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.set_num_threads(threads)
