"""Hashes that bind updates, rounds and tasks to each other, as in the contract.

Each is `keccak(abi.encode(domain, ...))`. A commitment names its chain, contract, task, round, base
model and sender, so it opens nowhere else.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from eth_abi.abi import encode
from eth_hash.auto import keccak

from protocol.task import ZERO_HASH, TaskParams

COMMITMENT_DOMAIN = keccak(b"volquorum.commitment.1")
UPDATES_DOMAIN = keccak(b"volquorum.updates.1")
TASK_DOMAIN = keccak(b"volquorum.task.1")
SEAL_DOMAIN = keccak(b"volquorum.seal.1")


class ProofKind(IntEnum):
    """What a sealed challenge proves wrong."""

    AGGREGATE = 0
    MODEL = 1
    NORM = 2
    PRODUCT = 3
    CHOICE = 4


class Claim(NamedTuple):
    """Which challenge a seal is of, or an award is claimed for."""

    round_number: int
    kind: ProofKind
    chunk: int
    subject: bytes
    """The root that is proven wrong."""


class Evidence(NamedTuple):
    """What a result is published with whose rule chooses by distance; without one, zeros."""

    table_root: bytes = ZERO_HASH
    choice_hash: bytes = ZERO_HASH

    @property
    def hash(self) -> bytes:
        """What the contract keeps; zero without evidence."""
        return keccak(self.table_root + self.choice_hash) if any(map(any, self)) else ZERO_HASH


NO_EVIDENCE = Evidence()


def update_commitment(
    *,
    chain_id: int,
    contract: str,
    task_id: bytes,
    round_number: int,
    base_model_root: bytes,
    participant: str,
    update_root: bytes,
    squared_norm: int,
    salt: bytes,
) -> bytes:
    """What a participant commits to; equal to the contract's `commitmentOf`."""
    return keccak(
        encode(
            [
                *["bytes32", "uint256", "address", "bytes32", "uint32"],
                *["bytes32", "address", "bytes32", "uint64", "bytes32"],
            ],
            [
                *[COMMITMENT_DOMAIN, chain_id, contract, task_id, round_number],
                *[base_model_root, participant, update_root, squared_norm, salt],
            ],
        )
    )


def stored_commitment(commitment: bytes) -> bytes:
    """The low 224 bits, which a seat keeps beside the round's number."""
    return commitment[4:]


def updates_hash_start(task_id: bytes, round_number: int) -> bytes:
    """A round's `updatesHash` before the first reveal."""
    types = ["bytes32", "bytes32", "uint32"]
    return counted(keccak(encode(types, [UPDATES_DOMAIN, task_id, round_number])), 0)


def updates_hash_step(
    previous: bytes, participant: str, update_root: bytes, squared_norm: int
) -> bytes:
    """A round's `updatesHash` after one more reveal."""
    types = ["bytes32", "address", "bytes32", "uint64"]
    step = keccak(encode(types, [previous, participant, update_root, squared_norm]))
    return counted(step, previous[-1] + 1)


def counted(running: bytes, count: int) -> bytes:
    """A running hash with the number of its steps for its last byte."""
    return running[:-1] + bytes([count])


def updates_hash(
    task_id: bytes, round_number: int, revealed: Iterable[tuple[str, bytes, int]]
) -> bytes:
    """A round's `updatesHash` after all of `revealed`, in order of reveal.

    An entry is (participant, update root, squared norm).
    """
    running = updates_hash_start(task_id, round_number)
    for participant, update_root, squared_norm in revealed:
        running = updates_hash_step(running, participant, update_root, squared_norm)
    return running


def task_id(chain_id: int, contract: str, sponsor: str, params: TaskParams) -> bytes:
    """A task's identity; equal to the contract's `taskIdOf`."""
    types = ["bytes32", "uint256", "address", "address", TaskParams.ABI_TYPE]
    return keccak(encode(types, [TASK_DOMAIN, chain_id, contract, sponsor, params.abi_tuple()]))


def seal(
    *,
    chain_id: int,
    contract: str,
    task_id: bytes,
    round_number: int,
    challenger: str,
    kind: ProofKind,
    chunk: int,
    subject: bytes,
    salt: bytes,
) -> bytes:
    """What announces a challenge, so that its award is the challenger's whoever copies the proof.

    `subject` is the root proven wrong: the published aggregate's, model's or table's, or the
    update's. `chunk` is the number of the leaf for a product, zero for a choice.
    """
    return keccak(
        encode(
            [
                *["bytes32", "uint256", "address", "bytes32", "uint32"],
                *["address", "uint8", "uint32", "bytes32", "bytes32"],
            ],
            [
                *[SEAL_DOMAIN, chain_id, contract, task_id, round_number],
                *[challenger, kind, chunk, subject, salt],
            ],
        )
    )
