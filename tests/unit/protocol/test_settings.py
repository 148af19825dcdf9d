"""What a person is told who wrote a setting wrongly."""

from pathlib import Path

import pytest

from node.config import NodeConfig
from protocol.errors import ConfigError

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
        ({"blob_urls": '"http://x"'}, ["blob_urls: wanted a list, in brackets"]),
        ({"data": None}, ["data is missing; only a node with watch = true needs none"]),
        (
            {"interval_seconds": "0", "desks": '"five"'},
            [
                "interval_seconds: Input should be greater than 0",
                "desks: Input should be a valid integer, unable to parse string as an integer",
            ],
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
