"""Ways to learn together from desks that differ, by name: what each changes about the recipe.

Those that measurably help are in the recipe's defaults; the others are here to be compared with by
`learning.py`, and docs/learning.md says what came of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from benchmarks.field import Anchors
from benchmarks.server_adam import ServerAdam
from node.learning.federation import Combine, Recall, Round, chosen_rule, rounds
from node.learning.training import TrainingSettings
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.plain_smile import PLAIN_SMILE
from node.models.smile import SMILE
from protocol.numbers import Int16Array
from protocol.rules import RULES
from protocol.task import Rule

SAMPLE_CAP: Final = 2.0
"""Times the median desk's: so much does the largest count at most, whatever it declares."""

Weigh = Callable[[Sequence[int]], list[int]]
"""The weights of desks with so many samples."""


@dataclass(frozen=True)
class Method:
    """What is done otherwise than by plain federated averaging."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of `TrainingSettings`, by name."""
    longer: int = 1
    """Times as many steps in a round."""
    recall: Recall | None = None
    share: float = 1.0
    """Of the desks, drawn for each round."""
    weigh: Weigh | None = None
    """Off chain, instead of a task's rule, which counts all desks alike."""
    server: ServerAdam | None = None
    """Off chain, after a task's rule."""
    architecture: Architecture = SMILE
    anchors: Anchors = "panel"
    """What desks train on beside their quotes."""


def by_samples(samples: Sequence[int], cap: float = SAMPLE_CAP) -> list[int]:
    """Each desk's number of samples, the largest cut to `cap` times the median."""
    most = int(cap * float(np.median(samples)))
    return [min(count, most) for count in samples]


_RECIPE: Final = {
    "look_ahead": TrainingSettings.look_ahead,
    "echo_share": TrainingSettings.echo_share,
}

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "fedavg": Method(),
        "plain_network": Method(
            {"arbitrage_weight": 0.0}, architecture=PLAIN_SMILE, anchors="none"
        ),
        "look_ahead": Method({"look_ahead": 0.5}),
        "look_ahead_more": Method({"look_ahead": 0.7}),
        "echo": Method({"echo_share": 0.1}),
        "recipe": Method(_RECIPE),
        "three_of_five": Method(_RECIPE, share=0.6),
        "more_steps": Method(longer=2),
        "fedprox": Method({"proximal": 0.1}),
        "scaffold": Method(recall=Recall(control=0.5)),
        "worker_momentum": Method(recall=Recall(momentum=0.5)),
        "weight_decay": Method({"weight_decay": 0.1}),
        "by_samples": Method(weigh=by_samples),
        "fedadam": Method(server=ServerAdam()),
        "fedadam_echo": Method({"echo_share": 0.1}, server=ServerAdam()),
    }
)


def settings_of(method: Method, recipe: TrainingSettings) -> TrainingSettings:
    """The recipe as the method has it; nobody looks ahead or hears echoes where it says neither."""
    steps = method.longer * recipe.steps_per_round
    return replace(recipe.plain(), steps_per_round=steps, **method.changes)


def learn(
    method: Method,
    desks: Sequence[Samples],
    recipe: TrainingSettings,
    *,
    rule: Rule = Rule.TRIMMED_MEAN,
    tolerance: int = 1,
    seed: int = 0,
) -> Iterator[Round]:
    """Every round of the desks, which have their anchors already, by a method.

    Raises: DataError, RuleError as `federate`.
    """
    settings = settings_of(method, recipe)
    combine = chosen_rule(rule, tolerance)
    if method.weigh is not None:
        combine = _weighted(method.weigh([len(samples) for samples in desks]))
    if method.server is not None:
        combine = method.server.over(combine)
    return rounds(
        desks,
        settings,
        combine,
        seed=seed,
        architecture=method.architecture,
        recall=method.recall,
        share=method.share,
    )


def _weighted(weights: Sequence[int]) -> Combine:
    def combined(updates: Int16Array, present: Sequence[int]) -> Int16Array:
        found = RULES["weighted_mean"](updates, weights=[weights[desk] for desk in present])
        return found.astype(np.int16, copy=False)

    return combined
