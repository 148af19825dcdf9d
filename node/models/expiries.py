"""The expiries that samples belong to: what a smile is fitted to, one at a time."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from node.market.panel import Booleans, Integers
from node.market.samples import Samples


@dataclass(frozen=True)
class Expiries:
    """Every expiry of some samples, ordered by snapshot, coin and time.

    Shape: keys [e, 3] (snapshot, is_btc, the bits of years), row [n] (a sample's expiry).
    """

    keys: Integers
    row: Integers

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """The expiries of these samples."""
        keys, row = np.unique(_keys(samples), axis=0, return_inverse=True)
        return cls(keys, row.reshape(-1))

    @property
    def count(self) -> Integers:
        """How many samples each has. Shape: [e]"""
        return np.bincount(self.row, minlength=len(self.keys))

    def rows(self, asked: Samples) -> Integers:
        """The expiry of samples of one's own, -1 where there is none. Shape: [n]"""
        known = {tuple(key): row for row, key in enumerate(self.keys.tolist())}
        other = Expiries.of(asked)
        found = [known.get(tuple(key), -1) for key in other.keys.tolist()]
        return np.array(found, dtype=np.int64)[other.row]

    def surfaces(self) -> tuple[Integers, Integers]:
        """The first expiry of each snapshot and coin, and the surface of each expiry.

        Shape: [m], [e]
        """
        begins = np.ones(len(self.keys), dtype=bool)
        begins[1:] = (self.keys[1:, :2] != self.keys[:-1, :2]).any(axis=1)
        return np.flatnonzero(begins), np.cumsum(begins) - 1


def side_by_side(group: Integers, groups: Integers) -> tuple[Integers, Booleans]:
    """The samples of several groups as rows of one table, and where the table is filled.

    Shape: group [n] (a sample's group), groups [g] (those wanted) -> [g, most], [g, most]
    """
    order = np.argsort(group, kind="stable")
    count = np.bincount(group)
    first = (np.cumsum(count) - count)[groups, None]
    column = np.arange(count[groups].max(initial=1))
    filled = column < count[groups, None]
    return order[np.where(filled, first + column, first)], filled


def visible_half(samples: Samples, seed: int) -> Booleans:
    """Which samples stay visible when a random half of every expiry's is hidden. Shape: [n]"""
    row = Expiries.of(samples).row
    shuffled = np.lexsort((np.random.default_rng(seed).permutation(row.size), row))
    count = np.bincount(row)
    place = np.empty(row.size, dtype=np.int64)
    place[shuffled] = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    return np.asarray(place % 2 == 0)


def _keys(samples: Samples) -> Integers:
    coin = samples.is_btc.astype(np.int64)
    return np.stack([samples.snapshot, coin, samples.years.view(np.int64)], axis=1)
