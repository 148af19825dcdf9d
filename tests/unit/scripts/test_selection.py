"""The replay finds who took part, and the step that does not follow from the ones before it."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from protocol import rounds
from protocol.chain.events import Happened
from protocol.errors import VerificationFailed
from protocol.recompute import RevealedUpdate
from protocol.task import RoundState, TaskParams
from scripts.selection import Selection, replay

pytestmark = pytest.mark.unit

TASK, HASH = b"\5" * 32, b"\7" * 32
A, B, C, D = (f"0x{number:040x}" for number in range(1, 5))
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=HASH, genesis_model_root=HASH, dimension=10, closes_at=10**10
    ),
    quorum=2,
    tolerance=0,
    max_squared_norm=100,
)


def happened(event: str, **arguments: object) -> tuple[str, dict[str, object]]:
    return event, arguments


def seat(participant: str, active_from: int = 1):
    return happened("SeatTaken", participant=participant, activeFrom=active_from)


def opened(number: int):
    return happened("RoundOpened", round=number)


def committed(participant: str, number: int = 2):
    return happened("UpdateCommitted", round=number, participant=participant)


def revealed(participant: str, number: int = 2):
    return happened("UpdateRevealed", round=number, participant=participant)


def published(unavailable: int = 0):
    return happened("AggregatePublished", round=2, updatesHash=HASH, unavailable=unavailable)


HISTORY = [
    *(
        seat(A),
        seat(B),
        opened(1),
        committed(A, 1),
        seat(C, 2),
        happened("SeatLeft", participant=A),
    ),
    *(opened(2), seat(D, 3), committed(B), committed(C), committed(B), revealed(C), revealed(B)),
    published(),
]


class Told:
    """What a chain's node says of one task whose round 2 is to be replayed."""

    def __init__(
        self,
        history: Sequence[tuple[str, dict[str, object]]] = HISTORY,
        *,
        reveals: Sequence[str] = (C, B),
        squared_norm: int = 1,
        unavailable: int = 0,
        params: TaskParams = PARAMS,
    ) -> None:
        self.block = None
        events = tuple(
            Happened(index, 0, event, arguments) for index, (event, arguments) in enumerate(history)
        )
        self.chain = SimpleNamespace(events=SimpleNamespace(until=lambda *_: events))
        self._params = params
        self._revealed = tuple(RevealedUpdate(who, HASH, squared_norm) for who in reveals)
        self._state = RoundState(
            opened_at=1,
            published_at=2,
            revealed=len(reveals),
            unavailable=unavailable,
            updates_hash=HASH,
        )

    def task_params(self, _task):
        return self._params

    def revealed(self, *_round):
        return self._revealed

    def excluded(self, *_round):
        return rounds.excluded(self._state, self._revealed)

    def round_state(self, *_round):
        return self._state


def test_each_list_is_taken_from_the_one_before_it():
    # A has left, and D's seat comes too late for this round.
    assert replay(Told(), TASK, 2) == Selection((B, C), (B, C), (C, B), ())


def test_excluded_updates_are_named_in_order_of_reveal():
    told = Told(
        [*HISTORY[:-1], published(0b10)],
        unavailable=0b10,
        params=replace(PARAMS, quorum=1),
    )
    assert replay(told, TASK, 2).excluded == (B,)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (Told([*HISTORY, committed(A)]), f"{A} committed without a seat"),
        (Told([*HISTORY, committed(D)]), f"{D} committed without a seat"),
        (Told([*HISTORY, revealed(A)]), f"{A} revealed without a commitment"),
        (Told(reveals=(B, C)), "reveals: the contract holds"),
        (Told(squared_norm=101), "a norm above the task's bound"),
        (Told(unavailable=0b1), "left out of the result: the contract holds 1"),
        (Told(HISTORY[:-1]), "published updates hash"),
        (
            Told([*HISTORY[:-1], published(0b1)], unavailable=0b1),
            "1 updates entered the result; the quorum is 2",
        ),
    ],
)
def test_step_that_does_not_follow_is_named(told, says):
    with pytest.raises(VerificationFailed, match=says):
        replay(told, TASK, 2)
