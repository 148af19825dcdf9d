"""Whether what a participant hands in can be relayed, by the facts of the latest tick alone."""

from typing import NamedTuple

from orchestrator.reading import TaskReading
from orchestrator.relay_store import RelayedOpening
from protocol.commitment import stored_commitment, update_commitment
from protocol.errors import VerificationFailed
from protocol.signing import CommitDomain, SignedCommit
from protocol.sumtree import root_hash
from protocol.task import Phase


class Refusal(NamedTuple):
    """Why something is not relayed, with the HTTP status that says so."""

    status: int
    why: str


def check_commit(
    reading: TaskReading, domain: CommitDomain, participant: str, signed: SignedCommit
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


def _check_place(reading: TaskReading, number: int, phases: set[Phase]) -> Refusal | None:
    latest = reading.latest
    if latest is None or number != latest.number:
        return Refusal(409, f"round {number} is not the latest one, {reading.state.round}")
    if latest.phase not in phases:
        return Refusal(409, f"round {number} is in {latest.phase.name.lower()}")
    return None
