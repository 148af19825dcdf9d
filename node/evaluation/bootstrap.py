"""How far a number could be off by chance: a window's days are drawn again.

Quotes of one snapshot move together, and so do snapshots of one day; therefore days are drawn, with
replacement, and not quotes.

A statistic is kept as its value on the window followed by its values on the redrawn windows,
[1 + draws]. The best of several, a mean or a ratio of such arrays is then plain arithmetic, and
compares its parts on the same days.

Source: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from node.market.panel import Floats, Integers
from node.market.quotes import MICROSECONDS_PER_DAY
from protocol.errors import DataError

DRAWS: Final = 1000
INTERVAL: Final = (2.5, 97.5)
"""Percentiles of the redrawn values."""
_BINS: Final = 1000
"""Of a redrawn percentile, up to the window's largest value."""


@dataclass(frozen=True)
class Estimate:
    """A number beside what chance may have done to it."""

    mean: float
    """Over the seeds, on the window as it was."""
    ci95: tuple[float, float]
    """The mean over the seeds lies between on 95 of 100 redrawn windows."""
    seeds: tuple[float, ...]
    """The number for each seed: what the training's own chance does."""

    @classmethod
    def of(cls, statistics: Sequence[Floats]) -> "Estimate":
        """From one statistic a seed, each [1 + draws]."""
        stacked = np.stack(statistics)
        over_seeds = stacked.mean(axis=0)
        # A redrawn window may lack what is asked about, such as a rare cell; it then says nothing.
        said = over_seeds[1:][np.isfinite(over_seeds[1:])]
        low, high = np.percentile(said, INTERVAL) if said.size else (np.nan, np.nan)
        return cls(float(over_seeds[0]), (float(low), float(high)), tuple(stacked[:, 0].tolist()))


class Days:
    """The days of a window (UTC), and how often each is drawn."""

    def __init__(self, snapshot: Integers, *, draws: int = DRAWS, seed: int = 0) -> None:
        """Shape: snapshot [n], microseconds since 1970. Raises: DataError with less than two days.

        The same days are always drawn alike, so that what is measured apart can be compared.
        """
        self._days = np.unique(snapshot // MICROSECONDS_PER_DAY)
        count = self._days.size
        if count < 2:
            raise DataError(
                f"quotes of at least two days are wanted for an interval, found {count} days"
            )
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)
        self._weights = np.concatenate([np.ones((1, count)), drawn])

    def __len__(self) -> int:
        return self._days.size

    def sums(self, snapshot: Integers, values: Floats) -> Floats:
        """Sums of rows over the window and over every redrawn one.

        Shape: snapshot [n], values [n, k] -> [1 + draws, k].
        """
        day = self._day_of(snapshot)
        columns = [np.bincount(day, column, self._days.size) for column in values.T]
        return np.asarray(self._weights @ np.stack(columns, axis=1))

    def sums_by(self, snapshot: Integers, group: Integers, groups: int, values: Floats) -> Floats:
        """Sums of one column in each of several groups of rows.

        Shape: snapshot, group, values [n] -> [1 + draws, groups].
        """
        place = self._day_of(snapshot) * groups + group
        by_day = np.bincount(place, values, self._days.size * groups)
        return np.asarray(self._weights @ by_day.reshape(self._days.size, groups))

    def percentile(self, snapshot: Integers, values: Floats, percent: float) -> Floats:
        """A percentile of values above zero, on redrawn windows to a thousandth of the range.

        Shape: snapshot, values [n] -> [1 + draws].
        """
        width = max(float(values.max()), np.finfo(np.float64).tiny) / _BINS
        place = np.minimum((values / width).astype(np.int64), _BINS - 1)
        below = np.cumsum(self.sums_by(snapshot, place, _BINS, np.ones(values.size)), axis=1)
        wanted = percent / 100.0 * below[:, -1]
        found = (below < wanted[:, None]).sum(axis=1)
        rows = np.arange(found.size)
        before = np.where(found > 0, below[rows, found - 1], 0.0)
        share = (wanted - before) / np.maximum(below[rows, found] - before, 1.0)
        redrawn = (found + share) * width
        redrawn[0] = np.percentile(values, percent)
        return np.asarray(redrawn)

    def _day_of(self, snapshot: Integers) -> Integers:
        return np.searchsorted(self._days, snapshot // MICROSECONDS_PER_DAY)
