"""Desks that deal one made-up fortnight out among themselves, priced on all of it."""

import numpy as np

from benchmarks.field import Field
from tests.unit.node import small_market


def dealt(desks: int, *, anchor_every: int) -> Field:
    """Each desk has as much of everything; every so many-th quote is an anchor too."""
    everything = small_market.samples()
    rows = np.arange(len(everything))
    return Field(
        desks=tuple(everything.take(rows % desks == desk) for desk in range(desks)),
        anchors=everything.take(rows % anchor_every == 0),
        pooled=everything,
        validation=everything,
        held_out={"test": everything, "stress": everything},
    )
