"""Runs the orchestrator: `python -m orchestrator --config FILE`.

Exit codes: `protocol/exit_codes.py`. Without a key in the settings it watches and sends nothing.
"""

import dataclasses
import json
import sys
from pathlib import Path

import click
import structlog

from orchestrator.assembly import Assembled, assemble
from orchestrator.config import OrchestratorConfig
from protocol import logs
from protocol.errors import VolquorumError
from protocol.exit_codes import exit_code
from protocol.http import HttpServer
from protocol.service import Service
from protocol.settings import host_and_port

log = structlog.get_logger(__name__)


@click.command()
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The orchestrator's settings, a TOML file.",
)
@click.option("--once", is_flag=True, help="Do one tick, serve nothing, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print its outcome as JSON.")
def main(*, config_file: Path, once: bool, as_json: bool) -> None:
    """Open rounds, combine revealed updates, publish and settle results, serve them read-only."""
    try:
        config = OrchestratorConfig.load(config_file)
        logs.configure(config.log_level, config.log_json)
        assembled = assemble(config)
        if once:
            tick_once(assembled, as_json=as_json)
        else:
            serve(config, assembled)
    except VolquorumError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(exit_code(error))


def tick_once(assembled: Assembled, *, as_json: bool) -> None:
    """One tick, its outcome on standard output."""
    outcome = assembled.orchestrator.tick()
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(outcome)))
    else:
        click.echo(f"{outcome.acted or 'nothing to do'}: {outcome.why}")


def serve(config: OrchestratorConfig, assembled: Assembled) -> None:
    """Ticks and answers HTTP until told to stop."""
    service = Service(
        assembled.orchestrator.tick,
        config.interval_seconds,
        "orchestrator",
        stuck_after_seconds=config.stuck_after_seconds,
        heartbeat_file=config.heartbeat_file,
    )
    app = assembled.app(service)
    host, port = host_and_port(config.listen)
    with HttpServer(app, host=host, port=port) as server:
        service.require(server.alive)
        log.info("serving", url=server.url, dry_run=config.dry_run)
        service.run()


if __name__ == "__main__":
    main()
