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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
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
    LOCAL,
    RULE_ALONE,
    SURFACES,
    TOLERANT,
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
from node.evaluation.books import book, book_weights
from node.evaluation.hedging import HELD, TOLERANCE, open_positions
from node.learning.alone import train_alone, train_central, unaided_recipe
from node.learning.device import check_device
from node.learning.division import Market
from node.learning.federation import federate
from node.learning.personal import HEAD, Choice, choose, fit_head, mixed
from node.learning.training import TrainingSettings
from node.market.batches import Batch, Reading, whole
from node.market.cleaning import clean
from node.market.desks import Partition
from node.market.panel import Floats
from node.market.pipeline import cleaned_chain
from node.market.sources import MADE_UP_DAYS, quotes_of
from node.market.split import Split
from node.models.architecture import DEFAULT_SHIFT, Architecture
from node.models.boosting import train_boosting
from node.models.formulas import Pricer, volatility_smile
from node.models.plain_smile import PLAIN_SMILE
from node.models.registry import by_name
from node.models.smile import SMILE
from protocol.errors import ConfigError
from protocol.numbers import to_float
from protocol.storage import writing
from scripts.command import OUTPUT_FILE, OUTPUT_FOLDER, device_option, reports_failures
from scripts.comparison import Contestants
from scripts.division import RULES_OF_EQUALS, check_desks, described, divides_a_market
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
    device: str
    architecture: Architecture
    tolerant: RuleName | None
    also: tuple[Architecture, ...]

    def together(self) -> Mapping[str, "Together"]:
        """By name of a shared model, how it is made."""
        first = Together(self.rule, self.tolerance, self.tolerance)
        if self.tolerant is None:
            return {FEDERATED: first}
        return {
            FEDERATED: first,
            RULE_ALONE: replace(first, rule=self.tolerant, tolerance=ONE_LIAR),
            TOLERANT: Together(self.tolerant, ONE_LIAR, ONE_LIAR),
        }


@dataclass(frozen=True)
class Together:
    """How desks train one model together."""

    rule: RuleName
    tolerance: int
    """Of the rule."""
    wary_of: int
    """So many liars the recipe expects."""


METRICS = {
    "rmse_vol_points": "rmse",
    "mae_vol_points": "mae",
    "p95_vol_points": "p95",
    "rmse_mid_vol_points": "rmse_mid",
    "mae_mid_vol_points": "mae_mid",
    "p95_mid_vol_points": "p95_mid",
    "price_rmse_bp": "price_rmse_bp",
    "price_mae_bp": "price_mae_bp",
}
"""What JSON calls a metric, so that its unit is in its name."""
UNAIDED, PLAIN = "unaided", "plain"
"""What JSON calls a desk with nothing public, and one that has the plain network besides."""
CHOSEN = "chosen"
"""What JSON calls the model that a desk chooses for its own book."""
ONE_LIAR = 1
"""What a rule of `--tolerant` tolerates."""
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
    "--tolerant",
    type=click.Choice(RULES_OF_EQUALS),
    help="Also train together by this rule, with the recipe of --rule and with that for one liar.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="NAME",
    help="Also train this installed architecture on all data; may be given several times.",
)
@device_option
@click.option(
    "--json",
    "json_file",
    type=OUTPUT_FILE,
    help="Also write everything measured as JSON.",
)
@click.option(
    "--plots",
    type=OUTPUT_FOLDER,
    help="Folder to draw SVG pictures of the first seed's models in; made if missing.",
)
def main(
    *,
    train_end: datetime | None,
    validate_end: datetime | None,
    test: tuple[datetime, datetime] | None,
    stress: tuple[datetime, datetime] | None,
    model: str,
    also: tuple[str, ...],
    json_file: Path | None,
    plots: Path | None,
    **division: Any,  # noqa: ANN401 - what `divides_a_market` gives, seeds, device
) -> None:
    """Train together, on all data and alone; measure all on days that nobody trained on."""
    dates = _dates(train_end, validate_end, test, stress)
    others = tuple(by_name(name) for name in also)
    options = Options(dates=dates, architecture=by_name(model), also=others, **division)
    check_device(options.device)
    for way in options.together().values():
        check_desks(way.rule, way.tolerance, options.desks)
    console = Console(stderr=True)
    evaluation = evaluate(options, console)
    if json_file is not None:
        text = json.dumps(evaluation.as_dict(options), indent=1, allow_nan=False)
        with writing(json_file):
            json_file.write_text(text + "\n", encoding="utf-8")
    # Written to a file or a pipe, a table need not fit a window.
    out = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    for table in tables(evaluation.test, evaluation.stress):
        out.print(table)
    if plots is not None:
        for path in draw(plots, evaluation.market, evaluation.first, evaluation.test.cells):
            console.print(f"drawn: {path}", soft_wrap=True)


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured, and the first seed's market and models for pictures."""

    test: WindowResult
    stress: WindowResult
    market: Market
    first: Contestants
    choices: tuple[tuple[Choice, ...], ...]
    """Of each seed, what each desk chose."""

    def as_dict(self, options: Options) -> dict[str, Any]:
        """What `--json` writes; `docs/evaluation.md` names every key."""
        split = self.market.split
        test, stress = _document(self.test), _document(self.stress)
        test["rmse_vol_points"]["stress"] = stress["rmse_vol_points"]
        return {
            "settings": {
                "market": described(options.data),
                "partition": options.partition,
                "desks": options.desks,
                "rule": options.rule,
                "tolerance": options.tolerance,
                "tolerant": options.tolerant,
                "rounds": options.rounds,
                "seeds": list(range(options.seeds)),
                "device": options.device,
                "model": options.architecture.name,
                "model_spec_hash": "0x" + options.architecture.spec.hash.hex(),
                "training_quotes": [len(own) for own in self.market.own],
                "anchor_points": len(self.market.anchors),
                **{name: at.isoformat() for name, at in vars(split).items()},
            },
            **test,
            "stress": stress,
            "choices": [[asdict(choice) for choice in desks] for desks in self.choices],
        }


def evaluate(options: Options, console: Console) -> Evaluation:
    """Train and measure everything. Raises: DataError, ConfigError."""
    torch.set_num_threads(1)
    split = None if options.dates is None else options.dates.split()
    with console.status("reading and cleaning quotes"):
        end = None if split is None else max(split.test_end, split.stress_end)
        chain = cleaned_chain(_quotes(options, Reading(end=end)))
        undivided = Market.of(chain, split)
        divided = undivided.divided(options.partition, options.desks, seed=0)
        windows = {name: _held_out(options, divided, name) for name in ("test", "stress")}
    console.print(
        f"{sum(map(len, divided.own)):,} training quotes among {options.desks} desks and"
        f" {len(divided.anchors):,} anchor points; {len(divided.validation):,} to choose on;"
        f" test {len(divided.test):,} quotes of {len(windows['test'].days)} days, stress"
        f" {len(divided.stress):,} of {len(windows['stress'].days)}"
    )
    scores: dict[str, list[SeedScores]] = {name: [] for name in windows}
    trained = []
    for seed in range(options.seeds):
        drawn = undivided.divided(options.partition, options.desks, seed)
        trained.append(Training(drawn, options, seed, console).run())
        with console.status("scoring on held-out days"):
            for name, window in windows.items():
                scores[name].append(_scored(trained[-1], drawn, window))
    summed = {name: summarise(windows[name], scores[name]) for name in windows}
    choices = tuple(each.choices for each in trained)
    return Evaluation(summed["test"], summed["stress"], divided, trained[0].contestants, choices)


@dataclass(frozen=True)
class Trained:
    """One seed's models; the tuples hold one of each desk."""

    contestants: Contestants
    unaided: Mapping[str, tuple[Pricer, ...]]
    """Of desks alone, by `UNAIDED` and `PLAIN`."""
    heads: tuple[Pricer, ...]
    choices: tuple[Choice, ...]

    def own(self) -> Mapping[str, Sequence[Pricer]]:
        """What desks make of the shared model: a head each, and what each then chooses, which is
        a blend of head and desk alone, if with a share of 0 or 1."""
        chosen = [
            mixed(head, local, choice.share)
            for head, local, choice in zip(
                self.heads, self.contestants.local, self.choices, strict=True
            )
        ]
        return {HEAD: self.heads, CHOSEN: chosen}


@dataclass(frozen=True)
class Training:
    """One seed's training on a divided market."""

    divided: Market
    options: Options
    seed: int
    console: Console

    def run(self) -> Trained:
        """Train everybody."""
        architecture, seed = self.options.architecture, self.seed
        vectors = {name: self._together(way) for name, way in self.options.together().items()}
        federated = vectors.pop(FEDERATED)
        with self.console.status(f"seed {seed}") as status:

            def progress(said: str) -> None:
                status.update(f"seed {seed}: {said}")

            contestants = Contestants.trained(
                self.divided,
                federated,
                to_float(architecture.genesis(seed), DEFAULT_SHIFT),
                self._recipe(self.options.tolerance),
                architecture=architecture,
                seed=seed,
                progress=progress,
                device=self.options.device,
            )
            progress("training each desk on nothing but its own quotes")
            desks = range(len(self.divided.own))
            unaided = {
                name: tuple(self._unaided(network, desk) for desk in desks)
                for name, network in ((UNAIDED, architecture), (PLAIN, PLAIN_SMILE))
            }
            progress("fitting each desk's own head")
            personal = [
                self._head(federated, desk, local) for desk, local in enumerate(contestants.local)
            ]
            progress("growing trees")
            boosting = train_boosting(self.divided.pooled, seed)
            others: dict[str, Pricer] = {
                **{name: partial(architecture.predict, each) for name, each in vectors.items()},
                **contestants.others,
                "quadratic_in_volatility": volatility_smile,
                BOOSTING: boosting,
            }
            for other in self.options.also:
                progress(f"training {other.name} on all data together")
                others[other.name] = self._central(other)
        if not self.console.is_terminal:
            self.console.print(f"seed {seed} of {self.options.seeds}: trained")
        heads, choices = zip(*personal, strict=True)
        return Trained(replace(contestants, others=others), unaided, heads, choices)

    def _recipe(self, liars: int) -> TrainingSettings:
        recipe = TrainingSettings(rounds=self.options.rounds)
        return recipe.tolerating(liars, self.options.desks)

    def _together(self, way: Together) -> Floats:
        """What all desks train together; of its versions the one that is best on validation."""
        bar = Progress(
            TextColumn(f"seed {self.seed}, {way.rule}: rounds"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )
        with bar if self.console.is_terminal else nullcontext():
            shown = bar.add_task("", total=self.options.rounds)
            return federate(
                self.divided.desks,
                self._recipe(way.wary_of),
                architecture=self.options.architecture,
                rule=RULES[way.rule],
                tolerance=way.tolerance,
                seed=self.seed,
                device=self.options.device,
                validation=self.divided.validation,
                on_round=lambda *_: bar.update(shown, advance=1),
            )

    def _unaided(self, architecture: Architecture, desk: int) -> Pricer:
        own = self.divided.own[desk]
        vector = train_alone(
            to_float(architecture.genesis(self.seed), DEFAULT_SHIFT),
            own,
            unaided_recipe(self._recipe(self.options.tolerance)),
            validation=book(own, self.divided.validation),
            seed=self.seed + desk,
            device=self.options.device,
            architecture=architecture,
        )
        return partial(architecture.predict, vector)

    def _head(self, federated: Floats, desk: int, local: Pricer) -> tuple[Pricer, Choice]:
        """A desk's own head, and what it chooses by its book on the validation days."""
        own, architecture = self.divided.own[desk], self.options.architecture
        later = book(own, self.divided.validation)
        vector = fit_head(
            federated,
            own,
            later,
            self._recipe(self.options.tolerance),
            seed=self.seed + desk,
            device=self.options.device,
            architecture=architecture,
        )
        head = partial(architecture.predict, vector)
        shared = partial(architecture.predict, federated)
        return head, choose(shared, head, local, later)

    def _central(self, architecture: Architecture) -> Pricer:
        vector = train_central(
            to_float(architecture.genesis(self.seed), DEFAULT_SHIFT),
            self.divided.pooled,
            self._recipe(self.options.tolerance),
            validation=self.divided.validation,
            seed=self.seed,
            device=self.options.device,
            architecture=architecture,
        )
        return partial(architecture.predict, vector)


def _scored(trained: Trained, divided: Market, window: Window) -> SeedScores:
    books = [book_weights(own, window.samples) for own in divided.own]
    shared = trained.contestants.shared
    alone = {LOCAL: trained.contestants.local, **trained.unaided}
    return SeedScores(
        models={name: score(price, window, books) for name, price in shared.items()},
        alone={
            name: tuple(score(price, window, books) for price in prices)
            for name, prices in alone.items()
        },
        own={
            name: tuple(
                on_books(price, window, books)[:, desk] for desk, price in enumerate(prices)
            )
            for name, prices in trained.own().items()
        },
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


def _quotes(options: Options, reading: Reading) -> Iterable[Batch]:
    """Uncleaned, of a folder or of the made-up market of seed 0."""
    return quotes_of(options.data, days=MADE_UP_DAYS, reading=reading)


def _held_out(options: Options, divided: Market, name: str) -> Window:
    """The test or the stress window, with a position opened in each of its quotes."""
    split = divided.split
    start, end = getattr(split, f"{name}_start"), getattr(split, f"{name}_end")
    chain = whole(_quotes(options, Reading(start=start, end=end + HELD + TOLERANCE)))
    opened = clean(chain.filter(pl.col("timestamp") < end)).quotes
    positions = open_positions(opened, divided.panel, chain)
    return Window.of(getattr(divided, name), positions, divided.panel)


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
