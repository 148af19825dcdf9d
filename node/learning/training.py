"""Local training: a fixed number of Adam steps on a desk's own samples, reproducible on a CPU.

A round is counted in steps, not epochs: a large and a small desk then cost and weigh the same, and
the cost of a task is known beforehand.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor, nn

from node.learning.echo import echo_points
from node.market.panel import Floats
from node.market.quotes import VOL_POINTS
from node.market.samples import Samples
from node.models.arbitrage import CANDIDATES, MARGIN, MOVED, Watch
from node.models.architecture import Architecture
from node.models.smile import SMILE
from protocol.errors import ConfigError, DataError

LOSS_SAMPLES = 8192
"""The loss before and after is taken on at most so many samples, evenly spaced."""

FEW_LIARS: Final = 0.1
"""The share of the participants up to which liars take less than echoes and looking ahead give: one
of ten does, two do not. Source: docs/robustness.md, "By the share of liars"."""

TRUST_UNTIL: Final = 0.5
"""The share of the rounds in which a task that tolerates more liars than that trusts the model it
starts from. Source: docs/robustness.md, "The network as it is now"."""

_MAY_BE_ZERO: Final = frozenset(
    {
        "look_ahead",
        "echo_share",
        "trust_until",
        "proximal",
        "weight_decay",
        "arbitrage_weight",
        "arbitrage_margin",
    }
)


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe every desk follows. It is the installed version's, not a parameter of the task.

    Source of the defaults: `python -m benchmarks.learning --data DIR`, on the validation days.
    """

    rounds: int = 15
    """The horizon of the learning-rate schedule. Twice as many err more on the validation days
    where desks differ by coin and expiry, and less where they differ by strike."""
    steps_per_round: int = 100
    batch_size: int = 512
    learning_rate: float = 4e-3
    """Adam, in the first round."""
    final_learning_rate: float = 1e-4
    """Adam, in the last round; a cosine lies between."""
    huber_vol_points: float = 5.0
    """Errors beyond this count linearly, so a stale quote cannot steer the fit."""
    look_ahead: float = 0.5
    """Momentum: the share of the last final round's move, made as long as this round's steps are,
    by which local training starts ahead of the global model."""
    echo_share: float = 0.1
    """Echoes that are mixed into a desk's samples, for each of these."""
    trust_until: float = 1.0
    """The share of the rounds, from the first, in which desks echo and look ahead; in the others
    they train on their samples alone."""
    proximal: float = 0.0
    """FedProx: half of it times the squared distance from the start is added to the loss, in
    squared vol points."""
    weight_decay: float = 0.0
    """AdamW: the share of its step size by which a step shrinks every parameter."""
    arbitrage_weight: float = 250.0
    """Of the penalty for static arbitrage, in squared vol points; 0 trains without."""
    arbitrage_margin: float = MARGIN
    """By which the penalty wants both conditions kept."""
    arbitrage_points: int = 256
    """Points of surfaces that the penalty looks at in a step."""
    arbitrage_every: int = 4
    """Steps from one look to the next."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (value > 0 or (value == 0 and name in _MAY_BE_ZERO)):
                raise ConfigError(f"training setting {name} must be above zero, found {value}")

    def tolerating(self, liars: int, participants: int) -> Self:
        """The recipe for a task whose rule is to tolerate so many liars among so few participants.

        What a liar got through, echoes hold where no honest desk has quotes, and looking ahead adds
        it up. Beyond `FEW_LIARS` the rounds after `TRUST_UNTIL` do without and take it back.
        """
        few = liars <= FEW_LIARS * participants
        return self if few else replace(self, trust_until=TRUST_UNTIL)

    def trusts(self, round_number: int) -> bool:
        """Whether desks echo and look ahead in a round (counted from 1)."""
        return self.trust_until >= 1.0 or round_number <= self.trust_until * self.rounds

    def plain(self) -> Self:
        """The recipe without what is added to plain federated averaging."""
        return replace(self, look_ahead=0.0, echo_share=0.0)

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


@dataclass(frozen=True)
class LocalTraining:
    """A desk's samples and the recipe for a model.

    What the module sees of the samples, 108 bytes each where the model is `smile`, is worked out in
    the first round and kept for all others; of more samples than all rounds present, each round
    works out those whose turn it is. The result is the same, bit for bit.
    """

    samples: Samples
    settings: TrainingSettings
    architecture: Architecture = SMILE
    device: str = "cpu"

    @cached_property
    def _kept(self) -> "_Quotes | None":
        settings = self.settings
        presented = settings.rounds * settings.steps_per_round * settings.batch_size
        if len(self.samples) > presented:
            return None
        return _Quotes.of(self.architecture, self.samples, self.device)

    def _quotes(self, rows: Tensor) -> "_Quotes":
        if self._kept is not None:
            return self._kept.take(rows.to(self.device))
        return _Quotes.of(self.architecture, self.samples.take(rows.numpy()), self.device)

    def train(
        self,
        model_vector: Floats,
        *,
        seed: int,
        round_number: int = 1,
        layers: str = "",
        drift: Floats | None = None,
    ) -> TrainingOutcome:
        """Train one round from a global model.

        Only the parameters whose names begin with `layers` are trained; `drift` is added to them in
        equal parts, one after every step. The result depends on nothing but the arguments and what
        this was made of; on a GPU only up to its arithmetic.

        Shape: model_vector, drift [d] in canonical order.

        Raises: DataError without samples, or if training left the finite numbers.
        """
        count, settings, architecture = len(self.samples), self.settings, self.architecture
        if count == 0:
            raise DataError(
                "at least one training sample is wanted, found none; check the desk's folder"
            )
        begun = time.perf_counter()
        with _reproducible(self.device):
            module = architecture.module()
            architecture.load(module, model_vector)
            module.to(self.device)
            some = self._quotes(torch.arange(0, count, max(1, count // LOSS_SAMPLES)))
            loss_before = _loss(module, some, settings)
            echo_share = settings.echo_share if settings.trusts(round_number) else 0.0
            quotes, order = self._presented(module, round(echo_share * count), seed)
            steered = _Steered.of(architecture, module, layers, drift, settings)
            learning_rate = settings.learning_rate_at(round_number)
            watch = self._watch(module, seed) if settings.arbitrage_weight else None
            _descend(
                module, steered, quotes, watch, settings, order=order, learning_rate=learning_rate
            )
            loss_after = _loss(module, some, settings)
            vector = architecture.vector(module)
        if not np.isfinite(vector).all():
            begun_well = np.isfinite(architecture.predict(model_vector, self.samples)).all()
            raise DataError(
                "training left the finite numbers; look for extreme volatilities in the data"
                if begun_well
                else "training began at a model that gives these quotes no finite volatilities: the"
                " fault is that model's, not the quotes'; ask verify-round whether it is what its"
                " updates give"
            )
        presented = settings.steps_per_round * settings.batch_size
        seconds = time.perf_counter() - begun
        return TrainingOutcome(vector, loss_before, loss_after, count, seconds, presented / count)

    def _presented(self, module: nn.Module, echoes: int, seed: int) -> tuple["_Quotes", Tensor]:
        """A round's quotes and its echoes after them, and in which order their rows come."""
        count, settings = len(self.samples), self.settings
        order = _order(count + echoes, settings.steps_per_round * settings.batch_size, seed)
        points = echo_points(self.samples, echoes, seed)
        quotes = self._kept
        if quotes is None:
            is_echo = order >= count
            quotes = self._quotes(order[~is_echo])
            points = points.take((order[is_echo] - count).numpy())
            # A quote's place among the quotes that come, an echo's among the echoes after them.
            places = torch.where(is_echo, len(quotes) + is_echo.cumsum(0), (~is_echo).cumsum(0))
            order = places - 1
        if len(points):
            quotes = quotes.joined(self._answered(module, points))
        return quotes, order.to(self.device)

    def _answered(self, module: nn.Module, points: Samples) -> "_Quotes":
        seen = tuple(part.to(self.device) for part in self.architecture.seen(points))
        with torch.no_grad():
            vols = module(*seen)
        return _Quotes(seen, (VOL_POINTS * vols.double()).float())

    def _watch(self, module: nn.Module, seed: int) -> Watch:
        """Where a round looks for arbitrage. Points are drawn anew for each round and seed, so that
        rounds and desks see more of them together."""
        settings = self.settings
        looks = -(-settings.steps_per_round // settings.arbitrage_every)
        shape = (CANDIDATES * looks, settings.arbitrage_points)
        drawn = Watch.over(self.architecture, self.samples, shape, seed, self.device, unlike=MOVED)
        return drawn.chosen(module, seed)


def participant_seed(seed: int, address: str) -> int:
    """One participant's seed: those who leave the setting as it is draw other points all the same,
    and together look for arbitrage at more. `address` is hexadecimal."""
    return int(np.random.SeedSequence([seed, int(address, 16)]).generate_state(1)[0])


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

    def __len__(self) -> int:
        return self.target.numel()

    def joined(self, other: "_Quotes") -> "_Quotes":
        seen = tuple(torch.cat(parts) for parts in zip(self.seen, other.seen, strict=True))
        return _Quotes(seen, torch.cat([self.target, other.target]))

    def take(self, rows: Tensor) -> "_Quotes":
        seen = tuple(part.index_select(0, rows) for part in self.seen)
        return _Quotes(seen, self.target.index_select(0, rows))


@dataclass(frozen=True)
class _Steered:
    """What is trained, where it starts, and what is added after a step; in the same order."""

    parameters: list[nn.Parameter]
    starts: list[Tensor]
    drifts: list[Tensor]

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        module: nn.Module,
        layers: str,
        drift: Floats | None,
        settings: TrainingSettings,
    ) -> "_Steered":
        for name, value in module.named_parameters():
            value.requires_grad_(name.startswith(layers))
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        drifts = []
        if drift is not None:
            parts = architecture.spec.unflatten(drift / settings.steps_per_round)
            drifts = [torch.from_numpy(parts[name]).to(value) for name, value in named.items()]
        starts = [value.detach().clone() for value in named.values()]
        return cls(list(named.values()), starts, drifts)

    def distance(self) -> Tensor:
        """The square of how far training has moved."""
        pairs = zip(self.parameters, self.starts, strict=True)
        return torch.stack([torch.sum((value - start) ** 2) for value, start in pairs]).sum()


def _descend(
    module: nn.Module,
    steered: _Steered,
    quotes: _Quotes,
    watch: Watch | None,
    settings: TrainingSettings,
    *,
    order: Tensor,
    learning_rate: float,
) -> None:
    adam = torch.optim.AdamW(
        steered.parameters, lr=learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    size, steps = settings.batch_size, settings.steps_per_round
    for step in range(steps):
        batch = quotes.take(order[step * size : (step + 1) * size])
        module.zero_grad(set_to_none=True)
        loss = _huber(module(*batch.seen), batch.target, settings)
        if watch is not None and step % settings.arbitrage_every == 0:
            look = step // settings.arbitrage_every
            loss = loss + settings.arbitrage_weight * watch.penalty(
                module, look, settings.arbitrage_margin
            )
        if settings.proximal:
            loss = loss + 0.5 * settings.proximal * steered.distance()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        adam.step()
        if steered.drifts:
            with torch.no_grad():
                for value, drift in zip(steered.parameters, steered.drifts, strict=True):
                    value.add_(drift)


def _order(population: int, wanted: int, seed: int) -> Tensor:
    """Shuffled passes over the population, one after another, cut to length."""
    generator = torch.Generator().manual_seed(seed)
    passes = -(-wanted // population)
    shuffled = [torch.randperm(population, generator=generator) for _ in range(passes)]
    return torch.cat(shuffled)[:wanted]


def _loss(module: nn.Module, quotes: _Quotes, settings: TrainingSettings) -> float:
    with torch.inference_mode():
        return float(_huber(module(*quotes.seen), quotes.target, settings))


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
