"""What anybody may do for a task, and a node that drives does where nobody else did.

It opens and settles rounds, draws their seats, divides their rewards, and slashes who did not open
a commitment, for half of the slice. Everything is read from the chain.
"""

import structlog

from node.actions import Distribute, DrawSeats, Drive, DutyAction, RecordHeader, SlashWithheld
from node.sending import Sending
from protocol import rounds
from protocol.chain import seed
from protocol.chain.gateway import Snapshot
from protocol.chain.transactor import Transactor
from protocol.errors import ChainAnswerInvalid, Reverted
from protocol.scores import given_scores
from protocol.task import ZERO_HASH, RoundState, Seat, TaskParams, TaskState

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

    def seed(
        self, snapshot: Snapshot, task: TaskState, state: RoundState
    ) -> tuple[bool, int | None]:
        """Whether the seed is known that draws the latest round, and which block it lacks."""
        if not rounds.can_draw(self._params, task, state, snapshot.block.timestamp):
            return False, None
        place = (snapshot.chain, self._params.seed_source, task.opened_block)
        try:
            if seed.seed_of(*place, at=snapshot.block) != ZERO_HASH:
                return True, None
            return False, seed.to_record(*place, at=snapshot.block)
        except (Reverted, ChainAnswerInvalid) as failure:
            # A sponsor may have named anything; what else is due must not wait for it.
            log.warning("no seed", round=task.round, reason=str(failure))
            return False, None

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
                self._sending.send(function, (self._task_id,), f"{number}:{function}")
            case RecordHeader(block):
                self._record(block)
            case DrawSeats():
                in_round = (self._task_id, number)
                self._sending.send_in_time("drawSeats", in_round, f"{number}:draw")
            case SlashWithheld(participant):
                seat = snapshot.seat(self._task_id, participant)
                purpose = f"{seat.committed_round}:slash:{participant}"
                self._sending.send_in_time("slashWithheld", (self._task_id, participant), purpose)
            case Distribute(final):
                self._distribute(snapshot, final)

    def _record(self, block: int) -> None:
        try:
            seed.record(self._transactor, self._params.seed_source, block)
        except Reverted as refused:
            log.info("header was not taken", block=block, reason=str(refused))

    def _distribute(self, snapshot: Snapshot, number: int) -> None:
        revealed = snapshot.revealed(self._task_id, number)
        scores = given_scores(snapshot.scores(self._task_id, number))
        self._sending.send_in_time(
            "distribute",
            (self._task_id, number, tuple(tuple(update) for update in revealed), scores),
            f"{number}:distribute",
        )
