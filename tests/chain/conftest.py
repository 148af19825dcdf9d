"""One embedded chain and one anvil per session; every test leaves them as it found them."""

from collections.abc import Iterator

import pytest

from tests.chain.game import Game
from tests.chain.network import Network, anvil_network, embedded_network, restored


@pytest.fixture(scope="session")
def embedded_session() -> Network:
    return embedded_network()


@pytest.fixture(scope="session")
def anvil_session() -> Iterator[Network]:
    with anvil_network() as network:
        yield network


@pytest.fixture
def embedded(embedded_session: Network) -> Iterator[Network]:
    yield from restored(embedded_session)


@pytest.fixture
def anvil(anvil_session: Network) -> Iterator[Network]:
    yield from restored(anvil_session)


@pytest.fixture(params=["embedded", "anvil"])
def network(request: pytest.FixtureRequest) -> Network:
    """Each kind of chain in turn."""
    found: Network = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def game(network: Network) -> Game:
    """A task on each kind of chain in turn."""
    return Game(network)


@pytest.fixture
def embedded_game(embedded: Network) -> Game:
    return Game(embedded)
