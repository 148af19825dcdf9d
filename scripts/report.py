"""The demo's report: one HTML file with everything inside, readable without a network."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from node.market.panel import Floats
from protocol.storage import writing
from protocol.task import ZERO_ADDRESS
from scripts.money import in_words
from scripts.standings import Standing, standings, verdict

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "volquorum",  # the same numbers give the same file
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
)
BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#64748b"
STYLES = {
    "federated": (BLUE, "-"),
    "best desk alone": (ORANGE, "-"),
    "central": (ORANGE, "-"),
    "quadratic": (GREY, "--"),
}
COARSE = {"flat", "term_structure"}
TEMPLATES = Path(__file__).parent
_ID = re.compile(r'(\bid="|url\(#|href="#)')


def write_report(path: Path, result: dict[str, Any]) -> None:
    """Write the report of a demo's result (the same mapping that `--json` writes)."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["in_ether"] = lambda amount_wei: in_words(int(amount_wei), ZERO_ADDRESS)
    compared = standings(result)
    page = environment.get_template("report.html.j2").render(
        result=result,
        standings=compared,
        verdict=verdict(result),
        figures={
            "learning": _svg(learning_curve(result["rounds"], result["rmse_vol_points"]), "rounds"),
            "bars": _svg(comparison_bars(compared), "bars"),
            "heat": _svg(error_by_cell(result["cells"]), "cells"),
            "smiles": [_svg(smile_plot(smile), smile["coin"]) for smile in result["smiles"]],
        },
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        path.write_text(page, encoding="utf-8")


def learning_curve(rounds: list[dict[str, Any]], rmse: dict[str, Any]) -> Figure:
    """Validation error after each final round."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    final = [entry for entry in rounds if entry["validation_rmse"] is not None]
    numbers = [entry["round"] for entry in final]
    axes.plot(numbers, [entry["validation_rmse"] for entry in final], color=BLUE, marker="o", ms=3)
    axes.set(xlabel="round", ylabel="validation RMSE, vol points")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.set_title(f"federated model by round (test: {rmse['federated']:.2f})", loc="left")
    return figure


def comparison_bars(compared: Sequence[Standing]) -> Figure:
    """Test and stress error, but for formulas so coarse that the rest would be too short to see."""
    compared = [each for each in compared if each.key not in COARSE]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(compared))
    axes.barh(places - 0.2, [each.test for each in compared], 0.4, color=BLUE, label="test")
    axes.barh(places + 0.2, [each.stress for each in compared], 0.4, color=ORANGE, label="stress")
    axes.set_yticks(places, [each.name for each in compared])
    axes.invert_yaxis()
    axes.set(xlabel="RMSE against the mark, vol points")
    axes.legend(frameon=False)
    return figure


def error_by_cell(cells: list[dict[str, Any]]) -> Figure:
    """Test RMSE by tenor and moneyness, one panel per model."""
    models = list(dict.fromkeys(cell["model"] for cell in cells))
    tenors = sorted({tuple(cell["tenor_days"]) for cell in cells})
    moneyness = sorted({tuple(cell["z"]) for cell in cells}, key=_lower_edge)
    figure = Figure(figsize=(3.4 * len(models), 3.0), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    top = float(np.percentile([cell["rmse"] for cell in cells], 90))
    image = None
    for axes, model in zip(panels, models, strict=True):
        grid = np.full((len(tenors), len(moneyness)), np.nan)
        for cell in cells:
            if cell["model"] == model:
                row, column = (
                    tenors.index(tuple(cell["tenor_days"])),
                    moneyness.index(tuple(cell["z"])),
                )
                grid[row, column] = cell["rmse"]
        image = axes.imshow(grid, vmin=0, vmax=top, cmap="YlOrRd", aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                ink = "white" if value > 0.6 * top else "black"
                axes.text(column, row, f"{value:.1f}", c=ink, ha="center", va="center", fontsize=7)
        axes.set_xticks(range(len(moneyness)), [_interval(*edges) for edges in moneyness])
        axes.set_yticks(range(len(tenors)), [_interval(*edges) for edges in tenors])
        axes.tick_params(labelsize=6)
        axes.grid(visible=False)
        axes.set(title=model, xlabel="moneyness, standard deviations")
    panels[0].set_ylabel("days to expiry")
    if image is not None:
        figure.colorbar(image, ax=panels, label="RMSE, vol points", shrink=0.8)
    return figure


def smile_plot(smile: dict[str, Any]) -> Figure:
    """Marks with their bid-ask range, and what the models say."""
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.subplots()
    quotes = {name: np.array(smile[name]) for name in ("bid", "ask", "mark")}
    models = {name: np.array(vols) for name, vols in smile["models"].items()}
    draw_smile(axes, np.array(smile["log_moneyness"]), quotes, models)
    axes.set(xlabel="log-moneyness")
    axes.set_title(f"{smile['coin']}, {smile['days']:g} days", loc="left")
    axes.legend(frameon=False, fontsize=7)
    return figure


def draw_smile(
    axes: Axes, at: Floats, quotes: Mapping[str, Floats], models: Mapping[str, Floats]
) -> None:
    """One expiry's bid, ask and mark, and models: decimal volatilities at rising strikes.

    Shape: all [n]
    """
    axes.vlines(
        at, quotes["bid"] * 100, quotes["ask"] * 100, color="#cbd5e1", lw=3, label="bid to ask"
    )
    axes.plot(at, quotes["mark"] * 100, "k.", ms=4, label="mark")
    for name, vols in models.items():
        colour, dashes = STYLES[name]
        axes.plot(at, vols * 100, dashes, color=colour, lw=1.4, label=name)
    axes.set(ylabel="implied volatility, %")


def _lower_edge(edges: tuple[float | None, float | None]) -> float:
    return -np.inf if edges[0] is None else edges[0]


def _interval(low: float | None, high: float | None) -> str:
    if low is None:
        return f"<{high:g}"
    return f">{low:g}" if high is None else f"{low:g} to {high:g}"


def _svg(figure: Figure, name: str) -> str:
    """The figure as an element of a page whose other figures use the same ids."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = out.getvalue()
    return _ID.sub(rf"\g<1>{name}-", text[text.index("<svg") :])
