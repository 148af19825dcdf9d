"""Forecasters of log volatilities, by name and hash: each is fitted to pairs and forecasts others.

All say a change from what is known now, so persistence is what none of them starts below.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from eth_hash.auto import keccak

from node.forecasting.networks import (
    Build,
    Lstm,
    NetworkSettings,
    Residual,
    Transformer,
    fit_network,
)
from node.forecasting.pairs import Pairs
from node.market.panel import COLUMNS, TENOR_YEARS, Floats, vols_at
from node.market.quotes import MICROSECONDS_PER_YEAR
from node.models.registry import plugins
from protocol.model_spec import canonical_json

GROUP: Final = "volquorum.forecasters"
"""Entry points that lead to a `Forecaster`; another package can add its own."""
LOWEST_VOL: Final = 0.01
"""Where a falling total variance leaves nothing for a tenor."""

Forecast = Callable[[Pairs], Floats]
"""Pairs in, log volatilities at their targets out. Shape: [n, d]"""
Fit = Callable[[Pairs, int], Forecast]
"""Pairs to learn from and a seed in, a forecast out."""
Subject = Literal["daily", "surface"]
"""One volatility a day, such as DVOL, or a panel's fifteen."""


@dataclass(frozen=True)
class Forecaster:
    """Installed code that forecasts."""

    name: str
    """What its entry point is called too."""
    version: int
    """Counted up whenever the same settings come to forecast otherwise."""
    subjects: frozenset[Subject]
    """What it can forecast."""
    fit: Fit
    settings: Mapping[str, int | float | str]

    @property
    def hash(self) -> bytes:
        """Of what it is, not of what it was fitted to: that is each user's own."""
        told = {"name": self.name, "version": self.version, "settings": dict(self.settings)}
        return keccak(canonical_json(told))


@cache
def installed(subject: Subject) -> Mapping[str, Forecaster]:
    """Every forecaster of a subject by name, in the names' order.

    Raises: ConfigError as `plugins`.
    """
    found = sorted(plugins(GROUP, Forecaster).items())
    return MappingProxyType({name: each for name, each in found if subject in each.subjects})


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


def _network(name: str, subject: Subject, build: Build) -> Forecaster:
    settings = NetworkSettings()
    fit = partial(fit_network, build, settings)
    return Forecaster(name, 1, frozenset({subject}), fit, asdict(settings))


_BOTH: Final[frozenset[Subject]] = frozenset({"daily", "surface"})

PERSISTENCE: Final = Forecaster("persistence", 1, _BOTH, persistence, {})
FORWARD_VARIANCE: Final = Forecaster(
    "forward_variance", 1, frozenset({"surface"}), forward_variance, {"lowest_vol": LOWEST_VOL}
)
HAR: Final = Forecaster("har", 1, _BOTH, har, {"seasonal": False})
SEASONAL_HAR: Final = Forecaster(
    "seasonal_har", 1, _BOTH, partial(har, seasonal=True), {"seasonal": True}
)
LSTM: Final = _network("lstm", "daily", Lstm)
TRANSFORMER: Final = _network("transformer", "daily", Transformer)
RESIDUAL: Final = _network("residual", "surface", Residual)
