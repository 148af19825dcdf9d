"""How much static arbitrage a model version holds, on panels alone: nobody's quotes are needed.

Where training looks at random points, the audit looks at a grid, the same for every pricer, so that
anybody who has a model and the public panels finds the same rates: once as far out in strikes and
times as training looks, and once, wide, farther than it ever does.
"""

from dataclasses import dataclass, fields
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
WIDE_Z: Final = np.linspace(-8.0, 8.0, 81)
WIDE_YEARS: Final = np.geomspace(0.5 * SHORTEST_YEARS, 1.5 * LONGEST_YEARS, 41)
"""Half a day to a year and a half; the prior goes on beyond the panel's tenors."""
WING_Z: Final = np.array([-10.0, -8.0, -6.0, 6.0, 8.0, 10.0])
PANELS: Final = 64
"""Audited at most, half of each coin's and evenly spaced: neighbours in time hardly differ."""


@dataclass(frozen=True)
class Limits:
    """The shares of points up to which a model is accepted; the fields are those of `Audit`.

    Source: docs/arbitrage.md, "Limits": what honest models show at their worst, with room.
    """

    calendar: float = 0.005
    butterfly: float = 0.002
    wings: float = 0.01
    wide_calendar: float = 0.03
    wide_butterfly: float = 0.01


LIMITS: Final = Limits()


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
    wide_points: int
    wide_calendar: float
    """As `calendar`, of the points of the wide grid."""
    wide_butterfly: float

    def beyond(self, limits: Limits = LIMITS) -> tuple[str, ...]:
        """What keeps the model from being accepted, in words; nothing where it is accepted."""
        return tuple(
            f"{limit.name} {found:.3%}, accepted up to {most:.3%}"
            for limit in fields(limits)
            if (found := getattr(self, limit.name)) > (most := getattr(limits, limit.name))
        )


def audit(price: Pricer, panel: Panel, panels: int = PANELS, every: int = 1) -> Audit:
    """Audit a pricer, such as `partial(architecture.predict, vector)`.

    With `every` 2 or 4, at only each second or fourth strike of the grids.

    Raises: DataError without panels.
    """
    if not panel.snapshot.size:
        raise DataError("at least one reference panel is wanted for an audit, found none")
    some = evenly(panel, panels)
    grid = grid_samples(some, Z[::every], YEARS)
    wide = grid_samples(some, WIDE_Z[::every], WIDE_YEARS)
    found = _conditions(price, grid)
    wide_falls, wide_dents = _conditions(price, wide).broken()
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
        wide_points=len(wide),
        wide_calendar=float(wide_falls.double().mean()),
        wide_butterfly=float(wide_dents.double().mean()),
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


def evenly(panel: Panel, count: int) -> Panel:
    """So many of the panels, or all: half of each coin's, evenly spaced."""
    coins = (np.flatnonzero(panel.is_btc == coin) for coin in (False, True))
    chosen = [rows[_spread(rows.size, -(-count // 2))] for rows in coins]
    return panel.take(np.sort(np.concatenate(chosen)))


def panel_behind(samples: Samples) -> Panel:
    """The panels that samples are priced by, each once."""
    row, size = samples.surface_row, len(samples.surfaces)
    snapshot, is_btc = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.bool_)
    snapshot[row], is_btc[row] = samples.snapshot, samples.is_btc
    rows = np.flatnonzero(snapshot >= 0)
    # A snapshot may have its panel twice: under a desk's quotes and under the public points.
    rows = rows[np.unique(snapshot[rows] * 2 + is_btc[rows], return_index=True)[1]]
    return Panel(snapshot[rows], is_btc[rows], samples.surfaces[rows], incomplete=0)


def _spread(size: int, count: int) -> Integers:
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(np.int64))


def _conditions(price: Pricer, points: Samples) -> Conditions:
    stencil = Stencil.about(points)
    return stencil.conditions(
        torch.from_numpy(np.asarray(price(stencil.samples), dtype=np.float64))
    )
