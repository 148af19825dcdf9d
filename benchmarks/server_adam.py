"""A server's Adam over the aggregates of a rule, in integers: all of its state is public.

With m and v the means of the aggregates and of their squares, forgotten at the rates `first` and
`second`, the model moves by step_size m / (sqrt(v) + floor), coordinate by coordinate. Whoever has
all updates finds the same bits, but the contract does not: it checks that the published aggregate
is the rule's, and here the model moves by something else. So this is a method off chain.

Source: S. J. Reddi and others, "Adaptive Federated Optimization", 2021 (FedAdam, algorithm 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from node.learning.federation import Combine
from node.models.architecture import DEFAULT_SHIFT
from protocol.numbers import Int16Array

Int64Array = npt.NDArray[np.int64]

UNIT: Final = 1 << DEFAULT_SHIFT
GUARD: Final = 16
"""Bits of the means behind a unit's point."""
INT16: Final = np.iinfo(np.int16)


@dataclass(frozen=True)
class ServerAdam:
    """Settings; lengths as a model's parameters have them.

    Source: the paper for `floor` and `second`; May for the others, docs/learning.md, "Methods side
    by side". The paper's `first` of 9/10 takes longer than a task's 15 rounds.
    """

    step_size: float = 0.01
    floor: float = 1e-3
    """Added to the root: where aggregates are smaller, coordinates move in proportion to them."""
    first: Fraction = Fraction(1, 2)
    second: Fraction = Fraction(99, 100)

    def over(self, combine: Combine) -> Combine:
        """The rounds of one task: what the model moves by, instead of each round's aggregate."""
        floor = round(self.floor * UNIT)
        mean = np.zeros(1, dtype=np.int64)
        square = np.array([floor**2 << GUARD], dtype=np.int64)

        def moved(updates: Int16Array, present: Sequence[int]) -> Int16Array:
            nonlocal mean, square
            found = combine(updates, present).astype(np.int64)
            mean = _mixed(mean, found << GUARD, self.first)
            square = _mixed(square, found**2 << GUARD, self.second)
            below = exact_root(square << GUARD) + (floor << GUARD)
            move = round(self.step_size * UNIT) * mean // below
            return np.clip(move, INT16.min, INT16.max).astype(np.int16)

        return moved


def exact_root(squares: Int64Array) -> Int64Array:
    """The largest integers whose squares are not above these, which are below 2^62."""
    root = np.sqrt(squares.astype(np.float64)).astype(np.int64)
    root -= root * root > squares
    root += (root + 1) * (root + 1) <= squares
    return root


def _mixed(old: Int64Array, new: Int64Array, kept: Fraction) -> Int64Array:
    whole = kept.denominator
    return (kept.numerator * old + (whole - kept.numerator) * new) // whole
