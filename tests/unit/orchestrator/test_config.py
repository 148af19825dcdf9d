"""A configuration is taken whole or refused with the file and the key."""

import pytest

from orchestrator.config import OrchestratorConfig
from protocol.errors import ConfigError
from protocol.settings import host_and_port

pytestmark = pytest.mark.unit

LEAST = 'rpc_url = "http://127.0.0.1:8545"\nstate_dir = "state"\ndeployment = "deployment.json"\n'


@pytest.fixture
def load(tmp_path):
    def load(text):
        file = tmp_path / "orchestrator.toml"
        file.write_text(text)
        return OrchestratorConfig.load(file)

    return load


def test_paths_are_relative_to_the_file(load, tmp_path):
    config = load(LEAST + 'keystore = "/keys/key.json"\npassword_env = "PASSWORD"\n')
    assert config.state_dir == tmp_path / "state"
    assert config.deployment == tmp_path / "deployment.json"
    assert str(config.keystore) == "/keys/key.json"
    assert config.blob_dir == tmp_path / "state" / "blobs"
    assert not config.dry_run


def test_without_a_key_it_is_a_dry_run(load):
    assert load(LEAST).dry_run


def test_host_and_port_are_read_from_listen(load):
    assert host_and_port(load(LEAST + 'listen = "localhost:8123"\n').listen) == ("localhost", 8123)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (LEAST + "intervall_seconds = 3\n", "intervall_seconds"),
        (LEAST + 'interval_seconds = "soon"\n', "interval_seconds"),
        (LEAST + "interval_seconds = 0\n", "interval_seconds"),
        (LEAST + 'task_ids = ["0x12"]\n', "task_ids.0"),
        (LEAST + 'blob_urls = ["ftp://node/"]\n', "blob_urls.0"),
        (LEAST + 'listen = "8000"\n', "listen"),
        (LEAST + 'listen = "localhost:65536"\n', "wanted a port up to 65535"),
        (LEAST + 'contract = "0x12"\n', "contract"),
        (LEAST + f'contract = "0x{"ab" * 20}"\nchain_id = 1\n', "not both"),
        ('rpc_url = "http://x"\nstate_dir = "s"\nchain_id = 1\n', "either deployment or both"),
        (LEAST + 'keystore = "k"\n', "password_env"),
        (LEAST + 'keystore = "k"\npassword_env = "P"\nkey_env = "K"\n', "not both"),
        (LEAST + "[evaluator_settings]\ndata = 1\n", "evaluator_settings without evaluator"),
        (LEAST + "relay = true\n", "relay needs a key"),
        (
            LEAST + f'task_ids = ["0x{"ab" * 32}"]\nall_tasks = true\n',
            "either task_ids or all_tasks",
        ),
        (LEAST + 'key_env = "K"\nrelay = true\nall_tasks = true\n', "give task_ids"),
        ('state_dir = "s"\n', "rpc_url"),
        ("= 3", "is not TOML"),
    ],
)
def test_a_mistake_is_refused_with_file_and_key(load, tmp_path, text, named):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(tmp_path / "orchestrator.toml") in str(caught.value)
    assert named in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        OrchestratorConfig.load(tmp_path / "nowhere.toml")


def test_a_refused_value_is_not_shown(load):
    with pytest.raises(ConfigError) as caught:
        load(LEAST + 'rpc_key = "hunter2"\n')
    assert "hunter2" not in str(caught.value)


def test_every_setting_says_what_it_means():
    undocumented = [
        name for name, field in OrchestratorConfig.model_fields.items() if not field.description
    ]
    assert undocumented == []
