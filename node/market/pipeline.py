"""From batches of quotes to samples, without ever holding all quotes at once.

A batch holds whole snapshots, so each is cleaned, gives its panels and becomes samples by itself;
what is kept is the samples, 117 bytes each. The results are those of one whole table, bit for
bit.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from node.market.batches import Batch
from node.market.cleaning import DEFAULT_RULES, REASONS, CleaningRules, clean
from node.market.panel import Panel, build_panel
from node.market.quotes import QUOTES
from node.market.samples import Samples, not_empty, priced_by

_NOTHING: Final = clean(QUOTES.to_frame()).quotes
"""A cleaned table without quotes."""


@dataclass
class Tally:
    """What became of the rows so far."""

    quotes: int = 0
    """Rows of checked quote tables."""
    kept: int = 0
    """Of these, what is left after cleaning."""
    dropped: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REASONS, 0)))
    """The others, by reason of cleaning."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Rows of the files that were no quotes, by reason of reading."""
    without_forward: int = 0
    """Expiries of a snapshot whose forward was neither named nor estimated; a batch has them."""
    share: float = 0.0
    """Of all rows of the files, how many have been read."""
    until: datetime | None = None
    """The latest snapshot."""


@dataclass(frozen=True)
class Prepared:
    """What a model learns from, and the public panel it is priced by."""

    samples: Samples
    panel: Panel


OnBatch = Callable[[Tally], None]


def cleaned(
    batches: Iterable[Batch],
    tally: Tally | None = None,
    *,
    rules: CleaningRules = DEFAULT_RULES,
    on_batch: OnBatch | None = None,
) -> Iterator[pl.DataFrame]:
    """The cleaned quotes of each batch; `tally` is added to, and shown after each batch."""
    counts = Tally() if tally is None else tally
    for batch in batches:
        found = clean(batch.quotes, rules)
        counts.quotes += batch.quotes.height
        counts.kept += found.quotes.height
        counts.dropped.update(found.dropped)
        counts.skipped.update(batch.skipped)
        counts.without_forward += batch.without_forward.height
        counts.share = batch.share
        if batch.quotes.height:
            counts.until = batch.quotes["timestamp"][-1]
        if on_batch is not None:
            on_batch(counts)
        yield found.quotes


def cleaned_chain(batches: Iterable[Batch], *, on_batch: OnBatch | None = None) -> pl.DataFrame:
    """All cleaned quotes as one table: about a third of what was read."""
    return pl.concat([_NOTHING, *cleaned(batches, on_batch=on_batch)])


def prepare(tables: Iterable[pl.DataFrame]) -> Prepared:
    """Samples of cleaned quotes, priced by panels that are read off the same quotes.

    The tables hold whole snapshots and follow each other in time.

    Raises: DataError if no quote has a panel.
    """
    columns, panels = _Columns(), _Panels()
    for table in tables:
        panel = build_panel(table)
        columns.add(table, panel, first_surface=panels.count)
        panels.add(panel)
    whole = panels.join()
    return Prepared(columns.join(whole), whole)


def panel_of(tables: Iterable[pl.DataFrame]) -> Panel:
    """The panels of cleaned quotes, whole snapshots in tables that follow each other in time."""
    panels = _Panels()
    for table in tables:
        panels.add(build_panel(table))
    return panels.join()


def samples_of(tables: Iterable[pl.DataFrame], panel: Panel) -> Samples:
    """Samples of cleaned quotes, priced by a panel of other quotes.

    Raises: DataError if no quote has a panel.
    """
    columns = _Columns()
    for table in tables:
        columns.add(table, panel, first_surface=0)
    return columns.join(panel)


class _Columns:
    """The columns of samples, which grow."""

    def __init__(self) -> None:
        nothing = priced_by(_NOTHING, build_panel(_NOTHING))
        self._columns = {name: getattr(nothing, name).copy() for name in Samples.columns()}
        self._quotes = 0

    def add(self, quotes: pl.DataFrame, panel: Panel, *, first_surface: int) -> None:
        samples = priced_by(quotes, panel)
        samples = replace(samples, surface_row=samples.surface_row + np.int32(first_surface))
        for name, column in self._columns.items():
            size, piece = len(column), getattr(samples, name)
            # In place: the pages of a large array move, and there are never two of them.
            column.resize((size + len(piece), *column.shape[1:]), refcheck=False)
            column[size:] = piece
        self._quotes += quotes.height

    def join(self, panel: Panel) -> Samples:
        return not_empty(Samples(surfaces=panel.vols, **self._columns), self._quotes)


class _Panels:
    """Panels of stretches of time that follow each other."""

    def __init__(self) -> None:
        self._pieces: list[Panel] = [build_panel(_NOTHING)]
        self.count = 0

    def add(self, panel: Panel) -> None:
        self._pieces.append(panel)
        self.count += panel.snapshot.size

    def join(self) -> Panel:
        return Panel(
            snapshot=np.concatenate([piece.snapshot for piece in self._pieces]),
            is_btc=np.concatenate([piece.is_btc for piece in self._pieces]),
            vols=np.concatenate([piece.vols for piece in self._pieces]),
            incomplete=sum(piece.incomplete for piece in self._pieces),
        )
