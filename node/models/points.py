"""Points of surfaces as tensors: where a volatility is asked for, and the panel that answers.

Everything that follows from them is differentiable in the strike and in the time, so the Greeks of
a model need no differences.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from node.market.panel import AT_MONEY, TENOR_YEARS
from node.market.samples import Samples


@dataclass(frozen=True)
class Points:
    """Shape: log_moneyness, years, is_btc [n]; surface [n, 3, 5] (decimal; z = -1, 0, +1)."""

    log_moneyness: Tensor
    years: Tensor
    is_btc: Tensor
    """1 for BTC, 0 for ETH."""
    surface: Tensor

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """The points of samples, in float64 on the CPU."""
        return cls(
            torch.from_numpy(samples.log_moneyness),
            torch.from_numpy(samples.years.copy()),
            torch.from_numpy(samples.is_btc.astype(np.float64)),
            torch.from_numpy(samples.surfaces[samples.surface_row]),
        )

    def at_expiry(self) -> Tensor:
        """The panel's volatility at z = -1, 0, +1 for the point's time, as `panel.vols_at` has it.

        Shape: [n, 3]
        """
        tenors = torch.from_numpy(TENOR_YEARS).to(self.years)
        variances = self.surface**2 * tenors
        inside = self.years.clamp(TENOR_YEARS[0], TENOR_YEARS[-1])
        right = torch.searchsorted(tenors, inside.detach()).clamp(1, TENOR_YEARS.size - 1)
        share = (inside - tenors[right - 1]) / (tenors[right] - tenors[right - 1])
        rows = torch.arange(inside.numel(), device=inside.device)
        near, far = variances[rows, :, right - 1], variances[rows, :, right]
        total = near + share[:, None] * (far - near)
        return torch.sqrt(total / inside[:, None])

    def z(self, at_expiry: Tensor) -> Tensor:
        """Log-moneyness in standard deviations. Shape: at_expiry [n, 3] -> [n]"""
        return self.log_moneyness / (at_expiry[:, AT_MONEY] * torch.sqrt(self.years))
