"""A sponsor's way out: no further round, and back what none has spent.

Safe to repeat: while a round runs it can only be waited for, and the next run takes up where this
one stopped.
"""

import sys
from dataclasses import asdict, dataclass

import click

from protocol import rounds
from protocol.chain.transactor import Transactor
from scripts.command import (
    checked_address,
    json_option,
    on_task,
    print_json,
    reports_failures,
    to_option,
    when,
    with_sender,
)
from scripts.drive import drive
from scripts.money import Payment, print_payments, status_of, withdraw_all


@dataclass(frozen=True)
class Ending:
    """What was done, and how far the task is."""

    account: str
    task: bytes
    ended: bool
    """Whether further rounds were ruled out now."""
    done: tuple[str, ...]
    """What else was due, in words."""
    round: int
    running_until: int | None
    """When time next moves the round on that still runs."""
    closed: bool
    withdrawn: tuple[Payment, ...]
    to: str


def end(transactor: Transactor, task_id: bytes, *, to: str | None) -> Ending:
    """End the task, close it if no round runs, and withdraw what the account is owed.

    Raises: Reverted with NotSponsor if the task may open rounds and is somebody else's.
    """
    chain = transactor.chain
    receiver = transactor.address if to is None else to
    before = chain.at(chain.head())
    params, task = before.task_params(task_id), before.task_state(task_id)
    ends = not rounds.is_exhausted(params, task, before.block.timestamp)
    if ends:
        transactor.send("endTask", (task_id,), purpose=f"{task_id.hex()}:end")
    done = tuple(call.what for call in drive(transactor, task_id))
    after = chain.at(chain.head())
    task = after.task_state(task_id)
    state = after.round_state(task_id, task.round)
    return Ending(
        account=transactor.address,
        task=task_id,
        ended=ends,
        done=done,
        round=task.round,
        running_until=rounds.next_deadline(params, state, after.block.timestamp),
        closed=task.closed,
        withdrawn=withdraw_all(transactor, receiver),
        to=receiver,
    )


@click.command()
@reports_failures
@on_task
@with_sender
@to_option
@json_option
def main(*, transactor: Transactor, task_id: bytes, to: str | None, as_json: bool) -> None:
    """Let no further round open, close the task once none runs, and withdraw."""
    receiver = None if to is None else checked_address("--to", to)
    ending = end(transactor, task_id, to=receiver)
    if as_json:
        print_json(asdict(ending))
    else:
        for what in ending.done:
            click.echo(f"done      {what}")
        click.echo(f"task      {_in_words(ending)}")
        print_payments(ending.withdrawn, ending.to)
    sys.exit(status_of(ending.withdrawn))


def _in_words(ending: Ending) -> str:
    if ending.closed:
        return "closed"
    until = "" if ending.running_until is None else f" until {when(ending.running_until)} at least"
    return f"ended; round {ending.round} runs{until}, then run this again"


if __name__ == "__main__":
    main()
