"""Fixed-point numbers: one unit is `2^-shift`, and no float is ever hashed.

An update and an aggregate are int16 units, a model is int32 units. A participant clips in floats
and then truncates toward zero, in this order, so that the integer norm that the contract checks
cannot exceed the bound.
"""

import numpy as np
import numpy.typing as npt

from protocol.errors import RangeError

Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]

INT16 = np.iinfo(np.int16)
INT32 = np.iinfo(np.int32)


def quantise(values: FloatArray, shift: int) -> Int16Array:
    """The update `values` in units, truncated toward zero, so that `|units| <= 2^shift |values|`.

    Raises: RangeError if a value is not finite or does not fit int16.
    """
    return _fitted(np.trunc(_in_units(values, shift)), INT16, shift).astype(np.int16)


def to_model(values: FloatArray, shift: int) -> Int32Array:
    """The model `values` in units, rounded down.

    Raises: RangeError if a value is not finite or does not fit int32.
    """
    return _fitted(np.floor(_in_units(values, shift)), INT32, shift).astype(np.int32)


def to_float(units: Int16Array | Int32Array, shift: int) -> FloatArray:
    """The exact real values of `units`."""
    return np.ldexp(units.astype(np.float64), -shift)


def residual(values: FloatArray, units: Int16Array, shift: int) -> FloatArray:
    """What `units` leave out of `values`; a participant adds it to its next update."""
    return values - to_float(units, shift)


def clip_to_norm(values: FloatArray, bound: float) -> FloatArray:
    """`values` scaled down, if need be, so that their exact Euclidean norm is at most `bound`.

    Float errors are covered by a relative margin of about `2 d eps`, which a vector whose norm is
    `bound` loses too.

    Raises: RangeError if a value is not finite or the bound is not positive.
    """
    _check_finite(values)
    if not 0 < bound < np.inf:
        raise RangeError(f"a clipping norm must be positive and finite, not {bound}")
    # A power of two takes the values near 1 exactly, so that squares neither overflow nor vanish.
    exponent = int(np.frexp(np.max(np.abs(values), initial=0.0))[1])
    direction = np.ldexp(values, -exponent)
    norm = float(np.sqrt(np.dot(direction, direction)))
    # Invariant: in whatever order d squares are added, the relative error stays below `margin`.
    margin = (values.size + 8) * float(np.finfo(np.float64).eps)
    with np.errstate(over="ignore", under="ignore"):
        if norm * (1 + margin) <= np.ldexp(bound, -exponent):
            return values.copy()
        return direction * (bound * (1 - 2 * margin) / norm)


def add_update(model: Int32Array, aggregate: Int16Array) -> Int32Array:
    """The next model.

    Raises: RangeError if a coordinate leaves int32.
    """
    total = model.astype(np.int64) + aggregate
    outside = (total < INT32.min) | (total > INT32.max)
    if outside.any():
        first = int(np.argmax(outside))
        raise RangeError(
            f"model coordinate {first} would be {total[first]}, outside int32; "
            "the task needs a smaller shift"
        )
    return total.astype(np.int32)


def squared_norm(update: Int16Array) -> int:
    """The exact sum of squares of `update`, in squared units."""
    # Invariant: 2^32 coordinates of at most 2^30 each fit int64.
    return int(np.einsum("i,i->", update, update, dtype=np.int64))


def _in_units(values: FloatArray, shift: int) -> FloatArray:
    _check_finite(values)
    with np.errstate(over="ignore"):  # an infinity is refused by the range check
        return np.ldexp(values, shift)


def _check_finite(values: FloatArray) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        first = int(np.argmin(finite))
        raise RangeError(f"coordinate {first} is {values[first]}; every value must be finite")


def _fitted(units: FloatArray, limits: "np.iinfo[np.signedinteger]", shift: int) -> FloatArray:
    outside = (units < limits.min) | (units > limits.max)
    if outside.any():
        first = int(np.argmax(outside))
        raise RangeError(
            f"coordinate {first} is {units[first]:.0f} units of 2^-{shift}, outside {limits.dtype} "
            f"[{limits.min}, {limits.max}]; clip it or use a smaller shift"
        )
    return units
