"""The collector against a real HTTP server that replays answers in Deribit's shape."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from click.testing import CliRunner

from node.market.batches import whole
from node.market.cleaning import clean
from node.market.collector import Collector, ExchangeDown
from node.market.layouts import read_batches
from node.market.quotes import QUOTES
from node.market.synthetic import market
from protocol.errors import ConfigError, DataError
from scripts.collect_quotes import main

pytestmark = pytest.mark.http

REPOSITORY = Path(__file__).parents[2]
BEGINS = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
HOUR = 3600


@dataclass
class Reply:
    """What the server answers once."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


class Exchange:
    """Answers each coin's requests with the scripted replies first and its book ever after."""

    def __init__(self, books: dict[str, bytes]) -> None:
        self.books = books
        self.scripted: dict[str, deque[Reply]] = defaultdict(deque)
        self.asked: list[str] = []
        self.paths: set[str] = set()

    def reply(self, target: str) -> Reply:
        url = urlsplit(target)
        query = parse_qs(url.query)
        currency = query["currency"][0]
        self.asked.append(currency)
        self.paths.add(f"{url.path} {query['kind'][0]}")
        if self.scripted[currency]:
            return self.scripted[currency].popleft()
        return Reply(body=self.books[currency])


class Clock(threading.Event):
    """A stop event whose waits take no time but move `now`."""

    def __init__(self, start: datetime) -> None:
        super().__init__()
        self.seconds = start.timestamp()
        self.waits: list[float] = []
        self.stop_at_wait: int | None = None

    def now(self) -> float:
        return self.seconds

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.seconds += timeout
        if len(self.waits) == self.stop_at_wait:
            self.set()
        return self.is_set()


def book(chain: pl.DataFrame, currency: str) -> bytes:
    """One snapshot of one coin as the exchange would send it, with what is no inverse option."""
    listed = chain.filter(currency=currency)
    names = listed.select(
        pl.format(
            "{}-{}-{}-{}",
            "currency",
            pl.col("expiry").dt.strftime("%-d%b%y").str.to_uppercase(),
            pl.col("strike_usd").cast(pl.Int64),
            pl.when("is_call").then(pl.lit("C")).otherwise(pl.lit("P")),
        )
    ).to_series()
    summaries: list[dict[str, object]] = [
        {
            "instrument_name": name,
            "base_currency": currency,
            "quote_currency": currency,
            "underlying_index": "SYN." + name.rsplit("-", 2)[0],
            "underlying_price": row["forward_usd"],
            "bid_price": row["bid_coin"],
            "ask_price": row["ask_coin"],
            "mid_price": None,
            "mark_price": row["mark_coin"],
            "mark_iv": round(100 * row["mark_iv"], 2),
            "interest_rate": 0.0,
            "open_interest": row["open_interest_coin"],
            "volume": row["volume_coin"],
            "volume_usd": 0.0,
            "last": None,
            "high": None,
            "low": None,
            "price_change": None,
            "estimated_delivery_price": row["forward_usd"],
            "creation_timestamp": 1_767_582_000_000,
        }
        for name, row in zip(names, listed.iter_rows(named=True), strict=True)
    ]
    name = f"{currency}_USDC-27MAR26-100-C"
    unmarked = summaries[0] | {"instrument_name": name, "mark_price": 1.5, "mark_iv": None}
    result = [*summaries, unmarked]
    return json.dumps(
        {
            "jsonrpc": "2.0",
            "result": result,
            "usIn": 1_767_582_000_000_000,
            "usOut": 1_767_582_000_002_345,
            "usDiff": 2345,
            "testnet": False,
        }
    ).encode()


def envelope(code: int, message: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "error": {"code": code, "message": message}}).encode()


@contextmanager
def serving(exchange: Exchange) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = exchange.reply(self.path)
            time.sleep(reply.delay_seconds)
            self.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_args: object) -> None:
            """Keeps the test's output to itself."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def chain() -> pl.DataFrame:
    made = market(2, days=1, snapshots_per_day=1)
    return made.filter(timestamp=made["timestamp"].min())


@pytest.fixture
def exchange(chain: pl.DataFrame) -> Exchange:
    return Exchange({currency: book(chain, currency) for currency in ("BTC", "ETH")})


@pytest.fixture
def clock() -> Clock:
    return Clock(BEGINS + timedelta(minutes=30))


@pytest.fixture
def make(tmp_path: Path, exchange: Exchange, clock: Clock) -> Iterator[Callable[..., Collector]]:
    with serving(exchange) as url:
        made: list[Collector] = []

        def build(**changed: object) -> Collector:
            plain: dict[str, object] = {
                "interval_seconds": HOUR,
                "base_url": url,
                "stop": clock,
                "now": clock.now,
            }
            made.append(Collector(tmp_path, ("BTC", "ETH"), **(plain | changed)))  # type: ignore[arg-type] # keywords under test
            return made[-1]

        yield build
        for collector in made:
            collector.__exit__(None, None, None)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_snapshot_is_one_file_with_both_coins_at_one_time(make, tmp_path, exchange, chain):
    (collected,) = make().run(1)
    assert names(tmp_path) == ["snapshot-20260105T030000Z.parquet"]
    assert exchange.asked == ["BTC", "ETH"]
    assert exchange.paths == {"/api/v2/public/get_book_summary_by_currency option"}
    table = whole(read_batches(tmp_path))
    expected = chain.sort("currency", "expiry", "strike_usd", "is_call").with_columns(
        timestamp=pl.lit(BEGINS + timedelta(minutes=30)).cast(QUOTES["timestamp"]),
        delta=pl.lit(None, pl.Float64),
    )
    assert table.drop("mark_iv").equals(expected.drop("mark_iv"))
    assert table["mark_iv"].to_numpy() == pytest.approx(expected["mark_iv"].to_numpy())
    assert collected.rows == chain.height
    assert collected.skipped == {"no_mark": 2}
    assert clean(table).quotes.height > 200


def test_each_interval_costs_one_request_a_coin(make, tmp_path, exchange, clock):
    taken = list(make().run(3))
    assert [each.path.name for each in taken] == names(tmp_path)
    assert names(tmp_path) == [f"snapshot-20260105T0{hour}0000Z.parquet" for hour in (3, 4, 5)]
    assert exchange.asked == ["BTC", "ETH"] * 3
    assert clock.waits == [HOUR / 2, HOUR]
    assert whole(read_batches(tmp_path))["timestamp"].n_unique() == 3


def test_restart_within_an_interval_asks_for_nothing(make, tmp_path, exchange):
    list(make().run(1))
    assert make().take() is None
    assert len(exchange.asked) == 2
    list(make().run(1))
    assert len(exchange.asked) == 4
    assert len(names(tmp_path)) == 2


def test_retry_after_is_obeyed(make, tmp_path, exchange, clock):
    exchange.scripted["BTC"].extend([Reply(429, headers={"Retry-After": "17"})] * 2)
    list(make().run(1))
    assert clock.waits == [17.0, 17.0]
    assert exchange.asked == ["BTC", "BTC", "BTC", "ETH"]
    assert len(names(tmp_path)) == 1


def test_retry_after_may_be_a_date(make, exchange, clock):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    exchange.scripted["BTC"].append(Reply(503, headers={"Retry-After": later}))
    list(make().run(1))
    assert 20 < clock.waits[0] <= 40


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}])
def test_server_errors_are_asked_again_ever_more_slowly(make, exchange, clock, headers):
    exchange.scripted["ETH"].extend([Reply(status, headers=headers) for status in (500, 502, 503)])
    list(make(first_pause_seconds=3.0).run(1))
    assert clock.waits == [3.0, 6.0, 12.0]


def test_the_exchanges_own_throttle_error_is_asked_again(make, exchange, clock):
    exchange.scripted["BTC"].append(Reply(400, envelope(10028, "too_many_requests")))
    list(make().run(1))
    assert clock.waits == [2.0]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html>maintenance</html>"),
        Reply(body=b"[1, 2]"),
        Reply(body=b"half", headers={"Content-Length": "100"}),
        Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
    ],
)
def test_garbled_answer_is_asked_again(make, tmp_path, exchange, reply):
    exchange.scripted["BTC"].append(reply)
    list(make(timeout_seconds=0.5).run(1))
    assert exchange.asked == ["BTC", "BTC", "ETH"]
    assert len(names(tmp_path)) == 1


def test_slow_answer_is_given_up(make, exchange):
    exchange.scripted["BTC"].append(Reply(delay_seconds=0.5))
    list(make(timeout_seconds=0.1).run(1))
    assert exchange.asked == ["BTC", "BTC", "ETH"]


def test_long_retry_after_loses_the_snapshot_and_is_waited_out(make, tmp_path, exchange, clock):
    exchange.scripted["BTC"].append(Reply(429, headers={"Retry-After": "5000"}))
    list(make().run(1))
    assert clock.waits == [5000.0]
    assert names(tmp_path) == ["snapshot-20260105T040000Z.parquet"]


def test_snapshot_without_its_second_coin_is_not_written(make, tmp_path, exchange):
    exchange.scripted["ETH"].extend([Reply(503)] * 4)
    collector = make()
    with pytest.raises(ExchangeDown, match="answered 503"):
        collector.take()
    assert names(tmp_path) == []
    (collected,) = collector.run(1)
    assert collected.path.name in names(tmp_path)


def test_patience_ends(make, tmp_path, exchange):
    exchange.scripted["BTC"].extend([Reply(503)] * 8)
    with pytest.raises(ExchangeDown):
        list(make(patience=2).run(1))
    assert exchange.asked == ["BTC"] * 8
    assert names(tmp_path) == []


def test_full_disk_loses_the_snapshot_and_the_next_one_is_taken(
    make, tmp_path, monkeypatch, exchange
):
    fsync = os.fsync

    def full_at_first(descriptor):
        if len(exchange.asked) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_first)
    (collected,) = make().run(1)
    assert exchange.asked == ["BTC", "ETH", "BTC", "ETH"]
    assert [collected.path.name] == names(tmp_path)


def test_a_written_snapshot_restores_patience(make, exchange):
    failures = [Reply(503)] * 4
    exchange.scripted["ETH"].extend([*failures, Reply(body=exchange.books["ETH"]), *failures])
    assert len(list(make(patience=2).run(2))) == 2


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(400, envelope(-32602, "Invalid params")), "found 400 .*Invalid params"),
        (Reply(404), "found 404"),
        (Reply(301, headers={"Location": "http://127.0.0.1:9/"}), "found 301"),
        (Reply(200, envelope(11050, "bad_request")), "error 11050: bad_request"),
        (Reply(200, b'{"jsonrpc": "2.0", "result": []}'), "BTC: wanted its options"),
        (Reply(200, b'{"result": 7}'), "result is a list"),
    ],
)
def test_answer_that_asking_again_cannot_mend_ends_the_run(make, tmp_path, exchange, reply, why):
    exchange.scripted["BTC"].append(reply)
    with pytest.raises(DataError, match=why) as caught:
        list(make().run(1))
    assert not isinstance(caught.value, ExchangeDown)
    assert exchange.asked == ["BTC"]
    assert names(tmp_path) == []


def test_another_coins_options_are_refused(make, tmp_path, exchange):
    exchange.scripted["ETH"].append(Reply(body=exchange.books["BTC"]))
    with pytest.raises(DataError, match="ETH: wanted its options and no others"):
        list(make().run(1))
    assert names(tmp_path) == []


def test_answer_above_the_size_limit_is_refused(make, tmp_path):
    with pytest.raises(DataError, match="at most 10000 bytes"):
        list(make(limit_bytes=10_000).run(1))
    assert names(tmp_path) == []


def test_stop_during_a_back_off_ends_the_run_without_a_file(make, tmp_path, exchange, clock):
    exchange.scripted["ETH"].append(Reply(503))
    clock.stop_at_wait = 1
    assert list(make().run()) == []
    assert exchange.asked == ["BTC", "ETH"]
    assert names(tmp_path) == []


def test_stop_between_snapshots_ends_the_run(make, clock):
    clock.stop_at_wait = 2
    assert len(list(make().run())) == 2


def test_nobody_listening_is_the_exchange_being_down(tmp_path, exchange, clock):
    with serving(exchange) as url:
        pass
    with (
        Collector(
            tmp_path, ["BTC"], interval_seconds=HOUR, base_url=url, stop=clock, patience=1
        ) as collector,
        pytest.raises(ExchangeDown, match="no answer: ConnectError"),
    ):
        list(collector.run(1))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"base_url": "ftp://example.org"}, "base URL: wanted https"),
        ({"interval_seconds": 0}, "interval of 1 second or more"),
    ],
)
def test_wrong_setting_is_refused_at_once(make, wrong, why):
    with pytest.raises(ConfigError, match=why):
        make(**wrong)


@pytest.fixture
def today() -> Exchange:
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = market(2, days=1, snapshots_per_day=1, start=start + timedelta(days=1))
    return Exchange({currency: book(made, currency) for currency in ("BTC", "ETH")})


def test_command_prints_what_it_wrote_as_json(tmp_path, today):
    with serving(today) as url:
        arguments = f"--interval 1 --snapshots 2 --base-url {url} --currency ETH --json".split()
        result = CliRunner().invoke(main, ["--out", str(tmp_path), *arguments])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["snapshots"]
    assert [Path(each["file"]).name for each in told] == names(tmp_path)
    assert sum(each["rows"] for each in told) == whole(read_batches(tmp_path)).height
    assert set(whole(read_batches(tmp_path))["currency"]) == {"ETH"}
    assert today.asked == ["ETH", "ETH"]


@pytest.mark.parametrize(
    ("arguments", "reply", "status"),
    [
        (["--interval", "0"], None, 2),
        (["--currency", "XRP"], None, 2),
        (["--base-url", "gopher://example.org"], None, 2),
        ([], Reply(404), 6),
    ],
)
def test_command_fails_with_its_documented_status(tmp_path, today, arguments, reply, status):
    if reply is not None:
        today.scripted["BTC"].append(reply)
    with serving(today) as url:
        result = CliRunner().invoke(
            main, ["--out", str(tmp_path), "--snapshots", "1", "--base-url", url, *arguments]
        )
    assert result.exit_code == status, result.output


def test_sigterm_ends_the_command_with_success_and_whole_files(tmp_path, today):
    with serving(today) as url:
        arguments = f"-m scripts.collect_quotes --interval 1 --base-url {url} --json --out".split()
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *arguments, str(tmp_path)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*.parquet")) and process.poll() is None:
            assert time.monotonic() < deadline, "no snapshot within a minute"
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert len(json.loads(out)["snapshots"]) == len(names(tmp_path)) >= 1
    assert all(name.endswith(".parquet") for name in names(tmp_path))
