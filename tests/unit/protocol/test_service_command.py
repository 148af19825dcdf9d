"""How a service's command begins and ends, whatever the service does."""

import fcntl
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI

from protocol.errors import ConfigError
from protocol.exit_codes import ExitCode
from protocol.http import Health
from protocol.service import Outcome
from protocol.service_command import service_command
from protocol.settings import ServiceSettings
from protocol.storage import unwritable

pytestmark = pytest.mark.unit


class Settings(ServiceSettings):
    """What every service is told, and nothing more."""


class Ticking:
    """Does the same thing at each tick."""

    serves: Mapping[str, object] = {}

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def tick(self) -> Outcome:
        return self.outcome

    def stop(self) -> None:
        """It waits for nothing."""

    def app(self, health: Health) -> FastAPI:  # noqa: ARG002 - the protocol's signature
        return FastAPI()


def run(folder: Path, state_dir: str, *options: str, outcome: Outcome | None = None) -> Result:
    file = folder / "settings.toml"
    file.write_text(
        f'rpc_url = "http://127.0.0.1:1"\nlisten = "127.0.0.1:0"\nstate_dir = "{state_dir}"\n'
    )
    ticking = Ticking(outcome or Outcome(None, None, "no round is running"))
    command = service_command("test", "A service.", Settings, lambda _: ticking)
    return CliRunner().invoke(command, ["--config", str(file), *options])


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome("join", None, ""), "join\n"),
        (Outcome("open", None, "round 1"), "open: round 1\n"),
        (Outcome(None, 7, "round 1 is in commit"), "nothing to do: round 1 is in commit\n"),
    ],
)
def test_one_tick_says_what_it_did(tmp_path, outcome, said):
    done = run(tmp_path, "state", "--once", outcome=outcome)

    assert (done.exit_code, done.stdout) == (ExitCode.OK, said)
    as_json = run(tmp_path, "state", "--once", "--json", outcome=outcome)
    assert json.loads(as_json.stdout)["acted"] == outcome.acted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_it_starts_ends_a_service_as_it_does_later(tmp_path, number):
    before = signal.getsignal(number)

    def assemble(_: Settings) -> Ticking:
        os.kill(os.getpid(), number)
        raise AssertionError("it was told to end")

    file = tmp_path / "settings.toml"
    file.write_text('rpc_url = "http://x"\nlisten = "127.0.0.1:0"\nstate_dir = "state"\n')
    command = service_command("test", "A service.", Settings, assemble)
    ended = CliRunner().invoke(command, ["--config", str(file)])

    assert ended.exit_code == ExitCode.OK
    assert json.loads(ended.stderr.splitlines()[-1])["event"] == "service_stopped"
    assert signal.getsignal(number) is before
    assert run(tmp_path, "state", "--once").exit_code == ExitCode.OK, "its folder is free again"


def test_state_folder_of_a_running_process_is_refused(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    with (state / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused = run(tmp_path, "state", "--once")

    assert refused.exit_code == ExitCode.CONFIG
    assert f"another process works in {state}" in refused.stderr
    assert run(tmp_path, "state", "--once").exit_code == ExitCode.OK


def test_setting_that_is_wrong_only_in_use_is_named_with_its_file(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('rpc_url = "http://x"\nlisten = "127.0.0.1:0"\nstate_dir = "state"\n')

    def refuse(_: Settings) -> Ticking:
        raise ConfigError("data: wanted a folder of quotes, found nothing at qoutes")

    command = service_command("test", "A service.", Settings, refuse)
    refused = CliRunner().invoke(command, ["--config", str(file)])

    assert refused.exit_code == ExitCode.CONFIG
    assert (
        refused.stderr
        == f"ConfigError: {file}: data: wanted a folder of quotes, found nothing at qoutes\n"
    )


def test_tick_that_finds_the_disk_full_says_where_and_ends_with_its_own_status(tmp_path):
    class Full(Ticking):
        def tick(self) -> Outcome:
            raise unwritable(tmp_path / "state" / "memory.npz", "No space left on device")

    file = tmp_path / "settings.toml"
    file.write_text('rpc_url = "http://x"\nlisten = "127.0.0.1:0"\nstate_dir = "state"\n')
    full = Full(Outcome(None, None, ""))
    command = service_command("test", "A service.", Settings, lambda _: full)
    refused = CliRunner().invoke(command, ["--config", str(file), "--once"])

    assert refused.exit_code == ExitCode.STORAGE
    assert "memory.npz cannot be written: No space left on device; make room" in refused.stderr


def test_state_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    refused = run(tmp_path, "file/state", "--once")

    assert refused.exit_code == ExitCode.CONFIG
    assert "state cannot be written: Not a directory" in refused.stderr
