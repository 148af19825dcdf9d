"""The table of costs: its rows without the other libraries, and what it measures beside time."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import aggregation
from benchmarks.aggregation_table import FIGURES, LIBRARIES, ROOT, read, table, written
from benchmarks.gas_table import renewed
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
        for library, given in LIBRARIES
    }
    assert table(rows).count("| — | — | — |") == len(aggregation.contestants(7))
    for row in rows:
        assert (row["n"], row["d"]) == (7, 101)
        assert row["their_cpu_seconds"] is None
        assert row["their_extra_bytes"] is None
        assert row["ratio"] is None
        assert row["difference"] is None
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


def test_page_says_what_was_measured():
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    rows = read()
    assert renewed(page, [table(rows)]) == page
    assert written(rows) == FIGURES.read_text(encoding="ascii")


def test_figures_are_of_every_rule_and_of_libraries_that_ran():
    rows = read()
    assert {row["rule"] for row in rows} == aggregation.contestants(10).keys()
    ran = [row for row in rows if row["their_cpu_seconds"] is not None]
    assert {(row["library"], row["input"]) for row in ran} == set(LIBRARIES)
    for row in ran:
        assert row["their_extra_bytes"] >= 0
        assert row["difference"] >= 0


# In a process of its own, because measuring changes how it allocates.
PEAK = """
import numpy as np
from benchmarks.other_libraries import extra_bytes

rows = np.ones((4, 1 << 20), dtype=np.float32)
print(extra_bytes(lambda: [lambda x: np.concatenate([x, x]), lambda x: x[0].copy()], rows))
"""


def test_what_others_hold_at_their_peak_is_counted():
    ran = subprocess.run(  # noqa: S603 - a fixed program
        [sys.executable, "-c", PEAK], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    # Eight rows of four MiB, less the result's one; the input is there from the beginning.
    assert int(ran.stdout) / 2**20 == pytest.approx(28, abs=1)
