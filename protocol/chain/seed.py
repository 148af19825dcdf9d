"""The seeds that rounds draw their seats with, and the block headers that some of them come from.

A `PrevrandaoSource` has no seed until somebody shows it the header of the block that decides. The
chain knows only that header's hash, so here it is put together again from what a node answers.
"""

from functools import cache
from typing import Final, NamedTuple

import rlp  # type: ignore[import-untyped] # it has no stubs
import structlog
from eth_hash.auto import keccak

from contracts import artifact
from protocol import rounds
from protocol.chain.abi import Interface
from protocol.chain.events import Block
from protocol.chain.gateway import Chain, Snapshot
from protocol.chain.rpc import fields, octets, quantity
from protocol.chain.sender import Receipt
from protocol.chain.transactor import Transactor
from protocol.errors import ChainAnswerInvalid, ChainUnavailable, Reverted
from protocol.state import RoundState, TaskState
from protocol.task import ZERO_HASH, TaskParams

_log = structlog.get_logger(__name__)

PREVRANDAO_SOURCE: Final = "PrevrandaoSource"
_NUMBER: Final = -1
# A header's fields in their order, with their lengths in bytes where these are fixed. Source: EIPs
# 1559 (London), 4895 (Shanghai), 4844 and 4788 (Cancun), 7685 (Prague).
_LONDON: Final[dict[str, int | None]] = {
    "parentHash": 32,
    "sha3Uncles": 32,
    "miner": 20,
    "stateRoot": 32,
    "transactionsRoot": 32,
    "receiptsRoot": 32,
    "logsBloom": 256,
    "difficulty": _NUMBER,
    "number": _NUMBER,
    "gasLimit": _NUMBER,
    "gasUsed": _NUMBER,
    "timestamp": _NUMBER,
    "extraData": None,
    "mixHash": 32,
    "nonce": 8,
    "baseFeePerGas": _NUMBER,
}
_LATER: Final = {
    "withdrawalsRoot": 32,
    "blobGasUsed": _NUMBER,
    "excessBlobGas": _NUMBER,
    "parentBeaconBlockRoot": 32,
    "requestsHash": 32,
}


class Standing(NamedTuple):
    """How far the seed has come that draws a task's latest round."""

    known: bool = False
    """The seats can be drawn, for all that its source knows."""
    recordable: int | None = None
    """The block whose header the source lacks for it and could be shown now."""


def standing(
    snapshot: Snapshot, params: TaskParams, task_state: TaskState, round_state: RoundState
) -> Standing:
    """Of the latest round's seed; blank where there is nothing to draw, or by a broken source."""
    if not rounds.can_draw(params, task_state, round_state, snapshot.block.timestamp):
        return Standing()
    place = (snapshot.chain, params.seed_source, task_state.opened_block)
    try:
        if seed_of(*place, at=snapshot.block) != ZERO_HASH:
            return Standing(known=True)
        return Standing(recordable=to_record(*place, at=snapshot.block))
    except (Reverted, ChainAnswerInvalid) as failure:
        # A sponsor may have named anything; what else is due must not wait for it.
        _log.warning(
            "seed_unknown", round=task_state.round, source=params.seed_source, why=str(failure)
        )
        return Standing()


def seed_of(chain: Chain, source: str, opened_block: int, *, at: Block) -> bytes:
    """The seed of the rounds that a block opened; zeros until its source knows it."""
    (seed,) = chain.ask(source, _interface().functions["seedOf"], opened_block, at=at)
    return bytes(seed)


def to_record(chain: Chain, source: str, opened_block: int, *, at: Block) -> int | None:
    """The block whose header a source lacks for its seed and could be shown now, if any.

    A source of another kind needs no header. Nodes simulate a call inside their latest block, which
    cannot see its own hash, so a header can be shown one block later than the chain would allow.
    """
    delay_blocks = _delay_blocks(chain, source)
    if delay_blocks is None:
        return None
    number = opened_block + delay_blocks
    if number >= at.number or seed_of(chain, source, opened_block, at=at) != ZERO_HASH:
        return None
    return number


def record(transactor: Transactor, source: str, number: int) -> Receipt:
    """Shows a source the header of a block. Raises: as `Transactor.send`."""
    rpc = transactor.chain.rpc
    answer = rpc.request("eth_getBlockByNumber", hex(number), False)
    if answer is None:
        raise ChainUnavailable(f"{rpc.name} does not have block {number}")
    header = header_rlp(answer)
    # After a reorganisation the same number has another header.
    purpose = f"{source}:{keccak(header).hex()}:record"
    return transactor.send_to(source, _interface().functions["record"], (header,), purpose=purpose)


def header_rlp(answer: object) -> bytes:
    """The header of a block that `eth_getBlockByNumber` answered with, from London to Prague.

    Raises:
        ChainAnswerInvalid: it does not have the block's hash.
    """
    block = fields(answer, "block")
    header: bytes = rlp.encode(
        [_field(block.get(name), name, length) for name, length in _LONDON.items()]
        + [
            _field(block[name], name, length)
            for name, length in _LATER.items()
            if block.get(name) is not None
        ]
    )
    if (found := keccak(header)) != octets(block.get("hash"), "block.hash", length=32):
        raise ChainAnswerInvalid(f"block {block['number']}: its fields hash to {found.hex()}")
    return header


def _field(value: object, name: str, length: int | None) -> bytes:
    what = f"block.{name}"
    if length != _NUMBER:
        return octets(value, what, length=length)
    number = quantity(value, what, bits=256)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _delay_blocks(chain: Chain, source: str) -> int | None:
    """What stands in a source's code as its delay; None if it is not a `PrevrandaoSource`."""
    expected = artifact.load().contracts[PREVRANDAO_SOURCE]
    code = octets(chain.rpc.request("eth_getCode", source, "latest"), "eth_getCode")
    words = expected.words_of("DELAY_BLOCKS", code)
    if len(words) != 1 or expected.masked(code) != expected.runtime_bytecode:
        return None
    (word,) = words
    return int.from_bytes(word, "big")


@cache
def _interface() -> Interface:
    return Interface(artifact.load().contracts[PREVRANDAO_SOURCE].abi)
