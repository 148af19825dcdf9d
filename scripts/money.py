"""Amounts in words, and what an account is owed and paid, in which currency."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from protocol.chain.gateway import Snapshot
from protocol.chain.transactor import Transactor
from protocol.errors import Reverted
from protocol.exit_codes import ExitCode
from protocol.task import ZERO_ADDRESS, TaskParams

ETH_DECIMALS = 18


def in_words(amount_wei: int, currency: str) -> str:
    """An amount for people; what a token's smallest unit is worth, only the token knows."""
    if currency == ZERO_ADDRESS:
        whole, rest = divmod(amount_wei, 10**ETH_DECIMALS)
        return f"{whole}.{rest:0{ETH_DECIMALS}}".rstrip("0").rstrip(".") + " ETH"
    return f"{amount_wei} of token {currency}"


def currencies(snapshot: Snapshot) -> tuple[str, ...]:
    """ETH, and every token that a task of this contract pays in."""
    topics = (snapshot.chain.interface.topics["TaskCreated"],)
    created = snapshot.chain.events.until(snapshot.block, topics)
    paid_in = (TaskParams.from_abi(event.arguments["params"]).currency for event in created)
    return tuple(dict.fromkeys((ZERO_ADDRESS, *paid_in)))


def credits_of(snapshot: Snapshot, account: str) -> dict[str, int]:
    """What an account may withdraw, by currency; none that is nothing."""
    owed = {currency: snapshot.credit(currency, account) for currency in currencies(snapshot)}
    return {currency: amount_wei for currency, amount_wei in owed.items() if amount_wei}


@dataclass(frozen=True)
class Payment:
    """One currency's credit; the amount is text because it passes 2^53."""

    currency: str
    amount_wei: str
    refused: str | None
    """Why it could not be paid; it stays a credit."""


def withdraw_all(transactor: Transactor, to: str) -> tuple[Payment, ...]:
    """Pays out what the transactor's account is owed, one currency after the other."""
    chain, account = transactor.chain, transactor.address
    payments = []
    for currency, amount_wei in credits_of(chain.at(chain.head()), account).items():
        refused = None
        try:
            transactor.send("withdraw", (currency, to), purpose=f"withdraw:{currency}:{to}")
        except Reverted as error:
            # A token that lies or is paused must not hold the other currencies back.
            refused = str(error)
        payments.append(Payment(currency, str(amount_wei), refused))
    return tuple(payments)


def print_payments(payments: Sequence[Payment], to: str) -> None:
    """The payments for people."""
    for each in payments:
        amount = in_words(int(each.amount_wei), each.currency)
        if each.refused is None:
            click.echo(f"withdrawn {amount} to {to}")
        else:
            click.echo(f"refused   {amount}: {each.refused}")
    if not payments:
        click.echo("withdrawn nothing")


def status_of(payments: Sequence[Payment]) -> ExitCode:
    """The exit status after these payments."""
    return ExitCode.CHAIN if any(each.refused for each in payments) else ExitCode.OK
