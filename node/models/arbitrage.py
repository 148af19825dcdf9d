"""Static arbitrage of a surface of total variance w(k, T) = sigma^2 T, at points of its own.

No calendar arbitrage: w does not fall in T at a fixed log-moneyness k. No butterfly arbitrage: the
density that prices imply is not negative, which is Durrleman's

    g = (1 - k w' / (2 w))^2 - w'^2 / 4 (1 / w + 1 / 4) + w'' / 2 >= 0, ' being d/dk.

Far out w grows by at most 2 a unit of |k|. All three need the surface alone, nobody's quotes.

Source: J. Gatheral, A. Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance,
2014 (both conditions); R. Lee, "The moment formula for implied volatility at extreme strikes",
Mathematical Finance, 2004 (the wings).
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss, relu

from node.market.panel import AT_MONEY, TENOR_YEARS, vols_at
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.moved_panels import moved

REACH_Z: Final = 6.0
"""Standard deviations from the forward within which a surface is asked to be free of arbitrage."""
SHORTEST_YEARS: Final = 1.0 / DAYS_PER_YEAR
LONGEST_YEARS: Final = 1.0
WATCHED_Z: Final = 6.4
"""So far training looks: points drawn up to the edge itself hardly ever lie at it."""
WATCHED_TIMES: Final = 1.15
"""By this factor it looks at shorter and at longer times."""
MOVED: Final = 0.5
"""The share of the points that training looks at on panels unlike any seen."""
CANDIDATES: Final = 4
"""Points that training chooses from, for each that it looks at in a round."""
NEAREST: Final = 0.25
"""The share of a round's points where the model that it starts from comes nearest to arbitrage: a
model breaks one point of ten thousand, which chance would not find. The others are drawn."""
TOLERANCE: Final = 1e-3
"""Of the first two conditions, which are 1 for a flat surface: float32 rounds a tenth of it."""
LARGEST_SLOPE: Final = 2.0
"""Of total variance in log-moneyness."""
MARGIN: Final = 0.1
"""Training asks for so much more than nothing, so that what it did not look at is free too. Source:
docs/arbitrage.md."""
ROWS: Final = 4
"""Of a stencil, a point: itself, a lower strike, a higher strike, a later time."""

DEEP: Final = 0.2
"""Of what falls short of the margin."""
TENOR_SHARE: Final = 1.0 / 3.0
"""Of the points that training looks at. What is interpolated between tenors bends at them: most of
what a model breaks, it breaks just before one."""
TENOR_REACH: Final = 0.15
"""In the logarithm of time."""

_STRIKE_STEP_Z: Final = 0.1
"""In standard deviations. A module answers in float32, whose rounding moves g by 1e-4 here and by a
hundred times as much at a tenth of the step."""
_TIME_STEP: Final = 0.02
"""Relative. A calendar spread over a finite time, so what falls here is an arbitrage by itself."""


@dataclass(frozen=True)
class Conditions:
    """Shape: each [n]. Below zero, the first two are arbitrage."""

    calendar: Tensor
    """d ln w / d ln T at a fixed strike; 1 where volatility does not depend on time."""
    butterfly: Tensor
    """Durrleman's g; 1 where volatility does not depend on the strike."""
    slope: Tensor
    """dw / dk; arbitrage beyond `LARGEST_SLOPE` in the far wings."""

    def broken(self) -> tuple[Tensor, Tensor]:
        """Where calendar and butterfly miss by more than the tolerance, or are no number."""
        return ~(self.calendar >= -TOLERANCE), ~(self.butterfly >= -TOLERANCE)


@dataclass(frozen=True)
class Stencil:
    """Points of surfaces, each with the neighbours that its derivatives are taken from.

    Differences, not automatic differentiation: one pass through a module over four times the points
    costs less than differentiating it twice more, and it serves every pricer.

    Shape: samples has `ROWS` rows a point, one point after another; all others [n].
    """

    samples: Samples
    log_moneyness: Tensor
    years: Tensor
    step: Tensor
    """From a strike to the next, in log-moneyness."""

    @classmethod
    def about(cls, points: Samples) -> Self:
        """The stencil of points, whatever was quoted there."""
        k, years = points.log_moneyness, points.years
        step = _STRIKE_STEP_Z * points.atm_vol * np.sqrt(years)
        strikes = np.stack([k, k - step, k + step, k], axis=1)
        times = np.stack([years, years, years, years * (1.0 + _TIME_STEP)], axis=1)
        each = points.take(np.repeat(np.arange(len(points)), ROWS))
        asked = each.elsewhere(strikes.ravel(), times.ravel())
        return cls(asked, *(torch.from_numpy(part.copy()) for part in (k, years, step)))

    @classmethod
    def scattered(cls, samples: Samples, count: int, seed: int, unlike: float = 0.0) -> Self:
        """Random points of the surfaces of random samples: even in z and in the log of time, but
        for a third, whose times lie about the panel's tenors. A share of them is `unlike` those
        surfaces."""
        rng = np.random.default_rng(seed)
        some = samples.take(rng.integers(len(samples), size=count))
        if unlike:
            some = moved(some, samples, unlike, rng)
        z = rng.uniform(-WATCHED_Z, WATCHED_Z, count)
        shortest, longest = SHORTEST_YEARS / WATCHED_TIMES, LONGEST_YEARS * WATCHED_TIMES
        times = rng.uniform(np.log(shortest), np.log(longest), count)
        about = rng.choice(np.log(TENOR_YEARS), count) + rng.uniform(
            -TENOR_REACH, TENOR_REACH, count
        )
        years = np.exp(np.where(rng.random(count) < TENOR_SHARE, about, times))
        at_money = vols_at(some.surfaces[some.surface_row], years)[:, AT_MONEY]
        return cls.about(some.elsewhere(z * at_money * np.sqrt(years), years))

    def conditions(self, vols: Tensor) -> Conditions:
        """What decimal volatilities of the samples mean at the points; differentiable in them.

        Shape: vols [4 n].
        """
        return _conditions(vols, self.log_moneyness, self.years, self.step)


@dataclass(frozen=True)
class Watch:
    """What training looks at beside its quotes: points of surfaces, on its device.

    Shape: seen [looks, 4 n, ...], as the module takes it; geometry [looks, 3, n] (log-moneyness,
    years, step).
    """

    seen: tuple[Tensor, ...]
    geometry: Tensor

    @classmethod
    def over(
        cls,
        architecture: Architecture,
        samples: Samples,
        shape: tuple[int, int],
        seed: int,
        device: str,
        *,
        unlike: float = 0.0,
    ) -> Self:
        """Random points of the surfaces that samples are priced by; `shape` is (looks, n). A share
        of them is on surfaces `unlike` those."""
        looks, count = shape
        stencil = Stencil.scattered(samples, looks * count, seed, unlike)
        parts = [stencil.log_moneyness, stencil.years, stencil.step]
        geometry = torch.stack([part.view(looks, count) for part in parts], dim=1)
        seen = [
            part.view(looks, ROWS * count, *part.shape[1:])
            for part in architecture.seen(stencil.samples)
        ]
        return cls(tuple(part.to(device) for part in seen), geometry.to(device, torch.float32))

    def chosen(self, module: nn.Module, seed: int) -> "Watch":
        """A round's looks: one of `CANDIDATES` of these points, `NEAREST` of them where the module
        falls short the most, the others at random."""
        looks, count = len(self.geometry) // CANDIDATES, self.geometry.shape[2]
        wanted = looks * count
        with torch.no_grad():
            answers = [
                module(*(part[look] for part in self.seen)) for look in range(len(self.geometry))
            ]
            found = _conditions(torch.cat(answers), *self.geometry.transpose(0, 1).flatten(1))
        least = torch.minimum(found.calendar, found.butterfly)
        nearest = torch.argsort(least.cpu(), stable=True)
        near = round(NEAREST * wanted)
        generator = torch.Generator().manual_seed(seed)
        others = torch.randperm(least.numel() - near, generator=generator)[: wanted - near]
        points = torch.cat([nearest[:near], nearest[near:][others]])
        points = points[torch.randperm(wanted, generator=generator)].to(least.device)
        seen = tuple(
            part.view(-1, ROWS, *part.shape[2:])[points].view(looks, ROWS * count, *part.shape[2:])
            for part in self.seen
        )
        geometry = self.geometry.transpose(1, 2).reshape(-1, 3)[points]
        return Watch(seen, geometry.view(looks, count, 3).transpose(1, 2).contiguous())

    def conditions(self, vols: Tensor, look: int) -> Conditions:
        """What a module's answer to a look means. Shape: vols [4 n]"""
        return _conditions(vols, *self.geometry[look])

    def penalty(self, module: nn.Module, look: int, margin: float = MARGIN) -> Tensor:
        """Mean of what falls short of the margin, calendar and butterfly together, squared.

        Where it is deep it grows straight: a bent model would outweigh every quote.
        """
        found = self.conditions(module(*(part[look] for part in self.seen)), look)
        short = relu(margin - torch.stack([found.calendar, found.butterfly]))
        return 4.0 * huber_loss(short, torch.zeros_like(short), delta=DEEP)


def _conditions(vols: Tensor, log_moneyness: Tensor, years: Tensor, step: Tensor) -> Conditions:
    at, lower, upper, later = vols.view(-1, ROWS).unbind(dim=1)
    calendar = 1.0 + 2.0 * torch.log(later / at) / math.log1p(_TIME_STEP)
    w, w_lower, w_upper = (vol**2 * years for vol in (at, lower, upper))
    slope = (w_upper - w_lower) / (2.0 * step)
    bend = (w_upper - 2.0 * w + w_lower) / step**2
    straight = 1.0 - log_moneyness * slope / (2.0 * w)
    butterfly = straight**2 - slope**2 / 4.0 * (1.0 / w + 0.25) + bend / 2.0
    return Conditions(calendar, butterfly, slope)
