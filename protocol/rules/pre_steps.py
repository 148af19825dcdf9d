"""What is done to updates before a rule: adaptive clipping, mixing of neighbours, bucketing.

A pre-step returns rows that are computed block by block when a rule asks for them.
"""

from collections.abc import Callable

import numpy as np
from eth_hash.auto import keccak

from protocol.errors import RuleError
from protocol.rules.distances import Integers, gram, squared_distances, squared_norms
from protocol.rules.fixed_point import ONE, root_ratio
from protocol.rules.mixing import Members, group_means
from protocol.rules.rows import Rows, Updates, check_at_least, check_tolerance
from protocol.rules.scaling import shortened

_TAG = b"volquorum.bucket"


def arc(updates: Updates, f: int) -> Rows:
    """Adaptive robust clipping: the longest updates are scaled to the norm of the next one.

    The k = `floor(2 f (n - f) / n)` longest; with q the square of the (k + 1)-th greatest norm,
    `x_i` with `|x_i|^2 > q` becomes `floor(x_i c_i / 2^30)`, `c_i = floor(2^30 sqrt(q / |x_i|^2))`.

    Breakdown point that of the rule behind it, 1/2 at most: a (f, kappa)-robust rule is (f, kappa +
    2f / (n - 2f))-robust after it (theorem of the source). A mean behind it is but bounded.

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

    Breakdown point that of the rule behind it, 1/2 at most: a (f, kappa)-robust rule is
    (f, 8f (kappa + 1) / (n - f))-robust after it (lemma of the source). Alone it tolerates nobody.

    Shape: updates [n, d] -> [n, d].
    Source: Allouah et al., Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity,
    2023.
    Raises: RuleError unless 2f < n.
    """
    rows = Rows.of(updates)
    check_tolerance("nearest-neighbour mixing", rows.count, f, 2 * f + 1)
    if f == 0:
        return group_means(rows, np.ones((rows.count, rows.count), dtype=bool))
    return group_means(rows, nearest(gram(rows), f))


def nearest(table: Integers, f: int) -> Members:
    """Of each update the n - f nearest to it, which NNM averages. Shape: table [n, n] (Gram)."""
    mixed = len(table) - f
    members = np.zeros(table.shape, dtype=bool)
    done = 0
    for distances in squared_distances(table):
        # A mean of a twin instead of itself is the same mean, so ties with zero need no care.
        farthest = np.partition(distances, mixed - 1, axis=1)[:, mixed - 1, None]
        nearer, as_far = distances < farthest, distances == farthest
        wanted = mixed - nearer.sum(axis=1, keepdims=True)
        members[done : done + len(distances)] = nearer | (
            as_far & (as_far.cumsum(axis=1, dtype=np.int32) <= wanted)
        )
        done += len(distances)
    return members


def bucketing(updates: Updates, s: int, seed: int, f: int = 0) -> Rows:
    """Floor means of s updates at a time, in a pseudo-random order; the last of what remains.

    The order is that of `keccak("volquorum.bucket" ‖ seed ‖ i)`, seed and i as eight bytes, so it
    depends on who participates in which place and on nothing that they send.

    Breakdown point that of the rule behind it divided by s, for a liar spoils a bucket of s updates
    (theorem of the source).

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
    return group_means(rows, members)


PRE_STEPS: dict[str, Callable[..., Rows]] = {"arc": arc, "bucketing": bucketing, "nnm": nnm}
