"""The robustness table: who lies, what is run again, and what is printed and drawn."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import robustness
from benchmarks.attacks import ATTACKS
from benchmarks.contestants import CONTESTANTS
from benchmarks.federated_recipe import Field
from benchmarks.robustness_table import Cell, draw, printed
from tests.unit.node import small_market

pytestmark = pytest.mark.unit

SMALL = Cell(
    market="made up",
    partition="desks",
    desks=4,
    liars=1,
    attack="honest",
    rule="mean",
    rounds=2,
    steps_per_round=10,
    batch_size=64,
    seed=0,
)


@pytest.fixture(scope="module")
def field():
    """Four desks that deal one made-up fortnight out among themselves, priced on all of it."""
    everything = small_market.samples()
    rows = np.arange(len(everything))
    return Field(
        desks=tuple(everything.take(rows % 4 == desk) for desk in range(4)),
        pooled=everything,
        validation=everything,
        held_out={"test": everything, "stress": everything},
    )


def asked(tmp_path, **changed):
    wanted = {
        "data": None,
        "partition": ["desks"],
        "desks": 4,
        "liars": [1],
        "attacks": ["sign_flip"],
        "rules": ["mean", "median"],
        "rounds": 2,
        "steps": 10,
        "batch": 64,
        "seed": 0,
        "unanchored": False,
        "json": tmp_path / "cells.jsonl",
    }
    return Namespace(**(wanted | changed))


def test_every_attack_can_be_run_against_a_rule(field):
    honest = robustness.run(field, SMALL)
    for attack in ATTACKS:
        found = robustness.run(field, replace(SMALL, attack=attack, rule="trimmed_mean"))
        assert found.test is not None
        assert found.key == replace(SMALL, attack=attack, rule="trimmed_mean")
        assert found.test != honest.test


def test_attack_at_the_bound_destroys_the_mean_and_not_the_median(field):
    def rmse(attack, rule):
        return robustness.run(field, replace(SMALL, attack=attack, rule=rule)).test

    assert rmse("inner_product_at_bound", "mean") > 1.5 * rmse("honest", "mean")
    assert rmse("inner_product_at_bound", "median") < 1.2 * rmse("honest", "median")


def test_honest_cell_does_not_depend_on_how_many_would_lie(field):
    one, two = (robustness.run(field, replace(SMALL, liars=liars)) for liars in (1, 2))
    assert one.test == two.test


def test_absent_desks_are_missed(field):
    alone = robustness.run(field, replace(SMALL, attack="absent"))
    assert alone.test not in (None, robustness.run(field, SMALL).test)


def test_cells_on_file_are_not_run_again(field, tmp_path, monkeypatch):
    monkeypatch.setattr(Field, "cut", lambda *_, **__: field)
    first = robustness.measured_cells(asked(tmp_path))
    monkeypatch.setattr(robustness, "run", None)

    assert robustness.measured_cells(asked(tmp_path)) == first
    assert [(cell.attack, cell.rule) for cell in first] == [
        (attack, rule)
        for attack in ("honest", "absent", "sign_flip")
        for rule in ("mean", "median")
    ]


def test_other_settings_are_other_cells(tmp_path):
    first = set(robustness.wanted_cells(asked(tmp_path)))
    for changed in ({"seed": 1}, {"rounds": 3}, {"unanchored": True}, {"liars": [2]}):
        assert first.isdisjoint(robustness.wanted_cells(asked(tmp_path, **changed)))


def test_rule_that_takes_no_such_numbers_is_left_out(field, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Field, "cut", lambda *_, **__: field)
    cells = robustness.measured_cells(
        asked(tmp_path, liars=[2], attacks=[], rules=["mean", "trimmed_mean"])
    )
    assert {cell.rule for cell in cells} == {"mean"}
    assert "needs at least 5 updates" in capsys.readouterr().out


def table():
    def cell(attack, rule, test):
        return replace(SMALL, attack=attack, rule=rule, test=test, stress=2 * (test or 0.0) or None)

    return [
        cell("honest", "mean", 1.0),
        cell("honest", "median", 1.1),
        cell("sign_flip", "mean", None),
        cell("sign_flip", "median", 1.2),
    ]


def test_printed_table_names_the_worst_attack_and_its_cost():
    assert printed(table()).splitlines() == [
        "| attack | mean | median |",
        "|---|---|---|",
        "| all desks honest | 1.000, 2.000 | 1.100, 2.200 |",
        "| sign flip | diverged, diverged | 1.200, 2.400 |",
        "| **worst attack** | diverged, diverged | 1.200, 2.400 |",
        "| **against the honest mean** | destroyed, destroyed | +20%, +20% |",
    ]


def test_heat_map_is_small_and_the_same_on_every_run(tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    draw(table(), first)
    draw(table(), second)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) < 60_000
    assert "diverged" in first.read_text(encoding="utf-8")


def test_rules_are_found_by_name():
    assert {"mean", "clipped_mean", "median", "trimmed_mean"} <= set(CONTESTANTS)
