from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from node.evaluation.metrics import measure
from node.learning.alone import (
    central_recipe,
    train_alone,
    train_central,
    unaided_recipe,
    versions,
)
from node.learning.training import LocalTraining, TrainingSettings, round_seed
from node.models.arbitrage import Watch
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
SHORT = TrainingSettings(rounds=3, steps_per_round=10, batch_size=64, learning_rate=3e-3)


@cache
def rounds(settings):
    """Every round's model, trained one by one."""
    vector, found = GENESIS, []
    for number in range(1, settings.rounds + 1):
        seed = round_seed(1, number)
        vector = (
            LocalTraining(samples(), settings).train(vector, seed=seed, round_number=number).vector
        )
        found.append(vector)
    return found


def priced_by(vector):
    """Validation quotes that this model prices without any error."""
    return replace(samples(), target_vol=SMILE.predict(vector, samples()))


@pytest.mark.parametrize("best", range(2 * SHORT.rounds))
def test_central_model_trains_longer_and_its_best_round_is_kept(best):
    longer = replace(SHORT, rounds=6, steps_per_round=15)
    assert central_recipe(SHORT) == longer
    wanted = rounds(longer)[best]
    found = train_central(GENESIS, samples(), SHORT, validation=priced_by(wanted), seed=1)
    np.testing.assert_array_equal(found, wanted)


def test_desk_alone_takes_as_many_steps_as_in_the_federation():
    for found, wanted in zip(
        versions(GENESIS, samples(), SHORT, seed=1), rounds(SHORT), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_unaided_desk_hears_no_echo_and_sees_no_public_surface(monkeypatch):
    recipe = unaided_recipe(SHORT)
    assert min(SHORT.echo_share, SHORT.look_ahead, SHORT.arbitrage_weight) > 0
    assert recipe == replace(SHORT, echo_share=0.0, look_ahead=0.0, arbitrage_weight=0.0)

    def refuse(*_args, **_kwargs):
        raise AssertionError("looked for arbitrage on public surfaces")

    monkeypatch.setattr(Watch, "penalty", refuse)
    train_alone(GENESIS, samples(), recipe, validation=samples(), seed=1)
    with pytest.raises(AssertionError, match="public surfaces"):
        train_alone(GENESIS, samples(), SHORT, validation=samples(), seed=1)


@pytest.mark.parametrize("best", range(SHORT.rounds))
def test_desk_alone_keeps_the_round_that_is_best_on_its_own_later_days(best):
    wanted = rounds(SHORT)[best]
    found = train_alone(GENESIS, samples(), SHORT, validation=priced_by(wanted), seed=1)
    np.testing.assert_array_equal(found, wanted)


def test_training_alone_is_reproducible_and_learns():
    *_, first = versions(GENESIS, samples(), SHORT, seed=1)
    *_, again = versions(GENESIS, samples(), SHORT, seed=1)
    np.testing.assert_array_equal(again, first)
    vols = SMILE.predict(first, samples())
    untrained = measure(SMILE.predict(GENESIS, samples()), samples())
    assert measure(vols, samples()).rmse < untrained.rmse
