"""Is one forecaster better than another, or was it luck?"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from node.market.panel import Floats
from protocol.errors import DataError


@dataclass(frozen=True)
class DieboldMariano:
    """A test that two forecasters lose alike."""

    statistic: float
    """Below zero where the first loses less."""
    p_value: float
    """Two-sided: how often chance alone would show as large a difference."""


def diebold_mariano(first: Floats, second: Floats, overlap: int) -> DieboldMariano:
    """Compare losses made at the same times, in order.

    Forecasts that reach over their successors' origins err alike; `overlap` is how many of them
    do, 0 where each target comes before the next origin.

    Shape: first, second [n].

    Source: F. Diebold and R. Mariano, "Comparing predictive accuracy", Journal of Business and
    Economic Statistics, 1995; Bartlett weights by W. Newey and K. West, Econometrica, 1987; the
    small-sample correction by D. Harvey, S. Leybourne and P. Newbold, International Journal of
    Forecasting, 1997.

    Raises: DataError with too few losses, or of different lengths.
    """
    count = first.size
    if first.shape != second.shape or count < 2 * (overlap + 1) + 1:
        raise DataError(
            f"losses of the same {2 * overlap + 3} or more forecasts are wanted, found"
            f" {first.shape} and {second.shape}"
        )
    difference = first - second
    mean = float(difference.mean())
    centred = difference - mean
    variance = float(centred @ centred) / count
    for lag in range(1, overlap + 1):
        weight = 1.0 - lag / (overlap + 1)
        variance += 2.0 * weight * float(centred[lag:] @ centred[:-lag]) / count
    if variance <= 0.0:
        return DieboldMariano(0.0, 1.0)
    horizon = overlap + 1
    correction = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    statistic = mean / np.sqrt(variance / count) * np.sqrt(correction)
    return DieboldMariano(float(statistic), float(2.0 * stdtr(count - 1, -abs(statistic))))
