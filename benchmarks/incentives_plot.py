"""What honesty earns more than lying, drawn over the number of liars."""

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from xml.sax.saxutils import escape

from matplotlib import colormaps
from matplotlib.colors import to_hex

from benchmarks.incentives_table import Draws, swept


def draw(draws: Draws, path: Path) -> None:
    """The advantages as curves over the number of liars, the same bytes from the same stories."""
    path.write_text("\n".join(_shapes(draws)) + "\n", encoding="utf-8")


LEFT, TOP, STEP, HEIGHT, LEGEND = 48, 16, 72, 320, 150
"""Of the picture, in pixels; a step is one liar more."""


def _shapes(draws: Draws) -> Iterator[str]:
    counts = range(1, draws.most_liars + 1)
    curves = {
        name: [fmean(draws.advantage(name, liars)) for liars in counts] for name in swept(draws)
    }
    nets = [net for curve in curves.values() for net in curve if not math.isnan(net)]
    lowest, highest = math.floor(min(0.0, *nets)), math.ceil(max(1.0, *nets))
    right = LEFT + STEP * draws.most_liars

    def y(net: float) -> float:
        return round(TOP + HEIGHT * (highest - net) / (highest - lowest), 1)

    width, height = right + LEGEND, TOP + HEIGHT + 44
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11">'
    )
    yield f'<path d="M0 0h{width}v{height}H0z" fill="#fff"/>'
    for net in range(lowest, highest + 1):
        shade = "#000" if net == 0 else "#ddd"
        yield f'<path d="M{LEFT} {y(net)}H{right}" stroke="{shade}"/>'
        yield f'<text x="{LEFT - 8}" y="{y(net) + 4}" text-anchor="end">{net:+d}</text>'
    for liars in counts:
        x = LEFT + STEP * liars - STEP // 2
        yield f'<text x="{x}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{liars}</text>'
    yield (
        f'<text x="{(LEFT + right) // 2}" y="{TOP + HEIGHT + 36}" text-anchor="middle">'
        f"liars of {draws.first.desks}</text>"
    )
    for number, (name, curve) in enumerate(curves.items()):
        ink = to_hex(colormaps["tab10"](number % 10))
        places = [
            f"{LEFT + STEP * liars - STEP // 2} {y(net)}"
            for liars, net in zip(counts, curve, strict=True)
            if not math.isnan(net)
        ]
        yield f'<path d="M{"L".join(places)}" fill="none" stroke="{ink}" stroke-width="2"/>'
        yield (
            f'<text x="{right + 8}" y="{TOP + 12 + 18 * number}" fill="{ink}">{escape(name)}</text>'
        )
    yield "</svg>"
