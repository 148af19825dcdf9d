"""What an operator tells the orchestrator: one TOML file, no key unknown, none dropped."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from protocol.blobs import DEFAULT_LIMIT_BYTES
from protocol.errors import ConfigError


def _beside_config(path: Path, info: ValidationInfo) -> Path:
    """A relative path means one relative to the configuration file."""
    folder = (info.context or {}).get("folder", Path())
    return Path(folder / path)


_PathBesideConfig = Annotated[Path, AfterValidator(_beside_config)]
_Hash = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
_Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
_Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]


class OrchestratorConfig(BaseModel):
    """The orchestrator's settings; paths may be relative to the file that names them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rpc_url: str
    """Address of the chain's JSON-RPC server; it may hold an API key and is never logged."""
    deployment: _PathBesideConfig | None = None
    """Deployment file with chain id and contract; this or `contract` and `chain_id`."""
    contract: _Address | None = None
    """Contract address, where no deployment file is given."""
    chain_id: Annotated[int, Field(gt=0)] | None = None
    """Chain id that the JSON-RPC server must report, where no deployment file is given."""
    task_ids: tuple[_Hash, ...] = ()
    """Tasks to serve; empty means the deployment file's, or if it names none every task on the
    contract, which lets strangers spend this key's gas."""
    keystore: _PathBesideConfig | None = None
    """Encrypted key file (keystore V3); with neither this nor `key_env` nothing is ever sent."""
    password_env: str | None = None
    """Environment variable that holds the keystore's password."""
    key_env: str | None = None
    """Environment variable that holds a plain private key; for tests and throw-away networks."""
    state_dir: _PathBesideConfig
    """Folder for blobs, outbox and metrics; what must survive a restart."""
    blob_urls: tuple[_Url, ...] = ()
    """The participants' blob servers, asked in this order after the orchestrator's own store."""
    blob_timeout_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Longest time that one blob server may take for one whole answer."""
    blob_limit_bytes: Annotated[int, Field(gt=0)] = DEFAULT_LIMIT_BYTES
    """Largest blob accepted; a model takes 4 bytes a parameter and 12 more."""
    listen: Annotated[str, Field(pattern=r"^[^:\s]+:\d{1,5}$")] = "127.0.0.1:8700"
    """Host and port on which API, blobs, health and metrics are served; port 0 takes a free one."""
    interval_seconds: Annotated[float, Field(gt=0)] = 2.0
    """Time between two looks at the chain when there is nothing to do."""
    stuck_after_seconds: Annotated[float, Field(gt=0)] = 600.0
    """A tick that takes longer ends the process, so that something restarts it."""
    open_rounds: bool = True
    """Whether to open the next round as soon as the contract allows it."""
    evaluator: str | None = None
    """Name of an installed evaluator (entry point group `volquorum.evaluators`)."""
    evaluator_settings: dict[str, Any] = {}
    """Settings passed to that evaluator as they are."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe events that are logged."""
    log_json: bool | None = None
    """Whether log lines are JSON; unset means JSON unless stderr is a terminal."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The configuration in a TOML file.

        Raises: ConfigError naming the file and the key.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: is not TOML: {error}") from error
        try:
            return cls.model_validate(values, context={"folder": path.resolve().parent})
        except ValidationError as error:
            # The offending values are left out of the message: one of them may be a secret.
            problems = [
                f"{path}: {'.'.join(map(str, problem['loc'])) or 'settings'}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False)
            ]
            raise ConfigError("\n".join(problems)) from None

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
    def heartbeat_file(self) -> Path:
        """Touched whenever the loop turns; for container health checks."""
        return self.state_dir / "heartbeat"

    @property
    def listen_host(self) -> str:
        """The first part of `listen`."""
        return self.listen.rpartition(":")[0]

    @property
    def listen_port(self) -> int:
        """The second part of `listen`."""
        return int(self.listen.rpartition(":")[2])

    @property
    def dry_run(self) -> bool:
        """Without a key the orchestrator watches and sends nothing."""
        return self.keystore is None and self.key_env is None

    @model_validator(mode="after")
    def _names_one_contract(self) -> Self:
        if self.deployment is not None:
            if self.contract is not None or self.chain_id is not None:
                raise ValueError("give either deployment or contract and chain_id, not both")
        elif self.contract is None or self.chain_id is None:
            raise ValueError("give either deployment or both contract and chain_id")
        return self

    @model_validator(mode="after")
    def _names_at_most_one_key(self) -> Self:
        if self.keystore is not None and self.key_env is not None:
            raise ValueError("give either keystore or key_env, not both")
        if (self.keystore is None) != (self.password_env is None):
            raise ValueError("keystore and password_env go together")
        return self

    @model_validator(mode="after")
    def _settings_belong_to_an_evaluator(self) -> Self:
        if self.evaluator_settings and self.evaluator is None:
            raise ValueError("evaluator_settings without evaluator")
        return self
