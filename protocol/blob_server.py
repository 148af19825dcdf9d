"""Serves a directory of blobs read-only: `GET /blobs/0x{root}`, gzipped for who takes that.

A blob never changes under its root, so answers may be cached for ever; whoever fetches verifies.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from protocol.blobs import DirectoryStore
from protocol.content_coding import GZIP, gzipped, takes_gzip

_ADDRESS = re.compile(r"0x[0-9a-f]{64}")
_BYTES = "application/octet-stream"
_PART_BYTES = 2**16
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


def blob_router(
    store: DirectoryStore, *, may_serve: Callable[[bytes], bool] = lambda _root: True
) -> APIRouter:
    """Routes that serve `store`; what `may_serve` refuses looks like what is not there."""
    router = APIRouter()

    @router.api_route("/blobs/{address}", methods=["GET", "HEAD"], response_class=Response)
    def blob(address: str, request: Request) -> Response:
        if not _ADDRESS.fullmatch(address):
            raise _refusal(400, "a blob's address is 0x and 64 lower-case hexadecimal digits")
        root = bytes.fromhex(address[2:])
        if not (may_serve(root) and store.has(root)):
            raise _refusal(404, f"no blob {address} here")
        file = store.file_of(root)
        # A range counts bytes of the blob itself, and so does the length in the answer to HEAD.
        is_whole = request.method == "GET" and "Range" not in request.headers
        if is_whole and takes_gzip(request.headers.get("Accept-Encoding", "")):
            headers = _HEADERS | {"Content-Encoding": GZIP}
            return StreamingResponse(gzipped(_parts(file)), headers=headers, media_type=_BYTES)
        return FileResponse(file, headers=_HEADERS, media_type=_BYTES)

    return router


def _parts(file: Path) -> Iterator[bytes]:
    # Whole files would let a few requests at once fill the memory.
    with file.open("rb") as opened:
        while part := opened.read(_PART_BYTES):
            yield part


def _refusal(status: int, detail: str) -> HTTPException:
    return HTTPException(status, detail, headers={"Cache-Control": "no-store"})
