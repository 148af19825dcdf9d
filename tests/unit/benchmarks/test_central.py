"""What central budgets are compared on, and how they differ."""

import numpy as np
import pytest

from benchmarks.central import Days, Row, budgets, rows, table
from benchmarks.field import Field
from node.learning.training import TrainingSettings
from node.learning.validation import turbulent_days
from node.market.quotes import MICROSECONDS_PER_DAY
from tests.unit.node import small_market

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def field():
    everything = small_market.samples()
    anchors = everything.take(slice(None, None, 20))
    late = everything.snapshot > np.quantile(everything.snapshot, 0.8)
    pooled = everything.take(~late)
    return Field((pooled,), anchors, pooled, everything.take(late), held_out={})


def days_of(samples):
    return set((samples.snapshot // MICROSECONDS_PER_DAY).tolist())


def test_turbulent_days_are_held_out_with_their_anchors(field):
    wild = set(turbulent_days(field.pooled, 1).tolist())
    days = Days.of(field, 1)
    assert days_of(days.turbulent) == wild & days_of(field.pooled)
    assert days_of(days.calm) == (days_of(field.pooled) | days_of(field.anchors)) - wild
    kept = len(field.pooled) - len(days.turbulent)
    assert len(days.calm) > kept


def test_budgets_of_all_desks_see_as_many_samples():
    recipe = TrainingSettings()

    def seen(name):
        settings, batches = budgets(recipe)[name]
        return settings.rounds * settings.steps_per_round * settings.batch_size * batches

    assert seen("all desks' steps") == seen("all desks' batches") == 5 * seen("one desk's")
    assert seen("twice the rounds, 3/2 of the steps") == 3 * seen("one desk's")


def test_only_chosen_budgets_are_trained_with_every_seed(field):
    recipe = TrainingSettings(rounds=1, steps_per_round=4, batch_size=32, arbitrage_weight=0)
    found = list(rows(Days.of(field, 1), recipe, ["one desk's", "all desks' steps"], 2))
    named = [(row.budget, row.seed) for row in found]
    assert named == [(n, s) for n in ("one desk's", "all desks' steps") for s in (0, 1)]
    assert len({row.turbulent for row in found}) == 4


def test_the_table_has_means_over_seeds():
    found = [Row("short", 0, 1.0, 2.0, 3.0), Row("short", 1, 2.0, 2.0, 5.0)]
    assert table(found).splitlines()[2:] == ["| short | 1.500 ± 0.500 | 2.000 ± 0.000 | 4 |"]
