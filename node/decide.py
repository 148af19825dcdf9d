"""What a node does next: a pure function of the chain's facts and its own memory."""

from node import contest
from node.actions import (
    Action,
    ClaimAward,
    Commit,
    CommitScores,
    Distribute,
    DrawSeats,
    Drive,
    Join,
    Publish,
    ReclaimDeposit,
    RecordHeader,
    RelayCommit,
    RelayReveal,
    RelayVote,
    Restore,
    Reveal,
    RevealScores,
    SlashWithheld,
    Verify,
    Vote,
    Wait,
)
from node.facts import Facts, Relaying
from node.turns import Turn, in_turn, own_turn, relayed
from protocol import rounds
from protocol.state import Phase
from protocol.task import ZERO_ADDRESS, RewardRule


def decide(facts: Facts) -> Action:
    """The one next action; asking again with the same facts gives the same answer."""
    action = _next(facts)
    if isinstance(action, Verify):
        # What is voted for is known, while what is to be verified may be nowhere any more.
        vote, ends = _vote(facts), rounds.deadlines(facts.params, facts.round_state)
        if isinstance(vote, Vote | RelayVote) and facts.now >= ends.flag_result:
            return vote
    for less_urgent in (_vote, _whenever):
        if not isinstance(action, Wait):
            break
        action = _instead(action, less_urgent(facts))
    return action


def _instead(waiting: Wait, action: Action | None) -> Action:
    """What to do while there is nothing else; of two that wait the shorter wait, for both."""
    if not isinstance(action, Wait):
        return action or waiting
    untils = [until for until in (waiting.until, action.until) if until is not None]
    return Wait(min(untils, default=None), f"{waiting.why}; {action.why}")


def _vote(facts: Facts) -> Vote | RelayVote | Wait | None:
    """A vote, unless enough others have cast the same."""
    # What this node refused must be outvoted, also where more lie than the task tolerates.
    against = facts.round_state.votes + 1 if facts.mismatch else 0
    enough = max(rounds.votes_to_stand(facts.params, facts.round_state), against)
    if facts.votes_alike is None or facts.votes_alike >= enough:
        return None
    if facts.relaying is not None:
        return _relayed_vote(facts, facts.relaying)
    # Invariant: every seat's turn comes before a result that is published at once can be final.
    begins = rounds.deadlines(facts.params, facts.round_state).availability
    window_seconds = min(facts.params.aggregate_seconds, facts.params.challenge_seconds)
    return in_turn(facts, Vote(), begins, begins + window_seconds)


def _relayed_vote(facts: Facts, relaying: Relaying) -> Vote | RelayVote | Wait:
    """A signed vote, as soon as there is one: it is sent once a result stands against others."""
    ends = rounds.deadlines(facts.params, facts.round_state)
    # Before it is known when a result will be published, its time is the latest possible one.
    begins = facts.round_state.published_at or ends.aggregate
    window = (begins, begins + facts.params.challenge_seconds)
    action = relayed(facts, relaying, window, by_relayer=RelayVote(), by_itself=Vote())
    if not isinstance(action, Vote):
        return action
    return in_turn(facts, action, own_turn(*window, taken=relaying.taken), window[1])


def _whenever(facts: Facts) -> Action | None:
    """What can wait for anything else."""
    if facts.claims_award:
        return ClaimAward()
    if facts.reclaimable is not None:
        return ReclaimDeposit(facts.reclaimable)
    if not facts.drives or facts.mismatch:
        return None
    if facts.withheld is not None:
        return _in_drivers_turn(facts, SlashWithheld(facts.withheld), _withheld_since(facts))
    if facts.undistributed is not None:
        return _in_drivers_turn(facts, Distribute(facts.undistributed), _divisible_since(facts))
    return None


def _withheld_since(facts: Facts) -> int:
    """Of the latest round; what an earlier one left over was everybody's turn since."""
    reveals_end = rounds.deadlines(facts.params, facts.round_state).reveal
    return reveals_end if facts.now >= reveals_end else 0


def _divisible_since(facts: Facts) -> int:
    """The opening of the next round settles one, and may be what all drivers saw last."""
    if facts.undistributed == facts.task.round:
        return rounds.ended_at(facts.params, facts.round_state)
    return facts.round_state.opened_at


def _in_drivers_turn(facts: Facts, duty: Turn, since: int) -> Turn | Wait:
    return in_turn(facts, duty, since, since + facts.params.commit_seconds)


def _next(facts: Facts) -> Action:
    latest = facts.task.round
    phase = rounds.phase(facts.params, facts.round_state, facts.now)
    answered = contest.answer(facts, phase)
    if answered is not None:
        return answered
    contested = contest.against_result(facts, phase) if facts.mismatch else None
    if contested is not None and not isinstance(contested, Wait):
        return contested
    scoring = _scoring(facts, latest)
    if scoring is not None:
        return scoring
    if contested is not None:
        return contested
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    if facts.seat.active_from == 0 and not facts.watches:
        return _without_seat(facts, until)
    if facts.withheld == facts.own_address:
        # The slice is lost; whoever admits it may be back a round earlier than by committing.
        return SlashWithheld(facts.own_address)
    draw = _draw(facts) if facts.drives else None
    if draw is not None:
        return draw
    if facts.watches:
        return _after_reveal(facts, phase, until)
    if facts.seat.suspended:
        return _suspended(facts, phase, until)
    if phase is Phase.COMMIT:
        return _in_commit(facts, latest, until)
    if phase is Phase.REVEAL:
        return _in_reveal(facts, latest, until)
    return _after_reveal(facts, phase, until)


def _scoring(facts: Facts, latest: int) -> Action | None:
    """What a reward that depends on scores asks of whoever revealed."""
    if facts.params.reward_rule is not RewardRule.SCORES or not facts.judges:
        return None
    if not facts.seat.revealed_in(latest):
        return None
    known = (facts.params, facts.round_state, facts.now)
    if rounds.can_commit_scores(*known) and not facts.scored:
        return CommitScores()
    if rounds.can_reveal_scores(*known) and facts.scored:
        return RevealScores()
    return None


def _draw(facts: Facts) -> Action | None:
    if not rounds.can_draw(facts.params, facts.task, facts.round_state, facts.now):
        return None
    if facts.seed_known:
        return DrawSeats()
    return None if facts.recordable is None else RecordHeader(facts.recordable)


def _after_reveal(facts: Facts, phase: Phase, until: int | None) -> Action:
    if phase is Phase.AVAILABILITY:
        return contest.against_updates(facts, until)
    if phase is Phase.AGGREGATE and facts.publishes:
        return _in_aggregate(facts)
    if phase in (Phase.CHALLENGE, Phase.FINAL) and not _is_verified(facts):
        return Verify()
    if phase in (Phase.NONE, Phase.FINAL, Phase.VOID):
        return _between_rounds(facts, phase)
    return Wait(until, f"round {facts.task.round} is in {phase.name.lower()}")


def _in_aggregate(facts: Facts) -> Action:
    first = facts.params.aggregator
    head_start = rounds.deadlines(facts.params, facts.round_state).aggregator
    others = {ZERO_ADDRESS, facts.own_address.lower()}
    if first.lower() not in others and facts.now < head_start:
        return Wait(head_start, f"{first} may publish round {facts.task.round} first")
    if not rounds.can_publish(facts.params, facts.round_state, facts.now):
        restarts = facts.round_state.restarted_at + 1
        return Wait(restarts, f"round {facts.task.round} was refuted just now")
    return Publish()


def _is_verified(facts: Facts) -> bool:
    return (
        facts.verified_round == facts.task.round
        and facts.verified_model_root == facts.round_state.model_root
    )


def _is_over(facts: Facts) -> bool:
    """Whether a seat would serve no round any more."""
    return facts.task.closed or rounds.is_exhausted(facts.params, facts.task, facts.now)


def _without_seat(facts: Facts, until: int | None) -> Action:
    if _is_over(facts):
        return Wait(None, "the task takes no more participants")
    if not facts.wants_seat:
        return Wait(until, "this node has no seat and was not told to take one")
    if facts.task.seats >= facts.params.seats:
        return Wait(until, f"all {facts.params.seats} seats are taken")
    # What was declared with an earlier seat stands.
    declared = facts.seat.samples or facts.samples
    if declared < facts.params.min_samples:
        return Wait(
            until,
            f"the task asks for at least {facts.params.min_samples} training samples, this node "
            f"has {declared}",
        )
    return Join(declared)


def _suspended(facts: Facts, phase: Phase, until: int | None) -> Action:
    missed, forgiven = facts.seat.missed, facts.params.max_missed
    is_over, for_good = _is_over(facts), missed > forgiven
    if facts.restores and not is_over and not for_good:
        return Restore()
    if phase not in (Phase.COMMIT, Phase.REVEAL):
        return _after_reveal(facts, phase, until)
    if for_good:
        why = f"for good: {missed} commitments were not opened, {forgiven} are forgiven"
    elif is_over:
        why = "and the task opens no further round"
    else:
        why = f"until {facts.params.stake_wei - facts.seat.stake_wei} wei are paid; see restore"
    return Wait(until, f"this seat is suspended {why}")


def _in_commit(facts: Facts, latest: int, until: int | None) -> Action:
    if facts.seat.active_from > latest:
        return Wait(until, f"this seat may act from round {facts.seat.active_from}")
    if rounds.is_undrawn(facts.task):
        return Wait(until, f"the seats of round {latest} are not drawn yet")
    if not facts.may_commit:
        return Wait(until, f"this seat was not drawn for round {latest}")
    if facts.committed:
        return Wait(until, f"committed in round {latest}; reveals open next")
    return _committing(facts, latest, until)


def _committing(facts: Facts, latest: int, until: int | None) -> Action:
    relaying = facts.relaying
    if relaying is None:
        return Commit()
    if relaying.signs:
        ends = rounds.deadlines(facts.params, facts.round_state)
        window = (ends.selection, ends.commit)
        return relayed(facts, relaying, window, by_relayer=RelayCommit(), by_itself=Commit())
    # Invariant: two signatures in one round cost a slice, so where there may be one there is no
    # other.
    if relaying.affords:
        return Commit()
    why = f"another commitment to round {latest} may have been signed, and gas cannot be paid"
    return Wait(until, why)


def _in_reveal(facts: Facts, latest: int, until: int | None) -> Action:
    if facts.seat.revealed_in(latest):
        return Wait(until, f"revealed in round {latest}")
    if not facts.seat.committed_in(latest):
        return Wait(until, f"did not commit in round {latest}")
    if not facts.committed:
        return Wait(until, f"the commitment of round {latest} opens to an update this node lacks")
    if facts.round_state.revealed >= facts.params.cohort:
        return Wait(until, f"round {latest} is full; nothing is lost for that")
    if facts.relaying is None:
        return Reveal()
    ends = rounds.deadlines(facts.params, facts.round_state)
    window = (ends.commit, ends.reveal)
    return relayed(facts, facts.relaying, window, by_relayer=RelayReveal(), by_itself=Reveal())


def _between_rounds(facts: Facts, phase: Phase) -> Action:
    ended_at = rounds.ended_at(facts.params, facts.round_state)
    if facts.drives and rounds.can_open(facts.params, facts.task, facts.round_state, facts.now):
        return _in_drivers_turn(facts, Drive("openRound"), ended_at)
    if facts.drives and phase is not Phase.NONE and not facts.round_state.settled:
        settles = Drive("finalise" if phase is Phase.FINAL else "voidRound")
        return _in_drivers_turn(facts, settles, ended_at)
    if facts.task.closed:
        return Wait(None, "the task is closed; the command leave pays out what is owed")
    return Wait(None, "no round is running")
