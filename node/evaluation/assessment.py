"""Everything a desk would ask of a model, over several seeds, as one tree that becomes JSON.

A model is scored on a window (`score`) into statistics, arrays that hold its value on the window
and on every redrawn one; those of all models and seeds are then summed up (`summarise`) to
estimates with intervals. Ratios and the best desk are formed inside each redrawn window.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from node.evaluation.audit import audit
from node.evaluation.bootstrap import Days, Estimate
from node.evaluation.hedging import Positions, deviation
from node.evaluation.metrics import CELLS, Where, cell_of, measure_redrawn
from node.market.panel import Floats, Panel
from node.market.quotes import MICROSECONDS_PER_DAY, VOL_POINTS
from node.market.samples import Samples
from node.models.formulas import Pricer

FEDERATED, TOLERANT, RULE_ALONE, CENTRAL, QUADRATIC, BOOSTING = (
    "federated",
    "federated_tolerant",
    "federated_rule_alone",
    "central",
    "quadratic",
    "hist_gradient_boosting",
)
LOCAL: Final = "local"
"""A desk alone by the recipe of all."""
RATIOS: Final = (
    (FEDERATED, CENTRAL),
    (FEDERATED, f"{LOCAL}_best"),
    (FEDERATED, f"{LOCAL}_mean"),
    (FEDERATED, "unaided_best"),
    (FEDERATED, "plain_best"),
    (CENTRAL, QUADRATIC),
    (CENTRAL, "quadratic_in_volatility"),
    (CENTRAL, BOOSTING),
    (TOLERANT, FEDERATED),
    (TOLERANT, CENTRAL),
    (TOLERANT, f"{LOCAL}_best"),
    (RULE_ALONE, FEDERATED),
)
"""Of root mean square errors, the first divided by the second."""
MAPPED: Final = (FEDERATED, CENTRAL, BOOSTING, QUADRATIC)
"""Whose errors are told cell by cell."""
SURFACES: Final = (FEDERATED, CENTRAL, QUADRATIC)
"""Smooth ones, which are audited and have deltas of their own."""
CONDITIONS: Final = ("calendar", "butterfly", "wings", "wide_calendar", "wide_butterfly")
"""Shares of an audit; the last two lie farther out than training looks."""
COINS: Final = ("BTC", "ETH")
GREATER_IS_BETTER: Final = frozenset({"inside_spread"})


@dataclass(frozen=True)
class Window:
    """Held-out quotes, positions opened in them, and the panels they are priced by."""

    samples: Samples
    positions: Positions
    panel: Panel
    days: Days

    @classmethod
    def of(cls, samples: Samples, positions: Positions, panel: Panel) -> "Window":
        """Raises: DataError if the quotes are of less than two days."""
        rows = np.isin(panel.snapshot, samples.snapshot)
        return cls(samples, positions, panel.take(rows), Days(samples.snapshot))


@dataclass(frozen=True)
class Scores:
    """One model's statistics on one window.

    Shape: metrics and hedged_bp [1 + draws] a name, cells [1 + draws, cells], books [1 + draws,
    desks].
    """

    metrics: dict[str, Floats]
    cells: Floats
    """Root mean square error in each of `CELLS`, vol points."""
    books: Floats
    """Root mean square error on each desk's book, vol points."""
    hedged_bp: dict[str, Floats]
    """By coin, the standard deviation of a day's gain hedged by the model's delta."""


@dataclass(frozen=True)
class SeedScores:
    """What one seed's models did on one window."""

    models: Mapping[str, Scores]
    alone: Mapping[str, tuple[Scores, ...]]
    """By how desks trained alone, `local` among them, one per desk in the order of the books."""
    own: Mapping[str, tuple[Floats, ...]]
    """By name, other models of each desk's own: the error on its own book, [1 + draws] each."""
    violations: Mapping[str, dict[str, Floats]]
    """By model and condition, the share of grid points that violate it, each [1 + draws]."""
    along_smile_bp: Mapping[str, dict[str, Floats]]
    """By model and coin, as `Scores.hedged_bp`, the delta taken along the model's smile."""


@dataclass(frozen=True)
class CellResult(Where):
    """The error of some models in one cell."""

    quotes: int
    rmse_vol_points: dict[str, Estimate]


@dataclass(frozen=True)
class WindowResult:
    """Everything measured on one window."""

    quotes: int
    days: int
    snapshots: int
    positions: int
    metrics: dict[str, dict[str, Estimate]]
    """By metric (as in `Metrics`) and model."""
    rmse_ratios: dict[str, Estimate]
    books: tuple[dict[str, Estimate], ...]
    """Each desk's: the error on its own book of the federated and the central model, of its own
    alone, and of its other own ones."""
    worst_book: dict[str, Estimate]
    """The largest of those errors over the desks."""
    cells: tuple[CellResult, ...]
    day_pnl_deviation_bp: dict[str, dict[str, Estimate]]
    """By coin: unhedged, hedged by the exchange's delta, by Black-76's at each model's volatility,
    and by some models' along their own smile."""
    arbitrage: dict[str, dict[str, Estimate]]
    """By model and condition."""


def score(price: Pricer, window: Window, books: Sequence[Floats]) -> Scores:
    """A model's statistics; `books` holds each desk's weights of the window's quotes, [n]."""
    samples, days, positions = window.samples, window.days, window.positions
    vols = price(samples)
    squares = ((vols - samples.target_vol) * VOL_POINTS) ** 2
    place = np.maximum(cell_of(samples), 0)
    by_cell = (days.sums_by(samples.snapshot, place, len(CELLS), term) for term in _pair(squares))
    gains = positions.hedged_bp(positions.delta(price(positions.samples)))
    return Scores(
        metrics=measure_redrawn(vols, samples, days),
        cells=_root_of_ratio(*by_cell),
        books=_on_books(squares, window, books),
        hedged_bp=_deviations(gains, window),
    )


def on_books(price: Pricer, window: Window, books: Sequence[Floats]) -> Floats:
    """A model's root mean square error on each book, vol points. Shape: -> [1 + draws, desks]"""
    squares = ((price(window.samples) - window.samples.target_vol) * VOL_POINTS) ** 2
    return _on_books(squares, window, books)


def hedged_along_smile(price: Pricer, window: Window) -> dict[str, Floats]:
    """By coin, the deviation of a day's gain hedged along a smooth pricer's smile."""
    positions = window.positions
    return _deviations(positions.hedged_bp(positions.delta_along_smile(price)), window)


def violations(price: Pricer, window: Window) -> dict[str, Floats]:
    """Shares of grid points with static arbitrage, from one panel a coin of every day."""
    panel = window.panel
    of_day = panel.snapshot // MICROSECONDS_PER_DAY
    moments, shares = [], []
    for day in np.unique(of_day):
        rows = of_day == day
        one = panel.take(rows)
        found = audit(price, one, panels=len(COINS))
        moments.append(one.snapshot[0])
        shares.append([1.0, *(getattr(found, condition) for condition in CONDITIONS)])
    sums = window.days.sums(np.array(moments), np.array(shares))
    return dict(zip(CONDITIONS, (sums[:, 1:] / sums[:, :1]).T, strict=True))


def summarise(window: Window, seeds: Sequence[SeedScores]) -> WindowResult:
    """Estimates over the seeds of everything that was scored on a window."""
    metrics = [_with_desks(seed) for seed in seeds]
    books = [_books(seed) for seed in seeds]
    hedged = {
        **{name: [seed.models[name].hedged_bp for seed in seeds] for name in seeds[0].models},
        **{
            f"{name}_along_smile": [seed.along_smile_bp[name] for seed in seeds]
            for name in seeds[0].along_smile_bp
        },
    }
    positions, place = window.positions, cell_of(window.samples)
    without = {
        "unhedged": _deviations(positions.gain_bp, window),
        "exchange": _deviations(positions.hedged_bp(positions.exchange_delta), window),
    }
    return WindowResult(
        quotes=len(window.samples),
        days=len(window.days),
        snapshots=np.unique(window.samples.snapshot).size,
        positions=len(positions),
        metrics={
            metric: {
                model: Estimate.of([seed[metric][model] for seed in metrics])
                for model in metrics[0][metric]
            }
            for metric in metrics[0]
        },
        rmse_ratios={
            f"{one}_to_{other}": Estimate.of(
                [_ratio(seed["rmse"][one], seed["rmse"][other]) for seed in metrics]
            )
            for one, other in RATIOS
            if {one, other} <= set(metrics[0]["rmse"])
        },
        books=tuple(
            {name: Estimate.of([seed[name][:, desk] for seed in books]) for name in books[0]}
            for desk in range(len(seeds[0].alone[LOCAL]))
        ),
        worst_book={
            name: Estimate.of([seed[name].max(axis=1) for seed in books]) for name in books[0]
        },
        cells=tuple(
            CellResult(
                where.coin,
                where.tenor_days,
                where.z,
                quotes=quotes,
                rmse_vol_points={
                    name: Estimate.of([seed.models[name].cells[:, cell] for seed in seeds])
                    for name in MAPPED
                    if name in seeds[0].models
                },
            )
            for cell, where in enumerate(CELLS)
            if (quotes := int((place == cell).sum()))
        ),
        day_pnl_deviation_bp={
            coin: {name: Estimate.of([found[coin]]) for name, found in without.items()}
            | {
                name: Estimate.of([found[coin] for found in of_seeds])
                for name, of_seeds in hedged.items()
            }
            for coin in COINS
        },
        arbitrage={
            model: {
                condition: Estimate.of([seed.violations[model][condition] for seed in seeds])
                for condition in CONDITIONS
            }
            for model in seeds[0].violations
        },
    )


def plain(tree: Any) -> Any:  # noqa: ANN401 - whatever a tree of dataclasses may hold
    """A dataclass tree as JSON has it; what is not finite becomes null."""
    return _finite(asdict(tree))


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_desks(seed: SeedScores) -> dict[str, dict[str, Floats]]:
    """By metric and model, with the mean, the best and the worst single desk among the models."""
    found = {}
    for metric in next(iter(seed.models.values())).metrics:
        found[metric] = {name: each.metrics[metric] for name, each in seed.models.items()}
        for kind, desks in seed.alone.items():
            each = np.stack([desk.metrics[metric] for desk in desks])
            ends = each.min(axis=0), each.max(axis=0)
            best, worst = reversed(ends) if metric in GREATER_IS_BETTER else ends
            found[metric] |= {
                f"{kind}_mean": each.mean(axis=0),
                f"{kind}_best": best,
                f"{kind}_worst": worst,
            }
    return found


def _books(seed: SeedScores) -> dict[str, Floats]:
    """Errors on the books, [1 + draws, desks]."""
    local = [each.books[:, desk] for desk, each in enumerate(seed.alone[LOCAL])]
    return {name: seed.models[name].books for name in (FEDERATED, CENTRAL)} | {
        name: np.stack(columns, axis=1) for name, columns in {LOCAL: local, **seed.own}.items()
    }


def _on_books(squares: Floats, window: Window, books: Sequence[Floats]) -> Floats:
    weights, snapshot = np.stack(books, axis=1), window.samples.snapshot
    sums = (window.days.sums(snapshot, weights * term[:, None]) for term in _pair(squares))
    return _root_of_ratio(*sums)


def _deviations(gains_bp: Floats, window: Window) -> dict[str, Floats]:
    return {
        coin: deviation(gains_bp, window.positions, window.days, is_btc=coin == "BTC")
        for coin in COINS
    }


def _pair(squares: Floats) -> tuple[Floats, Floats]:
    return squares, np.ones(squares.size)


def _root_of_ratio(squares: Floats, weights: Floats) -> Floats:
    return np.asarray(np.sqrt(_ratio(squares, weights)))


def _ratio(one: Floats, other: Floats) -> Floats:
    # A cell may have no quotes in a redrawn window.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(one / other)
