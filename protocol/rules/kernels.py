"""Loops over tiles of columns that stay in the cache, compiled to machine code when first run.

A tile is copied out of a block once; then every pass over its rows is one of vector instructions.
The code is kept between runs where the project or its user has a writable folder. All kernels are
in this file, because a change in another one would not be seen to make that code old.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from protocol.rules.rows import IntArray

Floats = npt.NDArray[np.floating[Any]]
Tile = npt.NDArray[np.number[Any]]
Indices = npt.NDArray[np.int32]
Kernel = TypeVar("Kernel", bound=Callable[..., object])
Emitting = Any
"""What code that emits machine code gets and gives; Numba has no types for it."""

VISITED_ROWS = 16
"""So many, and what comparing them takes, fit the registers."""
SORT, MERGE, CLEAN = range(3)
"""Visits: to any rows, to two sorted halves, to values that rise and then fall."""

_TILE_ROW_BYTES = 1 << 10  # less is read slower, as it is 100 places of memory at a time
_SUM_COLUMNS = 1 << 8  # two lines of int64 take 4 KiB
_VECTOR_BYTES = 64  # the widest registers; also a cache line
_REGISTER_BYTES = 64 if binding.get_host_cpu_features().get("avx512bw") else 32


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


class Network(NamedTuple):
    """Visits that sort the rows of a tile. One more row than it has is a value above all."""

    kinds: Indices
    rows: Indices
    """Of each visit, from first to last. Shape: [visits, 16]."""


class _Columns(NamedTuple):
    """Columns of a block and the tile to copy them into."""

    tile: Tile
    height: int
    """Of the block; the tile may have one row more."""
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


def average_in_order(block: IntArray, network: Network, ranks: range, means: IntArray) -> None:
    """Sorts, and writes the floor mean of the rows at `ranks`.

    Shape: block [n, width], means [width].
    """
    _average_in_order(*_sortable(block), network, (ranks.start, ranks.stop), means)


def average_about_median(block: IntArray, network: Network, kept: int, means: IntArray) -> None:
    """Sorts, and writes the floor mean of the `kept` values nearest to the median of each column.

    Of two equally near ones the lesser is nearer. Shape: block [n, width], means [width].
    """
    _average_about_median(*_sortable(block), network, kept, means)


def add_squares(block: IntArray, sums: IntArray) -> None:
    """Adds each row's sums of squares, by signed halves of 16 bits: low, low with high, high.

    Shape: block [n, width], sums [3, n].
    """
    line, stride = _line(block)
    _add_squares(line, stride, block.shape[1], sums)


def add_products(block: IntArray, columns: int, sums: IntArray) -> None:
    """Adds the rows' inner products, by signed halves of 16 bits; only those of i <= j count.

    Of int32: low with low, low with high and high with low, high with high. Of int16: one. A tile
    of doubles has so many `columns`, a multiple of 8.

    Shape: block [n, width], sums [3 or 1, m, m], where m is n rounded up to a multiple of 4.
    """
    halves = _aligned((min(len(sums), 2), sums.shape[1], columns), np.float64)
    halves[:, len(block) :] = 0
    _add_products(_Columns(halves, len(block), *_line(block)), block.shape[1], sums)


def average_by_weights(
    block: IntArray, weights: npt.NDArray[np.int64], divisor: int, means: IntArray
) -> None:
    """Writes the sum of the rows times `weights` by `divisor`, floored, held within the type.

    Shape: block [n, width], weights [n] from 0 to 2^30, means [width].
    """
    sums = np.empty((2, _SUM_COLUMNS), dtype=np.int64)
    _average_by_weights(_line(block), weights, divisor, sums, means)


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
    if block.flags.c_contiguous:  # as blocks in memory are, and this is the faster way
        line = block.reshape(-1)
        line.flags.writeable = False
        return line, block.shape[1]
    size = block.itemsize
    if block.strides[1] != size or block.strides[0] < 0 or block.strides[0] % size:
        block = np.ascontiguousarray(block)
    stride = block.strides[0] // size
    length = (len(block) - 1) * stride + block.shape[1]
    return np.lib.stride_tricks.as_strided(block, (length,), (size,), writeable=False), stride


def _columns(block: IntArray, dtype: npt.DTypeLike, more_rows: int = 0) -> _Columns:
    count, width = block.shape
    itemsize = np.dtype(dtype).itemsize
    lanes = _VECTOR_BYTES // itemsize
    columns = min(_TILE_ROW_BYTES // itemsize, -(-width // lanes) * lanes)
    return _Columns(_aligned((count + more_rows, columns), dtype), count, *_line(block))


def _sortable(block: IntArray) -> tuple[_Columns, IntArray]:
    """The columns with the row that a network wants, and a line of sums as wide as they need."""
    columns = _columns(block, block.dtype, more_rows=1)
    columns.tile[-1] = np.iinfo(block.dtype).max
    narrow = block.dtype == np.int16 and len(block) <= 1 << 16
    return columns, np.empty(columns.tile.shape[1], dtype=np.int32 if narrow else np.int64)


def _aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Tile:
    """Vectors that cross cache lines cost a quarter of the speed."""
    size, lanes = prod(shape), _VECTOR_BYTES // np.dtype(dtype).itemsize
    memory = np.empty(size + lanes, dtype=dtype)
    start = -memory.ctypes.data % _VECTOR_BYTES // memory.itemsize
    return memory[start : start + size].reshape(shape)


@compiled
def _load(columns: _Columns, start: int, width: int) -> None:
    for i in range(columns.height):
        begin = i * columns.stride + start
        row, given = columns.tile[i, :width], columns.line[begin : begin + width]
        for k in range(width):
            row[k] = given[k]


def _half_cleaned(*distances: int) -> list[tuple[int, int]]:
    """Comparators of each row with the one at a distance, for one distance after the other."""
    return [(row, row + d) for d in distances for row in range(VISITED_ROWS) if not row & d]


def _merged(length: int) -> list[tuple[int, int]]:
    """Comparators that make runs of `length` rows of their sorted halves."""
    # With one half read backwards, values rise and then fall.
    mirrored = [
        (start + i, start + length - 1 - i)
        for start in range(0, VISITED_ROWS, length)
        for i in range(length // 2)
    ]
    return mirrored + _half_cleaned(*(d for d in (8, 4, 2, 1) if 4 * d <= length))


def _visit(comparators: Sequence[tuple[int, int]]) -> Callable[..., None]:
    """Machine code that loads rows of a tile, compares them in registers and stores them.

    The compiler does not find it by itself, as it cannot know that the rows are different ones.
    """

    @intrinsic
    def visit(_context: Emitting, tile: Emitting, rows: Emitting) -> Emitting:
        return types.void(tile, rows), emit

    def emit(
        context: Emitting, builder: Emitting, signature: Emitting, arguments: Emitting
    ) -> Emitting:
        tile, rows = (
            context.make_array(kind)(context, builder, argument)
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        size = context.get_value_type(types.intp)
        columns = builder.extract_value(tile.shape, 1)
        starts = []
        for i in range(VISITED_ROWS):
            row = builder.load(builder.gep(rows.data, [size(i)]))
            starts.append(builder.mul(builder.sext(row, size), columns))
        number = context.get_data_type(signature.args[0].dtype)
        vector = ir.VectorType(number, 8 * _REGISTER_BYTES // number.width)
        steps = cgutils.for_range_slice(builder, size(0), columns, size(vector.count), size)
        with steps as (column, _):
            first = [builder.gep(tile.data, [builder.add(start, column)]) for start in starts]
            places = [builder.bitcast(place, vector.as_pointer()) for place in first]
            values = [builder.load(place, align=_REGISTER_BYTES) for place in places]
            for low, high in comparators:
                left, right = values[low], values[high]
                less = builder.icmp_signed("<", left, right)
                values[low] = builder.select(less, left, right)
                values[high] = builder.select(less, right, left)
            for value, place in zip(values, places, strict=True):
                builder.store(value, place, align=_REGISTER_BYTES)
        return context.get_dummy_value()

    return visit


_sort_rows = _visit(_merged(2) + _merged(4) + _merged(8) + _merged(16))
_merge_rows = _visit(_merged(16))
_clean_rows = _visit(_half_cleaned(8, 4, 2, 1))


@compiled
def _sort(tile: Tile, network: Network) -> None:
    kinds, rows = network
    for i in range(len(kinds)):
        if kinds[i] == SORT:
            _sort_rows(tile, rows[i])
        elif kinds[i] == MERGE:
            _merge_rows(tile, rows[i])
        else:
            _clean_rows(tile, rows[i])


@compiled
def _write_means(totals: IntArray, count: int, means: IntArray) -> None:
    # Invariant: 2^20 int32 add up to 2^51 at most, which a double holds. A quotient that is no
    # integer is at least 2^-20 away from one and rounded by 2^-22.
    for k in range(len(means)):
        means[k] = np.floor(totals[k] / count)


@compiled
def _add_rows(tile: Tile, first: int, end: int, totals: IntArray) -> None:
    # Four at a time, since each visit reads and writes the totals.
    last = end - (end - first) % 4
    for i in range(first, last, 4):
        a, b, c, d = tile[i], tile[i + 1], tile[i + 2], tile[i + 3]
        for k in range(len(totals)):
            totals[k] += a[k] + b[k] + c[k] + d[k]
    for i in range(last, end):
        row = tile[i]
        for k in range(len(totals)):
            totals[k] += row[k]


@compiled
def _average_in_order(
    columns: _Columns,
    totals: IntArray,
    network: Network,
    ranks: tuple[int, int],
    means: IntArray,
) -> None:
    first, end = ranks
    for start in range(0, len(means), len(totals)):
        width = min(len(totals), len(means) - start)
        _load(columns, start, width)
        _sort(columns.tile, network)
        totals[:] = 0
        _add_rows(columns.tile, first, end, totals)
        _write_means(totals, end - first, means[start : start + width])


@compiled
def _average_about_median(
    columns: _Columns, totals: IntArray, network: Network, kept: int, means: IntArray
) -> None:
    tile, count = columns.tile, columns.height
    below, above = tile[(count - 1) // 2], tile[count // 2]
    for start in range(0, len(means), len(totals)):
        width = min(len(totals), len(means) - start)
        _load(columns, start, width)
        _sort(tile, network)
        totals[:] = 0
        _add_rows(tile, 0, kept, totals)
        # The nearest values are neighbours in order. That window moves up by one while the value it
        # would lose is farther from the median than the one it would win, and once it stops it
        # stays.
        for i in range(count - kept):
            lost, won = tile[i], tile[i + kept]
            for k in range(len(totals)):
                farther = lost[k] + won[k] < below[k] + above[k]
                totals[k] += won[k] - lost[k] if farther else 0
        _write_means(totals, kept, means[start : start + width])


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
def _multiply(left: Floats, right: Floats, sums: IntArray) -> None:
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
            # Invariant: a tile has 2^8 columns at most, so sums of 2^30 are exact.
            for row, with_p, with_q in ((0, ap, aq), (1, bp, bq), (2, cp, cq), (3, dp, dq)):
                sums[i + row, j] += np.int64(with_p)
                sums[i + row, j + 1] += np.int64(with_q)


@compiled
def _add_products(columns: _Columns, width: int, sums: IntArray) -> None:
    halves = columns.tile
    for start in range(0, width, halves.shape[2]):
        used = min(halves.shape[2], width - start)
        for i in range(columns.height):
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
        _multiply(halves[0], halves[0], sums[0])
        if len(halves) > 1:
            _multiply(halves[0], halves[1], sums[1])
            _multiply(halves[1], halves[0], sums[1])
            _multiply(halves[1], halves[1], sums[2])


@compiled
def _floor_divided(numerator: np.int64, denominator: int) -> np.int64:
    quotient = np.int64(np.floor(numerator / denominator))
    # Invariant: a quotient below 2^48 is off by one at most.
    rest = numerator - quotient * denominator
    return quotient + (rest >= denominator) - (rest < 0)


@compiled
def _average_by_weights(
    lines: tuple[IntArray, int],
    weights: npt.NDArray[np.int64],
    divisor: int,
    sums: npt.NDArray[np.int64],
    means: IntArray,
) -> None:
    line, stride = lines
    low_sums, high_sums, ends = sums[0], sums[1], np.iinfo(means.dtype)
    for start in range(0, len(means), len(low_sums)):
        width = min(len(low_sums), len(means) - start)
        # Invariant: halves of 2^15 times 2^30 fit for 2^17 rows.
        sums[:] = 0
        for i in range(len(weights)):
            weight, begin = weights[i], i * stride + start
            if weight == 0:
                continue
            row = line[begin : begin + width]
            for k in range(width):
                low_sums[k] += weight * np.int64(np.int16(row[k]))
            if row.itemsize > 2:
                for k in range(width):
                    high_sums[k] += weight * ((row[k] - np.int64(np.int16(row[k]))) >> 16)
        found = means[start : start + width]
        for k in range(width):
            # The high halves are divided first: 2^16 times their remainder fits.
            whole = _floor_divided(high_sums[k], divisor)
            rest = high_sums[k] - whole * divisor
            quotient = (whole << 16) + _floor_divided((rest << 16) + low_sums[k], divisor)
            found[k] = min(max(int(quotient), ends.min), ends.max)


@compiled
def _scale(line: IntArray, stride: int, fractions: Floats, scaled: IntArray) -> None:
    for i in range(len(scaled)):
        numerator, denominator = fractions[i]
        row, found = line[i * stride : i * stride + scaled.shape[1]], scaled[i]
        if numerator == denominator:
            for k in range(len(found)):
                found[k] = row[k]
            continue
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
