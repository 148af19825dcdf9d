"""Roots and ratios of integers, so that no rule ever needs a float. All of them round down.

A ratio is an integer in units of 2^-30 (`ONE` is 1), a distance one in units of 2^-16. Weights are
ratios, at most `ONE`: that keeps every weighted sum of 16-bit integers exact.
"""

from math import isqrt

RATIO_BITS = 30
ONE = 1 << RATIO_BITS
DISTANCE_BITS = 16


def root_above(square: int) -> int:
    """The least integer whose square is at least `square`."""
    return 1 + isqrt(square - 1) if square else 0


def ratio(numerator: int, denominator: int) -> int:
    """`floor(2^30 a / b)` of integers a >= 0 and b > 0."""
    return (numerator << RATIO_BITS) // denominator


def root_ratio(numerator: int, denominator: int) -> int:
    """`floor(2^30 sqrt(a / b))` of integers a >= 0 and b > 0."""
    # The root of a floor rounds down to the same integer as the root of the fraction itself.
    return isqrt((numerator << (2 * RATIO_BITS)) // denominator)


def distance(square: int, scale: int = 1) -> int:
    """`floor(2^16 sqrt(square) / scale)` of integers square >= 0 and scale > 0."""
    return isqrt((square << (2 * DISTANCE_BITS)) // scale**2)
