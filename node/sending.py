"""Sends a participant's transactions: one purpose, one transaction, whatever is repeated."""

import structlog

from protocol.chain.gateway import Snapshot
from protocol.chain.rpc import quantity
from protocol.chain.token import value_to_send
from protocol.chain.transactor import Transactor
from protocol.errors import Reverted
from protocol.task import ZERO_ADDRESS

# What the contract answers where somebody else, or the clock, was quicker.
TOO_LATE = frozenset(
    {
        "WrongPhase",
        "RoundRunning",
        "AlreadySettled",
        "AlreadyDrawn",
        "AlreadyVoted",
        "JustRefuted",
        "NotScoring",
        "NothingWithheld",
        "NothingToDistribute",
        "AlreadyFlagged",
        "FlaggingOver",
        "NotFlagged",
        "PostingOver",
        "NotUnavailable",
        "NotOutvoted",
        "NotSeated",
        "DepositNotFree",
        "SealExists",
        "NoAward",
    }
)

# A commitment or an opening takes about half as much.
GAS_OF_OWN_CALL = 200_000

log = structlog.get_logger("node")


class Sending:
    """One task's transactions of one key, paid in the task's currency."""

    def __init__(
        self, transactor: Transactor, task_id: bytes, currency: str = ZERO_ADDRESS
    ) -> None:
        self._transactor = transactor
        self._task = task_id.hex()
        self._currency = currency

    def send(self, function: str, args: tuple[object, ...], purpose: str, wei: int = 0) -> None:
        """Has a call mined once for this purpose; of a token it first allows to take `wei`.

        Raises: ChainError.
        """
        value_wei = value_to_send(self._transactor, self._currency, wei) if wei else 0
        named = f"{self._task}:{purpose}"
        self._transactor.send(function, args, value_wei=value_wei, purpose=named)
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


def can_pay_gas(snapshot: Snapshot, account: str) -> bool:
    """Whether an account can send a commitment or an opening by itself."""
    rpc, number = snapshot.chain.rpc, hex(snapshot.block.number)
    balance = quantity(rpc.request("eth_getBalance", account, number), "eth_getBalance", bits=256)
    price_wei = quantity(rpc.request("eth_gasPrice"), "eth_gasPrice", bits=128)
    # A transaction offers twice what gas costs now, to outlast a few full blocks.
    return balance >= 2 * price_wei * GAS_OF_OWN_CALL
