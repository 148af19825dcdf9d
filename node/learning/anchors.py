"""A public batch to train on beside one's own quotes: surfaces drawn from a seed that all know.

Nobody's quotes are in it, it costs nothing, and it reaches where a desk has none. A surface has

    ATM      theta(T) = v int_0^T exp(x e^(-a u) + y e^(-b u)) du, increasing in T
    smile    w(k) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),
             phi = eta / sqrt(theta (1 + theta))

as the made-up market of `node.market.synthetic`, but without its noise, its calendar and its path:
each is drawn by itself, and wider than the market moves.

Source: J. Gatheral and A. Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance,
2014: increasing theta and eta^2 (1 + |rho|) <= 4 admit no static arbitrage.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from node.market.panel import TENOR_YEARS, Floats, Panel
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import Samples, grid_samples

SURFACES: Final = 256
"""With the points below 20,480 samples: about as many as a small desk has of its own."""
DEVIATIONS: Final = np.array([-4.0, -3.0, -2.0, -1.5, -0.5, 0.5, 1.5, 2.0, 3.0, 4.0])
"""Standard deviations of the strikes; at 0 and +-1 the panel itself answers."""
DAYS: Final = np.array([1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 300.0])

_VOL: Final = (0.25, 1.1)
"""Long-run volatility, uniform on a log scale."""
_FAST_DAYS: Final = (8.0, 0.6)
_SLOW_DAYS: Final = (90.0, 0.35)
"""Half-life, and standard deviation of the state of log variance."""
_SKEW: Final = (-0.2, 0.2)
_CURVATURE: Final = (0.85, 0.25)
"""Mean and deviation; the second of the logarithm."""


@dataclass(frozen=True)
class Surfaces:
    """Surfaces without static arbitrage. Shape: all [m]."""

    variance: Floats
    """Long-run, a year."""
    fast: Floats
    slow: Floats
    skew: Floats
    curvature: Floats

    @classmethod
    def draw(cls, seed: int, count: int) -> "Surfaces":
        """The same surfaces for the same arguments."""
        rng = np.random.default_rng(seed)
        low, high = np.log(_VOL)
        normal = rng.standard_normal((4, count))
        return cls(
            np.exp(2.0 * rng.uniform(low, high, count)),
            _FAST_DAYS[1] * normal[0],
            _SLOW_DAYS[1] * normal[1],
            np.clip(_SKEW[0] + _SKEW[1] * normal[2], -0.7, 0.5),
            # Invariant: eta^2 (1 + |rho|) <= 4 keeps every smile free of butterfly arbitrage.
            np.clip(_CURVATURE[0] * np.exp(_CURVATURE[1] * normal[3]), 0.4, 1.5),
        )

    def at_money(self, years: Floats) -> Floats:
        """Total variance at the money. Shape: years [m, t] -> [m, t]"""
        nodes, weights = np.polynomial.legendre.leggauss(16)
        # Quadrature in sqrt(u) resolves the fast state's first days.
        root = 0.5 * (nodes + 1.0)
        days = years[..., None] * DAYS_PER_YEAR * root**2
        fast = self.fast[:, None, None] * 0.5 ** (days / _FAST_DAYS[0])
        slow = self.slow[:, None, None] * 0.5 ** (days / _SLOW_DAYS[0])
        return np.asarray(self.variance[:, None] * years * (np.exp(fast + slow) @ (weights * root)))

    def vols(self, log_moneyness: Floats, years: Floats) -> Floats:
        """Implied volatility, decimal. Shape: [m, t], [m, t] -> [m, t]"""
        theta, skew = self.at_money(years), self.skew[:, None]
        scaled = log_moneyness * self.curvature[:, None] / np.sqrt(theta * (1.0 + theta))
        wing = np.sqrt((scaled + skew) ** 2 + 1.0 - skew**2)
        return np.asarray(np.sqrt(0.5 * theta * (1.0 + skew * scaled + wing) / years))

    def panel(self) -> Panel:
        """The reference panel that sums each up; BTC and ETH take turns."""
        count = self.skew.size
        years = np.broadcast_to(TENOR_YEARS, (count, TENOR_YEARS.size))
        deviation = np.sqrt(self.at_money(years))
        vols = np.stack([self.vols(z * deviation, years) for z in (-1.0, 0.0, 1.0)], axis=1)
        order = np.arange(count)
        return Panel(order // 2, order % 2 == 1, vols, 0)


def synthetic_anchors(seed: int, surfaces: int = SURFACES) -> Samples:
    """Points of that many drawn surfaces as samples, answers included.

    Shape: surfaces x 8 expiries x 10 strikes rows.
    """
    drawn = Surfaces.draw(seed, surfaces)
    points = grid_samples(drawn.panel(), DEVIATIONS, DAYS / DAYS_PER_YEAR)
    shape = (surfaces, -1)
    vols = drawn.vols(points.log_moneyness.reshape(shape), points.years.reshape(shape)).ravel()
    return replace(points, target_vol=vols, mid_vol=vols, bid_vol=vols, ask_vol=vols)
