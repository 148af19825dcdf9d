"""Every refusal of the contract comes back by name and with its arguments."""

from collections.abc import Callable

import numpy as np
import pytest

from protocol.chain.gateway import INTERFACE
from protocol.commitment import Evidence
from protocol.errors import Reverted
from protocol.recompute import Result
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, Phase, Published
from tests.chain.game import AGGREGATE_ROOT, DESKS, DIMENSION, SPONSOR, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

Case = Callable[[Game], dict[str, object]]
"""Brings a refusal about; returns the arguments that it must carry."""


def invalid_parameter(game: Game) -> dict[str, object]:
    game.params = type(game.params)(**(vars(game.params) | {"chunk_length": 17}))
    return {"field": "chunkLength", "value": 17} | _try(game.create)


def task_exists(game: Game) -> dict[str, object]:
    game.create()
    return {"taskId": game.task_id} | _try(game.create)


def unknown_task(game: Game) -> dict[str, object]:
    return {"taskId": game.task_id} | _try(game.open)


def wrong_value(game: Game) -> dict[str, object]:
    game.create()
    wanted = {"sentWei": 7, "requiredWei": game.params.stake_wei}
    return wanted | _try(lambda: game.send(DESKS[0], "join", game.task_id, value_wei=7))


def task_is_closed(game: Game) -> dict[str, object]:
    game.create()
    game.travel(game.params.closes_at)
    game.send(STRANGER, "closeTask", game.task_id)
    return {"taskId": game.task_id} | _try(game.open)


def task_not_over(game: Game) -> dict[str, object]:
    game.begin()
    wanted = {"taskId": game.task_id, "round": 1, "current": Phase.SELECTION}
    return wanted | _try(lambda: game.send(SPONSOR, "closeTask", game.task_id))


def cohort_full(game: Game) -> dict[str, object]:
    game.create()
    game.join(1, 2, 3, 4)
    return {"taskId": game.task_id, "cohort": 4} | _try(lambda: game.join(5))


def already_seated(game: Game) -> dict[str, object]:
    game.create()
    game.join(1)
    wanted = {"taskId": game.task_id, "account": game.address(1)}
    return wanted | _try(lambda: game.join(1))


def not_seated(game: Game) -> dict[str, object]:
    game.begin()
    game.travel(game.deadlines().selection)
    wanted = {"taskId": game.task_id, "account": game.address(STRANGER), "round": 1}
    return wanted | _try(lambda: game.commit(STRANGER))


def seat_serving(game: Game) -> dict[str, object]:
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(1)
    wanted = {"taskId": game.task_id, "account": game.address(1), "round": 1}
    return wanted | _try(lambda: game.send(1, "leave", game.task_id))


def wrong_round(game: Game) -> dict[str, object]:
    game.begin()
    wanted = {"taskId": game.task_id, "given": 2, "current": 1}
    return wanted | _try(lambda: game.send(1, "commitUpdate", game.task_id, 2, b"\x01" * 32))


def wrong_phase(game: Game) -> dict[str, object]:
    game.begin()
    phases = {"current": Phase.SELECTION, "required": Phase.COMMIT}
    return {"taskId": game.task_id, "round": 1} | phases | _try(lambda: game.commit(1))


def round_running(game: Game) -> dict[str, object]:
    game.begin()
    wanted = {"taskId": game.task_id, "round": 1, "current": Phase.SELECTION}
    return wanted | _try(game.open)


def no_more_rounds(game: Game) -> dict[str, object]:
    game.create()
    game.travel(game.params.closes_at)
    wanted = {"taskId": game.task_id, "round": 0, "closesAt": game.params.closes_at}
    return wanted | _try(lambda: game.join(1))


def quorum_unreachable(game: Game) -> dict[str, object]:
    game.create()
    game.join(1)
    return {"taskId": game.task_id, "seats": 1, "quorum": 2} | _try(game.open)


def empty_commitment(game: Game) -> dict[str, object]:
    game.begin()
    game.travel(game.deadlines().selection)
    return _try(lambda: game.send(1, "commitUpdate", game.task_id, 1, bytes(32)))


def commitment_mismatch(game: Game) -> dict[str, object]:
    _until_reveal(game)
    other = game.tree(2)
    wanted = {"taskId": game.task_id, "round": 1, "account": game.address(1)}
    wanted |= {"committed": game.commitment(1)[4:], "opened": game.commitment(1, other)[4:]}
    return wanted | _try(lambda: game.reveal(1, tree=other))


def not_committed(game: Game) -> dict[str, object]:
    _until_reveal(game)
    wanted = {"taskId": game.task_id, "round": 1, "account": game.address(STRANGER)}
    return wanted | _try(lambda: game.reveal(STRANGER))


def already_revealed(game: Game) -> dict[str, object]:
    _until_reveal(game)
    game.reveal(1)
    wanted = {"taskId": game.task_id, "round": 1, "account": game.address(1)}
    return wanted | _try(lambda: game.reveal(1))


def norm_too_large(game: Game) -> dict[str, object]:
    _until_reveal(game)
    most = game.params.max_squared_norm
    wanted = {"squaredNorm": most + 1, "maxSquaredNorm": most}
    args = (game.task_id, 1, bytes(32), most + 1, game.salt(1))
    return wanted | _try(lambda: game.send(1, "revealUpdate", *args))


def duplicate_update(game: Game) -> dict[str, object]:
    copied = SumTree.of(np.ones(DIMENSION, dtype=np.int16), game.params.chunk_length)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(1, 2, tree=copied)
    game.travel(game.deadlines().commit)
    game.reveal(1, tree=copied)
    wanted = {"taskId": game.task_id, "round": 1, "updateRoot": copied.root}
    return wanted | _try(lambda: game.reveal(2, tree=copied))


def aggregator_first(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    wanted = {"taskId": game.task_id, "round": 1, "aggregator": game.address(5)}
    wanted |= {"until": game.deadlines().aggregator}
    return wanted | _try(lambda: game.publish(STRANGER))


def updates_mismatch(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    held = game.look().round_state(game.task_id, 1).updates_hash
    wanted = {"taskId": game.task_id, "round": 1, "given": b"\x09" * 32, "revealed": held}
    return wanted | _try(lambda: game.publish(5, b"\x09" * 32))


def empty_root(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    held = game.look().round_state(game.task_id, 1).updates_hash
    args = (game.task_id, 1, Result(AGGREGATE_ROOT, bytes(32), held, 0))
    return _try(lambda: game.send(5, "publish", *args, value_wei=game.params.bond_wei))


def evidence_mismatch(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    wanted = {"tableRoot": b"\x01" * 32, "choiceHash": b"\x02" * 32}
    return wanted | _try(lambda: game.publish(5, evidence=Evidence(*wanted.values())))


def no_table(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    return {"taskId": game.task_id} | _try(lambda: game.flag_table(STRANGER))


def already_settled(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    game.publish(5)
    game.travel(game.deadlines().challenge)
    game.send(STRANGER, "finalise", game.task_id)
    wanted = {"taskId": game.task_id, "round": 1}
    return wanted | _try(lambda: game.send(STRANGER, "finalise", game.task_id))


def nothing_to_withdraw(game: Game) -> dict[str, object]:
    wanted = {"account": game.address(STRANGER)}
    return wanted | _try(lambda: game.send(STRANGER, "withdraw", game.address(STRANGER)))


def transfer_failed(game: Game) -> dict[str, object]:
    game.create()
    game.join(1)
    game.send(1, "leave", game.task_id)
    wanted = {"to": ZERO_ADDRESS, "amountWei": game.params.stake_wei}
    return wanted | _try(lambda: game.send(1, "withdraw", ZERO_ADDRESS))


def excluded_mismatch(game: Game) -> dict[str, object]:
    _until_availability(game)
    game.flag(STRANGER, 2)
    game.travel(game.deadlines().availability)
    result = Result(AGGREGATE_ROOT, AGGREGATE_ROOT, game.state().updates_hash, 0)
    wanted = {"taskId": game.task_id, "round": 1, "given": 0, "unavailable": 0b010}
    args, value_wei = (game.task_id, 1, result), game.params.bond_wei
    return wanted | _try(lambda: game.send(5, "publish", *args, value_wei=value_wei))


def unknown_update(game: Game) -> dict[str, object]:
    _until_availability(game)
    updates = [tuple(each) for each in game.look().revealed(game.task_id, 1)]
    args, value_wei = (game.task_id, 1, updates, 3), game.params.flag_wei
    wanted = {"index": 3, "updates": 3}
    return wanted | _try(lambda: game.send(5, "flagUpdate", *args, value_wei=value_wei))


def flagging_over(game: Game) -> dict[str, object]:
    _until_availability(game)
    until = game.deadlines().flag_update
    game.travel(until)
    wanted = {"taskId": game.task_id, "round": 1, "until": until}
    return wanted | _try(lambda: game.flag(STRANGER, 2))


def already_flagged(game: Game) -> dict[str, object]:
    _until_availability(game)
    game.flag(STRANGER, 2)
    wanted = {"taskId": game.task_id, "round": 1, "root": game.tree(2).root}
    return wanted | _try(lambda: game.flag(STRANGER, 2))


def not_flagged(game: Game) -> dict[str, object]:
    _until_availability(game)
    return {"taskId": game.task_id, "round": 1} | _try(lambda: game.post(2, 2))


def posting_over(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    game.flag_result(STRANGER, Published.AGGREGATE)
    until = game.deadlines().post_result
    game.travel(until)
    wanted = {"taskId": game.task_id, "round": 1, "until": until}
    lie = game.values(0)
    return wanted | _try(lambda: game.post_result(5, Published.AGGREGATE, lie))


def bad_part(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    game.flag_result(STRANGER, Published.AGGREGATE)
    other = game.values(2)
    return {"part": 0} | _try(lambda: game.post_result(5, Published.AGGREGATE, other))


def not_unavailable(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    game.flag_result(STRANGER, Published.AGGREGATE)
    wanted = {"taskId": game.task_id, "round": 1, "what": Published.AGGREGATE}
    return wanted | _try(lambda: game.refute_unavailable(1, Published.AGGREGATE))


def deposit_not_free(game: Game) -> dict[str, object]:
    _until_availability(game)
    game.flag(STRANGER, 2)
    wanted = {"taskId": game.task_id, "participant": game.address(2)}
    return wanted | _try(lambda: game.send(1, "reclaimDeposit", game.task_id, game.address(2)))


def seal_exists(game: Game) -> dict[str, object]:
    game.send(1, "sealChallenge", b"\x09" * 32)
    return {"seal": b"\x09" * 32} | _try(lambda: game.send(2, "sealChallenge", b"\x09" * 32))


def unknown_chunk(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    participants, excluded, openings = game.openings()
    claim = (participants, excluded, 1, openings, b"", bytes(32))
    return {"chunk": 1, "chunks": 1} | _try(lambda: game.challenge(1, *claim))


def wrong_length(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    participants, excluded, openings = game.openings()
    wanted = {"givenBytes": len(openings) - 1, "requiredBytes": len(openings)}
    claim = (participants, excluded, 0, openings[:-1], b"", bytes(32))
    return wanted | _try(lambda: game.challenge(1, *claim))


def bad_opening(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    participants, excluded, openings = game.openings()
    # An update's root follows from its opening, but the aggregate's is on chain.
    openings = openings[:-1] + b"\1"
    claim = (participants, excluded, 0, openings, b"", bytes(32))
    return {"index": 3} | _try(lambda: game.challenge(1, *claim))


def no_fraud(game: Game) -> dict[str, object]:
    honest = game.tree(2)  # the mean of one, two and three
    _until_aggregate(game)
    game.publish(5, aggregate_root=honest.root)
    wanted = {"taskId": game.task_id, "round": 1, "chunk": 0}
    participants, excluded, openings = game.openings(honest)
    claim = (participants, excluded, 0, openings, b"", bytes(32))
    return wanted | _try(lambda: game.challenge(1, *claim))


CASES: tuple[Case, ...] = (
    *(invalid_parameter, task_exists, unknown_task, wrong_value, task_is_closed, task_not_over),
    *(cohort_full, already_seated, not_seated, seat_serving, wrong_round, wrong_phase),
    *(round_running, no_more_rounds, quorum_unreachable, empty_commitment, commitment_mismatch),
    *(not_committed, already_revealed, norm_too_large, duplicate_update, aggregator_first),
    *(updates_mismatch, empty_root, already_settled, nothing_to_withdraw, transfer_failed),
    *(evidence_mismatch, no_table),
    *(excluded_mismatch, unknown_update, flagging_over, already_flagged, not_flagged),
    *(posting_over, bad_part, not_unavailable, deposit_not_free, seal_exists),
    *(unknown_chunk, wrong_length, bad_opening, no_fraud),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_refusal_is_decoded_with_its_arguments(network: Network, case: Case) -> None:
    game = Game(network, aggregator=network.accounts[5].address)
    wanted = case(game)
    raised = wanted.pop("raised")
    assert isinstance(raised, Reverted)
    assert raised.error == _error_name(case)
    assert raised.arguments == wanted
    assert "\\x" not in str(raised)


def test_every_error_of_the_contract_has_a_case() -> None:
    names = {error.name for error in INTERFACE.errors.values()}
    assert {_error_name(case) for case in CASES} == names


def _error_name(case: Case) -> str:
    return "".join(part.capitalize() for part in case.__name__.split("_"))


def _try(act: Callable[[], object]) -> dict[str, object]:
    with pytest.raises(Reverted) as refused:
        act()
    return {"raised": refused.value}


def _until_reveal(game: Game) -> None:
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(*DESKS)
    game.travel(game.deadlines().commit)


def _until_availability(game: Game) -> None:
    _until_reveal(game)
    game.reveal(*DESKS)
    game.travel(game.deadlines().reveal)


def _until_aggregate(game: Game) -> None:
    _until_reveal(game)
    game.reveal(*DESKS)
    game.travel(game.deadlines().availability)


def _until_lied_to(game: Game) -> None:
    _until_aggregate(game)
    game.lie(5)
