"""Greeks of inverse options, by automatic differentiation of the Black-76 premium in coin.

A premium in coin is p(F, K, T, sigma) of `node.market.black76`; in USD it is F p. Two conventions:

- sticky strike: an option's volatility stays when the forward or the clock moves;
- along the smile: it is the model's sigma(k, T) at the new k = ln(K / F) and T, while the public
  panel stays, so that delta = dp/dF + dp/dsigma dsigma/dF.

Vega, vanna and volga are to a parallel shift of all volatilities.

Source: P. Carr, L. Wu, "Analyzing volatility risk and risk premium in option contracts", Journal of
Financial Economics, 2016 (the conventions); F. Black, 1976, as in `node.market.black76`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from node.market.panel import Booleans, Floats
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.points import Points

VOL_POINT: Final = 0.01
AT_ONCE: Final = 4096
"""Quotes differentiated together: with a network 64 wide that takes about 70 MiB."""


@dataclass(frozen=True)
class LocalVol:
    """A surface about each quote, as far as second order Greeks see it. Shape: each [n]"""

    vol: Floats
    """Decimal."""
    skew: Floats
    """d sigma / dk, of log-moneyness k."""
    curvature: Floats
    """d^2 sigma / dk^2."""
    drift: Floats
    """d sigma / dT at a fixed k and expiry: against the clock, in years."""

    @classmethod
    def sticky(cls, vol: Floats) -> Self:
        """Volatilities that stay where they are: any pricer's."""
        none = np.zeros_like(vol)
        return cls(vol, none, none, none)

    @classmethod
    def of(cls, architecture: Architecture, vector: Floats, samples: Samples) -> Self:
        """The surface of a model about samples, in float64. Shape: vector [d]"""
        module = architecture.module()
        architecture.load(module, vector)
        module.double().requires_grad_(requires_grad=False)
        parts = []
        for rows in _slices(len(samples)):
            points = Points.of(samples.take(rows))
            k = points.log_moneyness.requires_grad_()
            passed = torch.zeros_like(k, requires_grad=True)
            # The expiry stays while the clock goes on, so what happens on its day does not matter.
            later = replace(
                points, years=points.years - passed, day=points.day + passed * DAYS_PER_YEAR
            )
            vol = module(*architecture.inputs(later))
            skew, fall = torch.autograd.grad(vol.sum(), (k, passed), create_graph=True)
            (curvature,) = torch.autograd.grad(skew.sum(), k)
            parts.append([part.detach() for part in (vol, skew, curvature, -fall)])
        return cls(*(torch.cat(each).numpy() for each in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Greeks:
    """Premiums and their derivatives, in coin unless `in_usd` made them. Shape: each [n]"""

    price: Floats
    delta: Floats
    """Per USD of the forward."""
    gamma: Floats
    """Of delta, per USD of the forward."""
    vega: Floats
    """Per vol point."""
    theta: Floats
    """Per day that passes: negative where time costs."""
    vanna: Floats
    """Of vega, per USD of the forward."""
    volga: Floats
    """Of vega, per vol point."""

    def in_usd(self, forward_usd: Floats) -> Self:
        """The same of the USD premium, which is the forward times that in coin."""
        return replace(
            self,
            price=forward_usd * self.price,
            delta=self.price + forward_usd * self.delta,
            gamma=2.0 * self.delta + forward_usd * self.gamma,
            vega=forward_usd * self.vega,
            theta=forward_usd * self.theta,
            vanna=self.vega + forward_usd * self.vanna,
            volga=forward_usd * self.volga,
        )


def model_greeks(
    architecture: Architecture,
    vector: Floats,
    samples: Samples,
    is_call: Booleans,
    *,
    sticky_strike: bool = False,
) -> Greeks:
    """Greeks in coin that a model gives quotes. Shape: vector [d], is_call [n]"""
    if sticky_strike:
        local = LocalVol.sticky(architecture.predict(vector, samples))
    else:
        local = LocalVol.of(architecture, vector, samples)
    return black_greeks(samples.forward, samples.strike, samples.years, local, is_call)


def black_greeks(
    forward_usd: Floats, strike_usd: Floats, years: Floats, local: LocalVol, is_call: Booleans
) -> Greeks:
    """Greeks in coin of Black-76 with volatilities that move as `local` says. Shape: each [n]"""
    sides = np.where(is_call, 1.0, -1.0)
    surface = [getattr(local, field.name) for field in fields(local)]
    columns = [torch.tensor(column) for column in (forward_usd, strike_usd, years, sides, *surface)]
    parts = [
        _greeks([part[rows] for part in columns[:4]], [part[rows] for part in columns[4:]])
        for rows in _slices(years.size)
    ]
    return Greeks(*(torch.cat(each).numpy() for each in zip(*parts, strict=True)))


def _greeks(quotes: Sequence[Tensor], surface: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The fields of `Greeks` of quotes (forward, strike, years, +-1 for a call or a put)."""
    forward_now, strike, now, side = quotes
    at, forward, years = torch.log(strike / forward_now), forward_now.clone(), now.clone()
    shift = torch.zeros_like(forward)
    for moved in (forward, years, shift):
        moved.requires_grad_()
    k = torch.log(strike / forward)
    off = k - at
    vol, skew, curvature, drift = surface
    # The surface to second order: its derivatives here are those of the whole composition.
    moving = vol + shift + (skew + 0.5 * curvature * off) * off + drift * (years - now)
    total = moving * torch.sqrt(years)
    d1 = -k / total + 0.5 * total
    price = side * (
        torch.special.ndtr(side * d1) - torch.exp(k) * torch.special.ndtr(side * (d1 - total))
    )
    delta, theta, vega = torch.autograd.grad(
        price.sum(), (forward, years, shift), create_graph=True
    )
    gamma, vanna = torch.autograd.grad(delta.sum(), (forward, shift), retain_graph=True)
    (volga,) = torch.autograd.grad(vega.sum(), shift)
    found = (
        price,
        delta,
        gamma,
        vega * VOL_POINT,
        -theta / DAYS_PER_YEAR,
        vanna * VOL_POINT,
        volga * VOL_POINT**2,
    )
    return tuple(part.detach() for part in found)


def _slices(count: int) -> Iterator[slice]:
    return (slice(first, first + AT_ONCE) for first in range(0, max(count, 1), AT_ONCE))
