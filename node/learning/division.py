"""A market divided among desks, and the days that none of them trains on."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import polars as pl

from node.market.desks import Partition, partition
from node.market.panel import Panel, build_panel
from node.market.samples import Samples, build_samples
from node.market.split import Split, split_for
from node.models.prior import prior_anchors
from protocol.errors import DataError


@dataclass(frozen=True)
class Market:
    """A cleaned chain: who has what of its early days, and what of it is held out."""

    split: Split
    panel: Panel
    early: pl.DataFrame
    """The quotes that may be trained on, of which each desk gets a part."""
    own: tuple[Samples, ...]
    """Each desk's private samples."""
    anchors: Samples
    """The public panel's own points on those days, which every desk trains on too."""
    pooled: Samples
    """All desks' samples and the anchors together; nobody has them in reality."""
    validation: Samples
    test: Samples
    stress: Samples

    @classmethod
    def of(cls, chain: pl.DataFrame, split: Split | None = None) -> Self:
        """Cleaned quotes, all of them one desk's; by default split at the times of `split_for`.

        Raises: DataError if there is nothing to train on, or a window is empty.
        """
        panel = build_panel(chain)
        split = split_for(panel) if split is None else split
        samples = build_samples(chain, panel)
        early = split.training_quotes(chain)
        if early.is_empty():
            raise DataError("no quotes are left to train on: end training later, or give more data")
        own, anchors = split.train(samples), split.train(prior_anchors(panel))
        market = cls(
            split=split,
            panel=panel,
            early=early,
            own=(own,),
            anchors=anchors,
            pooled=Samples.join(own, anchors),
            validation=split.validation(samples),
            test=split.test(samples),
            stress=split.stress(samples),
        )
        for name, window in market.windows.items():
            if len(window) == 0:
                raise DataError(
                    f"the {name} window has no quotes: give data over a longer time, or other dates"
                )
        return market

    def divided(self, how: Partition, desks: int, seed: int) -> Self:
        """The same market with its early quotes in other hands.

        Raises: ConfigError, DataError as `partition`.
        """
        parts = partition(self.early, how, desks, seed)
        return replace(self, own=tuple(build_samples(part, self.panel) for part in parts))

    @property
    def windows(self) -> dict[str, Samples]:
        """What is held out, by name."""
        return {"validation": self.validation, "test": self.test, "stress": self.stress}

    @cached_property
    def desks(self) -> tuple[Samples, ...]:
        """What each desk trains on: its own samples and the public anchors."""
        return tuple(Samples.join(own, self.anchors) for own in self.own)
