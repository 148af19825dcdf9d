"""Deribit's public answers to `get_book_summary_by_currency`, as quote tables.

One answer is a JSON-RPC envelope around one flat object per instrument. It carries no greeks, so
`delta` stays null; `mark_iv` is in percent there and decimal here; `underlying_price` is the
forward for the instrument's expiry. Premiums are in coin, and of instruments such as
BTC_USDC-27MAR26-60000-C in dollars. What is no option on BTC or ETH is skipped and counted.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from node.market.batches import Layout, Reading, Scan
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
_MINUTE: Final = 60_000_000
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
    """A file with one answer, stamped with the minute in which the exchange sent it.

    Answers for both coins, asked for one after the other, then share their time.
    """
    try:
        answer = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: wanted a JSON answer, found: {error}") from error
    sent = answer.get("usOut") if isinstance(answer, dict) else None
    if not isinstance(sent, int):
        raise DataError(f"{path}: wanted a JSON object with the exchange's time in usOut")
    received_at = datetime.fromtimestamp(sent // _MINUTE * _MINUTE // 1_000_000, UTC)
    try:
        raw, unlisted = _raw_quotes(answer, received_at)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return Scan(raw.lazy(), unlisted)


def _raw_quotes(
    answer: Mapping[str, object], received_at: datetime
) -> tuple[pl.DataFrame, dict[str, int]]:
    rows = [_row(summary, received_at) for summary in _result(answer)]
    listed = [row for row in rows if row is not None]
    raw = pl.DataFrame(listed, schema=RAW_QUOTES, orient="row")
    unlisted = len(rows) - len(listed)
    return (
        raw.sort("currency", "expiry", "strike_usd", "is_call"),
        {"not_an_option": unlisted} if unlisted else {},
    )


def _result(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    error = answer.get("error")
    if isinstance(error, Mapping):
        raise DataError(
            f"wanted book summaries, but the exchange says error {error.get('code')}: "
            f"{error.get('message')}"
        )
    result = answer.get("result")
    if not isinstance(result, list) or not all(isinstance(each, Mapping) for each in result):
        raise DataError(
            f"wanted an answer whose result is a list of summaries, found fields {sorted(answer)} "
            f"and a result of type {type(result).__name__}"
        )
    return result


def _row(summary: Mapping[str, object], received_at: datetime) -> list[object] | None:
    """The values of a raw quote in order; None for what is no option."""
    name = summary.get("instrument_name")
    if not isinstance(name, str):
        raise DataError(f"wanted an instrument_name in every summary, found {name!r}")
    option = instrument(name)
    if option is None:
        return None
    mark, mark_percent, forward = (
        _number(summary, name, field) for field in ("mark_price", "mark_iv", "underlying_price")
    )
    # A mark without its volatility or its forward says nothing.
    marked = mark is not None and mark_percent and forward
    return [
        received_at, option.currency, option.expiry, option.strike_usd,
        option.is_call, forward, option.in_usd, _number(summary, name, "bid_price"),
        _number(summary, name, "ask_price"), mark if marked else None,
        (mark_percent or 0.0) / 100.0, None, _number(summary, name, "open_interest"),
        _number(summary, name, "volume"),
    ]  # fmt: skip


def _expiry(name: str, parts: re.Match[str]) -> datetime:
    try:
        month = _MONTHS.index(parts["month"]) + 1
        year = 2000 + int(parts["year"])
        return datetime(year, month, int(parts["day"]), _EXPIRY_HOUR_UTC, tzinfo=UTC)
    except ValueError as error:
        raise DataError(f"{name}: wanted an expiry such as 27MAR26 in the name: {error}") from error


def _number(summary: Mapping[str, object], name: str, field: str) -> float | None:
    value = summary.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{name}: wanted a number or null in {field}, found {value!r}")
    return float(value)


ANSWERS: Final = Layout("deribit answers", (), _scan, raw=True)
