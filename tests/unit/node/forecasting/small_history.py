"""A made-up volatility index and made-up panels with known dynamics, for unit tests."""

from datetime import UTC, datetime

import numpy as np

from node.forecasting.pairs import Pairs, daily_pairs, surface_pairs
from node.market.panel import Panel
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.state import DAY, Series

START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
HOUR = MICROSECONDS_PER_DAY // 24


def index_series(days=400, *, pull=0.3, noise=0.02, seed=0):
    """Close, high and low of an index whose logarithm is pulled back to that of 50."""
    rng = np.random.default_rng(seed)
    gap = np.zeros(days)
    gap[0] = 0.3
    for day in range(1, days):
        gap[day] = (1.0 - pull) * gap[day - 1] + noise * rng.normal()
    close, spread = 50.0 * np.exp(gap), np.exp(0.01 * np.abs(rng.normal(size=days)))
    at = START + np.arange(days) * MICROSECONDS_PER_DAY
    return tuple(Series(at, value) for value in (close, close * spread, close / spread))


def daily(**changed) -> Pairs:
    return daily_pairs(*index_series(**changed), is_btc=True)


def panels(snapshots=240, *, hours=6, weekly=0.2, seed=0) -> Panel:
    """Both coins' panels; the short end rises and falls with the week, the rest walks."""
    rng = np.random.default_rng(seed)
    at = START + np.arange(snapshots) * hours * HOUR
    walk = np.cumsum(0.01 * rng.normal(size=(snapshots, 2)), axis=0)
    season = weekly * np.sin(2.0 * np.pi * at / (7 * MICROSECONDS_PER_DAY))
    level = walk[:, :, None, None] + np.zeros((3, 5))
    level[..., 0] += season[:, None, None]
    level += 0.1 * np.array([1.0, 0.0, 0.5])[:, None]
    vols = 0.5 * np.exp(level + 0.003 * rng.normal(size=level.shape))
    return Panel(
        np.repeat(at, 2), np.tile([False, True], snapshots), vols.reshape(-1, 3, 5), incomplete=0
    )


def surfaces(**changed) -> Pairs:
    return surface_pairs(panels(**changed), DAY)
