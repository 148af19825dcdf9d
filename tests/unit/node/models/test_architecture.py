"""What holds for every installed architecture."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from node.evaluation.metrics import measure
from node.learning.training import LocalTraining, TrainingSettings
from node.models.architecture import DEFAULT_SHIFT, LAST_LAYER, PRICED_AT_ONCE, Architecture
from node.models.points import Points
from node.models.registry import installed
from protocol import numbers
from protocol.errors import DataError
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

GENESIS_SHA256 = {
    "plain_smile": "15ff4fd29a522ad9899b34fa90d308142e42500a4c01b5fc3146fc87797d7bad",
    "set_attention": "a43d4184213b3736323e7b38ffbe544cbe992c2a87bbaced8d3ad41b299dd805",
    "smile": "ed67f1174a178fcb4b93ec6cb552c8596421ea0adec08c1ac1195d4cba65cbdb",
}


@pytest.fixture(params=sorted(installed()))
def architecture(request) -> Architecture:
    return installed()[request.param]


def random_vector(architecture, seed):
    values = np.random.default_rng(seed).normal(size=architecture.spec.dimension)
    return (0.3 * values).astype(np.float32).astype(np.float64)


def test_genesis_is_the_same_bits_on_every_machine(architecture):
    digest = hashlib.sha256(architecture.genesis(0).astype(">i4").tobytes()).hexdigest()
    assert digest == GENESIS_SHA256[architecture.name]


def test_genesis_depends_on_its_seed_alone(architecture):
    first = architecture.genesis(5)
    torch.manual_seed(99)
    np.testing.assert_array_equal(architecture.genesis(5), first)
    assert first.dtype == np.int32
    assert (architecture.genesis(6) != first).any()


def test_genesis_draws_the_matrices_and_leaves_the_rest_and_the_last_layer_zero(architecture):
    initial = architecture.spec.unflatten(numbers.to_float(architecture.genesis(1), DEFAULT_SHIFT))
    assert any(name.startswith(LAST_LAYER) for name in initial)
    for name, value in initial.items():
        if value.ndim == 2 and not name.startswith(LAST_LAYER):
            bound = 1.0 / np.sqrt(value.shape[1])
            assert np.abs(value).max() <= bound + 2.0**-DEFAULT_SHIFT
            assert value.std() == pytest.approx(bound / np.sqrt(3.0), rel=0.15)
        else:
            assert not value.any(), name


def test_a_vector_survives_the_way_through_the_network(architecture):
    module, vector = architecture.module(), random_vector(architecture, 1)
    architecture.load(module, vector)
    np.testing.assert_array_equal(architecture.vector(module), vector)


def test_canonical_order_is_sorted_names_row_major(architecture):
    module = architecture.module()
    architecture.load(module, random_vector(architecture, 2))
    state = dict(module.named_parameters())
    by_hand = np.concatenate([state[name].detach().numpy().ravel() for name in sorted(state)])
    np.testing.assert_array_equal(architecture.vector(module), by_hand)


@pytest.mark.parametrize("fault", ["short", "nan", "infinite"])
def test_a_vector_that_cannot_be_a_model_is_refused(architecture, fault):
    vector = random_vector(architecture, 3)
    if fault == "short":
        vector = vector[:-1]
    else:
        vector[17] = np.nan if fault == "nan" else np.inf
    with pytest.raises(DataError, match=f"{architecture.spec.dimension} finite"):
        architecture.load(architecture.module(), vector)


def test_a_quotes_price_does_not_depend_on_the_others(architecture):
    vector, found = random_vector(architecture, 4), samples().take(slice(0, 300))
    together = architecture.predict(vector, found)
    assert (together > 0).all()
    alone = np.concatenate(
        [architecture.predict(vector, found.take(slice(i, i + 1))) for i in (7, 8)]
    )
    np.testing.assert_allclose(alone, together[7:9], rtol=1e-5)


def test_more_samples_than_are_priced_at_once_are_priced_alike(architecture):
    one = samples().take(np.full(PRICED_AT_ONCE + 5, 11))
    vols = architecture.predict(random_vector(architecture, 5), one)
    assert vols.size == PRICED_AT_ONCE + 5
    np.testing.assert_allclose(vols, vols[0], rtol=1e-5)


def test_more_samples_than_are_seen_at_once_are_seen_alike(architecture):
    found = samples()
    rows = np.arange(PRICED_AT_ONCE + 5) % len(found)
    for whole, once in zip(
        architecture.seen(found.take(rows)), architecture.seen(found), strict=True
    ):
        assert torch.equal(whole, once[torch.from_numpy(rows)])


def test_no_samples_have_no_volatilities(architecture):
    none = samples().take(slice(0, 0))
    assert architecture.predict(random_vector(architecture, 6), none).shape == (0,)
    assert {len(part) for part in architecture.seen(none)} == {0}


def test_volatility_is_twice_differentiable_in_strike_and_once_in_time(architecture):
    points = Points.of(samples().take(slice(0, 300)))
    module = architecture.module()
    architecture.load(module, random_vector(architecture, 7))
    module.double()
    k, years = points.log_moneyness.requires_grad_(), points.years.requires_grad_()
    skew, drift = torch.autograd.grad(
        module(*architecture.inputs(points)).sum(), (k, years), create_graph=True
    )
    (curvature,) = torch.autograd.grad(skew.sum(), k)
    step = 1e-5

    def skew_at(moved):
        there = replace(points, log_moneyness=moved.detach().requires_grad_())
        vol = module(*architecture.inputs(there)).sum()
        return torch.autograd.grad(vol, there.log_moneyness)[0]

    difference = (skew_at(k + step) - skew_at(k - step)) / (2 * step)
    np.testing.assert_allclose(curvature.detach(), difference, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(drift).all()


def test_it_learns_the_made_up_market(architecture):
    found = samples()
    early = found.snapshot < np.quantile(found.snapshot, 0.7)
    genesis = numbers.to_float(architecture.genesis(0), DEFAULT_SHIFT)
    settings = TrainingSettings(rounds=1, steps_per_round=80, batch_size=256, learning_rate=3e-3)
    train, later = found.take(early), found.take(~early)
    trained = (
        LocalTraining(train, settings, architecture=architecture).train(genesis, seed=1).vector
    )
    before, after = (
        measure(architecture.predict(vector, later), later).rmse for vector in (genesis, trained)
    )
    assert after < 0.8 * before
