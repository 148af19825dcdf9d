"""Gradient-boosted trees on the network's inputs: what a strong tabular learner makes of them."""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

from node.market.panel import Floats
from node.market.samples import Samples
from node.models.formulas import Pricer
from node.models.smile import SMILE

BOOSTING_TREES: Final = 300


def train_boosting(samples: Samples, seed: int, trees: int = BOOSTING_TREES) -> Pricer:
    """Gradient-boosted trees on the network's inputs: a strong tabular learner sees them all."""
    forest = HistGradientBoostingRegressor(max_iter=trees, early_stopping=False, random_state=seed)
    # Its threads wait by spinning, which on a busy machine takes ten times as long as one thread.
    with threadpool_limits(1, user_api="openmp"):
        forest.fit(_inputs(samples), np.log(samples.target_vol / samples.atm_vol))

    def price(asked: Samples) -> Floats:
        correction: Floats = forest.predict(_inputs(asked))
        return np.asarray(asked.atm_vol * np.exp(correction))

    return price


def _inputs(samples: Samples) -> npt.NDArray[np.float32]:
    x, _ = SMILE.seen(samples)
    return np.asarray(x.numpy())
