"""The main job on one machine: a whole task on an embedded chain, and what it was worth.

Nothing is waited for: when nobody has anything to do, the chain's clock is moved to the next
deadline.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from node.evaluation.metrics import by_cell, measure
from node.learning.desk_trainer import DeskTrainer
from node.learning.division import Market
from node.learning.training import TrainingSettings
from node.market.desks import Partition
from node.market.pipeline import Tally, cleaned_chain
from node.market.sources import quotes_of
from node.models.formulas import quadratic_smile
from node.models.smile import SMILE
from protocol import logs
from protocol.numbers import to_float
from protocol.storage import writing
from protocol.task import ZERO_ADDRESS
from scripts.command import OUTPUT_FILE, reports_failures
from scripts.comparison import Comparison, Contestants, compare, smiles
from scripts.division import described, desks_needed, divides_a_market
from scripts.money import in_words
from scripts.network import EmbeddedNetwork, RoundRecord
from scripts.report import write_report
from scripts.standings import Standing, standings, verdict
from scripts.task_config import RULES, RuleName, TaskConfig


@dataclass(frozen=True)
class Options:
    """What the person asked for."""

    data: Path | None
    rounds: int
    desks: int
    partition: Partition
    rule: RuleName
    tolerance: int
    seed: int
    report: Path
    json_file: Path | None


@click.command()
@reports_failures
@divides_a_market
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the made-up market, the division, the accounts and the training.",
)
@click.option(
    "--report",
    type=OUTPUT_FILE,
    default=Path("var/demo/report.html"),
    show_default=True,
    help="Report to write: one HTML file with everything inside.",
)
@click.option(
    "--json",
    "json_file",
    type=OUTPUT_FILE,
    help="Also write the numbers as JSON.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="error",
    show_default=True,
    help="Log to stderr from here on.",
)
def main(
    *,
    data: Path | None,
    rounds: int,
    desks: int,
    partition: Partition,
    rule: RuleName,
    tolerance: int,
    seed: int,
    report: Path,
    json_file: Path | None,
    log_level: str,
) -> None:
    """Run a whole federated training on an embedded chain and compare it with going alone."""
    logs.configure(log_level)
    options = Options(data, rounds, desks, partition, rule, tolerance, seed, report, json_file)
    console = Console(stderr=True)
    result = demonstrate(options, console)
    write_report(options.report, result)
    if options.json_file is not None:
        with writing(options.json_file):
            options.json_file.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    out = Console()
    out.print(_rounds_table(result["rounds"]))
    out.print(_services_table(result["services"]))
    out.print(_comparison_table(standings(result)))
    out.print(verdict(result))
    out.print(f"{result['rounds_final']} of {options.rounds} rounds are final; each model was")
    out.print(f"recomputed bit for bit by {result['verified_by']} participants.")
    burned = f", {result['burned_wei']} of them burned" if result["burned_wei"] else ""
    out.print(f"Everybody left and withdrew; the contract holds {result['left_wei']} wei{burned}.")
    out.print(f"Report: {options.report}", soft_wrap=True)


def demonstrate(options: Options, console: Console) -> dict[str, Any]:
    """Run the task and the comparison; the result is JSON-ready."""
    started = time.monotonic()
    console.print(
        f"a network of {options.desks} desks on a chain in this process, {options.rounds} rounds, "
        f"rule {options.rule}, on {described(options.data)}"
    )
    with console.status("reading and cleaning quotes") as status:
        undivided = Market.of(_chain(options, status.update))
        desks = undivided.divided(options.partition, options.desks, options.seed)
    console.print(
        f"{sum(map(len, desks.own)):,} training quotes among {options.desks} desks "
        f"({', '.join(f'{len(own):,}' for own in desks.own)}) and {len(desks.anchors):,} public "
        f"anchor points, "
        f"{len(desks.test):,} held out for the test, {len(desks.stress):,} for stress"
    )
    task = _task(options)
    settings = TrainingSettings(rounds=task.rounds).tolerating(options.tolerance, task.quorum)
    with tempfile.TemporaryDirectory(prefix="volquorum-") as folder:
        trainers = [
            DeskTrainer(samples, settings, seed=options.seed + number)
            for number, samples in enumerate(desks.desks)
        ]
        running = EmbeddedNetwork(task, trainers, folder=Path(folder), seed=str(options.seed))
        records = _run(running, desks, options, console)
        federated = to_float(running.model(), task.shift)
        summary = running.wind_up()
    genesis = to_float(task.genesis(), task.shift)
    console.print("comparing with each desk alone, with all data in one place and with formulas")
    with console.status("comparing") as status:
        contestants = Contestants.trained(
            desks, federated, genesis, settings, seed=options.seed, progress=status.update
        )
        status.update("scoring on held-out days")
        comparison = compare(desks, contestants)
        pictures = _pictures(desks, contestants, comparison)
    return {
        "settings": {
            "market": described(options.data),
            "partition": options.partition,
            "desks": options.desks,
            "rounds": options.rounds,
            "rule": options.rule,
            "tolerance": options.tolerance,
            "seed": options.seed,
        },
        "is_made_up": options.data is None,
        "contract": running.chain.contract,
        "task": "0x" + running.task_id.hex(),
        "rounds": records,
        "rounds_final": sum(record["phase"] == "final" for record in records),
        "verified_by": summary.verified_by,
        "left_wei": summary.left_wei,
        "burned_wei": summary.burned_wei,
        "services": [
            {"desk": desk, **asdict(service), "reward_wei": str(service.reward_wei)}
            for desk, service in enumerate(summary.services)
        ],
        "rmse_vol_points": comparison.rmse_vol_points(),
        "metrics": comparison.as_dict(),
        **pictures,
        "seconds": round(time.monotonic() - started, 1),
    }


def _chain(options: Options, progress: Callable[[str], None]) -> pl.DataFrame:
    def show(tally: Tally) -> None:
        progress(f"reading and cleaning quotes: {tally.quotes:,}, {tally.share:.0%}")

    return cleaned_chain(quotes_of(options.data, seed=options.seed), on_batch=show)


def _task(options: Options) -> TaskConfig:
    least = desks_needed(options.rule, options.tolerance)
    quorum = min(options.desks, max(least, (options.desks + 1) // 2))
    return TaskConfig(
        rule=options.rule,
        tolerance=options.tolerance,
        clip_norm=1.0 if RULES[options.rule].clips else 0.0,
        rounds=options.rounds,
        quorum=quorum,
        cohort=options.desks,
    )


def _run(
    running: EmbeddedNetwork, desks: Market, options: Options, console: Console
) -> list[dict[str, Any]]:
    records = []
    bar = Progress(
        TextColumn("rounds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
    )
    with bar if console.is_terminal else nullcontext():
        shown = bar.add_task("", total=options.rounds)
        for record in running.rounds():
            records.append(_with_validation(record, running, desks))
            latest = records[-1]["validation_rmse"]
            said = f"validation RMSE {latest:.3f}" if latest is not None else "void"
            bar.update(shown, advance=1, description=said)
            if not console.is_terminal:
                console.print(f"round {record.number} of {options.rounds}: {said}")
    return records


def _with_validation(
    record: RoundRecord, running: EmbeddedNetwork, desks: Market
) -> dict[str, Any]:
    rmse = None
    if record.phase == "final":
        vector = to_float(running.model(), running.params.shift)
        rmse = measure(SMILE.predict(vector, desks.validation), desks.validation).rmse
    return {
        "round": record.number,
        "phase": record.phase,
        "updates": record.updates,
        "gas": record.gas,
        "model_root": record.model_root,
        "validation_rmse": rmse,
    }


def _pictures(desks: Market, contestants: Contestants, comparison: Comparison) -> dict[str, Any]:
    models = [
        ("federated", contestants.federated),
        ("best desk alone", comparison.best_desk),
        ("quadratic", quadratic_smile),
    ]
    cells = [
        {
            "model": name,
            "tenor_days": list(cell.tenor_days),
            # JSON has no infinity: an outermost cell is open where its edge is null.
            "z": [edge if math.isfinite(edge) else None for edge in cell.z],
            "rmse": cell.metrics.rmse,
        }
        for name, pricer in models
        for cell in by_cell(pricer(desks.test), desks.test)
        if cell.coin == "BTC"
    ]
    return {
        "cells": cells,
        "smiles": [smiles(models, desks.test, is_btc=is_btc) for is_btc in (True, False)],
    }


def _rounds_table(records: list[dict[str, Any]]) -> Table:
    table = Table(title="Rounds")
    for name in ("round", "phase", "updates", "validation RMSE", "gas", "model root"):
        table.add_column(name, justify="left" if name in {"phase", "model root"} else "right")
    for record in records:
        rmse = record["validation_rmse"]
        table.add_row(
            str(record["round"]),
            record["phase"],
            str(record["updates"]),
            "" if rmse is None else f"{rmse:.3f}",
            f"{record['gas']:,}",
            record["model_root"][:18],
        )
    return table


def _services_table(services: list[dict[str, Any]]) -> Table:
    table = Table(title="What the desks got")
    for name in ("desk", "rounds paid", "not opened", "reward"):
        table.add_column(name, justify="right")
    for each in services:
        reward = in_words(int(each["reward_wei"]), ZERO_ADDRESS)
        table.add_row(str(each["desk"]), str(each["served"]), str(each["missed"]), reward)
    return table


def _comparison_table(compared: Sequence[Standing]) -> Table:
    table = Table(title="RMSE on quotes that no model saw, vol points")
    table.add_column("model")
    table.add_column("test", justify="right")
    table.add_column("stress", justify="right")
    table.add_column("inside bid-ask", justify="right")
    for each in compared:
        inside = "" if each.inside_spread is None else f"{each.inside_spread:.0%}"
        table.add_row(each.name, f"{each.test:.3f}", f"{each.stress:.3f}", inside)
    return table


if __name__ == "__main__":
    main()
