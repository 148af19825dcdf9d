"""What the contract checks of an opening, so that trees are held against it without a chain."""

import numpy as np

from protocol.errors import VerificationFailed
from protocol.numbers import Int16Array, Int32Array
from protocol.sumtree import (
    Node,
    Opening,
    chunk_count,
    chunk_sum,
    depth_of,
    leaf_hash,
    parent,
    root_hash,
)


def verify_opening(
    opening: Opening, *, root: bytes, dimension: int, chunk_length: int, width_bytes: int
) -> Int16Array | Int32Array:
    """The coordinates that `opening` proves under `root`, without padding.

    Raises: VerificationFailed saying what differs.
    """
    count = chunk_count(dimension, chunk_length)
    _require("integer width", width_bytes, opening.width_bytes)
    if not 0 <= opening.index < count:
        raise VerificationFailed(
            f"opening: chunk index must be below {count}; found {opening.index}"
        )
    _require("chunk bytes", chunk_length * width_bytes, len(opening.chunk))
    _require("sibling count", depth_of(dimension, chunk_length), len(opening.siblings))
    values = opening.values
    used = min(chunk_length, dimension - opening.index * chunk_length)
    _require("padding", 0, int(np.count_nonzero(values[used:])))
    top = _top(opening)
    _require("root", root.hex(), root_hash(dimension, top.sum, top.hash).hex())
    return values[:used]


def _top(opening: Opening) -> Node:
    total = chunk_sum(opening.chunk) if opening.width_bytes == 2 else 0  # models carry no norm
    node = Node(leaf_hash(opening.width_bytes, opening.index, opening.chunk), total)
    for height, sibling in enumerate(opening.siblings):
        if len(sibling.hash) != 32 or not 0 <= sibling.sum < 2**63 - node.sum:
            raise VerificationFailed(f"opening: sibling {height} is not a 32-byte hash and a sum")
        is_right = opening.index >> height & 1
        node = parent(sibling, node) if is_right else parent(node, sibling)
    return node


def _require(what: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise VerificationFailed(f"opening: {what} must be {wanted}; found {found}")
