"""A round's update: how far local training moved, clipped and rounded for the chain.

A participant may round more than the chain asks for, so that its update takes fewer bytes on the
way to others: what is left out waits in its residual (error feedback).

Source: Karimireddy, Rebjock, Stich, Jaggi, "Error Feedback Fixes SignSGD and other Gradient
Compression Schemes", 2019.
"""

import math
from dataclasses import dataclass

import numpy as np

from node.market.panel import Floats
from protocol import numbers
from protocol.errors import ConfigError, RangeError
from protocol.numbers import Int16Array, Int32Array


@dataclass(frozen=True)
class Precision:
    """How much of a move one update carries."""

    bits: int = 16
    """All values are multiples of the least power of two units that leaves so many bits to each."""
    largest: float = 1.0
    """Which part of the coordinates is sent, the largest ones; the others are zero."""

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16 or not 0 < self.largest <= 1:
            raise ConfigError(
                f"an update has 2 to 16 bits and a part above 0 and up to 1 of its coordinates; "
                f"found {self.bits} and {self.largest}"
            )


FULL = Precision()


@dataclass(frozen=True)
class LocalUpdate:
    """What a participant commits to, and what it keeps for the next round.

    Shape: values, residual [d].
    """

    values: Int16Array
    residual: Floats
    """What the precision left out; its norm is at most the task's bound."""
    squared_norm: int
    """In squared units."""


def max_squared_norm(max_norm: float, shift: int) -> int:
    """The task's bound as the integer that the contract compares with."""
    return math.floor(math.ldexp(max_norm, shift) ** 2)


def make_update(
    local: Floats,
    global_units: Int32Array,
    residual: Floats,
    *,
    shift: int,
    max_norm: float,
    precision: Precision = FULL,
) -> LocalUpdate:
    """Local minus global plus the residual, clipped to `max_norm`, truncated to `precision`.

    Only what the precision left out is carried to the next round. What the clip cut off is
    dropped: it can be large and pile up, and carrying it would merely delay a move that the task's
    bound refuses. So the residual stays below the bound too, however long it grows.

    Raises: RangeError if the shapes differ or a number is not finite or does not fit.
    """
    if not local.shape == global_units.shape == residual.shape:
        raise RangeError(
            f"local model, global model and residual of one shape are wanted, found {local.shape},"
            f" {global_units.shape} and {residual.shape}"
        )
    wanted = local - numbers.to_float(global_units, shift) + residual
    clipped = numbers.clip_to_norm(wanted, max_norm)
    values = _in_bits(numbers.quantise(_largest(clipped, precision.largest), shift), precision.bits)
    squared_norm = numbers.squared_norm(values)
    # Invariant: truncation toward zero shortens, so the integers keep the clipped float's bound.
    if squared_norm > max_squared_norm(max_norm, shift):
        raise ArithmeticError(
            f"clipping left a squared norm of {squared_norm}, above the bound of"
            f" {max_squared_norm(max_norm, shift)}"
        )
    return LocalUpdate(values, numbers.residual(clipped, values, shift), squared_norm)


def _largest(values: Floats, part: float) -> Floats:
    """`values` with all but the largest `part` of them, one at least, set to zero."""
    # A stable order, so that equals are chosen alike on every machine.
    order = np.argsort(-np.abs(values), kind="stable")
    kept = values.copy()
    kept[order[max(1, round(part * values.size)) :]] = 0.0
    return kept


def _in_bits(units: Int16Array, bits: int) -> Int16Array:
    """`units` truncated toward zero to multiples of one power of two that fit into `bits`."""
    magnitudes = np.abs(units.astype(np.int32))
    spare = max(0, int(magnitudes.max()).bit_length() - (bits - 1))
    coarse: Int16Array = (np.sign(units) * (magnitudes >> spare << spare)).astype(np.int16)
    return coarse
