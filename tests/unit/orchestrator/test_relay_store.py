"""What was handed in is on disk before anybody is told so, and two commitments are kept as two."""

import sqlite3

import pytest

from orchestrator.relay_store import Kept, RelayedCommit, RelayStore
from protocol.errors import ConfigError
from tests.unit.orchestrator.relayed import ADDRESSES, SALT, TASK, opening, signed, vote

pytestmark = pytest.mark.unit


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / "relay.sqlite"


@pytest.fixture
def opened(file):
    """Opens the file as often as asked, as processes that were killed would have left it."""
    stores = []

    def again():
        stores.append(RelayStore(file))
        return stores[-1]

    yield again
    for store in stores:
        store.close()


def commit(desk, **changes):
    return RelayedCommit(ADDRESSES[desk], signed(desk, **changes), received_at=5)


def test_what_was_kept_is_there_for_the_next_process_in_order_of_arrival(opened):
    store = opened()
    for desk in (1, 0):
        assert store.keep_commit(TASK, 1, commit(desk)) is Kept.NEW
        store.keep_opening(TASK, 1, opening(desk, squared_norm=2**64 - 1))
        store.keep_vote(TASK, 1, vote(desk, unavailable=2**64 - 1))
    again = opened()
    assert again.commits(TASK, 1) == (commit(1), commit(0))
    assert again.openings(TASK, 1) == tuple(
        opening(desk, squared_norm=2**64 - 1) for desk in (1, 0)
    )
    assert again.votes(TASK, 1) == tuple(vote(desk, unavailable=2**64 - 1) for desk in (1, 0))
    assert again.commits(TASK, 2) == again.commits(b"\1" * 32, 1) == ()


def test_the_same_commitment_is_kept_once(opened):
    store = opened()
    assert store.keep_commit(TASK, 1, commit(0)) is Kept.NEW
    assert store.keep_commit(TASK, 1, commit(0)) is Kept.KNOWN
    assert store.commits(TASK, 1) == (commit(0),)


def test_of_different_commitments_two_are_kept_and_all_conflict(opened):
    store = opened()
    assert store.keep_commit(TASK, 1, commit(0)) is Kept.NEW
    for squared_norm in (10, 11, 10, 9):
        again = commit(0, squared_norm=squared_norm)
        assert store.keep_commit(TASK, 1, again) is Kept.CONFLICTING
    assert store.commits(TASK, 1) == (commit(0), commit(0, squared_norm=10))


def test_an_opening_that_is_there_stays(opened):
    store = opened()
    store.keep_opening(TASK, 1, opening(0))
    store.keep_opening(TASK, 1, opening(0, squared_norm=4))
    assert store.openings(TASK, 1) == (opening(0),)


def test_a_vote_that_is_there_stays_and_one_for_other_updates_is_kept_beside_it(opened):
    store = opened()
    store.keep_vote(TASK, 1, vote(0))
    store.keep_vote(TASK, 1, vote(0, root=b"\7" * 32))
    store.keep_vote(TASK, 1, vote(0, unavailable=0))
    assert store.votes(TASK, 1) == (vote(0), vote(0, unavailable=0))


def test_what_was_given_up_stays_so_and_says_why(opened):
    store = opened()
    store.keep_commit(TASK, 1, commit(0))
    store.keep_commit(TASK, 1, commit(1))
    store.keep_opening(TASK, 1, opening(0))
    store.keep_vote(TASK, 1, vote(0))
    store.drop(TASK, 1, commit(0), "NotSeated")
    again = opened()
    assert [kept.dropped for kept in again.votes(TASK, 1)] == [""]
    again.drop(TASK, 1, vote(0), "NotIncluded")
    assert [kept.dropped for kept in again.votes(TASK, 1)] == ["NotIncluded"]
    assert [kept.dropped for kept in again.commits(TASK, 1)] == ["NotSeated", ""]
    assert [kept.dropped for kept in again.openings(TASK, 1)] == [""]


def test_earlier_rounds_are_forgotten_and_other_tasks_are_not(opened):
    store = opened()
    for task_id in (TASK, b"\1" * 32):
        store.keep_commit(task_id, 1, commit(0))
        store.keep_opening(task_id, 1, opening(0))
        store.keep_vote(task_id, 1, vote(0))
    store.forget_before(TASK, 1)
    assert store.commits(TASK, 1)
    store.forget_before(TASK, 2)
    assert store.commits(TASK, 1) == store.openings(TASK, 1) == store.votes(TASK, 1) == ()
    assert store.commits(b"\1" * 32, 1)
    assert store.openings(b"\1" * 32, 1)
    assert store.votes(b"\1" * 32, 1)


def test_nothing_shows_what_opens_a_commitment():
    assert SALT.hex() not in repr(opening(0))
    assert repr(SALT) not in repr(opening(0))


def test_a_file_of_another_version_is_refused(opened, file):
    opened().close()
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(ConfigError, match="version 9"):
        RelayStore(file)


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "relay.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="cannot be opened"):
        RelayStore(tmp_path / "relay.sqlite")
