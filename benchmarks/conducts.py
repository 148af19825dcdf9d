"""What desks send that would rather be paid than work, to be held against honest ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from benchmarks.attacks import View, fitted, free_ride, gaussian_noise, mirror, own_update
from node.market.samples import Samples
from protocol.numbers import Int16Array

MIXED: Final = 3
MIX_NOISE: Final = 0.3
"""So many of the best scored updates are mixed, with noise of this share of the mean's length."""


@dataclass(frozen=True)
class Conduct:
    """What liars send. They know the honest updates, those that were scored best before first."""

    craft: Callable[[View], Int16Array] | None
    """Shape: -> [liars, d]; without, they send nothing."""
    knows_last: bool = False
    """The updates that they know are those of the round before."""
    trains: bool = False
    steps: int | None = None
    """Of a round's training, where they are not those of the recipe."""
    taught: Callable[[Samples, Samples], Samples] = lambda own, _: own
    """What liars train on, of their samples and of the public points alone."""
    swept: bool = True
    """Run with every number of liars, not with one only."""


def mixed(view: View) -> Int16Array:
    """The mean of the best updates, hidden in noise."""
    mean = view.honest[:MIXED].astype(np.float64).mean(axis=0)
    noise = view.rng.standard_normal((view.liars, mean.size))
    noise *= MIX_NOISE * np.linalg.norm(mean) / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.stack([fitted(mean + row, view.max_squared_norm) for row in noise])


def as_long(view: View) -> Int16Array:
    """The liars' own updates, each made as long as an honest one is on average."""
    length = float(np.linalg.norm(view.honest.astype(np.float64), axis=1).mean())
    own = own_update(view).astype(np.float64)
    factors = length / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1.0)
    return np.stack([fitted(row, view.max_squared_norm) for row in own * factors])


CONDUCTS: Mapping[str, Conduct] = MappingProxyType(
    {
        "absent": Conduct(None, swept=False),
        "lazy": Conduct(own_update, trains=True, steps=1),
        "stretched": Conduct(as_long, trains=True, steps=10, swept=False),
        "outside": Conduct(own_update, trains=True, taught=lambda _, public: public, swept=False),
        "mirrored": Conduct(as_long, trains=True, taught=lambda own, _: mirror(own), swept=False),
        "nothing": Conduct(
            lambda view: free_ride(replace(view, honest=0 * view.honest[:1])), swept=False
        ),
        "noise": Conduct(gaussian_noise),
        "sign_flip": Conduct(lambda view: -own_update(view), trains=True),
        "copy_last": Conduct(free_ride, knows_last=True, swept=False),
        "mix_last": Conduct(mixed, knows_last=True),
        "copy_now": Conduct(free_ride, swept=False),
    }
)
