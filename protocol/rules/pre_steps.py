"""What is done to updates before a rule: adaptive clipping, mixing of neighbours, bucketing.

A pre-step returns rows that are computed block by block when a rule asks for them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from eth_hash.auto import keccak

from protocol.errors import RuleError
from protocol.rules import kernels
from protocol.rules.distances import Integers, gram, squared_distances, squared_norms
from protocol.rules.fixed_point import ONE, root_ratio
from protocol.rules.rows import IntArray, Rows, Updates, check_at_least, check_tolerance
from protocol.rules.scaling import shortened

_TAG = b"volquorum.bucket"

Members = npt.NDArray[np.bool_]
"""Groups of rows: who is in which. Shape: [groups, n]."""


def arc(updates: Updates, f: int) -> Rows:
    """Adaptive robust clipping: the longest updates are scaled to the norm of the next one.

    The k = `floor(2 f (n - f) / n)` longest; with q the square of the (k + 1)-th greatest norm,
    `x_i` with `|x_i|^2 > q` becomes `floor(x_i c_i / 2^30)`, `c_i = floor(2^30 sqrt(q / |x_i|^2))`.

    Shape: updates [n, d] -> [n, d].
    Source: Allouah et al., Adaptive Gradient Clipping for Robust Federated Learning, 2024.
    Raises: RuleError unless 2f < n.
    """
    rows = Rows.of(updates)
    check_tolerance("ARC", rows.count, f, 2 * f + 1)
    squares = squared_norms(rows)
    clipped = 2 * f * (rows.count - f) // rows.count
    bound = sorted(squares)[rows.count - clipped - 1]
    return shortened(
        rows, {i: (root_ratio(bound, s), ONE) for i, s in enumerate(squares) if s > bound}
    )


def nnm(updates: Updates, f: int) -> Rows:
    """Nearest-neighbour mixing: each update becomes the floor mean of the n - f nearest to it.

    It is the first of them itself; of equally near updates the earlier participants' are taken.

    Shape: updates [n, d] -> [n, d].
    Source: Allouah et al., Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity,
    2023.
    Raises: RuleError unless 2f < n.
    """
    rows = Rows.of(updates)
    check_tolerance("nearest-neighbour mixing", rows.count, f, 2 * f + 1)
    if f == 0:
        return _group_means(rows, np.ones((rows.count, rows.count), dtype=bool))
    return _group_means(rows, nearest(gram(rows), f))


def nearest(table: Integers, f: int) -> Members:
    """Of each update the n - f nearest to it, which NNM averages. Shape: table [n, n] (Gram)."""
    members = np.zeros(table.shape, dtype=bool)
    rows = iter(members)
    for distances in squared_distances(table):
        # A mean of a twin instead of itself is the same mean, so ties with zero need no care.
        for order, row in zip(distances.argsort(axis=1, kind="stable"), rows, strict=False):
            row[order[: len(table) - f]] = True
    return members


def bucketing(updates: Updates, s: int, seed: int, f: int = 0) -> Rows:
    """Floor means of s updates at a time, in a pseudo-random order; the last of what remains.

    The order is that of `keccak("volquorum.bucket" ‖ seed ‖ i)`, seed and i as eight bytes, so it
    depends on who participates in which place and on nothing that they send. A liar spoils one
    bucket.

    Shape: updates [n, d] -> [ceil(n / s), d].
    Source: Karimireddy et al., Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing,
    2022.
    Raises: RuleError unless s >= 1, 0 <= seed < 2^64 and 2 f s < n.
    """
    rows = Rows.of(updates)
    check_at_least("bucketing", "s", s, 1)
    if not 0 <= seed < 1 << 64:
        raise RuleError(f"bucketing needs a seed from 0 to 2^64 - 1; got {seed}")
    check_tolerance(f"bucketing by {s}", rows.count, f, 2 * f * s + 1)
    tagged = _TAG + seed.to_bytes(8, "big")
    order = sorted(range(rows.count), key=lambda i: keccak(tagged + i.to_bytes(8, "big")))
    members = np.zeros((-(-rows.count // s), rows.count), dtype=bool)
    for place, row in enumerate(order):
        members[place // s, row] = True
    return _group_means(rows, members)


PRE_STEPS: dict[str, Callable[..., Rows]] = {"arc": arc, "bucketing": bucketing, "nnm": nnm}


def _group_means(rows: Rows, members: Members) -> Rows:
    """One row for each group of rows: its floor mean."""
    # Invariant: a sum of at most 2^8 int16 is within 2^23, and a float32 holds it. A quotient by up
    # to 2^8 that is no integer is at least 2^-8 away from one, and is rounded by 2^-10 at most. A
    # double leaves as much room for int32.
    narrow = rows.dtype == np.int16 and rows.count <= 1 << 8
    dtype: type[np.floating[Any]] = np.float32 if narrow else np.float64
    # All less the others is the shorter sum for groups of more than half.
    sizes = members.sum(axis=1)
    by_others = 2 * int(sizes[0]) > rows.count
    added = ~members if by_others else members
    compact = kernels.Groups(
        rows=np.flatnonzero(added).astype(np.int32) % rows.count,
        ends=added.sum(axis=1, dtype=np.int32).cumsum(dtype=np.int32),
        sizes=sizes.astype(dtype),
        sign=dtype(-1 if by_others else 1),
    )

    def mix(block: IntArray) -> IntArray:
        mixed = np.empty((len(members), block.shape[1]), dtype=rows.dtype)
        kernels.mix(block, compact, mixed)
        return mixed

    return rows.changed(mix, len(members))
