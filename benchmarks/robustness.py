"""What liars cost on the real task: every attack against every rule, on held-out days.

    python -m benchmarks.robustness --data DIR [--partition desks] [--liars 1 2 3] [--json FILE]

The anchored recipe of `federated_recipe.py` with fewer, shorter rounds. Every cell is appended to
the JSON lines of `--json` as soon as it is there and found again by the next run.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch

from benchmarks.attacks import ATTACKS, Attack, View, back_door
from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.federated_recipe import Field, priced_by
from benchmarks.robustness_table import NOBODY, Cell, draw, printed
from node import smile
from node.desks import Partition
from node.features import Samples
from node.panel import Floats
from node.training import TrainingSettings, train_locally
from node.update import make_update, max_squared_norm
from protocol import numbers
from protocol.errors import DataError, RuleError
from protocol.numbers import Int16Array, Int32Array

PARTITIONS: tuple[Partition, ...] = get_args(Partition)
SHORT: Final = TrainingSettings(rounds=10, steps_per_round=50, batch_size=256)
"""One cell then takes seconds. Ten honest desks err by 1.46 vol points after it: near enough to
tell what an attack costs."""


class Desk:
    """One participant's training from round to round."""

    def __init__(
        self, samples: Samples, settings: TrainingSettings, number: int, seed: int
    ) -> None:
        self.samples, self.settings = samples, settings
        self.number, self.seed = number, seed
        self.residual: Floats | None = None

    def update(self, model: Int32Array, round_number: int) -> Int16Array:
        entropy = np.random.SeedSequence([self.seed, self.number, round_number])
        local = train_locally(
            numbers.to_float(model, smile.DEFAULT_SHIFT),
            self.samples,
            self.settings,
            seed=int(entropy.generate_state(1)[0]),
            round_number=round_number,
        )
        made = make_update(
            local.vector,
            model,
            np.zeros(model.size) if self.residual is None else self.residual,
            shift=smile.DEFAULT_SHIFT,
            max_norm=smile.DEFAULT_MAX_NORM,
        )
        self.residual = made.residual
        return made.values


def play(
    honest: list[Desk], liars: list[Desk], attack: Attack | None, rule: Contestant, cell: Cell
) -> Floats:
    """The model after the last round, with everybody's updates in one integer rule.

    Raises: DataError if the model left the finite numbers, RuleError if the rule takes no such
    numbers of updates and liars.
    """
    bound = max_squared_norm(smile.DEFAULT_MAX_NORM, smile.DEFAULT_SHIFT)
    model = smile.genesis(cell.seed, smile.DEFAULT_SHIFT)
    rng = np.random.default_rng([cell.seed, cell.liars])
    aggregate = np.zeros(model.size, dtype=np.int16)
    for number in range(1, cell.rounds + 1):
        updates = np.stack([desk.update(model, number) for desk in honest])
        if attack is not None:
            own = [desk.update(model, number) for desk in liars] if attack.poison else None
            view = View(updates, len(liars), bound, rng, None if own is None else np.stack(own))
            updates = np.vstack([updates, attack.craft(view)])
        aggregate = rule(updates, cell.liars, aggregate)
        model = numbers.add_update(model, aggregate)
    return numbers.to_float(model, smile.DEFAULT_SHIFT)


def run(field: Field, cell: Cell) -> Cell:
    """`cell` with its errors."""
    settings = replace(
        SHORT,
        rounds=cell.rounds,
        steps_per_round=cell.steps_per_round,
        batch_size=cell.batch_size,
    )
    # The liars of two are those of one and one more.
    order = np.random.default_rng(cell.seed).permutation(cell.desks).tolist()
    lying = set() if cell.attack == "honest" else set(order[: cell.liars])
    attack = ATTACKS.get(cell.attack)
    poison = attack.poison if attack else None
    honest, liars = [], []
    for number, samples in enumerate(field.desks):
        if number not in lying:
            honest.append(Desk(samples, settings, number, cell.seed))
        elif attack:
            poisoned = poison(samples) if poison else samples
            liars.append(Desk(poisoned, settings, number, cell.seed))
    try:
        price = priced_by(play(honest, liars, attack, CONTESTANTS[cell.rule], cell))
    except DataError:
        return cell
    test = field.held_out["test"]
    region = test.take(back_door(test))
    scored = field.score(price)
    off = float(np.mean(price(region) - region.target_vol)) * 100.0
    return replace(
        cell,
        test=_finite(scored["test"].rmse),
        stress=_finite(scored["stress"].rmse),
        back_door=_finite(off),
    )


def _finite(error: float) -> float | None:
    return round(error, 4) if math.isfinite(error) else None


def known_cells(file: Path | None) -> dict[Cell, Cell]:
    """What earlier runs left, by key."""
    if file is None or not file.exists():
        return {}
    cells = [Cell(**json.loads(line)) for line in file.read_text().splitlines()]
    return {cell.key: cell for cell in cells}


def wanted_cells(asked: argparse.Namespace) -> Iterator[Cell]:
    """Every cell that the command line asks for, the baselines first."""
    market = "made up" if asked.data is None else "recorded"
    attacks = [*NOBODY, *asked.attacks]
    for how, liars, attack, rule in product(asked.partition, asked.liars, attacks, asked.rules):
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
            seed=asked.seed,
            anchored=not asked.unanchored,
        )


def measured_cells(asked: argparse.Namespace) -> list[Cell]:
    """The wanted cells with their errors, from the file or from a run.

    Cells whose rule cannot be applied are left out.
    """
    known, fields, cells = known_cells(asked.json), {}, []
    for cell in wanted_cells(asked):
        if cell not in known:
            if cell.partition not in fields:
                fields[cell.partition] = Field.cut(
                    asked.data, cell.partition, cell.desks, cell.seed, anchored=cell.anchored
                )
            try:
                known[cell] = _timed(fields[cell.partition], cell)
            except RuleError as error:
                print(f"{cell.rule}, {cell.liars} liars, {cell.attack}: {error}", flush=True)
                continue
            if asked.json:
                with asked.json.open("a") as lines:
                    lines.write(json.dumps(asdict(known[cell])) + "\n")
        cells.append(known[cell])
    return cells


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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--partition", nargs="+", choices=PARTITIONS, default=["desks"])
    parser.add_argument("--desks", type=int, default=10)
    parser.add_argument("--liars", type=int, nargs="+", default=[2])
    parser.add_argument("--attacks", nargs="*", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--rules", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=SHORT.rounds)
    parser.add_argument("--steps", type=int, default=SHORT.steps_per_round)
    parser.add_argument("--batch", type=int, default=SHORT.batch_size)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unanchored", action="store_true", help="train without panel points")
    parser.add_argument("--json", type=Path, help="JSON lines, one a cell; resumed where present")
    parser.add_argument("--svg", type=Path, help="heat map of the first partition and liars")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, print a table for each partition and number of liars."""
    asked = _arguments()
    torch.set_num_threads(1)
    cells = measured_cells(asked)
    for how, liars in product(asked.partition, asked.liars):
        print(f"\n{how}, {liars} liars of {asked.desks}\n")
        some = [cell for cell in cells if cell.partition == how and cell.liars == liars]
        print(printed(some))
    if asked.svg:
        first = (asked.partition[0], asked.liars[0])
        draw([cell for cell in cells if (cell.partition, cell.liars) == first], asked.svg)


if __name__ == "__main__":
    main()
