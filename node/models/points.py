"""Points of surfaces as tensors: where a volatility is asked for, and the panel that answers.

Everything that follows from them is differentiable in the strike and in the time, so the Greeks of
a model need no differences.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples


@dataclass(frozen=True)
class Points:
    """Shape: log_moneyness, years, is_btc, day [n]; surface [n, 3, 5] (decimal; z = -1, 0, +1)."""

    log_moneyness: Tensor
    years: Tensor
    is_btc: Tensor
    """1 for BTC, 0 for ETH."""
    day: Tensor
    """The snapshot's moment in days since 1970, UTC: where it lies on the public calendar."""
    surface: Tensor

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """The points of samples, in float64 on the CPU."""
        return cls(
            torch.from_numpy(samples.log_moneyness),
            torch.from_numpy(samples.years.copy()),
            torch.from_numpy(samples.is_btc.astype(np.float64)),
            torch.from_numpy(samples.snapshot / MICROSECONDS_PER_DAY),
            torch.from_numpy(samples.surfaces[samples.surface_row]),
        )
