"""Starts one service inside its container: its key, its money on a devnet, its settings, itself.

A key is made at the first start, in a volume that no other container mounts; KEY_FILE names another
file where a person brings one. Money comes from the devnet's own chain, so no known key pays.
"""
# ruff: noqa: INP001 - runs as a file of the image and is no part of any package

import os
import secrets
import sys
from pathlib import Path
from string import Template
from typing import NoReturn

import httpx
from eth_account import Account

KEY_ENV = "VOLQUORUM_KEY"
DEPLOYMENT = Path("/shared/deployment.json")
AGGREGATOR = Path("/shared/aggregator")
BLOBS = Path("/blobs")
TEMPLATES = Path(__file__).parent
RENDERED = Path("/tmp")  # noqa: S108 - the container's own, in memory
WEI_PER_ETHER = 10**18
RPC_TIMEOUT_SECONDS = 10.0


def main(arguments: list[str]) -> None:
    """Prepares what the named service needs and becomes it."""
    match arguments:
        case ["prepare"]:
            AGGREGATOR.write_text(Account.from_key(key()).address)
        case ["deploy"]:
            deploy()
        case ["node" | "orchestrator" as service]:
            fund()
            become(service, "--config", str(render(f"{service}.toml")))
        case [module, *rest]:
            become(module, *rest)
        case _:
            sys.exit("wanted prepare, deploy, node, orchestrator or a module and its arguments")


def deploy() -> None:
    """Deploys the contract and creates the task; what an earlier start did is kept."""
    fund()
    os.environ["AGGREGATOR"] = AGGREGATOR.read_text()
    options = {"--rpc": rpc_url(), "--key-env": KEY_ENV, "--out": str(DEPLOYMENT)}
    options |= {"--task-config": str(render("task.toml")), "--blobs": str(BLOBS)}
    become("scripts.deploy", *(word for option in options.items() for word in option))


def key() -> str:
    """This service's private key, made now if there is none."""
    path = Path(os.environ.get("KEY_FILE", "/state/key"))
    if not path.exists():
        made = path.with_suffix(".new")
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400), "w") as file:
            file.write("0x" + secrets.token_hex(32))
        made.rename(path)
    return path.read_text().strip()


def fund() -> None:
    """On a devnet, tops this service's account up to DEVNET_ETHER."""
    wanted_wei = int(os.environ.get("DEVNET_ETHER", "0")) * WEI_PER_ETHER
    address = Account.from_key(key()).address
    if wanted_wei and int(call("eth_getBalance", address, "latest"), 16) < wanted_wei:
        call("anvil_setBalance", address, hex(wanted_wei))


def call(method: str, *params: str) -> str:
    """One JSON-RPC call."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = httpx.post(rpc_url(), json=request, timeout=RPC_TIMEOUT_SECONDS).json()
    if "error" in answer:
        sys.exit(f"{method}: {answer['error']}")
    return str(answer["result"])


def rpc_url() -> str:
    """Where the chain answers."""
    return os.environ["RPC_URL"]


def render(name: str) -> Path:
    """A settings file with the environment's values in place of its ${NAMES}."""
    written = RENDERED / name
    written.write_text(Template((TEMPLATES / name).read_text()).substitute(os.environ))
    return written


def become(module: str, *arguments: str) -> NoReturn:
    """Replaces this process, which has handled the key file, by the service."""
    environment = os.environ | {KEY_ENV: key()}
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)  # noqa: S606 - no shell


if __name__ == "__main__":
    main(sys.argv[1:])
