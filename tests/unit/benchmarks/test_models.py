from functools import cache

import numpy as np
import pytest

from benchmarks.field import Field
from benchmarks.models import BOOSTING, Run, runs, table
from node.evaluation.metrics import measure
from node.learning.training import TrainingSettings
from node.market.samples import Samples
from node.models.prior import prior_anchors
from tests.unit.node.small_market import panel, samples

pytestmark = pytest.mark.unit

SHORT = TrainingSettings(
    rounds=2, steps_per_round=20, batch_size=128, learning_rate=3e-3, arbitrage_points=16
)


@cache
def field():
    found = samples()
    thirds = np.quantile(found.snapshot, [0.5, 0.7, 0.85])
    place = np.digitize(found.snapshot, thirds)
    cut = {
        name: found.take(place == i + 1) for i, name in enumerate(("validation", "test", "stress"))
    }
    own, anchors = found.take(place == 0), prior_anchors(panel())
    pooled = Samples.join(own, anchors)
    return Field((pooled,), anchors, pooled, cut.pop("validation"), cut)


def test_every_model_is_scored_on_every_window_and_learns():
    found = {run.model: run for run in runs(field(), ["smile", BOOSTING], range(1), SHORT)}
    assert found["smile"].parameters == 9987
    for name in ("smile", BOOSTING):
        assert set(found[name].metrics) == {"validation", "test", "stress"}
        assert found[name].metrics["test"].rmse < found["prior"].metrics["test"].rmse
    assert found["prior"].metrics["test"].rmse < found["flat"].metrics["test"].rmse


def test_the_table_has_mean_and_spread_over_seeds():
    window = field().windows["test"]
    near, far = (measure(window.target_vol + error, window) for error in (0.01, 0.03))
    ran = [
        Run("net", seed, 7, 4.0, dict.fromkeys(("validation", "test", "stress"), metrics))
        for seed, metrics in enumerate((near, far))
    ]
    once = Run("formula", 0, 0, 0.0, dict.fromkeys(("validation", "test", "stress"), near))
    rows = table([once, *ran]).splitlines()
    assert rows[2].startswith("| formula |  | 1.000 | 1.000 | 1.000 | 1.000 |")
    assert rows[3].startswith("| net | 7 | 2.000 ± 1.414 | 2.000 ± 1.414 |")
    assert len(rows) == 4
