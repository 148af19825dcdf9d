"""Federated training without a chain, with the integers of one.

Updates are quantised, residuals carried and combined by a task's rule as the contract checks it, so
the model is the one that the same desks would find in a task.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from node.learning.look_ahead import starting_point
from node.learning.training import LocalTraining, TrainingSettings
from node.learning.update import FULL, Precision, make_update
from node.learning.validation import best_on
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import DEFAULT_MAX_NORM, DEFAULT_SHIFT, Architecture
from node.models.smile import SMILE
from protocol import numbers
from protocol.numbers import Int16Array, Int32Array
from protocol.rules import aggregate
from protocol.task import PreSteps, Rule

CLIP_NORM: Final = 1 << DEFAULT_SHIFT
"""Of a clipped mean, in units. Honest updates of a short recipe fall from 2 to 0.15; in the middle
rounds they measure about 1."""

Combine = Callable[[Int16Array, Sequence[int]], Int16Array]
"""A round's updates and the numbers of the desks they come from. Shape: [n, d] -> [d]"""


@dataclass(frozen=True)
class Recall:
    """What a desk makes of its own earlier updates; they are public, so it need not keep them."""

    control: float = 0.0
    """The share of the last round's difference between all desks' move and its own that is spread
    over the steps of this one: SCAFFOLD's control variates, read off the last aggregate.

    Source: S. Karimireddy and others, "SCAFFOLD: Stochastic Controlled Averaging for Federated
    Learning", 2020."""
    momentum: float = 0.0
    """The share of its last update in this one.

    Source: S. Karimireddy, L. He, M. Jaggi, "Learning from History for Byzantine Robust
    Optimization", 2021 (worker momentum)."""


class Desk:
    """One participant's training from round to round."""

    def __init__(
        self,
        samples: Samples,
        settings: TrainingSettings,
        number: int,
        seed: int,
        *,
        architecture: Architecture = SMILE,
        precision: Precision = FULL,
        recall: Recall | None = None,
        device: str = "cpu",
    ) -> None:
        self.training = LocalTraining(samples, settings, architecture, device)
        self.number, self.seed, self.precision = number, seed, precision
        self._recall = recall or Recall()
        nothing = np.zeros(architecture.spec.dimension)
        self._residual, self._sent = nothing, nothing
        self._ahead, self._own_move = nothing, nothing

    def update(
        self, model: Int32Array, round_number: int, before: Int32Array | None = None
    ) -> Int16Array:
        """What this desk reveals in a round, if the last one made `model` of `before`.

        Shape: [d], [d] -> [d]
        """
        base = numbers.to_float(model, DEFAULT_SHIFT)
        last = base if before is None else numbers.to_float(before, DEFAULT_SHIFT)
        start = starting_point(base, last, self.training.settings, round_number)
        drift = self._drift(base - last)
        entropy = np.random.SeedSequence([self.seed, self.number, round_number])
        local = self.training.train(
            start,
            seed=int(entropy.generate_state(1)[0]),
            round_number=round_number,
            drift=drift,
        ).vector
        self._ahead, self._own_move = start - base, local - start - (0 if drift is None else drift)
        if self._sent.any():
            local += self._recall.momentum * (base + self._sent - local)
        made = make_update(
            local,
            model,
            self._residual,
            shift=DEFAULT_SHIFT,
            max_norm=DEFAULT_MAX_NORM,
            precision=self.precision,
        )
        self._residual, self._sent = made.residual, local - base
        return made.values

    def _drift(self, aggregate: Floats) -> Floats | None:
        """What draws this round's training to where all went in the last one."""
        if not self._recall.control or not self._own_move.any():
            return None
        return self._recall.control * (aggregate - self._ahead - self._own_move)


@dataclass(frozen=True)
class Round:
    """What one round showed. Shape: updates [n, d], model [d]"""

    number: int
    updates: Int16Array
    model: Int32Array


def rounds(
    desks: Sequence[Samples],
    settings: TrainingSettings,
    combine: Combine,
    *,
    seed: int = 0,
    architecture: Architecture = SMILE,
    precision: Precision = FULL,
    recall: Recall | None = None,
    share: float = 1.0,
    device: str = "cpu",
) -> Iterator[Round]:
    """Every round of desks that train on all of their samples, from the genesis of `seed`.

    A `share` of them, at least one, is drawn for each round.

    Raises: DataError as `LocalTraining.train`; RuleError as `combine`.
    """
    members = [
        Desk(
            samples,
            settings,
            number,
            seed,
            architecture=architecture,
            precision=precision,
            recall=recall,
            device=device,
        )
        for number, samples in enumerate(desks)
    ]
    model = before = architecture.genesis(seed, DEFAULT_SHIFT)
    draw = np.random.default_rng(seed)
    drawn = max(1, round(share * len(members)))
    for number in range(1, settings.rounds + 1):
        present = sorted(draw.permutation(len(members))[:drawn].tolist())
        updates = np.stack([members[desk].update(model, number, before) for desk in present])
        before, model = model, numbers.add_update(model, combine(updates, present))
        yield Round(number, updates, model)


def federate(
    desks: Sequence[Samples],
    settings: TrainingSettings,
    *,
    architecture: Architecture = SMILE,
    rule: Rule = Rule.TRIMMED_MEAN,
    tolerance: int = 1,
    pre_steps: PreSteps = PreSteps.NONE,
    seed: int = 0,
    precision: Precision = FULL,
    device: str = "cpu",
    validation: Samples | None = None,
    on_round: Callable[[int, Floats], None] | None = None,
    on_updates: Callable[[Int16Array], None] | None = None,
) -> Floats:
    """The model after the last of the desks' `rounds` by a task's rule.

    Or after the round that is best on `validation`: who uses the network sees every version's error
    on such days.

    `on_round` is told each round's number and its new model, `on_updates` what each round's model
    is made of. Shape: -> [d]

    Raises: DataError as `rounds`; RuleError if the rule cannot tolerate so many liars.
    """
    combine = chosen_rule(rule, tolerance, pre_steps)

    def versions() -> Iterator[Floats]:
        for done in rounds(
            desks,
            settings,
            combine,
            seed=seed,
            architecture=architecture,
            precision=precision,
            device=device,
        ):
            model = numbers.to_float(done.model, DEFAULT_SHIFT)
            if on_updates is not None:
                on_updates(done.updates)
            if on_round is not None:
                on_round(done.number, model)
            yield model

    if validation is not None:
        return best_on(validation, versions(), architecture)
    *_, last = versions()
    return last


def chosen_rule(rule: Rule, tolerance: int, pre_steps: PreSteps = PreSteps.NONE) -> Combine:
    """A task's rule, to which all desks are equal."""
    combined = partial(
        aggregate, rule, tolerance=tolerance, clip_norm=CLIP_NORM, pre_steps=pre_steps
    )
    return lambda updates, _present: combined(updates)
