"""Judges published models for the orchestrator, which loads this by an entry point's name."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from node.evaluation.metrics import measure
from node.market.cleaning import clean
from node.market.deribit_parquet import read_chains
from node.market.panel import build_panel
from node.market.samples import Samples, build_samples
from node.market.split import split_for
from node.market.synthetic import market
from node.models.architecture import Architecture
from node.models.formulas import term_structure
from node.models.registry import by_name
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import ConfigError


class VolatilityEvaluator:
    """Scores a published model on held-out quotes; the orchestrator loads it by name."""

    def __init__(self, samples: Samples, architecture: Architecture = SMILE) -> None:
        self.samples = samples
        self.architecture = architecture
        self.term_structure = measure(term_structure(samples), samples)

    @classmethod
    def from_settings(cls, settings: Mapping[str, object]) -> Self:
        """An evaluator of the `model` (its architecture's name) over the validation days of `data`
        (a folder of recorded chains), or of the made-up market of `seed` and `synthetic_days`.

        Raises: ConfigError on an unknown or ill-typed key.
        """
        quotes = clean(_chain(settings)).quotes
        panel = build_panel(quotes)
        held_out = split_for(panel).validation(build_samples(quotes, panel))
        return cls(held_out, by_name(str(settings.get("model", SMILE.name))))

    def __call__(self, model_units: npt.NDArray[np.int32], shift: int) -> dict[str, float]:
        """Metrics of a model, beside the RMSE that the term structure alone would have."""
        vector = numbers.to_float(model_units, shift)
        scored = measure(self.architecture.predict(vector, self.samples), self.samples)
        measured = {f"validation_{name}": float(value) for name, value in asdict(scored).items()}
        return measured | {"validation_rmse_term_structure": self.term_structure.rmse}


def _chain(settings: Mapping[str, object]) -> pl.DataFrame:
    unknown = sorted(set(settings) - {"data", "model", "seed", "synthetic_days"})
    data, seed = settings.get("data", "synthetic"), settings.get("seed", 0)
    days = settings.get("synthetic_days", 90)
    if unknown or not (isinstance(data, str | Path) and _whole(seed) and _whole(days)):
        raise ConfigError(
            "evaluator settings: wanted data (a folder or 'synthetic'), model (a name), seed and"
            f" synthetic_days (whole numbers), found {dict(settings)}"
        )
    if str(data) != "synthetic":
        return read_chains(Path(data))
    return market(int(str(seed)), days=int(str(days)))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
