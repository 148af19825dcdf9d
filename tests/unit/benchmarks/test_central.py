"""What central budgets are compared on, and how they differ."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.central import (
    Budget,
    Days,
    Row,
    budgets,
    crossed,
    days_of,
    highest_days,
    rows,
    shares_of,
    squares_on,
    steepest_days,
    table,
)
from benchmarks.field import Field
from node.learning.alone import versions
from node.learning.federation import Desk
from node.learning.training import TrainingSettings
from node.learning.validation import rmse_vol_points, turbulent_days
from node.market.panel import AT_MONEY, THIRTY_DAYS
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol.numbers import to_float
from tests.unit.node import small_market

pytestmark = pytest.mark.unit

SHORT = TrainingSettings(rounds=2, steps_per_round=4, batch_size=32, arbitrage_weight=0)


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
        settings = found[name].settings
        one = settings.rounds * settings.steps_per_round * settings.batch_size
        return found[name].shares * one

    assert seen("all desks' steps") == seen("all desks' batches") == 5 * seen("one desk's")
    others = found.keys() - {"one desk's", "all desks' steps", "all desks' batches"}
    assert {seen(name) for name in others} == {3 * seen("one desk's")}


def test_shares_are_whole_days_each_of_one_share(field):
    everything = field.pooled
    for seed in (None, 0, 1):
        shares = shares_of(everything, 3, seed)
        found = [set(days_of(share).tolist()) for share in shares]
        assert set.union(*found) == set(days_of(everything).tolist())
        assert sum(map(len, shares)) == len(everything)
        assert max(map(len, found)) - min(map(len, found)) <= 1
        consecutive = all(max(one) < min(next_) for one, next_ in pairwise(found))
        assert consecutive == (seed is None)


@pytest.mark.parametrize("blocks", [False, True])
def test_models_trained_apart_on_shares_are_averaged(field, blocks):
    genesis = SMILE.genesis(1, DEFAULT_SHIFT)
    shares = shares_of(field.pooled, 3, None if blocks else 1)
    moves = [Desk(own, SHORT, at, 1).update(genesis, 1) for at, own in enumerate(shares)]
    first, _ = Budget(SHORT, shares=3, blocks=blocks).versions(field.pooled, 1)
    wanted = to_float(genesis, DEFAULT_SHIFT) + np.mean(moves, axis=0) / 2**DEFAULT_SHIFT
    np.testing.assert_allclose(first, wanted, rtol=0, atol=2**-DEFAULT_SHIFT)


def test_versions_are_averaged_with_those_before(field):
    genesis = to_float(SMILE.genesis(1), DEFAULT_SHIFT)
    first, second = versions(genesis, field.pooled, SHORT, seed=1)
    found = list(Budget(SHORT, kept=0.75).versions(field.pooled, 1))
    np.testing.assert_array_equal(found, [first, 0.75 * first + 0.25 * second])
    found = list(Budget(SHORT).versions(field.pooled, 1))
    np.testing.assert_array_equal(found, [first, second])


def test_only_chosen_budgets_are_trained_with_every_seed(field):
    recipe = TrainingSettings(rounds=1, steps_per_round=4, batch_size=32, arbitrage_weight=0)
    days = Days.of(field, turbulent_days(field.pooled, 1))
    found = list(rows("turbulent", days, recipe, ["one desk's", "all desks' steps"], 2))
    named = [(row.budget, row.seed) for row in found]
    assert named == [(n, s) for n in ("one desk's", "all desks' steps") for s in (0, 1)]
    assert len({row.wild for row in found}) == 4


def test_each_half_of_the_validation_days_is_priced_by_the_round_that_the_other_chooses(field):
    assert crossed(np.array([[1.0, 7.0], [2.0, 3.0], [5.0, 4.0]])) == 2.0 + 7.0
    genesis = to_float(SMILE.genesis(0), DEFAULT_SHIFT)
    found = list(versions(genesis, field.pooled, SHORT, seed=1))
    days = Days.of(field, turbulent_days(field.pooled, 1))
    earlier, later = days.halves
    assert days_of(earlier).max() < days_of(later).min()
    assert len(earlier) + len(later) == len(field.validation)
    errors = np.sqrt(squares_on(days.halves, found).sum(axis=1) / len(field.validation))
    wanted = [rmse_vol_points(SMILE, version, field.validation) for version in found]
    np.testing.assert_allclose(errors, wanted)


def test_the_table_has_means_over_seeds():
    found = [
        Row("high", "short", 0, 1.0, 1.5, 2.0, 3.0),
        Row("high", "short", 1, 2.0, 2.5, 2.0, 5.0),
        Row("steep", "short", 0, 3.0, 3.5, 4.0, 4.0),
    ]
    assert table(found).splitlines() == [
        "| budget | validation | crossed | high | steep | CPU s |",
        "|---|---|---|---|---|---|",
        "| short | 2.000 ± 0.816 | 2.500 ± 0.816 | 2.000 ± 0.000 | 4.000 ± 0.000 | 4 |",
    ]
