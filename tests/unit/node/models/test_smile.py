import hashlib

import numpy as np
import pytest
import torch

from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import build_samples
from node.models import smile
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import INPUTS, NORMALISATION, SMILE, Smile
from protocol import numbers
from protocol.errors import DataError
from tests.unit.node.small_market import frame, quote, samples, slanted_panel

pytestmark = pytest.mark.unit


def random_vector(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=SMILE.spec.dimension)
    return values.astype(np.float32).astype(np.float64)


def test_the_network_has_9153_parameters_and_eleven_inputs():
    assert SMILE.spec.dimension == 9153
    assert dict(SMILE.spec.parameters)["hidden.0.weight"] == (64, INPUTS)
    assert INPUTS == 11


def test_inputs_are_the_eleven_published_ones():
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
    wanted = [(raw[name] - centre) / scale for name, centre, scale in NORMALISATION]
    x, atm_vol = SMILE.seen(found)
    assert x.dtype == atm_vol.dtype == torch.float32
    np.testing.assert_allclose(x[0], wanted, rtol=1e-5)
    np.testing.assert_allclose(atm_vol, 0.6, rtol=1e-6)
    assert found.z[0] == pytest.approx(raw["z"])


def test_a_normalised_input_does_not_depend_on_other_quotes():
    everything, _ = SMILE.seen(samples())
    some, _ = SMILE.seen(samples().take(slice(0, 500)))
    np.testing.assert_array_equal(some, everything[:500])


def test_round_zero_prices_with_the_term_structure_alone():
    found = samples()
    vector = numbers.to_float(SMILE.genesis(3), DEFAULT_SHIFT)
    vols = SMILE.predict(vector, found)
    np.testing.assert_array_equal(vols, found.atm_vol.astype(np.float32))


def test_the_correction_multiplies_the_volatility_at_the_money():
    module = Smile()
    with torch.no_grad():
        module.out.bias.fill_(0.25)
    vols = module(torch.zeros(2, INPUTS), torch.tensor([0.5, 0.8]))
    expected = np.array([0.5, 0.8]) * np.exp(0.25)
    np.testing.assert_allclose(vols.detach().numpy(), expected, rtol=1e-6)


def test_a_vector_survives_the_way_through_the_network():
    module = Smile()
    vector = random_vector(1)
    SMILE.load(module, vector)
    np.testing.assert_array_equal(SMILE.vector(module), vector)


def test_canonical_order_is_sorted_names_row_major():
    module = Smile()
    SMILE.load(module, random_vector(2))
    state = dict(module.named_parameters())
    by_hand = np.concatenate([state[name].detach().numpy().ravel() for name in sorted(state)])
    np.testing.assert_array_equal(SMILE.vector(module), by_hand)


@pytest.mark.parametrize("fault", ["short", "nan", "infinite"])
def test_a_vector_that_cannot_be_a_model_is_refused(fault):
    vector = random_vector(3)
    if fault == "short":
        vector = vector[:-1]
    else:
        vector[17] = np.nan if fault == "nan" else np.inf
    with pytest.raises(DataError, match="9153 finite"):
        SMILE.load(Smile(), vector)


def test_genesis_is_the_same_bits_on_every_machine():
    digest = hashlib.sha256(SMILE.genesis(0).astype(">i4").tobytes()).hexdigest()
    assert digest == "15ff4fd29a522ad9899b34fa90d308142e42500a4c01b5fc3146fc87797d7bad"


def test_genesis_depends_on_its_seed_alone():
    first = SMILE.genesis(5)
    torch.manual_seed(99)
    np.testing.assert_array_equal(SMILE.genesis(5), first)
    assert first.dtype == np.int32
    assert (SMILE.genesis(6) != first).any()


def test_genesis_has_random_hidden_weights_and_zeros_elsewhere():
    initial = SMILE.spec.unflatten(numbers.to_float(SMILE.genesis(1), DEFAULT_SHIFT))
    for name, value in initial.items():
        if name.startswith("hidden.") and name.endswith("weight"):
            bound = 1.0 / np.sqrt(value.shape[1])
            assert np.abs(value).max() <= bound + 2.0**-DEFAULT_SHIFT
            assert value.std() == pytest.approx(bound / np.sqrt(3.0), rel=0.1)
        else:
            assert not value.any(), name


def test_another_normalisation_is_another_model(monkeypatch):
    original = smile.spec().hash
    changed = ((name, centre, scale * 2.0) for name, centre, scale in smile.NORMALISATION)
    monkeypatch.setattr(smile, "NORMALISATION", tuple(changed))
    assert smile.spec().hash != original
