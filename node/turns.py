"""When something is this node's to do, and not another seat's or its relayer's."""

from typing import TypeVar

from node.actions import Action, Wait
from node.facts import Facts, Relaying

# Seats act one after another in this first part of a window, lest all pay for the same. What has
# no window of its own gets the commit phase's length, which is the task's own pace.
STAGGERED_PART = 4

Turn = TypeVar("Turn", bound=Action)
OwnTurn = TypeVar("OwnTurn", bound=Action)


def in_turn(facts: Facts, action: Turn, begins: int, ends: int) -> Turn | Wait:
    """One seat after another in the first part of a window; the first may have done it for all."""
    delay_seconds = (ends - begins) * facts.place // (STAGGERED_PART * max(facts.task.seats, 1))
    if facts.now >= begins + delay_seconds:
        return action
    named = f": {facts.mismatch}" if facts.mismatch else ""
    return Wait(begins + delay_seconds, f"seats before this one may do it first{named}")


def own_turn(begins: int, ends: int, *, taken: bool) -> int:
    """When a node sends by itself what a relayer had two thirds of a phase for.

    A relayer sends its last batch at that moment: one that took it gets a twelfth more.
    """
    return begins + (ends - begins) * (9 if taken else 8) // 12


def relayed(
    facts: Facts,
    relaying: Relaying,
    window: tuple[int, int],
    *,
    by_relayer: Turn,
    by_itself: OwnTurn,
) -> Turn | OwnTurn | Wait:
    """The relayer's turn in a phase, and then this node's own."""
    turn, number = own_turn(*window, taken=relaying.taken), facts.task.round
    if facts.now >= turn and relaying.affords:
        return by_itself
    if not relaying.taken and facts.now >= relaying.ask_from:
        return by_relayer
    until = window[1] if relaying.taken else min(window[1], relaying.ask_from)
    if facts.now < turn:
        has = "has" if relaying.taken else "did not take"
        why = f"round {number}: the relayer {has} what is to be sent; its time ends at {turn}"
        return Wait(min(until, turn), why)
    return Wait(until, f"round {number}: the relayer sent nothing, and gas cannot be paid")
