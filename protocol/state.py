"""What the contract keeps of a task, its rounds, seats and flags, and the words for it.

Facts are frozen values in the order of the Solidity structs, in the units of `protocol.task`.
"""

from dataclasses import dataclass
from enum import IntEnum

from protocol.task import ZERO_ADDRESS, ZERO_HASH

# Refutations after which a round is void; each cost somebody a bond.
MAX_REFUTATIONS = 8
# The round from which a suspended seat may commit: none.
SUSPENDED = 2**32 - 1


class Phase(IntEnum):
    """The states of a round, in the order in which time walks through them."""

    NONE = 0
    SELECTION = 1
    COMMIT = 2
    REVEAL = 3
    AVAILABILITY = 4
    AGGREGATE = 5
    CHALLENGE = 6
    FINAL = 7
    VOID = 8


class Published(IntEnum):
    """What of a published result can be flagged: its two vectors, and the table if there is one."""

    AGGREGATE = 0
    MODEL = 1
    TABLE = 2


class Fault(IntEnum):
    """Why a published result was refuted."""

    AGGREGATE = 0
    MODEL = 1
    AGGREGATE_UNAVAILABLE = 2
    MODEL_UNAVAILABLE = 3
    PRODUCT = 4
    CHOICE = 5
    TABLE_UNAVAILABLE = 6
    OUTVOTED = 7


class Offence(IntEnum):
    """What a stake is slashed for."""

    WITHHELD = 0
    EQUIVOCATION = 1
    FALSE_NORM = 2


@dataclass(frozen=True)
class TaskState:
    """A task's changing facts; no sponsor: no such task."""

    sponsor: str = ZERO_ADDRESS
    round: int = 0
    """Number of the latest round, counted from 1; zero before the first."""
    seats: int = 0
    """Seats taken, suspended ones included."""
    active: int = 0
    """Of these, those that the latest round could draw or take."""
    entering: int = 0
    """Those that become active with the next round."""
    pending: int = 0
    """Those that do with the one after it."""
    closed: bool = False
    ended: bool = False
    """Its sponsor lets no further round open."""
    draws: bool = False
    """The latest round takes only seats that are drawn."""
    by_votes: bool = False
    """For ever: `TaskParams.by_votes`, as the contract found it."""
    opened_block: int = 0
    """The block that opened the latest round that draws."""
    draw: bytes = ZERO_HASH
    """Of that round, see `protocol.draw`; zero until it is drawn."""
    funds_wei: int = 0
    """The sponsor's money that no round has spent."""
    model_root: bytes = ZERO_HASH
    """Root of the latest final model."""


@dataclass(frozen=True)
class RoundState:
    """A round's facts; phase and deadlines follow from them (`protocol.rounds`)."""

    opened_at: int = 0
    """Zero: no such round."""
    published_at: int = 0
    """Zero: nothing published, or what was published has been refuted."""
    restarted_at: int = 0
    """When the latest published result was refuted; zero: none was."""
    settled: bool = False
    """Its bond has been accounted for."""
    distributed: bool = False
    """And its reward."""
    active: int = 0
    """Number of active seats when it opened."""
    refutations: int = 0
    """Published results that were refuted."""
    result_flags: int = 0
    """Bit `Published.X`: that part of the published result was flagged, answered or not."""
    votes: int = 0
    """For what is published, in a task by votes."""
    most_votes: int = 0
    """That any result of the round has, published or not; what is refuted keeps its votes."""
    unavailable: int = 0
    """Bit i: revealed update i, from zero, is flagged and not posted, or its norm is false."""
    updates_hash: bytes = ZERO_HASH
    """Over the revealed updates (`protocol.commitment`); its last byte is their number."""
    aggregate_root: bytes = ZERO_HASH
    model_root: bytes = ZERO_HASH
    publisher: str = ZERO_ADDRESS
    bond_wei: int = 0
    """Locked by the publisher until settled or refuted."""
    evidence_hash: bytes = ZERO_HASH
    """Of the published table and choice (`protocol.commitment`); zero without them."""
    scores_hash: bytes = ZERO_HASH
    """Over the revealed scores (`protocol.scores`); its last byte is how many gave any."""

    @property
    def revealed(self) -> int:
        """Number of revealed updates."""
        return self.updates_hash[-1]

    @property
    def scored(self) -> int:
        """Number of participants who revealed scores."""
        return self.scores_hash[-1]

    @property
    def included(self) -> int:
        """Number of revealed updates that are not unavailable."""
        return self.revealed - self.unavailable.bit_count()

    def is_unavailable(self, index: int) -> bool:
        """Whether the revealed update of this index, in order of reveal, is not included."""
        return bool(self.unavailable >> index & 1)

    def is_flagged(self, what: Published) -> bool:
        """Whether somebody flagged this part of the published result."""
        return bool(self.result_flags >> what & 1)


@dataclass(frozen=True)
class Flag:
    """That somebody could not fetch bytes: the latest flag on an update or on a result's part."""

    round: int = 0
    """Zero: never flagged."""
    index: int = 0
    """Of the update, in order of reveal; of a result's part, its `Published`."""
    posted: int = 0
    """Number of parts posted so far."""
    flagger: str = ZERO_ADDRESS
    """Owns the deposit; zero: the flag was answered, or its deposit given back."""
    root: bytes = ZERO_HASH
    """What is to be posted."""


@dataclass(frozen=True)
class Seat:
    """One participant's place in a task; what it served, missed and declared outlives its stay."""

    stake_wei: int = 0
    reward_wei: int = 0
    """Distributed and not claimed."""
    active_from: int = 0
    """First round this seat may commit in; zero: no seat; `SUSPENDED`: none, until restored."""
    served: int = 0
    """Rounds whose reward was distributed with its update included."""
    missed: int = 0
    """Commitments that it did not open."""
    slashed: int = 0
    """Times that it was slashed."""
    committed_round: int = 0
    """Latest round committed in; zero: none since the seat was taken or suspended."""
    commitment: bytes = bytes(28)
    """Low 224 bits of that commitment; zero once it was opened."""
    samples: int = 0
    """Declared when the first seat was taken."""
    scored_round: int = 0
    """Latest round in which it committed to scores."""
    score_commitment: bytes = bytes(24)
    """Low 192 bits of that commitment; zero once it was opened."""
    voted_round: int = 0
    """Latest round in which it voted."""

    @property
    def suspended(self) -> bool:
        """Whether it lost a slice of its stake, so that it serves no round until restored."""
        return self.active_from == SUSPENDED

    def committed_in(self, round_number: int) -> bool:
        """Whether it is bound to an update of this round, revealed or not."""
        return 0 < round_number == self.committed_round

    def revealed_in(self, round_number: int) -> bool:
        """Whether it opened its commitment in this round."""
        return self.committed_in(round_number) and not any(self.commitment)


@dataclass(frozen=True)
class Deadlines:
    """When each phase of a round ends (exclusive), as far as the facts known now determine it."""

    selection: int = 0
    commit: int = 0
    reveal: int = 0
    availability: int = 0
    aggregator: int = 0
    """End of the aggregator's head start; once refuted, the time of that, for it is over."""
    aggregate: int = 0
    challenge: int = 0
    """Zero until something is published."""
    score_commit: int = 0
    """End of committing to scores; zero in a task without."""
    score_reveal: int = 0
    """End of revealing scores; zero in a task without."""
    flag_update: int = 0
    """End of the time to flag updates; what follows of the phase is left for posting them."""
    flag_result: int = 0
    """End of the time to flag a result; zero until something is published."""
    post_result: int = 0
    """End of the time to post a result; zero until something is published."""
