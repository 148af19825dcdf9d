"""Amounts are read by people, and every currency is paid out whatever another one does."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from protocol.chain.events import Happened
from protocol.errors import Reverted
from protocol.exit_codes import ExitCode
from protocol.task import ZERO_ADDRESS, TaskParams
from scripts.money import (
    Payment,
    credits_of,
    currencies,
    in_words,
    print_payments,
    status_of,
    withdraw_all,
)

pytestmark = pytest.mark.unit

ACCOUNT, RECEIVER = "0x" + "a1" * 20, "0x" + "b2" * 20
TOKEN, OTHER_TOKEN = "0x" + "c3" * 20, "0x" + "d4" * 20
PARAMS = TaskParams.default(
    model_spec_hash=b"\7" * 32, genesis_model_root=b"\7" * 32, dimension=10, closes_at=10**10
)


class Chain:
    """A contract with tasks in these currencies that owes somebody these amounts."""

    interface = SimpleNamespace(topics={"TaskCreated": b"\1" * 32})

    def __init__(self, owed: dict[str, int], *, paid_in: tuple[str, ...] = (TOKEN,)) -> None:
        self._owed = owed
        params = (replace(PARAMS, currency=currency) for currency in paid_in)
        created = tuple(
            Happened(number, 0, "TaskCreated", {"params": each.abi_tuple()})
            for number, each in enumerate(params)
        )
        self.events = SimpleNamespace(until=lambda *_: created)
        self.block = None
        self.chain = self

    def head(self) -> None: ...

    def at(self, _block: None) -> "Chain":
        return self

    def credit(self, currency: str, account: str) -> int:
        return self._owed.get(currency, 0) if account == ACCOUNT else 0


class Sender:
    """Pays what it is told to, but for what a liar's token refuses."""

    address = ACCOUNT

    def __init__(self, chain: Chain, lying: str | None = None) -> None:
        self.chain = chain
        self.sent: list[tuple[str, tuple[object, ...]]] = []
        self._lying = lying

    def send(self, function: str, args: tuple[object, ...], *, purpose: str) -> None:
        assert purpose
        if args[0] == self._lying:
            raise Reverted(function, "TransferFailed", {})
        self.sent.append((function, args))


@pytest.mark.parametrize(
    ("amount_wei", "words"),
    [
        (0, "0 ETH"),
        (1, "0.000000000000000001 ETH"),
        (10**17, "0.1 ETH"),
        (10**19, "10 ETH"),
        (2**96, "79228162514.264337593543950336 ETH"),
    ],
)
def test_ether_is_written_to_the_last_wei_and_without_zeros(amount_wei, words):
    assert in_words(amount_wei, ZERO_ADDRESS) == words


def test_tokens_are_counted_in_their_smallest_unit():
    assert in_words(250, TOKEN) == f"250 of token {TOKEN}"


def test_every_currency_of_the_contract_is_asked_for_once():
    chain = Chain({}, paid_in=(TOKEN, ZERO_ADDRESS, OTHER_TOKEN, TOKEN))

    assert currencies(chain) == (ZERO_ADDRESS, TOKEN, OTHER_TOKEN)


def test_only_what_is_owed_is_a_credit():
    assert credits_of(Chain({TOKEN: 5}), ACCOUNT) == {TOKEN: 5}
    assert credits_of(Chain({TOKEN: 5}), RECEIVER) == {}


def test_every_credit_is_paid_to_the_receiver():
    sender = Sender(Chain({ZERO_ADDRESS: 7, TOKEN: 2**70}))

    payments = withdraw_all(sender, RECEIVER)

    assert payments == (
        Payment(ZERO_ADDRESS, "7", None),
        Payment(TOKEN, str(2**70), None),
    )
    assert sender.sent == [("withdraw", (each.currency, RECEIVER)) for each in payments]
    assert status_of(payments) is ExitCode.OK


def test_token_that_refuses_holds_no_other_currency_back():
    chain = Chain({TOKEN: 1, OTHER_TOKEN: 2}, paid_in=(TOKEN, OTHER_TOKEN))

    payments = withdraw_all(Sender(chain, lying=TOKEN), RECEIVER)

    assert [each.refused is None for each in payments] == [False, True]
    assert "TransferFailed" in payments[0].refused
    assert status_of(payments) is ExitCode.CHAIN


@pytest.mark.parametrize(
    ("payments", "lines"),
    [
        ((), ["withdrawn nothing"]),
        (
            (Payment(ZERO_ADDRESS, "7" + "0" * 18, None), Payment(TOKEN, "9", "it lies")),
            [f"withdrawn 7 ETH to {RECEIVER}", f"refused   9 of token {TOKEN}: it lies"],
        ),
    ],
)
def test_payments_are_one_line_each(payments, lines):
    with CliRunner().isolation() as (out, *_):
        print_payments(payments, RECEIVER)
        assert out.getvalue().decode().splitlines() == lines
