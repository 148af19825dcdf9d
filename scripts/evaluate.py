#!/usr/bin/env python3
"""Trains a model by all desks together, on all data and by each desk alone; measures them all.

Several seeds, on later days that nothing was trained or chosen on, and on a stress window. What is
measured and how it is written is told in `docs/evaluation.md`.
"""

import sys
from pathlib import Path

if not __package__:
    # Run as a file, perhaps on a machine that is not set up yet: nothing else may be imported.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from scripts import bootstrap

    bootstrap.install_packages(dev=False)
    bootstrap.become("scripts.evaluate", sys.argv[1:])

import json
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any

import click
import polars as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from node.evaluation.assessment import (
    BOOSTING,
    CONDITIONS,
    FEDERATED,
    SURFACES,
    SeedScores,
    Window,
    WindowResult,
    hedged_along_smile,
    on_books,
    plain,
    score,
    summarise,
    violations,
)
from node.evaluation.books import book_weights
from node.evaluation.hedging import HELD, TOLERANCE, open_positions
from node.learning.federation import federate
from node.learning.personal import personalise
from node.learning.training import TrainingSettings
from node.learning.validation import best_on
from node.market.batches import Batch, Reading, whole
from node.market.cleaning import clean
from node.market.desks import Partition
from node.market.layouts import read_batches
from node.market.panel import Floats
from node.market.pipeline import cleaned_chain
from node.market.split import Split
from node.market.synthetic import market
from node.models.architecture import DEFAULT_SHIFT, Architecture
from node.models.boosting import train_boosting
from node.models.registry import by_name
from node.models.smile import SMILE
from protocol.errors import ConfigError
from protocol.numbers import to_float
from scripts.command import reports_failures
from scripts.comparison import Contestants, Market
from scripts.division import SYNTHETIC_DAYS, divides_a_market
from scripts.evaluation_tables import tables
from scripts.plots import draw
from scripts.task_config import RULES, RuleName

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Dates:
    """The days that a person named: whole days (UTC), each stretch with its last."""

    train_end: datetime
    validate_end: datetime
    test: tuple[datetime, datetime]
    stress: tuple[datetime, datetime]

    def split(self) -> Split:
        """Raises: ConfigError where the stretches are not in order."""
        split = Split(
            train_end=self.train_end + DAY,
            validation_end=min(self.validate_end + DAY, self.test[0]),
            stress_start=self.stress[0],
            stress_end=self.stress[1] + DAY,
            test_start=self.test[0],
            test_end=self.test[1] + DAY,
        )
        if split.validation_end <= split.train_end:
            raise ConfigError(
                "--validate-end and --test must leave days after --train-end to choose on; found "
                f"training to {_day(self.train_end)}, validation to {_day(self.validate_end)} and "
                f"a test from {_day(self.test[0])}"
            )
        return split


class DayRange(click.ParamType[tuple[datetime, datetime]]):
    """FROM:TO, two dates."""

    name = "FROM:TO"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[datetime, datetime]:
        """The two days, at midnight UTC."""
        try:
            first, last = (
                datetime.strptime(part, "%Y-%m-%d").replace(tzinfo=UTC)
                for part in str(value).split(":")
            )
        except ValueError:
            self.fail(f"wanted YYYY-MM-DD:YYYY-MM-DD, found {value}", param, ctx)
        if last < first:
            self.fail(f"wanted the earlier day first, found {value}", param, ctx)
        return first, last


@dataclass(frozen=True)
class Options:
    """What the person asked for."""

    data: Path | None
    dates: Dates | None
    rounds: int
    desks: int
    partition: Partition
    rule: RuleName
    tolerance: int
    seeds: int
    architecture: Architecture


METRICS = {
    "rmse_vol_points": "rmse",
    "mae_vol_points": "mae",
    "p95_vol_points": "p95",
    "rmse_mid_vol_points": "rmse_mid",
    "mae_mid_vol_points": "mae_mid",
    "price_rmse_bp": "price_rmse_bp",
    "price_mae_bp": "price_mae_bp",
}
"""What JSON calls a metric, so that its unit is in its name."""
WIDTH = 120
"""Of a table, characters."""
A_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@reports_failures
@divides_a_market
@click.option("--train-end", type=A_DAY, metavar="DATE", help="The last day that is trained on.")
@click.option(
    "--validate-end", type=A_DAY, metavar="DATE", help="The last day that choices are made on."
)
@click.option("--test", type=DayRange(), help="The first and the last day of the test.")
@click.option(
    "--stress",
    type=DayRange(),
    help="The first and the last day of the stress window, which is never trained on.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="How often everything is trained, with seeds 0, 1, ...",
)
@click.option(
    "--model", default=SMILE.name, show_default=True, help="Name of an installed architecture."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write everything measured as JSON.",
)
@click.option(
    "--plots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to draw SVG pictures of the first seed's models in; made if missing.",
)
def main(
    *,
    train_end: datetime | None,
    validate_end: datetime | None,
    test: tuple[datetime, datetime] | None,
    stress: tuple[datetime, datetime] | None,
    model: str,
    json_file: Path | None,
    plots: Path | None,
    **division: Any,  # noqa: ANN401 - what `divides_a_market` gives, and the seeds
) -> None:
    """Train together, on all data and alone; measure all on days that nobody trained on."""
    dates = _dates(train_end, validate_end, test, stress)
    options = Options(dates=dates, architecture=by_name(model), **division)
    console = Console(stderr=True)
    if json_file is not None:
        # Before minutes of training, not after.
        json_file.parent.mkdir(parents=True, exist_ok=True)
    evaluation = evaluate(options, console)
    if json_file is not None:
        text = json.dumps(evaluation.as_dict(options), indent=1, allow_nan=False)
        json_file.write_text(text + "\n", encoding="utf-8")
    if plots is not None:
        for path in draw(plots, evaluation.market, evaluation.first, evaluation.test.cells):
            console.print(f"drawn: {path}", soft_wrap=True)
    # Written to a file or a pipe, a table need not fit a window.
    out = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    for table in tables(evaluation.test, evaluation.stress):
        out.print(table)


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured, and the first seed's market and models for pictures."""

    test: WindowResult
    stress: WindowResult
    market: Market
    first: Contestants

    def as_dict(self, options: Options) -> dict[str, Any]:
        """What `--json` writes; `docs/evaluation.md` names every key."""
        split = self.market.split
        test, stress = _document(self.test), _document(self.stress)
        test["rmse_vol_points"]["stress"] = stress["rmse_vol_points"]
        return {
            "settings": {
                "market": _described(options),
                "partition": options.partition,
                "desks": options.desks,
                "rule": options.rule,
                "tolerance": options.tolerance,
                "rounds": options.rounds,
                "seeds": list(range(options.seeds)),
                "model": options.architecture.name,
                "model_spec_hash": "0x" + options.architecture.spec.hash.hex(),
                "training_quotes": [len(own) for own in self.market.own],
                "anchor_points": len(self.market.anchors),
                **{name: at.isoformat() for name, at in vars(split).items()},
            },
            **test,
            "stress": stress,
        }


def evaluate(options: Options, console: Console) -> Evaluation:
    """Train and measure everything. Raises: DataError, ConfigError."""
    torch.set_num_threads(1)
    split = None if options.dates is None else options.dates.split()
    source = Source(options.data)
    with console.status("reading and cleaning quotes"):
        end = None if split is None else max(split.test_end, split.stress_end)
        cleaned = cleaned_chain(source.batches(end=end))
        divided = Market.of(cleaned, options.partition, options.desks, 0, split)
        windows = {name: _held_out(source, divided, name) for name in ("test", "stress")}
    console.print(
        f"{sum(map(len, divided.own)):,} training quotes among {options.desks} desks and"
        f" {len(divided.anchors):,} anchor points; {len(divided.validation):,} to choose on;"
        f" test {len(divided.test):,} quotes of {len(windows['test'].days)} days, stress"
        f" {len(divided.stress):,} of {len(windows['stress'].days)}"
    )
    scores: dict[str, list[SeedScores]] = {name: [] for name in windows}
    trained = []
    for seed in range(options.seeds):
        # The first seed's market is divided already.
        drawn = (
            Market.of(cleaned, options.partition, options.desks, seed, split) if seed else divided
        )
        trained.append(_trained(drawn, options, seed, console))
        with console.status("scoring on held-out days"):
            for name, window in windows.items():
                scores[name].append(_scored(trained[-1], drawn, window))
    summed = {name: summarise(windows[name], scores[name]) for name in windows}
    return Evaluation(summed["test"], summed["stress"], divided, trained[0])


def _trained(divided: Market, options: Options, seed: int, console: Console) -> Contestants:
    settings = TrainingSettings(rounds=options.rounds).tolerating(options.tolerance)
    versions: list[Floats] = []
    bar = Progress(
        TextColumn(f"seed {seed}: rounds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with bar if console.is_terminal else nullcontext():
        shown = bar.add_task("", total=options.rounds)

        def published(_round: int, model: Floats) -> None:
            versions.append(model)
            bar.update(shown, advance=1)

        federate(
            divided.desks,
            settings,
            architecture=options.architecture,
            rule=RULES[options.rule],
            tolerance=options.tolerance,
            seed=seed,
            on_round=published,
        )
    # As for the central model: who uses the network sees every version's error on these days.
    federated = best_on(divided.validation, versions, options.architecture)
    with console.status(f"seed {seed}") as status:
        contestants = Contestants.trained(
            divided,
            federated,
            to_float(options.architecture.genesis(seed), DEFAULT_SHIFT),
            settings,
            architecture=options.architecture,
            seed=seed,
            progress=lambda said: status.update(f"seed {seed}: {said}"),
        )
        status.update(f"seed {seed}: fitting each desk's own head")
        personal = tuple(
            personalise(
                federated, own, settings, seed=seed + desk, architecture=options.architecture
            ).vector
            for desk, own in enumerate(divided.own)
        )
        status.update(f"seed {seed}: growing trees")
        boosting = train_boosting(divided.pooled, seed)
    if not console.is_terminal:
        console.print(f"seed {seed} of {options.seeds}: trained")
    return replace(
        contestants,
        personal=tuple(partial(options.architecture.predict, vector) for vector in personal),
        others={**contestants.others, BOOSTING: boosting},
    )


def _scored(contestants: Contestants, divided: Market, window: Window) -> SeedScores:
    books = [book_weights(own, window.samples) for own in divided.own]
    shared = contestants.shared
    return SeedScores(
        models={name: score(price, window, books) for name, price in shared.items()},
        local=tuple(score(price, window, books) for price in contestants.local),
        personal=tuple(
            on_books(price, window, books)[:, desk]
            for desk, price in enumerate(contestants.personal)
        ),
        violations={name: violations(shared[name], window) for name in SURFACES},
        along_smile_bp={name: hedged_along_smile(shared[name], window) for name in SURFACES},
    )


def _dates(
    train_end: datetime | None,
    validate_end: datetime | None,
    test: tuple[datetime, datetime] | None,
    stress: tuple[datetime, datetime] | None,
) -> Dates | None:
    """Raises: ConfigError unless all are given or none."""
    if train_end is None and validate_end is None and test is None and stress is None:
        return None
    if train_end is None or validate_end is None or test is None or stress is None:
        raise ConfigError(
            "give --train-end, --validate-end, --test and --stress together, or none of them"
        )
    return Dates(train_end.replace(tzinfo=UTC), validate_end.replace(tzinfo=UTC), test, stress)


@dataclass(frozen=True)
class Source:
    """Where quotes come from: a folder, or a made-up market."""

    folder: Path | None

    @cached_property
    def made_up(self) -> pl.DataFrame:
        """The market of a person who has none."""
        return market(0, days=SYNTHETIC_DAYS)

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterable[Batch]:
        """Uncleaned quotes in [start, end)."""
        if self.folder is not None:
            return read_batches(self.folder, reading=Reading(start=start, end=end))
        time = pl.col("timestamp")
        after = pl.lit(value=True) if start is None else time >= start
        before = pl.lit(value=True) if end is None else time < end
        return [Batch.of(self.made_up.filter(after & before))]


def _held_out(source: Source, divided: Market, name: str) -> Window:
    """The test or the stress window, with a position opened in each of its quotes."""
    split = divided.split
    start, end = getattr(split, f"{name}_start"), getattr(split, f"{name}_end")
    chain = whole(source.batches(start, end + HELD + TOLERANCE))
    opened = clean(chain.filter(pl.col("timestamp") < end)).quotes
    positions = open_positions(opened, divided.panel, chain)
    return Window.of(getattr(divided, name), positions, divided.panel)


def _described(options: Options) -> str:
    if options.data is None:
        return f"{SYNTHETIC_DAYS} made-up days"
    return f"chains in {options.data.name}"


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _document(result: WindowResult) -> dict[str, Any]:
    """One window as `--json` has it."""
    tree: dict[str, Any] = plain(result)
    metrics, arbitrage = tree.pop("metrics"), tree.pop("arbitrage")
    return {
        **{name: metrics[metric] for name, metric in METRICS.items()},
        "inside_bid_ask": _federated_first(metrics["inside_spread"]),
        "arbitrage": {
            condition: _federated_first({name: each[condition] for name, each in arbitrage.items()})
            for condition in CONDITIONS
        },
        **tree,
    }


def _federated_first(models: dict[str, Any]) -> dict[str, Any]:
    return {**models[FEDERATED], "models": models}


if __name__ == "__main__":
    main()
