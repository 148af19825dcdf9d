from functools import partial

import numpy as np
import pytest

from node.evaluation.audit import audit
from node.evaluation.evaluator import VolatilityEvaluator
from node.evaluation.metrics import measure
from node.learning.training import LocalTraining, TrainingSettings
from node.market.desks import write_desk
from node.market.split import split_for
from node.market.synthetic import market
from node.models.architecture import DEFAULT_SHIFT
from node.models.points import Points
from node.models.prior import Prior
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import ConfigError
from tests.unit.node.small_market import panel, samples

pytestmark = pytest.mark.unit

SHIFT = DEFAULT_SHIFT


def held_out():
    return split_for(panel()).validation(samples())


def test_the_evaluator_scores_the_genesis_as_the_prior():
    scored = VolatilityEvaluator(held_out(), panel())(SMILE.genesis(0), SHIFT)
    prior = Prior.of(Points.of(held_out())).vol.numpy()
    assert scored["validation_rmse"] == pytest.approx(measure(prior, held_out()).rmse, rel=1e-4)
    assert scored["validation_quotes"] == len(held_out())


def test_the_evaluator_prefers_a_trained_model():
    genesis = SMILE.genesis(0)
    train = split_for(panel()).train(samples())
    settings = TrainingSettings(rounds=1, steps_per_round=60, batch_size=128, learning_rate=3e-3)
    trained = LocalTraining(train, settings).train(numbers.to_float(genesis, SHIFT), seed=1).vector
    scored = VolatilityEvaluator(held_out(), panel())(numbers.to_model(trained, SHIFT), SHIFT)
    assert scored["validation_rmse"] < 0.9 * scored["validation_rmse_term_structure"]


def test_the_evaluator_is_built_from_plain_settings():
    settings = {"data": "synthetic", "seed": 7, "synthetic_days": 14}
    evaluator = VolatilityEvaluator.from_settings(settings)
    np.testing.assert_array_equal(evaluator.samples.z, held_out().z)


def test_a_folder_of_quotes_is_read_where_one_is_named(tmp_path):
    write_desk(tmp_path, market(7, days=14))
    evaluator = VolatilityEvaluator.from_settings({"data": str(tmp_path)})
    np.testing.assert_array_equal(evaluator.samples.z, held_out().z)


def test_the_evaluator_audits_the_panels_that_it_judges_by():
    rough = SMILE.genesis(0) + np.random.default_rng(1).integers(-4000, 4000, SMILE.spec.dimension)
    evaluator = VolatilityEvaluator(held_out(), panel())
    smooth, scored = evaluator(SMILE.genesis(0), SHIFT), evaluator(rough.astype(np.int32), SHIFT)
    found = audit(partial(SMILE.predict, numbers.to_float(rough, SHIFT)), evaluator.panel)
    assert scored["arbitrage_calendar"] == found.calendar > smooth["arbitrage_calendar"]
    assert scored["arbitrage_butterfly"] == found.butterfly > smooth["arbitrage_butterfly"]
    for name in ("wings", "wide_calendar", "wide_butterfly"):
        assert scored[f"arbitrage_{name}"] == getattr(found, name)
    assert scored["arbitrage_beyond_limits"] == len(found.beyond()) > 0
    assert smooth["arbitrage_beyond_limits"] == 0
    assert set(evaluator.panel.snapshot) == set(held_out().snapshot)


@pytest.mark.parametrize(
    "settings", [{"sed": 1}, {"seed": "1"}, {"seed": True}, {"data": 3}, {"synthetic_days": 1.5}]
)
def test_faulty_evaluator_settings_are_refused(settings):
    with pytest.raises(ConfigError, match="evaluator settings"):
        VolatilityEvaluator.from_settings(settings)
