"""What a person is told who wrote a setting wrongly."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from node.config import NodeConfig
from orchestrator.config import OrchestratorConfig
from protocol.errors import ConfigError
from protocol.settings import faults
from scripts.task_config import TaskConfig

pytestmark = pytest.mark.unit

GOOD = {
    "rpc_url": '"http://127.0.0.1:8545"',
    "deployment": '"deployment.json"',
    "state_dir": '"state"',
    "data": '"quotes"',
}


def written(tmp_path: Path, **changes: str | None) -> Path:
    """A file of the good settings with these changes."""
    file = tmp_path / "node.toml"
    values = {name: value for name, value in (GOOD | changes).items() if value is not None}
    file.write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
    return file


def refusal(tmp_path: Path, **changes: str | None) -> list[str]:
    """The lines that refuse the good settings with these changes, without the file's name."""
    file = written(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        NodeConfig.load(file)
    return [line.removeprefix(f"{file}: ") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state_dir": None}, ["state_dir: is missing"]),
        (
            {"blob_ulrs": "[]"},
            ["blob_ulrs: there is no such setting; is blob_urls meant?"],
        ),
        ({"zzz": "1"}, ["zzz: there is no such setting"]),
        (
            {"rpc_url": '"127.0.0.1:8545"'},
            ["rpc_url: wanted an address that begins with http:// or https://"],
        ),
        ({"listen": '"8600"'}, ["listen: wanted host:port"]),
        ({"listen": '"0.0.0.0:86000"'}, ["listen: wanted a port up to 65535, found 0.0.0.0:86000"]),
        ({"task_id": '"0x12"'}, ["task_id: wanted 0x and 64 lower-case hexadecimal digits"]),
        ({"blob_urls": '["ftp://x"]'}, ["blob_urls.0: wanted an address that begins with http:// or https://"]),
        ({"blob_urls": '"http://x"'}, ["blob_urls: wanted a list, in brackets, found text"]),
        ({"data": None}, ["data is missing; only a node with watch = true needs none"]),
        (
            {"interval_seconds": "0", "desks": '"five"'},
            [
                "interval_seconds: wanted more than 0, found 0",
                "desks: wanted a whole number, found text",
            ],
        ),
        ({"interval_seconds": "4000"}, ["interval_seconds: wanted at most 3600, found 4000"]),
        ({"interval_seconds": "inf"}, ["interval_seconds: wanted a finite number, found inf"]),
        ({"synthetic_days": "9"}, ["synthetic_days: wanted 10 or more, found 9"]),
        ({"seed": "1.5"}, ["seed: wanted a whole number, found 1.5"]),
        ({"join": '"perhaps"'}, ["join: wanted true or false, found text"]),
        ({"watch": "3"}, ["watch: wanted true or false, found 3"]),
        ({"key_env": "true"}, ["key_env: wanted text in quotation marks, found true"]),
        ({"state_dir": "[]"}, ["state_dir: wanted a path in quotation marks, found a list"]),
        (
            {"log_level": '"verbose"'},
            ["log_level: wanted 'debug', 'info', 'warning' or 'error', found 'verbose'"],
        ),
        (
            {"data": "3"},
            ["data: wanted 'synthetic', found 3; or wanted a path in quotation marks, found 3"],
        ),
    ],
)  # fmt: skip
def test_every_fault_is_one_line_that_names_its_key(tmp_path, changes, said):
    assert sorted(refusal(tmp_path, **changes)) == sorted(said)


@pytest.mark.parametrize(
    ("number", "kept"), [("0.1234567890123456789", "0.12345678901234568"), ("1e-400", "0.0")]
)
def test_number_that_would_become_another_is_refused(tmp_path, number, kept):
    said = f"{number} has more digits than are kept: that would be {kept}"
    assert refusal(tmp_path, interval_seconds=number) == [said]


@pytest.mark.parametrize("number", ["0.1", "1_000.5", "1e3", "0.1000", "3600.0"])
def test_number_that_is_kept_is_taken(tmp_path, number):
    assert NodeConfig.load(written(tmp_path, interval_seconds=number)).interval_seconds == float(
        number
    )


def test_file_that_is_missing_is_named_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        NodeConfig.load(tmp_path / "nowhere.toml")
    assert (
        str(caught.value)
        == f"{tmp_path / 'nowhere.toml'}: cannot be read: No such file or directory"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"chunk_length": 17}, "chunk_length: wanted a multiple of 16, found 17"),
        ({"seats": 2**40}, "seats: wanted at most 65535, found 1099511627776"),
        ({"max_norm": 2**32}, "max_norm: wanted less than 4294967296, found 4294967296"),
        ({"pre_steps": ["arcs"]}, "pre_steps.0: wanted 'arc' or 'nnm', found 'arcs'"),
    ],
)
def test_faults_of_a_task_are_said_alike(settings, said):
    with pytest.raises(ValidationError) as caught:
        TaskConfig.model_validate(settings)
    assert faults(caught.value, TaskConfig.model_fields) == [said]


def test_no_fault_of_any_setting_is_said_in_the_words_of_the_library():
    wrong = [object(), -1e99, 1e99, 0.5, "x", True, float("nan")]
    for settings in (NodeConfig, OrchestratorConfig, TaskConfig):
        for value in wrong:
            with pytest.raises(ValidationError) as caught:
                settings.model_validate(dict.fromkeys(settings.model_fields, value))
            for said in faults(caught.value, settings.model_fields):
                assert "Input should" not in said
                assert "Input is" not in said


def test_text_that_may_be_a_secret_is_not_repeated(tmp_path):
    secret = "0x" + "5e" * 32
    for name in ("rpc_url", "blob_urls", "relayer", "join", "desk", "listen", "task_id", "zzz"):
        value = f'["{secret}!"]' if name == "blob_urls" else f'"{secret}!"'
        assert all(secret not in line for line in refusal(tmp_path, **{name: value})), name
