import numpy as np
import pytest
import torch

from benchmarks.training_speed import Step
from node.models.set_attention import SET_ATTENTION
from node.models.smile import INPUTS, SMILE, WIDTH
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

BATCH = 64


def step(architecture=SMILE, precision="float32"):
    return Step(architecture, samples().take(slice(0, BATCH)), "cpu", precision)


def test_operations_are_those_of_the_matrix_products():
    """Two a weight forward and four backward, but none for the inputs' own gradient."""
    hidden, last = 2 * WIDTH * WIDTH, 3 * WIDTH
    assert step().flops() == BATCH * 2 * (2 * INPUTS * WIDTH + 3 * (hidden + last))


def test_bytes_are_at_least_inputs_activations_and_parameters():
    inputs = BATCH * 4 * (INPUTS + 3 + 1 + 1)
    activations = 2 * BATCH * 4 * 2 * 3 * WIDTH
    parameters = 7 * 4 * SMILE.spec.dimension
    least = inputs + activations + parameters
    assert least <= step().bytes() < 1.2 * least


def test_a_set_costs_several_times_a_vector():
    assert step(SET_ATTENTION).flops() > 3 * step().flops()


def test_a_step_trains():
    taken = step()
    before = taken.loss().item()
    for _ in range(20):
        taken()
    assert taken.loss().item() < before


def test_bfloat16_changes_prices_a_little():
    exact, rounded = step().vols(), step(precision="bfloat16").vols()
    assert rounded.dtype == torch.float32
    error = np.abs((rounded - exact).numpy() / exact.numpy())
    assert 0 < error.max() < 0.02
