"""What a node votes for in a task by votes: the result that it computed itself.

Nothing is remembered: the chain knows who has voted, and computing again gives the same.
"""

from collections.abc import Callable

import structlog

from node.sending import Sending
from protocol import rounds
from protocol.chain import calls
from protocol.chain.gateway import Snapshot
from protocol.errors import BlobError, RangeError, RuleError, VerificationFailed
from protocol.numbers import Int16Array, Int32Array
from protocol.recompute import Combined, combine
from protocol.task import RoundState, Seat, TaskParams

log = structlog.get_logger("node")

Inputs = Callable[[], tuple[Int32Array, Int16Array]]
"""Fetches a round's base model and included updates. Shape: [d], [m, d]"""


class Votes:
    """One key's votes in one task."""

    def __init__(
        self, own_address: str, task_id: bytes, params: TaskParams, sending: Sending
    ) -> None:
        self._own_address = own_address
        self._task_id = task_id
        self._params = params
        self._sending = sending
        self._computed_from: tuple[object, ...] = ()
        self._found: Combined | None = None

    def alike(
        self, snapshot: Snapshot, number: int, state: RoundState, seat: Seat, inputs: Inputs
    ) -> int | None:
        """How many voted for what this node finds; None if it may not vote, or finds nothing."""
        now = snapshot.block.timestamp
        if not rounds.can_vote(self._params, state, seat, number, now):
            return None
        included = {each.participant for each in snapshot.included(self._task_id, number)}
        if self._own_address not in included:
            return None
        base_root = snapshot.base_model_root(self._task_id, number)
        computed_from = (number, base_root, state.updates_hash, state.unavailable)
        if computed_from != self._computed_from and not self._compute(number, inputs):
            return None
        self._computed_from = computed_from
        if self._found is None:
            return None
        return snapshot.votes_for(self._task_id, number, self._found.roots)

    def vote(self, number: int, state: RoundState) -> None:
        """Says what this node found. Raises: ChainError."""
        if self._found is None:
            raise AssertionError("decide() votes only for what was found")
        call = calls.vote(number, self._found.result(state))
        self._sending.send_in_time(call.function, (self._task_id, *call.args), call.purpose)

    def _compute(self, number: int, inputs: Inputs) -> bool:
        """Whether it is known now what the included updates give, which may be nothing."""
        try:
            self._found = combine(self._params, *inputs())
        except (BlobError, VerificationFailed) as missing:
            log.warning("cannot vote yet", round=number, reason=str(missing))
            return False
        except (RuleError, RangeError) as failure:
            log.critical("round has no result to vote for", round=number, reason=str(failure))
            self._found = None
        return True
