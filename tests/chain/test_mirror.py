"""The contract and its Python mirror, held against each other along random schedules."""

import contextlib
import random
from collections.abc import Callable

import numpy as np
import pytest

from protocol import commitment, rounds
from protocol.chain.gateway import Snapshot
from protocol.errors import Reverted
from protocol.sumtree import SumTree
from protocol.task import Deadlines, Phase
from tests.chain.game import DESKS, DIMENSION, SPONSOR, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

SCHEDULES = 4
STEPS = 60


def test_contract_and_mirror_agree_along_random_schedules(embedded: Network) -> None:
    seen: set[Phase] = set()
    refuted = 0
    for seed in range(SCHEDULES):
        chance = random.Random(seed)  # noqa: S311 # a schedule, not a secret
        before = embedded.snapshot()
        game = Game(embedded, **_durations(chance))
        game.create()
        for _ in range(STEPS):
            _move(game, chance)
            seen |= _compare(game)
        look = game.look()
        refuted += any(
            look.round_state(game.task_id, number).restarted_at
            for number in range(1, look.task_state(game.task_id).round + 1)
        )
        embedded.revert(before)
    assert refuted, "the schedules no longer refute anything"
    assert seen == set(Phase), "the schedules no longer reach every phase"


def test_each_phase_ends_at_its_deadline_and_not_a_second_before(embedded: Network) -> None:
    game = Game(embedded)
    game.begin()
    ends = game.deadlines()
    steps: tuple[tuple[int, Phase, Phase, Callable[[], None]], ...] = (
        (ends.selection, Phase.SELECTION, Phase.COMMIT, lambda: game.commit(*DESKS)),
        (ends.commit, Phase.COMMIT, Phase.REVEAL, lambda: game.reveal(*DESKS)),
        (ends.reveal, Phase.REVEAL, Phase.AVAILABILITY, lambda: None),
        (ends.availability, Phase.AVAILABILITY, Phase.AGGREGATE, lambda: None),
        (ends.aggregate, Phase.AGGREGATE, Phase.VOID, lambda: None),
    )
    for deadline, before, after, act in steps:
        game.travel(deadline - 1)
        assert game.look().phase(game.task_id, 1) is before
        _compare(game)
        game.travel(deadline)
        assert game.look().phase(game.task_id, 1) is after
        _compare(game)
        act()


def test_refuted_round_returns_to_aggregate_with_the_whole_window(embedded: Network) -> None:
    game = Game(embedded, aggregator=embedded.accounts[5].address)
    game.begin()
    ends = game.deadlines()
    game.travel(ends.selection)
    game.commit(*DESKS)
    game.travel(ends.commit)
    game.reveal(*DESKS)
    game.travel(ends.availability)
    game.lie(5)
    game.travel(game.deadlines().challenge - 2)
    burned_wei, bond_wei = game.look().burned_wei(), game.params.bond_wei

    receipt = game.refute(DESKS[1])

    _compare(game)
    refuted_at = game.chain.block(receipt.block_number).timestamp
    state = game.look().round_state(game.task_id, 1)
    assert (state.restarted_at, state.published_at, state.bond_wei) == (refuted_at, 0, 0)
    assert game.deadlines().aggregate == refuted_at + game.params.aggregate_seconds
    assert game.look().credit(game.address(DESKS[1])) == bond_wei // 2
    assert game.look().burned_wei() - burned_wei == bond_wei - bond_wei // 2
    game.publish(STRANGER)  # the aggregator's head start is over
    _compare(game)
    game.travel(game.deadlines().challenge)
    _compare(game)
    assert game.look().phase(game.task_id, 1) is Phase.FINAL


def test_refuted_round_that_nobody_publishes_again_is_void(embedded: Network) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_published(game.tree(0).root)
    game.refute(DESKS[0])
    for deadline, phase in (
        (game.deadlines().aggregate - 1, Phase.AGGREGATE),
        (game.deadlines().aggregate, Phase.VOID),
    ):
        game.travel(deadline)
        _compare(game)
        assert game.look().phase(game.task_id, 1) is phase


def test_hashes_are_the_contracts(embedded: Network) -> None:
    game = Game(embedded)
    answered = game.chain.call("taskIdOf", game.address(SPONSOR), game.params.abi_tuple())
    assert answered == (game.task_id,)
    game.begin()
    game.travel(game.deadlines().selection)
    for desk in DESKS:
        tree = game.tree(desk)
        named = (game.task_id, 1, game.address(desk), tree.root, tree.squared_norm, game.salt(desk))
        assert game.chain.call("commitmentOf", *named) == (game.commitment(desk),)


@pytest.mark.parametrize("dimension", [1, 255, 256, 257, 1_000])
def test_a_revealed_root_is_the_sum_trees(embedded: Network, dimension: int) -> None:
    values = np.arange(dimension, dtype=np.int16) - 100
    game = Game(embedded, dimension=dimension)
    tree = SumTree.of(values, game.params.chunk_length)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(1, tree=tree)
    game.travel(game.deadlines().commit)
    game.reveal(1, tree=tree)
    (revealed,) = game.look().revealed(game.task_id, 1)
    assert revealed.update_root == tree.root
    assert revealed.squared_norm == int(np.square(values.astype(np.int64)).sum())


def _durations(chance: random.Random) -> dict[str, object]:
    """Phases from none to a minute, wherever the contract allows none."""
    names = ("selection", "availability", "aggregator")
    maybe = {f"{name}_seconds": chance.choice([0, 1, 60]) for name in names}
    # A refutation takes a second itself.
    maybe["challenge_seconds"] = chance.choice([0, 1, 60, 60, 60])
    surely = {f"{name}_seconds": chance.choice([5, 60]) for name in ("commit", "reveal")}
    return {**maybe, **surely, "aggregate_seconds": 60, "rounds": 8, "dimension": DIMENSION}


def _move(game: Game, chance: random.Random) -> None:
    """One action, mostly one that fits the phase; the contract may refuse it."""
    fitting = _fitting(game, chance.choice(DESKS), chance)
    phase = game.look().phase(game.task_id, game.round)
    if chance.random() < 0.1:
        phase = chance.choice(list(Phase))
    with contextlib.suppress(Reverted):
        chance.choice(fitting[phase])()


def _fitting(
    game: Game, desk: int, chance: random.Random
) -> dict[Phase, list[Callable[[], object]]]:
    def wait() -> None:
        _travel_to_a_boundary(game, chance)

    def settle(function: str) -> Callable[[], object]:
        return lambda: game.send(STRANGER, function, game.task_id)

    def everybody(act: Callable[[int], object]) -> Callable[[], object]:
        def all_who_can() -> None:
            for each in DESKS:
                with contextlib.suppress(Reverted):
                    act(each)

        return all_who_can

    return {
        Phase.NONE: [everybody(game.join), lambda: game.join(desk), game.open],
        Phase.SELECTION: [wait],
        Phase.COMMIT: [*[everybody(game.commit)] * 2, wait],
        Phase.REVEAL: [*[everybody(game.reveal)] * 2, wait],
        Phase.AVAILABILITY: [wait],
        Phase.AGGREGATE: [*[lambda: game.lie(STRANGER)] * 3, wait],
        Phase.CHALLENGE: [
            *[lambda: game.refute(desk)] * 2,
            lambda: game.send(desk, "leave", game.task_id),
            wait,
        ],
        Phase.FINAL: [settle("finalise"), game.open, settle("closeTask")],
        Phase.VOID: [settle("voidRound"), game.open, everybody(game.join)],
    }


def _travel_to_a_boundary(game: Game, chance: random.Random) -> None:
    now = game.chain.head().timestamp
    ahead = [end for end in vars(game.deadlines()).values() if end > now]
    # Mostly the next one; seldom a later one, which skips phases.
    target = min(ahead, default=now + 1) if chance.random() < 0.95 else max(ahead, default=now + 1)
    game.travel(max(now, target + chance.choice([-1, 0, 0, 0, 1])))


def _compare(game: Game) -> set[Phase]:
    look = game.look()
    latest = look.task_state(game.task_id).round
    seen = set()
    for number in range(max(0, latest - 1), latest + 2):
        state = look.round_state(game.task_id, number)
        # `phase` itself raises unless contract and mirror agree.
        found = look.phase(game.task_id, number)
        assert found is rounds.phase(game.params, state, look.block.timestamp)
        expected = rounds.deadlines(game.params, state) if number else Deadlines()
        assert look.deadlines(game.task_id, number) == expected
        if state.opened_at:
            running = commitment.updates_hash(
                game.task_id, number, look.revealed(game.task_id, number)
            )
            assert state.updates_hash == running
        seen.add(found)
    assert _can_open(game) == _may_open(game, look)
    return seen


def _can_open(game: Game) -> bool:
    try:
        game.transactors[STRANGER].simulate("openRound", (game.task_id,))
    except Reverted:
        return False
    return True


def _may_open(game: Game, look: Snapshot) -> bool:
    task = look.task_state(game.task_id)
    latest = look.round_state(game.task_id, task.round)
    return rounds.can_open(game.params, task, latest, look.block.timestamp)
