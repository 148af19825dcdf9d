"""An outsider who was told the chain and the addresses of blobs, and no more, over real HTTP."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI

from node.assembly import Assembled
from protocol.blobs import DirectoryStore
from protocol.chain.deployment import Deployment
from protocol.chain.named import deployment_router
from protocol.exit_codes import ExitCode
from protocol.http import HttpServer
from protocol.service import Service
from scripts import verify_round
from scripts.command import USUAL_DEPLOYMENT
from tests.chain.network import Network
from tests.end_to_end.fixed_desks import FixedDesks, Served, run_round, serving

pytestmark = pytest.mark.chain

OTHER = "0x" + "12" * 20


@pytest.fixture
def desks(anvil: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FixedDesks:
    """Their folder is where the command runs; no deployment file lies there."""
    monkeypatch.chdir(tmp_path)
    desks = FixedDesks(anvil, tmp_path)
    desks.join()
    return desks


@pytest.fixture
def aggregator(desks: FixedDesks, tmp_path: Path) -> Iterator[str]:
    """The address of whoever published round 1."""
    with serving(desks.desk_blobs) as remote:
        served = Served(desks, tmp_path / "orchestrator", [remote])
        run_round(desks, served)
        with HttpServer(served.app()) as server:
            yield server.url


@pytest.fixture
def verify(anvil: Network) -> Callable[..., Result]:
    """The command with `--rpc` and these addresses of blobs."""

    def verify(*blobs: str, more: tuple[str, ...] = ()) -> Result:
        options = [word for each in blobs for word in ("--blobs", each)]
        return CliRunner().invoke(verify_round.main, ["--rpc", anvil.endpoint, *options, *more])

    return verify


@contextmanager
def naming(chain: object) -> Iterator[str]:
    """Somebody who names a contract and has no blobs."""
    app = FastAPI()
    app.include_router(deployment_router(chain))
    with HttpServer(app) as server:
        yield server.url


def test_addresses_of_a_chain_and_of_blobs_are_all_it_needs(
    desks: FixedDesks, aggregator: str, verify
) -> None:
    done = verify(aggregator, more=("--round", "1", "--json"))

    assert done.exit_code == ExitCode.OK, done.stderr
    (verdict,) = json.loads(done.stdout)["rounds"]
    assert verdict["verdict"] == "verified"
    named = f"contract {desks.chain.contract} named by {aggregator}"
    assert done.stderr.splitlines() == [f"{named}: check it against what you were told"]


def test_a_participants_node_names_the_contract_too(
    desks: FixedDesks, aggregator: str, verify, tmp_path: Path
) -> None:
    participant = SimpleNamespace(chain=desks.chain, acceptance=None)
    node = Assembled(participant, DirectoryStore(tmp_path / "node"), None)
    with HttpServer(node.app(Service(lambda: None, 1.0, "node"))) as server:
        done = verify(server.url, aggregator)

    assert done.exit_code == ExitCode.OK, done.stderr
    assert f"named by {server.url}" in done.stderr


def test_deployment_file_in_its_usual_place_goes_before_what_services_say(
    anvil: Network, aggregator: str, verify
) -> None:
    USUAL_DEPLOYMENT.parent.mkdir()
    anvil.deployment.write(USUAL_DEPLOYMENT)
    with naming(SimpleNamespace(chain_id=1, contract=OTHER, deployed_at=0)) as liar:
        done = verify(liar, aggregator)

    assert done.exit_code == ExitCode.OK, done.stderr
    assert done.stderr == f"contract {anvil.deployment.contract} named by {USUAL_DEPLOYMENT}\n"


def test_services_that_name_different_contracts_are_not_chosen_among(
    desks: FixedDesks, aggregator: str, verify
) -> None:
    with naming(
        SimpleNamespace(chain_id=desks.chain.chain_id, contract=OTHER, deployed_at=0)
    ) as liar:
        done = verify(aggregator, liar)

    assert done.exit_code == ExitCode.CONFIG
    assert "give either --deployment FILE or --contract ADDRESS" in done.stderr
    assert f"{aggregator} names {desks.chain.contract}; {liar} names {OTHER}" in done.stderr


def test_other_code_than_this_versions_is_refused_whoever_named_it(
    desks: FixedDesks, verify
) -> None:
    account = desks.senders[0].address
    with naming(
        SimpleNamespace(chain_id=desks.chain.chain_id, contract=account, deployed_at=0)
    ) as liar:
        done = verify(liar)

    assert done.exit_code == ExitCode.CHAIN
    assert f"there is no Volquorum contract at {account}" in done.stderr


def test_where_nobody_names_the_contract_a_person_must(
    desks: FixedDesks, verify, tmp_path: Path
) -> None:
    with serving(desks.desk_blobs) as remote:
        done = verify(remote.name, str(tmp_path), "http://127.0.0.1:1")

    assert done.exit_code == ExitCode.CONFIG
    assert f"{remote.name} names no contract: HTTPStatusError" in done.stderr
    assert "http://127.0.0.1:1 names no contract: ConnectError" in done.stderr
    assert "none is a URL" in verify(str(tmp_path)).stderr


def test_deployment_that_a_service_tells_is_one_for_a_file(
    anvil: Network, desks: FixedDesks
) -> None:
    told = Deployment.of(desks.chain)

    assert told == anvil.deployment.model_copy(update={"seed_source": None, "task_id": None})
