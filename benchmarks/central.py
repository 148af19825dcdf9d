"""How long, and in how large steps, one model trains best on everybody's quotes.

    python -m benchmarks.central --data DIR [--seeds 2] [--held-out NAME] [--budget NAME]

Days unlike most are held out of training beside the validation days: a stress window is to be
priced well without being looked at, and neither the test nor the stress window is here. One set of
such days does not decide.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch

from benchmarks.field import Field
from node.learning.alone import central_recipe, train_alone
from node.learning.training import TrainingSettings
from node.learning.validation import rmse_vol_points, turbulent_days
from node.market.panel import AT_MONEY, LOWER, THIRTY_DAYS, Floats, Integers
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol.numbers import to_float

DESKS: Final = 5
TURBULENT: Final = 12
"""Days of the largest moves; with the days beside them 31 of the recorded ones."""
FAR_SHARE: Final = 0.3
"""Of the days, those of the highest volatility, or of the steepest skew."""


def days_of(samples: Samples) -> Integers:
    """Each sample's, counted from 1970."""
    return np.asarray(samples.snapshot // MICROSECONDS_PER_DAY)


def highest_days(samples: Samples) -> Integers:
    """The days of BTC's highest 30-day volatility."""
    return _farthest(samples, samples.atm_30d_vol)


def steepest_days(samples: Samples) -> Integers:
    """The days of BTC's steepest 30-day skew."""
    surface = samples.surfaces[samples.surface_row, :, THIRTY_DAYS]
    return _farthest(samples, surface[:, LOWER] / surface[:, AT_MONEY])


def _farthest(samples: Samples, what: Floats) -> Integers:
    day, found = days_of(samples)[samples.is_btc], what[samples.is_btc]
    days = np.unique(day)
    means = np.array([found[day == one].mean() for one in days])
    return np.asarray(days[means >= np.quantile(means, 1.0 - FAR_SHARE)])


HELD_OUT: Mapping[str, Callable[[Samples], Integers]] = MappingProxyType(
    {
        "turbulent": lambda samples: turbulent_days(samples, TURBULENT),
        "highest": highest_days,
        "steepest": steepest_days,
    }
)


@dataclass(frozen=True)
class Days:
    """What is trained on, and what each model is scored by."""

    calm: Samples
    validation: Samples
    wild: Samples

    @classmethod
    def of(cls, field: Field, held_out: Integers) -> "Days":
        """Hold out training days, with their anchors."""

        def is_wild(samples: Samples) -> np.ndarray:
            return np.isin(days_of(samples), held_out)

        known = Samples.join(field.pooled, field.anchors)
        return cls(
            calm=known.take(~is_wild(known)),
            validation=field.validation,
            wild=field.pooled.take(is_wild(field.pooled)),
        )


@dataclass(frozen=True)
class Row:
    """A budget with one seed. Errors are RMSE in vol points."""

    held_out: str
    budget: str
    seed: int
    validation: float
    wild: float
    cpu_seconds: float


def budgets(recipe: TrainingSettings) -> Mapping[str, TrainingSettings]:
    """What a central model could train with."""
    steps, batch = recipe.steps_per_round, recipe.batch_size
    return {
        "one desk's": recipe,
        "all desks' steps": replace(recipe, steps_per_round=DESKS * steps),
        "all desks' batches": replace(recipe, batch_size=DESKS * batch),
        "twice the rounds, 3/2 of the steps": central_recipe(recipe),
    }


def rows(
    name: str, days: Days, recipe: TrainingSettings, chosen: list[str], seeds: int
) -> Iterator[Row]:
    """Every budget with every seed, by the round that is best on the validation days."""
    for budget, settings in budgets(recipe).items():
        for seed in range(seeds if budget in chosen else 0):
            begun = time.process_time()
            vector = train_alone(
                to_float(SMILE.genesis(seed), DEFAULT_SHIFT),
                days.calm,
                settings,
                seed=seed,
                validation=days.validation,
            )
            seconds = time.process_time() - begun
            errors = (rmse_vol_points(SMILE, vector, w) for w in (days.validation, days.wild))
            yield Row(name, budget, seed, *errors, seconds)


def table(found: list[Row]) -> str:
    """Markdown: mean and spread over seeds, of each set of held-out days; validation over all."""
    sets = list(dict.fromkeys(row.held_out for row in found))
    lines = [
        f"| budget | validation | {' | '.join(sets)} | CPU s |",
        "|---" * (len(sets) + 3) + "|",
    ]
    for budget in dict.fromkeys(row.budget for row in found):
        own = [row for row in found if row.budget == budget]
        errors = [[row.validation for row in own]]
        errors += [[row.wild for row in own if row.held_out == name] for name in sets]
        cells = [f"{np.mean(these):.3f} ± {np.std(these):.3f}" for these in errors]
        seconds = np.mean([row.cpu_seconds for row in own])
        lines.append(f"| {budget} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = list(budgets(TrainingSettings()))
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--held-out", choices=HELD_OUT, action="append", help="default: all")
    parser.add_argument("--budget", choices=known, action="append", help="default: all")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    field = Field.cut(asked.data, "desks", DESKS, 0, anchored=False)
    found = []
    for name in asked.held_out or HELD_OUT:
        days = Days.of(field, HELD_OUT[name](field.pooled))
        print(f"{name}: {len(days.calm):,} samples, held out {len(days.wild):,} quotes", flush=True)
        for row in rows(name, days, TrainingSettings(), asked.budget or known, asked.seeds):
            print(row, flush=True)
            found.append(row)
    print(table(found))


if __name__ == "__main__":
    main()
