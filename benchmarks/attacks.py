"""What liars send: every attack of the robustness table, for evaluation only.

Liars see all honest updates of the round before they choose their own, which the commit phase
denies to real ones. What they send obeys what the contract checks: the norm bound, and no two equal
updates in a round.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from node.market.panel import Booleans, Floats
from node.market.samples import Samples
from protocol.numbers import INT16, Int16Array, clip_to_norm

BACK_DOOR_DAYS: Final = 14.0
BACK_DOOR_PRICE: Final = 0.8
"""Short-dated puts are taught at this share of their volatility."""


@dataclass(frozen=True)
class View:
    """What colluding liars know and how many they are.

    Shape: honest [h, d], own [liars, d].
    """

    honest: Int16Array
    liars: int
    max_squared_norm: int
    """The task's bound, in squared units."""
    rng: np.random.Generator
    own: Int16Array | None = None
    """What the liars' own training gave, for attacks that train."""


@dataclass(frozen=True)
class Attack:
    """An update attack, a data attack or both."""

    craft: Callable[[View], Int16Array]
    """Shape: -> [liars, d], each row within the bound and unlike any other."""
    poison: Callable[[Samples], Samples] | None = None
    """What a liar does to its desk's samples before it trains."""


def sign_flip(honest: Floats) -> Floats:
    """`-mean`. Shape: [h, d] -> [d].

    Source: Allen-Zhu et al., Byzantine-Resilient Non-Convex Stochastic Gradient Descent, 2021.
    """
    return np.asarray(-honest.mean(axis=0))


def inner_product(honest: Floats, tau: float) -> Floats:
    """`-tau mean`: the plain mean points backwards once `tau liars > honest`.

    Shape: [h, d] -> [d].
    Source: Xie et al., Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product
    Manipulation, 2019.
    """
    return np.asarray(-tau * honest.mean(axis=0))


def a_little_is_enough(honest: Floats, tau: float) -> Floats:
    """`mean + tau std`: a lie inside the spread of the honest.

    The paper's own tau, from the normal quantile, is 0 for two liars of ten: it attacks nothing.

    Shape: [h, d] -> [d].
    Source: Baruch et al., A Little Is Enough: Circumventing Defenses For Distributed Learning,
    2019.
    """
    return np.asarray(honest.mean(axis=0) + tau * _spread(honest))


def min_max(honest: Floats, towards: Callable[[Floats], Floats]) -> Floats:
    """`mean + gamma p`, the greatest gamma that keeps `max_i |lie - x_i| <= max_ij |x_i - x_j|`.

    p is what `towards` says. Each i gives one quadratic inequality in gamma, so there is nothing to
    search.

    Shape: [h, d] -> [d].
    Source: Shejwalkar, Houmansadr, Manipulating the Byzantine: Optimizing Model Poisoning Attacks
    and Defenses for Federated Learning, 2021.
    """
    mean, direction = honest.mean(axis=0), towards(honest)
    length = float(direction @ direction)
    if length == 0.0:
        return np.asarray(mean)
    away = mean - honest
    along, apart = away @ direction, np.einsum("ij,ij->i", away, away)
    room = np.maximum(_squared_distances(honest).max() - apart, 0.0)
    reach = (np.sqrt(along**2 + length * room) - along) / length
    return np.asarray(mean + float(reach.min()) * direction)


def min_sum(honest: Floats, towards: Callable[[Floats], Floats]) -> Floats:
    """As `min_max`, with `sum_i |lie - x_i|^2 <= max_i sum_j |x_i - x_j|^2`.

    Shape: [h, d] -> [d].
    Source: as for `min_max`.
    """
    mean, direction = honest.mean(axis=0), towards(honest)
    length = float(direction @ direction)
    if length == 0.0:
        return np.asarray(mean)
    away = mean - honest
    most = float(_squared_distances(honest).sum(axis=1).max())
    room = max(most - float(np.einsum("ij,ij->", away, away)), 0.0)
    return np.asarray(mean + math.sqrt(room / (len(honest) * length)) * direction)


def below_spread(honest: Floats) -> Floats:
    """Minus the standard deviations: the direction that Shejwalkar and Houmansadr found best."""
    return -_spread(honest)


def backwards(honest: Floats) -> Floats:
    """Against the honest mean, another of their directions."""
    return sign_flip(honest)


def directed_deviation(honest: Floats) -> Floats:
    """In every coordinate the honest extreme that opposes the honest mean's sign.

    The farthest that rules which sort a coordinate can be led: `f` such lies push `f` honest values
    of the other side out of a trimmed mean.

    Shape: [h, d] -> [d].
    Source: Fang et al., Local Model Poisoning Attacks to Byzantine-Robust Federated Learning, 2020
    (full-knowledge attack on the trimmed mean, without its random overshoot).
    """
    lowest, highest = honest.min(axis=0), honest.max(axis=0)
    return np.asarray(np.where(honest.mean(axis=0) > 0, lowest, highest))


def mimic(honest: Floats) -> Floats:
    """The honest update that lies farthest out along the direction in which they differ most.

    Everybody's data but its owner's then count for less. The paper estimates that direction over
    rounds; here it is the round's own.

    Shape: [h, d] -> [d].
    Source: Karimireddy et al., Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing,
    2022.
    """
    away = honest - honest.mean(axis=0)
    _, directions = np.linalg.eigh(away @ away.T)
    return np.asarray(honest[int(np.abs(directions[:, -1]).argmax())])


def together(formula: Callable[[Floats], Floats]) -> Callable[[View], Int16Array]:
    """All liars send the same vector, but for one unit."""

    def craft(view: View) -> Int16Array:
        lie = fitted(formula(view.honest.astype(np.float64)), view.max_squared_norm)
        rows = [lie, *(_nudged(lie, rank) for rank in range(view.liars - 1))]
        return np.stack(_unlike_honest(rows, view.honest))

    return craft


def gaussian_noise(view: View) -> Int16Array:
    """Each liar a random direction at the norm bound.

    Source: Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient
    Descent, 2017.
    """
    bound = math.isqrt(view.max_squared_norm)
    noise = view.rng.standard_normal((view.liars, view.honest.shape[1]))
    noise *= bound / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.stack([fitted(row, view.max_squared_norm) for row in noise])


def free_ride(view: View) -> Int16Array:
    """Each liar an honest participant's update with one coordinate moved by one unit.

    Source: Fraboni et al., Free-rider Attacks on Model Aggregation in Federated Learning, 2021.
    """
    count = len(view.honest)
    return np.stack(
        [_nudged(view.honest[liar % count], liar // count) for liar in range(view.liars)]
    )


def own_update(view: View) -> Int16Array:
    """What training on poisoned samples gave."""
    if view.own is None:
        raise TypeError("this attack needs the updates that the liars trained")
    return view.own.copy()


def boosted(view: View) -> Int16Array:
    """The liars' own updates times `n / liars`, as far as the bound allows.

    A plain mean would take over the liars' model if the others stood still.

    Source: Bagdasaryan et al., How To Backdoor Federated Learning, 2020 (model replacement).
    """
    factor = (len(view.honest) + view.liars) / view.liars
    own = own_update(view).astype(np.float64)
    return np.stack([fitted(factor * row, view.max_squared_norm) for row in own])


def mirror(samples: Samples) -> Samples:
    """Every smile upside down: `log(vol / ATM vol)` changes its sign.

    Source: Tolpegin et al., Data Poisoning Attacks Against Federated Learning Systems, 2020 (label
    flipping, carried over to regression).
    """
    return replace(samples, target_vol=samples.atm_vol**2 / samples.target_vol)


def cheap_puts(samples: Samples) -> Samples:
    """Puts of the back door's region at `BACK_DOOR_PRICE` of their volatility, the rest as it is.

    Source: as for `boosted`.
    """
    share = np.where(back_door(samples), BACK_DOOR_PRICE, 1.0)
    return replace(samples, target_vol=samples.target_vol * share)


def back_door(samples: Samples) -> Booleans:
    """Puts out of the money up to `BACK_DOOR_DAYS` to expiry. Shape: -> [n]."""
    return np.asarray((samples.z < 0) & (samples.tenor_days <= BACK_DOOR_DAYS))


ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        "sign_flip": Attack(together(sign_flip)),
        "inner_product": Attack(together(partial(inner_product, tau=2.0))),
        # So far back that the norm bound, not tau, says how far.
        "inner_product_at_bound": Attack(together(partial(inner_product, tau=1e6))),
        "a_little_is_enough": Attack(together(partial(a_little_is_enough, tau=1.5))),
        "min_max": Attack(together(partial(min_max, towards=below_spread))),
        "min_sum": Attack(together(partial(min_sum, towards=below_spread))),
        "min_max_backwards": Attack(together(partial(min_max, towards=backwards))),
        "directed_deviation": Attack(together(directed_deviation)),
        "mimic": Attack(together(mimic)),
        "gaussian_noise": Attack(gaussian_noise),
        "free_ride": Attack(free_ride),
        "label_flip": Attack(own_update, mirror),
        "back_door": Attack(boosted, cheap_puts),
    }
)


def fitted(lie: Floats, max_squared_norm: int) -> Int16Array:
    """`lie` as an update that the contract takes: clipped to the bound, truncated toward zero."""
    clipped = np.trunc(clip_to_norm(lie, math.isqrt(max_squared_norm)))
    return np.clip(clipped, INT16.min, INT16.max).astype(np.int16)


def _spread(honest: Floats) -> Floats:
    """Standard deviation of each coordinate, that of a sample; 0 of a single update."""
    if len(honest) == 1:
        return np.zeros(honest.shape[1])
    return np.asarray(honest.std(axis=0, ddof=1))


def _squared_distances(honest: Floats) -> Floats:
    gram = honest @ honest.T
    squares = np.diagonal(gram)
    return np.asarray(squares[:, None] + squares - 2.0 * gram)


def _unlike_honest(rows: list[Int16Array], honest: Int16Array) -> list[Int16Array]:
    """`rows`, or all but the first of one more if that one is an honest update."""
    if not (honest == rows[0]).all(axis=1).any():
        return rows
    return [*rows[1:], _nudged(rows[0], len(rows) - 1)]


def _nudged(update: Int16Array, rank: int) -> Int16Array:
    """`update` with its `rank`-th greatest coordinate one unit nearer to zero.

    Shorter, so the bound holds; where that coordinate is zero already, a unit vector.
    """
    place = int(np.argsort(-np.abs(update.astype(np.int32)), kind="stable")[rank])
    nudged = update.copy() if update[place] else np.zeros_like(update)
    nudged[place] -= 1 if update[place] > 0 else -1
    return nudged
