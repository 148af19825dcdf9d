"""A participant's settings: a TOML file written by a person, checked before anything starts."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from protocol.errors import ConfigError

LARGEST_PORT = 65_535
Hex32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]


class NodeConfig(BaseModel):
    """Everything a participant is told; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rpc_url: str = Field(pattern=r"^https?://")
    """Where the chain answers, such as http://127.0.0.1:8545."""
    deployment: Path
    """The deployment file that `scripts/deploy.py` wrote: chain id, contract address, tasks."""
    task_id: Hex32 | None = None
    """The task to take part in; may be left out where the deployment file names exactly one."""
    keystore: Path | None = None
    """An encrypted key file (Web3 Secret Storage, version 3)."""
    password_env: str | None = None
    """Name of the environment variable that holds the keystore's password."""
    key_env: str | None = None
    """Name of the environment variable that holds the private key; instead of a keystore."""
    state_dir: Path
    """Where this participant keeps its memory, outbox and blobs."""
    data: Path | Literal["synthetic"]
    """A folder with this desk's own quotes, or "synthetic" for its part of the made-up market."""
    reference: Path | None = None
    """A folder with public quotes for the reference panel; the own quotes where left out."""
    synthetic_days: int = Field(default=90, ge=10, le=3650)
    """Length of the made-up market in days."""
    partition: Literal["desks", "dirichlet", "time", "moneyness"] = "desks"
    """How the made-up market is divided among desks."""
    desks: int = Field(default=5, ge=1, le=64)
    """Among how many desks the made-up market is divided."""
    desk: int = Field(default=0, ge=0)
    """Which part of the made-up market is this participant's, counted from 0."""
    seed: int = Field(default=0, ge=0)
    """Seed of the made-up market and of local training."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where local training runs; only on the CPU are its results the same bits every time."""
    local_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps in a round; the model's measured default where left out."""
    blob_urls: tuple[str, ...] = ()
    """Where other participants and the orchestrator serve their blobs."""
    listen: str = Field(default="127.0.0.1:8600", pattern=r"^[^:\s]+:\d{1,5}$")
    """Host and port on which this participant serves its blobs, health and metrics."""
    interval_seconds: float = Field(default=2.0, gt=0, le=3600)
    """Pause between ticks in which nothing is due."""
    join: bool = True
    """Take a seat if this key has none; the stake is locked with it."""
    open_rounds: bool = False
    """Also open and settle rounds when that is due; anybody may."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages that are logged."""

    @model_validator(mode="after")
    def _desk_exists(self) -> "NodeConfig":
        if self.desk >= self.desks:
            raise ValueError(f"desk is {self.desk}, wanted less than desks = {self.desks}")
        return self

    @field_validator("listen")
    @classmethod
    def _port_exists(cls, listen: str) -> str:
        if int(listen.rpartition(":")[2]) > LARGEST_PORT:
            raise ValueError(f"wanted a port up to {LARGEST_PORT}, found {listen}")
        return listen

    @classmethod
    def load(cls, path: Path) -> "NodeConfig":
        """Read a TOML file; relative paths in it are relative to its folder.

        Raises: ConfigError naming the file and every faulty key.
        """
        try:
            settings = tomllib.loads(path.read_text())
            for key in ("deployment", "keystore", "state_dir", "data", "reference"):
                if isinstance(settings.get(key), str) and settings[key] != "synthetic":
                    settings[key] = path.parent / settings[key]
            return cls.model_validate(settings)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
                for fault in error.errors()
            )
            raise ConfigError(f"{path}: {faults}") from error
