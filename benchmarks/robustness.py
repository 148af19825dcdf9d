"""What liars cost on the real task: every attack against every rule, on held-out days.

    python -m benchmarks.robustness --data DIR [--partition desks] [--liars 1 2 3] [--json FILE]

The recipe with fewer, shorter rounds. Every cell is appended to the JSON lines of `--json` as soon
as it is there and found again by the next run. Errors are printed by partition and number of liars,
below a summary; several seeds are also held together.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch

from benchmarks.attacks import ATTACKS, Attack, View, back_door
from benchmarks.contestants import CONTESTANTS, REFEREES
from benchmarks.field import PARTITIONS, Anchors, Field, priced_by
from benchmarks.results_file import resumed
from benchmarks.robustness_map import draw
from benchmarks.robustness_table import (
    NOBODY,
    Cell,
    Recipe,
    summary,
    table_of_draws,
    table_of_errors,
    tables,
)
from node.evaluation.metrics import measure
from node.learning.federation import Desk
from node.learning.training import LocalTraining, TrainingSettings
from node.learning.update import max_squared_norm
from node.market.desks import Partition
from node.market.panel import Floats
from node.models.architecture import DEFAULT_MAX_NORM, DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import DataError, RuleError

RULES: Final = [*CONTESTANTS, *REFEREES]
SHORT: Final = TrainingSettings(rounds=10, steps_per_round=50, batch_size=256)
"""One cell then takes seconds. Ten honest desks err by 1.46 vol points after it: near enough to
tell what an attack costs."""


@dataclass(frozen=True)
class Cast:
    """Who takes part in a cell."""

    honest: list[Desk]
    liars: list[Desk]
    anchors: Desk
    """The public points, for rules that hold updates against a trusted one."""


def play(cast: Cast, attacks: Sequence[Attack], cell: Cell) -> Floats:
    """The model after the last round, with everybody's updates in one integer rule.

    Where there are two attacks, the second is that of the second half of the rounds.

    Raises: DataError if the model left the finite numbers, RuleError if the rule takes no such
    numbers of updates and liars.
    """
    bound = max_squared_norm(DEFAULT_MAX_NORM, DEFAULT_SHIFT)
    model = before = SMILE.genesis(cell.seed, DEFAULT_SHIFT)
    rng = np.random.default_rng([cell.seed, cell.liars])
    aggregate = np.zeros(model.size, dtype=np.int16)
    for number in range(1, cell.rounds + 1):
        updates = np.stack([desk.update(model, number, before) for desk in cast.honest])
        if attacks:
            attack = attacks[0 if number <= cell.rounds / 2 else -1]
            own = (
                [desk.update(model, number, before) for desk in cast.liars]
                if attack.poison
                else None
            )
            stacked = None if own is None else np.stack(own)
            view = View(updates, len(cast.liars), bound, rng, stacked)
            updates = np.vstack([updates, attack.craft(view)])
        if cell.rule in REFEREES:
            aggregate = REFEREES[cell.rule](updates, cast.anchors.update(model, number, before))
        else:
            aggregate = CONTESTANTS[cell.rule](updates, cell.liars, aggregate)
        before, model = model, numbers.add_update(model, aggregate)
    return numbers.to_float(model, DEFAULT_SHIFT)


@lru_cache(maxsize=16)
def prepared(field: Field, number: int, settings: TrainingSettings) -> LocalTraining:
    """An honest desk's training, with what it works out once kept from cell to cell."""
    return LocalTraining(field.desks[number], settings)


def run(field: Field, cell: Cell) -> Cell:
    """`cell` with its errors."""
    lasting = replace(
        SHORT,
        rounds=cell.rounds,
        steps_per_round=cell.steps_per_round,
        batch_size=cell.batch_size,
    )
    by_recipe: dict[Recipe, TrainingSettings] = {
        "task's": lasting.tolerating(cell.liars, cell.desks),
        "trusting": lasting,
        "wary": lasting.plain(),
    }
    settings = by_recipe[cell.recipe]
    # The liars of two are those of one and one more.
    order = np.random.default_rng(cell.seed).permutation(cell.desks).tolist()
    lying = set() if cell.attack == "honest" else set(order[: cell.liars])
    attacks = [ATTACKS[name] for name in (cell.attack, cell.then) if name in ATTACKS]
    poison = next((attack.poison for attack in attacks if attack.poison), None)
    honest, liars = [], []
    for number, samples in enumerate(field.desks):
        if number not in lying:
            desk = Desk(samples, settings, number, cell.seed)
            desk.training = prepared(field, number, settings)
            honest.append(desk)
        elif attacks:
            poisoned = poison(samples) if poison else samples
            liars.append(Desk(poisoned, settings, number, cell.seed))
    # Anchors train as one desk more, with randomness of their own.
    cast = Cast(honest, liars, Desk(field.anchors, settings, cell.desks, cell.seed))
    try:
        price = priced_by(play(cast, attacks, cell))
    except DataError:
        return cell
    test = field.held_out["test"]
    region = test.take(back_door(test))
    scored = field.score(price)
    off = float(np.mean(price(region) - region.target_vol)) * 100.0
    return replace(
        cell,
        validation=_finite(measure(price(field.validation), field.validation).rmse),
        test=_finite(scored["test"].rmse),
        stress=_finite(scored["stress"].rmse),
        back_door=_finite(off),
    )


def _finite(error: float) -> float | None:
    return round(error, 4) if math.isfinite(error) else None


def wanted_cells(asked: argparse.Namespace) -> Iterator[Cell]:
    """Every cell that the command line asks for, by setting and seed, the baselines first."""
    market = "made up" if asked.data is None else "recorded"
    attacks = [*NOBODY, *asked.attacks]
    for how, seed, liars, attack, rule in product(
        asked.partition, asked.seed, asked.liars, attacks, asked.rules
    ):
        yield Cell(
            market=market,
            partition=how,
            desks=asked.desks,
            liars=liars,
            attack=attack,
            rule=rule,
            rounds=asked.rounds,
            steps_per_round=asked.steps,
            batch_size=asked.batch,
            seed=seed,
            anchors=asked.anchors,
            recipe=asked.recipe,
            then="" if attack in NOBODY else asked.then,
        )


def refusal(cell: Cell) -> str | None:
    """Why the cell's rule cannot be applied to as many updates; None if it can."""
    if cell.rule in REFEREES:
        return None
    updates = cell.desks - cell.liars if cell.attack == "absent" else cell.desks
    nothing = np.zeros((updates, 1), dtype=np.int16)
    try:
        CONTESTANTS[cell.rule](nothing, cell.liars, nothing[0])
    except RuleError as error:
        return str(error)
    return None


def measured_cells(asked: argparse.Namespace) -> list[Cell]:
    """The wanted cells with their errors, from the file or from a run.

    Cells whose rule cannot be applied are left out.
    """

    @lru_cache(maxsize=1)
    def field_of(how: Partition, seed: int) -> Field:
        field = Field.cut(asked.data, how, asked.desks, seed, anchored=False)
        return replace(field, desks=field.anchored(asked.anchors, seed))

    found = resumed(
        asked.json,
        (cell for cell in wanted_cells(asked) if not refusal(cell)),
        lambda cell: _timed(field_of(cell.partition, cell.seed), cell),
        read=lambda told: Cell(**told),
        key=lambda cell: cell.key,
    )
    return list(found.values())


def _timed(field: Field, cell: Cell) -> Cell:
    begun = time.process_time()
    found = run(field, cell)
    print(
        f"{cell.partition} {cell.liars} {cell.attack:24}{cell.rule:32}"
        f"{found.test or math.nan:8.3f}{found.stress or math.nan:8.3f}"
        f"{time.process_time() - begun:6.1f} CPU s",
        flush=True,
    )
    return found


def report(asked: argparse.Namespace, cells: list[Cell]) -> Iterator[str]:
    """Markdown: the summary, what is missing from it and why, and every table."""
    found = tables(cells)
    yield summary(found)
    refused = [(c.rule, c.liars, refusal(c)) for c in wanted_cells(asked) if c.attack == "honest"]
    for rule, liars, why in dict.fromkeys(refused):
        if why:
            yield f"{rule}, liars {liars}: {why}"
    for (how, liars), draws in found.items():
        for seed, table in zip(asked.seed, draws, strict=True):
            yield f"### {how}, {liars} of {asked.desks}, seed {seed}\n\n{table_of_errors(table)}"
        if len(draws) > 1:
            yield f"### {how}, {liars} of {asked.desks}, all seeds\n\n{table_of_draws(draws)}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--partition", nargs="+", choices=PARTITIONS, default=["desks"])
    parser.add_argument("--desks", type=int, default=10)
    parser.add_argument("--liars", type=int, nargs="+", default=[2])
    parser.add_argument("--attacks", nargs="*", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--rounds", type=int, default=SHORT.rounds)
    parser.add_argument("--steps", type=int, default=SHORT.steps_per_round)
    parser.add_argument("--batch", type=int, default=SHORT.batch_size)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--recipe",
        choices=get_args(Recipe),
        default="task's",
        help="train as in a task that tolerates as many liars, nobody, or many",
    )
    parser.add_argument(
        "--then",
        choices=list(ATTACKS),
        default="",
        help="what the liars send after the half of the rounds instead",
    )
    parser.add_argument(
        "--anchors",
        choices=get_args(Anchors),
        default="panel",
        help="public points that desks train on beside their quotes",
    )
    parser.add_argument("--json", type=Path, help="JSON lines, one a cell; resumed where present")
    parser.add_argument("--svg", type=Path, help="folder for a heat map of each table, first seed")
    return parser.parse_args()


def main() -> None:
    """Run what is missing; print and draw all that was asked for."""
    asked = _arguments()
    torch.set_num_threads(1)
    cells = measured_cells(asked)
    for part in report(asked, cells):
        print(f"\n{part}")
    if asked.svg:
        for (how, liars), (first, *_) in tables(cells).items():
            draw(first, asked.svg / f"robustness-{how}-{liars}.svg")


if __name__ == "__main__":
    main()
