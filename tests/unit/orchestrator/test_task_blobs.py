"""A task's blobs are verified, kept, and asked for in the task's own unit."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.task_blobs import TaskBlobs
from protocol.blobs import Backend, DirectoryStore
from protocol.encoding import encode_update
from protocol.errors import BlobCorrupt, BlobNotFound, BlobStoreDown, StorageError
from protocol.sumtree import SumTree
from protocol.task import TaskParams

pytestmark = pytest.mark.unit

CHUNK = 16
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=bytes(32), genesis_model_root=bytes(32), dimension=40, closes_at=1
    ),
    chunk_length=CHUNK,
    shift=12,
)
UPDATES = [np.full(40, value, dtype=np.int16) for value in range(20)]


def root_of(update):
    return SumTree.of(update, CHUNK).root


@pytest.fixture
def own(tmp_path):
    return DirectoryStore(tmp_path / "own")


@pytest.fixture
def node(tmp_path):
    store = DirectoryStore(tmp_path / "node")
    for update in UPDATES:
        store.put(encode_update(update, 12), chunk_length=CHUNK)
    return store


def test_everything_wanted_is_mirrored(own, node):
    roots = [root_of(update) for update in UPDATES]
    assert TaskBlobs(PARAMS, own, [node]).mirror(roots) == {}
    assert all(own.get(root, chunk_length=CHUNK, shift=12) for root in roots)


def test_what_cannot_be_had_is_named_and_the_rest_is_mirrored(own, node):
    present, absent, garbage = (root_of(update) for update in UPDATES[:3])
    node.file_of(absent).unlink()
    node.file_of(garbage).write_bytes(b"garbage")
    refusals = TaskBlobs(PARAMS, own, [node]).mirror([present, absent, garbage, absent])
    assert {root: type(error) for root, error in refusals.items()} == {
        absent: BlobNotFound,
        garbage: BlobCorrupt,
    }
    assert own.has(present)
    assert not own.has(garbage)


def test_an_update_in_another_unit_counts_as_corrupt(own, node):
    node.put(encode_update(UPDATES[0], 13), chunk_length=CHUNK)
    with pytest.raises(BlobCorrupt, match="shift 13"):
        TaskBlobs(PARAMS, own, [node]).get(root_of(UPDATES[0]), chunk_length=CHUNK)


def test_a_damaged_own_copy_is_replaced(own, node):
    root = root_of(UPDATES[0])
    own.file_of(root).write_bytes(b"torn")
    blob = TaskBlobs(PARAMS, own, [node]).get(root, chunk_length=CHUNK)
    assert np.array_equal(blob.values, UPDATES[0])
    assert own.get(root, chunk_length=CHUNK)


def test_without_any_participant_only_own_blobs_are_found(own):
    blobs = TaskBlobs(PARAMS, own, [])
    root = blobs.put(encode_update(UPDATES[0], 12), chunk_length=CHUNK)
    assert blobs.has(root)
    with pytest.raises(BlobNotFound):
        blobs.get(root_of(UPDATES[1]), chunk_length=CHUNK)


class DownStore(Backend):
    """Never answers, and counts how often it was asked."""

    name = "down"

    def __init__(self):
        self.asked = 0

    def has(self, root):
        return self._read(root) is not None

    def _read(self, root):
        self.asked += 1
        raise BlobStoreDown(root, "down is down")

    def _write(self, root, content):
        raise BlobStoreDown(root, f"down takes no {len(content)} bytes")


def test_a_server_that_is_down_is_not_asked_for_every_blob(own, node):
    roots = [root_of(update) for update in UPDATES]
    node.file_of(roots[7]).unlink()
    down = DownStore()
    assert list(TaskBlobs(PARAMS, own, [down, node]).mirror(roots)) == [roots[7]]
    assert 0 < down.asked <= 2


def test_while_every_server_is_down_nothing_is_found(own):
    roots = [root_of(update) for update in UPDATES[:2]]
    refusals = TaskBlobs(PARAMS, own, [DownStore()]).mirror(roots)
    assert {type(error) for error in refusals.values()} == {BlobStoreDown}


def test_several_participants_share_the_work(own, tmp_path):
    roots = [root_of(update) for update in UPDATES]
    remotes = [DirectoryStore(tmp_path / f"node-{number}") for number in range(3)]
    for number, update in enumerate(UPDATES):
        remotes[number % 3].put(encode_update(update, 12), chunk_length=CHUNK)
    assert TaskBlobs(PARAMS, own, remotes).mirror(roots) == {}


def test_own_disk_that_is_full_is_not_taken_for_a_missing_update(own, node, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    blobs, root = TaskBlobs(PARAMS, own, [node]), root_of(UPDATES[0])
    # Whoever flags what it could not keep pays for it.
    with pytest.raises(StorageError):
        blobs.mirror([root])
    with pytest.raises(StorageError):
        blobs.get(root, chunk_length=CHUNK)
    assert not own.has(root)
