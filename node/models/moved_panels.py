"""Panels unlike any seen: moved by part of the difference of two of their coin, and in height.

A crash lifts volatility and inverts its term structure farther than any day before it did. Training
looks for arbitrage on such panels too, or a model holds none on the days that it knows and does on
the first of others.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from node.market.panel import TENOR_YEARS, Booleans, Floats
from node.market.samples import Samples

HEIGHT: Final = 0.5
"""At most, up or down, of the logarithm. Deribit's index of 30-day volatility rose by 0.71 in its
worst week of 2021 to 2025."""
LEAST_GROWTH: Final = 0.1
"""Of ln w in ln T between tenors, at each of the panel's three strikes: what falls there falls with
every model that keeps to the panel."""


def moved(samples: Samples, among: Samples, share: float, rng: np.random.Generator) -> Samples:
    """The samples, about such a share of them on panels of their own.

    The logarithm of a panel's volatilities is moved by a random part of the difference of two that
    are drawn from `among`, and all of it up or down; a panel that then falls with time is left as
    it was. All else still tells of the old panels: `elsewhere` is to follow.
    """
    panels = samples.surfaces[samples.surface_row]
    elsewhere = np.log(panels)
    for is_btc in (False, True):
        rows = np.flatnonzero(samples.is_btc == is_btc)
        if rows.size:
            known = among.surface_row[among.is_btc == is_btc]
            one, other = (np.log(among.surfaces[rng.choice(known, rows.size)]) for _ in range(2))
            part = rng.uniform(0.0, 1.0, rows.size)[:, None, None]
            height = rng.uniform(-HEIGHT, HEIGHT, rows.size)[:, None, None]
            elsewhere[rows] += part * (one - other) + height
    chosen = _grows(elsewhere) & (rng.random(len(samples)) < share)
    return replace(
        samples,
        surfaces=np.where(chosen[:, None, None], np.exp(elsewhere), panels),
        surface_row=np.arange(len(samples), dtype=np.int32),
    )


def _grows(log_vols: Floats) -> Booleans:
    """Shape: [n, 3, 5] -> [n]"""
    log_variances = 2.0 * log_vols + np.log(TENOR_YEARS)
    growth = np.diff(log_variances, axis=2) / np.diff(np.log(TENOR_YEARS))
    return np.asarray((growth > LEAST_GROWTH).all(axis=(1, 2)))
