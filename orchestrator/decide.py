"""What the orchestrator does next in one task, as a pure function of the facts at one block."""

from dataclasses import dataclass

from orchestrator.relay_batches import Batch
from protocol import rounds
from protocol.recompute import Roots
from protocol.state import Phase, Published, RoundState, TaskState
from protocol.task import ZERO_ADDRESS, TaskParams


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
    seed_known: bool = False
    """The seats of the latest round can be drawn, for all that its seed's source knows."""
    recordable: int | None = None
    """The block whose header that source lacks, if it can be shown now."""
    outvoted_by: Roots | None = None
    """The result for which so many voted that they refute the one that somebody published."""
    batch: Batch | None = None
    """What the relay has to send now."""
    relay_until: int | None = None
    """When the relay has something to send."""
    equivocator: str | None = None
    """Who signed two commitments to the latest round and can lose a slice for it."""
    withholder: str | None = None
    """Who can lose a slice for a commitment that was not opened."""
    undistributed: int | None = None
    """The first final round whose reward lies undivided."""


@dataclass(frozen=True)
class OpenRound:
    """Open round `round`, which settles the one before it."""

    round: int


@dataclass(frozen=True)
class RecordSeed:
    """Show the source of the seed of round `round` the header of `block`, which it lacks."""

    round: int
    block: int


@dataclass(frozen=True)
class DrawSeats:
    """Draw the seats of round `round`."""

    round: int


@dataclass(frozen=True)
class SendBatch:
    """Send what participants of round `round` handed in."""

    round: int
    batch: Batch


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
class RefuteOutvoted:
    """Refute the published result of round `round` by the votes for `roots`."""

    round: int
    roots: Roots


@dataclass(frozen=True)
class ReclaimDeposit:
    """Take back the deposit of a flag that `participant` never answered."""

    round: int
    """The latest round."""
    participant: str


@dataclass(frozen=True)
class SlashEquivocation:
    """Show that `participant` signed two commitments to round `round`."""

    round: int
    participant: str


@dataclass(frozen=True)
class SlashWithheld:
    """Take the slice of `participant`, who did not open its latest commitment."""

    round: int
    """The latest round."""
    participant: str


@dataclass(frozen=True)
class Distribute:
    """Divide the reward of round `round`, which settles it if nobody did."""

    round: int


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


Sent = (
    OpenRound
    | RecordSeed
    | DrawSeats
    | SendBatch
    | SlashEquivocation
    | FlagUpdate
    | Publish
    | PostResult
    | RefuteOutvoted
    | Distribute
    | SlashWithheld
    | ReclaimDeposit
    | Finalise
    | VoidRound
)
Action = Sent | Wait


def decide(facts: Facts) -> Action:
    """The one action that the task needs from the orchestrator now."""
    wanted = _wanted(facts)
    if isinstance(wanted, Wait):
        wanted = _unhurried(facts) or wanted
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
    if current in {Phase.SELECTION, Phase.COMMIT, Phase.REVEAL}:
        return _early(facts, current)
    if current == Phase.AVAILABILITY:
        return _availability(facts)
    if current == Phase.AGGREGATE:
        return _aggregate(facts)
    return _challenge(facts, current)


def _challenge(facts: Facts, current: Phase) -> Action:
    number, batch = facts.task_state.round, facts.batch
    # Votes and bytes are due at the same time: at two thirds of the window seats vote themselves
    # and posting ends. Votes for one result are one transaction, and bytes are many.
    if batch is not None and _is_urgent(facts, batch):
        return SendBatch(number, batch)
    if facts.owes_result is not None:
        return PostResult(number, facts.owes_result)
    if facts.outvoted_by is not None:
        return RefuteOutvoted(number, facts.outvoted_by)
    if batch is not None:
        return SendBatch(number, batch)
    return _waiting_for_the_relay(facts, current)


def _is_urgent(facts: Facts, votes: Batch) -> bool:
    """Whether votes come before all else: enough for a result, which may save what is published.

    Those of liars, who may all find something else, hold up no bytes and no refutation.
    """
    if votes.found is None or votes.votes < facts.params.votes_needed:
        return False
    return facts.outvoted_by is None or votes.found.roots.are_published(facts.round_state)


def _early(facts: Facts, current: Phase) -> Action:
    number = facts.task_state.round
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    if rounds.can_draw(facts.params, facts.task_state, facts.round_state, facts.now):
        if facts.seed_known:
            return DrawSeats(number)
        if facts.recordable is not None:
            return RecordSeed(number, facts.recordable)
        return Wait(until, f"round {number} waits for the seed that draws its seats")
    # What others wait for comes before what earns an award.
    if facts.batch is not None:
        return SendBatch(number, facts.batch)
    if facts.equivocator is not None:
        return SlashEquivocation(number, facts.equivocator)
    return _waiting_for_the_relay(facts, current)


def _waiting_for_the_relay(facts: Facts, current: Phase) -> Wait:
    deadline = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    untils = [each for each in (deadline, facts.relay_until) if each is not None]
    number = facts.task_state.round
    return Wait(min(untils, default=None), f"round {number} is in {current.name.lower()}")


def _unhurried(facts: Facts) -> Sent | None:
    """What waits for ever, or almost: a withholder may serve again, which burns the whole slice."""
    number = facts.task_state.round
    if facts.withholder is not None:
        return SlashWithheld(number, facts.withholder)
    if facts.undistributed is not None:
        return Distribute(facts.undistributed)
    if facts.reclaimable is not None:
        return ReclaimDeposit(number, facts.reclaimable)
    return None


def _between_rounds(facts: Facts, current: Phase) -> Action:
    task_state, number = facts.task_state, facts.task_state.round
    # Opening settles the round before it, so it comes first: one transaction instead of two.
    if facts.open_rounds and rounds.can_open(
        facts.params, task_state, facts.round_state, facts.now
    ):
        return OpenRound(number + 1)
    if facts.undistributed == number:
        return Distribute(number)
    if current != Phase.NONE and not facts.round_state.settled:
        return Finalise(number) if current == Phase.FINAL else VoidRound(number)
    return Wait(None, _why_no_round_opens(facts))


def _why_no_round_opens(facts: Facts) -> str:
    params, task_state = facts.params, facts.task_state
    active = task_state.active + task_state.entering
    if task_state.ended:
        return "its sponsor lets no further round open"
    if task_state.round >= params.rounds:
        return f"all {params.rounds} rounds were opened"
    if facts.now >= params.closes_at:
        return f"no round opens since {params.closes_at}"
    if active < params.quorum:
        return f"{active} seats would be active, quorum is {params.quorum}"
    return f"round {task_state.round + 1} is for somebody else to open"


def _availability(facts: Facts) -> Action:
    number = facts.task_state.round
    until = rounds.next_deadline(facts.params, facts.round_state, facts.now)
    lacks = f", lacking {', '.join(facts.missing)}" if facts.missing else ""
    if facts.flags and rounds.can_flag_update(facts.params, facts.round_state, facts.now):
        patient = rounds.patient_until(facts.params, facts.round_state)
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
    if not rounds.can_publish(params, facts.round_state, facts.now):
        return Wait(facts.round_state.restarted_at + 1, f"round {number} was refuted just now")
    if facts.missing:
        return Wait(ends.aggregate, f"round {number} lacks {', '.join(facts.missing)}")
    return Publish(number, ends.aggregate)


def _in_words(action: Sent) -> str:
    verbs = {
        OpenRound: "open",
        RecordSeed: "record the header that draws the seats of",
        DrawSeats: "draw the seats of",
        SendBatch: "send what was handed in for",
        SlashEquivocation: "slash an equivocation in",
        FlagUpdate: "flag an update of",
        Publish: "publish",
        PostResult: "post the result of",
        RefuteOutvoted: "refute the outvoted result of",
        Distribute: "distribute the reward of",
        SlashWithheld: "slash a withheld commitment in",
        ReclaimDeposit: "reclaim a deposit in",
        Finalise: "finalise",
        VoidRound: "void",
    }
    return f"{verbs[type(action)]} round {action.round}"
