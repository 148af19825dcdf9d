"""The table of costs: its rows without the other libraries, and what it measures beside time."""

import json
import sys

import numpy as np
import pytest

from benchmarks import aggregation
from protocol.rules import RULES

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def no_other_libraries(monkeypatch, tmp_path):
    monkeypatch.setattr(aggregation, "THEIR_PYTHON", tmp_path / "missing")


def test_row_of_every_rule_and_library_is_written(monkeypatch, tmp_path, capsys):
    written = tmp_path / "rows.json"
    monkeypatch.setattr(
        sys, "argv", ["aggregation", "--n", "7", "--d", "101", "--json", str(written)]
    )
    aggregation.main()
    rows = json.loads(written.read_text(encoding="ascii"))
    assert {(row["rule"], row["library"], row["input"]) for row in rows} == {
        (rule, library, given)
        for rule in aggregation.contestants(7)
        for library, inputs in aggregation.OTHERS.items()
        for given in inputs
    }
    for row in rows:
        assert (row["n"], row["d"]) == (7, 101)
        assert row["their_cpu_seconds"] is None
        assert row["ratio"] is None
        assert row["our_cpu_seconds"] > 0
        assert row["our_extra_bytes"] > 0
        assert row["our_reads"] > 0
    assert "median" in capsys.readouterr().out


def test_every_rule_is_measured():
    assert RULES.keys() <= aggregation.contestants(100).keys()


def test_a_fifth_of_the_drawn_updates_is_far_from_the_rest():
    updates = aggregation.drawn(20, 1000).astype(float)
    norms = np.linalg.norm(updates - np.median(updates, axis=0), axis=1)
    assert norms[:4].min() > 5 * norms[4:].max()
