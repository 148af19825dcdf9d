"""Sorting the columns of a block by visits to sixteen rows at a time.

Comparing two rows takes less time than storing them. So sixteen rows are loaded, compared with each
other in registers, and stored. Visits that no wanted rank depends on are left out, so a median
costs less than sorting, and so are those that only order values which are averaged.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from protocol.rules import kernels
from protocol.rules.kernels import CLEAN, MERGE, SORT, VISITED_ROWS
from protocol.rules.rows import IntArray


def mean_at_ranks(block: IntArray, ranks: range, means: IntArray) -> None:
    """Writes the floor mean of the values at `ranks` of each sorted column.

    Shape: block [n, width], means [width].
    """
    kernels.average_in_order(block, network(len(block), ranks, averaged=True), ranks, means)


def mixed_mean_at_ranks(
    block: IntArray, groups: kernels.Groups, ranks: range, means: IntArray
) -> None:
    """Writes the floor mean of the values at `ranks` of each column of sorted group means.

    Shape: block [n, width], means [width].
    """
    visits = network(len(groups.ends), ranks, averaged=True)
    kernels.average_mixed_in_order(block, groups, visits, ranks, means)


def mean_about_median(block: IntArray, kept: int, means: IntArray) -> None:
    """Writes the floor mean of the `kept` values nearest to the median of each column.

    Of two equally near ones the lesser is nearer. Shape: block [n, width], means [width].
    """
    count = len(block)
    kernels.average_about_median(block, network(count, range(count)), kept, means)


@lru_cache(maxsize=64)
def network(count: int, ranks: range, *, averaged: bool = False) -> kernels.Network:
    """The visits of a sorting network that the values at `ranks` depend on.

    If these are only `averaged`, their order among themselves does not matter either.

    Source: Batcher, Sorting Networks and Their Applications, 1968 (bitonic merging).
    """
    # What happens to a row later: nothing, it is added to others, or its value itself matters.
    unused, added, needed = range(3)
    uses = [unused] * count
    for rank in ranks:
        uses[rank] = added if averaged else needed
    pruned: list[tuple[int, list[int]]] = []
    for kind, rows in reversed(list(_visits(count))):
        visited = [row for row in rows if row < count]
        alike = {uses[row] for row in visited}
        if len(visited) > 1 and (len(alike) > 1 or needed in alike):
            pruned.append((kind, [min(row, count) for row in rows]))
            for row in visited:
                uses[row] = needed
    kinds = np.array([kind for kind, _ in reversed(pruned)], dtype=np.int32)
    places = np.array([rows for _, rows in reversed(pruned)], dtype=np.int32)
    found = kernels.Network(kinds, places.reshape(-1, VISITED_ROWS))
    for part in found:
        part.setflags(write=False)
    return found


def _visits(count: int) -> Iterator[tuple[int, Sequence[int]]]:
    """Runs of 16 rows, of twice as many, and so on; what would be rows beyond is above all."""
    for start in range(0, count, VISITED_ROWS):
        yield SORT, range(start, start + VISITED_ROWS)
    length = VISITED_ROWS
    while length < count:
        for start in range(0, count - length, 2 * length):
            yield from _merge(start, length)
        length *= 2


def _merge(start: int, length: int) -> Iterator[tuple[int, Sequence[int]]]:
    """Makes one run of two of `length` rows."""
    end = start + 2 * length
    apart = 2 * length // VISITED_ROWS
    for first in range(apart):
        lower = range(start + first, start + length, apart)
        mirrored = range(end - 1 - first, start + length - 1, -apart)
        yield MERGE, [*lower, *reversed(mirrored)]
    # The values of every `apart` rows from the start rise and then fall, and are below the next.
    while apart > 1:
        apart = max(1, apart // VISITED_ROWS)
        for part in range(start, end, apart * VISITED_ROWS):
            for first in range(part, part + apart):
                yield CLEAN, range(first, part + apart * VISITED_ROWS, apart)
