"""One tick: for each task pin a block, read, mirror blobs, decide, act at most once, evaluate.

Nothing is remembered that the chain, the blob directory and the journal do not hold, so a tick may
be repeated, or cut off anywhere, without harm.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from orchestrator import results
from orchestrator.board import Board
from orchestrator.decide import (
    Action,
    Distribute,
    DrawSeats,
    Facts,
    Finalise,
    FlagUpdate,
    OpenRound,
    PostResult,
    Publish,
    ReclaimDeposit,
    RecordSeed,
    RefuteOutvoted,
    SendBatch,
    Sent,
    SlashEquivocation,
    SlashWithheld,
    VoidRound,
    Wait,
    decide,
)
from orchestrator.disputes import Disputes, flag_update, post_result
from orchestrator.duties import call, outvoted_by
from orchestrator.evaluator import Evaluator
from orchestrator.journal import Journal
from orchestrator.judge import Judge
from orchestrator.metrics import Metrics, label
from orchestrator.reading import RoundReading, TaskReader, TaskReading
from orchestrator.relay import Relay
from orchestrator.relay_batches import Batch
from orchestrator.relay_store import Entry
from orchestrator.task_blobs import TaskBlobs
from protocol import rounds
from protocol.blobs import BlobStore, DirectoryStore
from protocol.chain import seed
from protocol.chain.gateway import Chain, Snapshot
from protocol.chain.posted import PostedStore
from protocol.chain.token import value_to_send
from protocol.chain.transactor import Transactor
from protocol.errors import (
    BlobError,
    ChainUnavailable,
    RangeError,
    Reverted,
    RuleError,
    StorageError,
    VerificationFailed,
    VolquorumError,
)
from protocol.recompute import check_published
from protocol.service import Outcome
from protocol.state import Phase, RoundState

# Participants may drop old updates; a round that cannot be checked is given up after this.
_ATTEMPTS_TO_KEEP_A_RESULT = 5

_log = structlog.get_logger(__name__)


class Orchestrator:
    """Serves tasks on one contract, all unless told; without a transactor it only watches."""

    def __init__(
        self,
        chain: Chain,
        *,
        own: DirectoryStore,
        remotes: Sequence[BlobStore] = (),
        transactor: Transactor | None = None,
        task_ids: Sequence[bytes] = (),
        open_rounds: bool = True,
        flags: bool = True,
        slashes: bool = True,
        relay: Relay | None = None,
        evaluator: Evaluator | None = None,
        journal: Journal,
        board: Board | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._chain = chain
        self._own = own
        self._remotes = tuple(remotes)
        self._transactor = transactor
        self._task_ids = tuple(task_ids)
        self._open_rounds = open_rounds
        self._flags = flags
        self._slashes = slashes
        self.relay = relay
        self.board = board or Board(own, journal)
        self.metrics = metrics or Metrics()
        self._readers: dict[bytes, TaskReader] = {}
        self._disputes: dict[bytes, Disputes] = {}
        self._attempts: Counter[tuple[bytes, int, str]] = Counter()
        self._reported: set[tuple[bytes, int, bytes]] = set()
        self._judge = Judge(evaluator, journal, self.metrics)

    @property
    def serves(self) -> Mapping[str, object]:
        """Whose key, if any, moves which tasks; where none is named, all of the contract."""
        return {
            "account": None if self._transactor is None else self._transactor.address,
            "contract": self._chain.contract,
            "tasks": self._task_ids or "all",
        }

    def tick(self) -> Outcome:
        """Serves every task once.

        Raises: the first task's expected error, after the other tasks were served;
            ChainUnavailable at once, because it would be every task's.
        """
        outcomes: list[Outcome] = []
        failures: list[VolquorumError] = []
        for task_id in self._task_ids or self._chain.at(self._chain.head()).tasks():
            try:
                outcomes.append(self.tick_task(task_id))
            except ChainUnavailable:
                raise
            except VolquorumError as error:
                _log.warning("task_failed", task=task_id, why=str(error))
                self.metrics.failures.labels(label(task_id), type(error).__name__).inc()
                failures.append(error)
        if failures:
            raise failures[0]
        return _merged(outcomes)

    def tick_task(self, task_id: bytes) -> Outcome:
        """Serves one task once. Raises: VolquorumError."""
        reader = self._readers.setdefault(task_id, TaskReader(task_id))
        snapshot = self._chain.at(self._chain.head())
        reading = reader.read(snapshot)
        posted = PostedStore(self._chain, task_id, reading.params)
        blobs = TaskBlobs(reading.params, self._own, self._remotes, last_resort=posted)
        missing = self._mirror(reading, blobs)
        action = decide(self._facts(snapshot, reading, blobs, missing))
        outcome = self._act(action, reading, blobs)
        try:
            for round_reading in reading.rounds[-2:]:
                self._keep_result(reading, round_reading, blobs)
            self._judge.judge_one(reading, blobs)
        except StorageError as error:
            # What was sent is told as done; the next tick that sends nothing fails for the disk.
            if outcome.acted is None:
                raise
            _log.warning("not_written", task=task_id, why=str(error))
        finally:
            self.metrics.show(reading)
            self.board.show(reading, outcome)
        return outcome

    def _facts(
        self,
        snapshot: Snapshot,
        reading: TaskReading,
        blobs: TaskBlobs,
        missing: tuple[str, ...],
    ) -> Facts:
        task_id = reading.task_id
        disputes = self._disputes.setdefault(task_id, Disputes(task_id))
        own_address = self._transactor.address if self._transactor else None
        # Invariant: a deposit is at stake only where the operator chose the task. A stranger could
        # ask for a large one in a task of his own, and earn it by posting what he hid.
        flags = self._flags and task_id in self._task_ids
        relay = self._relay_for(reading)
        latest = reading.latest.state if reading.latest else RoundState()
        drawing = seed.standing(snapshot, reading.params, reading.state, latest)
        return Facts(
            params=reading.params,
            task_state=reading.state,
            round_state=latest,
            now=reading.block.timestamp,
            own_address=own_address,
            open_rounds=self._open_rounds,
            flags=flags,
            missing=missing,
            unfetched=disputes.unfetched(reading, blobs) if flags else None,
            owes_result=disputes.owes_result(reading, own_address),
            reclaimable=disputes.reclaimable(snapshot, reading, own_address),
            seed_known=drawing.known,
            recordable=drawing.recordable,
            outvoted_by=outvoted_by(reading, own_address),
            batch=relay.batch(reading) if relay else None,
            relay_until=relay.due_at(reading) if relay else None,
            equivocator=relay.slashable(reading) if relay and self._slashes else None,
            withholder=next(snapshot.withheld(task_id), None) if self._slashes else None,
            undistributed=next(snapshot.undistributed(task_id), None),
        )

    def _relay_for(self, reading: TaskReading) -> Relay | None:
        """The relay, if it serves this task and knows its facts now."""
        # Invariant: only participants of a task that the operator chose are paid for.
        if self.relay is None or reading.task_id not in self._task_ids:
            return None
        self.relay.show(reading)
        return self.relay

    def _mirror(self, reading: TaskReading, blobs: TaskBlobs) -> tuple[str, ...]:
        """Fetches what the latest round's result needs; returns in words what could not be had."""
        latest = reading.latest
        if latest is None or latest.phase in {Phase.FINAL, Phase.VOID}:
            self.metrics.missing.labels(label(reading.task_id)).set(0)
            return ()
        owners = {latest.base_model_root: "the base model"}
        owners |= {
            included.update_root: f"the update of {included.participant}"
            for included in latest.included
        }
        refusals = blobs.mirror(tuple(owners))
        self.metrics.missing.labels(label(reading.task_id)).set(len(refusals))
        for root, refusal in refusals.items():
            self._report_missing(reading.task_id, latest.number, owners[root], refusal)
        return tuple(owners[root] for root in refusals)

    def _report_missing(self, task_id: bytes, number: int, what: str, why: BlobError) -> None:
        """Says once who keeps a result from being computed."""
        if (task_id, number, why.root) not in self._reported:
            self._reported.add((task_id, number, why.root))
            _log.warning("blob_missing", task=task_id, round=number, what=what, why=str(why))

    def _act(self, action: Action, reading: TaskReading, blobs: TaskBlobs) -> Outcome:
        send = partial(self._send, reading)
        try:
            match action:
                case Wait(until, why):
                    return Outcome(None, until, why)
                case FlagUpdate():
                    flag_update(action, reading, send)
                case PostResult():
                    post_result(action, reading, blobs, send)
                case RecordSeed(_, block):
                    self._record_seed(reading, block)
                case SendBatch(number, batch):
                    return self._send_batch(reading, number, batch)
                case SlashEquivocation(number, participant):
                    self._slash_equivocation(reading, number, participant)
                case Publish(number, until):
                    return self._publish(reading, number, until, blobs)
                case _:
                    due = call(action, reading)
                    send(due.function, due.args, purpose=due.purpose)
        except Reverted as error:
            # Somebody else was quicker, or the clock moved on; the next tick sees what is true.
            return Outcome(None, None, str(error))
        return _acted(action)

    def _publish(self, reading: TaskReading, number: int, until: int, blobs: TaskBlobs) -> Outcome:
        latest = reading.rounds[number - 1]
        try:
            combined = results.keep(reading, results.compute(reading, latest, blobs), blobs)
        except (BlobError, VerificationFailed, RuleError, RangeError) as error:
            _log.error("round_without_result", task=reading.task_id, round=number, why=str(error))
            return Outcome(None, until, f"round {number} has no result: {error}")
        self._send(
            reading,
            "publish",
            (number, combined.result(latest.state)),
            # A round that was refuted is published once more.
            purpose=f"{number}:publish:{latest.state.restarted_at}",
            value_wei=reading.params.bond_wei,
        )
        return Outcome("publish", None, f"round {number}: model 0x{combined.model_root.hex()}")

    def _send_batch(self, reading: TaskReading, number: int, batch: Batch) -> Outcome:
        relay, transactor = self.relay, self._transactor
        if relay is None or transactor is None:
            raise AssertionError("decided to relay without a relay or a key")
        task_id, counted = reading.task_id, (label(reading.task_id), batch.function)

        def simulate(entries: Sequence[Entry]) -> None:
            tried = batch._replace(entries=tuple(entries))
            transactor.simulate(batch.function, (task_id, number, *tried.arguments))

        sound = relay.weed(reading, batch, simulate)
        self.metrics.dropped.labels(*counted).inc(len(batch.entries) - len(sound.entries))
        if not sound.entries:
            return Outcome(None, None, f"round {number}: nothing that was handed in can be sent")
        purpose = f"{number}:{batch.function}:{sound.name}"
        self._send(reading, batch.function, (number, *sound.arguments), purpose=purpose)
        self.metrics.relayed.labels(*counted).inc(len(sound.entries))
        return Outcome("relay", None, f"round {number}: {len(sound.entries)} of {batch.function}")

    def _record_seed(self, reading: TaskReading, block: int) -> None:
        if self._transactor is None:
            raise AssertionError("decided to send without a key")
        seed.record(self._transactor, reading.params.seed_source, block)
        self.metrics.actions.labels(label(reading.task_id), "record").inc()

    def _slash_equivocation(self, reading: TaskReading, number: int, participant: str) -> None:
        if self.relay is None:
            raise AssertionError("decided to slash an equivocation without a relay")
        evidence = self.relay.evidence(reading)[participant]
        arguments = (number, *(tuple(signed) for signed in evidence))
        purpose = f"{number}:equivocation:{participant}"
        self._send(reading, "slashEquivocation", arguments, purpose=purpose)

    def _send(
        self,
        reading: TaskReading,
        function: str,
        arguments: tuple[object, ...] = (),
        *,
        purpose: str,
        value_wei: int = 0,
    ) -> None:
        if self._transactor is None:
            raise AssertionError("decided to send without a key")
        name = label(reading.task_id)
        if value_wei:
            value_wei = value_to_send(self._transactor, reading.params.currency, value_wei)
        self._transactor.send(
            function,
            (reading.task_id, *arguments),
            value_wei=value_wei,
            purpose=f"{name}:{purpose}",
        )
        self.metrics.actions.labels(name, function).inc()

    def _keep_result(
        self, reading: TaskReading, round_reading: RoundReading, blobs: TaskBlobs
    ) -> None:
        """Checks somebody else's published result and keeps its blobs, or else fetches them."""
        published = round_reading.state
        roots = (published.model_root, published.aggregate_root)
        if round_reading.phase not in {Phase.CHALLENGE, Phase.FINAL}:
            return
        if all(self._own.has(root) for root in roots):
            return
        attempt = (reading.task_id, round_reading.number, rounds.publication(published))
        if self._attempts[attempt] >= _ATTEMPTS_TO_KEEP_A_RESULT:
            return
        try:
            combined = results.compute(reading, round_reading, blobs)
            check_published(combined, published)
            results.keep(reading, combined, blobs)
        except BlobError as error:
            self._attempts[attempt] += 1
            _log.warning("result_unchecked", round=round_reading.number, why=str(error))
            blobs.mirror(roots)
        except (VerificationFailed, RuleError, RangeError) as error:
            self._attempts[attempt] = _ATTEMPTS_TO_KEEP_A_RESULT
            _log.error("result_wrong", round=round_reading.number, why=str(error))
            self.metrics.wrong_results.labels(label(reading.task_id)).inc()
            blobs.mirror(roots)


def _acted(action: Sent) -> Outcome:
    names = {
        OpenRound: "open",
        RecordSeed: "record",
        DrawSeats: "draw",
        SlashEquivocation: "slash",
        SlashWithheld: "slash",
        Distribute: "distribute",
        FlagUpdate: "flag",
        PostResult: "post",
        RefuteOutvoted: "refute",
        ReclaimDeposit: "reclaim",
        Finalise: "finalise",
        VoidRound: "void",
    }
    return Outcome(names[type(action)], None, f"round {action.round}")


def _merged(outcomes: Sequence[Outcome]) -> Outcome:
    acted = ", ".join(outcome.acted for outcome in outcomes if outcome.acted is not None)
    untils = [outcome.wait_until for outcome in outcomes if outcome.wait_until is not None]
    why = "; ".join(outcome.why for outcome in outcomes) or "there is no task"
    return Outcome(acted or None, min(untils, default=None), why)
