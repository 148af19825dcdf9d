"""What a sponsor decides about a task: a TOML file in people's units, made task parameters."""

from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Literal

from eth_hash.auto import keccak
from pydantic import Field, field_validator

from node import smile
from protocol.settings import Settings
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, PreSteps, Privacy, Rule, TaskParams

RuleName = Literal["mean", "clipped_mean", "median", "trimmed_mean", "multi_krum"]
PreStepName = Literal["arc", "nnm"]
RULES: dict[RuleName, Rule] = {
    "mean": Rule.MEAN,
    "clipped_mean": Rule.CLIPPED_MEAN,
    "median": Rule.MEDIAN,
    "trimmed_mean": Rule.TRIMMED_MEAN,
    "multi_krum": Rule.MULTI_KRUM,
}
PRE_STEPS: dict[PreStepName, PreSteps] = {"arc": PreSteps.ARC, "nnm": PreSteps.NNM}
WEI_DECIMALS = 18


class TaskConfig(Settings):
    """A task as its sponsor describes it."""

    model_seed: int = Field(default=0, ge=0)
    """Seed of the genesis model's weights."""
    rule: RuleName = "trimmed_mean"
    """How updates are combined."""
    pre_steps: tuple[PreStepName, ...] = ()
    """What is done to the updates before that: arc, nnm, or both in this order."""
    tolerance: int | None = Field(default=None, ge=0, le=31)
    """Number of liars that the rule and the pre-steps are asked to tolerate; left out, one where
    the rule can with a mere quorum."""
    clip_norm: float = Field(default=0.0, ge=0, lt=2**32)
    """Norm to which `clipped_mean` clips each update; zero for every other rule."""
    max_norm: float = Field(default=smile.DEFAULT_MAX_NORM, gt=0, lt=2**32)
    """Largest L2 norm of an update; the contract refuses larger ones."""
    shift: int = Field(default=smile.DEFAULT_SHIFT, ge=1, le=30)
    """One unit of a coordinate is 2^-shift."""
    chunk_length: int = Field(default=256, ge=16, le=512, multiple_of=16)
    """Coordinates in a Merkle leaf."""
    quorum: int = Field(default=3, ge=1, le=64)
    """Least number of included updates for a result."""
    cohort: int = Field(default=64, ge=1, le=64)
    """Most seats."""
    aggregator: str = Field(default=ZERO_ADDRESS, pattern=r"^0x[0-9a-fA-F]{40}$")
    """Address that may publish alone during `aggregator_seconds`; zero: anybody from the start."""
    selection_seconds: int = Field(default=0, ge=0)
    """Length of the selection phase."""
    commit_seconds: int = Field(default=600, ge=1)
    """Length of the commit phase: local training happens in it."""
    reveal_seconds: int = Field(default=120, ge=1)
    """Length of the reveal phase."""
    availability_seconds: int = Field(default=60, ge=0)
    """Length of the availability phase: half to flag what cannot be fetched, half to post it."""
    aggregator_seconds: int = Field(default=0, ge=0)
    """The aggregator's head start inside `aggregate_seconds`."""
    aggregate_seconds: int = Field(default=600, ge=1)
    """Length of the aggregate phase."""
    challenge_seconds: int = Field(default=120, ge=0)
    """Length of the challenge phase: a third each to flag, to post, and to refute."""
    rounds: int = Field(default=20, ge=1)
    """Most rounds, void ones included."""
    lifetime_seconds: int = Field(default=30 * 86_400, ge=1)
    """No round opens later than this after the task's creation."""
    stake_ether: float = Field(default=0.1, ge=0)
    """Stake of each seat."""
    bond_ether: float = Field(default=0.1, ge=0)
    """Bond of each publication."""
    flag_ether: float = Field(default=0.001, ge=0)
    """Deposit of a flag; earned by whoever posts what was flagged."""
    reward_ether: float = Field(default=0.01, ge=0)
    """Reward of each final round, split equally among its included updates."""

    @field_validator("pre_steps")
    @classmethod
    def _in_order(cls, names: tuple[PreStepName, ...]) -> tuple[PreStepName, ...]:
        """A task knows which pre-steps there are, not in which order."""
        if list(names) != [name for name in PRE_STEPS if name in names]:
            raise ValueError(f"must be some of {', '.join(PRE_STEPS)}, each once, in this order")
        return names

    def params(self, now: int, salt: bytes | None = None) -> TaskParams:
        """The contract's parameters for a task created at the time `now`.

        Without a `salt` it is the settings' hash, by which a sponsor finds its task again.

        Raises: ConfigError where the contract would refuse them, or no challenge would fit into a
        transaction.
        """
        spec = smile.spec()
        genesis = smile.genesis(self.model_seed, self.shift)
        unit = 2**self.shift
        rule = RULES[self.rule]
        pre_steps = reduce(or_, (PRE_STEPS[name] for name in self.pre_steps), PreSteps.NONE)
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = min(1, rule.most_liars(self.quorum, pre_steps))
        params = TaskParams(
            model_spec_hash=spec.hash,
            genesis_model_root=SumTree.of(genesis, self.chunk_length).root,
            dimension=spec.dimension,
            chunk_length=self.chunk_length,
            shift=self.shift,
            rule=rule,
            tolerance=tolerance,
            pre_steps=pre_steps,
            privacy=Privacy.PLAIN,
            quorum=self.quorum,
            cohort=self.cohort,
            clip_norm=int(self.clip_norm * unit),
            max_squared_norm=int((self.max_norm * unit) ** 2),
            aggregator=self.aggregator,
            selection_seconds=self.selection_seconds,
            commit_seconds=self.commit_seconds,
            reveal_seconds=self.reveal_seconds,
            availability_seconds=self.availability_seconds,
            aggregator_seconds=self.aggregator_seconds,
            aggregate_seconds=self.aggregate_seconds,
            challenge_seconds=self.challenge_seconds,
            rounds=self.rounds,
            closes_at=now + self.lifetime_seconds,
            stake_wei=_wei(self.stake_ether),
            bond_wei=_wei(self.bond_ether),
            flag_wei=_wei(self.flag_ether),
            reward_wei=_wei(self.reward_ether),
            salt=keccak(self.model_dump_json().encode()) if salt is None else salt,
        )
        params.check(now)
        return params


def _wei(ether: float) -> int:
    # Through the shortest decimal that means this float: 0.1 is then exactly 10^17 wei.
    return int(Decimal(repr(ether)).scaleb(WEI_DECIMALS))
