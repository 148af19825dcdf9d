"""Gives a seat up and pays out what its account is owed: stake, rewards, bonds, deposits.

Safe to repeat: what an earlier run has done is read from the chain and not done again. An account
without a seat, such as an aggregator's or a sponsor's, only withdraws; a task that is over can be
closed first, which returns to its sponsor what no round spent.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from node.disputes import deposits
from protocol import keys
from protocol.chain.gateway import Chain
from protocol.chain.outbox import IN_MEMORY, Outbox
from protocol.chain.transactor import Transactor
from scripts.command import (
    checked_address,
    json_option,
    key_option,
    keystore_option,
    on_task,
    password_option,
    print_json,
    reports_failures,
)


@dataclass(frozen=True)
class Departure:
    """What was done; amounts are text because they pass 2^53."""

    account: str
    task: bytes
    left: bool
    """Whether a seat was given up now."""
    closed: bool
    """Whether the task was closed now."""
    withdrawn_wei: str
    to: str


def depart(
    chain: Chain, transactor: Transactor, task_id: bytes, *, to: str | None, close: bool
) -> Departure:
    """Leave the task and withdraw the whole credit to an address, by default the account's own.

    Raises: Reverted with SeatServing while a commitment binds the seat to a running round, with
    TaskNotOver if a task shall be closed that may still open rounds.
    """
    account = transactor.address
    receiver = account if to is None else to
    closes = close and not chain.at(chain.head()).task_state(task_id).closed
    if closes:
        transactor.send("closeTask", (task_id,), purpose=f"{task_id.hex()}:close")
    seated = chain.at(chain.head()).seat(task_id, account).active_from != 0
    if seated:
        # Leaving claims the seat's rewards too.
        transactor.send("leave", (task_id,), purpose=f"{task_id.hex()}:leave")
    for participant in deposits(chain.at(chain.head()), task_id, account):
        purpose = f"{task_id.hex()}:reclaim:{participant}"
        transactor.send("reclaimDeposit", (task_id, participant), purpose=purpose)
    owed_wei = chain.at(chain.head()).credit(account)
    if owed_wei:
        transactor.send("withdraw", (receiver,), purpose=f"{task_id.hex()}:withdraw")
    return Departure(account, task_id, seated, closes, str(owed_wei), receiver)


@click.command()
@reports_failures
@on_task
@keystore_option
@password_option
@key_option
@click.option("--to", metavar="ADDRESS", help="Who is paid; by default the account itself.")
@click.option(
    "--close-task",
    "close",
    is_flag=True,
    help="First close a task that is over: its sponsor is owed what no round spent.",
)
@json_option
def main(
    *,
    chain: Chain,
    task_id: bytes,
    keystore: Path | None,
    password_env: str | None,
    key_env: str | None,
    to: str | None,
    close: bool,
    as_json: bool,
) -> None:
    """Give a seat up and withdraw its stake and rewards.

    Stop the node first: it would join again.
    """
    receiver = None if to is None else checked_address("--to", to)
    account = keys.load_account(keystore, password_env, key_env)
    transactor = Transactor(chain, account, Outbox(IN_MEMORY))
    done = depart(chain, transactor, task_id, to=receiver, close=close)
    if as_json:
        print_json(asdict(done))
        return
    if done.closed:
        click.echo("task      closed")
    click.echo(f"seat      {'given up' if done.left else 'none'}")
    click.echo(f"withdrawn {done.withdrawn_wei} wei to {done.to}")


if __name__ == "__main__":
    main()
