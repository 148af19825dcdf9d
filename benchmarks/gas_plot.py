"""Whole rounds by number of participants beside those of others, both axes logarithmic."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.gas_table import PEERS, WAYS, Measured

LEFT, TOP, WIDTH, HEIGHT = 60, 16, 480, 300
"""Of the field in which the lines are, in pixels."""
RIGHT, BOTTOM = 130, 44
"""Room for the lines' names and for the axis."""
GAS: Final = (300_000, 100_000_000)
COUNTS: Final = (2.5, 75)
"""The ends of the axes."""
INKS: Final = ("#00224e", "#00224e", "#a69d75", "#7d7c78", "#d9a300")
"""Of the two ways and of the peers, in their order; legible in grey too, with names beside."""
DASHED: Final = "batched"


def draw(measured: Measured, path: Path) -> None:
    """The plot as SVG, the same bytes from the same figures."""
    path.write_text("\n".join(_shapes(measured)) + "\n", encoding="utf-8")


def _shapes(measured: Measured) -> Iterator[str]:
    width, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11">'
    )
    yield f'<path d="M0 0h{width}v{height}h-{width}z" fill="#fff"/>'
    for gas in (1_000_000, 10_000_000, 100_000_000):
        y = _y(gas)
        yield f'<path d="M{LEFT} {y}h{WIDTH}" stroke="#ddd"/>'
        yield _text(LEFT - 8, y + 4, f"{gas // 10**6}M", ' text-anchor="end"')
    counts = sorted({*measured.rounds, *(count for peer in PEERS.values() for count in peer)})
    for count in counts:
        x = _x(count)
        yield f'<path d="M{x} {TOP + HEIGHT}v5" stroke="#000"/>'
        # 60 and 64 would lie over each other.
        if count != 60:
            yield _text(x, TOP + HEIGHT + 18, str(count), ' text-anchor="middle"')
    yield _text(LEFT + 8, TOP + 12, "gas of a whole round")
    yield _text(LEFT + WIDTH // 2, height - 8, "participants", ' text-anchor="middle"')
    yield f'<path d="M{LEFT} {TOP}v{HEIGHT}h{WIDTH}" fill="none" stroke="#000"/>'
    lines = {
        f"volquorum, {way}": {
            count: by_way[way]["steady"].whole for count, by_way in measured.rounds.items()
        }
        for way in WAYS
    }
    for (name, figures), ink in zip((lines | dict(PEERS)).items(), INKS, strict=True):
        yield from _line(name, figures, ink)
    yield "</svg>"


def _line(name: str, figures: Mapping[int, int], ink: str) -> Iterator[str]:
    points = [(_x(count), _y(gas)) for count, gas in figures.items()]
    way = "L".join(f"{x} {y}" for x, y in points)
    dashes = ' stroke-dasharray="6 4"' if name.endswith(DASHED) else ""
    yield f'<path d="M{way}" fill="none" stroke="{ink}" stroke-width="2"{dashes}/>'
    for x, y in points:
        yield f'<circle cx="{x}" cy="{y}" r="3.5" fill="{ink}"/>'
    x, y = points[-1]
    yield _text(x + 8, y + 4, name)


def _x(count: float) -> int:
    return LEFT + round(WIDTH * _share(count, COUNTS))


def _y(gas: float) -> int:
    return TOP + round(HEIGHT * (1 - _share(gas, GAS)))


def _share(value: float, ends: tuple[float, float]) -> float:
    least, most = ends
    return math.log(value / least) / math.log(most / least)


def _text(x: int, y: int, words: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>'
