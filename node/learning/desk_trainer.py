"""A desk as the network sees it: what its private samples do to a model, and think of others."""

from dataclasses import dataclass

import structlog

from node.learning.contribution import contribution_scores
from node.learning.look_ahead import starting_point
from node.learning.training import LocalTraining, TrainingOutcome, TrainingSettings, round_seed
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.smile import SMILE
from protocol.numbers import Int16Array, Int32Array

log = structlog.get_logger("node")


@dataclass
class DeskTrainer:
    """Trains a shared model on one desk's samples, under one seed."""

    samples: Samples
    settings: TrainingSettings
    seed: int = 0
    device: str = "cpu"
    held_out: Samples | None = None
    """What others' updates are judged by; where left out, the samples that are trained on."""
    architecture: Architecture = SMILE
    last: TrainingOutcome | None = None
    """The latest training, for reports; it holds losses and times, no quotes."""

    def __post_init__(self) -> None:
        self.spec_hash = self.architecture.spec.hash
        self._training = LocalTraining(self.samples, self.settings, self.architecture, self.device)

    @property
    def sample_count(self) -> int:
        """How many samples are trained on."""
        return len(self.samples)

    def train(self, model: Floats, round_number: int, before: Floats) -> Floats:
        """The model after one round of local training, if the last final one began at `before`.

        Shape: [d], [d] -> [d]
        """
        self.last = self._training.train(
            starting_point(model, before, self.settings, round_number),
            # The same bits again, so a node that lost its disk can still reveal.
            seed=round_seed(self.seed, round_number),
            round_number=round_number,
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

    def scores(
        self,
        base: Int32Array,
        updates: Int16Array,
        *,
        shift: int,
        own: int | None,
        newness: Floats | None = None,
    ) -> bytes:
        """What each update is worth to this desk, its own aside, from 0 to 255.

        Shape: base [d], updates [n, d], newness [n]. Raises: DataError.
        """
        held_out = self.samples if self.held_out is None else self.held_out
        return contribution_scores(
            base,
            updates,
            held_out,
            shift=shift,
            own=own,
            newness=newness,
            architecture=self.architecture,
        )
