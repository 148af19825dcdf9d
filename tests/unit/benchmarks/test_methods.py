"""Every method can be run, plain averaging is what they differ from, and weights are capped."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.methods import METHODS, by_samples, learn, settings_of
from node.learning.federation import federate
from node.learning.training import TrainingSettings
from node.models.architecture import DEFAULT_SHIFT
from protocol import numbers
from tests.unit.node import small_market

pytestmark = pytest.mark.unit

RECIPE = TrainingSettings(rounds=3, steps_per_round=4, batch_size=32, arbitrage_weight=0)


@pytest.fixture(scope="module")
def desks():
    everything = small_market.samples()
    rows = np.arange(len(everything))
    return [everything.take(rows % 15 == desk) for desk in (0, 1, 2)] + [
        everything.take((rows % 15 > 2) & (rows % 2 == side)) for side in (0, 1)
    ]


@pytest.fixture(scope="module")
def found(desks):
    return {name: list(learn(each, desks, RECIPE)) for name, each in METHODS.items()}


@pytest.mark.parametrize("name", [name for name in METHODS if name != "fedavg"])
def test_each_method_leads_to_another_model(found, name):
    assert not np.array_equal(found[name][-1].model, found["fedavg"][-1].model)
    assert [done.number for done in found[name]] == [1, 2, 3]


def test_plain_averaging_is_the_federation_that_does_not_look_ahead(desks, found):
    plain = federate(desks, replace(RECIPE, look_ahead=0, echo_share=0))
    last = numbers.to_float(found["fedavg"][-1].model, DEFAULT_SHIFT)
    np.testing.assert_array_equal(last, plain)


def test_a_share_of_the_desks_reveals_in_each_round(found):
    assert {len(done.updates) for done in found["three_of_five"]} == {3}


def test_weights_are_samples_up_to_a_cap():
    assert by_samples([10, 20, 30, 40, 10**9]) == [10, 20, 30, 40, 60]


def test_weighted_rounds_are_the_weighted_mean(found, desks):
    first, *_ = found["by_samples"]
    weights = np.array(by_samples([len(samples) for samples in desks]))
    wanted = weights @ first.updates.astype(np.int64) // weights.sum()
    moved = first.model - numbers.add_update(first.model, -wanted.astype(np.int16))
    np.testing.assert_array_equal(moved, wanted)
    assert (found["by_samples"][1].updates != found["fedavg"][1].updates).any()


def test_recipe_is_kept_but_for_what_a_method_changes():
    assert settings_of(METHODS["fedavg"], RECIPE) == replace(RECIPE, look_ahead=0, echo_share=0)
    wanted = replace(RECIPE, look_ahead=0, echo_share=0, proximal=0.1)
    assert settings_of(METHODS["fedprox"], RECIPE) == wanted
    assert settings_of(METHODS["more_steps"], RECIPE).steps_per_round == 8


def test_the_recipes_defaults_are_the_method_of_that_name():
    assert settings_of(METHODS["recipe"], TrainingSettings()) == TrainingSettings()
