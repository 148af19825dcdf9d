"""When entries are sent that wait to be relayed, and which of them the contract would take."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from orchestrator.relay_store import Entry
from protocol.errors import Reverted
from protocol.recompute import Result

# The largest cohort; a call for so many stays far below the gas that a transaction may use.
MAX_ENTRIES = 64

Simulate = Callable[[Sequence[Entry]], None]
"""Runs a call with these entries without sending it. Raises: Reverted."""


class Batch(NamedTuple):
    """One call for many."""

    function: str
    entries: tuple[Entry, ...]
    found: Result | None = None
    """The result that votes are for, which their call takes before them."""
    votes: int = 0
    """How many this result has with these and those that are cast."""

    @property
    def arguments(self) -> tuple[object, ...]:
        """What the call takes behind task and round."""
        shared = () if self.found is None else (tuple(self.found),)
        return (*shared, tuple(entry.argument for entry in self.entries))

    @property
    def name(self) -> str:
        """Unlike that of any other batch; tells nothing of what is in it."""
        return sha256(repr(self.arguments).encode()).hexdigest()


class Weeded(NamedTuple):
    """A batch after a simulation: what goes, and what would undo all of it, with the reasons."""

    sound: tuple[Entry, ...]
    refused: tuple[tuple[Entry, str], ...]


def due_at(received_at: Sequence[int], start: int, end: int) -> int:
    """When what came in at these times is sent, in a window from `start` to `end` (exclusive).

    At half of it; what came later at two thirds of it. The last third is for whoever was left out.
    """
    half = start + (end - start) // 2
    return half if min(received_at) < half else start + 2 * (end - start) // 3


def weed(entries: Sequence[Entry], simulate: Simulate) -> Weeded:
    """Leaves out what makes a call revert, which undoes it for everybody.

    The contract takes entries one after another, so the first that it refuses ends the shortest
    prefix that reverts.

    Raises: Reverted if the call itself is refused, whatever is in it.
    """
    sound, refused = list(entries), list[tuple[Entry, str]]()
    while sound and (why := _why_refused(sound, simulate)) is not None:
        simulate([])
        passing, failing = 0, len(sound)
        while failing - passing > 1:
            middle = (passing + failing) // 2
            earlier = _why_refused(sound[:middle], simulate)
            if earlier is None:
                passing = middle
            else:
                failing, why = middle, earlier
        refused.append((sound.pop(failing - 1), why))
    return Weeded(tuple(sound), tuple(refused))


def _why_refused(entries: Sequence[Entry], simulate: Simulate) -> str | None:
    try:
        simulate(entries)
    except Reverted as error:
        return str(error)
    return None
