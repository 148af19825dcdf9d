"""With more seats than a round takes, whoever is drawn serves and the others wait."""

from collections.abc import Callable

import pytest

from node.tick import Mandate
from protocol.draw import is_drawn
from protocol.state import Phase
from protocol.task import ZERO_HASH
from scripts.network import EmbeddedNetwork
from tests.end_to_end.test_faults import run_until, seat_all

pytestmark = pytest.mark.chain

Make = Callable[..., EmbeddedNetwork]
DELAY_BLOCKS = 2
ROUNDS = 3


def drawing(make_network: Make) -> EmbeddedNetwork:
    """Three desks of whom each round takes two."""
    network = make_network(
        cohort=2,
        seats=3,
        drawn=2,
        quorum=1,
        seed_delay_blocks=DELAY_BLOCKS,
        selection_seconds=60,
        rounds=ROUNDS,
    )
    seat_all(network)
    return network


def pass_blocks(network: EmbeddedNetwork) -> None:
    """What other users of a chain do to it, until a round's seed can be known."""
    for _ in range(DELAY_BLOCKS + 1):
        network.embedded.travel(network.embedded.now() + 1)


def drawn_in(network: EmbeddedNetwork, number: int) -> set[str]:
    task = network.chain.at(network.chain.head()).task_state(network.task_id)
    assert task.round == number
    assert task.draw != ZERO_HASH
    everybody = {each.account.address for each in network.participants}
    return {address for address in everybody if is_drawn(task.draw, address)}


@pytest.mark.parametrize("driver", ["orchestrator", "participant"])
def test_whoever_drives_draws_and_only_those_drawn_commit(make_network: Make, driver: str) -> None:
    network = drawing(make_network)
    run_until(network, 1, Phase.SELECTION)
    if driver == "participant":
        network.ticks.pop(0)
        network.participants[0].mandate = Mandate(drives=True, publishes=True)

    for number in range(1, ROUNDS + 1):
        run_until(network, number, Phase.SELECTION)
        pass_blocks(network)
        run_until(network, number, Phase.REVEAL)
        drawn = drawn_in(network, number)
        snapshot = network.chain.at(network.chain.head())
        assert set(snapshot.committed(network.task_id, number)) == drawn
        run_until(network, number, Phase.FINAL, Phase.VOID)
        assert network.round_state(number).revealed == min(2, len(drawn))
    assert all(each.memory.mismatch is None for each in network.participants)


def test_round_that_nobody_draws_is_void_and_costs_nobody(make_network: Make) -> None:
    network = drawing(make_network)
    run_until(network, 1, Phase.COMMIT)

    waiting = network.participants[0].tick()
    assert waiting.why == "the seats of round 1 are not drawn yet"
    run_until(network, 1, Phase.VOID)

    snapshot = network.chain.at(network.chain.head())
    for participant in network.participants:
        seat = snapshot.seat(network.task_id, participant.account.address)
        assert (seat.missed, seat.stake_wei) == (0, network.params.stake_wei)
