"""What a rule that chooses by distance shows beside its result: a table, and the choice in it.

Rows are the included updates, in order of reveal, after ARC if the task has it.
"""

from dataclasses import dataclass

from protocol.commitment import Evidence
from protocol.gram import Masks, Table, best, choice_hash, encode_masks, neighbours
from protocol.numbers import Int16Array
from protocol.rules import arc
from protocol.task import PreSteps, Rule, TaskParams


@dataclass(frozen=True, eq=False)
class Choice:
    """The table of a round, and whom nearest-neighbour mixing, Krum or multi-Krum chooses by it."""

    table: Table
    masks: Masks

    @property
    def evidence(self) -> Evidence:
        """What is published of both."""
        return Evidence(self.table.root, choice_hash(self.masks))

    @property
    def shown(self) -> bytes:
        """What a challenge of the aggregate carries of both."""
        return self.table.root + encode_masks(self.masks)


def choice_of(params: TaskParams, updates: Int16Array) -> Choice | None:
    """The choice among the included updates; None if the task's rule makes none.

    Shape: updates [n, d]. Raises: RuleError if they are too few.
    """
    if not params.has_table:
        return None
    rows = updates
    if PreSteps.ARC in params.pre_steps:
        rows = arc(updates, params.tolerance).array()
    table = Table.of(rows, params.chunk_length)
    return Choice(table, _masks(params, table))


def _masks(params: TaskParams, table: Table) -> Masks:
    if not params.rule.chooses_best:
        return neighbours(table.sums, params.tolerance)
    return best(table.sums, params.tolerance, m=1 if params.rule is Rule.KRUM else None)
