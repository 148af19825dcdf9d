"""A blend prices with the mean of two models' volatilities, and moves as they do."""

import numpy as np
import pytest

from node.models.architecture import DEFAULT_SHIFT, Architecture
from node.models.blend import blend, blended, is_blend
from node.models.greeks import LocalVol, model_greeks
from node.models.set_attention import SET_ATTENTION
from node.models.smile import SMILE
from protocol.numbers import to_float, to_model
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

SHARE = 0.25
KINDS = pytest.mark.parametrize("kind", [SMILE, SET_ATTENTION], ids=lambda kind: kind.name)


def model(kind: Architecture, seed: int) -> np.ndarray:
    """One that answers otherwise than the prior."""
    draw = np.random.default_rng(seed)
    genesis = to_float(kind.genesis(seed), DEFAULT_SHIFT)
    return genesis + 0.02 * draw.standard_normal(kind.spec.dimension)


@KINDS
def test_volatilities_are_the_mean_of_both(kind):
    first, second = (model(kind, seed) for seed in (1, 2))
    asked = samples().take(slice(0, 200))
    vols = [kind.predict(vector, asked) for vector in (first, second)]
    assert np.abs(vols[0] - vols[1]).max() > 0.001
    found = blended(kind).predict(blend(kind, first, second, SHARE), asked)
    np.testing.assert_allclose(found, 0.75 * vols[0] + 0.25 * vols[1], rtol=1e-5)


def test_skew_and_curvature_are_the_mean_of_both_too():
    first, second = (model(SMILE, seed) for seed in (1, 2))
    asked = samples().take(slice(0, 50))
    one, other = (LocalVol.of(SMILE, vector, asked) for vector in (first, second))
    both = blended(SMILE), blend(SMILE, first, second, SHARE)
    found = LocalVol.of(*both, asked)
    for name in ("vol", "skew", "curvature", "drift"):
        wanted = 0.75 * getattr(one, name) + 0.25 * getattr(other, name)
        np.testing.assert_allclose(getattr(found, name), wanted, rtol=1e-6, atol=1e-9)
    greeks = model_greeks(*both, asked, asked.strike > 0, sticky_strike=False)
    assert np.isfinite(greeks.delta).all()


@KINDS
def test_it_holds_both_models_and_the_share_and_stays_so_in_units(kind):
    first, second = (to_model(model(kind, seed), DEFAULT_SHIFT) for seed in (1, 2))
    floats = (to_float(each, DEFAULT_SHIFT) for each in (first, second))
    units = to_model(blend(kind, *floats, SHARE), DEFAULT_SHIFT)
    assert units.size == blended(kind).spec.dimension == 2 * kind.spec.dimension + 1
    np.testing.assert_array_equal(units[:-1], np.concatenate([first, second]))
    assert units[-1] == SHARE * 2**DEFAULT_SHIFT


def test_it_is_told_apart_from_what_tasks_train():
    both = blended(SMILE)
    assert is_blend(both)
    assert not is_blend(SMILE)
    assert both.spec.hash != SMILE.spec.hash
