"""How much static arbitrage a model version holds, on panels alone: nobody's quotes are needed.

The grid is finer and wider than what training looks at, and the same for every pricer, so that
anybody who has a model and the public panels finds the same rates.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from node.market.panel import Integers, Panel
from node.market.samples import Samples, grid_samples
from node.models.arbitrage import (
    LARGEST_SLOPE,
    LONGEST_YEARS,
    REACH_Z,
    SHORTEST_YEARS,
    TOLERANCE,
    Conditions,
    Stencil,
)
from node.models.expiries import Expiries
from node.models.formulas import Pricer
from protocol.errors import DataError

Z: Final = np.linspace(-REACH_Z, REACH_Z, 121)
YEARS: Final = np.geomspace(SHORTEST_YEARS, LONGEST_YEARS, 41)
WING_Z: Final = np.array([-10.0, -8.0, -6.0, 6.0, 8.0, 10.0])
PANELS: Final = 64
"""Audited at most, half of each coin's and evenly spaced: neighbours in time hardly differ."""


@dataclass(frozen=True)
class Audit:
    """Shares are of grid points; depths are by how much the worst point misses its condition."""

    panels: int
    points: int
    calendar: float
    """Share of points where total variance falls with time."""
    butterfly: float
    """Share of points where the implied density is negative."""
    wings: float
    """Share of wing points whose total variance is steeper than `LARGEST_SLOPE`."""
    calendar_depth: float
    butterfly_depth: float
    steepest_wing: float
    worst_snapshot: int
    """Microseconds since 1970, of the panel with most violations of the first two."""
    broken_days: tuple[float, float] | None
    """The shortest and the longest time at which one of the first two is missed."""
    broken_from_z: float | None
    """The nearest to the money that one of them is missed, in standard deviations."""


def audit(price: Pricer, panel: Panel, panels: int = PANELS) -> Audit:
    """Audit a pricer, such as `partial(architecture.predict, vector)`.

    Raises: DataError without panels.
    """
    if not panel.snapshot.size:
        raise DataError("at least one reference panel is wanted for an audit, found none")
    some = _evenly(panel, panels)
    grid = grid_samples(some, Z, YEARS)
    found = _conditions(price, grid)
    wing_slope = np.abs(_conditions(price, grid_samples(some, WING_Z, YEARS)).slope.numpy())
    falls, dents = (part.numpy() for part in found.broken())
    broken = falls | dents
    each = broken.reshape(some.snapshot.size, -1).mean(axis=1)
    days, far = grid.tenor_days[broken], np.abs(grid.z[broken])
    return Audit(
        panels=some.snapshot.size,
        points=len(grid),
        calendar=float(falls.mean()),
        butterfly=float(dents.mean()),
        wings=float((~(wing_slope <= LARGEST_SLOPE)).mean()),
        calendar_depth=max(0.0, -float(found.calendar.min())),
        butterfly_depth=max(0.0, -float(found.butterfly.min())),
        steepest_wing=float(wing_slope.max()),
        worst_snapshot=int(some.snapshot[each.argmax()]),
        broken_days=(float(days.min()), float(days.max())) if days.size else None,
        broken_from_z=float(far.min()) if far.size else None,
    )


@dataclass(frozen=True)
class ListedAudit:
    """Shares of points at listed expiries."""

    calendar: float
    """Of the strikes of an expiry with a later one: where that has less total variance."""
    butterfly: float
    """Of all expiries' strikes: where the implied density is negative."""
    points: int
    pairs: int
    """Points of the first share."""


def audit_listed(price: Pricer, samples: Samples, reach_z: float = REACH_Z) -> ListedAudit:
    """Audit a pricer at nothing but the samples' own expiries, all of them, within `reach_z`.

    It is for pricers that know no other times, such as a smile for each expiry: calendar arbitrage
    is looked for between an expiry and the next, at the strikes of the earlier.
    """
    expiries = Expiries.of(samples)
    _, surface = expiries.surfaces()
    each = samples.take(np.unique(expiries.row, return_index=True)[1])
    z = np.linspace(-reach_z, reach_z, Z.size)
    at = each.take(np.repeat(np.arange(len(each)), z.size))
    k = np.tile(z, len(each)) * at.atm_vol * np.sqrt(at.years)
    points = at.elsewhere(k, at.years)
    dents = _conditions(price, points).broken()[1].numpy()
    earlier = np.flatnonzero(surface[1:] == surface[:-1])
    near = points.take((earlier[:, None] * z.size + np.arange(z.size)).ravel())
    far = each.take(np.repeat(earlier + 1, z.size))
    far = far.elsewhere(near.log_moneyness, far.years)
    grows = np.log((price(far) / price(near)) ** 2 * far.years / near.years)
    falls = ~(grows >= -TOLERANCE * np.log(far.years / near.years))
    return ListedAudit(float(falls.mean()), float(dents.mean()), len(points), len(near))


def _evenly(panel: Panel, count: int) -> Panel:
    coins = (np.flatnonzero(panel.is_btc == coin) for coin in (False, True))
    chosen = [rows[_spread(rows.size, -(-count // 2))] for rows in coins]
    return panel.take(np.sort(np.concatenate(chosen)))


def _spread(size: int, count: int) -> Integers:
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(np.int64))


def _conditions(price: Pricer, points: Samples) -> Conditions:
    stencil = Stencil.about(points)
    return stencil.conditions(
        torch.from_numpy(np.asarray(price(stencil.samples), dtype=np.float64))
    )
