"""Parts of a vector, in which its bytes are put on chain when somebody flagged them.

A part is a whole subtree of `2^k` leaves, as many as fill at most 32,768 bytes; the last one leaves
its padding out. With the siblings on its way up, the contract finds the root from the bytes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from protocol.encoding import Kind
from protocol.errors import VerificationFailed
from protocol.numbers import Int16Array, Int32Array
from protocol.sumtree import SumTree, chunk_count, depth_of, encode_nodes

# A transaction of 128 KiB, which nodes pass on, has room for it; its gas stays far below a block's.
LARGEST_PART_BYTES = 32_768


class Part(NamedTuple):
    """What one `postUpdate` or `postResult` carries, as the call's last two arguments."""

    chunks: bytes
    siblings: bytes


@dataclass(frozen=True)
class Geometry:
    """How vectors of one kind are cut."""

    dimension: int
    chunk_length: int
    kind: Kind

    @property
    def chunk_bytes(self) -> int:
        return self.chunk_length * self.kind.width_bytes

    @property
    def height(self) -> int:
        """Levels of the subtree that a part is: the greatest `k` that fits."""
        fitting = (LARGEST_PART_BYTES // self.chunk_bytes).bit_length() - 1
        return min(max(fitting, 0), depth_of(self.dimension, self.chunk_length))

    @property
    def count(self) -> int:
        """Parts of a vector."""
        return -(-chunk_count(self.dimension, self.chunk_length) >> self.height)

    def part_bytes(self, number: int) -> int:
        """The length of part `number`, from zero."""
        chunks = chunk_count(self.dimension, self.chunk_length) - (number << self.height)
        return min(chunks, 1 << self.height) * self.chunk_bytes


def parts(values: Int16Array | Int32Array, chunk_length: int) -> tuple[Part, ...]:
    """All parts of an update or aggregate (int16) or of a model (int32), in the order of posting.

    Shape: values [d].
    """
    tree = SumTree.of(values, chunk_length)
    geometry = Geometry(tree.dimension, chunk_length, kind_of(values))
    step = 1 << geometry.height
    return tuple(
        Part(
            b"".join(tree.chunks[number * step : (number + 1) * step]),
            encode_nodes(tree.siblings(number, geometry.height)),
        )
        for number in range(geometry.count)
    )


def joined(chunks: Sequence[bytes], geometry: Geometry) -> Int16Array | Int32Array:
    """The vector behind the chunks of all parts, in their order. Shape: [d]

    Raises: VerificationFailed if a part is missing or not as long as it must be, or if there are
    coordinates behind the vector's end.
    """
    wanted = [geometry.part_bytes(number) for number in range(geometry.count)]
    found = [len(part) for part in chunks]
    if found != wanted:
        raise VerificationFailed(f"the parts must have {wanted} bytes; found {found}")
    width_bytes = geometry.kind.width_bytes
    padded = np.frombuffer(b"".join(chunks), dtype=f">i{width_bytes}")
    if padded[geometry.dimension :].any():
        raise VerificationFailed("the last part must hold zeros behind the vector's end")
    return padded[: geometry.dimension].astype(f"=i{width_bytes}")


def kind_of(values: Int16Array | Int32Array) -> Kind:
    """Models are the vectors of int32."""
    return Kind.MODEL if values.dtype == np.dtype(np.int32) else Kind.UPDATE
