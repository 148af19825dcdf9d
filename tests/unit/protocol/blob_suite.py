"""What every blob store must do, whatever moves its bytes; a backend's test class inherits it."""

from pathlib import Path

import numpy as np
import pytest

from protocol.blobs import BlobStore, DirectoryStore, largest_blob_bytes
from protocol.encoding import encode_model, encode_update
from protocol.errors import BlobCorrupt, BlobNotFound
from protocol.sumtree import SumTree

CHUNK = 16
SHIFT = 12
UPDATE = np.arange(-20, 20, dtype=np.int16)
MODEL = np.arange(0, 40_000_000, 1_000_000, dtype=np.int32)


def root_of(values):
    return SumTree.of(values, CHUNK).root


class BlobStoreSuite:
    """Fixtures wanted: `store`, and `behind`, the directory in which its bytes lie."""

    @pytest.fixture
    def behind(self, tmp_path: Path) -> DirectoryStore:
        return DirectoryStore(tmp_path / "blobs", limit_bytes=largest_blob_bytes(100))

    @pytest.fixture
    def store(self, behind: DirectoryStore) -> BlobStore:
        raise NotImplementedError

    def lay(self, behind, root, content):
        behind.file_of(root).write_bytes(content)

    @pytest.mark.parametrize(
        ("values", "content"),
        [(UPDATE, encode_update(UPDATE, SHIFT)), (MODEL, encode_model(MODEL, SHIFT))],
    )
    def test_what_was_put_is_got(self, store, behind, values, content):
        root = behind.put(content, chunk_length=CHUNK)
        assert root == root_of(values)
        blob = store.get(root, chunk_length=CHUNK, shift=SHIFT)
        assert blob.values.dtype == values.dtype
        assert np.array_equal(blob.values, values)
        assert store.get_bytes(root, chunk_length=CHUNK) == content
        assert store.has(root)

    def test_an_unknown_root_is_not_found(self, store):
        with pytest.raises(BlobNotFound, match=bytes(32).hex()):
            store.get(bytes(32), chunk_length=CHUNK)
        assert not store.has(bytes(32))

    @pytest.mark.parametrize("position", [0, 4, 8, 12, -1])
    def test_a_flipped_byte_is_caught(self, store, behind, position):
        root = behind.put(encode_update(UPDATE, SHIFT), chunk_length=CHUNK)
        content = bytearray(behind.get_bytes(root, chunk_length=CHUNK))
        content[position] ^= 1
        self.lay(behind, root, content)
        with pytest.raises(BlobCorrupt):
            store.get(root, chunk_length=CHUNK)

    def test_another_blob_under_the_root_is_caught(self, store, behind):
        self.lay(behind, root_of(UPDATE), encode_update(-UPDATE, SHIFT))
        with pytest.raises(BlobCorrupt, match=root_of(-UPDATE).hex()) as refused:
            store.get_bytes(root_of(UPDATE), chunk_length=CHUNK)
        assert refused.value.served == (encode_update(-UPDATE, SHIFT),)

    @pytest.mark.parametrize("content", [b"", b"VLQ", b"\x80\x04garbage", bytes(64)])
    def test_garbage_under_the_root_is_caught(self, store, behind, content):
        self.lay(behind, root_of(UPDATE), content)
        with pytest.raises(BlobCorrupt, match="no canonical blob"):
            store.get(root_of(UPDATE), chunk_length=CHUNK)

    def test_trailing_bytes_are_caught(self, store, behind):
        self.lay(behind, root_of(UPDATE), encode_update(UPDATE, SHIFT) + b"\0")
        with pytest.raises(BlobCorrupt):
            store.get(root_of(UPDATE), chunk_length=CHUNK)

    def test_the_same_values_in_another_unit_are_caught(self, store, behind):
        root = behind.put(encode_update(UPDATE, SHIFT + 1), chunk_length=CHUNK)
        with pytest.raises(BlobCorrupt, match=f"shift {SHIFT + 1}, wanted {SHIFT}"):
            store.get(root, chunk_length=CHUNK, shift=SHIFT)

    def test_more_bytes_than_allowed_are_refused(self, store, behind):
        big = np.ones(1000, dtype=np.int32)
        self.lay(behind, root_of(big), encode_model(big, SHIFT))
        with pytest.raises(BlobCorrupt, match=f"more than the {largest_blob_bytes(100)} bytes"):
            store.get(root_of(big), chunk_length=CHUNK)

    def test_a_root_of_the_wrong_length_is_a_bug(self, store):
        with pytest.raises(ValueError, match="32 bytes"):
            store.get(b"short", chunk_length=CHUNK)
