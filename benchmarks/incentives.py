"""Who earns and who loses in a task, by how it behaves and by how the reward is divided.

    python -m benchmarks.incentives --data DIR [--partition alike] [--rounds 15] [--json FILE]

The rounds of `robustness.py` with what belongs to money: desks keep their latest days back, score
each other's updates on them, and are paid by the protocol's own integers. A run says what each desk
sent and how it was scored; who votes otherwise, declares otherwise or pays other prices is then
counted without training again. Every run is appended to the JSON lines of `--json` as soon as it is
there and found again by the next one.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch

from benchmarks.attacks import View, fitted, free_ride, gaussian_noise, mirror, own_update
from benchmarks.contestants import CONTESTANTS
from benchmarks.field import PARTITIONS, Field, priced_by
from benchmarks.incentives_table import (
    HONEST,
    Draws,
    Run,
    Scored,
    Story,
    Terms,
    advantages,
    draw,
    earnings,
)
from benchmarks.robustness import SHORT
from node.learning.contribution import (
    AGREEMENT,
    METHODS,
    SHOWN_ROUNDS,
    contribution_scores,
    hold_out,
    newness,
)
from node.learning.federation import Desk
from node.learning.training import TrainingSettings
from node.learning.update import max_squared_norm
from node.market.samples import Samples
from node.models.architecture import DEFAULT_MAX_NORM, DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from protocol.numbers import Int16Array, Int32Array
from protocol.task import RewardRule

ALIKE: Final = "alike"
"""Every desk has a random tenth of all quotes, so that what it earns depends on what it does."""
RULE: Final = "trimmed_mean"
"""The rule to choose, by docs/robustness.md."""
SNAPSHOT: Final = Path(__file__).parents[1] / "contracts" / "snapshots" / "round.json"

MIXED: Final = 3
MIX_NOISE: Final = 0.3
"""So many of the best scored updates are mixed, with noise of this share of the mean's length."""


@dataclass(frozen=True)
class Conduct:
    """What liars send. They know the honest updates, those that were scored best before first."""

    craft: Callable[[View], Int16Array] | None
    """Shape: -> [liars, d]; without, they send nothing."""
    knows_last: bool = False
    """The updates that they know are those of the round before."""
    trains: bool = False
    steps: int | None = None
    """Of a round's training, where they are not those of the recipe."""
    taught: Callable[[Samples, Samples], Samples] = lambda own, _: own
    """What liars train on, of their samples and of the public points alone."""
    swept: bool = True
    """Run with every number of liars, not with one only."""


def mixed(view: View) -> Int16Array:
    """The mean of the best updates, hidden in noise."""
    mean = view.honest[:MIXED].astype(np.float64).mean(axis=0)
    noise = view.rng.standard_normal((view.liars, mean.size))
    noise *= MIX_NOISE * np.linalg.norm(mean) / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.stack([fitted(mean + row, view.max_squared_norm) for row in noise])


def as_long(view: View) -> Int16Array:
    """The liars' own updates, each made as long as an honest one is on average."""
    length = float(np.linalg.norm(view.honest.astype(np.float64), axis=1).mean())
    own = own_update(view).astype(np.float64)
    factors = length / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1.0)
    return np.stack([fitted(row, view.max_squared_norm) for row in own * factors])


CONDUCTS: Mapping[str, Conduct] = MappingProxyType(
    {
        "absent": Conduct(None, swept=False),
        "lazy": Conduct(own_update, trains=True, steps=1),
        "stretched": Conduct(as_long, trains=True, steps=10, swept=False),
        "outside": Conduct(own_update, trains=True, taught=lambda _, public: public, swept=False),
        "mirrored": Conduct(as_long, trains=True, taught=lambda own, _: mirror(own), swept=False),
        "nothing": Conduct(
            lambda view: free_ride(replace(view, honest=0 * view.honest[:1])), swept=False
        ),
        "noise": Conduct(gaussian_noise),
        "sign_flip": Conduct(lambda view: -own_update(view), trains=True),
        "copy_last": Conduct(free_ride, knows_last=True, swept=False),
        "mix_last": Conduct(mixed, knows_last=True),
        "copy_now": Conduct(free_ride, swept=False),
    }
)


@dataclass(frozen=True)
class Market:
    """Every desk's training samples and the latest days that it keeps back to score by."""

    field: Field
    trained: tuple[Samples, ...]
    held_out: tuple[Samples, ...]

    @classmethod
    def cut(cls, data: Path | None, how: str, desks: int, seed: int) -> "Market":
        if how != ALIKE:
            known = next(each for each in PARTITIONS if each == how)
            return cls.of(Field.cut(data, known, desks, seed, anchored=False))
        field = Field.cut(data, "desks", desks, seed, anchored=False)
        owner = np.random.default_rng(seed).integers(desks, size=len(field.pooled))
        dealt = tuple(field.pooled.take(owner == desk) for desk in range(desks))
        return cls.of(replace(field, desks=dealt))

    @classmethod
    def of(cls, field: Field) -> "Market":
        """From a field whose desks have their own quotes alone; everybody trains on the anchors."""
        parts = [hold_out(own) for own in field.desks]
        return cls(
            field,
            tuple(Samples.join(trained, field.anchors) for trained, _ in parts),
            tuple(held for _, held in parts),
        )


def play(market: Market, run: Run) -> Story:
    """The run's rounds and what their model is worth.

    Raises: DataError if the model left the finite numbers.
    """
    settings = TrainingSettings(run.rounds, run.steps_per_round, run.batch_size).tolerating(
        run.tolerance
    )
    conduct, lying = CONDUCTS.get(run.conduct, Conduct(None)), run.order[: run.liars]
    theirs = replace(settings, steps_per_round=conduct.steps or run.steps_per_round)
    desks = []
    for desk, samples in enumerate(market.trained):
        if desk in lying:
            taught = conduct.taught(samples, market.field.anchors)
            desks.append(Desk(taught, theirs, desk, run.seed))
        else:
            desks.append(Desk(samples, settings, desk, run.seed))
    honest = [desk for desk in range(run.desks) if desk not in lying]
    bound = max_squared_norm(DEFAULT_MAX_NORM, DEFAULT_SHIFT)
    rng = np.random.default_rng([run.seed, run.liars])
    best = honest
    model = before = SMILE.genesis(run.seed, DEFAULT_SHIFT)
    rounds, shown = list[Scored](), list[dict[int, Int16Array]]()
    for number in range(1, run.rounds + 1):
        sent = {desk: desks[desk].update(model, number, before) for desk in honest}
        known = sent if not conduct.knows_last else shown[-1] if shown else None
        if lying and conduct.craft and known:
            own = (
                [desks[desk].update(model, number, before) for desk in lying]
                if conduct.trains
                else []
            )
            seen = np.stack([known[desk] for desk in best])
            view = View(seen, run.liars, bound, rng, np.stack(own) if own else None)
            sent |= dict(zip(lying, conduct.craft(view), strict=True))
        rounds.append(
            scored(market, run, model, sent, shown[max(0, number - 1 - run.looks_back) :])
        )
        paid = dict(zip(sorted(sent), rounds[-1].shares_wei(RewardRule.SCORES, 1000), strict=True))
        best = sorted(honest, key=lambda desk: -paid[desk])
        shown.append(sent)
        updates = np.stack([sent[desk] for desk in sorted(sent)])
        aggregate = CONTESTANTS[RULE](updates, run.tolerance, updates[0])
        before, model = model, numbers.add_update(model, aggregate)
    found = market.field.score(priced_by(numbers.to_float(model, DEFAULT_SHIFT)))
    return Story(
        run,
        tuple(len(own) for own in market.field.desks),
        round(found["test"].rmse, 4),
        round(found["stress"].rmse, 4),
        tuple(rounds),
    )


def scored(
    market: Market,
    run: Run,
    model: Int32Array,
    sent: Mapping[int, Int16Array],
    shown: Sequence[Mapping[int, Int16Array]],
) -> Scored:
    """One round as its desks judge it, with what they were shown in the rounds before."""
    included = sorted(sent)
    updates = np.stack([sent[desk] for desk in included])
    before = [(str(desk), update) for earlier in shown for desk, update in earlier.items()]
    new = None
    if before:
        by, earlier_updates = zip(*before, strict=True)
        new = newness(updates, [str(desk) for desk in included], np.stack(earlier_updates), by)
    scores = [
        contribution_scores(
            model,
            updates,
            market.held_out[desk],
            shift=DEFAULT_SHIFT,
            own=place,
            method=run.method,
            newness=new,
        )
        for place, desk in enumerate(included)
    ]
    return Scored(tuple(included), tuple(each.hex() for each in scores))


def known_stories(file: Path | None) -> dict[Run, Story]:
    """What earlier invocations left."""
    if file is None or not file.exists():
        return {}
    stories = [Story.from_json(line) for line in file.read_text().splitlines()]
    return {story.run: story for story in stories}


def wanted_runs(asked: argparse.Namespace) -> Iterator[Run]:
    """Every run that the command line asks for, by partition and seed, the honest one first."""
    for how, seed in product(asked.partition, asked.seed):
        honest = Run(
            market="made up" if asked.data is None else "recorded",
            partition=how,
            desks=asked.desks,
            liars=0,
            conduct=HONEST,
            rounds=asked.rounds,
            steps_per_round=asked.steps,
            batch_size=asked.batch,
            tolerance=asked.tolerance,
            seed=seed,
            method=asked.method,
            looks_back=asked.looks_back,
        )
        yield honest
        for name in asked.conduct:
            conduct = CONDUCTS[name]
            for liars in range(1, (asked.liars if conduct.swept else 1) + 1):
                yield replace(honest, conduct=name, liars=liars)


def told_stories(asked: argparse.Namespace) -> dict[Run, Story]:
    """The wanted runs, from the file or from training."""
    known, found = known_stories(asked.json), dict[Run, Story]()
    market_of = lru_cache(maxsize=1)(
        lambda how, seed: Market.cut(asked.data, how, asked.desks, seed)
    )
    for run in wanted_runs(asked):
        if run not in known:
            known[run] = _timed(market_of(run.partition, run.seed), run)
            if asked.json:
                with asked.json.open("a") as lines:
                    lines.write(json.dumps(asdict(known[run])) + "\n")
        found[run] = known[run]
    return found


def _timed(market: Market, run: Run) -> Story:
    begun = time.process_time()
    story = play(market, run)
    print(
        f"{run.partition} {run.seed} {run.liars} {run.conduct:12}{story.test:8.3f}"
        f"{story.stress:8.3f}{time.process_time() - begun:6.1f} CPU s",
        flush=True,
    )
    return story


def report(asked: argparse.Namespace, stories: Mapping[Run, Story]) -> Iterator[str]:
    """Markdown: both tables of every partition; draws the curves where asked to."""
    for draws in settings_of(asked, stories):
        how = draws.first.partition
        yield f"### {how}: net by round, the same desk honest\n\n{earnings(draws)}"
        yield f"### {how}: what honesty earns more by scores\n\n{advantages(draws)}"
        if asked.svg:
            draw(draws, asked.svg / f"incentives-{how}.svg")


def settings_of(asked: argparse.Namespace, stories: Mapping[Run, Story]) -> Iterator[Draws]:
    """The stories of each partition with the money of the command line."""
    price_wei = round(asked.gas_gwei * 10**9)
    terms = Terms(
        reward_wei=asked.reward_wei,
        slice_wei=asked.slice_wei,
        max_missed=asked.max_missed,
        update_wei=asked.update_gas * price_wei,
        scores_wei=asked.scores_gas * price_wei,
        training_wei=asked.training_wei,
        sample_cap=asked.sample_cap,
    )
    for how in asked.partition:
        first = next(run for run in stories if run.partition == how and not run.liars)
        yield Draws(stories, first, tuple(asked.seed), asked.liars, terms)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--partition", nargs="+", choices=(ALIKE, *PARTITIONS), default=[ALIKE])
    parser.add_argument("--desks", type=int, default=10)
    parser.add_argument("--liars", type=int, default=5, help="most of them")
    parser.add_argument("--conduct", nargs="+", choices=list(CONDUCTS), default=list(CONDUCTS))
    parser.add_argument("--rounds", type=int, default=TrainingSettings.rounds)
    parser.add_argument("--steps", type=int, default=SHORT.steps_per_round)
    parser.add_argument("--batch", type=int, default=SHORT.batch_size)
    parser.add_argument("--tolerance", type=int, default=2, help="of the trimmed mean")
    parser.add_argument("--method", choices=[AGREEMENT, *METHODS], default=AGREEMENT)
    parser.add_argument("--looks-back", type=int, default=SHOWN_ROUNDS, help="rounds; 0: not")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--json", type=Path, help="JSON lines, one a run; resumed where present")
    parser.add_argument("--svg", type=Path, help="folder for a picture of each partition")
    money = parser.add_argument_group("money")
    money.add_argument("--reward-wei", type=int, default=10**15, help="of a round")
    money.add_argument("--slice-wei", type=int, default=10**15)
    money.add_argument("--max-missed", type=int, default=3)
    money.add_argument("--sample-cap", type=int, default=0, help="0: as the median desk has")
    money.add_argument("--update-gas", type=int, default=gas("commit_reveal_direct"))
    money.add_argument("--scores-gas", type=int, default=gas("commitScores", "revealScores"))
    money.add_argument("--gas-gwei", type=float, default=0.05)
    money.add_argument("--training-wei", type=int, default=5 * 10**12, help="of a desk's round")
    return parser.parse_args()


def gas(*calls: str) -> int:
    """What these calls take together, by the committed snapshots."""
    measured = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return sum(int(measured[call]) for call in calls)


def main() -> None:
    """Run what is missing; print and draw all that was asked for."""
    asked = _arguments()
    torch.set_num_threads(1)
    for part in report(asked, told_stories(asked)):
        print(f"\n{part}")


if __name__ == "__main__":
    main()
