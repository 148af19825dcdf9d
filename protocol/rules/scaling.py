"""Making updates shorter: each coordinate times a fraction, rounded down."""

from collections.abc import Mapping

import numpy as np

from protocol.rules import kernels
from protocol.rules.rows import IntArray, Rows


def shortened(rows: Rows, fractions: Mapping[int, tuple[int, int]]) -> Rows:
    """The rows, but `floor(x_i a / b)` for each i with a fraction (a, b), where a <= b <= 2^45.

    Of int16 rows b is 2^31 at most, as a norm of fewer than 2^32 coordinates is.
    """
    if not fractions:
        return rows
    pairs = [fractions.get(i, (1, 1)) for i in range(rows.count)]
    quotients = np.array(pairs, dtype=np.float64)

    def shorten(block: IntArray) -> IntArray:
        if block.dtype == np.int32:
            return np.stack([_of_wide(row, *pair) for row, pair in zip(block, pairs, strict=True)])
        short = np.empty(block.shape, dtype=block.dtype)
        kernels.scale(block, quotients, short)
        return short

    return rows.changed(shorten)


def _of_wide(row: IntArray, numerator: int, denominator: int) -> IntArray:
    if numerator == denominator:
        return row
    # Invariant: a <= b <= 2^45, so high and low halves times a fit, and so does 2^16 times a
    # remainder below b.
    wide = row.astype(np.int64)
    high, low = wide >> 16, wide & 0xFFFF
    whole = high * numerator // denominator
    rest = high * numerator - whole * denominator
    short: IntArray = (whole << 16) + ((rest << 16) + low * numerator) // denominator
    return short.astype(row.dtype)
