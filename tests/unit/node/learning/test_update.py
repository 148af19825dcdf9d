import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from node.learning.update import Precision, make_update, max_squared_norm
from protocol import numbers
from protocol.errors import ConfigError, RangeError

pytestmark = pytest.mark.unit

DIMENSION = 40
finite = st.floats(-1e6, 1e6, allow_subnormal=False)
vectors = arrays.arrays(np.float64, DIMENSION, elements=finite)
models = arrays.arrays(np.int32, DIMENSION, elements=st.integers(-(2**31), 2**31 - 1))
shifts = st.integers(0, 24)
starts = st.tuples(vectors, models, vectors)
"""A local model, the global one in units, and a residual."""
precisions = st.builds(Precision, st.integers(2, 16), st.floats(0.01, 1.0))
INT16_MAX = 2**15 - 1


@settings(deadline=None)
@given(starts, shifts, st.floats(1e-6, 1.0), precisions)
def test_the_squared_norm_never_exceeds_the_tasks_bound(start, shift, share, precision):
    max_norm = share * INT16_MAX * 2.0**-shift
    update = make_update(*start, shift=shift, max_norm=max_norm, precision=precision)
    exact = sum(int(value) ** 2 for value in update.values)
    assert update.squared_norm == exact <= max_squared_norm(max_norm, shift)
    assert update.values.dtype == np.int16


@settings(deadline=None)
@given(vectors, models, vectors, shifts, st.floats(1e-6, 1.0))
def test_at_full_precision_the_residual_is_below_one_unit(local, model, residual, shift, share):
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


@settings(deadline=None)
@given(starts, shifts, st.floats(1e-6, 1.0), precisions)
def test_what_is_sent_and_what_is_kept_add_up_to_the_clipped_move(start, shift, share, precision):
    max_norm = share * INT16_MAX * 2.0**-shift
    local, model, residual = start
    update = make_update(*start, shift=shift, max_norm=max_norm, precision=precision)
    wanted = local - numbers.to_float(model, shift) + residual
    clipped = numbers.clip_to_norm(wanted, max_norm)
    # Exact: of two such floats, one a multiple of a unit and the smaller one.
    np.testing.assert_array_equal(numbers.to_float(update.values, shift) + update.residual, clipped)
    assert np.linalg.norm(update.residual) <= max_norm


@settings(deadline=None)
@given(vectors, models, shifts, precisions)
def test_values_have_no_more_bits_and_no_more_places_than_told(local, model, shift, precision):
    update = make_update(
        local,
        model,
        np.zeros(DIMENSION),
        shift=shift,
        max_norm=INT16_MAX * 2.0**-shift,
        precision=precision,
    )
    sent = np.abs(update.values[update.values != 0].astype(int))
    assert sent.size <= max(1, round(precision.largest * DIMENSION))
    if sent.size:
        trailing_zeros = min((int(value) & -int(value)).bit_length() - 1 for value in sent)
        assert int(sent.max()) >> trailing_zeros < 2 ** (precision.bits - 1)


def coarse(move, **precision):
    """The units of an update of this move, and what is kept, in units too."""
    model, shift = np.zeros(len(move), dtype=np.int32), 4
    local = np.asarray(move) / 2**shift
    update = make_update(
        local,
        model,
        np.zeros(len(move)),
        shift=shift,
        max_norm=2000.0,
        precision=Precision(**precision),
    )
    return update.values.tolist(), (update.residual * 2**shift).tolist()


def test_eight_bits_are_multiples_of_the_least_power_of_two_that_holds_all():
    assert coarse([127.5, -3.0], bits=8) == ([127, -3], [0.5, 0.0])
    assert coarse([128.0, -3.0], bits=8) == ([128, -2], [0.0, -1.0])
    assert coarse([1023.0, -9.0, 7.25], bits=8) == ([1016, -8, 0], [7.0, -1.0, 7.25])


def test_two_bits_send_signs_of_what_is_largest():
    assert coarse([900.0, -600.0, 500.0], bits=2) == ([512, -512, 0], [388.0, -88.0, 500.0])


def test_the_largest_are_sent_and_of_equals_the_first():
    assert coarse([5.0, -9.0, 5.0, 1.0], largest=0.5) == ([5, -9, 0, 0], [0.0, 0.0, 5.0, 1.0])
    assert coarse([0.25, 3.0, 0.0, 0.0], largest=0.01) == ([0, 3, 0, 0], [0.25, 0.0, 0.0, 0.0])


def test_an_update_of_nothing_is_nothing():
    assert coarse([0.0, 0.0], bits=8, largest=0.5) == ([0, 0], [0.0, 0.0])


@pytest.mark.parametrize("precision", [Precision(bits=4), Precision(bits=8, largest=0.1)])
def test_every_coordinate_arrives_in_the_end(precision):
    goal = np.random.default_rng(1).normal(0.0, 0.05, DIMENSION)
    model, residual = np.zeros(DIMENSION, dtype=np.int32), np.zeros(DIMENSION)
    for _ in range(200):
        # A desk that always wants to go a twentieth of the way that is left.
        at = numbers.to_float(model, 14)
        update = make_update(
            at + (goal - at) / 20, model, residual, shift=14, max_norm=1.9, precision=precision
        )
        model, residual = numbers.add_update(model, update.values), update.residual
    np.testing.assert_allclose(numbers.to_float(model, 14), goal, atol=1e-3)


def test_the_residual_stays_below_the_bound_whatever_a_desk_wants():
    model, residual = np.zeros(DIMENSION, dtype=np.int32), np.zeros(DIMENSION)
    precision = Precision(bits=8, largest=0.05)
    for _ in range(50):
        local = numbers.to_float(model, 14) + 1.0
        update = make_update(local, model, residual, shift=14, max_norm=1.9, precision=precision)
        model, residual = numbers.add_update(model, update.values), update.residual
        assert np.linalg.norm(residual) <= 1.9


@pytest.mark.parametrize(("bits", "largest"), [(1, 1.0), (17, 1.0), (8, 0.0), (8, 1.1), (8, -1.0)])
def test_a_precision_that_no_update_has_is_refused(bits, largest):
    with pytest.raises(ConfigError, match="2 to 16 bits"):
        Precision(bits, largest)


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
