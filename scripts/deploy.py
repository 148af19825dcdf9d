"""Deploys the contracts to a chain and, if asked, creates a task with its genesis model."""

from pathlib import Path
from typing import Final

import click
from eth_account.signers.local import LocalAccount

from protocol.blobs import DirectoryStore
from protocol.chain.abi import Interface
from protocol.chain.code import CONTRACT, MODULES
from protocol.chain.deployment import Deployment, SeedSource, deploy
from protocol.chain.gateway import Chain
from protocol.chain.outbox import Outbox
from protocol.chain.token import value_to_send
from protocol.chain.transactor import Transactor
from protocol.commitment import task_id
from protocol.encoding import encode_model
from protocol.errors import ChainAnswerInvalid, ConfigError, Reverted
from protocol.settings import naming
from protocol.task import ZERO_ADDRESS, PreSteps, Rule, TaskParams
from scripts.command import (
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    USUAL_DEPLOYMENT,
    json_option,
    print_json,
    reports_failures,
    rpc_option,
    with_key,
)
from scripts.money import in_words
from scripts.task_config import ETH, TaskConfig

HEEDS_ALIKE: Final = {Rule.KRUM, Rule.MULTI_KRUM, Rule.MINIMUM_DIAMETER, Rule.FLTRUST}
"""Rules that cost desks who differ more than a twentieth when nobody lies, as nearest-neighbour
mixing alone does. Source: docs/robustness.md, "When nobody lies"."""
_DECIMALS = Interface(
    [
        {
            "type": "function",
            "name": "decimals",
            "inputs": [],
            "outputs": [{"name": "", "type": "uint8"}],
        }
    ]
).functions["decimals"]


@click.command()
@reports_failures
@rpc_option
@with_key
@click.option(
    "--out",
    type=OUTPUT_FILE,
    default=USUAL_DEPLOYMENT,
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
    type=OUTPUT_FOLDER,
    default=Path("var/blobs"),
    show_default=True,
    help="Folder for the genesis model's blob, to be served by the orchestrator.",
)
@json_option
def main(
    *,
    rpc: str,
    account: LocalAccount,
    out: Path,
    task_config: Path | None,
    blobs: Path,
    as_json: bool,
) -> None:
    """Deploy the contracts and write a deployment file."""
    config = None
    if task_config is not None:
        config = TaskConfig.load(task_config)
        with naming(task_config):
            params = config.check()  # what the contract would refuse is refused before it is paid
        _say(f"results of {params.rule_in_words} will be judged by {_judges(params)}")
        if caution := _caution(params):
            _say(f"warning: {params.rule_in_words} {caution}")
    deployment = deployed(rpc, account, out, config.source_to_deploy if config else None)
    if config is not None and deployment.task_id is not None:
        _say(f"{out} has a task already, which stays as it is; for a new one give another --out")
    if config is not None and deployment.task_id is None:
        transactor = Transactor(deployment.connect(rpc), account, _outbox(out))
        deployment = deployment.with_task(
            _created(transactor, config, deployment.seed_source, blobs)
        )
        deployment.write(out)
    if as_json:
        print_json(deployment.model_dump(mode="json"))
        return
    click.echo(f"contract {deployment.contract} on chain {deployment.chain_id}, see {out}")
    if deployment.seed_source is not None:
        click.echo(f"seeds    {deployment.seed_source}")
    if deployment.task_id is not None:
        click.echo(f"task     0x{deployment.task_id.hex()}")


def _judges(params: TaskParams) -> str:
    if not params.by_votes:
        return "the contract, by whatever proof anybody sends"
    return f"votes of {params.votes_needed} of those who reveal, for the contract cannot"


def _caution(params: TaskParams) -> str | None:
    """What the rule costs that a sponsor may not expect; none of it is refused."""
    robust = "median and trimmed_mean are (docs/robustness.md)"
    if params.rule is Rule.MEAN and not params.pre_steps:
        return f"is not robust: one liar moves the model anywhere; {robust}"
    if params.rule.clips and not params.pre_steps:
        return f"is bounded, not robust: each liar moves the model in every round; {robust}"
    if params.rule in HEEDS_ALIKE or params.pre_steps == PreSteps.NNM:
        return (
            "drops or weakens updates that stand apart: what one desk alone quotes is learned worse"
            " even if nobody lies; median and trimmed_mean do not cost that (docs/robustness.md)"
        )
    return None


def deployed(rpc: str, account: LocalAccount, out: Path, source: SeedSource | None) -> Deployment:
    """The deployment in a file, made now as far as it is not there.

    Raises: ConfigError if a source would have to be added to what another account deployed.
    """
    found = Deployment.read(out) if out.exists() else None
    if found is not None and (source is None or found.task_id is not None):
        return found
    if found is not None and not _outbox_file(out).exists():
        raise ConfigError(
            f"without {_outbox_file(out)} no seed source can be added to {out}: name a source's "
            "address in seed_source, or deploy to another file"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    names = [*MODULES, CONTRACT, *(() if source is None else (source.name,))]
    _say(f"deploying {', '.join(names)}: one transaction each, unless an earlier run has sent it")

    def tell(name: str, address: str, block: int) -> None:
        _say(f"{name} is at {address} since block {block}")

    # A lasting outbox: killed before the file is written, the next run finds the same contracts.
    made = deploy(rpc, account, seed_source=source, outbox=_outbox(out), on_created=tell)
    if found is not None and made.contract != found.contract:
        raise ConfigError(f"{out} names {found.contract}, which another account deployed")
    made.write(out)
    return made


def _outbox_file(out: Path) -> Path:
    return out.with_suffix(".outbox.sqlite")


def _outbox(out: Path) -> Outbox:
    return Outbox(_outbox_file(out))


def _created(
    transactor: Transactor, config: TaskConfig, seed_source: str | None, blobs: Path
) -> bytes:
    """The id of the task with these settings, which exists already if an earlier run was killed."""
    chain, sponsor = transactor.chain, transactor.address
    _check_decimals(chain, config)
    _say("making the genesis model")
    genesis = config.genesis()
    DirectoryStore(blobs).put(encode_model(genesis, config.shift), chunk_length=config.chunk_length)
    snapshot = chain.at(chain.head())
    source = seed_source if config.source_to_deploy else None
    params = config.params(snapshot.block.timestamp, seed_source=source)
    for known in snapshot.tasks():
        is_own = snapshot.task_state(known).sponsor == sponsor
        if is_own and snapshot.task_params(known).salt == params.salt:
            return known
    created = task_id(chain.chain_id, chain.contract, sponsor, params)
    _say(f"creating the task for {in_words(params.budget_wei, params.currency)}")
    if params.currency != ZERO_ADDRESS:
        _say("allowing the contract to take that, unless it may already")
    value_wei = value_to_send(transactor, params.currency, params.budget_wei)
    purpose = f"{created.hex()}:create"
    receipt = transactor.send(
        "createTask", (params.abi_tuple(),), value_wei=value_wei, purpose=purpose
    )
    _say(f"the task stands since block {receipt.block_number}")
    return created


def _check_decimals(chain: Chain, config: TaskConfig) -> None:
    """Raises: ConfigError if the token counts otherwise than the settings say."""
    if config.currency == ETH:
        return
    try:
        (decimals,) = chain.ask(config.currency, _DECIMALS)
    except (Reverted, ChainAnswerInvalid) as failure:
        raise ConfigError(
            f"currency: {config.currency} does not tell its decimals as a token does"
        ) from failure
    if decimals != config.decimals:
        raise ConfigError(f"decimals: the token has {decimals}; found {config.decimals}")


def _say(what: str) -> None:
    """Progress; the result alone is on stdout."""
    click.echo(what, err=True)


if __name__ == "__main__":
    main()
