"""What each kind of model reaches when one machine sees all quotes, beside what needs no training.

Every installed architecture is trained as the central model is and kept at the round that is best
on the validation days; boosting sees the same inputs. Errors are in vol points.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.field import Field
from node.evaluation.metrics import Metrics, measure
from node.learning.alone import train_central
from node.learning.training import TrainingSettings
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import DEFAULT_SHIFT, Architecture
from node.models.boosting import train_boosting
from node.models.formulas import FORMULAS, Pricer, volatility_smile
from node.models.points import Points
from node.models.prior import Prior
from node.models.registry import installed
from protocol import numbers

WINDOWS: Final = ("validation", "test", "stress")
BOOSTING: Final = "boosting"


@dataclass(frozen=True)
class Run:
    """One model once."""

    model: str
    seed: int
    parameters: int
    cpu_seconds: float
    metrics: dict[str, Metrics]
    """By window."""


def runs(
    field: Field, models: Sequence[str], seeds: range, settings: TrainingSettings
) -> Iterator[Run]:
    """Formulas once, and each model with every seed."""
    untrained = {
        **FORMULAS,
        "quadratic in volatility": volatility_smile,
        "prior": prior_vol,
    }
    for name, price in untrained.items():
        yield Run(name, 0, 0, 0.0, measured(field, price))
    for name in models:
        for seed in seeds:
            if name == BOOSTING:
                yield _timed(field, name, seed, 0, partial(train_boosting, field.pooled, seed))
            else:
                known = installed()[name]
                train = partial(train_network, field, known, settings, seed)
                yield _timed(field, name, seed, known.spec.dimension, train)


def train_network(
    field: Field, architecture: Architecture, settings: TrainingSettings, seed: int
) -> Pricer:
    """The round that is best on the validation days."""
    vector = train_central(
        numbers.to_float(architecture.genesis(seed), DEFAULT_SHIFT),
        field.pooled,
        settings,
        validation=field.validation,
        seed=seed,
        architecture=architecture,
    )
    return partial(architecture.predict, vector)


def measured(field: Field, price: Pricer) -> dict[str, Metrics]:
    """Errors on all that nobody trains on, by window."""
    return {name: measure(price(window), window) for name, window in field.windows.items()}


def prior_vol(samples: Samples) -> Floats:
    """What every architecture says in round 0."""
    return np.asarray(Prior.of(Points.of(samples)).vol.numpy())


def _timed(field: Field, name: str, seed: int, parameters: int, train: Callable[[], Pricer]) -> Run:
    begun = time.process_time()
    price = train()
    seconds = time.process_time() - begun
    return Run(name, seed, parameters, round(seconds, 1), measured(field, price))


def table(found: Sequence[Run]) -> str:
    """Mean and spread over seeds: RMSE by window, MAE and share inside bid and ask on test."""
    lines = [
        "| model | parameters | validation | test | stress | MAE test | inside test | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(run.model for run in found):
        mine = [run for run in found if run.model == name]
        rmse = [_spread([run.metrics[window].rmse for run in mine]) for window in WINDOWS]
        mae = _spread([run.metrics["test"].mae for run in mine])
        inside = np.mean([run.metrics["test"].inside_spread for run in mine])
        seconds = np.mean([run.cpu_seconds for run in mine])
        cells = [*rmse, mae, f"{inside:.1%}", f"{seconds:.0f}"]
        lines.append(f"| {name} | {mine[0].parameters or ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = [*sorted(installed()), BOOSTING]
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--model", choices=known, action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=TrainingSettings().rounds)
    parser.add_argument("--steps", type=int, default=TrainingSettings().steps_per_round)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = replace(TrainingSettings(), rounds=asked.rounds, steps_per_round=asked.steps)
    field, found = Field.cut(asked.data, "desks", 1, 0, anchored=True), []
    for run in runs(field, asked.model or known, range(asked.seeds), settings):
        shown = " ".join(f"{name} {found.rmse:.3f}" for name, found in run.metrics.items())
        print(f"{run.model} {run.seed}: {shown}, {run.cpu_seconds:.1f} CPU s", flush=True)
        found.append(run)
    print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(run) for run in found], indent=1))


if __name__ == "__main__":
    main()
