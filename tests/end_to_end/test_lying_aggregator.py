"""An aggregator that lies loses its bond to a node's proof, and an honest one ends the round."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from node.actions import Challenge
from node.tick import Participant
from protocol.chain.outbox import Lane
from protocol.errors import Reverted
from protocol.proofs import encode_opening, encode_place
from protocol.recompute import Combined, combine
from protocol.state import Phase
from protocol.storage import unwritable
from protocol.sumtree import SumTree
from protocol.task import Rule, TaskParams
from tests.chain.network import Network
from tests.end_to_end.fixed_desks import CHUNK, DIMENSION, GENESIS
from tests.end_to_end.random_desks import (
    AWARD_WEI,
    BOND_WEI,
    FALLBACK,
    FLAG_WEI,
    LIAR,
    PUBLISHER,
    WATCHER,
    RandomDesks,
    acts,
)

pytestmark = pytest.mark.chain


@dataclass(frozen=True)
class Round:
    """What a liar of round 2 has at hand."""

    params: TaskParams
    base: np.ndarray
    updates: np.ndarray
    honest: Combined
    earlier: Combined


def rooted(aggregated: np.ndarray, model: np.ndarray) -> Combined:
    roots = [SumTree.of(values, CHUNK).root for values in (aggregated, model)]
    return Combined(aggregated, roots[0], model, roots[1])


def adding(base: np.ndarray, aggregated: np.ndarray) -> Combined:
    return rooted(aggregated, base + aggregated)


def off_by_one(known: Round) -> Combined:
    aggregated = known.honest.aggregate.copy()
    aggregated[DIMENSION - 1] += 1
    return adding(known.base, aggregated)


def dropped(known: Round) -> Combined:
    return combine(replace(known.params, tolerance=0), known.base, known.updates[1:])


def counted_twice(known: Round) -> Combined:
    return combine(known.params, known.base, known.updates[[0, 0, 1, 2]])


def wrong_trim(known: Round) -> Combined:
    return combine(replace(known.params, tolerance=0), known.base, known.updates)


def wrong_model_of_the_right_aggregate(known: Round) -> Combined:
    model = known.honest.model.copy()
    model[DIMENSION // 2] -= 1
    return rooted(known.honest.aggregate, model)


def another_rounds_aggregate(known: Round) -> Combined:
    return adding(known.base, known.earlier.aggregate)


Lie = Callable[[Round], Combined]
LIES: list[Lie] = [
    off_by_one,
    dropped,
    counted_twice,
    wrong_trim,
    wrong_model_of_the_right_aggregate,
    another_rounds_aggregate,
]


def play_honest_round(desks: RandomDesks) -> None:
    desks.join()
    desks.play_until_aggregate()
    desks.publish_result(1, desks.honest(1))


def play_until_it_is_the_liars_turn(desks: RandomDesks) -> Round:
    """An honest round, and the next one up to its publication."""
    play_honest_round(desks)
    desks.travel(desks.ends().challenge)
    desks.play_until_aggregate()
    earlier = desks.honest(1)
    return Round(desks.params, earlier.model, desks.all_updates(2), desks.honest(2), earlier)


def play_until_lied_to(desks: RandomDesks, lie: Lie) -> None:
    desks.publish_result(2, lie(play_until_it_is_the_liars_turn(desks)))


def assert_reopened(desks: RandomDesks) -> None:
    state = desks.state(2)
    assert (desks.phase(2), state.published_at, state.bond_wei) == (Phase.AGGREGATE, 0, 0)
    assert desks.credit(WATCHER) >= AWARD_WEI
    assert desks.burned_wei() == BOND_WEI - AWARD_WEI


def challenge_of(node: Participant, desks: RandomDesks) -> tuple[str, tuple[object, ...]]:
    """What a node would send now, for somebody to copy."""
    seen: list[tuple[str, tuple[object, ...]]] = []
    node._sending.send = lambda function, args, *_: seen.append((function, args))
    node._disputes.act(Challenge(), desks.snapshot(), 2, desks.state(2))
    del node._sending.send
    (sent,) = seen
    return sent


def end_honestly(desks: RandomDesks, publisher: Callable[[], object]) -> None:
    """Somebody else's turn, and what the watcher makes of it."""
    watcher = desks.node(WATCHER)
    assert "is in aggregate" in watcher.tick().why
    assert watcher.memory.mismatch is None
    desks.pass_refutation()
    publisher()
    assert desks.phase(2) is Phase.CHALLENGE
    acts(watcher, "verify")
    desks.travel(desks.ends().challenge)
    assert watcher.tick().acted is None
    assert watcher.memory.verified_model_root == desks.honest(2).model_root


def assert_settled_with_the_honest_model(desks: RandomDesks) -> None:
    task = desks.snapshot().task_state(desks.task_id)
    assert task.model_root == desks.honest(2).model_root
    assert desks.wind_up() == desks.burned_wei() == BOND_WEI - AWARD_WEI


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_lie_is_refuted_and_another_orchestrator_ends_the_round_honestly(
    anvil: Network, tmp_path: Path, lie: Lie
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, lie)

    acts(desks.node(WATCHER), "verify", "seal", "challenge")
    assert_reopened(desks)
    end_honestly(desks, desks.fallback.tick)

    assert desks.state(2).publisher == desks.senders[FALLBACK].address
    assert desks.fallback.tick().acted == "finalise"
    assert_settled_with_the_honest_model(desks)


@pytest.mark.parametrize("lie", [off_by_one, wrong_model_of_the_right_aggregate])
def test_lie_that_nobody_can_fetch_is_flagged_and_refuted_when_its_bytes_do_not_come(
    anvil: Network, tmp_path: Path, lie: Lie
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    told = lie(play_until_it_is_the_liars_turn(desks))
    desks.publish_roots(2, told.aggregate_root, told.model_root)

    acts(desks.node(WATCHER), "verify", "flagresult")
    waiting = desks.node(WATCHER).tick()
    assert (waiting.acted, waiting.wait_until) == (None, desks.ends().post_result)
    desks.travel(desks.ends().post_result)
    acts(desks.node(WATCHER), "refuteunavailable")
    assert_reopened(desks)
    assert desks.credit(WATCHER) == AWARD_WEI + FLAG_WEI
    end_honestly(desks, desks.fallback.tick)

    assert desks.fallback.tick().acted == "finalise"
    assert_settled_with_the_honest_model(desks)


def test_lie_whose_bytes_are_posted_is_proven_from_the_chain(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, off_by_one)
    hidden = tmp_path / f"node-{LIAR}" / "private"
    hidden.parent.mkdir()
    desks.liars_blobs.path.rename(hidden)
    desks.liars_blobs.path.mkdir()
    watcher = desks.node(WATCHER)
    acts(watcher, "verify", "flagresult")
    acts(desks.node(LIAR, challenges=False), "postresult")

    acts(watcher, "seal", "challenge")

    assert_reopened(desks)
    assert desks.credit(WATCHER) == AWARD_WEI
    assert desks.credit(LIAR) == BOND_WEI + FLAG_WEI, "the bond of round 1, and the deposit"


def test_right_result_that_its_publisher_does_not_serve_is_final_for_everybody(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    known = play_until_it_is_the_liars_turn(desks)
    desks.publish_roots(2, known.honest.aggregate_root, known.honest.model_root)

    watcher = desks.node(WATCHER)
    acts(watcher, "verify")
    desks.travel(desks.ends().challenge)

    assert watcher.tick().acted is None
    assert watcher.memory.verified_model_root == known.honest.model_root
    assert desks.fallback.tick().acted == "finalise"
    assert desks.fallback.own.has(known.honest.model_root), "who recomputed it serves it"


def test_publishing_node_ends_the_round(anvil: Network, tmp_path: Path) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, off_by_one)
    acts(desks.node(WATCHER), "verify", "seal", "challenge")
    publisher = desks.node(PUBLISHER, publishes=True, challenges=False, drives=True)

    end_honestly(desks, publisher.tick)

    assert desks.state(2).publisher == desks.senders[PUBLISHER].address
    acts(publisher, "verify", "drive", "distribute", "distribute")
    assert desks.state(2).settled
    assert [desks.state(number).distributed for number in (1, 2)] == [True, True]
    assert desks.credit(PUBLISHER) == BOND_WEI
    assert_settled_with_the_honest_model(desks)


def test_node_killed_between_seal_and_challenge_still_gets_its_award(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, off_by_one)
    for action in ("verify", "seal", "challenge"):
        acts(desks.node(WATCHER), action)

    assert_reopened(desks)


def test_node_whose_disk_is_full_once_its_seal_is_mined_goes_on_from_the_chain(
    anvil: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise unwritable(tmp_path / "outbox.sqlite", "database or disk is full")

    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, off_by_one)
    watcher = desks.node(WATCHER)
    with monkeypatch.context() as patched:
        patched.setattr(Lane, "settle", full)
        acts(watcher, "verify", "seal")
        function, args = challenge_of(watcher, desks)
    desks.senders[PUBLISHER].send(function, args, purpose="copied")

    acts(watcher, "claimaward")

    assert_reopened(desks)


def test_copied_challenge_proves_the_lie_and_earns_its_sender_nothing(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, off_by_one)
    watcher, copier = desks.node(WATCHER), desks.senders[PUBLISHER]
    acts(watcher, "verify", "seal")
    function, args = challenge_of(watcher, desks)

    copier.send(function, args, purpose="copied")

    assert desks.phase(2) is Phase.AGGREGATE
    assert desks.credit(PUBLISHER) == desks.credit(WATCHER) == 0
    assert desks.burned_wei() == BOND_WEI

    acts(watcher, "claimaward")

    assert_reopened(desks)
    assert (desks.credit(WATCHER), desks.credit(PUBLISHER)) == (AWARD_WEI, 0)
    end_honestly(desks, desks.fallback.tick)
    assert desks.fallback.tick().acted == "finalise"
    assert_settled_with_the_honest_model(desks)


def test_node_killed_after_its_seal_claims_what_a_copy_did_not_earn_in_a_later_round_too(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path, rounds=3)
    play_until_lied_to(desks, off_by_one)
    watcher, copier = desks.node(WATCHER), desks.senders[PUBLISHER]
    acts(watcher, "verify", "seal")
    copier.send(*challenge_of(watcher, desks), purpose="copied")
    desks.pass_refutation()
    desks.fallback.tick()
    desks.travel(desks.ends().challenge)
    desks.fallback.tick()
    assert desks.round_number() == 3

    assert desks.node(PUBLISHER).tick().acted is None, "it had sealed nothing"
    acts(desks.node(WATCHER), "claimaward")
    assert desks.credit(WATCHER) == AWARD_WEI
    assert desks.node(WATCHER).tick().acted is None


def test_challenge_that_is_copied_again_earns_its_award_again(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    told = off_by_one(play_until_it_is_the_liars_turn(desks))
    watcher, copier = desks.node(WATCHER), desks.senders[PUBLISHER]
    for times in (1, 2):
        desks.publish_result(2, told)
        if times == 1:
            acts(watcher, "verify", "seal")
            function, args = challenge_of(watcher, desks)
        copier.send(function, args, purpose=f"copied {times}")
        acts(watcher, "claimaward")
        assert desks.credit(WATCHER) == times * AWARD_WEI
    assert watcher.tick().acted is None
    assert desks.burned_wei() == 2 * (BOND_WEI - AWARD_WEI)


def test_challenge_that_has_no_time_for_a_seal_goes_without(anvil: Network, tmp_path: Path) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, off_by_one)
    desks.travel(desks.ends().challenge - desks.params.challenge_seconds // 6 + 1)

    acts(desks.node(WATCHER), "verify", "challenge")

    assert desks.phase(2) is Phase.AGGREGATE
    assert desks.burned_wei() == BOND_WEI


def test_liar_that_lies_again_pays_again_and_time_ends_the_round(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, wrong_trim)
    watcher = desks.node(WATCHER)
    again = combine(replace(desks.params, tolerance=0), desks.honest(1).model, desks.all_updates(2))
    for times in range(1, 4):
        # The seal of the first lie serves for the same lie again.
        acts(watcher, "verify", *(["seal"] if times == 1 else []), "challenge")
        assert desks.credit(WATCHER) == times * AWARD_WEI
        if times < 3:
            desks.publish_result(2, again)
    desks.travel(desks.ends().aggregate)

    assert desks.phase(2) is Phase.VOID
    assert desks.fallback.tick().acted == "void"
    task = desks.snapshot().task_state(desks.task_id)
    assert task.model_root == desks.honest(1).model_root
    assert desks.wind_up() == desks.burned_wei() == 3 * (BOND_WEI - AWARD_WEI)


def test_second_challenger_comes_too_late_and_goes_on(anvil: Network, tmp_path: Path) -> None:
    desks = RandomDesks(anvil, tmp_path)
    play_until_lied_to(desks, off_by_one)
    quick, slow = desks.node(WATCHER), desks.node(PUBLISHER)
    for node in (quick, slow):
        acts(node, "verify", "seal")
    snapshot = desks.snapshot()
    acts(quick, "challenge")

    slow._disputes.act(Challenge(), snapshot, 2, snapshot.round_state(desks.task_id, 2))

    assert desks.credit(PUBLISHER) == 0
    assert "is in aggregate" in slow.tick().why
    assert slow.memory.mismatch is None


def test_node_that_may_neither_flag_nor_challenge_refuses_and_says_so(
    anvil: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(anvil, tmp_path)
    told = off_by_one(play_until_it_is_the_liars_turn(desks))
    desks.publish_roots(2, told.aggregate_root, told.model_root)
    for settings in ({"flags": False}, {"challenges": False}):
        silent = desks.node(WATCHER, **settings)
        silent.tick()
        refusing = silent.tick()
        assert refusing.acted is None
        assert refusing.why.startswith("refusing to go on: round 2: aggregate root")


# `test_choices.py` is about Krum and multi-Krum, which need five desks; `test_votes.py` about the
# rest.
BY_COORDINATE = [rule for rule in Rule if rule < Rule.MULTI_KRUM]
SPECIAL: dict[Rule, dict[str, int]] = {
    Rule.CLIPPED_MEAN: {"tolerance": 0, "clip_norm": 2_000},
    Rule.TRIMMED_MEAN: {"tolerance": 1},
}


@pytest.mark.parametrize("rule", BY_COORDINATE)
def test_honest_result_cannot_be_refuted_chunk_by_chunk(
    anvil: Network, tmp_path: Path, rule: Rule
) -> None:
    desks = RandomDesks(anvil, tmp_path, rule=rule, **SPECIAL.get(rule, {"tolerance": 0}))
    play_honest_round(desks)
    watcher, honest = desks.node(WATCHER), desks.honest(1)
    acts(watcher, "verify")
    assert watcher.tick().acted is None
    assert watcher.memory.mismatch is None
    revealed = desks.snapshot().revealed(desks.task_id, 1)
    participants = tuple(update.participant for update in revealed)

    sender, updates = desks.senders[WATCHER], desks.all_updates(1)
    for chunk in range(-(-DIMENSION // CHUNK)):
        openings = opened(chunk, *updates, published=honest.aggregate)
        args = (desks.task_id, 1, participants, (), chunk, openings, b"", bytes(32))
        with pytest.raises(Reverted, match="NoFraud"):
            sender.simulate("challengeAggregate", args)
        openings = opened(chunk, GENESIS, honest.aggregate, published=honest.model)
        with pytest.raises(Reverted, match="NoFraud"):
            sender.simulate("challengeModel", (desks.task_id, 1, chunk, openings, bytes(32)))


def opened(chunk: int, *vectors: np.ndarray, published: np.ndarray) -> bytes:
    trees = (SumTree.of(vector, CHUNK) for vector in vectors)
    openings = b"".join(encode_opening(tree.opening(chunk)) for tree in trees)
    return openings + encode_place(SumTree.of(published, CHUNK), chunk)


@pytest.mark.parametrize("rule", BY_COORDINATE)
def test_one_wrong_unit_is_refuted_under_every_rule(
    anvil: Network, tmp_path: Path, rule: Rule
) -> None:
    desks = RandomDesks(anvil, tmp_path, rule=rule, **SPECIAL.get(rule, {"tolerance": 0}))
    play_until_lied_to(desks, off_by_one)

    acts(desks.node(WATCHER), "verify", "seal", "challenge")
    assert_reopened(desks)
    end_honestly(desks, desks.fallback.tick)
