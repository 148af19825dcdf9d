"""The cells of the robustness table, as Markdown and as a heat map."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from matplotlib import colormaps
from matplotlib.colors import to_hex

from node.desks import Partition

NOBODY: Final = {"honest": "all desks honest", "absent": "the liars' desks stay away"}
"""What attacks are held against."""
REFERENCE: Final = ("honest", "mean")
"""The cell that losses are counted from."""
BRIGHTEST: Final = 2.0
"""Errors beyond this multiple of the reference look alike."""
LEFT, TOP, WIDTH, HEIGHT = 180, 72, 72, 24
"""Of the heat map's names and tiles, in pixels."""


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
    anchored: bool = True
    """Whether desks also train on the public panel's points."""
    test: float | None = None
    """RMSE in vol points; none where the model left the finite numbers."""
    stress: float | None = None
    back_door: float | None = None
    """Mean error on the back door's region of the test, in vol points."""

    @property
    def key(self) -> "Cell":
        return replace(self, test=None, stress=None, back_door=None)


class Table:
    """The cells of one partition and number of liars."""

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
        errors = [self.error(attack, rule, stretch) for attack in self.attacks]
        lies = zip(self.attacks, errors, strict=True)
        return max(
            (e for attack, e in lies if attack not in NOBODY and not math.isnan(e)),
            default=math.nan,
        )

    def loss(self, rule: str, stretch: str) -> float:
        """The worst attack's RMSE over that of the honest plain mean, less one."""
        return self.worst(rule, stretch) / self.error(*REFERENCE, stretch) - 1.0


def printed(cells: Sequence[Cell]) -> str:
    """Markdown: test, stress after the comma; below them the worst attack and what it costs."""
    return "\n".join(_lines(Table(cells)))


def _lines(table: Table) -> Iterator[str]:
    def row(name: str, shown: Sequence[str]) -> str:
        return f"| {name} | {' | '.join(shown)} |"

    yield row("attack", [rule.replace("_", " ") for rule in table.rules])
    yield "|---|" + "---|" * len(table.rules)
    for attack in table.attacks:
        pairs = [_pair(table, attack, rule) for rule in table.rules]
        yield row(NOBODY.get(attack, attack.replace("_", " ")), pairs)
    worst = [
        f"{_shown(table.worst(r, 'test'))}, {_shown(table.worst(r, 'stress'))}" for r in table.rules
    ]
    yield row("**worst attack**", worst)
    losses = [
        f"{_percent(table.loss(r, 'test'))}, {_percent(table.loss(r, 'stress'))}"
        for r in table.rules
    ]
    yield row("**against the honest mean**", losses)
    if "back_door" in table.attacks:
        yield ""
        yield row("mean error on the back door's region", table.rules)
        yield "|---|" + "---|" * len(table.rules)
        for attack in ("honest", "back_door"):
            off = [table.error(attack, rule, "back_door") for rule in table.rules]
            yield row(NOBODY.get(attack, "back door"), [f"{error:+.2f}" for error in off])


def draw(cells: Sequence[Cell], path: Path) -> None:
    """A heat map of the test errors as SVG, the same bytes from the same cells."""
    path.write_text("\n".join(_shapes(Table(cells))) + "\n", encoding="utf-8")


def _shapes(table: Table) -> Iterator[str]:
    width = LEFT + WIDTH * len(table.rules)
    height = TOP + HEIGHT * len(table.attacks)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11" text-anchor="middle">'
    )
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    for column, rule in enumerate(table.rules):
        for line, word in enumerate(rule.split("_")):
            yield _text(LEFT + (column + 0.5) * WIDTH, 16 + 14 * line, word)
    for row, attack in enumerate(table.attacks):
        y = TOP + row * HEIGHT
        name = NOBODY.get(attack, attack.replace("_", " "))
        yield _text(LEFT - 8, y + 16, name, ' text-anchor="end"')
        for column, rule in enumerate(table.rules):
            yield from _tile(table, attack, rule, LEFT + column * WIDTH, y)
    yield "</svg>"


def _tile(table: Table, attack: str, rule: str, x: int, y: int) -> Iterator[str]:
    error = table.error(attack, rule, "test")
    least = table.error(*REFERENCE, "test")
    multiple = 1.0 if math.isnan(error) else min(max(error / least, 1.0), BRIGHTEST)
    shade = math.log(multiple) / math.log(BRIGHTEST)
    fill = to_hex(colormaps["cividis"](shade))
    yield f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="{fill}"/>'
    ink = "black" if shade > 0.5 else "white"
    yield _text(x + WIDTH / 2, y + 16, _shown(error), f' fill="{ink}"')


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}"{more}>{escape(words)}</text>'


def _pair(table: Table, attack: str, rule: str) -> str:
    return ", ".join(_shown(table.error(attack, rule, s)) for s in ("test", "stress"))


def _shown(error: float) -> str:
    if math.isnan(error):
        return "-"
    return (
        "diverged" if math.isinf(error) or error > 1e4 else f"{error:.{3 if error < 100 else 0}f}"
    )


def _percent(share: float) -> str:
    if math.isnan(share):
        return "-"
    return f"{share:+.0%}" if math.isfinite(share) and share < 100 else "destroyed"
