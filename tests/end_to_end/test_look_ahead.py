"""Desks of a network start ahead along the last final round's move, and everybody verifies it."""

import numpy as np
import pytest

from node.learning.division import Market
from protocol.numbers import to_float
from scripts.network import EmbeddedNetwork
from tests.end_to_end.conftest import DESKS, network_of

pytestmark = pytest.mark.chain

ROUNDS = 3


@pytest.fixture(scope="module")
def network(desks: Market, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedNetwork:
    """A task whose three rounds are over."""
    network = network_of(desks, tmp_path_factory.mktemp("ahead"), rounds=ROUNDS)
    assert [record.phase for record in network.rounds()] == ["final"] * ROUNDS
    assert network.failures == []
    return network


def revealed(network: EmbeddedNetwork, number: int, address: str) -> np.ndarray:
    """What a participant revealed in a round, as real numbers."""
    snapshot = network.chain.at(network.chain.head())
    reveals = snapshot.included(network.task_id, number)
    root = next(each.update_root for each in reveals if each.participant == address)
    return to_float(vector(network, root), network.params.shift)


def vector(network: EmbeddedNetwork, root: bytes) -> np.ndarray:
    params = network.params
    return network.blobs.get(root, chunk_length=params.chunk_length, shift=params.shift).values


def base(network: EmbeddedNetwork, number: int) -> np.ndarray:
    snapshot = network.chain.at(network.chain.head())
    found = vector(network, snapshot.base_model_root(network.task_id, number))
    return to_float(found, network.params.shift)


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("desk", range(DESKS))
def test_update_is_trained_from_the_common_start(network, number, desk):
    participant = network.participants[desk]
    trainer = participant._trainer
    model, before = base(network, number), base(network, number - 1)
    sent = revealed(network, number, participant.account.address)
    # What rounding leaves out is carried from round to round: below a unit each.
    units = 2.0 * 2.0**-network.params.shift
    np.testing.assert_allclose(trainer.train(model, number, before) - model, sent, atol=units)
    assert np.abs(trainer.train(model, number, model) - model - sent).max() > units


def test_last_final_round_is_found_from_the_chain(network):
    snapshot = network.chain.at(network.chain.head())
    found = [snapshot.last_final_round(network.task_id, before) for before in range(1, ROUNDS + 2)]
    assert found == [0, 1, 2, 3]


def test_everybody_verified_every_round(network):
    assert network.wind_up().verified_by == DESKS
