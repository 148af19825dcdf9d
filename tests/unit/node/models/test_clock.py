from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from node.market.panel import TENOR_DAYS
from node.models.clock import DAY_WEIGHTS, between, to_tenors

pytestmark = pytest.mark.unit

THURSDAY_8 = 20510 + 8 / 24
"""26 February 2026, 08:00 UTC, in days since 1970."""


def days(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_first_weight_is_thursdays():
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=THURSDAY_8)
    assert start.strftime("%A %H:%M") == "Thursday 08:00"


def test_a_week_has_seven_business_days_wherever_it_begins():
    starts = THURSDAY_8 + torch.linspace(0, 9, 50, dtype=torch.float64)
    np.testing.assert_allclose(between(starts, days(7.0)), 7.0, rtol=1e-12)
    np.testing.assert_allclose(between(starts, days(364.0)), 364.0, rtol=1e-12)


def test_each_day_from_eight_to_eight_has_its_weight():
    starts = THURSDAY_8 + torch.arange(7, dtype=torch.float64)
    np.testing.assert_allclose(between(starts, days(1.0)), DAY_WEIGHTS, rtol=1e-9)
    np.testing.assert_allclose(between(starts, days(0.25)), np.array(DAY_WEIGHTS) / 4, rtol=1e-9)


def test_business_time_passes_as_fast_as_its_derivative_says():
    day = THURSDAY_8 + torch.linspace(0.05, 6.85, 9, dtype=torch.float64)
    ahead = torch.full_like(day, 10.3).requires_grad_()
    (rate,) = torch.autograd.grad(between(day, ahead).sum(), ahead)
    step = 1e-4
    by_difference = (between(day, ahead + step) - between(day, ahead)) / step
    np.testing.assert_allclose(rate, by_difference.detach(), rtol=1e-6)
    assert set(np.round(rate.numpy(), 6)) <= set(DAY_WEIGHTS)


def test_an_expiry_has_the_rate_of_the_day_that_it_ends():
    noon = days(*[THURSDAY_8 + 4 / 24] * 8)
    to_expiry = (20 / 24 + torch.arange(8, dtype=torch.float64)).requires_grad_()
    for shift in (-1e-9, 0.0, 1e-9):
        (rate,) = torch.autograd.grad(between(noon, to_expiry + shift).sum(), to_expiry)
        np.testing.assert_allclose(rate, [*DAY_WEIGHTS, DAY_WEIGHTS[0]], rtol=1e-9)


def test_two_days_are_known_exactly_because_every_day_has_an_expiry():
    day = THURSDAY_8 + torch.linspace(0, 7, 30, dtype=torch.float64)
    np.testing.assert_allclose(to_tenors(day)[:, 0], between(day, days(2.0)), rtol=1e-9)


def test_seven_days_are_read_between_the_last_daily_expiry_and_the_next_friday():
    """On Wednesday noon: the fourth daily expiry is Sunday's, the Friday after a week the 9th's."""
    wednesday_noon = days(THURSDAY_8 + 6 + 4 / 24)
    sunday, friday = days(THURSDAY_8 + 10), days(THURSDAY_8 + 15)
    near, far = (between(wednesday_noon, each - wednesday_noon) for each in (sunday, friday))
    share = (wednesday_noon + 7 - sunday) / (friday - sunday)
    expected = near + share * (far - near)
    np.testing.assert_allclose(to_tenors(wednesday_noon)[:, 1], expected, rtol=1e-9)
    assert abs(expected - between(wednesday_noon, days(7.0))) > 0.05


def test_tenors_come_one_after_another_and_far_ones_hardly_differ_from_plain_time():
    tenors = to_tenors(THURSDAY_8 + torch.linspace(0, 7, 200, dtype=torch.float64))
    assert (torch.diff(tenors, dim=1) > 3).all()
    np.testing.assert_allclose(tenors.numpy()[:, 3:] / TENOR_DAYS[3:], 1.0, atol=0.02)
