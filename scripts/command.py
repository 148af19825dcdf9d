"""What every command shares: how a person names a chain, a key and a task, and how failures end."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import click
from eth_utils.address import (
    is_checksum_address,
    is_checksum_formatted_address,
    is_hex_address,
)

from protocol import logs
from protocol.chain.deployment import Deployment
from protocol.chain.gateway import Chain
from protocol.errors import ConfigError, VolquorumError
from protocol.exit_codes import exit_code

P = ParamSpec("P")

rpc_option = click.option("--rpc", required=True, metavar="URL", help="Where the chain answers.")
_TASK_OPTIONS = (
    rpc_option,
    click.option(
        "--deployment",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Deployment file; instead of --contract.",
    ),
    click.option(
        "--contract", metavar="ADDRESS", help="The contract's address; instead of --deployment."
    ),
    click.option(
        "--from-block",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="With --contract: the block it was deployed in, so that older logs are not searched.",
    ),
    click.option(
        "--task", metavar="ID", help="The task; may be left out where there is exactly one."
    ),
)
keystore_option = click.option(
    "--keystore",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Encrypted key file of the account that pays.",
)
password_option = click.option(
    "--password-env", metavar="NAME", help="Environment variable with its password."
)
key_option = click.option(
    "--key-env",
    metavar="NAME",
    help="Environment variable with the private key; instead of --keystore.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def reports_failures(command: Callable[P, None]) -> Callable[P, None]:
    """Turn an expected error into one line on stderr and its exit status; logs go there too."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        # Unconfigured logs would go to stdout, into the JSON that a program reads.
        logs.configure("warning")
        try:
            command(*args, **kwargs)
        except VolquorumError as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
            sys.exit(exit_code(error))

    return wrapped


def on_task(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a task, and pass it `chain` and `task_id` instead."""

    @functools.wraps(command)
    def wrapped(
        *,
        rpc: str,
        deployment: Path | None,
        contract: str | None,
        from_block: int,
        task: str | None,
        **others: object,
    ) -> None:
        chain = connect(rpc, deployment, contract, from_block)
        command(chain=chain, task_id=choose_task(chain, task), **others)

    with_options: Callable[..., None] = wrapped
    for option in reversed(_TASK_OPTIONS):
        with_options = option(with_options)
    return with_options


def connect(rpc: str, deployment: Path | None, contract: str | None, from_block: int) -> Chain:
    """The contract behind an RPC address.

    Raises: ConfigError unless exactly one of deployment file and address is given.
    """
    if (deployment is None) == (contract is None):
        raise ConfigError("give either --deployment FILE or --contract ADDRESS")
    if deployment is not None:
        return Deployment.read(deployment).connect(rpc)
    return Chain.connect(rpc, checked_address("--contract", contract), deployed_at=from_block)


def checked_address(option: str, found: str | None) -> str:
    """An address that a person typed; mixed case is a checksum. Raises: ConfigError."""
    text = found or ""
    is_typo = is_checksum_formatted_address(text) and not is_checksum_address(text)
    if not (text.startswith("0x") and is_hex_address(text)) or is_typo:
        raise ConfigError(
            f"{option}: wanted an address, 0x and 40 digits whose mixed case is its checksum; "
            f"found {text}"
        )
    return text


def choose_task(chain: Chain, task: str | None) -> bytes:
    """The task a person named, or the only one there is. Raises: ConfigError."""
    if task is not None:
        try:
            chosen = bytes.fromhex(task.removeprefix("0x"))
        except ValueError:
            chosen = b""
        if len(chosen) != 32:
            raise ConfigError(f"a task id is 0x and 64 hexadecimal digits; found {task}")
        return chosen
    known = chain.at(chain.head()).tasks()
    if len(known) != 1:
        listed = ", ".join("0x" + each.hex() for each in known) or "none"
        raise ConfigError(f"give --task; the contract has {len(known)} tasks: {listed}")
    return known[0]


def print_json(value: object) -> None:
    """One JSON document on stdout; bytes become 0x-hex."""
    click.echo(json.dumps(value, indent=2, default=_shown))


def _shown(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
