"""An update that is none is flagged and left out; where nobody flagged it, no result is right."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from node.actions import Wait
from node.decide import decide
from node.memory import Pending
from node.tick import Mandate, Participant
from protocol import rounds as round_rules
from protocol.chain.gateway import Snapshot
from protocol.encoding import encode_model
from protocol.recompute import Result
from protocol.state import Phase
from protocol.sumtree import SumTree
from scripts.network import EmbeddedNetwork
from scripts.verify_round import Verifier

pytestmark = pytest.mark.chain

Make = Callable[..., EmbeddedNetwork]
AGGREGATE_ROOT, MODEL_ROOT = b"\1" * 32, b"\2" * 32


def commits_to_a_model(liar: Participant) -> Callable[[Snapshot, int], Pending]:
    """Trains nothing: its root is a model's, whose tree carries no norm for the contract to see."""

    def train(snapshot: Snapshot, latest: int) -> Pending:
        values = np.full(liar.params.dimension, 10**6, dtype=np.int32)
        tree = SumTree.of(values, liar.params.chunk_length)
        liar.stores.private.put(
            encode_model(values, liar.params.shift), chunk_length=liar.params.chunk_length
        )
        pending = Pending(
            round=latest,
            base_model_root=snapshot.base_model_root(liar.task_id, latest),
            update_root=tree.root,
            tree_top=tree.top,
            squared_norm=0,
            residual=liar.memory.residual,
        )
        liar._memory.save(replace(liar.memory, pending=pending))
        return pending

    return train


def test_update_that_is_no_update_is_flagged_and_left_out(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network()
    for participant in network.participants:
        participant.tick()
    liar = network.participants[0]
    monkeypatch.setattr(liar._commitments, "_train", commits_to_a_model(liar))
    while phase_of(network) is not Phase.FINAL:
        network.step()

    state = network.round_state(1)
    assert (state.revealed, state.included) == (3, 2)
    snapshot = network.chain.at(network.chain.head())
    (verdict,) = Verifier(snapshot, network.task_id, network.blobs).check("1")
    assert (verdict.verdict, verdict.selection.excluded) == ("verified", (liar.account.address,))


def test_result_of_updates_that_have_none_is_a_mismatch_for_all(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network()
    network.orchestrator._flags = False
    for participant in network.participants:
        participant.mandate = Mandate(flags=False)
    for participant in network.participants:
        participant.tick()
    liar, *honest = network.participants
    monkeypatch.setattr(liar._commitments, "_train", commits_to_a_model(liar))
    while phase_of(network) is not Phase.AGGREGATE:
        network.step()
    revealed = network.round_state(1)
    assert revealed.revealed == 3, "the contract cannot tell what kind of tree a root is"

    network.orchestrator.tick()
    assert phase_of(network) is Phase.AGGREGATE, "an honest aggregator finds no result"
    network._transactors[network.sponsor.address].send(
        "publish",
        (network.task_id, 1, Result(AGGREGATE_ROOT, MODEL_ROOT, revealed.updates_hash, 0)),
        value_wei=network.params.bond_wei,
        purpose="lie",
    )
    for participant in honest:
        participant.tick()

    for participant in honest:
        mismatch = participant.memory.mismatch
        assert mismatch is not None
        assert "kind must be UPDATE; found MODEL" in mismatch.why
        assert not mismatch.provable
        facts = participant._facts(network.chain.at(network.chain.head()))
        assert isinstance(decide(facts), Wait)
    snapshot = network.chain.at(network.chain.head())
    (verdict,) = Verifier(snapshot, network.task_id, network.blobs).check("1")
    assert verdict.verdict == "wrong"
    assert f"update of {liar.account.address}" in verdict.why


def phase_of(network: EmbeddedNetwork) -> Phase:
    state = network.round_state(1)
    return round_rules.phase(network.params, state, network.embedded.now())
