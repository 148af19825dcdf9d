"""The public reference panel: fifteen volatilities a coin that sum up a snapshot's surface.

Every desk sees the same panel; the network learns to price every strike and expiry from it. It is
read off public marks: volatility at the money and one standard deviation either side, five tenors.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from node.market.quotes import (
    CURRENCIES,
    DAYS_PER_YEAR,
    log_moneyness,
    snapshot_id,
    years_to_expiry,
)
from protocol.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

TENOR_DAYS = np.array([2.0, 7.0, 30.0, 90.0, 180.0])
"""Listed expiries bracket these. Without the two-day tenor the test error is 2.06 vol points
instead of 1.20."""
TENOR_YEARS = TENOR_DAYS / DAYS_PER_YEAR
COLUMNS = 3
"""Lower wing, at the money, upper wing: z = -1, 0, +1."""
LOWER, AT_MONEY, UPPER = 0, 1, 2
THIRTY_DAYS = 2
"""The tenor that volatility levels are compared by."""
REACH = 2.0
"""A tenor farther than this factor from every expiry is unknown; nearer, volatility is flat."""

_GAP = 1024.0
"""Groups lie farther apart on one number line than any log-moneyness or time reaches, so one sorted
search serves them all."""


@dataclass(frozen=True)
class Panel:
    """The panels of many snapshots, ordered by snapshot and coin.

    Shape: snapshot [m] (microseconds since 1970), is_btc [m], vols [m, 3, 5] (decimal; z = -1, 0,
    +1 by tenor).
    """

    snapshot: Integers
    is_btc: Booleans
    vols: Floats
    incomplete: int
    """Snapshots left out because a tenor was out of reach."""

    def rows(self, snapshot: Integers, is_btc: Booleans) -> Integers:
        """The panel row of each (snapshot, coin), -1 where there is none."""
        if self.snapshot.size == 0:
            return np.full(snapshot.shape, -1, dtype=np.int64)
        known, wanted = self.snapshot * 2 + self.is_btc, snapshot * 2 + is_btc
        found = np.minimum(np.searchsorted(known, wanted), known.size - 1)
        return np.where(known[found] == wanted, found, -1).astype(np.int64)

    def take(self, rows: Booleans | Integers) -> "Panel":
        """The panels of a mask or of rising rows."""
        return Panel(self.snapshot[rows], self.is_btc[rows], self.vols[rows], self.incomplete)


def build_panel(clean_quotes: pl.DataFrame) -> Panel:
    """Read the panels off the marks of a whole cleaned chain.

    Total variance (volatility squared times time) is interpolated linearly: in log-moneyness within
    an expiry, in time between expiries at the same z. Outside the listed expiries volatility is
    flat, up to `REACH`; an expiry whose strikes do not reach one standard deviation is skipped.

    Raises: DataError on a coin other than BTC and ETH.
    """
    panel = panel_with_holes(clean_quotes)
    complete: Booleans = np.asarray(np.isfinite(panel.vols).all(axis=(1, 2)))
    return replace(
        panel.take(complete), incomplete=panel.incomplete + int(np.count_nonzero(~complete))
    )


def panel_with_holes(clean_quotes: pl.DataFrame) -> Panel:
    """As `build_panel`, but a volatility whose tenor is out of reach is NaN, and only a snapshot
    without any is left out.

    Raises: DataError on a coin other than BTC and ETH.
    """
    check_currencies(clean_quotes)
    strikes = _strikes(clean_quotes)
    snapshot, is_btc, vols = _tenors(_expiries(strikes))
    some = np.isfinite(vols).any(axis=(1, 2))
    listed = strikes.select("snapshot", "is_btc").n_unique()
    return Panel(snapshot[some], is_btc[some], vols[some], listed - int(some.sum()))


def vols_at(panel_vols: Floats, years: Floats) -> Floats:
    """Volatility at z = -1, 0, +1 for times of one's own; flat outside two to 180 days.

    Shape: panel_vols [n, 3, 5], years [n] -> [n, 3].
    """
    variances = panel_vols**2 * TENOR_YEARS
    inside = np.clip(years, TENOR_YEARS[0], TENOR_YEARS[-1])
    right = np.clip(np.searchsorted(TENOR_YEARS, inside), 1, TENOR_YEARS.size - 1)
    share = (inside - TENOR_YEARS[right - 1]) / (TENOR_YEARS[right] - TENOR_YEARS[right - 1])
    rows = np.arange(years.size)
    near, far = variances[rows, :, right - 1], variances[rows, :, right]
    total = near + share[:, None] * (far - near)
    return np.asarray(np.sqrt(total / inside[:, None]))


def check_currencies(quotes: pl.DataFrame) -> None:
    """Refuse coins the panel and the network have no place for.

    Raises: DataError.
    """
    unknown = set(quotes["currency"].unique().to_list()) - set(CURRENCIES)
    if unknown:
        raise DataError(f"quotes of {CURRENCIES} are wanted, found {sorted(unknown)}; filter them")


def with_geometry(quotes: pl.DataFrame) -> pl.DataFrame:
    """Add snapshot (microseconds), is_btc, years (ACT/365.25) and log-moneyness k to quotes."""
    return quotes.with_columns(
        snapshot_id().alias("snapshot"),
        (pl.col("currency") == "BTC").alias("is_btc"),
        years_to_expiry().alias("years"),
        log_moneyness().alias("k"),
    )


def _strikes(clean_quotes: pl.DataFrame) -> pl.DataFrame:
    """One total variance a strike, ordered so that each expiry is one run of rising k."""
    located = with_geometry(clean_quotes).filter(pl.col("years") > 0)
    variance = (pl.col("mark_iv") ** 2 * pl.col("years")).mean().alias("variance")
    return (
        located.group_by("snapshot", "is_btc", "years", "strike_usd")
        .agg(pl.col("k").mean(), variance)
        .sort("snapshot", "is_btc", "years", "k")
    )


@dataclass(frozen=True)
class _Expiries:
    """Shape: snapshot, is_btc, years [e]; variances [e, 3]."""

    snapshot: Integers
    is_btc: Booleans
    years: Floats
    variances: Floats


def _expiries(strikes: pl.DataFrame) -> _Expiries:
    """Total variance at z = -1, 0, +1 of every expiry whose strikes reach that far."""
    snapshot, is_btc = strikes["snapshot"].to_numpy(), strikes["is_btc"].to_numpy()
    years, k = strikes["years"].to_numpy(), strikes["k"].to_numpy()
    variance = strikes["variance"].to_numpy()
    group, first = _runs(snapshot, is_btc, years)
    at_money = _interpolate(group, k, variance, np.zeros(first.size))
    sigma = np.sqrt(at_money)
    lower, upper = (_interpolate(group, k, variance, sign * sigma) for sign in (-1.0, 1.0))
    variances = np.stack([lower, at_money, upper], axis=1)
    usable = np.isfinite(variances).all(axis=1)
    at = first[usable]
    return _Expiries(snapshot[at], is_btc[at], years[at], variances[usable])


def _tenors(expiries: _Expiries) -> tuple[Integers, Booleans, Floats]:
    """Volatilities [m, 3, 5] at the panel's tenors, NaN where no expiry is near enough."""
    group, first = _runs(expiries.snapshot, expiries.is_btc)
    last = np.append(first, group.size)[1:] - 1
    shortest, longest = expiries.years[first], expiries.years[last]
    vols = np.full((first.size, COLUMNS, TENOR_YEARS.size), np.nan)
    for column, tenor in enumerate(TENOR_YEARS):
        inside = np.clip(tenor, shortest, longest)
        near = (inside <= tenor * REACH) & (inside >= tenor / REACH)
        for row in range(COLUMNS):
            variance = _interpolate(group, expiries.years, expiries.variances[:, row], inside)
            vols[:, row, column] = np.where(near, np.sqrt(variance / inside), np.nan)
    return expiries.snapshot[first], expiries.is_btc[first], vols


def _runs(*keys: npt.NDArray[np.generic]) -> tuple[Integers, Integers]:
    """The number of the run each row of sorted keys lies in, and where each run begins."""
    size = keys[0].size
    begins = np.zeros(size, dtype=bool)
    begins[:1] = True
    for key in keys:
        begins[1:] |= key[1:] != key[:-1]
    return np.cumsum(begins) - 1, np.flatnonzero(begins)


def _interpolate(group: Integers, x: Floats, y: Floats, wanted: Floats) -> Floats:
    """Linear interpolation at `wanted[g]` within each group g, NaN outside its points."""
    line = group * _GAP + x
    targets = np.arange(wanted.size) * _GAP + np.nan_to_num(wanted, nan=_GAP / 2)
    right = np.minimum(np.searchsorted(line, targets), line.size - 1)
    left = np.maximum(right - 1, 0)
    touched = line[right] == targets
    bracketed = (group[left] == group[right]) & (left != right)
    inside = (group[right] == np.arange(wanted.size)) & (line[right] >= targets)
    span = np.where(bracketed, x[right] - x[left], 1.0)
    value = y[left] + (wanted - x[left]) / span * (y[right] - y[left])
    value = np.where(touched, y[right], value)
    return np.asarray(np.where(inside & (touched | bracketed), value, np.nan))
