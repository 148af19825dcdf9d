"""What was written is on the disk; a transaction is whole or nothing; another file is refused."""

import re
import sqlite3
from pathlib import Path

import pytest

from protocol.database import Database
from protocol.errors import ConfigError, StorageError

pytestmark = pytest.mark.unit

SCHEMA = "CREATE TABLE entry (name TEXT UNIQUE) STRICT;"


def opened(path: Path, version: int = 1) -> Database:
    return Database(path, name="the file", schema=SCHEMA, version=version)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries.sqlite"


def names(database: Database) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM entry")]


def test_rows_are_on_the_disk_when_a_call_returns(path: Path) -> None:
    database = opened(path)
    assert database.execute("PRAGMA journal_mode") == [("wal",)]
    assert database.execute("PRAGMA synchronous") == [(2,)]
    database.execute("INSERT INTO entry VALUES (?)", "anna")

    assert names(opened(path)) == ["anna"]


def test_transaction_that_fails_leaves_nothing(path: Path) -> None:
    database = opened(path)

    def write_twice() -> None:
        with database.transaction():
            database.execute("INSERT INTO entry VALUES (?)", "anna")
            database.execute("INSERT INTO entry VALUES (?)", "anna")

    with pytest.raises(sqlite3.IntegrityError):
        write_twice()

    assert names(database) == []
    with database.transaction():
        database.execute("INSERT INTO entry VALUES (?)", "bert")
    assert names(database) == ["bert"]


def test_nobody_else_comes_between(path: Path) -> None:
    one, other = opened(path), opened(path)
    # While one writes, the other must wait: SQLite says so at once without patience.
    other.execute("PRAGMA busy_timeout = 0")
    with (
        one.transaction(),
        pytest.raises(sqlite3.OperationalError, match="locked"),
        other.transaction(),
    ):
        pass


def test_full_disk_is_an_expected_error_that_loses_nothing(path: Path) -> None:
    database = opened(path)
    database.execute("INSERT INTO entry VALUES (?)", "anna")
    ((pages,),) = database.execute("PRAGMA page_count")
    database.execute(f"PRAGMA max_page_count = {pages}")
    large = "x" * 100_000

    with pytest.raises(StorageError, match=re.escape(f"{path} cannot be written: database or")):
        database.execute("INSERT INTO entry VALUES (?)", large)

    def write_in_a_transaction() -> None:
        with database.transaction():
            database.execute("INSERT INTO entry VALUES (?)", "bert")
            database.execute("INSERT INTO entry VALUES (?)", large)

    with pytest.raises(StorageError):
        write_in_a_transaction()
    assert names(opened(path)) == ["anna"]

    database.execute(f"PRAGMA max_page_count = {2 * pages + 100}")
    write_in_a_transaction()
    assert names(opened(path)) == ["anna", "bert", large]


def test_transaction_that_the_disk_refuses_at_its_end_is_undone(path: Path) -> None:
    database = opened(path)
    database._connection = Refusing(database._connection)

    def write() -> None:
        with database.transaction():
            database.execute("INSERT INTO entry VALUES (?)", "anna")

    with pytest.raises(StorageError):
        write()
    assert names(database) == []
    write()
    assert names(opened(path)) == ["anna"]


class Refusing:
    """A connection whose first commit finds the disk full."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._refuses = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement == "COMMIT" and self._refuses:
            self._refuses = False
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise full
        return self._connection.execute(statement, *values)


def test_file_of_another_version_is_refused(path: Path) -> None:
    opened(path).close()

    with pytest.raises(ConfigError, match="the file has version 1, wanted 2"):
        opened(path, version=2)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"none" * 200), Path.mkdir])
def test_file_that_is_none_is_refused(path: Path, spoil) -> None:
    spoil(path)

    with pytest.raises(ConfigError, match=r"the file .* cannot be opened"):
        opened(path)
