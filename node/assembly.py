"""Puts a participant together from its settings: key, chain, stores, memory, data, model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Gauge

from node.acceptance import Acceptance
from node.config import NodeConfig
from node.evaluation.audit import LIMITS
from node.learning.desk_trainer import DeskTrainer
from node.learning.device import check_device
from node.learning.training import TrainingSettings, participant_seed
from node.learning.update import Precision
from node.memory import MemoryFile
from node.models import registry
from node.private_data import desk_samples, judging_desk_samples
from node.relay import Relayer
from node.tick import Mandate, Participant, Stores
from protocol import keys
from protocol.blob_server import blob_router
from protocol.blobs import DirectoryStore, FirstOf, HttpStore, largest_blob_bytes
from protocol.chain.deployment import Deployment
from protocol.chain.named import deployment_router
from protocol.chain.outbox import Outbox
from protocol.chain.transactor import Transactor
from protocol.errors import ConfigError
from protocol.http import Health, health_router
from protocol.service import Outcome
from protocol.task import RewardRule, TaskParams


@dataclass(frozen=True)
class Assembled:
    """A participant and the blobs it serves."""

    participant: Participant
    public: DirectoryStore
    transactor: Transactor

    @property
    def serves(self) -> Mapping[str, object]:
        """Whose key takes part in what."""
        participant = self.participant
        return {
            "account": participant.account.address,
            "contract": participant.chain.contract,
            "tasks": [participant.task_id],
        }

    def tick(self) -> Outcome:
        """Do the participant's next thing."""
        return self.participant.tick()

    def stop(self) -> None:
        """Wait for no receipt any more."""
        self.transactor.stop()

    def app(self, health: Health) -> FastAPI:
        """Its HTTP surface: blobs, deployment, health, metrics."""
        app = FastAPI(title="volquorum participant", docs_url=None, redoc_url=None)
        app.include_router(health_router(health, self._registry()))
        app.include_router(blob_router(self.public))
        app.include_router(deployment_router(self.participant.chain))
        return app

    def _registry(self) -> CollectorRegistry:
        """What an operator watches: how far this node has verified, and if anything is wrong."""
        registry = CollectorRegistry()
        participant = self.participant
        for name, text, read in (
            (
                "verified_round",
                "Latest round dealt with",
                lambda: participant.memory.verified_round,
            ),
            (
                "mismatch",
                "1 if a result was refused",
                lambda: participant.memory.mismatch is not None,
            ),
            (
                "unverified_rounds",
                "Final rounds not recomputed, on whose models this node does not train",
                lambda: len(participant.unverified),
            ),
        ):
            Gauge(f"volquorum_node_{name}", text, registry=registry).set_function(read)
        if participant.acceptance is not None:
            _show_audit(participant.acceptance, registry)
        return registry


def _show_audit(acceptance: Acceptance, registry: CollectorRegistry) -> None:
    """Rates of arbitrage of the adopted model, and how many of them are not accepted."""
    shares = Gauge(
        "volquorum_node_arbitrage",
        "Share of points of the adopted model's surfaces; none before one was audited",
        ["condition"],
        registry=registry,
    )
    for limit in fields(LIMITS):
        shares.labels(limit.name).set_function(partial(_share, acceptance, limit.name))
    Gauge(
        "volquorum_node_arbitrage_beyond_limits",
        "Conditions that the adopted model breaks at more points than is accepted",
        registry=registry,
    ).set_function(lambda: len(acceptance.beyond))


def _share(acceptance: Acceptance, condition: str) -> float:
    return float(getattr(acceptance.latest, condition, math.nan))


def assemble(config: NodeConfig) -> Assembled:
    """Everything a participant needs, checked.

    Raises: ConfigError, ChainError, DataError.
    """
    check_device(config.device)
    account = keys.load_account(config.keystore, config.password_env, config.key_env)
    deployment = Deployment.read(config.deployment)
    chain = deployment.connect(config.rpc_url)
    task_id = _task_of(config, deployment)
    params = chain.at(chain.head()).task_params(task_id)
    # Nothing larger than the task's own model is ever downloaded.
    limit_bytes = largest_blob_bytes(params.dimension)
    state = config.state_dir
    public = DirectoryStore(state / "blobs", limit_bytes=limit_bytes)
    transactor = Transactor(chain, account, Outbox(state / "outbox.sqlite"))
    trainer = None if config.watch else _trainer(config, params, account.address)
    acceptance = None
    if trainer is not None:
        acceptance = Acceptance(trainer.architecture, trainer.samples, params, public)
    participant = Participant(
        chain=chain,
        transactor=transactor,
        account=account,
        task_id=task_id,
        trainer=trainer,
        stores=Stores(
            private=DirectoryStore(state / "private", limit_bytes=limit_bytes),
            public=public,
            peers=FirstOf(
                [
                    HttpStore(
                        url, timeout_seconds=config.blob_timeout_seconds, limit_bytes=limit_bytes
                    )
                    for url in config.blob_urls
                ]
            ),
        ),
        memory_file=MemoryFile(state / "memory.npz"),
        precision=Precision(config.update_bits, config.update_share),
        relayer=None if config.relayer is None else Relayer(config.relayer),
        mandate=Mandate(
            wants_seat=config.join,
            restores=config.restore,
            drives=config.open_rounds,
            challenges=config.challenge,
            flags=config.flag,
            votes=config.vote,
            publishes=config.publish,
            adopts=config.adopt_unverified,
        ),
        acceptance=acceptance,
    )
    return Assembled(participant, public, transactor)


def _trainer(config: NodeConfig, params: TaskParams, address: str) -> DeskTrainer:
    training = TrainingSettings(rounds=params.rounds)
    if config.local_steps is not None:
        training = TrainingSettings(rounds=params.rounds, steps_per_round=config.local_steps)
    training = training.tolerating(params.tolerance, params.quorum)
    if params.reward_rule is RewardRule.SCORES:
        samples, held_out = judging_desk_samples(config)
    else:
        samples, held_out = desk_samples(config), None
    return DeskTrainer(
        samples,
        training,
        seed=participant_seed(config.seed, address),
        device=config.device,
        held_out=held_out,
        architecture=registry.by_hash(params.model_spec_hash),
    )


def _task_of(config: NodeConfig, deployment: Deployment) -> bytes:
    if config.task_id is not None:
        return bytes.fromhex(config.task_id.removeprefix("0x"))
    if deployment.task_id is None:
        raise ConfigError(f"{config.deployment} names no task: say task_id in the settings")
    return deployment.task_id
