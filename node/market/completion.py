"""What the known volatilities of a panel say of its unknown ones.

The logarithms of a panel's fifteen volatilities are a mean, five factors that move it and noise.
What is unknown is taken as expected, given what is known: level, slope in time and skew of the
unknown follow the known as they have done together.

Source: M. Tipping, C. Bishop, "Probabilistic Principal Component Analysis", 1999, of 843 complete
panels of Deribit's marks, January to April 2026 without the crash, of both coins
(`python -m benchmarks.holes --data DIR --fit`).
"""

from typing import Final

import numpy as np

from node.market.panel import COLUMNS, TENOR_YEARS, Floats

WHOLE: Final = COLUMNS * TENOR_YEARS.size
"""Volatilities that a whole panel has."""
MEAN: Final = np.array(
    [
        [-0.62, -0.52, -0.51, -0.49, -0.47],
        [-0.72, -0.64, -0.62, -0.60, -0.58],
        [-0.72, -0.65, -0.64, -0.62, -0.60],
    ]
)
"""Of the logarithm, z = -1, 0, +1 by tenor."""
FACTORS: Final = np.array(
    [
        [
            [0.254, 0.217, 0.203, 0.176, 0.153],
            [0.249, 0.216, 0.205, 0.183, 0.162],
            [0.250, 0.224, 0.214, 0.193, 0.175],
        ],
        [
            [-0.132, -0.016, 0.031, 0.050, 0.052],
            [-0.120, -0.003, 0.044, 0.063, 0.064],
            [-0.106, 0.008, 0.055, 0.072, 0.074],
        ],
        [
            [-0.001, -0.056, -0.031, -0.003, 0.009],
            [0.021, -0.036, -0.012, 0.014, 0.023],
            [0.038, -0.019, 0.003, 0.026, 0.033],
        ],
        [
            [0.029, 0.007, 0.006, 0.011, 0.014],
            [0.002, -0.011, -0.004, 0.006, 0.009],
            [-0.023, -0.027, -0.014, -0.001, 0.005],
        ],
        [
            [-0.007, -0.008, 0.015, 0.008, 0.004],
            [0.004, -0.005, 0.011, 0.002, -0.003],
            [0.006, -0.010, 0.002, -0.007, -0.010],
        ],
    ]
)
"""Moves of the logarithm, each of one standard deviation."""
NOISE: Final = 0.009
"""Standard deviation of what no factor explains."""


def completed(vols: Floats) -> Floats:
    """Panels whose unknown volatilities (NaN) are filled in; the known ones stay as they are.

    Shape: [m, 3, 5] -> [m, 3, 5], decimal
    """
    unknown = np.isnan(vols)
    holed = unknown.any(axis=(1, 2))
    if not holed.any():
        return vols
    weights = (~unknown[holed]).reshape(-1, WHOLE).astype(np.float64) / NOISE**2
    moves = np.nan_to_num(np.log(vols[holed]) - MEAN).reshape(-1, WHOLE)
    factors = FACTORS.reshape(-1, WHOLE)
    # The factors' mean given the known: normal, with a unit variance each beforehand.
    precision = np.eye(len(factors)) + np.einsum("mq,iq,jq->mij", weights, factors, factors)
    scores = np.linalg.solve(precision, (weights * moves @ factors.T)[:, :, None])[:, :, 0]
    expected = np.exp(MEAN + (scores @ factors).reshape(-1, *MEAN.shape))
    filled = vols.copy()
    filled[holed] = np.where(unknown[holed], expected, vols[holed])
    return filled
