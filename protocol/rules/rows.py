"""Updates as blocks of columns, so that a rule streams them through the cache.

A rule asks for one block after the other and never sees more; a pre-step is a block changed on the
way. So the extra memory is a few blocks, whatever the dimension and however many steps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from protocol.errors import RuleError

IntArray = npt.NDArray[np.signedinteger[Any]]
Updates = Union[IntArray, "Rows"]

BLOCK_VALUES = 1 << 21  # 4 MiB of int16
BLOCK_COLUMNS = 1 << 14  # one int16 row is 32 KiB
_COLUMNS = 1 << 6  # so many at a time leave no vector half full
_LEAST_VALUES = 1 << 11  # below that, calls cost more than the arithmetic

# Invariant: below these dimensions no sum in this package leaves int64 (see `distances`).
_DIMENSION_BITS = {np.dtype(np.int16): 32, np.dtype(np.int32): 28}


@dataclass(frozen=True)
class Rows:
    """Updates, or what a pre-step makes of them."""

    count: int
    dimension: int
    dtype: np.dtype[Any]
    block: Callable[[slice], IntArray]
    """Some columns of all rows, shape [n, width]; nobody writes to it."""
    made: bool = True
    """Whether a block takes memory of its own."""

    @classmethod
    def of(cls, updates: Updates) -> "Rows":
        """Shape: updates [n, d], int16 or int32. Raises: RuleError without any."""
        if isinstance(updates, Rows):
            return updates
        bits = _DIMENSION_BITS.get(updates.dtype)
        if bits is None:
            raise TypeError(f"updates must be int16 or int32, not {updates.dtype}")
        if updates.ndim != 2 or 0 in updates.shape or updates.shape[1] >> bits:
            raise RuleError(
                f"a rule needs updates of shape [n, d] with n at least 1 and d from 1 to 2^{bits} "
                f"- 1; got {updates.shape}"
            )
        count, dimension = updates.shape
        return cls(count, dimension, updates.dtype, lambda columns: updates[:, columns], made=False)

    def changed(self, change: Callable[[IntArray], IntArray], count: int | None = None) -> "Rows":
        """These rows with `change` applied to every block on its way."""
        rows = self.count if count is None else count
        return Rows(rows, self.dimension, self.dtype, lambda columns: change(self.block(columns)))

    def check_like(self, row: IntArray, rule: str, what: str) -> None:
        """Raises: RuleError if a row has another shape than these; TypeError if another type."""
        if row.shape != (self.dimension,):
            raise RuleError(f"{rule} needs {what} of {self.dimension} coordinates; got {row.shape}")
        if row.dtype != self.dtype:
            raise TypeError(f"{what} must be {self.dtype}, as the updates are, not {row.dtype}")

    def preceded_by(self, first: IntArray) -> "Rows":
        """These rows with one like them before."""
        return Rows(
            self.count + 1,
            self.dimension,
            self.dtype,
            lambda columns: np.concatenate([first[None, columns], self.block(columns)]),
        )

    def slices(self) -> Iterator[slice]:
        """All columns, in blocks that are small beside the updates where they take memory.

        Who asks for the next block should no longer hold the last one.
        """
        portion = max(_LEAST_VALUES, self.count * self.dimension >> 6)
        values = min(BLOCK_VALUES, portion) if self.made else BLOCK_VALUES
        width = max(1, min(BLOCK_COLUMNS, values // self.count))
        width -= width % _COLUMNS if width > _COLUMNS else 0
        for start in range(0, self.dimension, width):
            yield slice(start, min(start + width, self.dimension))

    def combined(self, combine: Callable[[IntArray, IntArray], None]) -> IntArray:
        """What `combine` writes of every block, one number for each column. Shape: [d]."""
        aggregate = np.empty(self.dimension, dtype=self.dtype)
        for columns in self.slices():
            combine(self.block(columns), aggregate[columns])
        return aggregate

    def array(self) -> IntArray:
        """All of it at once. Shape: [n, d]."""
        whole = np.empty((self.count, self.dimension), dtype=self.dtype)
        for columns in self.slices():
            whole[:, columns] = self.block(columns)
        return whole


def check_tolerance(rule: str, count: int, f: int, least: int) -> None:
    """Raises: RuleError if `count` updates are fewer than the `least` that f liars ask for."""
    if f < 0:
        raise RuleError(f"{rule} tolerates f >= 0 liars; got f = {f}")
    if count < least:
        raise RuleError(f"{rule} tolerating {f} liars needs at least {least} updates; got {count}")


def check_at_least(rule: str, name: str, found: int, least: int) -> None:
    """Raises: RuleError if the parameter `name` is less than `least`."""
    if found < least:
        raise RuleError(f"{rule} needs {name} of at least {least}; got {found}")
