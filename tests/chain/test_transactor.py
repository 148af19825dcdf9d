"""One purpose, one transaction: through crashes, lost replies, copies and reorganisations."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from protocol.chain.outbox import IN_MEMORY, Attempt, Lane, Outbox, State
from protocol.chain.rpc import quantity
from protocol.chain.sender import Receipt
from protocol.chain.transactor import Transactor
from protocol.errors import (
    ChainAnswerInvalid,
    ChainError,
    ChainUnavailable,
    Reverted,
    TransactionLost,
)
from protocol.state import Phase
from protocol.storage import unwritable
from tests.chain.game import DESKS, SAMPLES, Game
from tests.chain.network import SETTINGS, Network, Wrapped

pytestmark = pytest.mark.chain

Handle = Callable[[str, Any, Callable[[], Any]], Any]


class Killed(BaseException):
    """Stands for kill -9: nothing may catch it."""


def _through(game: Game, handle: Handle, outbox: Outbox, account: int = 1) -> Transactor:
    chain = game.network.deployment.connect(Wrapped(game.network.endpoint, handle))
    return game.network.transactor(account, outbox=outbox, chain=chain)


def _directly(game: Game, outbox: Outbox, account: int = 1, **changes: float) -> Transactor:
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type] # by name
    return game.network.transactor(account, outbox=outbox, chain=game.chain, settings=settings)


def _join(transactor: Transactor, game: Game, purpose: str = "join") -> Receipt:
    stake_wei = game.params.stake_wei
    args = (game.task_id, SAMPLES)
    return transactor.send("join", args, value_wei=stake_wei, purpose=purpose)


# A node answers before it mines, where it is one with a process of its own.
MINED_WITHIN_SECONDS = 10


def _nonce(game: Game, account: int = 1) -> int:
    answer = game.chain.rpc.request("eth_getTransactionCount", game.address(account), "latest")
    return quantity(answer, "nonce")


def _nothing(_method: str, _params: Any, ask: Callable[[], Any]) -> Any:
    return ask()


def test_a_purpose_is_sent_once_however_often_it_is_asked_for(game: Game, tmp_path: Path) -> None:
    game.create()
    before = _nonce(game)
    first = _join(_directly(game, Outbox(tmp_path / "outbox")), game)
    again = _join(_directly(game, Outbox(tmp_path / "outbox")), game)
    assert first == again
    assert first.status == 1
    assert first.gas_used > 21_000
    assert _nonce(game) == before + 1


def test_a_purpose_names_one_call(game: Game) -> None:
    game.create()
    game.join(1)
    transactor = game.network.transactor(2, chain=game.chain)
    _join(transactor, game, "mine")
    with pytest.raises(ChainError, match="purpose mine was used for another call"):
        transactor.send("leave", (game.task_id,), purpose="mine")
    assert game.look().task_state(game.task_id).seats == 2


def test_a_refused_simulation_leaves_nothing_behind(game: Game, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    transactor = _directly(game, outbox)
    before = _nonce(game)
    with pytest.raises(Reverted, match="UnknownTask"):
        _join(transactor, game)
    lane = outbox.lane(game.chain.chain_id, game.address(1))
    assert lane.find("join") is None
    assert lane.in_flight() == ()
    assert _nonce(game) == before
    game.create()
    assert _join(transactor, game).status == 1


def test_a_crash_between_outbox_and_wire_sends_once(game: Game, tmp_path: Path) -> None:
    game.create()
    before = _nonce(game)

    def die(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_sendRawTransaction":
            raise Killed
        return ask()

    with pytest.raises(Killed):
        _join(_through(game, die, Outbox(tmp_path / "outbox")), game)
    assert _nonce(game) == before
    stored = Outbox(tmp_path / "outbox").lane(game.chain.chain_id, game.address(1)).find("join")
    assert stored is not None
    assert stored.state is State.IN_FLIGHT

    receipt = _join(_directly(game, Outbox(tmp_path / "outbox")), game)
    assert receipt.tx_hash == stored.attempts[0].tx_hash
    assert _nonce(game) == before + 1
    assert game.look().task_state(game.task_id).seats == 1


def test_a_crash_after_the_wire_sends_no_second_one(game: Game, tmp_path: Path) -> None:
    game.create()
    before = _nonce(game)

    def die_after(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_sendRawTransaction":
            raise Killed
        return answer

    with pytest.raises(Killed):
        _join(_through(game, die_after, Outbox(tmp_path / "outbox")), game)
    until = time.monotonic() + MINED_WITHIN_SECONDS
    while _nonce(game) == before and time.monotonic() < until:
        time.sleep(0.01)
    assert _nonce(game) == before + 1
    assert _join(_directly(game, Outbox(tmp_path / "outbox")), game).status == 1
    assert _nonce(game) == before + 1


def test_a_lost_reply_sends_no_second_one(game: Game, tmp_path: Path) -> None:
    game.create()
    before = _nonce(game)
    silent = [True]

    def lose(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_sendRawTransaction" and silent:
            silent.clear()
            raise OSError("connection reset")
        return answer

    transactor = _through(game, lose, Outbox(tmp_path / "outbox"))
    with pytest.raises(ChainUnavailable):
        _join(transactor, game)
    assert _join(transactor, game).status == 1
    assert _nonce(game) == before + 1


def test_another_purpose_first_finishes_what_a_crash_left(game: Game, tmp_path: Path) -> None:
    game.create()

    def die(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_sendRawTransaction":
            raise Killed
        return ask()

    with pytest.raises(Killed):
        _join(_through(game, die, Outbox(tmp_path / "outbox")), game)
    outbox = Outbox(tmp_path / "outbox")
    # Leaving needs the seat that the first transaction takes.
    assert _directly(game, outbox).send("leave", (game.task_id,), purpose="leave").status == 1
    assert outbox.lane(game.chain.chain_id, game.address(1)).in_flight() == ()


def test_outcome_that_a_full_disk_refuses_is_told_and_read_again(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise unwritable(tmp_path / "outbox", "database or disk is full")

    game.create()
    before, outbox = _nonce(game), Outbox(tmp_path / "outbox")
    lane = outbox.lane(game.chain.chain_id, game.address(1))
    transactor = _directly(game, outbox)
    with monkeypatch.context() as patched:
        patched.setattr(Lane, "settle", full)
        assert _join(transactor, game).status == 1
        assert _join(transactor, game).status == 1
        assert [sending.purpose for sending in lane.in_flight()] == ["join"]

    assert transactor.send("leave", (game.task_id,), purpose="leave").status == 1
    assert lane.in_flight() == ()
    assert _nonce(game) == before + 2


@pytest.mark.parametrize("message", ["already known", "nonce too low", "AlreadyKnown"])
def test_a_node_that_knows_the_transaction_is_no_failure(game: Game, message: str) -> None:
    game.create()

    def known(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_sendRawTransaction":
            error = {"code": -32000, "message": message}
            return {"jsonrpc": "2.0", "id": 0, "error": error}
        return answer

    assert _join(_through(game, known, Outbox(":memory:")), game).status == 1


def test_what_no_node_takes_gives_its_nonce_back(game: Game) -> None:
    game.create()
    refusals = [True]

    def refuse(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_sendRawTransaction" and refusals:
            refusals.clear()
            error = {"code": -32000, "message": "transaction type not supported"}
            return {"jsonrpc": "2.0", "id": 0, "error": error}
        return ask()

    outbox = Outbox(":memory:")
    transactor = _through(game, refuse, outbox)
    with pytest.raises(ChainUnavailable, match="not supported"):
        _join(transactor, game)
    assert outbox.lane(game.chain.chain_id, game.address(1)).find("join") is None
    assert _join(transactor, game).status == 1


def test_an_account_that_cannot_pay_hears_what_it_has_and_what_it_needs(game: Game) -> None:
    game.create()
    account = Account.from_key(b"\x07" * 32)
    poor = Transactor(game.chain, account, Outbox(IN_MEMORY), SETTINGS)

    with pytest.raises(ChainError, match=r"join takes 0\.01 ETH and gas") as refused:
        _join(poor, game)

    assert f"{account.address} has 0 ETH" in str(refused.value)
    assert not isinstance(refused.value, ChainUnavailable)


def test_copies_that_share_an_outbox_send_once(game: Game, tmp_path: Path) -> None:
    game.create()
    before = _nonce(game)
    copies = [_directly(game, Outbox(tmp_path / "outbox")) for _ in range(4)]
    waiting = [_later(partial(_join, copy, game)) for copy in copies]
    assert len({result() for result in waiting}) == 1
    assert _nonce(game) == before + 1


def test_a_copy_that_is_overtaken_gets_the_faster_ones_receipt(game: Game, tmp_path: Path) -> None:
    game.create()
    faster: list[Receipt] = []

    def be_overtaken(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_call" and not faster:
            faster.append(_join(_directly(game, Outbox(tmp_path / "outbox")), game))
        return ask()

    before = _nonce(game)
    slower = _through(game, be_overtaken, Outbox(tmp_path / "outbox"))
    assert [_join(slower, game)] == faster
    assert _nonce(game) == before + 1


@pytest.fixture
def held(anvil: Network) -> Iterator[Game]:
    """A created task on a chain that mines only when it is told to."""
    game = Game(anvil)
    game.create()
    game.chain.rpc.request("evm_setAutomine", False)
    yield game
    game.chain.rpc.request("evm_setAutomine", True)


def test_a_copy_with_its_own_outbox_sends_the_same_transaction(held: Game) -> None:
    before = _nonce(held)
    nodes = [Wrapped(held.network.endpoint, _nothing) for _ in range(2)]
    copies = [
        held.network.transactor(1, chain=held.network.deployment.connect(node)) for node in nodes
    ]
    waiting = []
    for copy, node in zip(copies, nodes, strict=True):
        waiting.append(_later(partial(_join, copy, held)))
        _until(partial(node.seen.__contains__, "eth_sendRawTransaction"))
    held.chain.rpc.request("evm_mine")
    first, second = (result() for result in waiting)
    # Signatures are deterministic: what both have sent is one transaction.
    assert first == second
    assert _nonce(held) == before + 1


def test_a_transaction_that_is_not_mined_stays_in_flight(held: Game) -> None:
    transactor = _directly(held, Outbox(":memory:"), receipt_deadline_seconds=0.05)
    with pytest.raises(ChainUnavailable, match="was not mined in 0\\.05 s"):
        _join(transactor, held)
    held.chain.rpc.request("evm_mine")
    assert _join(transactor, held).status == 1
    assert held.look().task_state(held.task_id).seats == 1


def test_a_process_that_is_about_to_end_waits_for_nothing_and_loses_nothing(held: Game) -> None:
    before, outbox = _nonce(held), Outbox(":memory:")
    ending = _directly(held, outbox, receipt_deadline_seconds=3600.0, replace_after_seconds=3600.0)
    lane = outbox.lane(held.chain.chain_id, held.address(1))
    waiting = _later(lambda: _join(ending, held))
    _until(lambda: bool(_sent(lane)))
    ending.stop()
    with pytest.raises(ChainUnavailable, match="taken up by the next one"):
        waiting()
    with pytest.raises(ChainUnavailable, match="leave was not sent"):
        ending.send("leave", (held.task_id,), purpose="leave")

    held.chain.rpc.request("evm_mine")
    assert _join(_directly(held, outbox), held).status == 1
    assert _nonce(held) == before + 1


def test_a_slow_transaction_is_replaced_at_a_higher_fee(held: Game) -> None:
    before = _nonce(held)
    outbox = Outbox(":memory:")
    lane = outbox.lane(held.chain.chain_id, held.address(1))
    transactor = _directly(held, outbox, replace_after_seconds=0.05)
    waiting = _later(lambda: _join(transactor, held))
    _until(lambda: len(_sent(lane)) >= 3)
    held.chain.rpc.request("evm_mine")
    assert waiting().status == 1
    attempts = _sent(lane)
    for earlier, later in pairwise(attempts):
        assert later.max_fee_wei * 8 >= earlier.max_fee_wei * 9
        assert later.tip_wei * 8 >= earlier.tip_wei * 9
    assert _nonce(held) == before + 1


def test_the_fee_cap_holds_for_replacements(held: Game) -> None:
    outbox = Outbox(":memory:")
    lane = outbox.lane(held.chain.chain_id, held.address(1))
    transactor = _directly(
        held,
        outbox,
        replace_after_seconds=0.01,
        receipt_deadline_seconds=0.2,
        max_fee_cap_wei=3 * 10**9,
    )
    with pytest.raises(ChainUnavailable, match="not mined"):
        _join(transactor, held)
    assert all(attempt.max_fee_wei <= 3 * 10**9 for attempt in _sent(lane))


def test_a_nonce_that_another_program_used_is_a_lost_transaction(held: Game) -> None:
    transactor = _directly(held, Outbox(":memory:"), receipt_deadline_seconds=0.05)
    with pytest.raises(ChainUnavailable):
        _join(transactor, held)
    held.chain.rpc.request("anvil_dropAllTransactions")
    held.chain.rpc.request("evm_setAutomine", True)
    _other_call(_directly(held, Outbox(":memory:")), held)
    with pytest.raises(TransactionLost, match="does another program use this key"):
        _join(transactor, held)
    # The caller has seen it and looked again; now the same purpose gets a nonce of its own.
    assert _join(transactor, held).status == 1


def test_a_transaction_that_a_reorganisation_dropped_is_sent_again(anvil: Network) -> None:
    game = Game(anvil)
    game.create()
    outbox = Outbox(":memory:")
    receipt = _join(_directly(game, outbox), game)
    game.chain.rpc.request("anvil_reorg", 1, [])
    assert game.look().task_state(game.task_id).seats == 0
    again = _join(_directly(game, outbox), game)
    assert again.tx_hash == receipt.tx_hash
    assert game.look().task_state(game.task_id).seats == 1


def test_a_dropped_transaction_is_sent_again_before_the_next(anvil: Network) -> None:
    game = Game(anvil)
    game.create()
    transactor = _directly(game, Outbox(":memory:"))
    _join(transactor, game)
    game.chain.rpc.request("anvil_reorg", 1, [])
    transactor.send("leave", (game.task_id,), purpose="leave")
    assert game.credit(1) == game.params.stake_wei


def test_a_transaction_that_fails_when_mined_says_why_and_may_be_tried_again(game: Game) -> None:
    game.begin()
    ends = game.deadlines()
    game.travel(ends.selection)
    late_outbox = Outbox(":memory:")

    def miss(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_sendRawTransaction":
            game.travel(ends.commit)
        return ask()

    promised = game.commitment(1)
    transactor = _through(game, miss, late_outbox)
    before = _nonce(game)
    with pytest.raises(Reverted) as refused:
        transactor.send("commitUpdate", (game.task_id, 1, promised), purpose="commit")
    assert refused.value.error == "WrongPhase"
    assert refused.value.arguments["current"] == Phase.REVEAL
    assert _nonce(game) == before + 1
    stored = late_outbox.lane(game.chain.chain_id, game.address(1)).find("commit")
    assert stored is not None
    assert stored.state is State.REVERTED
    # Tried again, it is refused before it costs anything.
    with pytest.raises(Reverted, match="WrongPhase"):
        transactor.send("commitUpdate", (game.task_id, 1, promised), purpose="commit")
    assert _nonce(game) == before + 1


def test_fees_above_the_cap_are_not_paid(game: Game) -> None:
    game.create()
    outbox = Outbox(":memory:")
    transactor = _directly(game, outbox, max_fee_cap_wei=1)
    with pytest.raises(ChainUnavailable, match="more than the cap of 1"):
        _join(transactor, game)
    assert outbox.lane(game.chain.chain_id, game.address(1)).in_flight() == ()


def test_a_chain_without_base_fees_gets_legacy_transactions(game: Game) -> None:
    def before_eip_1559(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getBlockByNumber":
            block = dict(answer["result"])
            block.pop("baseFeePerGas")
            return answer | {"result": block}
        if method == "eth_gasPrice":
            return answer | {"result": hex(5 * 10**9)}
        return answer

    game.create()
    outbox = Outbox(":memory:")
    assert _join(_through(game, before_eip_1559, outbox), game).status == 1
    stored = outbox.lane(game.chain.chain_id, game.address(1)).find("join")
    assert stored is not None
    # A legacy transaction is a plain RLP list; typed ones begin with their type.
    assert stored.attempts[0].raw[0] >= 0xC0


def test_a_node_without_a_tip_oracle_is_enough(embedded_game: Game) -> None:
    def no_oracle(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        if method == "eth_maxPriorityFeePerGas":
            return {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "unknown"}}
        return ask()

    embedded_game.create()
    transactor = _through(embedded_game, no_oracle, Outbox(":memory:"))
    assert _join(transactor, embedded_game).status == 1


def test_a_receipt_of_another_transaction_is_refused(embedded_game: Game) -> None:
    def swap(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getTransactionReceipt" and answer["result"]:
            other = dict(answer["result"]) | {"transactionHash": "0x" + "ab" * 32}
            return answer | {"result": other}
        return answer

    embedded_game.create()
    with pytest.raises(ChainAnswerInvalid, match="asked for the receipt of"):
        _join(_through(embedded_game, swap, Outbox(":memory:")), embedded_game)


def test_a_forgotten_receipt_sends_no_second_one(game: Game) -> None:
    forgetful: list[bool] = []

    def forget(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getTransactionReceipt" and forgetful:
            return answer | {"result": None}
        return answer

    game.create()
    chain = game.network.deployment.connect(Wrapped(game.network.endpoint, forget))
    settings = replace(SETTINGS, receipt_deadline_seconds=0.05)
    transactor = game.network.transactor(1, chain=chain, settings=settings)
    _join(transactor, game)
    game.send(1, "leave", game.task_id)
    forgetful.append(True)
    before = _nonce(game)
    for _ in range(2):
        with pytest.raises(ChainUnavailable, match="has no receipt of it"):
            _join(transactor, game)
    assert _nonce(game) == before


def test_one_transactor_serves_many_threads(game: Game) -> None:
    game.create()
    transactor = game.network.transactor(DESKS[0], chain=game.chain)
    before = _nonce(game)
    waiting = [_later(partial(_other_call, transactor, game, number)) for number in range(4)]
    assert all(result().status == 1 for result in waiting)
    assert _nonce(game) == before + 4


def _other_call(transactor: Transactor, game: Game, number: int = 0) -> Receipt:
    """A call that has nothing to do with the task: the account sponsors one of its own."""
    params = replace(game.params, salt=bytes([number + 1]) * 32)
    value_wei = params.budget_wei
    return transactor.send(
        "createTask", (params.abi_tuple(),), value_wei=value_wei, purpose=f"own task {number}"
    )


def _sent(lane: Lane) -> tuple[Attempt, ...]:
    found = lane.find("join")
    return found.attempts if found else ()


def _later(act: Callable[[], Receipt]) -> Callable[[], Receipt]:
    """Runs `act` beside the test; the result waits for it."""
    results: list[Receipt | ChainError] = []

    def run() -> None:
        try:
            results.append(act())
        except ChainError as failure:
            results.append(failure)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Receipt:
        thread.join()
        (found,) = results
        if isinstance(found, ChainError):
            raise found
        return found

    return result


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
