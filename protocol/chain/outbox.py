"""What a key has promised to the chain: every transaction is on disk before it is on the wire.

One sending per purpose, one attempt per signed transaction. Whoever restarts finds the very bytes
that may have been sent, so sending again sends the same transaction and never a second one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

from protocol.database import Database

IN_MEMORY = ":memory:"
_VERSION = 1
_SCHEMA = """
CREATE TABLE sending (
    id INTEGER PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    sender TEXT NOT NULL,
    purpose TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    receiver TEXT,
    calldata BLOB NOT NULL,
    value_wei TEXT NOT NULL,
    gas INTEGER NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (chain_id, sender, purpose)
) STRICT;
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    sending INTEGER NOT NULL REFERENCES sending (id) ON DELETE CASCADE,
    tx_hash BLOB NOT NULL,
    raw BLOB NOT NULL,
    max_fee_wei TEXT NOT NULL,
    tip_wei TEXT NOT NULL,
    UNIQUE (sending, tx_hash)
) STRICT;
"""
_SENDINGS = (
    "SELECT id, purpose, nonce, receiver, calldata, value_wei, gas, state FROM sending "
    "WHERE chain_id = ? AND sender = ?"
)


class State(StrEnum):
    """What became of a sending."""

    IN_FLIGHT = "in flight"
    MINED = "mined"
    REVERTED = "reverted"
    LOST = "lost"


FAILED = frozenset({State.REVERTED, State.LOST})
"""Outcomes after which the same purpose may be tried anew."""


@dataclass(frozen=True)
class Call:
    """What is to be done on chain; no receiver: a contract is created."""

    receiver: str | None
    calldata: bytes
    value_wei: int


@dataclass(frozen=True)
class Attempt:
    """A signed transaction and the fees it offers; a legacy one has no tip."""

    tx_hash: bytes
    raw: bytes
    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True)
class Sending:
    """One purpose: a call, the nonce it got, and every transaction signed for it."""

    id: int
    purpose: str
    nonce: int
    call: Call
    gas: int
    state: State
    attempts: tuple[Attempt, ...]


class Outbox:
    """The SQLite file (or memory) that keeps sendings; several keys and processes may share it.

    Raises:
        ConfigError: the file cannot be opened, or another version wrote it.
    """

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path, name="the outbox", schema=_SCHEMA, version=_VERSION)

    def lane(self, chain_id: int, sender: str) -> "Lane":
        """One key's sendings on one chain."""
        return Lane(self._database, chain_id, sender)

    def close(self) -> None:
        """Closes the file; what was written stays."""
        self._database.close()


class Lane:
    """One key's sendings on one chain: the nonces in use and what they are used for."""

    def __init__(self, database: Database, chain_id: int, sender: str) -> None:
        self._database = database
        self._owner = (chain_id, sender)

    def find(self, purpose: str) -> Sending | None:
        """The latest sending for a purpose, if there was one."""
        found = self._select("purpose = ?", purpose)
        return found[0] if found else None

    def reload(self, sending: Sending) -> Sending:
        """The same sending with what was written since."""
        (found,) = self._select("id = ?", sending.id)
        return found

    def in_flight(self) -> tuple[Sending, ...]:
        """What was signed and has no known outcome, by nonce."""
        return self._select("state = ?", State.IN_FLIGHT)

    def add(
        self,
        purpose: str,
        call: Call,
        gas: int,
        chain_nonce: int,
        sign: Callable[[int], Attempt],
    ) -> tuple[Sending, bool]:
        """Gives the call the lowest free nonce and stores what `sign` makes of it.

        Returns the purpose's sending and whether it is new; another process may have been faster.
        """
        # Invariant: two processes do not choose a nonce at the same time.
        with self._database.transaction():
            known = self.find(purpose)
            if known is not None and known.state not in FAILED:
                return known, False
            if known is not None:
                # A failed one makes room but stays: a reorganisation can free its nonce again.
                renamed = f"{purpose}#{known.id}"
                self._execute("UPDATE sending SET purpose = ? WHERE id = ?", renamed, known.id)
            nonce = self._free_nonce(chain_nonce)
            self._execute(
                "INSERT INTO sending (chain_id, sender, purpose, nonce, receiver, calldata, "
                "value_wei, gas, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(*self._owner, purpose, nonce, call.receiver, call.calldata),
                *(str(call.value_wei), gas, State.IN_FLIGHT),
            )
            return self.add_attempt(self._existing(purpose), sign(nonce)), True

    def add_attempt(self, sending: Sending, attempt: Attempt) -> Sending:
        """Stores one more signed transaction for the same nonce."""
        # Ignored if known: signatures are deterministic, and two processes may sign the same.
        self._execute(
            "INSERT OR IGNORE INTO attempt (sending, tx_hash, raw, max_fee_wei, tip_wei) "
            "VALUES (?, ?, ?, ?, ?)",
            *(sending.id, attempt.tx_hash, attempt.raw),
            *(str(attempt.max_fee_wei), str(attempt.tip_wei)),
        )
        return self.reload(sending)

    def settle(self, sending: Sending, state: State) -> None:
        """Records an outcome."""
        self._execute("UPDATE sending SET state = ? WHERE id = ?", state, sending.id)

    def withdraw(self, sending: Sending) -> None:
        """Forgets a sending that no node ever took."""
        self._execute("DELETE FROM sending WHERE id = ?", sending.id)

    def reopen(self, chain_nonce: int) -> None:
        """Puts back in flight what a reorganisation has dropped: nonces that are free again."""
        self._execute(
            "UPDATE sending SET state = ? "
            "WHERE chain_id = ? AND sender = ? AND nonce >= ? AND state IN (?, ?)",
            *(State.IN_FLIGHT, *self._owner, chain_nonce, State.MINED, State.REVERTED),
        )

    def _free_nonce(self, chain_nonce: int) -> int:
        rows = self._execute(
            "SELECT nonce FROM sending WHERE chain_id = ? AND sender = ? AND nonce >= ? "
            "AND state != ?",
            *(*self._owner, chain_nonce, State.LOST),
        )
        taken = {nonce for (nonce,) in rows}
        # The lowest free one, because a gap would hold up everything after it.
        return next(nonce for nonce in count(chain_nonce) if nonce not in taken)

    def _existing(self, purpose: str) -> Sending:
        (found,) = self._select("purpose = ?", purpose)
        return found

    def _select(self, condition: str, value: str | int) -> tuple[Sending, ...]:
        rows = self._execute(f"{_SENDINGS} AND {condition} ORDER BY nonce", *(*self._owner, value))
        return tuple(
            Sending(
                *(row_id, purpose, nonce, Call(receiver, calldata, int(value_wei))),
                *(gas, State(state), self._attempts(row_id)),
            )
            for row_id, purpose, nonce, receiver, calldata, value_wei, gas, state in rows
        )

    def _attempts(self, sending_id: int) -> tuple[Attempt, ...]:
        rows = self._execute(
            "SELECT tx_hash, raw, max_fee_wei, tip_wei FROM attempt WHERE sending = ? ORDER BY id",
            sending_id,
        )
        return tuple(
            Attempt(tx_hash, raw, int(max_fee_wei), int(tip_wei))
            for tx_hash, raw, max_fee_wei, tip_wei in rows
        )

    def _execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, *values)
