"""The rules that choose by distance, move a centre or change updates first, in plain integers.

A centre is kept as exact fractions and every distance is summed over coordinates: nothing here
knows of a Gram matrix, and nothing is shared with `protocol`.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from math import isqrt

from eth_hash.auto import keccak

from tests.vectors import reference

Rows = Sequence[Sequence[int]]
Point = Sequence[int | Fraction]


def dot(left: Point, right: Point) -> int | Fraction:
    return sum(a * b for a, b in zip(left, right, strict=True))


def gram(updates: Rows) -> list[list[int]]:
    return [[int(dot(left, right)) for right in updates] for left in updates]


def squared_distance(left: Point, right: Point) -> int | Fraction:
    return sum((a - b) ** 2 for a, b in zip(left, right, strict=True))


def squared_distances(updates: Rows) -> list[list[int]]:
    return [[int(squared_distance(left, right)) for right in updates] for left in updates]


def distance(left: Point, right: Point) -> int:
    """In units of 2^-16, rounded down."""
    return isqrt(int(squared_distance(left, right) * 2**32))


def root_ratio(a: int, b: int) -> int:
    """`floor(2^30 sqrt(a / b))`, by bisection."""
    low, high = 0, 2**30 * (a + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle * middle * b <= a * 4**30:
            low = middle
        else:
            high = middle - 1
    return low


def column_means(updates: Rows) -> list[int]:
    return [reference.mean(column) for column in zip(*updates, strict=True)]


def ranked_by_krum(
    table: Sequence[Sequence[int]], members: Sequence[int], neighbours: int
) -> list[int]:
    """`members`, the best first, by the squared distances of all."""

    def score(i: int) -> int:
        return sum(sorted(table[i][j] for j in members if j != i)[:neighbours])

    return sorted(members, key=lambda i: (score(i), i))


def multi_krum(updates: Rows, f: int, m: int) -> list[int]:
    count = len(updates)
    best = ranked_by_krum(squared_distances(updates), range(count), count - f - 2)[:m]
    return column_means([updates[i] for i in best])


def krum(updates: Rows, f: int) -> list[int]:
    return multi_krum(updates, f, 1)


def bulyan(updates: Rows, f: int) -> list[int]:
    table, left, chosen = squared_distances(updates), list(range(len(updates))), []
    while len(chosen) < len(updates) - 2 * f:
        chosen.append(ranked_by_krum(table, left, max(1, len(left) - f - 2))[0])
        left.remove(chosen[-1])
    kept = len(chosen) - 2 * f
    return [
        _mean_about_median(column, kept)
        for column in zip(*(updates[i] for i in chosen), strict=True)
    ]


def _mean_about_median(column: Sequence[int], kept: int) -> int:
    ordered, count = sorted(column), len(column)
    twice = ordered[(count - 1) // 2] + ordered[count // 2]
    nearest = sorted(ordered, key=lambda value: (abs(2 * value - twice), value))
    return reference.mean(nearest[:kept])


def minimum_diameter(updates: Rows, f: int) -> list[int]:
    return column_means([updates[i] for i in of_least_diameter(squared_distances(updates), f)])


def of_least_diameter(table: Sequence[Sequence[int]], f: int) -> list[int]:
    """Every subset in turn, those of updates near to all others first; the first best is kept."""
    order = sorted(range(len(table)), key=lambda i: (sum(table[i]), i))
    subsets = combinations(order, len(table) - f)
    best = min(subsets, key=lambda chosen: max(table[i][j] for i in chosen for j in chosen))
    return sorted(best)


def weighted_mean(updates: Rows, weights: Sequence[int]) -> list[int]:
    return [value.__floor__() for value in weighted(updates, weights)]


def fltrust(updates: Rows, trusted: Sequence[int], width_bytes: int = 2) -> list[int]:
    weights, divisor = fltrust_weights(updates, trusted)
    if not any(weights):
        return [0] * len(trusted)
    end = 2 ** (8 * width_bytes - 1)
    sums = [dot(column, weights) for column in zip(*updates, strict=True)]
    return [max(-end, min(end - 1, int(total // divisor))) for total in sums]


def fltrust_weights(updates: Rows, trusted: Sequence[int]) -> tuple[list[int], int]:
    square, weights, divisor = int(dot(trusted, trusted)), [], 0
    for update in updates:
        length = int(dot(update, update))
        share = Fraction(max(0, int(dot(update, trusted))), max(1, length))
        weights.append(min(2**30, (share * 2**24).__floor__()))
        divisor += _least_root(weights[-1] ** 2 * length, max(1, square))
    return weights, divisor


def _least_root(a: int, b: int) -> int:
    """The least integer whose square is at least `a / b`, by bisection."""
    low, high = 0, a + 1
    while low < high:
        middle = (low + high) // 2
        if middle * middle * b >= a:
            high = middle
        else:
            low = middle + 1
    return low


def geometric_median(updates: Rows, nu: int, iterations: int) -> list[int]:
    weights = geometric_median_weights(updates, nu, iterations)
    return [value.__floor__() for value in weighted(updates, weights)]


def geometric_median_weights(updates: Rows, nu: int, iterations: int) -> list[int]:
    weights = [1] * len(updates)
    for _ in range(iterations):
        centre = weighted(updates, weights)
        distances = [distance(update, centre) for update in updates]
        least = max(1, sorted(distances)[(len(distances) - 1) // 2] * nu // 2**30)
        smoothed = [max(least, found) for found in distances]
        weights = [2**30 * min(smoothed) // found for found in smoothed]
    return weights


def centered_clipping(updates: Rows, tau: int, iterations: int, v0: Sequence[int]) -> list[int]:
    count, points = len(updates), [v0, *updates]
    shares = [2**30] + [0] * count
    for _ in range(iterations):
        centre = weighted(points, shares)
        factors = [
            min(2**30, 2**30 * (tau * 2**16) // max(1, distance(update, centre)))
            for update in updates
        ]
        kept = 2**30 * count - sum(factors)
        moved = [
            (share * kept + 2**30 * factor) // (2**30 * count)
            for share, factor in zip(shares[1:], factors, strict=True)
        ]
        shares = [2**30 - sum(moved), *moved]
    return [value.__floor__() for value in weighted(points, shares)]


def weighted(updates: Rows, weights: Sequence[int]) -> list[Fraction]:
    total = sum(weights)
    return [Fraction(int(dot(column, weights)), total) for column in zip(*updates, strict=True)]


def arc(updates: Rows, f: int) -> list[list[int]]:
    count = len(updates)
    squares = [int(dot(update, update)) for update in updates]
    bound = sorted(squares, reverse=True)[2 * f * (count - f) // count]
    return [
        list(update)
        if square <= bound
        else [value * root_ratio(bound, square) // 2**30 for value in update]
        for update, square in zip(updates, squares, strict=True)
    ]


def nnm(updates: Rows, f: int) -> list[list[int]]:
    everybody = range(len(updates))
    mixed = []
    for update in updates:
        nearest = sorted(everybody, key=lambda j, x=update: (squared_distance(x, updates[j]), j))
        mixed.append(column_means([updates[j] for j in nearest[: len(updates) - f]]))
    return mixed


def bucketing(updates: Rows, s: int, seed: int) -> list[list[int]]:
    tagged = b"volquorum.bucket" + reference.u64(seed)
    order = sorted(range(len(updates)), key=lambda i: keccak(tagged + reference.u64(i)))
    buckets = [order[i : i + s] for i in range(0, len(order), s)]
    return [column_means([updates[i] for i in bucket]) for bucket in buckets]
