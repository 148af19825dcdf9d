"""Option quotes as one typed table: a row is one listed option in one snapshot of an exchange.

Premiums are in COIN: Deribit's options are inverse, a BTC option is paid and settled in BTC.

    timestamp           when the snapshot was taken, UTC; the same for every row of the snapshot
    currency            the coin, "BTC" or "ETH"
    expiry              when the option is settled, UTC
    strike_usd          strike, USD per coin
    is_call             call, else put
    forward_usd         forward for the expiry as the exchange saw it for this row, USD per coin
    bid_coin, ask_coin  best bid and ask, coin per option on one coin; null where there is none
    mark_coin           the exchange's mark, coin; 0 where it rounds to nothing
    mark_iv             implied volatility of the mark per square root of a year, 0.65 for 65 %
    delta               coin of forward per option, in [-1, 1]; null where the source does not say
    open_interest_coin  outstanding contracts, coin; null where the source does not say
    volume_coin         traded in the last 24 hours, coin; null where the source does not say
"""

from collections.abc import Iterator

import polars as pl

from protocol.errors import DataError

INSTANT = pl.Datetime("us", "UTC")

QUOTES = pl.Schema(
    {
        "timestamp": INSTANT,
        "currency": pl.String(),
        "expiry": INSTANT,
        "strike_usd": pl.Float64(),
        "is_call": pl.Boolean(),
        "forward_usd": pl.Float64(),
        "bid_coin": pl.Float64(),
        "ask_coin": pl.Float64(),
        "mark_coin": pl.Float64(),
        "mark_iv": pl.Float64(),
        "delta": pl.Float64(),
        "open_interest_coin": pl.Float64(),
        "volume_coin": pl.Float64(),
    }
)

CURRENCIES = ("BTC", "ETH")
DAYS_PER_YEAR = 365.25
"""ACT/365.25: under it the exchange's marks invert to the volatility it reports."""
MICROSECONDS_PER_DAY = 86_400_000_000
MICROSECONDS_PER_YEAR = DAYS_PER_YEAR * MICROSECONDS_PER_DAY
VOL_POINTS = 100.0
"""Of a volatility of 1: a vol point is 0.01."""

OPTION_KEY = ("timestamp", "currency", "expiry", "strike_usd", "is_call")
"""What names one quote."""

_NULLABLE = frozenset({"bid_coin", "ask_coin", "delta", "open_interest_coin", "volume_coin"})
_POSITIVE = ("strike_usd", "forward_usd", "mark_iv", "bid_coin", "ask_coin")
_NOT_NEGATIVE = ("mark_coin", "open_interest_coin", "volume_coin")


def years_to_expiry() -> pl.Expr:
    """Years from the snapshot to settlement, ACT/365.25."""
    left = (pl.col("expiry") - pl.col("timestamp")).dt.total_microseconds()
    return (left / MICROSECONDS_PER_YEAR).alias("years_to_expiry")


def log_moneyness() -> pl.Expr:
    """k = ln(K / F): negative below the forward."""
    return (pl.col("strike_usd") / pl.col("forward_usd")).log().alias("log_moneyness")


def snapshot_id() -> pl.Expr:
    """Microseconds since 1970 of the row's snapshot; both coins of one snapshot share it."""
    return pl.col("timestamp").dt.epoch("us").alias("snapshot_id")


def check_quotes(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame itself, once it is known to be a quote table.

    Raises: DataError naming the column, how many rows offend and the first of them.
    """
    _check_columns(frame)
    # Invariant: nulls are refused first where none may be, so later predicates may let them pass.
    requirements = list(_requirements())
    # One pass over all; the rows themselves are looked for only where there are offenders.
    counts = frame.select(
        offends.sum().alias(str(number)) for number, (_, _, offends) in enumerate(requirements)
    ).row(0)
    for (column, wanted, offends), count in zip(requirements, counts, strict=True):
        if count:
            offenders = frame.filter(offends)
            found = offenders[column][0]
            raise DataError(
                f"column {column}: wanted {wanted}, but {count} of {frame.height} rows "
                f"are not; the first has {found!r} ({_described(offenders)})"
            )
    _check_unique(frame)
    return frame


def _check_columns(frame: pl.DataFrame) -> None:
    missing = [name for name in QUOTES if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in QUOTES]
    if missing or unknown:
        raise DataError(
            f"quote table: missing columns {missing}, unknown columns {unknown}; "
            f"wanted {list(QUOTES)}"
        )
    wrong = {
        name: (wanted, frame.schema[name])
        for name, wanted in QUOTES.items()
        if frame.schema[name] != wanted
    }
    for name, (wanted, found) in wrong.items():
        raise DataError(f"column {name}: wanted type {wanted}, found {found}; cast it when reading")
    if list(QUOTES) != frame.columns:
        raise DataError(f"quote table: wanted column order {list(QUOTES)}, found {frame.columns}")


def _requirements() -> Iterator[tuple[str, str, pl.Expr]]:
    for name, kind in QUOTES.items():
        if name not in _NULLABLE:
            yield name, "a value", pl.col(name).is_null()
        if kind == pl.Float64():
            yield name, "a finite number", pl.col(name).is_finite().not_()
    for name in _POSITIVE:
        yield name, "more than 0", pl.col(name) <= 0
    for name in _NOT_NEGATIVE:
        yield name, "0 or more", pl.col(name) < 0
    yield "delta", "a number in [-1, 1]", pl.col("delta").abs() > 1
    yield "currency", f"one of {CURRENCIES}", pl.col("currency").is_in(CURRENCIES).not_()
    yield "expiry", "a time after the timestamp", pl.col("expiry") <= pl.col("timestamp")


def _check_unique(frame: pl.DataFrame) -> None:
    # Equal rows have equal hashes, and comparing hashes first takes a sixth of the memory.
    hashes = frame.select(pl.struct(OPTION_KEY).hash()).to_series()
    suspects = frame.filter(hashes.is_duplicated())
    repeated = suspects.filter(suspects.select(OPTION_KEY).is_duplicated())
    if repeated.height:
        raise DataError(
            f"columns {', '.join(OPTION_KEY)}: wanted one row per option and snapshot, but "
            f"{repeated.height} of {frame.height} rows share theirs; "
            f"the first: {_described(repeated)}"
        )


def _described(frame: pl.DataFrame) -> str:
    return ", ".join(f"{name}={frame[name][0]}" for name in OPTION_KEY)
