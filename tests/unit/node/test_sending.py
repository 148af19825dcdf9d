"""Whoever comes second is told so; whatever else the contract refuses is not hidden."""

from types import SimpleNamespace

import pytest

from node import sending
from node.sending import GAS_OF_OWN_CALL, TOO_LATE, Sending, can_pay_gas
from protocol.chain.code import INTERFACE
from protocol.errors import Reverted

pytestmark = pytest.mark.unit

TASK = b"\5" * 32
TOKEN, OWN = "0x" + "70" * 20, "0x" + "0a" * 20


class Refusing:
    """A transactor whose contract refuses everything for one reason."""

    def __init__(self, error: str | None = None) -> None:
        self._error = error
        self.sent: list[tuple[object, ...]] = []

    def send(self, function, args, *, value_wei=0, purpose):
        self.sent.append((function, args, value_wei, purpose))
        if self._error is not None:
            raise Reverted(function, self._error, {})


def test_purpose_names_the_task():
    transactor = Refusing()

    Sending(transactor, TASK).send("flagUpdate", (TASK, 1), "1:flag", 7)

    assert transactor.sent == [("flagUpdate", (TASK, 1), 7, f"{TASK.hex()}:1:flag")]


def test_token_is_allowed_to_be_taken_and_no_ether_sent(monkeypatch):
    transactor, allowed = Refusing(), []

    def value_to_send(_, currency, wei):
        allowed.append((currency, wei))
        return 0

    monkeypatch.setattr(sending, "value_to_send", value_to_send)
    paying = Sending(transactor, TASK, TOKEN)
    paying.send("join", (TASK, 60), "join:7", 100)
    paying.send("leave", (TASK,), "leave")

    assert allowed == [(TOKEN, 100)], "what pays nothing allows nothing"
    assert [(function, wei) for function, _, wei, _ in transactor.sent] == [
        ("join", 0),
        ("leave", 0),
    ]


@pytest.mark.parametrize(("spare_wei", "affords"), [(0, True), (-1, False)])
def test_gas_can_be_paid_by_whoever_has_what_a_transaction_offers(spare_wei, affords):
    price_wei = 3 * 10**9
    answers = {
        ("eth_getBalance", OWN, "0x9"): hex(2 * price_wei * GAS_OF_OWN_CALL + spare_wei),
        ("eth_gasPrice",): hex(price_wei),
    }
    rpc = SimpleNamespace(request=lambda *asked: answers[asked])
    snapshot = SimpleNamespace(chain=SimpleNamespace(rpc=rpc), block=SimpleNamespace(number=9))

    assert can_pay_gas(snapshot, OWN) is affords


@pytest.mark.parametrize("error", sorted(TOO_LATE))
def test_coming_too_late_is_no_failure(error):
    Sending(Refusing(error), TASK).send_in_time("flagUpdate", (), "1:flag")
    with pytest.raises(Reverted, match=error):
        Sending(Refusing(error), TASK).send("flagUpdate", (), "1:flag")


@pytest.mark.parametrize("error", ["UpdatesMismatch", "BadPart", "NoFraud", "WrongValue"])
def test_what_a_bug_would_cause_is_raised(error):
    with pytest.raises(Reverted, match=error):
        Sending(Refusing(error), TASK).send_in_time("postUpdate", (), "1:post")


def test_every_reason_is_an_error_of_the_contract():
    assert {error.name for error in INTERFACE.errors.values()} >= TOO_LATE
