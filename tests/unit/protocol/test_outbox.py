import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.chain.outbox import Attempt, Call, Lane, Outbox, State
from protocol.errors import ConfigError

pytestmark = pytest.mark.unit

CALL = Call("0x" + "11" * 20, b"\x01\x02", 10**30)


def _signed(nonce: int) -> Attempt:
    return Attempt(bytes([nonce]) * 32, b"raw %d" % nonce, 10**25, 1)


def _add(lane: Lane, purpose: str, chain_nonce: int = 0) -> int:
    sending, _ = lane.add(purpose, CALL, 100_000, chain_nonce, _signed)
    return sending.nonce


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def lane(path: Path) -> Lane:
    return Outbox(path).lane(1, "0xa")


def test_what_was_added_is_there_after_a_restart(path: Path) -> None:
    first = Outbox(path)
    added, fresh = first.lane(1, "0xa").add("commit", CALL, 100_000, 5, _signed)
    first.close()
    assert fresh
    assert added.call == CALL
    assert added.attempts == (_signed(5),)
    assert Outbox(path).lane(1, "0xa").find("commit") == added


def test_a_signature_that_fails_leaves_nothing(lane: Lane) -> None:
    def refuse(_nonce: int) -> Attempt:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lane.add("commit", CALL, 100_000, 5, refuse)
    assert lane.find("commit") is None
    assert _add(lane, "commit", 5) == 5


def test_a_purpose_is_added_once(lane: Lane) -> None:
    first, fresh = lane.add("commit", CALL, 100_000, 5, _signed)
    again, again_fresh = lane.add("commit", CALL, 100_000, 9, _signed)
    assert (fresh, again_fresh) == (True, False)
    assert again == first
    lane.settle(first, State.MINED)
    mined, _ = lane.add("commit", CALL, 100_000, 9, _signed)
    assert mined.nonce == 5


@pytest.mark.parametrize("outcome", [State.REVERTED, State.LOST])
def test_a_failed_purpose_is_added_anew(lane: Lane, outcome: State) -> None:
    first, _ = lane.add("commit", CALL, 100_000, 5, _signed)
    lane.settle(first, outcome)
    again, fresh = lane.add("commit", CALL, 100_000, 6, _signed)
    assert fresh
    assert (again.nonce, again.state) == (6, State.IN_FLIGHT)
    assert lane.reload(first).state is outcome


def test_nonces_continue_after_what_is_in_flight(lane: Lane) -> None:
    assert [_add(lane, purpose, 3) for purpose in ("a", "b", "c")] == [3, 4, 5]
    assert _add(lane, "d", 9) == 9
    assert [sending.purpose for sending in lane.in_flight()] == ["a", "b", "c", "d"]


def test_a_withdrawn_nonce_is_given_out_again(lane: Lane) -> None:
    for purpose in ("a", "b", "c"):
        _add(lane, purpose)
    withdrawn = lane.find("b")
    assert withdrawn is not None
    lane.withdraw(withdrawn)
    assert lane.find("b") is None
    assert _add(lane, "d") == 1
    assert _add(lane, "e") == 3


def test_a_lost_nonce_belongs_to_somebody_else(lane: Lane) -> None:
    _add(lane, "a")
    lost = lane.find("a")
    assert lost is not None
    lane.settle(lost, State.LOST)
    assert lane.in_flight() == ()
    assert _add(lane, "b", 1) == 1


def test_replacements_are_kept_in_order_and_only_once(lane: Lane) -> None:
    sending, _ = lane.add("commit", CALL, 100_000, 5, _signed)
    dearer = Attempt(b"\xaa" * 32, b"dearer", 2 * 10**25, 2)
    for _ in range(2):
        sending = lane.add_attempt(sending, dearer)
    assert sending.attempts == (_signed(5), dearer)


def test_a_reorganisation_puts_dropped_nonces_back_in_flight(lane: Lane) -> None:
    for purpose, outcome in (
        ("a", State.MINED),
        ("b", State.MINED),
        ("c", State.REVERTED),
        ("d", State.LOST),
    ):
        sending, _ = lane.add(purpose, CALL, 100_000, 0, _signed)
        lane.settle(sending, outcome)
    lane.reopen(1)
    assert [sending.purpose for sending in lane.in_flight()] == ["b", "c"]


def test_keys_and_chains_do_not_see_each_other(path: Path) -> None:
    outbox = Outbox(path)
    lanes = [outbox.lane(1, "0xa"), outbox.lane(1, "0xb"), outbox.lane(2, "0xa")]
    assert [_add(lane, "commit", 7) for lane in lanes] == [7, 7, 7]
    lanes[0].reopen(0)
    assert all(len(lane.in_flight()) == 1 for lane in lanes)


def test_two_processes_do_not_choose_the_same_nonce(path: Path) -> None:
    one, other = Outbox(path), Outbox(path)
    nonces = []

    def sign_slowly(nonce: int) -> Attempt:
        # While one writes, the other must wait: SQLite says so at once without patience.
        other._database.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.lane(1, "0xa").add("b", CALL, 100_000, 0, _signed)
        nonces.append(nonce)
        return _signed(nonce)

    one.lane(1, "0xa").add("a", CALL, 100_000, 0, sign_slowly)
    nonces.append(_add(other.lane(1, "0xa"), "b"))
    assert nonces == [0, 1]


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is long enough to look at" * 10)


def _newer(path: Path) -> None:
    Outbox(path)._database.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("spoil", [_garbage, _newer, Path.mkdir])
def test_a_file_that_is_no_outbox_is_refused(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    with pytest.raises(ConfigError, match="outbox"):
        Outbox(path)
