"""Directory stores, stores of stores, and what a kill leaves behind."""

import fcntl
import os
import re

import pytest

from protocol.blobs import Backend, DirectoryStore, FirstOf, Keeping, Remembering
from protocol.encoding import encode_update
from protocol.errors import (
    BlobCorrupt,
    BlobNotFound,
    BlobStoreDown,
    EncodingError,
    StorageError,
)
from tests.unit.protocol.blob_suite import CHUNK, SHIFT, UPDATE, BlobStoreSuite, root_of

pytestmark = pytest.mark.unit

CONTENT = encode_update(UPDATE, SHIFT)
ROOT = root_of(UPDATE)


class DownStore(Backend):
    """A backend that never answers."""

    name = "down"

    def has(self, root):
        return self._read(root) is not None

    def _read(self, root):
        raise BlobStoreDown(root, "down is down")

    def _write(self, root, content):
        raise BlobStoreDown(root, f"down takes no {len(content)} bytes")


class TestDirectoryStore(BlobStoreSuite):
    """The backend by itself."""

    @pytest.fixture
    def store(self, behind):
        return behind


class TestFirstOf(BlobStoreSuite):
    """An empty directory in front changes nothing."""

    @pytest.fixture
    def store(self, behind, tmp_path):
        return FirstOf([DirectoryStore(tmp_path / "empty"), behind])


class TestKeeping(BlobStoreSuite):
    """Nor if what it lacks is put there."""

    @pytest.fixture
    def store(self, behind, tmp_path):
        return Keeping([DirectoryStore(tmp_path / "empty"), behind])


class TestRemembering(BlobStoreSuite):
    """Nor if what it answers is kept."""

    @pytest.fixture
    def store(self, behind, tmp_path):
        return Remembering([DirectoryStore(tmp_path / "empty"), behind])


@pytest.fixture
def directory(tmp_path):
    return DirectoryStore(tmp_path / "blobs")


def test_bytes_that_are_no_blob_are_not_stored(directory):
    with pytest.raises(EncodingError):
        directory.put(CONTENT + b"\0", chunk_length=CHUNK)
    assert list(directory.path.iterdir()) == []


def test_a_file_is_named_by_its_root(directory):
    directory.put(CONTENT, chunk_length=CHUNK)
    assert [file.name for file in directory.path.iterdir()] == [ROOT.hex()]


def test_putting_again_repairs_a_damaged_file(directory):
    directory.file_of(ROOT).write_bytes(b"torn")
    directory.put(CONTENT, chunk_length=CHUNK)
    assert directory.get_bytes(ROOT, chunk_length=CHUNK) == CONTENT


def test_a_write_that_was_cut_off_is_never_served_and_removed_at_start(directory, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(_descriptor):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        patch.setattr(type(directory.path), "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            directory.put(CONTENT, chunk_length=CHUNK)
    assert len(list(directory.path.iterdir())) == 1
    assert not directory.has(ROOT)
    DirectoryStore(directory.path)
    assert list(directory.path.iterdir()) == []


def test_a_write_in_progress_elsewhere_is_left_alone(directory):
    writing = directory.path / f"{ROOT.hex()}.0123456789abcdef.partial"
    with writing.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        DirectoryStore(directory.path)
        assert writing.exists()
    DirectoryStore(directory.path)
    assert not writing.exists()


def test_a_full_disk_is_an_expected_error(directory, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    wanted = f"{directory.file_of(ROOT)} cannot be written: No space left"
    with pytest.raises(StorageError, match=re.escape(wanted)):
        directory.put(CONTENT, chunk_length=CHUNK)
    assert list(directory.path.iterdir()) == []


def test_a_corrupt_answer_does_not_hide_a_good_one(tmp_path):
    bad, good = DirectoryStore(tmp_path / "bad"), DirectoryStore(tmp_path / "good")
    bad.file_of(ROOT).write_bytes(encode_update(-UPDATE, SHIFT))
    good.put(CONTENT, chunk_length=CHUNK)
    assert FirstOf([bad, DownStore(), good]).get_bytes(ROOT, chunk_length=CHUNK) == CONTENT


def test_another_unit_does_not_hide_the_right_one(tmp_path):
    bad, good = DirectoryStore(tmp_path / "bad"), DirectoryStore(tmp_path / "good")
    bad.put(encode_update(UPDATE, SHIFT + 1), chunk_length=CHUNK)
    good.put(CONTENT, chunk_length=CHUNK)
    found = FirstOf([bad, good]).get(ROOT, chunk_length=CHUNK, shift=SHIFT)
    assert found.shift == SHIFT


def test_not_found_needs_every_store_to_say_so(tmp_path):
    empty, bad = DirectoryStore(tmp_path / "empty"), DirectoryStore(tmp_path / "bad")
    bad.file_of(ROOT).write_bytes(b"garbage")
    for stores, expected in [
        ([empty], BlobNotFound),
        ([], BlobNotFound),
        ([empty, bad], BlobCorrupt),
        ([empty, bad, DownStore()], BlobStoreDown),
    ]:
        with pytest.raises(expected) as caught:
            FirstOf(stores).get(ROOT, chunk_length=CHUNK)
        assert type(caught.value) is expected
        assert all(store.name in str(caught.value) for store in stores)


def test_whether_a_store_of_stores_has_a_blob(tmp_path):
    empty, good = DirectoryStore(tmp_path / "empty"), DirectoryStore(tmp_path / "good")
    good.put(CONTENT, chunk_length=CHUNK)
    assert FirstOf([DownStore(), good]).has(ROOT)
    assert not FirstOf([empty]).has(ROOT)
    with pytest.raises(BlobStoreDown):
        FirstOf([empty, DownStore()]).has(ROOT)


def test_what_is_put_goes_to_the_first_store(tmp_path):
    first, second = DirectoryStore(tmp_path / "first"), DirectoryStore(tmp_path / "second")
    assert FirstOf([first, second]).put(CONTENT, chunk_length=CHUNK) == ROOT
    assert first.has(ROOT)
    assert not second.has(ROOT)


def test_what_another_store_answers_is_kept_in_the_first_one(tmp_path):
    first, second = DirectoryStore(tmp_path / "first"), DirectoryStore(tmp_path / "second")
    second.put(CONTENT, chunk_length=CHUNK)
    keeping = Keeping([first, second])
    assert keeping.get(ROOT, chunk_length=CHUNK, shift=SHIFT).values.size
    second.file_of(ROOT).unlink()
    assert keeping.get_bytes(ROOT, chunk_length=CHUNK) == CONTENT
    with pytest.raises(BlobNotFound):
        keeping.get(b"\1" * 32, chunk_length=CHUNK)


def test_a_blob_is_asked_for_once_whatever_is_answered(directory):
    store = Remembering([directory])
    directory.put(CONTENT, chunk_length=CHUNK)
    assert store.get_bytes(ROOT, chunk_length=CHUNK) == CONTENT
    directory.file_of(ROOT).unlink()
    assert store.get_bytes(ROOT, chunk_length=CHUNK) == CONTENT
    # Under another shift it is another question.
    with pytest.raises(BlobNotFound):
        store.get(ROOT, chunk_length=CHUNK, shift=SHIFT)
    directory.put(CONTENT, chunk_length=CHUNK)
    with pytest.raises(BlobNotFound):
        store.get(ROOT, chunk_length=CHUNK, shift=SHIFT)
