"""What distance-based rules see of updates: the Gram matrix, and one weighted sum at the end.

All of it is exact. Vector instructions multiply 16-bit integers and add them in 32 bits, which hold
the sums over some columns if one factor has eight bits; so one is split in two. Sums over all
columns are added in int64: 2^30 d stays below 2^62 for d < 2^32.

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

_ENTRIES = 3 << 8
"""So many of a table, in whole rows, take little beside large updates."""
_OFFSET = 1 << 15
"""What the low half of an int32 is above 16 bits with a sign."""


def gram(rows: Rows) -> Integers:
    """`G[i, j] = sum_k x_ik x_jk`. Shape: [n, n]."""
    if rows.dtype == np.int32:
        return _gram_of_wide(rows)
    table = np.zeros((rows.count, rows.count), dtype=np.int64)
    for columns in rows.slices():
        kernels.add_products(rows.block(columns), table)
    for i in range(rows.count):
        table[i + 1 :, i] = table[i, i + 1 :]
    return table


def _gram_of_wide(rows: Rows) -> Integers:
    """Of int32: from the products of their digits of 16 bits, and of these with ones."""
    count = rows.count

    def digits(columns: slice) -> IntArray:
        block = rows.block(columns)
        parts = np.ones((2 * count + 1, block.shape[1]), dtype=np.int16)
        parts[:count] = block >> 16
        parts[count:-1] = (block & 0xFFFF) - _OFFSET
        return parts

    narrow = Rows(2 * count + 1, rows.dimension, np.dtype(np.int16), digits)
    products = gram(narrow).astype(object)
    high, low = products[:count, :count], products[count:-1, count:-1]
    mixed = products[:count, count:-1]
    # Each is 2^16 high + low + 2^15.
    sums = (products[:count, -1] << 16) + products[count:-1, -1]
    table: Integers = (high << 32) + (mixed + mixed.T << 16) + low
    table += _OFFSET * (sums[:, None] + sums) + _OFFSET**2 * rows.dimension
    return table


def squared_norms(rows: Rows) -> list[int]:
    """The diagonal of the Gram matrix, at the cost of reading the updates once."""
    sums = np.zeros((3, rows.count), dtype=np.int64)
    for columns in rows.slices():
        kernels.add_squares(rows.block(columns), sums)
    return [low + (mixed << 17) + (high << 32) for low, mixed, high in sums.T.tolist()]


def products_with(row: IntArray, rows: Rows) -> list[int]:
    """`sum_k y_k x_ik` of each row with one like them. Shape: row [d]."""
    if rows.dtype == np.int32:
        products = gram(rows.preceded_by(row))[0, 1:]
    else:
        products = np.zeros(rows.count, dtype=np.int64)
        for columns in rows.slices():
            kernels.add_products_with(row[columns], rows.block(columns), products)
    found: list[int] = products.tolist()
    return found


def squared_distances(table: Integers, among: Sequence[int] | None = None) -> Iterator[Integers]:
    """`|x_i - x_j|^2` from the Gram matrix, of all updates or `among` some, a few rows at a time.

    Sums of n of them fit the type. Who gets the rows may change them. Shape: [rows, among].
    """
    chosen = np.arange(len(table)) if among is None else np.array(among)
    squares = np.diagonal(table)
    greatest = 4 * max(squares.tolist())
    dtype = np.int64 if greatest * len(table) < 1 << 63 else object
    squares = squares.astype(dtype, copy=False)
    step = max(1, _ENTRIES // len(chosen))
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
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
    step = max(1, _ENTRIES // len(table))
    for start in range(0, len(table), step):
        rest, shift = table[start : start + step], 0
        while shift < 63:
            digits = rest & (1 << bits) - 1 if shift + bits < 63 else rest
            sums[start : start + step] += (digits @ narrow).astype(object) << shift
            rest, shift = rest >> bits, shift + bits
    return sums
