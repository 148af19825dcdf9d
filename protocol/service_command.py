"""The command line of a service: `--config FILE`, or one tick of it with `--once`.

Exit codes: `protocol/exit_codes.py`.
"""

import dataclasses
import fcntl
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar

import click
import structlog
from fastapi import FastAPI

from protocol import logs
from protocol.errors import ConfigError, VolquorumError
from protocol.exit_codes import exit_code
from protocol.http import Health, HttpServer
from protocol.service import Outcome, Service, ended_by_signals
from protocol.settings import ServiceSettings, host_and_port, naming

S = TypeVar("S", bound=ServiceSettings)

log = structlog.get_logger(__name__)


class Assembled(Protocol):
    """A service put together from its settings."""

    @property
    def serves(self) -> Mapping[str, object]:
        """Whose key, which contract and which tasks: what a person looks for first in a log."""

    def tick(self) -> Outcome:
        """Do the next thing, if any."""

    def stop(self) -> None:
        """Have the running tick wait for nothing more, from a signal's handler."""

    def app(self, health: Health) -> FastAPI:
        """Its HTTP surface, health pages included."""


def service_command(
    name: str,
    text: str,
    settings: type[S],
    assemble: Callable[[S], Assembled],
    *,
    switches: Mapping[str, str] = MappingProxyType({}),
) -> click.Command:
    """The command that runs a service; `text` is its help.

    `switches` name the settings that an option of the same name turns on, with its help.
    """

    @click.command(help=text)
    @click.option(
        "--config",
        "config_file",
        required=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="The service's settings, a TOML file; see docs/configuration.md.",
    )
    @click.option("--once", is_flag=True, help="Do one tick, serve nothing, and end.")
    @click.option("--json", "as_json", is_flag=True, help="With --once: print its outcome as JSON.")
    def main(*, config_file: Path, once: bool, as_json: bool, **switched: bool) -> None:
        try:
            config = settings.load(
                config_file, **{name: True for name in switched if switched[name]}
            )
            logs.configure(config.log_level, config.log_json)
            with naming(config_file), _alone_in(config.state_dir):
                if once:
                    _show(assemble(config).tick(), as_json=as_json)
                else:
                    _serve(name, config, assemble)
        except VolquorumError as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
            sys.exit(exit_code(error))

    for switch, meaning in switches.items():
        main.params.append(click.Option([f"--{switch}"], is_flag=True, help=meaning))
    return main


@contextmanager
def _alone_in(state_dir: Path) -> Iterator[None]:
    """Holds the state folder for this process; whatever ends the process lets it go.

    Raises: ConfigError if another process holds it, or nothing can be written there.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        file = (state_dir / "lock").open("w")
    except OSError as error:
        raise ConfigError(
            f"state_dir: {state_dir} cannot be written: {error.strerror}; give another folder"
        ) from error
    with file:
        try:
            # Invariant: two processes with one key and memory could sign two commitments for one
            # round, which costs a slice.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"state_dir: another process works in {state_dir}; stop it first, or give this one "
                "a key and a folder of its own"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"state_dir: {state_dir} cannot be locked: {error.strerror}; give a folder on a"
                " local disk"
            ) from error
        yield


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(outcome)))
    else:
        click.echo(": ".join(filter(None, (outcome.acted or "nothing to do", outcome.why))))


def _serve(name: str, config: S, assemble: Callable[[S], Assembled]) -> None:
    with ExitStack() as ended_with:
        with ended_by_signals(name):
            assembled = assemble(config)
            service = Service(
                assembled.tick,
                config.interval_seconds,
                name,
                stuck_after_seconds=config.stuck_after_seconds,
                heartbeat_file=config.state_dir / "heartbeat",
            )
            service.on_stop(assembled.stop)
            host, port = host_and_port(config.listen)
            server = HttpServer(assembled.app(service), host=host, port=port)
            ended_with.enter_context(server)
            service.require(server.alive)
            log.info("serving", service=name, url=server.url, **assembled.serves)
        service.run()
