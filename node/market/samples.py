"""Quotes beside the panel of their snapshot: what is to be explained, and what by."""

from dataclasses import dataclass, fields, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from node.market.panel import (
    AT_MONEY,
    TENOR_YEARS,
    THIRTY_DAYS,
    Booleans,
    Floats,
    Integers,
    Panel,
    vols_at,
    with_geometry,
)
from node.market.quotes import DAYS_PER_YEAR
from protocol.errors import DataError

ANCHOR_Z: Final = np.array([-1.0, 0.0, 1.0])
"""Where the panel quotes, in standard deviations."""


@dataclass(frozen=True)
class Samples:
    """Quotes ready for a model; one row a quote, volatilities are decimal.

    Shape: surfaces [m, 3, 5], panel_vols [n, 3] (z = -1, 0, +1 at the quote's expiry), all others
    [n].
    """

    surfaces: Floats
    """The panels that the quotes are priced by, which many quotes share."""
    surface_row: npt.NDArray[np.int32]
    """Which of them is a quote's."""
    atm_vol: Floats
    panel_vols: Floats
    atm_30d_vol: Floats
    target_vol: Floats
    """From the exchange's mark."""
    mid_vol: Floats
    bid_vol: Floats
    ask_vol: Floats
    forward: Floats
    strike: Floats
    years: Floats
    z: Floats
    """Log-moneyness in standard deviations: k / (ATM vol x sqrt(years))."""
    is_btc: Booleans
    snapshot: Integers
    """Microseconds since 1970."""

    def __len__(self) -> int:
        return self.z.size

    @property
    def tenor_days(self) -> Floats:
        return self.years * DAYS_PER_YEAR

    @property
    def log_moneyness(self) -> Floats:
        """k = ln(strike / forward)."""
        return self.z * self.atm_vol * np.sqrt(self.years)

    @classmethod
    def join(cls, *parts: Self) -> Self:
        """All rows of several samples, one after another."""
        return cls.join_taking(list(parts))

    @classmethod
    def join_taking(cls, parts: list[Self]) -> Self:
        """As `join`, but the list is emptied: of parts that nobody else holds, a column goes as
        soon as it is joined, so there are never two of everything."""
        shared = all(part.surfaces is parts[0].surfaces for part in parts)
        surfaces = [part.surfaces for part in parts]
        sizes = [0 if shared else len(each) for each in surfaces]
        offsets = np.cumsum([0, *sizes[:-1]], dtype=np.int32)
        columns = {name: [getattr(part, name) for part in parts] for name in cls.columns()}
        parts.clear()
        rows = zip(columns["surface_row"], offsets, strict=True)
        columns["surface_row"] = [row + offset for row, offset in rows]
        joined = {name: np.concatenate(columns.pop(name)) for name in cls.columns()}
        return cls(surfaces=surfaces[0] if shared else np.concatenate(surfaces), **joined)

    def take(self, rows: Booleans | Integers | slice) -> Self:
        """The rows of a mask, of an index or of a slice."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.columns()})

    def elsewhere(self, log_moneyness: Floats, years: Floats) -> Self:
        """The same rows' surfaces asked at other strikes and times, as `grid_samples` asks them.

        Shape: log_moneyness, years [n].
        """
        at_expiry = vols_at(self.surfaces[self.surface_row], years)
        atm_vol = at_expiry[:, AT_MONEY]
        return replace(
            self,
            atm_vol=atm_vol,
            panel_vols=at_expiry,
            target_vol=atm_vol,
            mid_vol=atm_vol,
            bid_vol=atm_vol,
            ask_vol=atm_vol,
            strike=self.forward * np.exp(log_moneyness),
            years=years,
            z=log_moneyness / (atm_vol * np.sqrt(years)),
        )

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """The fields with one row a quote."""
        return tuple(field.name for field in fields(cls) if field.name != "surfaces")


def build_samples(clean_quotes: pl.DataFrame, panel: Panel) -> Samples:
    """Join cleaned quotes with the panel of their snapshot; quotes without a panel are left out.

    Raises: DataError if nothing is left.
    """
    return not_empty(priced_by(clean_quotes, panel), clean_quotes.height)


def not_empty(samples: Samples, quotes: int) -> Samples:
    """The samples that were made of so many quotes.

    Raises: DataError if there is none.
    """
    if len(samples) == 0:
        raise DataError(
            f"quotes of snapshots with a reference panel are wanted, found {quotes} quotes and"
            f" {len(samples.surfaces)} panels without a snapshot in common; build the panel from"
            " the whole chain of the same days"
        )
    return samples


def priced_by(clean_quotes: pl.DataFrame, panel: Panel) -> Samples:
    """As `build_samples`, but nothing left is no error."""
    located = with_geometry(clean_quotes)
    row = panel.rows(located["snapshot"].to_numpy(), located["is_btc"].to_numpy())
    kept = (row >= 0) & (located["years"].to_numpy() > 0)
    located, row = located.filter(pl.Series(kept)), row[kept]
    years = located["years"].to_numpy()
    at_expiry = vols_at(panel.vols[row], years)
    z = located["k"].to_numpy() / (at_expiry[:, AT_MONEY] * np.sqrt(years))
    return Samples(
        surfaces=panel.vols,
        surface_row=row.astype(np.int32),
        atm_vol=at_expiry[:, AT_MONEY],
        panel_vols=at_expiry,
        atm_30d_vol=panel.vols[row, AT_MONEY, THIRTY_DAYS],
        target_vol=located["mark_iv"].to_numpy(),
        mid_vol=located["mid_iv"].to_numpy(),
        bid_vol=located["bid_iv"].to_numpy(),
        ask_vol=located["ask_iv"].to_numpy(),
        forward=located["forward_usd"].to_numpy(),
        strike=located["strike_usd"].to_numpy(),
        years=years,
        z=z,
        is_btc=located["is_btc"].to_numpy(),
        snapshot=located["snapshot"].to_numpy(),
    )


def anchor_samples(panel: Panel) -> Samples:
    """The panel's own fifteen points a snapshot and coin, with the answers that it quotes."""
    points = grid_samples(panel, ANCHOR_Z, TENOR_YEARS)
    vols = panel.vols.transpose(0, 2, 1).ravel()
    return replace(points, target_vol=vols, mid_vol=vols, bid_vol=vols, ask_vol=vols)


def grid_samples(panel: Panel, z: Floats, years: Floats) -> Samples:
    """Every panel's surface at every pair of `years` and `z`, in this order, without an answer.

    The volatilities to be explained are those at the money, and the forward is 1.

    Shape: z [a], years [b] -> m b a rows.
    """
    count, points = panel.snapshot.size, z.size * years.size
    row = np.repeat(np.arange(count, dtype=np.int32), points)
    all_years = np.tile(np.repeat(years, z.size), count)
    all_z = np.tile(z, years.size * count)
    at_expiry = vols_at(panel.vols[row], all_years)
    atm_vol, forward = at_expiry[:, AT_MONEY], np.ones(row.size)
    return Samples(
        surfaces=panel.vols,
        surface_row=row,
        atm_vol=atm_vol,
        panel_vols=at_expiry,
        atm_30d_vol=panel.vols[row, AT_MONEY, THIRTY_DAYS],
        target_vol=atm_vol,
        mid_vol=atm_vol,
        bid_vol=atm_vol,
        ask_vol=atm_vol,
        forward=forward,
        strike=forward * np.exp(all_z * atm_vol * np.sqrt(all_years)),
        years=all_years,
        z=all_z,
        is_btc=panel.is_btc[row],
        snapshot=panel.snapshot[row],
    )
