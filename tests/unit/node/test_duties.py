"""Whoever drives finds what is due in the chain's facts, and does it once."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from node import duties as duties_module
from node.actions import Distribute, DrawSeats, Drive, RecordHeader, SlashWithheld
from node.duties import Duties
from node.sending import Sending
from protocol.errors import Reverted
from protocol.recompute import RevealedUpdate
from protocol.state import RoundState, Seat
from protocol.task import TaskParams

pytestmark = pytest.mark.unit

TASK, SOURCE = b"\5" * 32, "0x" + "5e" * 20
T0 = 1_000_000
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=b"\1" * 32, genesis_model_root=b"\1" * 32, dimension=10, closes_at=2 * T0
    ),
    quorum=2,
    cohort=3,
    seats=9,
    seed_source=SOURCE,
)
ANNA, BERT, CARL = ("0x" + digit * 40 for digit in "abc")
WITHHELD = Seat(active_from=1, committed_round=1, commitment=b"\7" * 28)
LASTS = 200  # a round, from one opening to the next


def update_of(participant):
    return RevealedUpdate(participant, b"\1" * 32, 4)


def round_state(number, revealed=2, **facts):
    return RoundState(
        opened_at=T0 + (number - 1) * LASTS,
        updates_hash=b"\6" * 31 + bytes([revealed]),
        settled=True,
        **facts,
    )


class Facts:
    """A snapshot of a task whose every round revealed what Anna and Bert committed to."""

    chain = SimpleNamespace(name="chain")

    def __init__(self, states, *, seats=None, now=T0 + 10 * LASTS):
        self.block = SimpleNamespace(number=7, timestamp=now)
        self.states = states
        self.seats = seats or {}
        self.waiting = {}

    def round_state(self, _, number):
        return self.states[number - 1]

    def undistributed(self, _):
        return iter(self.waiting.get("undistributed", ()))

    def withheld(self, _):
        return iter(self.waiting.get("withheld", ()))

    def revealed(self, _, number):
        return [update_of(who) for who in (ANNA, BERT, CARL)[: self.states[number - 1].revealed]]

    def scores(self, *_):
        return {1: b"\0\xff"}

    def seat(self, _, participant):
        return self.seats.get(participant, Seat())


@pytest.fixture
def sent():
    return []


@pytest.fixture
def make(sent):
    def send(function, args, *, value_wei=0, purpose):
        assert value_wei == 0
        sent.append((function, args, purpose.removeprefix(f"{TASK.hex()}:")))

    def make(**changes):
        transactor = SimpleNamespace(send=send)
        params = replace(PARAMS, **changes)
        return Duties(transactor, TASK, params, Sending(transactor, TASK))

    return make


FINAL = {"published_at": T0 + 60, "model_root": b"\2" * 32, "publisher": ANNA}


def test_first_that_waits_is_due(make):
    found = Facts([])
    assert make().undistributed(found) is None
    assert make().withheld(found) is None
    found.waiting = {"undistributed": (3, 4), "withheld": (CARL, BERT)}
    assert make().undistributed(found) == 3
    assert make().withheld(found) == CARL


@pytest.mark.parametrize(
    ("seat", "slice_wei", "expected"),
    [
        (WITHHELD, PARAMS.slice_wei, True),
        (WITHHELD, 0, False),
        (replace(WITHHELD, commitment=bytes(28)), PARAMS.slice_wei, False),
        (Seat(), PARAMS.slice_wei, False),
    ],
)
def test_own_slice_is_lost_only_where_there_is_one(make, seat, slice_wei, expected):
    assert make(slice_wei=slice_wei).is_withheld(Facts([round_state(1)]), seat) is expected


def test_each_duty_is_one_call_with_a_purpose_of_its_own(make, sent):
    snapshot = Facts([round_state(1, **FINAL)], seats={CARL: WITHHELD})
    duties = make()

    for action in (Drive("openRound"), DrawSeats(), SlashWithheld(CARL), Distribute(1)):
        duties.act(action, snapshot, 4)

    revealed = (tuple(update_of(ANNA)), tuple(update_of(BERT)))
    assert sent == [
        ("openRound", (TASK,), "4:openRound"),
        ("drawSeats", (TASK, 4), "4:draw"),
        ("slashWithheld", (TASK, CARL), f"1:slash:{CARL}"),
        ("distribute", (TASK, 1, revealed, b"\1\0\xff"), "1:distribute"),
    ]


@pytest.mark.parametrize("refused", [False, True])
def test_header_that_a_source_does_not_take_is_no_failure(make, monkeypatch, refused):
    shown = []

    def record(_, source, block):
        shown.append((source, block))
        if refused:
            raise Reverted("record", "WrongHeader", {})

    monkeypatch.setattr(duties_module.seed, "record", record)
    make().act(RecordHeader(9), Facts([]), 4)

    assert shown == [(SOURCE, 9)]
