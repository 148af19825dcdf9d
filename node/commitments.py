"""What a node trains for a round, commits to and reveals.

The update and what was signed for it are on disk before anybody is told, so that a crash leads to
no second update and no second signature.
"""

import math
from dataclasses import replace
from typing import Protocol

import structlog
from eth_account.signers.local import LocalAccount

from node.learning.update import Precision, make_update
from node.market.panel import Floats
from node.memory import Pending, Remembered, Signed
from node.offers import Offers
from node.results import Results
from node.scoring import Judge
from node.sending import Sending
from protocol import keys, rounds
from protocol.blobs import BlobStore
from protocol.chain.gateway import Chain, Snapshot
from protocol.commitment import stored_commitment, update_commitment
from protocol.encoding import encode_update
from protocol.errors import BlobError
from protocol.numbers import Int32Array, to_float
from protocol.state import Phase, Seat
from protocol.sumtree import SumTree
from protocol.task import TaskParams

log = structlog.get_logger("node")


class Trainer(Judge, Protocol):
    """What a participant's private data does to a model."""

    spec_hash: bytes
    """The model specification it trains; must be the task's."""

    @property
    def sample_count(self) -> int:
        """How many samples it trains on."""
        ...

    def train(self, model: Floats, round_number: int, before: Floats) -> Floats:
        """The model after local training; `before` is what the last final round began at.

        Shape: [d], [d] -> [d]
        """


class Commitments:
    """One key's commitments to updates in one task, and their openings."""

    def __init__(
        self,
        *,
        chain: Chain,
        account: LocalAccount,
        task_id: bytes,
        params: TaskParams,
        trainer: Trainer | None,
        precision: Precision,
        private: BlobStore,
        public: BlobStore,
        memory: Remembered,
        results: Results,
        sending: Sending,
        offers: Offers | None,
    ) -> None:
        self._chain = chain
        self._account = account
        self._task_id = task_id
        self._params = params
        self._trainer = trainer
        self._precision = precision
        self._private = private
        self._public = public
        self._memory = memory
        self._results = results
        self._sending = sending
        self._offers = offers

    # -------------------------------------------------------------------------------------- facts

    def is_committed(self, seat: Seat, number: int) -> bool:
        """Whether a seat's commitment in this round is the one to the pending update."""
        pending = self._memory.now.pending
        return (
            pending is not None
            and pending.round == number == seat.committed_round
            and stored_commitment(self._commitment(pending)) == seat.commitment
        )

    def may_sign(self, number: int) -> bool:
        """Whether nothing else was signed for this round, as far as is known."""
        signed, pending = self._memory.now.signed, self._memory.now.pending
        if signed is None or signed.round < number:
            return True
        if pending is None or not pending.round == signed.round == number:
            return False
        return self._commitment(pending) == signed.commitment

    # ------------------------------------------------------------------------------------- commit

    def commit(self, snapshot: Snapshot, number: int, *, by_relayer: bool) -> None:
        """Commits to an update, trained unless it is there already. Raises: VolquorumError."""
        pending = self._memory.now.pending
        if pending is None or pending.round != number:
            pending = self._train(snapshot, number)
        commitment = self._commitment(pending)
        if by_relayer:
            self._offer(snapshot, number, commitment)
            return
        self._sending.send(
            "commitUpdate",
            (self._task_id, number, commitment),
            f"{number}:commit:{commitment.hex()}",
        )

    def _offer(self, snapshot: Snapshot, number: int, commitment: bytes) -> None:
        if self._offers is None or not self.may_sign(number):
            raise AssertionError("decide() signs for a relayer, and one commitment a round")
        # Invariant: what is signed is on disk before anybody sees it, so that a crash cannot lead
        # to a second signature under something else.
        self._memory.save(replace(self._memory.now, signed=Signed(number, commitment)))
        self._offers.commitment(snapshot, number, commitment, self._params.commit_seconds)

    def _train(self, snapshot: Snapshot, number: int) -> Pending:
        if self._trainer is None:
            raise AssertionError("decide() lets no watcher commit")
        self._settle_residual(snapshot)
        shift, chunk_length = self._params.shift, self._params.chunk_length
        root = self._memory.now.verified_model_root
        base = self._results.model(root)
        trained = self._trainer.train(
            to_float(base, shift), number, to_float(self._before(snapshot, number, base), shift)
        )
        update = make_update(
            trained,
            base,
            self._memory.now.residual,
            shift=shift,
            max_norm=math.ldexp(math.sqrt(self._params.max_squared_norm), -shift),
            precision=self._precision,
        )
        tree = SumTree.of(update.values, chunk_length)
        self._private.put(encode_update(update.values, shift), chunk_length=chunk_length)
        pending = Pending(
            round=number,
            base_model_root=root,
            update_root=tree.root,
            tree_top=tree.top,
            squared_norm=update.squared_norm,
            residual=update.residual,
        )
        # Invariant: the update is on disk before anybody is told of it, so a crash cannot lose it.
        self._memory.save(replace(self._memory.now, pending=pending))
        return pending

    def _before(self, snapshot: Snapshot, number: int, base: Int32Array) -> Int32Array:
        """What the last final round made the base model of; itself where nobody has it any more."""
        final = snapshot.last_final_round(self._task_id, number)
        if final == 0:
            return base
        try:
            return self._results.model(snapshot.base_model_root(self._task_id, final))
        except BlobError as error:
            log.warning("base of the last final round is missing", round=final, error=str(error))
            return base

    def _settle_residual(self, snapshot: Snapshot) -> None:
        """Carry the residual on only if its update became part of a final model."""
        memory = self._memory.now
        pending = memory.pending
        if pending is None:
            return
        state = snapshot.round_state(self._task_id, pending.round)
        is_final = rounds.phase(self._params, state, snapshot.block.timestamp) is Phase.FINAL
        applied = is_final and any(
            included.update_root == pending.update_root
            for included in snapshot.included(self._task_id, pending.round)
        )
        residual = pending.residual if applied else memory.residual
        self._memory.save(replace(memory, residual=residual, pending=None))

    def _commitment(self, pending: Pending) -> bytes:
        return update_commitment(
            chain_id=self._chain.chain_id,
            contract=self._chain.contract,
            task_id=self._task_id,
            round_number=pending.round,
            base_model_root=pending.base_model_root,
            participant=self._account.address,
            update_root=pending.update_root,
            squared_norm=pending.squared_norm,
            salt=self._salt(pending.round),
        )

    def _salt(self, number: int) -> bytes:
        return keys.derive_salt(
            self._account, self._chain.chain_id, self._chain.contract, self._task_id, number
        )

    # ------------------------------------------------------------------------------------- reveal

    def reveal(self, snapshot: Snapshot, number: int, *, by_relayer: bool) -> None:
        """Serves the pending update and opens the commitment to it. Raises: VolquorumError."""
        pending = self._memory.now.pending
        if pending is None or pending.round != number:
            raise AssertionError("decide() reveals only a pending update of the latest round")
        data = self._private.get_bytes(pending.update_root, chunk_length=self._params.chunk_length)
        # Invariant: the bytes can be fetched before the chain says so.
        self._public.put(data, chunk_length=self._params.chunk_length)
        salt = self._salt(number)
        if not by_relayer:
            args = (self._task_id, number, pending.tree_top, pending.squared_norm, salt)
            self._sending.send("revealUpdate", args, f"{number}:reveal")
        elif self._offers is not None:
            self._offers.opening(
                snapshot,
                number,
                self._params.reveal_seconds,
                tree_top=pending.tree_top,
                squared_norm=pending.squared_norm,
                salt=salt,
            )
