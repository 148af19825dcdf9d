"""Small networks with real desks: made-up quotes, few steps, everything else as in production."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.cleaning import clean
from node.desk_trainer import DeskTrainer
from node.synthetic import market
from node.training import TrainingSettings
from scripts.comparison import Market
from scripts.network import EmbeddedNetwork
from scripts.task_config import TaskConfig

DESKS = 3


@pytest.fixture(scope="session")
def desks() -> Market:
    return Market.of(clean(market(3, days=12)).quotes, "desks", DESKS, 3)


@pytest.fixture
def make_network(desks: Market, tmp_path: Path) -> Callable[..., EmbeddedNetwork]:
    """A network of three desks; keyword arguments change the task."""

    def make(**task: object) -> EmbeddedNetwork:
        settings = TrainingSettings(rounds=2, steps_per_round=4, batch_size=64)
        trainers = [DeskTrainer(samples, settings, seed=7) for samples in desks.desks]
        config = TaskConfig.model_validate({"rounds": 2, "quorum": 2, "cohort": DESKS} | task)
        return EmbeddedNetwork(config, trainers, folder=tmp_path, seed="test")

    return make
