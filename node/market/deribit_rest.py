"""Deribit's public answers to `get_book_summary_by_currency`, as quote tables.

One answer is a JSON-RPC envelope around one flat object per instrument. It carries no greeks, so
`delta` stays null; `mark_iv` is in percent there and decimal here; `underlying_price` is the
forward for the instrument's expiry. Instruments that are not inverse BTC or ETH options are skipped
and counted, since a premium in dollars among premiums in coin would go unnoticed.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import polars as pl

from node.market.quotes import CURRENCIES, QUOTES, check_quotes
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
TOO_MANY_REQUESTS: Final = 10028
"""Deribit's error code when an address has asked too often."""


@dataclass(frozen=True)
class BookSummaries:
    """The quotes of one answer, and how many instruments were skipped for which reason."""

    quotes: pl.DataFrame
    skipped: dict[str, int]
    """By reason: not_an_option, linear (paid in dollars), other_coin, expired, no_mark."""


def parse_book_summaries(answer: Mapping[str, object], *, received_at: datetime) -> pl.DataFrame:
    """The answer's quotes alone; see `read_book_summaries`."""
    return read_book_summaries(answer, received_at=received_at).quotes


def read_book_summaries(answer: Mapping[str, object], *, received_at: datetime) -> BookSummaries:
    """One decoded JSON answer as quotes stamped `received_at`, by expiry and strike.

    Give the answers for both coins of one snapshot the same time. A bid or ask that is null or 0
    is a missing one.

    Raises: DataError for an error envelope, or naming the instrument and field that are wrong.
    """
    if received_at.tzinfo is None:
        raise DataError(f"received_at: wanted a time with a time zone, found {received_at}")
    skipped: Counter[str] = Counter()
    rows = []
    for summary in _result(answer):
        row = _row(summary, received_at)
        if isinstance(row, str):
            skipped[row] += 1
        else:
            rows.append(row)
    quotes = pl.DataFrame(rows, schema=QUOTES, orient="row")
    ordered = quotes.sort("currency", "expiry", "strike_usd", "is_call")
    return BookSummaries(check_quotes(ordered), dict(skipped))


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


def _row(summary: Mapping[str, object], received_at: datetime) -> list[object] | str:
    """The quote table's values in order, or the reason why there are none."""
    name = summary.get("instrument_name")
    if not isinstance(name, str):
        raise DataError(f"wanted an instrument_name in every summary, found {name!r}")
    parts = _NAME.fullmatch(name)
    if parts is None:
        return "not_an_option"
    if "_" in parts["coin"]:
        return "linear"
    if parts["coin"] not in CURRENCIES:
        return "other_coin"
    expiry = _expiry(name, parts)
    if expiry <= received_at:
        return "expired"
    mark, mark_percent, forward = (
        _number(summary, name, field) for field in ("mark_price", "mark_iv", "underlying_price")
    )
    if mark is None or not mark_percent or not forward:
        return "no_mark"
    return [
        received_at, parts["coin"], expiry, float(parts["strike"].replace("d", ".")),
        parts["kind"] == "C", forward, _number(summary, name, "bid_price") or None,
        _number(summary, name, "ask_price") or None, mark, mark_percent / 100.0, None,
        _number(summary, name, "open_interest"), _number(summary, name, "volume"),
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
