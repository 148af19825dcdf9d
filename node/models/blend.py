"""Two models of one architecture as one, which prices with a weighted mean of their volatilities.

A blend is never trained and no task trains one: it is how a desk that has a model of its own beside
a shared one keeps both in a file and prices with both. Where neither has calendar arbitrage it has
none: sigma sqrt(T) rises with T along a moneyness in both, so it does in the mean. Butterfly
arbitrage is not ruled out so, which is why prices by a blend are audited as any model's are.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from node.market.panel import Floats
from node.models.architecture import Architecture
from protocol.model_spec import ModelSpec

_FIRST: Final = "first"
_SECOND: Final = "second"
_SHARE: Final = "share"


class Blend(nn.Module):
    """sigma = (1 - share) sigma_first + share sigma_second"""

    def __init__(self, module: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = module(), module()
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, *seen: Tensor) -> Tensor:
        """Volatility of each quote. Shape: what one of the two takes -> [n]."""
        vols: Tensor = (1.0 - self.share) * self.first(*seen) + self.share * self.second(*seen)
        return vols


def blended(kind: Architecture) -> Architecture:
    """What a blend of two models of `kind` is."""
    parameters = [
        (f"{part}.{name}", shape)
        for part in (_FIRST, _SECOND)
        for name, shape in kind.spec.parameters
    ]
    spec = ModelSpec(
        f"{kind.name}_blend",
        kind.spec.version,
        (*parameters, (_SHARE, (1,))),
        kind.spec.settings,
    )
    return Architecture(spec, partial(Blend, kind.module), kind.inputs)


def blend(kind: Architecture, first: Floats, second: Floats, share: float) -> Floats:
    """Two models as a blend's parameters; `share` is the second's. Shape: [d], [d] -> [2d + 1]"""
    arrays = {
        f"{part}.{name}": value
        for part, vector in ((_FIRST, first), (_SECOND, second))
        for name, value in kind.spec.unflatten(vector).items()
    }
    return blended(kind).spec.flatten({**arrays, _SHARE: np.array([share])})


def is_blend(kind: Architecture) -> bool:
    """Whether it is what `blended` makes."""
    return isinstance(kind.module(), Blend)
