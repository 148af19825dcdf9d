"""The tables of the incentives benchmark: what each behaviour earns, and what honesty does."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from benchmarks.behaviours import BEHAVIOURS, Terms, net_shares
from benchmarks.stories import HONEST, Run, Story
from node.market.panel import Floats
from protocol.task import RewardRule


@dataclass(frozen=True)
class Draws:
    """All that was run in one setting, for several seeds."""

    stories: Mapping[Run, Story]
    first: Run
    """The honest run of the first seed."""
    seeds: tuple[int, ...]
    most_liars: int
    terms: Terms

    def story(self, conduct: str, liars: int, seed: int) -> Story | None:
        if conduct == HONEST or not liars:
            conduct, liars = HONEST, 0
        return self.stories.get(replace(self.first, conduct=conduct, liars=liars, seed=seed))

    def nets(self, name: str, liars: int, seed: int, rule: RewardRule) -> Floats:
        """Of all desks; not a number where this was not run."""
        story = self.story(BEHAVIOURS[name].conduct, liars, seed)
        if story is None:
            return np.full(self.first.desks, np.nan)
        return net_shares(story, name, liars, rule, self.terms)

    def liar_and_honest(self, name: str, rule: RewardRule) -> tuple[float, float]:
        """Mean net of as few liars as there can be, and of the same desks if nobody lied."""
        liars, found = BEHAVIOURS[name].least, []
        for seed in self.seeds:
            who = replace(self.first, seed=seed).order[:liars]
            found.append([self.nets(name, count, seed, rule)[who].mean() for count in (liars, 0)])
        lying, honest = np.mean(found, axis=0)
        return float(lying), float(honest)

    def advantage(self, name: str, liars: int) -> list[float]:
        """What an honest desk nets more under Scores beside one liar less, by seed.

        Not a number for fewer liars than the behaviour takes.
        """
        if liars < BEHAVIOURS[name].least:
            return [math.nan]
        found = []
        for seed in self.seeds:
            order = replace(self.first, seed=seed).order
            honest = self.nets(name, liars - 1, seed, RewardRule.SCORES)[order[liars - 1 :]]
            lying = self.nets(name, liars, seed, RewardRule.SCORES)[order[:liars]]
            found.append(float(honest.mean() - lying.mean()))
        return found

    def errors(self, conduct: str, liars: int) -> tuple[float, float]:
        """Mean test and stress RMSE in vol points."""
        stories = [self.story(conduct, liars, seed) for seed in self.seeds]
        pairs = [(story.test, story.stress) for story in stories if story]
        test, stress = np.mean(pairs, axis=0) if pairs else (np.nan, np.nan)
        return float(test), float(stress)


def earnings(draws: Draws) -> str:
    """Markdown: by behaviour the net of who behaves so, and what the same desk nets by honesty."""
    rules = [rule.name.capitalize() for rule in RewardRule]
    lines = [f"| behaviour | {' | '.join(rules)} | test, stress |", "|---|---|---|---|---|"]
    honest = [
        np.array([draws.nets("stays away", 0, seed, rule) for seed in draws.seeds])
        for rule in RewardRule
    ]
    for name, of in (("mean", np.mean), ("least", np.min), ("most", np.max)):
        cells = " | ".join(f"{of(nets):.2f}" for nets in honest)
        errors = _pair(draws.errors(HONEST, 0), ".3f") if name == "mean" else ""
        lines.append(f"| all honest: {name} | {cells} | {errors} |")
    for name, behaviour in BEHAVIOURS.items():
        if behaviour.least <= draws.most_liars:
            cells = " | ".join(_pair(draws.liar_and_honest(name, rule)) for rule in RewardRule)
            errors = _pair(draws.errors(behaviour.conduct, behaviour.least), ".3f")
            lines.append(f"| {name} | {cells} | {errors} |")
    return "\n".join(lines)


def advantages(draws: Draws) -> str:
    """Markdown: what honest desks earn more than liars under Scores, by behaviour and number.

    The mean of the seeds and in brackets the least of them; the last column is the first number at
    which the mean is not above zero.
    """
    counts = range(1, draws.most_liars + 1)
    lines = [
        f"| behaviour | {' | '.join(map(str, counts))} | stops paying at |",
        "|---|" + "---|" * (len(counts) + 1),
    ]
    for name in swept(draws):
        found = [draws.advantage(name, liars) for liars in counts]
        cells = " | ".join(_mean_and_least(some) for some in found)
        stops = [liars for liars, some in zip(counts, found, strict=True) if fmean(some) <= 0.0]
        lines.append(f"| {name} | {cells} | {stops[0] if stops else '-'} |")
    return "\n".join(lines)


def swept(draws: Draws) -> list[str]:
    """Behaviours that were run with every number of liars.

    Those of desks that send honest updates and act alone are not: the other table says it all.
    """
    wanted = range(1, draws.most_liars + 1)
    return [
        name
        for name, behaviour in BEHAVIOURS.items()
        if behaviour.least <= draws.most_liars
        and (behaviour.conduct != HONEST or behaviour.least > 1)
        and all(draws.story(behaviour.conduct, liars, draws.first.seed) for liars in wanted)
    ]


def _mean_and_least(cells: Sequence[float]) -> str:
    return "-" if math.isnan(cells[0]) else f"{fmean(cells):+.2f} ({min(cells):+.2f})"


def _pair(cells: tuple[float, float], form: str = ".2f") -> str:
    return "-" if math.isnan(cells[0]) else ", ".join(f"{cell:{form}}" for cell in cells)
