"""Gives a seat up and pays out what its account is owed: stake, rewards, bonds, deposits.

Safe to repeat: what an earlier run has done is read from the chain and not done again. An account
without a seat, such as an aggregator's, only withdraws.
"""

import sys
from dataclasses import asdict, dataclass

import click

from protocol import rounds
from protocol.chain.calls import reclaim_deposit
from protocol.chain.gateway import Snapshot
from protocol.chain.transactor import Transactor
from protocol.errors import ChainError, Reverted
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
from scripts.due import to_distribute
from scripts.money import Payment, in_words, print_payments, status_of, withdraw_all


@dataclass(frozen=True)
class Departure:
    """What was done; amounts are text because they pass 2^53."""

    account: str
    task: bytes
    currency: str
    """The task's."""
    left: bool
    """Whether a seat was given up now."""
    suspended: bool
    """Whether it served no round any more, because a slice of its stake was lost."""
    restore_wei: str | None
    """What would have restored a suspended seat; nothing does where too much was missed."""
    lost_wei: str
    """The slice lost now, for a commitment that was not opened."""
    withdrawn: tuple[Payment, ...]
    to: str


def depart(transactor: Transactor, task_id: bytes, *, to: str | None) -> Departure:
    """Leave the task and withdraw every credit to an address, by default the account's own.

    Raises: Reverted with SeatServing while a commitment binds the seat to a running round.
    """
    chain, account = transactor.chain, transactor.address
    receiver = account if to is None else to
    before = chain.at(chain.head())
    params, seat = before.task_params(task_id), before.seat(task_id, account)
    is_seated = seat.active_from != 0
    lost_wei = _slice_lost_wei(before, task_id, account)
    for due in to_distribute(before, task_id, account):
        transactor.send(due.function, due.args, purpose=due.purpose)
    if is_seated:
        # Leaving claims the seat's rewards too.
        transactor.send("leave", (task_id,), purpose=f"{task_id.hex()}:leave")
    elif chain.at(chain.head()).seat(task_id, account).reward_wei:
        # Distributed after the seat was given up.
        transactor.send("claim", (task_id, account), purpose=f"{task_id.hex()}:claim")
    look = chain.at(chain.head())
    for participant in look.free_deposits(task_id, account):
        call = reclaim_deposit(participant, look.update_flag(task_id, participant).round)
        purpose = f"{task_id.hex()}:{call.purpose}"
        transactor.send(call.function, (task_id, *call.args), purpose=purpose)
    can_restore = seat.suspended and seat.missed <= params.max_missed
    return Departure(
        account=account,
        task=task_id,
        currency=params.currency,
        left=is_seated,
        suspended=seat.suspended,
        restore_wei=str(params.stake_wei - seat.stake_wei) if can_restore else None,
        lost_wei=str(lost_wei),
        withdrawn=withdraw_all(transactor, receiver),
        to=receiver,
    )


def _slice_lost_wei(snapshot: Snapshot, task_id: bytes, account: str) -> int:
    """What the seat loses by leaving, because it did not open its latest commitment."""
    params, seat = snapshot.task_params(task_id), snapshot.seat(task_id, account)
    committed = snapshot.round_state(task_id, seat.committed_round)
    is_withheld = rounds.is_withheld(params, committed, seat, snapshot.block.timestamp)
    return min(params.slice_wei, seat.stake_wei) if is_withheld else 0


@click.command()
@reports_failures
@on_task
@with_sender
@to_option
@json_option
def main(*, transactor: Transactor, task_id: bytes, to: str | None, as_json: bool) -> None:
    """Give a seat up and withdraw its stake and rewards.

    Stop the node first: it would join again.
    """
    receiver = None if to is None else checked_address("--to", to)
    try:
        done = depart(transactor, task_id, to=receiver)
    except Reverted as refused:
        if refused.error != "SeatServing":
            raise
        until = _round_runs_until(transactor, task_id)
        raise ChainError(f"{refused}: {until}; run this again then") from refused
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(f"seat      {_seat_in_words(done)}")
        if done.lost_wei != "0":
            lost = in_words(int(done.lost_wei), done.currency)
            click.echo(f"lost      {lost}, for a commitment that was not opened")
        print_payments(done.withdrawn, done.to)
    sys.exit(status_of(done.withdrawn))


def _round_runs_until(transactor: Transactor, task_id: bytes) -> str:
    """Until when the latest round binds a seat that committed in it, in words."""
    look = transactor.chain.at(transactor.chain.head())
    number = look.task_state(task_id).round
    state = look.round_state(task_id, number)
    until = rounds.next_deadline(look.task_params(task_id), state, look.block.timestamp)
    if until is None:
        return f"round {number} has ended since"
    return f"round {number} runs until {when(until)} at least"


def _seat_in_words(done: Departure) -> str:
    if not done.left:
        return "none"
    if not done.suspended:
        return "given up"
    if done.restore_wei is None:
        return "given up; it was suspended for good"
    cost = in_words(int(done.restore_wei), done.currency)
    return f"given up; it was suspended, and {cost} would have restored it"


if __name__ == "__main__":
    main()
