"""Models of a finished task are audited by a node that adopts them and by whoever verifies them."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from node.acceptance import Acceptance
from node.learning.contribution import ARBITRAGE_MARGIN
from node.learning.division import Market
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.smile import SMILE
from protocol.blobs import DirectoryStore
from scripts.auditing import Auditor, limits_of
from scripts.network import EmbeddedNetwork
from scripts.verify_round import Verifier
from tests.end_to_end.conftest import network_of

pytestmark = pytest.mark.chain

FALLING = SimpleNamespace(predict=lambda _, samples: samples.atm_30d_vol / samples.years)
"""Prices whose total variance falls with time, whatever the model is."""


def watched(
    network: EmbeddedNetwork, desk: int, architecture: Architecture, samples: Samples
) -> Acceptance:
    """Have a desk of a network look at what it adopts."""
    participant = network.participants[desk]
    kept = participant.stores.public
    participant.acceptance = Acceptance(architecture, samples, network.params, kept)
    return participant.acceptance


@pytest.fixture(scope="module")
def finished(desks: Market, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedNetwork:
    """A network of three desks; the first sees models as they are, the second all bent."""
    network = network_of(desks, tmp_path_factory.mktemp("network"))
    for desk, architecture in enumerate((SMILE, FALLING)):
        watched(network, desk, architecture, desks.desks[desk])
    assert [record.phase for record in network.rounds()] == ["final", "final"]
    return network


@pytest.fixture
def auditor(desks: Market, finished: EmbeddedNetwork) -> Auditor:
    return Auditor(SMILE, desks.panel.take(np.arange(6)), finished.params.shift, limits_of(()))


def check(finished: EmbeddedNetwork, auditor: Auditor, blobs: DirectoryStore):
    snapshot = finished.chain.at(finished.chain.head())
    return Verifier(snapshot, finished.task_id, blobs, auditor).check("all")


def test_node_looks_at_what_it_adopts_and_goes_on_whatever_it_finds(finished):
    first, second, third = finished.participants
    beyond = second.acceptance.beyond
    for participant in (first, second):
        assert participant.memory.verified_round == 2
        assert participant.acceptance.latest is not None
    assert first.tick().why == third.tick().why
    assert second.tick().why.endswith(f"the model holds arbitrage: {', '.join(beyond)}")
    assert "calendar 100.000%, accepted up to 0.500%" in beyond


def test_each_update_of_a_round_is_held_against_its_base_model(finished, auditor):
    for verdict in check(finished, auditor, finished.blobs):
        assert verdict.verdict == "verified"
        assert verdict.beyond_limits == ()
        everybody = [participant.account.address for participant in finished.participants]
        assert sorted(update.participant for update in verdict.brought) == sorted(everybody)
        for update in verdict.brought:
            assert update.more is not None
            assert abs(update.more) < ARBITRAGE_MARGIN
            assert not update.is_worthless


class Counting(DirectoryStore):
    """Counts what it is asked for."""

    def __init__(self, path):
        super().__init__(path)
        self.asked = Counter()

    def _read(self, root):
        self.asked[root] += 1
        return super()._read(root)


def test_each_update_is_fetched_once_to_verify_and_audit_a_round(finished, auditor):
    blobs = Counting(finished.blobs.path)
    verdicts = check(finished, auditor, blobs)
    assert all(verdict.verdict == "verified" and verdict.brought for verdict in verdicts)
    snapshot = finished.chain.at(finished.chain.head())
    for number in (1, 2):
        for update in snapshot.included(finished.task_id, number):
            assert blobs.asked[update.update_root] == 1


def test_update_that_nobody_serves_any_more_is_not_judged(finished, auditor, tmp_path):
    snapshot, some = finished.chain.at(finished.chain.head()), DirectoryStore(tmp_path)
    params = finished.params
    lost, *others = snapshot.included(finished.task_id, 1)
    for root in (params.genesis_model_root, *(update.update_root for update in others)):
        some.put(
            finished.blobs.get_bytes(root, chunk_length=params.chunk_length),
            chunk_length=params.chunk_length,
        )
    first, _ = check(finished, auditor, some)
    assert (first.verdict, first.arbitrage) == ("unavailable", None)
    judged = {update.participant: update.more for update in first.brought}
    assert judged.pop(lost.participant) is None
    assert None not in judged.values()


def test_update_that_bends_the_surface_is_named(finished, auditor):
    base = SMILE.genesis(0, finished.params.shift)
    rng = np.random.default_rng(1)
    rough = rng.integers(-6000, 6000, (2, base.size)).astype(np.int16) * np.array(
        [[1], [0]], dtype=np.int16
    )
    bent, nothing = auditor.of_updates(base, rough)
    assert bent > ARBITRAGE_MARGIN
    assert nothing == 0.0
    assert (auditor.is_worthless(bent), auditor.is_worthless(nothing)) == (True, False)


def test_base_model_without_volatilities_leaves_updates_unjudged(auditor):
    base = np.full(SMILE.spec.dimension, 2**31 - 1, dtype=np.int32)
    updates = np.zeros((2, base.size), dtype=np.int16)
    assert np.isnan(auditor.of_updates(base, updates)).all()
