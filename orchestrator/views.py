"""The API's answers: hashes as 0x hex, amounts that may pass 2^53 as text, absence as null."""

from collections.abc import Mapping
from dataclasses import fields
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer

from protocol.task import PreSteps, TaskParams

Hash = Annotated[bytes, PlainSerializer(lambda value: "0x" + value.hex(), return_type=str)]
BigInt = Annotated[int, PlainSerializer(str, return_type=str)]


class View(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Block(View):
    """The block that an answer was read at."""

    number: int
    hash: Hash
    timestamp: int


class Next(View):
    """What the orchestrator did last and what it waits for."""

    acted: str | None
    wait_until: int | None
    why: str


class TaskSummary(View):
    """A task in a list."""

    id: Hash
    sponsor: str
    rule: str
    by_votes: bool
    """Whether votes judge its results, because the contract cannot."""
    round: int
    """Number of the latest round; zero before the first."""
    phase: str
    seats: int
    """Taken, suspended ones included."""
    active: int
    """Those that the latest round can take, or draw from."""
    closed: bool
    ended: bool
    """Its sponsor lets no further round open."""
    currency: str
    """Of all amounts, each in its smallest unit; the zero address means ETH."""
    model_root: Hash


class Draw(View):
    """How the seats of the latest round are drawn."""

    opened_block: int
    """The block that opened the round, whose seed draws."""
    draw: Hash | None
    """Seed and threshold; null until they are drawn."""
    drawn: tuple[str, ...]
    """The active seats that were drawn."""


class TaskDetail(TaskSummary):
    """A task with everything that defines it."""

    block: Block
    entering: int
    """Seats that become active with the next round."""
    pending: int
    """Seats that become active with the one after it."""
    draw: Draw | None
    """Null where the latest round takes every active seat."""
    funds_wei: BigInt
    params: Mapping[str, int | str]
    next: Next


class Deadlines(View):
    """When each phase ends (exclusive), in seconds since 1970."""

    selection: int
    commit: int
    reveal: int
    flag_update: int
    """Until then an update may be flagged, within the availability phase."""
    availability: int
    aggregator: int
    aggregate: int
    flag_result: int | None
    """Until then a result may be flagged, within the challenge phase."""
    post_result: int | None
    """Until then a flagged result may be posted."""
    challenge: int | None
    score_commit: int | None
    """Until then participants may commit to scores; null in a task without."""
    score_reveal: int | None
    """Until then they may reveal them."""


class Revealed(View):
    """A revealed update."""

    participant: str
    update_root: Hash
    squared_norm: BigInt
    available: bool
    """Whether its blob can be fetched here."""
    standing: Literal["included", "flagged", "excluded"]
    """Flagged, it may still be posted until the availability phase ends."""
    share_wei: BigInt | None
    """Of the round's reward; null until that is distributed."""
    scores: tuple[int, ...] | None
    """What its participant gave to every revealed update in turn, from 0 to 255."""


class ResultFlag(View):
    """Somebody's word that a vector of the published result cannot be fetched."""

    what: str
    """The vector, such as aggregate or model."""
    flagger: str | None
    """Whose deposit is on it; null once the vector was posted."""
    posted: int
    """Parts posted so far."""


class Votes(View):
    """A result that participants found."""

    aggregate_root: Hash
    model_root: Hash
    participants: tuple[str, ...]
    """Who voted for it, in order of the votes."""
    is_published: bool
    """Whether it is what was published last and not refuted."""


class Round(View):
    """One round."""

    number: int
    phase: str
    opened_at: int
    published_at: int | None
    restarted_at: int | None
    """When the latest published result was refuted."""
    refutations: int
    """How many published results were refuted."""
    deadlines: Deadlines
    base_model_root: Hash
    aggregate_root: Hash | None
    """Null while nothing is published, and in a void round whatever was."""
    model_root: Hash | None
    updates_hash: Hash
    publisher: str | None
    settled: bool
    distributed: bool
    """Whether its reward was divided."""
    bond_wei: BigInt
    committed: tuple[str, ...]
    revealed: tuple[Revealed, ...]
    included: int
    """Revealed updates that enter the result."""
    result_flags: tuple[ResultFlag, ...]
    votes: tuple[Votes, ...]
    """In a task by votes, whether what they are for was published or not."""
    evaluation: Mapping[str, float] | None


class Participant(View):
    """A seat of a task."""

    address: str
    stake_wei: BigInt
    reward_wei: BigInt
    active_from: int | None
    """First round that the seat may commit in; null while it is suspended."""
    committed_round: int | None
    revealed_rounds: int
    """In how many rounds the participant has revealed."""
    served: int
    """Rounds that paid it a reward."""
    missed: int
    """Commitments that it did not open."""
    slashed: int
    """Times that it was slashed."""
    samples: int
    """As it declared them."""


class ModelVersion(View):
    """The genesis model (round 0) or a final round's model."""

    round: int
    model_root: Hash
    aggregate_root: Hash | None
    available: bool
    blob: str
    """Where on this server the encoded model lies, if it is available."""
    evaluation: Mapping[str, float] | None


class Tasks(View):
    """Every task served here."""

    tasks: tuple[TaskSummary, ...]


class Rounds(View):
    """A page of a task's rounds, by number."""

    task: Hash
    total: int
    rounds: tuple[Round, ...]


class Participants(View):
    """A task's seats, in order of joining."""

    task: Hash
    participants: tuple[Participant, ...]


class Models(View):
    """A task's model versions, oldest first."""

    task: Hash
    models: tuple[ModelVersion, ...]


class RelayTask(View):
    """What the relay has to send in one task's latest round."""

    task: Hash
    round: int
    phase: str
    due_at: int | None
    """When what waits is sent; null if nothing does."""
    commits: tuple[str, ...]
    """Whose signed commitments wait."""
    openings: tuple[str, ...]
    """Whose openings wait."""
    votes: tuple[str, ...]
    """Whose signed votes wait; in Aggregate for a publication."""
    dropped: Mapping[str, str]
    """Whose entries the contract would refuse, and why."""
    equivocators: tuple[str, ...]
    """Who signed two commitments."""


class RelayPending(View):
    """Every task that is relayed here."""

    tasks: tuple[RelayTask, ...]


class Accepted(View):
    """That something handed in is on disk, or on the chain already."""

    accepted: Literal[True]


def shown_params(params: TaskParams) -> dict[str, int | str]:
    """A task's parameters by name."""
    return {field.name: _shown(field.name, getattr(params, field.name)) for field in fields(params)}


def _shown(name: str, value: int | str | bytes) -> int | str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, PreSteps):
        return "+".join(str(step.name).lower() for step in value)
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, int) and name.endswith(("_wei", "_norm")):
        return str(value)
    return value
