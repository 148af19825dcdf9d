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
    """Trees that correct the logarithm of the network's prior, from the network's inputs."""
    forest = HistGradientBoostingRegressor(max_iter=trees, early_stopping=False, random_state=seed)
    seen, prior = _inputs(samples)
    # Its threads wait by spinning, which on a busy machine takes ten times as long as one thread.
    with threadpool_limits(1, user_api="openmp"):
        forest.fit(seen, np.log(samples.target_vol / prior))

    def price(asked: Samples) -> Floats:
        seen, prior = _inputs(asked)
        return np.asarray(prior * np.exp(forest.predict(seen)))

    return price


def _inputs(samples: Samples) -> tuple[npt.NDArray[np.float32], Floats]:
    """Shape: [n, 22], [n]"""
    x, _, prior = SMILE.seen(samples)
    return x.numpy(), np.asarray(prior.numpy(), dtype=np.float64)
