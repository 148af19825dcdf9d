"""Puts the contracts on a chain, and remembers where in a file that people and programs read."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    ValidationError,
)
from web3.providers import BaseProvider

from contracts import artifact
from protocol.chain.abi import Interface
from protocol.chain.code import ADVICE, CONTRACT, INTERFACE, MODULES, RUNTIME_HASH, check_code
from protocol.chain.gateway import Chain
from protocol.chain.outbox import IN_MEMORY, Call, Outbox
from protocol.chain.rpc import DEFAULT_TIMEOUT_SECONDS, Rpc, quantity
from protocol.chain.sender import Sender, SenderSettings
from protocol.errors import ChainAnswerInvalid, ConfigError, WrongChain
from protocol.settings import faults
from protocol.storage import writing

DEPLOY_PURPOSE = "deploy"


def _hash_from(value: object) -> object:
    """Hex from the file; bytes pass, and anything else is refused by the field's type."""
    if not isinstance(value, str):
        return value
    if not value.startswith("0x") or len(value) != 66:
        raise ValueError("wanted 32 bytes in hex, beginning with 0x")
    return bytes.fromhex(value[2:])


Hash = Annotated[
    bytes,
    BeforeValidator(_hash_from),
    PlainSerializer(lambda value: "0x" + value.hex(), return_type=str),
]
Address = Annotated[str, AfterValidator(lambda value: str(to_checksum_address(value)))]


class Deployment(BaseModel):
    """Where a contract stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chain_id: PositiveInt
    contract: Address
    block: NonNegativeInt
    """The block that created it; events are read from there."""
    runtime_hash: Hash
    """Of the code that was deployed, that of the modules included."""
    seed_source: Address | None = None
    """What the seats of rounds can be drawn with, if that was deployed too."""
    task_id: Hash | None = None
    """The task that the network trains, once there is one."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises: ConfigError if the file is missing or is not a deployment."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as failure:
            raise ConfigError(
                f"the deployment {path} cannot be read: {failure.strerror}; wanted the file that "
                "the command deploy wrote"
            ) from failure
        except ValidationError as failure:
            found = "; ".join(faults(failure, cls.model_fields))
            raise ConfigError(f"{path} is not a deployment: {found}") from failure

    @classmethod
    def of(cls, chain: Chain) -> Self:
        """That of a contract whose code was checked when it was connected to."""
        return cls(
            chain_id=chain.chain_id,
            contract=chain.contract,
            block=chain.deployed_at,
            runtime_hash=RUNTIME_HASH,
        )

    def write(self, path: Path) -> None:
        """Replaces the file at once: no reader sees half of it. Raises: StorageError."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with writing(path):
            with partial.open("w", encoding="ascii") as file:
                file.write(self.model_dump_json(indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)

    def with_task(self, task_id: bytes) -> Self:
        """The same deployment, training this task."""
        return self.model_copy(update={"task_id": task_id})

    def connect(
        self, endpoint: str | BaseProvider, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> Chain:
        """The contract through a node, checked to be this one. Raises: WrongChain."""
        if self.runtime_hash != RUNTIME_HASH:
            raise WrongChain(
                f"the deployment file says that {self.contract} was deployed from another version "
                f"of the contracts: wanted code that hashes to {RUNTIME_HASH.hex()}, found "
                f"{self.runtime_hash.hex()}; {ADVICE}"
            )
        return Chain.connect(
            endpoint,
            self.contract,
            self.chain_id,
            deployed_at=self.block,
            timeout_seconds=timeout_seconds,
        )


class SeedSource(NamedTuple):
    """A contract of the artifact that gives seeds, and what its constructor takes."""

    name: str
    arguments: Sequence[object] = ()


def deploy(
    endpoint: str | BaseProvider,
    account: LocalAccount,
    *,
    seed_source: SeedSource | None = None,
    outbox: Outbox | None = None,
    purpose: str = DEPLOY_PURPOSE,
    settings: SenderSettings | None = None,
    on_created: Callable[[str, str, int], None] | None = None,
) -> Deployment:
    """Puts the contract with its modules, and a source of seeds, on the chain of `endpoint`.

    In a lasting `outbox` each is created once per purpose, wherever an earlier run was cut off.
    `on_created` is told each contract's name, address and block as soon as it stands.
    """
    rpc = Rpc(endpoint)
    chain_id = quantity(rpc.request("eth_chainId"), "eth_chainId")
    sender = Sender(
        rpc,
        chain_id,
        account,
        outbox=outbox or Outbox(IN_MEMORY),
        interface=INTERFACE,
        settings=settings,
    )

    def create(name: str, types: Sequence[str], arguments: Sequence[object]) -> tuple[str, int]:
        code = artifact.load().contracts[name].bytecode + encode(types, arguments)
        receipt = sender.send("deploy", Call(None, code, 0), f"{purpose}:{name.lower()}")
        if receipt.created is None:
            raise ChainAnswerInvalid(f"the receipt of the deployment of {name} names no contract")
        if on_created is not None:
            on_created(name, receipt.created, receipt.block_number)
        return receipt.created, receipt.block_number

    modules = [create(name, (), ())[0] for name in MODULES]
    contract, block = create(CONTRACT, ("address",) * len(MODULES), modules)
    check_code(rpc, contract)
    source = None
    if seed_source is not None:
        described = Interface(artifact.load().contracts[seed_source.name].abi)
        source, _ = create(seed_source.name, described.constructor, seed_source.arguments)
    return Deployment(
        chain_id=chain_id,
        contract=contract,
        block=block,
        runtime_hash=RUNTIME_HASH,
        seed_source=source,
    )
