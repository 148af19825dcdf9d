"""The round machine as pure functions of facts and clock, held against the contract by tests.

Every window is half-open: a deadline belongs to the next phase. Nothing stores a phase.
"""

from protocol.task import Deadlines, Phase, RoundState, TaskParams, TaskState

ENDED = frozenset({Phase.FINAL, Phase.VOID})
WITHOUT_RUNNING_ROUND = ENDED | {Phase.NONE}


def deadlines(params: TaskParams, round_state: RoundState) -> Deadlines:
    """When each phase of a round ends; all zero if the round does not exist."""
    if round_state.opened_at == 0:
        return Deadlines()
    selection = round_state.opened_at + params.selection_seconds
    commit = selection + params.commit_seconds
    reveal = commit + params.reveal_seconds
    availability = reveal + params.availability_seconds
    published = round_state.published_at
    # A refuted result makes room for another one: the whole window again, and no head start.
    restarted = round_state.restarted_at
    return Deadlines(
        selection=selection,
        commit=commit,
        reveal=reveal,
        availability=availability,
        aggregator=restarted or availability + params.aggregator_seconds,
        aggregate=(restarted or availability) + params.aggregate_seconds,
        challenge=published + params.challenge_seconds if published else 0,
    )


def phase(params: TaskParams, round_state: RoundState, now: int) -> Phase:
    """The phase of a round at time `now`."""
    if round_state.opened_at == 0:
        return Phase.NONE
    ends = deadlines(params, round_state)
    for end, before_end in (
        (ends.selection, Phase.SELECTION),
        (ends.commit, Phase.COMMIT),
        (ends.reveal, Phase.REVEAL),
    ):
        if now < end:
            return before_end
    if round_state.revealed < params.quorum:
        return Phase.VOID
    if now < ends.availability:
        return Phase.AVAILABILITY
    if round_state.published_at:
        return Phase.CHALLENGE if now < ends.challenge else Phase.FINAL
    return Phase.AGGREGATE if now < ends.aggregate else Phase.VOID


def next_deadline(params: TaskParams, round_state: RoundState, now: int) -> int | None:
    """When time alone changes the phase; None if it never does."""
    ends = deadlines(params, round_state)
    return {
        Phase.SELECTION: ends.selection,
        Phase.COMMIT: ends.commit,
        Phase.REVEAL: ends.reveal,
        Phase.AVAILABILITY: ends.availability,
        Phase.AGGREGATE: ends.aggregate,
        Phase.CHALLENGE: ends.challenge,
    }.get(phase(params, round_state, now))


def can_open(params: TaskParams, task_state: TaskState, round_state: RoundState, now: int) -> bool:
    """Whether the next round may be opened; `round_state` is the latest round's, or empty."""
    return (
        not task_state.closed
        and phase(params, round_state, now) in WITHOUT_RUNNING_ROUND
        and task_state.round < params.rounds
        and now < params.closes_at
        and task_state.seats >= params.quorum
    )


def publication(round_state: RoundState) -> str:
    """A name for what is published now, unlike that of any other publication; empty if nothing is.

    A round published again after a challenge differs in its time at least.
    """
    if not round_state.published_at:
        return ""
    roots = (round_state.aggregate_root + round_state.model_root).hex()
    return f"{round_state.published_at}:{round_state.publisher}:{roots}"
