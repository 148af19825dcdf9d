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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.attacks import View
from benchmarks.behaviours import Terms
from benchmarks.conducts import CONDUCTS, Conduct
from benchmarks.contestants import CONTESTANTS
from benchmarks.field import PARTITIONS, Field, priced_by
from benchmarks.incentives_plot import draw
from benchmarks.incentives_table import Draws, advantages, earnings
from benchmarks.results_file import resumed
from benchmarks.robustness import SHORT
from benchmarks.stories import HONEST, Run, Scored, Story
from benchmarks.valuation import AGREEMENT, MEASURES
from node.learning.contribution import SHOWN_ROUNDS, contribution_scores, newness
from node.learning.federation import Desk
from node.learning.training import TrainingSettings
from node.learning.update import max_squared_norm
from node.market.samples import Samples
from node.market.split import hold_out
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


def dealt(data: Path | None, how: str, desks: int, seed: int) -> Field:
    """A market whose desks have their own quotes alone; everybody trains on the anchors."""
    if how != ALIKE:
        known = next(each for each in PARTITIONS if each == how)
        return Field.cut(data, known, desks, seed, anchored=False)
    field = Field.cut(data, "desks", desks, seed, anchored=False)
    owner = np.random.default_rng(seed).integers(desks, size=len(field.pooled))
    return replace(field, desks=tuple(field.pooled.take(owner == desk) for desk in range(desks)))


def held_back(field: Field) -> tuple[list[Samples], list[Samples]]:
    """What each desk trains on, and the latest days that it keeps back to score by."""
    parts = [hold_out(own) for own in field.desks]
    return [Samples.join(known, field.anchors) for known, _ in parts], [held for _, held in parts]


def play(field: Field, run: Run) -> Story:
    """The run's rounds and what their model is worth.

    Raises: DataError if the model left the finite numbers.
    """
    settings = TrainingSettings(run.rounds, run.steps_per_round, run.batch_size).tolerating(
        run.tolerance, run.desks
    )
    conduct, lying = CONDUCTS.get(run.conduct, Conduct(None)), run.order[: run.liars]
    theirs = replace(settings, steps_per_round=conduct.steps or run.steps_per_round)
    trained, held_out = held_back(field)
    desks = [
        Desk(conduct.taught(own, field.anchors), theirs, desk, run.seed)
        if desk in lying
        else Desk(own, settings, desk, run.seed)
        for desk, own in enumerate(trained)
    ]
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
            own = None
            if conduct.trains:
                own = np.stack([desks[desk].update(model, number, before) for desk in lying])
            view = View(np.stack([known[desk] for desk in best]), run.liars, bound, rng, own)
            sent |= dict(zip(lying, conduct.craft(view), strict=True))
        lately = shown[max(0, number - 1 - run.looks_back) :]
        rounds.append(scored(held_out, run, model, sent, lately))
        paid = dict(zip(sorted(sent), rounds[-1].shares_wei(RewardRule.SCORES, 1000), strict=True))
        best = sorted(honest, key=lambda desk: -paid[desk])
        shown.append(sent)
        updates = np.stack([sent[desk] for desk in sorted(sent)])
        aggregate = CONTESTANTS[RULE](updates, run.tolerance, updates[0])
        before, model = model, numbers.add_update(model, aggregate)
    found = field.score(priced_by(numbers.to_float(model, DEFAULT_SHIFT)))
    return Story(
        run,
        tuple(len(own) for own in field.desks),
        round(found["test"].rmse, 4),
        round(found["stress"].rmse, 4),
        tuple(rounds),
    )


def scored(
    held_out: Sequence[Samples],
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
            held_out[desk],
            shift=DEFAULT_SHIFT,
            own=place,
            worth_of=MEASURES[run.method],
            newness=new,
        )
        for place, desk in enumerate(included)
    ]
    return Scored(tuple(included), tuple(each.hex() for each in scores))


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
    field_of = lru_cache(maxsize=1)(lambda how, seed: dealt(asked.data, how, asked.desks, seed))
    return resumed(
        asked.json,
        wanted_runs(asked),
        lambda run: _timed(field_of(run.partition, run.seed), run),
        read=Story.from_dict,
        key=lambda story: story.run,
    )


def _timed(field: Field, run: Run) -> Story:
    begun = time.process_time()
    story = play(field, run)
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
    parser.add_argument("--method", choices=list(MEASURES), default=AGREEMENT)
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
