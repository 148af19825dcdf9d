"""What a round's result must be, from its included updates alone.

Aggregator, participant and outsider all run this, so all find the same bits or the same fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from protocol.blobs import BlobStore
from protocol.choice import choice_of
from protocol.commitment import NO_EVIDENCE, Evidence
from protocol.encoding import Kind
from protocol.errors import VerificationFailed
from protocol.numbers import Int16Array, Int32Array, add_update
from protocol.rules import aggregate
from protocol.state import RoundState
from protocol.sumtree import SumTree
from protocol.task import ZERO_HASH, TaskParams


class RevealedUpdate(NamedTuple):
    """What a reveal put on chain."""

    participant: str
    update_root: bytes
    squared_norm: int


class Roots(NamedTuple):
    """What votes are counted for: a result by its two vectors."""

    aggregate_root: bytes
    model_root: bytes

    def are_published(self, round_state: RoundState) -> bool:
        """Whether they are those of what is published."""
        return self == (round_state.aggregate_root, round_state.model_root)


class Result(NamedTuple):
    """What `publish` and `vote` take: roots, what they were computed from, and the evidence."""

    aggregate_root: bytes
    model_root: bytes
    updates_hash: bytes
    unavailable: int
    table_root: bytes = ZERO_HASH
    choice_hash: bytes = ZERO_HASH

    @property
    def roots(self) -> Roots:
        """What votes for it are counted for."""
        return Roots(self.aggregate_root, self.model_root)


@dataclass(frozen=True, eq=False)
class Combined:
    """A round's result and the roots under which it is published."""

    aggregate: Int16Array
    aggregate_root: bytes
    model: Int32Array
    model_root: bytes
    evidence: Evidence = NO_EVIDENCE
    """Of a rule that chooses by distance."""

    @property
    def roots(self) -> Roots:
        """What votes for this result are counted for."""
        return Roots(self.aggregate_root, self.model_root)

    @property
    def table_root(self) -> bytes:
        """Of the table of inner products; zero without one."""
        return self.evidence.table_root

    @property
    def choice_hash(self) -> bytes:
        """Of the choice by that table; zero without one."""
        return self.evidence.choice_hash

    def result(self, round_state: RoundState) -> Result:
        """What to publish or vote for, computed from the updates that the round includes now."""
        computed_from = (round_state.updates_hash, round_state.unavailable)
        return Result(self.aggregate_root, self.model_root, *computed_from, *self.evidence)


def combine(
    params: TaskParams,
    base_model: Int32Array,
    updates: Int16Array,
    trusted_row: int | None = None,
) -> Combined:
    """The task's rule over `updates`, added to `base_model`. Shape: base_model [d], updates [n, d].

    `trusted_row` as in `combine_updates`. Raises: RuleError, or RangeError if the model leaves
    int32.
    """
    combined = combine_updates(params, updates, trusted_row)
    model = add_update(base_model, combined)
    choice = choice_of(params, updates, trusted_row)
    return Combined(
        aggregate=combined,
        aggregate_root=SumTree.of(combined, params.chunk_length).root,
        model=model,
        model_root=SumTree.of(model, params.chunk_length).root,
        evidence=NO_EVIDENCE if choice is None else choice.evidence,
    )


def combine_updates(
    params: TaskParams, updates: Int16Array, trusted_row: int | None = None
) -> Int16Array:
    """The task's rule over `updates`, its pre-steps before it. Shape: [n, d] -> [d]

    `trusted_row` is for FLTrust: `TaskParams.trusted_row` of those whom the updates are of.

    Raises: RuleError.
    """
    return aggregate(
        params.rule,
        updates,
        tolerance=params.tolerance,
        clip_norm=params.clip_norm,
        pre_steps=params.pre_steps,
        trusted_row=trusted_row,
    )


def recompute_round(
    params: TaskParams,
    base_model: Int32Array,
    included: Sequence[RevealedUpdate],
    blobs: BlobStore,
) -> Combined:
    """The result of the updates `included`, fetched in order and checked against their reveals.

    Raises: VerificationFailed naming the participant whose update is not what was revealed;
    BlobError if an update cannot be had; RuleError and RangeError as `combine`.
    """
    if base_model.shape != (params.dimension,):
        raise VerificationFailed(
            f"the base model must have {params.dimension} coordinates; found {base_model.shape}"
        )
    updates = fetch_updates(params, included, blobs)
    trusted_row = params.trusted_row([each.participant for each in included])
    return combine(params, base_model, updates, trusted_row)


def fetch_updates(
    params: TaskParams, included: Sequence[RevealedUpdate], blobs: BlobStore
) -> Int16Array:
    """The included updates, in order of reveal and checked against it. Shape: [n, d]

    Raises: VerificationFailed and BlobError as `recompute_round`.
    """
    updates = np.empty((len(included), params.dimension), dtype=np.int16)
    for row, reveal in zip(updates, included, strict=True):
        row[:] = _checked_update(params, reveal, blobs)
    return updates


def check_published(combined: Combined, round_state: RoundState) -> None:
    """Holds a recomputed result against the published one.

    Raises: VerificationFailed naming the first root, or the evidence, that differs.
    """
    if not round_state.published_at:
        raise VerificationFailed("nothing is published in this round yet")
    for what, expected, found in (
        ("aggregate root", combined.aggregate_root, round_state.aggregate_root),
        ("model root", combined.model_root, round_state.model_root),
        ("hash of table and choice", combined.evidence.hash, round_state.evidence_hash),
    ):
        if expected != found:
            raise VerificationFailed(
                f"{what}: the included updates give 0x{expected.hex()}, "
                f"{round_state.publisher} published 0x{found.hex()}"
            )


def _checked_update(params: TaskParams, reveal: RevealedUpdate, blobs: BlobStore) -> Int16Array:
    blob = blobs.get(reveal.update_root, chunk_length=params.chunk_length, shift=params.shift)
    tree = SumTree.of(blob.values, params.chunk_length)
    # Invariant: only what the chain names enters a result, whatever a store claims to have checked.
    for what, wanted, found in (
        ("kind", Kind.UPDATE.name, blob.kind.name),
        ("dimension", params.dimension, blob.values.size),
        ("shift", params.shift, blob.shift),
        ("root", reveal.update_root.hex(), tree.root.hex()),
        ("squared norm", reveal.squared_norm, tree.squared_norm),
    ):
        if wanted != found:
            raise VerificationFailed(
                f"update of {reveal.participant}: {what} must be {wanted}; found {found}"
            )
    return blob.values.astype(np.int16, copy=False)
