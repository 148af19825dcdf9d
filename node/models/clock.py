"""Business time: an option's variance comes by the clock of the week, little of it on Saturdays.

A day lasts from one 08:00 UTC, when options expire, to the next. On this clock the volatility that
a tenor implies is nearly the same on either side of a weekend, so what lies between two tenors can
be read off them.
"""

from typing import Final

import torch
from torch import Tensor

from node.market.panel import TENOR_DAYS

DAY_WEIGHTS: Final = (1.17, 1.03, 0.38, 0.92, 1.16, 1.13, 1.21)
"""Business days that the seven days hold which begin at 08:00 UTC on Thursday, Friday, ...; seven
together. Source: fitted to Deribit's marks up to 20 days, January to April 2026, without the crash;
in May the prior errs by 1.06 vol points there, within 1.2 deviations, instead of 1.52."""
EXPIRY_HOUR_UTC: Final = 8.0
DAILY_EXPIRIES: Final = 4
"""Source: Deribit's listing, four daily expiries and then every Friday."""

_FIRST: Final = EXPIRY_HOUR_UTC / 24.0
"""The first expiry since 1970, a Thursday's."""
_FRIDAY: Final = _FIRST + 1.0
_ROUNDING: Final = 1e-6
"""Days; a moment of today in 64 bits is exact to 4e-12."""


def between(day: Tensor, days: Tensor) -> Tensor:
    """Business days from a moment (days since 1970, UTC) to so many days later.

    Differentiable in both, and increasing in `days`.
    """
    return _since_1970(day + days) - _since_1970(day)


def to_tenors(day: Tensor) -> Tensor:
    """Business days to the panel's tenors, as far as the panel knows.

    The panel interpolates variance between the listed expiries about a tenor, evenly in plain time:
    its weekend is spread over the gap between them, and so it is here.

    Shape: day [n] -> [n, 5]
    """
    now = day[:, None]
    tenor = now + torch.from_numpy(TENOR_DAYS).to(day)
    last_daily = torch.floor(now - _FIRST) + _FIRST + DAILY_EXPIRIES
    today = torch.floor(tenor - _FIRST) + _FIRST
    friday = 7.0 * torch.floor((tenor - _FRIDAY) / 7.0) + _FRIDAY
    daily = today + 1.0 <= last_daily
    near = torch.where(daily, today, torch.maximum(friday, last_daily))
    far = torch.where(daily, today + 1.0, friday + 7.0)
    share = (tenor - near) / (far - near)
    return torch.lerp(_since_1970(near), _since_1970(far), share) - _since_1970(now)


def _since_1970(day: Tensor) -> Tensor:
    """Business days since the first expiry of 1970; seven a week."""
    weights = torch.tensor(DAY_WEIGHTS, dtype=day.dtype, device=day.device)
    before = torch.cumsum(weights, 0) - weights
    elapsed = day - _FIRST
    # Invariant: an expiry belongs to the day that it ends; else rounding would choose its rate.
    last = elapsed.detach() - _ROUNDING
    weeks = torch.floor(last / 7.0)
    today = torch.floor(last - 7.0 * weeks).clamp(0, 6)
    place = today.long()
    return 7.0 * weeks + before[place] + weights[place] * (elapsed - 7.0 * weeks - today)
