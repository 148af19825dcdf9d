"""Judges published models for the orchestrator, which loads this by an entry point's name."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from node.evaluation.audit import audit
from node.evaluation.metrics import measure
from node.market.batches import Batch
from node.market.panel import Panel
from node.market.pipeline import cleaned, prepare
from node.market.samples import Samples
from node.market.sources import MADE_UP_DAYS, SYNTHETIC, folder_named, quotes_of
from node.market.split import split_for
from node.models.architecture import Architecture
from node.models.formulas import term_structure
from node.models.registry import by_name
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import ConfigError


class VolatilityEvaluator:
    """Scores a published model on held-out quotes, and audits it on their panels; the orchestrator
    loads it by name."""

    def __init__(self, samples: Samples, panel: Panel, architecture: Architecture = SMILE) -> None:
        self.samples = samples
        self.panel = panel.take(np.isin(panel.snapshot, samples.snapshot))
        self.architecture = architecture
        self.term_structure = measure(term_structure(samples), samples)

    @classmethod
    def from_settings(cls, settings: Mapping[str, object]) -> Self:
        """An evaluator of the `model` (its architecture's name) over the validation days of `data`
        (a folder of quotes), or of the made-up market of `seed` and `synthetic_days`.

        Raises: ConfigError on an unknown or ill-typed key.
        """
        prepared = prepare(cleaned(_chain(settings)))
        held_out = split_for(prepared.panel).validation(prepared.samples)
        return cls(held_out, prepared.panel, by_name(str(settings.get("model", SMILE.name))))

    def __call__(self, model_units: npt.NDArray[np.int32], shift: int) -> dict[str, float]:
        """Metrics of a model, beside the RMSE that the term structure alone would have;
        `arbitrage_beyond_limits` counts the rates that an audit does not accept."""
        price = partial(self.architecture.predict, numbers.to_float(model_units, shift))
        scored, audited = measure(price(self.samples), self.samples), audit(price, self.panel)
        measured = {f"validation_{name}": float(value) for name, value in asdict(scored).items()}
        return measured | {
            "validation_rmse_term_structure": self.term_structure.rmse,
            "arbitrage_calendar": audited.calendar,
            "arbitrage_butterfly": audited.butterfly,
            "arbitrage_wings": audited.wings,
            "arbitrage_wide_calendar": audited.wide_calendar,
            "arbitrage_wide_butterfly": audited.wide_butterfly,
            "arbitrage_beyond_limits": float(len(audited.beyond())),
        }


def _chain(settings: Mapping[str, object]) -> Iterable[Batch]:
    unknown = sorted(set(settings) - {"data", "model", "seed", "synthetic_days"})
    data, seed = settings.get("data", SYNTHETIC), settings.get("seed", 0)
    days = settings.get("synthetic_days", MADE_UP_DAYS)
    if unknown or not (isinstance(data, str | Path) and _whole(seed) and _whole(days)):
        raise ConfigError(
            f"evaluator settings: wanted data (a folder or {SYNTHETIC!r}), model (a name), seed and"
            f" synthetic_days (whole numbers), found {dict(settings)}"
        )
    return quotes_of(folder_named(data), seed=int(str(seed)), days=int(str(days)))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
