"""One task's blobs: the own copies first, then the participants' servers, then what was posted.

Everything fetched is verified and kept, so an outsider can check a round from this one address.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from protocol.blobs import BlobStore, FirstOf, Verified, worst_of
from protocol.errors import BlobCorrupt, BlobError, BlobNotFound, BlobStoreDown
from protocol.task import TaskParams

_SERVERS_AT_ONCE = 16
# A server that failed so often in one tick is left alone until the next.
_DOWN_AFTER = 2

_log = structlog.get_logger(__name__)


class TaskBlobs(BlobStore):
    """Verified blobs in the unit of one task, mirrored on first use."""

    def __init__(
        self,
        params: TaskParams,
        own: BlobStore,
        remotes: Sequence[BlobStore],
        *,
        last_resort: BlobStore | None = None,
    ) -> None:
        self.name = f"{own.name} or the participants"
        self._params = params
        self._own = own
        self._remotes = tuple(remotes)
        self._last_resort = () if last_resort is None else (last_resort,)

    def put(self, content: bytes, *, chunk_length: int) -> bytes:
        return self._own.put(content, chunk_length=chunk_length)

    def has(self, root: bytes) -> bool:
        return self._own.has(root)

    def verified(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> Verified:
        unit = self._params.shift if shift is None else shift
        try:
            return self._own.verified(root, chunk_length=chunk_length, shift=unit)
        except BlobNotFound:
            pass
        except BlobCorrupt as error:
            _log.warning("own_blob_corrupt", root=root, why=str(error))
        everywhere = FirstOf([*self._remotes, *self._last_resort])
        return self._keep_from(everywhere, root, chunk_length, unit)

    def mirror(self, roots: Sequence[bytes]) -> Mapping[bytes, BlobError]:
        """Fetches what the own store lacks; returns what could not be had, and why.

        All participants are asked at the same time, each for all that is still missing, so that one
        which is slow or down delays nothing but what it alone has.
        """
        wanted = [root for root in dict.fromkeys(roots) if not self._own.has(root)]
        refusals: dict[bytes, list[BlobError]] = {root: [] for root in wanted}
        if wanted:
            with ThreadPoolExecutor(_SERVERS_AT_ONCE, thread_name_prefix="fetch") as pool:
                for refused in pool.map(self._fetch, *self._shares(wanted)):
                    for error in refused:
                        refusals[error.root].append(error)
        for store in self._last_resort:
            for error in self._fetch(store, wanted):
                refusals[error.root].append(error)
        return {root: worst_of(root, refusals[root]) for root in wanted if not self._own.has(root)}

    def _shares(
        self, wanted: Sequence[bytes]
    ) -> tuple[Sequence[BlobStore], Sequence[Sequence[bytes]]]:
        """The participants, and for each the order to ask in: all begin at another blob."""
        step = max(1, len(wanted) // max(1, len(self._remotes)))
        starts = (index * step % len(wanted) for index in range(len(self._remotes)))
        return self._remotes, [(*wanted[start:], *wanted[:start]) for start in starts]

    def _fetch(self, remote: BlobStore, wanted: Sequence[bytes]) -> list[BlobError]:
        """Asks one participant for what nobody delivered yet; gives up if it does not answer."""
        refused: list[BlobError] = []
        for root in wanted:
            if sum(isinstance(error, BlobStoreDown) for error in refused) >= _DOWN_AFTER:
                break
            if self._own.has(root):
                continue
            try:
                self._keep_from(remote, root, self._params.chunk_length, self._params.shift)
            except BlobError as error:
                refused.append(error)
        return refused

    def _keep_from(self, remote: BlobStore, root: bytes, chunk_length: int, shift: int) -> Verified:
        found = remote.verified(root, chunk_length=chunk_length, shift=shift)
        self._own.put(found.content, chunk_length=chunk_length)
        return found
