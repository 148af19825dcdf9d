"""What the panel alone says of a point, without any training: the volatility of round 0.

Total variance is interpolated in business time, so a weekend between two tenors is where it is, and
goes on beyond the last tenor as it went before it. Across strikes variance is a hyperbola in z
through the panel's three points: about quadratic between them, straight in the wings.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Self

import torch
from torch import Tensor

from node.market.panel import AT_MONEY, LOWER, TENOR_YEARS, UPPER, Panel
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import Samples, anchor_samples
from node.models import clock
from node.models.points import Points

BEND: Final = 3.0
"""Standard deviations at which the wings turn from bent to straight. Alone, 4 errs least on
Deribit's marks of January to April 2026 (1.31 vol points; 3: 1.35, 2: 1.68, a parabola: 1.51); what
is trained on it errs less with 3 on weeks of more volatility than it has seen."""
LOWEST_VARIANCE: Final = 0.1
"""Of the variance at the money: a wing that falls flattens out above it."""
_SHARPNESS: Final = 12.0


@dataclass(frozen=True)
class Prior:
    """Shape: business_days, gap, z, vol [n]; at_expiry [n, 3] (decimal; z = -1, 0, +1)."""

    business_days: Tensor
    """To the expiry."""
    gap: Tensor
    """How far the expiry is from a tenor: 0 at one, 1/2 in the middle between two, and outside the
    panel the logarithm of the ratio to the last one."""
    at_expiry: Tensor
    """The panel's three volatilities at the point's time."""
    z: Tensor
    """Log-moneyness in standard deviations, by `at_expiry`."""
    vol: Tensor

    @classmethod
    def of(cls, points: Points) -> Self:
        """Differentiable in the points' log-moneyness and time."""
        business_days = clock.between(points.day, points.years * DAYS_PER_YEAR)
        tenors = clock.to_tenors(points.day)
        gap, total = interpolated(business_days, tenors, points.surface)
        at_expiry = torch.sqrt(total / points.years[:, None])
        z = points.log_moneyness / (at_expiry[:, AT_MONEY] * torch.sqrt(points.years))
        return cls(business_days, gap, at_expiry, z, _hyperbola(z, at_expiry))


def prior_anchors(panel: Panel) -> Samples:
    """The panel's points on the clock, as samples whose answer everybody knows, to train on too.

    They hold in place what a desk has never seen. The prior answers, not the panel: that lies
    between Fridays in plain time at seven days, and is off by 1.5 vol points on the clock.
    """
    anchors = anchor_samples(panel)
    vols = Prior.of(Points.of(anchors)).vol.numpy()
    return replace(anchors, target_vol=vols, mid_vol=vols, bid_vol=vols, ask_vol=vols)


def interpolated(now: Tensor, tenors: Tensor, surface: Tensor) -> tuple[Tensor, Tensor]:
    """The gap and the panel's total variances at times, on the clock of the tenors.

    Shape: now [n], tenors [n, 5], surface [n, 3, 5] -> [n], [n, 3]
    """
    variances = surface**2 * torch.from_numpy(TENOR_YEARS).to(surface)
    right = torch.searchsorted(tenors, now.detach()[:, None]).clamp(1, tenors.shape[1] - 1)
    start, end = (tenors.gather(1, place)[:, 0] for place in (right - 1, right))
    near, far = (
        torch.take_along_dim(variances, place[:, None], 2)[:, :, 0] for place in (right - 1, right)
    )
    share = (now - start) / (end - start)
    first, last = tenors[:, 0], tenors[:, -1]
    early, late = now < first, now > last
    inside = near + share[:, None] * (far - near)
    # Invariant: total variance never falls with time beyond the panel, whatever the panel says.
    beyond = far + (share - 1.0)[:, None] * (far - near).clamp(min=0.0)
    short = variances[:, :, 0] * (now / first)[:, None]
    total = torch.where(early[:, None], short, torch.where(late[:, None], beyond, inside))
    outside = torch.log(torch.where(early, first / now, now / last).clamp(min=1.0))
    return torch.where(early | late, outside, 2.0 * share * (1.0 - share)), total


def _hyperbola(z: Tensor, at_expiry: Tensor) -> Tensor:
    """Volatility at z: variance 1 + b z + c (sqrt(1 + (z / s)^2) - 1) times that at the money."""
    relative = (at_expiry / at_expiry[:, [AT_MONEY]]) ** 2
    lower, upper = relative[:, LOWER], relative[:, UPPER]
    slope = (upper - lower) / 2.0
    curvature = ((upper + lower) / 2.0 - 1.0) / (math.sqrt(1.0 + BEND**-2) - 1.0)
    variance = 1.0 + slope * z + curvature * (torch.sqrt(1.0 + (z / BEND) ** 2) - 1.0)
    floored = torch.nn.functional.softplus(variance - LOWEST_VARIANCE, beta=_SHARPNESS)
    return at_expiry[:, AT_MONEY] * torch.sqrt(LOWEST_VARIANCE + floored)
