"""Networks that correct persistence: log volatility later = that now + net(what is known).

The last layer starts at zero, so an untrained network is persistence; and the epoch that does best
on the later days of the training span is kept, so one that learns nothing stays it.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from node.forecasting.pairs import Pairs
from node.market.panel import Floats
from node.market.quotes import VOL_POINTS
from protocol.errors import DataError

Build = Callable[["Sizes", "NetworkSettings"], nn.Module]
"""A new module whose forward takes past [n, l, f] and around [n, g] and answers changes [n, d]."""

FEWEST_PAIRS: Final = 50
_LARGEST_INPUT: Final = 5.0
"""Standard deviations: what was never seen is not extrapolated from."""


@dataclass(frozen=True)
class NetworkSettings:
    """How a forecaster is trained. Source: `python benchmarks/forecasting.py`, on its choices'
    window."""

    width: int = 32
    dropout: float = 0.3
    learning_rate: float = 2e-3
    """AdamW."""
    weight_decay: float = 0.1
    batch_size: int = 128
    epochs: int = 60
    """At most."""
    patience: int = 10
    """Epochs without a better one on the held days before training ends."""
    held_share: float = 0.2
    """The later part of the training span, which chooses the epoch."""
    members: int = 3
    """Networks from different seeds, whose forecasts are averaged."""
    huber_vol_points: float = 1.5
    """Errors beyond count linearly, so one crash cannot steer the fit."""


@dataclass(frozen=True)
class Sizes:
    """What a module must take and answer: steps, numbers a step, other numbers, changes."""

    steps: int
    numbers: int
    around: int
    changes: int


class Residual(nn.Module):
    """Two hidden layers over everything at once."""

    def __init__(self, sizes: Sizes, settings: NetworkSettings) -> None:
        super().__init__()
        seen = sizes.steps * sizes.numbers + sizes.around
        self.hidden = nn.Sequential(
            nn.Linear(seen, settings.width),
            nn.SiLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.width, settings.width),
            nn.SiLU(),
            nn.Dropout(settings.dropout),
        )
        self.out = _zeros(settings.width, sizes.changes)

    def forward(self, past: Tensor, around: Tensor) -> Tensor:
        changes: Tensor = self.out(self.hidden(torch.cat([past.flatten(1), around], dim=1)))
        return changes


class Lstm(nn.Module):
    """One recurrent layer; its last state beside the other numbers.

    Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation, 1997.
    """

    def __init__(self, sizes: Sizes, settings: NetworkSettings) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(sizes.numbers, settings.width, batch_first=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = _zeros(settings.width + sizes.around, sizes.changes)

    def forward(self, past: Tensor, around: Tensor) -> Tensor:
        states, _ = self.recurrent(past)
        changes: Tensor = self.out(torch.cat([self.dropout(states[:, -1]), around], dim=1))
        return changes


class Transformer(nn.Module):
    """One layer of four-headed attention with learned places, of which the last token is read.

    So only that token asks and is fed forward, at a tenth of the cost and with the same result.

    Source: A. Vaswani et al., "Attention is all you need", 2017; R. Xiong et al., "On layer
    normalization in the transformer architecture", 2020.
    """

    def __init__(self, sizes: Sizes, settings: NetworkSettings) -> None:
        super().__init__()
        width = settings.width
        self.embed = nn.Linear(sizes.numbers, width)
        self.place = nn.Parameter(0.02 * torch.randn(sizes.steps, width))
        self.before = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, 4, settings.dropout, batch_first=True)
        self.forward_net = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(2 * width, width),
        )
        self.after = nn.LayerNorm(width)
        self.out = _zeros(width + sizes.around, sizes.changes)

    def forward(self, past: Tensor, around: Tensor) -> Tensor:
        tokens = self.embed(past) + self.place
        normed = self.before(tokens)
        attended, _ = self.attend(normed[:, -1:], normed, normed, need_weights=False)
        last = (tokens[:, -1:] + attended).squeeze(1)
        last = self.after(last + self.forward_net(last))
        changes: Tensor = self.out(torch.cat([last, around], dim=1))
        return changes


def fit_network(
    build: Build, settings: NetworkSettings, pairs: Pairs, seed: int
) -> Callable[[Pairs], Floats]:
    """Train on the earlier part of the pairs, stop by the later, and forecast with what is kept.

    The result depends on nothing but the arguments and the number of threads.

    Raises: DataError with fewer than `FEWEST_PAIRS` pairs.
    """
    if len(pairs) < FEWEST_PAIRS:
        raise DataError(
            f"at least {FEWEST_PAIRS} pairs to learn from are wanted, found {len(pairs)}"
        )
    begins = pairs.origin[int(len(pairs) * (1.0 - settings.held_share))]
    # Invariant: no target of the earlier part lies in the held days that choose the epoch.
    early, held = pairs.known_by(int(begins)), pairs.take(pairs.origin >= begins)
    scale = _Scale.of(early)
    _, steps, numbers = pairs.past.shape
    sizes = Sizes(steps, numbers, _around(pairs).shape[1], pairs.now.shape[1])
    members = []
    for member in range(settings.members):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence([seed, member]).generate_state(1)[0]))
            module = build(sizes, settings)
            members.append(
                _trained(module, _Batch.of(early, scale), _Batch.of(held, scale), settings)
            )

    def forecast(asked: Pairs) -> Floats:
        seen = scale.inputs(asked)
        with torch.inference_mode():
            changes = torch.stack([member(*seen) for member in members]).mean(dim=0)
        return np.asarray(asked.now + changes.numpy())

    return forecast


@dataclass(frozen=True)
class _Scale:
    """Means and deviations of the inputs in what was learned from."""

    past: tuple[Floats, Floats]
    around: tuple[Floats, Floats]

    @classmethod
    def of(cls, pairs: Pairs) -> "_Scale":
        return cls(_spread(pairs.past, (0, 1)), _spread(_around(pairs), (0,)))

    def inputs(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return _scaled(pairs.past, *self.past), _scaled(_around(pairs), *self.around)


@dataclass(frozen=True)
class _Batch:
    """Shape: past [n, l, f]; around [n, g]; now, later [n, d] (vol points)"""

    past: Tensor
    around: Tensor
    now: Tensor
    later: Tensor

    @classmethod
    def of(cls, pairs: Pairs, scale: _Scale) -> "_Batch":
        now, later = (
            torch.from_numpy(VOL_POINTS * np.exp(part)).float() for part in (pairs.now, pairs.later)
        )
        return cls(*scale.inputs(pairs), now, later)

    def shuffled(self, size: int) -> Iterator["_Batch"]:
        for rows in torch.split(torch.randperm(len(self.now)), size):
            yield _Batch(self.past[rows], self.around[rows], self.now[rows], self.later[rows])

    def loss(self, module: nn.Module, huber: float) -> Tensor:
        forecast = self.now * torch.exp(module(self.past, self.around))
        return nn.functional.huber_loss(forecast, self.later, delta=huber)


def _trained(
    module: nn.Module, early: _Batch, held: _Batch, settings: NetworkSettings
) -> nn.Module:
    adam = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    huber = settings.huber_vol_points
    best, kept, since = _held_loss(module, held, huber), deepcopy(module.state_dict()), 0
    for _ in range(settings.epochs):
        module.train()
        for batch in early.shuffled(settings.batch_size):
            adam.zero_grad(set_to_none=True)
            batch.loss(module, huber).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            adam.step()
        found = _held_loss(module, held, huber)
        since += 1
        if found < best:
            best, kept, since = found, deepcopy(module.state_dict()), 0
        if since >= settings.patience:
            break
    module.load_state_dict(kept)
    return module.eval()


def _held_loss(module: nn.Module, held: _Batch, huber: float) -> float:
    module.eval()
    with torch.inference_mode():
        return float(held.loss(module, huber))


def _around(pairs: Pairs) -> Floats:
    return np.concatenate([pairs.around, pairs.calendar], axis=1)


def _spread(values: Floats, axes: tuple[int, ...]) -> tuple[Floats, Floats]:
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=axes), 1)
    mean = np.where(known, values, 0.0).sum(axis=axes) / count
    variance = np.where(known, (values - mean) ** 2, 0.0).sum(axis=axes) / count
    return mean, np.where(variance > 0.0, np.sqrt(variance), 1.0)


def _scaled(values: Floats, mean: Floats, deviation: Floats) -> Tensor:
    # What is unknown is the mean: it says nothing.
    scaled = np.nan_to_num((values - mean) / deviation, nan=0.0)
    return torch.from_numpy(np.clip(scaled, -_LARGEST_INPUT, _LARGEST_INPUT)).float()


def _zeros(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
