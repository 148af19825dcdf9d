"""What a participant remembers survives a restart, and a file that is not it is named."""

import errno
import os
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from node import memory as memory_module
from node.memory import VERSION, Memory, MemoryFile, Mismatch, Pending, Scores, Signed
from protocol.errors import ConfigError, StorageError

pytestmark = pytest.mark.unit

DIMENSION = 5
PENDING = Pending(
    round=7,
    base_model_root=b"\1" * 32,
    update_root=b"\2" * 32,
    tree_top=b"\3" * 32,
    squared_norm=2**63 + 1,
    residual=np.linspace(0.0, 0.9, DIMENSION),
)
FULL = Memory(
    residual=np.array([0.1, 0.25, 1e-300, 0.0, 0.999]),
    verified_round=6,
    verified_model_root=b"\4" * 32,
    unverified_rounds=(2, 5),
    mismatch=Mismatch(round=6, publication="1:2", why="model root", provable=True),
    signed=Signed(round=7, commitment=b"\5" * 32),
    scores=Scores(round=6, updates_hash=b"\6" * 32, given=b"\0\xff\1"),
    pending=PENDING,
)


@pytest.fixture
def file(tmp_path: Path) -> MemoryFile:
    return MemoryFile(tmp_path / "state" / "memory.npz")


def assert_same(found: object, expected: object) -> None:
    assert type(found) is type(expected)
    for field in fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, Pending):
            assert_same(one, other)
        elif isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes(), field.name
        else:
            assert one == other, field.name


def test_first_start_remembers_nothing(file):
    assert_same(file.load(DIMENSION), Memory(residual=np.zeros(DIMENSION)))


@pytest.mark.parametrize(
    "memory",
    [
        FULL,
        replace(FULL, pending=None),
        replace(FULL, signed=Signed(round=7, commitment=b"")),
        Memory(np.zeros(DIMENSION)),
    ],
)
def test_what_was_saved_is_loaded_bit_for_bit(file, memory):
    file.save(memory)

    assert_same(file.load(DIMENSION), memory)


def test_latest_save_counts_and_leaves_nothing_beside_it(file):
    file.save(FULL)
    file.save(replace(FULL, verified_round=8))

    assert file.load(DIMENSION).verified_round == 8
    assert [path.name for path in file.path.parent.iterdir()] == ["memory.npz"]


def test_save_that_a_crash_cut_off_is_ignored(file):
    file.save(FULL)
    whole = file.path.read_bytes()
    file.path.with_suffix(".new").write_bytes(whole[: len(whole) // 2])

    assert_same(file.load(DIMENSION), FULL)
    file.save(replace(FULL, verified_round=9))
    assert file.load(DIMENSION).verified_round == 9


def test_failed_save_leaves_the_old_memory(file, monkeypatch):
    file.save(FULL)

    def full_disk(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)
    wanted = f"{file.path} cannot be written: No space left"
    with pytest.raises(StorageError, match=re.escape(wanted)):
        file.save(replace(FULL, verified_round=9))

    assert_same(file.load(DIMENSION), FULL)
    assert list(file.path.parent.iterdir()) == [file.path]


def test_memory_of_another_model_is_refused(file):
    file.save(FULL)

    with pytest.raises(ConfigError, match=r"for 5 parameters, wanted version 3 for 6"):
        file.load(DIMENSION + 1)


def test_memory_of_another_version_is_refused(file, monkeypatch):
    monkeypatch.setattr(memory_module, "VERSION", VERSION - 1)
    file.save(FULL)
    monkeypatch.undo()

    with pytest.raises(ConfigError, match=r"holds version 2 .* wanted version 3"):
        file.load(DIMENSION)


def test_truncated_memory_is_refused_wherever_it_is_cut(file):
    file.save(FULL)
    whole = file.path.read_bytes()

    for length in range(0, len(whole), 37):
        file.path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=r"memory\.npz is not a participant's memory"):
            file.load(DIMENSION)


def save_without_facts(path: Path) -> None:
    np.savez(path, residual=np.zeros(DIMENSION))


def save_with_other_facts(path: Path) -> None:
    facts = np.frombuffer(b'{"version": 3}', dtype=np.uint8)
    np.savez(path, facts=facts, residual=np.zeros(DIMENSION), pending_residual=np.zeros(0))


def save_with_a_list_for_facts(path: Path) -> None:
    facts = np.frombuffer(b"[1]", dtype=np.uint8)
    np.savez(path, facts=facts, residual=np.zeros(DIMENSION), pending_residual=np.zeros(0))


def save_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(DIMENSION))


def save_objects(path: Path) -> None:
    # Loading it would run code of the file's choosing.
    with path.open("wb") as file:
        np.savez(file, facts=np.array([{"version": 3}], dtype=object))


def save_text(path: Path) -> None:
    path.write_text("not an archive")


@pytest.mark.parametrize(
    "foreign",
    [
        save_without_facts,
        save_with_other_facts,
        save_with_a_list_for_facts,
        save_one_array,
        save_objects,
        save_text,
        Path.mkdir,
    ],
)
def test_foreign_file_is_refused_with_what_to_do(file, foreign):
    file.path.parent.mkdir()
    foreign(file.path)

    with pytest.raises(ConfigError, match=r"is not a participant's memory .* move it away"):
        file.load(DIMENSION)
