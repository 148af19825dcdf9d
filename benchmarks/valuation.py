"""What an update is worth by what it does to a desk's loss: what agreement was held against.

Nodes score by agreement (`node.learning.contribution`). What these tell apart and what not is
measured in docs/incentives.md.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from node.learning.contribution import Judge, Worth, by_agreement
from node.market.panel import Floats

NOTICED_SHARE: Final = 0.02
"""Of the base model's loss: an update that lowers it by less may do so by chance."""
AGREEMENT: Final = "agreement"

Lowered = Callable[[Floats], Floats]
"""By how much moves from the base model lower the loss. Shape: [m, d] -> [m]"""


def alone(lowered: Lowered, updates: Floats) -> Floats:
    """What each update does by itself, added to the base model."""
    return lowered(updates)


def without(lowered: Lowered, updates: Floats) -> Floats:
    """What the mean of all does more than the mean of the others, times their number.

    Means, whatever the task's rule: a robust one drops some updates, which then count for nothing.
    """
    count, total = len(updates), updates.sum(axis=0)
    found = lowered(np.vstack([(total - updates) / max(count - 1, 1), total / count]))
    return np.asarray(count * (found[-1] - found[:-1]))


def shapley(
    lowered: Lowered, updates: Floats, *, permutations: int, truncation: float, seed: int
) -> Floats:
    """What each update adds on average to the mean of those before it, times their number.

    Random orders are walked all at once. One is left where the mean so far comes within
    `truncation` of what all updates do, as a share of that: who comes later adds nothing.

    Source: A. Ghorbani, J. Zou, "Data Shapley: Equitable Valuation of Data for Machine Learning",
    2019 (truncated Monte Carlo).
    """
    count = len(updates)
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(count) for _ in range(permutations)])
    everything = float(lowered(updates.mean(axis=0, keepdims=True))[0])
    sums = np.zeros((permutations, updates.shape[1]))
    before, added = np.zeros(permutations), np.zeros(count)
    walked = np.arange(permutations)
    for place in range(count):
        walked = walked[np.abs(everything - before[walked]) > truncation * abs(everything)]
        if not walked.size:
            break
        coming = orders[walked, place]
        sums[walked] += updates[coming]
        now = lowered(sums[walked] / (place + 1))
        np.add.at(added, coming, now - before[walked])
        before[walked] = now
    return added * (count / permutations)


def by_loss(measure: Callable[[Lowered, Floats], Floats]) -> Worth:
    """A measure of each update by the drop of the loss. Shape: updates [n, d] -> [n]"""

    def worth(judge: Judge, moves: Floats, _own: int | None) -> tuple[Floats, float]:
        return measure(judge.lowered, moves), NOTICED_SHARE * judge.loss

    return worth


MEASURES: Mapping[str, Worth] = MappingProxyType(
    {
        AGREEMENT: by_agreement,
        "alone": by_loss(alone),
        "without": by_loss(without),
        "shapley": by_loss(partial(shapley, permutations=16, truncation=0.05, seed=0)),
    }
)
