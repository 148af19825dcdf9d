"""A desk's book on days that it has not seen: held-out quotes, mixed as the desk's own are.

Each held-out quote counts as often as the desk has quotes of its kind, so an error over the book is
the error on what the desk trades, however quotes were divided among desks.
"""

from typing import Final

import numpy as np

from node.market.panel import Floats, Integers
from node.market.samples import Samples

TENOR_EDGES_DAYS: Final = np.array([2.0, 4.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0])
MONEYNESS_EDGES: Final = np.arange(-4.0, 4.01, 0.25)
"""In standard deviations. Kinds this fine follow the edges of any desk closely, and still hold
about a hundred quotes of a month."""
BOOK_ROWS: Final = 20_000
"""Of a book as samples: about what a desk of five trades in a month."""

_TENORS: Final = TENOR_EDGES_DAYS.size + 1
_STRIKES: Final = MONEYNESS_EDGES.size + 1
_KINDS: Final = 2 * _TENORS * _STRIKES


def book_weights(own: Samples, held_out: Samples) -> Floats:
    """The share of a desk's own quotes that each held-out quote stands for.

    Own quotes of a kind that the held-out days lack are left out; the rest sums to one.

    Shape: -> [n], all zero where nothing is in common.
    """
    kinds = _kind(held_out)
    wanted = np.bincount(_kind(own), minlength=_KINDS)
    there = np.bincount(kinds, minlength=_KINDS)
    weights = (wanted / np.maximum(there, 1))[kinds]
    return np.asarray(weights / max(float(weights.sum()), np.finfo(np.float64).tiny))


def book(own: Samples, held_out: Samples, rows: int = BOOK_ROWS) -> Samples:
    """Held-out quotes as a desk trades them, some more than once; all where it trades none of them.

    Evenly spaced through the weights: every kind has its share to within one row.
    """
    reached = np.cumsum(book_weights(own, held_out))
    if not reached[-1]:
        return held_out
    places = (np.arange(rows) + 0.5) / rows * reached[-1]
    return held_out.take(np.searchsorted(reached, places))


def _kind(samples: Samples) -> Integers:
    tenor = np.searchsorted(TENOR_EDGES_DAYS, samples.tenor_days)
    strike = np.searchsorted(MONEYNESS_EDGES, samples.z)
    return np.asarray((samples.is_btc * _TENORS + tenor) * _STRIKES + strike, dtype=np.int64)
