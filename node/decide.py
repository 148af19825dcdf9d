"""What a node does next: a pure function of the chain's facts and its own memory."""

from dataclasses import dataclass
from typing import TypeVar

from node.actions import (
    Action,
    Challenge,
    ChallengeNorm,
    Commit,
    CommitScores,
    Distribute,
    DrawSeats,
    Drive,
    FlagResult,
    FlagUpdate,
    Join,
    PostResult,
    PostUpdate,
    Publish,
    ReclaimDeposit,
    RecordHeader,
    RefuteOutvoted,
    RefuteUnavailable,
    RelayCommit,
    RelayReveal,
    Restore,
    Reveal,
    RevealScores,
    Seal,
    SealNorm,
    SlashWithheld,
    Verify,
    Vote,
    Wait,
)
from protocol import rounds
from protocol.task import (
    ZERO_ADDRESS,
    Phase,
    Published,
    RewardRule,
    RoundState,
    Seat,
    TaskParams,
    TaskState,
)

# A sealed challenge takes a block more than an open one, which only burns the bond. With less of
# the window left than this part of it, an open one in time is worth more than an award.
LAST_PART_FOR_SEALS = 6
# Seats act one after another in this first part of a window, lest all pay for the same. What has
# no window of its own gets the commit phase's length, which is the task's own pace.
STAGGERED_PART = 4

Turn = TypeVar("Turn", bound=Action)


@dataclass(frozen=True)
class Dispute:
    """How far the dispute over the latest round's wrong result has come."""

    wrong: Published
    """The part that the revealed updates do not give."""
    provable: bool
    """What was published could be had, so the contract can be shown where it is wrong."""
    sealed: bool
    """This node has announced the proof, so that its award can be nobody else's."""
    flagged: bool
    """Somebody says on chain that the wrong part cannot be fetched."""
    answered: bool
    """And it has been posted since."""
    for_votes: bool
    """No proof shows the contract what is wrong: it counts votes."""
    outvoted: bool
    """So many participants found what this node found that their votes refute the result."""


@dataclass(frozen=True)
class Relaying:
    """What a relayer may send for this node in the latest round."""

    signs: bool
    """This node signed nothing else for this round, so that it may sign its commitment."""
    taken: bool
    """The relayer says that it has what this phase needs."""
    ask_from: int
    """Not before this time is a relayer asked again that did not take it."""
    affords: bool
    """This account can pay for a transaction of its own."""


@dataclass(frozen=True)
class Facts:
    """What one tick knows: the chain at one block, and what this node remembers."""

    params: TaskParams
    task: TaskState
    round_state: RoundState
    """The latest round; blank before the first."""
    seat: Seat
    now: int
    may_commit: bool
    """The seat may act in the latest round, and is drawn if that one draws."""
    committed: bool
    """The seat's commitment in the latest round is the one to this node's pending update."""
    judges: bool
    """This node can tell what the latest round's updates are worth."""
    scored: bool
    """The seat's commitment to scores in the latest round is the one to those this node keeps."""
    votes_alike: int | None
    """Votes for what this node found in the latest round; None where it does not vote."""
    verified_round: int
    """The latest round whose published result this node has dealt with."""
    verified_model_root: bytes
    """The model root that verification of `verified_round` led to."""
    mismatch: str
    """Why a published result was refused; empty while all is well."""
    dispute: Dispute | None
    """None unless the refused result is the latest round's and the contract may be told."""
    unfetched: int | None
    """Place, in order of reveal, of an update that could not be had and that nobody flagged."""
    false_norm: bool | None
    """Whether the proof that a revealed update's norm is false is sealed; None without one."""
    place: int
    """This seat's among all, from 0, in order of joining; 0 without a seat or a need to wait."""
    owes_update: bool
    """This node's update is flagged, and not all of it is posted."""
    owes_result: Published | None
    """A part of this node's published result that is flagged and not completely posted."""
    reclaimable: str | None
    """A participant that never answered this node's flag: the deposit is free again."""
    withheld: str | None
    """A participant that did not open its commitment and still has its slice; this one first."""
    undistributed: int | None
    """A final round whose reward nobody divided."""
    seed_known: bool
    """The source has the seed that draws the latest round's seats."""
    recordable: int | None
    """The block whose header the source lacks for that seed, and could be shown."""
    relaying: Relaying | None
    """None without a relayer."""
    samples: int
    """How many this node trains on."""
    own_address: str
    wants_seat: bool
    restores: bool
    """This node pays the slice back that suspended its seat."""
    watches: bool
    """This node trains nothing and needs no seat: it verifies and challenges."""
    drives: bool
    """This node also does what anybody may for a task, when it is due."""
    challenges: bool
    """This node proves wrong results wrong."""
    flags: bool
    """This node says on chain, with a deposit, what cannot be fetched."""
    publishes: bool
    """This node publishes a result, with a bond, where the aggregator did not."""


def decide(facts: Facts) -> Action:
    """The one next action; asking again with the same facts gives the same answer."""
    action = _next(facts)
    if isinstance(action, Verify):
        # What is voted for is known, while what is to be verified may be nowhere any more.
        vote, ends = _vote(facts), rounds.deadlines(facts.params, facts.round_state)
        if isinstance(vote, Vote) and facts.now >= ends.flag_result:
            return vote
    for less_urgent in (_vote, _whenever):
        if not isinstance(action, Wait):
            break
        action = _instead(action, less_urgent(facts))
    return action


def own_turn(begins: int, ends: int, *, taken: bool) -> int:
    """When a node sends by itself what a relayer had two thirds of a phase for.

    A relayer sends its last batch at that moment: one that took it gets a twelfth more.
    """
    return begins + (ends - begins) * (9 if taken else 8) // 12


def _instead(waiting: Wait, action: Action | None) -> Action:
    """What to do while there is nothing else; of two that wait the shorter wait."""
    if not isinstance(action, Wait):
        return action or waiting
    untils = [until for until in (waiting.until, action.until) if until is not None]
    return Wait(min(untils, default=None), waiting.why)


def _vote(facts: Facts) -> Vote | Wait | None:
    """A vote, unless enough others have cast the same."""
    # What this node refused must be outvoted, also where more lie than the task tolerates.
    against = facts.round_state.votes + 1 if facts.mismatch else 0
    enough = max(facts.params.votes_needed, against)
    if facts.votes_alike is None or facts.votes_alike >= enough:
        return None
    # Invariant: every seat's turn comes before a result that is published at once can be final.
    begins = rounds.deadlines(facts.params, facts.round_state).availability
    window_seconds = min(facts.params.aggregate_seconds, facts.params.challenge_seconds)
    return _in_turn(facts, Vote(), begins, begins + window_seconds)


def _whenever(facts: Facts) -> Action | None:
    """What can wait for anything else."""
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
    return _in_turn(facts, duty, since, since + facts.params.commit_seconds)


def _next(facts: Facts) -> Action:
    latest = facts.task.round
    phase = rounds.phase(facts.params, facts.round_state, facts.now)
    answer = _answer(facts, phase)
    if answer is not None:
        return answer
    contest = _contest(facts, phase) if facts.mismatch else None
    if contest is not None and not isinstance(contest, Wait):
        return contest
    scoring = _scoring(facts, latest)
    if scoring is not None:
        return scoring
    if contest is not None:
        return contest
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


def _answer(facts: Facts, phase: Phase) -> Action | None:
    """What a flag asks of this node, which nobody else may be able to give."""
    if phase is Phase.AVAILABILITY and facts.owes_update:
        return PostUpdate()
    ends = rounds.deadlines(facts.params, facts.round_state)
    in_time = phase is Phase.CHALLENGE and facts.now < ends.post_result
    if in_time and facts.owes_result is not None:
        return PostResult(facts.owes_result)
    return None


def _contest(facts: Facts, phase: Phase) -> Action:
    dispute = facts.dispute
    if phase is not Phase.CHALLENGE or dispute is None or not facts.challenges:
        return Wait(None, f"refusing to go on: {facts.mismatch}")
    ends = rounds.deadlines(facts.params, facts.round_state)
    published_at = facts.round_state.published_at
    if dispute.provable:
        left_seconds = ends.challenge - facts.now
        hurries = left_seconds * LAST_PART_FOR_SEALS < facts.params.challenge_seconds
        proof = Challenge() if dispute.sealed or hurries else Seal()
        return _in_turn(facts, proof, published_at, ends.challenge)
    if dispute.outvoted:
        return _in_turn(facts, RefuteOutvoted(), published_at, ends.challenge)
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    if dispute.for_votes:
        return Wait(until, f"it is for votes to refute: {facts.mismatch}")
    if not dispute.flagged and facts.flags and facts.now < ends.flag_result:
        return _in_turn(facts, FlagResult(dispute.wrong), published_at, ends.flag_result)
    if dispute.flagged and not dispute.answered:
        if facts.now >= ends.post_result:
            refutation = RefuteUnavailable(dispute.wrong)
            return _in_turn(facts, refutation, ends.post_result, ends.challenge)
        return Wait(ends.post_result, f"its publisher must post it: {facts.mismatch}")
    return Wait(until, f"refusing to go on: {facts.mismatch}")


def _in_turn(facts: Facts, action: Turn, begins: int, ends: int) -> Turn | Wait:
    """One seat after another in the first part of a window; the first may have done it for all."""
    delay_seconds = (ends - begins) * facts.place // (STAGGERED_PART * max(facts.task.seats, 1))
    if facts.now >= begins + delay_seconds:
        return action
    named = f": {facts.mismatch}" if facts.mismatch else ""
    return Wait(begins + delay_seconds, f"seats before this one may do it first{named}")


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
        return _in_availability(facts, until)
    if phase is Phase.AGGREGATE and facts.publishes:
        return _in_aggregate(facts)
    if phase in (Phase.CHALLENGE, Phase.FINAL) and not _is_verified(facts):
        return Verify()
    if phase in (Phase.NONE, Phase.FINAL, Phase.VOID):
        return _between_rounds(facts, phase)
    return Wait(until, f"round {facts.task.round} is in {phase.name.lower()}")


def _in_availability(facts: Facts, until: int | None) -> Action:
    params, number = facts.params, facts.task.round
    if facts.false_norm is not None and facts.challenges:
        return _against_norm(facts, sealed=facts.false_norm)
    if not facts.flags or not rounds.can_flag_update(params, facts.round_state, facts.now):
        return Wait(until, f"round {number}: flagged updates may be posted")
    patient = rounds.patient_until(params, facts.round_state)
    if facts.now < patient:
        return Wait(patient, f"round {number}: updates are being fetched")
    if facts.unfetched is not None:
        ends = rounds.deadlines(params, facts.round_state)
        return _in_turn(facts, FlagUpdate(facts.unfetched), patient, ends.flag_update)
    return Wait(until, f"round {number}: what is not flagged was fetched")


def _against_norm(facts: Facts, *, sealed: bool) -> Action:
    """A proof, in the time for flags: it excludes the update as a flag does, and for good."""
    ends = rounds.deadlines(facts.params, facts.round_state)
    left_seconds = ends.availability - facts.now
    hurries = left_seconds * LAST_PART_FOR_SEALS < facts.params.availability_seconds
    proof = ChallengeNorm() if sealed or hurries else SealNorm()
    return _in_turn(
        facts, proof, rounds.patient_until(facts.params, facts.round_state), ends.flag_update
    )


def _in_aggregate(facts: Facts) -> Action:
    first = facts.params.aggregator
    head_start = rounds.deadlines(facts.params, facts.round_state).aggregator
    others = {ZERO_ADDRESS, facts.own_address.lower()}
    if first.lower() not in others and facts.now < head_start:
        return Wait(head_start, f"{first} may publish round {facts.task.round} first")
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
        return _relayed(facts, relaying, window, by_relayer=RelayCommit(), by_itself=Commit())
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
    return _relayed(facts, facts.relaying, window, by_relayer=RelayReveal(), by_itself=Reveal())


def _relayed(
    facts: Facts,
    relaying: Relaying,
    window: tuple[int, int],
    *,
    by_relayer: Action,
    by_itself: Action,
) -> Action:
    """The relayer's turn in a phase, and then this node's own."""
    turn, number = own_turn(*window, taken=relaying.taken), facts.task.round
    if facts.now >= turn and relaying.affords:
        return by_itself
    if not relaying.taken and facts.now >= relaying.ask_from:
        return by_relayer
    until = window[1] if relaying.taken else min(window[1], relaying.ask_from)
    if facts.now < turn:
        has = "has" if relaying.taken else "did not take"
        why = f"round {number}: the relayer {has} what is to be sent; its time ends at {turn}"
        return Wait(min(until, turn), why)
    return Wait(until, f"round {number}: the relayer sent nothing, and gas cannot be paid")


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
