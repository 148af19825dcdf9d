"""What the federated model is held against: panel-only formulas, and models that see other data.

The formulas need no training and nobody's quotes. The trained ones answer two questions: what a
desk reaches alone, and what one desk would reach that saw everybody's quotes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

from node.features import Samples
from node.panel import Floats
from node.smile import predict
from node.training import TrainingSettings, round_seed, train_locally

Pricer = Callable[[Samples], Floats]
"""Samples in, decimal volatilities out, one a sample."""

LOWEST_VOL: Final = 0.01
"""A quadratic can leave the positive numbers far in a wing."""
BOOSTING_TREES: Final = 300


def flat(samples: Samples) -> Floats:
    """One volatility a coin and snapshot: 30 days, at the money."""
    return samples.atm_30d_vol


def term_structure(samples: Samples) -> Floats:
    """The volatility at the money for the quote's expiry, the same at every strike."""
    return samples.atm_vol


def quadratic_smile(samples: Samples) -> Floats:
    """Variance quadratic in z through the panel's three points at the quote's expiry.

    Quadratic in variance, not in volatility: in the far wings its square root grows about linearly
    in z, as real smiles do. In June 2026 it errs by 1.89 vol points, the other by 3.62.
    """
    lower, at_money, upper = (samples.panel_vols**2).T
    slope, curvature = (upper - lower) / 2.0, (upper + lower) / 2.0 - at_money
    variance = at_money + slope * samples.z + curvature * samples.z**2
    return np.asarray(np.sqrt(np.maximum(variance, LOWEST_VOL**2)))


FORMULAS: Mapping[str, Pricer] = MappingProxyType(
    {"flat": flat, "term_structure": term_structure, "quadratic": quadratic_smile}
)


def train_boosting(samples: Samples, seed: int, trees: int = BOOSTING_TREES) -> Pricer:
    """Gradient-boosted trees on the network's inputs: a strong tabular learner sees them all."""
    forest = HistGradientBoostingRegressor(max_iter=trees, early_stopping=False, random_state=seed)
    # Its threads wait by spinning, which on a busy machine takes ten times as long as one thread.
    with threadpool_limits(1, user_api="openmp"):
        forest.fit(samples.x, np.log(samples.target_vol / samples.atm_vol))

    def price(asked: Samples) -> Floats:
        correction: Floats = forest.predict(asked.x)
        return np.asarray(asked.atm_vol * np.exp(correction))

    return price


def train_alone(
    genesis: Floats, samples: Samples, settings: TrainingSettings, *, seed: int, device: str = "cpu"
) -> Floats:
    """The network after every round of the recipe on one desk's samples, never shared.

    Shape: genesis [d] -> [d].
    """
    *_, last = _rounds(genesis, samples, settings, seed, device)
    return last


def train_central(
    genesis: Floats,
    pooled: Samples,
    settings: TrainingSettings,
    *,
    participants: int,
    validation: Samples,
    seed: int,
    device: str = "cpu",
) -> Floats:
    """The network on everybody's samples, with as many steps as all participants take together.

    So many steps over-fit where nothing is averaged. The round that is best on `validation` is
    kept, or the comparison would flatter the federated model.

    Shape: genesis [d] -> [d].
    """
    everybody = replace(settings, steps_per_round=settings.steps_per_round * participants)
    rounds = _rounds(genesis, pooled, everybody, seed, device)
    return min(rounds, key=lambda vector: _squared_error(vector, validation))


def _rounds(
    genesis: Floats, samples: Samples, settings: TrainingSettings, seed: int, device: str
) -> Iterator[Floats]:
    vector = genesis
    for round_number in range(1, settings.rounds + 1):
        vector = train_locally(
            vector,
            samples,
            settings,
            seed=round_seed(seed, round_number),
            round_number=round_number,
            device=device,
        ).vector
        yield vector


def _squared_error(vector: Floats, samples: Samples) -> float:
    error = predict(vector, samples.x, samples.atm_vol) - samples.target_vol
    return float(np.mean(error**2))
