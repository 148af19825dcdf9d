"""The shared network corrects the volatility at the money: sigma = sigma_ATM(T) exp(net(x)).

The last layer starts at zero, so round 0 prices with the term structure alone. The inputs'
normalisation is fixed and published with the model: a scaler fitted on pooled data would leak the
pool, one fitted by each desk would differ from desk to desk.
"""

from typing import Final

import torch
from torch import Tensor, nn

from node.market.panel import AT_MONEY, LOWER, TENOR_DAYS, THIRTY_DAYS, UPPER
from node.models.architecture import Architecture, linear, parameters
from node.models.points import Points
from protocol.model_spec import ModelSpec

WIDTH: Final = 64
"""Wider networks and longer training over-fit these data."""
HIDDEN_LAYERS: Final = 3

NORMALISATION: tuple[tuple[str, float, float], ...] = (
    ("z", 0.0, 1.0),
    ("sqrt_years", 0.4, 0.3),
    ("log_years", -2.5, 1.5),
    ("is_btc", 0.5, 0.5),
    ("log_atm_30d", -0.6, 0.3),
    ("log_atm_2d_over_30d", 0.0, 0.2),
    ("log_atm_7d_over_30d", 0.0, 0.1),
    ("log_atm_90d_over_30d", 0.0, 0.1),
    ("log_atm_180d_over_30d", 0.0, 0.1),
    ("log_lower_wing_over_atm", 0.1, 0.05),
    ("log_upper_wing_over_atm", 0.0, 0.05),
)
"""Input, centre, scale. Source: round figures near the mean and the spread that Deribit's public
marks had from January to April 2026."""
INPUTS: Final = len(NORMALISATION)

_OTHER_TENORS: Final = [0, 1, 3, 4]


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
        return atm_vol * torch.exp(correction.squeeze(-1))


def spec() -> ModelSpec:
    """What every participant must agree on about the network."""
    settings: dict[str, float | str] = {"activation": "silu", "output": "atm_vol * exp(net)"}
    for name, centre, scale in NORMALISATION:
        settings[f"centre.{name}"], settings[f"scale.{name}"] = centre, scale
    for row, days in enumerate(TENOR_DAYS.tolist()):
        settings[f"tenor_days.{row}"] = days
    return ModelSpec("smile", 1, parameters(Smile()), settings)


def inputs(points: Points) -> tuple[Tensor, Tensor]:
    """Eleven numbers in the order of `NORMALISATION`, and the volatility at the money.

    Shape: [n, 11], [n]
    """
    at_expiry = points.at_expiry()
    years, atm_vol = points.years, at_expiry[:, AT_MONEY]
    atm = points.surface[:, AT_MONEY]
    atm_30d = atm[:, [THIRTY_DAYS]]
    wings = at_expiry[:, [LOWER, UPPER]] / atm_vol[:, None]
    alone = [points.z(at_expiry), torch.sqrt(years), torch.log(years), points.is_btc]
    raw = torch.cat(
        [
            torch.stack(alone, dim=1),
            torch.log(atm_30d),
            torch.log(atm[:, _OTHER_TENORS] / atm_30d),
            torch.log(wings),
        ],
        dim=1,
    )
    centre, scale = (
        torch.tensor([row[place] for row in NORMALISATION]).to(raw) for place in (1, 2)
    )
    return (raw - centre) / scale, atm_vol


SMILE: Final = Architecture(spec(), Smile, inputs)
"""The default."""
