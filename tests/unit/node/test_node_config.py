"""A participant's settings are taken whole or refused with the file and the key."""

from pathlib import Path

import pytest

from node.config import NodeConfig
from protocol.errors import ConfigError

pytestmark = pytest.mark.unit

LEAST = """
rpc_url = "http://127.0.0.1:8545"
deployment = "deployment.json"
state_dir = "state"
data = "synthetic"
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        file = tmp_path / "node.toml"
        file.write_text(text)
        return NodeConfig.load(file)

    return load


def test_paths_are_relative_to_the_file(load, tmp_path):
    text = LEAST.replace('"synthetic"', '"quotes"')
    config = load(text + 'reference = "/public"\nkeystore = "key.json"\npassword_env = "P"\n')

    assert config.deployment == tmp_path / "deployment.json"
    assert config.state_dir == tmp_path / "state"
    assert config.keystore == tmp_path / "key.json"
    assert config.data == tmp_path / "quotes"
    assert config.reference == Path("/public")


def test_made_up_market_is_a_word_and_not_a_folder(load):
    assert load(LEAST).data == "synthetic"


def test_watcher_needs_no_quotes_and_anybody_else_does(load):
    without = LEAST.replace('data = "synthetic"\n', "")

    assert load(without + "watch = true\n").data is None
    with pytest.raises(ConfigError, match="data is missing"):
        load(without)


def test_option_counts_instead_of_what_the_file_says(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text(LEAST.replace('data = "synthetic"\n', "watch = false\n"))

    assert NodeConfig.load(file, watch=True).watch


def test_node_challenges_flags_and_votes_and_does_not_publish_unless_told(load):
    config = load(LEAST)

    assert (config.challenge, config.flag, config.vote) == (True, True, True)
    assert (config.publish, config.watch) == (False, False)


def test_node_pays_nothing_back_and_sends_by_itself_unless_told(load):
    told = load(LEAST + 'restore = true\nrelayer = "https://relayer.example/task"\n')

    assert (load(LEAST).restore, load(LEAST).relayer) == (False, None)
    assert (told.restore, told.relayer) == (True, "https://relayer.example/task")


def test_rounds_are_accepted_by_number_and_none_unless_told(load):
    assert load(LEAST).adopt_unverified == ()
    assert load(LEAST + "adopt_unverified = [3, 7]\n").adopt_unverified == (3, 7)


def test_settings_cannot_be_changed_after_they_were_checked(load):
    with pytest.raises(ValueError, match="frozen"):
        load(LEAST).desk = 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (LEAST + "intervall_seconds = 3\n", "intervall_seconds"),
        (LEAST + "interval_seconds = 0\n", "interval_seconds"),
        (LEAST + 'interval_seconds = "soon"\n', "interval_seconds"),
        (LEAST + "interval_seconds = nan\n", "interval_seconds"),
        (LEAST + 'task_id = "0x12"\n', "task_id"),
        (LEAST + 'listen = "8600"\n', "listen"),
        (LEAST + 'listen = "127.0.0.1:65536"\n', "wanted a port up to 65535"),
        (LEAST + 'partition = "alphabet"\n', "partition"),
        (LEAST + "desks = 0\n", "desks"),
        (LEAST + "desk = 5\n", "desk is 5, wanted less than desks = 5"),
        (LEAST + "synthetic_days = 9\n", "synthetic_days"),
        (LEAST + "local_steps = 0\n", "local_steps"),
        (LEAST + 'device = "tpu"\n', "device"),
        (LEAST + "update_bits = 1\n", "update_bits"),
        (LEAST + "update_bits = 8.5\n", "update_bits"),
        (LEAST + "update_bits = 17\n", "update_bits"),
        (LEAST + "update_share = 0\n", "update_share"),
        (LEAST + "update_share = 1.01\n", "update_share"),
        (LEAST + "update_share = nan\n", "update_share"),
        (LEAST + 'log_level = "loud"\n', "log_level"),
        (LEAST + "blob_urls = [3]\n", "blob_urls.0"),
        (LEAST + 'relayer = "127.0.0.1:8500"\n', "relayer"),
        (LEAST + 'restore = "often"\n', "restore"),
        (LEAST + "adopt_unverified = true\n", "adopt_unverified"),
        (LEAST + "adopt_unverified = [0]\n", "adopt_unverified.0"),
        (LEAST + "keystore = 3\n", "keystore"),
        (LEAST.replace('"deployment.json"', "5"), "deployment"),
        (LEAST.replace("http:", "ipc:"), "rpc_url"),
        (LEAST.replace('state_dir = "state"', ""), "state_dir"),
        ("= 3", "node.toml"),
    ],
)
def test_mistake_is_refused_with_file_and_key(load, tmp_path, text, named):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(tmp_path / "node.toml") in str(caught.value)
    assert named in str(caught.value)


def test_every_mistake_is_named_at_once(load):
    with pytest.raises(ConfigError, match=r"desks: .*\n.*seed: "):
        load(LEAST + "desks = 0\nseed = -1\n")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        NodeConfig.load(tmp_path / "nowhere.toml")


def test_file_that_is_not_text_is_refused(tmp_path):
    file = tmp_path / "node.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"node\.toml"):
        NodeConfig.load(file)


def test_refused_value_is_not_shown(load):
    # Somebody will put the key itself where the name of a variable belongs.
    with pytest.raises(ConfigError) as caught:
        load(LEAST + 'private_key = "0xhunter2"\nlisten = "hunter2"\n')
    assert "hunter2" not in str(caught.value)
