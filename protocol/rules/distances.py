"""What distance-based rules see of updates: the Gram matrix, and one weighted sum at the end.

The matrix is exact although float64 does the work. A coordinate is split into halves of at most
2^15, and the partial sums over a few columns are integers below 2^53, which a double holds exactly,
in any order. They are added in int64: 2^30 d stays below 2^62 for d < 2^32.

The matrix may be large beside the updates, so what follows from it is found a few rows at a time.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.rules import kernels
from protocol.rules.fixed_point import RATIO_BITS, distance
from protocol.rules.rows import IntArray, Rows

Integers = npt.NDArray[Any]
"""In int64 where everything fits; else Python integers, which never overflow."""

_ROWS = 1 << 3
"""So many rows of a table take little beside it."""


def gram(rows: Rows) -> Integers:
    """`G[i, j] = sum_k x_ik x_jk`. Shape: [n, n]."""
    wide = rows.dtype == np.int32
    fours = -(-rows.count // 4) * 4
    sums = np.zeros((3 if wide else 1, fours, fours), dtype=np.int64)
    # A tile of doubles takes a thirty-second of int16 updates at most, and with the table less than
    # a tenth, unless it had fewer than 32 columns.
    columns = min(rows.dimension >> 7, rows.dimension // 43 - rows.count, 1 << 8)
    for _, block in rows.blocks():
        kernels.add_products(block, max(columns & -8, 1 << 5), sums)
    for i in range(rows.count):
        sums[:, i + 1 :, i] = sums[:, i, i + 1 :]
    table: Integers = sums[0, : rows.count, : rows.count]
    if wide:
        low, mixed, high = sums[:, : rows.count, : rows.count].astype(object)
        table = low + (mixed << 16) + (high << 32)
    return table


def squared_norms(rows: Rows) -> list[int]:
    """The diagonal of the Gram matrix, at the cost of reading the updates once."""
    sums = np.zeros((3, rows.count), dtype=np.int64)
    for _, block in rows.blocks():
        kernels.add_squares(block, sums)
    return [low + (mixed << 17) + (high << 32) for low, mixed, high in sums.T.tolist()]


def squared_distances(table: Integers, among: Sequence[int] | None = None) -> Iterator[Integers]:
    """`|x_i - x_j|^2` from the Gram matrix, of all updates or `among` some, a few rows at a time.

    Sums of n of them fit the type. Who gets the rows may change them. Shape: [rows, among].
    """
    chosen = np.arange(len(table)) if among is None else np.array(among)
    squares = np.diagonal(table)
    greatest = 4 * max(squares.tolist())
    dtype = np.int64 if greatest * len(table) < 1 << 63 else object
    squares = squares.astype(dtype, copy=False)
    for start in range(0, len(chosen), _ROWS):
        some = chosen[start : start + _ROWS]
        pairs = table[np.ix_(some, chosen)].astype(dtype, copy=False)
        pairs *= -2
        pairs += squares[chosen]
        pairs += squares[some, None]
        yield pairs


def distances_from(table: Integers, weights: Sequence[int]) -> list[int]:
    """Distance of each `x_i` from `z = sum w_j x_j / sum w_j`, in units of 2^-16, rounded down.

    Shape: table [n, n] (Gram), weights [n] from 0 to 2^30.
    """
    total = sum(weights)
    factors = np.array(weights, dtype=object)
    towards = _weighted_sums(table, factors)
    # |total (x_i - z)|^2, so that nothing is divided before the root.
    squares = total**2 * np.diagonal(table).astype(object) - 2 * total * towards + factors @ towards
    return [distance(square, total) for square in squares]


def weighted_mean(rows: Rows, weights: Sequence[int], divisor: int | None = None) -> IntArray:
    """`floor(sum w_i x_i / divisor)`, for weights from 0 to 2^30, held within the type. Shape: [d].

    The divisor is the sum of the weights unless given.
    """
    factors = np.array(weights, dtype=np.int64)
    shared = sum(weights) if divisor is None else divisor
    return rows.combined(
        lambda block, means: kernels.average_by_weights(block, factors, shared, means)
    )


def _weighted_sums(table: Integers, factors: Integers) -> Integers:
    """`table @ factors` in Python integers, without as many of them as the table has entries."""
    if table.dtype == object:
        return table @ factors
    narrow = factors.astype(np.int64)
    # Digits of so many bits, of which the last has the sign, times 2^30 add up within int64.
    bits = 62 - RATIO_BITS - len(table).bit_length()
    sums = np.zeros(len(table), dtype=object)
    for start in range(0, len(table), _ROWS):
        rest, shift = table[start : start + _ROWS], 0
        while shift < 63:
            digits = rest & (1 << bits) - 1 if shift + bits < 63 else rest
            sums[start : start + _ROWS] += (digits @ narrow).astype(object) << shift
            rest, shift = rest >> bits, shift + bits
    return sums
