"""A desk as the network sees it: private samples, and what training on them does to a model."""

from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from node import smile
from node.features import Samples
from node.training import TrainingOutcome, TrainingSettings, round_seed, train_locally

log = structlog.get_logger("node")


@dataclass
class DeskTrainer:
    """Trains the smile network on one desk's samples, under one seed."""

    samples: Samples
    settings: TrainingSettings
    seed: int = 0
    device: str = "cpu"
    last: TrainingOutcome | None = None
    """The latest training, for reports; it holds losses and times, no quotes."""

    def __post_init__(self) -> None:
        self.spec_hash = smile.spec().hash

    def train(self, model: NDArray[np.float64], round_number: int) -> NDArray[np.float64]:
        """The model after one round of local training. Shape: [d] -> [d]"""
        self.last = train_locally(
            model,
            self.samples,
            self.settings,
            # The same bits again, so a node that lost its disk can still reveal.
            seed=round_seed(self.seed, round_number),
            round_number=round_number,
            device=self.device,
        )
        log.info(
            "trained",
            round=round_number,
            loss_before=round(self.last.loss_before, 4),
            loss_after=round(self.last.loss_after, 4),
            samples=self.last.samples,
            seconds=round(self.last.seconds, 2),
        )
        return self.last.vector
