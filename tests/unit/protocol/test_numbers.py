"""Fixed point: truncation, floor, exact sums, and a norm bound that holds in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protocol import numbers
from protocol.errors import RangeError

pytestmark = pytest.mark.unit

exact = settings(deadline=None)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
ordinary = st.floats(-4.0, 4.0)
int16s = st.integers(-(2**15), 2**15 - 1)
int32s = st.integers(-(2**31), 2**31 - 1)


def vectors(elements, dtype=np.float64, most=40):
    return arrays(dtype, st.integers(1, most), elements=elements)


def square(values, scale=1):
    """The exact squared norm."""
    return sum((Fraction(float(value)) * scale) ** 2 for value in values)


@exact
@given(vectors(st.floats(-0.4999, 0.4999)), st.integers(0, 16))
def test_quantised_values_are_truncated_toward_zero(values, shift):
    units = numbers.quantise(values, shift)
    assert units.dtype == np.int16
    for unit, value in zip(units, values, strict=True):
        scaled = Fraction(float(value)) * 2**shift
        assert int(unit) == int(scaled)  # int() of a fraction truncates toward zero
        assert abs(int(unit)) <= abs(scaled)


@exact
@given(vectors(st.floats(-0.4999, 0.4999)), st.integers(0, 16))
def test_residual_and_units_give_the_values_back(values, shift):
    units = numbers.quantise(values, shift)
    rest = numbers.residual(values, units, shift)
    assert np.all(np.abs(rest) < 2.0**-shift)
    for value, unit, left in zip(values, units, rest, strict=True):
        assert Fraction(float(value)) == Fraction(int(unit), 2**shift) + Fraction(float(left))


@exact
@given(vectors(int16s, np.int16), st.integers(0, 31))
def test_units_become_exact_floats_and_back(units, shift):
    np.testing.assert_array_equal(numbers.quantise(numbers.to_float(units, shift), shift), units)


@exact
@given(vectors(int32s, np.int32), st.integers(0, 31))
def test_model_units_become_exact_floats_and_back(units, shift):
    np.testing.assert_array_equal(numbers.to_model(numbers.to_float(units, shift), shift), units)


def test_model_is_rounded_down():
    values = np.array([0.75, -0.25, -0.5, 0.0, 1.0])
    np.testing.assert_array_equal(numbers.to_model(values, 1), [1, -1, -1, 0, 2])


@pytest.mark.parametrize("convert", [numbers.quantise, numbers.to_model])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.7e308, -1.7e308])
def test_values_that_are_no_units_are_refused_with_their_place(convert, bad):
    with pytest.raises(RangeError, match="coordinate 2"):
        convert(np.array([0.0, 0.0, bad]), 20)


@pytest.mark.parametrize(
    ("convert", "limit"), [(numbers.quantise, 2.0**15), (numbers.to_model, 2.0**31)]
)
def test_range_ends_where_the_integer_type_does(convert, limit):
    np.testing.assert_array_equal(convert(np.array([-limit, limit - 1]), 0), [-limit, limit - 1])
    with pytest.raises(RangeError):
        convert(np.array([limit]), 0)
    with pytest.raises(RangeError):
        convert(np.array([-limit - 1]), 0)


@exact
@given(vectors(finite), st.floats(1e-12, 1e12))
def test_clipped_norm_is_at_most_the_bound_exactly(values, bound):
    assert square(numbers.clip_to_norm(values, bound)) <= Fraction(bound) ** 2


@exact
@given(vectors(ordinary), st.floats(1e-3, 100.0))
def test_clipping_keeps_short_vectors_and_the_direction_of_long_ones(values, bound):
    clipped = numbers.clip_to_norm(values, bound)
    norm = float(np.linalg.norm(values))
    if norm < bound * (1 - 1e-9):
        np.testing.assert_array_equal(clipped, values)
    elif norm > bound:
        np.testing.assert_allclose(clipped, values * (bound / norm), rtol=1e-9, atol=1e-300)


@exact
@given(vectors(finite), st.floats(1e-6, 1e6))
def test_clipping_twice_changes_nothing(values, bound):
    once = numbers.clip_to_norm(values, bound)
    np.testing.assert_array_equal(numbers.clip_to_norm(once, bound), once)


@exact
@given(vectors(finite), st.floats(1e-6, 0.4999), st.integers(0, 16))
def test_units_of_a_clipped_vector_pass_the_contracts_norm_check(values, bound, shift):
    units = numbers.quantise(numbers.clip_to_norm(values, bound), shift)
    assert numbers.squared_norm(units) <= (Fraction(bound) * 2**shift) ** 2


@exact
@given(vectors(st.integers(-90, 90), np.int16, most=200), st.integers(8, 16))
def test_norm_check_holds_where_the_exact_norm_is_the_bound(units, shift):
    # Floats next to integer multiples of a unit are where a rounded-up scale would show.
    values = numbers.to_float(units, shift)
    bound = float(np.sqrt(numbers.squared_norm(units))) * 2.0**-shift
    for factor in (1.0, 3.0, 1.0 + 2.0**-50):
        if bound > 0:
            clipped = numbers.clip_to_norm(values * factor, bound)
            found = numbers.squared_norm(numbers.quantise(clipped, shift))
            assert found <= (Fraction(bound) * 2**shift) ** 2


def test_a_million_coordinates_stay_within_the_bound():
    values = np.random.default_rng(1).normal(size=10**6)
    clipped = numbers.clip_to_norm(values, 1.5)
    assert numbers.squared_norm(numbers.quantise(clipped, 14)) <= (1.5 * 2**14) ** 2
    assert np.linalg.norm(clipped) == pytest.approx(1.5, rel=1e-8)


def test_zero_vector_is_not_clipped():
    np.testing.assert_array_equal(numbers.clip_to_norm(np.zeros(3), 1.0), np.zeros(3))


@pytest.mark.parametrize("bound", [0.0, -1.0, np.inf, np.nan])
def test_clipping_needs_a_positive_finite_bound(bound):
    with pytest.raises(RangeError, match="positive and finite"):
        numbers.clip_to_norm(np.ones(2), bound)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_clipping_refuses_what_is_not_finite(bad):
    with pytest.raises(RangeError, match="coordinate 1"):
        numbers.clip_to_norm(np.array([1.0, bad]), 1.0)


def test_inputs_are_not_changed():
    values = np.array([3.0, 4.0])
    clipped = numbers.clip_to_norm(values, 10.0)
    clipped[0] = 0.0
    numbers.clip_to_norm(values, 1.0)
    numbers.quantise(values, 3)
    np.testing.assert_array_equal(values, [3.0, 4.0])


@exact
@given(vectors(int16s, np.int16))
def test_squared_norm_is_exact(units):
    assert numbers.squared_norm(units) == sum(int(unit) ** 2 for unit in units)


def test_squared_norm_of_the_longest_update_does_not_wrap():
    assert numbers.squared_norm(np.full(2**20, -(2**15), dtype=np.int16)) == 2**50


@exact
@given(st.lists(st.tuples(int32s, int16s), min_size=1, max_size=20))
def test_next_model_is_the_sum_or_is_refused(pairs):
    model = np.array([pair[0] for pair in pairs], dtype=np.int32)
    step = np.array([pair[1] for pair in pairs], dtype=np.int16)
    totals = [a + b for a, b in pairs]
    if all(-(2**31) <= total < 2**31 for total in totals):
        found = numbers.add_update(model, step)
        assert found.dtype == np.int32
        assert found.tolist() == totals
    else:
        with pytest.raises(RangeError, match="outside int32"):
            numbers.add_update(model, step)
