from dataclasses import replace

import numpy as np
import pytest
import torch

from node.models import set_attention
from node.models.points import Points
from node.models.prior import Prior
from node.models.set_attention import SET_ATTENTION, SetAttention, inputs
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit


def rough():
    """A module whose parameters are random, in float64."""
    module = SetAttention()
    vector = 0.3 * np.random.default_rng(8).normal(size=SET_ATTENTION.spec.dimension)
    SET_ATTENTION.load(module, vector.astype(np.float32).astype(np.float64))
    return module.double().requires_grad_(requires_grad=False)


def some():
    return Points.of(samples().take(slice(0, None, 97)))


def with_holes(points, *holes):
    """The points with an unknown volatility at each (column, tenor)."""
    surface = points.surface.clone()
    for column, tenor in holes:
        surface[:, column, tenor] = torch.nan
    return replace(points, surface=surface)


def test_the_network_has_12195_parameters():
    assert SET_ATTENTION.spec.dimension == 12195


def test_the_order_of_the_tokens_means_nothing():
    query, tokens, known, factors, prior = inputs(with_holes(some(), (2, 1)))
    order = torch.from_numpy(np.random.default_rng(1).permutation(15))
    module = rough()
    straight = module(query, tokens, known, factors, prior)
    mixed = module(query, tokens[:, order], known[:, order], factors, prior)
    np.testing.assert_allclose(mixed, straight, rtol=1e-12)


def test_tokens_matter():
    query, tokens, known, factors, prior = inputs(some())
    module = rough()
    other = module(query, tokens.roll(3, dims=2), known, factors, prior)
    assert (other / module(query, tokens, known, factors, prior) - 1).abs().max() > 0.01


def test_an_unknown_token_is_as_if_it_were_not_there():
    query, tokens, known, factors, prior = inputs(with_holes(some(), (0, 0), (1, 3)))
    module, kept = rough(), torch.ones(15, dtype=torch.bool)
    kept[[0, 8]] = False
    assert known.sum(1).unique().item() == 13
    without = module(query, tokens[:, kept], known[:, kept], factors, prior)
    np.testing.assert_allclose(module(query, tokens, known, factors, prior), without, rtol=1e-12)
    moved = torch.where(kept[:, None], tokens, 99.0)
    np.testing.assert_allclose(module(query, moved, known, factors, prior), without, rtol=1e-12)


@pytest.mark.parametrize("left", [1, 3, 14])
def test_it_prices_with_any_part_of_the_panel(left):
    places = np.random.default_rng(left).permutation(15)[left:]
    points = with_holes(some(), *(divmod(int(place), 5) for place in places))
    vols = rough()(*inputs(points))
    assert torch.isfinite(vols).all()
    assert (vols > 0).all()


def test_a_whole_panel_has_the_prior_of_every_architecture():
    _, _, known, _, prior = inputs(some())
    assert known.all()
    np.testing.assert_allclose(prior, Prior.of(some()).vol, rtol=1e-12)


def test_a_hole_is_filled_from_its_neighbours():
    points = some()
    _, _, _, _, filled = inputs(with_holes(points, (1, 2)))
    whole = Prior.of(points).vol
    assert (filled / whole - 1).abs().mean() < 0.05
    assert not torch.allclose(filled, whole)


@pytest.mark.parametrize("rows", ["TOKEN_NORMALISATION", "QUERY_NORMALISATION"])
def test_another_normalisation_is_another_model(monkeypatch, rows):
    original = set_attention.spec().hash
    changed = tuple(
        (name, centre, 2 * scale) for name, centre, scale in getattr(set_attention, rows)
    )
    monkeypatch.setattr(set_attention, rows, changed)
    assert set_attention.spec().hash != original
