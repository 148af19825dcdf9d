"""The compiled contracts as committed, so that running the network needs no compiler."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

WORD_BYTES = 32


@dataclass(frozen=True)
class Contract:
    """One contract's code: what creates it, and what stands at its address then."""

    bytecode: bytes
    runtime_bytecode: bytes
    """With zeros in the places of its immutables."""
    immutables: Mapping[str, tuple[int, ...]]
    """Where in the runtime bytecode the 32 bytes of each stand, by its name."""
    abi: tuple[Mapping[str, Any], ...] = ()
    """Its interface, unless that is the artifact's."""

    def masked(self, code: bytes) -> bytes:
        """Deployed code with zeros in the places of the immutables."""
        masked = bytearray(code)
        for places in self.immutables.values():
            for place in places:
                masked[place : place + WORD_BYTES] = bytes(len(masked[place : place + WORD_BYTES]))
        return bytes(masked)

    def words_of(self, name: str, code: bytes) -> frozenset[bytes]:
        """What deployed code has in the places of an immutable: one word, unless it is forged."""
        places = self.immutables[name]
        return frozenset(code[place : place + WORD_BYTES] for place in places)


@dataclass(frozen=True)
class Artifact:
    """What the compiler made of the contracts, and from which settings.

    Without metadata, the runtime bytecode of each is what stands wherever it was deployed, but for
    its immutables.
    """

    abi: tuple[Mapping[str, Any], ...]
    contracts: Mapping[str, Contract]
    compiler: str
    settings: Mapping[str, Any]


@cache
def load() -> Artifact:
    """The committed artifact; `python -m contracts.compile` writes it."""
    stored = json.loads(files("contracts").joinpath("artifact.json").read_text(encoding="ascii"))
    return Artifact(
        abi=tuple(stored["abi"]),
        contracts={name: _contract(each) for name, each in stored["contracts"].items()},
        compiler=stored["compiler"],
        settings=stored["settings"],
    )


def _contract(stored: Mapping[str, Any]) -> Contract:
    return Contract(
        bytecode=bytes.fromhex(stored["bytecode"]),
        runtime_bytecode=bytes.fromhex(stored["runtime_bytecode"]),
        immutables={name: tuple(places) for name, places in stored["immutables"].items()},
        abi=tuple(stored.get("abi", ())),
    )
