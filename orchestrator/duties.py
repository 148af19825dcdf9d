"""What anybody may do for a task once its time has come, and this orchestrator does."""

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
from protocol.chain import calls
from protocol.chain.calls import TaskCall

Wanted = OpenRound | DrawSeats | Distribute | SlashWithheld | ReclaimDeposit | Finalise | VoidRound


def call(wanted: Wanted, reading: TaskReading) -> TaskCall:
    """The call that does it."""
    match wanted:
        case OpenRound(number):
            return calls.on_task("openRound", number - 1)
        case DrawSeats(number):
            return calls.draw_seats(number)
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
