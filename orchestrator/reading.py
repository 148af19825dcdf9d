"""One task's facts at one block, with as few questions to the chain as possible.

Events say what changed: a settled round before the latest one until its reward is distributed, a
seat until one names its participant. All is asked for again if a reorganisation replaced the block
that it was read at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol import rounds
from protocol.chain.events import Block, Happened
from protocol.chain.gateway import Snapshot
from protocol.draw import is_drawn
from protocol.errors import ChainAnswerInvalid, ChainUnavailable
from protocol.recompute import RevealedUpdate, Roots
from protocol.state import Deadlines, Flag, Phase, Published, RoundState, Seat, TaskState
from protocol.task import TaskParams


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
    scores: Mapping[int, bytes]
    """Those that were revealed, in their order, by the number of the update of who gave them."""
    votes: Mapping[Roots, tuple[str, ...]]
    """In a task by votes: who voted for which result, in order of the votes."""
    shares_wei: tuple[int, ...]
    """What the reward gave to each revealed update; nothing until it is distributed."""


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

    def why_not_commit(self, participant: str) -> str | None:
        """What keeps a participant from committing in the latest round, whatever its phase."""
        number, seat = self.state.round, self.seats.get(participant)
        if seat is None:
            return f"{participant} has no seat"
        if seat.suspended:
            return f"the seat of {participant} is suspended"
        if seat.active_from > number:
            return f"the seat of {participant} is active from round {seat.active_from} on"
        if rounds.is_undrawn(self.state):
            return f"the seats of round {number} are not drawn yet"
        if self.state.draws and not is_drawn(self.state.draw, participant):
            return f"{participant} was not drawn for round {number}"
        return None


class TaskReader:
    """Reads one task again and again."""

    def __init__(self, task_id: bytes) -> None:
        self._task_id = task_id
        self._forget()

    def _forget(self) -> None:
        self._over: dict[int, RoundReading] = {}
        self._seats: dict[str, Seat] = {}
        self._events = 0
        self._read_at: Block | None = None

    def read(self, snapshot: Snapshot) -> TaskReading:
        """The task after the snapshot's block. Raises: ChainError."""
        if self._read_at is not None and not _is_on_chain(snapshot, self._read_at):
            self._forget()
        try:
            reading = self._reading(snapshot)
        except ChainAnswerInvalid:
            # What was taken for known may rest on the same lie.
            self._forget()
            raise
        self._read_at = snapshot.block
        return reading

    def _reading(self, snapshot: Snapshot) -> TaskReading:
        params = snapshot.task_params(self._task_id)
        state = snapshot.task_state(self._task_id)
        events = snapshot.chain.events.until(snapshot.block, (None, self._task_id))
        changed = self._changed_by(events[self._events :])
        numbers = range(1, state.round + 1)
        readings = tuple(self._round(snapshot, params, number) for number in numbers)
        seats = self._read_seats(snapshot, changed)
        for reading in readings[:-1]:
            if reading.state.settled:
                self._over[reading.number] = reading
        self._events = len(events)
        return TaskReading(self._task_id, snapshot.block, params, state, readings, seats)

    def _changed_by(self, happened: Sequence[Happened]) -> frozenset[str]:
        """Whose seats events may have changed; rounds that they changed are no longer known."""
        named: set[str] = set()
        for event in happened:
            found = event.arguments
            if event.event == "RewardsDistributed":
                paid = self._over.pop(found["round"], None)
                named |= {each.participant for each in paid.revealed} if paid else set(self._seats)
            named |= {found["participant"]} if "participant" in found else set()
            named |= set(found.get("participants", ()))
            named |= {participant for participant, *_ in found.get("updates", ())}
        return frozenset(named)

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
            scores=snapshot.scores(self._task_id, number),
            votes=snapshot.votes(self._task_id, number) if params.by_votes else {},
            shares_wei=snapshot.shares_wei(self._task_id, number),
        )

    def _read_seats(self, snapshot: Snapshot, changed: frozenset[str]) -> Mapping[str, Seat]:
        before = {who: seat for who, seat in self._seats.items() if who not in changed}
        self._seats = {
            who: before.get(who) or snapshot.seat(self._task_id, who)
            for who in snapshot.seated(self._task_id)
        }
        return self._seats


def _is_on_chain(snapshot: Snapshot, block: Block) -> bool:
    try:
        return snapshot.chain.block(block.number) == block
    except ChainUnavailable:
        return False  # the new branch is shorter, or nobody answers: then nothing else will either
