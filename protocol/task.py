"""What defines a task, as a frozen value in the order of the Solidity struct.

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
# Both halves of `score_seconds` must have a second.
LEAST_SCORE_SECONDS = 2


class PreSteps(IntFlag):
    """What is done to the updates before the rule, in this order; defined in `protocol.rules`."""

    NONE = 0
    ARC = 1
    NNM = 2


class Rule(IntEnum):
    """How revealed updates are combined; defined in `protocol.rules`.

    The ones whose results votes always judge come last.
    """

    MEAN = 0
    CLIPPED_MEAN = 1
    MEDIAN = 2
    TRIMMED_MEAN = 3
    MULTI_KRUM = 4
    KRUM = 5
    GEOMETRIC_MEDIAN = 6
    CENTERED_CLIPPING = 7
    FLTRUST = 8
    BULYAN = 9
    MINIMUM_DIAMETER = 10

    def most_liars(self, count: int, pre_steps: PreSteps = PreSteps.NONE) -> int:
        """How many of `count` updates may lie.

        None for a plain mean, a minority for every other rule and after any pre-step; Krum and
        multi-Krum need an honest majority and two more, Bulyan twice as many beyond three. FLTrust
        bears any number beside the trusted one: there it is how many of the voters may lie.
        """
        if self is Rule.MEAN and not pre_steps:
            return 0
        if self is Rule.BULYAN:
            return max(0, count - 3) // 4
        return max(0, count - 3 if self.chooses_best else count - 1) // 2

    @property
    def chooses_best(self) -> bool:
        """Whether the rule averages the updates that Krum ranks best: one, or several."""
        return self in {Rule.KRUM, Rule.MULTI_KRUM}

    @property
    def chooses_by_distance(self) -> bool:
        """Whether the rule itself makes a choice that a table of inner products shows."""
        return self.chooses_best or self in {Rule.GEOMETRIC_MEDIAN, Rule.FLTRUST}

    @property
    def takes_ranks(self) -> bool:
        """Whether the rule averages, in each coordinate alone, the values at some ranks."""
        return self in {Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN}

    @property
    def clips(self) -> bool:
        """Whether the rule has a clipping norm, the task's `clip_norm`."""
        return self in {Rule.CLIPPED_MEAN, Rule.CENTERED_CLIPPING}


class RewardRule(IntEnum):
    """How a final round's reward is divided among its included updates (`protocol.scores`)."""

    EQUAL = 0
    SAMPLES = 1
    SCORES = 2


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
    trusted: str
    """Whose update FLTrust measures the other ones by; the zero address exactly for other rules."""
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
        "address,uint64,uint64,address,address,uint32,uint32,uint32,uint32,uint32,uint32,uint32,"
        "uint32,uint32,uint64,address,uint96,uint96,uint96,uint96,uint96,uint96,uint8,uint32,uint32,uint8,"
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
            trusted=ZERO_ADDRESS,
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
        if self.rule >= Rule.BULYAN:
            return True
        if PreSteps.NNM in self.pre_steps and not self.rule.takes_ranks:
            return True
        if self.pre_steps and self.rule.clips:
            return True
        return self._is_by_distance and self._table_height > MAX_TABLE_HEIGHT

    @property
    def votes_needed(self) -> int:
        """How many of a round's participants must find the same result: one more than may lie."""
        return self.tolerance + 1

    @property
    def _is_by_distance(self) -> bool:
        return PreSteps.NNM in self.pre_steps or self.rule.chooses_by_distance

    @property
    def _table_height(self) -> int:
        """Of the table over a whole cohort."""
        pairs = self.cohort * (self.cohort + 1) // 2
        return depth_of(self.dimension, self.chunk_length) + (pairs - 1).bit_length()

    def trusted_row(self, participants: Sequence[str]) -> int | None:
        """Which of these, those of the included updates in order of reveal, FLTrust trusts."""
        found = (row for row, who in enumerate(participants) if who.lower() == self.trusted.lower())
        return next(found, None)

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
        if (self.trusted != ZERO_ADDRESS) != (self.rule is Rule.FLTRUST):
            wanted = "a participant's" if self.rule is Rule.FLTRUST else "the zero"
            raise ConfigError(
                f"trusted must be {wanted} address with {self.rule.name.lower()}; "
                f"found {self.trusted}"
            )

    def _ranges(self, now: int | None) -> tuple[tuple[str, int, int], ...]:
        clipped = self.rule.clips
        liars = self.rule.most_liars(self.quorum, self.pre_steps)
        chooses = self.rule.chooses_by_distance or self.rule >= Rule.BULYAN
        # What is by votes is among these: no result counts by a single vote.
        least_liars = int(self.pre_steps != 0 or chooses)
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
            # FLTrust makes all updates as long as the trusted one, which no pre-step may change.
            ("pre_steps", 0, 0 if self.rule is Rule.FLTRUST else PreSteps.ARC | PreSteps.NNM),
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
