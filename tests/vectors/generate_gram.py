"""The vectors of tables of inner products, and of what a task aggregates by the choice in them."""

from collections.abc import Iterator
from pathlib import Path

from eth_hash.auto import keccak

from tests.vectors import reference, reference_gram, reference_rules

Row = dict[str, str | int]
Rows = list[list[int]]

FILE = Path(__file__).parent / "gram.json"

LOWEST, HIGHEST = -(2**15), 2**15 - 1
# Numbers in `IVolquorum.Rule`. Neighbours are mixed before all but the last two.
MEAN, MEDIAN, TRIMMED_MEAN, MULTI_KRUM, KRUM = 0, 2, 3, 4, 5


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
        if len(updates) >= 2 * f + 3:
            yield _case(name, updates, chunk_length, f, arc=0, rule=MULTI_KRUM)
            yield _case(name, updates, chunk_length, f, arc=0, rule=KRUM)
    for name, updates, chunk_length, f in (
        ("one pair of chunks", _drawn("one pair", 3, 32), 16, 1),
        ("padded pair", _drawn("padded pair", 6, 70), 16, 2),
        ("none lies", _drawn("none", 3, 20), 16, 0),
        ("long chunks", _drawn("long", 5, 520), 512, 2),
        ("extremes", _extremes(5, 513), 512, 1),
    ):
        yield _case(name, updates, chunk_length, f, arc=1, rule=TRIMMED_MEAN)
    for rule in (MULTI_KRUM, KRUM):
        yield _case("all the same", _drawn("same", 1, 17) * 7, 16, 2, arc=0, rule=rule)


def _case(name: str, updates: Rows, chunk_length: int, f: int, *, arc: int, rule: int) -> Row:
    rows = reference_rules.arc(updates, f) if arc else updates
    products = reference_gram.products(rows, chunk_length)
    levels = reference_gram.levels(products)
    depth = (len(products[0]) - 1).bit_length()
    leaf = int.from_bytes(keccak(name.encode())[:4], "big") % len(levels[0])
    leaves, siblings = reference_gram.part(levels, 0)
    masks = _masks(rows, f, rule)
    packed = b"".join(map(reference.u64, masks))
    return {
        "name": name,
        "count": len(updates),
        "dimension": len(updates[0]),
        "chunkLength": chunk_length,
        "tolerance": f,
        "arc": arc,
        "rule": rule,
        "updates": _hex(b"".join(reference.integers(update, 2) for update in updates)),
        "root": _hex(reference_gram.root(len(updates), levels[-1][0])),
        "pairNodes": _hex(reference_gram.nodes(levels[depth][: len(products)])),
        "leaf": leaf,
        "product": levels[0][leaf][1],
        "path": _hex(reference_gram.path(levels, leaf)),
        "leaves": _hex(leaves),
        "siblings": _hex(siblings),
        "masks": _hex(packed),
        "choiceHash": _hex(keccak(packed)),
        "aggregate": _hex(reference.integers(_aggregate(rows, f, rule), 2)),
    }


def _masks(rows: Rows, f: int, rule: int) -> list[int]:
    if rule in {MULTI_KRUM, KRUM}:
        return reference_gram.best(rows, f, 1 if rule == KRUM else len(rows) - f)
    return reference_gram.neighbours(rows, f)


def _aggregate(rows: Rows, f: int, rule: int) -> list[int]:
    if rule == KRUM:
        return reference_rules.krum(rows, f)
    if rule == MULTI_KRUM:
        return reference_rules.multi_krum(rows, f, len(rows) - f)
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


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
