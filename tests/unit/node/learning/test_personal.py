"""A desk's own head: only its last layer, never worse on its own later days; and its choice."""

from dataclasses import replace

import numpy as np
import pytest

from node.learning.personal import (
    BLEND,
    HEAD,
    LOCAL,
    SHARED,
    PersonalSettings,
    choose,
    fit_head,
    fit_share,
    mixed,
)
from node.learning.training import LocalTraining, TrainingSettings
from node.learning.validation import rmse_vol_points
from node.market.split import hold_out
from node.models.architecture import DEFAULT_SHIFT, LAST_LAYER
from node.models.smile import SMILE
from protocol import numbers
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

SETTINGS = TrainingSettings(rounds=3, steps_per_round=40, batch_size=64)
GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)


@pytest.fixture(scope="module")
def shared():
    return LocalTraining(samples(), SETTINGS).train(GENESIS, seed=1).vector


@pytest.fixture(scope="module")
def own():
    """A desk whose quotes all lie two points above everybody's."""
    found = samples().take(samples().is_btc)
    return replace(found, target_vol=found.target_vol + 0.02)


@pytest.fixture(scope="module")
def parts(own):
    return hold_out(own)


def test_head_prices_the_desks_later_days_better_and_all_else_is_shared(shared, parts):
    fitted_on, later = parts
    head = fit_head(shared, fitted_on, later, SETTINGS, seed=1)
    before, after = (rmse_vol_points(SMILE, vector, later) for vector in (shared, head))
    assert after < 0.8 * before
    before, after = (SMILE.spec.unflatten(vector) for vector in (shared, head))
    for name, value in after.items():
        assert (value != before[name].astype(np.float32)).any() == name.startswith(LAST_LAYER)


def test_same_seed_gives_the_same_head(shared, parts):
    first, again = (fit_head(shared, *parts, SETTINGS, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_head_that_does_not_help_is_the_shared_one(shared, parts):
    wild = PersonalSettings(learning_rate=0.3, patience=2)
    found = fit_head(shared, *parts, SETTINGS, seed=1, personal=wild)
    np.testing.assert_array_equal(found, shared)


def test_training_stops_where_the_later_days_stop_gaining(shared, parts, monkeypatch):
    pieces = []

    train = LocalTraining.train

    def counted(*given, **named):
        pieces.append(named["seed"])
        return train(*given, **named)

    monkeypatch.setattr(LocalTraining, "train", counted)
    fit_head(shared, *parts, SETTINGS, seed=1, personal=PersonalSettings(learning_rate=0.3))
    assert len(pieces) == PersonalSettings().patience
    assert len(set(pieces)) == len(pieces)


def off_by(vol_points):
    return lambda asked: asked.target_vol + vol_points / 100.0


def test_a_desk_takes_what_errs_least_on_its_later_days(parts):
    _, later = parts
    found = choose(off_by(2.0), off_by(1.5), off_by(1.0), later)
    assert (found.name, found.share) == (LOCAL, 1.0)
    assert found.rmse == pytest.approx({SHARED: 2.0, HEAD: 1.5, LOCAL: 1.0, BLEND: 1.0})
    found = choose(off_by(2.0), off_by(1.0), off_by(1.5), later)
    assert (found.name, found.share) == (HEAD, 0.0)


def test_a_blend_takes_of_both_where_they_err_apart(parts):
    _, later = parts
    found = choose(off_by(2.0), off_by(1.5), off_by(-0.5), later)
    assert (found.name, found.share) == (BLEND, 0.75)
    assert found.rmse[BLEND] == pytest.approx(0.0, abs=1e-9)
    vols = mixed(off_by(1.5), off_by(-0.5), 0.25)(later)
    np.testing.assert_allclose(vols, later.target_vol + 0.01)


def test_the_share_is_the_one_that_errs_least():
    draw = np.random.default_rng(3)
    wanted, head, local = (0.5 + 0.02 * draw.standard_normal(500) for _ in range(3))
    found = fit_share(head, local, wanted)
    errors = {
        share: np.mean(((1 - share) * head + share * local - wanted) ** 2)
        for share in np.arange(65) / 64
    }
    assert found == min(errors, key=errors.__getitem__)
    assert 0.3 < found < 0.7


def test_a_model_without_bounds_is_not_blended(parts):
    def wild(asked):
        return np.full(len(asked), np.inf)

    found = choose(off_by(2.0), off_by(1.0), wild, parts[1])
    assert (found.name, found.share) == (HEAD, 0.0)
    assert found.rmse[BLEND] == pytest.approx(1.0)


def test_models_that_say_the_same_are_not_blended(parts):
    same = off_by(1.0)
    found = choose(off_by(2.0), same, same, parts[1])
    assert (found.name, found.share) == (HEAD, 0.0)


def test_a_head_that_is_the_shared_model_is_called_shared(parts):
    same = off_by(2.0)
    assert choose(same, same, off_by(3.0), parts[1]).name == SHARED
