"""A devnet of real processes: anvil, an orchestrator and desks that meet over HTTP only."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_hash.auto import keccak

from protocol.chain.rpc import Rpc, fields, quantity
from tests.chain.network import anvil

DESKS = 3
KEY_ENV = "VOLQUORUM_TEST_KEY"
POLL_SECONDS = 0.25
COMMAND_SECONDS = 120
STOP_SECONDS = 60
LOG_LINES = 30
# Five processes on a small machine: threads would only get into each other's way.
ONE_CORE = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
# A round of less than half a minute: long enough for a killed desk to be back for the next one, or
# for the one after it if it missed its reveal.
TASK = """
quorum = 2
cohort = 3
commit_seconds = 7
reveal_seconds = 7
availability_seconds = 4
aggregator_seconds = 10
aggregate_seconds = 20
challenge_seconds = 6
reward_rule = "scores"
rounds = 50
"""


def private_key(role: str) -> str:
    """A key that only this devnet knows."""
    return "0x" + keccak(f"devnet:{role}".encode()).hex()


def address(role: str) -> str:
    return str(Account.from_key(private_key(role)).address)


class Process:
    """One service: `python -m MODULE --config FILE`, its log in a file beside its settings."""

    def __init__(self, module: str, config: Path, role: str, url: str) -> None:
        self.role = role
        self.url = url
        self.log = config.with_suffix(".log")
        self._command = [sys.executable, "-m", module, "--config", str(config)]
        self._environment = os.environ | {KEY_ENV: private_key(role), **ONE_CORE}
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(  # noqa: S603 - the command is fixed above
                self._command, env=self._environment, stdout=log, stderr=log
            )

    def send(self, number: signal.Signals) -> None:
        assert self._running is not None, f"{self.role} was never started"
        self._running.send_signal(number)

    def wait(self) -> int:
        """The exit status, soon after a signal was sent."""
        assert self._running is not None, f"{self.role} was never started"
        return self._running.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Ends it at once, whatever it is doing."""
        if self.is_running:
            self.send(signal.SIGKILL)
            self.wait()

    def status(self, path: str) -> int | None:
        """The HTTP status of a page; None where nothing listens."""
        try:
            return httpx.get(self.url + path, timeout=5).status_code
        except httpx.TransportError:
            return None

    def metric(self, name: str) -> float | None:
        try:
            page = httpx.get(self.url + "/metrics", timeout=5).text
        except httpx.TransportError:
            return None
        values = [line.split()[1] for line in page.splitlines() if line.startswith(name + " ")]
        return float(values[0]) if values else None


class Devnet:
    """All processes of one task, and the commands that a person would run against them."""

    def __init__(self, rpc_url: str, folder: Path) -> None:
        self.rpc_url = rpc_url
        self.folder = folder
        self.deployment = folder / "deployment.json"
        self.blobs = folder / "orchestrator" / "blobs"
        ports = _free_ports(DESKS + 1)
        self._urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.orchestrator = self._service(
            "orchestrator", "orchestrator", 0, 'evaluator = "volatility"\nrelay = true'
        )
        # The first desk lets the orchestrator send for it.
        relayers = [self._urls[0], *[None] * (DESKS - 1)]
        self.nodes = [
            self._service("node", f"desk-{desk}", desk + 1, _desk_settings(desk, relayer))
            for desk, relayer in enumerate(relayers)
        ]

    @property
    def services(self) -> list[Process]:
        return [self.orchestrator, *self.nodes]

    def fund(self) -> None:
        rpc = Rpc(self.rpc_url)
        for role in ("sponsor", *(service.role for service in self.services)):
            rpc.request("anvil_setBalance", address(role), hex(10**20))

    def deploy(self, task: str = TASK, out: Path | None = None) -> subprocess.CompletedProcess[str]:
        """The sponsor's command, with this task and deployment file."""
        config = self.folder / "task.toml"
        config.write_text(f'aggregator = "{address("orchestrator")}"\n{task}')
        settings = {"--key-env": KEY_ENV, "--out": out or self.deployment}
        settings |= {"--task-config": config, "--blobs": self.blobs}
        options = [str(word) for option in settings.items() for word in option]
        rpc = ("--rpc", self.rpc_url)
        return self.run("scripts.deploy", *rpc, *options, "--json", role="sponsor")

    def run(
        self, module: str, *arguments: str, role: str = "nobody"
    ) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(  # noqa: S603 - this project's own modules
            [sys.executable, "-m", module, *arguments],
            env=os.environ | {KEY_ENV: private_key(role), **ONE_CORE},
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )

    def command(
        self, name: str, *arguments: str, role: str = "nobody"
    ) -> subprocess.CompletedProcess[str]:
        """A script against this devnet."""
        chain = ("--rpc", self.rpc_url, "--deployment", str(self.deployment))
        return self.run(f"scripts.{name}", *chain, *arguments, role=role)

    def now(self) -> int:
        """The chain's time."""
        head = fields(Rpc(self.rpc_url).request("eth_getBlockByNumber", "latest", False), "block")
        return quantity(head["timestamp"], "timestamp")

    def api(self, path: str) -> Any:
        """What the orchestrator says of the task; None while it does not answer."""
        task_id = json.loads(self.deployment.read_text())["task_id"]
        try:
            answer = httpx.get(f"{self.orchestrator.url}/tasks/{task_id}{path}", timeout=5)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == httpx.codes.OK else None

    def rounds(self) -> list[dict[str, Any]]:
        found = self.api("/rounds")
        return [] if found is None else list(found["rounds"])

    def final_rounds(self) -> list[dict[str, Any]]:
        return [each for each in self.rounds() if each["phase"] == "final"]

    def wait_for(self, what: str, condition: Callable[[], object], seconds: float) -> None:
        """Raises: AssertionError with the end of every log, at once if a service has died."""
        until = time.monotonic() + seconds
        while not condition():
            dead = [service.role for service in self.services if not service.is_running]
            if dead or time.monotonic() > until:
                why = f"{dead} died" if dead else f"not so after {seconds} s"
                raise AssertionError(f"waiting for {what}: {why}\n{self.logs()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> dict[str, int]:
        """Tells every service to stop; their exit statuses."""
        for service in self.services:
            service.send(signal.SIGTERM)
        return {service.role: service.wait() for service in self.services}

    def logs(self) -> str:
        """The end of each service's log."""
        ends = []
        for service in self.services:
            lines = service.log.read_text().splitlines() if service.log.exists() else []
            ends.append("\n".join([f"---- {service.role}", *lines[-LOG_LINES:]]))
        return "\n".join(ends)

    def settings(self, state: str, **changes: object) -> str:
        """The TOML that every service begins with."""
        common = {
            "rpc_url": self.rpc_url,
            "deployment": str(self.deployment),
            "state_dir": str(self.folder / state),
            "interval_seconds": 0.5,
        }
        # JSON's strings, numbers and lists are TOML's too.
        return "".join(f"{key} = {json.dumps(each)}\n" for key, each in (common | changes).items())

    def _service(self, module: str, role: str, place: int, rest: str) -> Process:
        url = self._urls[place]
        settings = self.settings(
            role,
            key_env=KEY_ENV,
            listen=url.removeprefix("http://"),
            blob_urls=[each for each in self._urls if each != url],
        )
        config = self.folder / f"{role}.toml"
        config.write_text(f"{settings}{rest}\n{_evaluator_table(module)}")
        return Process(module, config, role, url)


@contextmanager
def running_devnet(folder: Path) -> Iterator[Devnet]:
    """Everything started; everything ended by its own process id."""
    with anvil("--block-time", "1") as rpc_url:
        devnet = Devnet(rpc_url, folder)
        devnet.fund()
        deployed = devnet.deploy()
        assert deployed.returncode == 0, deployed.stderr
        try:
            for service in devnet.services:
                service.start()
            yield devnet
        finally:
            for service in devnet.services:
                service.kill()


def _desk_settings(desk: int, relayer: str | None) -> str:
    settings = {
        "data": "synthetic",
        "synthetic_days": 12,
        "desks": DESKS,
        "desk": desk,
        "seed": 3,
        "local_steps": 5,
        # Who is killed between commit and reveal loses a slice, and comes back nevertheless.
        "restore": True,
    }
    if relayer is not None:
        settings["relayer"] = relayer
    return "".join(f"{key} = {json.dumps(each)}\n" for key, each in settings.items())


def _evaluator_table(module: str) -> str:
    return "[evaluator_settings]\nseed = 3\nsynthetic_days = 12\n" if module != "node" else ""


def _free_ports(count: int) -> list[int]:
    # All are held at once, so that no two are the same.
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
