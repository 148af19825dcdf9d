"""A SQLite file whose rows are on the disk when a call returns; threads and processes share it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError
from protocol.storage import unwritable

BUSY_SECONDS = 30.0

_OF_THE_DISK = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)


def _primary(failure: sqlite3.Error) -> int:
    """SQLite's result code; an extended one has it in its lowest byte."""
    return getattr(failure, "sqlite_errorcode", 0) & 0xFF


class Database:
    """One file, or `:memory:`, with one version of one schema.

    `name` is what people call it. Raises: ConfigError if it cannot be opened, or another
    version wrote it; StorageError if the disk is full.
    """

    def __init__(self, path: Path | str, *, name: str, schema: str, version: int) -> None:
        self._path = path
        # Python refuses other threads; this lock is what makes them safe.
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit returns when the row is on the disk, not merely on its way.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._create(name, schema, version)
        except sqlite3.Error as failure:
            if _primary(failure) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
                raise unwritable(path, str(failure)) from failure
            raise ConfigError(
                f"{name} {path} cannot be opened: {failure}; wanted a database that an earlier run "
                "wrote, or none: bring it back from a copy, or move it away"
            ) from failure

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Runs one statement, durable on return unless inside a transaction.

        Raises: StorageError if the file cannot be written now; nothing of it is then.
        """
        with self._lock, self._writing():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and no other process in between. Raises: StorageError as `execute`."""
        with self._lock, self._writing():
            # IMMEDIATE: a second process must not read between this one's reading and writing.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as failure:
            if _primary(failure) not in _OF_THE_DISK:
                raise
            raise unwritable(self._path, str(failure)) from failure

    def close(self) -> None:
        """Closes the file; what was written stays."""
        with self._lock:
            self._connection.close()

    def _create(self, name: str, schema: str, version: int) -> None:
        with self.transaction():
            ((found,),) = self.execute("PRAGMA user_version")
            if found == 0:
                for statement in filter(str.strip, schema.split(";")):
                    self.execute(statement)
                self.execute(f"PRAGMA user_version = {version}")
            elif found != version:
                raise ConfigError(f"{name} has version {found}, wanted {version}")
