"""The shared network corrects the volatility at the money: sigma = sigma_ATM(T) exp(net(x)).

The last layer starts at zero, so round 0 prices with the term structure alone.
"""

import numpy as np
from torch import Tensor, exp, nn

from node.market.features import INPUTS, NORMALISATION, Samples
from node.market.panel import TENOR_DAYS
from node.models.architecture import Architecture, Float32s, linear, parameters
from protocol.model_spec import ModelSpec

WIDTH = 64
"""Wider networks and longer training over-fit these data."""
HIDDEN_LAYERS = 3


class Smile(nn.Module):
    """Three hidden layers of 64 with SiLU: 9,153 parameters, all zero until a vector is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(
            linear(INPUTS if layer == 0 else WIDTH, WIDTH) for layer in range(HIDDEN_LAYERS)
        )
        self.out = linear(WIDTH, 1)

    def forward(self, x: Tensor, atm_vol: Tensor) -> Tensor:
        """Volatility of each quote.

        Shape: x [n, 11], atm_vol [n] -> [n].
        """
        for layer in self.hidden:
            x = nn.functional.silu(layer(x))
        correction: Tensor = self.out(x)
        return atm_vol * exp(correction.squeeze(-1))


def spec() -> ModelSpec:
    """What every participant must agree on about the network."""
    settings: dict[str, float | str] = {"activation": "silu", "output": "atm_vol * exp(net)"}
    for name, centre, scale in NORMALISATION:
        settings[f"centre.{name}"], settings[f"scale.{name}"] = centre, scale
    for row, days in enumerate(TENOR_DAYS.tolist()):
        settings[f"tenor_days.{row}"] = days
    return ModelSpec("smile", 1, parameters(Smile()), settings)


def inputs(samples: Samples) -> tuple[Float32s, ...]:
    """What the network sees. Shape: [n, 11] and [n]"""
    return samples.x, samples.atm_vol.astype(np.float32)


SMILE = Architecture(spec(), Smile, inputs)
"""The default."""
