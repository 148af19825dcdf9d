"""What every command shares: failures in words and status, JSON for programs, a chain by name."""

import json

import click
import pytest
import structlog
from click.testing import CliRunner

from protocol import errors
from protocol.exit_codes import ExitCode
from scripts import command
from scripts.command import (
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    choose_task,
    connect,
    print_json,
    reports_failures,
)

pytestmark = pytest.mark.unit

ADDRESS = "0x" + "ab" * 20
TASK, OTHER_TASK = b"\1" * 32, b"\2" * 32


class KnownTasks:
    """A chain that holds these tasks."""

    def __init__(self, *tasks: bytes) -> None:
        self._tasks = tasks

    def head(self) -> None: ...

    def at(self, _block: None) -> "KnownTasks":
        return self

    def tasks(self) -> tuple[bytes, ...]:
        return self._tasks


def run(failure: Exception):
    @click.command()
    @reports_failures
    def fails() -> None:
        structlog.get_logger().warning("on the way")
        raise failure

    return CliRunner().invoke(fails)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (errors.ConfigError("no key"), ExitCode.CONFIG),
        (errors.ChainUnavailable("no answer"), ExitCode.CHAIN_UNAVAILABLE),
        (errors.WrongChain("another chain"), ExitCode.CHAIN),
        (errors.Reverted("join", "CohortFull", {"cohort": 3}), ExitCode.CHAIN),
        (errors.BlobNotFound(TASK, "nowhere"), ExitCode.BLOB),
        (errors.EncodingError("not a blob"), ExitCode.BLOB),
        (errors.DataError("no quotes"), ExitCode.DATA),
        (errors.VerificationFailed("another model"), ExitCode.VERIFICATION),
    ],
)
def test_expected_failure_is_one_line_on_stderr_and_its_own_status(failure, status):
    result = run(failure)

    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == f"{type(failure).__name__}: {failure}"


def test_bug_is_not_dressed_up_as_an_expected_failure():
    result = run(KeyError("bug"))

    assert result.exit_code == ExitCode.BUG
    assert isinstance(result.exception, KeyError)


def test_logs_do_not_mix_with_what_a_program_reads():
    @click.command()
    @reports_failures
    def warns() -> None:
        structlog.get_logger().warning("blob_corrupt", store="peer")
        print_json({"root": TASK})

    result = CliRunner().invoke(warns)

    assert json.loads(result.stdout) == {"root": "0x" + "01" * 32}
    assert "blob_corrupt" in result.stderr


@pytest.mark.parametrize("names", [(None, None), ("deployment.json", ADDRESS)])
def test_chain_is_named_by_exactly_one_of_deployment_and_contract(names):
    with pytest.raises(errors.ConfigError, match="either --deployment FILE or --contract ADDRESS"):
        connect("http://127.0.0.1:1", *names, 0)


def test_contract_is_read_from_the_block_that_was_named(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        command.Chain, "connect", lambda *names, **more: asked.update(names=names, **more)
    )
    connect("http://rpc", None, ADDRESS, 77)

    assert asked == {"names": ("http://rpc", ADDRESS), "deployed_at": 77}


@pytest.mark.parametrize("typed", ["0x12", "volquorum", "0x" + "aB" * 20, ""])
def test_mistyped_contract_is_refused(typed):
    with pytest.raises(errors.ConfigError, match="--contract: wanted an address"):
        connect("http://127.0.0.1:1", None, typed, 0)


def test_only_task_need_not_be_named():
    assert choose_task(KnownTasks(TASK), None) == TASK


@pytest.mark.parametrize("tasks", [(), (TASK, OTHER_TASK)])
def test_task_must_be_named_unless_there_is_exactly_one(tasks):
    with pytest.raises(errors.ConfigError, match=f"give --task; the contract has {len(tasks)}"):
        choose_task(KnownTasks(*tasks), None)


@pytest.mark.parametrize("named", ["0x" + "02" * 32, "02" * 32])
def test_named_task_is_taken_with_and_without_prefix(named):
    assert choose_task(KnownTasks(TASK, OTHER_TASK), named) == OTHER_TASK


def test_task_that_the_contract_does_not_have_is_refused_with_those_it_has():
    named = "0x" + "07" * 32
    with pytest.raises(errors.ConfigError, match=f"no task {named}; .* 1 tasks: 0x{TASK.hex()}"):
        choose_task(KnownTasks(TASK), named)


@pytest.mark.parametrize("named", ["0x12", "", "0x" + "zz" * 32])
def test_task_that_is_no_hash_is_refused(named):
    with pytest.raises(errors.ConfigError, match="64 hexadecimal digits"):
        choose_task(KnownTasks(TASK), named)


@pytest.mark.parametrize("kind", [OUTPUT_FILE, OUTPUT_FOLDER])
def test_what_cannot_be_written_is_refused_before_any_work(tmp_path, kind):
    (tmp_path / "file").write_text("")
    made = tmp_path / "new" / "folder" / "result"

    with pytest.raises(click.BadParameter, match="cannot be made: "):
        kind.convert(str(tmp_path / "file" / "folder" / "result"), None, None)

    assert kind.convert(str(made), None, None) == made
    assert made.parent.is_dir()
    assert made.is_dir() == (kind is OUTPUT_FOLDER)
