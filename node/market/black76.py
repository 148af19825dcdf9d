"""Black-76 for inverse options: paid in coin, the premium is the USD premium over the forward.

With k = ln(K/F) and total volatility s = sigma sqrt(T), d1 = -k/s + s/2 and d2 = d1 - s:

    call = N(d1) - e^k N(d2)        put = e^k N(-d2) - N(-d1)        call - put = 1 - e^k

so a premium in coin depends on (k, s) alone. There is no discounting: the coin's own rate is in the
forward. Arguments are arrays that broadcast; all values are float64.

Source: F. Black, "The pricing of commodity contracts", Journal of Financial Economics, 1976.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_MAX_STEPS = 60
_TOLERANCE = 1e-10
"""Of total volatility: far below a hundredth of a vol point at every listed tenor."""
_HIGHEST_TOTAL_VOL = 16.0
"""Here a call is worth its forward to the last bit; no premium inverts above."""
_SQRT_TWO_PI = float(np.sqrt(2.0 * np.pi))


def price_coin(
    forward_usd: ArrayLike,
    strike_usd: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
) -> Floats:
    """Premium in coin; at zero volatility or time, what exercise against the forward is worth."""
    log_moneyness, total_vol = _reduced(forward_usd, strike_usd, years, vol)
    call = np.asarray(is_call, dtype=np.bool_)
    # Not exp(ln): what exercise is worth must be right to the last bit.
    strike_ratio = np.asarray(strike_usd, dtype=np.float64) / np.asarray(forward_usd)
    otm = _otm_price(-np.abs(log_moneyness), total_vol) * np.minimum(1.0, strike_ratio)
    intrinsic = np.where(call, 1.0 - strike_ratio, strike_ratio - 1.0)
    return np.asarray(otm + np.maximum(intrinsic, 0.0))


def delta(
    forward_usd: ArrayLike,
    strike_usd: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
) -> Floats:
    """dV/dF of the USD premium, N(d1) or N(d1) - 1: the convention of the exchange's reports."""
    log_moneyness, total_vol = _reduced(forward_usd, strike_usd, years, vol)
    call = ndtr(_d1(log_moneyness, total_vol))
    return np.asarray(np.where(np.asarray(is_call, dtype=np.bool_), call, call - 1.0))


def vega(forward_usd: ArrayLike, strike_usd: ArrayLike, years: ArrayLike, vol: ArrayLike) -> Floats:
    """Coin per unit of volatility (divide by 100 for a vol point); calls and puts share it."""
    log_moneyness, total_vol = _reduced(forward_usd, strike_usd, years, vol)
    density = np.exp(-0.5 * _d1(log_moneyness, total_vol) ** 2) / _SQRT_TWO_PI
    return np.asarray(density * np.sqrt(np.asarray(years, dtype=np.float64)))


def implied_vol(
    premium_coin: ArrayLike,
    forward_usd: ArrayLike,
    strike_usd: ArrayLike,
    years: ArrayLike,
    is_call: ArrayLike,
    *,
    start: ArrayLike | None = None,
) -> Floats:
    """The volatility whose premium this is; nan on or outside the no-arbitrage bounds.

    `start` is a first guess, such as the volatility of the mark: it saves steps and changes no
    result. The time value is inverted as the out-of-the-money option's, by Newton's method kept
    inside a shrinking bracket.
    """
    premium, forward, strike, year, call = np.broadcast_arrays(
        np.asarray(premium_coin, dtype=np.float64),
        np.asarray(forward_usd, dtype=np.float64),
        np.asarray(strike_usd, dtype=np.float64),
        np.asarray(years, dtype=np.float64),
        np.asarray(is_call, dtype=np.bool_),
    )
    root_time = np.sqrt(np.maximum(year, 0.0))
    strike_ratio = strike / forward
    intrinsic = np.maximum(np.where(call, 1.0 - strike_ratio, strike_ratio - 1.0), 0.0)
    # Scaled so that the forward or the strike, whichever bounds the option, is 1.
    target = (premium - intrinsic) / np.minimum(1.0, strike_ratio)
    otm = -np.abs(np.log(strike_ratio))
    valid = (target > 0.0) & (target < 1.0) & (root_time > 0.0)
    vol = np.full(target.shape, np.nan)
    if not valid.any():
        return vol
    guess = _first_guess(otm[valid])
    if start is not None:
        wanted = np.broadcast_to(np.asarray(start, dtype=np.float64), valid.shape)[valid]
        wanted = wanted * root_time[valid]
        guess = np.where(np.isfinite(wanted) & (wanted > 0.0), wanted, guess)
    vol[valid] = _invert(target[valid], otm[valid], guess) / root_time[valid]
    return vol


def _reduced(
    forward_usd: ArrayLike, strike_usd: ArrayLike, years: ArrayLike, vol: ArrayLike
) -> tuple[Floats, Floats]:
    ratio = np.asarray(strike_usd, dtype=np.float64) / np.asarray(forward_usd, dtype=np.float64)
    total_vol = np.asarray(vol, dtype=np.float64) * np.sqrt(np.asarray(years, dtype=np.float64))
    log_moneyness, total_vol = np.broadcast_arrays(np.log(ratio), total_vol)
    return log_moneyness, total_vol


def _d1(log_moneyness: Floats, total_vol: Floats) -> Floats:
    # At zero volatility d1 is infinite on one side of the forward and 0 on it, not 0/0.
    safe = np.where(total_vol > 0.0, total_vol, np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        return np.asarray(-log_moneyness / safe + 0.5 * total_vol)


def _otm_price(otm: Floats, total_vol: Floats) -> Floats:
    """Out-of-the-money premium over the smaller of forward and strike; `otm` = -|k|.

    A put's value per strike at k is a call's per forward at -k, so one formula serves both.
    """
    d1 = _d1(-otm, total_vol)
    value = ndtr(d1) - np.exp(-otm) * ndtr(d1 - total_vol)
    return np.asarray(np.maximum(value, 0.0))


def _first_guess(otm: Floats) -> Floats:
    """sqrt(2 |k|), where the premium's second derivative in volatility changes sign.

    Source: S. Manaster and G. Koehler, "The calculation of implied variances from the Black-Scholes
    model", Journal of Finance, 1982. Nearer the money it would be 0, so it is kept above a tenth.
    """
    return np.maximum(np.sqrt(-2.0 * otm), 0.1)


def _invert(target: Floats, otm: Floats, guess: Floats) -> Floats:
    """Total volatility at which `_otm_price` is `target`, all elements at once.

    Solved for the logarithm of the premium: in the wings a premium changes by orders of magnitude
    while its logarithm is nearly straight in -1/s^2. Elements leave the work as they converge.
    """
    solved = np.clip(guess, 1e-6, _HIGHEST_TOTAL_VOL)
    open_rows = np.arange(target.size)
    low = np.zeros_like(target)
    high = np.full_like(target, _HIGHEST_TOTAL_VOL)
    current = solved.copy()
    for _ in range(_MAX_STEPS):
        step_to, low, high = _newton_step(target[open_rows], otm[open_rows], current, low, high)
        solved[open_rows] = step_to
        moving = np.abs(step_to - current) > _TOLERANCE
        if not moving.any():
            break
        open_rows, current = open_rows[moving], step_to[moving]
        low, high = low[moving], high[moving]
    return solved


def _newton_step(
    target: Floats, otm: Floats, current: Floats, low: Floats, high: Floats
) -> tuple[Floats, Floats, Floats]:
    price = _otm_price(otm, current)
    low = np.where(price < target, current, low)
    high = np.where(price >= target, current, high)
    density = np.exp(-0.5 * _d1(-otm, current) ** 2) / _SQRT_TWO_PI
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        newton = current - np.log(price / target) * price / density
    # Invariant: every step stays inside the bracket, so the search cannot diverge.
    inside = (newton >= low) & (newton <= high)
    return np.where(inside, newton, 0.5 * (low + high)), low, high
