"""The round machine as pure functions of facts and clock, held against the contract by tests.

Every window is half-open: a deadline belongs to the next phase. Nothing stores a phase.
"""

from collections.abc import Mapping, Sequence, Sized
from typing import TypeVar

from protocol.draw import is_drawn
from protocol.state import (
    MAX_REFUTATIONS,
    Deadlines,
    Flag,
    Phase,
    Published,
    RoundState,
    Seat,
    TaskState,
)
from protocol.task import ZERO_ADDRESS, ZERO_HASH, TaskParams

Revealed = TypeVar("Revealed")
Found = TypeVar("Found")

ENDED = frozenset({Phase.FINAL, Phase.VOID})
WITHOUT_RUNNING_ROUND = ENDED | {Phase.NONE}
# Servers get this part of the availability window before what they lack is flagged.
PATIENT_PART = 4


def deadlines(params: TaskParams, round_state: RoundState) -> Deadlines:
    """When each phase of a round ends; all zero if the round does not exist."""
    if round_state.opened_at == 0:
        return Deadlines()
    selection = round_state.opened_at + params.selection_seconds
    commit = selection + params.commit_seconds
    reveal = commit + params.reveal_seconds
    availability = reveal + params.availability_seconds
    published = round_state.published_at
    scores = params.score_seconds
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
        score_commit=availability + scores // 2 if scores else 0,
        score_reveal=availability + scores if scores else 0,
        flag_update=reveal + params.availability_seconds // 2,
        flag_result=published + params.challenge_seconds // 3 if published else 0,
        post_result=published + 2 * params.challenge_seconds // 3 if published else 0,
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
    if round_state.included < params.quorum:
        return Phase.VOID
    if round_state.published_at:
        if now < ends.challenge:
            return Phase.CHALLENGE
        return Phase.VOID if lacks_votes(params, round_state) else Phase.FINAL
    if round_state.refutations == MAX_REFUTATIONS:
        return Phase.VOID
    return Phase.AGGREGATE if now < ends.aggregate else Phase.VOID


def lacks_votes(params: TaskParams, round_state: RoundState) -> bool:
    """Whether what is published would be void: too few voted for it, or more for another result."""
    return params.by_votes and round_state.votes < votes_to_stand(params, round_state)


def votes_to_stand(params: TaskParams, round_state: RoundState) -> int:
    """How many votes a result needs to become final, by the votes that are cast."""
    return max(params.votes_needed, round_state.most_votes)


def can_publish(params: TaskParams, round_state: RoundState, now: int) -> bool:
    """Whether a result may be published, by whoever's turn it is.

    Not in the block of a refutation, so that lies cannot void a round within one.
    """
    restarted = round_state.restarted_at
    return phase(params, round_state, now) is Phase.AGGREGATE and restarted < now


def can_vote(
    params: TaskParams, round_state: RoundState, seat: Seat, number: int, now: int
) -> bool:
    """Whether a seat may vote in the latest round, `number`, unless its update is excluded."""
    return (
        params.by_votes
        and phase(params, round_state, now) in {Phase.AGGREGATE, Phase.CHALLENGE}
        and seat.revealed_in(number)
        and seat.voted_round != number
    )


def is_outvoted(params: TaskParams, round_state: RoundState, votes: int) -> bool:
    """Whether so many votes for another result refute the published one."""
    return params.by_votes and votes >= max(params.votes_needed, round_state.votes + 1)


def outvoted_by(
    params: TaskParams, round_state: RoundState, votes: Mapping[Found, Sized], now: int
) -> Found | None:
    """Of what participants voted for, a result whose votes refute the published one now."""
    if phase(params, round_state, now) is not Phase.CHALLENGE:
        return None
    refuting = (found for found, who in votes.items() if is_outvoted(params, round_state, len(who)))
    return next(refuting, None)


def patient_until(params: TaskParams, round_state: RoundState) -> int:
    """When what a round's servers still lack is flagged."""
    ends = deadlines(params, round_state)
    return ends.reveal + params.availability_seconds // PATIENT_PART


def next_deadline(params: TaskParams, round_state: RoundState, now: int) -> int | None:
    """When time alone next changes what may be done in a round; None if it never does.

    That is the end of the phase, or before it the end of the time to flag or to post, of a part of
    the time for scores, of the aggregator's head start, or of the second of a refutation.
    """
    ends = deadlines(params, round_state)
    scoring = (ends.score_commit, ends.score_reveal)
    within_phase: tuple[int, ...] = {
        Phase.SELECTION: (ends.selection,),
        Phase.COMMIT: (ends.commit,),
        Phase.REVEAL: (ends.reveal,),
        Phase.AVAILABILITY: (ends.flag_update, ends.availability),
        Phase.AGGREGATE: (round_state.restarted_at + 1, ends.aggregator, ends.aggregate, *scoring),
        Phase.CHALLENGE: (ends.flag_result, ends.post_result, ends.challenge, *scoring),
    }.get(phase(params, round_state, now), ())
    return min((end for end in within_phase if end > now), default=None)


def ended_at(params: TaskParams, round_state: RoundState) -> int:
    """The first second at which a round that has ended was over."""
    ends = deadlines(params, round_state)
    if round_state.revealed < params.quorum:
        return ends.reveal
    if round_state.included < params.quorum:
        return ends.availability
    if round_state.published_at:
        return ends.challenge
    is_refuted = round_state.refutations == MAX_REFUTATIONS
    return round_state.restarted_at if is_refuted else ends.aggregate


def can_open(params: TaskParams, task_state: TaskState, round_state: RoundState, now: int) -> bool:
    """Whether the next round may be opened; `round_state` is the latest round's, or empty."""
    return (
        not task_state.closed
        and phase(params, round_state, now) in WITHOUT_RUNNING_ROUND
        and not is_exhausted(params, task_state, now)
        and task_state.active + task_state.entering >= params.quorum
    )


def is_exhausted(params: TaskParams, task_state: TaskState, now: int) -> bool:
    """Whether no further round can open, however many seats are taken."""
    return task_state.ended or task_state.round == params.rounds or now >= params.closes_at


def can_draw(params: TaskParams, task_state: TaskState, round_state: RoundState, now: int) -> bool:
    """Whether the latest round's seats may be drawn, once their seed is known."""
    return is_undrawn(task_state) and phase(params, round_state, now) in {
        Phase.SELECTION,
        Phase.COMMIT,
    }


def is_undrawn(task_state: TaskState) -> bool:
    """Whether the latest round draws its seats, and nobody has done so: none may commit."""
    return task_state.draws and task_state.draw == ZERO_HASH


def may_commit(task_state: TaskState, seat: Seat, participant: str) -> bool:
    """Whether a participant's seat may commit in the latest round."""
    is_active = 0 < seat.active_from <= task_state.round
    return is_active and (not task_state.draws or is_drawn(task_state.draw, participant))


def is_withheld(params: TaskParams, committed: RoundState, seat: Seat, now: int) -> bool:
    """Whether a seat did not open its latest commitment, made in the round `committed`."""
    return any(seat.commitment) and can_slash_withheld(params, committed, now)


def can_slash_withheld(params: TaskParams, committed: RoundState, now: int) -> bool:
    """Whether a commitment made in this round that is not opened is withheld.

    What a full round had no place for is not.
    """
    return now >= deadlines(params, committed).reveal and committed.revealed < params.cohort


def can_commit_scores(params: TaskParams, round_state: RoundState, now: int) -> bool:
    """Whether a participant who revealed in this round may commit to scores."""
    ends = deadlines(params, round_state)
    return ends.availability <= now < ends.score_commit and _is_scoring(params, round_state, now)


def can_reveal_scores(params: TaskParams, round_state: RoundState, now: int) -> bool:
    """Whether a participant who committed to scores in this round may reveal them."""
    ends = deadlines(params, round_state)
    return ends.score_commit <= now < ends.score_reveal and _is_scoring(params, round_state, now)


def can_distribute(params: TaskParams, round_state: RoundState, now: int) -> bool:
    """Whether a round's reward may be distributed."""
    return phase(params, round_state, now) is Phase.FINAL and not round_state.distributed


def can_flag_update(params: TaskParams, round_state: RoundState, now: int) -> bool:
    """Whether an update that was not flagged in this round may be flagged."""
    in_time = now < deadlines(params, round_state).flag_update
    return in_time and phase(params, round_state, now) is Phase.AVAILABILITY


def can_post_update(params: TaskParams, flagged: RoundState, flag: Flag, now: int) -> bool:
    """Whether the update of `flag` may be posted; `flagged` is the round of the flag."""
    return flag.flagger != ZERO_ADDRESS and phase(params, flagged, now) is Phase.AVAILABILITY


def can_reclaim(params: TaskParams, flagged: RoundState, flag: Flag, now: int) -> bool:
    """Whether an update's deposit goes back to its flagger; `flagged` is the round of the flag."""
    return flag.flagger != ZERO_ADDRESS and now >= deadlines(params, flagged).availability


def can_flag_result(params: TaskParams, round_state: RoundState, what: Published, now: int) -> bool:
    """Whether this part of the published result may be flagged."""
    return (
        phase(params, round_state, now) is Phase.CHALLENGE
        and (what is not Published.TABLE or params.has_table)
        and now < deadlines(params, round_state).flag_result
        and not round_state.is_flagged(what)
    )


def can_post_result(
    params: TaskParams, round_state: RoundState, what: Published, flag: Flag, now: int
) -> bool:
    """Whether this part of the published result may be posted; `flag` is the one on it."""
    return (
        phase(params, round_state, now) is Phase.CHALLENGE
        and now < deadlines(params, round_state).post_result
        and round_state.is_flagged(what)
        and flag.flagger != ZERO_ADDRESS
    )


def can_refute_unavailable(
    params: TaskParams, round_state: RoundState, what: Published, flag: Flag, now: int
) -> bool:
    """Whether the result is refuted because nobody posted this part; `flag` is the one on it."""
    return (
        phase(params, round_state, now) is Phase.CHALLENGE
        and now >= deadlines(params, round_state).post_result
        and round_state.is_flagged(what)
        and flag.flagger != ZERO_ADDRESS
    )


def included(round_state: RoundState, revealed: Sequence[Revealed]) -> tuple[Revealed, ...]:
    """Of one entry per revealed update, in order of reveal, those that enter the result."""
    return tuple(
        each for index, each in enumerate(revealed) if not round_state.is_unavailable(index)
    )


def excluded(round_state: RoundState, revealed: Sequence[Revealed]) -> tuple[Revealed, ...]:
    """Of one entry per revealed update, in order of reveal, those that are unavailable."""
    return tuple(each for index, each in enumerate(revealed) if round_state.is_unavailable(index))


def publication(round_state: RoundState) -> str:
    """A name for what is published now, unlike that of any other publication; empty if nothing is.

    A round published again after a challenge differs in its time at least.
    """
    if not round_state.published_at:
        return ""
    hashes = (round_state.aggregate_root, round_state.model_root, round_state.evidence_hash)
    named = b"".join(hashes).hex()
    return f"{round_state.published_at}:{round_state.publisher}:{named}"


def _is_scoring(params: TaskParams, round_state: RoundState, now: int) -> bool:
    return phase(params, round_state, now) in {Phase.AGGREGATE, Phase.CHALLENGE}
