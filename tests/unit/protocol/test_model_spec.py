"""A spec's hash and its flat order depend on what the model is, not on how it was written down."""

import numpy as np
import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import ConfigError
from protocol.model_spec import ModelSpec

pytestmark = pytest.mark.unit

PARAMETERS = (("out.weight", (1, 2)), ("in.bias", (2,)), ("in.weight", (2, 3)), ("scale", ()))
SPEC = ModelSpec("smile", 1, PARAMETERS, {"width": 2, "floor": 0.05, "activation": "tanh"})


def arrays(dtype=np.float32):
    return {
        "in.weight": np.array([[1, 2, 3], [4, 5, 6]], dtype=dtype),
        "in.bias": np.array([-1, -2], dtype=dtype),
        "out.weight": np.array([[7, 8]], dtype=dtype),
        "scale": np.array(9, dtype=dtype),
    }


def test_hash_is_the_hash_of_canonical_json():
    assert SPEC.canonical == (
        b'{"name":"smile","parameters":[["in.bias",[2]],["in.weight",[2,3]],'
        b'["out.weight",[1,2]],["scale",[]]],'
        b'"settings":{"activation":"tanh","floor":0.05,"width":2},"version":1}'
    )
    assert SPEC.hash == keccak(SPEC.canonical)


@settings(deadline=None)
@given(st.permutations(PARAMETERS), st.permutations(list(SPEC.settings.items())))
def test_hash_does_not_depend_on_the_order_of_writing(parameters, listed):
    spec = ModelSpec("smile", 1, tuple(parameters), dict(listed))
    assert spec.hash == SPEC.hash
    assert spec == SPEC


@pytest.mark.parametrize(
    "other",
    [
        ModelSpec("smirk", 1, PARAMETERS, SPEC.settings),
        ModelSpec("smile", 2, PARAMETERS, SPEC.settings),
        ModelSpec("smile", 1, (*PARAMETERS[:3], ("scale", (1,))), SPEC.settings),
        ModelSpec("smile", 1, (*PARAMETERS[:3], ("shift", ())), SPEC.settings),
        ModelSpec("smile", 1, PARAMETERS, {**SPEC.settings, "floor": 0.06}),
        ModelSpec("smile", 1, PARAMETERS, {}),
    ],
)
def test_hash_depends_on_everything(other):
    assert other.hash != SPEC.hash


def test_names_beyond_ascii_are_escaped():
    assert b"\\u03c3" in ModelSpec("\u03c3", 1, (("w", (1,)),), {}).canonical


def test_dimension_counts_all_coordinates():
    assert SPEC.dimension == 2 + 6 + 2 + 1


def test_flat_order_is_sorted_by_name_and_row_major():
    flat = SPEC.flatten(arrays())
    assert flat.dtype == np.float64
    assert flat.tolist() == [-1, -2, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_flat_order_does_not_depend_on_memory_layout():
    laid_out = {name: np.array(array, order="F") for name, array in arrays().items()}
    np.testing.assert_array_equal(SPEC.flatten(laid_out), SPEC.flatten(arrays()))


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=11, max_size=11))
def test_flattening_undoes_unflattening(values):
    flat = np.array(values)
    found = SPEC.unflatten(flat)
    assert {name: array.shape for name, array in found.items()} == dict(SPEC.parameters)
    np.testing.assert_array_equal(SPEC.flatten(found), flat)


def test_unflattened_arrays_are_copies():
    flat = np.zeros(11)
    SPEC.unflatten(flat)["in.bias"][0] = 5
    assert not flat.any()


@pytest.mark.parametrize(
    "change",
    [
        {"in.bias": np.zeros(3)},
        {"in.weight": np.zeros((3, 2))},
        {"scale": np.zeros(1)},
        {"extra": np.zeros(1)},
    ],
)
def test_arrays_of_another_model_are_refused(change):
    with pytest.raises(ConfigError, match="model smile has parameters"):
        SPEC.flatten({**arrays(), **change})


def test_missing_array_is_refused():
    with pytest.raises(ConfigError):
        SPEC.flatten({"in.bias": np.zeros(2)})


@pytest.mark.parametrize("shape", [(10,), (12,), (1, 11)])
def test_vector_of_another_dimension_is_refused(shape):
    with pytest.raises(ConfigError, match="11 coordinates"):
        SPEC.unflatten(np.zeros(shape))


@pytest.mark.parametrize(
    "parameters", [(), (("w", (1,)), ("w", (2,))), (("w", (0,)),), (("w", (2, -1)),)]
)
def test_spec_without_a_flat_order_is_refused(parameters):
    with pytest.raises(ConfigError):
        ModelSpec("smile", 1, parameters, {})


def test_settings_cannot_be_changed_after_the_fact():
    given_settings = {"width": 2}
    spec = ModelSpec("smile", 1, PARAMETERS, given_settings)
    before = spec.hash
    given_settings["width"] = 3
    assert spec.hash == before
    with pytest.raises(TypeError):
        spec.settings["width"] = 3  # type: ignore[index]  # what the test is about


def test_settings_that_json_has_no_number_for_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        _ = ModelSpec("smile", 1, PARAMETERS, {"floor": float("nan")}).hash
