from dataclasses import replace

import numpy as np
import pytest
import torch

from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import build_samples
from node.models import clock, smile
from node.models.architecture import DEFAULT_SHIFT
from node.models.points import Points
from node.models.prior import Prior
from node.models.smile import AT_TENOR, FACTORS, INPUTS, NORMALISATION, SMILE, Smile, factors
from protocol import numbers
from tests.unit.node.small_market import frame, quote, samples, slanted_panel

pytestmark = pytest.mark.unit


def test_the_network_has_9987_parameters_and_22_inputs():
    assert SMILE.spec.dimension == 9987
    assert dict(SMILE.spec.parameters)["hidden.0.weight"] == (64, INPUTS)
    assert INPUTS == 22


def test_inputs_are_the_published_ones():
    found = build_samples(frame([quote(30.0, 110.0, 0.65)]), slanted_panel())
    points = Points.of(found)
    prior = Prior.of(points)
    lower, at_money, upper = prior.at_expiry[0].tolist()
    years = 30.0 / DAYS_PER_YEAR
    raw = {
        "z": np.log(1.1) / (at_money * np.sqrt(years)),
        "sqrt_years": np.sqrt(years),
        "log_years": np.log(years),
        "is_btc": 1.0,
        "log_business_days_over_days": np.log(clock.between(points.day, 30.0).item() / 30.0),
        "log_atm_30d": np.log(0.6),
        "log_atm_2d_over_30d": np.log(0.8 / 0.6),
        "log_atm_7d_over_30d": np.log(0.7 / 0.6),
        "log_atm_90d_over_30d": np.log(0.55 / 0.6),
        "log_atm_180d_over_30d": np.log(0.5 / 0.6),
        "log_lower_wing_over_atm": np.log(lower / at_money),
        "log_upper_wing_over_atm": np.log(upper / at_money),
        **{f"log_lower_wing_over_atm_{days}d": np.log(1.2) for days in (2, 7, 30, 90, 180)},
        **{f"log_upper_wing_over_atm_{days}d": np.log(1.1) for days in (2, 7, 30, 90, 180)},
    }
    wanted = [(raw[name] - centre) / scale for name, centre, scale in NORMALISATION]
    x, multiplied, vol = SMILE.seen(found)
    assert x.dtype == multiplied.dtype == vol.dtype == torch.float32
    np.testing.assert_allclose(x[0], wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(vol, prior.vol, rtol=1e-6)
    np.testing.assert_allclose(multiplied, factors(prior), rtol=1e-5)


def test_a_normalised_input_does_not_depend_on_other_quotes():
    everything, _, _ = SMILE.seen(samples())
    some, _, _ = SMILE.seen(samples().take(slice(0, 500)))
    np.testing.assert_array_equal(some, everything[:500])


def test_round_zero_prices_with_the_prior_alone():
    found = samples()
    vols = SMILE.predict(numbers.to_float(SMILE.genesis(3), DEFAULT_SHIFT), found)
    np.testing.assert_array_equal(vols, Prior.of(Points.of(found)).vol.float())


def test_only_the_first_factor_is_there_at_the_panels_strikes():
    prior = Prior.of(Points.of(samples().take(slice(0, 3))))
    at_strikes = replace(prior, z=torch.tensor([-1.0, 0.0, 1.0]), gap=torch.zeros(3))
    expected = [[AT_TENOR, 0.0, 0.0]] * 3
    np.testing.assert_allclose(factors(at_strikes), expected, atol=1e-12)
    far = factors(replace(prior, z=torch.tensor([-50.0, 50.0, 50.0])))
    np.testing.assert_allclose(far[:, 1:], [[-1, 1], [1, 1], [1, 1]], atol=2e-3)


def test_the_correction_multiplies_the_prior():
    module = Smile()
    with torch.no_grad():
        module.out.bias.copy_(torch.tensor([0.25, 0.0, -1.0]))
    multiplied = torch.tensor([[1.0, 0.3, 0.0], [0.2, 0.3, 0.1]])
    vols = module(torch.zeros(2, INPUTS), multiplied, torch.tensor([0.5, 0.8]))
    expected = np.array([0.5, 0.8]) * np.exp([0.25, 0.05 - 0.1])
    np.testing.assert_allclose(vols.detach().numpy(), expected, rtol=1e-6)
    assert module.out.bias.numel() == FACTORS


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (smile, "NORMALISATION", tuple((n, c, 2.0 * s) for n, c, s in NORMALISATION)),
        (smile, "AT_TENOR", 0.3),
        (clock, "DAY_WEIGHTS", (1.0,) * 7),
        (clock, "DAILY_EXPIRIES", 3),
    ],
)
def test_another_setting_is_another_model(monkeypatch, module, name, value):
    original = smile.spec().hash
    monkeypatch.setattr(module, name, value)
    assert smile.spec().hash != original
