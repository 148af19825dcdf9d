"""An update whose root records a norm that its bytes do not have costs its desk seat and stake."""

from pathlib import Path

import pytest

from node.actions import ChallengeNorm
from protocol.state import Phase
from tests.chain.network import Network
from tests.end_to_end.random_desks import FLAG_WEI, PUBLISHER, WATCHER, RandomDesks, acts

pytestmark = pytest.mark.chain

LIAR = 1
STAKE_WEI = 2 * 10**16


@pytest.fixture
def desks(embedded: Network, tmp_path: Path) -> RandomDesks:
    """Four desks, of which the second claims to have hardly moved; servers have had their time."""
    settings = {"stake_wei": STAKE_WEI, "availability_seconds": 60}
    found = RandomDesks(embedded, tmp_path, desks=4, **settings)
    found.norms[LIAR] = 9
    found.join()
    found.play_until_revealed()
    found.travel_to_flagging()
    return found


def seat_of_the_liar(desks: RandomDesks) -> int:
    """The stake that is left of it."""
    address = desks.senders[LIAR + 1].address
    return desks.snapshot().seat(desks.task_id, address).stake_wei


def test_false_norm_is_proven_and_the_round_goes_on_without_the_update(
    desks: RandomDesks,
) -> None:
    acts(desks.node(WATCHER), "sealnorm", "challengenorm")

    assert seat_of_the_liar(desks) == 0
    assert desks.credit(WATCHER) == desks.burned_wei() == STAKE_WEI // 2
    assert desks.state(1).included == 3
    waiting = desks.node(WATCHER).tick()
    assert waiting.acted is None
    assert waiting.wait_until == desks.ends().flag_update
    desks.travel(desks.ends().aggregator)
    desks.fallback_publishes()
    acts(desks.node(WATCHER), "verify")
    assert desks.state(1).model_root == desks.honest(1, (0, 2, 3)).model_root
    desks.travel(desks.ends().challenge)
    assert desks.phase(1) is Phase.FINAL


def test_node_that_is_killed_after_its_seal_proves_all_the_same(desks: RandomDesks) -> None:
    acts(desks.node(WATCHER), "sealnorm")
    acts(desks.node(WATCHER), "challengenorm")
    assert desks.credit(WATCHER) == STAKE_WEI // 2


def test_node_that_is_killed_after_its_seal_claims_what_a_copy_of_its_proof_did_not_earn(
    desks: RandomDesks,
) -> None:
    watcher = desks.node(WATCHER)
    acts(watcher, "sealnorm")
    facts, seen = watcher._facts(desks.snapshot()), list[tuple[str, tuple[object, ...]]]()
    watcher._sending.send = lambda function, args, *_: seen.append((function, args))
    watcher._disputes.act(ChallengeNorm(), desks.snapshot(), 1, facts.round_state)
    (copied,) = seen
    desks.senders[PUBLISHER].send(*copied, purpose="copied")
    assert seat_of_the_liar(desks) == desks.credit(PUBLISHER) == 0

    acts(desks.node(WATCHER), "claimaward")

    assert desks.credit(WATCHER) == desks.burned_wei() == STAKE_WEI // 2


def test_update_that_somebody_flagged_already_is_proven_false_all_the_same(
    desks: RandomDesks,
) -> None:
    acts(desks.node(PUBLISHER, challenges=False), "flagupdate")

    acts(desks.node(WATCHER), "sealnorm", "challengenorm")

    assert seat_of_the_liar(desks) == 0
    assert desks.credit(PUBLISHER) == FLAG_WEI, "its deposit came back"


def test_proof_that_has_no_time_for_a_seal_goes_without(desks: RandomDesks) -> None:
    desks.travel(desks.ends().availability - desks.params.availability_seconds // 6 + 1)

    acts(desks.node(WATCHER), "challengenorm")

    assert desks.burned_wei() == STAKE_WEI


def test_node_that_may_not_challenge_flags(desks: RandomDesks) -> None:
    acts(desks.node(WATCHER, challenges=False), "flagupdate")
    assert seat_of_the_liar(desks) == STAKE_WEI


def test_second_proof_comes_too_late_and_goes_on(desks: RandomDesks) -> None:
    quick, slow = desks.node(WATCHER), desks.node(PUBLISHER)
    for node in (quick, slow):
        acts(node, "sealnorm")
    snapshot, facts = desks.snapshot(), slow._facts(desks.snapshot())
    acts(quick, "challengenorm")

    slow._disputes.act(ChallengeNorm(), snapshot, 1, facts.round_state)

    assert desks.credit(PUBLISHER) == 0
    assert slow.tick().acted is None


def test_each_of_two_liars_with_one_root_pays(embedded: Network, tmp_path: Path) -> None:
    desks = RandomDesks(embedded, tmp_path, desks=4, stake_wei=STAKE_WEI, availability_seconds=60)
    desks.updates[3] = desks.updates[LIAR] = desks.update(LIAR, 1)
    desks.norms[3] = desks.norms[LIAR] = 9
    desks.join()
    desks.play_until_revealed()
    desks.travel_to_flagging()

    # One seal is for both, as it names the root.
    acts(desks.node(WATCHER), "sealnorm", "challengenorm", "challengenorm")

    assert desks.state(1).included == 2
    assert desks.credit(WATCHER) == desks.burned_wei() == STAKE_WEI
    assert desks.node(WATCHER).tick().acted is None, "a node that starts again has nothing to add"


def test_other_bytes_than_were_revealed_prove_nothing(desks: RandomDesks) -> None:
    file = desks.desk_blobs.file_of(desks.tree(LIAR).root)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    acts(desks.node(WATCHER), "flagupdate")

    assert seat_of_the_liar(desks) == STAKE_WEI
