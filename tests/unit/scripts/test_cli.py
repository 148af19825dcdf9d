"""One console command holds all others, and loads only the one that is used."""

import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from scripts.cli import COMMANDS, main

pytestmark = pytest.mark.unit


def test_every_command_is_listed_with_what_it_does():
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert name in result.output
        assert text in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_command_answers_help_under_both_of_its_names(name):
    module = import_module(COMMANDS[name][0])

    assert isinstance(module.main, click.Command)
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"{name} [OPTIONS]" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_means(name):
    command = import_module(COMMANDS[name][0]).main

    silent = [
        option.opts[0]
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_unknown_command_is_a_wrong_argument():
    result = CliRunner().invoke(main, ["dance"])

    assert result.exit_code == 2
    assert "No such command 'dance'" in result.output


@pytest.mark.parametrize(
    "name", ["round-state", "verify-round", "leave", "restore", "end-task", "drive"]
)
def test_outsiders_commands_do_not_load_the_participants_libraries(name):
    code = (
        "import sys; from scripts.cli import main; "
        f"main(['{name}', '--help'], standalone_mode=False); "
        "sys.exit(','.join({'torch', 'polars', 'sklearn'} & set(sys.modules)))"
    )
    finished = subprocess.run(  # noqa: S603 - this project's own interpreter
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert finished.stderr.strip() == ""
