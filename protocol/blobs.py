"""Blob stores: a blob's address is its sum-tree root, exactly as the chain records it.

What backends share decodes strictly and recomputes the root on the way in and on the way out; they
only move bytes, and none is trusted. The root binds the values, not the header's shift: say which
shift you want.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import httpx
import structlog

from protocol.content_coding import GZIP, IDENTITY, gunzipped, gzip_overhead_bytes
from protocol.encoding import Blob, Kind, blob_length, decode
from protocol.errors import BlobCorrupt, BlobError, BlobNotFound, BlobStoreDown, EncodingError
from protocol.storage import writing
from protocol.sumtree import SumTree

DEFAULT_LIMIT_BYTES = 64 * 2**20
_ROOT_BYTES = 32
_TEMPORARY_SUFFIX = ".partial"

_log = structlog.get_logger(__name__)


def largest_blob_bytes(dimension: int) -> int:
    """The size of a task's largest blob: a model of `dimension` int32 values."""
    return blob_length(Kind.MODEL, dimension)


class Verified(NamedTuple):
    """Bytes whose root was recomputed, and what they decode to."""

    content: bytes
    blob: Blob


class BlobStore(ABC):
    """Blobs by root; nothing enters or leaves unverified."""

    name: str

    @abstractmethod
    def put(self, content: bytes, *, chunk_length: int) -> bytes:
        """Stores an encoded blob and returns its root.

        Raises: EncodingError for bytes that are no canonical blob; StorageError if storing fails.
        """

    @abstractmethod
    def verified(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> Verified:
        """The blob in both forms, for a caller that decodes it and passes it on."""

    @abstractmethod
    def has(self, root: bytes) -> bool:
        """Whether the store claims to have the blob; only `get` verifies it."""

    def get(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> Blob:
        """The decoded blob; with `shift`, one in another fixed-point unit counts as corrupt.

        Raises: BlobNotFound, BlobCorrupt, BlobStoreDown.
        """
        return self.verified(root, chunk_length=chunk_length, shift=shift).blob

    def get_bytes(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> bytes:
        """The encoded blob, verified like `get`."""
        return self.verified(root, chunk_length=chunk_length, shift=shift).content


class Backend(BlobStore):
    """A place for bytes; verifies what passes through it."""

    def put(self, content: bytes, *, chunk_length: int) -> bytes:
        root = SumTree.of(decode(content).values, chunk_length).root
        self._write(root, content)
        return root

    def verified(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> Verified:
        content = self._read(_checked(root))
        if content is None:
            raise BlobNotFound(root, f"{self.name} does not have it")
        try:
            blob = decode(content)
        except EncodingError as error:
            raise BlobCorrupt(root, f"{self.name} answered no canonical blob: {error}") from error
        # Invariant: no bytes leave a store whose root was not recomputed from them.
        found = SumTree.of(blob.values, chunk_length).root
        if found != root:
            why = f"{self.name} answered a blob with root {found.hex()}"
            raise BlobCorrupt(root, why, [content])
        if shift is not None and blob.shift != shift:
            raise BlobCorrupt(root, f"{self.name} answered shift {blob.shift}, wanted {shift}")
        return Verified(content, blob)

    @abstractmethod
    def _read(self, root: bytes) -> bytes | None:
        """The stored bytes, None if there are none. Raises: BlobError."""

    @abstractmethod
    def _write(self, root: bytes, content: bytes) -> None:
        """Stores bytes under a root that the caller verified. Raises: StorageError."""


class DirectoryStore(Backend):
    """One file per blob, named by its root; a file appears whole or not at all."""

    def __init__(self, path: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.path = path
        self.name = f"directory {path}"
        self._limit_bytes = limit_bytes
        path.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()

    def file_of(self, root: bytes) -> Path:
        """Where the blob lies, or would lie."""
        return self.path / _checked(root).hex()

    def has(self, root: bytes) -> bool:
        return self.file_of(root).is_file()

    def _read(self, root: bytes) -> bytes | None:
        try:
            with self.file_of(root).open("rb") as file:
                content = file.read(self._limit_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BlobStoreDown(root, f"{self.name} cannot be read: {error}") from error
        _check_size(root, len(content), self._limit_bytes, self.name)
        return content

    def _write(self, root: bytes, content: bytes) -> None:
        with writing(self.file_of(root)):
            with self._temporary(root) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self.file_of(root))
            self._sync_directory()

    @contextlib.contextmanager
    def _temporary(self, root: bytes) -> Iterator[IO[bytes]]:
        path = self.path / f"{root.hex()}.{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
        with path.open("xb") as file:
            # The lock dies with the writer, so it tells a write in progress from a leftover.
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        for path in self.path.glob(f"*{_TEMPORARY_SUFFIX}"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def _sync_directory(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class HttpStore(Backend):
    """Reads `GET {base_url}/blobs/0x{root}`, gzipped where the server can; refuses slow, huge and
    redirecting servers.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float = 10.0,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        self.name = base_url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._limit_bytes = limit_bytes
        self._tls = ssl.create_default_context()

    def has(self, root: bytes) -> bool:
        return self._answer("HEAD", _checked(root)) is not None

    def _read(self, root: bytes) -> bytes | None:
        return self._answer("GET", root)

    def _write(self, root: bytes, content: bytes) -> None:  # noqa: ARG002 - the backend's signature
        raise BlobError(root, f"{self.name} is read only: put blobs into a DirectoryStore")

    def _answer(self, method: str, root: bytes) -> bytes | None:
        # httpx limits each read; only a deadline around all of them stops a server that drips.
        try:
            return asyncio.run(
                asyncio.wait_for(self._exchange(method, root), self._timeout_seconds)
            )
        except TimeoutError as error:
            message = f"{self.name} did not answer within {self._timeout_seconds:g} seconds"
            raise BlobStoreDown(root, message) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"{self.name} did not answer: {type(error).__name__}: {error}"
            raise BlobStoreDown(root, message) from error

    async def _exchange(self, method: str, root: bytes) -> bytes | None:
        url = f"{self.name}/blobs/0x{root.hex()}"
        client = httpx.AsyncClient(verify=self._tls, timeout=None, follow_redirects=False)  # noqa: S113 - `_answer` limits all of it
        async with (
            client,
            client.stream(method, url, headers={"Accept-Encoding": GZIP}) as response,
        ):
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            if response.status_code != httpx.codes.OK:
                message = f"{self.name} answered status {response.status_code}, wanted 200"
                raise BlobStoreDown(root, message)
            return b"" if method == "HEAD" else await self._body(root, response)

    async def _body(self, root: bytes, response: httpx.Response) -> bytes:
        coding = response.headers.get("Content-Encoding", IDENTITY).lower()
        if coding == IDENTITY:
            return await self._received(root, response)
        if coding != GZIP:
            raise BlobCorrupt(root, f"{self.name} answered in coding {coding!r}, wanted {GZIP}")
        overhead_bytes = gzip_overhead_bytes(self._limit_bytes)
        coded = await self._received(root, response, overhead_bytes=overhead_bytes)
        try:
            return gunzipped(coded, limit_bytes=self._limit_bytes)
        except EncodingError as error:
            raise BlobCorrupt(root, f"{self.name} answered {error}") from error

    async def _received(
        self, root: bytes, response: httpx.Response, *, overhead_bytes: int = 0
    ) -> bytes:
        received = bytearray()
        # Not httpx's own decoding: it inflates without a limit.
        async for part in response.aiter_raw():
            received += part
            _check_size(root, len(received) - overhead_bytes, self._limit_bytes, self.name)
        return bytes(received)


class FirstOf(BlobStore):
    """The first good answer of several stores; what is put goes to the first one."""

    def __init__(self, stores: Sequence[BlobStore]) -> None:
        self.stores = tuple(stores)
        self.name = " or ".join(store.name for store in self.stores)

    def put(self, content: bytes, *, chunk_length: int) -> bytes:
        return self.stores[0].put(content, chunk_length=chunk_length)

    def verified(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> Verified:
        refusals: list[BlobError] = []
        for store in self.stores:
            try:
                return store.verified(root, chunk_length=chunk_length, shift=shift)
            except BlobError as error:
                if isinstance(error, BlobCorrupt):
                    _log.warning("blob_corrupt", store=store.name, root=root, why=error.why)
                refusals.append(error)
        raise worst_of(root, refusals)

    def has(self, root: bytes) -> bool:
        refusals: list[BlobError] = []
        for store in self.stores:
            try:
                if store.has(root):
                    return True
            except BlobError as error:
                refusals.append(error)
        if refusals:
            raise worst_of(root, refusals)
        return False


class Keeping(FirstOf):
    """The same, but what another store answers is put into the first one too."""

    def verified(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> Verified:
        found = super().verified(root, chunk_length=chunk_length, shift=shift)
        if not self.stores[0].has(root):
            self.put(found.content, chunk_length=chunk_length)
        return found


class Remembering(FirstOf):
    """The same, but asks for each blob once: what was answered is kept, a refusal too."""

    def __init__(self, stores: Sequence[BlobStore]) -> None:
        super().__init__(stores)
        self._answers: dict[tuple[bytes, int, int | None], Verified | BlobError] = {}

    def verified(self, root: bytes, *, chunk_length: int, shift: int | None = None) -> Verified:
        asked = (root, chunk_length, shift)
        if asked not in self._answers:
            try:
                self._answers[asked] = super().verified(
                    root, chunk_length=chunk_length, shift=shift
                )
            except BlobError as error:
                self._answers[asked] = error
        answer = self._answers[asked]
        if isinstance(answer, BlobError):
            raise answer
        return answer


def worst_of(root: bytes, refusals: Sequence[BlobError]) -> BlobError:
    """One error for all: what may change by itself outweighs garbage, garbage outweighs absence."""
    listed = "; ".join(refusal.why for refusal in refusals) or "there is no store to ask"
    served = [content for refusal in refusals for content in refusal.served]
    for kind in (BlobStoreDown, BlobCorrupt):
        if any(isinstance(refusal, kind) for refusal in refusals):
            return kind(root, listed, served)
    return BlobNotFound(root, listed, served)


def _checked(root: bytes) -> bytes:
    if len(root) != _ROOT_BYTES:
        raise ValueError(f"a root has {_ROOT_BYTES} bytes, this one has {len(root)}")
    return root


def _check_size(root: bytes, found_bytes: int, limit_bytes: int, name: str) -> None:
    if found_bytes > limit_bytes:
        raise BlobCorrupt(root, f"{name} answered more than the {limit_bytes} bytes allowed")
