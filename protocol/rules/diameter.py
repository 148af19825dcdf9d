"""The rule that trusts the updates which lie closest together: minimum-diameter averaging.

Leaving out the liars of a candidate diameter is a vertex cover of the graph of pairs farther apart
than it. A search tree bounded by f finds one, so nobody enumerates subsets.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from protocol.rules.distances import Integers, gram, squared_distances, weighted_mean
from protocol.rules.rows import IntArray, Rows, Updates, check_tolerance

Members = int
"""A set of updates: bit i is the update at place i of the list."""


def minimum_diameter(updates: Updates, f: int) -> IntArray:
    """Floor mean of those n - f updates whose greatest distance from each other is least.

    One distance decides, so there are often several such sets. Then updates are listed by the sum
    of their squared distances from all others, the least first and of equal ones the earlier
    participant's, and it is the set that comes first in this list: the first of the list is in it
    if it is in any such set, so is the second if it is in any of those that are left, and so on.

    Breakdown point 1/2: with f < n/2 liars and D the diameter of the honest updates, the result is
    within `2 f D / (n - f)` of their mean. The search takes at most about 1.47^f steps; updates
    that are not made to slow it down take a few.

    Shape: updates [n, d] -> [d].
    Source: El Mhamdi et al., Genuinely Distributed Byzantine Machine Learning, 2020; Farhadkhani et
    al., Byzantine Machine Learning Made Easy by Resilient Averaging of Momentums, 2022 (the bound);
    Chen, Kanj and Jia, Vertex Cover: Further Observations and Further Improvements, 2001 (the
    search).
    Raises: RuleError unless n >= 2f + 1.
    """
    rows = Rows.of(updates)
    return weighted_mean(rows, minimum_diameter_weights(gram(rows), f))


def minimum_diameter_weights(table: Integers, f: int) -> list[int]:
    """One for each update that is averaged, by the Gram matrix of all, zero for the others."""
    check_tolerance("minimum-diameter averaging", len(table), f, 2 * f + 1)
    closeness = [total for rows in squared_distances(table) for total in rows.sum(axis=1).tolist()]
    order = sorted(range(len(table)), key=closeness.__getitem__)
    everybody = (1 << len(table)) - 1
    # Between distances that are too small and one that is not, until nothing is between them.
    least, most = 0, max(int(rows.max()) for rows in squared_distances(table))
    while least < most:
        below, above, conflicts = _parted(table, order, (least + most) // 2, most)
        if _can_be_parted(conflicts, everybody, f):
            most = below
        else:
            least = above
    *_, conflicts = _parted(table, order, most, most)
    averaged = {order[place] for place in _first_apart(conflicts, everybody, f)}
    return [int(i in averaged) for i in range(len(table))]


def _parted(
    table: Integers, order: Sequence[int], limit: int, most: int
) -> tuple[int, int, list[Members]]:
    """The greatest squared distance up to `limit`, the least above it (`most` if none), who is far.

    The last is, for each place of the list, the others that are farther from it than the limit.
    """
    below, above, conflicts = [], [], []
    for distances in squared_distances(table, order):
        far = distances > limit
        below.append(distances[~far].max())
        above.append(distances[far].min(initial=most))
        packed = np.packbits(far, axis=1, bitorder="little")
        conflicts += [int.from_bytes(row.tobytes(), "little") for row in packed]
    return int(max(below)), int(min(above)), conflicts


def _first_apart(conflicts: Sequence[Members], among: Members, budget: int) -> set[int]:
    """The places of the first set that has no conflict without `budget` of all; there is one."""
    wanted = len(conflicts) - budget
    chosen: set[int] = set()
    for i in range(len(conflicts)):
        if not among >> i & 1 or len(chosen) == wanted:
            continue
        among ^= 1 << i
        lost = conflicts[i] & among
        left = budget - lost.bit_count()
        if not lost or _can_be_parted(conflicts, among & ~lost, left):
            chosen.add(i)
            among, budget = among & ~lost, left
        else:
            budget -= 1
    return chosen


def _can_be_parted(conflicts: Sequence[Members], among: Members, budget: int) -> bool:
    """Whether `among` has no conflict left without `budget` of them."""
    while budget >= 0:
        worst, most, ends, lonely = _counted(conflicts, among)
        if most == 0:
            return True
        # Each one left out settles at most `most` conflicts, and a conflict has two ends.
        if ends > 2 * budget * most:
            return False
        if lonely is not None:
            among &= ~conflicts[lonely]  # its only rival settles as much as it and maybe more
        elif most == 2:
            among ^= 1 << worst  # rings are left, in which all are alike
        else:
            rivals = conflicts[worst] & among
            if _can_be_parted(conflicts, among ^ (1 << worst), budget - 1):
                return True
            among &= ~rivals
            budget -= rivals.bit_count() - 1
        budget -= 1
    return False


def _counted(conflicts: Sequence[Members], among: Members) -> tuple[int, int, int, int | None]:
    """Who has most conflicts, how many, the ends of all conflicts, and the first who has one."""
    degrees = {i: (conflicts[i] & among).bit_count() for i in _listed(among)}
    worst = max(degrees, key=degrees.__getitem__, default=-1)
    lonely = next((i for i, degree in degrees.items() if degree == 1), None)
    return worst, degrees.get(worst, 0), sum(degrees.values()), lonely


def _listed(members: Members) -> Iterator[int]:
    while members:
        lowest = members & -members
        yield lowest.bit_length() - 1
        members ^= lowest
