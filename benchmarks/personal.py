"""What a desk should price with: chosen by one half of the validation days, judged on the other.

    python -m benchmarks.personal --data DIR [--partition desks] [--desks 5] [--seeds 3]

The shared model is the version that is best on one half. By its book on that half a desk stops
training alone, fits its head and the share of a blend, and chooses; what is chosen is priced on the
other half, and both ways round. Neither the test nor the stress window is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, get_args

import click
import numpy as np
import torch

from node.evaluation.books import book
from node.learning.alone import versions
from node.learning.division import Market
from node.learning.federation import federate
from node.learning.personal import BLEND, HEAD, LOCAL, SHARED, choose, fit_head, mixed
from node.learning.training import TrainingSettings
from node.learning.validation import best_on, rmse_of
from node.market.desks import Partition
from node.market.panel import Floats
from node.market.pipeline import cleaned_chain
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from node.market.sources import quotes_of
from node.models.architecture import DEFAULT_SHIFT
from node.models.formulas import Pricer
from node.models.smile import SMILE
from protocol.numbers import to_float
from protocol.task import Rule

Errors = Mapping[str, float]
"""Root mean square error of each candidate, vol points."""
MEAN: Final = "mean"
"""Of head and desk alone, with equal weights."""


def best_of(names: Sequence[str], errors: Errors) -> str:
    """Of equals the one named first."""
    return min(names, key=errors.__getitem__)


WAYS: Final[Mapping[str, Callable[[Errors], str]]] = MappingProxyType(
    {
        "the blend": partial(best_of, [BLEND]),
        "the best of three": partial(best_of, [SHARED, HEAD, LOCAL]),
        "the best of these and the mean": partial(best_of, [SHARED, HEAD, LOCAL, MEAN]),
        **{f"always {name}": partial(best_of, [name]) for name in (SHARED, HEAD, LOCAL, MEAN)},
    }
)


@dataclass(frozen=True)
class Trial:
    """One desk on one half of the days."""

    seen: Errors
    """What the desk chooses by."""
    unseen: Errors
    """The same of the other half."""


def trials(market: Market, settings: TrainingSettings, seed: int) -> Iterator[Trial]:
    """Every desk on both halves of the validation days."""
    published: list[Floats] = []
    federate(
        market.desks,
        settings,
        rule=Rule.MEAN,
        tolerance=0,
        seed=seed,
        on_round=lambda _, model: published.append(model),
    )
    parts = halves(market.validation)
    shared = [best_on(part, published) for part in parts]
    genesis = to_float(SMILE.genesis(seed), DEFAULT_SHIFT)
    for number, own in enumerate(market.own):
        alone = list(versions(genesis, market.desks[number], settings, seed=seed + number))
        books = [book(own, part) for part in parts]
        for seen, unseen, common in zip(books, reversed(books), shared, strict=True):
            head = fit_head(common, own, seen, settings, seed=seed + number)
            vectors = (common, head, best_on(seen, alone))
            yield _trial(*(partial(SMILE.predict, vector) for vector in vectors), seen, unseen)


def halves(validation: Samples) -> tuple[Samples, Samples]:
    """The earlier and the later half of the days."""
    day = validation.snapshot // MICROSECONDS_PER_DAY
    days = np.unique(day)
    middle = days[days.size // 2]
    return validation.take(day < middle), validation.take(day >= middle)


def _trial(shared: Pricer, head: Pricer, local: Pricer, seen: Samples, unseen: Samples) -> Trial:
    share = choose(shared, head, local, seen).share
    candidates = {
        SHARED: shared,
        HEAD: head,
        LOCAL: local,
        BLEND: mixed(head, local, share),
        MEAN: mixed(head, local, 0.5),
    }
    return Trial(
        *(
            {name: rmse_of(price, part) for name, price in candidates.items()}
            for part in (seen, unseen)
        )
    )


def table(found: Sequence[Trial]) -> Iterator[str]:
    """Markdown: what each way to choose comes to on the half that was not chosen by."""
    yield "| chosen | RMSE | beside the desk alone | worse than it |"
    yield "|---|---|---|---|"
    for name, way in WAYS.items():
        errors = np.array([trial.unseen[way(trial.seen)] for trial in found])
        ratios = errors / np.array([trial.unseen[LOCAL] for trial in found])
        worse = np.mean(ratios > 1.0)
        yield f"| {name} | {errors.mean():.3f} | {ratios.mean():.3f} | {worse:.0%} |"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Made up without.")
@click.option("--partition", type=click.Choice(get_args(Partition)), default="desks")
@click.option("--desks", type=click.IntRange(1, 64), default=5)
@click.option("--rounds", type=click.IntRange(min=1), default=TrainingSettings().rounds)
@click.option("--seeds", type=click.IntRange(min=1), default=3)
def main(*, data: Path | None, partition: Partition, desks: int, rounds: int, seeds: int) -> None:
    """Try every way to choose."""
    torch.set_num_threads(1)
    undivided = Market.of(cleaned_chain(quotes_of(data)))
    found = [
        trial
        for seed in range(seeds)
        for trial in trials(
            undivided.divided(partition, desks, seed), TrainingSettings(rounds=rounds), seed
        )
    ]
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
