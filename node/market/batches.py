"""Files of option quotes as a stream of checked quote tables that fits in memory.

A batch is one or more whole UTC days, so it holds whole snapshots, and no option of one batch can
be another's. Parquet is read where it lies, a batch's rows at a time. What can only be read from
its first row to its last (CSV, ticks, JSON) is first rewritten as parquet in a temporary folder,
as a stream: that takes as much disk as the parquet of the same rows, and some hundred MB.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

import polars as pl

from node.market.forwards import EXPIRY_KEY
from node.market.quotes import INSTANT, QUOTES, check_quotes
from node.market.raw_quotes import complete
from protocol.errors import ConfigError, DataError

_DAY: Final = timedelta(days=1)
_WORDS: Final = {
    **dict.fromkeys(("true", "1", "call", "c"), True),
    **dict.fromkeys(("false", "0", "put", "p"), False),
}
"""What text says of whether an option is a call."""


@dataclass(frozen=True)
class Reading:
    """What of the files is read, and in which pieces."""

    start: datetime | None = None
    """The first instant that is read; everything unless given."""
    end: datetime | None = None
    """The instant before which reading ends."""
    batch_rows: int = 200_000
    """Days are gathered until a batch has as many rows; a row of a batch takes about 1 kB."""
    grid: timedelta = timedelta(hours=1)
    """Of ticks: time between two snapshots, which lie at whole multiples since 1970."""
    max_age: timedelta = timedelta(minutes=5)
    """Of ticks: how old an option's latest row may be in a snapshot."""

    def __post_init__(self) -> None:
        for bound in (self.start, self.end):
            if bound is not None and bound.tzinfo is None:
                raise DataError(
                    f"wanted a time with a time zone, found {bound.isoformat()}; say which"
                )
        if self.batch_rows < 1 or not timedelta() < self.max_age <= self.grid:
            raise ConfigError(
                "reading: wanted 1 or more rows a batch, and an age above 0 and no longer than the "
                f"grid, found {self.batch_rows} rows, {self.max_age} and {self.grid}"
            )


EVERYTHING: Final = Reading()


@dataclass(frozen=True)
class Scan:
    """One file's rows, not yet read, and what had to be left out to name them."""

    rows: pl.LazyFrame
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One way in which files hold quotes."""

    name: str
    columns: tuple[str, ...]
    """What a table must have to be of this layout; empty for files that are no tables."""
    scan: Callable[[Path, Reading], Scan]
    """A file's rows as `QUOTES`, or as `RAW_QUOTES`."""
    raw: bool = False
    """Rows are raw quotes: what is missing is computed, and what cannot be priced is counted."""
    ticks: bool = False
    """Rows are many changes a second, of which few make the snapshots."""


@dataclass(frozen=True)
class Batch:
    """The quotes of some whole days, by time, and how far the reading is."""

    quotes: pl.DataFrame
    skipped: Mapping[str, int]
    """Rows of these days that are not among the quotes, by reason."""
    without_forward: pl.DataFrame
    """Expiries of a snapshot (`EXPIRY_KEY`) whose forward was neither named nor estimated."""
    share: float
    """Of all rows of the files, how many have been read with this batch; 1 for the last."""

    @classmethod
    def of(cls, quotes: pl.DataFrame) -> Self:
        """A quote table that is all there is."""
        return cls(quotes, {}, quotes.select(EXPIRY_KEY).clear(), share=1.0)


@dataclass
class _Part:
    """A parquet file, or one to be, whose rows can be read by time."""

    path: Path
    layout: Layout
    rows: pl.LazyFrame
    skipped: Mapping[str, int]


def stream(sources: Sequence[tuple[Path, Layout]], reading: Reading) -> Iterator[Batch]:
    """The sources' quotes by time; those of one instant in the order of the sources, raw ones last.

    Raises: DataError naming the file or the column that is not as told.
    """
    with TemporaryDirectory(prefix="volquorum-quotes-") as folder:
        parts = [
            _part(path, layout, reading, Path(folder) / f"{number}.parquet")
            for number, (path, layout) in enumerate(sources)
        ]
        days = pl.concat([_days(part, number, reading) for number, part in enumerate(parts)])
        total, done = int(days["rows"].sum()), 0
        for first, last, numbers, rows in _gathered(days, reading.batch_rows):
            done += rows
            begin, end = _clipped(first, last + _DAY, reading)
            batch = _read([parts[number] for number in numbers], begin, end)
            yield replace(batch, share=done / total)


def whole(batches: Iterable[Batch]) -> pl.DataFrame:
    """All quotes of all batches as one table."""
    return pl.concat([QUOTES.to_frame(), *(batch.quotes for batch in batches)])


def scan_table(path: Path, columns: Sequence[str] = ()) -> pl.LazyFrame:
    """A parquet or CSV file; CSV fields are text, since a guessed type depends on the first rows.

    Raises: DataError where the file is no table, or naming every one of `columns` that it lacks.
    """
    is_parquet = path.suffix == ".parquet"
    with _named(path):
        lazy = pl.scan_parquet(path) if is_parquet else pl.scan_csv(path, infer_schema=False)
        found = lazy.collect_schema().names()
    missing = [name for name in columns if name not in found]
    if missing:
        raise DataError(f"{path}: missing columns {missing}; found {found}")
    return lazy


def within(rows: pl.LazyFrame, reading: Reading) -> pl.LazyFrame:
    """The rows of the time that is read."""
    return _between(rows, *_clipped(None, None, reading))


def typed(column: str, found: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    """A column as another type: times are UTC where they name no zone, and ISO 8601 where text."""
    value = pl.col(column)
    if wanted == INSTANT:
        if found == pl.String():
            value = value.str.to_datetime(time_unit="us", time_zone="UTC")
        elif isinstance(found, pl.Datetime) and found.time_zone is None:
            value = value.dt.replace_time_zone("UTC")
    elif wanted == pl.Boolean() and found == pl.String():
        # Another word becomes null, which the check of the table then names.
        words = value.str.to_lowercase()
        return words.replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)
    return value if found == wanted else value.cast(wanted)


def _part(path: Path, layout: Layout, reading: Reading, spool: Path) -> _Part:
    scan = layout.scan(path, reading)
    rows = scan.rows
    if layout.ticks or path.suffix != ".parquet":
        with _named(path):
            rows.sink_parquet(spool)
        rows = pl.scan_parquet(spool)
    return _Part(path, layout, rows, scan.skipped)


def _days(part: _Part, number: int, reading: Reading) -> pl.DataFrame:
    """How many rows the part has on each day that is read."""
    with _named(part.path):
        times = within(part.rows.select("timestamp"), reading)
        # A time that is missing must not vanish with the rows outside the bounds.
        missing = pl.col("timestamp").is_null().sum()
        lacking = part.rows.select(missing).collect(engine="streaming").item()
        days = (
            times.group_by(day=pl.col("timestamp").dt.truncate("1d"))
            .agg(rows=pl.len().cast(pl.Int64))
            .collect(engine="streaming")
        )
    if lacking:
        raise DataError(
            f"{part.path}: column timestamp: wanted a value, but {lacking} rows lack it"
        )
    return days.with_columns(part=pl.lit(number, dtype=pl.Int64))


def _gathered(
    days: pl.DataFrame, batch_rows: int
) -> Iterator[tuple[datetime, datetime, list[int], int]]:
    """First and last day of each batch, the numbers of the parts it lies in, and its rows."""
    by_day = days.group_by("day").agg(pl.col("rows").sum(), "part").sort("day")
    gathered: list[tuple[datetime, int, list[int]]] = []
    for row in by_day.select("day", "rows", "part").iter_rows():
        gathered.append(row)
        if sum(rows for _, rows, _ in gathered) >= batch_rows:
            yield _span(gathered)
            gathered = []
    if gathered:
        yield _span(gathered)


def _span(
    gathered: Sequence[tuple[datetime, int, list[int]]],
) -> tuple[datetime, datetime, list[int], int]:
    numbers = sorted({number for _, _, parts in gathered for number in parts})
    return gathered[0][0], gathered[-1][0], numbers, sum(rows for _, rows, _ in gathered)


def _read(parts: Sequence[_Part], begin: datetime | None, end: datetime | None) -> Batch:
    tables: dict[bool, list[pl.DataFrame]] = {False: [], True: []}
    skipped: Counter[str] = Counter()
    for part in parts:
        with _named(part.path):
            tables[part.layout.raw].append(_between(part.rows, begin, end).collect())
        skipped.update(part.skipped)
        # What a file lost as a whole is counted with the first of its days.
        part.skipped = {}
    quotes = tables[False]
    without_forward = QUOTES.to_frame().select(EXPIRY_KEY)
    if tables[True]:
        completed = complete(pl.concat(tables[True]))
        quotes.append(completed.quotes)
        skipped.update(completed.skipped)
        without_forward = completed.without_forward
    # Invariant: batches are disjoint in time, so what is checked here holds for the whole stream.
    table = check_quotes(_by_time(pl.concat(quotes)))
    return Batch(table, dict(skipped), without_forward, share=0.0)


def _by_time(quotes: pl.DataFrame) -> pl.DataFrame:
    # Sorting copies the table; a recording is nearly always in order.
    if quotes["timestamp"].is_sorted():
        return quotes
    return quotes.sort("timestamp", maintain_order=True)


def _clipped(
    begin: datetime | None, end: datetime | None, reading: Reading
) -> tuple[datetime | None, datetime | None]:
    starts = [bound.astimezone(UTC) for bound in (begin, reading.start) if bound is not None]
    ends = [bound.astimezone(UTC) for bound in (end, reading.end) if bound is not None]
    return max(starts, default=None), min(ends, default=None)


def _between(rows: pl.LazyFrame, begin: datetime | None, end: datetime | None) -> pl.LazyFrame:
    if begin is not None:
        rows = rows.filter(pl.col("timestamp") >= begin)
    if end is not None:
        rows = rows.filter(pl.col("timestamp") < end)
    return rows


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of reading, with the file's name."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: wanted a table of option quotes, found: {error}") from error
