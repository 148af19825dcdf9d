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
    Conditions,
    Stencil,
)
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
    each = (falls | dents).reshape(some.snapshot.size, -1).mean(axis=1)
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
    )


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
