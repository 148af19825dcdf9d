"""The journal writes a round once and survives being cut off."""

import errno
import os
import re

import pytest

from orchestrator.journal import Evaluation, Journal
from protocol.errors import StorageError

pytestmark = pytest.mark.unit

FIRST = Evaluation(b"\1" * 32, 1, b"\2" * 32, 1_700_000_000, {"rmse_vol_points": 1.5})
SECOND = FIRST._replace(round=2, metrics={"rmse_vol_points": 1.25})


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / "metrics.jsonl"


def test_what_was_written_is_read_again(file):
    journal = Journal(file)
    journal.append(SECOND)
    journal.append(FIRST)
    elsewhere = FIRST._replace(task_id=b"\3" * 32)
    journal.append(elsewhere)
    assert Journal(file).all() == (FIRST, SECOND, elsewhere)
    assert Journal(file).find(FIRST.task_id, 2, FIRST.model_root) == SECOND
    assert Journal(file).find(FIRST.task_id, 3, FIRST.model_root) is None


def test_a_round_is_written_once(file):
    for _ in range(2):
        Journal(file).append(FIRST)
    assert len(file.read_bytes().splitlines()) == 1


def test_a_model_that_a_reorganisation_replaced_is_written_again_and_counts(file):
    replaced = FIRST._replace(model_root=b"\4" * 32)
    journal = Journal(file)
    journal.append(FIRST)
    assert journal.find(FIRST.task_id, 1, replaced.model_root) is None
    journal.append(replaced)
    assert Journal(file).all() == (replaced,)


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_line_cut_off_by_a_kill_is_written_again_and_harms_no_other(file, cut):
    Journal(file).append(FIRST)
    Journal(file).append(SECOND)
    file.write_bytes(file.read_bytes()[:-cut])
    journal = Journal(file)
    journal.append(SECOND)
    assert Journal(file).all() == (FIRST, SECOND)


def test_line_that_a_full_disk_refused_is_written_later(file, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal = Journal(file)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=re.escape(str(file))):
            journal.append(FIRST)
    assert journal.all() == ()

    journal.append(FIRST)
    assert Journal(file).all() == (FIRST,)
