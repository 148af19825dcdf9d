"""A round's result: computed from the blobs that the chain names, kept where outsiders look."""

import numpy as np

from orchestrator.reading import RoundReading, TaskReading
from orchestrator.task_blobs import TaskBlobs
from protocol.encoding import Kind, encode_model, encode_update
from protocol.errors import VerificationFailed
from protocol.numbers import Int32Array
from protocol.recompute import Combined, recompute_round


def compute(reading: TaskReading, round_reading: RoundReading, blobs: TaskBlobs) -> Combined:
    """What a round's included updates give.

    Raises: BlobError if one cannot be had; VerificationFailed, RuleError or RangeError if they
        have no result.
    """
    base = model(blobs, round_reading.base_model_root, reading.params.chunk_length)
    return recompute_round(reading.params, base, round_reading.included, blobs)


def keep(reading: TaskReading, combined: Combined, blobs: TaskBlobs) -> Combined:
    """Stores a result's blobs, which must come before its publication."""
    shift, chunk_length = reading.params.shift, reading.params.chunk_length
    blobs.put(encode_update(combined.aggregate, shift), chunk_length=chunk_length)
    blobs.put(encode_model(combined.model, shift), chunk_length=chunk_length)
    return combined


def model(blobs: TaskBlobs, root: bytes, chunk_length: int) -> Int32Array:
    """The model under a root. Shape: [d]"""
    blob = blobs.get(root, chunk_length=chunk_length)
    if blob.kind is not Kind.MODEL:
        raise VerificationFailed(f"0x{root.hex()} must be a model; found an {blob.kind.name}")
    return blob.values.astype(np.int32, copy=False)
