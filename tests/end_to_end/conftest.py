"""Small networks with real desks: made-up quotes, few steps, everything else as in production.

Commands need no desks: they run against games, whose moves are made by hand.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from node.learning.desk_trainer import DeskTrainer
from node.learning.division import Market
from node.learning.training import TrainingSettings
from node.learning.update import FULL, Precision
from node.market.cleaning import clean
from node.market.synthetic import market
from scripts import command
from scripts.network import EmbeddedNetwork
from scripts.task_config import TaskConfig
from tests.chain.game import Game
from tests.chain.network import ANVIL, Network, anvil_network, embedded_network, restored

DESKS = 3
KEY_ENV = "VOLQUORUM_TEST_KEY"


@pytest.fixture(scope="session")
def desks() -> Market:
    return Market.of(clean(market(3, days=12)).quotes).divided("desks", DESKS, 3)


def network_of(
    desks: Market, folder: Path, *, precision: Precision = FULL, **task: object
) -> EmbeddedNetwork:
    """A network of three desks; keyword arguments change the task."""
    settings = TrainingSettings(rounds=2, steps_per_round=4, batch_size=64)
    trainers = [DeskTrainer(samples, settings, seed=7) for samples in desks.desks]
    config = TaskConfig.model_validate({"rounds": 2, "quorum": 2, "cohort": DESKS} | task)
    return EmbeddedNetwork(config, trainers, folder=folder, seed="test", precision=precision)


@pytest.fixture
def make_network(desks: Market, tmp_path: Path) -> Callable[..., EmbeddedNetwork]:
    """`network_of` these desks."""
    return partial(network_of, desks, tmp_path)


@pytest.fixture(scope="session")
def embedded_session() -> Network:
    return embedded_network()


@pytest.fixture(scope="session")
def anvil_session() -> Iterator[Network]:
    if not ANVIL.exists():
        pytest.skip(f"there is no {ANVIL}: `scripts/test` installs it")
    with anvil_network() as network:
        yield network


@pytest.fixture
def embedded(embedded_session: Network) -> Iterator[Network]:
    """An embedded chain, which every test leaves as it found it."""
    yield from restored(embedded_session)


@pytest.fixture
def anvil(anvil_session: Network) -> Iterator[Network]:
    """A real chain, which every test leaves as it found it."""
    yield from restored(anvil_session)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command on a game's task, with the key of one of its accounts unless it takes none."""

    def run(main: click.Command, game: Game, *arguments: str, account: int | None = None) -> Result:
        monkeypatch.setattr(command, "connect", lambda *_address: game.chain)
        options = ["--rpc", "embedded", "--task", "0x" + game.task_id.hex(), *arguments]
        if account is not None:
            monkeypatch.setenv(KEY_ENV, game.network.accounts[account].key.hex())
            options += ["--key-env", KEY_ENV]
        return CliRunner().invoke(main, options)

    return run
