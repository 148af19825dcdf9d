"""Batches are sent at half and at two thirds of a window, without what would undo them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.relay_batches import Batch, due_at, weed
from orchestrator.relay_store import RelayedCommit
from protocol.errors import Reverted
from protocol.signing import SignedCommit
from tests.unit.orchestrator.relayed import SALT, found_in, opening

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("received_at", "due"),
    [([0], 56), ([50], 56), ([55], 56), ([56], 58), ([57, 56], 58), ([61], 58), ([57, 55], 56)],
)
def test_early_entries_are_due_at_half_and_later_ones_at_two_thirds(received_at, due):
    assert due_at(received_at, 50, 62) == due


def entries(count):
    blank = SignedCommit(bytes(32), bytes(32), bytes(32))
    return [RelayedCommit(f"0x{number:040x}", blank, 0) for number in range(count)]


class Contract:
    """Takes entries one after another, and refuses those it is told to, and what has no room."""

    def __init__(self, refused=(), room=64):
        self.refused, self.room, self.asked = set(refused), room, 0

    def simulate(self, given_entries):
        self.asked += 1
        for place, entry in enumerate(given_entries):
            if place == self.room:
                raise Reverted("revealUpdates", "RoundFull", {"cohort": self.room})
            if entry in self.refused:
                raise Reverted("commitUpdates", "NotSeated", {"account": entry.participant})


@given(st.integers(0, 64), st.sets(st.integers(0, 63)), st.integers(0, 64))
def test_what_goes_is_taken_and_nothing_that_could_go_is_left(count, bad, room):
    handed_in = entries(count)
    contract = Contract([handed_in[number] for number in bad if number < count], room)
    weeded = weed(handed_in, contract.simulate)
    contract.simulate(weeded.sound)
    assert list(weeded.sound) == [each for each in handed_in if each not in contract.refused][:room]
    assert {each for each, _ in weeded.refused} == set(handed_in) - set(weeded.sound)
    for entry, why in weeded.refused:
        is_own_fault = "NotSeated" in why and entry.participant in why
        assert is_own_fault or "RoundFull" in why
        assert entry in contract.refused or not is_own_fault


def test_a_sound_batch_is_simulated_once_and_a_bad_entry_found_in_a_few():
    contract = Contract()
    weed(entries(64), contract.simulate)
    assert contract.asked == 1
    handed_in = entries(64)
    spoilt = Contract([handed_in[40]])
    weed(handed_in, spoilt.simulate)
    assert spoilt.asked <= 1 + 1 + 6 + 1


def test_a_call_that_is_refused_whatever_is_in_it_is_nobodys_fault():
    def simulate(_entries):
        raise Reverted("commitUpdates", "WrongPhase", {})

    with pytest.raises(Reverted, match="WrongPhase"):
        weed(entries(3), simulate)


def test_a_batchs_name_is_its_own_and_tells_nothing():
    one, other = (Batch("revealUpdates", (opening(desk),)) for desk in (0, 1))
    assert one.name == Batch("revealUpdates", (opening(0),)).name != other.name
    assert SALT.hex() not in one.name
    votes = [Batch("relayVotes", (), found_in(root=root)) for root in (b"\1" * 32, b"\2" * 32)]
    assert votes[0].name != votes[1].name
