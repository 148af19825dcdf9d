"""What the facts that the contract keeps say of a round's updates and of a seat."""

import pytest

from protocol.state import SUSPENDED, Published, RoundState, Seat

pytestmark = pytest.mark.unit


def test_included_are_the_revealed_that_are_not_unavailable():
    state = RoundState(opened_at=1, updates_hash=bytes(31) + b"\5", unavailable=0b10010)
    assert (state.revealed, state.included) == (5, 3)
    assert [state.is_unavailable(index) for index in range(5)] == [False, True, False, False, True]


def test_a_result_flag_is_a_bit_of_its_vector():
    state = RoundState(result_flags=1 << Published.MODEL)
    assert state.is_flagged(Published.MODEL)
    assert not state.is_flagged(Published.AGGREGATE)


def test_running_hashes_tell_how_many_revealed_and_scored():
    state = RoundState(updates_hash=b"\7" * 31 + b"\3", scores_hash=b"\7" * 31 + b"\2")
    assert (state.revealed, state.scored) == (3, 2)
    assert (RoundState().revealed, RoundState().scored) == (0, 0)


@pytest.mark.parametrize(
    ("seat", "committed", "revealed"),
    [
        (Seat(), False, False),
        (Seat(active_from=1), False, False),
        (Seat(active_from=1, committed_round=2, commitment=b"\1" * 28), True, False),
        (Seat(active_from=1, committed_round=2), True, True),
        (Seat(active_from=1, committed_round=1), False, False),
    ],
)
def test_a_seat_tells_what_it_did_in_a_round(seat, committed, revealed):
    assert (seat.committed_in(2), seat.revealed_in(2)) == (committed, revealed)
    assert not seat.committed_in(0)


def test_a_suspended_seat_serves_no_round():
    assert Seat(active_from=SUSPENDED).suspended
    assert not Seat(active_from=1).suspended
