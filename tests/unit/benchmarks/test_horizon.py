"""The least rounds that come near all data in one place: how they are found and read."""

from dataclasses import replace

import pytest

from benchmarks.horizon import (
    CENTRAL,
    HORIZONS,
    PLAIN,
    PLAIN_NETWORK,
    Runs,
    curves,
    errors,
    least,
    table,
    wanted,
)
from benchmarks.learning import RECIPE, Bench, Row
from node.learning.training import TrainingSettings
from tests.unit.benchmarks import small_field

pytestmark = pytest.mark.unit

ENOUGH = {PLAIN_NETWORK: 25, PLAIN: 12, RECIPE: 4}
"""Rounds after which each is near on the test; stress needs two more."""


class Told:
    """A bench whose errors are known beforehand."""

    def __init__(self, seed, asked):
        self.seed, self.asked = seed, asked

    def row(self, name, _vector):
        return Row("desks", self.seed, name, (1.0,), 0.9 + 0.2 * self.seed, 2.0, ())

    def central(self):
        return None

    def federated(self, name, _method, *, rounds):
        self.asked.append((name, rounds, self.seed))
        test, stress = (1.0 if rounds >= ENOUGH[name] + more else 1.5 for more in (0, 2))
        off = 0.1 if self.seed else -0.1
        curve = (1.0,) * rounds
        return (
            Row("desks", self.seed, name, curve, test + off, 2 * stress, (), 1_000_000),
            None,
        )


@pytest.fixture
def asked():
    return []


def told(asked, file=None):
    return Runs(lambda _how, seed: Told(seed, asked), 2, file)


def test_the_least_rounds_are_near_on_the_test_and_in_stress_over_all_seeds(asked):
    runs = told(asked)
    assert least(runs, "desks", RECIPE, (1.03, 2.3)) == 6
    assert least(runs, "desks", PLAIN, (1.03, 2.3)) == 15
    assert least(runs, "desks", PLAIN, (1.03, 1.9)) is None
    assert len(asked) == len(set(asked)) < len(HORIZONS) * 4


def test_what_is_wanted_is_the_goals_share_of_the_central_error():
    assert wanted("desks", (1.0, 2.0)) == pytest.approx((1.03, 2.3))
    assert wanted("moneyness", (1.0, 2.0)) == pytest.approx((1.15, 2.3))


def test_the_tables_have_rounds_bytes_and_errors(asked):
    runs = told(asked)
    assert list(table(runs, ["desks"]))[2:] == [
        (
            "| desks | 1.030, 2.300 | 30 rounds, 30.00 MB: 1.000, 2.000"
            " | 15 rounds, 15.00 MB: 1.000, 2.000 | 6 rounds, 6.00 MB: 1.000, 2.000 | 20%, 40% |"
        )
    ]
    network, plain, recipe = list(curves(runs, ["desks"]))[2:]
    assert network.startswith("| desks, plain_network |")
    cells = [cell.strip() for cell in recipe.strip("|").split("|")]
    assert cells[HORIZONS.index(5) + 1] == "1.000, 3.000"
    assert cells[HORIZONS.index(30) + 1] == ""
    assert plain.startswith("| desks, fedavg |")


def test_plain_averaging_that_never_comes_near_is_said_so(asked, monkeypatch):
    monkeypatch.setitem(ENOUGH, PLAIN, 99)
    (line,) = list(table(told(asked), ["desks"]))[2:]
    assert "| not in 30: 1.500, 3.000 |" in line
    assert line.endswith("| 20%, below 20% |")


def test_runs_on_file_are_not_made_again(asked, tmp_path):
    file = tmp_path / "runs.jsonl"
    first = told(asked, file).of("desks", RECIPE, 3)
    again = told([], file)
    again._bench = None
    assert again.of("desks", RECIPE, 3) == first
    assert len(asked) == 2


def test_a_task_of_another_length_is_another_run():
    field = replace(small_field.dealt(3, anchor_every=50), own_test=())
    recipe = TrainingSettings(steps_per_round=6, batch_size=64, arbitrage_weight=0)
    runs = Runs(lambda how, seed: Bench(field, how, seed, recipe), 1)
    (short,), (longer,) = (runs.of("desks", RECIPE, rounds) for rounds in (2, 3))
    assert (len(short.validation), len(longer.validation)) == (2, 3)
    # Not a piece of the longer run: its step sizes have fallen by the second round already.
    assert short.validation[1] != longer.validation[1]
    assert runs.lengths("desks", RECIPE) == [2, 3]
    assert errors([short]) == (short.test, short.stress)
    (central,) = runs.central()
    assert (central.name, len(central.validation)) == (CENTRAL, 1)
