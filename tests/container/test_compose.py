"""The devnet of docker-compose.yml, run by a real engine: every desk in its own container."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.container, pytest.mark.timeout(1500)]

REPOSITORY = Path(__file__).parents[2]
ENGINE = REPOSITORY / "tests" / "container" / "engine.sh"
PROJECT = "volquorum-test"
NODES = [f"node-{number}" for number in range(1, 6)]
SERVICES = ["orchestrator", *NODES]
CANNOT_RUN_CONTAINERS = 77
FINAL_ROUNDS = 3


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """A command's stdout; a failure shows its stderr."""
    finished = subprocess.run(  # noqa: S603 - the commands are this file's own
        command, cwd=REPOSITORY, env=env, check=False, capture_output=True, text=True
    )
    if finished.returncode:
        shown = " ".join(map(str, command))
        raise AssertionError(f"{shown}: status {finished.returncode}\n{finished.stderr[-6000:]}")
    return finished.stdout


class Devnet:
    """The composed services as the tests see them: by the engine and by the published ports."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.rpc_port, self.api_port = _free_port(), _free_port()
        self._environment = environment | {
            "IMAGE": f"{PROJECT}:local",
            "RPC_PORT": str(self.rpc_port),
            "API_PORT": str(self.api_port),
        }
        self._deployment = folder / "deployment.json"

    def compose(self, *arguments: str) -> str:
        return run(
            "docker", "compose", "--project-name", PROJECT, *arguments, env=self._environment
        )

    def up(self) -> None:
        self.compose("build", "--quiet")
        self.compose("up", "--detach", "--wait", "--wait-timeout", "300")
        deployment = self.compose("exec", "-T", "orchestrator", "cat", "/shared/deployment.json")
        self._deployment.write_text(deployment)

    def inspect(self, service: str) -> dict:
        container = self.compose("ps", "--all", "--quiet", service).strip()
        return json.loads(run("docker", "inspect", container, env=self._environment))[0]

    def is_internal(self, network: str) -> bool:
        found = run("docker", "network", "inspect", network, env=self._environment)
        return json.loads(found)[0]["Internal"]

    def python(self, service: str, code: str) -> str:
        return self.compose("exec", "-T", service, "python", "-c", code).strip()

    def fetch(self, service: str, path: str) -> str:
        """What a service answers to itself, as a hash where it is not text."""
        code = (
            "import sys, hashlib; from urllib.request import urlopen; "
            f"body = urlopen('http://127.0.0.1:8600{path}', timeout=10).read(); "
            "print(body.decode() if body.isascii() else hashlib.sha256(body).hexdigest())"
        )
        return self.python(service, code)

    def metric(self, service: str, name: str) -> float:
        for line in self.fetch(service, "/metrics").splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise AssertionError(f"{service} has no metric {name}")

    def script(self, name: str, *arguments: str) -> dict:
        """A script run on the host, against the published ports alone."""
        chain = ["--rpc", f"http://127.0.0.1:{self.rpc_port}", "--deployment", self._deployment]
        return json.loads(
            run(sys.executable, "-m", f"scripts.{name}", *chain, "--json", *arguments)
        )

    def final_rounds(self) -> list[dict]:
        latest = self.script("round_state")["round"]
        states = [self.script("round_state", "--round", str(n + 1)) for n in range(latest)]
        return [state for state in states if state["phase"] == "final"]


@pytest.fixture(scope="module")
def engine() -> Iterator[dict[str, str]]:
    """The environment in which docker works and the images that its build needs exist."""
    environment = dict(os.environ)
    try:
        for step in ("up", "images"):
            finished = subprocess.run(  # noqa: S603 - a script of this repository
                [ENGINE, step], env=environment, check=False, capture_output=True, text=True
            )
            if finished.returncode == CANNOT_RUN_CONTAINERS:
                reason = finished.stderr.strip().splitlines()[-1]
                (pytest.fail if "VOLQUORUM_REQUIRE_CONTAINERS" in os.environ else pytest.skip)(
                    reason
                )
            assert finished.returncode == 0, finished.stderr[-6000:]
            environment |= dict(line.split("=", 1) for line in finished.stdout.splitlines())
        yield environment
    finally:
        if "ENGINE_STARTED" in environment:
            run(ENGINE, "down")


@pytest.fixture(scope="module")
def devnet(engine, tmp_path_factory) -> Iterator[Devnet]:
    composed = Devnet(engine, tmp_path_factory.mktemp("devnet"))
    try:
        composed.up()
        yield composed
    finally:
        # pytest shows this beside a failure: the containers are gone by the time a person looks.
        print(composed.compose("ps", "--all"), composed.compose("logs", "--tail", "40"))  # noqa: T201
        composed.compose("down", "--volumes", "--timeout", "5")


def test_no_container_runs_as_root_or_writes_outside_its_volumes(devnet):
    for service in ("chain", *SERVICES):
        status = devnet.compose("exec", "-T", service, "cat", "/proc/1/status")
        owners = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert owners["Uid"] == owners["Gid"] == "10001\t10001\t10001\t10001", service
        settings = devnet.inspect(service)["HostConfig"]
        assert settings["ReadonlyRootfs"], service
        assert settings["CapDrop"] == ["ALL"], service


def test_nodes_have_no_way_out_and_no_way_in(devnet):
    for service in NODES:
        assert not any(devnet.inspect(service)["NetworkSettings"]["Ports"].values()), service
        attached = devnet.inspect(service)["NetworkSettings"]["Networks"]
        assert [devnet.is_internal(network) for network in attached] == [True], service


def test_the_chain_and_the_orchestrator_are_published_to_this_machine_only(devnet):
    for service in ("chain", "orchestrator"):
        published = devnet.inspect(service)["NetworkSettings"]["Ports"].values()
        assert {port["HostIp"] for ports in published if ports for port in ports} == {"127.0.0.1"}


def test_every_service_has_a_key_of_its_own_that_the_engine_does_not_know(devnet):
    code = "import hashlib; print(hashlib.sha256(open('/state/key', 'rb').read()).hexdigest())"
    assert len({devnet.python(service, code) for service in SERVICES}) == len(SERVICES)
    for service in SERVICES:
        assert "VOLQUORUM_KEY" not in json.dumps(devnet.inspect(service)), service


def test_killed_node_is_started_again_and_catches_up(devnet):
    wait_until(lambda: devnet.script("round_state")["round"] >= 1)
    kill = "import os; os.kill(int(open('/proc/1/task/1/children').read().split()[0]), 9)"
    devnet.python("node-3", kill)
    wait_until(lambda: devnet.inspect("node-3")["RestartCount"] == 1)
    killed_in = devnet.script("round_state")["round"]
    wait_until(lambda: healthy(devnet, "node-3"))
    wait_until(lambda: devnet.metric("node-3", "volquorum_node_verified_round") >= killed_in)


def test_three_rounds_become_final_and_everybody_has_the_same_verified_model(devnet):
    wait_until(lambda: len(devnet.final_rounds()) >= FINAL_ROUNDS)
    last = devnet.final_rounds()[-1]
    assert len(last["seated"]) == len(NODES)
    for service in NODES:
        wait_until(
            lambda service=service: (
                devnet.metric(service, "volquorum_node_verified_round") >= last["round"]
            )
        )
        assert devnet.metric(service, "volquorum_node_mismatch") == 0
    # A service serves a model only after it computed it itself.
    models = {
        service: devnet.fetch(service, f"/blobs/{last['model_root']}") for service in SERVICES
    }
    assert len(set(models.values())) == 1, models
    blobs = f"http://127.0.0.1:{devnet.api_port}"
    verdicts = devnet.script("verify_round", "--blobs", blobs, "--round", str(last["round"]))
    assert [verdict["verdict"] for verdict in verdicts["rounds"]] == ["verified"]


def healthy(devnet: Devnet, service: str) -> bool:
    state = devnet.inspect(service)["State"]
    return state["Status"] == "running" and state["Health"]["Status"] == "healthy"


def wait_until(condition: Callable[[], bool], seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(4)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
