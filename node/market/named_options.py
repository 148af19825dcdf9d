"""Options that a person names, quoted or not, and the market of one snapshot that prices them.

Where few options are listed a panel may have holes; they are completed, if so many are known as the
caller asks for.

The forward of an expiry that is not listed lies between its neighbours', on a straight line of its
logarithm against time; before the first listed expiry and after the last it stays.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl

from node.market.batches import Batch, scan_table, typed
from node.market.cleaning import clean
from node.market.completion import WHOLE, completed
from node.market.deribit_rest import instrument
from node.market.moments import moment_of
from node.market.panel import TENOR_YEARS, THIRTY_DAYS, Floats, Panel, panel_with_holes
from node.market.quotes import CURRENCIES, MICROSECONDS_PER_YEAR, QUOTES
from node.market.samples import Samples, grid_samples
from protocol.errors import ConfigError, DataError

OPTIONS: Final = pl.Schema(
    {name: QUOTES[name] for name in ("currency", "expiry", "strike_usd", "is_call", "forward_usd")}
)
"""One row an option; the forward is null where the market's is to be taken."""
REQUIRED: Final = ("currency", "expiry", "strike_usd", "is_call")
_KEPT_BATCHES: Final = 2
"""The last batch may hold too little of its first day for a panel."""


def options_named(names: Sequence[str]) -> pl.DataFrame:
    """Options by the names that exchanges give them. Raises: ConfigError on what is none."""
    rows = []
    for name in names:
        try:
            option = instrument(name.upper())
        except DataError as error:
            raise ConfigError(str(error)) from error
        if option is None or option.currency not in CURRENCIES:
            raise ConfigError(f"wanted an option such as BTC-27MAR26-90000-C, found {name}")
        rows.append([option.currency, option.expiry, option.strike_usd, option.is_call, None])
    return pl.DataFrame(rows, schema=OPTIONS, orient="row")


def read_options(path: Path) -> pl.DataFrame:
    """Options in a CSV or parquet file with the columns `REQUIRED`, and `forward_usd` if wanted.

    Raises: DataError naming the file and what is wrong there.
    """
    table = scan_table(path, REQUIRED)
    found = table.collect_schema()
    columns = [
        typed(name, found[name], kind) if name in found else pl.lit(None, kind).alias(name)
        for name, kind in OPTIONS.items()
    ]
    try:
        options = table.select(columns).collect()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: wanted a table of options, found: {error}") from error
    if options.is_empty():
        raise DataError(f"{path}: wanted a row for each option, found none")
    for name, wanted, is_right in (
        ("currency", f"one of {CURRENCIES}", pl.col("currency").is_in(CURRENCIES)),
        ("expiry", "a time", pl.col("expiry").is_not_null()),
        ("strike_usd", "a number above 0", _is_positive("strike_usd")),
        ("is_call", "call or put, or true or false", pl.col("is_call").is_not_null()),
        (
            "forward_usd",
            "a number above 0, or nothing",
            pl.col("forward_usd").is_null() | _is_positive("forward_usd"),
        ),
    ):
        wrong = options.select(is_right.fill_null(value=False).not_().arg_true()).to_series()
        if len(wrong):
            raise DataError(
                f"{path}: column {name}: wanted {wanted}, but {len(wrong)} of {options.height} rows"
                f" are not; the first is row {wrong[0] + 1}"
            )
    return options


def _is_positive(name: str) -> pl.Expr:
    return (pl.col(name) > 0) & pl.col(name).is_finite()


@dataclass(frozen=True)
class Market:
    """The latest snapshot of each coin that has a panel."""

    panel: Panel
    """One row a coin, without holes."""
    known: Mapping[str, int]
    """By coin, how many of the panel's volatilities were not filled in."""
    forwards: Mapping[str, tuple[Floats, Floats]]
    """By coin: years from the snapshot to the listed expiries, rising, and logarithms of their
    forwards."""

    @classmethod
    def latest(cls, batches: Iterable[Batch], least_known: int = WHOLE) -> Self:
        """Of quotes that follow each other in time.

        Raises: DataError if no snapshot at their end holds a chain that gives a panel so many
        volatilities.
        """
        last = deque((each.quotes for each in batches if each.quotes.height), _KEPT_BATCHES)
        quotes = clean(pl.concat([QUOTES.to_frame(), *last])).quotes
        holed = panel_with_holes(quotes)
        counted = np.isfinite(holed.vols).sum(axis=(1, 2))
        enough = np.flatnonzero(counted >= least_known)
        panels, known = holed.take(enough), counted[enough]
        coins = [np.flatnonzero(panels.is_btc == (coin == "BTC"))[-1:] for coin in CURRENCIES]
        rows = np.sort(np.concatenate(coins))
        panel = panels.take(rows)
        if panel.snapshot.size == 0:
            raise DataError(
                f"a snapshot with {_a_chain(least_known)} of one coin is wanted to price by, found"
                f" none among the latest {quotes.height} cleaned quotes; give public ones"
                f" (--reference){_or_fewer(int(counted.max(initial=0)))}"
            )
        panel = replace(panel, vols=completed(panel.vols))
        forwards = {}
        for coin, snapshot in zip(_coins(panel), panel.snapshot, strict=True):
            of_coin = quotes.filter(
                (pl.col("currency") == coin) & (pl.col("timestamp").dt.epoch("us") == snapshot)
            )
            listed = of_coin.group_by("expiry").agg(pl.col("forward_usd").median()).sort("expiry")
            years = (listed["expiry"].dt.epoch("us") - snapshot) / MICROSECONDS_PER_YEAR
            forwards[coin] = (years.to_numpy(), np.log(listed["forward_usd"].to_numpy()))
        return cls(panel, dict(zip(_coins(panel), known[rows].tolist(), strict=True)), forwards)

    def samples(self, options: pl.DataFrame) -> Samples:
        """The options at their coin's snapshot; quoted volatilities in it mean nothing.

        Raises: DataError for a coin without a snapshot, or an option that has expired by then.
        """
        coins = _coins(self.panel)
        missing = set(options["currency"]) - set(coins)
        if missing:
            raise DataError(
                f"a whole chain of {', '.join(sorted(missing))} is wanted to price by, found none;"
                " give public ones (--reference), or let the panel be completed (--least-known)"
            )
        row = np.array([coins.index(coin) for coin in options["currency"]])
        left = options["expiry"].dt.epoch("us").to_numpy() - self.panel.snapshot[row]
        if (left <= 0).any():
            place = int(np.argmax(left <= 0))
            first = options.row(place, named=True)
            of = moment_of(int(self.panel.snapshot[row[place]]))
            raise DataError(
                f"an expiry after {of:%Y-%m-%d %H:%M} UTC is wanted, the latest snapshot's time,"
                f" found {first['currency']} of {first['expiry']:%Y-%m-%d %H:%M} UTC"
            )
        years, strike = left / MICROSECONDS_PER_YEAR, options["strike_usd"].to_numpy()
        listed = np.empty(options.height)
        for coin, (expiries, logarithms) in self.forwards.items():
            own = options["currency"].to_numpy() == coin
            listed[own] = np.exp(np.interp(years[own], expiries, logarithms))
        given = options["forward_usd"].to_numpy()
        forward = np.where(np.isnan(given), listed, given)
        points = grid_samples(self.panel, np.zeros(1), TENOR_YEARS[[THIRTY_DAYS]]).take(row)
        asked = replace(points, forward=forward).elsewhere(np.log(strike / forward), years)
        return replace(asked, strike=strike)


def _a_chain(least_known: int) -> str:
    if least_known == WHOLE:
        return "a whole chain"
    return f"{least_known} of the panel's {WHOLE} volatilities"


def _or_fewer(most: int) -> str:
    """What else would do, where some volatilities are known but not enough."""
    return f", or let the panel be completed (--least-known {most})" if most else ""


def _coins(panel: Panel) -> list[str]:
    return ["BTC" if is_btc else "ETH" for is_btc in panel.is_btc]
