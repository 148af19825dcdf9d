"""A desk takes the model of a finished task, checked against the chain, and makes it its own."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from node.learning.training import TrainingSettings
from node.market.desks import write_desk
from node.market.synthetic import market
from node.models.smile import SMILE
from protocol.encoding import encode_model
from protocol.exit_codes import ExitCode
from scripts import command, named_model, personal
from scripts.comparison import Market
from scripts.network import EmbeddedNetwork
from tests.end_to_end.conftest import network_of

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def finished(desks: Market, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedNetwork:
    network = network_of(desks, tmp_path_factory.mktemp("network"))
    assert [record.phase for record in network.rounds()] == ["final", "final"]
    return network


@pytest.fixture
def run(
    finished: EmbeddedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command on a task's chain, for a desk with BTC quotes."""
    quotes = market(3, days=12, snapshots_per_day=2)
    write_desk(tmp_path / "quotes", quotes.filter(pl.col("currency") == "BTC"))
    monkeypatch.setattr(command, "connect", lambda *_address: finished.chain)
    recipe = partial(TrainingSettings, steps_per_round=4, batch_size=64)
    monkeypatch.setattr(named_model, "TrainingSettings", recipe)

    def run(*options: str) -> Result:
        files = ["--data", str(tmp_path / "quotes"), "--out", str(tmp_path / "own.model")]
        return CliRunner().invoke(personal.main, ["--rpc", "embedded", *files, "--json", *options])

    return run


def root_of(network: EmbeddedNetwork, number: int) -> str:
    snapshot = network.chain.at(network.chain.head())
    return "0x" + snapshot.round_state(network.task_id, number).model_root.hex()


def test_last_final_model_is_taken_or_that_of_a_named_round(run, finished, tmp_path):
    blobs = ["--blobs", str(finished.blobs.path)]
    for options, number in ((blobs, 2), ([*blobs, "--round", "1"], 1)):
        done = run(*options)
        assert done.exit_code == ExitCode.OK, done.output
        said = json.loads(done.stdout)
        assert (said["round"], said["model_root"]) == (number, root_of(finished, number))
        assert said["model_root_checked"] is True
        assert (tmp_path / "own.model").is_file()


def test_model_that_nobody_serves_or_that_is_another_is_refused(run, finished, tmp_path):
    blobs, shift = tmp_path / "elsewhere", finished.params.shift
    blobs.mkdir()
    assert run("--blobs", str(blobs)).exit_code == ExitCode.BLOB

    file = blobs / root_of(finished, 2).removeprefix("0x")
    file.write_bytes(encode_model(SMILE.genesis(0, shift), shift))
    assert run("--blobs", str(blobs)).exit_code == ExitCode.BLOB


def test_round_that_is_not_final_has_no_model(run, finished):
    refused = run("--blobs", str(finished.blobs.path), "--round", "3")
    assert refused.exit_code == ExitCode.CONFIG
    assert "wanted round 3 to be final" in refused.stderr
