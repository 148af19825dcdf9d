"""The rules are the ones of the literature: a published bound holds and is met."""

import numpy as np
import pytest

from benchmarks.contestants import CONTESTANTS
from benchmarks.robustness_bound import (
    SIZES,
    STEP,
    UNBOUNDED,
    instances,
    lower_bound,
    ratio,
    trimmed_mean_bound,
    worst_ratio,
)
from protocol.errors import RuleError

pytestmark = pytest.mark.unit

EVERY_SIZE = pytest.mark.parametrize(("participants", "liars"), SIZES)
ROUNDING = 2e-3
APPLICABLE = [name for name in CONTESTANTS if name != "bulyan"]


@EVERY_SIZE
def test_trimmed_mean_meets_the_lower_bound_of_all_rules(participants, liars):
    found = worst_ratio(CONTESTANTS["trimmed_mean"], participants, liars)
    assert found == pytest.approx(1 / 3, abs=ROUNDING)
    assert found == pytest.approx(lower_bound(participants, liars), abs=ROUNDING)
    assert found < trimmed_mean_bound(participants, liars)


# The honest split that two, four liars on one side just turn: 4 and 4 of 8, 9 and 7 of 16.
@pytest.mark.parametrize(("size", "worst"), [((10, 2), 1.0), ((20, 4), 9 / 7)])
def test_median_is_led_to_the_smaller_half_of_the_honest(size, worst):
    found = worst_ratio(CONTESTANTS["median"], *size)
    assert found == pytest.approx(worst, abs=ROUNDING)


# What the definition leaves to Krum and its kin; the neighbours are few enough to count by hand.
@pytest.mark.parametrize(
    ("name", "worst"), [("krum", 5 / 3), ("multi_krum", 1 / 3), ("nnm_trimmed_mean", 1 / 3)]
)
def test_rule_that_looks_at_neighbours_is_led_no_farther(name, worst):
    assert worst_ratio(CONTESTANTS[name], 10, 2) == pytest.approx(worst, abs=ROUNDING)


@pytest.mark.parametrize("name", ["mean", "clipped_mean", "centered_clipping", "arc_mean"])
def test_averages_are_led_anywhere(name):
    assert worst_ratio(CONTESTANTS[name], 10, 2) > UNBOUNDED


@pytest.mark.parametrize("name", APPLICABLE)
def test_no_rule_beats_the_lower_bound(name):
    found = worst_ratio(CONTESTANTS[name], 10, 2)
    assert found >= lower_bound(10, 2) - ROUNDING


def test_bulyan_needs_more_than_ten_to_take_two_for_liars():
    with pytest.raises(RuleError, match="at least 11"):
        worst_ratio(CONTESTANTS["bulyan"], 10, 2)


def test_one_of_two_readings_of_the_same_inputs_costs_every_rule_the_bound():
    zeros, ones = np.zeros((6, 1), np.int16), np.full((2, 1), STEP, np.int16)
    for name in APPLICABLE:
        rule = CONTESTANTS[name]
        readings = [
            ratio(rule, np.vstack([zeros, zeros[:2]]), ones),
            ratio(rule, np.vstack([zeros, ones]), zeros[:2]),
        ]
        assert max(readings) >= lower_bound(10, 2) - ROUNDING, name


def test_instances_are_all_splits_with_all_lies():
    # Nine splits of eight honest, ten ways to put two liars on four places.
    assert len(list(instances(10, 2))) == 9 * 10
