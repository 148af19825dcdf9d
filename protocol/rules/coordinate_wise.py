"""Rules that work coordinate by coordinate, so a contract can check a result chunk by chunk."""

from protocol.errors import RuleError
from protocol.rules.distances import squared_norms
from protocol.rules.fixed_point import root_above
from protocol.rules.mixing import Mixed
from protocol.rules.rows import IntArray, Rows, Updates, check_tolerance
from protocol.rules.scaling import shortened
from protocol.rules.sorting import mean_at_ranks, mixed_mean_at_ranks


def mean(updates: Updates) -> IntArray:
    """`floor(sum_i x_i / n)`. Breakdown point 0: one liar moves it anywhere.

    Shape: updates [n, d] -> [d].
    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized
    Data, 2017.
    Raises: RuleError without updates.
    """
    rows = Rows.of(updates)
    return _mean_of_ranks(rows, range(rows.count))


def clipped_mean(updates: Updates, clip_norm: int) -> IntArray:
    """Floor mean of the updates, each scaled down to norm C = `clip_norm` units if it is longer.

    `x_i` stays if `|x_i|^2 <= C^2`; else it becomes `floor(x_i C / s_i)`, with `s_i` the least
    integer whose square is at least `|x_i|^2`. One liar moves the result by about 2C/n at most; the
    breakdown point is still 0. For a norm that adapts to the updates, put `arc` before a mean.

    Shape: updates [n, d] -> [d].
    Source: Sun et al., Can You Really Backdoor Federated Learning?, 2019 (norm clipping).
    Raises: RuleError without updates or without a positive `clip_norm`.
    """
    rows = Rows.of(updates)
    if clip_norm <= 0:
        raise RuleError(
            f"the clipped mean needs a clipping norm of at least 1 unit; got {clip_norm}"
        )
    squares = squared_norms(rows)
    fractions = {
        i: (clip_norm, root_above(square))
        for i, square in enumerate(squares)
        if square > clip_norm**2
    }
    return mean(shortened(rows, fractions))


def median(updates: Updates) -> IntArray:
    """The middle value; for even n, `floor((a + b) / 2)` of the two middle ones.

    Breakdown point 1/2: it lies among the honest values while liars are fewer than half.

    Shape: updates [n, d] -> [d].
    Source: Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
    2018.
    Raises: RuleError without updates.
    """
    rows = Rows.of(updates)
    return _mean_of_ranks(rows, range((rows.count - 1) // 2, rows.count // 2 + 1))


def trimmed_mean(updates: Updates, f: int) -> IntArray:
    """Floor mean of the values that remain without the f least and the f greatest.

    Breakdown point f/n: with at most f liars it lies among the honest values.

    Shape: updates [n, d] -> [d].
    Source: Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
    2018.
    Raises: RuleError unless 2f < n.
    """
    rows = Rows.of(updates)
    check_tolerance("trimmed mean", rows.count, f, 2 * f + 1)
    return _mean_of_ranks(rows, range(f, rows.count - f))


def _mean_of_ranks(rows: Rows, ranks: range) -> IntArray:
    """Floor mean of the values at `ranks` of each sorted column."""
    if isinstance(rows, Mixed):
        groups = rows.groups
        return rows.source.combined(
            lambda block, means: mixed_mean_at_ranks(block, groups, ranks, means)
        )
    return rows.combined(lambda block, means: mean_at_ranks(block, ranks, means))
