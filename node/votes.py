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
from protocol.recompute import Combined, Result
from protocol.state import RoundState, Seat
from protocol.task import TaskParams

log = structlog.get_logger("node")

Compute = Callable[[], Combined]
"""Fetches what a round includes and combines it. Raises: as `recompute_round`."""


class Votes:
    """One key's votes in one task."""

    def __init__(
        self, own_address: str, task_id: bytes, params: TaskParams, sending: Sending
    ) -> None:
        self._own_address = own_address
        self._task_id = task_id
        self._params = params
        self._sending = sending
        self._unpaid_round = 0
        self._computed_from: tuple[object, ...] = ()
        self._found: Combined | None = None

    def alike(
        self,
        snapshot: Snapshot,
        number: int,
        state: RoundState,
        seat: Seat,
        compute: Compute,
        *,
        can_send: Callable[[], bool],
    ) -> int | None:
        """How many voted for what this node finds; None if it may not vote, or finds nothing."""
        now = snapshot.block.timestamp
        if not rounds.can_vote(self._params, state, seat, number, now):
            return None
        included = {each.participant for each in snapshot.included(self._task_id, number)}
        if self._own_address not in included:
            return None
        if not can_send():
            self._say_unpaid(number)
            return None
        base_root = snapshot.base_model_root(self._task_id, number)
        computed_from = (number, base_root, state.updates_hash, state.unavailable)
        if computed_from != self._computed_from and not self._computes(number, compute):
            return None
        self._computed_from = computed_from
        if self._found is None:
            return None
        return snapshot.votes_for(self._task_id, number, self._found.roots)

    def found(self, state: RoundState) -> Result:
        """What this node votes for."""
        if self._found is None:
            raise AssertionError("decide() votes only for what was found")
        return self._found.result(state)

    def vote(self, number: int, state: RoundState) -> None:
        """Says what this node found. Raises: ChainError."""
        call = calls.vote(number, self.found(state))
        self._sending.send_in_time(call.function, (self._task_id, *call.args), call.purpose)

    def _say_unpaid(self, number: int) -> None:
        """Once a round: without its vote the round may be void."""
        if self._unpaid_round != number:
            self._unpaid_round = number
            log.warning(
                "cannot vote: gas cannot be paid",
                round=number,
                account=self._own_address,
                todo="send ether to this account, or name a relayer in the settings",
            )

    def _computes(self, number: int, compute: Compute) -> bool:
        """Whether it is known now what the included updates give, which may be nothing."""
        try:
            self._found = compute()
        except (BlobError, VerificationFailed) as missing:
            log.warning("cannot vote yet", round=number, reason=str(missing))
            return False
        except (RuleError, RangeError) as failure:
            log.critical("round has no result to vote for", round=number, reason=str(failure))
            self._found = None
        return True
