"""Serves a directory of blobs read-only: `GET /blobs/0x{root}`.

A blob never changes under its root, so answers may be cached for ever; whoever fetches verifies.
"""

import re
from collections.abc import Callable

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse

from protocol.blobs import DirectoryStore

_ADDRESS = re.compile(r"0x[0-9a-f]{64}")
_FOR_EVER = "public, max-age=31536000, immutable"


def blob_router(
    store: DirectoryStore, *, may_serve: Callable[[bytes], bool] = lambda _root: True
) -> APIRouter:
    """Routes that serve `store`; what `may_serve` refuses looks like what is not there."""
    router = APIRouter()

    @router.api_route("/blobs/{address}", methods=["GET", "HEAD"], response_class=Response)
    def blob(address: str) -> Response:
        if not _ADDRESS.fullmatch(address):
            raise _refusal(400, "a blob's address is 0x and 64 lower-case hexadecimal digits")
        root = bytes.fromhex(address[2:])
        if not (may_serve(root) and store.has(root)):
            raise _refusal(404, f"no blob {address} here")
        return FileResponse(
            store.file_of(root),
            media_type="application/octet-stream",
            headers={"Cache-Control": _FOR_EVER, "X-Content-Type-Options": "nosniff"},
        )

    return router


def _refusal(status: int, detail: str) -> HTTPException:
    return HTTPException(status, detail, headers={"Cache-Control": "no-store"})
