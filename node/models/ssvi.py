"""SSVI: one surface of total variance free of static arbitrage, three numbers beside those at the
money.

    w(k, theta) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2))
    phi(theta) = eta / (theta^gamma (1 + theta)^(1 - gamma))

With 0 <= gamma <= 1/2 and eta (1 + |rho|) <= 2 no butterfly loses money, and none in the calendar
while theta rises with time.

Source: J. Gatheral and A. Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance,
2014.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from node.market.panel import AT_MONEY, LOWER, TENOR_YEARS, UPPER, Booleans, Floats, Integers
from node.market.samples import ANCHOR_Z, Samples
from node.models.expiries import Expiries, side_by_side

LARGEST_ETA: Final = 2.0
"""Of eta (1 + |rho|)."""
LARGEST_GAMMA: Final = 0.5

_START: Final = (-0.2, 0.5, 0.4)
"""What is searched for: rho, eta's share of its largest, gamma."""
_LOWEST: Final = np.array([-0.999, 1e-3, 0.0])
_HIGHEST: Final = np.array([0.999, 1.0, LARGEST_GAMMA])
_STEPS: Final = 30
_FIRST_DAMPING: Final = 1e-2
_SMALLEST_DAMPING: Final = 1e-6
"""So that a surface with fewer quotes than numbers can still be solved for."""
_LARGEST_DAMPING: Final = 1e8
_SMALLEST_CURVATURE: Final = 1e-14
_LARGEST_STEP: Final = 0.5
"""Of ln theta."""


@dataclass(frozen=True)
class Surfaces:
    """Shape: rho, eta, gamma [m], one a surface."""

    rho: Floats
    eta: Floats
    gamma: Floats

    def total_variance(self, row: Integers, k: Floats, theta: Floats) -> Floats:
        """w(k, theta) of the surface in each row. Shape: row, k, theta [n] -> [n]"""
        rho = self.rho[row]
        u = k * self.eta[row] * theta ** -self.gamma[row] * (1.0 + theta) ** (self.gamma[row] - 1.0)
        return np.asarray(0.5 * theta * (1.0 + rho * u + np.sqrt(u**2 + 2.0 * rho * u + 1.0)))


def ssvi(samples: Samples) -> Floats:
    """SSVI by the panel: theta from the money, the rest by least squares of the ten wing points."""
    used, row = np.unique(samples.surface_row, return_inverse=True)
    surfaces = fit_panel(samples.surfaces[used])
    return _priced(surfaces, row, samples, samples.atm_vol**2 * samples.years)


def fit_panel(vols: Floats) -> Surfaces:
    """The SSVI of each panel. Shape: vols [m, 3, 5] (decimal; z = -1, 0, +1)"""
    count, tenors = len(vols), TENOR_YEARS.size
    theta = (vols[:, AT_MONEY] ** 2 * TENOR_YEARS).ravel()
    expiry = np.tile(np.arange(count * tenors).reshape(count, tenors), 2)
    wings = vols[:, [LOWER, UPPER]].reshape(count, -1)
    k = np.repeat(ANCHOR_Z[[LOWER, UPPER]], tenors) * np.sqrt(theta[expiry])
    surface = np.repeat(np.arange(count), tenors)
    points = _Points.of(k, wings, np.tile(TENOR_YEARS, 2), expiry, surface)
    return _descend(points, theta, at_money_known=True)[0]


def ssvi_from(visible: Samples) -> Callable[[Samples], Floats]:
    """Price the same snapshots from the visible quotes: theta of each expiry is fitted too.

    Where an expiry has no visible quote theta is the panel's, where a snapshot has none the whole
    surface is.
    """
    expiries = Expiries.of(visible)
    surfaces, theta = fit_quotes(visible, expiries)
    first, _ = expiries.surfaces()
    known = {tuple(key): row for row, key in enumerate(expiries.keys[first, :2].tolist())}

    def price(asked: Samples) -> Floats:
        expiry = expiries.rows(asked)
        at_money = np.where(expiry >= 0, theta[expiry], asked.atm_vol**2 * asked.years)
        keys = zip(asked.snapshot.tolist(), asked.is_btc.tolist(), strict=True)
        row = np.array([known.get(key, -1) for key in keys], dtype=np.int64)
        return np.where(row >= 0, _priced(surfaces, row, asked, at_money), ssvi(asked))

    return price


def fit_quotes(visible: Samples, expiries: Expiries) -> tuple[Surfaces, Floats]:
    """The SSVI of each snapshot and coin, and each expiry's theta, which nothing makes rise.

    Shape: [m], [e]
    """
    first, surface = expiries.surfaces()
    at, filled = side_by_side(surface[expiries.row], np.arange(first.size))
    k, vol = visible.log_moneyness[at], visible.target_vol[at]
    points = _Points.of(k, vol, visible.years[at], expiries.row[at], surface)
    points = replace(points, weight=points.weight * filled)
    nearest = np.lexsort((np.abs(visible.z), expiries.row))
    central = nearest[np.cumsum(expiries.count) - expiries.count]
    theta = visible.target_vol[central] ** 2 * visible.years[central]
    return _descend(points, theta, at_money_known=False)


def _priced(surfaces: Surfaces, row: Integers, samples: Samples, theta: Floats) -> Floats:
    variance = surfaces.total_variance(row, samples.log_moneyness, theta)
    return np.asarray(np.sqrt(variance / samples.years))


@dataclass(frozen=True)
class _Points:
    """What surfaces are fitted to, by the expiries in order of their surfaces.

    Shape: k, variance, weight (0 for none), expiry [m, q]; surface [e]
    """

    k: Floats
    variance: Floats
    weight: Floats
    expiry: Integers
    surface: Integers

    @classmethod
    def of(cls, k: Floats, vol: Floats, years: Floats, expiry: Integers, surface: Integers) -> Self:
        # An error of w is one of sigma times 2 sigma T.
        return cls(k, vol**2 * years, 1.0 / (2.0 * vol * years), expiry, surface)

    def by_expiry(self, values: Floats) -> Floats:
        """Sums over the points of each expiry. Shape: [m, q] -> [e]"""
        return np.asarray(np.bincount(self.expiry.ravel(), values.ravel()), dtype=np.float64)

    def by_surface(self, values: Floats) -> Floats:
        """Sums over the expiries of each surface. Shape: [e, ...] -> [m, ...]"""
        first = np.searchsorted(self.surface, np.arange(len(self.k)))
        return np.asarray(np.add.reduceat(values, first, axis=0), dtype=np.float64)


def _eta(free: Floats) -> Floats:
    return np.asarray(LARGEST_ETA * free[:, 1] / (1.0 + np.abs(free[:, 0])))


def _descend(points: _Points, theta: Floats, *, at_money_known: bool) -> tuple[Surfaces, Floats]:
    """Levenberg-Marquardt within bounds, all surfaces at once."""
    free, damping = np.tile(_START, (len(points.k), 1)), np.full(len(points.k), _FIRST_DAMPING)
    at = _Linear.of(free, theta, points)
    for _ in range(_STEPS):
        free_step, theta_step = at.step(free, points, damping, at_money_known)
        tried_free = np.clip(free - free_step, _LOWEST, _HIGHEST)
        tried_theta = theta * np.exp(-np.clip(theta_step, -_LARGEST_STEP, _LARGEST_STEP))
        tried = _Linear.of(tried_free, tried_theta, points)
        better = tried.error < at.error
        damping = np.where(better, np.maximum(damping / 5.0, _SMALLEST_DAMPING), damping * 5.0)
        free = np.where(better[:, None], tried_free, free)
        theta = np.where(better[points.surface], tried_theta, theta)
        at = at.replaced(better, tried)
        if (damping > _LARGEST_DAMPING).all():
            break
    return Surfaces(free[:, 0], _eta(free), free[:, 2]), theta


@dataclass(frozen=True)
class _Linear:
    """Errors of volatility, and their slopes in the free numbers and in each ln theta.

    Shape: residual, by_theta [m, q]; by_free [m, q, 3]
    """

    residual: Floats
    by_free: Floats
    by_theta: Floats

    @classmethod
    def of(cls, free: Floats, thetas: Floats, points: _Points) -> Self:
        rho, share, gamma, eta = (part[:, None] for part in (*free.T, _eta(free)))
        theta = thetas[points.expiry]
        u = points.k * eta * theta**-gamma * (1.0 + theta) ** (gamma - 1.0)
        root = np.sqrt(u**2 + 2.0 * rho * u + 1.0)
        half = 0.5 * theta * points.weight
        priced = half * (1.0 + rho * u + root)
        by_u = half * (rho + (u + rho) / root) * u
        by_rho = half * (u + u / root) - by_u * np.sign(rho) / (1.0 + np.abs(rho))
        by_gamma = by_u * np.log((1.0 + theta) / theta)
        by_free = np.stack([by_rho, by_u / share, by_gamma], axis=-1)
        by_theta = priced - by_u * (gamma + (1.0 - gamma) * theta / (1.0 + theta))
        return cls(priced - points.weight * points.variance, by_free, by_theta)

    @property
    def error(self) -> Floats:
        return np.asarray((self.residual**2).sum(axis=1))

    def step(
        self, free: Floats, points: _Points, damping: Floats, at_money_known: bool
    ) -> tuple[Floats, Floats]:
        """Of the free numbers [m, 3] and of ln theta [e].

        Each theta meets its own expiry's points alone, so the thetas are eliminated first.
        """
        normal = np.einsum("mqi,mqj->mij", self.by_free, self.by_free)
        scale = np.einsum("mii->mi", normal)
        normal = normal + (damping[:, None] * scale + _SMALLEST_CURVATURE)[:, :, None] * np.eye(3)
        along = np.einsum("mqi,mq->mi", self.by_free, self.residual)
        if at_money_known:
            return _solved(normal, along, _held(free, along)), np.zeros(points.surface.size)
        own = points.by_expiry(self.by_theta**2) * (1.0 + damping[points.surface])
        on_theta = points.by_expiry(self.by_theta * self.residual) / own
        cross = np.stack(
            [points.by_expiry(self.by_theta * slope) for slope in self.by_free.transpose(2, 0, 1)],
            axis=1,
        )
        share = cross / own[:, None]
        normal -= points.by_surface(cross[:, :, None] * share[:, None, :])
        along -= points.by_surface(cross * on_theta[:, None])
        free_step = _solved(normal, along, _held(free, along))
        return free_step, on_theta - (share * free_step[points.surface]).sum(axis=1)

    def replaced(self, rows: Booleans, other: Self) -> "_Linear":
        """These, with the other's surfaces in some rows."""
        return _Linear(
            np.where(rows[:, None], other.residual, self.residual),
            np.where(rows[:, None, None], other.by_free, self.by_free),
            np.where(rows[:, None], other.by_theta, self.by_theta),
        )


def _held(free: Floats, along: Floats) -> Booleans:
    """Which numbers lie on a bound that the descent would cross. Shape: [m, 3] -> [m, 3]"""
    return np.where(along < 0.0, free >= _HIGHEST, free <= _LOWEST)


def _solved(normal: Floats, along: Floats, held: Booleans) -> Floats:
    """The step of those that are not held. Shape: [m, 3, 3], [m, 3], [m, 3] -> [m, 3]"""
    open_rows = ~held
    normal = np.where(open_rows[:, :, None] & open_rows[:, None], normal, 0.0)
    normal = normal + held[:, :, None] * np.eye(3)
    along = np.where(held, 0.0, along)
    return np.asarray(np.linalg.solve(normal, along[..., None])[..., 0])
