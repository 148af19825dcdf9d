"""A table of errors as a heat map: each tile's left half is the test, its right half the stress."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from matplotlib import colormaps
from matplotlib.colors import to_hex

from benchmarks.robustness_table import NOBODY, REFERENCE, STRETCHES, Table, shown

BRIGHTEST: Final = 1.5
"""Errors beyond this multiple of the honest plain mean's look alike."""
LEFT, TOP, HALF, HEIGHT = 180, 64, 40, 22
"""Of the names and of half a tile, in pixels."""
GAP: Final = 3
"""Between tiles; a tile's halves touch."""


def draw(table: Table, path: Path) -> None:
    """The heat map as SVG, the same bytes from the same cells."""
    path.write_text("\n".join(_shapes(table)) + "\n", encoding="utf-8")


def _shapes(table: Table) -> Iterator[str]:
    across, down = 2 * HALF + GAP, HEIGHT + GAP
    width = LEFT + across * len(table.rules)
    height = TOP + down * len(table.attacks)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11" text-anchor="middle">'
    )
    yield f'<path d="M0 0h{width}v{height}h-{width}z" fill="#fff"/>'
    for column, rule in enumerate(table.rules):
        for line, word in enumerate(rule.split("_")):
            yield _text(LEFT + column * across + HALF, 14 + 13 * line, word)
    for row, attack in enumerate(table.attacks):
        y = TOP + row * down
        name = NOBODY.get(attack, attack.replace("_", " "))
        yield _text(LEFT - 8, y + 15, name, ' text-anchor="end"')
        for column, rule in enumerate(table.rules):
            for half, stretch in enumerate(STRETCHES):
                x = LEFT + column * across + half * HALF
                error = table.error(attack, rule, stretch)
                yield from _half(error, table.error(*REFERENCE, stretch), x, y)
    yield "</svg>"


def _half(error: float, reference: float, x: int, y: int) -> Iterator[str]:
    if math.isnan(error):
        return
    shade = _shade(error / reference)
    fill = to_hex(colormaps["cividis"](shade))
    yield f'<path d="M{x} {y}h{HALF}v{HEIGHT}h-{HALF}z" fill="{fill}"/>'
    ink = "" if shade > 0.5 else ' fill="#fff"'
    yield _text(x + HALF // 2, y + 15, "∞" if shown(error) == "diverged" else shown(error), ink)


def _shade(multiple: float) -> float:
    """0 to 1, in the logarithm; no darker where liars help."""
    return math.log(min(max(multiple, 1.0), BRIGHTEST)) / math.log(BRIGHTEST)


def _text(x: int, y: int, words: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>'
