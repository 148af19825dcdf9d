"""The compiled contracts as committed, so that running the network needs no compiler."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Artifact:
    """What the compiler made of `Volquorum.sol` and of `Disputes.sol`, and from which settings.

    Without immutables and metadata, the runtime bytecodes are what stands at every deployed
    address, and at that of the first contract which it created: its disputes.
    """

    abi: tuple[Mapping[str, Any], ...]
    bytecode: bytes
    runtime_bytecode: bytes
    disputes_runtime_bytecode: bytes
    compiler: str
    settings: Mapping[str, Any]


@cache
def load() -> Artifact:
    """The committed artifact; `python -m contracts.compile` writes it."""
    stored = json.loads(files("contracts").joinpath("artifact.json").read_text(encoding="ascii"))
    return Artifact(
        abi=tuple(stored["abi"]),
        bytecode=bytes.fromhex(stored["bytecode"]),
        runtime_bytecode=bytes.fromhex(stored["runtime_bytecode"]),
        disputes_runtime_bytecode=bytes.fromhex(stored["disputes_runtime_bytecode"]),
        compiler=stored["compiler"],
        settings=stored["settings"],
    )
