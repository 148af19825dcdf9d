"""A task from its creation to the last withdrawal, on every kind of chain."""

import pytest

from protocol import rounds
from protocol.errors import Reverted
from protocol.recompute import RevealedUpdate
from protocol.state import Phase
from tests.chain.game import DESKS, MODEL_ROOT, SPONSOR, STRANGER, Game

pytestmark = pytest.mark.chain


def test_a_whole_round_ends_with_all_money_withdrawn(game: Game) -> None:
    game.begin()
    first = game.look()
    assert first.tasks() == (game.task_id,)
    assert first.task_params(game.task_id) == game.params
    assert first.seated(game.task_id) == tuple(game.address(desk) for desk in DESKS)
    assert first.base_model_root(game.task_id, 1) == game.params.genesis_model_root

    game.play_until_published()
    published = game.look()
    assert published.phase(game.task_id, 1) is Phase.CHALLENGE
    assert published.committed(game.task_id, 1) == first.seated(game.task_id)
    assert published.revealed(game.task_id, 1) == tuple(
        RevealedUpdate(game.address(desk), game.tree(desk).root, game.tree(desk).squared_norm)
        for desk in DESKS
    )

    game.travel(game.deadlines().challenge)
    game.send(STRANGER, "finalise", game.task_id)
    final = game.look()
    assert final.phase(game.task_id, 1) is Phase.FINAL
    assert final.task_state(game.task_id).model_root == MODEL_ROOT
    assert final.base_model_root(game.task_id, 2) == MODEL_ROOT
    assert final.credit(game.params.currency, game.address(STRANGER)) == game.params.bond_wei

    game.distribute(STRANGER)
    share_wei = game.params.reward_wei // len(DESKS)
    assert game.look().shares_wei(game.task_id, 1) == (share_wei,) * len(DESKS)
    assert game.look().seat(game.task_id, game.address(DESKS[0])).reward_wei == share_wei
    _end(game)
    for account in (SPONSOR, *DESKS, STRANGER):
        game.withdraw(account)
    balance = game.chain.rpc.request("eth_getBalance", game.chain.contract, "latest")
    assert balance in {0, "0x0"}


def _end(game: Game) -> None:
    game.travel(game.params.closes_at)
    game.send(STRANGER, "closeTask", game.task_id)
    for desk in DESKS:
        game.send(desk, "leave", game.task_id)


def test_a_round_without_quorum_is_void_and_the_next_starts_from_the_same_model(
    game: Game,
) -> None:
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(DESKS[0])
    game.travel(game.deadlines().commit)
    game.reveal(DESKS[0])
    game.travel(game.deadlines().reveal)
    assert game.look().phase(game.task_id, 1) is Phase.VOID
    game.open()
    look = game.look()
    assert look.task_state(game.task_id).round == 2
    assert look.base_model_root(game.task_id, 2) == game.params.genesis_model_root
    assert look.round_state(game.task_id, 1).settled


def test_a_snapshot_stays_at_its_block(game: Game) -> None:
    game.create()
    before = game.look()
    game.join(*DESKS)
    game.open()
    game.travel(game.deadlines().selection)
    later = game.look()
    assert before.task_state(game.task_id).seats == 0
    assert before.seated(game.task_id) == ()
    assert before.phase(game.task_id, 1) is Phase.NONE
    assert before.revealed(game.task_id, 1) == ()
    assert later.phase(game.task_id, 1) is Phase.COMMIT
    opened = game.chain.at(game.chain.block(later.block.number - 1))
    assert opened.phase(game.task_id, 1) is Phase.SELECTION


def test_an_unknown_task_has_no_parameters_and_no_sponsor(game: Game) -> None:
    look = game.look()
    unknown = b"\x07" * 32
    with pytest.raises(Reverted) as refused:
        look.task_params(unknown)
    assert refused.value.error == "UnknownTask"
    assert refused.value.arguments == {"taskId": unknown}
    assert int(look.task_state(unknown).sponsor, 16) == 0
    assert look.phase(unknown, 1) is Phase.NONE
    assert look.tasks() == ()


def test_deadlines_are_the_mirrors(game: Game) -> None:
    game.begin()
    game.play_until_published()
    look = game.look()
    state = look.round_state(game.task_id, 1)
    assert look.deadlines(game.task_id, 1) == rounds.deadlines(game.params, state)


def test_someone_who_left_is_no_longer_seated(game: Game) -> None:
    game.create()
    game.join(*DESKS)
    game.send(DESKS[1], "leave", game.task_id)
    look = game.look()
    assert look.seated(game.task_id) == (game.address(DESKS[0]), game.address(DESKS[2]))
    assert look.seat(game.task_id, game.address(DESKS[1])).active_from == 0
    assert look.credit(game.params.currency, game.address(DESKS[1])) == game.params.stake_wei
