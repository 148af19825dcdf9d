"""How much static arbitrage a task's models hold, on the panels of quotes that anybody has."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from node.evaluation.audit import Audit, audit
from node.market.panel import Panel
from node.market.pipeline import cleaned, panel_of
from node.market.sources import folder_named, quotes_of
from node.models import registry
from protocol import numbers
from protocol.task import TaskParams

AUDITED_DAYS = 60
"""Of the made-up market, 120 panels a coin."""


def auditor_for(params: TaskParams, market_data: str) -> Callable[[NDArray[np.int32]], Audit]:
    """Audits models of a task on the panels of a folder of quotes or of a made-up market.

    Raises: ConfigError if the task's architecture is not installed; DataError on faulty quotes.
    """
    architecture, panel = registry.by_hash(params.model_spec_hash), _panel(market_data)

    def audited(model: NDArray[np.int32]) -> Audit:
        vector = numbers.to_float(model, params.shift)
        return audit(partial(architecture.predict, vector), panel)

    return audited


def _panel(market_data: str) -> Panel:
    return panel_of(cleaned(quotes_of(folder_named(market_data), days=AUDITED_DAYS)))
