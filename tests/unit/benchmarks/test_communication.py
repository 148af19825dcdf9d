"""The table of bytes and accuracy: what is counted, and that every row is a task of its own."""

import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from benchmarks import communication
from benchmarks.communication import CODINGS, Row, entropy_bytes, packed
from benchmarks.field import Field
from node.learning.training import TrainingSettings
from node.learning.update import Precision
from protocol.encoding import HEADER
from tests.unit.benchmarks import small_field

pytestmark = pytest.mark.unit


@pytest.fixture
def brief_tasks(monkeypatch):
    """Desks that train for a moment."""
    dealt = small_field.dealt(4, anchor_every=5)
    monkeypatch.setattr(Field, "cut", lambda *_, **__: dealt)
    short = partial(TrainingSettings, steps_per_round=4, batch_size=64)
    monkeypatch.setattr(communication, "TrainingSettings", short)


@pytest.mark.usefixtures("brief_tasks")
def test_row_of_every_rule_and_precision_is_written(monkeypatch, tmp_path, capsys):
    written = tmp_path / "rows.json"
    arguments = ["--rounds", "2", "--precision", "16", "--precision", "4:0.5"]
    monkeypatch.setattr(sys, "argv", ["communication", *arguments, "--json", str(written)])
    communication.main()
    rows = rows_in(written)
    cases = [row["case"] for row in rows]
    made = {(case["rule"], case["bits"], case["largest"]) for case in cases}
    assert made == {(rule, *each) for rule in communication.RULES for each in ((16, 1.0), (4, 0.5))}
    for row in rows:
        assert row["rmse_vol_points"].keys() == {"validation", "test", "stress"}
        assert row["update_bytes"]["entropy"] < row["update_bytes"]["gzip"]
        assert row["update_bytes"]["gzip"] < row["update_bytes"]["identity"]
    gzip_bytes = {(row["case"]["rule"], row["case"]["bits"]): row["update_bytes"] for row in rows}
    assert 2 * gzip_bytes["mean", 4]["gzip"] < gzip_bytes["mean", 16]["gzip"]
    table = capsys.readouterr().out
    assert "| mean | 16 | 1 | 1 |" in table
    assert "| trimmed_mean | 4 | 0.5 | 1 |" in table

    # Again, with one seed more: what is in the file is not run.
    ran = []
    known = {row.case: row for row in map(Row.from_dict, rows)}

    def noted(_field, case):
        ran.append(case)
        return replace(known[replace(case, seed=0)], case=case)

    monkeypatch.setattr(communication, "run", noted)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--seeds", "2"])
    communication.main()
    assert [case.seed for case in ran] == [1] * len(rows)
    assert len(rows_in(written)) == 2 * len(rows)


def rows_in(written):
    return [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]


def test_entropy_is_that_of_the_values():
    assert entropy_bytes(np.zeros(800, np.int16)) == HEADER.size
    assert entropy_bytes(np.arange(800, dtype=np.int16) % 2) == HEADER.size + 100
    assert entropy_bytes(np.arange(256, dtype=np.int16)) == HEADER.size + 256


def test_packed_is_a_byte_each_without_common_zero_bits():
    update = np.array([96, -32, 0, 127 * 32], dtype=np.int16)
    assert packed(update) == np.array([3, -1, 0, 127], dtype=np.int8).tobytes()
    assert packed(np.zeros(3, np.int16)) == bytes(3)
    wide = np.array([1, -1000], dtype=np.int16)
    assert packed(wide) == b"\x00\xfc\x01\x18"


def test_no_coding_of_noise_is_shorter_than_its_entropy():
    update = np.random.default_rng(0).integers(-100, 101, 5000).astype(np.int16)
    found = {name: coding(update) for name, coding in CODINGS.items()}
    assert found["identity"] == HEADER.size + 2 * update.size
    assert all(found["entropy"] <= size for size in found.values())


def test_precision_is_named_by_bits_and_part():
    assert communication.precision_of("8") == Precision(8)
    assert communication.precision_of("8:0.25") == Precision(8, 0.25)
