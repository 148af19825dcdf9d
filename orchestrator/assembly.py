"""Puts an orchestrator together from its settings: key, chain, stores, journal, evaluator."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from fastapi import FastAPI

from orchestrator.api import build_app
from orchestrator.config import OrchestratorConfig
from orchestrator.evaluator import Evaluator, load_evaluator
from orchestrator.journal import Journal
from orchestrator.relay import Relay
from orchestrator.relay_store import RelayStore
from orchestrator.tick import Orchestrator
from protocol import keys
from protocol.blobs import DirectoryStore, HttpStore
from protocol.chain.deployment import Deployment
from protocol.chain.gateway import Chain
from protocol.chain.outbox import Outbox
from protocol.chain.transactor import Transactor
from protocol.errors import ConfigError
from protocol.http import Health
from protocol.service import Outcome

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Assembled:
    """An orchestrator and the blobs it serves."""

    orchestrator: Orchestrator
    chain: Chain
    own: DirectoryStore
    transactor: Transactor | None
    """None where it only watches."""

    @property
    def serves(self) -> Mapping[str, object]:
        """Whose key moves which tasks."""
        return self.orchestrator.serves

    def tick(self) -> Outcome:
        """Serve every task once."""
        return self.orchestrator.tick()

    def stop(self) -> None:
        """Wait for no receipt any more."""
        if self.transactor is not None:
            self.transactor.stop()

    def app(self, health: Health) -> FastAPI:
        """Its HTTP surface."""
        orchestrator = self.orchestrator
        return build_app(
            orchestrator.board,
            chain=self.chain,
            own=self.own,
            health=health,
            registry=orchestrator.metrics.registry,
            relay=orchestrator.relay,
        )


def assemble(config: OrchestratorConfig) -> Assembled:
    """Everything an orchestrator needs, checked.

    Raises: ConfigError, ChainError.
    """
    evaluator = _evaluator(config)
    chain, task_ids = _chain_and_tasks(config)
    own = DirectoryStore(config.blob_dir, limit_bytes=config.blob_limit_bytes)
    remotes = [
        HttpStore(
            url,
            timeout_seconds=config.blob_timeout_seconds,
            limit_bytes=config.blob_limit_bytes,
        )
        for url in config.blob_urls
    ]
    transactor = _transactor(config, chain)
    orchestrator = Orchestrator(
        chain,
        own=own,
        remotes=remotes,
        transactor=transactor,
        task_ids=task_ids,
        open_rounds=config.open_rounds,
        flags=config.flag,
        slashes=config.slash,
        relay=_relay(config, chain),
        evaluator=evaluator,
        journal=Journal(config.journal_file),
    )
    return Assembled(orchestrator, chain, own, transactor)


def _evaluator(config: OrchestratorConfig) -> Evaluator | None:
    if config.evaluator is None:
        return None
    return load_evaluator(config.evaluator, config.evaluator_settings)


def _chain_and_tasks(config: OrchestratorConfig) -> tuple[Chain, tuple[bytes, ...]]:
    """The contract, and the tasks to serve: all of it where none is named."""
    tasks = tuple(bytes.fromhex(task_id[2:]) for task_id in config.task_ids)
    if config.deployment is None:
        # Invariant: the configuration names the contract where it names no deployment file.
        chain = Chain.connect(config.rpc_url, config.contract or "", config.chain_id)
    else:
        deployment = Deployment.read(config.deployment)
        chain = deployment.connect(config.rpc_url)
        if deployment.task_id is not None and not tasks and not config.all_tasks:
            tasks = (deployment.task_id,)
    if not tasks and not config.dry_run:
        # Invariant: no stranger's task spends this key's money unless the operator says so.
        if not config.all_tasks:
            raise ConfigError(
                "task_ids: wanted the tasks to serve, found none here nor in a deployment file;"
                " name them, or say all_tasks = true, which lets whoever creates a task spend this"
                " key's gas and bonds, or leave the key out to watch all"
            )
        log.warning("serves_all_tasks", why="whoever creates a task spends this key's gas")
    return chain, tasks


def _relay(config: OrchestratorConfig, chain: Chain) -> Relay | None:
    if not config.relay:
        return None
    store = RelayStore(config.relay_file)
    return Relay(store, chain_id=chain.chain_id, contract=chain.contract)


def _transactor(config: OrchestratorConfig, chain: Chain) -> Transactor | None:
    if config.dry_run:
        return None
    account = keys.load_account(config.keystore, config.password_env, config.key_env)
    return Transactor(chain, account, Outbox(config.outbox_file))
