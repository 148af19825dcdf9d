"""The protocol's arithmetic, spelled out in plain integers and bytes straight from its definition.

Slow and independent on purpose: the vectors come from here, and `protocol` and the contract are
both held against them. Only keccak and the elliptic curve are shared.
"""

from collections.abc import Callable, Sequence
from math import isqrt

from eth_hash.auto import keccak
from eth_keys import keys

Node = tuple[bytes, int]
Word = bytes | int | str


def integers(values: Sequence[int], width_bytes: int) -> bytes:
    """Big-endian two's complement."""
    return b"".join(value.to_bytes(width_bytes, "big", signed=True) for value in values)


def blob(kind: int, shift: int, values: Sequence[int]) -> bytes:
    """A canonical blob."""
    dimension = len(values).to_bytes(4, "big")
    return b"VLQ" + bytes([1, kind, shift, 0, 0]) + dimension + integers(values, 2 * kind)


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def leaves(values: Sequence[int], width_bytes: int, chunk_length: int) -> list[Node]:
    """The real leaves, without padding."""
    found: list[Node] = []
    for index, start in enumerate(range(0, len(values), chunk_length)):
        chunk = list(values[start : start + chunk_length])
        chunk += [0] * (chunk_length - len(chunk))
        tagged = b"volquorum.leaf.1" + u64(width_bytes) + u64(index)
        total = sum(value * value for value in chunk) if width_bytes == 2 else 0
        found.append((keccak(tagged + integers(chunk, width_bytes)), total))
    return found


def node(left: Node, right: Node) -> Node:
    sums = u64(left[1]) + u64(right[1])
    return keccak(left[0] + right[0] + b"volquorum.node.1" + sums), left[1] + right[1]


def levels(bottom: Sequence[Node]) -> list[list[Node]]:
    """All levels with all their padding, from the leaves to the top."""
    width = 1
    while width < len(bottom):
        width *= 2
    found = [[*bottom, *[(bytes(32), 0)] * (width - len(bottom))]]
    while len(found[-1]) > 1:
        below = found[-1]
        found.append([node(below[i], below[i + 1]) for i in range(0, len(below), 2)])
    return found


def siblings(all_levels: Sequence[Sequence[Node]], index: int) -> list[Node]:
    """What an opening carries, from the leaf upward."""
    return [level[(index >> height) ^ 1] for height, level in enumerate(all_levels[:-1])]


def place(all_levels: Sequence[Sequence[Node]], index: int) -> bytes:
    """A leaf and its siblings, as a challenge carries what was published."""
    return nodes([all_levels[0][index], *siblings(all_levels, index)])


def nodes(listed: Sequence[Node]) -> bytes:
    return b"".join(hashed + u64(total) for hashed, total in listed)


def recorded(bottom: Sequence[Node], height: int, index: int, lie: int) -> list[list[Node]]:
    """The levels of a tree that records `lie` more than there is below one node, and above it."""
    found = levels(bottom)
    for level in range(len(found)):
        if level:
            below = found[level - 1]
            pairs = [node(below[i], below[i + 1]) for i in range(0, len(below), 2)]
            found[level] = pairs
        if level == height:
            hashed, total = found[level][index]
            found[level][index] = (hashed, total + lie)
    return found


def recorded_opening(all_levels: Sequence[Sequence[Node]], index: int) -> bytes:
    """Per level the recorded sum of the node on the way and its sibling."""
    return b"".join(
        u64(level[index >> height][1]) + nodes([level[(index >> height) ^ 1]])
        for height, level in enumerate(all_levels[:-1])
    )


def part_height(dimension: int, width_bytes: int, chunk_length: int) -> int:
    """The greatest subtree that fills at most 32,768 bytes."""
    depth, height = 0, 0
    while chunk_length << depth < dimension:
        depth += 1
    while height < depth and width_bytes * chunk_length << (height + 1) <= 32_768:
        height += 1
    return height


def root(dimension: int, top: Node) -> bytes:
    return keccak(b"volquorum.root.1" + u64(dimension) + u64(top[1]) + top[0])


def words(*values: Word) -> bytes:
    """`abi.encode` of static values: bytes fill a word from the left, all else from the right."""
    return b"".join(_word(value) for value in values)


def _word(value: Word) -> bytes:
    if isinstance(value, bytes):
        return value.ljust(32, b"\0")
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32, "big")


def counted(count: int, *values: Word) -> bytes:
    """A running hash after `count` steps, of which its last byte tells."""
    return keccak(words(*values))[:31] + bytes([count])


def signed_text(chain_id: int, contract: str, kind: str, *content: Word) -> bytes:
    """EIP-712: the hash that is signed under a structure of this kind."""
    domain = words(
        keccak(
            b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        ),
        *(keccak(b"volquorum"), keccak(b"1"), chain_id, contract),
    )
    return keccak(b"\x19\x01" + keccak(domain) + keccak(words(keccak(kind.encode()), *content)))


def signature(key: bytes, text: bytes) -> tuple[bytes, bytes]:
    """EIP-2098: r, and s with its parity in the highest bit."""
    signed = keys.PrivateKey(key).sign_msg_hash(text)
    vs = signed.v * 2**255 + signed.s
    return signed.r.to_bytes(32, "big"), vs.to_bytes(32, "big")


def lot(draw: bytes, account: str) -> int:
    return int.from_bytes(keccak(draw[:24] + bytes.fromhex(account[2:]))[:8], "big")


def shares(
    rule: int,
    reward: int,
    *,
    cap: int,
    unavailable: int,
    samples: Sequence[int],
    scores: Sequence[bytes],
) -> list[int]:
    """What each update earns; an empty entry of `scores` is of somebody who gave none."""
    everybody = range(len(samples))
    included = [i for i in everybody if not unavailable >> i & 1]
    weights = dict.fromkeys(included, 1)
    if rule == 1:
        weights = {i: min(samples[i], cap) for i in included}
    voters = [i for i in included if scores[i]]
    if rule == 2 and len(voters) > len(included) / 2:
        for i in included:
            given = sorted(scores[j][i] for j in voters if j != i)
            lower = given[: (len(given) + 1) // 2]
            weights[i] = lower[-1] if lower else 0
    total = sum(weights.values())
    return [weights.get(i, 0) * reward // total if total else 0 for i in everybody]


def mean(column: Sequence[int]) -> int:
    return sum(column) // len(column)


def median(column: Sequence[int]) -> int:
    ordered, count = sorted(column), len(column)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) // 2


def trimmed_mean(column: Sequence[int], tolerance: int) -> int:
    return mean(sorted(column)[tolerance : len(column) - tolerance])


def clipped(update: Sequence[int], clip_norm: int) -> list[int]:
    """The update, scaled down to `clip_norm` if it is longer."""
    square = sum(value * value for value in update)
    if square <= clip_norm * clip_norm:
        return list(update)
    norm = isqrt(square)
    norm += norm * norm < square
    return [value * clip_norm // norm for value in update]


def aggregate(
    rule: int, updates: Sequence[Sequence[int]], tolerance: int, clip_norm: int
) -> list[int]:
    """Rules by their number in the contract."""
    if rule == 1:
        updates = [clipped(update, clip_norm) for update in updates]
    by_column: Callable[[Sequence[int]], int] = {
        0: mean,
        1: mean,
        2: median,
        3: lambda column: trimmed_mean(column, tolerance),
    }[rule]
    return [by_column(column) for column in zip(*updates, strict=True)]


def stream(seed: str, count: int, width_bytes: int = 2) -> list[int]:
    """Pseudo-random integers: consecutive words of keccak(seed, counter)."""
    per_hash = 32 // width_bytes
    drawn = b"".join(keccak(f"{seed}/{i}".encode()) for i in range(-(-count // per_hash)))
    return [
        int.from_bytes(drawn[i : i + width_bytes], "big", signed=True)
        for i in range(0, count * width_bytes, width_bytes)
    ]
