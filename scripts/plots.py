"""Pictures of an evaluation that a trader would look at: one SVG file each."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from node.evaluation.assessment import BOOSTING, CENTRAL, COINS, FEDERATED, QUADRATIC, CellResult
from node.learning.division import Market
from node.market.panel import TENOR_DAYS, TENOR_YEARS, Floats, Panel
from node.market.quotes import DAYS_PER_YEAR, MICROSECONDS_PER_DAY, VOL_POINTS
from node.market.samples import Samples, grid_samples
from node.models.formulas import Pricer
from scripts.comparison import Contestants
from scripts.report import GREY, STYLES, draw_smile, error_by_cell

LINES: Final = (FEDERATED, CENTRAL, QUADRATIC)
SMILES: Final = 6
"""Expiries of one snapshot that are drawn."""
PERCENT: Final = 100.0


def draw(
    folder: Path, market: Market, models: Contestants, cells: Sequence[CellResult]
) -> Iterator[Path]:
    """Draw every picture and name its file; none of a coin that the test lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = models.shared
    for coin in COINS:
        held = market.test.take(market.test.is_btc == (coin == "BTC"))
        if not len(held):
            continue
        latest = held.take(held.snapshot == held.snapshot.max())
        panel = _panel_of(market.panel, latest)
        figures = {
            "smiles": smiles(latest, shared),
            "term-structure": term_structure(panel, latest, shared),
            "surface": surface(panel, latest, shared[FEDERATED]),
            "errors-by-cell": errors_by_cell(cells, coin),
        }
        for name, figure in figures.items():
            yield _saved(figure, folder / f"{name}-{coin.lower()}.svg", coin)
    everything = Samples.join(*market.own, market.stress, market.validation, market.test)
    yield _saved(errors_through_time(market, everything, shared), folder / "errors-by-day.svg", "")


def smiles(latest: Samples, models: Mapping[str, Pricer]) -> Figure:
    """One snapshot's smiles, short to long: bid to ask, the mark, and what models say."""
    expiries = np.unique(latest.years)
    some = expiries[np.unique(np.linspace(0, expiries.size - 1, SMILES).astype(int))]
    figure = Figure(figsize=(10.5, 6.0), layout="constrained")
    panels = np.atleast_1d(figure.subplots(2, -(-some.size // 2), squeeze=False)).ravel()
    for axes, years in zip(panels, some, strict=False):
        rows = np.flatnonzero(latest.years == years)
        one = latest.take(rows[np.argsort(latest.strike[rows])])
        quotes = {"bid": one.bid_vol, "ask": one.ask_vol, "mark": one.target_vol}
        said = {name: models[name](one) for name in LINES}
        draw_smile(axes, one.strike, quotes, said)
        axes.axvline(one.forward[0], color=GREY, lw=0.6, ls=":")
        axes.set_title(f"{years * DAYS_PER_YEAR:.3g} days", loc="left")
        axes.set(xlabel="strike, USD")
        axes.tick_params(labelsize=7)
    for axes in panels[some.size :]:
        axes.set_axis_off()
    panels[0].legend(frameon=False, fontsize=7)
    return figure


def term_structure(panel: Panel, latest: Samples, models: Mapping[str, Pricer]) -> Figure:
    """Volatility at the money by time: the panel, the quotes nearest to the forward, the models."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    years = np.geomspace(TENOR_YEARS[0] / 2, 1.0, 80)
    asked = grid_samples(panel, np.zeros(1), years)
    for name in LINES:
        colour, dashes = STYLES[name]
        axes.plot(
            years * DAYS_PER_YEAR, models[name](asked) * PERCENT, dashes, c=colour, label=name
        )
    nearest = [
        rows[np.abs(latest.z[rows]).argmin()]
        for expiry in np.unique(latest.years)
        for rows in [np.flatnonzero(latest.years == expiry)]
    ]
    at = latest.take(np.array(nearest))
    axes.vlines(at.tenor_days, at.bid_vol * PERCENT, at.ask_vol * PERCENT, color="#cbd5e1", lw=3)
    axes.plot(at.tenor_days, at.target_vol * PERCENT, "k.", ms=5, label="mark nearest the forward")
    at_money = panel.vols[0, 1] * PERCENT
    axes.plot(TENOR_DAYS, at_money, "o", mfc="none", c=GREY, label="reference panel")
    axes.set(xscale="log", xlabel="days to expiry", ylabel="volatility at the money, %")
    axes.legend(frameon=False, fontsize=7)
    return figure


def surface(panel: Panel, latest: Samples, price: Pricer) -> Figure:
    """The model's whole surface, and where the quotes that it can be held against lie."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    z, years = np.linspace(-4.0, 4.0, 81), np.geomspace(1.0 / DAYS_PER_YEAR, 1.0, 60)
    vols = price(grid_samples(panel, z, years)).reshape(years.size, z.size) * PERCENT
    image = axes.contourf(z, years * DAYS_PER_YEAR, vols, levels=20, cmap="viridis")
    axes.contour(z, years * DAYS_PER_YEAR, vols, levels=20, colors="white", linewidths=0.3)
    axes.plot(latest.z, latest.tenor_days, "k.", ms=1.5)
    axes.set(
        yscale="log",
        xlim=(-4, 4),
        ylim=(1.0, DAYS_PER_YEAR),
        xlabel="log-moneyness, standard deviations",
        ylabel="days to expiry",
    )
    figure.colorbar(image, ax=axes, label="implied volatility, % (dots: quotes)")
    return figure


def errors_by_cell(cells: Sequence[CellResult], coin: str) -> Figure:
    """Test error of every cell of one coin, a panel for each model."""
    return error_by_cell(
        [
            {
                "model": name.replace("_", " "),
                "tenor_days": list(cell.tenor_days),
                "z": [edge if np.isfinite(edge) else None for edge in cell.z],
                "rmse": cell.rmse_vol_points[name].mean,
            }
            for name in (FEDERATED, CENTRAL, BOOSTING, QUADRATIC)
            for cell in cells
            if cell.coin == coin
        ]
    )


def errors_through_time(
    market: Market, everything: Samples, models: Mapping[str, Pricer]
) -> Figure:
    """Error of each day; the held-out stretches are shaded, the rest was trained on."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    axes = figure.subplots()
    days, day = np.unique(everything.snapshot // MICROSECONDS_PER_DAY, return_inverse=True)
    dates = days.astype("datetime64[D]")
    for name in LINES:
        colour, dashes = STYLES[name]
        squares = ((models[name](everything) - everything.target_vol) * VOL_POINTS) ** 2
        axes.plot(dates, _daily_root(squares, day), dashes, c=colour, lw=1.2, label=name)
    split = market.split
    _shade(axes, split.stress_start, split.stress_end, "#fecaca", "stress")
    _shade(axes, split.train_end, split.validation_end, "#e2e8f0", "validation")
    _shade(axes, split.test_start, split.test_end, "#bfdbfe", "test")
    axes.set(ylabel="RMSE of the day, vol points")
    axes.set_ylim(bottom=0)
    axes.set_xlim(dates[0], dates[-1])
    axes.legend(frameon=False, fontsize=7, ncols=3)
    return figure


def _daily_root(squares: Floats, day: np.ndarray) -> Floats:
    return np.asarray(np.sqrt(np.bincount(day, squares) / np.bincount(day)))


def _shade(axes: Axes, start: datetime, end: datetime, colour: str, label: str) -> None:
    first, last = date2num([start, end])  # type: ignore[no-untyped-call]  # matplotlib's own
    axes.axvspan(first, last, color=colour, alpha=0.5, lw=0, label=label)


def _panel_of(panel: Panel, latest: Samples) -> Panel:
    row = panel.rows(latest.snapshot[:1], latest.is_btc[:1])
    return panel.take(row)


def _saved(figure: Figure, path: Path, title: str) -> Path:
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    figure.savefig(path, metadata={"Creator": None, "Date": None})
    return path
