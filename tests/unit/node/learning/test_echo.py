"""Echoes keep a model where its desk has no quotes, by the model's own answers."""

from dataclasses import replace

import numpy as np
import pytest

from node.learning.echo import LONGEST_YEARS, REACH_Z, SHORTEST_YEARS, echo_points
from node.learning.training import LocalTraining, TrainingSettings
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
SETTINGS = TrainingSettings(steps_per_round=60, batch_size=128, arbitrage_weight=0)


@pytest.fixture(scope="module")
def trained():
    return LocalTraining(samples(), replace(SETTINGS, echo_share=0)).train(GENESIS, seed=1).vector


def test_echoes_lie_all_over_the_samples_surfaces():
    found = echo_points(samples(), 500, 3)
    assert len(found) == 500
    assert found.surfaces is samples().surfaces
    assert np.abs(found.z).max() <= REACH_Z * (1 + 1e-9)
    assert (np.histogram(found.z, bins=4, range=(-REACH_Z, REACH_Z))[0] > 90).all()
    assert found.years.min() >= SHORTEST_YEARS * (1 - 1e-9)
    assert found.years.max() <= LONGEST_YEARS * (1 + 1e-9)
    np.testing.assert_allclose(np.log(found.strike / found.forward), found.log_moneyness)


def test_same_seed_gives_the_same_echoes():
    first, again, other = (echo_points(samples(), 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.strike, again.strike)
    assert (first.strike != other.strike).any()


def test_echoes_do_not_move_a_desk_that_agrees_with_its_model(trained):
    """They are the model's own answers."""
    agreed = replace(samples(), target_vol=SMILE.predict(trained, samples()))
    found = LocalTraining(agreed, replace(SETTINGS, echo_share=1)).train(trained, seed=1).vector
    assert np.abs(SMILE.predict(found, agreed) - agreed.target_vol).max() < 1e-3


def test_what_a_desk_never_sees_moves_less_with_them(trained):
    """A desk of calls whose quotes all lie five points above everybody's."""
    everything = samples()
    right = everything.z > 0.5
    own = everything.take(right)
    own = replace(own, target_vol=own.target_vol + 0.05)

    def moves(share):
        found = (
            LocalTraining(own, replace(SETTINGS, echo_share=share)).train(trained, seed=1).vector
        )
        change = SMILE.predict(found, everything) - SMILE.predict(trained, everything)
        unseen = everything.z < -0.5
        return np.sqrt(np.mean(change[unseen] ** 2)), np.mean(change[right])

    (free, learned_free), (held, learned_held) = moves(0.0), moves(0.3)
    assert held < 0.7 * free
    assert learned_held > 0.5 * learned_free > 0
