"""Ways to learn together side by side, and what each is worth to a desk.

    python -m benchmarks.learning --data DIR [--partition desks] [--seeds 1] [--json FILE]

Every method of `benchmarks.methods` takes `--rounds`; plain averaging also takes
`--plain-rounds`, and its last error on the validation days is what the others are to reach. Choose
on validation; test and stress are for the last look. `--what weeks` chooses on the training days
alone, by cross-validation.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch

from benchmarks.field import PARTITIONS, Anchors, Field
from benchmarks.methods import METHODS, Method, learn, settings_of
from node.evaluation.books import book
from node.evaluation.metrics import measure
from node.learning.alone import train_alone, train_central
from node.learning.cross_validation import cross_validated
from node.learning.federation import federate
from node.learning.personal import fit_head
from node.learning.training import TrainingSettings
from node.market.desks import Partition
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import DEFAULT_SHIFT, Architecture
from node.models.formulas import FORMULAS
from node.models.smile import SMILE
from protocol import numbers
from protocol.task import Rule

BYTES_A_VALUE: Final = 2
EVERY: Final = 7
"""Of the validation quotes, every seventh is priced after each round."""
RECIPE: Final = "recipe"
"""The method that the recipe's defaults are."""
KINDS: Final = ("methods", "anchors", "recipe", "weeks")
DECAYS: Final = (0.0, 0.01, 0.1)
"""Weight decays that are judged by weeks."""


@dataclass(frozen=True)
class Row:
    """One way to learn. Errors are RMSE in vol points."""

    partition: str
    seed: int
    name: str
    validation: tuple[float, ...]
    """After every round, or the last one's alone."""
    test: float
    stress: float
    own_test: tuple[float, ...]
    """On each desk's own part of the test, where it has one."""
    update_bytes: int = 0
    """Of one round's updates together."""
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Bench:
    """What every row of one partition and seed is measured with."""

    field: Field
    partition: str
    seed: int
    recipe: TrainingSettings

    def desks(self, anchors: Anchors = "panel") -> tuple[Samples, ...]:
        """What each desk trains on."""
        return self.field.anchored(anchors, self.seed)

    def row(
        self, name: str, vector: Floats, architecture: Architecture = SMILE, **known: object
    ) -> Row:
        """A model's errors."""
        return self.priced(name, partial(architecture.predict, vector), **known)

    def priced(self, name: str, price: Callable[[Samples], Floats], **known: object) -> Row:
        """A formula's errors."""

        def rmse(held: Samples) -> float:
            return round(measure(price(held), held).rmse, 4)

        found = {
            "validation": (rmse(self.some_validation()),),
            "test": rmse(self.field.held_out["test"]),
            "stress": rmse(self.field.held_out["stress"]),
            "own_test": tuple(rmse(held) for held in self.field.own_test),
        }
        row = Row(self.partition, self.seed, name, **(found | known))  # type: ignore[arg-type]
        print(f"  {line(row)}", flush=True)
        return row

    def some_validation(self) -> Samples:
        """Evenly spaced quotes of the validation days."""
        return self.field.validation.take(slice(None, None, EVERY))

    def federated(
        self,
        name: str,
        method: Method,
        *,
        rounds: int | None = None,
        rule: Rule = Rule.MEAN,
    ) -> tuple[Row, Floats]:
        """One run of a method."""
        begun = time.process_time()
        recipe = replace(self.recipe, rounds=rounds or self.recipe.rounds)
        tolerance = 0 if rule is Rule.MEAN else 1
        curve, size, vector = [], 0, np.zeros(0)
        held, desks = self.some_validation(), self.desks(method.anchors)
        for done in learn(method, desks, recipe, rule=rule, tolerance=tolerance, seed=self.seed):
            vector = numbers.to_float(done.model, DEFAULT_SHIFT)
            curve.append(round(measure(method.architecture.predict(vector, held), held).rmse, 4))
            size = done.updates.size * BYTES_A_VALUE
        seconds = round(time.process_time() - begun, 1)
        known = {"validation": tuple(curve), "update_bytes": size, "cpu_seconds": seconds}
        return self.row(name, vector, method.architecture, **known), vector

    def alone(self, anchors: Anchors) -> list[Floats]:
        """Every desk's own model, by its best round on the desk's book of the validation days."""
        genesis = numbers.to_float(SMILE.genesis(self.seed), DEFAULT_SHIFT)
        return [
            train_alone(
                genesis,
                desk,
                self.recipe,
                validation=self.later(number),
                seed=self.seed + number,
            )
            for number, desk in enumerate(self.desks(anchors))
        ]

    def later(self, desk: int) -> Samples:
        """What a desk stops by: its book on the validation days."""
        return book(self.field.desks[desk], self.field.validation)

    def central(self) -> Floats:
        """One model of all quotes, by its best round on validation."""
        return train_central(
            numbers.to_float(SMILE.genesis(self.seed), DEFAULT_SHIFT),
            Samples.join(self.field.pooled, self.field.anchors),
            self.recipe,
            validation=self.field.validation,
            seed=self.seed,
        )


def of_methods(bench: Bench, names: Sequence[str], plain_rounds: int) -> Iterator[Row]:
    """Plain averaging at full length, then every method."""
    yield bench.federated("fedavg, full", METHODS["fedavg"], rounds=plain_rounds)[0]
    for name in names:
        yield bench.federated(name, METHODS[name])[0]


def of_anchors(bench: Bench) -> Iterator[Row]:
    """The recipe on other public batches, and what each is worth to desks alone."""
    for anchors in get_args(Anchors):
        if anchors != "panel":
            method = replace(METHODS[RECIPE], anchors=anchors)
            yield bench.federated(f"{RECIPE}, anchors {anchors}", method)[0]
        for number, vector in enumerate(bench.alone(anchors)):
            yield bench.row(f"alone {number}, anchors {anchors}", vector)


def of_recipe(bench: Bench) -> Iterator[Row]:
    """The recipe beside all data in one place, desks alone, formulas, and a robust rule."""
    yield bench.priced("quadratic", FORMULAS["quadratic"])
    yield bench.row("central", bench.central())
    row, shared = bench.federated(RECIPE, METHODS[RECIPE])
    yield row
    yield bench.federated(f"{RECIPE}, trimmed mean", METHODS[RECIPE], rule=Rule.TRIMMED_MEAN)[0]
    on_both: tuple[Anchors, ...] = ("panel", "none")
    for anchors in on_both:
        for number, vector in enumerate(bench.alone(anchors)):
            yield bench.row(f"alone {number}, anchors {anchors}", vector)
    if bench.field.own_test:
        settings = settings_of(METHODS[RECIPE], bench.recipe)
        for number, own in enumerate(bench.field.desks):
            later = bench.later(number)
            head = fit_head(shared, own, later, settings, seed=bench.seed + number)
            yield bench.row(f"head {number}", head)


def of_weeks(bench: Bench, decays: Sequence[float], folds: int) -> Iterator[str]:
    """Markdown: settings judged on whole weeks of the training days, each held out once.

    Beside each one's error stands what it differs by from the first one's on the same weeks: some
    weeks are harder than others, for all alike.
    """
    found = cross_validated(
        bench.field.desks,
        bench.field.anchors,
        {f"weight decay {decay:g}": replace(bench.recipe, weight_decay=decay) for decay in decays},
        folds=folds,
        train=partial(federate, rule=Rule.MEAN, tolerance=0, seed=bench.seed),
    )
    first = np.array(next(iter(found.values())))
    yield f"| {folds} folds of weeks | RMSE: mean, spread | to the first: mean, spread |"
    yield "|---|---|---|"
    for name, errors in found.items():
        cells = (f"{np.mean(each):.3f} ± {np.std(each):.3f}" for each in (errors, errors - first))
        yield f"| {name} | {' | '.join(cells)} |"


def line(row: Row) -> str:
    """A row as a person reads it."""
    own = " ".join(f"{error:6.3f}" for error in row.own_test)
    return (
        f"{row.name:32}{row.validation[-1]:8.3f}{row.test:8.3f}{row.stress:8.3f}"
        f"{row.update_bytes * len(row.validation) / 1e6:8.2f} MB{row.cpu_seconds:6.0f} s  {own}"
    )


def reached(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: when each method first comes down to plain averaging's last validation error."""
    plain = next(row for row in rows if row.name == "fedavg, full")
    yield "| method | May | test | stress | worst desk | rounds to plain's error | MB to then |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        if not row.update_bytes:
            continue
        there = [n for n, e in enumerate(row.validation, 1) if e <= plain.validation[-1]]
        rounds = str(there[0]) if there else f"not in {len(row.validation)}"
        sent = f"{there[0] * row.update_bytes / 1e6:.2f}" if there else ""
        worst = f"{max(row.own_test):.3f}" if row.own_test else ""
        yield (
            f"| {row.name} | {row.validation[-1]:.3f} | {row.test:.3f} | {row.stress:.3f} |"
            f" {worst} | {rounds} | {sent} |"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--partition", choices=PARTITIONS, action="append")
    parser.add_argument("--what", choices=KINDS, action="append", help="default: methods, recipe")
    parser.add_argument("--method", choices=list(METHODS), action="append")
    parser.add_argument("--desks", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=TrainingSettings().rounds)
    parser.add_argument("--steps", type=int, default=TrainingSettings().steps_per_round)
    parser.add_argument("--plain-rounds", type=int, default=30)
    parser.add_argument("--decay", type=float, action="append", help="of --what weeks")
    parser.add_argument("--folds", type=int, default=4, help="of --what weeks")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def rows_of(bench: Bench, asked: argparse.Namespace) -> Iterator[Row]:
    """All that the command line asks for."""
    for what in asked.what or ("methods", "recipe"):
        if what == "methods":
            yield from of_methods(bench, asked.method or list(METHODS), asked.plain_rounds)
        elif what == "anchors":
            yield from of_anchors(bench)
        elif what == "recipe":
            yield from of_recipe(bench)
        else:
            print("\n".join(of_weeks(bench, asked.decay or DECAYS, asked.folds)), flush=True)


def main() -> None:
    """Measure, print and write."""
    asked = _arguments()
    torch.set_num_threads(1)
    recipe = replace(TrainingSettings(), rounds=asked.rounds, steps_per_round=asked.steps)
    found: list[Row] = []
    parts: list[Partition] = asked.partition or list(PARTITIONS)
    for how in parts:
        for seed in range(asked.seeds):
            print(f"{how}, seed {seed}: May, test, stress, sent, CPU, own parts", flush=True)
            field = Field.cut(asked.data, how, asked.desks, seed, anchored=False)
            rows = list(rows_of(Bench(field, how, seed, recipe), asked))
            found += rows
            if any(row.name == "fedavg, full" for row in rows):
                print("\n".join(reached(rows)), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in found], indent=1))


if __name__ == "__main__":
    main()
