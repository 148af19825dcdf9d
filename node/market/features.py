"""Quotes as the network sees them: eleven numbers beside the volatility it has to explain.

The normalisation is fixed and published with the model: a scaler fitted on pooled data would leak
the pool, one fitted by each desk would differ from desk to desk.
"""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from node.market.panel import TENOR_YEARS, Booleans, Floats, Integers, Panel, vols_at, with_geometry
from node.market.quotes import DAYS_PER_YEAR
from protocol.errors import DataError

NORMALISATION: tuple[tuple[str, float, float], ...] = (
    ("z", 0.0, 1.0),
    ("sqrt_years", 0.4, 0.3),
    ("log_years", -2.5, 1.5),
    ("is_btc", 0.5, 0.5),
    ("log_atm_30d", -0.6, 0.3),
    ("log_atm_2d_over_30d", 0.0, 0.2),
    ("log_atm_7d_over_30d", 0.0, 0.1),
    ("log_atm_90d_over_30d", 0.0, 0.1),
    ("log_atm_180d_over_30d", 0.0, 0.1),
    ("log_lower_wing_over_atm", 0.1, 0.05),
    ("log_upper_wing_over_atm", 0.0, 0.05),
)
"""Input, centre, scale. Source: round figures near the mean and the spread that Deribit's public
marks had from January to April 2026."""
INPUTS = len(NORMALISATION)

_CENTRE = np.array([centre for _, centre, _ in NORMALISATION])
_SCALE = np.array([scale for _, _, scale in NORMALISATION])
ANCHOR_Z = np.array([-1.0, 0.0, 1.0])
"""Where the panel quotes, in standard deviations."""

_LOWER, _AT_MONEY, _UPPER = 0, 1, 2
_THIRTY_DAYS = 2
_OTHER_TENORS = [0, 1, 3, 4]


@dataclass(frozen=True)
class Samples:
    """Quotes ready for a model; every array has one row a quote, volatilities are decimal.

    Shape: x [n, 11], panel_vols [n, 3] (z = -1, 0, +1 at the quote's expiry), all others [n].
    """

    x: npt.NDArray[np.float32]
    atm_vol: Floats
    panel_vols: Floats
    atm_30d_vol: Floats
    target_vol: Floats
    """From the exchange's mark."""
    mid_vol: Floats
    bid_vol: Floats
    ask_vol: Floats
    forward: Floats
    strike: Floats
    years: Floats
    z: Floats
    """Log-moneyness in standard deviations: k / (ATM vol x sqrt(years))."""
    is_btc: Booleans
    snapshot: Integers
    """Microseconds since 1970."""

    def __len__(self) -> int:
        return self.z.size

    @property
    def tenor_days(self) -> Floats:
        return self.years * DAYS_PER_YEAR

    @classmethod
    def join(cls, *parts: Self) -> Self:
        """All rows of several samples, one after another."""
        names = [field.name for field in fields(cls)]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        )

    def take(self, rows: Booleans | Integers) -> Self:
        """The rows of a mask or of an index."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def build_samples(clean_quotes: pl.DataFrame, panel: Panel) -> Samples:
    """Join cleaned quotes with the panel of their snapshot; quotes without a panel are left out.

    Raises: DataError if nothing is left.
    """
    located = with_geometry(clean_quotes)
    row = panel.rows(located["snapshot"].to_numpy(), located["is_btc"].to_numpy())
    kept = (row >= 0) & (located["years"].to_numpy() > 0)
    if not kept.any():
        raise DataError(
            f"quotes of snapshots with a reference panel are wanted, found {located.height} quotes"
            f" and {panel.snapshot.size} panels without a snapshot in common; build the panel from"
            " the whole chain of the same days"
        )
    located, panel_vols = located.filter(pl.Series(kept)), panel.vols[row[kept]]
    years, is_btc = located["years"].to_numpy(), located["is_btc"].to_numpy()
    at_expiry = vols_at(panel_vols, years)
    z = located["k"].to_numpy() / (at_expiry[:, _AT_MONEY] * np.sqrt(years))
    return Samples(
        x=inputs(z, years, is_btc, panel_vols, at_expiry),
        atm_vol=at_expiry[:, _AT_MONEY],
        panel_vols=at_expiry,
        atm_30d_vol=panel_vols[:, _AT_MONEY, _THIRTY_DAYS],
        target_vol=located["mark_iv"].to_numpy(),
        mid_vol=located["mid_iv"].to_numpy(),
        bid_vol=located["bid_iv"].to_numpy(),
        ask_vol=located["ask_iv"].to_numpy(),
        forward=located["forward_usd"].to_numpy(),
        strike=located["strike_usd"].to_numpy(),
        years=years,
        z=z,
        is_btc=is_btc,
        snapshot=located["snapshot"].to_numpy(),
    )


def anchor_samples(panel: Panel) -> Samples:
    """The panel's own fifteen points a snapshot and coin, as samples whose answer everybody knows.

    Mixed into every desk's own quotes they hold in place what a desk has never seen while it trains
    on what it has, at no cost in privacy. Five disjoint desks together err by 1.23 instead of 1.38
    vol points, one alone by 1.89 instead of 4.22. Source: `benchmarks/federated_recipe.py`, with
    and without `--unanchored`.
    """
    count, points = panel.snapshot.size, ANCHOR_Z.size * TENOR_YEARS.size
    years = np.tile(np.repeat(TENOR_YEARS, ANCHOR_Z.size), count)
    z = np.tile(ANCHOR_Z, TENOR_YEARS.size * count)
    panel_vols, is_btc = np.repeat(panel.vols, points, axis=0), np.repeat(panel.is_btc, points)
    at_expiry = vols_at(panel_vols, years)
    vols = panel.vols.transpose(0, 2, 1).ravel()
    forward = np.ones(years.size)
    return Samples(
        x=inputs(z, years, is_btc, panel_vols, at_expiry),
        atm_vol=at_expiry[:, _AT_MONEY],
        panel_vols=at_expiry,
        atm_30d_vol=panel_vols[:, _AT_MONEY, _THIRTY_DAYS],
        target_vol=vols,
        mid_vol=vols,
        bid_vol=vols,
        ask_vol=vols,
        forward=forward,
        strike=forward * np.exp(z * at_expiry[:, _AT_MONEY] * np.sqrt(years)),
        years=years,
        z=z,
        is_btc=is_btc,
        snapshot=np.repeat(panel.snapshot, points),
    )


def inputs(
    z: Floats, years: Floats, is_btc: Booleans, panel_vols: Floats, at_expiry: Floats
) -> npt.NDArray[np.float32]:
    """The network's inputs, in the order of `NORMALISATION`.

    Shape: z, years, is_btc [n], panel_vols [n, 3, 5], at_expiry [n, 3] -> [n, 11].
    """
    atm = panel_vols[:, _AT_MONEY]
    atm_30d = atm[:, _THIRTY_DAYS, None]
    wings = at_expiry[:, [_LOWER, _UPPER]] / at_expiry[:, [_AT_MONEY]]
    alone = np.stack([z, np.sqrt(years), np.log(years), is_btc.astype(np.float64)], axis=1)
    raw = np.hstack(
        [alone, np.log(atm_30d), np.log(atm[:, _OTHER_TENORS] / atm_30d), np.log(wings)]
    )
    return np.asarray((raw - _CENTRE) / _SCALE, dtype=np.float32)


@dataclass(frozen=True)
class Split:
    """What is trained on and what is held out, by time; a stretch ends before its end."""

    train_end: datetime
    """Validation runs from here to the test."""
    stress_start: datetime
    stress_end: datetime
    test_start: datetime
    test_end: datetime

    def train(self, samples: Samples) -> Samples:
        """What may be learned from: everything early, except the stress window."""
        before = samples.snapshot < _microseconds(self.train_end)
        return samples.take(before & ~_within(samples, self.stress_start, self.stress_end))

    def validation(self, samples: Samples) -> Samples:
        """What choices are made on."""
        return samples.take(_within(samples, self.train_end, self.test_start))

    def stress(self, samples: Samples) -> Samples:
        """The held-out crash."""
        return samples.take(_within(samples, self.stress_start, self.stress_end))

    def test(self, samples: Samples) -> Samples:
        """The held-out later days."""
        return samples.take(_within(samples, self.test_start, self.test_end))


RECORDED_SPLIT = Split(
    train_end=datetime(2026, 5, 1, tzinfo=UTC),
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
    first, last = _moment(int(times[0])), _moment(int(times[-1]) + 1)
    recorded = RECORDED_SPLIT
    if first < recorded.stress_start and recorded.test_start + timedelta(days=7) <= last:
        return recorded
    span = last - first
    train_end = first + TRAIN_SHARE * span
    jump = _largest_jump(panel, _microseconds(train_end))
    stress_start = max(jump - STRESS_SHARE / 2 * span, first)
    stress_end = min(stress_start + STRESS_SHARE * span, train_end)
    return Split(train_end, stress_start, stress_end, last - TEST_SHARE * span, last)


def _largest_jump(panel: Panel, before: int) -> datetime:
    best, moment = -1.0, int(panel.snapshot[0])
    for coin in (False, True):
        rows = (panel.is_btc == coin) & (panel.snapshot < before)
        times = panel.snapshot[rows]
        moves = np.abs(np.diff(np.log(panel.vols[rows, _AT_MONEY, _THIRTY_DAYS])))
        if moves.size and moves.max() > best:
            best, moment = float(moves.max()), int(times[1:][moves.argmax()])
    return _moment(moment)


def _within(samples: Samples, start: datetime, end: datetime) -> Booleans:
    inside = (samples.snapshot >= _microseconds(start)) & (samples.snapshot < _microseconds(end))
    return np.asarray(inside)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
