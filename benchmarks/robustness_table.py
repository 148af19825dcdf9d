"""The cells of the robustness tables, and the tables as Markdown.

A loss is an RMSE over that of the plain mean with everybody honest, less one: same desks, same
training, same seed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean
from typing import Final, Literal

from benchmarks.field import Anchors
from node.market.desks import Partition

NOBODY: Final = {"honest": "all desks honest", "absent": "the liars' desks stay away"}
"""What attacks are held against."""
REFERENCE: Final = ("honest", "mean")
"""The cell that losses are counted from."""
STRETCHES: Final = ("test", "stress")
LIMIT: Final = 0.1
"""What liars may cost under a rule that is worth choosing; greater losses are set in bold."""

Recipe = Literal["task's", "trusting", "wary"]

Setting = tuple[Partition, int]
"""Who trains on what, and how many lie."""


@dataclass(frozen=True)
class Cell:
    """One run; everything before the errors says which one it is."""

    market: str
    partition: Partition
    desks: int
    liars: int
    attack: str
    rule: str
    rounds: int
    steps_per_round: int
    batch_size: int
    seed: int
    anchors: Anchors = "panel"
    """Public points that desks train on beside their quotes."""
    recipe: Recipe = "task's"
    """How desks train: as in a task that tolerates so many liars, or as in one that tolerates
    nobody or many, whoever lies."""
    then: str = ""
    """What the liars send after the half of the rounds, where that is another attack."""
    validation: float | None = None
    """RMSE in vol points, on the days that choices are made by; none where the model left the
    finite numbers, as below."""
    test: float | None = None
    stress: float | None = None
    back_door: float | None = None
    """Mean error on the back door's region of the test, in vol points."""

    @property
    def key(self) -> "Cell":
        return replace(self, validation=None, test=None, stress=None, back_door=None)


class Table:
    """The cells of one setting and one seed."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = {(cell.attack, cell.rule): cell for cell in cells}
        self.attacks = list(dict.fromkeys(cell.attack for cell in cells))
        self.rules = list(dict.fromkeys(cell.rule for cell in cells))

    def error(self, attack: str, rule: str, stretch: str) -> float:
        """RMSE in vol points; infinite where training diverged, not a number where not run."""
        cell = self.cells.get((attack, rule))
        if cell is None:
            return math.nan
        found: float | None = getattr(cell, stretch)
        return math.inf if found is None else found

    def worst(self, rule: str, stretch: str) -> float:
        """Over all attacks that were run."""
        errors = (self.error(lie, rule, stretch) for lie in self.attacks if lie not in NOBODY)
        return max((error for error in errors if not math.isnan(error)), default=math.nan)

    def loss(self, attack: str, rule: str, stretch: str) -> float:
        return self.error(attack, rule, stretch) / self.error(*REFERENCE, stretch) - 1.0

    def worst_loss(self, rule: str, stretch: str) -> float:
        return self.worst(rule, stretch) / self.error(*REFERENCE, stretch) - 1.0

    def worst_loss_to_itself(self, rule: str, stretch: str) -> float:
        """The same against this rule with everybody honest: what the liars cost, not the rule."""
        return self.worst(rule, stretch) / self.error("honest", rule, stretch) - 1.0


def tables(cells: Sequence[Cell]) -> dict[Setting, list[Table]]:
    """A table of each seed by setting, both in the order of the cells."""

    def whose(cell: Cell) -> tuple[Partition, int, int]:
        return cell.partition, cell.liars, cell.seed

    found: dict[Setting, list[Table]] = {}
    for (how, liars, _), some in groupby(cells, whose):
        found.setdefault((how, liars), []).append(Table(list(some)))
    return found


def summary(draws: Mapping[Setting, Sequence[Table]]) -> str:
    """Markdown: each rule's worst loss by setting, over all attacks and seeds."""
    everything = [table for some in draws.values() for table in some]
    rules = list(dict.fromkeys(rule for table in everything for rule in table.rules))
    lines = _head("rule", [f"{how}, {liars}" for how, liars in draws])
    for rule in rules:
        cells = []
        for some in draws.values():
            losses = [_worst(table.worst_loss(rule, s) for table in some) for s in STRETCHES]
            cells.append(_pair([_percent(loss) for loss in losses]))
        lines.append(_row(_words(rule), cells))
    return "\n".join(lines)


def table_of_errors(table: Table) -> str:
    """Markdown: test, stress; a rule's worst is bold. Below them what that costs."""
    lines = _head("attack", [_words(rule) for rule in table.rules])
    for attack in table.attacks:
        lines.append(_row(_attack(attack), [_errors(table, attack, rule) for rule in table.rules]))
    losses = {
        "worst, against the honest mean": table.worst_loss,
        "worst, against the same rule without liars": table.worst_loss_to_itself,
    }
    for name, loss in losses.items():
        cells = [_pair([_percent(loss(rule, s)) for s in STRETCHES]) for rule in table.rules]
        lines.append(_row(name, cells))
    if "back_door" in table.attacks:
        lines += ["", *_on_back_door(table)]
    return "\n".join(lines)


def table_of_draws(draws: Sequence[Table]) -> str:
    """Markdown: the worst loss over the seeds on test, stress, and in brackets the mean one."""
    first = draws[0]
    lines = _head("attack", [_words(rule) for rule in first.rules])

    def cell(losses: Sequence[Sequence[float]]) -> str:
        worst = _pair([_percent(_worst(some)) for some in losses])
        return f"{worst} ({_pair([_share(fmean(some)) for some in losses])})"

    for attack in first.attacks:
        found = [
            cell([[table.loss(attack, rule, s) for table in draws] for s in STRETCHES])
            for rule in first.rules
        ]
        lines.append(_row(_attack(attack), found))
    worst = [
        cell([[table.worst_loss(rule, s) for table in draws] for s in STRETCHES])
        for rule in first.rules
    ]
    lines.append(_row("worst attack of a draw", worst))
    return "\n".join(lines)


def shown(error: float) -> str:
    """An error in vol points to three places; a dash where there is none."""
    if math.isnan(error):
        return "-"
    if math.isinf(error) or error > 1e4:
        return "diverged"
    return f"{error:.{3 if error < 100 else 0}f}"


def _on_back_door(table: Table) -> Iterator[str]:
    yield from _head("mean error on the back door's region", [_words(r) for r in table.rules])
    for attack in ("honest", "back_door"):
        off = [table.error(attack, rule, "back_door") for rule in table.rules]
        yield _row(_attack(attack), [f"{e:+.2f}" if math.isfinite(e) else shown(e) for e in off])


def _head(first: str, columns: Sequence[str]) -> list[str]:
    return [_row(first, columns), "|---|" + "---|" * len(columns)]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _attack(name: str) -> str:
    return NOBODY.get(name, _words(name))


def _errors(table: Table, attack: str, rule: str) -> str:
    pair = []
    for stretch in STRETCHES:
        error = table.error(attack, rule, stretch)
        worst = attack not in NOBODY and error == table.worst(rule, stretch)
        pair.append(f"**{shown(error)}**" if worst else shown(error))
    return _pair(pair)


def _pair(cells: Sequence[str]) -> str:
    """Test, stress; one dash where neither was measured."""
    return "-" if set(cells) == {"-"} else ", ".join(cells)


def _worst(losses: Iterator[float] | Sequence[float]) -> float:
    return max((loss for loss in losses if not math.isnan(loss)), default=math.nan)


def _percent(share: float) -> str:
    return f"**{_share(share)}**" if share > LIMIT else _share(share)


def _share(share: float) -> str:
    if math.isnan(share):
        return "-"
    return f"{share:+.0%}" if share < 100 else "destroyed"
