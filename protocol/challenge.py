"""A published round as one who suspects it knows it, and the call that makes the contract judge.

Of what was published only the place is sent, but who sends it must have had the bytes: a lie that
nobody serves is flagged instead (`Case.wrong` says which part). In a task by votes no proof shows a
wrong aggregate (`Case.is_for_votes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from protocol import commitment, rounds
from protocol.blobs import BlobStore
from protocol.choice import Choice, choice_of
from protocol.commitment import NO_EVIDENCE, Evidence, ProofKind
from protocol.encoding import Kind
from protocol.errors import BlobError, BlobNotFound, RangeError, VerificationFailed
from protocol.gram import Table
from protocol.numbers import Int16Array, Int32Array, add_update
from protocol.proofs import Proof, wrong_aggregate, wrong_model, wrong_norm, wrong_product
from protocol.recompute import RevealedUpdate, Roots, combine_updates
from protocol.state import Published, RoundState
from protocol.sumtree import SumTree
from protocol.task import Rule, TaskParams


class Tables(Protocol):
    """Where published tables are found; nobody serves them, so they must have been posted."""

    def table(self, root: bytes, rows: int) -> Table:
        """The table under a root. Raises: BlobError."""


@dataclass(frozen=True)
class Challenge:
    """A call that makes the contract judge, and what its seal is made of."""

    function: str
    task_id: bytes
    round_number: int
    unsalted_args: tuple[object, ...]
    kind: ProofKind
    chunk: int
    subject: bytes
    """The root that is proven wrong."""

    def args(self, salt: bytes) -> tuple[object, ...]:
        """The call's arguments; `salt` is what the seal was made with, or anything without one."""
        return (self.task_id, self.round_number, *self.unsalted_args, salt)

    def seal(self, *, chain_id: int, contract: str, challenger: str, salt: bytes) -> bytes:
        """What to announce in an earlier block, so that the award is the challenger's."""
        return commitment.seal(
            chain_id=chain_id,
            contract=contract,
            task_id=self.task_id,
            round_number=self.round_number,
            challenger=challenger,
            kind=self.kind,
            chunk=self.chunk,
            subject=self.subject,
            salt=salt,
        )


_FUNCTIONS = {
    ProofKind.AGGREGATE: "challengeAggregate",
    ProofKind.MODEL: "challengeModel",
    ProofKind.NORM: "challengeNorm",
    ProofKind.PRODUCT: "challengeProduct",
    ProofKind.CHOICE: "challengeChoice",
}


@dataclass(frozen=True, eq=False)
class Case:
    """A published round as one who suspects it knows it."""

    params: TaskParams
    task_id: bytes
    round_number: int
    round_state: RoundState
    revealed: Sequence[RevealedUpdate]
    """All of them, in order of reveal."""
    base_model: Int32Array
    updates: Int16Array
    """The included ones, in order of reveal. Shape: [m, d]"""
    evidence: Evidence = NO_EVIDENCE
    """What was published of a table and a choice."""

    @cached_property
    def honest(self) -> Int16Array:
        """The right aggregate. Raises: RuleError if the updates have none. Shape: [d]"""
        return combine_updates(self.params, self.updates, self._trusted_row)

    @property
    def _participants(self) -> tuple[str, ...]:
        """Those of the included updates, in order of reveal."""
        return tuple(each.participant for each in rounds.included(self.round_state, self.revealed))

    @property
    def _trusted_row(self) -> int | None:
        return self.params.trusted_row(self._participants)

    @cached_property
    def choice(self) -> Choice | None:
        """The right table and the choice by it; None without one. Raises: RuleError as `honest`."""
        return choice_of(self.params, self.updates, self._trusted_row)

    @cached_property
    def wrong(self) -> Published | None:
        """The first published part that differs from the right one; None if the result is right.

        It is the one to open, or to flag where nobody serves it. The table comes first, and a wrong
        choice by a right table counts as it. A model that no int32 could hold is wrong, whatever
        was published. Raises: RuleError as `honest`.
        """
        if self.choice is not None and self.choice.evidence != self.evidence:
            return Published.TABLE
        if self._root(self.honest) != self.round_state.aggregate_root:
            return Published.AGGREGATE
        found = None if self.right is None else self.right.model_root
        return None if found == self.round_state.model_root else Published.MODEL

    @cached_property
    def right(self) -> Roots | None:
        """Those of the right result; None if no int32 holds its model. Raises: as `honest`."""
        try:
            model = add_update(self.base_model, self.honest)
        except RangeError:
            return None
        return Roots(self._root(self.honest), self._root(model))

    @property
    def is_for_votes(self) -> bool:
        """Whether the result is wrong and no proof shows it. Raises: RuleError as `honest`."""
        return self.params.by_votes and self.wrong is Published.AGGREGATE

    def challenge(self, blobs: BlobStore, tables: Tables | None = None) -> Challenge | None:
        """The call that proves this round's result wrong; None if it is right, or for votes.

        Raises: BlobError or VerificationFailed if the wrong part cannot be had or is none of this
        task: then it must be flagged. RuleError as `honest`.
        """
        if self.wrong is None or self.is_for_votes:
            return None
        if self.choice is not None and self.wrong is Published.TABLE:
            if self.choice.table.root == self.evidence.table_root:
                return self._wrong_choice(self.choice)
            return self._wrong_product(self.choice, tables)
        if self.wrong is Published.AGGREGATE:
            return self._wrong_aggregate(blobs)
        return self._wrong_model(blobs)

    def _wrong_aggregate(self, blobs: BlobStore) -> Challenge:
        root = self.round_state.aggregate_root
        found = self._published(Kind.UPDATE, root, blobs).astype(np.int16, copy=False)
        proof = wrong_aggregate(self.updates, self.honest, found, self.params.chunk_length)
        excluded = tuple(tuple(each) for each in rounds.excluded(self.round_state, self.revealed))
        shown = b"" if self.choice is None else self.choice.shown
        before = (self._participants, excluded)
        return self._challenge(ProofKind.AGGREGATE, root, proof, before, (shown,))

    def _wrong_model(self, blobs: BlobStore) -> Challenge:
        root = self.round_state.model_root
        found = self._published(Kind.MODEL, root, blobs).astype(np.int32, copy=False)
        proof = wrong_model(self.base_model, self.honest, found, self.params.chunk_length)
        return self._challenge(ProofKind.MODEL, root, proof)

    def _wrong_product(self, right: Choice, tables: Tables | None) -> Challenge:
        root = self.evidence.table_root
        if tables is None:
            raise BlobNotFound(root, "without the posted table, a wrong one must be flagged")
        found = tables.table(root, len(self.updates))
        proof = wrong_product(self.updates, right.table, found, self.params.chunk_length)
        behind = (self.evidence.choice_hash,)
        return self._challenge(ProofKind.PRODUCT, root, proof, (self._all_revealed,), behind)

    def _wrong_choice(self, right: Choice) -> Challenge:
        proof = Proof(0, right.table.pair_nodes)
        # From them the contract learns which row FLTrust trusts; other rules do without.
        updates = self._all_revealed if self.params.rule is Rule.FLTRUST else ()
        behind = (self.evidence.choice_hash,)
        root = self.evidence.table_root
        return self._challenge(ProofKind.CHOICE, root, proof, (updates,), behind)

    @property
    def _all_revealed(self) -> tuple[tuple[object, ...], ...]:
        return tuple(tuple(each) for each in self.revealed)

    def _challenge(
        self,
        kind: ProofKind,
        root: bytes,
        proof: Proof | None,
        before: tuple[object, ...] = (),
        behind: tuple[object, ...] = (),
    ) -> Challenge:
        if proof is None:
            raise AssertionError("parts under different roots differ somewhere")
        # A choice is one for the whole table.
        shown = proof[kind is ProofKind.CHOICE :]
        return Challenge(
            _FUNCTIONS[kind],
            self.task_id,
            self.round_number,
            (*before, *shown, *behind),
            kind,
            proof.chunk,
            root,
        )

    def _root(self, vector: Int16Array | Int32Array) -> bytes:
        return SumTree.of(vector, self.params.chunk_length).root

    def _published(self, kind: Kind, root: bytes, blobs: BlobStore) -> Int16Array | Int32Array:
        what = "aggregate" if kind is Kind.UPDATE else "model"
        # The root does not bind the shift: a liar could serve the right values in another unit.
        try:
            blob = blobs.get(root, chunk_length=self.params.chunk_length)
        except BlobError as error:
            raise type(error)(
                root,
                f"the published {what} of round {self.round_number} cannot be had, so it cannot "
                f"be opened and must be flagged: {error}",
            ) from error
        if (blob.kind, blob.values.size) != (kind, self.params.dimension):
            raise VerificationFailed(
                f"the published {what} must be of kind {kind.name} with {self.params.dimension} "
                f"coordinates; found {blob.kind.name} with {blob.values.size}, which must be "
                "flagged: nobody can post it"
            )
        return blob.values


def challenge_norm(
    task_id: bytes,
    round_number: int,
    revealed: Sequence[RevealedUpdate],
    index: int,
    tree: SumTree,
) -> Challenge | None:
    """The call that excludes the revealed update `index`, whose tree records a false sum.

    None if it records none.
    """
    proof = wrong_norm(tree)
    if proof is None:
        return None
    args = (tuple(tuple(update) for update in revealed), index, *proof)
    root = revealed[index].update_root
    function = _FUNCTIONS[ProofKind.NORM]
    return Challenge(function, task_id, round_number, args, ProofKind.NORM, proof.chunk, root)
