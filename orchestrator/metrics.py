"""What the orchestrator counts, for Prometheus: of this process, or of the block it read last."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from orchestrator.journal import Evaluation
from orchestrator.reading import TaskReading


class Metrics:
    """The gauges and counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        task = ["task"]
        self.head_number = self._gauge("head_number", "Number of the block read last")
        self.head_timestamp = self._gauge("head_timestamp_seconds", "Its time since 1970")
        self.suspended = self._gauge("suspended_seats", "Those that serve no round", task)
        self.slashes = self._gauge("slashes", "How often those with a seat were slashed", task)
        self.distributed = self._gauge("distributed_rounds", "Rounds whose reward is divided", task)
        self.round = self._gauge("round", "Number of the latest round", task)
        self.phase = self._gauge("phase", "Its phase, numbered as in the contract", task)
        self.seats = self._gauge("seats", "Seats taken", task)
        self.active = self._gauge("active_seats", "Those that the latest round can take", task)
        self.committed = self._gauge("committed", "Commitments in the latest round", task)
        self.revealed = self._gauge("revealed", "Revealed updates in the latest round", task)
        self.included = self._gauge("included", "Those of them that are not unavailable", task)
        self.refutations = self._gauge("refutations", "Refuted results of the latest round", task)
        self.votes = self._gauge("votes", "Votes for what is published in the latest round", task)
        self.missing = self._gauge("missing_blobs", "Blobs that could not be fetched", task)
        self.evaluated_round = self._gauge("evaluated_round", "Round evaluated last", task)
        self.evaluation = self._gauge("evaluation", "What the evaluator said", ["task", "metric"])
        self.actions = self._counter(
            "actions", "Transactions sent, by what they do", ["task", "action"]
        )
        self.relayed = self._counter(
            "relayed_entries", "Commitments, openings and votes sent for others", ["task", "call"]
        )
        self.dropped = self._counter(
            "dropped_entries", "Those handed in that the contract refused", ["task", "call"]
        )
        self.failures = self._counter(
            "tick_failures", "Ticks of a task that ended in an expected error", ["task", "error"]
        )
        self.wrong_results = self._counter(
            "wrong_results", "Published results that are not what the included updates give", task
        )

    def show(self, reading: TaskReading) -> None:
        """Takes over a task's facts."""
        name = label(reading.task_id)
        self.head_number.set(reading.block.number)
        self.head_timestamp.set(reading.block.timestamp)
        self.round.labels(name).set(reading.state.round)
        self.seats.labels(name).set(reading.state.seats)
        self.active.labels(name).set(reading.state.active)
        seats = reading.seats.values()
        self.suspended.labels(name).set(sum(seat.suspended for seat in seats))
        self.slashes.labels(name).set(sum(seat.slashed for seat in seats))
        distributed = sum(found.state.distributed for found in reading.rounds)
        self.distributed.labels(name).set(distributed)
        if reading.latest is not None:
            self.phase.labels(name).set(reading.latest.phase)
            self.committed.labels(name).set(len(reading.latest.committed))
            self.revealed.labels(name).set(len(reading.latest.revealed))
            self.included.labels(name).set(len(reading.latest.included))
            self.refutations.labels(name).set(reading.latest.state.refutations)
            self.votes.labels(name).set(reading.latest.state.votes)

    def show_evaluation(self, evaluation: Evaluation) -> None:
        """Takes over what a model was worth."""
        name = label(evaluation.task_id)
        self.evaluated_round.labels(name).set(evaluation.round)
        for metric, value in evaluation.metrics.items():
            self.evaluation.labels(name, metric).set(value)

    def _gauge(self, name: str, meaning: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(f"volquorum_{name}", meaning, labels or [], registry=self.registry)

    def _counter(self, name: str, meaning: str, labels: list[str]) -> Counter:
        return Counter(f"volquorum_{name}", meaning, labels, registry=self.registry)


def label(task_id: bytes) -> str:
    """A task's name in metrics and logs."""
    return "0x" + task_id.hex()
