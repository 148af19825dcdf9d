"""Sends other participants' commitments, openings and votes, many in one transaction.

What is handed in is held against the facts of the latest tick, so that no request asks the chain.
Whoever is left out has the last third of the window to send directly, so a relay that is silent
delays nobody.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace

import structlog

from orchestrator.reading import RoundReading, TaskReading
from orchestrator.relay_batches import MAX_ENTRIES, Batch, Simulate, due_at, weed
from orchestrator.relay_checks import (
    Refusal,
    check_commit,
    check_opening,
    check_vote,
    why_not_vote,
)
from orchestrator.relay_store import (
    Entry,
    Kept,
    RelayedCommit,
    RelayedOpening,
    RelayedVote,
    RelayStore,
)
from protocol import rounds
from protocol.commitment import stored_commitment
from protocol.recompute import Result, Roots
from protocol.signing import Signature, SignedCommit, SigningDomain
from protocol.state import Phase

_log = structlog.get_logger(__name__)


class Relay:
    """Takes in what requests bring and hands out what a tick sends; each has threads of its own."""

    def __init__(self, store: RelayStore, *, chain_id: int, contract: str) -> None:
        self._store = store
        self._chain_id = chain_id
        self._contract = contract
        self._readings: Mapping[bytes, TaskReading] = {}

    @property
    def readings(self) -> tuple[TaskReading, ...]:
        """The tasks that are relayed, as the latest tick saw them."""
        return tuple(self._readings.values())

    def show(self, reading: TaskReading) -> None:
        """Takes over a task's facts, and forgets what belongs to earlier rounds."""
        known = self._readings.get(reading.task_id)
        if known is None or known.state.round != reading.state.round:
            self._store.forget_before(reading.task_id, reading.state.round)
        self._readings = {**self._readings, reading.task_id: reading}

    # ------------------------------------------------------------------------------------ taking in

    def take_commit(
        self, task_id: bytes, number: int, participant: str, signed: SignedCommit
    ) -> Refusal | None:
        """Keeps a signed commitment on disk, unless there is a reason not to."""
        reading = self._readings.get(task_id)
        if reading is None:
            return _not_relayed(task_id)
        domain = SigningDomain(self._chain_id, self._contract, task_id, number)
        refusal = check_commit(reading, domain, participant, signed)
        if refusal is not None:
            return refusal
        known = _of(participant, self._store.commits(task_id, number))
        seat = reading.seats[participant]
        if not known and seat.committed_in(number):
            is_same = seat.commitment == stored_commitment(signed.commitment)
            return None if is_same else Refusal(409, f"{participant} has committed directly")
        commit = RelayedCommit(participant, signed, reading.block.timestamp)
        if self._store.keep_commit(task_id, number, commit) is Kept.CONFLICTING:
            _log.warning("equivocation", task=task_id, round=number, participant=participant)
            return Refusal(409, f"{participant} has signed two commitments to round {number}")
        return _why_dropped(known)

    def take_opening(self, task_id: bytes, number: int, opening: RelayedOpening) -> Refusal | None:
        """Keeps what opens a commitment on disk, unless there is a reason not to."""
        reading = self._readings.get(task_id)
        if reading is None:
            return _not_relayed(task_id)
        refusal = check_opening(
            reading, number, opening, chain_id=self._chain_id, contract=self._contract
        )
        if refusal is None and opening.participant in self.evidence(reading):
            # Once it is opened, nobody can slash it for having signed two.
            refusal = Refusal(409, f"{opening.participant} has signed two commitments")
        if refusal is not None:
            return refusal
        stamped = replace(opening, received_at=reading.block.timestamp)
        self._store.keep_opening(task_id, number, stamped)
        return _why_dropped(_of(opening.participant, self._store.openings(task_id, number)))

    def take_vote(
        self,
        task_id: bytes,
        number: int,
        participant: str,
        found: Result,
        signature: Signature,
    ) -> Refusal | None:
        """Keeps a signed vote on disk, unless there is a reason not to."""
        reading = self._readings.get(task_id)
        if reading is None:
            return _not_relayed(task_id)
        domain = SigningDomain(self._chain_id, self._contract, task_id, number)
        refusal = check_vote(reading, domain, participant, found, signature)
        if refusal is not None:
            return refusal
        vote = RelayedVote(participant, found, signature, reading.block.timestamp)
        self._store.keep_vote(task_id, number, vote)
        known = [
            kept
            for kept in self._votes_of_these_updates(reading)
            if kept.participant == participant
        ]
        if any(kept.found != found for kept in known):
            return Refusal(409, f"{participant} has signed another vote, which came first")
        return _why_dropped(known)

    # ---------------------------------------------------------------------------------- handing out

    def batch(self, reading: TaskReading) -> Batch | None:
        """What is to be sent in a task now."""
        latest, at = reading.latest, self.due_at(reading)
        if latest is None or at is None or at > reading.block.timestamp:
            return None
        if latest.phase is Phase.COMMIT:
            return Batch("commitUpdates", self.commits(reading)[:MAX_ENTRIES])
        if latest.phase is Phase.CHALLENGE:
            return _most_alike(self.votes(reading), latest.votes)
        room = reading.params.cohort - latest.state.revealed
        return Batch("revealUpdates", self.openings(reading)[:room])

    def due_at(self, reading: TaskReading) -> int | None:
        """When what waits in a task is to be sent; None if nothing waits."""
        latest, now = reading.latest, reading.block.timestamp
        if latest is None:
            return None
        ends, place = latest.deadlines, (reading.task_id, latest.number)
        waiting: Sequence[Entry]
        handed_in: Sequence[Entry]
        if latest.phase in {Phase.SELECTION, Phase.COMMIT}:
            window, is_missing = (ends.selection, ends.commit), _is_to_commit
            waiting, handed_in = self.commits(reading), self._store.commits(*place)
        elif latest.phase is Phase.REVEAL:
            window, is_missing = (ends.commit, ends.reveal), _is_to_open
            waiting, handed_in = self.openings(reading), self._store.openings(*place)
        elif latest.phase is Phase.CHALLENGE:
            window, is_missing = (latest.state.published_at, ends.challenge), _is_to_vote
            waiting, handed_in = self.votes(reading), self._votes_of_these_updates(reading)
        else:
            return None
        if not waiting:
            return None
        there = {entry.participant for entry in handed_in}
        is_whole = not any(is_missing(reading, who) for who in reading.seats if who not in there)
        if is_whole or self._refutes(latest, reading):
            return max(now, window[0])
        return due_at([entry.received_at for entry in waiting], *window)

    def commits(self, reading: TaskReading) -> tuple[RelayedCommit, ...]:
        """The signed commitments that may still be sent, in order of arrival."""
        waiting: dict[str, RelayedCommit] = {}
        for commit in self._store.commits(reading.task_id, reading.state.round):
            # Of two the first: once that is on chain, both prove an equivocation.
            if not commit.dropped and _is_to_commit(reading, commit.participant):
                waiting.setdefault(commit.participant, commit)
        return tuple(waiting.values())

    def openings(self, reading: TaskReading) -> tuple[RelayedOpening, ...]:
        """The openings that may still be sent, in order of arrival."""
        return tuple(
            opening
            for opening in self._store.openings(reading.task_id, reading.state.round)
            if not opening.dropped and _is_to_open(reading, opening.participant)
        )

    def votes(self, reading: TaskReading) -> tuple[RelayedVote, ...]:
        """The votes that may still be sent, in order of arrival."""
        return tuple(
            vote
            for vote in self._votes_of_these_updates(reading)
            if not vote.dropped and _is_to_vote(reading, vote.participant)
        )

    def _votes_of_these_updates(self, reading: TaskReading) -> tuple[RelayedVote, ...]:
        """A reorganisation may have changed what the round includes since others came in."""
        latest = reading.latest
        if latest is None:
            return ()
        computed_from = (latest.state.updates_hash, latest.state.unavailable)
        return tuple(
            vote
            for vote in self._store.votes(reading.task_id, latest.number)
            if (vote.found.updates_hash, vote.found.unavailable) == computed_from
        )

    def _refutes(self, latest: RoundReading, reading: TaskReading) -> bool:
        """Whether votes that wait, with those cast, refute what is published."""
        return latest.phase is Phase.CHALLENGE and any(
            rounds.is_outvoted(reading.params, latest.state, votes)
            for found, votes in _votes_then(self.votes(reading), latest.votes).items()
            if not found.roots.are_published(latest.state)
        )

    def dropped(self, reading: TaskReading) -> Mapping[str, str]:
        """Whose entries of the latest round will never be sent, and why."""
        place = (reading.task_id, reading.state.round)
        entries: Sequence[Entry] = (
            *self._store.commits(*place),
            *self._store.openings(*place),
            *self._store.votes(*place),
        )
        return {entry.participant: entry.dropped for entry in entries if entry.dropped}

    def evidence(self, reading: TaskReading) -> Mapping[str, tuple[SignedCommit, SignedCommit]]:
        """The two commitments of everybody who signed two to the latest round."""
        signed: dict[str, list[SignedCommit]] = {}
        for commit in self._store.commits(reading.task_id, reading.state.round):
            signed.setdefault(commit.participant, []).append(commit.signed)
        return {who: (found[0], found[1]) for who, found in signed.items() if len(found) > 1}

    def slashable(self, reading: TaskReading) -> str | None:
        """Whoever signed two commitments and can lose a slice for it now."""
        latest = reading.latest
        if latest is None or latest.phase not in {Phase.COMMIT, Phase.REVEAL}:
            return None
        if reading.params.slice_wei == 0:
            return None
        found = self.evidence(reading)
        return next((who for who in found if _is_to_open(reading, who)), None)

    def weed(self, reading: TaskReading, batch: Batch, simulate: Simulate) -> Batch:
        """Gives up what makes a batch revert, and returns the rest of it. Raises: Reverted."""
        weeded = weed(batch.entries, simulate)
        for entry, why in weeded.refused:
            _log.warning("relay_dropped", participant=entry.participant, why=why)
            self._store.drop(reading.task_id, reading.state.round, entry, why)
        return batch._replace(entries=weeded.sound)


def _is_to_commit(reading: TaskReading, participant: str) -> bool:
    if reading.why_not_commit(participant) is not None:
        return False
    return not reading.seats[participant].committed_in(reading.state.round)


def _is_to_open(reading: TaskReading, participant: str) -> bool:
    seat, number = reading.seats.get(participant), reading.state.round
    return seat is not None and seat.committed_in(number) and not seat.revealed_in(number)


def _is_to_vote(reading: TaskReading, participant: str) -> bool:
    return why_not_vote(reading, participant) is None


def _votes_then(votes: Sequence[RelayedVote], cast: Mapping[Roots, Sized]) -> Mapping[Result, int]:
    """Of results that votes wait for: how many each has with these and those that are cast."""
    waiting = Counter(vote.found for vote in votes)
    return {found: count + len(cast.get(found.roots, ())) for found, count in waiting.items()}


def _most_alike(votes: Sequence[RelayedVote], cast: Mapping[Roots, Sized]) -> Batch:
    """Of what waits the votes for the result that has most with them: a call is for one result."""
    votes_then = _votes_then(votes, cast)
    # Invariant: liars who hand in many different votes do not hold up the one that is missing.
    found = max(votes_then, key=votes_then.__getitem__)
    alike = tuple(vote for vote in votes if vote.found == found)
    return Batch("relayVotes", alike, found, votes_then[found])


def _of(participant: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    return [entry for entry in entries if entry.participant == participant]


def _why_dropped(entries: Sequence[Entry]) -> Refusal | None:
    dropped = next((entry.dropped for entry in entries if entry.dropped), None)
    return None if dropped is None else Refusal(409, f"it was given up: {dropped}")


def _not_relayed(task_id: bytes) -> Refusal:
    return Refusal(404, f"task 0x{task_id.hex()} is not relayed here")
