"""What a task needs that anybody may do now and that costs nothing but gas, at one block.

A publication is not among it: that takes a bond and the result.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from protocol import rounds
from protocol.chain import calls, seed
from protocol.chain.calls import TaskCall
from protocol.chain.gateway import Snapshot
from protocol.state import Phase, RoundState


@dataclass(frozen=True)
class Due:
    """One call that the contract would take now."""

    function: str
    args: tuple[object, ...]
    what: str
    """In words."""
    purpose: str
    """Its name in an outbox: the same thing to do has the same one."""


def due(snapshot: Snapshot, task_id: bytes) -> tuple[Due, ...]:
    """What is to be done, first what others wait for."""
    return (
        *_to_the_next_round(snapshot, task_id),
        *_to_refute(snapshot, task_id),
        *to_distribute(snapshot, task_id),
        *_to_slash(snapshot, task_id),
        *_to_reclaim(snapshot, task_id),
    )


def _to_the_next_round(snapshot: Snapshot, task_id: bytes) -> Iterator[Due]:
    """Draw the seats, or open the next round, which settles this one, or settle or close."""
    params, task = snapshot.task_params(task_id), snapshot.task_state(task_id)
    state = snapshot.round_state(task_id, task.round) if task.round else RoundState()
    now, number = snapshot.block.timestamp, task.round
    phase = rounds.phase(params, state, now)
    has_ended = phase in rounds.ENDED
    if rounds.can_draw(params, task, state, now):
        if seed.standing(snapshot, params, task, state).known:
            yield _due(task_id, calls.draw_seats(number), f"draw the seats of round {number}")
    elif rounds.can_open(params, task, state, now):
        yield _due(task_id, calls.on_task("openRound", number), f"open round {number + 1}")
    elif (
        not task.closed
        and (has_ended or phase is Phase.NONE)
        and rounds.is_exhausted(params, task, now)
    ):
        yield _due(task_id, calls.on_task("closeTask", number), "close the task")
    elif has_ended and not state.settled:
        function = "finalise" if phase is Phase.FINAL else "voidRound"
        yield _due(task_id, calls.on_task(function, number), f"settle round {number}")


def _to_refute(snapshot: Snapshot, task_id: bytes) -> Iterator[Due]:
    """What is published although more participants than may lie voted for another result."""
    params, number = snapshot.task_params(task_id), snapshot.task_state(task_id).round
    if not params.by_votes or not number:
        return
    state, votes = snapshot.round_state(task_id, number), snapshot.votes(task_id, number)
    roots = rounds.outvoted_by(params, state, votes, snapshot.block.timestamp)
    if roots is not None:
        refuted = calls.refute_outvoted(number, state, roots)
        what = f"refute the result of round {number}: {len(votes[roots])} found another one"
        yield _due(task_id, refuted, what)


def to_distribute(snapshot: Snapshot, task_id: bytes, account: str | None = None) -> Iterator[Due]:
    """The rewards that wait; of one account only those of rounds that included its update."""
    for number in snapshot.undistributed(task_id):
        included = {each.participant for each in snapshot.included(task_id, number)}
        if account is not None and account not in included:
            continue
        revealed, scores = snapshot.revealed(task_id, number), snapshot.scores(task_id, number)
        divided = calls.distribute(number, revealed, scores)
        yield _due(task_id, divided, f"distribute the reward of round {number}")


def _to_slash(snapshot: Snapshot, task_id: bytes) -> Iterator[Due]:
    for participant in snapshot.withheld(task_id):
        seat = snapshot.seat(task_id, participant)
        what = f"did not open its commitment of round {seat.committed_round}"
        slashed = calls.slash_withheld(participant, seat)
        yield _due(task_id, slashed, f"slash {participant}, who {what}")


def _to_reclaim(snapshot: Snapshot, task_id: bytes) -> Iterator[Due]:
    flaggers = {
        event.arguments["flagger"]
        for event in snapshot.chain.events.until(snapshot.block, (None, task_id))
        if event.event == "UpdateFlagged"
    }
    for flagger in sorted(flaggers):
        for participant in snapshot.free_deposits(task_id, flagger):
            number = snapshot.update_flag(task_id, participant).round
            what = f"give {flagger} the deposit on the update of {participant} back"
            yield _due(task_id, calls.reclaim_deposit(participant, number), what)


def _due(task_id: bytes, call: TaskCall, what: str) -> Due:
    return Due(call.function, (task_id, *call.args), what, f"{task_id.hex()}:{call.purpose}")
