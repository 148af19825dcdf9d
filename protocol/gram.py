"""The table behind a choice by distance: inner products of all pairs of rows, chunk by chunk.

A choice among updates depends on their Gram matrix alone. Its entries are sums over chunks, so a
Merkle sum tree commits to all of them: two chunks prove a wrong product, the nodes above the pairs
prove a wrong choice. Leaves have no hash; sums are two's complement in 64 bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from eth_hash.auto import keccak

from protocol.errors import VerificationFailed
from protocol.numbers import Int16Array
from protocol.posting import LARGEST_PART_BYTES, Part
from protocol.rules.distances import Integers
from protocol.sumtree import Node, chunk_count

NODE_TAG = b"volquorum.gram.1"
ROOT_TAG = b"volquorum.root.2"
LEAF_BYTES = 8
LARGEST_PART_LEVELS = (LARGEST_PART_BYTES // LEAF_BYTES).bit_length() - 1

Int64Array = npt.NDArray[np.int64]

_MODULUS = 1 << 64
_PADDING = Node(bytes(32), 0)
_FLOAT_VALUES = 1 << 18  # 2 MiB of float64


@dataclass(frozen=True)
class Geometry:
    """The shape of the table over `rows` rows of `chunks` chunks each."""

    rows: int
    chunks: int

    @classmethod
    def of(cls, rows: int, dimension: int, chunk_length: int) -> "Geometry":
        """That of `rows` updates."""
        return cls(rows, chunk_count(dimension, chunk_length))

    @property
    def pairs(self) -> int:
        """Pairs (i, j) with i <= j, row by row."""
        return self.rows * (self.rows + 1) // 2

    @property
    def depth(self) -> int:
        """Levels from the leaves up to the pairs' nodes."""
        return (self.chunks - 1).bit_length()

    @property
    def height(self) -> int:
        """Levels from the leaves up to the top."""
        return self.depth + (self.pairs - 1).bit_length()

    @property
    def part_levels(self) -> int:
        """Levels of the subtree that a part is."""
        return min(self.height, LARGEST_PART_LEVELS)

    @property
    def part_count(self) -> int:
        """Parts with a pair in them; those behind are never posted."""
        return -(-(self.pairs << self.depth) >> self.part_levels)

    def leaf(self, first: int, second: int, chunk: int) -> int:
        """The number of the leaf of two rows' chunk, in any order of the rows."""
        i, j = sorted((first, second))
        return (i * self.rows - i * (i - 1) // 2 + j - i << self.depth) + chunk


@dataclass(frozen=True, eq=False)
class Table:
    """A whole table; `levels` go from the leaves to the top and hold no padding behind the pairs.

    Shape: products [pairs, chunks].
    """

    geometry: Geometry
    products: Int64Array
    levels: tuple[tuple[Node, ...], ...]

    @classmethod
    def of(cls, rows: Int16Array, chunk_length: int) -> "Table":
        """The table of rows as the choice sees them. Shape: rows [n, d]."""
        if rows.dtype != np.dtype(np.int16) or rows.ndim != 2 or rows.size == 0:
            raise TypeError(f"a table is of int16 rows [n, d], not {rows.dtype} {rows.shape}")
        return cls.over(_products(rows, chunk_length), len(rows))

    @classmethod
    def over(cls, products: Int64Array, rows: int) -> "Table":
        """The table with these products, right or not. Shape: products [pairs, chunks]."""
        geometry = Geometry(rows, products.shape[1])
        padded = np.zeros((geometry.pairs, 1 << geometry.depth), dtype=np.int64)
        padded[:, : geometry.chunks] = products
        levels = [tuple(Node(bytes(32), _unsigned(total)) for total in padded.ravel().tolist())]
        for height in range(geometry.height):
            levels.append(_parents(levels[-1], height))
        return cls(geometry, products, tuple(levels))

    @property
    def root(self) -> bytes:
        """What is published; it binds the number of rows and the sum of all products."""
        top = self.levels[-1][0]
        return keccak(ROOT_TAG + _u64(self.geometry.rows) + _u64(top.sum) + top.hash)

    @property
    def sums(self) -> Integers:
        """The Gram matrix that the nodes above the pairs record. Shape: [n, n]"""
        count = self.geometry.rows
        matrix: Integers = np.zeros((count, count), dtype=object)
        places = zip(*np.triu_indices(count), strict=True)
        for (i, j), node in zip(places, self.levels[self.geometry.depth], strict=True):
            matrix[i, j] = matrix[j, i] = _signed(node.sum)
        return matrix

    @property
    def pair_nodes(self) -> bytes:
        """All nodes above the pairs, as a proof of a wrong choice carries them."""
        return _encoded(self.levels[self.geometry.depth])

    def path(self, leaf: int) -> bytes:
        """A leaf's recorded path: on each level its node's sum and the sibling, then the total."""
        steps = [
            _u64(_node(level, leaf >> height, height).sum)
            + _encoded([_node(level, leaf >> height ^ 1, height)])
            for height, level in enumerate(self.levels[:-1])
        ]
        return b"".join(steps) + _u64(self.levels[-1][0].sum)

    def parts(self) -> Iterator[Part]:
        """What is posted if somebody flagged the table, part by part."""
        own = self.geometry.part_levels
        for number in range(self.geometry.part_count):
            numbers = range(number << own, number + 1 << own)
            leaves = b"".join(_u64(_node(self.levels[0], leaf, 0).sum) for leaf in numbers)
            siblings = [
                _node(level, number >> above ^ 1, own + above)
                for above, level in enumerate(self.levels[own:-1])
            ]
            yield Part(leaves, _encoded(siblings))


def joined(parts: Sequence[bytes], geometry: Geometry) -> Table:
    """The table behind the leaves of all parts, in their order.

    Raises: VerificationFailed if a part is missing or not as long as it must be, or if padding is
    not zero.
    """
    wanted = [LEAF_BYTES << geometry.part_levels] * geometry.part_count
    found = [len(part) for part in parts]
    if found != wanted:
        raise VerificationFailed(f"the parts of a table must have {wanted} bytes; found {found}")
    leaves = np.frombuffer(b"".join(parts), dtype=">i8").astype(np.int64)
    used = geometry.pairs << geometry.depth
    products = leaves[:used].reshape(geometry.pairs, -1)
    if leaves[used:].any() or products[:, geometry.chunks :].any():
        raise VerificationFailed("a table must hold zeros behind its chunks and its pairs")
    return Table.over(products[:, : geometry.chunks], geometry.rows)


def _products(rows: Int16Array, chunk_length: int) -> Int64Array:
    """Shape: rows [n, d] -> [pairs, chunks]."""
    count, dimension = rows.shape
    chunks = chunk_count(dimension, chunk_length)
    upper = np.triu_indices(count)
    products = np.empty((len(upper[0]), chunks), dtype=np.int64)
    step = max(1, _FLOAT_VALUES // (count * chunk_length))
    for first in range(0, chunks, step):
        several = min(step, chunks - first)
        block = rows[:, first * chunk_length : (first + several) * chunk_length]
        padded = np.zeros((count, several * chunk_length))
        padded[:, : block.shape[1]] = block
        # Invariant: at most 2^30 times 512 coordinates, which a double holds, in any order.
        stacked = padded.reshape(count, several, chunk_length).transpose(1, 0, 2)
        matrices = stacked @ stacked.transpose(0, 2, 1)
        products[:, first : first + several] = matrices[:, *upper].T
    return products


def _parents(level: tuple[Node, ...], height: int) -> tuple[Node, ...]:
    even = level if len(level) % 2 == 0 else (*level, _padding_node(height))
    return tuple(_parent(left, right) for left, right in zip(even[::2], even[1::2], strict=True))


def _parent(left: Node, right: Node) -> Node:
    tagged = left.hash + right.hash + NODE_TAG + _u64(left.sum) + _u64(right.sum)
    return Node(keccak(tagged), (left.sum + right.sum) % _MODULUS)


def _node(level: Sequence[Node], index: int, height: int) -> Node:
    return level[index] if index < len(level) else _padding_node(height)


@cache
def _padding_node(height: int) -> Node:
    """A subtree of `2^height` padding leaves."""
    return _parent(_padding_node(height - 1), _padding_node(height - 1)) if height else _PADDING


def _encoded(nodes: Sequence[Node]) -> bytes:
    return b"".join(node.hash + _u64(node.sum) for node in nodes)


def _unsigned(total: int) -> int:
    return total % _MODULUS


def _signed(total: int) -> int:
    return total - _MODULUS if total >> 63 else total


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
