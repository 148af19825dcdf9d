"""Which active seats a round takes that has more of them than its cohort.

A draw is a seed and a threshold. Every account has a lot in it, a number that the seed and its
address give; those below the threshold are drawn, each with the same chance.
"""

from eth_abi.abi import encode
from eth_hash.auto import keccak
from eth_utils.address import to_canonical_address

SEED_BYTES = 24
LOT_BYTES = 8


def draw_of(seed: bytes, task_id: bytes, round_number: int, *, drawn: int, active: int) -> bytes:
    """A round's draw from the seed of its source; chooses about `drawn` of `active` seats."""
    types = ["bytes32", "bytes32", "uint32"]
    own_seed = keccak(encode(types, [seed, task_id, round_number]))[:SEED_BYTES]
    threshold = (drawn << 8 * LOT_BYTES) // active
    return own_seed + threshold.to_bytes(LOT_BYTES, "big")


def is_drawn(draw: bytes, account: str) -> bool:
    """Whether a draw chooses an account."""
    lot = keccak(draw[:SEED_BYTES] + to_canonical_address(account))[:LOT_BYTES]
    return lot < draw[SEED_BYTES:]
