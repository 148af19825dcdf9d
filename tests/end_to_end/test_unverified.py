"""A lie about an update that a desk showed to the aggregator only, while nobody flagged it."""

from pathlib import Path

import numpy as np
import pytest

from node.tick import Participant
from protocol.encoding import encode_update
from protocol.errors import BlobNotFound
from protocol.recompute import Combined, combine
from protocol.state import Phase
from tests.chain.network import Network
from tests.end_to_end.fixed_desks import CHUNK, SHIFT
from tests.end_to_end.random_desks import WATCHER, RandomDesks, acts
from tests.end_to_end.test_lying_aggregator import adding

pytestmark = pytest.mark.chain


def lied_about_what_nobody_can_fetch(
    network: Network, folder: Path
) -> tuple[RandomDesks, Combined]:
    """Round 1 in its challenge phase: nobody flagged the first desk's hidden update in time."""
    desks = RandomDesks(network, folder, rounds=3)
    desks.join()
    desks.play_until_revealed()
    desks.hide(0, 1)
    desks.travel(desks.ends().availability)
    lie = adding(desks.genesis, np.full(desks.params.dimension, 77, dtype=np.int16))
    desks.publish_result(1, lie)
    return desks, lie


def play_next(desks: RandomDesks) -> None:
    """The desks go on from what is final; the next round waits for its result."""
    desks.travel(desks.ends().challenge)
    number = desks.round_number()
    assert desks.phase(number) is Phase.FINAL
    desks.senders[0].send("openRound", (desks.task_id,), purpose=f"open:{number}")
    desks.commit()
    desks.reveal()
    desks.travel(desks.ends().reveal)
    desks.travel(desks.ends().availability)


def that_saw_the_lie_pass(desks: RandomDesks) -> Participant:
    """A watcher that could not verify round 1 in its challenge phase; the next round waits."""
    watcher = desks.node(WATCHER)
    with pytest.raises(BlobNotFound):
        watcher.tick()
    play_next(desks)
    return watcher


def test_node_awake_while_a_lie_can_be_challenged_cannot_show_it_without_the_update(
    embedded: Network, tmp_path: Path
) -> None:
    desks, _ = lied_about_what_nobody_can_fetch(embedded, tmp_path)
    watcher = desks.node(WATCHER)
    before = desks.balance()

    for _ in range(3):
        with pytest.raises(BlobNotFound):
            watcher.tick()

    assert (watcher.memory.verified_round, watcher.memory.mismatch) == (0, None)
    assert desks.balance() == before  # no deposit: the liar would post the lie, and earn it


def test_lie_that_cannot_be_recomputed_is_taken_over_as_unverified_and_said_so(
    embedded: Network, tmp_path: Path
) -> None:
    desks, lie = lied_about_what_nobody_can_fetch(embedded, tmp_path)
    watcher = that_saw_the_lie_pass(desks)
    # The next round's right result, which begins at the lie, and then another lie.
    right = combine(desks.params, lie.model, desks.all_updates(2))
    desks.publish_result(2, adding(lie.model, right.aggregate + np.int16(1)))
    acts(watcher, "verify", "seal", "challenge")
    assert watcher.memory.verified_model_root == lie.model_root
    desks.publish_result(2, right)
    with pytest.raises(BlobNotFound, match="round 1 is final and was not recomputed"):
        watcher.tick()

    assert watcher.memory.verified_model_root == right.model_root
    assert watcher.unverified == desks.node(WATCHER).unverified == (1,)
    assert desks.node(WATCHER, adopts=(1,)).unverified == ()


def test_hidden_update_that_comes_to_light_shows_the_lie_for_ever(
    embedded: Network, tmp_path: Path
) -> None:
    desks, lie = lied_about_what_nobody_can_fetch(embedded, tmp_path)
    watcher = that_saw_the_lie_pass(desks)
    second = combine(desks.params, lie.model, desks.all_updates(2))
    desks.publish_result(2, second)
    with pytest.raises(BlobNotFound, match="round 1 is final and was not recomputed"):
        watcher.tick()

    desks.desk_blobs.put(encode_update(desks.update(0, 1), SHIFT), chunk_length=CHUNK)
    play_next(desks)
    desks.publish_result(3, combine(desks.params, second.model, desks.all_updates(3)))
    acts(watcher, "verify")

    assert watcher.memory.mismatch is not None
    assert watcher.memory.mismatch.round == 1
    assert "refusing to go on" in watcher.tick().why
