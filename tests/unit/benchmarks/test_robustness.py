"""The robustness table: who lies, what is run again, and what is printed and drawn."""

import re
from argparse import Namespace
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from benchmarks import robustness
from benchmarks.attacks import ATTACKS
from benchmarks.contestants import CONTESTANTS, REFEREES
from benchmarks.field import Field
from benchmarks.robustness_map import draw
from benchmarks.robustness_table import (
    Cell,
    Table,
    summary,
    table_of_draws,
    table_of_errors,
    tables,
)
from tests.unit.benchmarks import small_field

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
    return small_field.dealt(4, anchor_every=5)


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
        "seed": [0],
        "anchors": "panel",
        "recipe": "task's",
        "then": "",
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


def test_rule_that_trusts_the_public_points_withstands_liars_in_the_majority(field):
    def rmse(attack, rule):
        cell = replace(SMALL, liars=3, attack=attack, rule=rule)
        return robustness.run(field, cell).test

    assert rmse("inner_product_at_bound", "mean") > 1.5 * rmse("honest", "mean")
    assert rmse("inner_product_at_bound", "fltrust") < 1.2 * rmse("honest", "fltrust")


def test_honest_cell_does_not_depend_on_how_many_would_lie(field):
    one, two = (robustness.run(field, replace(SMALL, liars=liars)) for liars in (1, 2))
    assert one.test == two.test


def test_desks_train_by_the_tasks_recipe_or_another_one(field):
    one_of_four = replace(SMALL, rounds=3)
    found = {
        recipe: robustness.run(field, replace(one_of_four, recipe=recipe)).test
        for recipe in ("task's", "trusting", "wary")
    }
    assert len(set(found.values())) == 3


def test_liars_turn_after_the_half_of_the_rounds(field):
    """Four rounds: two of the first attack, then two of the other."""

    def rmse(rounds, attack, then=""):
        cell = replace(SMALL, rounds=rounds, attack=attack, then=then, recipe="wary")
        return robustness.run(field, cell).test

    both = rmse(4, "gaussian_noise", "label_flip")
    assert both not in (rmse(4, "gaussian_noise"), rmse(4, "label_flip"))
    assert rmse(4, "gaussian_noise", "gaussian_noise") == rmse(4, "gaussian_noise")
    assert rmse(1, "label_flip", "gaussian_noise") == rmse(1, "gaussian_noise")


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
    for changed in (
        {"seed": [1]},
        {"rounds": 3},
        {"anchors": "synthetic"},
        {"recipe": "wary"},
        {"liars": [2]},
    ):
        assert first.isdisjoint(robustness.wanted_cells(asked(tmp_path, **changed)))


def test_desks_are_cut_once_for_each_partition_and_seed(field, tmp_path, monkeypatch):
    cuts = []

    def cut(_data, how, _desks, seed, **_):
        cuts.append((how, seed))
        return field

    monkeypatch.setattr(Field, "cut", cut)
    settings = {"partition": ["desks", "dirichlet"], "liars": [1, 2], "seed": [0, 1]}
    robustness.measured_cells(asked(tmp_path, attacks=[], rules=["mean"], **settings))
    assert cuts == [("desks", 0), ("desks", 1), ("dirichlet", 0), ("dirichlet", 1)]


def test_desks_train_on_the_public_points_that_were_asked_for(field, tmp_path, monkeypatch):
    monkeypatch.setattr(Field, "cut", lambda *_, **__: field)
    settings = {"attacks": [], "rules": ["mean"], "rounds": 1, "json": None}
    found = {
        anchors: robustness.measured_cells(asked(tmp_path, anchors=anchors, **settings))[0]
        for anchors in ("none", "panel", "synthetic")
    }
    assert {anchors: cell.anchors for anchors, cell in found.items()} == {
        anchors: anchors for anchors in found
    }
    assert len({cell.test for cell in found.values()}) == 3


def test_rule_that_takes_no_such_numbers_is_left_out_and_the_report_says_why(
    field, tmp_path, monkeypatch
):
    monkeypatch.setattr(Field, "cut", lambda *_, **__: field)
    wanted = asked(tmp_path, liars=[2], attacks=[], rules=["mean", "trimmed_mean"])
    cells = robustness.measured_cells(wanted)
    assert {cell.rule for cell in cells} == {"mean"}
    refused = [part for part in robustness.report(wanted, cells) if "trimmed_mean" in part]
    assert len(refused) == 1
    assert "needs at least 5 updates" in refused[0]


@pytest.mark.parametrize(
    ("attack", "refused"), [("honest", False), ("sign_flip", False), ("absent", True)]
)
def test_rule_is_asked_about_the_updates_that_there_will_be(attack, refused):
    """Krum tolerating three wants nine of them."""
    cell = replace(SMALL, desks=10, liars=3, rule="krum", attack=attack)
    assert (robustness.refusal(cell) is not None) == refused


def cell(attack, rule, test, stress=None, **changed):
    return replace(SMALL, attack=attack, rule=rule, test=test, stress=stress, **changed)


def cells(**changed):
    """The mean is destroyed; the median loses more on the stress, by another attack."""
    return [
        cell("honest", "mean", 1.0, 2.0, **changed),
        cell("honest", "median", 1.1, 2.5, **changed),
        cell("absent", "mean", 0.9, 1.9, **changed),
        cell("absent", "median", 1.9, 3.9, **changed),
        cell("sign_flip", "mean", None, None, **changed),
        cell("sign_flip", "median", 1.21, 2.0, **changed),
        cell("mimic", "mean", 0.8, 1.8, **changed),
        cell("mimic", "median", 1.0, 3.0, **changed),
    ]


def test_table_of_errors_marks_the_worst_attack_and_says_what_it_costs():
    assert table_of_errors(Table(cells())).splitlines() == [
        "| attack | mean | median |",
        "|---|---|---|",
        "| all desks honest | 1.000, 2.000 | 1.100, 2.500 |",
        "| the liars' desks stay away | 0.900, 1.900 | 1.900, 3.900 |",
        "| sign flip | **diverged**, **diverged** | **1.210**, 2.000 |",
        "| mimic | 0.800, 1.800 | 1.000, **3.000** |",
        "| worst, against the honest mean | **destroyed**, **destroyed** | **+21%**, **+50%** |",
        (
            "| worst, against the same rule without liars | **destroyed**, **destroyed**"
            " | +10%, **+20%** |"
        ),
    ]


def test_table_of_errors_shows_where_the_back_door_leads():
    found = [
        replace(cell("honest", "krum", 1.0, 2.0), back_door=0.25),
        replace(cell("back_door", "krum", 1.0, 2.0), back_door=-4.0),
        cell("back_door", "multi_krum", None),
    ]
    assert table_of_errors(Table(found)).splitlines()[-4:] == [
        "| mean error on the back door's region | krum | multi krum |",
        "|---|---|---|",
        "| all desks honest | +0.25 | - |",
        "| back door | -4.00 | diverged |",
    ]


def test_summary_holds_the_worst_attack_of_any_seed_against_each_seeds_own_honest_mean():
    found = [
        *cells(),
        *cells(liars=2),
        cell("honest", "mean", 2.0, 4.0, seed=1, liars=2),
        cell("mimic", "median", 2.9, 4.0, seed=1, liars=2),
        cell("mimic", "krum", 2.1, 4.28, seed=1, liars=2),
    ]
    assert summary(tables(found)).splitlines() == [
        "| rule | desks, 1 | desks, 2 |",
        "|---|---|---|",
        "| mean | **destroyed**, **destroyed** | **destroyed**, **destroyed** |",
        "| median | **+21%**, **+50%** | **+45%**, **+50%** |",
        "| krum | - | +5%, +7% |",
    ]


def test_table_of_draws_has_the_worst_and_the_mean_loss():
    found = [
        cell("honest", "mean", 1.0, 1.0),
        cell("mimic", "mean", 1.3, 1.02),
        cell("min_max", "mean", 1.0, 1.04),
        cell("min_max", "krum", 1.09, None),
        cell("honest", "mean", 2.0, 2.0, seed=1),
        cell("mimic", "mean", 2.2, 2.0, seed=1),
        cell("min_max", "mean", 2.4, 2.0, seed=1),
    ]
    [(_, draws)] = tables(found).items()
    assert table_of_draws(draws).splitlines() == [
        "| attack | mean | krum |",
        "|---|---|---|",
        "| all desks honest | +0%, +0% (+0%, +0%) | - (-) |",
        "| mimic | **+30%**, +2% (+20%, +1%) | - (-) |",
        "| min max | **+20%**, +4% (+10%, +2%) | +9%, **destroyed** (-) |",
        "| worst attack of a draw | **+30%**, +4% (+25%, +2%) | +9%, **destroyed** (-) |",
    ]


def test_report_has_a_table_for_every_setting_and_seed(field, tmp_path, monkeypatch):
    monkeypatch.setattr(Field, "cut", lambda *_, **__: field)
    wanted = asked(tmp_path, liars=[1, 2], seed=[4, 7], attacks=[], rules=["mean"])
    parts = list(robustness.report(wanted, robustness.measured_cells(wanted)))
    assert [part.splitlines()[0] for part in parts] == [
        "| rule | desks, 1 | desks, 2 |",
        *(
            f"### desks, {liars} of 4, {whose}"
            for liars in (1, 2)
            for whose in ("seed 4", "seed 7", "all seeds")
        ),
    ]


def test_heat_map_is_small_and_the_same_on_every_run(tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    draw(Table(cells()), first)
    draw(Table(cells()), second)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) < 60_000


def test_heat_map_shows_both_errors_and_leaves_out_what_was_not_run(tmp_path):
    path = tmp_path / "map.svg"
    draw(Table([*cells()[:2], cell("mimic", "median", 1.21, None)]), path)

    root = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 our own bytes
    shown = [element.text for element in root if element.tag.endswith("text")]
    assert shown[-7:] == ["1.000", "2.000", "1.100", "2.500", "mimic", "1.210", "∞"]


def test_heat_map_is_brighter_where_more_is_lost(tmp_path):
    path = tmp_path / "map.svg"
    losses = [1.0, 0.5, 1.1, 1.3, 1.5, 9.0, None]
    draw(
        Table(
            [
                cell("honest", "mean", 1.0, 1.0),
                *(cell(f"lie {number}", "mean", loss, 1.0) for number, loss in enumerate(losses)),
            ]
        ),
        path,
    )
    fills = re.findall(r'fill="(#[0-9a-f]{6})"', path.read_text(encoding="utf-8"))[2::2]
    red = [int(fill[1:3], 16) for fill in fills]
    assert red[0] == red[1] < red[2] < red[3] < red[4] == red[5] == red[6]


def test_rules_are_found_by_name():
    assert {"mean", "clipped_mean", "median", "trimmed_mean"} <= set(CONTESTANTS)
    assert set(CONTESTANTS).isdisjoint(REFEREES)
