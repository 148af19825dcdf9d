"""What anybody may do for a task, and a node that drives does where nobody else did.

It opens and settles rounds, draws their seats, divides their rewards, and slashes who did not open
a commitment, for half of the slice. Everything is read from the chain.
"""

import structlog

from node.actions import Distribute, DrawSeats, Drive, DutyAction, RecordHeader, SlashWithheld
from node.sending import Sending
from protocol import rounds
from protocol.chain import seed
from protocol.chain.calls import TaskCall, distribute, draw_seats, on_task, slash_withheld
from protocol.chain.gateway import Snapshot
from protocol.chain.transactor import Transactor
from protocol.errors import Reverted
from protocol.state import Seat
from protocol.task import TaskParams

log = structlog.get_logger("node")


class Duties:
    """One key's part in driving one task."""

    def __init__(
        self, transactor: Transactor, task_id: bytes, params: TaskParams, sending: Sending
    ) -> None:
        self._transactor = transactor
        self._task_id = task_id
        self._params = params
        self._sending = sending

    # -------------------------------------------------------------------------------------- facts

    def is_withheld(self, snapshot: Snapshot, seat: Seat) -> bool:
        """Whether a seat has a slice to lose for its latest commitment."""
        if not self._params.slice_wei or not any(seat.commitment):
            return False
        state = snapshot.round_state(self._task_id, seat.committed_round)
        return rounds.is_withheld(self._params, state, seat, snapshot.block.timestamp)

    def withheld(self, snapshot: Snapshot) -> str | None:
        """A participant who can be slashed for a commitment that it did not open."""
        return next(snapshot.withheld(self._task_id), None)

    def undistributed(self, snapshot: Snapshot) -> int | None:
        """The first final round whose reward nobody divided."""
        return next(snapshot.undistributed(self._task_id), None)

    # ------------------------------------------------------------------------------------ actions

    def act(self, action: DutyAction, snapshot: Snapshot, number: int) -> None:
        """Sends one transaction for the task at its latest round. Raises: ChainError."""
        match action:
            case Drive(function):
                self._sending.send_in_time(*self._named(on_task(function, number)))
            case RecordHeader(block):
                self._record(block)
            case DrawSeats():
                self._sending.send_in_time(*self._named(draw_seats(number)))
            case SlashWithheld(participant):
                seat = snapshot.seat(self._task_id, participant)
                self._sending.send_in_time(*self._named(slash_withheld(participant, seat)))
            case Distribute(final):
                revealed = snapshot.revealed(self._task_id, final)
                scores = snapshot.scores(self._task_id, final)
                self._sending.send_in_time(*self._named(distribute(final, revealed, scores)))

    def _named(self, call: TaskCall) -> TaskCall:
        """With the task's id before the other arguments."""
        return call._replace(args=(self._task_id, *call.args))

    def _record(self, block: int) -> None:
        try:
            seed.record(self._transactor, self._params.seed_source, block)
        except Reverted as refused:
            log.info("header was not taken", block=block, reason=str(refused))
