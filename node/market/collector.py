"""Collects a desk's own snapshots of Deribit's option chains, politely, over the public REST API.

Time is cut into intervals; each gets one request a coin and leaves one file, named after the
interval's start. A file that exists is never fetched again, so a restart costs the exchange
nothing. A snapshot is whole or absent: all coins, one timestamp, one atomic write.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import polars as pl
import structlog

from node.market.deribit_rest import TOO_MANY_REQUESTS, BookSummaries, read_book_summaries
from node.market.desks import write_desk
from protocol.errors import ConfigError, DataError, StorageError

PUBLIC_API: Final = "https://www.deribit.com"
PATH: Final = "/api/v2/public/get_book_summary_by_currency"

Answer = dict[str, object]

_ATTEMPTS: Final = 4
_LONGEST_PAUSE_SECONDS: Final = 60.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Collected:
    """One snapshot on disk."""

    path: Path
    rows: int
    skipped: dict[str, int]
    """Instruments without a quote, by reason."""


class ExchangeDown(DataError):
    """No answer worth having now; asking again after `retry_after_seconds` can help."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class Collector:
    """Fetches snapshots of `currencies` into `folder`; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        currencies: Sequence[str],
        *,
        interval_seconds: int,
        base_url: str = PUBLIC_API,
        stop: threading.Event | None = None,
        timeout_seconds: float = 20.0,
        limit_bytes: int = 32 * 2**20,
        first_pause_seconds: float = 2.0,
        patience: int = 10,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`first_pause_seconds`, doubled each time, is waited where the exchange names no time;
        `patience` consecutive lost snapshots end the run.
        """
        if interval_seconds < 1 or not currencies:
            raise ConfigError(
                "wanted an interval of 1 second or more and at least one currency, found "
                f"{interval_seconds} and {list(currencies)}"
            )
        self._folder = folder
        self._currencies = tuple(dict.fromkeys(currencies))
        self._interval_seconds = interval_seconds
        self._stop = threading.Event() if stop is None else stop
        self._first_pause_seconds = first_pause_seconds
        self._patience = patience
        self._now = now
        self._exchange = _Exchange(base_url, timeout_seconds, limit_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exchange.close()

    def run(self, snapshots: int | None = None) -> Iterator[Collected]:
        """Snapshots as they are written, until there are `snapshots` or the stop event is set.

        A snapshot that the exchange does not give, or the disk does not take, is lost, and the next
        interval is tried.

        Raises: ExchangeDown or StorageError when patience ends, DataError where asking again is no
        use.
        """
        taken = lost = 0
        while not self._stop.is_set() and taken != snapshots:
            wait_seconds = 0.0
            try:
                collected = self.take()
            except (ExchangeDown, StorageError) as error:
                lost += 1
                _log.warning("snapshot_lost", why=str(error), consecutive=lost)
                if lost >= self._patience:
                    raise
                if isinstance(error, ExchangeDown):
                    wait_seconds = error.retry_after_seconds or 0.0
            else:
                lost = 0
                if collected is not None:
                    taken += 1
                    yield collected
            if taken != snapshots:
                left = self._interval_seconds - self._now() % self._interval_seconds
                self._stop.wait(max(left, wait_seconds))

    def take(self) -> Collected | None:
        """This interval's snapshot; None if it is on disk already or the stop event was set."""
        now = self._now()
        begins = datetime.fromtimestamp(now - now % self._interval_seconds, UTC)
        name = begins.strftime("snapshot-%Y%m%dT%H%M%SZ")
        # Invariant: what is on disk is never asked for again.
        if (self._folder / f"{name}.parquet").exists():
            return None
        # Both coins share the time: a snapshot is one moment of the market.
        received_at = datetime.fromtimestamp(int(now), UTC)
        books = []
        for currency in self._currencies:
            answer = self._patiently(currency)
            if answer is None:
                return None
            books.append(_book(answer, currency, received_at))
        quotes = pl.concat([book.quotes for book in books])
        path = write_desk(self._folder, quotes, name=name)
        skipped = sum((Counter(book.skipped) for book in books), Counter[str]())
        _log.info("snapshot_written", file=path.name, rows=quotes.height, skipped=dict(skipped))
        return Collected(path, quotes.height, dict(skipped))

    def _patiently(self, currency: str) -> Answer | None:
        """The answer, asked for again while the exchange is busy; None if stopped meanwhile."""
        pause_seconds = self._first_pause_seconds
        attempt = 1
        while True:
            try:
                return self._exchange.ask(currency)
            except ExchangeDown as error:
                wait_seconds = error.retry_after_seconds or pause_seconds
                if attempt == _ATTEMPTS or wait_seconds > _LONGEST_PAUSE_SECONDS:
                    raise
                _log.warning("exchange_busy", currency=currency, why=str(error), attempt=attempt)
            if self._stop.wait(wait_seconds):
                return None
            pause_seconds *= 2
            attempt += 1


class _Exchange:
    """One request at a time, bounded in time and size."""

    def __init__(self, base_url: str, timeout_seconds: float, limit_bytes: int) -> None:
        if not base_url.startswith(("https://", "http://")):
            raise ConfigError(f"base URL: wanted https:// or http://, found {base_url}")
        self._url = base_url.rstrip("/") + PATH
        self._limit_bytes = limit_bytes
        self._client = httpx.Client(timeout=timeout_seconds, headers={"User-Agent": "volquorum"})

    def close(self) -> None:
        self._client.close()

    def ask(self, currency: str) -> Answer:
        """Raises: ExchangeDown where asking later can help, DataError where it cannot."""
        query = {"currency": currency, "kind": "option"}
        try:
            with self._client.stream("GET", self._url, params=query) as response:
                body = self._limited(response)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise ExchangeDown(f"{self._url}: no answer: {type(error).__name__} {error}") from error
        answer = _decoded(body)
        status = response.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500 or _is_throttled(answer):
            raise ExchangeDown(f"{self._url}: answered {status}", _retry_after_seconds(response))
        if status != httpx.codes.OK:
            raise DataError(
                f"{response.url}: wanted 200, found {status} with {body[:200]!r}; "
                "check the base URL and the currency"
            )
        if answer is None:
            raise ExchangeDown(f"{self._url}: wanted a JSON object, found {body[:200]!r}")
        return answer

    def _limited(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > self._limit_bytes:
                raise DataError(
                    f"{response.url}: wanted at most {self._limit_bytes} bytes, found more; "
                    "check the base URL"
                )
        return bytes(body)


def _book(answer: Answer, currency: str, received_at: datetime) -> BookSummaries:
    book = read_book_summaries(answer, received_at=received_at)
    if set(book.quotes["currency"]) != {currency}:
        raise DataError(
            f"{currency}: wanted its options and no others, found {book.quotes.height} quotes of "
            f"{sorted(set(book.quotes['currency']))}, skipped {book.skipped}"
        )
    return book


def _decoded(body: bytes) -> Answer | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _is_throttled(answer: Answer | None) -> bool:
    error = None if answer is None else answer.get("error")
    return isinstance(error, dict) and error.get("code") == TOO_MANY_REQUESTS


def _retry_after_seconds(response: httpx.Response) -> float | None:
    """Seconds to wait from a Retry-After of either form; None without a sensible one."""
    told = response.headers.get("Retry-After", "")
    if told.isdecimal():
        return float(told)
    try:
        at = parsedate_to_datetime(told)
        return max(0.0, (at - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
