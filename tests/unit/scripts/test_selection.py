"""The replay finds who took part, and the step that does not follow from the ones before it."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from protocol import rounds
from protocol.chain.events import Happened
from protocol.draw import draw_of, is_drawn
from protocol.errors import VerificationFailed
from protocol.recompute import RevealedUpdate
from protocol.state import Offence, RoundState
from protocol.task import TaskParams
from scripts import selection
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


def committed_together(*participants: str):
    return happened("UpdatesCommitted", round=2, participants=participants)


def revealed(participant: str, number: int = 2):
    return happened("UpdateRevealed", round=number, participant=participant)


def revealed_together(*participants: str):
    return happened("UpdatesRevealed", round=2, updates=[(who, HASH, 1) for who in participants])


def suspended(participant: str, number: int = 2, offence: Offence = Offence.WITHHELD):
    return happened("SeatSuspended", round=number, participant=participant, offence=offence)


def drawn(draw: bytes):
    return happened("SeatsDrawn", round=2, draw=draw)


def published(unavailable: int = 0):
    updates_hash = HASH[:-1] + bytes([2])
    return happened(
        "AggregatePublished", round=2, updatesHash=updates_hash, unavailable=unavailable
    )


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
        active: int = 2,
        published_at: int = 2,
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
            published_at=published_at,
            active=active,
            unavailable=unavailable,
            updates_hash=HASH[:-1] + bytes([len(reveals)]),
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
    assert replay(Told(), TASK, 2) == Selection((B, C), (B, C), (B, C), (C, B), ())


def test_relayed_commitments_and_reveals_count_like_all_others():
    history = [seat(B), seat(C), opened(2), committed_together(C, B), revealed_together(C, B)]

    assert replay(Told([*history, published()]), TASK, 2).committed == (C, B)


def test_suspended_seat_is_none_until_it_is_restored():
    joined = [seat(A), seat(B), seat(C), suspended(A, 1)]
    restored = happened("SeatRestored", participant=A, activeFrom=3)
    acted = [opened(2), restored, committed(B), committed(C), revealed(C), revealed(B), published()]

    assert replay(Told([*joined, *acted]), TASK, 2).seated == (B, C)


def test_who_signed_two_commitments_is_bound_to_none():
    history = [seat(A), seat(B), seat(C), opened(2), committed_together(A, B, C)]
    history += [suspended(A, offence=Offence.EQUIVOCATION), revealed(C), revealed(B), published()]

    assert replay(Told(history, active=3), TASK, 2).committed == (B, C)
    with pytest.raises(VerificationFailed, match=f"{A} revealed without a commitment"):
        replay(Told([*history, revealed(A)]), TASK, 2)


# More seats are active than the cohort has places.
DRAWING = replace(PARAMS, cohort=3, seats=10, drawn=2, seed_source=D)
SEED = b"\3" * 32
SEATED = tuple(f"0x{number:040x}" for number in range(1, 9))
DRAW = draw_of(SEED, TASK, 2, drawn=2, active=8)
TAKEN = tuple(who for who in SEATED if is_drawn(DRAW, who))
OPENED = [*(seat(who) for who in SEATED), opened(2)]


@pytest.fixture
def asked(monkeypatch):
    """What the seed source was asked for."""
    asked = []

    def seed_of(_chain, source, opened_block, *, at):
        asked.append((source, opened_block, at))
        return SEED

    monkeypatch.setattr(selection, "seed_of", seed_of)
    return asked


def test_those_below_the_threshold_are_taken(asked):
    assert 2 <= len(TAKEN) < 8
    history = [*OPENED, drawn(DRAW), *(committed(who) for who in TAKEN)]
    history += [*(revealed(who) for who in TAKEN[:2]), published()]

    found = replay(Told(history, reveals=TAKEN[:2], params=DRAWING, active=8), TASK, 2)

    assert found.seated == SEATED
    assert found.drawn == found.committed == TAKEN
    assert asked == [(D, OPENED.index(opened(2)), None)]


def test_who_was_not_drawn_and_committed_is_named():
    other = next(who for who in SEATED if who not in TAKEN)
    history = [*OPENED, drawn(DRAW), committed(other)]

    with pytest.raises(VerificationFailed, match=f"{other} committed without being drawn"):
        replay(Told(history, params=DRAWING), TASK, 2)


@pytest.mark.usefixtures("asked")
def test_draw_that_the_seed_does_not_give_is_refused():
    forged = draw_of(SEED, TASK, 3, drawn=2, active=8)

    with pytest.raises(VerificationFailed, match="its seats were drawn by 0x"):
        replay(Told([*OPENED, drawn(forged)], params=DRAWING, active=8), TASK, 2)


@pytest.mark.usefixtures("asked")
def test_who_left_before_the_draw_does_not_move_its_threshold():
    left = happened("SeatLeft", participant=SEATED[-1])
    opened_and_drawn = [*OPENED, left, drawn(DRAW)]
    told = Told(opened_and_drawn, reveals=(), params=DRAWING, active=8, published_at=0)

    assert replay(told, TASK, 2).drawn == TAKEN


@pytest.mark.usefixtures("asked")
def test_more_reveals_than_the_cohort_has_places_are_refused():
    history = [*OPENED, drawn(DRAW), *(committed(who) for who in TAKEN)]
    history += [*(revealed(who) for who in TAKEN[:2]), published()]
    told = Told(history, reveals=TAKEN[:2], params=replace(DRAWING, cohort=1), active=8)

    with pytest.raises(VerificationFailed, match="2 revealed; the cohort is 1"):
        replay(told, TASK, 2)


def test_nobody_is_taken_until_the_seats_are_drawn():
    told = Told(OPENED, reveals=(), params=DRAWING, active=8, published_at=0)

    assert replay(told, TASK, 2).drawn == ()
    with pytest.raises(VerificationFailed, match="committed without being drawn"):
        replay(Told([*OPENED, committed(A)], params=DRAWING), TASK, 2)


def test_draw_in_a_round_that_takes_all_is_refused():
    with pytest.raises(VerificationFailed, match="nothing was to be drawn"):
        replay(Told([*HISTORY, drawn(HASH)]), TASK, 2)


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
        (Told([*HISTORY, committed_together(B, A)]), f"{A} committed without a seat"),
        (Told([*HISTORY, suspended(C, 1), committed(C)]), f"{C} committed without a seat"),
        (Told([*HISTORY, revealed(A)]), f"{A} revealed without a commitment"),
        (Told([*HISTORY, revealed_together(D)]), f"{D} revealed without a commitment"),
        (Told(active=3), "active seats: the contract holds 3, the logs show 2"),
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
