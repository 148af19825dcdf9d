"""The vectors of tables of inner products, and of what a task aggregates by the choice in them."""

from collections.abc import Iterator
from pathlib import Path

from eth_hash.auto import keccak

from tests.vectors import reference, reference_gram, reference_rules

Row = dict[str, str | int]
Rows = list[list[int]]

FILE = Path(__file__).parent / "gram.json"

LOWEST, HIGHEST = -(2**15), 2**15 - 1
# Numbers in `IVolquorum.Rule`. Neighbours are mixed before the first three.
MEAN, MEDIAN, TRIMMED_MEAN, MULTI_KRUM, KRUM, GEOMETRIC_MEDIAN, FLTRUST = 0, 2, 3, 4, 5, 6, 8
BEST = (MULTI_KRUM, KRUM)


def tables() -> dict[str, Iterator[Row]]:
    """The rows of the file by its path below the vectors' folder."""
    return {FILE.name: grams()}


def grams() -> Iterator[Row]:
    for name, updates, chunk_length, f in (
        ("one chunk", _drawn("one chunk", 5, 5), 16, 2),
        ("padded chunk", _drawn("padded", 7, 100), 16, 2),
        ("as many as a power of two", _drawn("power", 8, 60), 32, 2),
        ("twins", _twins(9, 40), 16, 3),
        ("few values", _few(12, 33), 16, 4),
    ):
        yield _case(name, updates, chunk_length, f, arc=1, rule=TRIMMED_MEAN)
        yield _case(name, updates, chunk_length, f, arc=0, rule=MEDIAN)
        yield _case(name, updates, chunk_length, f, arc=1, rule=MEAN)
        for arc in (0, 1):
            if len(updates) >= 2 * f + 3:
                for rule in BEST:
                    yield _case(name, updates, chunk_length, f, arc=arc, rule=rule)
            yield _case(name, updates, chunk_length, f, arc=arc, rule=GEOMETRIC_MEDIAN)
        middle = len(updates) // 2
        yield _case(name, updates, chunk_length, f, arc=0, rule=FLTRUST, trusted=middle)
    for name, updates, chunk_length, f in (
        ("one pair of chunks", _drawn("one pair", 3, 32), 16, 1),
        ("padded pair", _drawn("padded pair", 6, 70), 16, 2),
        ("none lies", _drawn("none", 3, 20), 16, 0),
        ("long chunks", _drawn("long", 5, 520), 512, 2),
        ("extremes", _extremes(5, 513), 512, 1),
    ):
        yield _case(name, updates, chunk_length, f, arc=1, rule=TRIMMED_MEAN)
        yield _case(name, updates, chunk_length, f, arc=0, rule=GEOMETRIC_MEDIAN)
        for trusted in (0, len(updates) - 1):
            yield _case(name, updates, chunk_length, f, arc=0, rule=FLTRUST, trusted=trusted)
    same = _drawn("same", 1, 17) * 7
    for rule in (*BEST, GEOMETRIC_MEDIAN):
        yield _case("all the same", same, 16, 2, arc=0, rule=rule)
        yield _case("all zero", [[0] * 17] * 7, 16, 2, arc=1, rule=rule)
    for name, updates, trusted in (
        ("all the same", same, 6),
        ("all zero", [[0] * 17] * 7, 0),
        ("nobody trusted is there", _drawn("absent", 4, 20), 4),
        ("nobody agrees", _opposed(5, 20), 1),
        ("some are zero", _with_zeros(6, 20), 1),
        ("trusted is zero", _with_zeros(6, 20), 0),
        ("lowest agree", [[LOWEST] * 513] * 3, 2),
        ("short beside the trusted", _short(5, 17), 2),
        ("long beside the trusted", _short(5, 17), 0),
        ("drawn 33", _drawn("33", 33, 9), 7),
    ):
        chunk_length = 512 if len(updates[0]) > 512 else 16
        yield _case(name, updates, chunk_length, 1, arc=0, rule=FLTRUST, trusted=trusted)
    for name, updates, f in (
        ("one far away", _one_far_away(9), 4),
        ("halves apart", [[LOWEST] * 3] * 4 + [[HIGHEST] * 3] * 4, 3),
        ("some are zero", _with_zeros(6, 20), 2),
        ("drawn 64", _drawn("64", 64, 5), 31),
    ):
        yield _case(name, updates, 16, f, arc=1, rule=GEOMETRIC_MEDIAN)
    for rule in BEST:
        yield _case("drawn 24", _drawn("24", 24, 20), 16, 10, arc=1, rule=rule)


def _case(
    name: str,
    updates: Rows,
    chunk_length: int,
    f: int,
    *,
    arc: int,
    rule: int,
    trusted: int | None = None,
) -> Row:
    """`trusted` is the row that FLTrust trusts; as many as there are rows if it is none of them."""
    rows = reference_rules.arc(updates, f) if arc else updates
    products = reference_gram.products(rows, chunk_length)
    levels = reference_gram.levels(products)
    depth = (len(products[0]) - 1).bit_length()
    leaf = int.from_bytes(keccak(name.encode())[:4], "big") % len(levels[0])
    leaves, siblings = reference_gram.part(levels, 0)
    place = len(updates) if trusted is None else trusted
    packed = b"".join(map(reference.u64, _choice(rows, f, rule, place)))
    return {
        "name": name,
        "count": len(updates),
        "dimension": len(updates[0]),
        "chunkLength": chunk_length,
        "tolerance": f,
        "arc": arc,
        "rule": rule,
        "trusted": place,
        "updates": _hex(b"".join(reference.integers(update, 2) for update in updates)),
        "root": _hex(reference_gram.root(len(updates), levels[-1][0])),
        "pairNodes": _hex(reference_gram.nodes(levels[depth][: len(products)])),
        "leaf": leaf,
        "product": levels[0][leaf][1],
        "path": _hex(reference_gram.path(levels, leaf)),
        "leaves": _hex(leaves),
        "siblings": _hex(siblings),
        "choice": _hex(packed),
        "choiceHash": _hex(keccak(packed)),
        "aggregate": _hex(reference.integers(_aggregate(rows, f, rule, place), 2)),
    }


def _choice(rows: Rows, f: int, rule: int, trusted: int) -> list[int]:
    """Masks, or weights and their divisor."""
    if rule in BEST:
        return reference_gram.best(rows, f, 1 if rule == KRUM else len(rows) - f)
    if rule == GEOMETRIC_MEDIAN:
        weights = reference_rules.geometric_median_weights(rows, 2**20, 32)
        return [*weights, sum(weights)]
    if rule == FLTRUST:
        return reference_gram.trust(rows, trusted)
    return reference_gram.neighbours(rows, f)


def _aggregate(rows: Rows, f: int, rule: int, trusted: int) -> list[int]:
    if rule == KRUM:
        return reference_rules.krum(rows, f)
    if rule == MULTI_KRUM:
        return reference_rules.multi_krum(rows, f, len(rows) - f)
    if rule == GEOMETRIC_MEDIAN:
        return reference_rules.geometric_median(rows, 2**20, 32)
    if rule == FLTRUST:
        if trusted == len(rows):
            return [0] * len(rows[0])
        return reference_rules.fltrust(rows[:trusted] + rows[trusted + 1 :], rows[trusted])
    return reference.aggregate(rule, reference_rules.nnm(rows, f), f, 0)


def _drawn(name: str, count: int, dimension: int) -> Rows:
    """Around a common direction, two of them far longer."""
    common = reference.stream(f"gram/{name}", dimension)
    rows = [
        [(a + b) >> 6 for a, b in zip(common, own, strict=True)]
        for own in (reference.stream(f"gram/{name}/{desk}", dimension) for desk in range(count))
    ]
    for desk in range(0, count, 5):
        rows[desk] = [max(LOWEST, min(HIGHEST, value * 20)) * (-1) ** desk for value in rows[desk]]
    return rows


def _extremes(count: int, dimension: int) -> Rows:
    return [
        [HIGHEST if (column >> desk) & 1 else LOWEST for column in range(dimension)]
        for desk in range(count)
    ]


def _twins(count: int, dimension: int) -> Rows:
    drawn = _drawn("twins", count, dimension)
    return [drawn[desk // 2] for desk in range(count)]


def _few(count: int, dimension: int) -> Rows:
    return [
        [value >> 14 for value in reference.stream(f"gram/few/{desk % 7}", dimension)]
        for desk in range(count)
    ]


def _opposed(count: int, dimension: int) -> Rows:
    """All against one."""
    rows = _drawn("opposed", count, dimension)
    return [rows[1] if desk == 1 else [~value for value in rows[1]] for desk in range(count)]


def _with_zeros(count: int, dimension: int) -> Rows:
    drawn = _drawn("zeros", count, dimension)
    return [row if desk % 3 else [0] * dimension for desk, row in enumerate(drawn)]


def _short(count: int, dimension: int) -> Rows:
    """The first is one unit long in each coordinate; each next one is ten times as long."""
    return [[min(HIGHEST, 10**desk)] * dimension for desk in range(count)]


def _one_far_away(count: int) -> Rows:
    return [[desk, -desk] for desk in range(count - 1)] + [[LOWEST, HIGHEST]]


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
