"""Merkle sum trees: a root commits to every coordinate and to the squared norm.

Values are cut into chunks of `chunk_length` coordinates, the last one zero padded. A leaf is bound
to its index and to the width of its integers, a node carries the sum of squares below it, and the
depth follows from the dimension alone. So one opening proves a chunk, or a false norm.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from eth_hash.auto import keccak

from protocol.numbers import Int16Array, Int32Array

LEAF_TAG = b"volquorum.leaf.1"
NODE_TAG = b"volquorum.node.1"
ROOT_TAG = b"volquorum.root.1"


class Node(NamedTuple):
    """A subtree's hash and the sum of squares below it."""

    hash: bytes
    sum: int


PADDING = Node(bytes(32), 0)


@dataclass(frozen=True)
class Opening:
    """One chunk and the way from its leaf to the top.

    `chunk` is its big-endian integers with their padding, `siblings` go from the leaf upward.
    """

    index: int
    width_bytes: int
    chunk: bytes
    siblings: tuple[Node, ...]

    @property
    def values(self) -> Int16Array | Int32Array:
        """The chunk's coordinates, padding included."""
        raw = np.frombuffer(self.chunk, dtype=f">i{self.width_bytes}")
        return raw.astype(f"=i{self.width_bytes}")


@dataclass(frozen=True, eq=False)
class SumTree:
    """A whole tree; `levels` go from the leaves to the top and hold no padding nodes."""

    dimension: int
    chunk_length: int
    width_bytes: int
    chunks: tuple[bytes, ...]
    levels: tuple[tuple[Node, ...], ...]

    @classmethod
    def of(cls, values: Int16Array | Int32Array, chunk_length: int) -> "SumTree":
        """The tree of an update (int16), or of a model (int32, all sums zero).

        Shape: values [d].
        """
        if values.dtype not in (np.dtype(np.int16), np.dtype(np.int32)):
            raise TypeError(f"a tree holds int16 or int32 values, not {values.dtype}")
        if values.ndim != 1 or values.size == 0:
            raise ValueError(f"a tree holds at least one coordinate, in a row, not {values.shape}")
        width_bytes = values.dtype.itemsize
        chunks = _chunks(values, chunk_length)
        leaves = tuple(
            Node(leaf_hash(width_bytes, index, chunk), total)
            for index, (chunk, total) in enumerate(
                zip(chunks, _chunk_sums(values, chunk_length), strict=True)
            )
        )
        levels = [leaves]
        for height in range(depth_of(values.size, chunk_length)):
            levels.append(_parents(levels[-1], height))
        return cls(values.size, chunk_length, width_bytes, chunks, tuple(levels))

    @classmethod
    def recorded(
        cls, values: Int16Array, chunk_length: int, sums: Sequence[Sequence[int]]
    ) -> "SumTree":
        """The tree that records these sums, which may be false, from the leaves to the top.

        Shape: values [d].
        """
        honest = cls.of(values, chunk_length)
        levels: list[tuple[Node, ...]] = []
        for height, (level, claimed) in enumerate(zip(honest.levels, sums, strict=True)):
            hashed = _parents(levels[-1], height - 1) if levels else level
            levels.append(
                tuple(Node(node.hash, total) for node, total in zip(hashed, claimed, strict=True))
            )
        return replace(honest, levels=tuple(levels))

    @property
    def depth(self) -> int:
        """Levels between the leaves and the top."""
        return len(self.levels) - 1

    @property
    def top(self) -> bytes:
        """The top node's hash, which the contract turns into the root."""
        return self.levels[-1][0].hash

    @property
    def squared_norm(self) -> int:
        """The sum of squares of an update's coordinates; zero for a model."""
        return self.levels[-1][0].sum

    @property
    def root(self) -> bytes:
        """What is committed to on chain, and the blob's address."""
        return root_hash(self.dimension, self.squared_norm, self.top)

    def opening(self, index: int) -> Opening:
        """The proof of chunk `index`."""
        if not 0 <= index < len(self.chunks):
            raise IndexError(f"chunk {index} of {len(self.chunks)}")
        return Opening(index, self.width_bytes, self.chunks[index], self.siblings(index))

    def siblings(self, index: int, height: int = 0) -> tuple[Node, ...]:
        """Beside the way from node `index` of level `height` up to the top."""
        found = []
        for above, level in enumerate(self.levels[height:-1], height):
            position = (index >> (above - height)) ^ 1
            found.append(level[position] if position < len(level) else _padding_node(above))
        return tuple(found)


def chunk_count(dimension: int, chunk_length: int) -> int:
    """Chunks of a vector, the padded last one included."""
    return -(-dimension // chunk_length)


def depth_of(dimension: int, chunk_length: int) -> int:
    """The depth of every tree of this dimension; zero if one chunk holds all."""
    return (chunk_count(dimension, chunk_length) - 1).bit_length()


def leaf_hash(width_bytes: int, index: int, chunk: bytes) -> bytes:
    """A leaf, bound to its place and to the width of its integers."""
    return keccak(LEAF_TAG + _u64(width_bytes) + _u64(index) + chunk)


def chunk_sum(chunk: bytes) -> int:
    """The sum of squares of an update's chunk."""
    values = np.frombuffer(chunk, dtype=">i2").astype(np.int64)
    return int(values @ values)


def parent(left: Node, right: Node) -> Node:
    """The node above two nodes, bound to both sums."""
    tagged = left.hash + right.hash + NODE_TAG + _u64(left.sum) + _u64(right.sum)
    return Node(keccak(tagged), left.sum + right.sum)


def encode_nodes(nodes: Iterable[Node]) -> bytes:
    """Each node's hash and its sum in 8 bytes, as calls to the contract carry them."""
    return b"".join(node.hash + _u64(node.sum) for node in nodes)


def root_hash(dimension: int, squared_norm: int, top: bytes) -> bytes:
    """The root; the contract computes the same from a reveal's norm and top."""
    return keccak(ROOT_TAG + _u64(dimension) + _u64(squared_norm) + top)


def _parents(level: tuple[Node, ...], height: int) -> tuple[Node, ...]:
    even = level if len(level) % 2 == 0 else (*level, _padding_node(height))
    return tuple(parent(left, right) for left, right in zip(even[::2], even[1::2], strict=True))


@cache
def _padding_node(height: int) -> Node:
    """A subtree of `2^height` padding leaves."""
    return parent(_padding_node(height - 1), _padding_node(height - 1)) if height else PADDING


def _chunks(values: Int16Array | Int32Array, chunk_length: int) -> tuple[bytes, ...]:
    step = chunk_length * values.dtype.itemsize
    count = chunk_count(values.size, chunk_length)
    payload = values.astype(values.dtype.newbyteorder(">")).tobytes().ljust(count * step, b"\0")
    return tuple(payload[start : start + step] for start in range(0, count * step, step))


def _chunk_sums(values: Int16Array | Int32Array, chunk_length: int) -> list[int]:
    count = chunk_count(values.size, chunk_length)
    if values.dtype != np.dtype(np.int16):
        return [0] * count  # models carry no norm
    padded: npt.NDArray[np.int16] = np.zeros(count * chunk_length, dtype=np.int16)
    padded[: values.size] = values
    rows = padded.reshape(count, chunk_length)
    return [int(total) for total in np.einsum("ij,ij->i", rows, rows, dtype=np.int64)]


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
