"""Whoever comes second is told so; whatever else the contract refuses is not hidden."""

import pytest

from node.sending import TOO_LATE, Sending
from protocol.chain.gateway import INTERFACE
from protocol.errors import Reverted

pytestmark = pytest.mark.unit

TASK = b"\5" * 32


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
