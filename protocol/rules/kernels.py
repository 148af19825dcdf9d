"""Loops over columns that stay in the cache, compiled to machine code when first run.

Where rows change, a tile of columns is copied out of a block once; then every pass over its rows is
one of vector instructions.
The code is kept between runs where the project or its user has a writable folder. All kernels are
in this file, because a change in another one would not be seen to make that code old.
"""

from collections.abc import Callable, Iterator, Sequence
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
emitted: Emitting = cgutils

VISITED_ROWS = 16
"""So many, and what comparing them takes, fit the registers."""
SORT, MERGE, CLEAN = range(3)
"""Visits: to any rows, to two sorted halves, to values that rise and then fall."""

_TILE_ROW_BYTES = 1 << 10  # less is read slower, as it is 100 places of memory at a time
_MIXED_ROW_BYTES = 1 << 9  # there are two tiles then
_SUM_COLUMNS = 1 << 8  # two lines of int64 take 4 KiB
_VECTOR_BYTES = 64  # the widest registers; also a cache line
_FEATURES = binding.get_host_cpu_features()
_REGISTER_BYTES = 64 if _FEATURES.get("avx512bw") else 32
_LANES = _REGISTER_BYTES // 2  # of int16
# Invariant: a lane of int32 adds up 2^7 pairs at most, each of products of 2^15 with a byte. So a
# pair is below 2^24, and their sum below 2^31.
_PRODUCT_COLUMNS = 1 << 11
_LEFTS, _RIGHTS = (4, 2) if _REGISTER_BYTES == 64 else (2, 2)  # rows whose sums fit the registers


class Groups(NamedTuple):
    """Groups of rows, each given by its own rows, or by those that it lacks.

    The type of `sizes` is what the quotients are computed in.
    """

    rows: Indices
    """The first group's, then the second's and so on."""
    ends: Indices
    """Of each group in `rows`."""
    sizes: Floats
    """How many rows each has."""
    by_others: bool
    """Whether `rows` are those that it lacks."""


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


class _Mixing(NamedTuple):
    """Groups of a tile's rows, lines as wide as it for sums, and where the means are written."""

    groups: Groups
    everybody: IntArray
    some: IntArray
    quotients: Floats
    mixed: Tile


def compiled(kernel: Kernel) -> Kernel:
    """The kernel as machine code."""
    try:
        found: Kernel = njit(kernel, cache=True, error_model="numpy")
    except RuntimeError:  # no folder for a cache, as in a container that can only read
        found = njit(kernel, error_model="numpy")
    return found


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

    Of int16 only the first is added to. Shape: block [n, width], sums [3, n].
    """
    if block.dtype == np.int16:
        for line, stride, width in _in_whole_vectors(block):
            _add_products_of_rows((line, stride), (line, stride), width, sums[0])
    else:
        _add_squares(*_line(block), block.shape[1], sums)


def add_products_with(other: IntArray, block: IntArray, sums: IntArray) -> None:
    """Adds each int16 row's inner product with another row.

    Shape: other [width], block [n, width], sums [n].
    """
    others = _in_whole_vectors(other[None])
    for (line, stride, width), (same, _, _) in zip(_in_whole_vectors(block), others, strict=True):
        _add_products_of_rows((line, stride), (same, 0), width, sums)


def add_products(block: IntArray, table: IntArray) -> None:
    """Adds the inner products of int16 rows; only those of i <= j count.

    Shape: block [n, width], table [n, n].
    """
    for line, stride, width in _in_whole_vectors(block):
        _add_products(line, stride, width, table)


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
    columns = _columns(block, block.dtype)
    _mix(columns, _mixing(columns, groups, mixed))


def average_mixed_in_order(
    block: IntArray, groups: Groups, network: Network, ranks: range, means: IntArray
) -> None:
    """Sorts the groups' floor means, and writes the floor mean of those at `ranks`.

    Shape: block [n, width], means [width].
    """
    # Two tiles are no more than a block, which takes memory too where a pre-step made it.
    half = block.shape[1] * block.itemsize // 2
    most = max(_VECTOR_BYTES, min(_MIXED_ROW_BYTES, half - half % _VECTOR_BYTES))
    columns = _columns(block, block.dtype, most=most)
    mixed = _aligned((len(groups.ends) + 1, columns.tile.shape[1]), block.dtype)
    mixed[-1] = np.iinfo(block.dtype).max
    mixing = _mixing(columns, groups, mixed)
    _average_mixed_in_order(columns, mixing, network, (ranks.start, ranks.stop), means)


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


def _in_whole_vectors(block: IntArray) -> Iterator[tuple[IntArray, int, int]]:
    """Lines, strides and widths of the columns that fill vectors, and of the others with zeros."""
    rest = block.shape[1] % _LANES
    if whole := block.shape[1] - rest:
        yield *_line(block), whole
    if rest:
        filled = np.zeros((len(block), _LANES), dtype=block.dtype)
        filled[:, :rest] = block[:, whole:]
        yield *_line(filled), _LANES


def _columns(
    block: IntArray, dtype: npt.DTypeLike, more_rows: int = 0, most: int = _TILE_ROW_BYTES
) -> _Columns:
    count, width = block.shape
    itemsize = np.dtype(dtype).itemsize
    lanes = _VECTOR_BYTES // itemsize
    columns = min(most // itemsize, -(-width // lanes) * lanes)
    return _Columns(_aligned((count + more_rows, columns), dtype), count, *_line(block))


def _sortable(block: IntArray) -> tuple[_Columns, IntArray]:
    """The columns with the row that a network wants, and a line of sums as wide as they need."""
    columns = _columns(block, block.dtype, more_rows=1)
    columns.tile[-1] = np.iinfo(block.dtype).max
    return columns, np.empty(columns.tile.shape[1], dtype=_sum_type(block))


def _sum_type(block: Tile) -> type[np.signedinteger[Any]]:
    """What rows of a block add up within."""
    return np.int32 if block.dtype == np.int16 and len(block) <= 1 << 16 else np.int64


def _mixing(columns: _Columns, groups: Groups, mixed: Tile) -> _Mixing:
    width = columns.tile.shape[1]
    everybody, some = np.empty((2, width), dtype=_sum_type(columns.tile))
    return _Mixing(groups, everybody, some, np.empty(width, dtype=groups.sizes.dtype), mixed)


def _aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Tile:
    """Vectors that cross cache lines cost a quarter of the speed."""
    size, lanes = prod(shape), _VECTOR_BYTES // np.dtype(dtype).itemsize
    memory = np.empty(size + lanes, dtype=dtype)
    address: int = memory.__array_interface__["data"][0]
    start = -address % _VECTOR_BYTES // memory.itemsize
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
        steps = emitted.for_range_slice(builder, size(0), columns, size(vector.count), size)
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


def _multiplied_pairs(builder: Emitting, left: Emitting, right: Emitting) -> Emitting:
    """Products of int16 lanes, added two by two to int32."""
    narrow, lanes = left.type, left.type.count
    wide = ir.VectorType(ir.IntType(32), lanes // 2)
    named = {64: "avx512.pmaddw.d.512", 32: "avx2.pmadd.wd"}.get(2 * lanes)
    if _FEATURES.get("avx2") and named:
        kind = ir.FunctionType(wide, [narrow, narrow])
        multiply = emitted.get_or_insert_function(builder.module, kind, f"llvm.x86.{named}")
        return builder.call(multiply, [left, right])
    parts = []
    for first in range(2):
        places = ir.Constant(wide, list(range(first, lanes, 2)))
        halves = (builder.shuffle_vector(value, value, places) for value in (left, right))
        parts.append(builder.mul(*(builder.sext(half, wide) for half in halves)))
    return builder.add(*parts)


def _products(lefts: int, rights: int) -> Callable[..., None]:
    """Machine code for the inner products of `lefts` int16 rows with `rights` others.

    A row is given by its start in the left or right line, the lefts first. A width is of whole
    vectors, `_PRODUCT_COLUMNS` at most.
    """

    @intrinsic
    def multiply(
        _context: Emitting,
        left: Emitting,
        right: Emitting,
        starts: Emitting,
        width: Emitting,
        sums: Emitting,
    ) -> Emitting:
        return types.void(left, right, starts, width, sums), emit

    def emit(
        context: Emitting, builder: Emitting, signature: Emitting, arguments: Emitting
    ) -> Emitting:
        left, right, starts, sums = (
            context.make_array(signature.args[i])(context, builder, arguments[i])
            for i in (0, 1, 2, 4)
        )
        size = context.get_value_type(types.intp)
        narrow = ir.VectorType(ir.IntType(16), _LANES)
        lanes, long = (ir.VectorType(ir.IntType(bits), _LANES // 2) for bits in (32, 64))
        rows = range(lefts + rights)
        first = [builder.load(builder.gep(starts.data, [size(row)])) for row in rows]
        zeros = ir.Constant(lanes, None)
        # Of each pair with the high byte of the left and with its low one.
        found = [[emitted.alloca_once_value(builder, zeros) for _ in range(2)] for _ in pairs]
        steps = emitted.for_range_slice(builder, size(0), arguments[3], size(_LANES), size)
        with steps as (column, _):
            lines = [left] * lefts + [right] * rights
            places = [
                builder.gep(line.data, [builder.add(row, column)])
                for line, row in zip(lines, first, strict=True)
            ]
            pointers = [builder.bitcast(place, narrow.as_pointer()) for place in places]
            values = [builder.load(pointer, align=2) for pointer in pointers]
            shift, mask = (ir.Constant(narrow, [bits] * _LANES) for bits in (8, 255))
            halves = [(builder.ashr(x, shift), builder.and_(x, mask)) for x in values[:lefts]]
            for (i, j), both in zip(pairs, found, strict=True):
                for half, place in zip(halves[i], both, strict=True):
                    more = _multiplied_pairs(builder, half, values[lefts + j])
                    builder.store(builder.add(builder.load(place), more), place)
        for pair, both in enumerate(found):
            high, low = (builder.sext(builder.load(place), long) for place in both)
            whole = builder.add(builder.shl(high, ir.Constant(long, [8] * (_LANES // 2))), low)
            name = f"llvm.vector.reduce.add.v{_LANES // 2}i64"
            kind = ir.FunctionType(ir.IntType(64), [long])
            add = emitted.get_or_insert_function(builder.module, kind, name)
            builder.store(builder.call(add, [whole]), builder.gep(sums.data, [size(pair)]))
        return context.get_dummy_value()

    pairs = [(i, j) for i in range(lefts) for j in range(rights)]
    return multiply


_multiply_rows = _products(_LEFTS, _RIGHTS)
_multiply_row = _products(1, 1)


def _sum_of_listed(vectors: int) -> Callable[..., None]:
    """Machine code that writes the sum of some rows of a tile, of so many vectors at a time.

    It stays in registers meanwhile, where the compiler would store it for every few rows.
    """

    @intrinsic
    def add(_context: Emitting, tile: Emitting, rows: Emitting, totals: Emitting) -> Emitting:
        return types.void(tile, rows, totals), emit

    def emit(
        context: Emitting, builder: Emitting, signature: Emitting, arguments: Emitting
    ) -> Emitting:
        tile, rows, totals = (
            context.make_array(kind)(context, builder, argument)
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        size = context.get_value_type(types.intp)
        count, columns = builder.extract_value(rows.shape, 0), builder.extract_value(tile.shape, 1)
        number, total = (context.get_data_type(signature.args[i].dtype) for i in (0, 2))
        lanes = 8 * _REGISTER_BYTES // total.width
        narrow, wide = (ir.VectorType(kind, lanes) for kind in (number, total))

        def place(memory: Emitting, start: Emitting, vector: int, kind: Emitting) -> Emitting:
            first = builder.gep(memory, [builder.add(start, size(vector * lanes))])
            return builder.bitcast(first, kind.as_pointer())

        sums = [emitted.alloca_once(builder, wide) for _ in range(vectors)]
        step = size(vectors * lanes)
        with emitted.for_range_slice(builder, size(0), columns, step, size) as (column, _):
            for held in sums:
                builder.store(ir.Constant(wide, None), held)
            with emitted.for_range_slice(builder, size(0), count, size(1), size) as (i, _):
                row = builder.sext(builder.load(builder.gep(rows.data, [i])), size)
                start = builder.add(builder.mul(row, columns), column)
                for vector, held in enumerate(sums):
                    more = builder.load(place(tile.data, start, vector, narrow), align=2)
                    builder.store(builder.add(builder.load(held), builder.sext(more, wide)), held)
            for vector, held in enumerate(sums):
                builder.store(builder.load(held), place(totals.data, column, vector, wide), align=4)
        return context.get_dummy_value()

    return add


_add_listed = _sum_of_listed(2)  # a tile has columns for two vectors of sums at least


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
def _mix_tile(columns: _Columns, mixing: _Mixing, start: int, width: int) -> None:
    groups, everybody, some, quotients, mixed = mixing
    if groups.by_others:
        everybody[:] = 0
        _add_rows(columns.tile, 0, columns.height, everybody)
    begin = 0
    for g in range(len(groups.ends)):
        end = groups.ends[g]
        _add_listed(columns.tile, groups.rows[begin:end], some)
        begin = end
        for k in range(len(some)):
            quotients[k] = everybody[k] - some[k] if groups.by_others else some[k]
        size, found = groups.sizes[g], mixed[g, start : start + width]
        for k in range(width):
            found[k] = np.floor(quotients[k] / size)


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


@compiled
def _add_products_of_rows(
    lefts: tuple[IntArray, int], rights: tuple[IntArray, int], width: int, sums: IntArray
) -> None:
    (left, left_stride), (right, right_stride) = lefts, rights
    starts, product = np.empty(2, dtype=np.int64), np.empty(1, dtype=np.int64)
    for i in range(len(sums)):
        for start in range(0, width, _PRODUCT_COLUMNS):
            starts[0], starts[1] = i * left_stride + start, i * right_stride + start
            _multiply_row(left, right, starts, min(_PRODUCT_COLUMNS, width - start), product)
            sums[i] += product[0]


@compiled
def _add_products(line: IntArray, stride: int, width: int, table: IntArray) -> None:
    count = len(table)
    starts = np.empty(_LEFTS + _RIGHTS, dtype=np.int64)
    found = np.empty(_LEFTS * _RIGHTS, dtype=np.int64)
    for start in range(0, width, _PRODUCT_COLUMNS):
        columns = min(_PRODUCT_COLUMNS, width - start)
        for i in range(0, count, _LEFTS):
            for k in range(_LEFTS):
                starts[k] = min(i + k, count - 1) * stride + start
            for j in range(i, count, _RIGHTS):
                for k in range(_RIGHTS):
                    starts[_LEFTS + k] = min(j + k, count - 1) * stride + start
                _multiply_rows(line, line, starts, columns, found)
                for k in range(min(_LEFTS, count - i)):
                    for m in range(min(_RIGHTS, count - j)):
                        table[i + k, j + m] += found[k * _RIGHTS + m]


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
def _mix(columns: _Columns, mixing: _Mixing) -> None:
    for start in range(0, mixing.mixed.shape[1], columns.tile.shape[1]):
        width = min(columns.tile.shape[1], mixing.mixed.shape[1] - start)
        _load(columns, start, width)
        _mix_tile(columns, mixing, start, width)


@compiled
def _average_mixed_in_order(
    columns: _Columns,
    mixing: _Mixing,
    network: Network,
    ranks: tuple[int, int],
    means: IntArray,
) -> None:
    first, end = ranks
    for start in range(0, len(means), columns.tile.shape[1]):
        width = min(columns.tile.shape[1], len(means) - start)
        _load(columns, start, width)
        _mix_tile(columns, mixing, 0, width)
        _sort(mixing.mixed, network)
        totals = mixing.some
        totals[:] = 0
        _add_rows(mixing.mixed, first, end, totals)
        _write_means(totals, end - first, means[start : start + width])
