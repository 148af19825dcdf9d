"""Raw SVI: one hyperbola of total variance an expiry, fitted to the quotes that are visible.

    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + s^2))

For a given vertex (m, s) the rest is a least-squares problem with bounds in three numbers, which
has a closed form; the two of the vertex are searched for, all expiries at once.

Source: J. Gatheral, "A parsimonious arbitrage-free implied volatility parameterization", 2004;
Zeliade Systems, "Quasi-explicit calibration of Gatheral's SVI model", 2009.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from node.market.panel import Booleans, Floats, Integers
from node.market.samples import Samples
from node.models.expiries import Expiries, side_by_side
from node.models.formulas import LOWEST_VOL, Pricer, quadratic_smile
from node.models.ssvi import fit_quotes

STEEPEST_WING: Final = 2.0
"""Of dw/d|k|: beyond, a wing admits arbitrage. Source: R. Lee, "The moment formula for implied
volatility at extreme strikes", Mathematical Finance, 2004."""
FEWEST_QUOTES: Final = 3
"""Of an expiry: for level, slope and curvature; the prior holds the rest."""

PRIOR_Z: Final = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
"""Where the snapshot's SSVI holds a smile, in standard deviations."""
PRIOR_WEIGHT: Final = 0.03
"""Of an error there, beside a quote's. It leaves the strikes between visible ones alone and keeps a
wing beyond them from running away: with half of the strikes hidden, on training days, RMSE 0.57
instead of 0.81 vol points."""

_CENTRES: Final = np.linspace(-1.5, 1.5, 7)
_WIDTHS: Final = np.geomspace(0.1, 6.0, 7)
"""The vertices that the search starts from, in standard deviations."""
_NEIGHBOURS: Final = np.array(
    [(dm, ds) for dm in (-1.0, 0.0, 1.0) for ds in (-1.0, 0.0, 1.0) if dm or ds]
)
_FIRST_STEP: Final = 0.3
_LAST_STEP: Final = 2e-3
_MOST_STEPS: Final = 80
_ABREAST: Final = 512
"""Expiries searched at once, of about equal numbers of quotes."""


@dataclass(frozen=True)
class Slices:
    """Raw SVI of many expiries. Shape: parameters [e, 5], NaN where not fitted."""

    expiries: Expiries
    parameters: Floats

    def vols(self, asked: Samples) -> Floats:
        """Decimal volatilities, NaN where the expiry was not fitted. Shape: [n]"""
        row = self.expiries.rows(asked)
        variance = raw_svi(asked.log_moneyness, self.parameters[row]) / asked.years
        vols = np.sqrt(np.maximum(variance, LOWEST_VOL**2))
        return np.where(row >= 0, vols, np.nan)


def raw_svi(k: Floats, parameters: Floats) -> Floats:
    """Total variance at log-moneyness k. Shape: k [...], parameters [..., 5] (a, b, rho, m, s)"""
    a, b, rho, m, s = np.moveaxis(parameters, -1, 0)
    return np.asarray(a + b * (rho * (k - m) + np.hypot(k - m, s)))


def svi(visible: Samples) -> Pricer:
    """Price other strikes of the same expiries from the visible ones.

    An expiry with fewer than `FEWEST_QUOTES` visible is priced by the quadratic smile.
    """
    slices = fit_svi(visible)

    def price(asked: Samples) -> Floats:
        vols = slices.vols(asked)
        return np.where(np.isfinite(vols), vols, quadratic_smile(asked))

    return price


def fit_svi(visible: Samples, prior_weight: float = PRIOR_WEIGHT) -> Slices:
    """The SVI of every expiry, by least squares of its volatilities.

    The SSVI of the same visible quotes is the prior. Bounds: no total variance below zero, no wing
    steeper than `STEEPEST_WING`. They are necessary against butterfly arbitrage, not sufficient.
    """
    expiries = Expiries.of(visible)
    surfaces, at_money = fit_quotes(visible, expiries)
    _, surface = expiries.surfaces()
    count = expiries.count
    parameters = np.full((count.size, 5), np.nan)
    by_size = np.argsort(count, kind="stable")
    by_size = by_size[count[by_size] >= FEWEST_QUOTES]
    for start in range(0, by_size.size, _ABREAST):
        rows = by_size[start : start + _ABREAST]
        at, filled = side_by_side(expiries.row, rows)
        theta = (visible.atm_vol**2 * visible.years)[at[:, 0]]
        quotes = _Quotes.of(visible, at, filled, theta)
        k = PRIOR_Z * np.sqrt(theta)[:, None]
        prior = surfaces.total_variance(surface[rows, None], k, at_money[rows, None])
        years = visible.years[at[:, 0]]
        quotes = quotes.held_by(prior / theta[:, None], theta / years, prior_weight)
        parameters[rows] = _raw(_fit(quotes), theta)
    return Slices(expiries, parameters)


@dataclass(frozen=True)
class _Quotes:
    """The quotes of expiries side by side, in units of the expiry's own standard deviation.

    Shape: z, share (total variance over that at the money), weight (0 where there is no quote)
    [e, q]; steepest [e].
    """

    z: Floats
    share: Floats
    weight: Floats
    steepest: Floats

    @classmethod
    def of(cls, samples: Samples, at: Integers, filled: Booleans, theta: Floats) -> "_Quotes":
        vol, years = samples.target_vol[at], samples.years[at]
        # An error of w is one of sigma times 2 sigma T.
        weight = theta[:, None] / (2.0 * vol * years) * filled
        steepest = STEEPEST_WING / np.sqrt(theta)
        k = samples.log_moneyness[at]
        share = vol**2 * years / theta[:, None]
        return cls(k / np.sqrt(theta)[:, None], share, weight, steepest)

    def held_by(self, share: Floats, variance: Floats, trust: float) -> "_Quotes":
        """With a prior's total variances at `PRIOR_Z`, as weak quotes. Shape: [e, p], [e]"""
        z = np.broadcast_to(PRIOR_Z, share.shape)
        weight = trust * np.sqrt(variance[:, None] / share) / 2.0
        return _Quotes(
            np.concatenate([self.z, z], axis=1),
            np.concatenate([self.share, share], axis=1),
            np.concatenate([self.weight, weight], axis=1),
            self.steepest,
        )

    def take(self, rows: Integers) -> "_Quotes":
        return _Quotes(self.z[rows], self.share[rows], self.weight[rows], self.steepest[rows])


def _fit(quotes: _Quotes) -> Floats:
    """a, p, q, m, ln s of each expiry, in standard deviations; p and q are s times the wings'
    slopes. Shape: [e, 5]"""
    vertices = np.array([(m, np.log(s)) for m in _CENTRES for s in _WIDTHS])
    count = len(quotes.z)
    every = np.broadcast_to(vertices, (count, *vertices.shape))
    best, error = _best(quotes, every)
    step = np.full(count, _FIRST_STEP)
    moving = np.arange(count)
    for _ in range(_MOST_STEPS):
        around = best[moving, None, 3:] + step[moving, None, None] * _NEIGHBOURS
        found, found_error = _best(quotes.take(moving), around)
        better = found_error < error[moving]
        best[moving[better]], error[moving[better]] = found[better], found_error[better]
        step[moving[~better]] /= 2.0
        moving = moving[step[moving] > _LAST_STEP]
        if not moving.size:
            break
    return best


def _best(quotes: _Quotes, vertices: Floats) -> tuple[Floats, Floats]:
    """The best of several vertices an expiry, and its error. Shape: [e, g, 2] -> [e, 5], [e]"""
    solved, error = _solve(quotes, vertices)
    rows, best = np.arange(len(error)), error.argmin(axis=1)
    return np.concatenate([solved, vertices], axis=2)[rows, best], error[rows, best]


def _solve(quotes: _Quotes, vertices: Floats) -> tuple[Floats, Floats]:
    """Weighted least squares of share = a + p up + q down with 0 <= p, q <= steepest s.

    Its lowest point is a + sqrt(p q); where the best would lie below zero, a = 0 stands in.

    Shape: vertices [e, g, 2] -> (a, p, q) [e, g, 3], squared error [e, g]
    """
    width = np.exp(vertices[..., 1, None])
    y = (quotes.z[:, None] - vertices[..., 0, None]) / width
    root = np.sqrt(y**2 + 1.0)
    weight = quotes.weight[:, None] ** 2
    up, down = 0.5 * (root + y), 0.5 * (root - y)
    w_up, w_down = weight * up, weight * down
    share = quotes.share[:, None]
    total = weight.sum(-1)
    one_up, one_down = w_up.sum(-1), w_down.sum(-1)
    up_up, down_down, up_down = (w_up * up).sum(-1), (w_down * down).sum(-1), (w_up * down).sum(-1)
    one, on_up, on_down = (weight * share).sum(-1), (w_up * share).sum(-1), (w_down * share).sum(-1)
    highest = quotes.steepest[:, None] * width[..., 0]
    p, q = _in_box(
        (
            up_up - one_up**2 / total,
            down_down - one_down**2 / total,
            up_down - one_up * one_down / total,
        ),
        (on_up - one * one_up / total, on_down - one * one_down / total),
        highest,
    )
    a = (one - one_up * p - one_down * q) / total
    p_zero, q_zero = _in_box((up_up, down_down, up_down), (on_up, on_down), highest)
    negative = a + np.sqrt(p * q) < 0.0
    a = np.where(negative, 0.0, a)
    p, q = np.where(negative, p_zero, p), np.where(negative, q_zero, q)
    solved = np.stack([a, p, q], axis=-1)
    residual = a[..., None] + p[..., None] * up + q[..., None] * down - share
    return solved, (weight * residual**2).sum(-1)


def _in_box(
    curvature: tuple[Floats, Floats, Floats], slope: tuple[Floats, Floats], highest: Floats
) -> tuple[Floats, Floats]:
    """The least of xx x^2 + 2 xy x y + yy y^2 - 2 (on_x x + on_y y) for x, y in [0, highest].

    It is the free one, if that lies inside, else the best of the four edges.
    """
    (xx, yy, xy), (on_x, on_y) = curvature, slope
    tiny = np.finfo(np.float64).tiny
    determinant = np.maximum(xx * yy - xy**2, tiny)
    free_x, free_y = (on_x * yy - on_y * xy) / determinant, (on_y * xx - on_x * xy) / determinant
    inside = (free_x >= 0.0) & (free_x <= highest) & (free_y >= 0.0) & (free_y <= highest)
    xs, ys = [], []
    for edge in (np.zeros_like(highest), highest):
        xs += [edge, np.clip((on_x - xy * edge) / np.maximum(xx, tiny), 0.0, highest)]
        ys += [np.clip((on_y - xy * edge) / np.maximum(yy, tiny), 0.0, highest), edge]
    x, y = np.stack(xs), np.stack(ys)
    value = xx * x**2 + 2.0 * xy * x * y + yy * y**2 - 2.0 * (on_x * x + on_y * y)
    best = value.argmin(axis=0)[None]
    edge_x, edge_y = (np.take_along_axis(part, best, axis=0)[0] for part in (x, y))
    return np.where(inside, free_x, edge_x), np.where(inside, free_y, edge_y)


def _raw(fitted: Floats, theta: Floats) -> Floats:
    """Back to a, b, rho, m, s in log-moneyness. Shape: [e, 5], [e] -> [e, 5]"""
    a, p, q, m, log_s = fitted.T
    root = np.sqrt(theta)
    s = np.exp(log_s) * root
    both = p + q
    rho = np.where(both > 0.0, (p - q) / np.where(both > 0.0, both, 1.0), 0.0)
    return np.stack([a * theta, 0.5 * both * theta / s, rho, m * root, s], axis=1)
