"""What runs of the incentives benchmark were worth to their desks, and the tables of it.

All money is in equal shares: what one of `desks` desks would get of a round's reward if all got the
same. A desk's net is its part of the rewards less what it was slashed and what it spent, by round.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from node.market.panel import Floats
from protocol.scores import HIGHEST_SCORE, shares_wei
from protocol.task import ZERO_HASH, RewardRule, RoundState, TaskParams

HONEST: Final = "honest"
MOST_SAMPLES: Final = 2**32 - 1
"""What a seat can declare."""


@dataclass(frozen=True)
class Run:
    """Everything that decides what desks send and how they judge it."""

    market: str
    partition: str
    desks: int
    liars: int
    conduct: str
    rounds: int
    steps_per_round: int
    batch_size: int
    tolerance: int
    seed: int
    method: str
    looks_back: int
    """Over how many rounds desks look for what an update copies."""

    @property
    def order(self) -> list[int]:
        """Who lies first. The liars of two are those of one and one more."""
        found: list[int] = np.random.default_rng(self.seed).permutation(self.desks).tolist()
        return found


@dataclass(frozen=True)
class Scored:
    """One round: whose updates were included, and how each of them scored all of them."""

    included: tuple[int, ...]
    scores: tuple[str, ...]
    """Hex, a byte for each included update."""

    def shares_wei(
        self,
        rule: RewardRule,
        reward_wei: int,
        *,
        samples: Sequence[int] = (),
        sample_cap: int = 0,
        scores: Mapping[int, bytes] | None = None,
    ) -> tuple[int, ...]:
        """What each included update is paid, by these scores instead of what everybody found."""
        params = replace(
            TaskParams.default(
                model_spec_hash=ZERO_HASH, genesis_model_root=ZERO_HASH, dimension=1, closes_at=0
            ),
            reward_wei=reward_wei,
            reward_rule=rule,
            sample_cap=sample_cap,
        )
        state = RoundState(updates_hash=bytes(31) + bytes([len(self.included)]))
        if scores is None:
            scores = {place: bytes.fromhex(given) for place, given in enumerate(self.scores)}
        return shares_wei(params, state, samples=samples, scores=scores)


@dataclass(frozen=True)
class Story:
    """What happened in a run."""

    run: Run
    samples: tuple[int, ...]
    """Quotes that each desk has."""
    test: float
    """RMSE in vol points, on days that nobody trained on."""
    stress: float
    rounds: tuple[Scored, ...]

    @classmethod
    def from_json(cls, line: str) -> "Story":
        told = json.loads(line)
        rounds = tuple(
            Scored(tuple(each["included"]), tuple(each["scores"])) for each in told.pop("rounds")
        )
        return cls(
            run=Run(**told.pop("run")),
            samples=tuple(told.pop("samples")),
            rounds=rounds,
            **told,
        )


@dataclass(frozen=True)
class Terms:
    """A task's money and everybody's costs, in wei."""

    reward_wei: int
    """By round."""
    slice_wei: int
    max_missed: int
    update_wei: int
    """Gas of a commitment and its reveal."""
    scores_wei: int
    """Gas of committing to scores and revealing them."""
    training_wei: int
    """What the training of one round costs."""
    sample_cap: int = 0
    """Zero: the samples of the median desk."""


@dataclass(frozen=True)
class Behaviour:
    """What a liar does otherwise than an honest desk."""

    conduct: str = HONEST
    """What it sends."""
    trained: float = 1.0
    """Share of the training that it pays for."""
    votes: Callable[[bytes, Sequence[bool]], bytes | None] = lambda scores, _: scores
    """Its scores, from what it found and from who lies."""
    over_declares: bool = False
    withholds: bool = False
    least: int = 1
    """Liars that it takes."""


def _for_each_other(_scores: bytes, lying: Sequence[bool]) -> bytes:
    return bytes(HIGHEST_SCORE * liar for liar in lying)


BEHAVIOURS: Mapping[str, Behaviour] = MappingProxyType(
    {
        "stays away": Behaviour("absent", trained=0.0),
        "withholds": Behaviour("absent", trained=0.0, withholds=True),
        "trains one step": Behaviour("lazy", trained=0.0),
        "stretches ten steps": Behaviour("stretched", trained=0.2),
        "has no quotes of its own": Behaviour("outside"),
        "turns smiles upside down": Behaviour("mirrored"),
        "sends one unit": Behaviour("nothing", trained=0.0),
        "sends noise": Behaviour("noise", trained=0.0),
        "flips the sign": Behaviour("sign_flip"),
        "copies the last round": Behaviour("copy_last", trained=0.0),
        "mixes the last round": Behaviour("mix_last", trained=0.0),
        "copies this round": Behaviour("copy_now", trained=0.0),
        "over-declares": Behaviour(over_declares=True),
        "does not score": Behaviour(votes=lambda *_: None),
        "ring that trains": Behaviour(votes=_for_each_other, least=2),
        "ring that does not": Behaviour("lazy", trained=0.0, votes=_for_each_other, least=2),
    }
)
"""What an honest desk is held against."""


def net_shares(story: Story, name: str, liars: int, rule: RewardRule, terms: Terms) -> Floats:
    """Each desk's net by round if the first `liars` of the run's order behave so. Shape: [desks]"""
    behaviour, run = BEHAVIOURS.get(name, Behaviour()), story.run
    lying = np.zeros(run.desks, dtype=bool)
    lying[run.order[:liars]] = True
    cap = terms.sample_cap or int(np.median(story.samples))
    declared = np.where(lying & behaviour.over_declares, MOST_SAMPLES, story.samples)
    net_wei = np.zeros(run.desks)
    for scored in story.rounds:
        included = list(scored.included)
        voted = {}
        for place, desk in enumerate(included):
            found = bytes.fromhex(scored.scores[place])
            given = behaviour.votes(found, lying[included].tolist()) if lying[desk] else found
            if given is not None:
                voted[place] = given
        net_wei[included] += scored.shares_wei(
            rule,
            terms.reward_wei,
            samples=declared[included].tolist(),
            sample_cap=cap,
            scores=voted,
        )
        net_wei[included] -= terms.update_wei
        net_wei[included] -= terms.training_wei * np.where(lying[included], behaviour.trained, 1.0)
        if rule is RewardRule.SCORES:
            net_wei[[included[place] for place in voted]] -= terms.scores_wei
    if behaviour.withholds:
        # It pays its stake up again as long as it may.
        times = min(terms.max_missed + 1, len(story.rounds))
        lost_wei = terms.slice_wei + terms.update_wei
        net_wei[lying] -= times * lost_wei
    return net_wei / len(story.rounds) / (terms.reward_wei / run.desks)


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


def draw(draws: Draws, path: Path) -> None:
    """The advantages as curves over the number of liars, the same bytes from the same stories."""
    path.write_text("\n".join(_shapes(draws)) + "\n", encoding="utf-8")


LEFT, TOP, STEP, HEIGHT, LEGEND = 48, 16, 72, 320, 150
"""Of the picture, in pixels; a step is one liar more."""


def _shapes(draws: Draws) -> Iterator[str]:
    counts = range(1, draws.most_liars + 1)
    curves = {
        name: [fmean(draws.advantage(name, liars)) for liars in counts] for name in swept(draws)
    }
    nets = [net for curve in curves.values() for net in curve if not math.isnan(net)]
    lowest, highest = math.floor(min(0.0, *nets)), math.ceil(max(1.0, *nets))
    right = LEFT + STEP * draws.most_liars

    def y(net: float) -> float:
        return round(TOP + HEIGHT * (highest - net) / (highest - lowest), 1)

    width, height = right + LEGEND, TOP + HEIGHT + 44
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="11">'
    )
    yield f'<path d="M0 0h{width}v{height}H0z" fill="#fff"/>'
    for net in range(lowest, highest + 1):
        shade = "#000" if net == 0 else "#ddd"
        yield f'<path d="M{LEFT} {y(net)}H{right}" stroke="{shade}"/>'
        yield f'<text x="{LEFT - 8}" y="{y(net) + 4}" text-anchor="end">{net:+d}</text>'
    for liars in counts:
        x = LEFT + STEP * liars - STEP // 2
        yield f'<text x="{x}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{liars}</text>'
    yield (
        f'<text x="{(LEFT + right) // 2}" y="{TOP + HEIGHT + 36}" text-anchor="middle">'
        f"liars of {draws.first.desks}</text>"
    )
    for number, (name, curve) in enumerate(curves.items()):
        ink = to_hex(colormaps["tab10"](number % 10))
        places = [
            f"{LEFT + STEP * liars - STEP // 2} {y(net)}"
            for liars, net in zip(counts, curve, strict=True)
            if not math.isnan(net)
        ]
        yield f'<path d="M{"L".join(places)}" fill="none" stroke="{ink}" stroke-width="2"/>'
        yield (
            f'<text x="{right + 8}" y="{TOP + 12 + 18 * number}" fill="{ink}">{escape(name)}</text>'
        )
    yield "</svg>"


def _mean_and_least(cells: Sequence[float]) -> str:
    return "-" if math.isnan(cells[0]) else f"{fmean(cells):+.2f} ({min(cells):+.2f})"


def _pair(cells: tuple[float, float], form: str = ".2f") -> str:
    return "-" if math.isnan(cells[0]) else ", ".join(f"{cell:{form}}" for cell in cells)
