"""Groups of rows, and their floor means instead of the rows.

A rule may ask for the means as for any rows, or have them made within its own tile of columns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.rules import kernels
from protocol.rules.rows import IntArray, Rows

Members = npt.NDArray[np.bool_]
"""Groups of rows: who is in which. Shape: [groups, n]."""


@dataclass(frozen=True, kw_only=True)
class Mixed(Rows):
    """One row for each group of rows: its floor mean."""

    source: Rows
    groups: kernels.Groups


def group_means(rows: Rows, members: Members) -> Mixed:
    """The floor means of groups that have equally many rows, but for the last, which may be less.

    Shape: rows [n, d], members [groups, n] -> [groups, d].
    """
    # Invariant: a sum of at most 2^8 int16 is within 2^23, and a float32 holds it. A quotient by up
    # to 2^8 that is no integer is at least 2^-8 away from one, and is rounded by 2^-10 at most. A
    # double leaves as much room for int32.
    narrow = rows.dtype == np.int16 and rows.count <= 1 << 8
    dtype: type[np.floating[Any]] = np.float32 if narrow else np.float64
    # All less the others is the shorter sum for groups of more than half.
    sizes = members.sum(axis=1)
    by_others = 2 * int(sizes[0]) > rows.count
    added = ~members if by_others else members
    groups = kernels.Groups(
        rows=np.flatnonzero(added).astype(np.int32) % rows.count,
        ends=added.sum(axis=1, dtype=np.int32).cumsum(dtype=np.int32),
        sizes=sizes.astype(dtype),
        by_others=by_others,
    )

    def mixed(columns: slice) -> IntArray:
        block = rows.block(columns)
        means = np.empty((len(groups.ends), block.shape[1]), dtype=rows.dtype)
        kernels.mix(block, groups, means)
        return means

    return Mixed(
        count=len(members),
        dimension=rows.dimension,
        dtype=rows.dtype,
        block=mixed,
        source=rows,
        groups=groups,
    )
