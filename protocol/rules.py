"""Aggregation rules: int16 updates in, one int16 aggregate out, in exact integers.

Each works coordinate by coordinate, so a contract can check a result chunk by chunk. Every division
is a floor (`//`), no result depends on the order of updates, and inputs are never changed. Columns
are worked on in blocks: the extra memory is a few MiB whatever the dimension.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from protocol.errors import RuleError
from protocol.numbers import Int16Array, squared_norm
from protocol.task import Rule

_BLOCK = 1 << 14  # columns: one int16 row of a block is 32 KiB


def mean(updates: Int16Array) -> Int16Array:
    """`floor(sum_i x_i / n)`. Breakdown point 0: one liar moves it anywhere.

    Shape: updates [n, d] -> [d].
    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized
    Data, 2017.
    Raises: RuleError without updates.
    """
    _check(updates, 0)
    aggregate = np.empty(updates.shape[1], dtype=np.int16)
    for columns in _blocks(updates):
        total = np.add.reduce(updates[:, columns], axis=0, dtype=np.int64)
        aggregate[columns] = total // len(updates)
    return aggregate


def clipped_mean(updates: Int16Array, clip_norm: int) -> Int16Array:
    """Floor mean of the updates, each scaled down to norm C = `clip_norm` units if it is longer.

    `x_i` stays if `|x_i|^2 <= C^2`; else it becomes `floor(x_i C / s_i)`, with `s_i` the least
    integer whose square is at least `|x_i|^2`. One liar moves the result by about 2C/n at most; the
    breakdown point is still 0.

    Shape: updates [n, d] -> [d].
    Source: Sun et al., Can You Really Backdoor Federated Learning?, 2019 (norm clipping).
    Raises: RuleError without updates or without a positive `clip_norm`.
    """
    _check(updates, 0)
    if clip_norm <= 0:
        raise RuleError(
            f"the clipped mean needs a clipping norm of at least 1 unit; got {clip_norm}"
        )
    squares = [squared_norm(row) for row in updates]
    # Invariant: a clipped row has C < |x_i| < 2^31, so x_i C fits int64.
    norms = [1 + math.isqrt(square - 1) if square > clip_norm**2 else None for square in squares]
    aggregate = np.empty(updates.shape[1], dtype=np.int16)
    for columns in _blocks(updates):
        total = np.zeros(updates[0, columns].size, dtype=np.int64)
        for row, norm in zip(updates, norms, strict=True):
            block = row[columns]
            total += block if norm is None else block * np.int64(clip_norm) // norm
        aggregate[columns] = total // len(updates)
    return aggregate


def median(updates: Int16Array) -> Int16Array:
    """The middle value; for even n, `floor((a + b) / 2)` of the two middle ones.

    Breakdown point 1/2: it lies among the honest values while liars are fewer than half.

    Shape: updates [n, d] -> [d].
    Source: Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
    2018.
    Raises: RuleError without updates.
    """
    _check(updates, 0)
    return _mean_of_ranks(updates, range((len(updates) - 1) // 2, len(updates) // 2 + 1))


def trimmed_mean(updates: Int16Array, tolerance: int) -> Int16Array:
    """Floor mean of the values that remain without the f = `tolerance` least and the f greatest.

    Breakdown point f/n: with at most f liars it lies among the honest values.

    Shape: updates [n, d] -> [d].
    Source: Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
    2018.
    Raises: RuleError unless 2f < n.
    """
    _check(updates, tolerance)
    return _mean_of_ranks(updates, range(tolerance, len(updates) - tolerance))


RULES: dict[Rule, Callable[[Int16Array, int, int], Int16Array]] = {
    Rule.MEAN: lambda updates, _tolerance, _clip_norm: mean(updates),
    Rule.CLIPPED_MEAN: lambda updates, _tolerance, clip_norm: clipped_mean(updates, clip_norm),
    Rule.MEDIAN: lambda updates, _tolerance, _clip_norm: median(updates),
    Rule.TRIMMED_MEAN: lambda updates, tolerance, _clip_norm: trimmed_mean(updates, tolerance),
}


def aggregate(rule: Rule, updates: Int16Array, *, tolerance: int, clip_norm: int) -> Int16Array:
    """`rule` applied with a task's parameters. Shape: updates [n, d] -> [d].

    Raises: RuleError if the rule cannot tolerate so many liars among these updates.
    """
    _check(updates, 0)
    most = rule.most_liars(len(updates))
    if not 0 <= tolerance <= most:
        raise RuleError(
            f"{rule.name} of {len(updates)} updates tolerates at most {most} liars; got {tolerance}"
        )
    return RULES[rule](updates, tolerance, clip_norm)


def _check(updates: Int16Array, tolerance: int) -> None:
    if updates.dtype != np.dtype(np.int16):
        raise TypeError(f"updates must be int16, not {updates.dtype}")
    if updates.ndim != 2 or 0 in updates.shape:
        raise RuleError(
            f"a rule needs updates of shape [n, d] with n and d at least 1; got {updates.shape}"
        )
    if not 0 <= 2 * tolerance < len(updates):
        raise RuleError(
            f"tolerating {tolerance} liars needs at least {2 * tolerance + 1} updates; "
            f"got {len(updates)}"
        )


def _blocks(updates: Int16Array) -> Iterator[slice]:
    for start in range(0, updates.shape[1], _BLOCK):
        yield slice(start, start + _BLOCK)


def _mean_of_ranks(updates: Int16Array, ranks: range) -> Int16Array:
    """Floor mean of the values at `ranks` of each sorted column."""
    count = len(updates)
    network = _network(count, ranks)
    aggregate = np.empty(updates.shape[1], dtype=np.int16)
    for columns in _blocks(updates):
        rows = list(updates[:, columns].copy())
        spare = np.empty_like(rows[0])
        for low, high in network:
            np.minimum(rows[low], rows[high], out=spare)
            np.maximum(rows[low], rows[high], out=rows[high])
            rows[low], spare = spare, rows[low]
        total = rows[ranks[0]].astype(np.int64)
        for rank in ranks[1:]:
            total += rows[rank]
        aggregate[columns] = total // len(ranks)
    return aggregate


@lru_cache(maxsize=64)
def _network(count: int, ranks: range) -> tuple[tuple[int, int], ...]:
    """The comparators of a sorting network that the values at `ranks` depend on.

    Source: Batcher, Sorting Networks and Their Applications, 1968; Knuth, The Art of Computer
    Programming 3, 1998, Algorithm 5.2.2M.
    """
    wanted = set(ranks)
    pruned: list[tuple[int, int]] = []
    for low, high in reversed(list(_merge_exchange(count))):
        if low in wanted or high in wanted:
            wanted |= {low, high}
            pruned.append((low, high))
    return tuple(reversed(pruned))


def _merge_exchange(count: int) -> Iterator[tuple[int, int]]:
    highest = 1 << max((count - 1).bit_length() - 1, 0)
    stride = highest
    while stride:
        reach, offset, distance = highest, 0, stride
        while True:
            for low in range(count - distance):
                if low & stride == offset:
                    yield low, low + distance
            if reach == stride:
                break
            distance, reach, offset = reach - stride, reach >> 1, stride
        stride >>= 1
