"""Judges every final model once, and writes down what it was worth."""

import math
from collections import Counter

import structlog

from orchestrator import results
from orchestrator.evaluator import Evaluator
from orchestrator.journal import Evaluation, Journal
from orchestrator.metrics import Metrics
from orchestrator.reading import RoundReading, TaskReading
from orchestrator.task_blobs import TaskBlobs
from protocol.errors import VolquorumError
from protocol.state import Phase

ATTEMPTS = 5
"""After so many failures a model stays without an evaluation, so that later ones have theirs."""

_log = structlog.get_logger(__name__)


class Judge:
    """Shows a task's final models to the evaluator, oldest first."""

    def __init__(self, evaluator: Evaluator | None, journal: Journal, metrics: Metrics) -> None:
        self._evaluator = evaluator
        self._journal = journal
        self._metrics = metrics
        self._failures = Counter[bytes]()
        self._unwritten: Evaluation | None = None
        for evaluation in journal.all():
            metrics.show_evaluation(evaluation)

    def judge_one(self, reading: TaskReading, blobs: TaskBlobs) -> None:
        """Evaluates one model at most, because that may take long. Raises: StorageError."""
        # What a full disk refused is written before anything else is evaluated.
        self._unwritten = self._unwritten or self._judged(reading, blobs)
        if self._unwritten is None:
            return
        evaluation = self._unwritten
        self._journal.append(evaluation)
        self._unwritten = None
        self._metrics.show_evaluation(evaluation)
        _log.info("evaluated", round=evaluation.round, metrics=evaluation.metrics)

    def _judged(self, reading: TaskReading, blobs: TaskBlobs) -> Evaluation | None:
        if self._evaluator is None:
            return None
        pending = self._first_unjudged(reading, blobs)
        if pending is None:
            return None
        root = pending.state.model_root
        try:
            model = results.model(blobs, root, reading.params.chunk_length)
            found = self._evaluator(model, reading.params.shift)
        except VolquorumError as error:
            # A judge that fails must not stop the rounds.
            self._failures[root] += 1
            _log.warning("evaluation_failed", round=pending.number, why=str(error))
            return None
        # JSON has no word for a number that is none.
        numbers = {name: float(value) for name, value in found.items() if math.isfinite(value)}
        return Evaluation(reading.task_id, pending.number, root, reading.block.timestamp, numbers)

    def _first_unjudged(self, reading: TaskReading, blobs: TaskBlobs) -> RoundReading | None:
        for candidate in reading.rounds:
            root = candidate.state.model_root
            if (
                candidate.phase == Phase.FINAL
                and self._journal.find(reading.task_id, candidate.number, root) is None
                and self._failures[root] < ATTEMPTS
                and blobs.has(root)
            ):
                return candidate
        return None
