"""Deploys the contract to a chain and, if asked, creates a task with its genesis model."""

from pathlib import Path

import click

from node import smile
from protocol import keys
from protocol.blobs import DirectoryStore
from protocol.chain.deployment import Deployment, deploy
from protocol.chain.outbox import Outbox
from protocol.chain.transactor import Transactor
from protocol.commitment import task_id
from protocol.encoding import encode_model
from scripts.command import (
    json_option,
    key_option,
    keystore_option,
    password_option,
    print_json,
    reports_failures,
    rpc_option,
)
from scripts.task_config import TaskConfig


@click.command()
@rpc_option
@keystore_option
@password_option
@key_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("var/deployment.json"),
    show_default=True,
    help="Deployment file to write; an existing one is used, not replaced.",
)
@click.option(
    "--task-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Also create the task that this TOML file describes, unless the deployment has one.",
)
@click.option(
    "--blobs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/blobs"),
    show_default=True,
    help="Folder for the genesis model's blob, to be served by the orchestrator.",
)
@json_option
@reports_failures
def main(
    *,
    rpc: str,
    keystore: Path | None,
    password_env: str | None,
    key_env: str | None,
    out: Path,
    task_config: Path | None,
    blobs: Path,
    as_json: bool,
) -> None:
    """Deploy the contract and write a deployment file."""
    account = keys.load_account(keystore, password_env, key_env)
    config = None
    if task_config is not None:
        config = TaskConfig.load(task_config)
        config.params(now=0)  # what the contract would refuse is refused before anything is paid
    out.parent.mkdir(parents=True, exist_ok=True)
    # A lasting outbox: killed before the file is written, the next run finds the same contract.
    outbox = Outbox(out.with_suffix(".outbox.sqlite"))
    deployment = Deployment.read(out) if out.exists() else deploy(rpc, account, outbox=outbox)
    deployment.write(out)
    if config is not None and deployment.task_id is None:
        transactor = Transactor(deployment.connect(rpc), account, outbox)
        deployment = deployment.with_task(_created(transactor, config, blobs))
        deployment.write(out)
    if as_json:
        print_json(deployment.model_dump(mode="json"))
        return
    click.echo(f"contract {deployment.contract} on chain {deployment.chain_id}, see {out}")
    if deployment.task_id is not None:
        click.echo(f"task     0x{deployment.task_id.hex()}")


def _created(transactor: Transactor, config: TaskConfig, blobs: Path) -> bytes:
    """The id of the task with these settings, which exists already if an earlier run was killed."""
    chain, sponsor = transactor.chain, transactor.address
    genesis = smile.genesis(config.model_seed, config.shift)
    DirectoryStore(blobs).put(encode_model(genesis, config.shift), chunk_length=config.chunk_length)
    snapshot = chain.at(chain.head())
    params = config.params(snapshot.block.timestamp)
    for known in snapshot.tasks():
        is_own = snapshot.task_state(known).sponsor == sponsor
        if is_own and snapshot.task_params(known).salt == params.salt:
            return known
    created = task_id(chain.chain_id, chain.contract, sponsor, params)
    transactor.send(
        "createTask",
        (params.abi_tuple(),),
        value_wei=params.rounds * params.reward_wei,
        purpose=f"{created.hex()}:create",
    )
    return created


if __name__ == "__main__":
    main()
