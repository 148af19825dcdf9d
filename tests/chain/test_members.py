"""Seats, money and rewards as the chain keeps them and Python counts them."""

from dataclasses import replace

import pytest

from protocol import rounds, scores
from protocol.chain.rpc import quantity
from protocol.chain.token import allowance_wei, value_to_send
from protocol.draw import draw_of, is_drawn
from protocol.errors import ChainAnswerInvalid, Reverted
from protocol.state import SUSPENDED, Phase
from protocol.task import ZERO_ADDRESS, RewardRule
from tests.chain import made
from tests.chain.game import DESKS, SAMPLES, SPONSOR, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain


def test_updates_are_the_same_however_they_were_committed_and_revealed(game: Game) -> None:
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit_together(STRANGER, DESKS[2], DESKS[0])
    game.commit(DESKS[1])
    game.commit(DESKS[0])  # again, and the same
    game.travel(game.deadlines().commit)
    game.reveal(DESKS[1])
    game.reveal_together(STRANGER, DESKS[0], DESKS[2])
    look = game.look()
    desks = [game.address(desk) for desk in DESKS]
    assert look.committed(game.task_id, 1) == (desks[2], desks[0], desks[1])
    found = look.revealed(game.task_id, 1)
    assert [update.participant for update in found] == [desks[1], desks[0], desks[2]]
    assert [update.update_root for update in found] == [
        game.tree(desk).root for desk in (DESKS[1], DESKS[0], DESKS[2])
    ]
    assert all(look.seat(game.task_id, desk).revealed_in(1) for desk in desks)


def _withheld_by(network: Network, desk: int, **changes: object) -> Game:
    """A game whose first round is over, without this desk's reveal."""
    game = Game(network, **changes)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(*DESKS)
    game.travel(game.deadlines().commit)
    game.reveal(*[each for each in DESKS if each != desk])
    game.travel(game.deadlines().reveal)
    return game


def test_a_withheld_commitment_costs_a_slice_and_the_seat_can_be_restored(
    network: Network,
) -> None:
    game = _withheld_by(network, DESKS[0])
    look, participant = game.look(), game.address(DESKS[0])
    seat = look.seat(game.task_id, participant)
    assert rounds.is_withheld(game.params, game.state(), seat, look.block.timestamp)
    assert tuple(look.withheld(game.task_id)) == (participant,)
    game.slash(STRANGER, DESKS[0])

    look, params = game.look(), game.params
    assert tuple(look.withheld(game.task_id)) == ()
    seat = look.seat(game.task_id, participant)
    assert (seat.suspended, seat.active_from) == (True, SUSPENDED)
    assert (seat.missed, seat.slashed, seat.committed_round) == (1, 1, 0)
    assert seat.stake_wei == params.stake_wei - params.slice_wei
    assert game.credit(STRANGER) == params.slice_wei // 2
    assert game.burned_wei() == params.slice_wei - params.slice_wei // 2
    assert not look.may_commit(game.task_id, participant)
    assert participant in look.seated(game.task_id)
    state = look.task_state(game.task_id)
    assert (state.seats, state.active, state.entering) == (3, 2, 0)

    game.restore(DESKS[0])
    look = game.look()
    assert look.seat(game.task_id, participant).active_from == 2
    assert look.task_state(game.task_id).entering == 1
    game.travel(game.deadlines().aggregate)
    game.open()
    assert game.look().may_commit(game.task_id, participant)


def test_whoever_withheld_and_commits_again_is_suspended_instead(embedded: Network) -> None:
    game = _withheld_by(embedded, DESKS[0])
    game.travel(game.deadlines().aggregate)
    game.open()
    game.travel(game.deadlines().selection)
    game.commit(DESKS[0])
    look = game.look()
    assert look.seat(game.task_id, game.address(DESKS[0])).suspended
    assert look.committed(game.task_id, 2) == ()
    assert game.burned_wei() == game.params.slice_wei


def test_whoever_signs_two_commitments_loses_a_slice_and_the_round(network: Network) -> None:
    game = Game(network)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit_together(STRANGER, *DESKS)
    first, second = game.signed(DESKS[0]), game.signed(DESKS[0], b"\5" * 32)
    game.send(STRANGER, "slashEquivocation", game.task_id, 1, first, second)
    look = game.look()
    seat = look.seat(game.task_id, game.address(DESKS[0]))
    assert (seat.suspended, seat.missed, seat.slashed) == (True, 0, 1)
    assert game.credit(STRANGER) == game.params.slice_wei // 2
    game.travel(game.deadlines().commit)
    with pytest.raises(Reverted) as refused:
        game.reveal(DESKS[0])
    assert refused.value.error == "NotCommitted"


def test_nothing_is_lost_where_there_is_no_slice(embedded: Network) -> None:
    game = _withheld_by(embedded, DESKS[0], slice_wei=0)
    game.slash(STRANGER, DESKS[0])
    seat = game.look().seat(game.task_id, game.address(DESKS[0]))
    assert (seat.suspended, seat.missed, seat.slashed) == (False, 1, 0)
    assert game.burned_wei() == game.credit(STRANGER) == 0
    assert not seat.revealed_in(1)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (RewardRule.EQUAL, {}),
        (RewardRule.SAMPLES, {"sample_cap": 150, "min_samples": 50}),
        (RewardRule.SCORES, {"score_seconds": 60}),
    ],
)
def test_a_reward_is_divided_as_python_says(
    network: Network, rule: RewardRule, changes: dict[str, object]
) -> None:
    game = Game(network, reward_rule=rule, reward_wei=10**15 + 1, **changes)
    game.create()
    declared = [60, 100, 70_000]
    for desk, samples in zip(DESKS, declared, strict=True):
        game.join(desk, samples=samples)
    game.open()
    game.play_until_published()
    given = {0: bytes([255, 10, 0]), 2: bytes([7, 200, 255])}
    if rule is RewardRule.SCORES:
        _score(game, given)
    game.travel(game.deadlines().challenge)
    assert rounds.can_distribute(game.params, game.state(), game.look().block.timestamp)
    assert game.look().shares_wei(game.task_id, 1) == ()
    assert tuple(game.look().undistributed(game.task_id)) == (1,)
    game.distribute(STRANGER)

    look = game.look()
    assert tuple(look.undistributed(game.task_id)) == ()
    assert look.scores(game.task_id, 1) == (given if rule is RewardRule.SCORES else {})
    state = look.round_state(game.task_id, 1)
    found = look.shares_wei(game.task_id, 1)
    assert found == scores.shares_wei(game.params, state, samples=declared, scores=given)
    seats = [look.seat(game.task_id, game.address(desk)) for desk in DESKS]
    assert tuple(seat.reward_wei for seat in seats) == found
    assert [seat.samples for seat in seats] == declared
    assert game.credit(SPONSOR) == game.params.reward_wei - sum(found)
    assert not rounds.can_distribute(game.params, state, look.block.timestamp)


def _score(game: Game, given: dict[int, bytes]) -> None:
    """The desks of these numbers give scores, the later ones first."""
    look, ends = game.look(), game.deadlines()
    assert rounds.can_commit_scores(game.params, game.state(), look.block.timestamp)
    for number, row in given.items():
        game.commit_scores(DESKS[number], row)
    game.travel(ends.score_commit)
    assert rounds.can_reveal_scores(game.params, game.state(), game.look().block.timestamp)
    for number, row in given.items():
        game.reveal_scores(DESKS[number], row)


def test_scores_that_are_not_those_revealed_are_noticed(embedded: Network) -> None:
    game = Game(embedded, reward_rule=RewardRule.SCORES, score_seconds=60)
    game.begin()
    game.play_until_published()
    _score(game, {1: b"\1\2\3"})
    look = game.look()
    look.round_state(game.task_id, 1)
    (key,) = (key for key in look._answers if key[0] == "roundState")
    ((*others, kept),) = look._answers[key]
    look._answers[key] = ((*others, kept[:-1] + b"\2"),)
    with pytest.raises(ChainAnswerInvalid, match="scores of 1 with hash"):
        look.scores(game.task_id, 1)


def test_a_round_with_more_seats_than_its_cohort_draws_them(network: Network) -> None:
    source = made.chosen_seed(network)
    desks = (1, 2, 3, 4, 5, 6)
    game = Game(network, desks=desks, seats=7, cohort=3, drawn=3, seed_source=source)
    game.begin()
    state = game.look().task_state(game.task_id)
    assert (state.draws, state.active, state.opened_block) == (True, 6, game.opened_block())
    now = game.look().block.timestamp
    assert rounds.is_undrawn(state)
    assert rounds.can_draw(game.params, state, game.state(), now)
    assert not any(game.may_commit(desk) for desk in desks)
    with pytest.raises(Reverted) as refused:
        game.send(7, "drawSeats", game.task_id, 1)
    assert refused.value.error == "SeedNotReady"

    seed = b"\7" * 32
    made.choose(game.transactors[STRANGER], source, seed)
    game.send(7, "drawSeats", game.task_id, 1)
    state = game.look().task_state(game.task_id)
    assert state.draw == draw_of(seed, game.task_id, 1, drawn=3, active=6)
    drawn = [desk for desk in desks if is_drawn(state.draw, game.address(desk))]
    assert [desk for desk in desks if game.may_commit(desk)] == drawn
    assert 0 < len(drawn) < len(desks)
    assert not rounds.can_draw(game.params, state, game.state(), now)
    # Who joins while rounds draw sits one round out.
    game.join(7)
    assert game.look().seat(game.task_id, game.address(7)).active_from == 3
    assert game.look().task_state(game.task_id).pending == 1
    game.travel(game.deadlines().selection)
    game.commit(*drawn)
    assert set(game.look().committed(game.task_id, 1)) == {game.address(desk) for desk in drawn}


@pytest.mark.parametrize("name", ["PlainToken", "StubbornToken"])
def test_a_task_is_paid_in_a_token(network: Network, name: str) -> None:
    token = made.token(network, name)
    game = Game(network, currency=token, publisher_wei=10**14)
    before = [made.balance_wei(game.chain, token, game.address(account)) for account in (0, *DESKS)]
    game.begin()
    assert _held_wei(game) == game.params.budget_wei + 3 * game.params.stake_wei
    assert game.chain.rpc.request("eth_getBalance", game.chain.contract, "latest") in {0, "0x0"}
    game.play_until_final()
    game.distribute(STRANGER)
    game.travel(game.params.closes_at)
    game.send(STRANGER, "closeTask", game.task_id)
    for desk in DESKS:
        game.leave(desk)
    for account in (SPONSOR, *DESKS, STRANGER):
        game.withdraw(account)
    assert _held_wei(game) == 0
    paid_wei = game.params.reward_wei // 3
    found = [made.balance_wei(game.chain, token, game.address(account)) for account in (0, *DESKS)]
    spent_wei = 3 * paid_wei + game.params.publisher_wei
    assert found == [before[0] - spent_wei, *(wei + paid_wei for wei in before[1:])]


def _held_wei(game: Game) -> int:
    return made.balance_wei(game.chain, game.params.currency, game.chain.contract)


@pytest.mark.parametrize("name", ["PlainToken", "StubbornToken"])
def test_the_contract_is_allowed_to_take_what_a_payment_needs(network: Network, name: str) -> None:
    token = made.token(network, name)
    game = Game(network, currency=token)
    transactor, chain = game.transactors[1], game.chain

    def nonce() -> int:
        answer = chain.rpc.request("eth_getTransactionCount", game.address(1), "latest")
        return quantity(answer, "nonce")

    assert value_to_send(transactor, ZERO_ADDRESS, 5) == 5
    assert nonce() == 0
    assert value_to_send(transactor, token, 0) == 0
    assert value_to_send(transactor, token, 500) == 0
    assert allowance_wei(chain, token, game.address(1)) == 500
    allowed = nonce()
    value_to_send(transactor, token, 500)
    value_to_send(transactor, token, 499)
    assert nonce() == allowed
    value_to_send(transactor, token, 501)
    assert allowance_wei(chain, token, game.address(1)) == 501


def test_a_payment_that_a_token_does_not_cover_is_refused_by_name(embedded: Network) -> None:
    game = Game(embedded, currency=made.token(embedded))
    game.create()
    with pytest.raises(Reverted) as refused:
        game.send(1, "join", game.task_id, SAMPLES)
    assert refused.value.error == "TransferFromFailed"


def test_a_task_that_its_sponsor_ended_opens_no_further_round(embedded_game: Game) -> None:
    game = embedded_game
    game.begin()
    game.send(SPONSOR, "endTask", game.task_id)
    state = game.look().task_state(game.task_id)
    assert state.ended
    game.travel(game.deadlines().aggregate)
    look = game.look()
    assert look.phase(game.task_id, 1) is Phase.VOID
    assert not rounds.can_open(game.params, state, game.state(), look.block.timestamp)
    assert rounds.can_open(
        game.params, replace(state, ended=False), game.state(), look.block.timestamp
    )
    game.send(STRANGER, "closeTask", game.task_id)
    assert game.credit(SPONSOR) == game.params.budget_wei
