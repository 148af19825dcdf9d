"""What a sponsor decides about a task: a TOML file in people's units, made task parameters."""

from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Annotated, Literal, Self, get_args

from eth_hash.auto import keccak
from pydantic import AfterValidator, Field, field_validator, model_validator

from node.models.architecture import DEFAULT_MAX_NORM, DEFAULT_SHIFT, Architecture
from node.models.registry import by_name
from node.models.smile import SMILE
from protocol.chain.deployment import SeedSource
from protocol.errors import ConfigError
from protocol.numbers import Int32Array
from protocol.settings import Settings
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, PreSteps, Privacy, RewardRule, Rule, TaskParams
from scripts.command import AN_ADDRESS, is_address_as_typed

RuleName = Literal[
    "mean",
    "clipped_mean",
    "median",
    "trimmed_mean",
    "multi_krum",
    "krum",
    "geometric_median",
    "centered_clipping",
    "fltrust",
    "bulyan",
    "minimum_diameter",
]
PreStepName = Literal["arc", "nnm"]
RULES: dict[RuleName, Rule] = {
    "mean": Rule.MEAN,
    "clipped_mean": Rule.CLIPPED_MEAN,
    "median": Rule.MEDIAN,
    "trimmed_mean": Rule.TRIMMED_MEAN,
    "multi_krum": Rule.MULTI_KRUM,
    "krum": Rule.KRUM,
    "geometric_median": Rule.GEOMETRIC_MEDIAN,
    "centered_clipping": Rule.CENTERED_CLIPPING,
    "fltrust": Rule.FLTRUST,
    "bulyan": Rule.BULYAN,
    "minimum_diameter": Rule.MINIMUM_DIAMETER,
}
PRE_STEPS: dict[PreStepName, PreSteps] = {"arc": PreSteps.ARC, "nnm": PreSteps.NNM}
RewardRuleName = Literal["equal", "samples", "scores"]
REWARD_RULES: dict[RewardRuleName, RewardRule] = {
    "equal": RewardRule.EQUAL,
    "samples": RewardRule.SAMPLES,
    "scores": RewardRule.SCORES,
}
SourceName = Literal["prevrandao", "beacon"]
ETH = "ETH"
WEI_DECIMALS = 18
# An ERC-20 token counts its decimals in one byte; more than these no amount of 96 bits needs.
MAX_DECIMALS = 28
# Part of the stake that a slice is where none is named.
DEFAULT_SLICES = 10
# Part of the quorum that may lie where no number is named: the largest that docs/robustness.md
# measures.
TOLERATED_PART = 5
# Stands for a source that is deployed only after all else was found right.
_SOURCE_TO_COME = "0x" + "ff" * 20


def _or_address(*names: str) -> AfterValidator:
    """Takes one of these names or an address."""

    def checked(text: str) -> str:
        if text not in names and not is_address_as_typed(text):
            raise ValueError(f"wanted {''.join(f'{name}, or ' for name in names)}{AN_ADDRESS}")
        return text

    return AfterValidator(checked)


class TaskConfig(Settings):
    """A task as its sponsor describes it."""

    model: str = SMILE.name
    """Name of the installed architecture that is trained."""
    model_seed: int = Field(default=0, ge=0)
    """Seed of the genesis model's weights."""
    rule: RuleName = "trimmed_mean"
    """How updates are combined."""
    pre_steps: tuple[PreStepName, ...] = ()
    """What is done to the updates before that: arc, nnm, or both in this order."""
    tolerance: int | None = Field(default=None, ge=0, le=31)
    """Number of liars that the rule and the pre-steps are asked to tolerate; left out, a
    fifth of the quorum but at least one, as far as the rule can with a mere quorum."""
    trusted: Annotated[str, _or_address()] = ZERO_ADDRESS
    """Address of the participant whose update `fltrust` measures the other ones by; zero for every
    other rule."""
    clip_norm: float = Field(default=0.0, ge=0, lt=2**32)
    """Norm to which `clipped_mean` and `centered_clipping` clip each update; zero for every other
    rule."""
    max_norm: float = Field(default=DEFAULT_MAX_NORM, gt=0, lt=2**32)
    """Largest L2 norm of an update; the contract refuses larger ones."""
    shift: int = Field(default=DEFAULT_SHIFT, ge=1, le=30)
    """One unit of a coordinate is 2^-shift."""
    chunk_length: int = Field(default=256, ge=16, le=512, multiple_of=16)
    """Coordinates in a Merkle leaf."""
    quorum: int = Field(default=3, ge=1, le=64)
    """Least number of included updates for a result."""
    cohort: int = Field(default=64, ge=1, le=64)
    """Most updates that a round includes."""
    seats: int | None = Field(default=None, ge=1, le=65_535)
    """Most seats; left out, as many as the cohort. With more active ones each round draws."""
    drawn: int | None = Field(default=None, ge=1, le=64)
    """How many seats a draw is expected to choose; left out, as many as the cohort."""
    seed_source: Annotated[str, _or_address(*get_args(SourceName))] | None = None
    """Where draws get their seeds: prevrandao, beacon, or the address of a source; left out,
    prevrandao where the task draws."""
    seed_delay_blocks: int = Field(default=8, ge=2, lt=2**32)
    """With prevrandao: how many blocks after the opening of a round its seed is made."""
    seed_bond_ether: float = Field(default=0.01, ge=0)
    """With beacon: bond of each secret, in ether whatever the currency."""
    seed_commit_blocks: int = Field(default=10, ge=1, lt=2**32)
    """With beacon: for how many blocks of an epoch secrets are committed to."""
    seed_reveal_blocks: int = Field(default=10, ge=1, lt=2**32)
    """With beacon: for how many blocks they are revealed after that."""
    aggregator: Annotated[str, _or_address()] = ZERO_ADDRESS
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
    score_seconds: int | None = Field(default=None, ge=0)
    """Time for scores, from the end of availability; left out, as long as the challenge phase where
    rewards depend on scores, else none."""
    rounds: int = Field(default=20, ge=1)
    """Most rounds, void ones included."""
    lifetime_seconds: int = Field(default=30 * 86_400, ge=1)
    """No round opens later than this after the task's creation."""
    currency: Annotated[str, _or_address(ETH)] = ETH
    """What is paid in: ETH, or the address of an ERC-20 token."""
    decimals: int | None = Field(default=None, ge=0, le=MAX_DECIMALS)
    """Decimals of that token; left out for ETH."""
    stake: float = Field(default=0.1, ge=0)
    """Stake of each seat."""
    slice: float | None = Field(default=None, ge=0)
    """Part of a stake that is lost for a commitment that is not opened; left out, a tenth of it."""
    bond: float = Field(default=0.1, ge=0)
    """Bond of each publication."""
    flag_deposit: float = Field(default=0.001, ge=0)
    """Deposit of a flag; earned by whoever posts what was flagged."""
    reward: float = Field(default=0.01, ge=0)
    """Reward of each final round, divided among its included updates."""
    publisher_reward: float = Field(default=0.0, ge=0)
    """Reward of whoever published a final round."""
    reward_rule: RewardRuleName = "equal"
    """How the reward is divided: equally, by declared samples, or by scores."""
    min_samples: int = Field(default=0, ge=0, lt=2**32)
    """Least samples that a participant declares when it joins."""
    sample_cap: int = Field(default=0, ge=0, lt=2**32)
    """Most samples that count; only where the reward is divided by them."""
    max_missed: int = Field(default=3, ge=0, le=255)
    """A seat suspended after more commitments not opened than this stays so."""

    @field_validator("pre_steps")
    @classmethod
    def _in_order(cls, names: tuple[PreStepName, ...]) -> tuple[PreStepName, ...]:
        """A task knows which pre-steps there are, not in which order."""
        if list(names) != [name for name in PRE_STEPS if name in names]:
            raise ValueError(f"must be some of {', '.join(PRE_STEPS)}, each once, in this order")
        return names

    @model_validator(mode="after")
    def _source_has_something_to_draw(self) -> Self:
        if self.seed_source is not None and not self._draws:
            raise ValueError(
                f"seed_source is for a task with more seats than its cohort of {self.cohort}"
            )
        return self

    @model_validator(mode="after")
    def _token_has_decimals(self) -> Self:
        if (self.decimals is None) != (self.currency == ETH):
            raise ValueError("decimals are for a currency that is a token, which needs them")
        return self

    @property
    def source_to_deploy(self) -> SeedSource | None:
        """The seed source that the task needs, unless it names one that stands."""
        match self.seed_source:
            case "prevrandao" | None if self._draws:
                return SeedSource("PrevrandaoSource", (self.seed_delay_blocks,))
            case "beacon":
                bond_wei = _smallest("seed_bond_ether", self.seed_bond_ether, WEI_DECIMALS)
                epoch = (self.seed_commit_blocks, self.seed_reveal_blocks)
                return SeedSource("CommitRevealBeacon", (bond_wei, *epoch))
            case _:
                return None

    def check(self) -> TaskParams:
        """The parameters but for times and addresses, before anything is deployed.

        Raises: ConfigError as `params`.
        """
        source = _SOURCE_TO_COME if self.source_to_deploy else None
        return self.params(now=0, seed_source=source)

    @property
    def architecture(self) -> Architecture:
        """What the task trains. Raises: ConfigError if it is not installed."""
        return by_name(self.model)

    def genesis(self) -> Int32Array:
        """The model of round 0, in units of `2^-shift`. Shape: [d]"""
        return self.architecture.genesis(self.model_seed, self.shift)

    def params(
        self, now: int, salt: bytes | None = None, *, seed_source: str | None = None
    ) -> TaskParams:
        """The contract's parameters for a task created at the time `now`.

        Without a `salt` it is the settings' hash, by which a sponsor finds its task again.
        `seed_source` is where `source_to_deploy` was put.

        Raises: ConfigError where the contract would refuse them, or no challenge would fit into a
        transaction.
        """
        stake_wei = self._wei("stake")
        spec, genesis = self.architecture.spec, self.genesis()
        unit = 2**self.shift
        rule = RULES[self.rule]
        pre_steps = reduce(or_, (PRE_STEPS[name] for name in self.pre_steps), PreSteps.NONE)
        tolerance = self.tolerance
        if tolerance is None:
            wanted = max(1, self.quorum // TOLERATED_PART)
            tolerance = min(wanted, rule.most_liars(self.quorum, pre_steps))
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
            seats=self.cohort if self.seats is None else self.seats,
            drawn=self.cohort if self.drawn is None else self.drawn,
            seed_source=seed_source or self.seed_source or ZERO_ADDRESS,
            clip_norm=int(self.clip_norm * unit),
            max_squared_norm=int((self.max_norm * unit) ** 2),
            aggregator=self.aggregator,
            trusted=self.trusted,
            selection_seconds=self.selection_seconds,
            commit_seconds=self.commit_seconds,
            reveal_seconds=self.reveal_seconds,
            availability_seconds=self.availability_seconds,
            aggregator_seconds=self.aggregator_seconds,
            aggregate_seconds=self.aggregate_seconds,
            challenge_seconds=self.challenge_seconds,
            score_seconds=self._score_seconds,
            rounds=self.rounds,
            closes_at=now + self.lifetime_seconds,
            currency=ZERO_ADDRESS if self.currency == ETH else self.currency,
            stake_wei=stake_wei,
            slice_wei=stake_wei // DEFAULT_SLICES if self.slice is None else self._wei("slice"),
            bond_wei=self._wei("bond"),
            flag_wei=self._wei("flag_deposit"),
            reward_wei=self._wei("reward"),
            publisher_wei=self._wei("publisher_reward"),
            reward_rule=REWARD_RULES[self.reward_rule],
            min_samples=self.min_samples,
            sample_cap=self.sample_cap,
            max_missed=self.max_missed,
            salt=keccak(self.model_dump_json().encode()) if salt is None else salt,
        )
        params.check(now)
        if params.by_votes and not params.challenge_seconds:
            raise ConfigError(
                "challenge_seconds must be above 0 where votes judge, long enough to fetch the"
                " updates, recompute the result and vote; found 0"
            )
        return params

    @property
    def _draws(self) -> bool:
        return self.seats is not None and self.seats > self.cohort

    @property
    def _score_seconds(self) -> int:
        if self.score_seconds is not None:
            return self.score_seconds
        return self.challenge_seconds if self.reward_rule == "scores" else 0

    def _wei(self, name: str) -> int:
        decimals = WEI_DECIMALS if self.decimals is None else self.decimals
        return _smallest(name, getattr(self, name), decimals)


def _smallest(name: str, amount: float, decimals: int) -> int:
    """An amount in its currency's smallest unit. Raises: ConfigError if it is no number of them."""
    # Through the shortest decimal that means this float: 0.1 is then exactly 10^17 wei.
    exact = Decimal(repr(amount))
    smallest = exact.scaleb(decimals)
    if smallest != int(smallest):
        raise ConfigError(
            f"{name} must have at most the {decimals} decimals of its currency; found {exact}"
        )
    return int(smallest)
