"""What final models were worth: one JSON line per evaluated round, appended once."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from protocol.storage import writing

_log = structlog.get_logger(__name__)


class Evaluation(NamedTuple):
    """The numbers that an evaluator gave a round's model."""

    task_id: bytes
    round: int
    model_root: bytes
    block_timestamp: int
    metrics: Mapping[str, float]


class Journal:
    """An append-only file; a line that a kill cut off counts as never written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known = {(line.task_id, line.round): line for line in self._lines()}

    def find(self, task_id: bytes, number: int, model_root: bytes) -> Evaluation | None:
        """The evaluation of a round's model, if there is one."""
        known = self._known.get((task_id, number))
        return known if known is not None and known.model_root == model_root else None

    def all(self) -> tuple[Evaluation, ...]:
        """Every evaluation, by task and round."""
        return tuple(self._known[key] for key in sorted(self._known))

    def append(self, evaluation: Evaluation) -> None:
        """Writes the evaluation of a round's model unless it is there; a later line counts.

        Raises: StorageError.
        """
        key = (evaluation.task_id, evaluation.round)
        known = self._known.get(key)
        if known is not None and known.model_root == evaluation.model_root:
            return
        line = {
            "task": "0x" + evaluation.task_id.hex(),
            "round": evaluation.round,
            "model_root": "0x" + evaluation.model_root.hex(),
            "block_timestamp": evaluation.block_timestamp,
            "metrics": dict(evaluation.metrics),
        }
        with writing(self._path), self._path.open("ab") as file:
            # A torn line may end the file: a line break before ours keeps it from swallowing ours.
            start = b"" if self._ends_cleanly() else b"\n"
            file.write(start + json.dumps(line, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._known[key] = evaluation

    def _ends_cleanly(self) -> bool:
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                return True
            file.seek(size - 1)
            return file.read(1) == b"\n"

    def _lines(self) -> Iterator[Evaluation]:
        if not self._path.exists():
            return
        for number, text in enumerate(self._path.read_bytes().splitlines(), start=1):
            try:
                line = json.loads(text)
                yield Evaluation(
                    bytes.fromhex(line["task"][2:]),
                    line["round"],
                    bytes.fromhex(line["model_root"][2:]),
                    line["block_timestamp"],
                    line["metrics"],
                )
            except (ValueError, KeyError, TypeError):
                if text:
                    _log.warning("journal_line_skipped", file=self._path, line=number)
