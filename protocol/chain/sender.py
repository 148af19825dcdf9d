"""Gets a signed transaction mined, whatever happens on the way.

A crash, a lost reply, a full pool and a second copy of this process all end the same way: the
outbox knows which bytes may be out, the nonce lets one of them count, and the chain says which.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import structlog
from eth_account.signers.local import LocalAccount
from eth_account.types import TransactionDictType
from eth_typing import HexStr

from protocol.chain.abi import Interface
from protocol.chain.outbox import FAILED, Attempt, Call, Outbox, Sending, State
from protocol.chain.reverts import revert_data, reverted
from protocol.chain.rpc import Rpc, RpcRefused, address, fields, octets, quantity
from protocol.errors import (
    ChainAnswerInvalid,
    ChainError,
    ChainUnavailable,
    Reverted,
    StorageError,
    TransactionLost,
)

# EIP-7825: no transaction may use more.
GAS_CAP = 16_777_216
# Between estimate and block a call can get dearer by a settlement or a fresh slot.
GAS_MARGIN = 1.25
GAS_MARGIN_UNITS = 30_000
# Nodes replace a transaction for +10 %; one in eight is what they recommend.
REPLACEMENT_FACTOR_EIGHTHS = 9
FALLBACK_TIP_WEI = 10**9

# Refusals that do not mean "this cannot be mined": the nonce is in use, by these bytes or others.
_PERHAPS_OURS: Final = re.compile(r"already|known|nonce|underpriced", re.IGNORECASE)
# What geth, anvil, Besu and the chain in this process say of an account that cannot pay.
_TOO_POOR: Final = re.compile(
    r"insufficient (funds|balance)|exceeds account balance|cannot afford", re.IGNORECASE
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Receipt:
    """A mined transaction's outcome."""

    tx_hash: bytes
    block_number: int
    gas_used: int
    status: int
    """1: done. A 0 is raised as `Reverted` and never returned."""
    created: str | None = None
    """The contract that it created, if any."""


@dataclass(frozen=True)
class SenderSettings:
    """How much to offer and how long to wait."""

    max_fee_cap_wei: int = 500 * 10**9
    """Most that is ever offered for one unit of gas."""
    receipt_deadline_seconds: float = 120.0
    """How long one call waits for its transaction; it stays in flight after that."""
    replace_after_seconds: float = 30.0
    """How long to wait before offering an eighth more for the same nonce."""
    poll_seconds: float = 0.5


@dataclass(frozen=True)
class Fees:
    """What to offer for a unit of gas; without a tip, as before EIP-1559."""

    max_fee_wei: int
    tip_wei: int | None


class Sender:
    """Sends one key's transactions, one at a time."""

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        account: LocalAccount,
        *,
        outbox: Outbox,
        interface: Interface,
        settings: SenderSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._account = account
        self._lane = outbox.lane(chain_id, account.address)
        self._interface = interface
        self._settings = settings or SenderSettings()
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._stopped = False

    def send(self, name: str, call: Call, purpose: str) -> Receipt:
        """Has `call` mined once for this purpose, now or earlier; `name` is for messages.

        Raises:
            Reverted: the contract refuses it; nothing was sent, or it was mined and failed.
            TransactionLost: another transaction took its nonce; read the chain before deciding.
            ChainUnavailable: no outcome yet; the same call later takes up where this one stopped.
        """
        with self._lock:
            if self._stopped:
                raise ChainUnavailable(f"{purpose} was not sent: this process is about to end")
            self._finish_before(purpose)
            sending, fresh = self._lane.find(purpose), False
            if sending is None or sending.state in FAILED:
                sending, fresh = self._prepare(name, call, purpose)
            if sending.call != call:
                raise ChainError(
                    f"purpose {purpose} was used for another call (nonce {sending.nonce}); "
                    "a purpose names exactly one"
                )
            if fresh:
                self._broadcast_first(name, sending)
            elif sending.state is State.IN_FLIGHT:
                self._broadcast_again(sending)
            return self._outcome(name, sending)

    def stop(self) -> None:
        """Ends waiting, and sends nothing new: this process is about to end."""
        # A plain flag: a signal's handler may set it in the middle of anything.
        self._stopped = True

    def simulate(self, name: str, call: Call) -> None:
        """Runs the call without sending it. Raises: Reverted."""
        self._ask("eth_call", name, call, "latest")

    def _finish_before(self, purpose: str) -> None:
        """Brings what an earlier run left to its end: nothing later can be mined before it."""
        self._lane.reopen(self._chain_nonce())
        for sending in self._lane.in_flight():
            if sending.purpose == purpose:
                break
            _log.info("resuming a transaction", purpose=sending.purpose, nonce=sending.nonce)
            self._broadcast_again(sending)
            try:
                self._outcome(sending.purpose, sending)
            except (Reverted, TransactionLost) as failed:
                _log.warning("a resumed transaction failed", error=str(failed))

    def _prepare(self, name: str, call: Call, purpose: str) -> tuple[Sending, bool]:
        try:
            self.simulate(name, call)
            # On the mined state: a copy of this transaction in the pool must not change the answer.
            answer = self._ask("eth_estimateGas", name, call, "latest")
        except Reverted:
            # Another process that shares the outbox may have been faster, which is why it reverts.
            known = self._lane.find(purpose)
            if known is None or known.state in FAILED:
                raise
            return known, False
        estimate = quantity(answer, "eth_estimateGas")
        gas = min(GAS_CAP, int(estimate * GAS_MARGIN) + GAS_MARGIN_UNITS)
        fees = self._fees()

        def sign(nonce: int) -> Attempt:
            return self._sign(call, nonce, gas, fees)

        return self._lane.add(purpose, call, gas, self._chain_nonce(), sign)

    def _outcome(self, name: str, sending: Sending) -> Receipt:
        """Waits until the chain says what became of a sending, offering more as time passes."""
        started = self._clock()
        patience = started + self._settings.replace_after_seconds
        while True:
            # The nonce first: asked in this order, a used nonce without a receipt is not a race.
            nonce = self._chain_nonce()
            # Another process may have offered more for the same nonce.
            sending = self._lane.reload(sending)
            for attempt in sending.attempts:
                receipt = self._receipt(attempt)
                if receipt is not None:
                    return self._settled(name, sending, receipt)
            if self._stopped:
                raise ChainUnavailable(
                    f"{sending.purpose} (nonce {sending.nonce}) was not mined before this process"
                    " was told to end; it stays in flight and is taken up by the next one"
                )
            now = self._clock()
            if now - started >= self._settings.receipt_deadline_seconds:
                raise self._overdue(sending, nonce)
            if now >= patience and nonce <= sending.nonce:
                self._broadcast_again(self._offer_more(sending))
                patience = now + self._settings.replace_after_seconds
            self._sleep(self._settings.poll_seconds)

    def _settled(self, name: str, sending: Sending, receipt: Receipt) -> Receipt:
        if receipt.status == 1:
            self._note(sending, State.MINED)
            return receipt
        self._note(sending, State.REVERTED)
        # The same call after the block it failed in, to hear the reason again.
        self._ask("eth_call", name, sending.call, hex(receipt.block_number))
        gas_used = {"tx_hash": receipt.tx_hash, "gas_used": receipt.gas_used, "gas": sending.gas}
        raise Reverted(name, "unknown", gas_used)

    def _note(self, sending: Sending, state: State) -> None:
        """Writes an outcome down, which the chain tells again where the disk refuses."""
        try:
            self._lane.settle(sending, state)
        except StorageError as error:
            # Invariant: what is known to be mined is never told as anything else. In the outbox it
            # stays in flight, and nothing later is sent before its outcome is read once more.
            _log.warning("outcome_not_written", purpose=sending.purpose, why=str(error))

    def _overdue(self, sending: Sending, nonce: int) -> ChainError:
        waited = f"{self._settings.receipt_deadline_seconds:g} s"
        if nonce <= sending.nonce:
            return ChainUnavailable(
                f"{sending.purpose} (nonce {sending.nonce}) was not mined in {waited}; "
                "it stays in flight and is taken up again by the next call"
            )
        if sending.state is State.MINED:
            # Nodes forget old receipts; to send again would be to act twice.
            return ChainUnavailable(
                f"{sending.purpose} was mined as nonce {sending.nonce}, but the node has no "
                "receipt of it"
            )
        self._note(sending, State.LOST)
        return TransactionLost(
            f"{sending.purpose}: nonce {sending.nonce} was used by a transaction that is not in "
            "the outbox; does another program use this key?"
        )

    def _broadcast_first(self, name: str, sending: Sending) -> None:
        try:
            self._broadcast(sending)
        except RpcRefused as refused:
            if _PERHAPS_OURS.search(refused.message):
                return
            # No node took it and it was never sent before, so its nonce is still free.
            self._lane.withdraw(sending)
            raise self._explained(name, sending.call, refused) from refused

    def _broadcast_again(self, sending: Sending) -> None:
        try:
            self._broadcast(sending)
        except RpcRefused as refused:
            # Known, mined or outbid: the nonce and the receipts tell which.
            _log.debug("a transaction was not taken again", reason=refused.message)

    def _broadcast(self, sending: Sending) -> None:
        self._rpc.request("eth_sendRawTransaction", "0x" + sending.attempts[-1].raw.hex())

    def _offer_more(self, sending: Sending) -> Sending:
        last = sending.attempts[-1]
        now = self._fees()
        tip_wei = None if now.tip_wei is None else max(now.tip_wei, _raised(last.tip_wei))
        fees = Fees(max(now.max_fee_wei, _raised(last.max_fee_wei)), tip_wei)
        if fees.max_fee_wei > self._settings.max_fee_cap_wei:
            _log.warning("the fee cap holds a transaction up", purpose=sending.purpose)
            return sending
        attempt = self._sign(sending.call, sending.nonce, sending.gas, fees)
        return self._lane.add_attempt(sending, attempt)

    def _fees(self) -> Fees:
        head = fields(self._rpc.request("eth_getBlockByNumber", "latest", False), "block")
        cap_wei = self._settings.max_fee_cap_wei
        if head.get("baseFeePerGas") is None:
            price_wei = quantity(self._rpc.request("eth_gasPrice"), "eth_gasPrice", bits=128)
            least_wei, fees = price_wei, Fees(price_wei, None)
        else:
            base_wei = quantity(head["baseFeePerGas"], "block.baseFeePerGas", bits=128)
            tip_wei = self._tip_wei()
            least_wei = base_wei + tip_wei
            # Twice the base fee outlasts six full blocks in a row.
            fees = Fees(min(2 * base_wei + tip_wei, cap_wei), tip_wei)
        if least_wei > cap_wei:
            raise ChainUnavailable(f"gas costs {least_wei} wei, more than the cap of {cap_wei}")
        return fees

    def _tip_wei(self) -> int:
        try:
            answer = self._rpc.request("eth_maxPriorityFeePerGas")
        except RpcRefused:
            return FALLBACK_TIP_WEI
        return quantity(answer, "eth_maxPriorityFeePerGas", bits=128)

    def _sign(self, call: Call, nonce: int, gas: int, fees: Fees) -> Attempt:
        transaction: TransactionDictType = {
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": gas,
            "value": call.value_wei,
            "data": call.calldata,
        }
        if call.receiver is not None:
            transaction["to"] = HexStr(call.receiver)
        if fees.tip_wei is None:
            transaction["gasPrice"] = fees.max_fee_wei
        else:
            transaction["maxFeePerGas"] = fees.max_fee_wei
            transaction["maxPriorityFeePerGas"] = fees.tip_wei
        signed = self._account.sign_transaction(transaction)
        raw, tx_hash = bytes(signed.raw_transaction), bytes(signed.hash)
        return Attempt(tx_hash, raw, fees.max_fee_wei, fees.tip_wei or 0)

    def _receipt(self, attempt: Attempt) -> Receipt | None:
        answer = self._rpc.request("eth_getTransactionReceipt", "0x" + attempt.tx_hash.hex())
        if answer is None:
            return None
        found = fields(answer, "receipt")
        tx_hash = octets(found.get("transactionHash"), "receipt.transactionHash", length=32)
        status = quantity(found.get("status"), "receipt.status", bits=1)
        if tx_hash != attempt.tx_hash:
            raise ChainAnswerInvalid(
                f"asked for the receipt of {attempt.tx_hash.hex()}, got that of {tx_hash.hex()}"
            )
        created = found.get("contractAddress")
        return Receipt(
            tx_hash,
            quantity(found.get("blockNumber"), "receipt.blockNumber"),
            quantity(found.get("gasUsed"), "receipt.gasUsed"),
            status,
            None if created is None else address(created, "receipt.contractAddress"),
        )

    def _chain_nonce(self) -> int:
        answer = self._rpc.request("eth_getTransactionCount", self._account.address, "latest")
        return quantity(answer, "eth_getTransactionCount")

    def _ask(self, method: str, name: str, call: Call, block: str) -> object:
        transaction = {
            "from": self._account.address,
            "data": "0x" + call.calldata.hex(),
            "value": hex(call.value_wei),
        }
        if call.receiver is not None:
            transaction["to"] = call.receiver
        try:
            return self._rpc.request(method, transaction, block)
        except RpcRefused as refused:
            raise self._explained(name, call, refused) from refused

    def _explained(self, name: str, call: Call, refused: RpcRefused) -> ChainError:
        data = revert_data(refused)
        if data is not None:
            return reverted(name, data, self._interface, refused.message)
        if not _TOO_POOR.search(refused.message):
            return refused
        owner = self._account.address
        held_wei = quantity(
            self._rpc.request("eth_getBalance", owner, "latest"), "balance", bits=256
        )
        return ChainError(
            f"{name} takes {_in_ether(call.value_wei)} ETH and gas, and {owner} has "
            f"{_in_ether(held_wei)} ETH: send it more"
        )


def _in_ether(amount_wei: int) -> str:
    return f"{Decimal(amount_wei).scaleb(-18).normalize():f}"


def _raised(fee_wei: int) -> int:
    return -(-fee_wei * REPLACEMENT_FACTOR_EIGHTHS // 8)
