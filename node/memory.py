"""What a participant remembers between ticks, in one file that is replaced atomically.

Losing it costs little but work: salts come from the key, the model from the chain's roots. Scores
that were not revealed are lost, and nothing is signed for a relayer until the next round.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from protocol.errors import ConfigError
from protocol.storage import writing

VERSION = 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pending:
    """An update that was trained for a round and whose fate is open."""

    round: int
    base_model_root: bytes
    update_root: bytes
    tree_top: bytes
    squared_norm: int
    residual: Floats
    """What the update will have left out if the update becomes part of a final model."""


@dataclass(frozen=True)
class Mismatch:
    """A published result that was refused."""

    round: int
    publication: str
    """Which publication of that round it was; a challenge makes room for another."""
    why: str
    provable: bool
    """The revealed updates have a result, so the contract can be shown that this is not it."""


@dataclass(frozen=True)
class Signed:
    """The latest round for which a relayer was given a signature."""

    round: int
    commitment: bytes
    """What was signed; empty where that is not known, so that nothing else is."""


@dataclass(frozen=True)
class Scores:
    """What this node gives the updates of a round, which it must reveal as it committed to it."""

    round: int
    updates_hash: bytes
    """Of the revealed updates that they are for."""
    given: bytes
    """A byte for each of these, in their order."""


@dataclass(frozen=True)
class Memory:
    """Facts that the chain cannot give back."""

    residual: Floats
    """Carried into the next update. Shape: [d]"""
    verified_round: int = 0
    verified_model_root: bytes = b""
    """The model this node trusts: it recomputed it, or took it by root when it first started."""
    unverified_rounds: tuple[int, ...] = ()
    """Final rounds taken over by root because their updates could not be fetched."""
    mismatch: Mismatch | None = None
    """None while all is well."""
    signed: Signed | None = None
    scores: Scores | None = None
    pending: Pending | None = field(default=None)


OfRound = TypeVar("OfRound", Signed, Scores)


class MemoryFile:
    """Loads and saves a `Memory`; a crash leaves either the old or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, dimension: int) -> Memory:
        """The last saved memory, or a blank one for a model of this dimension.

        Raises: ConfigError if the file is no memory, or another version's or another model's.
        """
        try:
            facts, residual, pending_residual = self._read()
            if facts["version"] != VERSION or residual.shape != (dimension,):
                raise ConfigError(
                    f"{self.path} holds version {facts['version']} for {residual.size} parameters, "
                    f"wanted version {VERSION} for {dimension}: use another state folder per task"
                )
            return _memory(facts, residual, pending_residual)
        except FileNotFoundError:
            return Memory(residual=np.zeros(dimension))
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"{self.path} is not a participant's memory ({type(error).__name__}: {error}): "
                "move it away; a node without one starts from the chain's latest model"
            ) from error

    def _read(self) -> tuple[dict[str, Any], Floats, Floats]:
        # Opened here: numpy would leave a file that it cannot read open.
        with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            return facts, arrays["residual"], arrays["pending_residual"]

    def save(self, memory: Memory) -> None:
        """Replace the file; returns after the bytes are on disk.

        Raises: StorageError; the file then is the old one.
        """
        pending = memory.pending
        facts = {
            "version": VERSION,
            "verified_round": memory.verified_round,
            "verified_model_root": memory.verified_model_root.hex(),
            "unverified_rounds": memory.unverified_rounds,
            "mismatch": None if memory.mismatch is None else asdict(memory.mismatch),
            "signed": _listed(memory.signed),
            "scores": _listed(memory.scores),
            "pending": None if pending is None else _pending_facts(pending),
        }
        arrays = io.BytesIO()
        np.savez(
            arrays,
            facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
            residual=memory.residual,
            pending_residual=np.zeros(0) if pending is None else pending.residual,
        )
        temporary = self.path.with_suffix(".new")
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(arrays.getbuffer())
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                # On a full disk half a file would keep the room that the next one needs.
                temporary.unlink(missing_ok=True)


class Remembered:
    """What a participant remembers now; all its parts see a change once that is on disk."""

    def __init__(self, file: MemoryFile, dimension: int) -> None:
        self._file = file
        self.now = file.load(dimension)

    def save(self, memory: Memory) -> None:
        """Remember this from now on. Raises: StorageError; nothing has changed then."""
        self._file.save(memory)
        self.now = memory


def _memory(facts: dict[str, Any], residual: Floats, pending_residual: Floats) -> Memory:
    memory = Memory(
        residual=residual,
        verified_round=facts["verified_round"],
        verified_model_root=bytes.fromhex(facts["verified_model_root"]),
        unverified_rounds=tuple(facts["unverified_rounds"]),
        mismatch=None if facts["mismatch"] is None else Mismatch(**facts["mismatch"]),
        signed=_of_round(Signed, facts["signed"]),
        scores=_of_round(Scores, facts["scores"]),
    )
    if facts["pending"] is None:
        return memory
    return replace(memory, pending=_pending(facts["pending"], pending_residual))


def _listed(of_round: Signed | Scores | None) -> list[int | str] | None:
    if of_round is None:
        return None
    number, *contents = astuple(of_round)
    return [number, *(content.hex() for content in contents)]


def _of_round(kind: Callable[..., OfRound], stored: list[Any] | None) -> OfRound | None:
    if stored is None:
        return None
    number, *contents = stored
    return kind(number, *map(bytes.fromhex, contents))


def _pending_facts(pending: Pending) -> dict[str, int | str]:
    return {
        "round": pending.round,
        "base_model_root": pending.base_model_root.hex(),
        "update_root": pending.update_root.hex(),
        "tree_top": pending.tree_top.hex(),
        "squared_norm": pending.squared_norm,
    }


def _pending(facts: dict[str, int | str], residual: Floats) -> Pending:
    return Pending(
        round=int(facts["round"]),
        base_model_root=bytes.fromhex(str(facts["base_model_root"])),
        update_root=bytes.fromhex(str(facts["update_root"])),
        tree_top=bytes.fromhex(str(facts["tree_top"])),
        squared_norm=int(facts["squared_norm"]),
        residual=residual,
    )
