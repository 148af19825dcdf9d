"""What an orchestrator flags and posts, and may take back: one transaction a tick."""

from collections.abc import Callable, Sequence

import structlog

from orchestrator.decide import FlagUpdate, PostResult, patient_until
from orchestrator.reading import RoundReading, TaskReading
from orchestrator.task_blobs import TaskBlobs
from protocol import posting, rounds
from protocol.chain.gateway import Snapshot
from protocol.choice import choice_of
from protocol.errors import BlobError, VerificationFailed
from protocol.posting import Part
from protocol.recompute import fetch_updates
from protocol.task import Phase, Published

Send = Callable[..., None]
"""Sends `(function, arguments, purpose=..., value_wei=...)` for one task."""

_log = structlog.get_logger(__name__)


class Disputes:
    """One key's flags in one task; what is kept here only saves work."""

    def __init__(self, task_id: bytes) -> None:
        self._task_id = task_id
        self._checked: set[bytes] = set()
        self._nothing_to_reclaim_until = 0

    def unfetched(self, reading: TaskReading, blobs: TaskBlobs) -> int | None:
        """The first included update that is missing or not what was revealed, when that is due."""
        latest, now = reading.latest, reading.block.timestamp
        if latest is None or not rounds.can_flag_update(reading.params, latest.state, now):
            return None
        if now < patient_until(reading.params, latest.state):
            return None
        for index, revealed in enumerate(latest.revealed):
            is_done = revealed.update_root in self._checked or latest.state.is_unavailable(index)
            if is_done:
                continue
            try:
                fetch_updates(reading.params, [revealed], blobs)
            except (BlobError, VerificationFailed) as failure:
                _log.warning("update_cannot_be_had", round=latest.number, why=str(failure))
                return index
            self._checked.add(revealed.update_root)
        return None

    def owes_result(self, reading: TaskReading, own_address: str | None) -> Published | None:
        """The first part of the own published result that is flagged and may be posted."""
        latest, now = reading.latest, reading.block.timestamp
        if latest is None or latest.state.publisher.lower() != (own_address or "").lower():
            return None
        for what, flag in latest.result_flags.items():
            if rounds.can_post_result(reading.params, latest.state, what, flag, now):
                return what
        return None

    def reclaimable(
        self, snapshot: Snapshot, reading: TaskReading, own_address: str | None
    ) -> str | None:
        """A participant on whose update the own deposit lies free."""
        latest = reading.latest
        if own_address is None or latest is None:
            return None
        latest_over = latest.number - (latest.phase <= Phase.AVAILABILITY)
        if self._nothing_to_reclaim_until >= latest_over:
            return None
        for participant in snapshot.free_deposits(self._task_id, own_address):
            return participant
        self._nothing_to_reclaim_until = latest_over
        return None


def flag_update(action: FlagUpdate, reading: TaskReading, send: Send) -> None:
    """Says that an update cannot be fetched. Raises: ChainError."""
    revealed = reading.rounds[action.round - 1].revealed
    send(
        "flagUpdate",
        (action.round, tuple(tuple(update) for update in revealed), action.index),
        purpose=f"{action.round}:flag:{revealed[action.index].participant}",
        value_wei=reading.params.flag_wei,
    )


def post_result(action: PostResult, reading: TaskReading, blobs: TaskBlobs, send: Send) -> None:
    """Posts the part that the chain says is next.

    Raises: BlobError, VerificationFailed, RuleError, ChainError.
    """
    published: RoundReading = reading.rounds[action.round - 1]
    flag = published.result_flags[action.what]
    if action.what is Published.TABLE:
        part = _table_parts(reading, published, flag.root, blobs)[flag.posted]
    else:
        vector = blobs.get(flag.root, chunk_length=reading.params.chunk_length).values
        part = posting.parts(vector, reading.params.chunk_length)[flag.posted]
    publication = rounds.publication(published.state)
    send(
        "postResult",
        (action.round, action.what, *part),
        purpose=f"{action.round}:post:{action.what.name}:{publication}:{flag.posted}",
    )


def _table_parts(
    reading: TaskReading, published: RoundReading, root: bytes, blobs: TaskBlobs
) -> Sequence[Part]:
    """The table's parts; it is computed anew rather than kept on disk."""
    updates = fetch_updates(reading.params, published.included, blobs)
    choice = choice_of(reading.params, updates)
    if choice is None or choice.table.root != root:
        raise VerificationFailed(f"the included updates do not give the table 0x{root.hex()}")
    return tuple(choice.table.parts())
