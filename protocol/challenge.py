"""Proofs that a published result is wrong: openings of one chunk, which the contract recomputes.

A wrong aggregate is shown by the same chunk of every revealed update, a wrong model by that chunk
of the base model and the aggregate. What was published must be opened too, so a lie whose blob
nobody can fetch cannot be proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from protocol.blobs import BlobStore
from protocol.encoding import Kind
from protocol.errors import BlobError, VerificationFailed
from protocol.numbers import Int16Array, Int32Array
from protocol.recompute import RevealedUpdate
from protocol.rules import aggregate
from protocol.sumtree import Opening, SumTree
from protocol.task import RoundState, TaskParams


class Challenge(NamedTuple):
    """A call that makes the contract judge what was published."""

    function: str
    args: tuple[object, ...]


class Proof(NamedTuple):
    """The first wrong chunk, and the openings that show it."""

    chunk: int
    openings: bytes


@dataclass(frozen=True, eq=False)
class Case:
    """A published round as one who suspects it knows it."""

    params: TaskParams
    task_id: bytes
    round_number: int
    round_state: RoundState
    revealed: Sequence[RevealedUpdate]
    base_model: Int32Array
    updates: Int16Array
    """In order of reveal. Shape: [n, d]"""

    def challenge(self, blobs: BlobStore) -> Challenge | None:
        """The call that proves this round's result wrong; None if it is right.

        Raises: BlobError or VerificationFailed if what was published cannot be had, and so cannot
        be opened; RuleError if the updates have no aggregate.
        """
        params, state = self.params, self.round_state
        honest = aggregate(
            params.rule, self.updates, tolerance=params.tolerance, clip_norm=params.clip_norm
        )
        if SumTree.of(honest, params.chunk_length).root != state.aggregate_root:
            found = self._published("aggregate", Kind.UPDATE, state.aggregate_root, blobs)
            wrong = wrong_aggregate(
                self.updates, honest, found.astype(np.int16), params.chunk_length
            )
            if wrong is None:
                return None
            updates = tuple(tuple(update) for update in self.revealed)
            return self._call("challengeAggregate", updates, *wrong)
        found = self._published("model", Kind.MODEL, state.model_root, blobs)
        wrong = wrong_model(self.base_model, honest, found.astype(np.int32), params.chunk_length)
        return None if wrong is None else self._call("challengeModel", *wrong)

    def _call(self, function: str, *args: object) -> Challenge:
        return Challenge(function, (self.task_id, self.round_number, *args))

    def _published(
        self, what: str, kind: Kind, root: bytes, blobs: BlobStore
    ) -> Int16Array | Int32Array:
        # The root does not bind the shift: a liar could serve the right values in another unit.
        try:
            blob = blobs.get(root, chunk_length=self.params.chunk_length)
        except BlobError as error:
            raise type(error)(
                root,
                f"the published {what} cannot be had, so no opening of it exists and round "
                f"{self.round_number} cannot be challenged: {error}",
            ) from error
        if (blob.kind, blob.values.size) != (kind, self.params.dimension):
            raise VerificationFailed(
                f"the published {what} must be of kind {kind.name} with {self.params.dimension} "
                f"coordinates; found {blob.kind.name} with {blob.values.size}, of which the "
                "contract takes no opening"
            )
        return blob.values


def wrong_aggregate(
    updates: Int16Array, honest: Int16Array, published: Int16Array, chunk_length: int
) -> Proof | None:
    """Shows where `published` is not the `honest` aggregate of `updates`; None if it is.

    Shape: updates [n, d], honest [d], published [d].
    """
    return _proof((*updates, published), honest != published, chunk_length)


def wrong_model(
    base_model: Int32Array, aggregate: Int16Array, published: Int32Array, chunk_length: int
) -> Proof | None:
    """Shows where `published` is not `base_model + aggregate`, or that no int32 holds the sum.

    Shape: all [d].
    """
    wrong = base_model.astype(np.int64) + aggregate != published
    return _proof((base_model, aggregate, published), wrong, chunk_length)


def encode_opening(opening: Opening) -> bytes:
    """What a challenge carries of an opening: its chunk, then hash and sum of each sibling."""
    siblings = (sibling.hash + sibling.sum.to_bytes(8, "big") for sibling in opening.siblings)
    return opening.chunk + b"".join(siblings)


def _proof(
    vectors: Sequence[Int16Array | Int32Array], wrong: npt.NDArray[np.bool_], chunk_length: int
) -> Proof | None:
    if not wrong.any():
        return None
    chunk = int(np.argmax(wrong)) // chunk_length
    trees = (SumTree.of(vector, chunk_length) for vector in vectors)
    return Proof(chunk, b"".join(encode_opening(tree.opening(chunk)) for tree in trees))
