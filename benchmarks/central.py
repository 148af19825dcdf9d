"""How long, in how large steps, and by which averages, one model trains best on all quotes.

    python -m benchmarks.central --data DIR [--seeds 2] [--held-out NAME] [--budget NAME]

Who has all quotes may average too: models trained apart on shares of the days, from one round to
the next, or the versions of one model. Days unlike most are held out of training beside the
validation days: a stress window is to be priced well without being looked at, and neither the test
nor the stress window is here. One set of such days does not decide.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch

from benchmarks.field import Field
from node.learning.alone import central_recipe, versions
from node.learning.federation import chosen_rule, rounds
from node.learning.training import TrainingSettings
from node.learning.validation import rmse_vol_points, turbulent_days
from node.market.panel import AT_MONEY, LOWER, THIRTY_DAYS, Floats, Integers
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol.numbers import to_float
from protocol.task import Rule

DESKS: Final = 5
TURBULENT: Final = 12
"""Days of the largest moves; with the days beside them 31 of the recorded ones."""
FAR_SHARE: Final = 0.3
"""Of the days, those of the highest volatility, or of the steepest skew."""
KEPT: Final = 0.8
"""Of the average of the versions before, where versions are averaged."""


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

    @property
    def halves(self) -> tuple[Samples, Samples]:
        """The earlier and the later of the validation days."""
        earlier, later = shares_of(self.validation, 2, None)
        return earlier, later

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
    """Of the round that errs least on them."""
    crossed: float
    """Of each half of them, the round that errs least on the other: of many versions one is best
    on the same days by luck."""
    wild: float
    cpu_seconds: float


def shares_of(samples: Samples, count: int, seed: int | None) -> list[Samples]:
    """Samples by their days: equal blocks of consecutive days, or days drawn with a seed."""
    days, day = np.unique(days_of(samples), return_inverse=True)
    owners = np.arange(days.size) * count // days.size
    if seed is not None:
        owners = np.random.default_rng(seed).permutation(owners)
    return [samples.take(owners[day] == owner) for owner in range(count)]


@dataclass(frozen=True)
class Budget:
    """How a central model could be trained."""

    settings: TrainingSettings
    shares: int = 1
    """Of the days. In every round each trains apart, as a desk does, and the mean is taken."""
    blocks: bool = False
    """Shares of consecutive days, not of random ones."""
    kept: float = 0.0
    """What a version takes over of the average of those before it."""

    def versions(self, samples: Samples, seed: int) -> Iterator[Floats]:
        """What there is after every round. Shape: [d] each."""
        if self.shares > 1:
            parts = shares_of(samples, self.shares, None if self.blocks else seed)
            done = rounds(parts, self.settings, chosen_rule(Rule.MEAN, 0), seed=seed)
            found = (to_float(each.model, DEFAULT_SHIFT) for each in done)
        else:
            genesis = to_float(SMILE.genesis(seed), DEFAULT_SHIFT)
            found = versions(genesis, samples, self.settings, seed=seed)
        return accumulate(found, lambda mean, new: self.kept * mean + (1.0 - self.kept) * new)


def budgets(recipe: TrainingSettings) -> Mapping[str, Budget]:
    """What a central model could train with."""
    steps, batch, central = recipe.steps_per_round, recipe.batch_size, central_recipe(recipe)
    slower = replace(central, final_learning_rate=recipe.learning_rate / 4)
    fewer = replace(recipe, steps_per_round=3 * steps // 5)
    return {
        "one desk's": Budget(recipe),
        "all desks' steps": Budget(replace(recipe, steps_per_round=DESKS * steps)),
        "all desks' batches": Budget(replace(recipe, batch_size=DESKS * batch)),
        "twice the rounds, 3/2 of the steps": Budget(central),
        "its versions averaged": Budget(central, kept=KEPT),
        "steps that fall to a quarter": Budget(slower),
        "both": Budget(slower, kept=KEPT),
        "three shares of random days": Budget(recipe, shares=3),
        "three shares, blocks of days": Budget(recipe, shares=3, blocks=True),
        "five shares of random days": Budget(fewer, shares=5),
        "five shares, blocks of days": Budget(fewer, shares=5, blocks=True),
    }


def rows(
    name: str, days: Days, recipe: TrainingSettings, chosen: list[str], seeds: int
) -> Iterator[Row]:
    """Every budget with every seed, by the round that is best on the validation days."""
    for known, budget in budgets(recipe).items():
        for seed in range(seeds if known in chosen else 0):
            begun = time.process_time()
            found = list(budget.versions(days.calm, seed))
            seconds = time.process_time() - begun
            squares = squares_on(days.halves, found)
            best, whole = int(squares.sum(axis=1).argmin()), len(days.validation)
            yield Row(
                name,
                known,
                seed,
                validation=float(np.sqrt(squares[best].sum() / whole)),
                crossed=float(np.sqrt(crossed(squares) / whole)),
                wild=rmse_vol_points(SMILE, found[best], days.wild),
                cpu_seconds=seconds,
            )


def squares_on(halves: tuple[Samples, Samples], found: list[Floats]) -> Floats:
    """Every version's squared errors on each half, added up. Shape: [versions, 2]"""
    each = [[len(half) * rmse_vol_points(SMILE, v, half) ** 2 for half in halves] for v in found]
    return np.array(each)


def crossed(squares: Floats) -> float:
    """Added up over both halves, each by the version that is best on the other.

    Shape: squares [versions, 2]
    """
    chosen = squares.argmin(axis=0)[::-1]
    return float(np.take_along_axis(squares, chosen[None], axis=0).sum())


def table(found: list[Row]) -> str:
    """Markdown: mean and spread over seeds, of each set of held-out days; validation over all."""
    sets = list(dict.fromkeys(row.held_out for row in found))
    lines = [
        f"| budget | validation | crossed | {' | '.join(sets)} | CPU s |",
        "|---" * (len(sets) + 4) + "|",
    ]
    for budget in dict.fromkeys(row.budget for row in found):
        own = [row for row in found if row.budget == budget]
        errors = [[row.validation for row in own], [row.crossed for row in own]]
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
