"""A participant's settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from node.market.desks import Partition
from protocol.settings import Hash, Listen, PathBesideFile, ServiceSettings, Url


class NodeConfig(ServiceSettings):
    """Everything a participant is told."""

    deployment: PathBesideFile
    """The deployment file that `scripts/deploy.py` wrote: chain id, contract address, task."""
    task_id: Hash | None = None
    """The task to take part in; may be left out where the deployment file names one."""
    data: Literal["synthetic"] | PathBesideFile | None = None
    """A folder with this desk's own quotes, or "synthetic" for its part of the made-up market."""
    reference: PathBesideFile | None = None
    """A folder with public quotes for the reference panel; the own quotes where left out."""
    synthetic_days: int = Field(default=90, ge=10, le=3650)
    """Length of the made-up market in days."""
    partition: Partition = "desks"
    """How the made-up market is divided among desks."""
    desks: int = Field(default=5, ge=1, le=64)
    """Among how many desks the made-up market is divided."""
    desk: int = Field(default=0, ge=0)
    """Which part of the made-up market is this participant's, counted from 0."""
    seed: int = Field(default=0, ge=0)
    """Seed of the made-up market and, with the participant's address, of local training."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where local training runs; only on the CPU are its results the same bits every time."""
    local_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps in a round; the model's measured default where left out."""
    update_bits: int = Field(default=16, ge=2, le=16)
    """Bits that each value of an update gets; what they leave out waits for the next round."""
    update_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Which part of an update's values is sent, the largest ones; the rest waits likewise."""
    listen: Listen = "127.0.0.1:8600"
    """Host and port of this participant's blobs, health and metrics; port 0 takes a free one."""
    join: bool = True
    """Take a seat if this key has none; the stake is locked with it."""
    restore: bool = False
    """Pay the slice back that suspended this key's seat, as often as the task forgives."""
    relayer: Url | None = None
    """Who sends this node's signed commitments and its openings, so that its key needs no gas."""
    open_rounds: bool = False
    """Also do what anybody may for a task, once seated: open and settle rounds, draw seats,
    distribute rewards, slash withheld commitments."""
    challenge: bool = True
    """Prove wrong results and false norms to the contract, for half of what the liar loses; or have
    a result refuted by the votes for another one."""
    flag: bool = True
    """Say on chain, with the task's deposit, which updates and results cannot be fetched."""
    vote: bool = True
    """Say what this node recomputed, in a task by votes, where this key's update is included."""
    publish: bool = False
    """Also publish a round's result where the aggregator did not; locks the bond until final."""
    adopt_unverified: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Rounds that could not be recomputed, and on whose models this node trains all the same."""
    watch: bool = False
    """Take no seat and train nothing: only verify, and challenge and publish as told."""

    @model_validator(mode="after")
    def _trains_on_something(self) -> "NodeConfig":
        if self.data is None and not self.watch:
            raise ValueError("data is missing; only a node with watch = true needs none")
        return self

    @model_validator(mode="after")
    def _desk_exists(self) -> "NodeConfig":
        if self.desk >= self.desks:
            raise ValueError(f"desk is {self.desk}, wanted less than desks = {self.desks}")
        return self
