"""A network over a set of reference quotes: the asked point attends to whichever are known.

Each quote of the panel is a token. Their order means nothing, and an unknown one (NaN) is left out,
so a panel may have holes, which the other architectures cannot price. The answer corrects the same
prior by the same factors as `node.models.smile`; round 0 is the prior of the completed panel.

Source: H. Kim et al., "Attentive neural processes", ICLR, 2019.
"""

import math
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from node.market.completion import FACTORS, MEAN, NOISE, completed
from node.market.panel import AT_MONEY, COLUMNS, TENOR_YEARS
from node.market.quotes import DAYS_PER_YEAR
from node.models import clock, smile
from node.models.architecture import Architecture, linear, parameters
from node.models.points import Points
from node.models.prior import Prior
from protocol.model_spec import ModelSpec

WIDTH: Final = 32
HEADS: Final = 4
MIXED: Final = 64

TOKEN_NORMALISATION: Final[smile.Normalisation] = (
    ("z", 0.0, 1.0),
    ("z_squared", 0.0, 1.0),
    ("log_business_years", -2.5, 1.5),
    ("log_business_years_squared", 6.0, 6.0),
    ("log_vol_over_level", 0.0, 0.1),
    ("is_btc", 0.5, 0.5),
)
QUERY_NORMALISATION: Final[smile.Normalisation] = (
    ("z", 0.0, 1.0),
    ("z_squared", 0.0, 4.0),
    ("log_business_years", -2.5, 1.5),
    ("log_business_years_squared", 6.0, 6.0),
    ("log_business_days_over_days", 0.0, 0.2),
    ("level", -0.6, 0.3),
    ("gap", 0.2, 0.2),
    ("is_btc", 0.5, 0.5),
)
"""Input, centre, scale; round figures as in `node.models.smile`. A level is the mean of the
logarithms of a completed panel's volatilities."""


class SetAttention(nn.Module):
    """12,195 parameters, all zero until a vector is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.token = linear(len(TOKEN_NORMALISATION), WIDTH)
        self.key, self.value = linear(WIDTH, WIDTH), linear(WIDTH, WIDTH)
        self.asked = linear(len(QUERY_NORMALISATION), WIDTH)
        self.query = linear(WIDTH, WIDTH)
        self.mixed = nn.ModuleList(linear(columns, MIXED) for columns in (2 * WIDTH, MIXED))
        self.out = linear(MIXED, smile.FACTORS)

    def forward(
        self, query: Tensor, tokens: Tensor, known: Tensor, factors: Tensor, prior: Tensor
    ) -> Tensor:
        """Volatility of each quote; at least one token of each must be known.

        Shape: query [n, 8], tokens [n, t, 6], known [n, t] (0 or 1), factors [n, 3], prior [n]
        -> [n].
        """
        members = nn.functional.silu(self.token(tokens))
        asked = nn.functional.silu(self.asked(query))
        keys, values, wanted = (
            part.unflatten(-1, (HEADS, -1))
            for part in (self.key(members), self.value(members), self.query(asked))
        )
        scores = (keys * wanted[:, None]).sum(-1) / math.sqrt(WIDTH / HEADS)
        shares = torch.softmax(scores.masked_fill(known[:, :, None] == 0, -torch.inf), dim=1)
        heard = (shares[..., None] * values).sum(1).flatten(1)
        x = torch.cat([asked, heard], dim=1)
        for layer in self.mixed:
            x = nn.functional.silu(layer(x))
        return prior * torch.exp((factors * self.out(x)).sum(-1))


def spec() -> ModelSpec:
    """What every participant must agree on about the network."""
    shared = smile.spec().settings
    settings: dict[str, int | float | str] = {
        name: value for name, value in shared.items() if not name.startswith(("centre.", "scale."))
    }
    settings["heads"] = HEADS
    settings |= smile.published(TOKEN_NORMALISATION, "token.")
    settings |= smile.published(QUERY_NORMALISATION, "query.")
    settings["completion.noise"] = NOISE
    for name, numbers in (("mean", MEAN), ("factors", FACTORS)):
        for row, number in enumerate(numbers.ravel().tolist()):
            settings[f"completion.{name}.{row}"] = number
    return ModelSpec("set_attention", 2, parameters(SetAttention()), settings)


def inputs(points: Points) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Query, tokens (the panel's, z by tenor), which are known, the factors and the prior.

    Shape: [n, 8], [n, 15, 6], [n, 15], [n, 3], [n]
    """
    known = ~torch.isnan(points.surface.flatten(1))
    surface = torch.from_numpy(completed(points.surface.cpu().numpy())).to(points.surface)
    every = torch.log(surface.flatten(1))
    level = every.mean(dim=1)
    prior = Prior.of(replace(points, surface=surface))
    z = _z_of_tokens().to(every).expand_as(every)
    tenors = torch.log(clock.to_tenors(points.day) / DAYS_PER_YEAR).repeat(1, COLUMNS)
    is_btc = points.is_btc[:, None].expand_as(every)
    tokens = torch.stack([z, z**2, tenors, tenors**2, every - level[:, None], is_btc], dim=2)
    business_years = torch.log(prior.business_days / DAYS_PER_YEAR)
    calendar = torch.log(prior.business_days / (points.years * DAYS_PER_YEAR))
    query = torch.stack(
        [
            prior.z,
            prior.z**2,
            business_years,
            business_years**2,
            calendar,
            level,
            prior.gap,
            points.is_btc,
        ],
        dim=1,
    )
    return (
        smile.normalised(query, QUERY_NORMALISATION),
        smile.normalised(tokens, TOKEN_NORMALISATION),
        known.to(every),
        smile.factors(prior),
        prior.vol,
    )


def _z_of_tokens() -> Tensor:
    """Shape: [15]"""
    return (torch.arange(COLUMNS) - AT_MONEY).repeat_interleave(TENOR_YEARS.size)


SET_ATTENTION: Final = Architecture(spec(), SetAttention, inputs)
