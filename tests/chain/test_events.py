"""Reading events: bounded windows, a cursor that spares repetition, and reorganisations."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol.chain import events
from protocol.errors import ChainUnavailable
from protocol.state import Phase
from tests.chain.game import DESKS, STRANGER, Game
from tests.chain.network import Network, Wrapped

pytestmark = pytest.mark.chain


def _reveal_all(game: Game) -> None:
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(*DESKS)
    game.travel(game.deadlines().commit)
    game.reveal(*DESKS)


def _truthful(_method: str, _params: Any, ask: Callable[[], Any]) -> Any:
    return ask()


def test_only_new_blocks_are_read_again(game: Game) -> None:
    ranges = []

    def note(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_getLogs":
            ranges.append((int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)))
        return ask()

    game.begin()
    chain = game.network.deployment.connect(Wrapped(game.network.endpoint, note))
    first = chain.head()
    chain.at(first).seated(game.task_id)
    chain.at(first).seated(game.task_id)
    game.join(STRANGER)
    second = chain.head()
    assert len(chain.at(second).seated(game.task_id)) == len(DESKS) + 1
    assert len(chain.at(first).seated(game.task_id)) == len(DESKS)
    assert ranges == [
        (game.network.deployment.block, first.number),
        (first.number + 1, second.number),
    ]


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32005, "message": "sorry"},
        {"code": -32000, "message": "query returned more than 10000 results"},
        {"code": -32602, "message": "block range is too wide"},
    ],
)
def test_a_node_that_gives_up_is_asked_for_less(game: Game, error: dict[str, Any]) -> None:
    widths = []

    def at_most_three(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        if method != "eth_getLogs":
            return ask()
        width = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        widths.append(width)
        return ask() if width <= 3 else {"jsonrpc": "2.0", "id": 0, "error": error}

    _reveal_all(game)
    chain = game.network.deployment.connect(Wrapped(game.network.endpoint, at_most_three))
    look = chain.at(chain.head())
    assert look.revealed(game.task_id, 1) == game.look().revealed(game.task_id, 1)
    assert max(widths) > 3
    assert len(widths) < 5 * look.block.number


def test_a_node_that_has_recovered_is_asked_for_more_again(embedded_game: Game) -> None:
    widths = []

    def refuse_twice(method: str, params: Any, ask: Callable[[], Any]) -> Any:
        if method != "eth_getLogs":
            return ask()
        widths.append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
        error = {"code": -32005, "message": "limit exceeded"}
        return {"jsonrpc": "2.0", "id": 0, "error": error} if len(widths) < 3 else ask()

    _reveal_all(embedded_game)
    node = Wrapped(embedded_game.network.endpoint, refuse_twice)
    chain = embedded_game.network.deployment.connect(node)
    look = chain.at(chain.head())
    assert len(look.revealed(embedded_game.task_id, 1)) == len(DESKS)
    whole, half, quarter, again, *_ = widths
    assert (half, quarter) == (whole // 2, whole // 4)
    assert again == 2 * quarter


def test_a_refusal_for_another_reason_is_passed_on(embedded_game: Game) -> None:
    def refuse(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_getLogs":
            return {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "no method"}}
        return ask()

    embedded_game.begin()
    node = Wrapped(embedded_game.network.endpoint, refuse)
    chain = embedded_game.network.deployment.connect(node)
    with pytest.raises(ChainUnavailable, match="no method"):
        chain.at(chain.head()).seated(embedded_game.task_id)
    assert node.seen.count("eth_getLogs") == 1


def test_windows_are_bounded(embedded_game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LARGEST_WINDOW_BLOCKS", 4)
    _reveal_all(embedded_game)
    node = Wrapped(embedded_game.network.endpoint, _truthful)
    chain = embedded_game.network.deployment.connect(node)
    look = chain.at(chain.head())
    assert len(look.revealed(embedded_game.task_id, 1)) == len(DESKS)
    blocks = look.block.number - embedded_game.network.deployment.block + 1
    assert node.seen.count("eth_getLogs") == -(-blocks // 4)


def test_a_reorganisation_takes_back_what_was_read(anvil: Network) -> None:
    game = Game(anvil)
    _reveal_all(game)
    game.look().revealed(game.task_id, 1)
    before = game.look()
    game.travel(before.block.timestamp + 5)
    after = game.look()
    assert len(after.revealed(game.task_id, 1)) == len(DESKS)
    # The travel and the last reveal vanish; two empty blocks take their place.
    game.chain.rpc.request("anvil_reorg", 2, [])
    now = game.look()
    assert now.block.number == after.block.number
    assert len(now.revealed(game.task_id, 1)) == len(DESKS) - 1
    with pytest.raises(ChainUnavailable, match="was replaced"):
        game.chain.at(after.block).revealed(game.task_id, 1)
    assert len(now.revealed(game.task_id, 1)) == len(DESKS) - 1


def test_a_reorganisation_below_every_place_is_followed(embedded: Network) -> None:
    game = Game(embedded)
    game.create()
    fork = embedded.snapshot()
    game.join(1)
    assert game.look().seated(game.task_id) == (game.address(1),)
    embedded.revert(fork)
    # Another branch of the same length, with another desk on it.
    game.join(2)
    assert game.look().seated(game.task_id) == (game.address(2),)


def test_a_shorter_branch_is_followed(embedded: Network) -> None:
    game = Game(embedded)
    game.create()
    fork = embedded.snapshot()
    game.join(1, 2)
    assert len(game.look().seated(game.task_id)) == 2
    embedded.revert(fork)
    assert game.look().seated(game.task_id) == ()
    assert game.look().phase(game.task_id, 1) is Phase.NONE


def test_facts_of_a_block_that_is_gone_are_unavailable(network: Network) -> None:
    game = Game(network)
    game.create()
    fork = network.snapshot()
    game.join(1, 2)
    gone = game.look()
    network.revert(fork)
    with pytest.raises(ChainUnavailable):
        gone.task_state(game.task_id)


def test_a_block_replaced_while_it_is_read_enters_no_cursor(embedded: Network) -> None:
    game = Game(embedded)
    game.create()
    fork = embedded.snapshot()
    game.join(1)
    armed = [True]

    def replace_block(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getLogs" and armed:
            armed.clear()
            embedded.revert(fork)
            game.join(2)
        return answer

    chain = embedded.deployment.connect(Wrapped(embedded.endpoint, replace_block))
    look = chain.at(chain.head())
    with pytest.raises(ChainUnavailable, match="was replaced"):
        look.seated(game.task_id)
    assert chain.at(chain.head()).seated(game.task_id) == (game.address(2),)
