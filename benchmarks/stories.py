"""What happened in a run of the incentives benchmark: what was included, and who scored it how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from protocol.scores import shares_wei
from protocol.state import RoundState
from protocol.task import ZERO_HASH, RewardRule, TaskParams

HONEST: Final = "honest"


@dataclass(frozen=True)
class Run:
    """Everything that decides what desks send and how they judge it."""

    market: str
    partition: str
    desks: int
    liars: int
    conduct: str
    rounds: int
    steps_per_round: int
    batch_size: int
    tolerance: int
    seed: int
    method: str
    looks_back: int
    """Over how many rounds desks look for what an update copies."""

    @property
    def order(self) -> list[int]:
        """Who lies first. The liars of two are those of one and one more."""
        found: list[int] = np.random.default_rng(self.seed).permutation(self.desks).tolist()
        return found


@dataclass(frozen=True)
class Scored:
    """One round: whose updates were included, and how each of them scored all of them."""

    included: tuple[int, ...]
    scores: tuple[str, ...]
    """Hex, a byte for each included update."""

    def shares_wei(
        self,
        rule: RewardRule,
        reward_wei: int,
        *,
        samples: Sequence[int] = (),
        sample_cap: int = 0,
        scores: Mapping[int, bytes] | None = None,
    ) -> tuple[int, ...]:
        """What each included update is paid, by these scores instead of what everybody found."""
        params = replace(
            TaskParams.default(
                model_spec_hash=ZERO_HASH, genesis_model_root=ZERO_HASH, dimension=1, closes_at=0
            ),
            reward_wei=reward_wei,
            reward_rule=rule,
            sample_cap=sample_cap,
        )
        state = RoundState(updates_hash=bytes(31) + bytes([len(self.included)]))
        if scores is None:
            scores = {place: bytes.fromhex(given) for place, given in enumerate(self.scores)}
        return shares_wei(params, state, samples=samples, scores=scores)


@dataclass(frozen=True)
class Story:
    """What happened in a run."""

    run: Run
    samples: tuple[int, ...]
    """Quotes that each desk has."""
    test: float
    """RMSE in vol points, on days that nobody trained on."""
    stress: float
    rounds: tuple[Scored, ...]

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Story":
        """The story of which `asdict` and JSON made this."""
        return cls(
            run=Run(**told["run"]),
            samples=tuple(told["samples"]),
            test=told["test"],
            stress=told["stress"],
            rounds=tuple(
                Scored(tuple(each["included"]), tuple(each["scores"])) for each in told["rounds"]
            ),
        )
