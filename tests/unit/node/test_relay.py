"""A relayer that is down, slow, lies or answers garbage costs time, and not much of it."""

import json
import socketserver
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from eth_account import Account
from structlog.testing import capture_logs

from node.relay import LARGEST_REASON_BYTES, Relayer
from protocol.recompute import Result
from protocol.signing import Signature, SignedCommit, SigningDomain

pytestmark = pytest.mark.http

TASK, ROUND = b"\5" * 32, 3
OWN = "0x" + "0a" * 20
SIGNED = SignedCommit(b"\1" * 32, b"\2" * 32, b"\3" * 32)
SECONDS = 0.5


@contextmanager
def server(answer):
    """Reads one request whole, and then does with the connection as `answer` likes."""
    requests = []

    class Answering(socketserver.StreamRequestHandler):
        def handle(self):
            with suppress(OSError):
                first = self.rfile.readline().decode()
                headers = dict(
                    line.decode().strip().lower().split(": ", 1)
                    for line in iter(self.rfile.readline, b"\r\n")
                )
                body = self.rfile.read(int(headers.get("content-length", 0)))
                requests.append((first.split()[:2], json.loads(body)))
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.server_address[1]}"
            yield Relayer(f"{url}/", timeout_seconds=SECONDS), requests
        finally:
            listening.shutdown()
            thread.join()


def answering(status, body=b"", headers=""):
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode()
    return lambda connection: connection.sendall(head + body)


def offers(relayer):
    return relayer.takes_commit(TASK, ROUND, OWN, SIGNED)


def test_commitment_goes_out_as_the_relayer_reads_it():
    with server(answering("202 Accepted", b'{"accepted":true}')) as (relayer, requests):
        assert offers(relayer)

    place = {"task_id": "0x" + "05" * 32, "round": ROUND, "participant": OWN}
    signature = {name: "0x" + digits * 32 for name, digits in (("r", "02"), ("vs", "03"))}
    assert requests == [
        (["POST", "/relay/commits"], place | signature | {"commitment": "0x" + "01" * 32})
    ]


def test_opening_goes_out_as_the_relayer_reads_it():
    opening = {"tree_top": b"\1" * 32, "squared_norm": 2**64 - 1, "salt": b"\2" * 32}
    with server(answering("202 Accepted")) as (relayer, requests):
        assert relayer.takes_opening(TASK, ROUND, OWN, **opening)

    ((where, sent),) = requests
    assert where == ["POST", "/relay/openings"]
    assert sent["squared_norm"] == 2**64 - 1
    assert (sent["tree_top"], sent["salt"]) == ("0x" + "01" * 32, "0x" + "02" * 32)


def test_vote_goes_out_as_the_relayer_reads_it():
    found = Result(b"\1" * 32, b"\2" * 32, b"\3" * 32, 2**64 - 1)
    with server(answering("202 Accepted")) as (relayer, requests):
        assert relayer.takes_vote(TASK, ROUND, OWN, found, Signature(b"\4" * 32, b"\5" * 32))

    ((where, sent),) = requests
    assert where == ["POST", "/relay/votes"]
    named = ("aggregate_root", "model_root", "updates_hash", "r", "vs", "task_id")
    assert [sent[name] for name in named] == [
        f"0x0{digit}" + f"0{digit}" * 31 for digit in "123455"
    ]
    assert (sent["unavailable"], sent["round"]) == (str(2**64 - 1), ROUND)


def test_what_is_signed_for_a_relayer_names_its_signer():
    account = Account.from_key(b"\7" * 32)
    domain = SigningDomain(31337, "0x" + "c0" * 20, TASK, ROUND)
    signed = domain.sign(account, b"\1" * 32)

    with server(answering("202 Accepted")) as (relayer, requests):
        assert relayer.takes_commit(TASK, ROUND, account.address, signed)

    ((_, sent),) = requests
    parts = (bytes.fromhex(sent[name][2:]) for name in ("commitment", "r", "vs"))
    assert domain.signer(SignedCommit(*parts)) == account.address


@pytest.mark.parametrize(
    "answer",
    [
        answering("409 Conflict", b'{"detail":"round 3 is in selection"}'),
        answering("500 Internal Server Error", b"\xff\x00 not text"),
        answering("307 Temporary Redirect", headers="location: http://127.0.0.1:1/\r\n"),
        answering("404 Not Found", b"x" * 1_000_000),
        lambda connection: connection.sendall(b"\0\1\2 this is no HTTP\r\n\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 202 Acc"),
        lambda _: None,
        lambda _: time.sleep(2 * SECONDS),
    ],
)
def test_everything_but_success_is_a_refusal_that_is_logged(answer):
    with server(answer) as (relayer, _), capture_logs() as logged:
        begun = time.monotonic()
        assert not offers(relayer)
        taken_seconds = time.monotonic() - begun

    assert taken_seconds < 4 * SECONDS
    (line,) = logged
    assert (line["what"], line["round"]) == ("commits", ROUND)
    assert len(line["why"]) < 5 * LARGEST_REASON_BYTES


def test_server_that_drips_its_answer_is_left_in_time():
    def drip(connection):
        connection.sendall(b"HTTP/1.1 409 Conflict\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    with server(drip) as (relayer, _):
        begun = time.monotonic()
        assert not offers(relayer)
        assert time.monotonic() - begun < 4 * SECONDS


def test_nobody_listening_is_a_refusal():
    assert not offers(Relayer("http://127.0.0.1:1", timeout_seconds=SECONDS))


def test_address_that_is_none_is_a_refusal():
    assert not offers(Relayer("http://[", timeout_seconds=SECONDS))
