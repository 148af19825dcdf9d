"""The devnet's settings are what node, orchestrator and sponsor accept, and keys stay private."""

import importlib.util
import stat
from pathlib import Path
from types import ModuleType

import pytest
from eth_account import Account

from node.config import NodeConfig
from orchestrator.config import OrchestratorConfig
from scripts.task_config import TaskConfig

pytestmark = pytest.mark.unit

START = Path(__file__).parents[2] / "docker" / "start.py"


@pytest.fixture
def start(monkeypatch, tmp_path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("start", START)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RENDERED", tmp_path)
    monkeypatch.setenv("RPC_URL", "http://chain:8545")
    monkeypatch.setenv("KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("DESK", "4")
    monkeypatch.setenv("DATA", "synthetic")
    monkeypatch.setenv("AGGREGATOR", "0x" + "1a" * 20)
    return module


def test_node_settings_are_accepted(start):
    config = NodeConfig.load(start.render("node.toml"))
    assert (config.desk, config.desks, config.data) == (4, 5, "synthetic")


def test_orchestrator_settings_are_accepted_and_judge_the_market_that_the_nodes_train_on(start):
    config = OrchestratorConfig.load(start.render("orchestrator.toml"))
    node = NodeConfig.load(start.render("node.toml"))
    judged = (config.evaluator_settings["seed"], config.evaluator_settings["synthetic_days"])
    assert judged == (node.seed, node.synthetic_days)


def test_task_names_the_aggregator_and_the_contract_would_accept_it(start):
    params = TaskConfig.load(start.render("task.toml")).params(now=1_700_000_000)
    assert params.aggregator == "0x" + "1a" * 20


def test_a_setting_without_a_value_is_an_error(start, monkeypatch):
    monkeypatch.delenv("DESK")
    with pytest.raises(KeyError, match="DESK"):
        start.render("node.toml")


def test_key_is_made_once_and_readable_by_its_owner_alone(start, tmp_path):
    made = start.key()
    assert start.key() == made
    assert Account.from_key(made).address
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o400


def test_a_key_brought_by_a_person_is_used_as_it_is(start, tmp_path):
    (tmp_path / "key").write_text("0x" + "11" * 32 + "\n")
    assert start.key() == "0x" + "11" * 32


def test_unknown_service_is_refused(start):
    with pytest.raises(SystemExit, match="wanted prepare"):
        start.main([])
