"""Canonical bytes of updates and models: a 12-byte header, then two's complement integers.

    "VLQ" | version u8 = 1 | kind u8 | shift u8 | zero u16 | dimension u32 | int16 or int32 ...

All big-endian, one encoding per value: kind 1 is an int16 update, kind 2 an int32 model. Anything
else is refused, trailing bytes included.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from protocol.errors import EncodingError
from protocol.numbers import Int16Array, Int32Array

MAGIC = b"VLQ"
VERSION = 1
HEADER = struct.Struct(">3sBBBHI")


class Kind(IntEnum):
    """What a blob's integers are."""

    UPDATE = 1
    MODEL = 2

    @property
    def width_bytes(self) -> int:
        """Bytes per coordinate."""
        return 2 * self.value


@dataclass(frozen=True, eq=False)
class Blob:
    """A decoded blob; its kind and the type of its values agree."""

    kind: Kind
    shift: int
    values: Int16Array | Int32Array


def blob_length(kind: Kind, dimension: int) -> int:
    """The exact number of bytes of a blob."""
    return HEADER.size + kind.width_bytes * dimension


def encode(kind: Kind, values: Int16Array | Int32Array, shift: int) -> bytes:
    """The one encoding of `values` as a blob of this kind. Shape: values [d].

    Raises: TypeError for values of another kind; EncodingError for a shape or shift no blob has.
    """
    if values.dtype != np.dtype(f"i{kind.width_bytes}"):
        raise TypeError(f"{kind.name} needs int{8 * kind.width_bytes}, not {values.dtype}")
    if values.ndim != 1 or not 0 < values.size < 2**32 or not 0 <= shift < 2**8:
        raise EncodingError(
            f"a blob holds 1 to 2^32 - 1 coordinates in a row and a shift of 0 to 255; "
            f"found shape {values.shape}, shift {shift}"
        )
    header = HEADER.pack(MAGIC, VERSION, kind, shift, 0, values.size)
    return header + values.astype(f">i{kind.width_bytes}").tobytes()


def encode_update(update: Int16Array, shift: int) -> bytes:
    """Shape: update [d]."""
    return encode(Kind.UPDATE, update, shift)


def encode_model(model: Int32Array, shift: int) -> bytes:
    """Shape: model [d]."""
    return encode(Kind.MODEL, model, shift)


def decode(blob: bytes) -> Blob:
    """The integers in `blob`, whatever its kind.

    Raises: EncodingError if the bytes are not canonical.
    """
    if len(blob) < HEADER.size:
        raise EncodingError(f"a blob has a {HEADER.size}-byte header; found {len(blob)} bytes")
    magic, version, kind_number, shift, reserved, dimension = HEADER.unpack_from(blob)
    _expect("magic", MAGIC, magic)
    _expect("version", VERSION, version)
    if kind_number not in set(Kind):
        raise EncodingError(f"kind must be 1 (update) or 2 (model); found {kind_number}")
    _expect("reserved field", 0, reserved)
    if dimension == 0:
        raise EncodingError("dimension must be at least 1; found 0")
    kind = Kind(kind_number)
    _expect(f"length in bytes for dimension {dimension}", blob_length(kind, dimension), len(blob))
    raw = np.frombuffer(blob, dtype=f">i{kind.width_bytes}", offset=HEADER.size)
    return Blob(kind, shift, raw.astype(f"=i{kind.width_bytes}"))


def decode_model(blob: bytes, *, dimension: int, shift: int) -> Int32Array:
    """The model in `blob`.

    Raises: EncodingError if the bytes are not canonical, or of another kind, dimension or shift.
    """
    found = decode(blob)
    _expect("kind", Kind.MODEL, found.kind)
    _expect("dimension", dimension, found.values.size)
    _expect("shift", shift, found.shift)
    return found.values.astype(np.int32, copy=False)


def _expect(what: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise EncodingError(f"{what} must be {wanted!r}; found {found!r}")
