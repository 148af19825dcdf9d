"""Forecasters of log volatilities, by name: each is fitted to pairs and then forecasts others.

All say a change from what is known now, so persistence is what none of them starts below.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from node.forecasting.networks import (
    Lstm,
    NetworkSettings,
    Residual,
    Transformer,
    fit_network,
)
from node.forecasting.pairs import Pairs
from node.market.panel import COLUMNS, TENOR_YEARS, Floats, vols_at
from node.market.quotes import MICROSECONDS_PER_YEAR

LOWEST_VOL: Final = 0.01
"""Where a falling total variance leaves nothing for a tenor."""

Forecast = Callable[[Pairs], Floats]
"""Pairs in, log volatilities at their targets out. Shape: [n, d]"""
Fit = Callable[[Pairs, int], Forecast]
"""Pairs to learn from and a seed in, a forecast out."""


def persistence(_pairs: Pairs, _seed: int) -> Forecast:
    """Everything stays as it is."""
    return lambda asked: asked.now


def forward_variance(_pairs: Pairs, _seed: int) -> Forecast:
    """A surface as today's own term structure has it: the variance between now and then falls out.

    The volatility later for T is that of today's total variance from the horizon to the horizon
    plus T, at the same z; between and beyond the panel's tenors as `panel.vols_at` has it.
    """
    return _rolled


def _rolled(asked: Pairs) -> Floats:
    vols = np.exp(asked.now).reshape(len(asked), COLUMNS, TENOR_YEARS.size)
    ahead = (asked.target - asked.origin) / MICROSECONDS_PER_YEAR
    until = vols_at(vols, ahead) ** 2 * ahead[:, None]
    later = np.empty_like(vols)
    for column, years in enumerate(TENOR_YEARS):
        total = vols_at(vols, ahead + years) ** 2 * (ahead + years)[:, None]
        later[:, :, column] = np.sqrt(np.maximum((total - until) / years, LOWEST_VOL**2))
    return np.asarray(np.log(later).reshape(asked.now.shape))


def har(pairs: Pairs, _seed: int, *, seasonal: bool = False) -> Forecast:
    """Heterogeneous autoregression in logarithms: means of a day, a week and a month pull.

    One least-squares regression for each number, the coins pooled with an intercept each; with
    `seasonal` the calendar is among the regressors.

    Source: F. Corsi, "A simple approximate long-memory model of realized volatility", Journal of
    Financial Econometrics, 2009.
    """
    design = _regressors(pairs, seasonal=seasonal)
    coefficients = np.stack(
        [
            np.linalg.lstsq(design[:, :, column], change, rcond=None)[0]
            for column, change in enumerate((pairs.later - pairs.now).T)
        ],
        axis=1,
    )

    def forecast(asked: Pairs) -> Floats:
        seen = _regressors(asked, seasonal=seasonal)
        return np.asarray(asked.now + np.einsum("nfd,fd->nd", seen, coefficients))

    return forecast


def _regressors(pairs: Pairs, *, seasonal: bool) -> Floats:
    """How far each mean lies from the last value, a constant a coin, the calendar. [n, f, d]"""
    gaps = pairs.means - pairs.now[:, None]
    shared = [
        pairs.is_btc[:, None],
        ~pairs.is_btc[:, None],
        *([pairs.calendar] if seasonal else []),
    ]
    columns = np.concatenate(shared, axis=1).astype(np.float64)[:, :, None]
    return np.concatenate([gaps, np.repeat(columns, gaps.shape[2], axis=2)], axis=1)


DAILY: Mapping[str, Fit] = MappingProxyType(
    {
        "persistence": persistence,
        "har": har,
        "seasonal_har": partial(har, seasonal=True),
        "lstm": partial(fit_network, Lstm, NetworkSettings()),
        "transformer": partial(fit_network, Transformer, NetworkSettings()),
    }
)
"""For one volatility a day, such as DVOL."""

SURFACE: Mapping[str, Fit] = MappingProxyType(
    {
        "persistence": persistence,
        "forward_variance": forward_variance,
        "har": har,
        "seasonal_har": partial(har, seasonal=True),
        "residual": partial(fit_network, Residual, NetworkSettings()),
    }
)
"""For a panel's fifteen volatilities."""
