import numpy as np
import pytest
import torch

from node.market.panel import TENOR_DAYS
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import build_samples
from node.models.architecture import DEFAULT_SHIFT
from node.models.plain_smile import PLAIN_SMILE, SEEN, PlainSmile
from node.models.smile import NORMALISATION
from protocol import numbers
from tests.unit.node.small_market import frame, quote, samples, slanted_panel

pytestmark = pytest.mark.unit


def test_the_network_has_9153_parameters_and_11_inputs():
    assert PLAIN_SMILE.spec.dimension == 9153
    assert dict(PLAIN_SMILE.spec.parameters)["hidden.0.weight"] == (64, 11)


def test_inputs_are_the_published_ones():
    found = build_samples(frame([quote(30.0, 110.0, 0.65)]), slanted_panel())
    years = 30.0 / DAYS_PER_YEAR
    raw = {
        "z": np.log(1.1) / (0.6 * np.sqrt(years)),
        "sqrt_years": np.sqrt(years),
        "log_years": np.log(years),
        "is_btc": 1.0,
        "log_atm_30d": np.log(0.6),
        "log_atm_2d_over_30d": np.log(0.8 / 0.6),
        "log_atm_7d_over_30d": np.log(0.7 / 0.6),
        "log_atm_90d_over_30d": np.log(0.55 / 0.6),
        "log_atm_180d_over_30d": np.log(0.5 / 0.6),
        "log_lower_wing_over_atm": np.log(1.2),
        "log_upper_wing_over_atm": np.log(1.1),
    }
    known = {name: (centre, scale) for name, centre, scale in NORMALISATION}
    x, at_money = PLAIN_SMILE.seen(found)
    wanted = [(raw[name] - known[name][0]) / known[name][1] for name in SEEN]
    np.testing.assert_allclose(x[0], wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(at_money, [0.6], rtol=1e-6)


def test_round_zero_prices_without_a_smile():
    found = samples()
    inside = (found.tenor_days > TENOR_DAYS[0]) & (found.tenor_days < TENOR_DAYS[-1])
    vols = PLAIN_SMILE.predict(numbers.to_float(PLAIN_SMILE.genesis(3), DEFAULT_SHIFT), found)
    np.testing.assert_allclose(vols[inside], found.atm_vol[inside], rtol=1e-5)


def test_the_answer_multiplies_the_volatility_at_the_money():
    module = PlainSmile()
    with torch.no_grad():
        module.out.bias.fill_(0.25)
        vols = module(torch.zeros(2, len(SEEN)), torch.tensor([0.5, 0.8]))
    np.testing.assert_allclose(vols, np.exp(0.25) * np.array([0.5, 0.8]), rtol=1e-6)
