"""The shared network corrects what the panel says: sigma = sigma_prior exp(correction).

    correction = (1/5 + gap) f1 + z (z^2 - 1) / (1 + z^2)^(3/2) f2 + z^2 (z^2 - 1) / (1 + z^2)^2 f3

with f = net(x). The last two factors vanish at the panel's strikes and the first is small at its
tenors, where there is little to correct. The last layer starts at zero, so round 0 prices with the
prior alone. The inputs' normalisation is fixed and published with the model: a scaler fitted on
pooled data would leak the pool, one fitted by each desk would differ from desk to desk.
"""

from typing import Final

import torch
from torch import Tensor, nn

from node.market.panel import AT_MONEY, LOWER, TENOR_DAYS, THIRTY_DAYS, UPPER
from node.market.quotes import DAYS_PER_YEAR
from node.models import clock
from node.models.architecture import Architecture, linear, parameters
from node.models.points import Points
from node.models.prior import BEND, LOWEST_VARIANCE, Prior
from protocol.model_spec import ModelSpec

WIDTH: Final = 64
"""Wider networks and longer training over-fit these data."""
HIDDEN_LAYERS: Final = 3
AT_TENOR: Final = 0.2
"""Of the first factor at a tenor: the panel interpolates too, and errs a little."""

Normalisation = tuple[tuple[str, float, float], ...]
"""Input, centre, scale."""
NORMALISATION: Final[Normalisation] = (
    ("z", 0.0, 1.0),
    ("sqrt_years", 0.4, 0.3),
    ("log_years", -2.5, 1.5),
    ("is_btc", 0.5, 0.5),
    ("log_business_days_over_days", 0.0, 0.2),
    ("log_atm_30d", -0.6, 0.3),
    ("log_atm_2d_over_30d", 0.0, 0.2),
    ("log_atm_7d_over_30d", 0.0, 0.1),
    ("log_atm_90d_over_30d", 0.0, 0.1),
    ("log_atm_180d_over_30d", 0.0, 0.1),
    ("log_lower_wing_over_atm", 0.1, 0.05),
    ("log_upper_wing_over_atm", 0.0, 0.05),
    *((f"log_lower_wing_over_atm_{days:.0f}d", 0.1, 0.05) for days in TENOR_DAYS),
    *((f"log_upper_wing_over_atm_{days:.0f}d", 0.0, 0.05) for days in TENOR_DAYS),
)
"""Source: round figures near the mean and the spread that Deribit's public
marks had from January to April 2026."""
INPUTS: Final = len(NORMALISATION)
FACTORS: Final = 3

_OTHER_TENORS: Final = [0, 1, 3, 4]


class Smile(nn.Module):
    """Three hidden layers of 64 with SiLU: 9,987 parameters, all zero until a vector is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = hidden_layers(INPUTS)
        self.out = linear(WIDTH, FACTORS)

    def forward(self, x: Tensor, factors: Tensor, prior: Tensor) -> Tensor:
        """Volatility of each quote.

        Shape: x [n, 22], factors [n, 3], prior [n] -> [n].
        """
        for layer in self.hidden:
            x = nn.functional.silu(layer(x))
        return prior * torch.exp((factors * self.out(x)).sum(-1))


def hidden_layers(inputs: int) -> nn.ModuleList:
    """Linear layers from so many inputs to `WIDTH`."""
    return nn.ModuleList(
        linear(inputs if layer == 0 else WIDTH, WIDTH) for layer in range(HIDDEN_LAYERS)
    )


def spec() -> ModelSpec:
    """What every participant must agree on about the network."""
    settings: dict[str, float | str] = {
        "activation": "silu",
        "output": "prior * exp(factors . net)",
        "prior": "business time, hyperbola",
        "prior.bend": BEND,
        "prior.lowest_variance": LOWEST_VARIANCE,
        "at_tenor": AT_TENOR,
        "daily_expiries": clock.DAILY_EXPIRIES,
        "expiry_hour_utc": clock.EXPIRY_HOUR_UTC,
    }
    settings |= published(NORMALISATION)
    for row, days in enumerate(TENOR_DAYS.tolist()):
        settings[f"tenor_days.{row}"] = days
    for row, weight in enumerate(clock.DAY_WEIGHTS):
        settings[f"day_weight.{row}"] = weight
    return ModelSpec("smile", 2, parameters(Smile()), settings)


def inputs(points: Points) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers in the order of `NORMALISATION`, the correction's factors, and the prior.

    Shape: [n, 22], [n, 3], [n]
    """
    prior = Prior.of(points)
    years, at_expiry = points.years, prior.at_expiry
    wings = points.surface[:, [LOWER, UPPER]] / points.surface[:, [AT_MONEY]]
    alone = [
        prior.z,
        torch.sqrt(years),
        torch.log(years),
        points.is_btc,
        torch.log(prior.business_days / (years * DAYS_PER_YEAR)),
    ]
    raw = torch.cat(
        [
            torch.stack(alone, dim=1),
            levels(points.surface, at_expiry),
            torch.log(wings).flatten(1),
        ],
        dim=1,
    )
    return normalised(raw, NORMALISATION), factors(prior), prior.vol


def levels(surface: Tensor, at_expiry: Tensor) -> Tensor:
    """Logarithms of the level, of the other tenors over it, and of the wings at the expiry.

    Shape: surface [n, 3, 5], at_expiry [n, 3] -> [n, 7]
    """
    atm = surface[:, AT_MONEY]
    atm_30d = atm[:, [THIRTY_DAYS]]
    wings = at_expiry[:, [LOWER, UPPER]] / at_expiry[:, [AT_MONEY]]
    return torch.log(torch.cat([atm_30d, atm[:, _OTHER_TENORS] / atm_30d, wings], dim=1))


def published(rows: Normalisation, side: str = "") -> dict[str, float]:
    """Centres and scales under the names that a spec has for them."""
    centres = {f"centre.{side}{name}": centre for name, centre, _ in rows}
    return centres | {f"scale.{side}{name}": scale for name, _, scale in rows}


def normalised(raw: Tensor, rows: Normalisation) -> Tensor:
    """Inputs by the published centres and scales. Shape: [n, ..., rows]"""
    centre, scale = (torch.tensor([row[place] for row in rows]).to(raw) for place in (1, 2))
    return (raw - centre) / scale


def factors(prior: Prior) -> Tensor:
    """What the network's outputs are multiplied by. Shape: [n, 3]"""
    square = prior.z**2
    wing = (square - 1.0) / (square + 1.0)
    side = prior.z / torch.sqrt(square + 1.0)
    return torch.stack([AT_TENOR + prior.gap, side * wing, side**2 * wing], dim=1)


SMILE: Final = Architecture(spec(), Smile, inputs)
"""The default."""
