"""Blobs over real HTTP: what the server answers, and what a client survives."""

import gzip
import socket
import socketserver
import threading
import time
import tracemalloc
from contextlib import contextmanager, suppress

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from protocol.blob_server import blob_router
from protocol.blobs import DirectoryStore, HttpStore, largest_blob_bytes
from protocol.encoding import encode_update
from protocol.errors import BlobCorrupt, BlobError, BlobNotFound, BlobStoreDown, ConfigError
from protocol.http import HttpServer, health_router
from tests.unit.protocol.blob_suite import CHUNK, SHIFT, UPDATE, BlobStoreSuite, root_of

pytestmark = pytest.mark.http

CONTENT = encode_update(UPDATE, SHIFT)
ROOT = root_of(UPDATE)
ADDRESS = f"0x{ROOT.hex()}"


@contextmanager
def serving(*routers):
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    with HttpServer(app) as server:
        yield server.url


@contextmanager
def raw_server(answer):
    """A server that reads a request and then does as it likes with the connection."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            with suppress(OSError):
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class TestHttpStore(BlobStoreSuite):
    """A real server over the directory; its owner may have damaged any file."""

    @pytest.fixture
    def store(self, behind):
        lenient = DirectoryStore(behind.path)
        with serving(blob_router(lenient)) as url:
            yield HttpStore(url + "/", limit_bytes=largest_blob_bytes(100))


@pytest.fixture
def directory(tmp_path):
    store = DirectoryStore(tmp_path / "blobs")
    store.put(CONTENT, chunk_length=CHUNK)
    return store


@pytest.fixture
def url(directory):
    with serving(blob_router(directory)) as url:
        yield url


def test_a_blob_may_be_cached_for_ever(url):
    answer = httpx.get(f"{url}/blobs/{ADDRESS}")
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]


def test_head_tells_the_size_and_sends_nothing(url):
    answer = httpx.head(f"{url}/blobs/{ADDRESS}")
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.content == b""


def test_an_absent_blob_is_not_found_and_not_cached(url):
    answer = httpx.get(f"{url}/blobs/0x{bytes(32).hex()}")
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "address",
    [
        ROOT.hex(),
        "0x" + ROOT.hex().upper(),
        ADDRESS[:-1],
        ADDRESS + "0",
        ADDRESS + "%0a",
        "..%2f..%2fetc%2fpasswd",
        "0x" + "٣" * 64,
    ],
)
def test_only_the_one_spelling_of_an_address_is_answered(url, address):
    assert httpx.get(f"{url}/blobs/{address}").status_code in {400, 404}


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_can_be_written(url, directory, method):
    assert httpx.request(method, f"{url}/blobs/{ADDRESS}").status_code == 405
    assert directory.get_bytes(ROOT, chunk_length=CHUNK) == CONTENT


def test_a_withheld_blob_looks_like_an_absent_one(directory):
    allowed = set()
    with serving(blob_router(directory, may_serve=allowed.__contains__)) as url:
        store = HttpStore(url)
        withheld = httpx.get(f"{url}/blobs/{ADDRESS}")
        absent = httpx.get(f"{url}/blobs/0x{bytes(32).hex()}")
        assert withheld.status_code == absent.status_code == 404
        assert withheld.headers["content-length"] == absent.headers["content-length"]
        assert not store.has(ROOT)
        allowed.add(ROOT)
        assert store.has(ROOT)
        assert store.get_bytes(ROOT, chunk_length=CHUNK) == CONTENT


def test_an_http_store_takes_nothing(url):
    with pytest.raises(BlobError, match="read only"):
        HttpStore(url).put(CONTENT, chunk_length=CHUNK)


def fetch_from(answer, **settings):
    with raw_server(answer) as url:
        HttpStore(url, **settings).get(ROOT, chunk_length=CHUNK)


def test_a_redirect_is_refused(url):
    def redirect(connection):
        location = f"{url}/blobs/{ADDRESS}".encode()
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
        )

    with pytest.raises(BlobStoreDown, match="answered status 302"):
        fetch_from(redirect)


def test_an_endless_answer_is_cut_off():
    sent = []

    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))
            sent.append(65536)

    with pytest.raises(BlobCorrupt, match="more than the 1000 bytes"):
        fetch_from(endless, limit_bytes=1000)
    assert sum(sent) < 2**26


def gzipping(body, *, coding=b"gzip"):
    """Answers with this body, whatever it is, as if it were gzipped."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"

    def answer(connection):
        connection.sendall(head % (coding, len(body)) + body)

    return answer


BOMB = gzip.compress(bytes(2**26))


def test_a_blob_travels_gzipped_and_arrives_as_it_was(tmp_path):
    values = np.zeros(4000, dtype=np.int16)
    values[::40] = 96
    content = encode_update(values, SHIFT)
    store = DirectoryStore(tmp_path)
    root = store.put(content, chunk_length=CHUNK)
    with serving(blob_router(store)) as url:
        answer = httpx.get(f"{url}/blobs/0x{root.hex()}", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert "immutable" in answer.headers["cache-control"]
        assert 10 * answer.num_bytes_downloaded < len(content)
        assert answer.content == content
        assert HttpStore(url).get_bytes(root, chunk_length=CHUNK) == content


@pytest.mark.parametrize("accepted", ["identity", "", "br, *", "gzip;q=0", "deflate, gzip; q=0.00"])
def test_who_does_not_want_gzip_gets_the_bytes_themselves(url, accepted):
    answer = httpx.get(f"{url}/blobs/{ADDRESS}", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.content == CONTENT


def test_a_part_of_a_blob_is_a_part_of_its_own_bytes(url):
    answer = httpx.get(f"{url}/blobs/{ADDRESS}", headers={"Range": "bytes=2-5"})
    assert answer.status_code == 206
    assert "content-encoding" not in answer.headers
    assert answer.content == CONTENT[2:6]


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP"])
def test_gzip_of_any_maker_is_understood(coding):
    with raw_server(gzipping(gzip.compress(CONTENT, 9), coding=coding)) as url:
        assert HttpStore(url).get_bytes(ROOT, chunk_length=CHUNK) == CONTENT


def test_a_server_without_gzip_will_do():
    def plain(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT))
        connection.sendall(CONTENT)

    with raw_server(plain) as url:
        assert HttpStore(url).get_bytes(ROOT, chunk_length=CHUNK) == CONTENT


def test_what_does_not_compress_is_taken_up_to_the_limit(tmp_path):
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, 40_000, dtype=np.int16)
    content = encode_update(noise, SHIFT)
    store = DirectoryStore(tmp_path)
    root = store.put(content, chunk_length=CHUNK)
    with serving(blob_router(store)) as url:
        fetching = HttpStore(url, limit_bytes=len(content))
        assert fetching.get_bytes(root, chunk_length=CHUNK) == content


def test_a_bomb_is_refused_at_the_limit_and_not_inflated():
    limit_bytes = 2 * len(BOMB)  # so that it is what comes out that is refused
    tracemalloc.start()
    try:
        with pytest.raises(BlobCorrupt, match=f"more than the {limit_bytes} bytes allowed"):
            fetch_from(gzipping(BOMB), limit_bytes=limit_bytes)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2**24


def test_an_endless_gzip_answer_is_cut_off():
    sent = []

    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        connection.sendall(gzip.compress(b"")[:10])
        while True:
            # Stored blocks that hold nothing: the stream goes on, and nothing comes out.
            connection.sendall(b"\x00\x00\x00\xff\xff" * 10_000)
            sent.append(50_000)

    with pytest.raises(BlobCorrupt, match="more than the 1000 bytes"):
        fetch_from(endless, limit_bytes=1000)
    assert sum(sent) < 2**26


def test_another_blob_in_gzip_is_caught():
    with pytest.raises(BlobCorrupt, match=root_of(-UPDATE).hex()):
        fetch_from(gzipping(gzip.compress(encode_update(-UPDATE, SHIFT))))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"abc", "no gzip stream", id="text"),
        pytest.param(b"", "part of a gzip stream", id="nothing"),
        pytest.param(gzip.compress(CONTENT)[:-1], "part of a gzip stream", id="cut"),
        pytest.param(gzip.compress(CONTENT) + b"\0", "more than one", id="a byte too many"),
        pytest.param(
            gzip.compress(CONTENT[:50]) + gzip.compress(CONTENT[50:]), "more than one", id="two"
        ),
        pytest.param(gzip.compress(CONTENT)[:-8] + bytes(8), "no gzip stream", id="checksum"),
        pytest.param(CONTENT, "no gzip stream", id="not zipped"),
    ],
)
def test_what_is_not_one_gzip_stream_is_refused(body, why):
    with pytest.raises(BlobCorrupt, match=why):
        fetch_from(gzipping(body))


@pytest.mark.parametrize("coding", [b"br", b"deflate", b"gzip, gzip", b"zstd"])
def test_a_coding_that_nobody_asked_for_is_refused(coding):
    with pytest.raises(BlobCorrupt, match="wanted gzip"):
        fetch_from(gzipping(CONTENT, coding=coding))


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_drips_is_given_up(part):
    def dripping(connection):
        connection.sendall(part)
        for _ in range(600):
            time.sleep(0.05)
            connection.sendall(
                b"X" if part.endswith(b"\r\n\r\n") else b"X: 1\r\n" if part else b"H"
            )

    with pytest.raises(BlobStoreDown, match=r"did not answer within 0\.3 seconds"):
        fetch_from(dripping, timeout_seconds=0.3)


def test_a_torn_answer_is_an_expected_error():
    def torn(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    with pytest.raises(BlobStoreDown, match="did not answer"):
        fetch_from(torn)


def test_a_closed_port_is_an_expected_error():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store = HttpStore(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(BlobStoreDown, match="ConnectError"):
            store.get(ROOT, chunk_length=CHUNK)
        with pytest.raises(BlobStoreDown):
            store.has(ROOT)


class Vital:
    """A service's answers about itself."""

    heartbeat_age_seconds = 1.25
    is_healthy = True
    is_ready = False

    def healthy(self):
        return self.is_healthy

    def ready(self):
        return self.is_ready


def test_health_pages_say_what_the_service_says():
    registry = CollectorRegistry()
    Counter("rounds_seen", "Rounds", registry=registry).inc()
    with serving(health_router(Vital(), registry)) as url:
        assert httpx.get(f"{url}/healthz").json() == {
            "healthy": True,
            "heartbeat_age_seconds": 1.2,
        }
        assert httpx.get(f"{url}/readyz").status_code == 503
        metrics = httpx.get(f"{url}/metrics")
        assert "rounds_seen_total 1.0" in metrics.text
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_a_taken_port_is_a_configuration_error():
    with HttpServer(FastAPI()) as server, pytest.raises(ConfigError, match="cannot listen on"):
        HttpServer(FastAPI(), port=server.port)


def test_a_stopped_server_is_not_alive_and_frees_its_port():
    server = HttpServer(FastAPI()).start()
    assert server.alive()
    server.stop()
    assert not server.alive()
    HttpServer(FastAPI(), port=server.port).start().stop()


def test_an_unknown_blob_over_http_is_not_found(url):
    with pytest.raises(BlobNotFound):
        HttpStore(url).get(bytes(32), chunk_length=CHUNK)
