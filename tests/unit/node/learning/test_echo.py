"""Echoes keep a model where its desk has no quotes, by the model's own answers."""

from dataclasses import replace

import numpy as np
import pytest

from node.learning.echo import LONGEST_YEARS, REACH_Z, SHORTEST_YEARS, echoes
from node.learning.training import TrainingSettings, train_locally
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
SETTINGS = TrainingSettings(steps_per_round=60, batch_size=128, arbitrage_weight=0)


@pytest.fixture(scope="module")
def trained():
    return train_locally(GENESIS, samples(), replace(SETTINGS, echo_share=0), seed=1).vector


def test_echoes_are_the_models_own_answers_all_over_the_samples_surfaces(trained):
    found = echoes(SMILE, trained, samples(), 500, 3)
    assert len(found) == 500
    assert found.surfaces is samples().surfaces
    np.testing.assert_array_equal(found.target_vol, SMILE.predict(trained, found))
    assert np.abs(found.z).max() <= REACH_Z * (1 + 1e-9)
    assert (np.histogram(found.z, bins=4, range=(-REACH_Z, REACH_Z))[0] > 90).all()
    assert found.years.min() >= SHORTEST_YEARS * (1 - 1e-9)
    assert found.years.max() <= LONGEST_YEARS * (1 + 1e-9)
    np.testing.assert_allclose(np.log(found.strike / found.forward), found.log_moneyness)


def test_same_seed_gives_the_same_echoes(trained):
    first, again, other = (echoes(SMILE, trained, samples(), 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.target_vol, again.target_vol)
    assert (first.target_vol != other.target_vol).any()


def test_no_echoes_change_nothing():
    assert len(echoes(SMILE, GENESIS, samples(), 0, 1)) == 0


def test_what_a_desk_never_sees_moves_less_with_them(trained):
    """A desk of calls whose quotes all lie five points above everybody's."""
    everything = samples()
    right = everything.z > 0.5
    own = everything.take(right)
    own = replace(own, target_vol=own.target_vol + 0.05)

    def moves(share):
        found = train_locally(trained, own, replace(SETTINGS, echo_share=share), seed=1).vector
        change = SMILE.predict(found, everything) - SMILE.predict(trained, everything)
        unseen = everything.z < -0.5
        return np.sqrt(np.mean(change[unseen] ** 2)), np.mean(change[right])

    (free, learned_free), (held, learned_held) = moves(0.0), moves(0.3)
    assert held < 0.7 * free
    assert learned_held > 0.5 * learned_free > 0
