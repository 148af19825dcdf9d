"""Pays a suspended seat's stake up again, so that it serves rounds as before."""

from dataclasses import asdict, dataclass

import click

from protocol.chain.token import value_to_send
from protocol.chain.transactor import Transactor
from protocol.errors import ConfigError
from scripts.command import json_option, on_task, print_json, reports_failures, with_sender
from scripts.money import in_words


@dataclass(frozen=True)
class Restoration:
    """What was done; the amount is text because it passes 2^53."""

    account: str
    task: bytes
    currency: str
    paid_wei: str
    active_from: int
    """First round in which the seat may commit again."""
    missed: int
    """Commitments that it did not open so far."""
    max_missed: int
    """After more of them the next suspension is for good."""


def restore(transactor: Transactor, task_id: bytes) -> Restoration:
    """Restore the account's seat.

    Raises: ConfigError if it has none or serves; Reverted with NotRestorable if it missed too much.
    """
    chain, account = transactor.chain, transactor.address
    before = chain.at(chain.head())
    params, seat = before.task_params(task_id), before.seat(task_id, account)
    if not seat.suspended:
        found = f"serves from round {seat.active_from}" if seat.active_from else "has no seat"
        raise ConfigError(f"wanted an account whose seat is suspended; {account} {found}")
    missing_wei = params.stake_wei - seat.stake_wei
    transactor.send(
        "restore",
        (task_id,),
        value_wei=value_to_send(transactor, params.currency, missing_wei),
        purpose=f"{task_id.hex()}:restore",
    )
    restored = chain.at(chain.head()).seat(task_id, account)
    return Restoration(
        account=account,
        task=task_id,
        currency=params.currency,
        paid_wei=str(missing_wei),
        active_from=restored.active_from,
        missed=restored.missed,
        max_missed=params.max_missed,
    )


@click.command()
@reports_failures
@on_task
@with_sender
@json_option
def main(*, transactor: Transactor, task_id: bytes, as_json: bool) -> None:
    """Pay a suspended seat's stake up again, so that it serves rounds."""
    done = restore(transactor, task_id)
    if as_json:
        print_json(asdict(done))
        return
    click.echo(f"paid      {in_words(int(done.paid_wei), done.currency)}")
    click.echo(f"seat      serves from round {done.active_from}")
    click.echo(f"missed    {done.missed}, of {done.max_missed} that can be restored")


if __name__ == "__main__":
    main()
