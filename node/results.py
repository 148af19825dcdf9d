"""A round's result as a node computes it: what it verifies, what it publishes itself.

A node trains on a model only if it recomputed, bit for bit, each result since the model it started
from. What becomes final although its updates cannot be had is taken over by its root, so that later
rounds can still be verified and contested; nothing is trained on it unless the owner accepts it.
"""

from dataclasses import replace

import structlog

from node.memory import Mismatch, Remembered, Signed
from node.sending import Sending
from protocol import rounds
from protocol.blobs import BlobStore
from protocol.chain.gateway import Snapshot
from protocol.challenge import Case
from protocol.encoding import decode_model, encode_model, encode_update
from protocol.errors import BlobError, RangeError, RuleError, VerificationFailed
from protocol.numbers import Int32Array
from protocol.recompute import Combined, check_published, fetch_updates, recompute_round
from protocol.state import Phase, RoundState, TaskState
from protocol.task import TaskParams

log = structlog.get_logger("node")


class Results:
    """The results of one task's rounds, as far as one node has dealt with them."""

    def __init__(
        self,
        *,
        task_id: bytes,
        params: TaskParams,
        public: BlobStore,
        kept: BlobStore,
        memory: Remembered,
        sending: Sending,
        adopts: tuple[int, ...] = (),
    ) -> None:
        self._task_id = task_id
        self._params = params
        self._public = public
        self._kept = kept
        self._memory = memory
        self._sending = sending
        self._adopts = adopts

    @property
    def unverified(self) -> tuple[int, ...]:
        """Rounds taken over by root that the owner did not accept."""
        return tuple(
            number for number in self._memory.now.unverified_rounds if number not in self._adopts
        )

    def start_from(self, snapshot: Snapshot, task: TaskState, state: RoundState) -> None:
        """Take the model by its root that a participant new to a running task starts from.

        `scripts/verify_round.py` checks the rounds before that.
        """
        if not task.round or state.settled:
            verified_round, root = task.round, task.model_root
        else:
            verified_round = task.round - 1
            root = snapshot.base_model_root(self._task_id, task.round)
        # Invariant: what was signed before this memory was made is not known, so that in a round
        # that runs already nothing is signed.
        self._memory.save(
            replace(
                self._memory.now,
                verified_round=verified_round,
                verified_model_root=root,
                signed=Signed(task.round, b""),
            )
        )

    def standing_mismatch(self, snapshot: Snapshot) -> Mismatch | None:
        """What was refused and still stands on the chain; refuted, it makes room for another."""
        mismatch = self._memory.now.mismatch
        if mismatch is None:
            return None
        state = snapshot.round_state(self._task_id, mismatch.round)
        phase = rounds.phase(self._params, state, snapshot.block.timestamp)
        if phase is Phase.VOID or rounds.publication(state) != mismatch.publication:
            log.info("refused result is gone", round=mismatch.round)
            self._memory.save(replace(self._memory.now, mismatch=None))
        return self._memory.now.mismatch

    def catch_up(self, snapshot: Snapshot, until_round: int) -> None:
        """Recompute every final or contestable result up to a round, in order.

        Raises: BlobError if what the latest round includes cannot be had.
        """
        first = self._memory.now.verified_round
        # The latest round may have been verified before its result was replaced.
        for number in range(max(1, min(first + 1, until_round)), until_round + 1):
            state = snapshot.round_state(self._task_id, number)
            phase = rounds.phase(self._params, state, snapshot.block.timestamp)
            if phase in (Phase.CHALLENGE, Phase.FINAL):
                self._verify(snapshot, number, state)
            elif phase is Phase.VOID:
                # Also after a reorganisation took away a result that was verified already.
                self._adopt(number, snapshot.base_model_root(self._task_id, number))
            if self._memory.now.mismatch:
                return

    def _verify(self, snapshot: Snapshot, number: int, state: RoundState) -> None:
        memory = self._memory.now
        if (memory.verified_round, memory.verified_model_root) == (number, state.model_root):
            return
        try:
            is_right = self._is_right(snapshot, number, state)
        except BlobError as missing:
            if number == snapshot.task_state(self._task_id).round:
                raise  # somebody still serves a fresh round, or it cannot be trusted
            log.critical("round taken over unverified", round=number, reason=str(missing))
            self._adopt(number, state.model_root, is_verified=False)
            return
        if is_right:
            self._adopt(number, state.model_root)
            log.info("round verified", round=number, model_root="0x" + state.model_root.hex())

    def recompute_unverified(self, snapshot: Snapshot) -> None:
        """Try again what was taken over unverified, until one is missing or is wrong.

        Raises: BlobError if one cannot be had, so that nothing may be trained on what came of it.
        """
        for number in self.unverified:
            state = snapshot.round_state(self._task_id, number)
            try:
                is_right = self._is_right(snapshot, number, state)
            except BlobError as missing:
                raise type(missing)(
                    missing.root,
                    f"{missing.why}; round {number} is final and was not recomputed, so this node "
                    "trains on nothing that came of it unless adopt_unverified names it",
                ) from missing
            if not is_right:
                return
            memory = self._memory.now
            self._memory.save(
                replace(memory, unverified_rounds=_without(memory.unverified_rounds, number))
            )
            log.info("round verified late", round=number)

    def _is_right(self, snapshot: Snapshot, number: int, state: RoundState) -> bool:
        """Whether a result is what its updates give, and remembers it if not. Raises: BlobError."""
        combined = None
        try:
            combined = self.combined(snapshot, number)
            check_published(combined, state)
        except (VerificationFailed, RuleError, RangeError) as failure:
            # Where the included updates have no result at all, no published one can be right; the
            # contract can be shown that only of a model that leaves int32.
            provable = combined is not None or isinstance(failure, RangeError)
            log.critical("published result is wrong", round=number, reason=str(failure))
            mismatch = Mismatch(number, rounds.publication(state), str(failure), provable=provable)
            self._memory.save(replace(self._memory.now, mismatch=mismatch))
            return False
        self._public.put(
            encode_model(combined.model, self._params.shift), chunk_length=self._params.chunk_length
        )
        return True

    def _adopt(self, number: int, root: bytes, *, is_verified: bool = True) -> None:
        memory = self._memory.now
        unverified = _without(memory.unverified_rounds, number)
        if not is_verified:
            unverified = (*unverified, number)
        self._memory.save(
            replace(
                memory,
                verified_round=number,
                verified_model_root=root,
                unverified_rounds=unverified,
            )
        )

    def publish(self, snapshot: Snapshot, number: int, state: RoundState) -> None:
        """Serve a round's result and publish it. Raises: ChainError, and as `combined`."""
        combined = self.combined(snapshot, number)
        shift, chunk_length = self._params.shift, self._params.chunk_length
        # Invariant: the blobs can be fetched before the chain names them.
        for content in (
            encode_update(combined.aggregate, shift),
            encode_model(combined.model, shift),
        ):
            self._public.put(content, chunk_length=chunk_length)
        self._sending.send_in_time(
            "publish",
            (self._task_id, number, combined.result(state)),
            f"{number}:publish:{state.restarted_at}",
            self._params.bond_wei,
        )

    def combined(self, snapshot: Snapshot, number: int) -> Combined:
        """A round's right result. Raises: as `recompute_round`."""
        base = self.model(snapshot.base_model_root(self._task_id, number))
        included = snapshot.included(self._task_id, number)
        return recompute_round(self._params, base, included, self._kept)

    def case(self, snapshot: Snapshot, number: int, state: RoundState) -> Case:
        """All that a published result is compared with. Raises: BlobError, VerificationFailed."""
        revealed = snapshot.revealed(self._task_id, number)
        base = self.model(snapshot.base_model_root(self._task_id, number))
        updates = fetch_updates(self._params, snapshot.included(self._task_id, number), self._kept)
        evidence = snapshot.evidence(self._task_id, number)
        return Case(self._params, self._task_id, number, state, revealed, base, updates, evidence)

    def model(self, root: bytes) -> Int32Array:
        """A model by its root, kept among this participant's own blobs.

        Shape: [d]. Raises: BlobError.
        """
        chunk_length, shift = self._params.chunk_length, self._params.shift
        # The root does not bind the unit: what somebody serves in another one is not kept.
        data = self._kept.get_bytes(root, chunk_length=chunk_length, shift=shift)
        return decode_model(data, dimension=self._params.dimension, shift=shift)


def _without(numbers: tuple[int, ...], number: int) -> tuple[int, ...]:
    return tuple(each for each in numbers if each != number)
