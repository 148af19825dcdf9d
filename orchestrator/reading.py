"""One task's facts at one block, with as few questions to the chain as possible.

A settled round before the latest one never changes, so it is asked for once, unless a
reorganisation replaced the block that it was read at.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol import rounds
from protocol.chain.events import Block
from protocol.chain.gateway import Snapshot
from protocol.errors import ChainUnavailable
from protocol.recompute import RevealedUpdate
from protocol.task import (
    Deadlines,
    Flag,
    Phase,
    Published,
    RoundState,
    Seat,
    TaskParams,
    TaskState,
)

# Claims change nothing but a seat's reward, so seats are read again after this much chain time.
_SEATS_REFRESH_SECONDS = 30


@dataclass(frozen=True)
class RoundReading:
    """One round at the block's time."""

    number: int
    state: RoundState
    phase: Phase
    deadlines: Deadlines
    base_model_root: bytes
    committed: tuple[str, ...]
    revealed: tuple[RevealedUpdate, ...]
    included: tuple[RevealedUpdate, ...]
    """The revealed ones that are not unavailable."""
    result_flags: Mapping[Published, Flag]
    """The flags on the published result, answered ones too."""


@dataclass(frozen=True)
class TaskReading:
    """One task; `rounds` are all rounds opened so far, by number."""

    task_id: bytes
    block: Block
    params: TaskParams
    state: TaskState
    rounds: tuple[RoundReading, ...]
    seats: Mapping[str, Seat]

    @property
    def latest(self) -> RoundReading | None:
        """The round that runs or ran last."""
        return self.rounds[-1] if self.rounds else None


class TaskReader:
    """Reads one task again and again."""

    def __init__(self, task_id: bytes) -> None:
        self._task_id = task_id
        self._over: dict[int, RoundReading] = {}
        self._seats: Mapping[str, Seat] = {}
        self._seats_key: object = None
        self._read_at: Block | None = None

    def read(self, snapshot: Snapshot) -> TaskReading:
        """The task after the snapshot's block. Raises: ChainError."""
        self._forget_if_reorganised(snapshot)
        params = snapshot.task_params(self._task_id)
        state = snapshot.task_state(self._task_id)
        numbers = range(1, state.round + 1)
        readings = tuple(self._round(snapshot, params, number) for number in numbers)
        for reading in readings[:-1]:
            if reading.state.settled:
                self._over[reading.number] = reading
        seats = self._read_seats(snapshot, (state, readings[-1:]))
        self._read_at = snapshot.block
        return TaskReading(self._task_id, snapshot.block, params, state, readings, seats)

    def _forget_if_reorganised(self, snapshot: Snapshot) -> None:
        before = self._read_at
        if before is not None and not _is_on_chain(snapshot, before):
            self._over.clear()
            self._seats_key = None

    def _round(self, snapshot: Snapshot, params: TaskParams, number: int) -> RoundReading:
        known = self._over.get(number)
        if known is not None:
            return known
        state = snapshot.round_state(self._task_id, number)
        return RoundReading(
            number=number,
            state=state,
            phase=snapshot.phase(self._task_id, number),
            deadlines=rounds.deadlines(params, state),
            base_model_root=snapshot.base_model_root(self._task_id, number),
            committed=snapshot.committed(self._task_id, number),
            revealed=snapshot.revealed(self._task_id, number),
            included=snapshot.included(self._task_id, number),
            result_flags={
                what: snapshot.result_flag(self._task_id, what)
                for what in Published
                if state.is_flagged(what)
            },
        )

    def _read_seats(self, snapshot: Snapshot, facts: object) -> Mapping[str, Seat]:
        seated = snapshot.seated(self._task_id)
        key = (facts, seated, snapshot.block.timestamp // _SEATS_REFRESH_SECONDS)
        if key != self._seats_key:
            self._seats = {
                participant: snapshot.seat(self._task_id, participant) for participant in seated
            }
            self._seats_key = key
        return self._seats


def _is_on_chain(snapshot: Snapshot, block: Block) -> bool:
    try:
        return snapshot.chain.block(block.number) == block
    except ChainUnavailable:
        return False  # the new branch is shorter, or nobody answers: then nothing else will either
