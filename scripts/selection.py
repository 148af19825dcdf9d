"""Replays from the logs who could act in a round, who did, and whose update entered its result.

Every step is held against the one before it, against the hashes that the contract keeps, and a draw
against the seed that its source has for the block that opened the round.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.chain.events import Happened
from protocol.chain.gateway import Snapshot
from protocol.chain.seed import seed_of
from protocol.draw import draw_of, is_drawn
from protocol.errors import VerificationFailed
from protocol.state import Offence, RoundState
from protocol.task import TaskParams


@dataclass(frozen=True)
class Selection:
    """A round's participants; each list is taken from the one before it."""

    seated: tuple[str, ...] = ()
    """Who had a seat that may act in this round, in order of joining."""
    drawn: tuple[str, ...] = ()
    """Whom of them the round took: all, unless it had to draw."""
    committed: tuple[str, ...] = ()
    """Who was bound to an update when the commit phase ended."""
    revealed: tuple[str, ...] = ()
    """In order of reveal, as the updates hash binds it."""
    excluded: tuple[str, ...] = ()
    """Those of them whose update was flagged and not posted, or had a false norm."""


def replay(snapshot: Snapshot, task_id: bytes, number: int) -> Selection:
    """Who took part in a round.

    Raises: VerificationFailed naming the first step that does not follow from the ones before it;
    ChainAnswerInvalid if the logs are not what the contract holds.
    """
    params = snapshot.task_params(task_id)
    events = snapshot.chain.events.until(snapshot.block, (None, task_id))
    replayed = _Replay(params, number)
    for event in events:
        replayed.take(event)
    state = snapshot.round_state(task_id, number)
    _require("active seats", state.active, len(replayed.cohort))
    _check_draw(snapshot, task_id, number, replayed)
    # What the contract holds the hash of: only this order of reveals gives it.
    revealed = snapshot.revealed(task_id, number)
    _require("reveals", [each.participant for each in revealed], replayed.revealed)
    if len(revealed) > params.cohort:
        raise VerificationFailed(f"{len(revealed)} revealed; the cohort is {params.cohort}")
    for update in revealed:
        if update.squared_norm > params.max_squared_norm:
            raise VerificationFailed(f"{update.participant} revealed a norm above the task's bound")
    excluded = tuple(each.participant for each in snapshot.excluded(task_id, number))
    _check_publication(params, state, replayed.published)
    return Selection(
        tuple(replayed.cohort),
        tuple(filter(replayed.takes, replayed.cohort)),
        tuple(replayed.committed),
        tuple(replayed.revealed),
        excluded,
    )


class _Replay:
    """The task's history as far as one round is concerned."""

    def __init__(self, params: TaskParams, number: int) -> None:
        self._params = params
        self._number = number
        self._seats: dict[str, int] = {}
        """The first round that each may act in, but for those that are suspended."""
        self.cohort: dict[str, None] = {}
        self.draws = False
        self.draw: bytes | None = None
        self.opened_block = 0
        self.committed: dict[str, None] = {}
        self.revealed: list[str] = []
        self.published: Mapping[str, object] | None = None

    def take(self, event: Happened) -> None:
        arguments = event.arguments
        match event.event:
            case "SeatTaken" | "SeatRestored":
                self._seats[arguments["participant"]] = arguments["activeFrom"]
            case "SeatLeft" | "NormRefuted" | "SeatSuspended":
                self._seats.pop(arguments["participant"], None)
        if arguments.get("round") == self._number:
            self._take_of_round(event)

    def takes(self, participant: str) -> bool:
        """Whether this round takes a seat that is active in it."""
        return not self.draws or (self.draw is not None and is_drawn(self.draw, participant))

    def _take_of_round(self, event: Happened) -> None:
        arguments = event.arguments
        match event.event:
            case "RoundOpened":
                self.cohort = {
                    account: None for account, first in self._seats.items() if first <= self._number
                }
                self.draws = len(self.cohort) > self._params.cohort
                self.opened_block = event.block_number
            case "SeatsDrawn":
                if not self.draws or self.draw is not None:
                    raise self._wrong("seats were drawn although nothing was to be drawn")
                self.draw = arguments["draw"]
            case "UpdateCommitted":
                self._commit(arguments["participant"])
            case "UpdatesCommitted":
                for participant in arguments["participants"]:
                    self._commit(participant)
            case "UpdateRevealed":
                self._reveal(arguments["participant"])
            case "UpdatesRevealed":
                for participant, *_ in arguments["updates"]:
                    self._reveal(participant)
            case "SeatSuspended" if arguments["offence"] == Offence.EQUIVOCATION:
                self.committed.pop(arguments["participant"], None)
            case "AggregatePublished":
                self.published = arguments

    def _commit(self, participant: str) -> None:
        if participant not in self.cohort or participant not in self._seats:
            raise self._wrong(f"{participant} committed without a seat")
        if not self.takes(participant):
            raise self._wrong(f"{participant} committed without being drawn")
        self.committed[participant] = None

    def _reveal(self, participant: str) -> None:
        if participant not in self.committed:
            raise self._wrong(f"{participant} revealed without a commitment")
        self.revealed.append(participant)

    def _wrong(self, what: str) -> VerificationFailed:
        return VerificationFailed(f"round {self._number}: {what}")


def _check_draw(snapshot: Snapshot, task_id: bytes, number: int, replayed: _Replay) -> None:
    """The round drew with what its source says, among those who were active."""
    if replayed.draw is None:
        return
    params = snapshot.task_params(task_id)
    expected = draw_of(
        _seed(snapshot, params, replayed.opened_block),
        task_id,
        number,
        drawn=params.drawn,
        active=len(replayed.cohort),
    )
    if replayed.draw != expected:
        raise VerificationFailed(
            f"round {number}: its seats were drawn by 0x{replayed.draw.hex()}; the seed of "
            f"{params.seed_source} for block {replayed.opened_block} gives 0x{expected.hex()}"
        )


def _seed(snapshot: Snapshot, params: TaskParams, opened_block: int) -> bytes:
    return seed_of(snapshot.chain, params.seed_source, opened_block, at=snapshot.block)


def _check_publication(
    params: TaskParams, state: RoundState, published: Mapping[str, object] | None
) -> None:
    """What stands as published was computed from exactly the included updates."""
    if not state.published_at:
        return
    found = published or {}
    _require("published updates hash", state.updates_hash, found.get("updatesHash"))
    _require("updates left out of the result", state.unavailable, found.get("unavailable"))
    if state.included < params.quorum:
        raise VerificationFailed(
            f"{state.included} updates entered the result; the quorum is {params.quorum}"
        )


def _require(what: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise VerificationFailed(f"{what}: the contract holds {wanted!r}, the logs show {found!r}")
