"""A task that trusts one participant: its update weighs the other ones, and may be missing."""

from pathlib import Path

import pytest

from protocol.chain.embedded import EmbeddedChain
from protocol.state import Phase
from protocol.task import Rule
from scripts.comparison import Market
from scripts.verify_round import Verifier
from tests.chain.network import Network
from tests.end_to_end.conftest import network_of
from tests.end_to_end.random_desks import RandomDesks, acts

pytestmark = pytest.mark.chain

TRUSTED = 3


@pytest.mark.parametrize("is_away", [True, False], ids=["away", "excluded"])
def test_round_without_the_update_that_is_trusted_leaves_the_model_and_is_final(
    embedded: Network, tmp_path: Path, *, is_away: bool
) -> None:
    trusted = {"rule": Rule.FLTRUST, "trusted": embedded.accounts[TRUSTED].address}
    desks = RandomDesks(embedded, tmp_path, desks=5, quorum=3, cohort=5, **trusted)
    desks.join()
    assert desks.fallback.tick().acted == "open"
    others = [desk for desk in desks.desks if desk + 1 != TRUSTED]
    present = others if is_away else None
    desks.commit(present)
    desks.reveal(present)
    if not is_away:
        desks.hide(TRUSTED - 1, 1)
        desks.travel_to_flagging()
        acts(desks.node(1), "flagupdate")
    desks.travel(desks.ends().aggregator)
    desks.fallback_publishes()
    acts(desks.node(1), "verify")
    desks.travel(desks.ends().challenge)

    assert desks.phase(1) is Phase.FINAL
    assert desks.state(1).aggregate_root == desks.honest(1, others).aggregate_root
    assert desks.state(1).model_root == desks.params.genesis_model_root
    (verdict,) = Verifier(desks.snapshot(), desks.task_id, desks.blobs).check("1")
    assert verdict.verdict == "verified"


def test_desks_that_train_follow_the_one_that_their_sponsor_trusts(
    desks: Market, tmp_path: Path
) -> None:
    # The accounts of `network_of`: a sponsor, an aggregator, and then the desks.
    trusted = EmbeddedChain("test", accounts=5).accounts[2].address
    asked = {"rule": "fltrust", "trusted": trusted, "tolerance": 1, "quorum": 3, "rounds": 1}
    network = network_of(desks, tmp_path, **asked)
    assert network.participants[0].account.address == trusted

    assert [finished.phase for finished in network.rounds()] == ["final"]

    snapshot = network.chain.at(network.chain.head())
    assert network.round_state(1).evidence_hash == snapshot.evidence(network.task_id, 1).hash
    assert snapshot.votes(network.task_id, 1) == {}
    (verdict,) = Verifier(snapshot, network.task_id, network.blobs).check("all")
    assert verdict.verdict == "verified"
    assert network.round_state(1).model_root != network.params.genesis_model_root
