"""What the API shows: views of each task's facts, renewed by the tick, read by many requests.

A request never asks the chain, so requests cannot become a storm on somebody's RPC server.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator import views
from orchestrator.journal import Journal
from orchestrator.reading import RoundReading, TaskReading
from protocol import rounds as round_rules
from protocol.blobs import BlobStore
from protocol.service import Outcome
from protocol.state import Phase
from protocol.task import ZERO_ADDRESS


@dataclass(frozen=True)
class TaskBoard:
    """One task's views, all of the same block."""

    summary: views.TaskSummary
    detail: views.TaskDetail
    rounds: tuple[views.Round, ...]
    participants: tuple[views.Participant, ...]
    models: tuple[views.ModelVersion, ...]


class Board:
    """The latest views of every task; written by one thread, read by many."""

    def __init__(self, own: BlobStore, journal: Journal) -> None:
        self._own = own
        self._journal = journal
        self._tasks: Mapping[bytes, TaskBoard] = {}
        self._present: set[bytes] = set()

    @property
    def tasks(self) -> tuple[TaskBoard, ...]:
        """Every task's views, in the order of their first appearance."""
        return tuple(self._tasks.values())

    def find(self, task_id: bytes) -> TaskBoard | None:
        """One task's views, if it is served here."""
        return self._tasks.get(task_id)

    def show(self, reading: TaskReading, outcome: Outcome) -> None:
        """Renews one task's views; readers see the old ones or the new ones, never a mixture."""
        summary = _summary(reading)
        board = TaskBoard(
            summary=summary,
            detail=_detail(reading, outcome, summary),
            rounds=tuple(self._round(reading, round_reading) for round_reading in reading.rounds),
            participants=_participants(reading),
            models=self._models(reading),
        )
        self._tasks = {**self._tasks, reading.task_id: board}

    def _round(self, reading: TaskReading, round_reading: RoundReading) -> views.Round:
        state = round_reading.state
        # What a void round published is nobody's model.
        counts = state.published_at != 0 and round_reading.phase is not Phase.VOID
        ends = round_reading.deadlines
        return views.Round(
            number=round_reading.number,
            phase=round_reading.phase.name.lower(),
            opened_at=state.opened_at,
            published_at=state.published_at or None,
            restarted_at=state.restarted_at or None,
            refutations=state.refutations,
            deadlines=views.Deadlines(
                selection=ends.selection,
                commit=ends.commit,
                reveal=ends.reveal,
                flag_update=ends.flag_update,
                availability=ends.availability,
                aggregator=ends.aggregator,
                aggregate=ends.aggregate,
                flag_result=ends.flag_result or None,
                post_result=ends.post_result or None,
                challenge=ends.challenge or None,
                score_commit=ends.score_commit or None,
                score_reveal=ends.score_reveal or None,
            ),
            base_model_root=round_reading.base_model_root,
            aggregate_root=state.aggregate_root if counts else None,
            model_root=state.model_root if counts else None,
            updates_hash=state.updates_hash,
            publisher=state.publisher if state.publisher != ZERO_ADDRESS else None,
            settled=state.settled,
            distributed=state.distributed,
            bond_wei=state.bond_wei,
            committed=round_reading.committed,
            revealed=tuple(
                views.Revealed(
                    participant=revealed.participant,
                    update_root=revealed.update_root,
                    squared_norm=revealed.squared_norm,
                    available=self._has(revealed.update_root),
                    standing=_standing(round_reading, index),
                    share_wei=_share_wei(round_reading, index),
                    scores=_scores(round_reading, index),
                )
                for index, revealed in enumerate(round_reading.revealed)
            ),
            included=state.included,
            result_flags=tuple(
                views.ResultFlag(
                    what=what.name.lower(),
                    flagger=flag.flagger if flag.flagger != ZERO_ADDRESS else None,
                    posted=flag.posted,
                )
                for what, flag in round_reading.result_flags.items()
            ),
            votes=tuple(
                views.Votes(
                    participants=participants,
                    is_published=roots.are_published(state),
                    **roots._asdict(),
                )
                for roots, participants in round_reading.votes.items()
            ),
            evaluation=(
                self._evaluation(reading.task_id, round_reading.number, state.model_root)
                if counts
                else None
            ),
        )

    def _models(self, reading: TaskReading) -> tuple[views.ModelVersion, ...]:
        genesis = self._model(reading.task_id, 0, reading.params.genesis_model_root, None)
        final = (
            self._model(
                reading.task_id,
                round_reading.number,
                round_reading.state.model_root,
                round_reading.state.aggregate_root,
            )
            for round_reading in reading.rounds
            if round_reading.phase == Phase.FINAL
        )
        return (genesis, *final)

    def _model(
        self, task_id: bytes, number: int, root: bytes, aggregate_root: bytes | None
    ) -> views.ModelVersion:
        return views.ModelVersion(
            round=number,
            model_root=root,
            aggregate_root=aggregate_root,
            available=self._has(root),
            blob=f"/blobs/0x{root.hex()}",
            evaluation=self._evaluation(task_id, number, root),
        )

    def _has(self, root: bytes) -> bool:
        # Blobs do not vanish, so a file that was there is not looked for again.
        if root not in self._present and self._own.has(root):
            self._present.add(root)
        return root in self._present

    def _evaluation(
        self, task_id: bytes, number: int, model_root: bytes
    ) -> Mapping[str, float] | None:
        found = self._journal.find(task_id, number, model_root)
        return None if found is None else found.metrics


def _share_wei(round_reading: RoundReading, index: int) -> int | None:
    shares = round_reading.shares_wei
    return shares[index] if round_reading.state.distributed else None


def _scores(round_reading: RoundReading, index: int) -> tuple[int, ...] | None:
    given = round_reading.scores.get(index)
    return None if given is None else tuple(given)


def _standing(
    round_reading: RoundReading, index: int
) -> Literal["included", "flagged", "excluded"]:
    if not round_reading.state.is_unavailable(index):
        return "included"
    return "flagged" if round_reading.phase == Phase.AVAILABILITY else "excluded"


def _summary(reading: TaskReading) -> views.TaskSummary:
    latest = reading.latest
    return views.TaskSummary(
        id=reading.task_id,
        sponsor=reading.state.sponsor,
        rule=reading.params.rule_in_words,
        by_votes=reading.params.by_votes,
        round=reading.state.round,
        phase=(latest.phase if latest else Phase.NONE).name.lower(),
        seats=reading.state.seats,
        active=reading.state.active,
        closed=reading.state.closed,
        ended=reading.state.ended,
        currency=reading.params.currency,
        model_root=reading.state.model_root,
    )


def _detail(reading: TaskReading, outcome: Outcome, summary: views.TaskSummary) -> views.TaskDetail:
    block = reading.block
    return views.TaskDetail(
        **dict(summary),
        block=views.Block(number=block.number, hash=block.hash, timestamp=block.timestamp),
        entering=reading.state.entering,
        pending=reading.state.pending,
        draw=_draw(reading),
        funds_wei=reading.state.funds_wei,
        params=views.shown_params(reading.params),
        next=views.Next(acted=outcome.acted, wait_until=outcome.wait_until, why=outcome.why),
    )


def _draw(reading: TaskReading) -> views.Draw | None:
    state = reading.state
    if not state.draws:
        return None
    known = not round_rules.is_undrawn(state)
    return views.Draw(
        opened_block=state.opened_block,
        draw=state.draw if known else None,
        drawn=tuple(who for who in reading.seats if reading.why_not_commit(who) is None),
    )


def _participants(reading: TaskReading) -> tuple[views.Participant, ...]:
    reveals = Counter(
        revealed.participant
        for round_reading in reading.rounds
        for revealed in round_reading.revealed
    )
    return tuple(
        views.Participant(
            address=address,
            stake_wei=seat.stake_wei,
            reward_wei=seat.reward_wei,
            active_from=None if seat.suspended else seat.active_from,
            committed_round=seat.committed_round or None,
            revealed_rounds=reveals[address],
            served=seat.served,
            missed=seat.missed,
            slashed=seat.slashed,
            samples=seat.samples,
        )
        for address, seat in reading.seats.items()
    )
