"""A whole chain inside this process: py-evm behind eth-tester, whose time stands still until told.

A transaction is mined at once, one second after the last block; `travel` moves the clock without
waiting. Made for the demo and for tests. Requests run one at a time: eth-tester is not thread-safe.
"""

import ast
import threading
from collections.abc import Mapping
from typing import Any, Final

from eth.abc import MiningChainAPI
from eth.vm.spoof import SpoofTransaction
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import BlockNotFound, TransactionFailed
from eth_tester.exceptions import ValidationError as TesterValidationError
from eth_utils.address import to_canonical_address
from eth_utils.conversions import to_bytes
from eth_utils.exceptions import ValidationError
from web3.exceptions import ContractLogicError
from web3.providers.eth_tester import EthereumTesterProvider
from web3.providers.eth_tester.middleware import ethereum_tester_middleware
from web3.types import RPCEndpoint, RPCResponse

from protocol.chain.reverts import EXECUTION_ERROR
from protocol.chain.sender import GAS_CAP

BLOCK_GAS_LIMIT = 60_000_000
# 2025-01-01T00:00:00Z; any fixed time makes runs repeatable.
DEFAULT_START_TIMESTAMP = 1_735_689_600
DEFAULT_ACCOUNTS = 10
BALANCE_WEI = 10**24
# EIP-1474.
RESOURCE_NOT_FOUND = -32001
TRANSACTION_REJECTED = -32003
_REVERTED: Final = "execution reverted"


class EmbeddedChain:
    """A chain with funded accounts, derived from `seed`, that knows no other time than its own."""

    def __init__(
        self,
        seed: str = "volquorum",
        *,
        accounts: int = DEFAULT_ACCOUNTS,
        start_timestamp: int = DEFAULT_START_TIMESTAMP,
    ) -> None:
        self.accounts: tuple[LocalAccount, ...] = tuple(
            Account.from_key(keccak(f"{seed}:{index}".encode())) for index in range(accounts)
        )
        state = {"balance": BALANCE_WEI, "nonce": 0, "code": b"", "storage": {}}
        genesis = {"timestamp": start_timestamp, "gas_limit": BLOCK_GAS_LIMIT}
        backend = PyEVMBackend(
            genesis_parameters=PyEVMBackend.generate_genesis_params(genesis),
            genesis_state={to_canonical_address(key.address): state for key in self.accounts},
        )
        self.provider = EmbeddedProvider(EthereumTester(backend), self.accounts[0].address)

    def now(self) -> int:
        """The latest block's time."""
        return self.provider.now()

    def travel(self, to_timestamp: int) -> None:
        """Mines a block at `to_timestamp`, unless that is the latest block's time already."""
        self.provider.travel(to_timestamp)

    def snapshot(self) -> bytes:
        """Marks the present state for `revert`."""
        return self.provider.snapshot()

    def revert(self, snapshot: bytes) -> None:
        """Forgets every block since `snapshot`, as a reorganisation would."""
        self.provider.revert(snapshot)


class EmbeddedProvider(EthereumTesterProvider):
    """eth-tester as a node: one request at a time, errors as JSON-RPC has them, its own clock."""

    # Without web3's middleware that guesses a sender by two more requests for every call.
    _middleware = (ethereum_tester_middleware,)  # type: ignore[assignment] # one instead of two

    def __init__(self, tester: EthereumTester, reader: str) -> None:
        super().__init__(tester)
        self._tester = tester
        self._reader = reader
        self._lock = threading.RLock()

    def make_request(self, method: RPCEndpoint, params: list[Any]) -> RPCResponse:
        """The node's answer; refusals are answers too."""
        with self._lock:
            try:
                if method == "eth_call" and "from" not in params[0]:
                    # py-evm refuses calls from accounts that could not pay for them.
                    params = [{**params[0], "from": self._reader}, *params[1:]]
                if method == "eth_sendRawTransaction":
                    self._stop_clock()
                if method == "eth_estimateGas":
                    return {"jsonrpc": "2.0", "id": 0, "result": hex(self._gas_for(params[0]))}
                answer = super().make_request(method, params)
                return _with_header(answer) if method == "eth_getBlockByNumber" else answer
            except TransactionFailed as failed:
                data = _reverted_with(str(failed))
                return _refusal(EXECUTION_ERROR, str(failed) if data is None else _REVERTED, data)
            except ContractLogicError as failed:
                return _refusal(EXECUTION_ERROR, str(failed.message), str(failed.data))
            except (ValidationError, TesterValidationError) as failed:
                return _refusal(TRANSACTION_REJECTED, str(failed), None)
            except BlockNotFound as failed:
                return _refusal(RESOURCE_NOT_FOUND, str(failed), None)

    def _gas_for(self, transaction: Mapping[str, Any]) -> int:
        # eth-tester would search in a dozen runs, and in a block that has the machine's time.
        self._stop_clock()
        sender = to_canonical_address(transaction["from"])
        machine = self._chain.get_vm(self._chain.header)
        state = machine.state
        # The builders' base class does not know the younger kinds of transactions.
        builder: Any = machine.get_transaction_builder()
        unsigned = builder.new_unsigned_dynamic_fee_transaction(
            chain_id=self._chain.chain_id,
            nonce=state.get_nonce(sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=2 * state.base_fee,
            gas=GAS_CAP,
            to=to_canonical_address(transaction["to"]) if "to" in transaction else b"",
            value=transaction["value"],
            data=to_bytes(hexstr=transaction["data"]),
            access_list=(),
        )
        before = state.snapshot()
        spoofed: Any = SpoofTransaction(unsigned, from_=sender)
        run = state.apply_transaction(spoofed)
        state.revert(before)
        if run.is_error:
            raise TransactionFailed(str(run.error))
        # Without refunds, which come too late to be spent.
        return int(unsigned.intrinsic_gas + run.get_gas_used())

    def now(self) -> int:
        with self._lock:
            return self._head_timestamp()

    def travel(self, to_timestamp: int) -> None:
        with self._lock:
            now = self._head_timestamp()
            if to_timestamp < now:
                raise ValueError(f"it is {now} already, later than {to_timestamp}")
            if to_timestamp > now:
                self._chain.set_header_timestamp(to_timestamp)
                self._tester.mine_block()

    def snapshot(self) -> bytes:
        with self._lock:
            return bytes(self._tester.backend.take_snapshot())

    def revert(self, snapshot: bytes) -> None:
        with self._lock:
            self._tester.backend.revert_to_snapshot(snapshot)

    @property
    def _chain(self) -> MiningChainAPI:
        # Reverting to the first block replaces the object, so it is not kept.
        chain: MiningChainAPI = self._tester.backend.chain
        return chain

    def _head_timestamp(self) -> int:
        return int(self._chain.get_canonical_head().timestamp)

    def _stop_clock(self) -> None:
        # py-evm would take the machine's time for the next block wherever that is later.
        self._chain.set_header_timestamp(self._head_timestamp() + 1)


def _with_header(answer: RPCResponse) -> RPCResponse:
    # eth-tester pads the extra data, of which blocks here have none, and gives the bloom as an
    # integer; the block's hash is that of its true header.
    block = answer["result"]
    if block is None:
        return answer
    header = {"extra_data": "0x", "logs_bloom": f"0x{block['logs_bloom']:0512x}"}
    return answer | {"result": dict(block) | header}


def _refusal(code: int, message: str, data: str | None) -> RPCResponse:
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": 0, "error": error}  # type: ignore[typeddict-item] # built above


def _reverted_with(message: str) -> str | None:
    # eth-tester turns a revert's bytes into their Python literal and that into a message.
    literal = message.removeprefix(f"{_REVERTED}: ")
    if not literal.startswith(("b'", 'b"')):
        return None
    return "0x" + bytes(ast.literal_eval(literal)).hex()
