"""Rebuilds `artifact.json` from the sources with the settings of `foundry.toml`.

`python -m contracts.compile` writes it, `--check` compares instead. A native compiler is used where
it is installed or can be downloaded, the npm compiler otherwise; both give the same bytes.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import solcx
from solcx.exceptions import SolcError, SolcInstallationError

SOLC_VERSION = "0.8.37"
CONTRACTS = Path(__file__).parent
REPOSITORY = CONTRACTS.parent
ARTIFACT = CONTRACTS / "artifact.json"
INTERFACE = "contracts/src/interfaces/IVolquorum.sol"
# What is put on a chain, by the source of each: the contract, the four that it forwards to, and
# what rounds may draw their seats with.
CONTRACTS_BY_SOURCE = {
    "contracts/src/Volquorum.sol": "Volquorum",
    "contracts/src/Members.sol": "Members",
    "contracts/src/Availability.sol": "Availability",
    "contracts/src/Challenges.sol": "Challenges",
    "contracts/src/Votes.sol": "Votes",
    "contracts/src/seeds/PrevrandaoSource.sol": "PrevrandaoSource",
    "contracts/src/seeds/CommitRevealBeacon.sol": "CommitRevealBeacon",
}
# These have an interface of their own; the others are called through Volquorum's.
SEED_SOURCES = {"PrevrandaoSource", "CommitRevealBeacon"}
OUTPUTS = {
    "*": [
        *["abi", "evm.bytecode.object"],
        *["evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"],
    ],
    # Only there do immutables have names.
    "": ["ast"],
}
IMPORT = re.compile(r'^import\s[^"]*"([^"]+)";', re.MULTILINE)


def build() -> dict[str, Any]:
    """Compiles the contracts. Raises: SolcError with the compiler's messages."""
    settings = compiler_settings()
    texts = sources(INTERFACE, *CONTRACTS_BY_SOURCE)
    task = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": settings | {"outputSelection": {"*": OUTPUTS}},
    }
    compiled = solcx.compile_standard(task, solc_binary=compiler())
    (interface,) = compiled["contracts"][INTERFACE].values()
    names = dict(
        named for source in compiled["sources"].values() for named in _variables(source["ast"])
    )
    return {
        "abi": interface["abi"],
        "compiler": SOLC_VERSION,
        "contracts": {
            name: _contract(name, compiled["contracts"][source][name], names)
            for source, name in CONTRACTS_BY_SOURCE.items()
        },
        "settings": settings,
    }


def compiler_settings() -> dict[str, Any]:
    """The settings that forge tests with, in the compiler's own words."""
    text = (REPOSITORY / "foundry.toml").read_text(encoding="utf-8")
    forge = tomllib.loads(text)["profile"]["default"]
    return {
        "evmVersion": forge["evm_version"],
        "metadata": {"appendCBOR": forge["cbor_metadata"], "bytecodeHash": forge["bytecode_hash"]},
        "optimizer": {"enabled": forge["optimizer"], "runs": forge["optimizer_runs"]},
        "remappings": (REPOSITORY / "remappings.txt").read_text(encoding="utf-8").split(),
        "viaIR": forge["via_ir"],
    }


def sources(*names: str) -> dict[str, str]:
    """The named sources and all that they import, by path in the repository."""
    found: dict[str, str] = {}
    missing = list(names)
    while missing:
        current = missing.pop()
        if current not in found:
            found[current] = (REPOSITORY / current).read_text(encoding="utf-8")
            missing += [_resolve(current, path) for path in IMPORT.findall(found[current])]
    return dict(sorted(found.items()))


def compiler() -> Path:
    """A native compiler of the pinned version, or the npm one."""
    try:
        if SOLC_VERSION not in map(str, solcx.get_installed_solc_versions()):
            solcx.install_solc(SOLC_VERSION)
        return Path(solcx.install.get_executable(SOLC_VERSION))
    except (OSError, SolcInstallationError):  # no network is an OSError here
        return CONTRACTS / "solcjs.mjs"


def encode(artifact: dict[str, Any]) -> str:
    """The artifact as it is committed."""
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def drift(artifact: dict[str, Any]) -> list[str]:
    """The parts in which the committed artifact differs from a fresh one."""
    if not ARTIFACT.exists():
        return sorted(artifact)
    committed = json.loads(ARTIFACT.read_text(encoding="ascii"))
    parts = sorted(artifact.keys() | committed.keys())
    return [part for part in parts if artifact.get(part) != committed.get(part)]


def main() -> int:
    """The exit code: 1 if the check found a difference or the code does not compile."""
    parser = argparse.ArgumentParser(prog="python -m contracts.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 on drift")
    arguments = parser.parse_args()
    try:
        artifact = build()
    except SolcError as failure:
        sys.stderr.write(f"the contracts do not compile:\n{failure}\n")
        return 1
    if not arguments.check:
        ARTIFACT.write_text(encode(artifact), encoding="ascii")
        return 0
    if different := drift(artifact):
        sys.stderr.write(
            f"contracts/artifact.json is stale in {', '.join(different)}; "
            "run `python -m contracts.compile` and commit the result\n"
        )
    return 1 if different else 0


def _contract(name: str, compiled: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    runtime = compiled["evm"]["deployedBytecode"]
    places = {
        names[variable]: [place["start"] for place in listed]
        for variable, listed in runtime.get("immutableReferences", {}).items()
    }
    return {
        "bytecode": compiled["evm"]["bytecode"]["object"],
        "immutables": places,
        "runtime_bytecode": runtime["object"],
        **({"abi": compiled["abi"]} if name in SEED_SOURCES else {}),
    }


def _variables(node: object) -> Iterator[tuple[str, str]]:
    """The name of every variable in a syntax tree, by its number in the compiler's output."""
    if isinstance(node, list):
        for part in node:
            yield from _variables(part)
    elif isinstance(node, dict):
        if node.get("nodeType") == "VariableDeclaration":
            yield str(node["id"]), node["name"]
        yield from _variables(list(node.values()))


def _resolve(importer: str, path: str) -> str:
    if path.startswith("."):
        parts: list[str] = []
        for part in (PurePosixPath(importer).parent / path).parts:
            parts = parts[:-1] if part == ".." else [*parts, part]
        return "/".join(parts)
    for remapping in compiler_settings()["remappings"]:
        prefix, target = remapping.split("=")
        if path.startswith(prefix):
            return str(target) + path.removeprefix(prefix)
    raise SolcError(f"{importer} imports {path}, which no remapping places")


if __name__ == "__main__":
    sys.exit(main())
