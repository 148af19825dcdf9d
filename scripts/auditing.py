"""How much static arbitrage a task's models hold, on the panels of quotes that anybody has, and how
much its updates bring."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from node.evaluation.audit import LIMITS, PANELS, Audit, Limits, audit, evenly
from node.learning.contribution import ARBITRAGE_MARGIN, Judge
from node.market.panel import Floats, Panel
from node.market.pipeline import cleaned, panel_of
from node.market.samples import anchor_samples
from node.market.sources import folder_named, quotes_of
from node.models import registry
from node.models.architecture import Architecture
from protocol import numbers
from protocol.errors import ConfigError, DataError
from protocol.task import TaskParams

AUDITED_DAYS = 60
"""Of the made-up market, 120 panels a coin."""


@dataclass(frozen=True)
class Auditor:
    """Audits models and updates of one task."""

    architecture: Architecture
    panel: Panel
    shift: int
    limits: Limits

    def of_model(self, model: NDArray[np.int32]) -> Audit:
        """What a model holds. Shape: [d], in the task's units"""
        vector = numbers.to_float(model, self.shift)
        return audit(partial(self.architecture.predict, vector), self.panel)

    def of_updates(self, base: NDArray[np.int32], updates: NDArray[np.int16]) -> Floats:
        """By how much greater a share of points each update breaks a condition at than its base
        model: what a desk's scores ask, on the public panels instead of the desk's.

        Shape: base [d], updates [n, d] -> [n], NaN where the base model gives no volatilities.
        """
        public = anchor_samples(evenly(self.panel, PANELS))
        try:
            judge = Judge(public, numbers.to_float(base, self.shift), self.architecture)
        except DataError:
            return np.full(len(updates), np.nan)
        return judge.arbitrage(numbers.to_float(updates, self.shift))

    def beyond(self, found: Audit) -> tuple[str, ...]:
        """Why a model is not accepted; nothing where it is."""
        return found.beyond(self.limits)

    @staticmethod
    def is_worthless(more: float) -> bool:
        """Whether desks that score give an update nothing for bringing so much more."""
        return more > ARBITRAGE_MARGIN


def auditor_for(params: TaskParams, market_data: str, limits: Limits = LIMITS) -> Auditor:
    """Audits on the panels of a folder of quotes or of a made-up market.

    Raises: ConfigError if the task's architecture is not installed; DataError on faulty quotes.
    """
    architecture = registry.by_hash(params.model_spec_hash)
    panel = panel_of(cleaned(quotes_of(folder_named(market_data), days=AUDITED_DAYS)))
    return Auditor(architecture, panel, params.shift, limits)


def limits_of(changes: Sequence[str]) -> Limits:
    """The limits with some changed, each NAME=SHARE. Raises: ConfigError."""
    known, limits = [limit.name for limit in fields(Limits)], LIMITS
    for change in changes:
        name, _, share = change.partition("=")
        try:
            most = float(share)
        except ValueError:
            most = -1.0
        if name not in known or not 0.0 <= most <= 1.0:
            raise ConfigError(
                f"--limit: wanted NAME=SHARE with a share from 0 to 1 and a name out of"
                f" {', '.join(known)}; found {change}"
            )
        limits = replace(limits, **{name: most})
    return limits
