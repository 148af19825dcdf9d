"""A desk's own head: only its last layer, never worse on its own latest days."""

from dataclasses import replace

import numpy as np
import pytest

from node.learning import personal
from node.learning.contribution import hold_out
from node.learning.personal import PersonalSettings, personalise
from node.learning.training import TrainingSettings, train_locally
from node.models.architecture import DEFAULT_SHIFT, LAST_LAYER
from node.models.smile import SMILE
from protocol import numbers
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

SETTINGS = TrainingSettings(rounds=3, steps_per_round=40, batch_size=64)
GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)


@pytest.fixture(scope="module")
def shared():
    return train_locally(GENESIS, samples(), SETTINGS, seed=1).vector


@pytest.fixture(scope="module")
def own():
    """A desk whose quotes all lie two points above everybody's."""
    found = samples().take(samples().is_btc)
    return replace(found, target_vol=found.target_vol + 0.02)


def rmse(vector, held_out):
    return 100 * np.sqrt(np.mean((SMILE.predict(vector, held_out) - held_out.target_vol) ** 2))


def test_head_prices_the_desks_latest_days_better_and_all_else_is_shared(shared, own):
    found = personalise(shared, own, SETTINGS, seed=1)
    _, latest = hold_out(own)
    assert found.shared_rmse == pytest.approx(rmse(shared, latest))
    assert found.personal_rmse == pytest.approx(rmse(found.vector, latest))
    assert found.personal_rmse < 0.8 * found.shared_rmse
    before, after = (SMILE.spec.unflatten(vector) for vector in (shared, found.vector))
    for name, value in after.items():
        assert (value != before[name].astype(np.float32)).any() == name.startswith(LAST_LAYER)


def test_same_seed_gives_the_same_head(shared, own):
    first, again = (personalise(shared, own, SETTINGS, seed=1).vector for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_head_that_does_not_help_is_the_shared_one(shared, own):
    wild = PersonalSettings(learning_rate=0.3, patience=2)
    found = personalise(shared, own, SETTINGS, seed=1, personal=wild)
    np.testing.assert_array_equal(found.vector, shared)
    assert found.personal_rmse == found.shared_rmse


def test_training_stops_where_the_latest_days_stop_gaining(shared, own, monkeypatch):
    pieces = []

    def counted(*given, **named):
        pieces.append(named["seed"])
        return train_locally(*given, **named)

    monkeypatch.setattr(personal, "train_locally", counted)
    personalise(shared, own, SETTINGS, seed=1, personal=PersonalSettings(learning_rate=0.3))
    assert len(pieces) == PersonalSettings().patience
    assert len(set(pieces)) == len(pieces)
