"""The table of what aggregation costs beside other libraries, from measured rows, as Markdown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
FIGURES: Final = ROOT / "docs" / "aggregation.json"
"""What was measured last."""
LIBRARIES: Final = [
    ("byzfl 0.0.11", "numpy"),
    ("byzfl 0.0.11", "torch"),
    ("flower 1.42.0", "numpy"),
]
"""Other libraries, and as what they get the updates."""
_NAMES: Final = {"byzfl": "ByzFL", "flower": "Flower"}
Row = Mapping[str, Any]
"""One rule at one size beside one library, as `benchmarks/aggregation.py` writes it."""


def read(path: Path = FIGURES) -> list[Row]:
    rows: list[Row] = json.loads(path.read_bytes())
    return rows


def written(rows: Sequence[Row]) -> str:
    return json.dumps(rows, indent=1) + "\n"


def table(rows: Sequence[Row]) -> str:
    """Every rule at the largest size, and the most memory that it needs at any.

    Of each library: its seconds, these over ours, its extra MiB, and the largest difference.
    """
    n, d = largest = max((row["n"], row["d"]) for row in rows)
    names = [_title(*who) for who in LIBRARIES]
    titles = [f"{names[0]}: s, times ours, MiB, off by", *names[1:]]
    columns = ["ours, s", "extra, MiB", "at most, of the input", *titles]
    lines = [_line(f"{n} x {d:,}", columns), "|---|" + "---|" * len(columns)]
    for rule in dict.fromkeys(row["rule"] for row in rows):
        own = [row for row in rows if row["rule"] == rule]
        beside = {
            (row["library"], row["input"]): row for row in own if (row["n"], row["d"]) == largest
        }
        ours = beside[LIBRARIES[0]]
        most = max(row["our_extra_bytes"] / (2 * row["n"] * row["d"]) for row in own)
        cells = [
            _short(ours["our_cpu_seconds"]),
            f"{ours['our_extra_bytes'] / 2**20:.1f}",
            f"{most:.1%}",
            *(_theirs(beside[who]) for who in LIBRARIES),
        ]
        lines.append(_line(f"`{rule}`", cells))
    return "\n".join(lines)


def _theirs(row: Row) -> str:
    if row["their_cpu_seconds"] is None:
        return "—"
    figures = [_short(row["their_cpu_seconds"]), _short(row["ratio"])]
    return ", ".join(
        [*figures, f"{row['their_extra_bytes'] / 2**20:.0f}", f"{row['difference']:.1f}"]
    )


def _title(library: str, given: str) -> str:
    name, _, _ = library.partition(" ")
    return f"{_NAMES[name]} {given}"


def _short(figure: float) -> str:
    """Two digits that count, and no exponent."""
    return f"{float(f'{figure:.2g}'):.7f}".rstrip("0").rstrip(".")


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
