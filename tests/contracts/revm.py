"""The committed contract in an EVM of microseconds: many thousands of calls in one test.

No node, no transactions and no accounts: a caller is an address with money, time is set.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address
from pyrevm import EVM, BlockEnv

from contracts import artifact
from protocol.chain.abi import Interface
from protocol.chain.reverts import reverted

CHAIN_ID = 1
PURSE_WEI = 10**30
_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")
_CODE = artifact.load()
INTERFACE = Interface(_CODE.abi)
# In the order in which the main contract is told where they are.
PARTS = ("Members", "Availability", "Challenges", "Votes")


def account(number: int) -> str:
    """An address for a number."""
    return str(to_checksum_address(keccak(b"account %d" % number)[-20:]))


class Revm:
    """One contract, its clock and whoever calls."""

    def __init__(self, now: int = 1_750_000_000) -> None:
        self._evm = EVM(spec_id="PRAGUE")
        self.block = 1
        self.travel(now)
        parts = [self.deploy(_CODE.contracts[name].bytecode) for name in PARTS]
        addresses = encode(["address"] * len(PARTS), parts)
        self.contract = self.deploy(_CODE.contracts["Volquorum"].bytecode + addresses)

    def deploy(self, creation_code: bytes) -> str:
        """Where a contract stands now."""
        return str(to_checksum_address(self._evm.deploy(account(0), creation_code)))

    def travel(self, now: int) -> None:
        """The next block, at this time."""
        self.block += 1
        self.now = now
        self._evm.set_block_env(BlockEnv(number=self.block, timestamp=now, basefee=0))

    def send(self, caller: str, function: str, *arguments: object, value_wei: int = 0) -> Any:
        """What a call returned; its effects stay. Raises: Reverted."""
        described = INTERFACE.functions[function]
        try:
            answer = self.raw(caller, described.encode(arguments), value_wei)
        except RuntimeError as refused:
            raise reverted(function, refusal(refused), INTERFACE, str(refused)) from None
        values = described.decode(answer)
        return values[0] if len(values) == 1 else values

    def raw(self, caller: str, calldata: bytes, value_wei: int = 0) -> bytes:
        """A call of any bytes. Raises: RuntimeError with the output in its text."""
        if self.balance(caller) < value_wei:
            self._evm.set_balance(caller, PURSE_WEI)
        return bytes(
            self._evm.message_call(
                caller=caller, to=self.contract, calldata=calldata, value=value_wei
            )
        )

    def balance(self, address: str) -> int:
        """In wei."""
        return int(self._evm.get_balance(address))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is taken back, but for the clock."""
        before = self._evm.snapshot()
        try:
            yield
        finally:
            self._evm.revert(before)


def refusal(refused: RuntimeError) -> bytes:
    """What a call reverted with. Raises: the error itself if it is none of a revert."""
    found = _OUTPUT.search(str(refused))
    if found is None:
        raise refused
    return bytes.fromhex(found[1])
