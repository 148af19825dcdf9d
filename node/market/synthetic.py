"""A seeded option market to train on where no recorded data is at hand, with a crash inside.

Per coin, hourly, shocks correlated between the coins, B(T) time on a clock slower at weekends:

    spot      dS/S = sqrt(v) dW + jumps,  v = vol^2 exp(x + y)
    state     x (fast), y (slow): log variance, mean-reverting, negatively correlated with dW
    forward   F(T) = S exp(r T), r mean-reverting
    ATM       theta(T) = vol^2 int_0^B(T) exp(x e^(-a u) + y e^(-b u)) du, increasing in T
    smile     w(k) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),
              phi = eta / sqrt(theta (1 + theta)); skew rho and curvature eta are states too

theta increases and eta^2 (1 + |rho|) <= 4, so no snapshot's surface admits static arbitrage before
noise and ticks. Levels, skew, spreads and the crash are sized after Deribit's chains of 2026.

Source: J. Gatheral and A. Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance,
2014 (the smile and its conditions); L. Bergomi, "Smile dynamics II", Risk, 2005 (the state).
"""

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import lfilter

from node.market.black76 import delta, price_coin, vega
from node.market.quotes import CURRENCIES, DAYS_PER_YEAR, QUOTES, check_quotes
from protocol.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DEFAULT_START: Final = datetime(2026, 1, 5, tzinfo=UTC)
_FIRST_HOUR: Final = 3.5
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND

# One value a coin, BTC then ETH.
_SPOT_USD: Final = np.array([80_000.0, 2_600.0])
_VOL: Final = np.array([0.44, 0.62])
_SKEW: Final = np.array([-0.27, -0.16])
_CURVATURE: Final = np.array([0.85, 0.80])
_SPREAD: Final = np.array([1.0, 1.3])
_CRASH_RETURN: Final = np.array([-0.14, -0.15])

_COIN_CORRELATION: Final = 0.85
_LEVERAGE: Final = -0.45
_FAST_HALF_LIFE_DAYS: Final = 8.0
_SLOW_HALF_LIFE_DAYS: Final = 90.0
_JUMPS_PER_YEAR: Final = 10.0
_CRASH_HOURS: Final = 12.0
_CRASH_FAST: Final = 1.9
_CRASH_SLOW: Final = 0.25
_WEEKDAY_CLOCK: Final = 1.12
_WEEKEND_CLOCK: Final = 0.7
_STRIKE_DAYS: Final = np.array([3.0, 35.0, 95.0])
"""Days to expiry at which the strike steps below widen."""
_STRIKE_STEP_USD: Final = np.array([[1000.0, 2000.0, 2500.0, 5000.0], [25.0, 100.0, 100.0, 200.0]])
_TICK_COIN: Final = (0.0001, 0.0005)
_TICK_CHANGES_AT_COIN: Final = 0.005
"""Source: Deribit, "Deribit on screen options tick size reduction", 6 July 2023."""


@dataclass(frozen=True)
class _State:
    """What drives the quotes; each [snapshots, coins]."""

    spot_usd: Floats
    fast: Floats
    slow: Floats
    skew: Floats
    curvature: Floats
    rate_per_year: Floats


@dataclass(frozen=True)
class _Listing:
    """One entry a listed strike: which snapshot and coin, and for how long."""

    snapshot: Ints
    coin: Ints
    expiry: Ints
    strike_usd: Floats
    forward_usd: Floats
    years: Floats
    total_variance: Floats


def market(
    seed: int, *, days: int = 60, snapshots_per_day: int = 2, start: datetime = DEFAULT_START
) -> pl.DataFrame:
    """The quote table of both coins' whole chains, about 2,000 rows a snapshot.

    The same arguments give the same quotes. One crash lies inside `stress_window(days, start)`.
    """
    if days < 1 or not 1 <= snapshots_per_day <= 24 or start.tzinfo is None:
        raise ConfigError(
            "market: wanted 1 or more days, 1 to 24 snapshots a day and a start with a time zone, "
            f"found {days}, {snapshots_per_day} and {start.isoformat()}"
        )
    rng = np.random.default_rng(seed)
    origin = round(start.timestamp()) * _SECOND
    hours = _FIRST_HOUR + np.arange(days * snapshots_per_day) * (24.0 / snapshots_per_day)
    instants = origin + np.rint(hours * 3600).astype(np.int64) * _SECOND
    state = _simulated(rng, days, snapshots_per_day)
    listing = _listed(instants, state)
    return check_quotes(_quoted(rng, instants, state, listing))


def stress_window(days: int, start: datetime = DEFAULT_START) -> tuple[datetime, datetime]:
    """The half-open span of whole days, near the middle, that holds the crash and what follows."""
    first = int(0.45 * days)
    return start + timedelta(days=first), start + timedelta(days=first + max(1, round(0.08 * days)))


def _simulated(rng: np.random.Generator, days: int, snapshots_per_day: int) -> _State:
    per_snapshot = max(1, round(24 / snapshots_per_day))
    steps = days * snapshots_per_day * per_snapshot
    step_days = days / steps
    spot_shock, fast_shock, slow_shock, skew_shock, curve_shock, rate_shock = _shocks(rng, steps)
    crash = _crash(rng, days, steps)
    jump = _jumps(rng, steps, step_days)
    reaction = np.sqrt(1.0 - _LEVERAGE**2)
    fast_shock = _LEVERAGE * spot_shock + reaction * fast_shock

    fast = _reverting(fast_shock, 0.45, _FAST_HALF_LIFE_DAYS, step_days)
    fast += _decaying(_CRASH_FAST * crash - 4.0 * jump, _FAST_HALF_LIFE_DAYS, step_days)
    slow = _reverting(slow_shock, 0.25, _SLOW_HALF_LIFE_DAYS, step_days)
    slow += _decaying(_CRASH_SLOW * crash, _SLOW_HALF_LIFE_DAYS, step_days)
    skew = _SKEW + _reverting(skew_shock, 0.12, 6.0, step_days)
    skew -= _decaying(0.20 * crash, 6.0, step_days)
    curvature = _CURVATURE * np.exp(_reverting(curve_shock, 0.12, 10.0, step_days))
    rate = 0.045 + _reverting(rate_shock, 0.015, 30.0, step_days)

    variance = _VOL**2 * np.exp(fast + slow) * (step_days / DAYS_PER_YEAR)
    returns = np.sqrt(variance) * spot_shock - 0.5 * variance + jump + _CRASH_RETURN * crash
    spot = _SPOT_USD * np.exp(np.cumsum(returns, axis=0))
    at = slice(None, None, per_snapshot)
    return _State(
        spot[at],
        fast[at],
        slow[at],
        np.clip(skew, -0.7, 0.5)[at],
        # Invariant: eta^2 (1 + |rho|) <= 4 keeps every smile free of butterfly arbitrage.
        np.clip(curvature, 0.4, 1.5)[at],
        rate[at],
    )


def _shocks(rng: np.random.Generator, steps: int) -> Floats:
    """Standard normals [6 states, steps, coins], correlated between the coins."""
    common = rng.standard_normal((6, steps, 1))
    own = rng.standard_normal((6, steps, len(CURRENCIES)))
    mixed = np.sqrt(_COIN_CORRELATION) * common + np.sqrt(1.0 - _COIN_CORRELATION) * own
    return np.asarray(mixed)


def _crash(rng: np.random.Generator, days: int, steps: int) -> Floats:
    """The share of the crash that falls in each step [steps, 1]: in the window's first half."""
    first, last = stress_window(days)
    begins = (first - DEFAULT_START).days + rng.uniform(0.0, 0.5) * (last - first).days
    elapsed = (np.arange(steps + 1) * (days / steps) - begins) * (24.0 / _CRASH_HOURS)
    return np.asarray(np.diff(np.clip(elapsed, 0.0, 1.0))[:, None])


def _jumps(rng: np.random.Generator, steps: int, step_days: float) -> Floats:
    """Log returns common to both coins [steps, 1], mostly zero and more often down."""
    count = rng.poisson(_JUMPS_PER_YEAR * step_days / DAYS_PER_YEAR, (steps, 1))
    return np.asarray(count * rng.normal(-0.02, 0.025, (steps, 1)))


def _reverting(shocks: Floats, deviation: float, half_life_days: float, step_days: float) -> Floats:
    """A stationary Ornstein-Uhlenbeck path with this standard deviation, sampled exactly."""
    decay = 0.5 ** (step_days / half_life_days)
    scaled = shocks * (deviation * np.sqrt(1.0 - decay**2))
    # The first value is drawn from the stationary law, so no path starts calm.
    scaled[0] = shocks[0] * deviation
    return np.asarray(lfilter([1.0], [1.0, -decay], scaled, axis=0))


def _decaying(impulses: Floats, half_life_days: float, step_days: float) -> Floats:
    decay = 0.5 ** (step_days / half_life_days)
    return np.asarray(lfilter([1.0], [1.0, -decay], impulses, axis=0))


def _listed(instants: Ints, state: _State) -> _Listing:
    """Strikes on a lattice within 4.5 standard deviations of each expiry's forward."""
    snapshot, expiry = _expiries(instants)
    coins = len(CURRENCIES)
    snapshot, expiry = np.repeat(snapshot, coins), np.repeat(expiry, coins)
    coin = np.tile(np.arange(coins), snapshot.size // coins)
    years = (expiry - instants[snapshot]) / (_DAY * DAYS_PER_YEAR)
    forward = state.spot_usd[snapshot, coin] * np.exp(state.rate_per_year[snapshot, coin] * years)
    variance = _atm_variance(instants[snapshot], expiry, coin, state, snapshot)

    reach = np.maximum(0.04, 4.5 * np.sqrt(variance))
    step = _STRIKE_STEP_USD[coin, np.searchsorted(_STRIKE_DAYS, years * DAYS_PER_YEAR)]
    lowest = np.ceil(forward * np.exp(-np.minimum(reach, 1.2)) / step).astype(np.int64)
    highest = np.floor(forward * np.exp(np.minimum(reach, 1.4)) / step).astype(np.int64)
    count = highest - lowest + 1
    row = np.repeat(np.arange(count.size), count)
    offset = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    strike = (lowest[row] + offset) * step[row]
    return _Listing(
        snapshot[row], coin[row], expiry[row], strike, forward[row], years[row], variance[row]
    )


def _expiries(instants: Ints) -> tuple[Ints, Ints]:
    """Snapshot index and expiry of every listed pair."""
    pairs = [
        (index, round(expiry.timestamp()) * _SECOND)
        for index, instant in enumerate(instants)
        for expiry in _calendar(datetime.fromtimestamp(int(instant) // _SECOND, UTC))
    ]
    snapshot, expiry = np.array(pairs, dtype=np.int64).T
    return snapshot, expiry


def _calendar(now: datetime) -> list[datetime]:
    """Deribit's at 08:00 UTC: four dailies, four weeklies, three monthlies, four quarterlies."""
    today = now.date() if now.time() < time(8) else now.date() + timedelta(days=1)
    friday = today + timedelta(days=(4 - today.weekday()) % 7)
    days = {today + timedelta(days=ahead) for ahead in range(4)}
    days |= {friday + timedelta(weeks=ahead) for ahead in range(4)}
    month_ends = [_last_friday(today, months_ahead) for months_ahead in range(13)]
    month_ends = [day for day in month_ends if day >= today]
    days |= set(month_ends[:3])
    days |= set([day for day in month_ends if day.month % 3 == 0][:4])
    return [datetime.combine(day, time(8), UTC) for day in sorted(days)]


def _last_friday(day: date, months_ahead: int) -> date:
    month = day.month - 1 + months_ahead + 1
    last = date(day.year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - 4) % 7)


def _atm_variance(now: Ints, expiry: Ints, coin: Ints, state: _State, snapshot: Ints) -> Floats:
    """theta by Gauss-Legendre quadrature in sqrt(u), which resolves the fast state's first days."""
    days = _clock_days(expiry) - _clock_days(now)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    root = 0.5 * (nodes + 1.0)
    ahead = days[:, None] * root**2
    fast = state.fast[snapshot, coin][:, None] * 0.5 ** (ahead / _FAST_HALF_LIFE_DAYS)
    slow = state.slow[snapshot, coin][:, None] * 0.5 ** (ahead / _SLOW_HALF_LIFE_DAYS)
    mean = np.exp(fast + slow) @ (weights * root)
    return np.asarray(_VOL[coin] ** 2 * mean * days / DAYS_PER_YEAR)


def _clock_days(instant: Ints) -> Floats:
    """Days of variance since the first Monday of 1970; seven a week, fewer of them at weekends."""
    days = instant / _DAY - 4.0
    weeks = np.floor(days / 7.0)
    into = days - 7.0 * weeks
    return np.asarray(
        7.0 * weeks
        + _WEEKDAY_CLOCK * np.minimum(into, 5.0)
        + _WEEKEND_CLOCK * np.maximum(into - 5.0, 0.0)
    )


def _smile(listing: _Listing, state: _State) -> Floats:
    """Implied volatility of every listed strike."""
    theta = listing.total_variance
    skew = state.skew[listing.snapshot, listing.coin]
    curvature = state.curvature[listing.snapshot, listing.coin]
    scaled = (
        np.log(listing.strike_usd / listing.forward_usd) * curvature / np.sqrt(theta * (1 + theta))
    )
    wing = np.sqrt((scaled + skew) ** 2 + 1.0 - skew**2)
    return np.asarray(np.sqrt(0.5 * theta * (1.0 + skew * scaled + wing) / listing.years))


def _quoted(
    rng: np.random.Generator, instants: Ints, state: _State, listing: _Listing
) -> pl.DataFrame:
    vol = _smile(listing, state) * np.exp(_mark_noise(rng, listing))
    spread_vol = _spread_vol(listing, vol)
    # A put and a call share their mark's volatility; puts and calls are the table's inner order.
    listing, vol, spread_vol = _twice(listing), np.repeat(vol, 2), np.repeat(spread_vol, 2)
    is_call = np.tile([False, True], vol.size // 2)
    where = (listing.forward_usd, listing.strike_usd, listing.years)
    mark = price_coin(*where, vol, is_call)
    bid, ask = _book(rng, mark, spread_vol * vega(*where, vol))
    open_interest = rng.lognormal(4.5, 1.5, vol.size) * (rng.random(vol.size) < 0.85)
    volume = open_interest * rng.beta(0.5, 6.0, vol.size) * (rng.random(vol.size) < 0.45)
    return pl.DataFrame(
        {
            "timestamp": pl.Series(instants[listing.snapshot]).cast(QUOTES["timestamp"]),
            "currency": pl.Series(CURRENCIES).gather(listing.coin),
            "expiry": pl.Series(listing.expiry).cast(QUOTES["expiry"]),
            "strike_usd": listing.strike_usd,
            "is_call": is_call,
            "forward_usd": listing.forward_usd,
            "bid_coin": pl.Series(bid).fill_nan(None),
            "ask_coin": pl.Series(ask).fill_nan(None),
            "mark_coin": np.round(mark, 6),
            "mark_iv": np.round(vol, 4),
            "delta": np.round(delta(*where, vol, is_call), 5),
            "open_interest_coin": np.round(open_interest, 1),
            "volume_coin": np.round(volume, 1),
        },
        schema=QUOTES,
    )


def _mark_noise(rng: np.random.Generator, listing: _Listing) -> Floats:
    """Relative: a level for each expiry and snapshot, and a little for each strike."""
    cell = np.stack([listing.snapshot, listing.coin, listing.expiry], axis=1)
    starts = np.any(cell[1:] != cell[:-1], axis=1)
    index = np.concatenate([[0], np.cumsum(starts)])
    level = rng.normal(0.0, 0.004, index[-1] + 1)
    return np.asarray(level[index] + rng.normal(0.0, 0.002, index.size))


def _spread_vol(listing: _Listing, vol: Floats) -> Floats:
    """Bid to ask in volatility: wider near expiry and in the wings."""
    days = listing.years * DAYS_PER_YEAR
    deviations = np.log(listing.strike_usd / listing.forward_usd) / (vol * np.sqrt(listing.years))
    points = 0.25 + 1.5 / np.sqrt(np.maximum(days, 0.25))
    return np.asarray(0.01 * _SPREAD[listing.coin] * points * (1.0 + 0.12 * deviations**2))


def _book(rng: np.random.Generator, mark: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Best bid and ask on ticks, nan where there is none; a few asks are stale and far away."""
    middle = mark + rng.normal(0.0, 0.15, mark.size) * spread
    width = spread * rng.lognormal(0.0, 0.3, mark.size)
    bid, ask = middle - 0.5 * width, middle + 0.5 * width
    stale = rng.random(mark.size) < 0.002
    ask = np.where(stale, ask * rng.uniform(1.5, 6.0, mark.size), ask)
    bid, ask = _on_tick(bid, np.floor), _on_tick(ask, np.ceil)
    bid[(bid <= 0.0) | (rng.random(mark.size) < 0.03)] = np.nan
    ask[(ask <= 0.0) | (rng.random(mark.size) < 0.015)] = np.nan
    return bid, ask


def _on_tick(premium: Floats, rounding: np.ufunc) -> Floats:
    tick = np.where(premium > _TICK_CHANGES_AT_COIN, _TICK_COIN[1], _TICK_COIN[0])
    # Rounded again so that a price is the decimal that an exchange would send.
    return np.asarray(np.round(rounding(np.round(premium / tick, 6)) * tick, 4))


def _twice(listing: _Listing) -> _Listing:
    return _Listing(
        **{field.name: np.repeat(getattr(listing, field.name), 2) for field in fields(listing)}
    )
