"""What the orchestrator does next in one task, as a pure function of the facts at one block."""

from dataclasses import dataclass

from protocol import rounds
from protocol.task import ZERO_ADDRESS, Phase, Published, RoundState, TaskParams, TaskState

# Servers get this part of the availability window before what they lack is flagged.
PATIENT_PART = 4


@dataclass(frozen=True)
class Facts:
    """Everything a decision rests on; `round_state` is the latest round's, or an empty one."""

    params: TaskParams
    task_state: TaskState
    round_state: RoundState
    now: int
    """Timestamp of the block that the facts were read at."""
    own_address: str | None
    """None in a dry run: nothing can be sent."""
    open_rounds: bool
    flags: bool = True
    """Say on chain, with a deposit, which updates cannot be fetched."""
    missing: tuple[str, ...] = ()
    """What a result cannot be computed without and could not be fetched, in words."""
    unfetched: int | None = None
    """Place, in order of reveal, of an included update that is missing or not what it must be."""
    owes_result: Published | None = None
    """A part of the own published result that is flagged and may still be posted."""
    reclaimable: str | None = None
    """A participant that never answered the own flag: the deposit is free again."""


@dataclass(frozen=True)
class OpenRound:
    """Open round `round`, which settles the one before it."""

    round: int


@dataclass(frozen=True)
class FlagUpdate:
    """Say that update `index` of round `round`, in order of reveal, cannot be fetched."""

    round: int
    index: int


@dataclass(frozen=True)
class Publish:
    """Compute and publish the result of round `round` before `until`."""

    round: int
    until: int


@dataclass(frozen=True)
class PostResult:
    """Put the next piece of the own flagged result of round `round` on chain."""

    round: int
    what: Published


@dataclass(frozen=True)
class ReclaimDeposit:
    """Take back the deposit of a flag that `participant` never answered."""

    round: int
    """The latest round."""
    participant: str


@dataclass(frozen=True)
class Finalise:
    """Settle round `round`, whose result stands."""

    round: int


@dataclass(frozen=True)
class VoidRound:
    """Settle round `round`, which ended without a result."""

    round: int


@dataclass(frozen=True)
class Wait:
    """Nothing to send before `until` (None: until something changes), for the reason `why`."""

    until: int | None
    why: str


Sent = OpenRound | FlagUpdate | Publish | PostResult | ReclaimDeposit | Finalise | VoidRound
Action = Sent | Wait


def decide(facts: Facts) -> Action:
    """The one action that the task needs from the orchestrator now."""
    wanted = _wanted(facts)
    # The deposit waits for ever; nothing else does.
    if isinstance(wanted, Wait) and facts.reclaimable is not None:
        wanted = ReclaimDeposit(facts.task_state.round, facts.reclaimable)
    if facts.own_address is None and not isinstance(wanted, Wait):
        deadline = rounds.next_deadline(facts.params, facts.round_state, facts.now)
        return Wait(deadline, f"dry run: would {_in_words(wanted)}")
    return wanted


def _wanted(facts: Facts) -> Action:
    if facts.task_state.closed:
        return Wait(None, "the task is closed")
    current = rounds.phase(facts.params, facts.round_state, facts.now)
    if current in rounds.WITHOUT_RUNNING_ROUND:
        return _between_rounds(facts, current)
    if current == Phase.AVAILABILITY:
        return _availability(facts)
    if current == Phase.AGGREGATE:
        return _aggregate(facts)
    if facts.owes_result is not None:
        return PostResult(facts.task_state.round, facts.owes_result)
    deadline = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    return Wait(deadline, f"round {facts.task_state.round} is in {current.name.lower()}")


def _between_rounds(facts: Facts, current: Phase) -> Action:
    task_state, number = facts.task_state, facts.task_state.round
    # Opening settles the round before it, so it comes first: one transaction instead of two.
    if facts.open_rounds and rounds.can_open(
        facts.params, task_state, facts.round_state, facts.now
    ):
        return OpenRound(number + 1)
    if current != Phase.NONE and not facts.round_state.settled:
        return Finalise(number) if current == Phase.FINAL else VoidRound(number)
    return Wait(None, _why_no_round_opens(facts))


def _why_no_round_opens(facts: Facts) -> str:
    params, task_state = facts.params, facts.task_state
    if task_state.round >= params.rounds:
        return f"all {params.rounds} rounds were opened"
    if facts.now >= params.closes_at:
        return f"no round opens since {params.closes_at}"
    if task_state.seats < params.quorum:
        return f"{task_state.seats} seats taken, quorum is {params.quorum}"
    return f"round {task_state.round + 1} is for somebody else to open"


def patient_until(params: TaskParams, round_state: RoundState) -> int:
    """When what a round's servers still lack is flagged."""
    ends = rounds.deadlines(params, round_state)
    return ends.reveal + params.availability_seconds // PATIENT_PART


def _availability(facts: Facts) -> Action:
    number = facts.task_state.round
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    lacks = f", lacking {', '.join(facts.missing)}" if facts.missing else ""
    if facts.flags and rounds.can_flag_update(facts.params, facts.round_state, facts.now):
        patient = patient_until(facts.params, facts.round_state)
        if facts.now < patient:
            return Wait(patient, f"round {number} is in availability{lacks}")
        if facts.unfetched is not None:
            return FlagUpdate(number, facts.unfetched)
    return Wait(until, f"round {number} is in availability{lacks}")


def _aggregate(facts: Facts) -> Action:
    params, number = facts.params, facts.task_state.round
    ends = rounds.deadlines(params, facts.round_state)
    own = (facts.own_address or "").lower()
    if params.aggregator.lower() not in {ZERO_ADDRESS, own} and facts.now < ends.aggregator:
        return Wait(ends.aggregator, f"{params.aggregator} may publish round {number} first")
    if facts.missing:
        return Wait(ends.aggregate, f"round {number} lacks {', '.join(facts.missing)}")
    return Publish(number, ends.aggregate)


def _in_words(action: Sent) -> str:
    verbs = {
        OpenRound: "open",
        FlagUpdate: "flag an update of",
        Publish: "publish",
        PostResult: "post the result of",
        ReclaimDeposit: "reclaim a deposit in",
        Finalise: "finalise",
        VoidRound: "void",
    }
    return f"{verbs[type(action)]} round {action.round}"
