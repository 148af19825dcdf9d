"""What waits for somebody in a task is found by its events, with few questions to the chain."""

from dataclasses import astuple, replace
from types import SimpleNamespace

import pytest

from protocol.chain.events import Block, Happened
from protocol.chain.gateway import Snapshot
from protocol.state import RoundState, Seat, TaskState
from protocol.task import TaskParams

pytestmark = pytest.mark.unit

TASK = b"\5" * 32
ANNA, BERT, CARL = ("0x" + digit * 40 for digit in "abc")
T0 = 1_000_000
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=b"\1" * 32, genesis_model_root=b"\1" * 32, dimension=10, closes_at=2 * T0
    ),
    quorum=2,
    cohort=3,
)
LASTS = 1_000_000  # far more than a round takes
REVEALS_OVER = T0 + PARAMS.selection_seconds + PARAMS.commit_seconds + PARAMS.reveal_seconds
UNOPENED = Seat(stake_wei=PARAMS.stake_wei, active_from=1, committed_round=1, commitment=b"\7" * 28)


def round_state(number, revealed=2, **facts):
    opened_at = T0 + (number - 1) * LASTS
    updates_hash = b"\6" * 31 + bytes([revealed])
    return RoundState(opened_at=opened_at, active=3, updates_hash=updates_hash, **facts)


def final(number, **facts):
    published_at = T0 + (number - 1) * LASTS + 60
    roots = {"model_root": b"\2" * 32, "publisher": ANNA}
    return round_state(number, published_at=published_at, settled=True, **roots, **facts)


class Asked:
    """A chain with these rounds, seats and events; `calls` is what was asked of the first two."""

    def __init__(self, *states, seats=None, events=(), params=PARAMS):
        self.known_params = {TASK: params}
        self.states = states
        self.seats = seats or {}
        happened = tuple(
            Happened(number, 0, event, arguments)
            for number, (event, arguments) in enumerate(events)
        )
        self.events = SimpleNamespace(until=lambda _block, _topics: happened)
        self.calls = []

    def call(self, function, _task_id, which=None, *, at):  # noqa: ARG002 - as it is called
        if function == "taskState":
            state = TaskState(sponsor=ANNA, round=len(self.states), seats=3, active=3)
            return (astuple(state),)
        self.calls.append((function, which))
        if function == "roundState":
            return (astuple(self.states[which - 1]),)
        return (astuple(self.seats.get(which, Seat())),)

    def at(self, now=T0 + 10 * LASTS):
        return Snapshot(self, Block(7, b"\7" * 32, now))


def committed(*participants, number=1):
    return ("UpdatesCommitted", {"participants": participants, "round": number})


def revealed(*participants, number=1):
    updates = tuple((participant, b"\1" * 32, 4) for participant in participants)
    return ("UpdatesRevealed", {"updates": updates, "round": number})


def test_final_rounds_wait_for_distribution_in_their_order_and_void_ones_do_not():
    chain = Asked(
        round_state(1, revealed=1, settled=True),
        final(2, distributed=True),
        final(3),
        final(4),
        events=[("RoundVoided", {"round": 1}), ("RewardsDistributed", {"round": 2})],
    )

    waiting = chain.at().undistributed(TASK)
    assert next(waiting) == 3
    assert chain.calls == [("roundState", 3)], "what is over is not asked for, nor what comes later"
    assert tuple(waiting) == (4,)


def test_what_the_logs_do_not_say_the_contract_does():
    chain = Asked(round_state(1, revealed=1), final(2, distributed=True), final(3))

    snapshot = chain.at()
    assert tuple(snapshot.undistributed(TASK)) == (3,)
    assert tuple(snapshot.undistributed(TASK)) == (3,)
    assert len(chain.calls) == 3, "each is asked for once"


def test_round_that_runs_has_nothing_to_distribute():
    assert tuple(Asked(round_state(1)).at(REVEALS_OVER).undistributed(TASK)) == ()


def test_no_reward_waits_where_there_is_none():
    chain = Asked(final(1), params=replace(PARAMS, reward_wei=0))

    assert tuple(chain.at().undistributed(TASK)) == ()
    assert chain.calls == []


def test_a_commitment_is_withheld_once_reveals_are_over():
    events = [committed(ANNA, BERT, CARL), revealed(ANNA, BERT)]
    chain = Asked(round_state(1), seats={CARL: UNOPENED}, events=events)

    assert tuple(chain.at(REVEALS_OVER - 1).withheld(TASK)) == ()
    assert chain.calls == [("roundState", 1)], "nobody's seat is asked for while it can be opened"
    chain.calls.clear()
    assert tuple(chain.at(REVEALS_OVER).withheld(TASK)) == (CARL,)
    assert chain.calls == [("roundState", 1), ("seat", CARL)]


@pytest.mark.parametrize(
    "since",
    [
        ("SeatSuspended", {"participant": CARL, "round": 1}),
        ("SeatLeft", {"participant": CARL}),
        ("NormRefuted", {"participant": CARL, "round": 1}),
        ("UpdateRevealed", {"participant": CARL, "updateRoot": b"\1" * 32, "squaredNorm": 4}),
        revealed(CARL),
    ],
)
def test_who_has_nothing_unopened_any_more_is_not_asked_for(since):
    chain = Asked(round_state(1), seats={CARL: UNOPENED}, events=[committed(CARL), since])

    assert tuple(chain.at().withheld(TASK)) == ()
    assert chain.calls == []


@pytest.mark.parametrize(
    ("seat", "opened"),
    [
        (Seat(), 2),  # gone, whatever the logs say
        (replace(UNOPENED, commitment=bytes(28)), 2),
        (replace(UNOPENED, committed_round=2), 2),
        (UNOPENED, 3),  # the round was full
    ],
)
def test_nobody_is_withholding_whose_seat_or_round_says_otherwise(seat, opened):
    chain = Asked(
        round_state(1, revealed=opened),
        round_state(2),
        seats={CARL: seat},
        events=[committed(CARL)],
    )

    assert tuple(chain.at().withheld(TASK)) == ()


def test_only_the_latest_commitment_counts():
    events = [committed(BERT, CARL), revealed(BERT), committed(CARL, number=2)]
    seat = replace(UNOPENED, committed_round=2)
    chain = Asked(round_state(1), round_state(2), seats={CARL: seat}, events=events)

    assert tuple(chain.at(T0 + LASTS).withheld(TASK)) == ()
    assert tuple(chain.at().withheld(TASK)) == (CARL,)


def test_nothing_is_withheld_where_there_is_no_slice():
    chain = Asked(
        round_state(1),
        seats={CARL: UNOPENED},
        events=[committed(CARL)],
        params=replace(PARAMS, slice_wei=0),
    )

    assert tuple(chain.at().withheld(TASK)) == ()
    assert chain.calls == []
