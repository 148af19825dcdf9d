"""Shares are recomputed from what the chain says was declared and scored."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from protocol.chain.events import Happened
from protocol.errors import VerificationFailed
from protocol.recompute import RevealedUpdate
from protocol.state import RoundState, Seat
from protocol.task import RewardRule, TaskParams
from scripts.rewards import check_rewards

pytestmark = pytest.mark.unit

TASK, HASH = b"\5" * 32, b"\7" * 32
A, B, C = (f"0x{number:040x}" for number in range(1, 4))
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=HASH, genesis_model_root=HASH, dimension=10, closes_at=10**10
    ),
    reward_wei=100,
    sample_cap=50,
)
DISTRIBUTED = ("RewardsDistributed", {"round": 1})


def joined(participant: str) -> tuple[str, dict[str, object]]:
    return "SeatTaken", {"participant": participant}


class Told:
    """What a chain's node says of a final round with three updates, the second one excluded."""

    block = None

    def __init__(
        self,
        shares: tuple[int, ...],
        *,
        rule: RewardRule = RewardRule.EQUAL,
        samples: tuple[int, ...] = (0, 0, 0),
        scores: dict[int, bytes] | None = None,
        history: tuple[tuple[str, dict[str, object]], ...] = (DISTRIBUTED,),
    ) -> None:
        events = tuple(Happened(place, 0, *event) for place, event in enumerate(history))
        self.chain = SimpleNamespace(events=SimpleNamespace(until=lambda *_: events))
        self._shares = shares
        self._params = replace(PARAMS, reward_rule=rule)
        self._samples = dict(zip((A, B, C), samples, strict=True))
        self._scores = scores or {}

    def task_params(self, _task):
        return self._params

    def round_state(self, *_round):
        counted = HASH[:-1] + bytes([3])
        return RoundState(opened_at=1, updates_hash=counted, unavailable=0b10, distributed=True)

    def revealed(self, *_round):
        return tuple(RevealedUpdate(who, HASH, 1) for who in (A, B, C))

    def shares_wei(self, *_round):
        return self._shares

    def scores(self, *_round):
        return self._scores

    def seat(self, _task, participant):
        return Seat(samples=self._samples[participant])


@pytest.mark.parametrize(
    "told",
    [
        Told((50, 0, 50)),
        Told((37, 0, 62), rule=RewardRule.SAMPLES, samples=(30, 90, 70)),
        Told(
            (75, 0, 25), rule=RewardRule.SCORES, scores={0: b"\0\0\1", 2: b"\3\0\0", 1: b"\0\0\7"}
        ),
    ],
)
def test_shares_of_the_task_s_rule_are_right(told):
    check_rewards(told, TASK, 1)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (Told((51, 0, 49)), f"{A} was given 51, its share is 50"),
        (Told((50, 1, 50)), f"{B} was given 1, its share is 0"),
        (Told((50, 50)), "2 shares of 3"),
        (Told((50, 0, 50), rule=RewardRule.SAMPLES, samples=(30, 90, 70)), f"{A} was given 50"),
    ],
)
def test_other_shares_are_named(told, says):
    with pytest.raises(VerificationFailed, match=says):
        check_rewards(told, TASK, 1)


def test_samples_that_were_declared_after_the_distribution_do_not_count():
    history = (joined(A), joined(B), joined(C), DISTRIBUTED, joined(A))
    told = {"rule": RewardRule.SAMPLES, "samples": (40, 0, 50)}

    check_rewards(Told((0, 0, 100), **told, history=history), TASK, 1)
    with pytest.raises(VerificationFailed, match=f"{A} was given 0, its share is 44"):
        check_rewards(Told((0, 0, 100), **told, history=history[:-1]), TASK, 1)
