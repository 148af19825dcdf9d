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
        for evaluation in journal.all():
            metrics.show_evaluation(evaluation)

    def judge_one(self, reading: TaskReading, blobs: TaskBlobs) -> None:
        """Evaluates one model at most, because that may take long."""
        if self._evaluator is None:
            return
        pending = self._first_unjudged(reading, blobs)
        if pending is None:
            return
        root = pending.state.model_root
        try:
            model = results.model(blobs, root, reading.params.chunk_length)
            found = self._evaluator(model, reading.params.shift)
        except VolquorumError as error:
            # A judge that fails must not stop the rounds.
            self._failures[root] += 1
            _log.warning("evaluation_failed", round=pending.number, why=str(error))
            return
        # JSON has no word for a number that is none.
        numbers = {name: float(value) for name, value in found.items() if math.isfinite(value)}
        evaluation = Evaluation(
            reading.task_id, pending.number, root, reading.block.timestamp, numbers
        )
        self._journal.append(evaluation)
        self._metrics.show_evaluation(evaluation)
        _log.info("evaluated", round=pending.number, metrics=numbers)

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
