"""What participants handed in to be relayed, on disk before they are told so.

Of one participant's signed commitments to one round two are kept: more prove nothing that these do
not.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from protocol.database import Database
from protocol.recompute import Result
from protocol.signing import Signature, SignedCommit

_VERSION = 2
_KEPT_COMMITS = 2
_SCHEMA = """
CREATE TABLE signed_commit (
    id INTEGER PRIMARY KEY,
    task BLOB NOT NULL,
    round INTEGER NOT NULL,
    participant TEXT NOT NULL,
    commitment BLOB NOT NULL,
    r BLOB NOT NULL,
    vs BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    dropped TEXT NOT NULL,
    UNIQUE (task, round, participant, commitment)
) STRICT;
CREATE TABLE opening (
    id INTEGER PRIMARY KEY,
    task BLOB NOT NULL,
    round INTEGER NOT NULL,
    participant TEXT NOT NULL,
    tree_top BLOB NOT NULL,
    squared_norm TEXT NOT NULL,
    salt BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    dropped TEXT NOT NULL,
    UNIQUE (task, round, participant)
) STRICT;
CREATE TABLE vote (
    id INTEGER PRIMARY KEY,
    task BLOB NOT NULL,
    round INTEGER NOT NULL,
    participant TEXT NOT NULL,
    updates_hash BLOB NOT NULL,
    unavailable TEXT NOT NULL,
    aggregate_root BLOB NOT NULL,
    model_root BLOB NOT NULL,
    r BLOB NOT NULL,
    vs BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    dropped TEXT NOT NULL,
    UNIQUE (task, round, participant, updates_hash, unavailable)
) STRICT;
"""


@dataclass(frozen=True)
class RelayedCommit:
    """A commitment that its participant signed."""

    participant: str
    signed: SignedCommit
    received_at: int
    """Chain time, as known when it came in."""
    dropped: str = ""
    """Why it will not be sent; empty while it may be."""

    @property
    def argument(self) -> tuple[object, ...]:
        """What `commitUpdates` takes."""
        return tuple(self.signed)


@dataclass(frozen=True)
class RelayedOpening:
    """What opens a participant's commitment; a secret until it is revealed, so it shows nothing."""

    participant: str
    tree_top: bytes = field(repr=False)
    squared_norm: int = field(repr=False)
    salt: bytes = field(repr=False)
    received_at: int = 0
    dropped: str = ""

    @property
    def argument(self) -> tuple[object, ...]:
        """What `revealUpdates` takes."""
        return (self.participant, self.tree_top, self.squared_norm, self.salt)


@dataclass(frozen=True)
class RelayedVote:
    """A vote that its participant signed."""

    participant: str
    found: Result
    signature: Signature
    received_at: int
    dropped: str = ""

    @property
    def argument(self) -> tuple[object, ...]:
        """What `relayVotes` takes of it; the result is the whole call's."""
        return tuple(self.signature)


Entry = RelayedCommit | RelayedOpening | RelayedVote
_TABLES: dict[type[Entry], str] = {
    RelayedCommit: "signed_commit",
    RelayedOpening: "opening",
    RelayedVote: "vote",
}


class Kept(Enum):
    """What became of a commitment handed in."""

    NEW = auto()
    KNOWN = auto()
    CONFLICTING = auto()
    """The same participant signed another one for this round."""


class RelayStore:
    """A SQLite file; threads may share it.

    Raises:
        ConfigError: the file cannot be opened, or another version wrote it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = Database(path, name="the relay's file", schema=_SCHEMA, version=_VERSION)

    def keep_commit(self, task_id: bytes, number: int, commit: RelayedCommit) -> Kept:
        """Keeps a signed commitment for round `number`."""
        signed = commit.signed
        with self._database.transaction():
            known = {
                bytes(commitment)
                for (commitment,) in self._database.execute(
                    "SELECT commitment FROM signed_commit "
                    "WHERE task = ? AND round = ? AND participant = ?",
                    *(task_id, number, commit.participant),
                )
            }
            if signed.commitment in known:
                return Kept.CONFLICTING if len(known) == _KEPT_COMMITS else Kept.KNOWN
            if len(known) < _KEPT_COMMITS:
                self._database.execute(
                    "INSERT INTO signed_commit (task, round, participant, commitment, r, vs, "
                    "received_at, dropped) VALUES (?, ?, ?, ?, ?, ?, ?, '')",
                    *(task_id, number, commit.participant, *signed, commit.received_at),
                )
            return Kept.CONFLICTING if known else Kept.NEW

    def keep_opening(self, task_id: bytes, number: int, opening: RelayedOpening) -> None:
        """Keeps an opening for round `number`; one that is there already stays."""
        self._database.execute(
            "INSERT OR IGNORE INTO opening (task, round, participant, tree_top, squared_norm, "
            "salt, received_at, dropped) VALUES (?, ?, ?, ?, ?, ?, ?, '')",
            *(task_id, number, opening.participant, opening.tree_top, str(opening.squared_norm)),
            *(opening.salt, opening.received_at),
        )

    def keep_vote(self, task_id: bytes, number: int, vote: RelayedVote) -> None:
        """Keeps a vote for round `number`; one for the same updates that is there already stays."""
        found = vote.found
        self._database.execute(
            "INSERT OR IGNORE INTO vote (task, round, participant, updates_hash, unavailable, "
            "aggregate_root, model_root, r, vs, received_at, dropped) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
            *(task_id, number, vote.participant, found.updates_hash, str(found.unavailable)),
            *(found.aggregate_root, found.model_root, *vote.signature, vote.received_at),
        )

    def commits(self, task_id: bytes, number: int) -> tuple[RelayedCommit, ...]:
        """A round's signed commitments, in order of arrival."""
        rows = self._database.execute(
            "SELECT participant, commitment, r, vs, received_at, dropped FROM signed_commit "
            "WHERE task = ? AND round = ? ORDER BY id",
            *(task_id, number),
        )
        return tuple(
            RelayedCommit(participant, SignedCommit(commitment, r, vs), received_at, dropped)
            for participant, commitment, r, vs, received_at, dropped in rows
        )

    def openings(self, task_id: bytes, number: int) -> tuple[RelayedOpening, ...]:
        """A round's openings, in order of arrival."""
        rows = self._database.execute(
            "SELECT participant, tree_top, squared_norm, salt, received_at, dropped FROM opening "
            "WHERE task = ? AND round = ? ORDER BY id",
            *(task_id, number),
        )
        return tuple(
            RelayedOpening(participant, tree_top, int(squared_norm), salt, received_at, dropped)
            for participant, tree_top, squared_norm, salt, received_at, dropped in rows
        )

    def votes(self, task_id: bytes, number: int) -> tuple[RelayedVote, ...]:
        """A round's votes, in order of arrival."""
        rows = self._database.execute(
            "SELECT participant, aggregate_root, model_root, updates_hash, unavailable, r, vs, "
            "received_at, dropped FROM vote WHERE task = ? AND round = ? ORDER BY id",
            *(task_id, number),
        )
        return tuple(
            RelayedVote(
                participant,
                Result(aggregate_root, model_root, updates_hash, int(unavailable)),
                Signature(r, vs),
                received_at,
                dropped,
            )
            for (
                participant,
                aggregate_root,
                model_root,
                updates_hash,
                unavailable,
                r,
                vs,
                received_at,
                dropped,
            ) in rows
        )

    def drop(self, task_id: bytes, number: int, entry: Entry, why: str) -> None:
        """Says why an entry will never be sent."""
        table = _TABLES[type(entry)]
        self._database.execute(
            f"UPDATE {table} SET dropped = ? WHERE task = ? AND round = ? AND participant = ?",  # noqa: S608 - fixed names
            *(why, task_id, number, entry.participant),
        )

    def forget_before(self, task_id: bytes, number: int) -> None:
        """Deletes what belongs to earlier rounds: it can neither be sent nor proves anything."""
        for table in _TABLES.values():
            self._database.execute(
                f"DELETE FROM {table} WHERE task = ? AND round < ?",  # noqa: S608 - fixed names
                *(task_id, number),
            )

    def close(self) -> None:
        """Closes the file; what was kept stays."""
        self._database.close()
