"""Proofs that something on chain is wrong: openings of one chunk, which the contract recomputes.

A wrong aggregate is shown by the same chunk of every included update, a wrong model by that chunk
of the base model and the aggregate, a false norm by the sums on the way up from one chunk, a wrong
product in a table by the two chunks that it is of. A wrong choice needs none of it: the Gram matrix
that the table's nodes record shows it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from protocol.encoding import Kind, decode
from protocol.gram import Table
from protocol.numbers import Int16Array, Int32Array
from protocol.recompute import RevealedUpdate
from protocol.sumtree import Node, Opening, SumTree, chunk_sum, encode_nodes
from protocol.task import TaskParams


class Proof(NamedTuple):
    """The first wrong chunk, and the openings that show it."""

    chunk: int
    """Of a table the number of the leaf."""
    openings: bytes


def wrong_aggregate(
    updates: Int16Array, honest: Int16Array, published: Int16Array, chunk_length: int
) -> Proof | None:
    """Shows where `published` is not the `honest` aggregate of `updates`; None if it is.

    Shape: updates [n, d], honest [d], published [d].
    """
    return _proof(updates, published, honest != published, chunk_length)


def wrong_model(
    base_model: Int32Array, aggregate: Int16Array, published: Int32Array, chunk_length: int
) -> Proof | None:
    """Shows where `published` is not `base_model + aggregate`, or that no int32 holds the sum.

    Shape: all [d].
    """
    wrong = base_model.astype(np.int64) + aggregate != published
    return _proof((base_model, aggregate), published, wrong, chunk_length)


def wrong_product(
    updates: Int16Array, right: Table, published: Table, chunk_length: int
) -> Proof | None:
    """Shows where `published` is not the `right` table of `updates`; None if it is.

    Laid out for `challengeProduct`: the leaf's recorded path, then its two rows' openings, or the
    only one's. Shape: updates [n, d].
    """
    wrong = np.argwhere(right.products != published.products)
    if not len(wrong):
        return None
    pair, chunk = (int(place) for place in wrong[0])
    first, second = (int(rows[pair]) for rows in np.triu_indices(len(updates)))
    leaf = right.geometry.leaf(first, second, chunk)
    trees = (SumTree.of(updates[row], chunk_length) for row in dict.fromkeys((first, second)))
    openings = b"".join(encode_opening(tree.opening(chunk)) for tree in trees)
    return Proof(leaf, published.path(leaf) + openings)


def wrong_norm(tree: SumTree) -> Proof | None:
    """Shows where a sum that `tree` records is not that of what lies below it; None if all are.

    The opening is laid out for `challengeNorm`.
    """
    for chunk in range(len(tree.chunks)):
        if _records_falsely(tree, chunk):
            return Proof(chunk, encode_sums(tree, chunk))
    return None


def falsely_recorded(
    params: TaskParams, revealed: RevealedUpdate, served: Sequence[bytes]
) -> SumTree | None:
    """The tree of a revealed update whose root records another norm than the bytes served have.

    What a tree records below its root is known to its maker only. None if no blob of those that
    were served is that update but for the norm.
    """
    for content in served:
        blob = decode(content)
        if (blob.kind, blob.values.size) != (Kind.UPDATE, params.dimension):
            continue
        values = blob.values.astype(np.int16, copy=False)
        sums = [
            [node.sum for node in level] for level in SumTree.of(values, params.chunk_length).levels
        ]
        sums[-1] = [revealed.squared_norm]
        tree = SumTree.recorded(values, params.chunk_length, sums)
        if tree.root == revealed.update_root:
            return tree
    return None


def encode_opening(opening: Opening) -> bytes:
    """What a challenge carries of an opening: its chunk, then hash and sum of each sibling."""
    return opening.chunk + encode_nodes(opening.siblings)


def encode_place(tree: SumTree, chunk: int) -> bytes:
    """What a challenge carries of what was published: its leaf, then the siblings, no chunk."""
    return encode_nodes((tree.levels[0][chunk], *tree.siblings(chunk)))


def encode_sums(tree: SumTree, chunk: int) -> bytes:
    """What a challenge of a norm carries: the chunk, then level by level sum and sibling."""
    way = zip(_way_up(tree, chunk), tree.siblings(chunk), strict=False)
    return tree.chunks[chunk] + b"".join(
        node.sum.to_bytes(8, "big") + encode_nodes((sibling,)) for node, sibling in way
    )


def _records_falsely(tree: SumTree, chunk: int) -> bool:
    way = _way_up(tree, chunk)
    below = [chunk_sum(tree.chunks[chunk])]
    below += [
        node.sum + beside.sum for node, beside in zip(way, tree.siblings(chunk), strict=False)
    ]
    return any(node.sum != total for node, total in zip(way, below, strict=True))


def _way_up(tree: SumTree, chunk: int) -> list[Node]:
    return [level[chunk >> height] for height, level in enumerate(tree.levels)]


def _proof(
    judged_by: Sequence[Int16Array | Int32Array] | Int16Array,
    published: Int16Array | Int32Array,
    wrong: npt.NDArray[np.bool_],
    chunk_length: int,
) -> Proof | None:
    if not wrong.any():
        return None
    chunk = int(np.argmax(wrong)) // chunk_length
    trees = (SumTree.of(vector, chunk_length) for vector in judged_by)
    openings = b"".join(encode_opening(tree.opening(chunk)) for tree in trees)
    return Proof(chunk, openings + encode_place(SumTree.of(published, chunk_length), chunk))
