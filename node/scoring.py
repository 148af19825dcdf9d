"""What a node thinks a round's updates are worth, where the reward depends on it.

Scores are bound by a commitment first, so that nobody copies another's, and kept until they are
revealed: judging again could give others.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import numpy as np
import structlog
from eth_account.signers.local import LocalAccount

from node.learning.contribution import SHOWN_ROUNDS, newness
from node.market.panel import Floats
from node.memory import Remembered, Scores
from node.results import Results
from node.sending import Sending
from protocol import keys
from protocol.blobs import BlobStore
from protocol.chain.gateway import Chain, Snapshot
from protocol.errors import BlobError, DataError, VerificationFailed
from protocol.numbers import Int16Array, Int32Array
from protocol.recompute import fetch_updates
from protocol.scores import scores_commitment, stored_scores_commitment
from protocol.state import RoundState, Seat
from protocol.task import RewardRule, TaskParams

log = structlog.get_logger("node")


class Judge(Protocol):
    """What a participant's private data says about others' updates."""

    def scores(
        self,
        base: Int32Array,
        updates: Int16Array,
        *,
        shift: int,
        own: int | None,
        newness: Floats | None,
    ) -> bytes:
        """A byte for each update, 0 for the judge's own; less for what is less new.

        Shape: base [d], updates [n, d], newness [n]. Raises: DataError.
        """
        ...


class Scoring:
    """One key's scores in one task."""

    def __init__(
        self,
        *,
        chain: Chain,
        account: LocalAccount,
        task_id: bytes,
        params: TaskParams,
        judge: Judge | None,
        kept: BlobStore,
        everywhere: BlobStore,
        memory: Remembered,
        results: Results,
        sending: Sending,
    ) -> None:
        self._chain = chain
        self._account = account
        self._task_id = task_id
        self._params = params
        self._judge = judge
        # Judging must not wait for servers that are asked in vain for what is old.
        self._kept = kept
        self._everywhere = everywhere
        self._memory = memory
        self._results = results
        self._sending = sending
        self._unjudged_round = 0

    def judges(self, number: int) -> bool:
        """Whether this node can tell what the updates of a round are worth, as far as is known."""
        is_asked = self._params.reward_rule is RewardRule.SCORES
        return is_asked and self._judge is not None and self._unjudged_round != number

    def is_committed(self, seat: Seat, number: int, state: RoundState) -> bool:
        """Whether a seat's commitment to scores in this round is the one to those kept here."""
        scores = self._kept_scores(number, state)
        return (
            scores is not None
            and seat.scored_round == number
            and stored_scores_commitment(self._commitment(scores)) == seat.score_commitment
        )

    def commit(self, snapshot: Snapshot, number: int, state: RoundState) -> None:
        """Binds the seat to scores, if any can be given. Raises: ChainError, StorageError."""
        scores = self._kept_scores(number, state) or self._judged(snapshot, number, state)
        if scores is None:
            self._unjudged_round = number
            return
        # Invariant: scores are on disk before they are committed to; judging again, with other
        # updates at hand, could give others that do not open the commitment.
        self._memory.save(replace(self._memory.now, scores=scores))
        commitment = self._commitment(scores)
        self._sending.send_in_time(
            "commitScores",
            (self._task_id, number, commitment),
            f"{number}:scores:{commitment.hex()}",
        )

    def _kept_scores(self, number: int, state: RoundState) -> Scores | None:
        """Those for what was revealed in this round, whatever it was before."""
        scores = self._memory.now.scores
        if scores is None or (scores.round, scores.updates_hash) != (number, state.updates_hash):
            return None
        return scores

    def _judged(self, snapshot: Snapshot, number: int, state: RoundState) -> Scores | None:
        """A score for each revealed update, 0 for what cannot be had; None if none can be given.

        Whoever cannot judge says nothing: zeros for all would be heard.
        """
        if self._judge is None:
            raise AssertionError("decide() lets no watcher give scores")
        try:
            base = self._results.model(snapshot.base_model_root(self._task_id, number))
        except BlobError as missing:
            log.warning("updates cannot be judged", round=number, reason=str(missing))
            return None
        revealed = snapshot.revealed(self._task_id, number)
        who = [update.participant for update in revealed]
        fetched: dict[int, Int16Array] = {}
        for place, update in enumerate(revealed):
            if state.is_unavailable(place):
                continue
            try:
                (fetched[place],) = fetch_updates(self._params, [update], self._everywhere)
            except (BlobError, VerificationFailed) as failure:
                log.warning("update scored 0", round=number, reason=str(failure))
        if self._account.address not in who or not fetched:
            return None
        own = who.index(self._account.address)
        updates = np.stack(list(fetched.values()))
        try:
            worth = self._judge.scores(
                base,
                updates,
                shift=self._params.shift,
                own=list(fetched).index(own) if own in fetched else None,
                newness=self._newness(snapshot, number, updates, [who[place] for place in fetched]),
            )
        except DataError as failure:
            log.warning("updates cannot be judged", round=number, reason=str(failure))
            return None
        given = bytearray(len(revealed))
        for place, score in zip(fetched, worth, strict=True):
            given[place] = score
        return Scores(number, state.updates_hash, bytes(given))

    def _newness(
        self, snapshot: Snapshot, number: int, updates: Int16Array, authors: list[str]
    ) -> Floats | None:
        """How much of each update nobody else showed in the rounds before, as far as was kept."""
        shown: list[Int16Array] = []
        shown_by: list[str] = []
        for earlier in range(max(1, number - SHOWN_ROUNDS), number):
            for update in snapshot.revealed(self._task_id, earlier):
                with suppress(BlobError, VerificationFailed):
                    shown.extend(fetch_updates(self._params, [update], self._kept))
                    shown_by.append(update.participant)
        return newness(updates, authors, np.stack(shown), shown_by) if shown else None

    def reveal(self) -> None:
        """Opens the commitment to scores. Raises: ChainError."""
        scores = self._memory.now.scores
        if scores is None:
            raise AssertionError("decide() reveals only scores that were committed to")
        self._sending.send_in_time(
            "revealScores",
            (self._task_id, scores.round, scores.given, self._salt(scores.round)),
            f"{scores.round}:reveal scores",
        )

    def _commitment(self, scores: Scores) -> bytes:
        return scores_commitment(
            chain_id=self._chain.chain_id,
            contract=self._chain.contract,
            task_id=self._task_id,
            round_number=scores.round,
            participant=self._account.address,
            scores=scores.given,
            salt=self._salt(scores.round),
        )

    def _salt(self, number: int) -> bytes:
        return keys.derive_scores_salt(
            self._account, self._chain.chain_id, self._chain.contract, self._task_id, number
        )
