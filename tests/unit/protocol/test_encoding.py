"""A value has one encoding, and only that one is decoded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protocol import encoding
from protocol.errors import EncodingError

pytestmark = pytest.mark.unit

exact = settings(deadline=None)
shifts = st.integers(0, 255)
updates = arrays(np.int16, st.integers(1, 60))
models = arrays(np.int32, st.integers(1, 60))


def an_update(shift=16):
    return encoding.encode_update(np.array([1, -2, 3], dtype=np.int16), shift)


@exact
@given(updates, shifts)
def test_update_survives(update, shift):
    blob = encoding.encode_update(update, shift)
    assert len(blob) == encoding.blob_length(encoding.Kind.UPDATE, update.size)
    found = encoding.decode(blob)
    assert (found.kind, found.shift) == (encoding.Kind.UPDATE, shift)
    assert found.values.dtype == np.dtype(np.int16)
    np.testing.assert_array_equal(found.values, update)


@exact
@given(models, shifts)
def test_model_survives(model, shift):
    blob = encoding.encode_model(model, shift)
    assert len(blob) == encoding.blob_length(encoding.Kind.MODEL, model.size)
    found = encoding.decode_model(blob, dimension=model.size, shift=shift)
    assert found.dtype == np.dtype(np.int32)
    np.testing.assert_array_equal(found, model)


@exact
@given(st.binary(max_size=80) | st.builds(lambda tail: an_update()[:12] + tail, st.binary()))
def test_bytes_that_decode_encode_to_themselves(raw):
    try:
        blob = encoding.decode(raw)
    except EncodingError:
        return
    encode = {1: encoding.encode_update, 2: encoding.encode_model}[blob.kind]
    assert encode(blob.values, blob.shift) == raw


@exact
@given(updates, shifts, st.data())
def test_one_changed_byte_is_refused_or_changes_the_value(update, shift, data):
    blob = bytearray(encoding.encode_update(update, shift))
    position = data.draw(st.integers(0, len(blob) - 1))
    blob[position] ^= data.draw(st.integers(1, 255))
    try:
        found = encoding.decode(bytes(blob))
    except EncodingError:
        return
    changed = found.values.tobytes() != update.tobytes()
    assert (found.kind, found.shift) != (encoding.Kind.UPDATE, shift) or changed


@exact
@given(updates, st.integers(1, 200))
def test_every_other_length_is_refused(update, extra):
    blob = encoding.encode_update(update, 16)
    with pytest.raises(EncodingError):
        encoding.decode(blob + bytes(extra))
    with pytest.raises(EncodingError):
        encoding.decode(blob[:-extra])


def test_decoded_values_belong_to_the_caller():
    values = encoding.decode(an_update()).values
    values[0] = 9
    assert encoding.decode(an_update()).values[0] == 1


def test_values_in_another_byte_order_or_stride_are_encoded_alike():
    update = np.array([1, -2, 3], dtype=np.int16)
    spread = np.array([1, 0, -2, 0, 3, 0], dtype=np.int16)[::2]
    assert encoding.encode_update(spread, 16) == encoding.encode_update(update, 16)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"dimension": 4, "shift": 16}, "dimension must be 4; found 3"),
        ({"dimension": 3, "shift": 15}, "shift must be 15; found 16"),
    ],
)
def test_model_of_another_task_is_refused(wanted, message):
    model = encoding.encode_model(np.zeros(3, dtype=np.int32), 16)
    with pytest.raises(EncodingError, match=message):
        encoding.decode_model(model, **wanted)


def test_update_is_no_model():
    with pytest.raises(EncodingError, match="kind"):
        encoding.decode_model(an_update(), dimension=3, shift=16)


def test_refusal_says_what_was_wanted_and_found():
    with pytest.raises(EncodingError, match="length in bytes for dimension 3 must be 18; found 19"):
        encoding.decode(an_update() + b"\0")
    with pytest.raises(EncodingError, match="version must be 1; found 2"):
        encoding.decode(b"VLQ\2" + an_update()[4:])


@pytest.mark.parametrize(
    ("values", "shift"),
    [
        (np.zeros(0, dtype=np.int16), 16),
        (np.zeros((2, 2), dtype=np.int16), 16),
        (np.broadcast_to(np.int16(0), 2**32), 16),  # takes no memory
        (np.zeros(2, dtype=np.int16), 256),
        (np.zeros(2, dtype=np.int16), -1),
    ],
)
def test_what_has_no_encoding_is_not_encoded(values, shift):
    with pytest.raises(EncodingError):
        encoding.encode_update(values, shift)


def test_integers_of_another_width_are_a_programming_error():
    with pytest.raises(TypeError, match="int64"):
        encoding.encode_update(np.zeros(2, dtype=np.int64), 16)
    with pytest.raises(TypeError, match="int16"):
        encoding.encode_model(np.zeros(2, dtype=np.int16), 16)
