"""Forecasts as they would have been made: fitted to the past, and used until the next fit."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from node.forecasting.forecasters import Fit
from node.forecasting.pairs import Pairs
from node.market.panel import Floats
from protocol.errors import DataError


def walk_forward(pairs: Pairs, fit: Fit, refits: Sequence[int], seed: int) -> Floats:
    """Forecast each origin with what was fitted at the last refit before it; NaN before the first.

    A fit sees every pair whose target had come by then.

    Shape: refits (microseconds since 1970, rising) -> log volatilities [n, d]

    Raises: DataError where the refits do not rise.
    """
    if any(after <= before for before, after in pairwise(refits)):
        raise DataError(f"refits in rising order are wanted, found {list(refits)}")
    forecasts = np.full(pairs.now.shape, np.nan)
    ends = [*refits[1:], np.iinfo(np.int64).max]
    for begins, ends_before in zip(refits, ends, strict=True):
        rows = np.flatnonzero((pairs.origin >= begins) & (pairs.origin < ends_before))
        if rows.size:
            forecasts[rows] = fit(pairs.known_by(begins), seed)(pairs.take(rows))
    return forecasts
