"""What anybody may do for a task once its time has come, and this orchestrator does."""

from typing import NamedTuple

import structlog

from orchestrator.decide import (
    Distribute,
    DrawSeats,
    Finalise,
    OpenRound,
    ReclaimDeposit,
    SlashWithheld,
    VoidRound,
)
from orchestrator.reading import TaskReading
from protocol import rounds
from protocol.chain import seed
from protocol.chain.gateway import Snapshot
from protocol.errors import ChainAnswerInvalid, Reverted
from protocol.scores import given_scores
from protocol.task import ZERO_HASH

_log = structlog.get_logger(__name__)

Duty = OpenRound | DrawSeats | Distribute | SlashWithheld | ReclaimDeposit | Finalise | VoidRound


class Call(NamedTuple):
    """What does a duty: a function of the contract, and its arguments behind the task's id."""

    function: str
    arguments: tuple[object, ...]
    purpose: str


def call(duty: Duty, reading: TaskReading) -> Call:
    """The call that does it; its purpose is the same whenever it is asked for again."""
    match duty:
        case OpenRound(number):
            return Call("openRound", (), f"{number}:open")
        case DrawSeats(number):
            return Call("drawSeats", (number,), f"{number}:draw")
        case Distribute(number):
            found = reading.rounds[number - 1]
            updates = tuple(tuple(update) for update in found.revealed)
            arguments = (number, updates, given_scores(found.scores))
            return Call("distribute", arguments, f"{number}:distribute")
        case SlashWithheld(_, participant):
            # A seat withholds once a round at most, whatever becomes of it later.
            number = reading.seats[participant].committed_round
            return Call("slashWithheld", (participant,), f"{number}:withheld:{participant}")
        case ReclaimDeposit(number, participant):
            # A participant is flagged once a round at most, so the latest makes it one of a kind.
            return Call("reclaimDeposit", (participant,), f"{number}:reclaim:{participant}")
        case Finalise(number):
            return Call("finalise", (), f"{number}:finalise")
        case VoidRound(number):
            return Call("voidRound", (), f"{number}:void")


def seed_facts(snapshot: Snapshot, reading: TaskReading) -> tuple[bool, int | None]:
    """Whether the seed is known that draws the latest round's seats, and which block it lacks."""
    latest, source = reading.latest, reading.params.seed_source
    if latest is None:
        return False, None
    if not rounds.can_draw(reading.params, reading.state, latest.state, reading.block.timestamp):
        return False, None
    place = (snapshot.chain, source, reading.state.opened_block)
    try:
        if seed.seed_of(*place, at=snapshot.block) != ZERO_HASH:
            return True, None
        return False, seed.to_record(*place, at=snapshot.block)
    except (Reverted, ChainAnswerInvalid) as error:
        # A sponsor may have named anything; then the round is void in time.
        _log.warning("seed_unknown", round=latest.number, source=source, why=str(error))
        return False, None
