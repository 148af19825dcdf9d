"""What a node holds against updates and results, and how it answers what is said of its own."""

from node.actions import (
    Action,
    Challenge,
    ChallengeNorm,
    FlagResult,
    FlagUpdate,
    PostResult,
    PostUpdate,
    RefuteOutvoted,
    RefuteUnavailable,
    Seal,
    SealNorm,
    Wait,
)
from node.facts import Facts
from node.turns import in_turn
from protocol import rounds
from protocol.state import Phase

# A sealed challenge takes a block more than an open one, which only burns the bond. With less of
# the window left than this part of it, an open one in time is worth more than an award.
LAST_PART_FOR_SEALS = 6


def answer(facts: Facts, phase: Phase) -> Action | None:
    """What a flag asks of this node, which nobody else may be able to give."""
    if phase is Phase.AVAILABILITY and facts.owes_update:
        return PostUpdate()
    ends = rounds.deadlines(facts.params, facts.round_state)
    in_time = phase is Phase.CHALLENGE and facts.now < ends.post_result
    if in_time and facts.owes_result is not None:
        return PostResult(facts.owes_result)
    return None


def against_result(facts: Facts, phase: Phase) -> Action:
    """What a refused result asks of this node, which goes on from no such result."""
    dispute = facts.dispute
    if phase is not Phase.CHALLENGE or dispute is None or not facts.challenges:
        return Wait(None, f"refusing to go on: {facts.mismatch}")
    ends = rounds.deadlines(facts.params, facts.round_state)
    published_at = facts.round_state.published_at
    if dispute.provable:
        left_seconds = ends.challenge - facts.now
        hurries = left_seconds * LAST_PART_FOR_SEALS < facts.params.challenge_seconds
        proof = Challenge() if dispute.sealed or hurries else Seal()
        return in_turn(facts, proof, published_at, ends.challenge)
    if dispute.outvoted:
        return in_turn(facts, RefuteOutvoted(), published_at, ends.challenge)
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    if dispute.for_votes:
        return Wait(until, f"it is for votes to refute: {facts.mismatch}")
    known = (facts.params, facts.round_state, dispute.wrong)
    if facts.flags and rounds.can_flag_result(*known, facts.now):
        return in_turn(facts, FlagResult(dispute.wrong), published_at, ends.flag_result)
    if dispute.flag is not None and rounds.can_post_result(*known, dispute.flag, facts.now):
        return Wait(ends.post_result, f"its publisher must post it: {facts.mismatch}")
    if dispute.flag is not None and rounds.can_refute_unavailable(*known, dispute.flag, facts.now):
        refutation = RefuteUnavailable(dispute.wrong)
        return in_turn(facts, refutation, ends.post_result, ends.challenge)
    return Wait(until, f"refusing to go on: {facts.mismatch}")


def against_updates(facts: Facts, until: int | None) -> Action:
    """What revealed updates ask of this node while they may be flagged."""
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
        return in_turn(facts, FlagUpdate(facts.unfetched), patient, ends.flag_update)
    return Wait(until, f"round {number}: what is not flagged was fetched")


def _against_norm(facts: Facts, *, sealed: bool) -> Action:
    """A proof, in the time for flags: it excludes the update as a flag does, and for good."""
    ends = rounds.deadlines(facts.params, facts.round_state)
    left_seconds = ends.availability - facts.now
    hurries = left_seconds * LAST_PART_FOR_SEALS < facts.params.availability_seconds
    proof = ChallengeNorm() if sealed or hurries else SealNorm()
    return in_turn(
        facts, proof, rounds.patient_until(facts.params, facts.round_state), ends.flag_update
    )
