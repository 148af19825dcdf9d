"""What an update was worth to this desk: how far it goes where the desk's own training went.

A desk scores the updates of a round with a byte each, which divide the round's reward where the
task says so. It has only its own quotes to judge by, so the scores of many desks are put together.
Its latest days, which it does not train on, refuse what harms them. What the scores tell apart and
what not, and what other measures do, is measured in docs/incentives.md.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from node.learning.training import TrainingSettings
from node.market.panel import Floats
from node.market.quotes import VOL_POINTS
from node.market.samples import Samples
from node.models.arbitrage import Watch
from node.models.architecture import Architecture
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import DataError
from protocol.numbers import Int16Array, Int32Array
from protocol.scores import HIGHEST_SCORE

HELD_OUT_ROWS: Final = 1024
"""The loss is taken on at most so many, evenly spaced: quotes of one snapshot err together."""
CHANCE_DEVIATIONS: Final = 3.0
"""Updates that agree by less may do so by chance: two random directions of d coordinates have a
cosine of standard deviation `1 / sqrt(d)`."""
HARMFUL_SHARE: Final = 0.5
"""Of the base model's loss: an update that by itself raises it by more is worth nothing. In two
draws of desks alike honest ones raised it by up to 0.45 at the median desk; those trained on smiles
upside down, made as long, by 0.8 and more, until updates were shorter than 0.5."""
ARBITRAGE_POINTS: Final = 256
"""Points of the held-out quotes' surfaces at which arbitrage is counted."""
ARBITRAGE_MARGIN: Final = 0.15
"""Of these points: an update that breaks so many more than the base model does is worth nothing.
Honest ones were seen to break at most 0.02 more; one trained on bent smiles, while steps are long,
0.26 to 0.34. Source: docs/arbitrage.md."""
SHOWN_ROUNDS: Final = 3
"""How many rounds back an update may still be copied from: older ones no longer help."""
MOVES_AT_ONCE: Final = 16
"""Models that are evaluated together: a layer of them takes 4 MiB at most."""
HOPELESS: Final = 1e30
"""The loss of a model that leaves the finite numbers: updates are still told apart beside it."""

Worth = Callable[["Judge", Floats, int | None], tuple[Floats, float]]
"""The worth of each of a round's updates, of either sign, and how much of it may be chance; given
which is the desk's own, if one is. Shape: updates [n, d] -> [n]"""


def newness(
    updates: Int16Array, authors: Sequence[str], shown: Int16Array, shown_by: Sequence[str]
) -> Floats:
    """The share of each update's square that others had not shown before, in any combination.

    Others' latest updates are public and still help when they are sent again: without this a copy
    of the best earns more than work. Source: `benchmarks/incentives.py`, with `--looks-back 0`.

    Shape: updates [n, d], shown [m, d] -> [n].
    """
    everything = np.vstack([shown, updates]).astype(np.float64)
    lengths = np.linalg.norm(everything, axis=1, keepdims=True)
    everything /= np.where(lengths, lengths, 1.0)
    products = everything @ everything.T
    before, found = len(shown), np.ones(len(updates))
    by = np.array(shown_by, dtype=object)
    for number, author in enumerate(authors):
        others = np.flatnonzero(by != author)
        if others.size:
            among, along = products[np.ix_(others, others)], products[others, before + number]
            # Copies of copies are parallel: the inverse leaves out what they have in common.
            seen = along @ np.linalg.pinv(among, rcond=1e-9, hermitian=True) @ along
            found[number] = 1.0 - min(float(seen), 1.0)
    return found


def agreement(updates: Floats, own: int) -> Floats:
    """How much of what the longer of two updates does, the desk's own and another, both do.

    1 for the same update, 0 for one at a right angle to it, less for a shorter as for a longer one:
    `u.v / max(|u|, |v|)^2`. What one update does to the loss is no measure of work: once the model
    has learnt most, it is less than what days differ by, and a single step of training may do more
    than a whole round's. Where markets overlap, directions tell work from its absence every round.

    Shape: updates [n, d] -> [n].

    Source: after X. Cao, M. Fang, J. Liu, N. Gong, "FLTrust: Byzantine-robust Federated Learning
    via Trust Bootstrapping", 2021, and X. Xu and others, "Gradient Driven Rewards to Guarantee
    Fairness in Collaborative Machine Learning", 2021.
    """
    squares = np.einsum("ij,ij->i", updates, updates)
    longer = np.maximum(squares, squares[own])
    return np.asarray(updates @ updates[own] / np.where(longer, longer, 1.0))


def by_agreement(judge: "Judge", moves: Floats, own: int | None) -> tuple[Floats, float]:
    """Agreement with the desk's own update, for what does not harm its held-out quotes.

    Raises: DataError without an update of one's own.
    """
    if own is None:
        raise DataError("an update of one's own is wanted, to judge others by, found none")
    worth = agreement(moves, own)
    worth[judge.lowered(moves) < -HARMFUL_SHARE * judge.loss] = 0.0
    return worth, CHANCE_DEVIATIONS / math.sqrt(moves.shape[1])


def contribution_scores(
    base: Int32Array,
    updates: Int16Array,
    held_out: Samples,
    *,
    shift: int,
    own: int | None = None,
    newness: Floats | None = None,
    worth_of: Worth = by_agreement,
    architecture: Architecture = SMILE,
) -> bytes:
    """A byte for each update, in their order: 255 for the one worth most, 0 for what is worth none.

    `own` is the number of the desk's own update, which gets 0: nobody counts it. An update is worth
    only the share of it that `newness` says is its own; all of it where that is left out. One that
    brings clearly more static arbitrage into the base model is worth nothing, however well it fits.

    Shape: base [d], updates [n, d], newness [n].

    Raises: DataError without quotes, or if the base model gives them no finite volatilities; by
    agreement also without an update of one's own.
    """
    judge = Judge(held_out, numbers.to_float(base, shift), architecture)
    moves = numbers.to_float(updates, shift)
    worth, chance = worth_of(judge, moves, own)
    if newness is not None:
        worth = worth * newness
    worth[judge.arbitrage(moves) > ARBITRAGE_MARGIN] = 0.0
    # Invariant: what is within chance of nothing gets nothing, even where nobody does better.
    worth[worth < chance] = 0.0
    if own is not None:
        worth[own] = 0.0
    best = float(worth.max(initial=0.0))
    return np.floor(worth / (best or 1.0) * HIGHEST_SCORE).astype(np.uint8).tobytes()


class Judge:
    """The training's loss on a desk's held-out quotes, about a base model.

    Raises: DataError without quotes, or if the base model gives them no finite volatilities.
    """

    def __init__(self, held_out: Samples, base: Floats, architecture: Architecture = SMILE) -> None:
        if not len(held_out):
            raise DataError("at least one held-out quote is wanted to judge by, found none")
        count = min(len(held_out), HELD_OUT_ROWS)
        some = held_out.take(np.linspace(0, len(held_out) - 1, count).astype(np.int64))
        self._base = base
        self._module, self._spec = architecture.module(), architecture.spec
        self._seen = architecture.seen(some)
        self._target = torch.from_numpy((some.target_vol * VOL_POINTS).astype(np.float32))
        self._watch = Watch.over(architecture, held_out, (1, ARBITRAGE_POINTS), 0, "cpu")
        self.loss = float(self._losses(np.zeros((1, base.size)))[0])
        """The base model's, mean Huber loss in squared vol points."""
        if self.loss == HOPELESS:
            raise DataError("a base model of finite loss is wanted, found none on held-out quotes")

    def lowered(self, moves: Floats) -> Floats:
        """By how much each move from the base model lowers the loss. Shape: [m, d] -> [m]"""
        return self.loss - self._of_all(self._losses, moves)

    def arbitrage(self, moves: Floats) -> Floats:
        """At how much greater a share of points each move breaks a condition of no arbitrage than
        the base model does. Shape: [m, d] -> [m]"""
        return self._of_all(self._broken, moves) - self._broken(np.zeros((1, self._base.size)))

    def _of_all(self, measured: Callable[[Floats], Floats], moves: Floats) -> Floats:
        parts = range(0, len(moves), MOVES_AT_ONCE)
        return np.concatenate([measured(moves[first : first + MOVES_AT_ONCE]) for first in parts])

    def _losses(self, moves: Floats) -> Floats:
        found = self._each(moves, self._loss)
        return np.nan_to_num(found, nan=HOPELESS).clip(max=HOPELESS)

    def _broken(self, moves: Floats) -> Floats:
        return self._each(moves, self._broken_share)

    def _each(self, moves: Floats, measured: Callable[[dict[str, Tensor]], Tensor]) -> Floats:
        models = [self._spec.unflatten(self._base + move) for move in moves]
        stacked = {
            name: torch.from_numpy(np.stack([model[name] for model in models]).astype(np.float32))
            for name, _ in self._spec.parameters
        }
        with torch.inference_mode():
            found: Tensor = vmap(measured)(stacked)
        return found.numpy().astype(np.float64)

    def _loss(self, parameters: dict[str, Tensor]) -> Tensor:
        vols = VOL_POINTS * functional_call(self._module, parameters, self._seen)
        delta = TrainingSettings.huber_vol_points
        return torch.nn.functional.huber_loss(vols, self._target, delta=delta)

    def _broken_share(self, parameters: dict[str, Tensor]) -> Tensor:
        seen = tuple(part[0] for part in self._watch.seen)
        vols = functional_call(self._module, parameters, seen)
        calendar, butterfly = self._watch.conditions(vols, 0).broken()
        return (calendar | butterfly).float().mean()
