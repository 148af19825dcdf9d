"""What a node does next: a pure function of the chain's facts and its own memory."""

from dataclasses import dataclass

from protocol import rounds
from protocol.task import ZERO_ADDRESS, Phase, RoundState, Seat, TaskParams, TaskState


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
    provable: bool
    """The refused result is the latest round's, and the contract can be shown that it is wrong."""
    own_address: str
    wants_seat: bool
    watches: bool
    """This node trains nothing and needs no seat: it verifies and challenges."""
    drives: bool
    """This node also opens and settles rounds when they are due."""
    challenges: bool
    """This node proves wrong results wrong."""
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
class Challenge:
    """Prove the latest round's published result wrong."""


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


Action = Join | Commit | Reveal | Verify | Challenge | Publish | Drive | Wait


def decide(facts: Facts) -> Action:
    """The one next action; asking again with the same facts gives the same answer."""
    latest = facts.task.round
    phase = rounds.phase(facts.params, facts.round_state, facts.now)
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


def _contest(facts: Facts, phase: Phase) -> Action:
    if phase is Phase.CHALLENGE and facts.provable and facts.challenges:
        return Challenge()
    return Wait(None, f"refusing to go on: {facts.mismatch}")


def _after_reveal(facts: Facts, phase: Phase, until: int | None) -> Action:
    if phase is Phase.AGGREGATE and facts.publishes:
        return _in_aggregate(facts)
    if phase in (Phase.CHALLENGE, Phase.FINAL) and not _is_verified(facts):
        return Verify()
    if phase in (Phase.NONE, Phase.FINAL, Phase.VOID):
        return _between_rounds(facts, phase)
    return Wait(until, f"round {facts.task.round} is in {phase.name}")


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
