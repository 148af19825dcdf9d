"""Sends a participant's transactions: one purpose, one transaction, whatever is repeated."""

from typing import Protocol

import structlog

from protocol.errors import Reverted

# What the contract answers where somebody else, or the clock, was quicker.
TOO_LATE = frozenset(
    {
        "WrongPhase",
        "AlreadyFlagged",
        "FlaggingOver",
        "NotFlagged",
        "PostingOver",
        "NotUnavailable",
        "DepositNotFree",
        "SealExists",
    }
)

log = structlog.get_logger("node")


class Transactor(Protocol):
    """The part of `protocol.chain.transactor.Transactor` that a node needs."""

    def send(
        self, function: str, args: tuple[object, ...], *, value_wei: int = 0, purpose: str
    ) -> object: ...


class Sending:
    """One task's transactions of one key."""

    def __init__(self, transactor: Transactor, task_id: bytes) -> None:
        self._transactor = transactor
        self._task = task_id.hex()

    def send(self, function: str, args: tuple[object, ...], purpose: str, wei: int = 0) -> None:
        """Has a call mined once for this purpose. Raises: ChainError."""
        self._transactor.send(function, args, value_wei=wei, purpose=f"{self._task}:{purpose}")
        log.info("sent", function=function, purpose=purpose)

    def send_in_time(
        self, function: str, args: tuple[object, ...], purpose: str, wei: int = 0
    ) -> None:
        """Sends what anybody may do, unless somebody else was quicker. Raises: ChainError."""
        try:
            self.send(function, args, purpose, wei)
        except Reverted as refused:
            if refused.error not in TOO_LATE:
                raise
            log.info("came too late", function=function, reason=str(refused))
