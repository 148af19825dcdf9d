"""Deribit's public answers as quote tables: `get_book_summary_by_currency` of a whole chain,
`ticker` (or `get_order_book`) of one instrument.

An answer is a JSON-RPC envelope around one flat object per instrument, or around one object with
parts. `mark_iv` is in percent there and decimal here; `underlying_price` is the forward for the
instrument's expiry; only a ticker says delta. Premiums are in coin, and of instruments such as
BTC_USDC-27MAR26-60000-C in dollars. What is no option is skipped and counted.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from node.market.batches import Layout, Reading, Scan
from node.market.moments import MICROSECOND, moment_of
from node.market.raw_quotes import RAW_QUOTES, complete
from protocol.errors import DataError

_NAME: Final = re.compile(
    r"(?P<coin>[A-Z0-9_]+)-(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d{2})"
    r"-(?P<strike>\d+(?:d\d+)?)-(?P<kind>[CP])"
)
"""BTC-27MAR26-60000-C; "d" is the decimal point, as in XRP_USDC-30JUN26-0d625-C."""
_MONTHS: Final = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
)  # fmt: skip
_EXPIRY_HOUR_UTC: Final = 8
_MINUTE: Final = timedelta(minutes=1) // MICROSECOND
_NUMBERS: Final = ("mark_price", "mark_iv", "underlying_price", "open_interest")
_OF_SUMMARY: Final = (*_NUMBERS, "bid_price", "ask_price", "volume")
_OF_TICKER: Final = (*_NUMBERS, "best_bid_price", "best_ask_price", "stats.volume", "greeks.delta")
"""Fields that are read; `stats.volume` is the field `volume` of the object `stats`."""
_LONGEST_SNAPSHOT: Final = timedelta(minutes=5)
"""Between the first and the last answer of one file, which is one snapshot."""
TOO_MANY_REQUESTS: Final = 10028
"""Deribit's error code when an address has asked too often."""


class Instrument(NamedTuple):
    """What an option's name says."""

    currency: str
    in_usd: bool
    """Paid in dollars, else in coin."""
    expiry: datetime
    strike_usd: float
    is_call: bool


def instrument(name: str) -> Instrument | None:
    """The option of a name such as BTC-27MAR26-60000-C; None for what names no option.

    Raises: DataError where the name's expiry is no day.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    coin, _, paid_in = parts["coin"].partition("_")
    strike_usd = float(parts["strike"].replace("d", "."))
    return Instrument(coin, paid_in != "", _expiry(name, parts), strike_usd, parts["kind"] == "C")


@dataclass(frozen=True)
class BookSummaries:
    """The quotes of one answer, and how many instruments were skipped for which reason."""

    quotes: pl.DataFrame
    skipped: dict[str, int]
    """By reason: not_an_option, and those of raw quotes."""


def read_book_summaries(answer: Mapping[str, object], *, received_at: datetime) -> BookSummaries:
    """One decoded JSON answer as quotes stamped `received_at`, by expiry and strike.

    Give the answers for both coins of one snapshot the same time. A bid or ask that is null or 0
    is a missing one.

    Raises: DataError for an error envelope, or naming the instrument and field that are wrong.
    """
    if received_at.tzinfo is None:
        raise DataError(f"received_at: wanted a time with a time zone, found {received_at}")
    raw, unlisted = _raw_quotes(answer, received_at)
    completed = complete(raw)
    return BookSummaries(completed.quotes, unlisted | completed.skipped)


def _scan(path: Path, _reading: Reading) -> Scan:
    """A file with one answer, or a list of answers of one moment, stamped with the minute in which
    the exchange sent the last.

    Answers for both coins, asked for one after the other, then share their time.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: wanted a JSON answer, found: {error}") from error
    answers = found if isinstance(found, list) else [found]
    try:
        received_at = _moment(answers)
        pieces = [_raw_quotes(answer, received_at) for answer in answers]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    unlisted = sum((Counter(skipped) for _, skipped in pieces), Counter[str]())
    return Scan(_in_order(pl.concat([raw for raw, _ in pieces])).lazy(), dict(unlisted))


def _moment(answers: list[object]) -> datetime:
    sent = [answer.get("usOut") for answer in answers if isinstance(answer, dict)]
    times = [time for time in sent if isinstance(time, int)]
    if not times or len(times) < len(answers):
        raise DataError(
            "wanted a JSON object with the exchange's time in usOut, or a list of such objects;"
            " keep Deribit's answers whole"
        )
    if max(times) - min(times) > _LONGEST_SNAPSHOT // MICROSECOND:
        raise DataError(
            f"wanted answers of one snapshot, at most {_LONGEST_SNAPSHOT} apart, found"
            f" {len(times)} over {(max(times) - min(times)) * MICROSECOND}; write a file a snapshot"
        )
    return moment_of(max(times) // _MINUTE * _MINUTE)


def _raw_quotes(
    answer: Mapping[str, object], received_at: datetime
) -> tuple[pl.DataFrame, dict[str, int]]:
    result = _result(answer)
    if isinstance(result, Mapping):
        rows = [_row(result, _OF_TICKER, received_at)]
    else:
        rows = [_row(summary, _OF_SUMMARY, received_at) for summary in result]
    listed = [row for row in rows if row is not None]
    raw = pl.DataFrame(listed, schema=RAW_QUOTES, orient="row")
    unlisted = len(rows) - len(listed)
    return _in_order(raw), {"not_an_option": unlisted} if unlisted else {}


def _in_order(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.sort("currency", "expiry", "strike_usd", "is_call")


def _result(answer: Mapping[str, object]) -> Mapping[str, object] | list[Mapping[str, object]]:
    error = answer.get("error")
    if isinstance(error, Mapping):
        raise DataError(
            f"wanted quotes, but the exchange says error {error.get('code')}: "
            f"{error.get('message')}"
        )
    result = answer.get("result")
    if isinstance(result, Mapping):
        return result
    if not isinstance(result, list) or not all(isinstance(each, Mapping) for each in result):
        raise DataError(
            "wanted an answer whose result is a list of summaries or one ticker, found fields"
            f" {sorted(answer)} and a result of type {type(result).__name__}"
        )
    return result


def _row(
    found: Mapping[str, object], fields: tuple[str, ...], received_at: datetime
) -> list[object] | None:
    """The values of a raw quote in order; None for what is no option."""
    name = found.get("instrument_name")
    if not isinstance(name, str):
        raise DataError(f"wanted an instrument_name with every quote, found {name!r}")
    option = instrument(name)
    if option is None:
        return None
    mark, mark_percent, forward, open_interest, bid, ask, volume, *delta = (
        _number(found, name, field) for field in fields
    )
    # A mark without its volatility or its forward says nothing.
    marked = mark is not None and mark_percent and forward
    return [
        received_at, option.currency, option.expiry, option.strike_usd,
        option.is_call, forward, option.in_usd, bid,
        ask, mark if marked else None,
        (mark_percent or 0.0) / 100.0, delta[0] if delta else None, open_interest,
        volume,
    ]  # fmt: skip


def _expiry(name: str, parts: re.Match[str]) -> datetime:
    try:
        month = _MONTHS.index(parts["month"]) + 1
        year = 2000 + int(parts["year"])
        return datetime(year, month, int(parts["day"]), _EXPIRY_HOUR_UTC, tzinfo=UTC)
    except ValueError as error:
        raise DataError(f"{name}: wanted an expiry such as 27MAR26 in the name: {error}") from error


def _number(found: Mapping[str, object], name: str, field: str) -> float | None:
    """A field's number, None where the exchange says null: it then knows none."""
    *parts, last = field.split(".")
    within: object = found
    for part in parts:
        within = within.get(part) if isinstance(within, Mapping) else None
    if not isinstance(within, Mapping) or last not in within:
        raise DataError(
            f"{name}: wanted the field {field}, found only {sorted(found)}; keep the exchange's"
            " answers whole: what it does not know is null in them"
        )
    value = within[last]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{name}: wanted a number or null in {field}, found {value!r}")
    return float(value)


ANSWERS: Final = Layout("deribit answers", (), _scan, raw=True)
