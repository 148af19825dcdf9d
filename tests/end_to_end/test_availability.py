"""What cannot be fetched is flagged: it comes on chain, or it and its maker are out."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from protocol.blobs import DirectoryStore
from protocol.chain.posted import PostedStore
from protocol.encoding import encode_model
from protocol.errors import BlobNotFound, Reverted
from protocol.exit_codes import ExitCode
from protocol.recompute import check_published
from protocol.state import Phase, Published
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, Rule
from scripts import command, round_state
from scripts.leave import depart
from scripts.verify_round import Verdict, Verifier
from tests.chain.network import Network
from tests.end_to_end.fixed_desks import CHUNK, DESKS, SHIFT
from tests.end_to_end.random_desks import (
    AWARD_WEI,
    BOND_WEI,
    FALLBACK,
    FLAG_WEI,
    LIAR,
    PUBLISHER,
    REWARD_WEI,
    WATCHER,
    RandomDesks,
    acts,
)

pytestmark = pytest.mark.chain

# Two parts an update: 16,384 coordinates fill the first one.
MANY = 17_000


def tolerant(network: Network, folder: Path, **changes: object) -> RandomDesks:
    """A task that two updates of three suffice for, and that has no aggregator of its own."""
    settings = {
        "rule": Rule.MEDIAN,
        "tolerance": 0,
        "quorum": 2,
        "aggregator": ZERO_ADDRESS,
        "aggregator_seconds": 0,
    }
    desks = RandomDesks(network, folder, **(settings | changes))
    desks.join()
    return desks


def lacking_one(network: Network, folder: Path) -> RandomDesks:
    """The first desk's update of round 1 is nowhere, and servers have had their time."""
    desks = tolerant(network, folder)
    desks.play_until_revealed()
    desks.hide(0, 1)
    desks.travel_to_flagging()
    return desks


def verdict_of(desks: RandomDesks, store: DirectoryStore) -> Verdict:
    (verdict,) = Verifier(desks.snapshot(), desks.task_id, store).check("1")
    return verdict


def reward_of(desks: RandomDesks, desk: int) -> int:
    sender = desks.senders[desk + 1]
    before = desks.credit(desk + 1)
    with suppress(Reverted):  # there may be nothing to claim
        sender.send("claim", (desks.task_id, sender.address), purpose="claim")
    return desks.credit(desk + 1) - before


def test_update_that_nobody_serves_is_left_out_of_result_and_reward(
    anvil: Network, tmp_path: Path
) -> None:
    desks = tolerant(anvil, tmp_path)
    desks.play_until_revealed()
    desks.hide(0, 1)
    watcher = desks.node(WATCHER)
    assert watcher.tick().acted is None, "its server still has time"
    desks.travel_to_flagging()
    acts(watcher, "flagupdate")
    flagged = round_state.describe(desks.snapshot(), desks.task_id)
    desks.travel(desks.ends().availability)
    acts(watcher, "reclaimdeposit")

    desks.fallback_publishes()
    acts(watcher, "verify")
    desks.travel(desks.ends().challenge)
    assert desks.fallback.tick().acted == "open"
    assert desks.fallback.tick().acted == "distribute"

    check_published(desks.honest(1, (1, 2)), desks.state(1))
    assert [reward_of(desks, desk) for desk in range(DESKS)] == [
        0,
        REWARD_WEI // 2,
        REWARD_WEI // 2,
    ]
    assert desks.credit(WATCHER) == FLAG_WEI
    who = desks.senders[1].address
    assert [(each["participant"], each["standing"]) for each in flagged["unavailable"]] == [
        (who, "flagged")
    ]
    verdict = verdict_of(desks, desks.desk_blobs)
    assert (verdict.verdict, verdict.updates) == ("verified", 2)
    assert verdict.selection.excluded == (who,)
    assert len(verdict.selection.revealed) == DESKS


def test_updates_that_are_only_posted_on_chain_are_included_and_verified_from_there(
    anvil: Network, tmp_path: Path
) -> None:
    genesis = np.arange(MANY, dtype=np.int32)
    desks = tolerant(anvil, tmp_path, genesis=genesis)
    desks.play_until_revealed()
    for desk in range(DESKS):
        desks.hide(desk, 1)
    desks.travel_to_flagging()
    acts(desks.node(WATCHER), *["flagupdate"] * DESKS)
    assert desks.state(1).included == 0

    for desk in range(DESKS):
        # Killed and started again between the parts, it goes on with the one that is next.
        acts(desks.node(desk + 1), "postupdate")
        acts(desks.node(desk + 1), "postupdate")
        assert desks.node(desk + 1).tick().acted is None
    assert desks.state(1).included == DESKS
    desks.travel(desks.ends().availability)
    desks.fallback_publishes()
    acts(desks.node(WATCHER), "verify")

    check_published(desks.honest(1), desks.state(1))
    # The deposits went to the participants who answered.
    assert [desks.credit(desk + 1) for desk in range(DESKS)] == [FLAG_WEI] * DESKS
    outsiders = DirectoryStore(tmp_path / "outsider")
    outsiders.put(encode_model(genesis, SHIFT), chunk_length=CHUNK)
    verdict = verdict_of(desks, outsiders)
    assert (verdict.verdict, verdict.updates) == ("verified", DESKS)


def test_posted_bytes_count_only_as_far_as_they_were_posted(anvil: Network, tmp_path: Path) -> None:
    desks = tolerant(anvil, tmp_path, genesis=np.arange(MANY, dtype=np.int32))
    desks.play_until_revealed()
    desks.hide(0, 1)
    desks.travel_to_flagging()
    acts(desks.node(WATCHER), "flagupdate")
    acts(desks.node(1), "postupdate")
    root = SumTree.of(desks.update(0, 1), CHUNK).root

    with pytest.raises(BlobNotFound):
        PostedStore(desks.chain, desks.task_id, desks.params).get(root, chunk_length=CHUNK)
    desks.travel(desks.ends().availability)

    assert desks.state(1).included == 2
    assert "is in aggregate" in desks.node(1).tick().why


def test_round_whose_updates_cannot_be_had_is_void_at_once(anvil: Network, tmp_path: Path) -> None:
    desks = tolerant(anvil, tmp_path)
    desks.play_until_revealed()
    for desk in range(2):
        desks.hide(desk, 1)
    desks.travel_to_flagging()
    acts(desks.node(WATCHER), "flagupdate", "flagupdate")
    desks.travel(desks.ends().availability)

    assert desks.phase(1) is Phase.VOID
    assert desks.fallback.tick().acted == "open"
    acts(desks.node(WATCHER), "reclaimdeposit", "reclaimdeposit")
    assert desks.credit(WATCHER) == 2 * FLAG_WEI
    assert verdict_of(desks, desks.desk_blobs).verdict == "void"


def test_roots_without_bytes_are_refuted_and_an_honest_fallback_ends_the_round(
    anvil: Network, tmp_path: Path
) -> None:
    desks = tolerant(anvil, tmp_path)
    desks.play_until_aggregate()
    desks.publish_roots(1, b"\1" * 32, b"\2" * 32)
    watcher = desks.node(WATCHER)
    acts(watcher, "verify", "flagresult")
    desks.travel(desks.ends().post_result)
    acts(watcher, "refuteunavailable")
    assert desks.credit(WATCHER) == AWARD_WEI + FLAG_WEI

    desks.fallback_publishes()
    acts(watcher, "verify")
    desks.travel(desks.ends().challenge)
    assert desks.fallback.tick().acted == "open"

    check_published(desks.honest(1), desks.state(1))
    state = desks.state(1)
    assert (state.refutations, state.publisher) == (1, desks.senders[FALLBACK].address)
    assert desks.snapshot().task_state(desks.task_id).model_root == desks.honest(1).model_root


def test_result_of_an_update_that_only_its_aggregator_saw_is_refuted(
    anvil: Network, tmp_path: Path
) -> None:
    desks = lacking_one(anvil, tmp_path)
    acts(desks.node(WATCHER), "flagupdate")
    desks.travel(desks.ends().availability)
    desks.publish_result(1, desks.honest(1))

    acts(desks.node(WATCHER), "verify", "seal", "challenge")
    desks.fallback_publishes()
    acts(desks.node(WATCHER), "verify")

    check_published(desks.honest(1, (1, 2)), desks.state(1))


def test_honest_publisher_that_is_flagged_posts_and_earns_the_deposits(
    anvil: Network, tmp_path: Path
) -> None:
    desks = tolerant(anvil, tmp_path, genesis=np.arange(MANY, dtype=np.int32))
    desks.play_until_aggregate()
    publisher = desks.node(PUBLISHER, publishes=True)
    acts(publisher, "publish")
    for what in (Published.AGGREGATE, Published.MODEL):
        desks.flag_result(1, what, account=LIAR)

    # Two parts of the aggregate, three of the model, and then its own look at the result.
    acts(publisher, *["postresult"] * 5, "verify")
    desks.travel(desks.ends().post_result)
    assert publisher.tick().acted is None
    with pytest.raises(Reverted, match="NotUnavailable"):
        desks.senders[LIAR].simulate("refuteUnavailable", (desks.task_id, 1, Published.MODEL))
    desks.travel(desks.ends().challenge)
    assert desks.fallback.tick().acted == "open"

    assert desks.credit(PUBLISHER) == BOND_WEI + 2 * FLAG_WEI
    assert desks.credit(LIAR) == 0
    posted = PostedStore(desks.chain, desks.task_id, desks.params)
    found = posted.get(desks.state(1).model_root, chunk_length=CHUNK, shift=SHIFT)
    assert np.array_equal(found.values, desks.honest(1).model)


def test_two_nodes_flag_once_and_the_second_comes_too_late(anvil: Network, tmp_path: Path) -> None:
    desks = lacking_one(anvil, tmp_path)
    quick, slow = desks.node(WATCHER), desks.node(PUBLISHER)
    snapshot = desks.snapshot()
    acts(quick, "flagupdate")

    slow._disputes._flag_update(snapshot, 1, 0)

    assert slow.tick().acted is None
    assert desks.balance() == 3 * desks.params.stake_wei + 2 * REWARD_WEI + FLAG_WEI


def test_node_that_may_not_flag_sends_no_deposit(anvil: Network, tmp_path: Path) -> None:
    desks = lacking_one(anvil, tmp_path)

    assert desks.node(WATCHER, flags=False).tick().acted is None
    assert desks.state(1).unavailable == 0


def test_update_that_was_fetched_once_is_served_by_whoever_fetched_it(
    anvil: Network, tmp_path: Path
) -> None:
    desks = tolerant(anvil, tmp_path)
    desks.play_until_revealed()
    desks.travel_to_flagging()
    watcher = desks.node(WATCHER)
    assert watcher.tick().acted is None, "nothing is missing"

    desks.hide(0, 1)
    root = SumTree.of(desks.update(0, 1), CHUNK).root

    served = DirectoryStore(tmp_path / f"node-{WATCHER}" / "blobs")
    found = served.get(root, chunk_length=CHUNK, shift=SHIFT)
    assert np.array_equal(found.values, desks.update(0, 1))


def test_desk_that_lost_its_update_cannot_answer_and_says_so_but_goes_on(
    anvil: Network, tmp_path: Path
) -> None:
    desks = tolerant(anvil, tmp_path)
    desks.play_until_revealed()
    desks.hide(0, 1)
    root = SumTree.of(desks.update(0, 1), CHUNK).root
    (tmp_path / "node-1" / "private" / root.hex()).unlink()
    desks.travel_to_flagging()
    acts(desks.node(WATCHER), "flagupdate")

    with capture_logs() as logged:
        assert desks.node(1).tick().acted is None

    events = [line["event"] for line in logged if line["log_level"] == "critical"]
    assert events == ["what is flagged cannot be posted"]


def test_round_state_says_what_is_flagged_by_whom_and_what_happens_when(
    anvil: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desks = tolerant(anvil, tmp_path)
    monkeypatch.setattr(command, "connect", lambda *_address: desks.chain)

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(round_state.main, ["--rpc", "anvil", *arguments])
        assert done.exit_code == ExitCode.OK, done.output
        return done.stdout

    desks.play_until_revealed()
    desks.hide(0, 1)
    assert "anybody may flag what cannot be fetched" in said()
    desks.travel_to_flagging()
    acts(desks.node(WATCHER), "flagupdate")
    desks.travel(desks.ends().flag_update)
    flagged = said()
    assert f"flagged   {desks.senders[1].address}" in flagged
    assert "flagged updates may be posted, or are excluded" in flagged
    assert f"availability  ends {round_state.when(desks.ends().availability)}" in flagged
    (unavailable,) = json.loads(said("--json"))["unavailable"]
    assert unavailable == {
        "participant": desks.senders[1].address,
        "standing": "flagged",
        "flagger": desks.senders[WATCHER].address,
        "posted": 0,
    }

    desks.travel(desks.ends().availability)
    desks.publish_roots(1, b"\1" * 32, b"\2" * 32)
    desks.flag_result(1, Published.MODEL, account=WATCHER)
    assert f"excluded  {desks.senders[1].address}" in said()
    assert f"flagged   the published model, by {desks.senders[WATCHER].address}" in said()
    desks.travel(desks.ends().flag_result)
    assert "its publisher must post what is flagged" in said()
    desks.travel(desks.ends().post_result)
    assert "anybody may refute what is flagged and was not posted" in said()


def test_who_leaves_takes_the_deposits_along_that_nobody_answered(
    anvil: Network, tmp_path: Path
) -> None:
    desks = lacking_one(anvil, tmp_path)
    acts(desks.node(WATCHER), "flagupdate")

    def leave() -> list[str]:
        departure = depart(desks.senders[WATCHER], desks.task_id, to=None)
        return [payment.amount_wei for payment in departure.withdrawn]

    assert leave() == [], "it may still be answered"
    desks.travel(desks.ends().availability)
    assert leave() == [str(FLAG_WEI)]
    assert leave() == []


def test_model_that_somebody_serves_in_another_unit_is_fetched_elsewhere(
    embedded: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(embedded, tmp_path)
    desks.join()
    desks.play_until_aggregate()
    desks.publish_result(1, desks.honest(1))
    # Its root does not bind the unit, so the hostile store has it, and is asked first.
    desks.desk_blobs.put(encode_model(desks.genesis, SHIFT + 1), chunk_length=CHUNK)
    desks.liars_blobs.put(encode_model(desks.genesis, SHIFT), chunk_length=CHUNK)

    acts(desks.node(WATCHER), "verify")
