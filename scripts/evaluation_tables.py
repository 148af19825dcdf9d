"""What an evaluation found, as tables for a person at a screen."""

from typing import Final

from rich.table import Table

from node.evaluation.assessment import (
    CENTRAL,
    COINS,
    CONDITIONS,
    FEDERATED,
    SURFACES,
    WindowResult,
)
from node.evaluation.bootstrap import Estimate

HEDGES: Final = ("unhedged", "exchange", FEDERATED, f"{FEDERATED}_along_smile", CENTRAL)


def tables(test: WindowResult, stress: WindowResult) -> list[Table]:
    """All that fits a screen; `--json` has the rest."""
    return [
        _models_table("test", test),
        _models_table("stress", stress),
        _ratios_table(test, stress),
        _books_table(test),
        _other_table(test, stress),
    ]


def _models_table(window: str, result: WindowResult) -> Table:
    title = f"{window}: {result.quotes:,} quotes of {result.days} days; vol points"
    table = _table(
        title,
        *("RMSE", "95 %", "MAE", "p95", "RMSE to mid", "p95 to mid", "inside", "price RMSE, bp"),
    )
    for model in result.metrics["rmse"]:
        found = {metric: result.metrics[metric][model] for metric in result.metrics}
        table.add_row(
            model.replace("_", " "),
            f"{found['rmse'].mean:.3f}",
            _interval(found["rmse"]),
            f"{found['mae'].mean:.3f}",
            f"{found['p95'].mean:.2f}",
            f"{found['rmse_mid'].mean:.3f}",
            f"{found['p95_mid'].mean:.2f}",
            f"{found['inside_spread'].mean:.1%}",
            f"{found['price_rmse_bp'].mean:.2f}",
        )
    return table


def _ratios_table(test: WindowResult, stress: WindowResult) -> Table:
    table = _table("RMSE ratios, on the same days", "test", "95 %", "stress", "95 %")
    for name in test.rmse_ratios:
        cells = []
        for result in (test, stress):
            ratio = result.rmse_ratios[name]
            cells += [f"{ratio.mean:.3f}", _interval(ratio)]
        table.add_row(name.replace("_", " "), *cells)
    return table


def _books_table(result: WindowResult) -> Table:
    table = _table("RMSE on each desk's own book, test", *result.worst_book)
    rows = [(f"desk {number}", book) for number, book in enumerate(result.books)]
    for name, book in [*rows, ("worst", result.worst_book)]:
        table.add_row(name, *(f"{estimate.mean:.3f}" for estimate in book.values()))
    return table


def _other_table(test: WindowResult, stress: WindowResult) -> Table:
    table = _table("Arbitrage and hedging", "test", "95 %", "stress", "95 %")
    for model in SURFACES:
        for condition in CONDITIONS:
            pair = [result.arbitrage[model][condition] for result in (test, stress)]
            cells = [
                cell for one in pair for cell in (f"{one.mean:.2%}", _interval(one, percent=True))
            ]
            table.add_row(f"{condition} violations, {model}", *cells)
    for coin in COINS:
        for model in HEDGES:
            pair = [result.day_pnl_deviation_bp[coin][model] for result in (test, stress)]
            cells = [cell for one in pair for cell in (f"{one.mean:.1f}", _interval(one))]
            table.add_row(f"{coin} day's P&L, bp, {model.replace('_', ' ')}", *cells)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _interval(estimate: Estimate, *, percent: bool = False) -> str:
    low, high = estimate.ci95
    return f"{low:.2%}..{high:.2%}" if percent else f"{low:.3g}..{high:.3g}"
