"""What the gateway refuses to believe: another chain, other code, answers that cannot be true."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from contracts import artifact
from protocol.chain.code import INTERFACE, MODULES
from protocol.chain.deployment import deploy
from protocol.chain.gateway import Chain, Snapshot
from protocol.chain.rpc import octets, quantity
from protocol.errors import ChainAnswerInvalid, ChainUnavailable, ConfigError, WrongChain
from protocol.state import Phase
from tests.chain.game import DESKS, Game
from tests.chain.network import Network, Wrapped, flipped

pytestmark = pytest.mark.chain


def test_another_chain_id_is_refused(network: Network) -> None:
    with pytest.raises(WrongChain, match=r"wanted chain 5, but .* give the address of a node"):
        Chain.connect(network.endpoint, network.deployment.contract, 5)


def test_an_address_without_code_is_refused(network: Network) -> None:
    nowhere = to_checksum_address("0x" + "77" * 20)
    wanted = f"no Volquorum contract at {nowhere} .* wanted its code, found none; .*deploy to a new"
    with pytest.raises(WrongChain, match=wanted):
        Chain.connect(network.endpoint, nowhere)


def test_other_code_is_refused(embedded: Network) -> None:
    def other_code(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        return flipped(ask(), -1) if method == "eth_getCode" else ask()

    wanted = r"wanted this version's Volquorum contract, .*, found code that .*; run the version"
    with pytest.raises(WrongChain, match=wanted):
        embedded.deployment.connect(Wrapped(embedded.endpoint, other_code))


def _modules(network: Network) -> dict[str, str]:
    """Where the modules of the deployed contract stand, by their order in its code."""
    seen: list[str] = []

    def note(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_getCode":
            seen.append(params[0])
        return ask()

    network.deployment.connect(Wrapped(network.endpoint, note))
    assert seen[0] == network.deployment.contract
    return dict(zip(MODULES, seen[1:], strict=True))


@pytest.mark.parametrize("change", ["other code", "no code"])
@pytest.mark.parametrize("module", MODULES)
def test_other_code_of_a_module_is_refused(embedded: Network, module: str, change: str) -> None:
    where = _modules(embedded)[module]

    def other_code(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        if method != "eth_getCode" or params[0] != where:
            return ask()
        return flipped(ask(), -1) if change == "other code" else ask() | {"result": "0x"}

    with pytest.raises(WrongChain, match=f"{module} contract"):
        embedded.deployment.connect(Wrapped(embedded.endpoint, other_code))


def test_modules_are_those_of_the_contract_and_not_of_another_one(embedded: Network) -> None:
    first = _modules(embedded)
    other = deploy(embedded.endpoint, embedded.accounts[1])
    second = _modules(replace(embedded, deployment=other))
    assert not set(first.values()) & set(second.values())


def _with_word(embedded: Network, where: str, name: str, word: bytes) -> Wrapped:
    """A node that tells of other code at an address: with another immutable."""
    contract = "Volquorum" if where == embedded.deployment.contract else "Members"
    (place,) = artifact.load().contracts[contract].immutables[name]

    def alter(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method != "eth_getCode" or params[0] != where:
            return answer
        code = bytearray(octets(answer["result"], "code"))
        code[place : place + 32] = word.rjust(32, b"\0")
        return answer | {"result": "0x" + bytes(code).hex()}

    return Wrapped(embedded.endpoint, alter)


def test_a_contract_that_forwards_elsewhere_is_refused(embedded: Network) -> None:
    contract = embedded.deployment.contract
    nowhere = bytes.fromhex("77" * 20)
    with pytest.raises(WrongChain, match="no Challenges contract at 0x7777"):
        embedded.deployment.connect(_with_word(embedded, contract, "CHALLENGES", nowhere))
    swapped = octets(_modules(embedded)["Availability"], "address")
    with pytest.raises(WrongChain, match="this version's Members contract"):
        embedded.deployment.connect(_with_word(embedded, contract, "MEMBERS", swapped))


def test_a_module_that_takes_another_address_for_its_own_is_refused(embedded: Network) -> None:
    members = _modules(embedded)["Members"]
    own = octets(embedded.deployment.contract, "address")
    with pytest.raises(WrongChain, match="made for another address"):
        embedded.deployment.connect(_with_word(embedded, members, "SELF", own))


def test_a_node_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v3/secret-key"
        with pytest.raises(ChainUnavailable, match="no answer from 127") as failure:
            Chain.connect(url, "0x" + "11" * 20)
    assert "secret-key" not in str(failure.value)
    assert failure.value.__suppress_context__


def test_a_silent_node_is_given_up_on() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ChainUnavailable, match="Timeout"):
            Chain.connect(url, "0x" + "11" * 20, timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>hello</html>", ChainAnswerInvalid),
        (200, b"[1]", ChainAnswerInvalid),
        (200, b'{"jsonrpc": "2.0", "id": 0}', ChainAnswerInvalid),
        (200, b'{"jsonrpc": "2.0", "id": 0, "result": "0xzz"}', ChainAnswerInvalid),
        (200, b'{"jsonrpc": "2.0", "id": 0, "result": null}', ChainAnswerInvalid),
        (200, b'{"jsonrpc": "2.0", "id": 0, "error": {"code": 1, "message": "no"}}', None),
        (502, b"bad gateway", ChainUnavailable),
        (429, b"slow down", ChainUnavailable),
    ],
)
def test_rubbish_over_http_is_told_apart(
    status: int, body: bytes, error: type[Exception] | None
) -> None:
    with _serving(status, body) as url, pytest.raises(error or ChainUnavailable):
        Chain.connect(url, "0x" + "11" * 20)


def test_a_contract_must_be_an_address(embedded: Network) -> None:
    with pytest.raises(ConfigError, match="'0x12' is not an address"):
        Chain.connect(embedded.endpoint, "0x12")


def test_only_http_addresses_are_understood() -> None:
    with pytest.raises(ConfigError, match="http"):
        Chain.connect("ws://localhost:8545", "0x" + "11" * 20)


@pytest.mark.parametrize("answer", [True, None, -1, 2**64, 1.0, "12", "0x", "0xg", [], "0x-1"])
def test_what_is_no_number_of_64_bits_is_refused(answer: object) -> None:
    with pytest.raises(ChainAnswerInvalid, match=r"block\.number: wanted a number of 64 bits"):
        quantity(answer, "block.number")


@pytest.mark.parametrize("answer", [None, 1, b"\x01", "01" * 32, "0x", "0x" + "01" * 31, "0x1"])
def test_what_is_no_hash_is_refused(answer: object) -> None:
    with pytest.raises(ChainAnswerInvalid, match=r"block\.hash: wanted 32 bytes"):
        octets(answer, "block.hash", length=32)


Read = Callable[[Snapshot, bytes], object]


def _may_commit(look: Snapshot, task: bytes) -> bool:
    (first, *_) = look.seated(task)
    return look.may_commit(task, first)


@pytest.mark.parametrize(
    ("function", "byte", "read", "message"),
    [
        ("taskParams", 31, Snapshot.task_params, "hashes to task"),
        ("taskParams", 32 * 15 + 25, Snapshot.task_params, "hashes to task"),
        ("taskParams", 32 * 5 + 30, Snapshot.task_params, "do not decode|no member"),
        ("taskState", 0, Snapshot.task_state, "do not decode"),
        ("taskState", 32 * 6 + 30, Snapshot.task_state, "do not decode"),
        ("taskState", 32 * 2 + 29, Snapshot.task_state, "do not decode"),
        ("taskState", 32 * 2 + 30, Snapshot.seated, "seats, the contract holds"),
        ("taskState", 32 * 3 + 30, Snapshot.task_state, "more seats are in rounds"),
        ("taskState", 32 * 9 + 31, Snapshot.task_params, "says by votes True"),
        ("mayCommit", 31, _may_commit, "the node says False"),
        ("roundState", 27, lambda look, task: look.round_state(task, 1), "after the block's time"),
        ("roundState", 32 + 31, lambda look, task: look.round_state(task, 1), "published"),
        ("roundState", 32 * 2 + 31, lambda look, task: look.round_state(task, 1), "refuted before"),
        ("roundState", 32 * 4 + 31, lambda look, task: look.round_state(task, 1), "a settled"),
        ("roundState", 32 * 11 + 31, lambda look, task: look.revealed(task, 1), "3 reveals"),
        ("roundState", 32 * 11 + 4, lambda look, task: look.revealed(task, 1), "3 reveals"),
        ("roundState", 32 * 17 + 30, lambda look, task: look.scores(task, 1), "scores of 0 with"),
        ("roundState", 32 * 17 + 31, lambda look, task: look.scores(task, 1), "scores of 0 with"),
        ("roundState", 32 * 5 + 31, lambda look, task: look.round_state(task, 1), "than active"),
        ("roundState", 32 * 6 + 30, lambda look, task: look.round_state(task, 1), "do not decode"),
        ("roundState", 32 * 6 + 31, lambda look, task: look.round_state(task, 1), "at no time"),
        ("roundState", 32 * 7 + 31, lambda look, task: look.round_state(task, 1), "nothing publis"),
        (
            "roundState",
            32 * 8 + 31,
            lambda look, task: look.round_state(task, 1),
            "votes for nothi",
        ),
        ("roundState", 32 * 8 + 29, lambda look, task: look.round_state(task, 1), "do not decode"),
        ("roundState", 32 * 9 + 31, lambda look, task: look.votes(task, 1), "counted 1"),
        ("roundState", 32 * 9 + 29, lambda look, task: look.round_state(task, 1), "do not decode"),
        ("roundState", 32 * 10 + 30, lambda look, task: look.round_state(task, 1), "than revealed"),
        ("roundState", 32 * 10 + 31, lambda look, task: look.included(task, 1), "as unavailable"),
        ("roundState", 32 * 10 + 31, lambda look, task: look.excluded(task, 1), "as unavailable"),
        ("phase", 31, lambda look, task: look.phase(task, 1), "facts and its clock say REVEAL"),
    ],
)
def test_one_flipped_bit_in_a_call_is_noticed(
    embedded_game: Game, function: str, byte: int, read: Read, message: str
) -> None:
    selector = "0x" + INTERFACE.functions[function].selector.hex()

    def flip(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        hit = method == "eth_call" and params[0]["data"].startswith(selector)
        return flipped(ask(), byte) if hit else ask()

    look = _revealed_through(embedded_game, flip)
    with pytest.raises(ChainAnswerInvalid, match=message):
        read(look, embedded_game.task_id)


def _altered(logs: list[Any], change: str) -> list[Any]:
    first, *rest = (dict(log) for log in logs)
    *others, last = logs
    content = bytearray.fromhex(last["data"][2:])
    content[0] ^= 1
    foreign = last["topics"][0][:-1] + ("0" if last["topics"][0][-1] != "0" else "1")
    changes = {
        "data": [*others, last | {"data": "0x" + content.hex()}],
        "missing": others,
        "order": [last, *others],
        "twice": [*logs, last],
        "address": [first | {"address": "0x" + "12" * 20}, *rest],
        "unknown event": [*others, last | {"topics": [foreign, *last["topics"][1:]]}],
        "other task": [*others, last | {"topics": [last["topics"][0], "0x" + "55" * 32]}],
        "no topics": [*others, last | {"topics": []}],
        "cut off": [*others, last | {"data": last["data"][:-2]}],
        "outside": [*others, last | {"blockNumber": 10**6}],
    }
    return changes[change]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data", "3 reveals with hash"),
        ("missing", "2 reveals with hash"),
        ("order", "out of order"),
        ("twice", "out of order"),
        ("outside", "outside blocks"),
        ("address", "cannot emit"),
        ("unknown event", "cannot emit"),
        ("no topics", "cannot emit"),
        ("other task", "other topics than asked for"),
        ("cut off", "do not decode|not a canonical|wanted bytes"),
    ],
)
def test_one_altered_log_is_noticed_and_read_again(
    embedded_game: Game, change: str, message: str
) -> None:
    lies = [change]

    def alter(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getLogs" and lies:
            return answer | {"result": _altered(list(answer["result"]), lies.pop())}
        return answer

    look = _revealed_through(embedded_game, alter)
    with pytest.raises(ChainAnswerInvalid, match=message):
        look.revealed(embedded_game.task_id, 1)
    assert len(look.revealed(embedded_game.task_id, 1)) == len(DESKS)


def test_logs_that_are_no_list_are_refused(embedded_game: Game) -> None:
    def alter(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        return ask() | ({"result": "0x"} if method == "eth_getLogs" else {})

    look = _revealed_through(embedded_game, alter)
    with pytest.raises(ChainAnswerInvalid, match="wanted a list"):
        look.committed(embedded_game.task_id, 1)


def test_a_wrong_block_is_refused(embedded: Network) -> None:
    def alter(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getBlockByNumber":
            return answer | {"result": dict(answer["result"]) | {"number": 12_345}}
        return answer

    chain = embedded.deployment.connect(Wrapped(embedded.endpoint, alter))
    with pytest.raises(ChainAnswerInvalid, match="asked for block 1, got block 12345"):
        chain.block(1)


def test_a_block_of_the_future_is_unavailable(network: Network) -> None:
    with pytest.raises(ChainUnavailable):
        network.connect().block(10**6)


def test_facts_are_asked_for_once_per_snapshot(embedded_game: Game) -> None:
    embedded_game.begin()
    node = Wrapped(embedded_game.network.endpoint, lambda _method, _params, ask: ask())
    chain = embedded_game.network.deployment.connect(node)
    look = chain.at(chain.head())
    node.seen.clear()
    for _ in range(3):
        assert look.phase(embedded_game.task_id, 1) is Phase.SELECTION
        look.round_state(embedded_game.task_id, 1)
    assert node.seen.count("eth_call") == len({"phase", "roundState", "taskState", "taskParams"})


def _revealed_through(game: Game, alter: Callable[..., Any]) -> Snapshot:
    """A snapshot in the reveal phase, seen through a node that does not tell the truth."""
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(*DESKS)
    game.travel(game.deadlines().commit)
    game.reveal(*DESKS)
    chain = game.network.deployment.connect(Wrapped(game.network.endpoint, alter))
    return chain.at(chain.head())


@contextmanager
def _serving(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the base class calls
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
