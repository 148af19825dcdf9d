"""Setting up is done once per set of pins, by any Python, and every step's failure counts."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bootstrap

pytestmark = pytest.mark.unit

SOURCE = Path(bootstrap.__file__).read_text()
STARTERS = ("demo", "test", "check", "format")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with pins, an empty environment, and no command that may run."""
    (tmp_path / "pyproject.toml").write_text('dependencies = ["torch==2.13.0"]')
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6\n")
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "package-lock.json").write_text("{}")
    for name, value in {
        "ROOT": tmp_path,
        "VENV": tmp_path / ".venv",
    }.items():
        monkeypatch.setattr(bootstrap, name, value)

    def refused(*arguments, **_options):
        raise AssertionError(f"ran {arguments}")

    monkeypatch.setattr(bootstrap.subprocess, "run", refused)
    for folder in (".venv", ".venv-slither", "node_modules"):
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.mark.parametrize("source", [SOURCE])
def test_any_python_3_8_can_read_it(source):
    ast.parse(source, feature_version=(3, 8))


def test_it_imports_nothing_that_must_be_installed():
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("name", STARTERS)
def test_starters_import_bootstrap_and_the_standard_library_only(name):
    path = Path(bootstrap.__file__).parent / name
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names | {"bootstrap"}
    assert os.access(path, os.X_OK)


def test_a_module_is_run_where_the_caller_is_and_found_where_the_project_is(machine, monkeypatch):
    replaced = []
    monkeypatch.setattr(bootstrap.os, "execve", lambda *call: replaced.append(call))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    before = Path.cwd()

    bootstrap.become("scripts.evaluate", ["--data", "mine"])

    python = str(machine / ".venv" / "bin" / "python")
    (program, arguments, environment), *others = replaced
    assert not others
    assert program == python
    assert arguments == [python, "-P", "-m", "scripts.evaluate", "--data", "mine"]
    assert environment["PYTHONPATH"] == f"{machine}:/elsewhere"
    assert Path.cwd() == before


def test_stamp_changes_with_every_pin_and_with_nothing_else(machine):
    pins = (machine / "pyproject.toml", machine / "constraints.txt")
    stamp = bootstrap.stamp_of(*pins)

    assert bootstrap.stamp_of(*pins) == stamp
    assert bootstrap.stamp_of(*pins, extra="dev") != stamp
    pins[1].write_text("numpy==2.4.7\n")
    assert bootstrap.stamp_of(*pins) != stamp


def test_missing_or_other_stamp_is_not_fresh(tmp_path):
    stamp = tmp_path / ".stamp"

    assert not bootstrap.is_fresh(stamp, "a")
    stamp.write_text("b")
    assert not bootstrap.is_fresh(stamp, "a")
    stamp.write_text("a")
    assert bootstrap.is_fresh(stamp, "a")


@pytest.mark.parametrize(
    ("installed", "dev"), [("run", False), ("dev", False), ("dev", True)], ids=str
)
def test_fresh_environment_is_left_alone(machine, installed, dev):
    wanted = bootstrap.stamp_of(machine / "pyproject.toml", machine / "constraints.txt")
    (machine / ".venv" / f".stamp-{installed}").write_text(wanted)

    bootstrap.install_packages(dev=dev)


def test_run_environment_is_not_enough_for_development(machine):
    wanted = bootstrap.stamp_of(machine / "pyproject.toml", machine / "constraints.txt")
    (machine / ".venv" / ".stamp-run").write_text(wanted)

    with pytest.raises(AssertionError, match="ran"):
        bootstrap.install_packages(dev=True)


def test_fresh_tools_are_left_alone(machine):
    wanted = bootstrap.stamp_of(machine / "package.json", machine / "package-lock.json")
    (machine / "node_modules" / ".stamp").write_text(wanted)
    (machine / ".venv-slither" / ".stamp").write_text("slither==1")

    bootstrap.install_npm_tools()
    bootstrap.install_alone(machine / ".venv-slither", "slither==1")


def test_tool_of_another_version_is_installed(machine):
    (machine / ".venv-slither" / ".stamp").write_text("slither==1")

    with pytest.raises(AssertionError, match="ran"):
        bootstrap.install_alone(machine / ".venv-slither", "slither==2")


def test_failed_installation_leaves_no_stamp(machine, monkeypatch, capsys):
    def fails(command, **_options):
        return subprocess.CompletedProcess(command, 3, "2.13.0\n", "no such index\n")

    monkeypatch.setattr(bootstrap.subprocess, "run", fails)
    (machine / ".venv" / "bin").mkdir()
    (machine / ".venv" / "bin" / "python").touch()

    with pytest.raises(SystemExit) as ended:
        bootstrap.install_packages(dev=True)
    assert ended.value.code == 3
    assert "no such index" in capsys.readouterr().err
    assert not list((machine / ".venv").glob(".stamp*"))


@pytest.mark.usefixtures("machine")
def test_torch_that_is_there_is_not_installed_again(monkeypatch):
    asked = []

    def answers(command, **_options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "2.13.0+cpu\n", "")

    monkeypatch.setattr(bootstrap.subprocess, "run", answers)
    bootstrap.install_torch()

    assert len(asked) == 1
    assert "pip" not in asked[0]


@pytest.mark.parametrize(
    ("environment", "has_gpu", "cpu_build", "installed"),
    [
        (
            {"VOLQUORUM_TORCH_INDEX": "https://wheels"},
            False,
            True,
            ["--index-url", "https://wheels"],
        ),
        ({}, True, True, ["torch==2.13.0"]),
        ({}, False, True, ["torch==2.13.0+cpu"]),
        ({}, False, False, ["torch==2.13.0"]),
    ],
)
@pytest.mark.usefixtures("machine")
def test_build_of_torch_is_chosen_for_the_machine(
    monkeypatch, *, environment, has_gpu, cpu_build, installed
):
    asked = []

    def answers(command, **_options):
        asked.append(command[command.index("install") + 1 :] if "install" in command else [])
        failed = "torch==2.13.0+cpu" in command and not cpu_build
        return subprocess.CompletedProcess(command, int(failed), "", "")

    monkeypatch.setattr(bootstrap.subprocess, "run", answers)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: name if has_gpu else None)
    monkeypatch.delenv("VOLQUORUM_TORCH_INDEX", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bootstrap.install_torch()

    assert asked[-1][2 : 2 + len(installed)] == installed


@pytest.mark.usefixtures("machine")
def test_every_step_runs_and_one_failure_fails_all(monkeypatch, capsys):
    ran = []

    def answers(command, **_options):
        ran.append(command)
        return subprocess.CompletedProcess(command, int(command == ["bad"]))

    monkeypatch.setattr(bootstrap.subprocess, "run", answers)

    assert bootstrap.run_steps([("first", ["bad"]), ("second", ["good"])]) == 1
    assert ran == [["bad"], ["good"]]
    assert "failed: first" in capsys.readouterr().err
    assert bootstrap.run_steps([("second", ["good"])]) == 0


def test_commands_find_the_projects_own_tools_first(machine, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")

    found = bootstrap.environment()["PATH"].split(":")
    assert found == [f"{machine}/.venv/bin", str(Path(bootstrap.forge()).parent), "/usr/bin"]
    assert bootstrap.environment()["VIRTUAL_ENV"] == f"{machine}/.venv"


@pytest.mark.parametrize(
    ("sysname", "machine_name", "package"),
    [
        ("Linux", "x86_64", "forge-linux-amd64"),
        ("Linux", "aarch64", "forge-linux-arm64"),
        ("Darwin", "arm64", "forge-darwin-arm64"),
    ],
)
def test_forge_is_the_native_binary_of_this_machine(monkeypatch, sysname, machine_name, package):
    found = os.uname_result((sysname, "host", "1", "1", machine_name))
    monkeypatch.setattr(bootstrap.os, "uname", lambda: found)

    assert bootstrap.forge().endswith(f"node_modules/@foundry-rs/{package}/bin/forge")
