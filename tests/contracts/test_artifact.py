"""The committed artifact is what the sources compile to, and what its readers expect."""

import json

import pytest
from eth_hash.auto import keccak
from eth_utils.abi import abi_to_signature

from contracts import artifact
from contracts import compile as rebuild

pytestmark = pytest.mark.contracts


@pytest.fixture(scope="module")
def built() -> dict[str, object]:
    return rebuild.build()


def test_committed_artifact_is_what_the_sources_compile_to(built):
    assert rebuild.drift(built) == []


def test_committed_artifact_is_written_canonically(built):
    assert rebuild.ARTIFACT.read_text(encoding="ascii") == rebuild.encode(built)


def test_drift_names_the_parts_that_differ(built, tmp_path, monkeypatch):
    stale = dict(built, contracts={}, compiler="0.0.0")
    monkeypatch.setattr(rebuild, "ARTIFACT", tmp_path / "artifact.json")
    assert rebuild.drift(built) == sorted(built), "missing"
    rebuild.ARTIFACT.write_text(rebuild.encode(stale), encoding="ascii")
    assert rebuild.drift(built) == ["compiler", "contracts"]


def test_check_says_what_to_do_and_writes_nothing(tmp_path, monkeypatch, capsys, built):
    monkeypatch.setattr(rebuild, "build", lambda: built)
    monkeypatch.setattr(rebuild, "ARTIFACT", tmp_path / "artifact.json")
    monkeypatch.setattr("sys.argv", ["compile", "--check"])
    assert rebuild.main() == 1
    assert "run `python -m contracts.compile`" in capsys.readouterr().err
    assert not rebuild.ARTIFACT.exists()

    monkeypatch.setattr("sys.argv", ["compile"])
    assert rebuild.main() == 0
    monkeypatch.setattr("sys.argv", ["compile", "--check"])
    assert rebuild.main() == 0


def test_code_that_does_not_compile_is_reported_with_the_compilers_words(
    tmp_path, monkeypatch, capsys
):
    for name in (rebuild.INTERFACE, *rebuild.CONTRACTS_BY_SOURCE):
        source = tmp_path / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("pragma solidity 0.8.37; contract Volquorum { nonsense }", "ascii")
    for name in ("foundry.toml", "remappings.txt"):
        (tmp_path / name).write_bytes((rebuild.REPOSITORY / name).read_bytes())
    monkeypatch.setattr(rebuild, "REPOSITORY", tmp_path)
    monkeypatch.setattr("sys.argv", ["compile", "--check"])
    assert rebuild.main() == 1
    assert "ParserError" in capsys.readouterr().err


def test_settings_are_those_that_forge_tests_with():
    settings = artifact.load().settings
    assert settings["evmVersion"] == "prague", "the in-process chain knows no later one"
    assert settings["metadata"] == {"appendCBOR": False, "bytecodeHash": "none"}
    assert settings == rebuild.compiler_settings()


def test_loaded_artifact_is_the_committed_one():
    stored = json.loads(rebuild.ARTIFACT.read_text(encoding="ascii"))
    loaded = artifact.load()
    assert loaded.contracts.keys() == stored["contracts"].keys()
    for name, contract in stored["contracts"].items():
        assert loaded.contracts[name].bytecode.hex() == contract["bytecode"]
        assert loaded.contracts[name].runtime_bytecode.hex() == contract["runtime_bytecode"]
    assert list(loaded.abi) == stored["abi"]
    assert loaded.compiler == rebuild.SOLC_VERSION


def test_deployed_code_depends_on_nothing_but_the_source():
    for contract in artifact.load().contracts.values():
        assert contract.runtime_bytecode in contract.bytecode
        assert len(contract.runtime_bytecode) <= 24_576, "EIP-170"
        assert len(contract.bytecode) <= 49_152, "EIP-3860"


def test_immutables_are_named_and_nothing_but_zeros_in_the_artifact():
    contracts = artifact.load().contracts
    modules = {"MEMBERS", "AVAILABILITY", "CHALLENGES", "VOTES"}
    assert set(contracts["Volquorum"].immutables) == modules
    for contract in contracts.values():
        assert contract.masked(contract.runtime_bytecode) == contract.runtime_bytecode
        for name in contract.immutables:
            assert contract.words_of(name, contract.runtime_bytecode) == {bytes(32)}


def test_masking_hides_the_immutables_and_nothing_else():
    contract = artifact.Contract(b"", bytes(100), {"ONE": (2, 60), "OTHER": (34,)})
    code = bytes(range(100))
    masked = contract.masked(code)
    assert masked == code[:2] + bytes(90) + code[92:]
    assert contract.words_of("ONE", code) == {code[2:34], code[60:92]}
    assert contract.masked(code[:40]) == code[:2] + bytes(38), "no longer than it was"


def test_every_function_of_the_interface_is_one_that_some_contract_has():
    # Which of the four answers is decided by the first four bytes of a call.
    code = artifact.load().contracts
    for entry in artifact.load().abi:
        if entry["type"] == "function":
            selector = keccak(abi_to_signature(entry).encode())[:4]
            assert any(selector in contract.runtime_bytecode for contract in code.values())


def test_abi_holds_every_error_of_the_interface():
    interface = (rebuild.CONTRACTS / "src/interfaces/IVolquorum.sol").read_text(encoding="utf-8")
    declared = {
        line.split("(")[0].split()[1]
        for line in interface.splitlines()
        if line.strip().startswith("error ")
    }
    listed = {entry["name"] for entry in artifact.load().abi if entry["type"] == "error"}
    assert declared == listed
    selectors = {
        keccak(f"{entry['name']}({','.join(i['type'] for i in entry['inputs'])})".encode())[:4]
        for entry in artifact.load().abi
        if entry["type"] == "error"
    }
    assert len(selectors) == len(listed)
