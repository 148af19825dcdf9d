"""The chain as a store: what was posted is found again, whole and right or not at all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protocol.blobs import FirstOf
from protocol.chain import events
from protocol.chain.code import INTERFACE
from protocol.chain.posted import PostedStore
from protocol.encoding import Kind
from protocol.errors import BlobCorrupt, BlobError, BlobNotFound, BlobStoreDown
from protocol.numbers import Int16Array, Int32Array
from protocol.state import Published
from tests.chain.game import STRANGER, Game, MemoryStore
from tests.chain.network import Network, Wrapped

pytestmark = pytest.mark.chain

OTHER = 5
# An update fills one part exactly, a model two: its first part is as long as a whole update.
EXACT = 16_384
BYTES_POSTED = "0x" + INTERFACE.topics["BytesPosted"].hex()


def _flagged(network: Network, dimension: int = 600) -> Game:
    """A game in which the second desk's update is flagged."""
    game = Game(network, dimension=dimension)
    game.begin()
    game.play_until_revealed()
    game.flag(OTHER, 2)
    return game


def _store(game: Game, endpoint: Any = None) -> PostedStore:
    chain = game.chain if endpoint is None else game.network.deployment.connect(endpoint)
    return PostedStore(chain, game.task_id, game.params)


def _get(store: PostedStore | FirstOf, game: Game, root: bytes) -> Int16Array | Int32Array:
    chunk_length, shift = game.params.chunk_length, game.params.shift
    return store.get(root, chunk_length=chunk_length, shift=shift).values


def test_update_of_several_parts_is_found_once_all_are_posted(network: Network) -> None:
    game = _flagged(network, EXACT + 100)
    store, root = _store(game), game.tree(2).root
    first, second = game.parts(game.values(2))
    assert not store.has(root)
    for part in (first, second):
        with pytest.raises(BlobNotFound):
            _get(store, game, root)
        game.send(STRANGER, "postUpdate", game.task_id, 1, game.address(2), *part)
    assert store.has(root)
    np.testing.assert_array_equal(_get(store, game, root), game.values(2))
    assert game.look().excluded(game.task_id, 1) == ()


def test_first_part_of_a_model_is_not_taken_for_an_update(network: Network) -> None:
    game = Game(network, dimension=EXACT)
    game.begin()
    game.play_until_revealed()
    game.travel(game.deadlines().availability)
    honest = game.honest()
    game.publish(STRANGER, None, honest.aggregate_root, honest.model_root)
    for what in (Published.AGGREGATE, Published.MODEL):
        game.flag_result(OTHER, what)
    store = _store(game)
    first, second = game.parts(honest.model)
    game.send(STRANGER, "postResult", game.task_id, 1, Published.MODEL, *first)
    with pytest.raises(BlobNotFound):
        _get(store, game, honest.model_root)
    game.send(STRANGER, "postResult", game.task_id, 1, Published.MODEL, *second)
    game.post_result(STRANGER, Published.AGGREGATE, honest.aggregate)

    for root, kind, values in (
        (honest.aggregate_root, Kind.UPDATE, honest.aggregate),
        (honest.model_root, Kind.MODEL, honest.model),
    ):
        blob = store.get(root, chunk_length=game.params.chunk_length)
        assert (blob.kind, blob.shift) == (kind, game.params.shift)
        np.testing.assert_array_equal(blob.values, values)


def test_what_nobody_posted_is_not_found(embedded: Network) -> None:
    game = _flagged(embedded)
    game.post(STRANGER, 2)
    with pytest.raises(BlobNotFound):
        _get(_store(game), game, game.tree(1).root)


def test_what_was_posted_for_another_task_is_not_found(embedded: Network) -> None:
    game = _flagged(embedded)
    game.post(STRANGER, 2)
    other = PostedStore(game.chain, b"\x07" * 32, game.params)
    with pytest.raises(BlobNotFound):
        _get(other, game, game.tree(2).root)


def test_the_same_bytes_may_be_posted_in_several_rounds(embedded: Network) -> None:
    game = _flagged(embedded)
    game.post(STRANGER, 2)
    game.travel(game.deadlines().aggregate)
    game.open()
    game.play_until_revealed()
    game.flag(OTHER, 2)
    game.post(STRANGER, 2)
    np.testing.assert_array_equal(_get(_store(game), game, game.tree(2).root), game.values(2))


def test_it_is_asked_last_and_what_it_has_is_enough(embedded: Network) -> None:
    game = _flagged(embedded)
    game.post(STRANGER, 2)
    store = FirstOf([MemoryStore(), _store(game)])
    np.testing.assert_array_equal(_get(store, game, game.tree(2).root), game.values(2))


def test_nothing_is_put_into_it(embedded: Network) -> None:
    game = _flagged(embedded)
    content = MemoryStore()
    root = game.put(content, game.values(2))
    with pytest.raises(BlobError, match="read only"):
        _store(game).put(content.blobs[root], chunk_length=game.params.chunk_length)


def _altered(logs: list[dict[str, Any]], change: str) -> list[dict[str, Any]]:
    (log,) = logs
    # The offset of the bytes lies in the second word, the part's number in the first.
    renumbered = "0x" + "00" * 31 + "01" + log["data"][66:]
    changes: dict[str, list[dict[str, Any]]] = {
        "missing": [],
        "other part": [log | {"data": renumbered}],
        "cut off": [log | {"data": log["data"][:-64]}],
        "byte": [log | {"data": _flipped_in_the_chunks(log["data"])}],
        "other root": [log | {"topics": [log["topics"][0], "0x" + "01" * 32, log["topics"][2]]}],
    }
    return changes[change]


def _flipped_in_the_chunks(data: str) -> str:
    content = bytearray.fromhex(data[2:])
    content[32 * 3 + 5] ^= 1
    return "0x" + content.hex()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("missing", BlobNotFound),
        ("other part", BlobNotFound),
        ("byte", BlobNotFound),
        ("cut off", BlobCorrupt),
        ("other root", BlobCorrupt),
    ],
)
def test_altered_answer_gives_no_other_bytes(
    embedded: Network, change: str, error: type[Exception]
) -> None:
    game = _flagged(embedded)
    game.post(STRANGER, 2)

    def alter(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getLogs" and params[0]["topics"][0] == BYTES_POSTED:
            logs = [dict(log) for log in answer["result"]]
            return answer | {"result": _altered(logs, change)}
        return answer

    with pytest.raises(error):
        _get(_store(game, Wrapped(embedded.endpoint, alter)), game, game.tree(2).root)


def test_node_that_does_not_answer_is_a_store_that_is_down(embedded: Network) -> None:
    game = _flagged(embedded)
    game.post(STRANGER, 2)

    def refuse(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_getLogs":
            return {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "no method"}}
        return ask()

    with pytest.raises(BlobStoreDown, match="no method"):
        _get(_store(game, Wrapped(embedded.endpoint, refuse)), game, game.tree(2).root)


def test_post_that_a_reorganisation_took_away_is_gone(network: Network) -> None:
    game = _flagged(network)
    store, fork = _store(game), network.snapshot()
    game.post(STRANGER, 2)
    assert store.has(game.tree(2).root)
    network.revert(fork)
    assert not store.has(game.tree(2).root)


def test_windows_are_bounded_and_begin_with_the_task(
    embedded: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LARGEST_WINDOW_BLOCKS", 4)
    windows: list[tuple[int, int]] = []

    def note(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_getLogs" and params[0]["topics"][0] == BYTES_POSTED:
            windows.append((int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)))
        return ask()

    before = embedded.connect().head().number
    game = _flagged(embedded)
    game.post(STRANGER, 2)
    _get(_store(game, Wrapped(embedded.endpoint, note)), game, game.tree(2).root)
    assert windows[0][0] == before + 1
    assert windows[-1][1] == game.chain.head().number
    assert all(last - first < 4 for first, last in windows)


def test_reader_of_a_tasks_events_is_not_flooded_with_bytes(embedded: Network) -> None:
    game = _flagged(embedded)
    game.post(STRANGER, 2)
    seen: list[str] = []

    def note(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getLogs":
            seen.extend(log["topics"][0] for log in answer["result"])
        return answer

    chain = embedded.deployment.connect(Wrapped(embedded.endpoint, note))
    look = chain.at(chain.head())
    assert len(look.included(game.task_id, 1)) == len(look.seated(game.task_id))
    assert look.tasks() == (game.task_id,)
    assert "0x" + INTERFACE.topics["UpdateFlagged"].hex() in seen
    assert BYTES_POSTED not in seen
