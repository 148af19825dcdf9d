"""How far a rule can be led from the honest mean, against the bound that no rule can beat.

A rule is (f, kappa)-robust if for every choice S of n - f of its n inputs
`|F(x) - mean_S|^2 <= kappa mean_S |x_i - mean_S|^2`. Liars who stand where honest participants
could have stood prove that no rule has a kappa below f / (n - 2f); the trimmed mean meets it.
Source: Allouah et al., Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity,
2023.

    python -m benchmarks.robustness_bound
"""

from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Final

import numpy as np

from benchmarks.contestants import CONTESTANTS, Contestant
from protocol.errors import RuleError
from protocol.numbers import Int16Array

STEP: Final = 3000
"""Between two groups of honest participants, in units: integers round off a thousandth."""
FAR: Final = 30_000
UNBOUNDED: Final = 1000.0
"""Such ratios grow with `FAR`."""
SIZES: Final = ((10, 2), (20, 4))


def lower_bound(participants: int, liars: int) -> float:
    """No rule has a smaller kappa."""
    return liars / (participants - 2 * liars)


def trimmed_mean_bound(participants: int, liars: int) -> float:
    """What the paper proves of the trimmed mean."""
    lower = lower_bound(participants, liars)
    return 6 * lower * (1 + lower)


def instances(participants: int, liars: int) -> Iterator[tuple[Int16Array, Int16Array]]:
    """Every way to split the honest on 0 and `STEP`, with liars on either or far out.

    For a rule that works coordinate by coordinate one dimension is enough: in more of them the
    ratio is an average of the coordinates' ratios.

    Shape: each [n - f, 1], [f, 1].
    """
    honest_count = participants - liars
    for high in range(honest_count + 1):
        honest = np.repeat([0, STEP], [honest_count - high, high])
        for lies in combinations_with_replacement((-FAR, 0, STEP, FAR), liars):
            yield honest.astype(np.int16)[:, None], np.array(lies, dtype=np.int16)[:, None]


def ratio(rule: Contestant, honest: Int16Array, lies: Int16Array) -> float:
    """Squared distance from the honest mean over the honest's variance; kappa is its supremum."""
    found = rule(np.vstack([honest, lies]), len(lies), np.zeros(honest.shape[1], np.int16))
    away = found - honest.mean(axis=0)
    # Of honest participants who agree, a unit is rounding, which no spread excuses.
    return float(away @ away) / max(float(honest.var(axis=0).sum()), 1.0)


def worst_ratio(rule: Contestant, participants: int, liars: int) -> float:
    """The greatest ratio over all `instances`."""
    return max(ratio(rule, *instance) for instance in instances(participants, liars))


def main() -> None:
    """Print the worst ratio of every rule beside the bound."""
    print(f"{'n, f':28}" + "".join(f"{f'{n}, {f}':>12}" for n, f in SIZES))
    print(f"{'lower bound f/(n-2f)':28}" + "".join(f"{lower_bound(n, f):12.3f}" for n, f in SIZES))
    proved = "".join(f"{trimmed_mean_bound(n, f):12.3f}" for n, f in SIZES)
    print(f"{'proved of the trimmed mean':28}{proved}")
    for name, rule in CONTESTANTS.items():
        shown = ""
        for size in SIZES:
            try:
                worst = worst_ratio(rule, *size)
                shown += f"{worst:12.3f}" if worst < UNBOUNDED else f"{'anywhere':>12}"
            except RuleError:
                shown += f"{'refused':>12}"
        print(f"{name:28}{shown}")


if __name__ == "__main__":
    main()
