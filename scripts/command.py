"""What every command shares: how a person names a chain, a key and a task, and how failures end."""

import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec

import click
from eth_account.signers.local import LocalAccount
from eth_utils.address import (
    is_checksum_address,
    is_checksum_formatted_address,
    is_hex_address,
)

from protocol import keys, logs
from protocol.blobs import BlobStore, DirectoryStore, HttpStore
from protocol.chain.deployment import Deployment
from protocol.chain.gateway import Chain
from protocol.chain.named import named_by
from protocol.chain.outbox import IN_MEMORY, Outbox
from protocol.chain.transactor import Transactor
from protocol.errors import ConfigError, VolquorumError
from protocol.exit_codes import exit_code

P = ParamSpec("P")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

USUAL_DEPLOYMENT = Path("var/deployment.json")
"""Where `deploy` writes the deployment file unless told otherwise."""

AN_ADDRESS = "an address, 0x and 40 digits whose mixed case is its checksum"


class _Output(click.Path):
    """What will be written after long work: that it can be written is known before.

    Makes the folder that it lies in, or is.
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        folder = path.parent if self.file_okay else path
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.fail(f"{folder} cannot be made: {error.strerror}", param, ctx)
        if not os.access(folder, os.W_OK):
            self.fail(f"nothing can be written in {folder}", param, ctx)
        return path


OUTPUT_FILE = _Output(path_type=Path, dir_okay=False, writable=True)
OUTPUT_FOLDER = _Output(path_type=Path, file_okay=False, writable=True)

rpc_option = click.option("--rpc", required=True, metavar="URL", help="Where the chain answers.")
_WHICH_TASK_OPTIONS = (
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
_KEY_OPTIONS = (
    click.option(
        "--keystore",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Encrypted key file of the account that pays.",
    ),
    click.option("--password-env", metavar="NAME", help="Environment variable with its password."),
    click.option(
        "--key-env",
        metavar="NAME",
        help="Environment variable with the private key; instead of --keystore.",
    ),
)
to_option = click.option(
    "--to", metavar="ADDRESS", help="Who is paid; by default the account itself."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What trains: the processor or a GPU.",
)


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
    return _on_task(command, lambda _: ())


def on_served_task(command: Callable[..., None]) -> Callable[..., None]:
    """As `on_task`, where --blobs says who else can name the contract: see `connect`."""
    return _on_task(command, lambda others: others["blobs"])


def _on_task(
    command: Callable[..., None], services: Callable[[Mapping[str, Any]], tuple[str, ...]]
) -> Callable[..., None]:
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
        chain = connect(rpc, deployment, contract, from_block, services(others))
        command(chain=chain, task_id=choose_task(chain, task), **others)

    return _with_options(wrapped, (rpc_option, *_WHICH_TASK_OPTIONS))


def on_task_or_file(command: Callable[..., None]) -> Callable[..., None]:
    """As `on_task`, but the chain may be left out; `chain` and `task_id` are None then."""

    @functools.wraps(command)
    def wrapped(
        *,
        rpc: str | None,
        deployment: Path | None,
        contract: str | None,
        from_block: int,
        task: str | None,
        **others: object,
    ) -> None:
        if rpc is None:
            if (deployment, contract, task) != (None, None, None):
                raise ConfigError("--deployment, --contract and --task are for a chain: give --rpc")
            command(chain=None, task_id=None, **others)
        else:
            chain = connect(rpc, deployment, contract, from_block)
            command(chain=chain, task_id=choose_task(chain, task), **others)

    rpc = click.option("--rpc", metavar="URL", help="Where the chain answers; or give --model.")
    return _with_options(wrapped, (rpc, *_WHICH_TASK_OPTIONS))


def with_key(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a key, and pass it the `account` instead."""

    @functools.wraps(command)
    def wrapped(
        *, keystore: Path | None, password_env: str | None, key_env: str | None, **others: object
    ) -> None:
        if (keystore is None) == (key_env is None):
            raise ConfigError(
                "give either --keystore FILE with --password-env NAME, or --key-env NAME"
            )
        command(account=keys.load_account(keystore, password_env, key_env), **others)

    return _with_options(wrapped, _KEY_OPTIONS)


def with_sender(command: Callable[..., None]) -> Callable[..., None]:
    """Below `on_task`: give a command the options that name a key, and pass it a `transactor`."""

    @functools.wraps(command)
    def wrapped(*, chain: Chain, account: LocalAccount, **others: object) -> None:
        command(transactor=Transactor(chain, account, Outbox(IN_MEMORY)), **others)

    return with_key(wrapped)


def _with_options(
    command: Callable[..., None], options: Sequence[Callable[..., Callable[..., None]]]
) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def connect(
    rpc: str,
    deployment: Path | None,
    contract: str | None,
    from_block: int,
    services: Sequence[str] | None = None,
) -> Chain:
    """The contract behind an RPC address.

    Where `services` are given and the contract is not named, it is the usual deployment file's, or
    else the one that the services name.

    Raises: ConfigError unless exactly one of deployment file and address is given.
    """
    if services is not None and deployment is None and contract is None:
        return _named(services).connect(rpc)
    if (deployment is None) == (contract is None):
        raise ConfigError("give either --deployment FILE or --contract ADDRESS")
    if deployment is not None:
        return Deployment.read(deployment).connect(rpc)
    return Chain.connect(rpc, checked_address("--contract", contract), deployed_at=from_block)


def _named(services: Sequence[str]) -> Deployment:
    if USUAL_DEPLOYMENT.exists():
        found = Deployment.read(USUAL_DEPLOYMENT)
        click.echo(f"contract {found.contract} named by {USUAL_DEPLOYMENT}", err=True)
        return found
    named, refusals = dict[str, Deployment](), list[str]()
    for url in filter(_is_url, services):
        try:
            named[url] = named_by(url)
        except ConfigError as refusal:
            refusals.append(str(refusal))
    if len({(found.chain_id, found.contract) for found in named.values()}) != 1:
        listed = [f"{url} names {found.contract}" for url, found in named.items()]
        raise ConfigError(
            f"give either --deployment FILE or --contract ADDRESS: there is no {USUAL_DEPLOYMENT},"
            " and the addresses of --blobs name no contract or several: "
            f"{'; '.join([*listed, *refusals]) or 'none is a URL'}"
        )
    url, found = next(iter(named.items()))
    click.echo(
        f"contract {found.contract} named by {url}: check it against what you were told", err=True
    )
    return found


def checked_address(option: str, found: str | None) -> str:
    """An address that a person typed. Raises: ConfigError."""
    text = found or ""
    if not is_address_as_typed(text):
        raise ConfigError(f"{option}: wanted {AN_ADDRESS}; found {text}")
    return text


def is_address_as_typed(text: str) -> bool:
    """Whether a person typed an address; mixed case is a checksum."""
    is_typo = is_checksum_formatted_address(text) and not is_checksum_address(text)
    return text.startswith("0x") and is_hex_address(text) and not is_typo


def choose_task(chain: Chain, task: str | None) -> bytes:
    """The task a person named, or the only one there is. Raises: ConfigError."""
    if task is not None:
        try:
            chosen = bytes.fromhex(task.removeprefix("0x"))
        except ValueError:
            chosen = b""
        if len(chosen) != 32:
            raise ConfigError(f"a task id is 0x and 64 hexadecimal digits; found {task}")
    else:
        chosen = None
    known = chain.at(chain.head()).tasks()
    if chosen in known:
        return chosen
    listed = f"the contract has {len(known)} tasks: " + (
        ", ".join("0x" + each.hex() for each in known) or "none"
    )
    if chosen is not None:
        raise ConfigError(f"--task: there is no task {task}; {listed}")
    if len(known) != 1:
        raise ConfigError(f"give --task; {listed}")
    return known[0]


def store_of(address: str) -> BlobStore:
    """A store behind a URL or in a folder. Raises: ConfigError if a folder is not there."""
    if _is_url(address):
        return HttpStore(address)
    folder = Path(address)
    if not folder.is_dir():
        raise ConfigError(f"--blobs is an http(s) URL or a folder; found {address}")
    return DirectoryStore(folder)


def _is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def when(timestamp: int) -> str:
    """A chain time for people."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def print_json(value: object) -> None:
    """One JSON document on stdout; bytes become 0x-hex."""
    click.echo(json.dumps(value, indent=2, default=_shown))


def _shown(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
