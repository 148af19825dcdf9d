"""How many rounds a task must have for its model to be nearly that of all data in one place.

    python -m benchmarks.horizon --data DIR [--partition desks] [--seeds 3] [--json FILE]

The recipe, plain averaging of the same network, and plain averaging of the plain network by desks
that have nothing public: what one would build first. A task of another length is another run: its
step sizes fall from its own first round to its own last. The least is found by halving, so lengths
beyond the one found are taken to do as well; all that were run are printed. Every run is appended
to the JSON lines of `--json` and found again by the next call, which may want other errors.
"""

import argparse
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.field import PARTITIONS, Field
from benchmarks.learning import RECIPE, Bench, Row
from benchmarks.methods import METHODS
from benchmarks.results_file import resumed
from benchmarks.results_goals import GOALS, TOGETHER_TO_CENTRAL
from node.learning.training import TrainingSettings
from node.market.desks import Partition

HORIZONS: Final = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)
"""Rounds of a task."""
PLAIN: Final = "fedavg"
PLAIN_NETWORK: Final = "plain_network"
CONTESTANTS: Final = (PLAIN_NETWORK, PLAIN, RECIPE)
CENTRAL: Final = "central"
DESKS: Final = 5

Key = tuple[Partition, int, str, int]
"""A run: partition, seed, method, rounds."""
Errors = tuple[float, float]
"""On the test and in stress."""


class Runs:
    """Runs of several seeds, from the file or made now."""

    def __init__(
        self, bench: Callable[[Partition, int], Bench], seeds: int, file: Path | None = None
    ) -> None:
        """`bench` is of a partition and a seed."""
        self._bench, self._seeds, self._file = bench, seeds, file
        self._known: dict[Key, Row] = {}

    def of(self, how: Partition, name: str, rounds: int) -> list[Row]:
        """A method's, one a seed."""
        return [self._row((how, seed, name, rounds)) for seed in range(self._seeds)]

    def central(self) -> list[Row]:
        """Of all data in one place, however they are divided otherwise."""
        return self.of(PARTITIONS[0], CENTRAL, 1)

    def lengths(self, how: Partition, name: str) -> list[int]:
        """Those that were asked for."""
        return sorted({key[3] for key in self._known if (key[0], key[2]) == (how, name)})

    def _row(self, key: Key) -> Row:
        if key not in self._known:
            self._known |= resumed(self._file, [key], self._run, read=_row, key=_key)
        return self._known[key]

    def _run(self, key: Key) -> Row:
        how, seed, name, rounds = key
        bench = self._bench(how, seed)
        if name == CENTRAL:
            return bench.row(CENTRAL, bench.central())
        return bench.federated(name, METHODS[name], rounds=rounds)[0]


def _row(told: Mapping[str, Any]) -> Row:
    return Row(**{name: tuple(v) if isinstance(v, list) else v for name, v in told.items()})


def _key(row: Row) -> Key:
    return row.partition, row.seed, row.name, len(row.validation)


def errors(rows: Sequence[Row]) -> Errors:
    """Means over seeds."""
    return float(np.mean([row.test for row in rows])), float(np.mean([row.stress for row in rows]))


def wanted(how: Partition, central: Errors) -> Errors:
    """The errors that the goals allow on a partition."""
    limits = {
        goal.window: goal.limit
        for goal in GOALS
        if goal.said == TOGETHER_TO_CENTRAL and how in goal.partitions
    }
    return limits["test"] * central[0], limits["stress"] * central[1]


def least(runs: Runs, how: Partition, name: str, allowed: Errors) -> int | None:
    """The fewest rounds whose last model errs by no more; none where the longest does."""

    def is_near(rounds: int) -> bool:
        test, stress = errors(runs.of(how, name, rounds))
        return test <= allowed[0] and stress <= allowed[1]

    place = bisect_left(HORIZONS, True, key=is_near)
    return HORIZONS[place] if place < len(HORIZONS) else None


def table(runs: Runs, partitions: Sequence[Partition]) -> Iterator[str]:
    """Markdown: by partition the errors wanted, and what each method takes to reach them."""
    yield "| partition | wanted: test, stress | plain network | plain | recipe | shares of both |"
    yield "|---|---|---|---|---|---|"
    for how in partitions:
        allowed = wanted(how, errors(runs.central()))
        found = {name: least(runs, how, name, allowed) for name in CONTESTANTS}
        cells = [_reached(runs, how, name, rounds) for name, rounds in found.items()]
        shares = [_share(found[RECIPE], found[name]) for name in CONTESTANTS if name != RECIPE]
        yield f"| {how} | {_pair(allowed)} | {' | '.join(cells)} | {', '.join(shares)} |"


def _share(recipe: int | None, other: int | None) -> str:
    below = "" if other else "below "
    return f"{below}{recipe / (other or HORIZONS[-1]):.0%}" if recipe else "-"


def _reached(runs: Runs, how: Partition, name: str, rounds: int | None) -> str:
    rows = runs.of(how, name, rounds or HORIZONS[-1])
    if rounds is None:
        return f"not in {HORIZONS[-1]}: {_pair(errors(rows))}"
    sent = rounds * rows[0].update_bytes / 1e6
    return f"{rounds} rounds, {sent:.2f} MB: {_pair(errors(rows))}"


def _pair(found: Errors) -> str:
    return f"{found[0]:.3f}, {found[1]:.3f}"


def curves(runs: Runs, partitions: Sequence[Partition]) -> Iterator[str]:
    """Markdown: errors by length, of all lengths that were run."""
    yield f"| rounds | {' | '.join(map(str, HORIZONS))} |"
    yield "|---" * (len(HORIZONS) + 1) + "|"
    for how in partitions:
        for name in CONTESTANTS:
            run = runs.lengths(how, name)
            cells = [_pair(errors(runs.of(how, name, n))) if n in run else "" for n in HORIZONS]
            yield f"| {how}, {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--partition", choices=PARTITIONS, action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="JSON lines, one a run; resumed where present")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    partitions: list[Partition] = asked.partition or list(PARTITIONS)

    @lru_cache(maxsize=asked.seeds)
    def bench(how: Partition, seed: int) -> Bench:
        field = Field.cut(asked.data, how, DESKS, seed, anchored=False)
        return Bench(field, how, seed, TrainingSettings())

    runs = Runs(bench, asked.seeds, asked.json)
    test, stress = errors(runs.central())
    print(f"all data in one place: {test:.3f}, {stress:.3f}", flush=True)
    for lines in (table, curves):
        print("\n".join(lines(runs, partitions)), flush=True)


if __name__ == "__main__":
    main()
