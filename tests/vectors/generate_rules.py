"""The vectors of rules beyond the contract's, of pre-steps, and of the arithmetic below them."""

from collections.abc import Callable, Iterator, Sequence
from math import isqrt

from tests.vectors import reference, reference_rules

Row = dict[str, str | int]
Rows = list[list[int]]

LOWEST, HIGHEST = -(2**15), 2**15 - 1


def tables() -> dict[str, Iterator[Row]]:
    """The rows of every file by its path below the vectors' folder."""
    return {
        "rules/fixed_point.json": fixed_point(),
        "rules/gram.json": grams(),
        "rules/krum.json": krums(),
        "rules/multi_krum.json": multi_krums(),
        "rules/bulyan.json": bulyans(),
        "rules/minimum_diameter.json": minimum_diameters(),
        "rules/weighted_mean.json": weighted_means(),
        "rules/fltrust.json": fltrusts(),
        "rules/geometric_median.json": geometric_medians(),
        "rules/centered_clipping.json": centered_clippings(),
        "rules/arc.json": arcs(),
        "rules/nnm.json": nnms(),
        "rules/bucketing.json": bucketings(),
        "rules/composed.json": composed(),
        "invalid/robust_rules.json": refused(),
    }


def fixed_point() -> Iterator[Row]:
    drawn = [abs(value) for value in reference.stream("fixed point", 24, 8)]
    pairs = [(0, 1), (1, 1), (1, 2), (2, 1), (1, 3), (3, 4), (2**30, 2**60), (2**62, 1)]
    pairs += [(2**62, 2**62 - 1), (2**62 - 1, 2**62), (99, 100), (100, 99), (101, 100)]
    for a, b in [*pairs, *zip(drawn[::2], drawn[1::2], strict=True)]:
        yield {
            "a": _natural(a),
            "b": _natural(b),
            "rootAbove": _natural(isqrt(a) + (isqrt(a) ** 2 < a)),
            "ratio": _natural(a * 2**30 // b),
            "rootRatio": _natural(reference_rules.root_ratio(a, b)),
            "distance": _natural(reference_rules.root_ratio(a * 4**16, b * b * 4**30)),
        }


def grams() -> Iterator[Row]:
    for name, width_bytes, updates in (
        ("one outlier", 2, _one_outlier()),
        ("all lowest", 2, [[LOWEST] * 300] * 3),
        ("opposite", 2, [[LOWEST] * 40, [HIGHEST] * 40]),
        ("drawn", 2, _drawn(7, 40)),
        ("alone", 2, [[-3]]),
        ("int32 ends", 4, [[-(2**31)] * 9, [2**31 - 1] * 9, [2**15] * 9, [-(2**15) - 1] * 9]),
        ("int32 drawn", 4, _drawn(5, 20, 4)),
    ):
        table = reference_rules.gram(updates)
        flat = [entry for row in table for entry in row]
        yield {
            **_case(name, updates, width_bytes),
            "widthBytes": width_bytes,
            "gram": _hex(reference.integers(flat, 16)),
        }


def krums() -> Iterator[Row]:
    for name, updates, f in _problems(lambda f: 2 * f + 3):
        yield {
            **_case(name, updates),
            "f": f,
            "aggregate": _units(reference_rules.krum(updates, f)),
        }


def multi_krums() -> Iterator[Row]:
    for name, updates, f in _problems(lambda f: 2 * f + 3):
        for m in sorted({1, 2, len(updates) - f}):
            found = reference_rules.multi_krum(updates, f, m)
            yield {**_case(name, updates), "f": f, "m": m, "aggregate": _units(found)}


def bulyans() -> Iterator[Row]:
    for name, updates, f in _problems(lambda f: 4 * f + 3):
        found = reference_rules.bulyan(updates, f)
        yield {**_case(name, updates), "f": f, "aggregate": _units(found)}


def minimum_diameters() -> Iterator[Row]:
    squares = [[0, 0], [300, 0], [0, 300], [300, 300], [900, 0], [900, 300]]
    for name, updates, f in [*_problems(lambda f: 2 * f + 1, 3), ("two squares", squares, 2)]:
        found = reference_rules.minimum_diameter(updates, f)
        yield {**_case(name, updates), "f": f, "aggregate": _units(found)}


def weighted_means() -> Iterator[Row]:
    for name, updates, _ in _problems(lambda _: 1):
        count = len(updates)
        drawn = [abs(weight) >> 33 for weight in reference.stream("weights", count, 8)]
        for weights in ([1] * count, [2**30] * count, [0] * (count - 1) + [7], drawn):
            found = reference_rules.weighted_mean(updates, weights)
            yield {
                **_case(name, updates),
                "weights": _hex(reference.integers(weights, 4)),
                "aggregate": _units(found),
            }


def fltrusts() -> Iterator[Row]:
    for name, updates, _ in _problems(lambda _: 1):
        dimension = len(updates[0])
        for trusted in (
            updates[0],
            [1] * dimension,
            [HIGHEST] * dimension,
            [0] * dimension,
            reference.stream("trusted", dimension),
        ):
            found = reference_rules.fltrust(updates, trusted)
            yield {
                **_case(name, updates),
                "reference": _units(trusted),
                "aggregate": _units(found),
            }


def geometric_medians() -> Iterator[Row]:
    for name, updates, _ in _problems(lambda _: 1):
        for nu, iterations in ((2**20, 32), (1, 3), (2**30, 1)):
            found = reference_rules.geometric_median(updates, nu, iterations)
            yield {
                **_case(name, updates),
                "nu": nu,
                "iterations": iterations,
                "aggregate": _units(found),
            }


def centered_clippings() -> Iterator[Row]:
    for name, updates, _ in _problems(lambda _: 1):
        zero, last = [0] * len(updates[0]), updates[-1]
        for tau, iterations, v0 in (
            (1, 1, zero),
            (100, 3, zero),
            (5000, 2, last),
            (2**40, 1, last),
        ):
            found = reference_rules.centered_clipping(updates, tau, iterations, v0)
            yield {
                **_case(name, updates),
                "tau": tau,
                "iterations": iterations,
                "v0": _units(v0),
                "aggregate": _units(found),
            }


def arcs() -> Iterator[Row]:
    for name, updates, f in _problems(lambda f: 2 * f + 1):
        yield {**_case(name, updates), "f": f, "changed": _rows(reference_rules.arc(updates, f))}


def nnms() -> Iterator[Row]:
    for name, updates, f in _problems(lambda f: 2 * f + 1):
        yield {**_case(name, updates), "f": f, "changed": _rows(reference_rules.nnm(updates, f))}


def bucketings() -> Iterator[Row]:
    for name, updates, _ in _problems(lambda _: 1):
        for s, seed in ((1, 0), (2, 1), (3, 2**53 - 1)):
            changed = reference_rules.bucketing(updates, s, seed)
            yield {**_case(name, updates), "s": s, "seed": seed, "changed": _rows(changed)}


def composed() -> Iterator[Row]:
    """ARC, then nearest-neighbour mixing, then the trimmed mean."""
    for name, updates, f in _problems(lambda f: 2 * f + 1):
        changed = reference_rules.nnm(reference_rules.arc(updates, f), f)
        found = reference.aggregate(3, changed, f, 0)
        yield {**_case(name, updates), "f": f, "aggregate": _units(found)}


def refused() -> Iterator[Row]:
    """Rules and pre-steps with too few updates for so many liars; only `f` is given."""
    for name, least in (
        ("krum", lambda f: 2 * f + 3),
        ("multi_krum", lambda f: 2 * f + 3),
        ("bulyan", lambda f: 4 * f + 3),
        ("arc", lambda f: 2 * f + 1),
        ("nnm", lambda f: 2 * f + 1),
        ("minimum_diameter", lambda f: 2 * f + 1),
        ("trimmed_mean", lambda f: 2 * f + 1),
    ):
        for f in (1, 2, 5):
            updates = [[i] for i in range(least(f) - 1)]
            yield {**_case(name, updates), "f": f, "error": "RuleError"}


def _problems(least: Callable[[int], int], most: int = 5) -> Iterator[tuple[str, Rows, int]]:
    """Updates and the largest tolerance up to `most` for which `least(f)` of them are enough."""
    for name, updates in (
        ("one outlier", _one_outlier()),
        ("least instance", [[0], [0], [0], [1], [1]]),
        ("alone", [[LOWEST, -1, 0, 1, HIGHEST]]),
        ("all zero", [[0, 0]] * 5),
        ("all equal", [[7, -7]] * 8),
        ("ties", [[5, 1], [5, 1], [5, 2], [1, 2], [1, 2], [1, 1], [5, 2]]),
        ("extremes", [[LOWEST, HIGHEST], [HIGHEST, LOWEST], [LOWEST] * 2, [HIGHEST] * 2, [0, 0]]),
        ("liars at the end", [*_near(8), [HIGHEST] * 12, [LOWEST] * 12, [HIGHEST] * 12]),
        ("drawn 3", _drawn(3, 12)),
        ("drawn 11", _drawn(11, 12)),
        ("drawn 16", _drawn(16, 12)),
        ("drawn 23", _drawn(23, 12)),
    ):
        tolerated = [f for f in (0, 1, 2, 3, 5) if f <= most and least(f) <= len(updates)]
        for f in tolerated[-1:]:
            yield name, updates, f


def _one_outlier() -> Rows:
    return [[1, 10, -3], [2, 9, -1], [3, 7, 0], [4, 8, 2], [100, -50, 1000]]


def _near(count: int) -> Rows:
    """Updates that agree but for a few units."""
    centre = reference.stream("centre", 12)
    return [
        [c // 2 + step % 64 for c, step in zip(centre, _drawn(count, 12)[i], strict=True)]
        for i in range(count)
    ]


def _drawn(count: int, dimension: int, width_bytes: int = 2) -> Rows:
    return [reference.stream(f"robust/{count}/{i}", dimension, width_bytes) for i in range(count)]


def _case(name: str, updates: Sequence[Sequence[int]], width_bytes: int = 2) -> Row:
    return {
        "name": name,
        "count": len(updates),
        "dimension": len(updates[0]),
        "updates": _rows(updates, width_bytes),
    }


def _rows(updates: Sequence[Sequence[int]], width_bytes: int = 2) -> str:
    return _hex(b"".join(reference.integers(update, width_bytes) for update in updates))


def _units(values: Sequence[int]) -> str:
    return _hex(reference.integers(values, 2))


def _natural(value: int) -> str:
    return _hex(value.to_bytes(16, "big"))


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
