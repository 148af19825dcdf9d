"""Loops over tiles of columns that stay in the cache, compiled to machine code when first run.

A tile is copied out of a block once; then every pass over its rows is one of vector instructions.
The code is kept between runs where the project or its user has a writable folder. All kernels are
in this file, because a change in another one would not be seen to make that code old.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from protocol.rules.rows import IntArray

Floats = npt.NDArray[np.floating[Any]]
Tile = npt.NDArray[np.number[Any]]
Indices = npt.NDArray[np.int32]
Kernel = TypeVar("Kernel", bound=Callable[..., None])

_TILE_COLUMNS = 1 << 8  # 100 rows of int16 take 50 KiB
_VECTOR_BYTES = 64  # the widest registers; also a cache line


class Groups(NamedTuple):
    """Groups of rows, each given by its own rows, or by those that it lacks.

    The type of `sizes` is what the sums and the quotients are computed in.
    """

    rows: Indices
    """The first group's, then the second's and so on."""
    ends: Indices
    """Of each group in `rows`."""
    sizes: Floats
    """How many rows each has."""
    sign: np.floating[Any]
    """1 if `rows` are its own, -1 if it lacks them."""


class _Columns(NamedTuple):
    """Columns of a block and the tile to copy them into."""

    tile: Tile
    line: IntArray
    stride: int


def compiled(kernel: Kernel, *, fastmath: bool | set[str] = False) -> Kernel:
    """The kernel as machine code."""
    try:
        found: Kernel = njit(kernel, cache=True, error_model="numpy", fastmath=fastmath)
    except RuntimeError:  # no folder for a cache, as in a container that can only read
        found = njit(kernel, error_model="numpy", fastmath=fastmath)
    return found


def _in_any_order(kernel: Kernel) -> Kernel:
    """Machine code that adds floats in vectors; only for sums that are exact in every order."""
    return compiled(kernel, fastmath={"reassoc", "contract"})


def order(block: IntArray, comparators: Indices, first: int, ordered: IntArray) -> None:
    """Compares the rows, and writes down those from `first` on.

    Shape: block [n, width], comparators [., 2], ordered [rows, width].
    """
    _order(_columns(block, block.dtype), comparators, first, ordered)


def average_in_order(block: IntArray, comparators: Indices, ranks: range, means: IntArray) -> None:
    """Compares the rows, and writes the floor mean of those at `ranks`.

    Shape: block [n, width], comparators [., 2], means [width].
    """
    columns = _columns(block, block.dtype)
    narrow = block.dtype == np.int16 and len(block) <= 1 << 16
    totals: IntArray = np.empty(columns.tile.shape[1], dtype=np.int32 if narrow else np.int64)
    _average_in_order(columns, comparators, (ranks.start, ranks.stop), totals, means)


def add_squares(block: IntArray, sums: IntArray) -> None:
    """Adds each row's sums of squares, by signed halves of 16 bits: low, low with high, high.

    Shape: block [n, width], sums [3, n].
    """
    line, stride = _line(block)
    _add_squares(line, stride, block.shape[1], sums)


def add_products(block: IntArray, sums: IntArray) -> None:
    """Adds the rows' inner products, by signed halves of 16 bits; only those of i <= j count.

    Of int32: low with low, low with high and high with low, high with high. Of int16: one.

    Shape: block [n, width] with width at most 2^14, sums [3 or 1, n, n].
    """
    (parts, count, _), width = sums.shape, block.shape[1]
    fours = -(-count // 4) * 4
    halves = _aligned((min(parts, 2), fours, _TILE_COLUMNS), np.float64)
    halves[:, count:] = 0
    # Invariant: 2^14 products of 2^30, or twice as many, add up to 2^45, which a double holds.
    products = np.zeros((parts, fours, fours))
    _add_products(_Columns(halves, *_line(block)), count, width, products)
    sums += products[:, :count, :count].astype(np.int64)


def scale(block: IntArray, fractions: Floats, scaled: IntArray) -> None:
    """Writes each int16 row times its fraction a / b, rounded down, where a <= b <= 2^31.

    Shape: block [n, width], fractions [n, 2], scaled [n, width].
    """
    _scale(*_line(block), fractions, scaled)


def mix(block: IntArray, groups: Groups, mixed: IntArray) -> None:
    """Writes the groups' floor means. Shape: block [n, width], mixed [groups, width]."""
    _mix(_columns(block, groups.sizes.dtype), groups, mixed)


def _line(block: IntArray) -> tuple[IntArray, int]:
    """The block's values, and what lies between its rows, in one line, and from row to row of it.

    The compiler makes vector instructions only of what it knows to lie side by side.
    """
    size = block.itemsize
    if block.strides[1] != size or block.strides[0] < 0 or block.strides[0] % size:
        block = np.ascontiguousarray(block)
    stride = block.strides[0] // size
    length = (len(block) - 1) * stride + block.shape[1]
    return np.lib.stride_tricks.as_strided(block, (length,), (size,), writeable=False), stride


def _columns(block: IntArray, dtype: npt.DTypeLike) -> _Columns:
    count, width = block.shape
    lanes = _VECTOR_BYTES // np.dtype(dtype).itemsize
    columns = min(_TILE_COLUMNS, -(-width // lanes) * lanes)
    return _Columns(_aligned((count, columns), dtype), *_line(block))


def _aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Tile:
    """Vectors that cross cache lines cost a quarter of the speed."""
    size, lanes = prod(shape), _VECTOR_BYTES // np.dtype(dtype).itemsize
    memory = np.empty(size + lanes, dtype=dtype)
    start = -memory.ctypes.data % _VECTOR_BYTES // memory.itemsize
    return memory[start : start + size].reshape(shape)


@compiled
def _load(columns: _Columns, start: int, width: int) -> None:
    for i in range(len(columns.tile)):
        begin = i * columns.stride + start
        row, given = columns.tile[i, :width], columns.line[begin : begin + width]
        for k in range(width):
            row[k] = given[k]


@compiled
def _compare(tile: Tile, comparators: Indices) -> None:
    for i in range(len(comparators)):
        low, high = tile[comparators[i, 0]], tile[comparators[i, 1]]
        for k in range(len(low)):
            left, right = low[k], high[k]
            low[k] = min(left, right)
            high[k] = max(left, right)


@compiled
def _order(columns: _Columns, comparators: Indices, first: int, ordered: IntArray) -> None:
    tile = columns.tile
    for start in range(0, ordered.shape[1], tile.shape[1]):
        width = min(tile.shape[1], ordered.shape[1] - start)
        _load(columns, start, width)
        _compare(tile, comparators)
        for i in range(len(ordered)):
            row, found = tile[first + i, :width], ordered[i, start : start + width]
            for k in range(width):
                found[k] = row[k]


@compiled
def _average_in_order(
    columns: _Columns,
    comparators: Indices,
    ranks: tuple[int, int],
    totals: IntArray,
    means: IntArray,
) -> None:
    tile, (first, end) = columns.tile, ranks
    for start in range(0, len(means), len(totals)):
        width = min(len(totals), len(means) - start)
        _load(columns, start, width)
        _compare(tile, comparators)
        for k in range(len(totals)):
            totals[k] = 0
        for i in range(first, end):
            row = tile[i]
            for k in range(len(totals)):
                totals[k] += row[k]
        # Invariant: 2^20 int32 add up to 2^51 at most, which a double holds. A quotient that is no
        # integer is at least 2^-20 away from one and rounded by 2^-22.
        found = means[start : start + width]
        for k in range(width):
            found[k] = np.floor(totals[k] / (end - first))


@compiled
def _add_squares(line: IntArray, stride: int, width: int, sums: IntArray) -> None:
    for i in range(sums.shape[1]):
        low_low = low_high = high_high = np.int64(0)
        for value in line[i * stride : i * stride + width]:
            low = np.int64(np.int16(value))
            high = (value - low) >> 16
            low_low += low * low
            low_high += low * high
            high_high += high * high
        sums[0, i] += low_low
        sums[1, i] += low_high
        sums[2, i] += high_high


@_in_any_order
def _multiply(left: Floats, right: Floats, products: Floats) -> None:
    for i in range(0, len(left), 4):
        a, b, c, d = left[i], left[i + 1], left[i + 2], left[i + 3]
        for j in range(i, len(right), 2):
            p, q = right[j], right[j + 1]
            # Eight sums at a time keep the multipliers busy.
            ap = aq = bp = bq = cp = cq = dp = dq = 0.0
            for k in range(len(p)):
                ap += a[k] * p[k]
                aq += a[k] * q[k]
                bp += b[k] * p[k]
                bq += b[k] * q[k]
                cp += c[k] * p[k]
                cq += c[k] * q[k]
                dp += d[k] * p[k]
                dq += d[k] * q[k]
            for row, with_p, with_q in ((0, ap, aq), (1, bp, bq), (2, cp, cq), (3, dp, dq)):
                products[i + row, j] += with_p
                products[i + row, j + 1] += with_q


@compiled
def _add_products(columns: _Columns, count: int, width: int, products: Floats) -> None:
    halves = columns.tile
    for start in range(0, width, halves.shape[2]):
        used = min(halves.shape[2], width - start)
        for i in range(count):
            begin = i * columns.stride + start
            given, low = columns.line[begin : begin + used], halves[0, i]
            low[used:] = 0
            for k in range(used):
                low[k] = np.int16(given[k])
            if len(halves) > 1:
                high = halves[1, i]
                high[used:] = 0
                for k in range(used):
                    high[k] = (given[k] - np.int64(np.int16(given[k]))) >> 16
        _multiply(halves[0], halves[0], products[0])
        if len(halves) > 1:
            _multiply(halves[0], halves[1], products[1])
            _multiply(halves[1], halves[0], products[1])
            _multiply(halves[1], halves[1], products[2])


@compiled
def _scale(line: IntArray, stride: int, fractions: Floats, scaled: IntArray) -> None:
    for i in range(len(scaled)):
        numerator, denominator = fractions[i]
        row, found = line[i * stride : i * stride + scaled.shape[1]], scaled[i]
        # Invariant: 2^15 times a is exact. A quotient that is no integer is at least 2^-31 away
        # from one and rounded by 2^-38 at most.
        for k in range(len(found)):
            found[k] = np.floor(row[k] * numerator / denominator)


@compiled
def _mix(columns: _Columns, groups: Groups, mixed: IntArray) -> None:
    tile, rows, sign = columns.tile, groups.rows, groups.sign
    everybody = np.zeros(tile.shape[1], dtype=tile.dtype)
    sums = np.zeros(tile.shape[1], dtype=tile.dtype)
    for start in range(0, mixed.shape[1], tile.shape[1]):
        width = min(tile.shape[1], mixed.shape[1] - start)
        _load(columns, start, width)
        if sign < 0:
            for k in range(len(everybody)):
                everybody[k] = 0
            for i in range(len(tile)):
                row = tile[i]
                for k in range(len(everybody)):
                    everybody[k] += row[k]
        begin = 0
        for g in range(len(groups.ends)):
            end = groups.ends[g]
            for k in range(len(sums)):
                sums[k] = everybody[k]
            # Four at a time, since each visit reads and writes the sums.
            last = end - (end - begin) % 4
            for i in range(begin, last, 4):
                a, b, c, d = tile[rows[i]], tile[rows[i + 1]], tile[rows[i + 2]], tile[rows[i + 3]]
                for k in range(len(sums)):
                    sums[k] += sign * (a[k] + b[k] + c[k] + d[k])
            for i in range(last, end):
                row = tile[rows[i]]
                for k in range(len(sums)):
                    sums[k] += sign * row[k]
            begin = end
            size, found = groups.sizes[g], mixed[g, start : start + width]
            for k in range(width):
                found[k] = np.floor(sums[k] / size)
