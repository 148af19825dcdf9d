"""The contract and its Python mirror, held against each other along random schedules."""

import contextlib
import random
from collections.abc import Callable

import numpy as np
import pytest

from protocol import commitment, rounds
from protocol.chain.gateway import Snapshot
from protocol.chain.rpc import quantity
from protocol.challenge import challenge_norm
from protocol.errors import Reverted
from protocol.recompute import Result, Roots
from protocol.state import Deadlines, Fault, Phase, Published
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, Rule
from tests.chain.game import (
    AGGREGATE_ROOT,
    DESKS,
    DIMENSION,
    MODEL_ROOT,
    SPONSOR,
    STRANGER,
    Game,
)
from tests.chain.network import Network

pytestmark = pytest.mark.chain

SCHEDULES = (6, 14, 45, 54)
STEPS = 50
# Two of at least three votes are needed.
BY_VOTES = {"rule": Rule.MINIMUM_DIAMETER, "tolerance": 1, "quorum": 3}
SCHEDULES_BY_VOTES = (13, 22)


def test_contract_and_mirror_agree_along_random_schedules(embedded: Network) -> None:
    phases, happened = _along(embedded, SCHEDULES)
    assert phases == set(Phase), "the schedules no longer reach every phase"
    wanted = {"UpdateFlagged", "ResultFlagged", "NormRefuted", "RoundFinalised"}
    wanted |= {Fault.AGGREGATE, Fault.MODEL_UNAVAILABLE}
    wanted |= {"SeatSuspended", "SeatRestored", "RewardsDistributed", "UpdatesRevealed"}
    assert happened >= wanted, f"the schedules no longer reach {wanted - happened}"


def test_contract_and_mirror_agree_where_votes_judge(embedded: Network) -> None:
    _, happened = _along(embedded, SCHEDULES_BY_VOTES, **BY_VOTES)
    wanted = {"Voted", Fault.OUTVOTED, "RoundFinalised", VOID_FOR_WANT_OF_VOTES}
    assert happened >= wanted, f"the schedules no longer reach {wanted - happened}"


VOID_FOR_WANT_OF_VOTES = "a void round with a published result"


def _along(
    embedded: Network, schedules: tuple[int, ...], **changes: object
) -> tuple[set[Phase], set[object]]:
    """The phases and events that random schedules reach, everything compared on the way."""
    phases: set[Phase] = set()
    happened: set[object] = set()
    for seed in schedules:
        chance = random.Random(seed)  # noqa: S311 # a schedule, not a secret
        before = embedded.snapshot()
        game = Game(embedded, **_durations(chance), **changes)
        game.create()
        for _ in range(STEPS):
            _move(game, chance)
            phases |= _compare(game)
        for event in game.chain.events.until(game.chain.head(), (None, game.task_id)):
            happened |= {event.event, event.arguments.get("fault", 0)}
        look = game.look()
        for number in range(1, game.round + 1):
            state = look.round_state(game.task_id, number)
            if state.published_at and look.phase(game.task_id, number) is Phase.VOID:
                happened.add(VOID_FOR_WANT_OF_VOTES)
        embedded.revert(before)
    return phases, happened


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


def test_flags_and_posts_agree_at_every_boundary(embedded: Network) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_revealed()
    _compare(game)
    steps: tuple[Callable[[], object], ...] = (
        lambda: game.flag(STRANGER, 2),
        lambda: game.post(STRANGER, 2),
        lambda: game.flag(STRANGER, 1),
        *_around(game, game.deadlines().flag_update),
        *_around(game, game.deadlines().availability),
        lambda: game.send(STRANGER, "reclaimDeposit", game.task_id, game.address(1)),
        lambda: game.lie(STRANGER),
        lambda: game.flag_result(DESKS[0], Published.AGGREGATE),
        lambda: game.post_result(STRANGER, Published.AGGREGATE, game.values(0)),
        lambda: game.flag_result(DESKS[0], Published.MODEL),
    )
    for step in steps:
        step()
        _compare(game)
    ends = game.deadlines()
    for step in (
        *_around(game, ends.flag_result),
        *_around(game, ends.post_result),
        lambda: game.refute_unavailable(STRANGER, Published.MODEL),
        lambda: game.lie(STRANGER),
        lambda: game.flag_result(DESKS[0], Published.MODEL),
        lambda: game.travel(game.deadlines().challenge),
        lambda: game.send(STRANGER, "finalise", game.task_id),
        game.open,
    ):
        step()
        _compare(game)
    assert game.look().round_state(game.task_id, 1).included == len(DESKS) - 1


def _around(game: Game, deadline: int) -> tuple[Callable[[], object], ...]:
    return lambda: game.travel(deadline - 1), lambda: game.travel(deadline)


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
    burned_wei, bond_wei = game.burned_wei(), game.params.bond_wei

    receipt = game.refute(DESKS[1])

    _compare(game)
    refuted_at = game.chain.block(receipt.block_number).timestamp
    state = game.look().round_state(game.task_id, 1)
    assert (state.restarted_at, state.published_at, state.bond_wei) == (refuted_at, 0, 0)
    assert game.deadlines().aggregate == refuted_at + game.params.aggregate_seconds
    # Nobody sealed the proof, so it earns nothing.
    assert game.credit(DESKS[1]) == 0
    assert game.burned_wei() - burned_wei == bond_wei
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
    settings: dict[str, object] = {"aggregate_seconds": 60, "rounds": 8, "dimension": DIMENSION}
    # A suspended seat takes no part, so half of the schedules suspend none.
    settings |= {"publisher_wei": 10**14, "slice_wei": chance.choice([0, 10**15])}
    return {**maybe, **surely, **settings}


def _move(game: Game, chance: random.Random) -> None:
    """One action, mostly one that fits the phase; the contract may refuse it."""
    fitting = _fitting(game, chance.choice(DESKS), chance)
    phase = game.look().phase(game.task_id, game.round)
    if chance.random() < 0.1:
        phase = chance.choice(list(Phase))
    with contextlib.suppress(Reverted):
        chance.choice(fitting[phase])()


def _lies(game: Game, desk: int) -> bool:
    """Whether this desk claims a false norm in this round."""
    return (game.round + desk) % 7 == 0


def _tree(game: Game, desk: int) -> SumTree:
    honest = game.tree(desk)
    if not _lies(game, desk):
        return honest
    sums = [[node.sum for node in level] for level in honest.levels]
    sums[-1][0] += 1
    return SumTree.recorded(game.values(desk), game.params.chunk_length, sums)


def _fitting(
    game: Game, desk: int, chance: random.Random
) -> dict[Phase, list[Callable[[], object]]]:
    def wait() -> None:
        _travel_to_a_boundary(game, chance)

    def settle(function: str) -> Callable[[], object]:
        return lambda: game.send(STRANGER, function, game.task_id)

    def of_a_seat(function: str) -> Callable[[], object]:
        return lambda: game.send(STRANGER, function, game.task_id, game.address(desk))

    def everybody(act: Callable[[int], object]) -> Callable[[], object]:
        def all_who_can() -> None:
            for each in DESKS:
                with contextlib.suppress(Reverted):
                    act(each)

        return all_who_can

    def everybody_then_wait(act: Callable[[int], object]) -> Callable[[], object]:
        def act_and_wait() -> None:
            everybody(act)()
            wait()

        return act_and_wait

    revealed = game.look().revealed(game.task_id, game.round)
    participants = [update.participant for update in revealed]

    def prove_norm() -> None:
        index = participants.index(game.address(desk))
        tree = _tree(game, desk)
        challenge = challenge_norm(game.task_id, game.round, revealed, index, tree)
        if challenge is not None:
            if chance.random() < 0.5:
                game.seal(STRANGER, challenge)
            game.prove(STRANGER, challenge)

    voting: list[Callable[[], object]] = []
    if game.params.by_votes:
        lie = game.tree(0).root
        right = everybody(game.vote)
        voting = [right, right, lambda: game.vote(desk), lambda: game.vote(desk, lie)]
    what = chance.choice([Published.AGGREGATE, Published.MODEL])
    overdue = game.chain.head().timestamp >= game.deadlines().post_result
    return {
        Phase.NONE: [everybody(game.join), lambda: game.join(desk), game.open],
        Phase.SELECTION: [wait],
        Phase.COMMIT: [
            *[everybody_then_wait(lambda each: game.commit(each, tree=_tree(game, each)))] * 5,
            wait,
        ],
        Phase.REVEAL: [
            *[everybody_then_wait(lambda each: game.reveal(each, tree=_tree(game, each)))] * 4,
            *[everybody_then_wait(lambda each: game.reveal_together(STRANGER, each))] * 2,
            wait,
        ],
        Phase.AVAILABILITY: [
            *[lambda: game.flag(STRANGER, desk)] * 2,
            lambda: game.post(STRANGER, desk),
            *[prove_norm] * 2,
            *[wait] * 2,
        ]
        if game.address(desk) in participants
        else [wait],
        Phase.AGGREGATE: [
            *[lambda: game.lie(STRANGER)] * 3,
            *voting,
            *[lambda: game.publish(STRANGER)] * len(voting),
            of_a_seat("reclaimDeposit"),
            wait,
        ],
        Phase.CHALLENGE: [
            lambda: game.refute(desk),
            *[lambda: game.refute_outvoted(STRANGER)] * len(voting),
            *voting[:1],
            *[lambda: game.flag_result(desk, what)] * 2,
            lambda: game.post_result(desk, Published.AGGREGATE, game.values(0)),
            *[lambda: game.refute_unavailable(STRANGER, what)] * (6 * overdue),
            lambda: game.send(desk, "leave", game.task_id),
            *[wait] * 3,
        ],
        Phase.FINAL: [
            *[settle("finalise"), game.open, settle("closeTask")],
            *[of_a_seat("claim"), of_a_seat("reclaimDeposit")],
            *[lambda: game.distribute(STRANGER)] * 2,
        ],
        Phase.VOID: [
            *[settle("voidRound"), *[game.open] * 2, everybody(game.join)],
            *[everybody(lambda each: game.slash(STRANGER, each))] * 2,
            *[everybody(game.restore)] * 2,
        ],
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
            revealed = look.revealed(game.task_id, number)
            assert state.updates_hash == commitment.updates_hash(game.task_id, number, revealed)
            apart = look.included(game.task_id, number) + look.excluded(game.task_id, number)
            assert sorted(apart) == sorted(revealed)
            assert len(look.included(game.task_id, number)) == state.included
        seen.add(found)
    assert _accepts(game, "openRound") == _may_open(game, look)
    _compare_seats(game, look, latest)
    if latest:
        _compare_flags(game, look, latest)
        _compare_votes(game, look, latest)
    assert _held_wei(game) == _owed_wei(game, look)
    return seen


def _compare_seats(game: Game, look: Snapshot, latest: int) -> None:
    """Who may commit, whose commitment was withheld, and which reward can be distributed."""
    params, now = game.params, look.block.timestamp
    from_rounds = []
    for desk in DESKS:
        participant = game.address(desk)
        seat = look.seat(game.task_id, participant)
        from_rounds.append(seat.active_from)
        # `may_commit` itself raises unless contract and mirror agree.
        look.may_commit(game.task_id, participant)
        committed = look.round_state(game.task_id, seat.committed_round)
        wanted = rounds.is_withheld(params, committed, seat, now)
        assert _accepts(game, "slashWithheld", participant) == wanted
    task = look.task_state(game.task_id)
    active = sum(0 < number <= latest for number in from_rounds)
    entering = from_rounds.count(latest + 1)
    assert (task.active, task.entering, task.pending) == (active, entering, 0)
    assert len(look.seated(game.task_id)) == sum(number > 0 for number in from_rounds)
    for number in range(1, latest + 1):
        state = look.round_state(game.task_id, number)
        updates = [tuple(update) for update in look.revealed(game.task_id, number)]
        wanted = rounds.can_distribute(params, state, now)
        assert _accepts(game, "distribute", number, updates, b"") == wanted


def _compare_flags(game: Game, look: Snapshot, latest: int) -> None:
    """What may be flagged, posted, reclaimed and refuted now, by the contract and the mirror."""
    params, now = game.params, look.block.timestamp
    state = look.round_state(game.task_id, latest)
    updates = [tuple(update) for update in look.revealed(game.task_id, latest)]
    for index, (participant, *_) in enumerate(updates):
        flag = look.update_flag(game.task_id, participant)
        fresh = flag.round != latest and not state.is_unavailable(index)
        wanted = fresh and rounds.can_flag_update(params, state, now)
        args = (latest, updates, index)
        assert _accepts(game, "flagUpdate", *args, value_wei=params.flag_wei) == wanted
        flagged = look.round_state(game.task_id, flag.round)
        desk = game.desk_of(participant)
        if flag.round and not _lies(game, desk):
            part = game.parts(game.values(desk))[0]
            wanted = rounds.can_post_update(params, flagged, flag, now)
            assert _accepts(game, "postUpdate", latest, participant, *part) == wanted
        wanted = rounds.can_reclaim(params, flagged, flag, now)
        assert _accepts(game, "reclaimDeposit", participant) == wanted
    for what in Published:
        flag = look.result_flag(game.task_id, what)
        wanted = rounds.can_flag_result(params, state, what, now)
        args = (latest, what)
        assert _accepts(game, "flagResult", *args, value_wei=params.flag_wei) == wanted
        if not flag.round:
            continue
        wanted = rounds.can_refute_unavailable(params, state, what, flag, now)
        assert _accepts(game, "refuteUnavailable", *args) == wanted
        if what is Published.AGGREGATE:
            part = game.parts(game.values(0))[0]
            wanted = rounds.can_post_result(params, state, what, flag, now)
            assert _accepts(game, "postResult", *args, *part) == wanted


def _compare_votes(game: Game, look: Snapshot, latest: int) -> None:
    """Who may vote now, and which result refutes another."""
    params, now = game.params, look.block.timestamp
    state = look.round_state(game.task_id, latest)
    # `votes` itself raises unless logs, counters and the round's own number agree.
    counted = look.votes(game.task_id, latest)
    included = {update.participant for update in look.included(game.task_id, latest)}
    for desk in DESKS:
        seat = look.seat(game.task_id, game.address(desk))
        may_vote = rounds.can_vote(params, state, seat, latest, now)
        found = Result(AGGREGATE_ROOT, MODEL_ROOT, state.updates_hash, state.unavailable)
        wanted = may_vote and game.address(desk) in included
        assert _accepts(game, "vote", latest, found, account=desk) == wanted
    for roots in {Roots(AGGREGATE_ROOT, MODEL_ROOT), *counted}:
        votes = look.votes_for(game.task_id, latest, roots)
        assert votes == len(counted.get(roots, ()))
        is_contested = look.phase(game.task_id, latest) is Phase.CHALLENGE
        wanted = is_contested and rounds.is_outvoted(params, state, votes)
        assert _accepts(game, "refuteOutvoted", latest, *roots) == wanted


def _accepts(
    game: Game, function: str, *args: object, value_wei: int = 0, account: int = STRANGER
) -> bool:
    call = (game.task_id, *args)
    try:
        game.transactors[account].simulate(function, call, value_wei=value_wei)
    except Reverted:
        return False
    return True


def _may_open(game: Game, look: Snapshot) -> bool:
    task = look.task_state(game.task_id)
    latest = look.round_state(game.task_id, task.round)
    return rounds.can_open(game.params, task, latest, look.block.timestamp)


def _held_wei(game: Game) -> int:
    balance = game.chain.rpc.request("eth_getBalance", game.chain.contract, "latest")
    return quantity(balance, "balance", bits=256)


def _owed_wei(game: Game, look: Snapshot) -> int:
    """All that somebody may ever withdraw, and what is burned."""
    task, params = look.task_state(game.task_id), game.params
    states = [look.round_state(game.task_id, number) for number in range(1, task.round + 1)]
    owed_wei = look.burned_wei(params.currency) + task.funds_wei
    owed_wei += sum(
        look.credit(params.currency, account.address) for account in game.network.accounts
    )
    owed_wei += sum(state.bond_wei for state in states if not state.settled)
    flags = [look.result_flag(game.task_id, what) for what in Published]
    for number, state in enumerate(states, 1):
        if look.phase(game.task_id, number) is Phase.FINAL and state.settled:
            # Nobody's yet; what is distributed is in the seats and in the sponsor's credit.
            owed_wei += 0 if state.distributed else params.reward_wei
    for desk in DESKS:
        seat = look.seat(game.task_id, game.address(desk))
        owed_wei += seat.stake_wei + seat.reward_wei
        flags.append(look.update_flag(game.task_id, game.address(desk)))
    return owed_wei + params.flag_wei * sum(flag.flagger != ZERO_ADDRESS for flag in flags)
