"""The facts that the contract keeps, as frozen values in the order of the Solidity structs.

Addresses are hex strings, hashes are 32 bytes, times are seconds since 1970, money is in the
smallest unit of the task's currency, `wei` for short.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from enum import IntEnum, IntFlag
from typing import ClassVar

from protocol.errors import ConfigError
from protocol.sumtree import depth_of

ZERO_ADDRESS = "0x" + "00" * 20
ZERO_HASH = bytes(32)

# The ranges of a task's parameters; their reasons stand in contracts/src/libraries/ParamsLib.sol.
MAX_COHORT = 64
MAX_SEATS = 2**16 - 1
MAX_SHIFT = 31
CHUNK_LENGTH_STEP = 16
MAX_CHUNK_LENGTH = 512
MAX_PHASE_SECONDS = 365 * 86_400
MAX_TASK_SECONDS = 10 * MAX_PHASE_SECONDS
# Levels of a table of inner products, which is posted in at most 16 parts then.
MAX_TABLE_HEIGHT = 16
# Refutations after which a round is void; each cost somebody a bond.
MAX_REFUTATIONS = 8
# Both halves of `score_seconds` must have a second.
LEAST_SCORE_SECONDS = 2
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


class PreSteps(IntFlag):
    """What is done to the updates before the rule, in this order; defined in `protocol.rules`."""

    NONE = 0
    ARC = 1
    NNM = 2


class Rule(IntEnum):
    """How revealed updates are combined; defined in `protocol.rules`."""

    MEAN = 0
    CLIPPED_MEAN = 1
    MEDIAN = 2
    TRIMMED_MEAN = 3
    MULTI_KRUM = 4
    KRUM = 5
    BULYAN = 6
    MINIMUM_DIAMETER = 7
    GEOMETRIC_MEDIAN = 8
    CENTERED_CLIPPING = 9

    def most_liars(self, count: int, pre_steps: PreSteps = PreSteps.NONE) -> int:
        """How many of `count` updates may lie.

        None for a plain mean, a minority for every other rule and after any pre-step; Krum and
        multi-Krum need an honest majority and two more, Bulyan twice as many beyond three.
        """
        if self is Rule.MEAN and not pre_steps:
            return 0
        if self is Rule.BULYAN:
            return max(0, count - 3) // 4
        by_krum = self in {Rule.KRUM, Rule.MULTI_KRUM}
        return max(0, count - 3 if by_krum else count - 1) // 2

    @property
    def clips(self) -> bool:
        """Whether the rule has a clipping norm, the task's `clip_norm`."""
        return self in {Rule.CLIPPED_MEAN, Rule.CENTERED_CLIPPING}


class RewardRule(IntEnum):
    """How a final round's reward is divided among its included updates (`protocol.scores`)."""

    EQUAL = 0
    SAMPLES = 1
    SCORES = 2


class Offence(IntEnum):
    """What a stake is slashed for."""

    WITHHELD = 0
    EQUIVOCATION = 1
    FALSE_NORM = 2


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


class Privacy(IntEnum):
    """What participants hide from each other."""

    PLAIN = 0


@dataclass(frozen=True)
class TaskParams:
    """Everything that defines a task; hashed to its id."""

    model_spec_hash: bytes
    genesis_model_root: bytes
    dimension: int
    chunk_length: int
    """Coordinates per leaf of a tree; a multiple of 16."""
    shift: int
    """One unit of a coordinate is `2^-shift`."""
    rule: Rule
    tolerance: int
    """Liars that the rule is asked to tolerate, and every pre-step."""
    pre_steps: PreSteps
    privacy: Privacy
    quorum: int
    """Least number of included updates for a result."""
    cohort: int
    """Most updates that a round includes."""
    seats: int
    """Most seats; with more active ones than `cohort` each round draws."""
    drawn: int
    """How many of the active seats a draw is expected to choose."""
    seed_source: str
    """The contract whose seeds draw; the zero address exactly if `seats` equals `cohort`."""
    clip_norm: int
    """In units; for the rules that clip, zero for other ones."""
    max_squared_norm: int
    """Largest squared norm of an update, in squared units."""
    aggregator: str
    """May publish alone during `aggregator_seconds`; zero address: anybody may from the start."""
    selection_seconds: int
    commit_seconds: int
    reveal_seconds: int
    availability_seconds: int
    aggregator_seconds: int
    """The aggregator's head start inside `aggregate_seconds`."""
    aggregate_seconds: int
    challenge_seconds: int
    score_seconds: int
    """For scores, from the end of Availability; zero exactly if the rewards need none."""
    rounds: int
    """Most rounds, void ones included."""
    closes_at: int
    """No round opens at or after this time."""
    currency: str
    """An ERC-20 token; the zero address for ETH."""
    stake_wei: int
    slice_wei: int
    """Of a stake, lost for a commitment that is not opened, or two that were signed."""
    bond_wei: int
    flag_wei: int
    """Deposit of whoever flags bytes as unavailable; goes to who posts them."""
    reward_wei: int
    """Per final round, for its included updates."""
    publisher_wei: int
    """Per final round, for who published it."""
    reward_rule: RewardRule
    min_samples: int
    """Least samples that a participant declares."""
    sample_cap: int
    """Most samples that count; zero exactly if the rewards do not depend on them."""
    max_missed: int
    """A seat suspended after more commitments not opened than this stays so."""
    salt: bytes

    ABI_TYPE: ClassVar[str] = (
        "(bytes32,bytes32,uint32,uint16,uint8,uint8,uint8,uint8,uint8,uint8,uint8,uint16,uint8,"
        "address,uint64,uint64,address,uint32,uint32,uint32,uint32,uint32,uint32,uint32,uint32,"
        "uint32,uint64,address,uint96,uint96,uint96,uint96,uint96,uint96,uint8,uint32,uint32,uint8,"
        "bytes32)"
    )

    @classmethod
    def default(
        cls, *, model_spec_hash: bytes, genesis_model_root: bytes, dimension: int, closes_at: int
    ) -> "TaskParams":
        """Ten rounds of a minute for five desks, of whom one may lie.

        Change any of it with `dataclasses.replace`.
        """
        return cls(
            model_spec_hash=model_spec_hash,
            genesis_model_root=genesis_model_root,
            dimension=dimension,
            chunk_length=256,
            shift=16,
            rule=Rule.TRIMMED_MEAN,
            tolerance=1,
            pre_steps=PreSteps.NONE,
            privacy=Privacy.PLAIN,
            quorum=3,
            cohort=5,
            seats=5,
            drawn=5,
            seed_source=ZERO_ADDRESS,
            clip_norm=0,
            max_squared_norm=2**48,  # a norm of 256 at this shift
            aggregator=ZERO_ADDRESS,
            selection_seconds=5,
            commit_seconds=20,
            reveal_seconds=10,
            availability_seconds=20,
            aggregator_seconds=10,
            aggregate_seconds=20,
            challenge_seconds=30,
            score_seconds=0,
            rounds=10,
            closes_at=closes_at,
            currency=ZERO_ADDRESS,
            stake_wei=10**16,
            slice_wei=10**15,
            bond_wei=10**16,
            flag_wei=10**15,
            reward_wei=10**15,
            publisher_wei=0,
            reward_rule=RewardRule.EQUAL,
            min_samples=0,
            sample_cap=0,
            max_missed=3,
            salt=ZERO_HASH,
        )

    @classmethod
    def from_abi(cls, values: Sequence[object]) -> "TaskParams":
        """The parameters that `abi_tuple` gives, as an ABI decoder returns them."""
        params = cls(*values)  # type: ignore[arg-type]  # the decoder checked every type
        return replace(
            params,
            rule=Rule(params.rule),
            pre_steps=PreSteps(params.pre_steps),
            privacy=Privacy(params.privacy),
            reward_rule=RewardRule(params.reward_rule),
        )

    def abi_tuple(self) -> tuple[object, ...]:
        """The values for `ABI_TYPE`."""
        return astuple(self)

    @property
    def rule_in_words(self) -> str:
        """The pre-steps and the rule by their names in `protocol.rules`, joined by plus signs."""
        steps = [step.name for step in self.pre_steps]
        return "+".join(str(name).lower() for name in (*steps, self.rule.name))

    @property
    def has_table(self) -> bool:
        """Whether updates are chosen by distance, which a table of inner products shows."""
        return self._is_by_distance and not self.by_votes

    @property
    def by_votes(self) -> bool:
        """Whether votes judge the results, because the contract cannot.

        It knows neither these rules, nor these pre-steps before these rules, nor tables that high.
        """
        if self.rule >= Rule.KRUM:
            return True
        if self.pre_steps and self.rule in {Rule.CLIPPED_MEAN, Rule.MULTI_KRUM}:
            return True
        return self._is_by_distance and self._table_height > MAX_TABLE_HEIGHT

    @property
    def votes_needed(self) -> int:
        """How many of a round's participants must find the same result: one more than may lie."""
        return self.tolerance + 1

    @property
    def _is_by_distance(self) -> bool:
        return PreSteps.NNM in self.pre_steps or self.rule is Rule.MULTI_KRUM

    @property
    def _table_height(self) -> int:
        """Of the table over a whole cohort."""
        pairs = self.cohort * (self.cohort + 1) // 2
        return depth_of(self.dimension, self.chunk_length) + (pairs - 1).bit_length()

    @property
    def may_draw(self) -> bool:
        """Whether rounds with more active seats than the cohort draw, with seeds of a source."""
        return self.seats > self.cohort

    @property
    def budget_wei(self) -> int:
        """What the sponsor pays when the task is created."""
        return self.rounds * (self.reward_wei + self.publisher_wei)

    def check(self, now: int | None = None) -> None:
        """Refuses what the contract would refuse, at time `now` if it is given.

        Raises: ConfigError naming the field, its range and its value.
        """
        types = self.ABI_TYPE.strip("()").split(",")
        for field, solidity_type in zip(fields(self), types, strict=True):
            _check_type(field.name, solidity_type, getattr(self, field.name))
        for name in ("model_spec_hash", "genesis_model_root"):
            if getattr(self, name) == ZERO_HASH:
                raise ConfigError(f"{name} must not be zero")
        for name, least, most in self._ranges(now):
            if least > most and name == "tolerance":
                raise ConfigError(
                    f"{name} must be at least {least}, and with a quorum of {self.quorum}"
                    f" {self.rule.name.lower()} can tolerate nobody; give a larger quorum"
                )
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f"{name} must be from {least} to {most}; found {getattr(self, name)}"
                )
        if self.chunk_length % CHUNK_LENGTH_STEP:
            raise ConfigError(
                f"chunk_length must be a multiple of {CHUNK_LENGTH_STEP}; found {self.chunk_length}"
            )
        if (self.seed_source != ZERO_ADDRESS) != self.may_draw:
            wanted = "a contract's address" if self.may_draw else "the zero address"
            raise ConfigError(
                f"seed_source must be {wanted} with {self.seats} seats and a cohort of "
                f"{self.cohort}; found {self.seed_source}"
            )

    def _ranges(self, now: int | None) -> tuple[tuple[str, int, int], ...]:
        clipped = self.rule.clips
        liars = self.rule.most_liars(self.quorum, self.pre_steps)
        # What is by votes is among these: no result counts by a single vote.
        least_liars = int(self.pre_steps != 0 or self.rule >= Rule.MULTI_KRUM)
        by_samples = self.reward_rule is RewardRule.SAMPLES
        by_scores = self.reward_rule is RewardRule.SCORES
        round_wei = (2**96 - 1) // max(self.rounds, 1)
        return (
            ("dimension", 1, 2**32 - 1),
            ("chunk_length", CHUNK_LENGTH_STEP, MAX_CHUNK_LENGTH),
            ("shift", 0, MAX_SHIFT),
            ("cohort", 1, MAX_COHORT),
            ("quorum", 1, self.cohort),
            ("seats", self.cohort, MAX_SEATS),
            ("drawn", self.quorum, self.cohort),
            ("pre_steps", 0, PreSteps.ARC | PreSteps.NNM),
            ("tolerance", least_liars, liars),
            ("clip_norm", int(clipped), (2**64 - 1) * clipped),
            ("max_squared_norm", 1, 2**64 - 1),
            ("selection_seconds", 0, MAX_PHASE_SECONDS),
            ("commit_seconds", 1, MAX_PHASE_SECONDS),
            ("reveal_seconds", 1, MAX_PHASE_SECONDS),
            ("availability_seconds", 0, MAX_PHASE_SECONDS),
            ("aggregate_seconds", 1, MAX_PHASE_SECONDS),
            ("aggregator_seconds", 0, self.aggregate_seconds),
            ("challenge_seconds", 0, MAX_PHASE_SECONDS),
            # Scores are known before the reward can be distributed.
            ("score_seconds", LEAST_SCORE_SECONDS * by_scores, self.challenge_seconds * by_scores),
            *(() if now is None else (("closes_at", now + 1, now + MAX_TASK_SECONDS),)),
            ("rounds", 1, 2**32 - 1),
            ("slice_wei", 0, self.stake_wei),
            ("reward_wei", 0, round_wei - self.publisher_wei),
            ("sample_cap", int(by_samples), (2**32 - 1) * by_samples),
        )


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


def _check_type(name: str, solidity_type: str, value: object) -> None:
    if solidity_type == "bytes32":
        fits = isinstance(value, bytes) and len(value) == 32
    elif solidity_type == "address":
        fits = isinstance(value, str) and _is_address(value)
    else:
        bits = int(solidity_type.removeprefix("uint"))
        fits = isinstance(value, int) and 0 <= value < 2**bits
    if not fits:
        raise ConfigError(f"{name} must be a {solidity_type}; found {value!r}")


def _is_address(value: str) -> bool:
    digits = value.removeprefix("0x")
    return len(digits) == 40 and set(digits.lower()) <= set("0123456789abcdef")
