"""What a rule that chooses by distance shows beside its result: a table, and the choice in it.

Rows are the included updates, in order of reveal, after ARC if the task has it. A choice is a list
of numbers of eight bytes: masks of rows, or the weights of all rows and their divisor.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from eth_hash.auto import keccak

from protocol.commitment import Evidence
from protocol.gram import Table
from protocol.numbers import Int16Array
from protocol.rules import arc
from protocol.rules.centers import geometric_median_weights
from protocol.rules.distances import Integers
from protocol.rules.pre_steps import nearest
from protocol.rules.selection import multi_krum_weights
from protocol.rules.weighted import trusted
from protocol.task import PreSteps, Rule, TaskParams

Chosen = tuple[int, ...]
"""Masks, of which bit j stands for row j; or a weight for each row, then the divisor."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The table of a round, and what the task's rule or its mixing chooses by it."""

    table: Table
    chosen: Chosen

    @property
    def evidence(self) -> Evidence:
        """What is published of both."""
        return Evidence(self.table.root, choice_hash(self.chosen))

    @property
    def shown(self) -> bytes:
        """What a challenge of the aggregate carries of both."""
        return self.table.root + encode_chosen(self.chosen)


def choice_of(
    params: TaskParams, updates: Int16Array, trusted_row: int | None = None
) -> Choice | None:
    """The choice among the included updates; None if the task's rule makes none.

    `trusted_row` is for FLTrust: `TaskParams.trusted_row` of those whom the updates are of.

    Shape: updates [n, d]. Raises: RuleError if they are too few.
    """
    table = table_of(params, updates)
    if table is None:
        return None
    return Choice(table, chosen_by(params.rule, table.sums, params.tolerance, trusted_row))


def table_of(params: TaskParams, updates: Int16Array) -> Table | None:
    """The table of the included updates; None if the task's rule makes no choice by one.

    Shape: updates [n, d]. Raises: RuleError if they are too few.
    """
    if not params.has_table:
        return None
    clipped = PreSteps.ARC in params.pre_steps
    rows = arc(updates, params.tolerance).array() if clipped else updates
    return Table.of(rows, params.chunk_length)


def chosen_by(rule: Rule, sums: Integers, tolerance: int, trusted_row: int | None = None) -> Chosen:
    """The rule's own choice by the rows' Gram matrix; that of mixing for a rule that makes none.

    Shape: sums [n, n]. Raises: RuleError if the rows are too few.
    """
    match rule:
        case Rule.KRUM:
            return best(sums, tolerance, m=1)
        case Rule.MULTI_KRUM:
            return best(sums, tolerance)
        case Rule.GEOMETRIC_MEDIAN:
            weights = geometric_median_weights(sums)
            return (*weights, sum(weights))
        case Rule.FLTRUST:
            return trust(sums, trusted_row)
    return neighbours(sums, tolerance)


def neighbours(sums: Integers, f: int) -> Chosen:
    """For each row a mask of the n - f nearest to it, which nearest-neighbour mixing averages."""
    return tuple(_mask(np.flatnonzero(row).tolist()) for row in nearest(sums, f))


def best(sums: Integers, f: int, m: int | None = None) -> Chosen:
    """A mask of the m rows that Krum ranks best; m = n - f, multi-Krum's, unless given.

    Raises: RuleError unless n >= 2f + 3.
    """
    weights = multi_krum_weights(sums, f, m)
    return (_mask(i for i, weight in enumerate(weights) if weight),)


def trust(sums: Integers, trusted_row: int | None) -> Chosen:
    """FLTrust's weights and their divisor; all are zero if it is not there or trusts nobody."""
    weights, divisor = [0] * len(sums), 0
    if trusted_row is not None:
        others = [row for row in range(len(sums)) if row != trusted_row]
        products, squares = sums[trusted_row][others].tolist(), sums.diagonal()[others].tolist()
        found, divisor = trusted(int(sums[trusted_row, trusted_row]), products, squares)
        for row, weight in zip(others, found, strict=True):
            weights[row] = weight
    return (*weights, divisor)


def encode_chosen(chosen: Chosen) -> bytes:
    """Eight bytes each, as a challenge carries them."""
    return b"".join(number.to_bytes(8, "big") for number in chosen)


def choice_hash(chosen: Chosen) -> bytes:
    """What is published of a choice."""
    return keccak(encode_chosen(chosen))


def _mask(rows: Iterable[int]) -> int:
    return sum(1 << row for row in rows)
