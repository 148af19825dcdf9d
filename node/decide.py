"""What a node does next: a pure function of the chain's facts and its own memory."""

from dataclasses import dataclass

from protocol import rounds
from protocol.task import (
    ZERO_ADDRESS,
    Phase,
    Published,
    RoundState,
    Seat,
    TaskParams,
    TaskState,
)

# A sealed challenge takes a block more than an open one, which only burns the bond. With less of
# the window left than this part of it, an open one in time is worth more than an award.
LAST_PART_FOR_SEALS = 6
# Servers get this part of the availability window before what they lack is flagged.
PATIENT_PART = 4


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


@dataclass(frozen=True)
class Facts:
    """What one tick knows: the chain at one block, and what this node remembers."""

    params: TaskParams
    task: TaskState
    round_state: RoundState
    """The latest round; blank before the first."""
    seat: Seat
    now: int
    committed: bool
    """The seat's commitment in the latest round is the one to this node's pending update."""
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
    owes_update: bool
    """This node's update is flagged, and not all of it is posted."""
    owes_result: Published | None
    """A part of this node's published result that is flagged and not completely posted."""
    reclaimable: str | None
    """A participant that never answered this node's flag: the deposit is free again."""
    own_address: str
    wants_seat: bool
    watches: bool
    """This node trains nothing and needs no seat: it verifies and challenges."""
    drives: bool
    """This node also opens and settles rounds when they are due."""
    challenges: bool
    """This node proves wrong results wrong."""
    flags: bool
    """This node says on chain, with a deposit, what cannot be fetched."""
    publishes: bool
    """This node publishes a result, with a bond, where the aggregator did not."""


@dataclass(frozen=True)
class Join:
    """Take a seat."""


@dataclass(frozen=True)
class Commit:
    """Train if that has not been done for this round, and commit to the update."""


@dataclass(frozen=True)
class Reveal:
    """Make the update public and open the commitment."""


@dataclass(frozen=True)
class Verify:
    """Recompute the published result of the latest round."""


@dataclass(frozen=True)
class FlagUpdate:
    """Say that a revealed update cannot be fetched."""

    index: int
    """Its place in order of reveal."""


@dataclass(frozen=True)
class PostUpdate:
    """Put the next part of this node's flagged update on chain."""


@dataclass(frozen=True)
class FlagResult:
    """Say that a part of the published result cannot be fetched."""

    what: Published


@dataclass(frozen=True)
class PostResult:
    """Put the next piece of this node's flagged result on chain."""

    what: Published


@dataclass(frozen=True)
class RefuteUnavailable:
    """Refute a result whose flagged part was not posted in time."""

    what: Published


@dataclass(frozen=True)
class Seal:
    """Announce the proof that the published result is wrong."""


@dataclass(frozen=True)
class Challenge:
    """Prove the latest round's published result wrong."""


@dataclass(frozen=True)
class ReclaimDeposit:
    """Take back the deposit of a flag that was never answered."""

    participant: str


@dataclass(frozen=True)
class Publish:
    """Compute the latest round's result and publish it with the bond."""


@dataclass(frozen=True)
class Drive:
    """Call a permissionless function that moves the task on."""

    function: str


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until` (None: before somebody else acts)."""

    until: int | None
    why: str


Action = (
    Join
    | Commit
    | Reveal
    | FlagUpdate
    | PostUpdate
    | Publish
    | Verify
    | FlagResult
    | PostResult
    | RefuteUnavailable
    | Seal
    | Challenge
    | ReclaimDeposit
    | Drive
    | Wait
)


def decide(facts: Facts) -> Action:
    """The one next action; asking again with the same facts gives the same answer."""
    action = _next(facts)
    # The deposit waits for ever; nothing else does.
    if isinstance(action, Wait) and facts.reclaimable is not None:
        return ReclaimDeposit(facts.reclaimable)
    return action


def patient_until(params: TaskParams, round_state: RoundState) -> int:
    """When what a round's servers still lack is flagged."""
    ends = rounds.deadlines(params, round_state)
    return ends.reveal + params.availability_seconds // PATIENT_PART


def _next(facts: Facts) -> Action:
    latest = facts.task.round
    phase = rounds.phase(facts.params, facts.round_state, facts.now)
    answer = _answer(facts, phase)
    if answer is not None:
        return answer
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    if facts.mismatch:
        return _contest(facts, phase)
    if facts.watches:
        return _after_reveal(facts, phase, until)
    if facts.seat.active_from == 0:
        return _without_seat(facts, until)
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
    if dispute.provable:
        left_seconds = ends.challenge - facts.now
        hurries = left_seconds * LAST_PART_FOR_SEALS < facts.params.challenge_seconds
        return Challenge() if dispute.sealed or hurries else Seal()
    if not dispute.flagged and facts.flags and facts.now < ends.flag_result:
        return FlagResult(dispute.wrong)
    if dispute.flagged and not dispute.answered:
        if facts.now >= ends.post_result:
            return RefuteUnavailable(dispute.wrong)
        return Wait(ends.post_result, f"its publisher must post it: {facts.mismatch}")
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    return Wait(until, f"refusing to go on: {facts.mismatch}")


def _after_reveal(facts: Facts, phase: Phase, until: int | None) -> Action:
    if phase is Phase.AVAILABILITY:
        return _in_availability(facts, until)
    if phase is Phase.AGGREGATE and facts.publishes:
        return _in_aggregate(facts)
    if phase in (Phase.CHALLENGE, Phase.FINAL) and not _is_verified(facts):
        return Verify()
    if phase in (Phase.NONE, Phase.FINAL, Phase.VOID):
        return _between_rounds(facts, phase)
    return Wait(until, f"round {facts.task.round} is in {phase.name}")


def _in_availability(facts: Facts, until: int | None) -> Action:
    params, number = facts.params, facts.task.round
    if not facts.flags or not rounds.can_flag_update(params, facts.round_state, facts.now):
        return Wait(until, f"round {number}: flagged updates may be posted")
    patient = patient_until(params, facts.round_state)
    if facts.now < patient:
        return Wait(patient, f"round {number}: updates are being fetched")
    if facts.unfetched is not None:
        return FlagUpdate(facts.unfetched)
    return Wait(until, f"round {number}: what is not flagged was fetched")


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


def _without_seat(facts: Facts, until: int | None) -> Action:
    is_over = (
        facts.task.closed
        or facts.now >= facts.params.closes_at
        or facts.task.round >= facts.params.rounds
    )
    if is_over:
        return Wait(None, "the task takes no more participants")
    if not facts.wants_seat:
        return Wait(until, "this node has no seat and was not told to take one")
    if facts.task.seats >= facts.params.cohort:
        return Wait(until, f"all {facts.params.cohort} seats are taken")
    return Join()


def _in_commit(facts: Facts, latest: int, until: int | None) -> Action:
    if facts.seat.active_from > latest:
        return Wait(until, f"this seat may act from round {facts.seat.active_from}")
    if not facts.committed:
        return Commit()
    return Wait(until, f"committed in round {latest}; reveals open next")


def _in_reveal(facts: Facts, latest: int, until: int | None) -> Action:
    if facts.seat.revealed_round == latest:
        return Wait(until, f"revealed in round {latest}")
    if facts.seat.committed_round != latest:
        return Wait(until, f"did not commit in round {latest}")
    if not facts.committed:
        return Wait(until, f"the commitment of round {latest} opens to an update this node lacks")
    return Reveal()


def _between_rounds(facts: Facts, phase: Phase) -> Action:
    if facts.drives and rounds.can_open(facts.params, facts.task, facts.round_state, facts.now):
        return Drive("openRound")
    if facts.drives and phase is not Phase.NONE and not facts.round_state.settled:
        return Drive("finalise" if phase is Phase.FINAL else "voidRound")
    return Wait(None, "no round is running")
