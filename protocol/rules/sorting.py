"""Sorting the columns of a block by a fixed network of minima and maxima of whole rows.

Comparators that no wanted rank depends on are left out, so a median costs less than sorting, and so
are those that only order values which are averaged.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from protocol.rules import kernels
from protocol.rules.rows import IntArray


def at_ranks(block: IntArray, ranks: range) -> IntArray:
    """The values at `ranks` of each sorted column. Shape: block [n, width] -> [ranks, width]."""
    ordered = np.empty((len(ranks), block.shape[1]), dtype=block.dtype)
    kernels.order(block, network(len(block), ranks), ranks.start, ordered)
    return ordered


def mean_at_ranks(block: IntArray, ranks: range, means: IntArray) -> None:
    """Writes the floor mean of the values at `ranks` of each sorted column.

    Shape: block [n, width], means [width].
    """
    kernels.average_in_order(block, network(len(block), ranks, averaged=True), ranks, means)


@lru_cache(maxsize=64)
def network(count: int, ranks: range, *, averaged: bool = False) -> kernels.Indices:
    """The comparators of a sorting network that the values at `ranks` depend on.

    If these are only `averaged`, their order among themselves does not matter either.

    Shape: [comparators, 2], each the row of the lesser value and the row of the greater.
    Source: Batcher, Sorting Networks and Their Applications, 1968; Knuth, The Art of Computer
    Programming 3, 1998, Algorithm 5.2.2M.
    """
    # What happens to the row later: nothing, it is added to others, or its value itself matters.
    unused, added, needed = range(3)
    uses = [unused] * count
    for rank in ranks:
        uses[rank] = added if averaged else needed
    pruned: list[tuple[int, int]] = []
    for low, high in reversed(list(_merge_exchange(count))):
        if uses[low] != uses[high] or uses[low] == needed:
            uses[low] = uses[high] = needed
            pruned.append((low, high))
    comparators = np.array(pruned[::-1], dtype=np.int32).reshape(-1, 2)
    comparators.setflags(write=False)
    return comparators


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
