"""Rules that move a centre step by step: geometric median, centered clipping.

The centre is always a mean of updates with integer weights, so its distances follow from the Gram
matrix, and only the last step touches the coordinates. Steps are fixed in number.
"""

from collections.abc import Sequence

import numpy as np

from protocol.errors import RuleError
from protocol.rules.distances import (
    Integers,
    distances_from,
    gram,
    squared_norms,
    weighted_mean,
)
from protocol.rules.fixed_point import DISTANCE_BITS, ONE, RATIO_BITS, distance, ratio
from protocol.rules.rows import IntArray, Rows, Updates, check_at_least


def geometric_median(updates: Updates, nu: int = ONE >> 10, iterations: int = 32) -> IntArray:
    """The point with the least sum of distances, by T = `iterations` smoothed Weiszfeld steps.

    From the mean on, `z <- sum w_i x_i / sum w_i` with `w_i = 1 / max(|x_i - z|, nu D)`, where D is
    the (lower) median of these distances. In integers: `r_i` is the greater of `|x_i - z|` and
    `floor(nu D / 2^30)` in units of 2^-16, at least 1, and `w_i = floor(2^30 min_j r_j / r_i)`.
    `nu` is in units of 2^-30.

    Breakdown point 1/2. With f < n/2 liars and honest updates within R of a point, the minimiser is
    within `2 R (n - f) / (n - 2f)` of it, and the steps approach it linearly.

    Shape: updates [n, d] -> [d].
    Source: Weiszfeld, Sur le point pour lequel la somme des distances de n points donnés est
    minimum, 1937; Pillutla et al., Robust Aggregation for Federated Learning, 2022.
    Raises: RuleError without updates, or unless 1 <= nu <= 2^30 and iterations >= 1.
    """
    rows = Rows.of(updates)
    return weighted_mean(rows, geometric_median_weights(gram(rows), nu, iterations))


def centered_clipping(
    updates: Updates, tau: int, iterations: int = 1, v0: IntArray | None = None
) -> IntArray:
    """Moves a centre, L = `iterations` times, by the mean of the updates' clipped differences.

    `v <- v + mean_i((x_i - v) min(1, tau / |x_i - v|))` from `v0` (the previous aggregate, zero
    unless given), with `tau` in units. In integers: `v = (a_0 v0 + sum a_i x_i) / 2^30`; with `c_i`
    the clipping factor (`floor`, at most 2^30) and C their sum, every `a_i` becomes
    `floor((a_i (2^30 n - C) + 2^30 c_i) / (2^30 n))` and `a_0` what they leave of 2^30.

    One step moves by at most tau, and one liar by at most tau / n of it, whatever it sends. That
    bounds what any number of liars can do in a round, but it is all that is known beyond f/n = 0.1:
    below that, and with tau near the spread of the honest, the result is near their mean. Liars who
    push one way round after round do drift it.

    Shape: updates [n, d], v0 [d] of the same type -> [d].
    Source: Karimireddy et al., Learning from History for Byzantine Robust Optimization, 2021;
    Özfatura et al., Byzantines Can Also Learn from History, 2022 (the drift).
    Raises: RuleError without updates, if v0 has another shape, or unless tau and iterations >= 1.
    """
    rows = Rows.of(updates)
    if v0 is None and iterations == 1:
        # From zero, distances are norms; and what is left to zero adds nothing.
        radii = [distance(square) for square in squared_norms(rows)]
        _, *shares = _clipped_step([ONE] + [0] * rows.count, radii, tau)
        return weighted_mean(rows, shares, ONE)
    with_start = preceded_by_start(rows, v0)
    return weighted_mean(with_start, centered_clipping_weights(gram(with_start), tau, iterations))


def geometric_median_weights(
    table: Integers, nu: int = ONE >> 10, iterations: int = 32
) -> list[int]:
    """The last weights of the geometric median, by the Gram matrix of the updates."""
    check_at_least("the geometric median", "iterations", iterations, 1)
    if not 1 <= nu <= ONE:
        raise RuleError(f"the geometric median needs nu from 1 to {ONE} (2^30); got {nu}")
    weights = [1] * len(table)
    for _ in range(iterations):
        distances = distances_from(table, weights)
        median = sorted(distances)[(len(table) - 1) // 2]
        least = max(1, median * nu >> RATIO_BITS)
        smoothed = [max(least, distance) for distance in distances]
        nearest = min(smoothed)
        weights = [ratio(nearest, distance) for distance in smoothed]
    return weights


def preceded_by_start(rows: Rows, v0: IntArray | None) -> Rows:
    """The rows that centered clipping averages: its start, zero unless given, and the updates."""
    # Zeros that take no memory.
    start = np.broadcast_to(rows.dtype.type(0), rows.dimension) if v0 is None else v0
    rows.check_like(start, "centered clipping", "v0")
    return rows.preceded_by(start)


def centered_clipping_weights(table: Integers, tau: int, iterations: int = 1) -> list[int]:
    """The last shares of the start and of the updates, by the Gram matrix of them all."""
    check_at_least("centered clipping", "iterations", iterations, 1)
    shares = [ONE] + [0] * (len(table) - 1)
    for _ in range(iterations):
        shares = _clipped_step(shares, distances_from(table, shares)[1:], tau)
    return shares


def _clipped_step(shares: Sequence[int], radii: Sequence[int], tau: int) -> list[int]:
    """The shares after a step, by the distances of the updates from the centre."""
    check_at_least("centered clipping", "tau", tau, 1)
    whole = ONE * len(radii)
    factors = [min(ONE, ratio(tau << DISTANCE_BITS, max(1, radius))) for radius in radii]
    kept = whole - sum(factors)
    moved = [
        (share * kept + ONE * factor) // whole
        for share, factor in zip(shares[1:], factors, strict=True)
    ]
    return [ONE - sum(moved), *moved]
