"""What was known at a moment beside what came after: all that a forecaster learns from.

Volatilities are logarithms here: their changes are about as large in calm as in a crash, and no
forecast is negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final, Self

import numpy as np

from node.market.moments import MICROSECOND
from node.market.panel import AT_MONEY, THIRTY_DAYS, Booleans, Floats, Integers, Panel
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.state import Series
from protocol.errors import DataError

HAR_DAYS: Final = (1.0, 7.0, 30.0)
"""A day, a week and a month of a market that never closes. Source: F. Corsi, "A simple approximate
long-memory model of realized volatility", Journal of Financial Econometrics, 2009."""
DAILY_STEPS: Final = 30
"""Days that a forecaster of daily volatilities sees."""
SURFACE_LAGS: Final = (
    timedelta(days=7),
    timedelta(days=2),
    timedelta(days=1),
    timedelta(hours=12),
    timedelta(hours=6),
    timedelta(0),
)
"""How long before the origin a surface forecaster looks."""
TARGET_REACH: Final = timedelta(hours=2)
"""A snapshot this near the time asked for will do."""

_WEEK: Final = 7 * MICROSECONDS_PER_DAY


@dataclass(frozen=True)
class Pairs:
    """Origins of forecasts, in order of time, and what came after.

    Shape: origin, target (microseconds since 1970), is_btc [n]; now, later [n, d]; means [n, 3, d];
    past [n, l, f] (oldest first); calendar [n, 8]; around [n, g].
    """

    origin: Integers
    target: Integers
    is_btc: Booleans
    now: Floats
    """Log volatilities at the origin."""
    later: Floats
    """Log volatilities at the target; NaN where nobody knows yet."""
    means: Floats
    """Log volatilities averaged over `HAR_DAYS` up to the origin."""
    past: Floats
    """A sequence of numbers known at the origin; NaN where one was not."""
    calendar: Floats
    """The hours of the origin and of the time asked for, in the day and in the week: a short
    option's volatility rises as the weekend leaves its life."""
    around: Floats
    """Other numbers known at the origin; NaN where one was not."""

    def __len__(self) -> int:
        return self.origin.size

    def take(self, rows: Booleans | Integers | slice) -> Self:
        """The pairs of a mask, of an index or of a slice."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def known_by(self, moment: int) -> Self:
        """The pairs whose targets had come by a moment: what may be learned from then."""
        # Invariant: a forecaster never learns from a target after the moment it is fitted at.
        return self.take((self.target <= moment) & np.isfinite(self.later).all(axis=1))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All pairs of several coins, in order of time."""
        whole = cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            )
        )
        return whole.take(np.lexsort((whole.is_btc, whole.origin)))


def daily_pairs(
    close: Series,
    high: Series,
    low: Series,
    *,
    is_btc: bool,
    horizon_days: int = 1,
    state: Floats | None = None,
) -> Pairs:
    """Daily volatility indices (vol points) of one coin: one pair a day.

    A day's sequence holds the log of the close over the origin's, of the close over the day
    before's, and of the high over the low. `state` is whatever else was known at each close.

    Shape: state [days, f].

    Raises: DataError where the three differ in their days or there are too few.
    """
    at = close.known_at
    if not (np.array_equal(at, high.known_at) and np.array_equal(at, low.known_at)):
        raise DataError("close, high and low of the same days are wanted, found different days")
    if at.size <= DAILY_STEPS:
        raise DataError(f"more than {DAILY_STEPS} days are wanted, found {at.size}")
    log_vol = np.log(close.value / 100.0)
    change, spread = np.diff(log_vol, prepend=log_vol[0]), np.log(high.value / low.value)
    origin = np.arange(DAILY_STEPS - 1, at.size)
    window = origin[:, None] - np.arange(DAILY_STEPS)[::-1]
    past = np.stack(
        [log_vol[window] - log_vol[origin, None], change[window], spread[window]], axis=2
    )
    target = at[origin] + horizon_days * MICROSECONDS_PER_DAY
    later = close.asof(target, timedelta(0))
    now = log_vol[origin, None]
    coin = np.full(origin.size, is_btc)
    extra = np.empty((at.size, 0)) if state is None else state
    return Pairs(
        origin=at[origin],
        target=target,
        is_btc=coin,
        now=now,
        later=np.log(later / 100.0)[:, None],
        means=_means(at, log_vol[:, None])[origin],
        past=past,
        calendar=_calendar(at[origin], target),
        around=np.concatenate([now, coin[:, None], extra[origin]], axis=1),
    )


def surface_pairs(panel: Panel, horizon: timedelta, state: Floats | None = None) -> Pairs:
    """The panel's fifteen numbers of each coin and snapshot, now and `horizon` later.

    `state` is whatever else was known, such as a `MarketState`'s values. A sequence holds the
    surface's logarithms less the origin's at `SURFACE_LAGS`.

    Shape: state [m, f], one row a panel.
    """
    extra = np.empty((panel.snapshot.size, 0)) if state is None else state
    coins = [
        _coin_pairs(panel, rows, horizon, extra[rows])
        for coin in (False, True)
        if (rows := np.flatnonzero(panel.is_btc == coin)).size
    ]
    return Pairs.join(coins)


def forecast_panel(pairs: Pairs, log_vols: Floats) -> Panel:
    """Forecasts of surfaces as panels of their target times. Shape: log_vols [n, 15]"""
    vols = np.exp(log_vols).reshape(len(pairs), 3, -1)
    return Panel(pairs.target, pairs.is_btc, vols, incomplete=0)


def _coin_pairs(panel: Panel, rows: Integers, horizon: timedelta, state: Floats) -> Pairs:
    at, surface = panel.snapshot[rows], panel.vols[rows]
    log_vols = np.log(surface).reshape(rows.size, -1)
    level = np.log(surface[:, AT_MONEY, THIRTY_DAYS])[:, None]
    lags = np.array([lag // MICROSECOND for lag in SURFACE_LAGS])
    # Before the first snapshot the first stands in: no change is known.
    before = np.maximum(np.searchsorted(at, at[:, None] - lags, side="right") - 1, 0)
    past = log_vols[before] - log_vols[:, None]
    wanted = at + horizon // MICROSECOND
    nearest = _nearest(at, wanted)
    reached = np.abs(at[nearest] - wanted) <= TARGET_REACH // MICROSECOND
    later = np.where(reached[:, None], log_vols[nearest], np.nan)
    coin = panel.is_btc[rows]
    return Pairs(
        origin=at,
        target=np.where(reached, at[nearest], wanted),
        is_btc=coin,
        now=log_vols,
        later=later,
        means=_means(at, log_vols),
        past=past,
        calendar=_calendar(at, wanted),
        around=np.concatenate([level, log_vols - level, coin[:, None], state], axis=1),
    )


def _nearest(at: Integers, wanted: Integers) -> Integers:
    right = np.minimum(np.searchsorted(at, wanted), at.size - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(at[left] - wanted) < np.abs(at[right] - wanted), left, right)


def _means(at: Integers, log_vols: Floats) -> Floats:
    """Averages over the trailing windows of `HAR_DAYS`. Shape: [n], [n, d] -> [n, 3, d]"""
    total = np.concatenate([np.zeros((1, log_vols.shape[1])), np.cumsum(log_vols, axis=0)])
    last = np.arange(at.size) + 1
    averages = []
    for days in HAR_DAYS:
        first = np.searchsorted(at, at - int(days * MICROSECONDS_PER_DAY), side="right")
        averages.append((total[last] - total[first]) / (last - first)[:, None])
    return np.stack(averages, axis=1)


def _calendar(*moments: Integers) -> Floats:
    """Hours of the day and of the week as points on circles. Shape: [n] each -> [n, 4 each]"""
    angles = [
        2.0 * np.pi * (at % span) / span for at in moments for span in (MICROSECONDS_PER_DAY, _WEEK)
    ]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)
