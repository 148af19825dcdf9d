"""Tables of inner products and choices among rows, spelled out in plain integers and bytes.

Shares no code with `protocol`; only keccak and the references beside it are common.
"""

from collections.abc import Sequence

from eth_hash.auto import keccak

from tests.vectors import reference_rules
from tests.vectors.reference import Node

Rows = Sequence[Sequence[int]]


def s64(number: int) -> bytes:
    """Two's complement."""
    return number.to_bytes(8, "big", signed=True)


def pairs(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(i, count)]


def products(rows: Rows, chunk_length: int) -> list[list[int]]:
    """For each pair its chunks' inner products."""
    starts = range(0, len(rows[0]), chunk_length)
    chunks = [[row[start : start + chunk_length] for start in starts] for row in rows]
    return [
        [
            int(reference_rules.dot(left, right))
            for left, right in zip(chunks[i], chunks[j], strict=True)
        ]
        for i, j in pairs(len(rows))
    ]


def levels(table: Sequence[Sequence[int]]) -> list[list[Node]]:
    """All levels with all their padding, from the leaves to the top."""
    room = rounded_up(len(table[0]))
    width = rounded_up(len(table)) * room
    sums = [total for chunks in table for total in [*chunks, *[0] * (room - len(chunks))]]
    found: list[list[Node]] = [[(bytes(32), total) for total in sums + [0] * (width - len(sums))]]
    while len(found[-1]) > 1:
        below = found[-1]
        found.append([node(below[i], below[i + 1]) for i in range(0, len(below), 2)])
    return found


def rounded_up(count: int) -> int:
    """The least power of two that is not below."""
    power = 1
    while power < count:
        power *= 2
    return power


def node(left: Node, right: Node) -> Node:
    tagged = left[0] + right[0] + b"volquorum.gram.1" + s64(left[1]) + s64(right[1])
    return keccak(tagged), left[1] + right[1]


def nodes(listed: Sequence[Node]) -> bytes:
    return b"".join(hashed + s64(total) for hashed, total in listed)


def root(count: int, top: Node) -> bytes:
    return keccak(b"volquorum.root.2" + s64(count) + s64(top[1]) + top[0])


def path(all_levels: Sequence[Sequence[Node]], leaf: int) -> bytes:
    """Per level the recorded sum of the node on the way and its sibling, then the total."""
    found = b""
    for height, level in enumerate(all_levels[:-1]):
        index = leaf >> height
        found += s64(level[index][1]) + nodes([level[index ^ 1]])
    return found + s64(all_levels[-1][0][1])


def part(all_levels: Sequence[Sequence[Node]], number: int) -> tuple[bytes, bytes]:
    """The leaves of a part of at most 4096, and the siblings on its way up."""
    own = min(12, len(all_levels) - 1)
    leaves = all_levels[0][number << own : number + 1 << own]
    beside = [level[number >> above ^ 1] for above, level in enumerate(all_levels[own:-1])]
    return b"".join(s64(total) for _, total in leaves), nodes(beside)


def neighbours(rows: Rows, f: int) -> list[int]:
    """For each row the mask of the n - f nearest, itself included."""
    everybody = range(len(rows))
    return [
        mask(sorted(everybody, key=lambda j, x=row: (_distance(x, rows[j]), j))[: len(rows) - f])
        for row in rows
    ]


def best(rows: Rows, f: int, m: int) -> list[int]:
    """The mask of the m rows that Krum ranks best."""
    count = len(rows)
    table = reference_rules.squared_distances(rows)
    ranked = reference_rules.ranked_by_krum(table, range(count), count - f - 2)
    return [mask(ranked[:m])]


def trust(rows: Rows, trusted: int) -> list[int]:
    """FLTrust's weight of each row, that of the trusted one zero, and the divisor."""
    if trusted == len(rows):
        return [0] * (len(rows) + 1)
    others = [*rows[:trusted], *rows[trusted + 1 :]]
    weights, divisor = reference_rules.fltrust_weights(others, rows[trusted])
    return [*weights[:trusted], 0, *weights[trusted:], divisor]


def mask(members: Sequence[int]) -> int:
    return sum(2**member for member in members)


def _distance(left: Sequence[int], right: Sequence[int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(left, right, strict=True))
