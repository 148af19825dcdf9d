"""What central budgets are compared on, and how they differ."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.central import (
    Days,
    Row,
    budgets,
    days_of,
    highest_days,
    rows,
    steepest_days,
    table,
)
from benchmarks.field import Field
from node.learning.training import TrainingSettings
from node.learning.validation import turbulent_days
from node.market.panel import AT_MONEY, THIRTY_DAYS
from tests.unit.node import small_market

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def field():
    everything = small_market.samples()
    anchors = everything.take(slice(None, None, 20))
    late = everything.snapshot > np.quantile(everything.snapshot, 0.8)
    pooled = everything.take(~late)
    return Field((pooled,), anchors, pooled, everything.take(late), held_out={})


def test_turbulent_days_are_held_out_with_their_anchors(field):
    held_out = turbulent_days(field.pooled, 1)
    days, wild = Days.of(field, held_out), set(held_out.tolist())
    assert set(days_of(days.wild)) == wild & set(days_of(field.pooled))
    everything = set(days_of(field.pooled)) | set(days_of(field.anchors))
    assert set(days_of(days.calm)) == everything - wild
    kept = len(field.pooled) - len(days.wild)
    assert len(days.calm) > kept


@pytest.mark.parametrize("farthest", [highest_days, steepest_days])
def test_highest_and_steepest_days_are_those_of_bitcoins_panels(field, farthest):
    """Lower what is high, and what was low is high."""
    everything = field.pooled
    found = set(farthest(everything))
    days = np.unique(days_of(everything))
    assert len(found) == pytest.approx(0.3 * days.size, abs=1)
    surfaces = everything.surfaces.copy()
    high = np.unique(everything.surface_row[np.isin(days_of(everything), list(found))])
    surfaces[high, :2] *= np.array([[0.1], [0.4]])
    changed = replace(
        everything,
        surfaces=surfaces,
        atm_30d_vol=surfaces[everything.surface_row, AT_MONEY, THIRTY_DAYS],
    )
    assert found.isdisjoint(farthest(changed))


def test_budgets_of_all_desks_see_as_many_samples():
    found = budgets(TrainingSettings())

    def seen(name):
        return found[name].rounds * found[name].steps_per_round * found[name].batch_size

    assert seen("all desks' steps") == seen("all desks' batches") == 5 * seen("one desk's")
    assert seen("twice the rounds, 3/2 of the steps") == 3 * seen("one desk's")


def test_only_chosen_budgets_are_trained_with_every_seed(field):
    recipe = TrainingSettings(rounds=1, steps_per_round=4, batch_size=32, arbitrage_weight=0)
    days = Days.of(field, turbulent_days(field.pooled, 1))
    found = list(rows("turbulent", days, recipe, ["one desk's", "all desks' steps"], 2))
    named = [(row.budget, row.seed) for row in found]
    assert named == [(n, s) for n in ("one desk's", "all desks' steps") for s in (0, 1)]
    assert len({row.wild for row in found}) == 4


def test_the_table_has_means_over_seeds():
    found = [
        Row("high", "short", 0, 1.0, 2.0, 3.0),
        Row("high", "short", 1, 2.0, 2.0, 5.0),
        Row("steep", "short", 0, 3.0, 4.0, 4.0),
    ]
    assert table(found).splitlines() == [
        "| budget | validation | high | steep | CPU s |",
        "|---|---|---|---|---|",
        "| short | 2.000 ± 0.816 | 2.000 ± 0.000 | 4.000 ± 0.000 | 4 |",
    ]
