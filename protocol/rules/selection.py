"""Rules that trust the updates with the nearest neighbours: Krum, multi-Krum, Bulyan.

They need the squared distances only, which are exact integers. Among equally good updates the
earlier participant's is taken; but for such ties, the order of updates does not matter.
"""

from collections.abc import Sequence

from protocol.errors import RuleError
from protocol.rules.distances import Integers, gram, squared_distances, weighted_mean
from protocol.rules.rows import IntArray, Rows, Updates, check_tolerance
from protocol.rules.sorting import mean_about_median


def krum(updates: Updates, f: int) -> IntArray:
    """The update with the least sum of squared distances to its n - f - 2 nearest others.

    Breakdown point (n - 3)/(2n) at most: with n >= 2f + 3, the result is one of the updates, and no
    farther from its neighbours than the best honest one is from its own. (ByzFL sums over n - f - 1
    others; the definition is the paper's.)

    Shape: updates [n, d] -> [d].
    Source: Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient
    Descent, 2017.
    Raises: RuleError unless n >= 2f + 3.
    """
    rows = Rows.of(updates)
    return weighted_mean(rows, krum_weights(gram(rows), f))


def multi_krum(updates: Updates, f: int, m: int | None = None) -> IntArray:
    """Floor mean of the m updates that Krum ranks best; m = n - f unless given.

    Breakdown point (n - 3)/(2n) at most, as Krum's, with m <= n - f - 2: there is a proof for that.
    With the usual m = n - f it is a mean of updates that lie close together; as many as f of them
    may be liars' who lie near the honest.

    Shape: updates [n, d] -> [d].
    Source: Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient
    Descent, 2017; Damaskinos et al., AggregaThor: Byzantine Machine Learning via Robust Gradient
    Aggregation, 2019 (the proof).
    Raises: RuleError unless n >= 2f + 3 and 1 <= m <= n - f.
    """
    rows = Rows.of(updates)
    return weighted_mean(rows, multi_krum_weights(gram(rows), f, m))


def bulyan(updates: Updates, f: int) -> IntArray:
    """Krum chooses t = n - 2f updates one by one; then a mean about the median, by coordinate.

    Each choice is Krum's among the n' updates that are left, over the max(1, n' - f - 2) nearest
    others. Then, of the t chosen values of a coordinate, the t - 2f nearest to their median are
    averaged (floor); of two equally near, the lesser.

    Breakdown point (n - 3)/(4n) at most: the honest are more than half of the chosen, so in each
    coordinate the median lies among them, and what is averaged is no farther from it than they are.

    Shape: updates [n, d] -> [d].
    Source: El Mhamdi et al., The Hidden Vulnerability of Distributed Learning in Byzantium, 2018.
    Raises: RuleError unless n >= 4f + 3.
    """
    rows = Rows.of(updates)
    chosen = bulyan_choice(gram(rows), f)
    taken = rows.changed(lambda block: block[chosen], len(chosen))
    kept = len(chosen) - 2 * f
    return taken.combined(lambda block, means: mean_about_median(block, kept, means))


def krum_weights(table: Integers, f: int) -> list[int]:
    """One for the update that Krum takes, by the Gram matrix of all, zero for the others."""
    return _best(table, f, 1, "Krum")


def multi_krum_weights(table: Integers, f: int, m: int | None = None) -> list[int]:
    """One for each update that multi-Krum averages, zero for the others."""
    return _best(table, f, len(table) - f if m is None else m, "multi-Krum")


def bulyan_choice(table: Integers, f: int) -> list[int]:
    """The updates whose coordinates Bulyan averages, in ascending order."""
    check_tolerance("Bulyan", len(table), f, 4 * f + 3)
    left = list(range(len(table)))
    chosen: list[int] = []
    while len(chosen) < len(table) - 2 * f:
        scores = _scores(table, left, max(1, len(left) - f - 2))
        chosen.append(left.pop(scores.index(min(scores))))
    return sorted(chosen)


def _best(table: Integers, f: int, m: int, rule: str) -> list[int]:
    count = len(table)
    check_tolerance(rule, count, f, 2 * f + 3)
    if not 1 <= m <= count - f:
        raise RuleError(
            f"{rule} of {count} updates tolerating {f} liars averages from 1 to {count - f} of "
            f"them; got m = {m}"
        )
    scores = _scores(table, range(count), count - f - 2)
    best = set(sorted(range(count), key=scores.__getitem__)[:m])
    return [int(i in best) for i in range(count)]


def _scores(table: Integers, among: Sequence[int], neighbours: int) -> list[int]:
    """Of each of these updates, the sum of squared distances to its nearest others among them."""
    scores: list[int] = []
    for distances in squared_distances(table, among):
        distances.sort(axis=1)
        # Nothing is nearer to an update than itself, so its own zero comes first.
        scores += distances[:, 1 : neighbours + 1].sum(axis=1).tolist()
    return scores
