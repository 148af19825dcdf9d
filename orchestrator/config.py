"""What an operator tells the orchestrator."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from protocol.blobs import DEFAULT_LIMIT_BYTES
from protocol.settings import Address, Hash, Listen, PathBesideFile, ServiceSettings


class OrchestratorConfig(ServiceSettings):
    """Everything an orchestrator is told; without a key it watches and sends nothing."""

    deployment: PathBesideFile | None = None
    """Deployment file with chain id and contract; this or `contract` and `chain_id`."""
    contract: Address | None = None
    """Contract address, where no deployment file is given."""
    chain_id: Annotated[int, Field(gt=0)] | None = None
    """Chain id that the JSON-RPC server must report, where no deployment file is given."""
    task_ids: tuple[Hash, ...] = ()
    """Tasks to serve; left out, the deployment file's. With a key some must be named in one of the
    two, or `all_tasks` be true; without a key all of the contract's are watched then."""
    all_tasks: bool = False
    """Serve every task of the contract, also those that strangers create: they spend this key's gas
    and bonds. Nothing is flagged in them and nothing relayed."""
    blob_limit_bytes: Annotated[int, Field(gt=0)] = DEFAULT_LIMIT_BYTES
    """Largest blob accepted; a model takes 4 bytes a parameter and 12 more."""
    listen: Listen = "127.0.0.1:8700"
    """Host and port on which API, blobs, health and metrics are served; port 0 takes a free one."""
    open_rounds: bool = True
    """Whether to open the next round as soon as the contract allows it."""
    flag: bool = True
    """Say on chain, with the task's deposit, which revealed updates of the tasks named here or by
    the deployment file cannot be fetched."""
    slash: bool = True
    """Take the slice of whoever did not open a commitment, or signed two for one round; half of it
    is the award."""
    relay: bool = False
    """Send participants' signed commitments and openings for them, in the tasks named here or by
    the deployment file; this key pays the gas."""
    evaluator: str | None = None
    """Name of an installed evaluator (entry point group `volquorum.evaluators`)."""
    evaluator_settings: dict[str, Any] = Field(default_factory=dict)
    """Settings passed to that evaluator as they are."""

    @property
    def blob_dir(self) -> Path:
        """Where the orchestrator's own blobs lie."""
        return self.state_dir / "blobs"

    @property
    def outbox_file(self) -> Path:
        """What was sent to the chain."""
        return self.state_dir / "outbox.sqlite"

    @property
    def journal_file(self) -> Path:
        """One JSON line per evaluated model."""
        return self.state_dir / "metrics.jsonl"

    @property
    def relay_file(self) -> Path:
        """What participants handed in to be relayed."""
        return self.state_dir / "relay.sqlite"

    @property
    def dry_run(self) -> bool:
        """Without a key the orchestrator watches and sends nothing."""
        return not self.has_key

    @model_validator(mode="after")
    def _names_one_contract(self) -> Self:
        if self.deployment is not None:
            if self.contract is not None or self.chain_id is not None:
                raise ValueError("give either deployment or contract and chain_id, not both")
        elif self.contract is None or self.chain_id is None:
            raise ValueError("give either deployment or both contract and chain_id")
        return self

    @model_validator(mode="after")
    def _relay_can_send(self) -> Self:
        if self.relay and self.dry_run:
            raise ValueError("relay needs a key")
        return self

    @model_validator(mode="after")
    def _names_tasks_in_one_way(self) -> Self:
        if self.all_tasks and self.task_ids:
            raise ValueError("give either task_ids or all_tasks = true, not both")
        if self.all_tasks and self.relay:
            raise ValueError("relay is for tasks that are named: give task_ids, not all_tasks")
        return self

    @model_validator(mode="after")
    def _settings_belong_to_an_evaluator(self) -> Self:
        if self.evaluator_settings and self.evaluator is None:
            raise ValueError("evaluator_settings without evaluator")
        return self
