"""The pipeline as one writes it in pandas and scipy, in their environment.

Called by `benchmarks/pipeline.py` with a folder of quote tables and how to invert: `newton` is
`scipy.optimize.newton` on whole columns, `brentq` is `scipy.optimize.brentq` a row at a time. The
same rules of cleaning, the same panels by `groupby` and `numpy.interp`, the same samples.
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, newton
from scipy.special import ndtr

YEAR_DAYS = 365.25
TENORS = np.array([2.0, 7.0, 30.0, 90.0, 180.0]) / YEAR_DAYS
SNAPSHOT = ["timestamp", "currency"]


def price(vol: Any, forward: Any, strike: Any, years: Any, is_call: Any) -> Any:
    """Black-76 over the forward."""
    deviation = vol * np.sqrt(years)
    d1 = np.log(forward / strike) / deviation + deviation / 2
    call = ndtr(d1) - strike / forward * ndtr(d1 - deviation)
    return np.where(is_call, call, call - 1 + strike / forward)


def vega(vol: Any, forward: Any, strike: Any, years: Any, _is_call: Any) -> Any:
    deviation = vol * np.sqrt(years)
    d1 = np.log(forward / strike) / deviation + deviation / 2
    return np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi) * np.sqrt(years)


def by_newton(premium: pd.Series, quotes: pd.DataFrame) -> Any:
    """All rows at once; rows that do not converge are nan."""
    told = [quotes[name].to_numpy() for name in ("forward_usd", "strike_usd", "years", "is_call")]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = newton(
            lambda vol, *args: price(vol, *args) - premium.to_numpy(),
            quotes["mark_iv"].to_numpy(),
            fprime=vega,
            args=tuple(told),
            tol=1e-10,
            maxiter=60,
            full_output=True,
        )
    return np.where(found.converged & (found.root > 0), found.root, np.nan)


def by_brentq(premium: pd.Series, quotes: pd.DataFrame) -> Any:
    """A row at a time."""

    def solve(row: Any) -> float:
        args = (row.forward_usd, row.strike_usd, row.years, row.is_call)
        try:
            return float(
                brentq(lambda vol: price(vol, *args) - row.premium, 1e-4, 20.0, xtol=1e-10)
            )
        except ValueError:
            return float("nan")

    return [solve(row) for row in quotes.assign(premium=premium).itertuples()]


def clean(quotes: pd.DataFrame, invert: Any) -> tuple[pd.DataFrame, int]:
    """What passes the rules, and how many rows could not be inverted."""
    quotes["years"] = (quotes["expiry"] - quotes["timestamp"]).dt.total_seconds() / (
        86_400 * YEAR_DAYS
    )
    out_of_the_money = quotes["is_call"] == (quotes["strike_usd"] >= quotes["forward_usd"])
    quotes = quotes[
        quotes["bid_coin"].notna()
        & quotes["ask_coin"].notna()
        & (quotes["bid_coin"] <= quotes["ask_coin"])
        & out_of_the_money
        & quotes["years"].between(1 / YEAR_DAYS, 1)
        & (quotes["mark_coin"] >= 0.0002)
        & (quotes["delta"].abs() >= 0.01)
    ].copy()
    quotes["bid_iv"] = invert(quotes["bid_coin"], quotes)
    quotes["ask_iv"] = invert(quotes["ask_coin"], quotes)
    quotes["mid_iv"] = invert((quotes["bid_coin"] + quotes["ask_coin"]) / 2, quotes)
    inverted = quotes[["bid_iv", "ask_iv", "mid_iv"]].notna().all(axis=1)
    tight = quotes["ask_iv"] - quotes["bid_iv"] <= 0.10
    near = (quotes["mid_iv"] - quotes["mark_iv"]).abs() <= 0.03
    return quotes[inverted & tight & near], int((~inverted).sum())


def wings(expiry: pd.DataFrame) -> pd.Series:
    """Total variance at z = -1, 0, +1 of one expiry."""
    k, variance = expiry["k"].to_numpy(), expiry["variance"].to_numpy()
    at_money = np.interp(0.0, k, variance, left=np.nan, right=np.nan)
    z = np.sqrt(at_money) * np.array([-1.0, 0.0, 1.0])
    return pd.Series(np.interp(z, k, variance, left=np.nan, right=np.nan), index=list("lam"))


def tenors(snapshot: pd.DataFrame) -> pd.Series:
    """The fifteen volatilities of one snapshot and coin."""
    years = snapshot["years"].to_numpy()
    inside = np.clip(TENORS, years.min(), years.max())
    near = (inside <= 2 * TENORS) & (inside >= TENORS / 2)
    rows = [np.interp(inside, years, snapshot[name].to_numpy()) for name in "lam"]
    return pd.Series(np.where(near, np.sqrt(np.array(rows) / inside), np.nan).ravel())


def panels(quotes: pd.DataFrame) -> pd.DataFrame:
    """Fifteen volatilities a snapshot and coin."""
    strikes = (
        quotes.assign(variance=quotes["mark_iv"] ** 2 * quotes["years"])
        .groupby([*SNAPSHOT, "years", "strike_usd"], as_index=False)[["k", "variance"]]
        .mean()
    )
    expiries = strikes.groupby([*SNAPSHOT, "years"])[["k", "variance"]].apply(wings)
    expiries = expiries.dropna().reset_index()
    return expiries.groupby(SNAPSHOT)[["years", *"lam"]].apply(tenors).dropna()


def samples(quotes: pd.DataFrame, panel: pd.DataFrame) -> pd.DataFrame:
    """Quotes beside the volatilities of their panel at their expiry."""
    joined = quotes.merge(panel, left_on=SNAPSHOT, right_index=True)
    variances = joined[list(range(15))].to_numpy().reshape(-1, 3, 5) ** 2 * TENORS
    inside = np.clip(joined["years"].to_numpy(), TENORS[0], TENORS[-1])
    right = np.clip(np.searchsorted(TENORS, inside), 1, 4)
    share = (inside - TENORS[right - 1]) / (TENORS[right] - TENORS[right - 1])
    rows = np.arange(len(joined))
    near, far = variances[rows, :, right - 1], variances[rows, :, right]
    vols = np.sqrt((near + share[:, None] * (far - near)) / inside[:, None])
    joined[["lower", "atm", "upper"]] = vols
    joined["z"] = joined["k"] / (joined["atm"] * np.sqrt(joined["years"]))
    return joined


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def main() -> None:
    """Prints the figures as a JSON object."""
    folder, solver = Path(sys.argv[1]), sys.argv[2]
    wall, cpu = time.perf_counter(), time.process_time()
    quotes = pd.concat(
        [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True
    )
    count = len(quotes)
    kept, not_inverted = clean(quotes, {"newton": by_newton, "brentq": by_brentq}[solver])
    kept = kept.assign(k=np.log(kept["strike_usd"] / kept["forward_usd"]))
    found = samples(kept, panels(kept))
    figures = {
        "quotes": count,
        "samples": len(found),
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": peak_bytes(),
        "sample_bytes": int(found.memory_usage().sum()),
        "not_inverted": not_inverted,
        "mean_mid_vol": float(found["mid_iv"].mean()),
        "mean_z": float(found["z"].mean()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
