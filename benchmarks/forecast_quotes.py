"""What a forecast of the panel is worth at the quotes that come a day later.

    python -m benchmarks.forecast_quotes --data DIR [--seeds 3] [--json FILE]

A shared model prices the quotes of 24 hours later, their forwards known, from panels that were
known a day earlier: the panel as if nothing had changed, the forecasters' panels, and the surface
of that day at the same expiries (`aged`). From the quotes' own panel it shows what no forecast can
take away. `DIR` holds what `benchmarks/forecasting.py` reads.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self

import click
import numpy as np
import torch

from benchmarks.arbitrage import DESKS, together
from benchmarks.forecasting import Score, calendar_of, named, scores, show, state_of
from node.forecasting.forecasters import Forecaster, installed
from node.forecasting.pairs import Pairs, forecast_panel, surface_pairs
from node.forecasting.walk_forward import walk_forward
from node.learning.division import Market
from node.learning.training import TrainingSettings
from node.market.panel import Floats, Integers
from node.market.pipeline import cleaned_chain
from node.market.quotes import DAYS_PER_YEAR, MICROSECONDS_PER_DAY, VOL_POINTS
from node.market.samples import Samples
from node.market.sources import quotes_of
from node.market.state import DAY
from node.models.formulas import Pricer
from node.models.smile import SMILE

TENOR_DAYS: Final = {
    "all": (0.0, np.inf),
    "to 7 d": (0.0, 7.0),
    "7 to 30 d": (7.0, 30.0),
    "from 30 d": (30.0, np.inf),
}
OVERLAP: Final = 3
"""Forecasts that reach over their successors' origins: snapshots are six hours apart."""


@dataclass(frozen=True)
class Later:
    """Quotes, and the pairs of which one is a quote's: it ends at the quote's moment.

    Shape: rows [p] (of all pairs), of [n] (a quote's place among them)
    """

    pairs: Pairs
    rows: Integers
    quotes: Samples
    of: Integers

    @classmethod
    def joined(cls, quotes: Samples, pairs: Pairs, start: int) -> Self:
        """The quotes that were a day off at `start` (microseconds since 1970) or later."""
        asked = (pairs.origin >= start) & np.isfinite(pairs.later).all(axis=1)
        rows = np.flatnonzero(asked)
        rows = rows[np.lexsort((pairs.is_btc[rows], pairs.target[rows]))]
        ends = forecast_panel(pairs.take(rows), pairs.now[rows])
        of = ends.rows(quotes.snapshot, quotes.is_btc)
        return cls(pairs, rows, quotes.take(of >= 0), of[of >= 0])

    def by(self, log_vols: Floats) -> Samples:
        """The quotes beside forecasts of all pairs. Shape: log_vols [pairs, 15]"""
        ends = forecast_panel(self.pairs.take(self.rows), log_vols[self.rows])
        beside = replace(self.quotes, surfaces=ends.vols, surface_row=self.of.astype(np.int32))
        return beside.elsewhere(self.quotes.log_moneyness, self.quotes.years)

    def aged(self) -> Samples:
        """The quotes' expiries at the same moneyness, asked when the forecast was made."""
        row = self.rows[self.of]
        beside = replace(self.by(self.pairs.now), snapshot=self.pairs.origin[row])
        days = (self.pairs.target - self.pairs.origin)[row] / MICROSECONDS_PER_DAY
        years = self.quotes.years + days / DAYS_PER_YEAR
        return beside.elsewhere(self.quotes.log_moneyness, years)


def errors(later: Later, price: Pricer, forecasts: Mapping[str, Floats]) -> dict[str, Floats]:
    """Vol points off the mark, by what the panel was.

    Shape: forecasts [seeds, pairs, 15] -> [seeds, n]
    """

    def off(asked: Samples) -> Floats:
        return VOL_POINTS * (price(asked) - later.quotes.target_vol)

    found = {
        name: np.stack([off(later.by(each)) for each in of_seeds])
        for name, of_seeds in forecasts.items()
    }
    alone = {"aged": later.aged(), "own panel": later.by(later.pairs.later)}
    return found | {name: off(asked)[None] for name, asked in alone.items()}


def compared(
    market: Market, pairs: Pairs, price: Pricer, forecasters: Mapping[str, Forecaster], seeds: int
) -> Iterator[tuple[str, dict[str, Score]]]:
    """Every window and stretch of tenors."""
    refits, _ = calendar_of(market.split)
    forecasts = {
        name: np.stack([walk_forward(pairs, each.fit, refits, seed) for seed in range(seeds)])
        for name, each in forecasters.items()
    }
    for window, quotes in market.windows.items():
        later = Later.joined(quotes, pairs, max(refits[0], int(quotes.snapshot.min())))
        off = errors(later, price, forecasts)
        days = later.quotes.tenor_days
        for stretch, (low, high) in TENOR_DAYS.items():
            rows = (days > low) & (days <= high)
            kept = {name: error[:, rows, None] for name, error in off.items()}
            yield f"{window} {stretch}", scores(later.quotes.snapshot[rows], kept, OVERLAP)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--seeds", type=click.IntRange(1), default=1, help="Each is three networks already.")
@click.option("--json", "file", type=click.Path(path_type=Path))
def main(data: Path, seeds: int, file: Path | None) -> None:
    """Print a table for each window and stretch of tenors."""
    torch.set_num_threads(1)
    quotes = cleaned_chain(quotes_of(data / "deribit_chains"))
    market = Market.of(quotes).divided("desks", DESKS, 0)
    pairs = surface_pairs(market.panel, DAY, state_of(quotes, market.panel))
    price = partial(SMILE.predict, together(market, TrainingSettings(), 0))
    found = {}
    for question, scored in compared(market, pairs, price, installed("surface"), seeds):
        found[question] = {name: asdict(score) for name, score in scored.items()}
        show(question, scored)
    if file is not None:
        told = {"forecasters": named("surface"), **found}
        file.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
