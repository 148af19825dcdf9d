"""Putting the contract on a chain once, and finding it again from a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import artifact
from protocol.chain.abi import Interface
from protocol.chain.code import RUNTIME_HASH
from protocol.chain.deployment import Deployment, SeedSource, deploy
from protocol.chain.outbox import Outbox
from protocol.errors import ConfigError, Reverted, WrongChain
from tests.chain.network import SETTINGS, Network, Wrapped

pytestmark = pytest.mark.chain


def test_a_deployment_is_found_again_from_its_file(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    network.deployment.with_task(b"\x05" * 32).write(path)
    found = Deployment.read(path)
    assert found.task_id == b"\x05" * 32
    assert found.runtime_hash == RUNTIME_HASH
    assert found.connect(network.endpoint).contract == network.deployment.contract
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_deployment_on_another_chain_is_refused(network: Network) -> None:
    elsewhere = network.deployment.model_copy(update={"chain_id": 1})
    with pytest.raises(WrongChain, match="wanted chain 1"):
        elsewhere.connect(network.endpoint)


@pytest.mark.parametrize("sent", range(1, 7))
def test_a_crash_while_deploying_deploys_once(network: Network, tmp_path: Path, sent: int) -> None:
    class Killed(BaseException):
        pass

    left = [sent]

    def die_after(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_sendRawTransaction":
            left[0] -= 1
            if not left[0]:
                raise Killed
        return answer

    def again(endpoint: Any) -> Deployment:
        return deploy(
            endpoint,
            network.accounts[7],
            seed_source=SeedSource("PrevrandaoSource", (4,)),
            outbox=Outbox(tmp_path / "outbox"),
            settings=SETTINGS,
        )

    before = network.connect().head().number
    with pytest.raises(Killed):
        again(Wrapped(network.endpoint, die_after))
    found = again(network.endpoint)
    assert again(network.endpoint) == found
    assert found.contract != network.deployment.contract
    # The contract, its four modules and the source, in as many blocks.
    assert found.connect(network.endpoint).head().number == before + 6 == found.block + 1


def test_a_seed_source_is_deployed_with_its_arguments(embedded: Network, tmp_path: Path) -> None:
    source = SeedSource("CommitRevealBeacon", (7, 3, 2))
    found = deploy(embedded.endpoint, embedded.accounts[7], seed_source=source)
    assert found.seed_source is not None
    described = Interface(artifact.load().contracts[source.name].abi)
    chain = found.connect(embedded.endpoint)
    asked = ("BOND_WEI", "COMMIT_BLOCKS", "EPOCH_BLOCKS")
    answers = [chain.ask(found.seed_source, described.functions[name]) for name in asked]
    assert answers == [(7,), (3,), (5,)]
    found.write(tmp_path / "deployment.json")
    assert Deployment.read(tmp_path / "deployment.json") == found


def test_why_a_seed_source_is_refused_is_told(embedded: Network) -> None:
    source = SeedSource("CommitRevealBeacon", (7, 0, 2))
    with pytest.raises(Reverted) as refused:
        deploy(embedded.endpoint, embedded.accounts[7], seed_source=source)
    assert refused.value.error == "EmptyPart"
    assert refused.value.arguments == {"commitBlocks": 0, "revealBlocks": 2}


GOOD = {
    "chain_id": 1,
    "contract": "0x" + "11" * 20,
    "block": 1,
    "runtime_hash": "0x" + "00" * 32,
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        json.dumps(GOOD | {"contract": "0x12"}),
        json.dumps(GOOD | {"runtime_hash": "00" * 32}),
        json.dumps(GOOD | {"runtime_hash": "0x" + "0g" * 32}),
        json.dumps(GOOD | {"task_id": "0x00"}),
        json.dumps(GOOD | {"block": -1}),
        json.dumps(GOOD | {"seed_source": "nowhere"}),
        json.dumps(GOOD | {"chain_id": 0}),
        json.dumps(GOOD | {"extra": 1}),
    ],
)
def test_a_file_that_is_no_deployment_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not a deployment"):
        Deployment.read(path)


def test_a_deployment_of_another_version_is_refused(embedded: Network) -> None:
    older = embedded.deployment.model_copy(update={"runtime_hash": b"\x01" * 32})
    wanted = f"another version .* wanted .*{RUNTIME_HASH.hex()}, found {'01' * 32}; run the version"
    with pytest.raises(WrongChain, match=wanted):
        older.connect(embedded.endpoint)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json cannot be read"):
        Deployment.read(tmp_path / "nowhere.json")
