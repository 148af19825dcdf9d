"""What anybody may do for a task once its time has come, and this orchestrator does."""

from orchestrator.decide import (
    Distribute,
    DrawSeats,
    Finalise,
    OpenRound,
    ReclaimDeposit,
    RefuteOutvoted,
    SlashWithheld,
    VoidRound,
)
from orchestrator.reading import TaskReading
from protocol import rounds
from protocol.chain import calls
from protocol.chain.calls import TaskCall
from protocol.recompute import Roots

Wanted = (
    OpenRound
    | DrawSeats
    | RefuteOutvoted
    | Distribute
    | SlashWithheld
    | ReclaimDeposit
    | Finalise
    | VoidRound
)


def outvoted_by(reading: TaskReading, own_address: str | None) -> Roots | None:
    """The result whose votes refute what somebody else published in the latest round."""
    latest = reading.latest
    if latest is None or latest.state.publisher.lower() == (own_address or "").lower():
        return None
    now = reading.block.timestamp
    return rounds.outvoted_by(reading.params, latest.state, latest.votes, now)


def call(wanted: Wanted, reading: TaskReading) -> TaskCall:
    """The call that does it."""
    match wanted:
        case OpenRound(number):
            return calls.on_task("openRound", number - 1)
        case DrawSeats(number):
            return calls.draw_seats(number)
        case RefuteOutvoted(number, roots):
            return calls.refute_outvoted(number, reading.rounds[number - 1].state, roots)
        case Distribute(number):
            found = reading.rounds[number - 1]
            return calls.distribute(number, found.revealed, found.scores)
        case SlashWithheld(_, participant):
            return calls.slash_withheld(participant, reading.seats[participant])
        case ReclaimDeposit(number, participant):
            # A participant is flagged once a round at most, so the latest makes it one of a kind.
            return calls.reclaim_deposit(participant, number)
        case Finalise(number):
            return calls.on_task("finalise", number)
        case VoidRound(number):
            return calls.on_task("voidRound", number)
