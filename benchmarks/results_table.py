"""The tables of `docs/results.md`, from what `volquorum evaluate --json` wrote.

    python -m benchmarks.results_table FILE ... [--page docs/results.md]

One file a partition; a partition without one has dashes in its column, and so has a model that was
not trained there. A model that was trained nowhere has no row
among the errors.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from benchmarks.gas_table import renewed
from benchmarks.results_goals import PARTITIONS, table_of_goals

WINDOWS: Final = ("test", "stress")
MODELS: Final[Mapping[str, str]] = {
    "federated": "**federated**",
    "central": "central: all data in one place",
    "local_mean": "a desk alone, mean",
    "local_best": "best desk alone",
    "local_worst": "worst desk alone",
    "unaided_mean": "a desk unaided, mean",
    "unaided_best": "best desk unaided",
    "unaided_worst": "worst desk unaided",
    "plain_mean": "a desk with the plain network, mean",
    "plain_best": "best desk with the plain network",
    "plain_worst": "worst desk with the plain network",
    "set_attention": "`set_attention` on all data",
    "hist_gradient_boosting": "gradient-boosted trees on all data",
    "quadratic": "quadratic smile through the panel",
    "quadratic_in_volatility": "the same in volatility, not in variance",
    "ssvi": "SSVI through the panel",
    "term_structure": "ATM term structure",
    "flat": "30-day ATM volatility",
}
RATIOS: Final[Mapping[str, str]] = {
    "federated_to_central": "federated to central",
    "federated_to_local_best": "federated to the best desk alone",
    "federated_to_local_mean": "federated to a desk alone, mean",
    "federated_to_unaided_best": "federated to the best desk unaided",
    "federated_to_plain_best": "federated to the best desk with the plain network",
    "central_to_hist_gradient_boosting": "central to boosted trees",
    "central_to_quadratic": "central to the quadratic smile",
    "central_to_quadratic_in_volatility": "central to the same in volatility",
}
TOLERANT: Final[Mapping[str, tuple[str, str]]] = {
    "the rule alone: RMSE": ("rmse_vol_points", "federated_rule_alone"),
    "the rule alone: to the mean": ("rmse_ratios", "federated_rule_alone_to_federated"),
    "rule and recipe: RMSE": ("rmse_vol_points", "federated_tolerant"),
    "rule and recipe: to the mean": ("rmse_ratios", "federated_tolerant_to_federated"),
    "rule and recipe: to central": ("rmse_ratios", "federated_tolerant_to_central"),
    "rule and recipe: to the best desk alone": ("rmse_ratios", "federated_tolerant_to_local_best"),
}
"""What is told of training together by a rule that tolerates a liar: a metric and a name in it."""
METRICS: Final[Mapping[str, str]] = {
    "mae_vol_points": "MAE",
    "p95_vol_points": "p95",
    "rmse_mid_vol_points": "RMSE to mid",
    "mae_mid_vol_points": "MAE to mid",
    "p95_mid_vol_points": "p95 to mid",
    "inside_bid_ask": "inside bid-ask",
    "price_rmse_bp": "price RMSE, bp",
}
BOOKS: Final[Mapping[str, str]] = {
    "federated": "federated",
    "head": "with the desk's own head",
    "local": "the desk alone",
    "chosen": "the blend that the desk fits on May",
    "central": "central",
}
HEDGES: Final[Mapping[str, str]] = {
    "unhedged": "unhedged",
    "exchange": "exchange's delta",
    "federated": "federated, sticky strike",
    "federated_along_smile": "federated, along its smile",
    "central": "central, sticky strike",
    "quadratic": "quadratic smile, sticky strike",
}
Found = Mapping[str, Mapping[str, Any]]
"""An evaluation by partition."""


def tables(found: Found) -> list[str]:
    """Every table of the page."""
    return [
        table_of_goals(found),
        *(table_of_models(found, window) for window in WINDOWS),
        *(table_of_ratios(found, window) for window in WINDOWS),
        *(table_of_tolerance(found, window) for window in WINDOWS),
        table_of_metrics(found),
        *(table_of_books(found, window) for window in WINDOWS),
        *(table_of_choices(found, window) for window in WINDOWS),
        table_of_arbitrage(found),
        table_of_hedges(found),
    ]


def table_of_models(found: Found, window: str) -> str:
    """Root mean square errors of everybody that was trained somewhere, with intervals."""
    each = {name: _each(found, window, "rmse_vol_points", name) for name in MODELS}
    measured = {MODELS[name]: row for name, row in each.items() if set(row) != {"-"}}
    return _table(f"RMSE, {window}", PARTITIONS, measured)


def table_of_ratios(found: Found, window: str) -> str:
    """Errors of one as a share of another's."""
    return _table(
        f"ratio of RMSE, {window}",
        PARTITIONS,
        {said: _each(found, window, "rmse_ratios", name) for name, said in RATIOS.items()},
    )


def table_of_metrics(found: Found) -> str:
    """The other metrics, of the first partition there is."""
    of = _window(next(iter(found.values())), "test")

    def value(metric: str, model: str) -> str:
        if metric == "inside_bid_ask":
            return f"{of[metric]['models'][model]['mean']:.1%}"
        return f"{of[metric][model]['mean']:.2f}" if metric in of else "-"

    rows = {
        said: [value(metric, name) for metric in METRICS]
        for name, said in MODELS.items()
        if name in of["rmse_vol_points"]
    }
    return _table("on the test", tuple(METRICS.values()), rows)


def table_of_books(found: Found, window: str) -> str:
    """Errors on the desks' own books: the mean over desks, and the worst."""

    def shown(name: str) -> Callable[[Mapping[str, Any]], str]:
        def cell(of: Mapping[str, Any]) -> str:
            errors = [book[name]["mean"] for book in of["books"]]
            return f"{sum(errors) / len(errors):.3f}, {of['worst_book'][name]['mean']:.3f}"

        return cell

    rows = {said: _columns(found, window, shown(name)) for name, said in BOOKS.items()}
    return _table(f"own book, {window}: mean, worst", PARTITIONS, rows)


def table_of_choices(found: Found, window: str) -> str:
    """Each desk's own book: its own head, itself alone, its blend, and the latter's share in it."""
    rows = {}
    for partition in PARTITIONS:
        if partition not in found:
            continue
        books = _window(found[partition], window)["books"]
        for name in ("federated", "head", "local", "chosen"):
            errors = [f"{book[name]['mean']:.3f}" for book in books]
            rows[f"{partition}: {BOOKS[name]}"] = errors
        if window == "test":
            rows[f"{partition}: share of the desk alone, seeds"] = _shares(found[partition])
    desks = max((len(row) for row in rows.values()), default=0)
    return _table(
        f"own book, {window}, desk by desk",
        [f"desk {number}" for number in range(1, desks + 1)],
        {name: [*row, *["-"] * (desks - len(row))] for name, row in rows.items()},
    )


def _shares(evaluation: Mapping[str, Any]) -> list[str]:
    """Of each desk, what it trained alone has of its blend, seed by seed."""
    return [
        ", ".join(f"{choice['share']:.2f}" for choice in seeds)
        for seeds in zip(*evaluation["choices"], strict=True)
    ]


def table_of_tolerance(found: Found, window: str) -> str:
    """What is trained together by a rule that tolerates a liar, when nobody lies: with the recipe
    of those who trust each other, and with the one that liars ask for."""
    rows = {said: _each(found, window, *place) for said, place in TOLERANT.items()}
    return _table(f"tolerating a liar, {window}", PARTITIONS, rows)


def table_of_arbitrage(found: Found) -> str:
    """Shares of the audited grid, test then stress."""
    rows = {
        f"{model}: {condition}": [
            ", ".join(
                f"{_window(one, window)['arbitrage'][condition]['models'][model]['mean']:.2%}"
                for window in WINDOWS
            )
            if one
            else "-"
            for one in (found.get(partition) for partition in PARTITIONS)
        ]
        for model in ("federated", "central", "quadratic")
        for condition in ("calendar", "butterfly", "wings")
    }
    return _table("arbitrage: test, stress", PARTITIONS, rows)


def table_of_hedges(found: Found) -> str:
    """Deviation of a day's gain, of the first partition there is."""
    one = next(iter(found.values()))
    columns = [(coin, window) for coin in ("BTC", "ETH") for window in WINDOWS]
    rows = {
        said: [
            _with_interval(_window(one, window)["day_pnl_deviation_bp"][coin][name], digits=1)
            for coin, window in columns
        ]
        for name, said in HEDGES.items()
    }
    heads = tuple(f"{coin}, {window}" for coin, window in columns)
    return _table("deviation of a day's gain, bp", heads, rows)


def _each(found: Found, window: str, metric: str, name: str) -> list[str]:
    return _columns(
        found,
        window,
        lambda of: _with_interval(of[metric][name], digits=3) if name in of[metric] else "-",
    )


def _columns(found: Found, window: str, cell: Callable[[Mapping[str, Any]], str]) -> list[str]:
    return [
        cell(_window(found[partition], window)) if partition in found else "-"
        for partition in PARTITIONS
    ]


def _window(evaluation: Mapping[str, Any], window: str) -> Mapping[str, Any]:
    return evaluation if window == "test" else evaluation["stress"]


def _with_interval(estimate: Mapping[str, Any], *, digits: int) -> str:
    low, high = estimate["ci95"]
    short = max(digits - 1, 0)
    return f"{estimate['mean']:.{digits}f} ({low:.{short}f}-{high:.{short}f})"


def _table(first: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    lines = [f"| {first} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(row)} |" for name, row in rows.items())])


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--page", type=click.Path(path_type=Path), help="Renew the tables of a page.")
def main(files: tuple[Path, ...], page: Path | None) -> None:
    """Print the tables, or put them in place of a page's."""
    read = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    found = {one["settings"]["partition"]: one for one in read}
    made = tables(found)
    if page is None:
        click.echo("\n\n".join(made))
    else:
        page.write_text(renewed(page.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
