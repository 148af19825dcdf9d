"""What is trained on and what is held out, by time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from node.market.moments import microseconds, moment_of
from node.market.panel import AT_MONEY, THIRTY_DAYS, Booleans, Panel
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from protocol.errors import DataError


@dataclass(frozen=True)
class Split:
    """What is trained on and what is held out, by time; a stretch ends before its end."""

    train_end: datetime
    validation_end: datetime
    """Validation runs from the end of training to here."""
    stress_start: datetime
    stress_end: datetime
    """Nothing inside is trained or chosen on, wherever it lies."""
    test_start: datetime
    test_end: datetime

    def train(self, samples: Samples) -> Samples:
        """What may be learned from: everything early, except the stress window."""
        before = samples.snapshot < microseconds(self.train_end)
        return samples.take(before & ~_within(samples, self.stress_start, self.stress_end))

    def training_quotes(self, quotes: pl.DataFrame) -> pl.DataFrame:
        """The same of a quote table, which is divided before it is priced: every desk then gets a
        part of what it may learn from."""
        time = pl.col("timestamp")
        in_stress = (time >= self.stress_start) & (time < self.stress_end)
        return quotes.filter((time < self.train_end) & ~in_stress)

    def validation(self, samples: Samples) -> Samples:
        """What choices are made on."""
        after = _within(samples, self.train_end, self.validation_end)
        return samples.take(after & ~_within(samples, self.stress_start, self.stress_end))

    def stress(self, samples: Samples) -> Samples:
        """The held-out crash."""
        return samples.take(_within(samples, self.stress_start, self.stress_end))

    def test(self, samples: Samples) -> Samples:
        """The held-out later days."""
        return samples.take(_within(samples, self.test_start, self.test_end))


RECORDED_SPLIT = Split(
    train_end=datetime(2026, 5, 1, tzinfo=UTC),
    validation_end=datetime(2026, 6, 1, tzinfo=UTC),
    stress_start=datetime(2026, 1, 29, tzinfo=UTC),
    stress_end=datetime(2026, 2, 13, tzinfo=UTC),
    test_start=datetime(2026, 6, 1, tzinfo=UTC),
    test_end=datetime(2026, 7, 1, tzinfo=UTC),
)
"""Training to April without the fortnight about the crash of 2026-02-05, choices on May, test on
June."""

TRAIN_SHARE, TEST_SHARE = 0.65, 0.25
STRESS_SHARE = 0.08
"""Of the whole time span, as in `RECORDED_SPLIT`: four, one and half a month of six."""
HELD_OUT_SHARE = 0.1
"""Of a desk's days, the latest: scores ask how tomorrow would be priced."""


def split_for(panel: Panel) -> Split:
    """The recorded dates where the data covers them, else the same shares of the data's own time.

    The stress window is then laid about the largest jump of the 30-day volatility at the money.

    Raises: DataError with fewer than 20 snapshots.
    """
    times = np.unique(panel.snapshot)
    if times.size < 20:
        raise DataError(
            "at least 20 snapshots with a reference panel are wanted for a split, found"
            f" {times.size}; collect longer"
        )
    first, last = moment_of(int(times[0])), moment_of(int(times[-1]) + 1)
    recorded = RECORDED_SPLIT
    if first < recorded.stress_start and recorded.test_start + timedelta(days=7) <= last:
        return recorded
    span = last - first
    train_end = first + TRAIN_SHARE * span
    jump = _largest_jump(panel, microseconds(train_end))
    stress_start = max(jump - STRESS_SHARE / 2 * span, first)
    stress_end = min(stress_start + STRESS_SHARE * span, train_end)
    test_start = last - TEST_SHARE * span
    return Split(train_end, test_start, stress_start, stress_end, test_start, last)


def hold_out(own: Samples, share: float = HELD_OUT_SHARE) -> tuple[Samples, Samples]:
    """What a desk trains on and, for its scores, the latest whole days, which it does not.

    `own` are its quotes without the public panel's points: those everybody could fit.

    Raises: DataError if there are fewer than two days.
    """
    day = own.snapshot // MICROSECONDS_PER_DAY
    days = np.unique(day)
    if days.size < 2:
        raise DataError(
            f"quotes of at least two days are wanted, to score by the latest, found {days.size}"
        )
    first = days[-max(1, int(share * days.size))]
    early = day < first
    count = int(early.sum())
    # In order of time a slice says the same, and copies nothing.
    return own.take(slice(count) if early[:count].all() else early), own.take(~early)


def _largest_jump(panel: Panel, before: int) -> datetime:
    best, moment = -1.0, int(panel.snapshot[0])
    for coin in (False, True):
        rows = (panel.is_btc == coin) & (panel.snapshot < before)
        times = panel.snapshot[rows]
        moves = np.abs(np.diff(np.log(panel.vols[rows, AT_MONEY, THIRTY_DAYS])))
        if moves.size and moves.max() > best:
            best, moment = float(moves.max()), int(times[1:][moves.argmax()])
    return moment_of(moment)


def _within(samples: Samples, start: datetime, end: datetime) -> Booleans:
    inside = (samples.snapshot >= microseconds(start)) & (samples.snapshot < microseconds(end))
    return np.asarray(inside)
