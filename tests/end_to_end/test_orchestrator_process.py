"""`python -m orchestrator` on a real anvil: exit codes, and what survives being killed."""

import json
import logging
import os
import socket
import subprocess
import sys
import time

import httpx
import pytest
import structlog
from click.testing import CliRunner
from fastapi import FastAPI

from orchestrator.__main__ import main
from protocol.blob_server import blob_router
from protocol.exit_codes import ExitCode
from protocol.http import HttpServer
from protocol.state import Phase
from tests.end_to_end.fixed_desks import DESKS, FixedDesks

pytestmark = pytest.mark.chain

DEADLINE_SECONDS = 60


@pytest.fixture
def desks(anvil, tmp_path):
    return FixedDesks(anvil, tmp_path)


@pytest.fixture
def blob_url(desks):
    app = FastAPI()
    app.include_router(blob_router(desks.desk_blobs))
    with HttpServer(app) as server:
        yield server.url


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def write_config(anvil, desks, blob_url, free_port, tmp_path):
    def write(**changes):
        anvil.deployment.with_task(desks.task_id).write(tmp_path / "deployment.json")
        settings = {
            "rpc_url": anvil.endpoint,
            "deployment": "deployment.json",
            "state_dir": "state",
            "blob_urls": [blob_url],
            "listen": f"127.0.0.1:{free_port}",
            "interval_seconds": 0.1,
            "key_env": "ORCHESTRATOR_KEY",
        } | changes
        file = tmp_path / "orchestrator.toml"
        # JSON's strings, numbers and lists are TOML's.
        file.write_text(
            "\n".join(
                f"{name} = {json.dumps(value)}"
                for name, value in settings.items()
                if value is not None
            )
        )
        return file

    return write


@pytest.fixture
def environment(anvil):
    return os.environ | {"ORCHESTRATOR_KEY": "0x" + anvil.accounts[-1].key.hex()}


@pytest.fixture
def start(environment):
    """Starts the service; whatever still runs at the end is killed."""
    started = []

    def start(config):
        process = subprocess.Popen(  # noqa: S603 - the command is fixed
            [sys.executable, "-m", "orchestrator", "--config", str(config)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition, process):
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.05)


@pytest.fixture
def run(monkeypatch, environment):
    """Runs the command in this process, which starts no interpreter."""
    root = logging.getLogger()
    before = root.handlers, root.level
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield lambda *options: CliRunner().invoke(main, [str(option) for option in options])
    root.handlers, root.level = before
    structlog.reset_defaults()


def test_one_tick_without_a_key_says_what_it_would_do_and_sends_nothing(desks, write_config, run):
    desks.join()
    before = desks.chain.head()
    done = run("--config", write_config(key_env=None), "--once", "--json")
    assert done.exit_code == ExitCode.OK
    assert json.loads(done.stdout) == {
        "acted": None,
        "wait_until": None,
        "why": "dry run: would open round 1",
    }
    assert desks.chain.head() == before


def test_one_tick_with_a_key_acts_and_says_so(desks, write_config, run):
    desks.join()
    done = run("--config", write_config(), "--once")
    assert (done.exit_code, done.stdout) == (ExitCode.OK, "open: round 1\n")
    assert desks.round_number() == 1


@pytest.mark.parametrize(
    ("changes", "expected", "said"),
    [
        ({"interval_seconds": -1}, ExitCode.CONFIG, "interval_seconds"),
        ({"key_env": "NO_SUCH_VARIABLE"}, ExitCode.CONFIG, "NO_SUCH_VARIABLE"),
        ({"evaluator": "nobody"}, ExitCode.CONFIG, "known evaluators"),
        ({"rpc_url": "http://127.0.0.1:9"}, ExitCode.CHAIN_UNAVAILABLE, "127.0.0.1"),
        (
            {"deployment": None, "contract": "0x" + "12" * 20, "chain_id": 31337},
            ExitCode.CHAIN,
            "there is no Volquorum contract",
        ),
        (
            {"deployment": None, "contract": "0x" + "12" * 20, "chain_id": 1},
            ExitCode.CHAIN,
            "wanted chain 1",
        ),
    ],
)
def test_what_is_wrong_shows_in_the_exit_status(write_config, run, changes, expected, said):
    done = run("--config", write_config(**changes), "--once")
    assert (done.exit_code, done.stdout) == (expected, "")
    assert said in done.stderr


def test_key_spends_nothing_on_tasks_that_nobody_named(anvil, desks, write_config, run):
    desks.join()
    nameless = {
        "deployment": None,
        "contract": anvil.deployment.contract,
        "chain_id": desks.chain.chain_id,
    }
    refused = run("--config", write_config(**nameless), "--once")
    assert (refused.exit_code, desks.round_number()) == (ExitCode.CONFIG, 0)
    assert "name them, or say all_tasks = true" in refused.stderr

    watching = run("--config", write_config(**nameless, key_env=None), "--once")
    assert (watching.exit_code, desks.round_number()) == (ExitCode.OK, 0)
    assert "would open round 1" in watching.stdout

    done = run("--config", write_config(**nameless, all_tasks=True), "--once")
    assert (done.exit_code, desks.round_number()) == (ExitCode.OK, 1)
    assert "serves_all_tasks" in done.stderr


def test_killed_in_every_phase_it_still_finishes_the_round_and_sends_nothing_twice(
    anvil, desks, write_config, start
):
    config = write_config()
    desks.join()

    def killed_once(condition):
        process = start(config)
        wait_until(condition, process)
        process.kill()
        process.wait()

    killed_once(lambda: desks.round_number() == 1)
    desks.commit()
    desks.reveal()
    desks.travel(desks.ends().availability)
    killed_once(lambda: desks.snapshot().phase(desks.task_id, 1) is Phase.CHALLENGE)
    desks.travel(desks.ends().challenge)
    killed_once(lambda: desks.round_number() == 2)
    sent = desks.chain.rpc.request("eth_getTransactionCount", anvil.accounts[-1].address, "latest")
    assert int(sent, 16) == 3  # open, publish, open
    assert desks.snapshot().phase(desks.task_id, 1) is Phase.FINAL


def test_a_relay_that_is_killed_sends_what_it_took(desks, write_config, start, free_port):
    def waiting():
        try:
            tasks = httpx.get(f"{url}/relay").json()["tasks"]
        except httpx.TransportError:
            return None
        return [task["commits"] for task in tasks if task["phase"] == "commit"]

    def hand_in(*numbers):
        for number in numbers:
            answer = httpx.post(f"{url}/relay/commits", json=desks.signed_entry(number))
            assert answer.status_code == 202, answer.text

    url, config = f"http://127.0.0.1:{free_port}", write_config(relay=True)
    desks.join()
    first = start(config)
    wait_until(lambda: desks.round_number() == 1, first)
    desks.travel(desks.ends().selection)
    wait_until(waiting, first)
    hand_in(0, 1)
    first.kill()
    first.wait()

    second = start(config)
    wait_until(waiting, second)
    assert waiting() == [[desks.senders[1].address, desks.senders[2].address]]
    hand_in(2)
    wait_until(lambda: len(desks.snapshot().committed(desks.task_id, 1)) == DESKS, second)
