"""The contract's events in order, read once: a cursor per subject that follows reorganisations.

Logs are fetched in bounded windows, which shrink where a node gives up, and are decoded here,
because web3's decoder is sixty times slower. A cursor remembers the hash of each block it stopped
at; what was read after the last of them that is still on the chain is forgotten and read again.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.chain.abi import Interface
from protocol.chain.rpc import Rpc, RpcRefused, address, fields, octets, quantity
from protocol.errors import ChainAnswerInvalid, ChainUnavailable

LARGEST_WINDOW_BLOCKS = 2_000
# A reorganisation deeper than the oldest kept place is followed by reading everything again.
PLACES_KEPT = 64
# EIP-1474: limit exceeded. Most nodes answer with another code and one of these words.
LIMIT_EXCEEDED = -32005
_TOO_MUCH = re.compile(
    r"limit|too (many|large|wide)|range|size|more than|timed? ?out", re.IGNORECASE
)


@dataclass(frozen=True)
class Block:
    """A place in the chain that reads are pinned to; `timestamp` in seconds since 1970."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True)
class Happened:
    """One decoded event."""

    block_number: int
    log_index: int
    event: str
    arguments: Mapping[str, Any]


Topics = tuple[bytes | None, ...]


@dataclass
class _Cursor:
    """What was read of one subject, and the blocks at which reading stopped."""

    start: int
    events: list[Happened] = field(default_factory=list)
    places: list[Block] = field(default_factory=list)

    @property
    def next_block(self) -> int:
        return self.places[-1].number + 1 if self.places else self.start

    def stop_at(self, block: Block) -> None:
        self.places = [*self.places, block][-PLACES_KEPT:]

    def step_back(self) -> None:
        self.places.pop()
        self.events = [event for event in self.events if event.block_number < self.next_block]


class EventReader:
    """Reads one contract's events by their topics, with None for any."""

    def __init__(self, rpc: Rpc, interface: Interface, contract: str, deployed_at: int) -> None:
        self._rpc = rpc
        self._interface = interface
        self._contract = contract
        self._deployed_at = deployed_at
        self._window_blocks = LARGEST_WINDOW_BLOCKS
        self._cursors: dict[Topics, _Cursor] = {}
        self._lock = threading.Lock()

    def until(self, block: Block, topics: Topics) -> tuple[Happened, ...]:
        """All events with these topics up to and including `block`, in the chain's order.

        Raises:
            ChainUnavailable: `block` is no longer on the chain; read at a later one.
        """
        with self._lock:
            cursor = self._cursors.setdefault(topics, _Cursor(self._deployed_at))
            while cursor.places and not self._is_on_chain(cursor.places[-1]):
                cursor.step_back()
            if cursor.next_block <= block.number:
                found = list(self._read(cursor.next_block, block.number, topics))
                # Invariant: nothing enters the cursor that was read from another branch.
                self.check_on_chain(block)
                cursor.events += found
                cursor.stop_at(block)
            else:
                self.check_on_chain(block)
            return tuple(event for event in cursor.events if event.block_number <= block.number)

    def once(self, block: Block, topics: Topics, first_block: int) -> tuple[Happened, ...]:
        """Like `until` from `first_block` on, but nothing is kept: for what is large and seldom.

        Raises:
            ChainUnavailable: `block` is no longer on the chain; read at a later one.
        """
        with self._lock:
            found = tuple(self._read(first_block, block.number, topics))
        self.check_on_chain(block)
        return found

    def forget(self, topics: Topics) -> None:
        """Drops what was read of a subject, after it proved to be wrong."""
        with self._lock:
            self._cursors.pop(topics, None)

    def check_on_chain(self, block: Block) -> None:
        """Raises: ChainUnavailable if a reorganisation has replaced `block`."""
        if not self._is_on_chain(block):
            raise ChainUnavailable(f"block {block.number} was replaced while it was read")

    def _is_on_chain(self, block: Block) -> bool:
        found = self._rpc.request("eth_getBlockByNumber", hex(block.number), False)
        if found is None:
            return False
        return octets(fields(found, "block").get("hash"), "block.hash", length=32) == block.hash

    def _read(self, first: int, last: int, topics: Topics) -> Iterator[Happened]:
        while first <= last:
            until = min(last, first + self._window_blocks - 1)
            try:
                logs = self._window(first, until, topics)
            except RpcRefused as refused:
                if not _asks_for_less(refused) or until == first:
                    raise
                self._window_blocks = max(1, (until - first + 1) // 2)
                continue
            yield from self._decoded(logs, first, until, topics)
            first = until + 1
            self._window_blocks = min(LARGEST_WINDOW_BLOCKS, self._window_blocks * 2)

    def _window(self, first: int, last: int, topics: Topics) -> list[Mapping[str, object]]:
        asked = {
            "address": self._contract,
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "topics": [None if topic is None else "0x" + topic.hex() for topic in topics],
        }
        logs = self._rpc.request("eth_getLogs", asked)
        if not isinstance(logs, list | tuple):
            raise ChainAnswerInvalid(f"eth_getLogs: wanted a list, found {type(logs).__name__}")
        return [fields(log, "log") for log in logs]

    def _decoded(
        self, logs: list[Mapping[str, object]], first: int, last: int, topics: Topics
    ) -> Iterator[Happened]:
        before = (first, -1)
        for log in logs:
            happened = self._happened(log, topics)
            here = (happened.block_number, happened.log_index)
            if not before < here or happened.block_number > last:
                raise ChainAnswerInvalid(
                    f"eth_getLogs: log {here} is out of order, or outside blocks {first}-{last}"
                )
            before = here
            yield happened

    def _happened(self, log: Mapping[str, object], asked: Topics) -> Happened:
        listed = log.get("topics")
        if not isinstance(listed, list | tuple):
            raise ChainAnswerInvalid("log.topics: wanted a list")
        topics = [octets(topic, "log.topics", length=32) for topic in listed]
        event = self._interface.events.get(topics[0]) if topics else None
        if event is None or address(log.get("address"), "log.address") != self._contract:
            raise ChainAnswerInvalid("eth_getLogs: found a log that this contract cannot emit")
        wanted = zip(asked, topics, strict=False)
        if len(asked) > len(topics) or any(topic not in {None, found} for topic, found in wanted):
            raise ChainAnswerInvalid("eth_getLogs: found a log with other topics than asked for")
        return Happened(
            quantity(log.get("blockNumber"), "log.blockNumber"),
            quantity(log.get("logIndex"), "log.logIndex"),
            event.name,
            event.decode(topics[1:], octets(log.get("data"), "log.data")),
        )


def _asks_for_less(refused: RpcRefused) -> bool:
    return refused.code == LIMIT_EXCEEDED or _TOO_MUCH.search(refused.message) is not None
