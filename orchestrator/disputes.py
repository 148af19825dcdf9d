"""What an orchestrator flags and posts, and may take back: one transaction a tick."""

from collections.abc import Callable

from orchestrator.decide import FlagUpdate, PostResult
from orchestrator.reading import TaskReading
from orchestrator.task_blobs import TaskBlobs
from protocol import posting, rounds
from protocol.chain import calls
from protocol.chain.gateway import Snapshot
from protocol.flags import first_missing, flagged_table
from protocol.state import Phase, Published

Send = Callable[..., None]
"""Sends `(function, arguments, purpose=..., value_wei=...)` for one task."""


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
        if now < rounds.patient_until(reading.params, latest.state):
            return None
        return first_missing(
            reading.params,
            latest.state,
            latest.revealed,
            blobs,
            is_had=lambda revealed: revealed.update_root in self._checked,
            keep=lambda revealed, _: self._checked.add(revealed.update_root),
        )

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
    call = calls.flag_update(action.round, revealed, action.index)
    send(call.function, call.args, purpose=call.purpose, value_wei=reading.params.flag_wei)


def post_result(action: PostResult, reading: TaskReading, blobs: TaskBlobs, send: Send) -> None:
    """Posts the part that the chain says is next.

    Raises: BlobError, VerificationFailed, RuleError, ChainError.
    """
    params, published = reading.params, reading.rounds[action.round - 1]
    flag = published.result_flags[action.what]
    if action.what is Published.TABLE:
        # It is computed anew rather than kept on disk.
        parts = tuple(flagged_table(params, flag.root, published.included, blobs).parts())
    else:
        vector = blobs.get(flag.root, chunk_length=params.chunk_length).values
        parts = posting.parts(vector, params.chunk_length)
    call = calls.post_result(action.round, action.what, published.state, flag, parts)
    send(call.function, call.args, purpose=call.purpose)
