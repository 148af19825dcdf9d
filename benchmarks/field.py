"""What benchmarks train on and score by: a market's desks, and the days that none trains on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from node.evaluation.metrics import Metrics, measure
from node.learning.anchors import synthetic_anchors
from node.learning.division import Market
from node.market.desks import Partition, partition
from node.market.panel import Floats
from node.market.pipeline import cleaned_chain
from node.market.samples import Samples, build_samples
from node.market.sources import quotes_of
from node.models.formulas import Pricer
from node.models.smile import SMILE

PARTITIONS: tuple[Partition, ...] = get_args(Partition)
LASTING: Final = ("desks", "moneyness")
"""Partitions by what is quoted, not by when or by chance."""
Anchors = Literal["none", "panel", "synthetic", "both"]
"""What desks train on beside their quotes: the panel's points, points drawn from a seed."""


@dataclass(frozen=True, eq=False)
class Field:
    """Everybody's training samples and the held-out days. Told apart by being another one."""

    desks: tuple[Samples, ...]
    anchors: Samples
    """The public panel's own points, which anybody can train on."""
    pooled: Samples
    validation: Samples
    held_out: dict[str, Samples]
    own_test: tuple[Samples, ...] = ()
    """Test quotes of each desk's own part, where quotes have a part whatever day they are of."""

    @classmethod
    def cut(
        cls, data: Path | None, how: Partition, desks: int, seed: int, *, anchored: bool
    ) -> "Field":
        """A folder's market, or without one the made-up market of the same seed, divided."""
        chain = cleaned_chain(quotes_of(data, seed=seed))
        undivided = Market.of(chain)
        market = undivided.divided(how, desks, seed)
        parts = partition(chain, how, desks, seed) if how in LASTING else []
        return cls(
            desks=market.desks if anchored else market.own,
            anchors=market.anchors,
            pooled=market.pooled if anchored else undivided.own[0],
            validation=market.validation,
            held_out={"test": market.test, "stress": market.stress},
            own_test=tuple(market.split.test(build_samples(part, market.panel)) for part in parts),
        )

    @property
    def windows(self) -> dict[str, Samples]:
        """What nobody trains on, by name: the days to choose by, and those held out."""
        return {"validation": self.validation, **self.held_out}

    def anchored(self, anchors: Anchors, seed: int) -> tuple[Samples, ...]:
        """The desks' samples, if they have no anchors yet, with public ones of a kind."""
        public = {
            "none": [],
            "panel": [self.anchors],
            "synthetic": [synthetic_anchors(seed)],
            "both": [self.anchors, synthetic_anchors(seed)],
        }[anchors]
        return tuple(Samples.join(own, *public) for own in self.desks)

    def score(self, price: Pricer) -> dict[str, Metrics]:
        """Errors on what is held out, by name."""
        return {name: measure(price(held), held) for name, held in self.held_out.items()}


def priced_by(vector: Floats) -> Pricer:
    """The smile network with these parameters. Shape: vector [d]"""
    return lambda samples: SMILE.predict(vector, samples)
