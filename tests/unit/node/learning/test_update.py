import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from node.learning.update import make_update, max_squared_norm
from protocol import numbers
from protocol.errors import RangeError

pytestmark = pytest.mark.unit

DIMENSION = 40
finite = st.floats(-1e6, 1e6, allow_subnormal=False)
vectors = arrays.arrays(np.float64, DIMENSION, elements=finite)
models = arrays.arrays(np.int32, DIMENSION, elements=st.integers(-(2**31), 2**31 - 1))
shifts = st.integers(0, 24)
INT16_MAX = 2**15 - 1


@settings(deadline=None)
@given(vectors, models, vectors, shifts, st.floats(1e-6, 1.0))
def test_the_squared_norm_never_exceeds_the_tasks_bound(local, model, residual, shift, share):
    max_norm = share * INT16_MAX * 2.0**-shift
    update = make_update(local, model, residual, shift=shift, max_norm=max_norm)
    exact = sum(int(value) ** 2 for value in update.values)
    assert update.squared_norm == exact <= max_squared_norm(max_norm, shift)
    assert update.values.dtype == np.int16


@settings(deadline=None)
@given(vectors, models, vectors, shifts, st.floats(1e-6, 1.0))
def test_the_residual_is_below_one_unit(local, model, residual, shift, share):
    max_norm = share * INT16_MAX * 2.0**-shift
    update = make_update(local, model, residual, shift=shift, max_norm=max_norm)
    assert (np.abs(update.residual) < 2.0**-shift).all()


@settings(deadline=None)
@given(arrays.arrays(np.float64, DIMENSION, elements=st.floats(-0.1, 0.1)))
def test_an_unclipped_update_and_its_residual_add_up_to_the_move(move):
    model = np.arange(DIMENSION, dtype=np.int32) * 1000
    local = numbers.to_float(model, 14) + move
    update = make_update(local, model, np.zeros(DIMENSION), shift=14, max_norm=1.9)
    rebuilt = numbers.to_float(update.values, 14) + update.residual
    np.testing.assert_allclose(rebuilt, move, atol=1e-12)


def test_moves_below_one_unit_arrive_over_several_rounds():
    model, residual = np.zeros(DIMENSION, dtype=np.int32), np.zeros(DIMENSION)
    step = 0.25 * 2.0**-14
    for _ in range(12):
        local = numbers.to_float(model, 14) + step
        update = make_update(local, model, residual, shift=14, max_norm=1.0)
        model, residual = numbers.add_update(model, update.values), update.residual
    np.testing.assert_array_equal(model, np.full(DIMENSION, 3))


def test_what_the_clip_cut_off_is_not_carried():
    model = np.zeros(DIMENSION, dtype=np.int32)
    far = make_update(np.full(DIMENSION, 5.0), model, np.zeros(DIMENSION), shift=14, max_norm=1.0)
    assert np.abs(far.residual).max() < 2.0**-14
    still = make_update(np.zeros(DIMENSION), model, far.residual, shift=14, max_norm=1.0)
    assert still.squared_norm <= DIMENSION


def test_clipping_keeps_the_direction():
    model = np.zeros(DIMENSION, dtype=np.int32)
    move = np.linspace(-3.0, 3.0, DIMENSION)
    update = make_update(move, model, np.zeros(DIMENSION), shift=14, max_norm=1.0)
    values = numbers.to_float(update.values, 14)
    cosine = values @ move / np.linalg.norm(values) / np.linalg.norm(move)
    assert cosine == pytest.approx(1.0, abs=1e-6)
    assert np.linalg.norm(values) == pytest.approx(1.0, abs=1e-3)


def test_an_update_beyond_the_bound_is_never_handed_out(monkeypatch):
    monkeypatch.setattr(numbers, "clip_to_norm", lambda values, _bound: values)
    model = np.zeros(DIMENSION, dtype=np.int32)
    with pytest.raises(ArithmeticError, match="above the bound"):
        make_update(np.ones(DIMENSION), model, np.zeros(DIMENSION), shift=14, max_norm=1.0)


def test_vectors_of_different_shapes_are_refused():
    model = np.zeros(DIMENSION, dtype=np.int32)
    with pytest.raises(RangeError, match="one shape"):
        make_update(np.zeros(DIMENSION), model, np.zeros(1), shift=14, max_norm=1.0)


def test_a_model_that_is_not_finite_makes_no_update():
    model = np.zeros(DIMENSION, dtype=np.int32)
    with pytest.raises(RangeError, match="finite"):
        make_update(np.full(DIMENSION, np.nan), model, np.zeros(DIMENSION), shift=14, max_norm=1.0)
