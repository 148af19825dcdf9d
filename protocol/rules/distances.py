"""What distance-based rules see of updates: the Gram matrix, and one weighted sum at the end.

Both are exact although float64 does the work. A coordinate is split into halves of at most 2^15, so
a block of at most 2^14 columns gives partial sums up to 2^30 2^15 < 2^53, each of them an integer
that a double holds exactly, in any order and on any number of threads. Blocks are added in int64:
2^30 d stays below 2^62 for d < 2^32.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.rules import kernels
from protocol.rules.fixed_point import distance
from protocol.rules.rows import IntArray, Rows

Integers = npt.NDArray[Any]
"""In int64 where everything fits; else Python integers, which never overflow."""

_FLOAT_VALUES = 1 << 18  # 2 MiB of float64
_EXACT_ROWS = 1 << 8  # weights below 2^30 times halves of 2^15: 2^8 rows stay within 2^53


def gram(rows: Rows) -> Integers:
    """`G[i, j] = sum_k x_ik x_jk`. Shape: [n, n]."""
    wide = rows.dtype == np.int32
    sums = np.zeros((3 if wide else 1, rows.count, rows.count), dtype=np.int64)
    for _, block in rows.blocks():
        kernels.add_products(block, sums)
    whole = np.triu(sums) + np.triu(sums, 1).swapaxes(1, 2)
    table: Integers = whole[0]
    if wide:
        low, mixed, high = whole.astype(object)
        table = low + (mixed << 16) + (high << 32)
    return table


def squared_norms(rows: Rows) -> list[int]:
    """The diagonal of the Gram matrix, at the cost of reading the updates once."""
    sums = np.zeros((3, rows.count), dtype=np.int64)
    for _, block in rows.blocks():
        kernels.add_squares(block, sums)
    return [low + (mixed << 17) + (high << 32) for low, mixed, high in sums.T.tolist()]


def squared_distances(table: Integers) -> Integers:
    """`|x_i - x_j|^2` from the Gram matrix; sums of n of them fit its type. Shape: [n, n]."""
    greatest = 4 * max(np.diagonal(table).tolist())
    table = table.astype(np.int64 if greatest * len(table) < 1 << 63 else object)
    squares = np.diagonal(table)
    table_of_pairs: Integers = squares[:, None] + squares[None, :] - 2 * table
    return table_of_pairs


def distances_from(table: Integers, weights: Sequence[int]) -> list[int]:
    """Distance of each `x_i` from `z = sum w_j x_j / sum w_j`, in units of 2^-16, rounded down."""
    total = sum(weights)
    factors = np.array(weights, dtype=object)
    towards = table @ factors
    # |total (x_i - z)|^2, so that nothing is divided before the root.
    squares = total**2 * np.diagonal(table).astype(object) - 2 * total * towards + factors @ towards
    return [distance(square, total) for square in squares]


def weighted_mean(rows: Rows, weights: Sequence[int]) -> IntArray:
    """`floor(sum w_i x_i / sum w_i)`, for weights from 0 to 2^30. Shape: [d]."""
    chosen = [i for i, weight in enumerate(weights) if weight]
    factors = np.array([weights[i] for i in chosen], dtype=np.float64)
    total = np.int64(sum(weights))

    def combine(block: IntArray) -> IntArray:
        used = block if len(chosen) == len(block) else block[chosen]
        low = _weighted_sum(factors, _low(used))
        if rows.dtype == np.int16:
            return low // total
        # The high halves are divided first: 2^16 times their remainder fits int64.
        whole, rest = np.divmod(_weighted_sum(factors, _high(used)), total)
        return (whole << 16) + ((rest << 16) + low) // total

    return rows.combined(combine, rows.portion(_FLOAT_VALUES))


def _weighted_sum(factors: npt.NDArray[np.float64], halves: IntArray) -> npt.NDArray[np.int64]:
    total = np.zeros(halves.shape[1], dtype=np.int64)
    for start in range(0, len(factors), _EXACT_ROWS):
        part = slice(start, start + _EXACT_ROWS)
        total += (factors[part] @ halves[part].astype(np.float64)).astype(np.int64)
    return total


def _low(block: IntArray) -> npt.NDArray[np.int16]:
    """The low 16 bits with a sign, so that a coordinate is `high 2^16 + low`."""
    return block.astype(np.int16, copy=False)


def _high(block: IntArray) -> IntArray:
    return (block >> 16) + (_low(block) < 0)
