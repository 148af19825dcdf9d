"""Goals are met or missed by what the evaluations' files hold."""

import pytest

from benchmarks.results_goals import GOALS, PARTITIONS, Goal, table_of_goals
from tests.unit.benchmarks.test_results_table import estimate, evaluation

pytestmark = pytest.mark.unit


def row(found: dict, said: str) -> list[str]:
    (line,) = [
        line for line in table_of_goals(found).splitlines() if line.startswith(f"| {said} |")
    ]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def with_ratio(partition: str, name: str, test: float, stress: float) -> dict:
    found = evaluation(partition)
    found["rmse_ratios"][name] = estimate(test)
    found["stress"]["rmse_ratios"][name] = estimate(stress)
    return found


def test_a_goal_is_missed_where_one_partition_misses_it():
    name = "federated_tolerant_to_federated"
    found = {
        "desks": with_ratio("desks", name, 1.051, 1.0),
        "time": with_ratio("time", name, 1.05, 1.2),
    }
    said = "tolerating a liar when nobody lies, rule and recipe, to the mean"
    assert row(found, f"{said}, test") == ["1.05", "1.051", "-", "1.050", "-", "no: desks"]
    assert row(found, f"{said}, stress") == ["1.05", "1.000", "-", "1.200", "-", "no: time"]


def test_the_rule_that_tolerates_is_told_apart_from_the_recipe():
    alone = with_ratio("desks", "federated_rule_alone_to_federated", 1.01, 1.0)
    alone["rmse_ratios"]["federated_tolerant_to_federated"] = estimate(1.2)
    said = "tolerating a liar when nobody lies, {}, to the mean, test"
    assert row({"desks": alone}, said.format("the rule alone"))[1:] == [
        *("1.010", "-", "-", "-", "yes")
    ]
    assert row({"desks": alone}, said.format("rule and recipe"))[-1] == "no: desks"


def test_a_goal_counts_only_where_it_was_set():
    found = {one: with_ratio(one, "federated_to_local_best", 0.6, 0.6) for one in PARTITIONS}
    desks, moneyness = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table_of_goals(found).splitlines()
        if line.startswith("| together, to the best desk alone")
    )
    assert desks[1:] == ["0.7", "0.600", "-", "-", "-", "yes"]
    assert moneyness[1:] == ["0.35", "-", "-", "-", "0.600", "no: moneyness"]


def test_the_worst_desk_decides_and_shares_are_percent():
    found = evaluation("desks")
    found["books"] = [
        {"head": estimate(head), "chosen": estimate(1.0), "local": estimate(2.0)}
        for head in (1.0, 2.2, 1.8)
    ]
    found["arbitrage"]["butterfly"]["models"] = {
        "federated": estimate(0.001),
        "central": estimate(0.003),
    }
    assert row({"desks": found}, "own book, with a head, to the desk alone, worst desk, test") == [
        *("1", "1.100", "-", "-", "-", "no: desks")
    ]
    assert row({"desks": found}, "butterfly arbitrage, z from -6 to 6, test") == [
        *("0.2%", "0.300%", "-", "-", "-", "no: desks")
    ]


def test_what_was_not_measured_is_neither_met_nor_missed():
    goal = Goal("something", lambda _: None, 1.0)
    assert goal.row({"desks": evaluation("desks")}) == "| something, test | 1 | - | - | - | - | - |"
    assert len({goal.row({}) for goal in GOALS}) == len(GOALS)
