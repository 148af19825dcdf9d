"""A round's update: how far local training moved, clipped and rounded for the chain."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from node.market.panel import Floats
from protocol import numbers
from protocol.errors import RangeError


@dataclass(frozen=True)
class LocalUpdate:
    """What a participant commits to, and what it keeps for the next round.

    Shape: values, residual [d].
    """

    values: npt.NDArray[np.int16]
    residual: Floats
    """What rounding cut off, below one unit a coordinate."""
    squared_norm: int
    """In squared units."""


def max_squared_norm(max_norm: float, shift: int) -> int:
    """The task's bound as the integer that the contract compares with."""
    return math.floor(math.ldexp(max_norm, shift) ** 2)


def make_update(
    local: Floats,
    global_units: npt.NDArray[np.int32],
    residual: Floats,
    *,
    shift: int,
    max_norm: float,
) -> LocalUpdate:
    """Local minus global plus the carried residual, clipped to `max_norm`, truncated to units.

    Only the rounding is carried to the next round. What the clip cut off is dropped: it can be
    large and pile up, and carrying it would merely delay a move that the task's bound refuses.

    Raises: RangeError if the shapes differ or a number is not finite or does not fit.
    """
    if not local.shape == global_units.shape == residual.shape:
        raise RangeError(
            f"local model, global model and residual of one shape are wanted, found {local.shape},"
            f" {global_units.shape} and {residual.shape}"
        )
    wanted = local - numbers.to_float(global_units, shift) + residual
    clipped = numbers.clip_to_norm(wanted, max_norm)
    values = numbers.quantise(clipped, shift)
    squared_norm = numbers.squared_norm(values)
    # Invariant: truncation toward zero shortens, so the integers keep the clipped float's bound.
    if squared_norm > max_squared_norm(max_norm, shift):
        raise ArithmeticError(
            f"clipping left a squared norm of {squared_norm}, above the bound of"
            f" {max_squared_norm(max_norm, shift)}"
        )
    return LocalUpdate(values, numbers.residual(clipped, values, shift), squared_norm)
