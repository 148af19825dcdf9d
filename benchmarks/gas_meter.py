"""Where the gas of a call goes, counted instruction by instruction in py-evm."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from eth.abc import ComputationAPI
from eth.vm.forks.prague.computation import PragueComputation
from eth_utils.address import to_canonical_address

INTRINSIC: Final = "transaction and calldata"
CODE: Final = "other code"
KINDS: Final = MappingProxyType(
    {
        "SLOAD": "reading storage",
        "SSTORE": "writing storage",
        "SHA3": "hashing",
        "STATICCALL": "recovering a signer",
    }
    | dict.fromkeys((f"LOG{topics}" for topics in range(5)), "event")
)
"""What an instruction is counted as."""


@dataclass(frozen=True)
class Spent:
    """One participant's part of a transaction."""

    gas: Mapping[str, int]
    slots_touched: float
    slots_written: float


class Meter:
    """While it is entered, counts what the latest transaction to a contract spends.

    For calls that earn no refund and call nothing but precompiles.
    """

    def __init__(self, contract: str) -> None:
        self._contract = to_canonical_address(contract)
        self._transaction: object = None
        self._gas: Counter[str] = Counter()
        self._touched: set[int] = set()
        self._written: set[int] = set()

    def __enter__(self) -> Self:
        self._plain = PragueComputation.opcodes
        PragueComputation.opcodes = {
            code: self._metered(logic) for code, logic in self._plain.items()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        PragueComputation.opcodes = self._plain

    def spent(self, gas_used: int, participants: int) -> Spent:
        """What the latest transaction spent of this gas, shared among so many."""
        gas = {INTRINSIC: gas_used - self._gas.total(), **self._gas}
        return Spent(
            {kind: round(units / participants) for kind, units in gas.items()},
            len(self._touched) / participants,
            len(self._written) / participants,
        )

    def _metered(self, logic: Any) -> Callable[[ComputationAPI], object]:
        mnemonic: str = getattr(logic, "mnemonic", "")
        kind = KINDS.get(mnemonic, CODE)

        def run(computation: Any) -> object:
            if computation.msg.storage_address != self._contract:
                return logic(computation)
            if computation.transaction_context is not self._transaction:
                self._transaction = computation.transaction_context
                for counted in (self._gas, self._touched, self._written):
                    counted.clear()
            if mnemonic in {"SLOAD", "SSTORE"}:
                slot = computation.stack_pop1_int()
                computation.stack_push_int(slot)
                self._touched.add(slot)
                if mnemonic == "SSTORE":
                    self._written.add(slot)
            before = computation.get_gas_remaining()
            try:
                return logic(computation)
            finally:
                self._gas[kind] += before - computation.get_gas_remaining()

        return run
