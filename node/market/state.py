"""The market's state beside the option chains, from a user's own files: what was known when.

Each file becomes a `Series` by when its numbers were known; a day's close is known when the day is
over, not when it begins. `market_state` then says what was last known at each snapshot: DVOL,
realised volatility, funding, basis, open interest, order-book imbalance, gas price. All are
optional; what a user does not have is not a column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from node.market.moments import MICROSECOND
from node.market.panel import Floats, Integers
from node.market.quotes import DAYS_PER_YEAR, MICROSECONDS_PER_YEAR, snapshot_id, years_to_expiry
from protocol.errors import ConfigError, DataError

DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Layout:
    """How a CSV or parquet file tells one number through time."""

    time: str
    """Column: a date, a date with a time, or milliseconds since 1970."""
    value: str
    """Column."""
    currency: str | None = None
    """Column whose entries begin with the coin; none where the whole file is about one coin."""
    clock_hours: float = 0.0
    """How far the file's clock is ahead of UTC."""
    known_after: timedelta = timedelta(0)
    """How long after its time a number is known: the length of a bar, for its close."""


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "dvol_daily": Layout("date", "close", "symbol", known_after=DAY),
        "funding": Layout("Date", "Funding Rate", "Symbol", clock_hours=3.0),
        "funding_utc": Layout("Date", "Funding Rate", "Symbol"),
        # A candle's close can lie after the snapshot that it was recorded for; its open cannot.
        "perpetual": Layout("candle_open_time_ms", "candle_open", "coin"),
        "index_price": Layout("time", "index_price", "currency"),
        "futures_price": Layout("time", "futures_price", "currency"),
        "open_interest": Layout("time", "open_interest_coin", "currency"),
        "bid_amount": Layout("time", "bid_amount", "currency"),
        "ask_amount": Layout("time", "ask_amount", "currency"),
        "gas_price": Layout("time", "gas_gwei"),
    }
)
"""Files that are read as they are; the last six are the project's own columns."""


class OtherCoinsOnly(DataError):
    """A file without a row of the coin that was asked for; another file may have them."""


@dataclass(frozen=True)
class Series:
    """One number through time, ordered by when it was known.

    Shape: known_at [n] (microseconds since 1970, rising), value [n].
    """

    known_at: Integers
    value: Floats

    @classmethod
    def of(cls, known_at: Integers, value: Floats) -> "Series":
        """In order; where two were known at once the later entry counts, and NaN never does."""
        known_at, value = known_at[np.isfinite(value)], value[np.isfinite(value)]
        order = np.argsort(known_at, kind="stable")
        known_at, value = known_at[order], value[order]
        last = np.append(known_at[1:] != known_at[:-1], np.ones(min(known_at.size, 1), dtype=bool))
        return cls(known_at[last], value[last])

    def asof(self, moments: Integers, oldest: timedelta | None = None) -> Floats:
        """The number last known at each moment, NaN where there is none or it is too old.

        Shape: moments [n], microseconds since 1970 -> [n]
        """
        if not self.known_at.size:
            return np.full(moments.shape, np.nan)
        # Invariant: nothing known after the moment is ever looked at.
        row = np.searchsorted(self.known_at, moments, side="right") - 1
        known = row >= 0
        if oldest is not None:
            known &= moments - self.known_at[row] <= oldest // MICROSECOND
        return np.where(known, self.value[row], np.nan)


@dataclass(frozen=True)
class MarketState:
    """What was known at each snapshot. Shape: values [n, len(names)], NaN where unknown."""

    names: tuple[str, ...]
    values: Floats

    def column(self, name: str) -> Floats:
        """One of the numbers through the snapshots. Shape: [n]"""
        return np.asarray(self.values[:, self.names.index(name)])


def market_state(
    moments: Integers, series: Mapping[str, Series], oldest: timedelta | None = None
) -> MarketState:
    """Every series as of every moment (microseconds since 1970), in the mapping's order."""
    columns = [one.asof(moments, oldest) for one in series.values()]
    values = np.stack(columns, axis=1) if columns else np.empty((moments.size, 0))
    return MarketState(tuple(series), values)


def read_series(path: Path, layout: Layout, currency: str) -> Series:
    """One coin's numbers from a CSV or parquet file.

    Raises: DataError where the file cannot be read, lacks a column, has a time or a number that is
    none; OtherCoinsOnly where it has no row of the coin.
    """
    frame = _read(path)
    wanted = [layout.time, layout.value, *([layout.currency] if layout.currency else [])]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise DataError(f"{path}: missing columns {missing}; found {frame.columns}")
    if layout.currency:
        frame = frame.filter(pl.col(layout.currency).str.starts_with(currency))
    if not frame.height:
        raise OtherCoinsOnly(
            f"{path}: column {layout.currency}: wanted rows of {currency}, found none"
        )
    shift = layout.known_after - timedelta(hours=layout.clock_hours)
    known_at = _microseconds(path, frame[layout.time]) + shift // MICROSECOND
    try:
        value = frame[layout.value].cast(pl.Float64).fill_null(np.nan).to_numpy()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: column {layout.value}: wanted numbers: {error}") from error
    return Series.of(known_at, value)


def realised_vol(prices: Series, window: timedelta) -> Series:
    """Volatility per square root of a year of the returns within each price's trailing window.

    Squared log returns over the time that they span, so prices may be unevenly spaced. Unknown
    until half a window is spanned.
    """
    wide, at = window // MICROSECOND, prices.known_at
    total = np.concatenate([[0.0], np.cumsum(np.diff(np.log(prices.value)) ** 2)])[: at.size]
    first = np.searchsorted(at, at - wide)
    span = at - at[first]
    enough = span * 2 >= wide
    variance = (total - total[first])[enough] / (span[enough] / MICROSECONDS_PER_YEAR)
    return Series(at[enough], np.sqrt(np.maximum(variance, 0.0)))


def log_return(prices: Series, window: timedelta, oldest: timedelta) -> Series:
    """ln(price / the price known a window earlier), which may be `oldest` older."""
    before = prices.asof(prices.known_at - window // MICROSECOND, oldest)
    return Series.of(prices.known_at, np.log(prices.value / before))


def basis(futures: Series, index: Series, oldest: timedelta) -> Series:
    """ln(future / index) at each of the future's times, against the index as then known."""
    ratio = futures.value / index.asof(futures.known_at, oldest)
    return Series.of(futures.known_at, np.log(ratio))


def imbalance(bid_amount: Series, ask_amount: Series, oldest: timedelta) -> Series:
    """(bid - ask) / (bid + ask) of the amounts in an order book, from -1 to 1."""
    ask = ask_amount.asof(bid_amount.known_at, oldest)
    both = bid_amount.value + ask
    share = (bid_amount.value - ask) / np.where(both > 0.0, both, np.nan)
    return Series.of(bid_amount.known_at, share)


_REACH: Final = timedelta(hours=1)
"""How old an index may be beside its future, or the asks beside the bids."""
_LOGGED: Final = frozenset({"dvol_daily", "open_interest", "gas_price"})
_AS_THEY_ARE: Final = frozenset({"funding", "funding_utc"})
_PRICE_WINDOWS_DAYS: Final = (2, 7, 30)
_PAIRED: Final = {
    "futures_basis": (("futures_price", "index_price"), basis),
    "imbalance": (("bid_amount", "ask_amount"), imbalance),
}
"""What files of two layouts tell together."""


def chain_forward(quotes: pl.DataFrame, currency: str, days: float) -> Series:
    """Forward for a constant time ahead of each snapshot of a quote table, USD per coin.

    Its logarithm is interpolated between the listed expiries, and flat outside them.
    """
    expiries = (
        quotes.filter(pl.col("currency") == currency)
        .group_by(snapshot_id().alias("known_at"), years_to_expiry().alias("years"))
        .agg(pl.col("forward_usd").median().log().alias("log_forward"))
        .sort("known_at", "years")
        .group_by("known_at", maintain_order=True)
        .agg("years", "log_forward")
    )
    listed = zip(expiries["years"].to_list(), expiries["log_forward"].to_list(), strict=True)
    log_forward = [np.interp(days / DAYS_PER_YEAR, years, logs) for years, logs in listed]
    return Series.of(expiries["known_at"].to_numpy(), np.exp(np.array(log_forward)))


def chain_state(quotes: pl.DataFrame, currency: str) -> dict[str, Series]:
    """What a quote table alone tells of the market: returns, realised volatility and the basis.

    Returns are those of the 30-day forward, the basis is the 180-day forward over the 7-day one.
    """
    near, middle, far = (chain_forward(quotes, currency, days) for days in (7.0, 30.0, 180.0))
    return {
        "return_1d": log_return(middle, DAY, DAY / 2),
        "return_7d": log_return(middle, 7 * DAY, DAY),
        "log_realised_vol_2d": logged(realised_vol(middle, 2 * DAY)),
        "log_realised_vol_7d": logged(realised_vol(middle, 7 * DAY)),
        "log_realised_vol_30d": logged(realised_vol(middle, 30 * DAY)),
        "basis": basis(far, near, timedelta(0)),
    }


def logged(series: Series) -> Series:
    """The logarithm of a number above zero, such as a gas price or an open interest."""
    positive = np.where(series.value > 0.0, series.value, np.nan)
    return replace(series, value=np.log(positive))


def read_state(files: Sequence[tuple[str, Path]], currency: str) -> dict[str, Series]:
    """What a user's files, each beside its layout's name, tell of one coin's market.

    Several files of a layout are one series.

    Raises: DataError as `read_series`, or where no file of a layout has the coin; ConfigError on an
    unknown layout, or half of a pair.
    """
    unknown = sorted({name for name, _ in files} - set(LAYOUTS))
    if unknown:
        raise ConfigError(f"market state: wanted names out of {list(LAYOUTS)}, found {unknown}")
    read = {name: _joined(name, files, currency) for name, _ in files}
    told: dict[str, Series] = {}
    for name in read.keys() & _LOGGED:
        told[f"log_{name}"] = logged(read[name])
    for name in read.keys() & _AS_THEY_ARE:
        told[name] = read[name]
    if "perpetual" in read:
        for days in _PRICE_WINDOWS_DAYS:
            vol = realised_vol(read["perpetual"], days * DAY)
            told[f"log_perpetual_vol_{days}d"] = logged(vol)
    for name, (pair, together) in _PAIRED.items():
        given = [each for each in pair if each in read]
        if len(given) == 1:
            raise ConfigError(f"market state: wanted files of both {pair}, found only {given[0]}")
        if given:
            told[name] = together(read[pair[0]], read[pair[1]], _REACH)
    return dict(sorted(told.items()))


def _joined(name: str, files: Sequence[tuple[str, Path]], currency: str) -> Series:
    found: list[Series] = []
    lacking: list[OtherCoinsOnly] = []
    for path in (path for each, path in files if each == name):
        try:
            found.append(read_series(path, LAYOUTS[name], currency))
        except OtherCoinsOnly as error:
            lacking.append(error)
    if not found:
        raise lacking[0]
    known_at, value = ([getattr(each, part) for each in found] for part in ("known_at", "value"))
    return Series.of(np.concatenate(known_at), np.concatenate(value))


def _read(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: wanted a CSV or parquet file: {error}") from error


def _microseconds(path: Path, column: pl.Series) -> Integers:
    if column.dtype.is_integer():
        return np.asarray(column.to_numpy() * 1000, dtype=np.int64)
    if column.dtype == pl.String:
        for pattern in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%+"):
            parsed = column.str.strptime(pl.Datetime("us"), pattern, strict=False)
            if parsed.null_count() == 0:
                column = parsed
                break
    if not column.dtype.is_temporal() or column.null_count():
        raise DataError(
            f"{path}: column {column.name}: wanted dates, times or milliseconds since 1970, found"
            f" {column[0]!r}"
        )
    return column.cast(pl.Datetime("us")).to_physical().to_numpy()
