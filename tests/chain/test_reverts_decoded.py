"""Every refusal of the contract comes back by name and with its arguments."""

from collections.abc import Callable

import pytest

from contracts import artifact
from protocol.chain.abi import Interface
from protocol.commitment import Evidence, ProofKind
from protocol.errors import Reverted
from protocol.recompute import Result
from protocol.scores import scores_hash_step
from protocol.state import Phase, Published
from protocol.task import ZERO_ADDRESS, RewardRule, Rule
from tests.chain import made
from tests.chain.game import (
    AGGREGATE_ROOT,
    DESKS,
    MODEL_ROOT,
    SAMPLES,
    SPONSOR,
    STRANGER,
    Game,
)
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
    return wanted | _try(lambda: game.send(1, "join", game.task_id, SAMPLES, value_wei=7))


def task_is_closed(game: Game) -> dict[str, object]:
    game.create()
    game.travel(game.params.closes_at)
    game.send(STRANGER, "closeTask", game.task_id)
    return {"taskId": game.task_id} | _try(game.open)


def task_not_over(game: Game) -> dict[str, object]:
    game.begin()
    wanted = {"taskId": game.task_id, "round": 1, "current": Phase.SELECTION}
    return wanted | _try(lambda: game.send(SPONSOR, "closeTask", game.task_id))


def wrong_transfer(game: Game) -> dict[str, object]:
    """A token of which a part stays behind."""
    token = made.token(game.network, "FeeToken")
    paid = Game(game.network, currency=token)
    budget_wei = paid.params.budget_wei
    wanted = {"currency": token, "receivedWei": budget_wei - 1, "requiredWei": budget_wei}
    return wanted | _try(paid.create)


def not_sponsor(game: Game) -> dict[str, object]:
    game.create()
    wanted = {"taskId": game.task_id, "account": game.address(STRANGER)}
    return wanted | _try(lambda: game.send(STRANGER, "endTask", game.task_id))


def wrong_samples(game: Game) -> dict[str, object]:
    game.create()
    game.join(1, samples=7)
    game.leave(1)
    wanted = {"taskId": game.task_id, "declared": 8, "required": 7}
    return wanted | _try(lambda: game.join(1, samples=8))


def seats_taken(game: Game) -> dict[str, object]:
    game.create()
    game.join(1, 2, 3, 4)
    return {"taskId": game.task_id, "seats": 4} | _try(lambda: game.join(5))


def not_restorable(game: Game) -> dict[str, object]:
    game.create()
    game.join(1)
    wanted = {"taskId": game.task_id, "account": game.address(1), "missed": 0}
    return wanted | _try(lambda: game.restore(1))


def nothing_to_draw(game: Game) -> dict[str, object]:
    game.begin()
    return _latest(game) | _try(lambda: game.send(1, "drawSeats", game.task_id, 1))


def already_drawn(game: Game) -> dict[str, object]:
    drawn = _drawn(game, 2)
    return _latest(drawn) | _try(lambda: drawn.send(1, "drawSeats", drawn.task_id, 1))


def seed_not_ready(game: Game) -> dict[str, object]:
    drawn = _drawn(game, 0)
    return _latest(drawn) | _try(lambda: drawn.send(1, "drawSeats", drawn.task_id, 1))


def not_drawn(game: Game) -> dict[str, object]:
    drawn = _drawn(game, 2)
    drawn.travel(drawn.deadlines().selection)
    desk = next(desk for desk in drawn.desks if not drawn.may_commit(desk))
    wanted = _latest(drawn) | {"account": drawn.address(desk)}
    return wanted | _try(lambda: drawn.commit(desk))


def already_committed(game: Game) -> dict[str, object]:
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(1)
    wanted = _latest(game) | {"account": game.address(1)}
    return wanted | _try(lambda: game.commit_together(STRANGER, 1))


def bad_signature(game: Game) -> dict[str, object]:
    game.begin()
    game.travel(game.deadlines().selection)
    commits = [game.signed(1), game.signed(2)._replace(r=bytes(32))]
    return {"index": 1} | _try(
        lambda: game.send(STRANGER, "commitUpdates", game.task_id, 1, commits)
    )


def round_full(game: Game) -> dict[str, object]:
    full = _drawn(game, 3)
    full.travel(full.deadlines().selection)
    drawn = [desk for desk in full.desks if full.may_commit(desk)]
    full.commit(*drawn)
    full.travel(full.deadlines().commit)
    full.reveal(*drawn[:2])
    return _latest(full) | {"cohort": 2} | _try(lambda: full.reveal(drawn[2]))


def nothing_withheld(game: Game) -> dict[str, object]:
    game.begin()
    wanted = {"taskId": game.task_id, "account": game.address(1)}
    return wanted | _try(lambda: game.slash(STRANGER, 1))


def no_equivocation(game: Game) -> dict[str, object]:
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(1)
    signed = game.signed(1)
    wanted = _latest(game) | {"commitment": signed.commitment}
    args = (game.task_id, 1, signed, signed)
    return wanted | _try(lambda: game.send(STRANGER, "slashEquivocation", *args))


def not_scoring(game: Game) -> dict[str, object]:
    scored = _scored(game)
    ends = scored.deadlines()
    scored.travel(ends.score_commit)
    wanted = _latest(scored) | {"from": ends.availability, "until": ends.score_commit}
    return wanted | _try(lambda: scored.commit_scores(1, bytes(3)))


def scores_mismatch(game: Game) -> dict[str, object]:
    scored = _scored(game)
    scored.commit_scores(1, bytes(3))
    scored.travel(scored.deadlines().score_commit)
    wanted = _latest(scored) | {"account": scored.address(1)}
    return wanted | _try(lambda: scored.reveal_scores(1, b"\1\2\3"))


def wrong_scores(game: Game) -> dict[str, object]:
    scored = _scored(game)
    scored.commit_scores(1, bytes(3))
    scored.travel(scored.deadlines().score_commit)
    scored.reveal_scores(1, bytes(3))
    scored.publish(5)
    scored.travel(scored.deadlines().challenge)
    updates = [tuple(each) for each in scored.look().revealed(scored.task_id, 1)]
    given = scores_hash_step(bytes(32), scored.address(2), bytes(3))
    wanted = _latest(scored) | {"given": given, "revealed": scored.state().scores_hash}
    args = (scored.task_id, 1, updates, b"\1" + bytes(3))
    return wanted | _try(lambda: scored.send(STRANGER, "distribute", *args))


def nothing_to_distribute(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    return _latest(game) | _try(lambda: game.distribute(STRANGER))


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
    return wanted | _try(lambda: game.leave(1))


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


def just_refuted(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    state = game.state()
    game.refute(STRANGER)
    result = Result(AGGREGATE_ROOT, MODEL_ROOT, state.updates_hash, 0)
    wei = game.params.bond_wei
    args = (game.task_id, 1, result)
    return _latest(game) | _try(lambda: game.send(5, "publish", *args, value_wei=wei))


def evidence_mismatch(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    wanted = {"tableRoot": b"\x01" * 32, "choiceHash": b"\x02" * 32}
    return wanted | _try(lambda: game.publish(5, evidence=Evidence(*wanted.values())))


def no_table(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    return {"taskId": game.task_id} | _try(lambda: game.flag_table(STRANGER))


def by_votes(game: Game) -> dict[str, object]:
    voting = _voting(game)
    _until_lied_to(voting)
    return {"taskId": voting.task_id} | _try(lambda: voting.refute(STRANGER))


def not_by_votes(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    return {"taskId": game.task_id} | _try(lambda: game.vote(1))


def not_included(game: Game) -> dict[str, object]:
    voting = _voting(game)
    _until_aggregate(voting)
    wanted = _latest(voting) | {"account": voting.address(STRANGER)}
    return wanted | _try(lambda: voting.vote(STRANGER))


def already_voted(game: Game) -> dict[str, object]:
    voting = _voting(game)
    _until_aggregate(voting)
    voting.vote(1)
    wanted = _latest(voting) | {"account": voting.address(1)}
    return wanted | _try(lambda: voting.vote(1, model_root=AGGREGATE_ROOT))


def not_outvoted(game: Game) -> dict[str, object]:
    voting = _voting(game)
    _until_lied_to(voting)
    voting.vote(1)
    wanted = _latest(voting) | {"votes": 1, "required": 2}
    return wanted | _try(lambda: voting.refute_outvoted(STRANGER))


def already_settled(game: Game) -> dict[str, object]:
    _until_aggregate(game)
    game.publish(5)
    game.travel(game.deadlines().challenge)
    game.send(STRANGER, "finalise", game.task_id)
    wanted = {"taskId": game.task_id, "round": 1}
    return wanted | _try(lambda: game.send(STRANGER, "finalise", game.task_id))


def nothing_to_withdraw(game: Game) -> dict[str, object]:
    wanted = {"account": game.address(STRANGER)}
    return wanted | _try(lambda: game.withdraw(STRANGER))


def transfer_failed(game: Game) -> dict[str, object]:
    game.create()
    game.join(1)
    game.leave(1)
    wanted = {"to": ZERO_ADDRESS, "amountWei": game.params.stake_wei}
    return wanted | _try(lambda: game.send(1, "withdraw", game.params.currency, ZERO_ADDRESS))


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


def no_award(game: Game) -> dict[str, object]:
    _until_lied_to(game)
    lie = game.state().aggregate_root
    game.refute(STRANGER)
    wanted = _latest(game) | {"account": game.address(STRANGER)}
    args = (game.task_id, 1, ProofKind.AGGREGATE, 0, lie, bytes(32))
    return wanted | _try(lambda: game.send(STRANGER, "claimAward", *args))


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
    *(wrong_transfer, not_sponsor, wrong_samples, seats_taken, not_restorable, nothing_to_draw),
    *(already_drawn, seed_not_ready, not_drawn, already_committed, bad_signature, round_full),
    *(nothing_withheld, no_equivocation, not_scoring, scores_mismatch, wrong_scores),
    *(nothing_to_distribute, already_seated, not_seated, seat_serving, wrong_round, wrong_phase),
    *(round_running, no_more_rounds, quorum_unreachable, empty_commitment, commitment_mismatch),
    *(not_committed, already_revealed, norm_too_large, aggregator_first, just_refuted),
    *(updates_mismatch, empty_root, already_settled, nothing_to_withdraw, transfer_failed),
    *(evidence_mismatch, no_table),
    *(by_votes, not_by_votes, not_included, already_voted, not_outvoted),
    *(excluded_mismatch, unknown_update, flagging_over, already_flagged, not_flagged),
    *(posting_over, bad_part, not_unavailable, deposit_not_free, seal_exists, no_award),
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
    names = {error.name for error in Interface(artifact.load().abi).errors.values()}
    assert {_error_name(case) for case in CASES} == names


def _error_name(case: Case) -> str:
    return "".join(part.capitalize() for part in case.__name__.split("_"))


def _try(act: Callable[[], object]) -> dict[str, object]:
    with pytest.raises(Reverted) as refused:
        act()
    return {"raised": refused.value}


def _latest(game: Game) -> dict[str, object]:
    return {"taskId": game.task_id, "round": 1}


def _drawn(game: Game, count: int) -> Game:
    """A round of two that draws this many of its six seats; none: they are not drawn yet."""
    source = made.chosen_seed(game.network)
    seats = {"desks": (1, 2, 3, 4, 5, 6), "seats": 6, "cohort": 2, "quorum": 1}
    drawing = Game(game.network, **seats, drawn=2, seed_source=source)
    drawing.begin()
    if count:
        seed = drawing.seed_that_draws(range(count, count + 1))
        made.choose(drawing.transactors[STRANGER], source, seed)
        drawing.send(STRANGER, "drawSeats", drawing.task_id, 1)
    return drawing


def _scored(game: Game) -> Game:
    """A round in its time for scores."""
    scored = Game(game.network, reward_rule=RewardRule.SCORES, score_seconds=60)
    _until_aggregate(scored)
    return scored


def _voting(game: Game) -> Game:
    """A task by votes, of which two are needed."""
    first = game.params.aggregator
    settings = {"rule": Rule.MINIMUM_DIAMETER, "tolerance": 1, "quorum": 3}
    return Game(game.network, aggregator=first, **settings)


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
