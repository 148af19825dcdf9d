"""The gzip content coding of blobs on their way: an update of few bits takes few bytes.

Canonical bytes are what is hashed, stored and posted; a coding lives for one answer. Why this one:
docs/communication.md.

Source: RFC 9110, HTTP Semantics, 2022, 8.4 and 12.5.3.
"""

import re
import zlib
from collections.abc import Iterable, Iterator

from protocol.errors import EncodingError

GZIP = "gzip"
IDENTITY = "identity"
_GZIP_FRAME = 16 + zlib.MAX_WBITS
_NO_WEIGHT = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*", re.IGNORECASE)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a request with this `Accept-Encoding` names gzip as welcome."""
    for offer in accept_encoding.split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip().lower() == GZIP:
            return not _NO_WEIGHT.fullmatch(weight)
    return False


def gzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip stream of what the parts hold together."""
    # Runs of zeros are all that repeats in an update. Looking for more takes many times as long
    # and finds next to nothing, so strangers cannot make a server work by asking.
    stream = zlib.compressobj(wbits=_GZIP_FRAME, strategy=zlib.Z_RLE)
    for part in parts:
        if coded := stream.compress(part):
            yield coded
    yield stream.flush()


def gzip_overhead_bytes(content_bytes: int) -> int:
    """More than by which a sensible gzip stream is longer than what it holds."""
    # What does not compress is stored, with 5 bytes more for each 16 KiB; zlib's bound is less.
    return content_bytes // 1024 + 64


def gunzipped(coded: bytes, *, limit_bytes: int) -> bytes:
    """What one whole gzip stream holds.

    Raises: EncodingError if it is anything else, or holds more than `limit_bytes`.
    """
    stream = zlib.decompressobj(wbits=_GZIP_FRAME)
    try:
        # Invariant: whatever the stream claims, no more than one byte beyond the limit is made.
        content = stream.decompress(coded, limit_bytes + 1)
    except zlib.error as error:
        raise EncodingError(f"what is no gzip stream: {error}") from error
    if len(content) > limit_bytes:
        raise EncodingError(f"a gzip stream of more than the {limit_bytes} bytes allowed")
    if not stream.eof or stream.unused_data:
        raise EncodingError("part of a gzip stream, or more than one; wanted one whole")
    return content
