"""How long, and in how large steps, one model trains best on everybody's quotes.

    python -m benchmarks.central --data DIR [--seeds 2] [--days 12] [--budget NAME]

The days of the largest moves are held out of training beside the validation days: a stress window
is to be priced well without being looked at, and neither the test nor the stress window is here.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.field import Field
from node.learning.alone import train_central
from node.learning.training import TrainingSettings
from node.learning.validation import rmse_vol_points, turbulent_days
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol.numbers import to_float

DESKS: Final = 5


@dataclass(frozen=True)
class Days:
    """What is trained on, and what each model is scored by."""

    calm: Samples
    validation: Samples
    turbulent: Samples

    @classmethod
    def of(cls, field: Field, count: int) -> "Days":
        """Hold out so many training days of large moves, with their neighbours and anchors."""
        wild = turbulent_days(field.pooled, count)

        def is_wild(samples: Samples) -> np.ndarray:
            return np.isin(samples.snapshot // MICROSECONDS_PER_DAY, wild)

        known = Samples.join(field.pooled, field.anchors)
        return cls(
            calm=known.take(~is_wild(known)),
            validation=field.validation,
            turbulent=field.pooled.take(is_wild(field.pooled)),
        )


@dataclass(frozen=True)
class Row:
    """A budget with one seed. Errors are RMSE in vol points."""

    budget: str
    seed: int
    validation: float
    turbulent: float
    cpu_seconds: float


def budgets(recipe: TrainingSettings) -> Mapping[str, tuple[TrainingSettings, int]]:
    """What a central model could train with: settings, and how many desks' batches a step sees."""
    steps, rounds = recipe.steps_per_round, recipe.rounds
    return {
        "one desk's": (recipe, 1),
        "all desks' steps": (replace(recipe, steps_per_round=DESKS * steps), 1),
        "all desks' batches": (recipe, DESKS),
        "all desks' batches, half the steps": (replace(recipe, steps_per_round=steps // 2), DESKS),
        "all desks' batches, twice the steps": (replace(recipe, steps_per_round=2 * steps), DESKS),
        "twice the rounds, 3/2 of the steps": (
            replace(recipe, rounds=2 * rounds, steps_per_round=3 * steps // 2),
            1,
        ),
    }


def rows(days: Days, recipe: TrainingSettings, chosen: list[str], seeds: int) -> Iterator[Row]:
    """Every budget with every seed, by the round that is best on the validation days."""
    for name, (settings, batches) in budgets(recipe).items():
        for seed in range(seeds if name in chosen else 0):
            begun = time.process_time()
            vector = train_central(
                to_float(SMILE.genesis(seed), DEFAULT_SHIFT),
                days.calm,
                settings,
                participants=batches,
                validation=days.validation,
                seed=seed,
            )
            seconds = time.process_time() - begun
            errors = (rmse_vol_points(SMILE, vector, w) for w in (days.validation, days.turbulent))
            yield Row(name, seed, *errors, seconds)


def table(found: list[Row]) -> str:
    """Markdown: mean and spread over seeds."""
    lines = ["| budget | validation | turbulent days | CPU s |", "|---|---|---|---|"]
    for name in dict.fromkeys(row.budget for row in found):
        own = [row for row in found if row.budget == name]
        cells = [
            f"{np.mean(errors):.3f} ± {np.std(errors):.3f}"
            for errors in ([row.validation for row in own], [row.turbulent for row in own])
        ]
        seconds = np.mean([row.cpu_seconds for row in own])
        lines.append(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = list(budgets(TrainingSettings()))
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--days", type=int, default=12, help="of the largest moves, held out")
    parser.add_argument("--budget", choices=known, action="append", help="default: all")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    field = Field.cut(asked.data, "desks", DESKS, 0, anchored=False)
    days = Days.of(field, asked.days)
    print(f"{len(days.calm):,} samples; held out {len(days.turbulent):,} quotes", flush=True)
    found = []
    for row in rows(days, TrainingSettings(), asked.budget or known, asked.seeds):
        print(row, flush=True)
        found.append(row)
    print(table(found))


if __name__ == "__main__":
    main()
