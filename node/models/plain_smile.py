"""The network that one would build first: sigma = sigma_atm(T) exp(net), no smile of its own.

It is the yardstick for what `smile` gains by its prior and its clock, trained like it or by a desk
that has nothing else. Volatility at the money is the panel's, interpolated in plain time.
"""

from typing import Final

import torch
from torch import Tensor, nn

from node.market.panel import AT_MONEY, TENOR_DAYS, TENOR_YEARS
from node.models.architecture import Architecture, linear, parameters
from node.models.points import Points
from node.models.prior import interpolated
from node.models.smile import (
    NORMALISATION,
    WIDTH,
    Normalisation,
    hidden_layers,
    levels,
    normalised,
    published,
)
from protocol.model_spec import ModelSpec

SEEN: Final = (
    "z",
    "sqrt_years",
    "log_years",
    "is_btc",
    "log_atm_30d",
    "log_atm_2d_over_30d",
    "log_atm_7d_over_30d",
    "log_atm_90d_over_30d",
    "log_atm_180d_over_30d",
    "log_lower_wing_over_atm",
    "log_upper_wing_over_atm",
)
"""Inputs, normalised as those of the same names of `smile`."""
_ROWS: Final[Normalisation] = tuple(row for row in NORMALISATION if row[0] in SEEN)


class PlainSmile(nn.Module):
    """Three hidden layers of 64 with SiLU: 9,153 parameters, all zero until a vector is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = hidden_layers(len(SEEN))
        self.out = linear(WIDTH, 1)

    def forward(self, x: Tensor, at_money: Tensor) -> Tensor:
        """Volatility of each quote. Shape: x [n, 11], at_money [n] -> [n]"""
        for layer in self.hidden:
            x = nn.functional.silu(layer(x))
        return at_money * torch.exp(self.out(x)[:, 0])


def spec() -> ModelSpec:
    """What every participant must agree on about the network."""
    settings: dict[str, float | str] = {"activation": "silu", "output": "atm(T) * exp(net)"}
    settings |= published(_ROWS)
    for row, days in enumerate(TENOR_DAYS.tolist()):
        settings[f"tenor_days.{row}"] = days
    return ModelSpec("plain_smile", 1, parameters(PlainSmile()), settings)


def inputs(points: Points) -> tuple[Tensor, Tensor]:
    """Numbers in the order of `SEEN`, and the volatility at the money. Shape: [n, 11], [n]"""
    years = points.years
    tenors = torch.from_numpy(TENOR_YEARS).to(years).expand(len(years), -1).contiguous()
    _, total = interpolated(years, tenors, points.surface)
    at_expiry = torch.sqrt(total / years[:, None])
    at_money = at_expiry[:, AT_MONEY]
    alone = [
        points.log_moneyness / (at_money * torch.sqrt(years)),
        torch.sqrt(years),
        torch.log(years),
        points.is_btc,
    ]
    raw = torch.cat([torch.stack(alone, dim=1), levels(points.surface, at_expiry)], dim=1)
    return normalised(raw, _ROWS), at_money


PLAIN_SMILE: Final = Architecture(spec(), PlainSmile, inputs)
