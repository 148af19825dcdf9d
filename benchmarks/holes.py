"""What a panel with holes costs: who leaves the unknown out, and who has it completed beforehand.

    python -m benchmarks.holes --data DIR --seeds 3

Of every panel's fifteen volatilities some are hidden, or tenors as a whole, others for each
snapshot and coin, the same for every model. All quotes in one place, no penalty for arbitrage, no
anchors: both would show what is hidden. Errors are in vol points. With `--fit` it prints what
`node.market.completion` takes from the training days instead.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.field import Field
from benchmarks.models import prior_vol, train_network
from node.evaluation.metrics import measure
from node.learning.alone import unaided_recipe
from node.learning.training import TrainingSettings
from node.market.completion import FACTORS, WHOLE, completed
from node.market.panel import COLUMNS, TENOR_YEARS, Floats, Integers
from node.market.samples import Samples
from node.models.formulas import Pricer
from node.models.set_attention import SET_ATTENTION
from node.models.smile import SMILE

CASES: Final = {
    "whole": (WHOLE, False),
    "10 of 15": (10, False),
    "5 of 15": (5, False),
    "2 of 15": (2, False),
    "4 tenors": (4, True),
    "2 tenors": (2, True),
    "1 tenor": (1, True),
}
"""What is known of each panel: so many of its volatilities, or of its tenors, whole."""
LEAST: Final = 2
COPIES: Final = 4
"""Ways in which training sees each panel, with two to all of its volatilities known."""

Errors = dict[str, list[float]]
"""By window, for each of `CASES`."""


def holed(samples: Samples, case: str, seed: int) -> Samples:
    """The samples with just so much known of each panel."""
    known, whole_tenors = CASES[case]
    every = np.full(len(samples.surfaces), known)
    hidden = _hidden(samples.surfaces, every, seed, columns=1 if whole_tenors else COLUMNS)
    return replace(samples, surfaces=hidden)


def holed_for_training(samples: Samples, seed: int) -> Samples:
    """The samples, each on one of `COPIES` of its panel, with holes of their own."""
    rng = np.random.default_rng([seed, WHOLE])
    surfaces = np.concatenate([samples.surfaces] * COPIES)
    known = rng.integers(LEAST, WHOLE + 1, len(surfaces))
    copy = rng.integers(COPIES, size=len(samples)) * len(samples.surfaces)
    return replace(
        samples,
        surfaces=_hidden(surfaces, known, seed),
        surface_row=(samples.surface_row + copy).astype(np.int32),
    )


def without_holes(samples: Samples) -> Samples:
    """The samples with their panels completed."""
    return replace(samples, surfaces=completed(samples.surfaces))


def errors(field: Field, settings: TrainingSettings, seed: int) -> Mapping[str, Errors]:
    """Every contestant's, trained and chosen on panels with holes but where it says otherwise."""
    recipe = unaided_recipe(settings)
    trained = holed_for_training(field.pooled, seed)
    chosen = holed(field.validation, "5 of 15", seed)
    with_holes = replace(field, pooled=trained, validation=chosen)
    filled = replace(field, pooled=without_holes(trained), validation=without_holes(chosen))
    whole = train_network(field, SMILE, recipe, seed)
    smile = train_network(filled, SMILE, recipe, seed)
    attention = train_network(with_holes, SET_ATTENTION, recipe, seed)
    contestants: dict[str, Pricer] = {
        "prior, completed": lambda asked: prior_vol(without_holes(asked)),
        "smile of whole panels, completed": lambda asked: whole(without_holes(asked)),
        "smile, completed": lambda asked: smile(without_holes(asked)),
        "set_attention, as it is": attention,
    }
    return {
        name: {
            window: [measure(price(holed(held, case, seed)), held).rmse for case in CASES]
            for window, held in field.windows.items()
        }
        for name, price in contestants.items()
    }


def fit(samples: Samples) -> tuple[Floats, Floats, float]:
    """Mean, factors and noise of the logarithms of the samples' panels, each panel once.

    Shape: -> [3, 5], [5, 3, 5]
    """
    vols = samples.surfaces[np.unique(samples.surface_row)]
    logarithms = np.log(vols).reshape(len(vols), -1)
    variances, axes = np.linalg.eigh(np.cov(logarithms.T))
    count = len(FACTORS)
    factors = (axes * np.sqrt(variances)).T[::-1][:count]
    factors *= np.sign(factors.sum(axis=1))[:, None]
    shape = vols.shape[1:]
    noise = np.sqrt(variances[:-count].mean())
    return logarithms.mean(axis=0).reshape(shape), factors.reshape(count, *shape), float(noise)


def table(found: Sequence[Mapping[str, Errors]], window: str) -> str:
    """Mean and standard deviation over seeds in one window."""
    lines = [f"| {window} | " + " | ".join(CASES) + " |"]
    lines.append("|---" * (len(CASES) + 1) + "|")
    for name in found[0]:
        values = np.array([run[name][window] for run in found])
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(CASES))
        cells = [
            f"{mean:.3f} ± {off:.3f}" for mean, off in zip(values.mean(0), spread, strict=True)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _hidden(surfaces: Floats, known: Integers, seed: int, columns: int = COLUMNS) -> Floats:
    """Shape: surfaces [m, 3, 5], known [m] -> [m, 3, 5], NaN where hidden."""
    rng = np.random.default_rng(seed)
    places = np.arange(columns * TENOR_YEARS.size)
    order = rng.permuted(np.tile(places, (len(surfaces), 1)), axis=1)
    shown = (order < known[:, None]).reshape(len(surfaces), columns, -1)
    return np.where(shown, surfaces, np.nan)


def main() -> None:
    """Print a table for each window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=TrainingSettings().rounds)
    parser.add_argument("--steps", type=int, default=TrainingSettings().steps_per_round)
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = replace(TrainingSettings(), rounds=asked.rounds, steps_per_round=asked.steps)
    field = Field.cut(asked.data, "desks", 1, 0, anchored=False)
    if asked.fit:
        mean, factors, noise = fit(field.pooled)
        print(f"mean {mean.round(2)}\nfactors {factors.round(3)}\nnoise {noise:.3f}")
        return
    found = []
    for seed in range(asked.seeds):
        found.append(errors(field, settings, seed))
        print(f"seed {seed} done", flush=True)
    for window in field.windows:
        print(f"\n{table(found, window)}")


if __name__ == "__main__":
    main()
