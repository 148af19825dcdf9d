"""Echoes: points of public surfaces, answered by the model that local training starts from.

A desk that trains on its own quotes alone moves the model everywhere, also where it has none, and
the moves of desks that share no quotes add up to nonsense there. Mixed into its quotes, echoes say
"leave this as all of us left it", so a region moves by those who have quotes in it. They favour no
formula, cost no privacy and can be made again by whoever has the panels and the shared model.

Source: Z. Li, D. Hoiem, "Learning without Forgetting", 2016 (a model's own answers as targets).
"""

from typing import Final

import numpy as np

from node.market.panel import AT_MONEY, vols_at
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import Samples

REACH_Z: Final = 4.0
"""Standard deviations; nearly all quotes that survive cleaning lie within."""
SHORTEST_YEARS: Final = 1.0 / DAYS_PER_YEAR
LONGEST_YEARS: Final = 1.0


def echo_points(samples: Samples, count: int, seed: int) -> Samples:
    """So many random points of the samples' surfaces, for a model to answer.

    They are even in standard deviations and in the logarithm of time.
    """
    rng = np.random.default_rng(seed)
    some = samples.take(rng.integers(len(samples), size=count))
    z = rng.uniform(-REACH_Z, REACH_Z, count)
    years = np.exp(rng.uniform(np.log(SHORTEST_YEARS), np.log(LONGEST_YEARS), count))
    at_money = vols_at(some.surfaces[some.surface_row], years)[:, AT_MONEY]
    return some.elsewhere(z * at_money * np.sqrt(years), years)
