"""Rules whose weights somebody vouches for: a committed list, or a trusted update to agree with.

Neither looks for liars among the updates; each is as good as the one who vouches.
"""

from collections.abc import Sequence
from operator import index

import numpy as np

from protocol.errors import RuleError
from protocol.rules import distances
from protocol.rules.distances import products_with, squared_norms
from protocol.rules.fixed_point import ONE, RATIO_BITS, root_above
from protocol.rules.rows import IntArray, Rows, Updates

TRUST_BITS = 24
"""Trust is in units of 2^-24, so a weight, which is at most 2^30, lengthens 64-fold at most."""


def weighted_mean(updates: Updates, weights: Sequence[int]) -> IntArray:
    """`floor(sum_i w_i x_i / sum_i w_i)` with integer weights that were fixed before the updates.

    Breakdown point 0: a liar moves it anywhere, in proportion to its weight. So weights belong in a
    commitment of whoever answers for them, made before any update is seen, never in an update.

    Shape: updates [n, d], weights [n] -> [d].
    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized
    Data, 2017 (weights are numbers of samples there).
    Raises: RuleError unless there are n weights from 0 to 2^30, not all of them zero; TypeError for
    one that is no integer.
    """
    rows = Rows.of(updates)
    return distances.weighted_mean(rows, checked_weights(rows.count, weights))


def fltrust(updates: Updates, reference: IntArray) -> IntArray:
    """Updates made as long as a trusted one, g0 = `reference`, and weighted by agreement with it.

    `sum_i t_i (|g0| / |x_i|) x_i / sum_i t_i` with the trust `t_i = max(0, cos(x_i, g0))`. Zero if
    no update is trusted. In integers: `a_i = min(2^30, floor(2^24 max(0, <x_i, g0>) / |x_i|^2))`,
    `b_i` is the least integer that is at least `a_i |x_i| / |g0|`, and the result is
    `floor(sum a_i x_i / sum b_i)`, held within the updates' type. So trust counts in 2^-24, and
    `t_i` is at most `64 |x_i| / |g0|`: what is shorter than a 64th counts for less.

    Any number of liars: but for floors and the type's ends, the result is no longer than g0 and has
    no component against it. Without an honest reference nothing is promised.

    Shape: updates [n, d], reference [d] of the same type -> [d].
    Source: Cao et al., FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping, 2021.
    Raises: RuleError without updates or if the reference has another shape.
    """
    rows = Rows.of(updates)
    rows.check_like(reference, "FLTrust", "a reference")
    (square,) = squared_norms(Rows.of(reference[None]))
    weights, divisor = trusted(square, products_with(reference, rows), squared_norms(rows))
    if not any(weights):
        return np.zeros(rows.dimension, dtype=rows.dtype)
    return distances.weighted_mean(rows, weights, divisor)


def checked_weights(count: int, weights: Sequence[int]) -> list[int]:
    """The weights as Python integers. Raises: RuleError as `weighted_mean` says."""
    found = [index(weight) for weight in weights]
    if len(found) != count:
        raise RuleError(
            f"the weighted mean of {count} updates needs as many weights; got {len(found)}"
        )
    if wrong := [weight for weight in found if not 0 <= weight <= ONE]:
        raise RuleError(
            f"the weighted mean needs weights from 0 to {ONE} (2^{RATIO_BITS}); got {wrong[0]}"
        )
    if not any(found):
        raise RuleError("the weighted mean needs weights that are not all of them zero")
    return found


def trusted(square: int, products: Sequence[int], squares: Sequence[int]) -> tuple[list[int], int]:
    """All `a_i` and the sum of all `b_i`, by `|g0|^2`, all `<x_i, g0>` and all `|x_i|^2`."""
    weights, divisor = [], 0
    for product, length in zip(products, squares, strict=True):
        weight = min(ONE, (max(0, product) << TRUST_BITS) // length) if length else 0
        weights.append(weight)
        # Invariant: rounded up, so that no rounding makes the result longer than the reference.
        divisor += root_above(-(-(weight**2) * length // square)) if weight else 0
    return weights, divisor
