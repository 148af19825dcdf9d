"""Chains to test against: the embedded one and a real anvil, behind one small face."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from web3 import HTTPProvider, Web3
from web3.providers import BaseProvider

from protocol.chain.deployment import Deployment, deploy
from protocol.chain.embedded import DEFAULT_START_TIMESTAMP, EmbeddedChain
from protocol.chain.gateway import Chain
from protocol.chain.outbox import IN_MEMORY, Outbox
from protocol.chain.rpc import Rpc, fields, octets, quantity
from protocol.chain.sender import SenderSettings
from protocol.chain.transactor import Transactor
from protocol.errors import ChainUnavailable

ANVIL = Path("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
START_DEADLINE_SECONDS = 20.0
ACCOUNTS = 8
SETTINGS = SenderSettings(
    receipt_deadline_seconds=5.0, replace_after_seconds=2.0, poll_seconds=0.01
)


@dataclass
class Network:
    """A chain with a contract on it, funded accounts, and a clock that can be moved."""

    endpoint: str | BaseProvider
    accounts: tuple[LocalAccount, ...]
    deployment: Deployment
    travel: Callable[[int], None]
    snapshot: Callable[[], Any]
    revert: Callable[[Any], object]

    def connect(self) -> Chain:
        return self.deployment.connect(self.endpoint)

    def transactor(
        self,
        account: int,
        *,
        outbox: Outbox | None = None,
        chain: Chain | None = None,
        settings: SenderSettings = SETTINGS,
    ) -> Transactor:
        return Transactor(
            chain or self.connect(),
            self.accounts[account],
            outbox or Outbox(IN_MEMORY),
            settings,
        )


class Wrapped(BaseProvider):
    """A node whose requests and answers pass through the test's hands."""

    def __init__(
        self,
        inner: str | BaseProvider,
        handle: Callable[[str, Any, Callable[[], Any]], Any],
    ) -> None:
        super().__init__()
        provider = HTTPProvider(inner) if isinstance(inner, str) else inner
        web3 = Web3(provider, middleware=[])
        self._inner = provider.request_func(web3, web3.middleware_onion)
        self._handle = handle
        self.seen: list[str] = []

    def make_request(self, method: Any, params: Any) -> Any:
        self.seen.append(method)
        return self._handle(method, params, lambda: self._inner(method, params))


def embedded_network() -> Network:
    chain = EmbeddedChain(accounts=ACCOUNTS)
    deployment = deploy(chain.provider, chain.accounts[0])
    return Network(
        chain.provider, chain.accounts, deployment, chain.travel, chain.snapshot, chain.revert
    )


@contextmanager
def anvil_network() -> Iterator[Network]:
    with anvil() as url:
        rpc = Rpc(url)
        accounts = tuple(
            Account.from_key(keccak(f"anvil:{index}".encode())) for index in range(ACCOUNTS)
        )
        for account in accounts:
            rpc.request("anvil_setBalance", account.address, hex(10**24))
        # One second a block, so that a test's time is the chain's and not the machine's.
        rpc.request("anvil_setBlockTimestampInterval", 1)

        def travel(to_timestamp: int) -> None:
            head = fields(rpc.request("eth_getBlockByNumber", "latest", False), "block")
            if quantity(head["timestamp"], "timestamp") < to_timestamp:
                rpc.request("evm_setNextBlockTimestamp", to_timestamp)
                rpc.request("evm_mine")

        yield Network(
            url,
            accounts,
            deploy(url, accounts[0], settings=SETTINGS),
            travel,
            lambda: rpc.request("evm_snapshot"),
            lambda snapshot: rpc.request("evm_revert", snapshot),
        )


def restored(network: Network) -> Iterator[Network]:
    """The chain for one test, which leaves it as it found it."""
    before = network.snapshot()
    yield network
    network.revert(before)


@contextmanager
def anvil(*options: str) -> Iterator[str]:
    """A fresh anvil on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(ANVIL), "--port", str(port), "--silent", "--hardfork", "prague", "--accounts"]
    command += ["1", "--timestamp", str(DEFAULT_START_TIMESTAMP), *options]
    process = subprocess.Popen(  # noqa: S603 # the command is fixed above
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(process, url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while True:
        if process.poll() is not None:
            raise AssertionError(f"anvil ended with status {process.returncode}")
        try:
            Rpc(url).request("eth_chainId")
        except ChainUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def flipped(answer: dict[str, Any], byte: int) -> dict[str, Any]:
    """The answer with one bit of one byte of its hex changed."""
    content = bytearray(octets(answer["result"], "result"))
    content[byte] ^= 1
    return answer | {"result": "0x" + bytes(content).hex()}
