"""Sorting the columns of a block by a fixed network of minima and maxima of whole rows.

Every comparator is one pass of vector instructions over two rows, and comparators that no wanted
rank depends on are left out, so a median costs far less than sorting.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from protocol.rules.rows import IntArray


def at_ranks(block: IntArray, ranks: range) -> list[IntArray]:
    """The rows that hold the values at `ranks` of each sorted column."""
    rows = list(block.copy())
    spare = np.empty_like(rows[0])
    for low, high in network(len(rows), ranks):
        np.minimum(rows[low], rows[high], out=spare)
        np.maximum(rows[low], rows[high], out=rows[high])
        rows[low], spare = spare, rows[low]
    return [rows[rank] for rank in ranks]


@lru_cache(maxsize=64)
def network(count: int, ranks: range) -> tuple[tuple[int, int], ...]:
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
