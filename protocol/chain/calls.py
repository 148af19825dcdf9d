"""Calls that several programs make: what each carries, and its one name in an outbox."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from protocol import rounds
from protocol.posting import Part
from protocol.recompute import Result, RevealedUpdate, Roots
from protocol.scores import given_scores
from protocol.state import Flag, Published, RoundState, Seat


class TaskCall(NamedTuple):
    """A call of a function whose first argument is the task's id."""

    function: str
    args: tuple[object, ...]
    """Behind the task's id."""
    purpose: str
    """The same thing to do in a task has the same one, whoever asks for it and when."""


def on_task(function: str, number: int) -> TaskCall:
    """A call that takes nothing but the task, made while round `number` is the latest."""
    return TaskCall(function, (), f"{number}:{function}")


def draw_seats(number: int) -> TaskCall:
    """Draws who may commit in a round."""
    return TaskCall("drawSeats", (number,), f"{number}:draw")


def distribute(
    number: int, revealed: Sequence[RevealedUpdate], scores: Mapping[int, bytes]
) -> TaskCall:
    """Divides a final round's reward among its updates, in order of reveal."""
    args = (number, _tuples(revealed), given_scores(scores))
    return TaskCall("distribute", args, f"{number}:distribute")


def slash_withheld(participant: str, seat: Seat) -> TaskCall:
    """Takes the slice of a seat that did not open its commitment."""
    # A seat withholds once a round at most, whatever becomes of it later.
    purpose = f"{seat.committed_round}:slash:{participant}"
    return TaskCall("slashWithheld", (participant,), purpose)


def reclaim_deposit(participant: str, number: int) -> TaskCall:
    """Gives the deposit on an update that was flagged in round `number` back to its flagger."""
    return TaskCall("reclaimDeposit", (participant,), f"{number}:reclaim:{participant}")


def flag_update(number: int, revealed: Sequence[RevealedUpdate], index: int) -> TaskCall:
    """Says, with a deposit, that an update of a round cannot be fetched."""
    purpose = f"{number}:flag:{revealed[index].participant}"
    return TaskCall("flagUpdate", (number, _tuples(revealed), index), purpose)


def post_result(
    number: int, what: Published, state: RoundState, flag: Flag, parts: Sequence[Part]
) -> TaskCall:
    """Posts the part of a flagged result that the chain says is next."""
    purpose = f"{number}:post:{what.name}:{rounds.publication(state)}:{flag.posted}"
    return TaskCall("postResult", (number, what, *parts[flag.posted]), purpose)


def vote(number: int, result: Result) -> TaskCall:
    """Says what a round's included updates give, in a task by votes."""
    # A reorganisation may take a vote away, together with what it was computed from.
    computed = f"{result.updates_hash.hex()}:{result.unavailable}"
    purpose = f"{number}:vote:{computed}:{result.aggregate_root.hex()}:{result.model_root.hex()}"
    return TaskCall("vote", (number, tuple(result)), purpose)


def refute_outvoted(number: int, state: RoundState, roots: Roots) -> TaskCall:
    """Refutes a published result for which fewer voted than for this one."""
    purpose = f"{number}:outvoted:{rounds.publication(state)}:{roots.model_root.hex()}"
    return TaskCall("refuteOutvoted", (number, *roots), purpose)


def _tuples(revealed: Sequence[RevealedUpdate]) -> tuple[tuple[object, ...], ...]:
    return tuple(tuple(update) for update in revealed)
