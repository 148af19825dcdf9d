"""What a run was worth to its desks, if some of them behaved otherwise than honest ones.

All money is in equal shares: what one of `desks` desks would get of a round's reward if all got the
same. A desk's net is its part of the rewards less what it was slashed and what it spent, by round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from benchmarks.stories import HONEST, Story
from node.market.panel import Floats
from protocol.scores import HIGHEST_SCORE
from protocol.task import RewardRule

MOST_SAMPLES: Final = 2**32 - 1
"""What a seat can declare."""


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
