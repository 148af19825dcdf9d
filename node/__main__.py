"""Runs one participant: `python -m node --config FILE`.

Exit codes: `docs/commands.md`.
"""

import json
import sys
from pathlib import Path

import click
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from node.assembly import Assembled, assemble
from node.config import NodeConfig
from protocol import logs
from protocol.blob_server import blob_router
from protocol.errors import VolquorumError
from protocol.exit_codes import exit_code
from protocol.http import HttpServer, health_router
from protocol.service import Service
from protocol.settings import host_and_port

log = structlog.get_logger("node")


@click.command()
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The participant's settings, a TOML file; see docs/configuration.md.",
)
@click.option("--once", is_flag=True, help="Do one tick and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print its outcome as JSON.")
def main(*, config_file: Path, once: bool, as_json: bool) -> None:
    """Take part in a task: train, commit, reveal, and verify every published model."""
    try:
        config = NodeConfig.load(config_file)
        logs.configure(config.log_level, config.log_json)
        assembled = assemble(config)
        if once:
            _tick_once(assembled, as_json=as_json)
        else:
            serve(config, assembled)
    except VolquorumError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(exit_code(error))


def _tick_once(assembled: Assembled, *, as_json: bool) -> None:
    outcome = assembled.participant.tick()
    if as_json:
        click.echo(json.dumps(vars(outcome)))
    else:
        click.echo(outcome.acted or f"nothing to do: {outcome.why}")


def serve(config: NodeConfig, assembled: Assembled) -> None:
    """Tick and answer HTTP until told to stop."""
    registry = CollectorRegistry()
    assembled.register_metrics(registry)
    service = Service(
        assembled.participant.tick,
        config.interval_seconds,
        "node",
        stuck_after_seconds=config.stuck_after_seconds,
    )
    app = FastAPI(title="volquorum participant", docs_url=None, redoc_url=None)
    app.include_router(health_router(service, registry))
    app.include_router(blob_router(assembled.public))
    host, port = host_and_port(config.listen)
    with HttpServer(app, host=host, port=port) as server:
        service.require(server.alive)
        log.info("serving", url=server.url, account=assembled.participant.account.address)
        service.run()


if __name__ == "__main__":
    main()
