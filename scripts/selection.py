"""Replays from the logs who could act in a round, who did, and whose update entered its result.

Every step is held against the one before it and against the hashes that the contract keeps.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.chain.events import Happened
from protocol.chain.gateway import Snapshot
from protocol.errors import VerificationFailed
from protocol.task import RoundState, TaskParams


@dataclass(frozen=True)
class Selection:
    """A round's participants; each list is taken from the one before it."""

    seated: tuple[str, ...] = ()
    """Who had a seat that may act in this round, in order of joining."""
    committed: tuple[str, ...] = ()
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
    replayed = _Replay(number)
    for event in events:
        replayed.take(event)
    # What the contract holds the hash of: only this order of reveals gives it.
    revealed = snapshot.revealed(task_id, number)
    _require("reveals", [each.participant for each in revealed], replayed.revealed)
    for update in revealed:
        if update.squared_norm > params.max_squared_norm:
            raise VerificationFailed(f"{update.participant} revealed a norm above the task's bound")
    excluded = tuple(each.participant for each in snapshot.excluded(task_id, number))
    _check_publication(params, snapshot.round_state(task_id, number), replayed.published)
    return Selection(
        tuple(replayed.cohort), tuple(replayed.committed), tuple(replayed.revealed), excluded
    )


class _Replay:
    """The task's history as far as one round is concerned."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._seats: dict[str, int] = {}
        self.cohort: dict[str, None] = {}
        self.committed: dict[str, None] = {}
        self.revealed: list[str] = []
        self.published: Mapping[str, object] | None = None

    def take(self, event: Happened) -> None:
        arguments = event.arguments
        match event.event:
            case "SeatTaken":
                self._seats[arguments["participant"]] = arguments["activeFrom"]
            case "SeatLeft" | "NormRefuted":
                self._seats.pop(arguments["participant"], None)
        if arguments.get("round") == self._number:
            self._take_of_round(event)

    def _take_of_round(self, event: Happened) -> None:
        match event.event:
            case "RoundOpened":
                self.cohort = {
                    account: None for account, first in self._seats.items() if first <= self._number
                }
            case "UpdateCommitted":
                self._follow("committed without a seat", event, self.cohort)
                self.committed[event.arguments["participant"]] = None
            case "UpdateRevealed":
                self._follow("revealed without a commitment", event, self.committed)
                self.revealed.append(event.arguments["participant"])
            case "AggregatePublished":
                self.published = event.arguments

    def _follow(self, wrong: str, event: Happened, before: Mapping[str, None]) -> None:
        participant = event.arguments["participant"]
        if participant not in before:
            raise VerificationFailed(f"round {self._number}: {participant} {wrong}")


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
