"""The chain as a blob store of last resort: bytes that were posted because somebody flagged them.

They lie in the contract's logs, part by part. Like every store this one is not believed: what the
parts make up must have the root that was asked for. Tables are no blobs, and are found here only.
"""

from protocol import gram
from protocol.blobs import Backend
from protocol.chain.gateway import Chain
from protocol.encoding import Kind, encode
from protocol.errors import (
    BlobCorrupt,
    BlobError,
    BlobNotFound,
    BlobStoreDown,
    ChainAnswerInvalid,
    ChainUnavailable,
    VerificationFailed,
)
from protocol.numbers import Int16Array, Int32Array
from protocol.posting import Geometry, joined
from protocol.sumtree import SumTree
from protocol.task import TaskParams


class PostedStore(Backend):
    """What was posted of one task; its blobs have the task's shift, which no root binds."""

    def __init__(self, chain: Chain, task_id: bytes, params: TaskParams) -> None:
        self.name = f"the logs of {chain.contract}"
        self._chain = chain
        self._task_id = task_id
        self._params = params

    def has(self, root: bytes) -> bool:
        return self._read(root) is not None

    def table(self, root: bytes, rows: int) -> gram.Table:
        """The table over `rows` rows that was posted under a root. Raises: BlobError."""
        posted = self._posted(root)
        geometry = gram.Geometry.of(rows, self._params.dimension, self._params.chunk_length)
        parts = [posted.get(number, b"") for number in range(geometry.part_count)]
        try:
            table = gram.joined(parts, geometry)
        except VerificationFailed as failure:
            raise BlobNotFound(
                root, f"the table 0x{root.hex()} is not all posted: {failure}"
            ) from failure
        if table.root != root:
            raise BlobCorrupt(
                root, f"{self.name} hold parts of another table: 0x{table.root.hex()}"
            )
        return table

    def _read(self, root: bytes) -> bytes | None:
        posted = self._posted(root)
        # Parts that make up nothing with this root count as not posted: altered ones cannot be told
        # from the first ones of a model.
        for kind in Kind if posted else ():
            vector = self._vector(posted, kind)
            if vector is not None and self._root(vector) == root:
                return encode(kind, vector, self._params.shift)
        return None

    def _write(self, root: bytes, content: bytes) -> None:  # noqa: ARG002 - the backend's signature
        raise BlobError(root, f"{self.name} is read only: it takes what is flagged, in parts")

    def _posted(self, root: bytes) -> dict[int, bytes]:
        """The bytes of each part; one that was posted again, in another round, is the same."""
        # Read anew each time: it is seldom, and a reorganisation may have taken parts away.
        try:
            return self._logged(root)
        except ChainUnavailable as failure:
            raise BlobStoreDown(root, f"{self.name} cannot be read: {failure}") from failure
        except ChainAnswerInvalid as failure:
            raise BlobCorrupt(root, f"{self.name} cannot be believed: {failure}") from failure

    def _logged(self, root: bytes) -> dict[int, bytes]:
        head = self._chain.head()
        topic = self._chain.interface.topics["BytesPosted"]
        of_the_task = self._chain.events.until(head, (None, self._task_id))
        since = of_the_task[0].block_number if of_the_task else head.number
        found = self._chain.events.once(head, (topic, root, self._task_id), since)
        return {event.arguments["part"]: event.arguments["chunks"] for event in found}

    def _vector(self, posted: dict[int, bytes], kind: Kind) -> Int16Array | Int32Array | None:
        geometry = Geometry(self._params.dimension, self._params.chunk_length, kind)
        try:
            return joined([posted.get(number, b"") for number in range(geometry.count)], geometry)
        except VerificationFailed:
            return None

    def _root(self, vector: Int16Array | Int32Array) -> bytes:
        return SumTree.of(vector, self._params.chunk_length).root
