"""Whether what a participant hands in can be relayed, by the facts of the latest tick alone."""

from typing import NamedTuple

from orchestrator.reading import TaskReading
from orchestrator.relay_store import RelayedOpening
from protocol.commitment import stored_commitment, update_commitment
from protocol.errors import VerificationFailed
from protocol.recompute import Result
from protocol.signing import Signature, SignedCommit, SigningDomain
from protocol.state import Phase
from protocol.sumtree import root_hash


class Refusal(NamedTuple):
    """Why something is not relayed, with the HTTP status that says so."""

    status: int
    why: str


def check_commit(
    reading: TaskReading, domain: SigningDomain, participant: str, signed: SignedCommit
) -> Refusal | None:
    """Why a signed commitment is not relayed; it may come as soon as its round is open."""
    refusal = _check_place(reading, domain.round_number, {Phase.SELECTION, Phase.COMMIT})
    if refusal is not None:
        return refusal
    why = reading.why_not_commit(participant)
    if why is not None:
        return Refusal(403, why)
    if not any(stored_commitment(signed.commitment)):
        return Refusal(422, "the contract takes no commitment whose low 28 bytes are zero")
    try:
        signer = domain.signer(signed)
    except VerificationFailed as failure:
        return Refusal(403, str(failure))
    if signer != participant:
        return Refusal(403, f"{signer} signed this commitment, not {participant}")
    return None


def check_opening(
    reading: TaskReading, number: int, opening: RelayedOpening, *, chain_id: int, contract: str
) -> Refusal | None:
    """Why an opening is not relayed; before Reveal it is a secret that nobody should be told."""
    refusal = _check_place(reading, number, {Phase.REVEAL})
    if refusal is not None:
        return refusal
    seat, latest = reading.seats.get(opening.participant), reading.rounds[number - 1]
    if seat is None or not seat.committed_in(number):
        return Refusal(403, f"{opening.participant} has no commitment in round {number}")
    if seat.revealed_in(number):
        return Refusal(409, f"the update of {opening.participant} is revealed already")
    if latest.state.revealed >= reading.params.cohort:
        return Refusal(409, f"round {number} has its {reading.params.cohort} updates")
    if opening.squared_norm > reading.params.max_squared_norm:
        return Refusal(422, f"squared_norm must be at most {reading.params.max_squared_norm}")
    opened = update_commitment(
        chain_id=chain_id,
        contract=contract,
        task_id=reading.task_id,
        round_number=number,
        base_model_root=latest.base_model_root,
        participant=opening.participant,
        update_root=root_hash(reading.params.dimension, opening.squared_norm, opening.tree_top),
        squared_norm=opening.squared_norm,
        salt=opening.salt,
    )
    if stored_commitment(opened) != seat.commitment:
        return Refusal(422, f"this does not open the commitment of {opening.participant}")
    return None


def check_vote(
    reading: TaskReading,
    domain: SigningDomain,
    participant: str,
    found: Result,
    signature: Signature,
) -> Refusal | None:
    """Why a signed vote is not relayed; it may come before anything is published."""
    number = domain.round_number
    refusal = _check_place(reading, number, {Phase.AGGREGATE, Phase.CHALLENGE})
    if refusal is not None:
        return refusal
    if not reading.params.by_votes:
        return Refusal(409, "no votes judge the results of this task")
    why = why_not_vote(reading, participant)
    if why is not None:
        return Refusal(403, why)
    state = reading.rounds[number - 1].state
    if (found.updates_hash, found.unavailable) != (state.updates_hash, state.unavailable):
        return Refusal(409, f"it was computed from other updates than round {number} includes")
    if not any(found.aggregate_root) or not any(found.model_root):
        return Refusal(422, "the contract takes no root that is zero")
    try:
        signer = domain.voter(found, signature)
    except VerificationFailed as failure:
        return Refusal(403, str(failure))
    if signer != participant:
        return Refusal(403, f"{signer} signed this vote, not {participant}")
    return None


def why_not_vote(reading: TaskReading, participant: str) -> str | None:
    """What keeps a participant from voting in the latest round, whatever its phase."""
    number, seat = reading.state.round, reading.seats.get(participant)
    included = () if reading.latest is None else reading.latest.included
    if seat is None or participant not in {each.participant for each in included}:
        return f"{participant} has no included update in round {number}"
    if seat.voted_round == number:
        return f"{participant} has voted in round {number}"
    return None


def _check_place(reading: TaskReading, number: int, phases: set[Phase]) -> Refusal | None:
    latest = reading.latest
    if latest is None or number != latest.number:
        return Refusal(409, f"round {number} is not the latest one, {reading.state.round}")
    if latest.phase not in phases:
        return Refusal(409, f"round {number} is in {latest.phase.name.lower()}")
    return None
