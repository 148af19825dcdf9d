"""Momentum by a common start: the rules carry what all add, so the aggregate is the whole step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.learning.federation import chosen_rule
from node.learning.look_ahead import starting_point
from node.learning.training import TrainingSettings
from protocol.rules import compose
from protocol.task import PreSteps, Rule

pytestmark = pytest.mark.unit

SETTINGS = TrainingSettings(rounds=10, look_ahead=0.5)
CARRYING = [
    ("mean", ()),
    ("median", ()),
    ("trimmed_mean", ()),
    ("krum", ()),
    ("multi_krum", ()),
    ("minimum_diameter", ()),
    ("bulyan", ()),
    ("mean", ("nnm",)),
    ("trimmed_mean", ("nnm",)),
    ("multi_krum", ("nnm",)),
]


@st.composite
def moved(draw):
    """Seven updates, what all add, and f = 1."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    dimension = draw(st.integers(1, 20))
    largest = draw(st.sampled_from([2, 30, 9_000]))
    updates = rng.integers(-largest, largest, (7, dimension), dtype=np.int16, endpoint=True)
    common = rng.integers(-9_000, 9_000, dimension, dtype=np.int16, endpoint=True)
    return updates, common


@pytest.mark.parametrize(("rule", "pre_steps"), CARRYING)
@given(moved())
def test_what_all_add_is_added_to_the_aggregate_to_the_bit(rule, pre_steps, found):
    updates, common = found
    parameters = {} if rule in {"mean", "median"} and not pre_steps else {"f": 1}
    combined = compose(pre_steps, rule, **parameters)

    np.testing.assert_array_equal(combined(updates + common), combined(updates) + common)


@pytest.mark.parametrize("rule", [Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN, Rule.MULTI_KRUM])
@given(moved())
def test_the_rules_of_a_task_carry_it_too(rule, found):
    updates, common = found
    combined = chosen_rule(rule, 0 if rule is Rule.MEAN else 1)
    present = range(len(updates))

    np.testing.assert_array_equal(
        combined(updates + common, present), combined(updates, present) + common
    )


@pytest.mark.parametrize(
    ("rule", "pre_steps"), [(Rule.CLIPPED_MEAN, PreSteps.NONE), (Rule.MEAN, PreSteps.ARC)]
)
def test_rules_that_measure_lengths_from_zero_do_not_carry_it(rule, pre_steps):
    updates = np.array([[9, 0], [0, 9], [30, 0], [0, 30], [1, 1]], dtype=np.int16) * 100
    common = np.array([4_000, -17_000], dtype=np.int16)
    combined = chosen_rule(rule, 1, pre_steps)

    assert (combined(updates + common, ()) != combined(updates, ()) + common).any()


@pytest.mark.parametrize("rule", [Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN])
@given(moved(), st.integers(1, 3))
def test_a_public_scale_a_coordinate_is_kept_but_for_one_rounding(rule, found, scale):
    updates, _ = found
    combined = chosen_rule(rule, 0 if rule is Rule.MEAN else 1)
    scales = (1 + np.arange(updates.shape[1]) % scale).astype(np.int16)
    off = combined(updates * scales, ()) - combined(updates, ()) * scales

    assert ((off >= 0) & (off < scales)).all()


def test_start_leans_along_the_last_move_as_far_as_this_rounds_steps_reach():
    model, before = np.array([1.0, 2.0]), np.array([0.0, 4.0])
    ratio = SETTINGS.learning_rate_at(5) / SETTINGS.learning_rate_at(4)

    assert ratio < 1
    found = starting_point(model, before, SETTINGS, 5)
    np.testing.assert_allclose(found, model + 0.5 * ratio * np.array([1.0, -2.0]), rtol=1e-15)


def test_first_round_starts_at_the_genesis_model():
    model = np.array([1.0, 2.0])
    np.testing.assert_array_equal(starting_point(model, model, SETTINGS, 1), model)
