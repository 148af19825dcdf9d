"""A sponsor deploys contracts, a seed source where the task draws, and the task; it pays once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from protocol.chain.code import CONTRACT, MODULES
from protocol.chain.deployment import Deployment
from protocol.chain.rpc import Rpc, quantity
from protocol.chain.seed import to_record
from protocol.errors import ConfigError
from protocol.exit_codes import ExitCode
from scripts import deploy
from scripts.task_config import TaskConfig
from tests.chain import made
from tests.chain.network import Network
from tests.end_to_end.conftest import KEY_ENV

pytestmark = pytest.mark.chain

DRAWS = "cohort = 3\nseats = 8\nseed_delay_blocks = 2\n"


@pytest.fixture
def deployed(
    anvil: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command with this task, on a real chain, by its first account."""
    monkeypatch.setenv(KEY_ENV, anvil.accounts[0].key.hex())

    def deployed(task: str | None, *more: str) -> Result:
        options = ["--rpc", str(anvil.endpoint), "--key-env", KEY_ENV, "--json", *more]
        options += ["--out", str(tmp_path / "deployment.json"), "--blobs", str(tmp_path)]
        if task is not None:
            config = tmp_path / "task.toml"
            config.write_text(task)
            options += ["--task-config", str(config)]
        return CliRunner().invoke(deploy.main, options)

    return deployed


def nonce(network: Network) -> int:
    sponsor = network.accounts[0].address
    answer = Rpc(network.endpoint).request("eth_getTransactionCount", sponsor, "latest")
    return quantity(answer, "nonce")


@pytest.mark.parametrize(
    ("task", "judge"),
    [
        ('rule = "median"\ncohort = 5\n', "median will be judged by the contract, by whatever"),
        (
            'rule = "geometric_median"\ncohort = 5\n',
            "geometric_median will be judged by the contract, by whatever",
        ),
        (
            'rule = "minimum_diameter"\nquorum = 7\ncohort = 7\ntolerance = 2\n',
            "minimum_diameter will be judged by votes of 3 of those who reveal, for the contract",
        ),
    ],
)
def test_sponsor_is_told_who_will_judge_the_results(
    deployed: Callable[..., Result], task: str, judge: str
) -> None:
    done = deployed(task)

    assert done.exit_code == ExitCode.OK, done.output
    assert judge in done.stderr


@pytest.mark.parametrize(
    ("task", "caution"),
    [
        ('rule = "mean"\ntolerance = 0\n', "mean is not robust: one liar"),
        ('rule = "clipped_mean"\nclip_norm = 1\n', "clipped_mean is bounded, not robust"),
        ('rule = "krum"\nquorum = 5\n', "krum drops or weakens updates that stand apart"),
        ('pre_steps = ["nnm"]\n', "nnm+trimmed_mean drops or weakens"),
        ('pre_steps = ["arc", "nnm"]\n', None),
        ('rule = "trimmed_mean"\n', None),
        ('rule = "mean"\npre_steps = ["arc"]\n', None),
    ],
)
def test_sponsor_is_warned_of_what_a_rule_costs(
    deployed: Callable[..., Result], task: str, caution: str | None
) -> None:
    done = deployed(task)

    assert done.exit_code == ExitCode.OK, done.output
    assert ("warning" in done.stderr) == (caution is not None)
    assert caution is None or f"warning: {caution}" in done.stderr


def test_task_that_draws_gets_a_source_of_seeds(
    anvil: Network, deployed: Callable[..., Result], tmp_path: Path
) -> None:
    before = nonce(anvil)

    done = deployed(DRAWS)

    assert done.exit_code == ExitCode.OK, done.output
    assert nonce(anvil) == before + 7  # five contracts, the source, the task
    for said in ("deploying Members, ", ", PrevrandaoSource: ", "creating the task for 0.2 ETH"):
        assert said in done.stderr
    found = json.loads(done.stdout)
    told = [line.split()[0] for line in done.stderr.splitlines() if " since block " in line]
    assert told == [*MODULES, CONTRACT, "PrevrandaoSource", "the"]
    assert f"{CONTRACT} is at {found['contract']} since block {found['block']}\n" in done.stderr
    deployment = Deployment.read(tmp_path / "deployment.json")
    assert deployment.task_id is not None
    chain = deployment.connect(anvil.endpoint)
    params = chain.at(chain.head()).task_params(deployment.task_id)
    assert params.seed_source == deployment.seed_source == found["seed_source"]
    head = chain.head()
    assert to_record(chain, params.seed_source, head.number - 3, at=head) == head.number - 1

    again = deployed(DRAWS)
    assert (again.exit_code, json.loads(again.stdout)) == (ExitCode.OK, found)
    assert nonce(anvil) == before + 7


def test_source_is_added_to_contracts_that_stand(
    anvil: Network, deployed: Callable[..., Result]
) -> None:
    first = json.loads(deployed(None).stdout)
    before = nonce(anvil)

    second = json.loads(deployed(DRAWS).stdout)

    assert nonce(anvil) == before + 2
    assert (first["seed_source"], first["task_id"]) == (None, None)
    assert second["contract"] == first["contract"]
    assert second["seed_source"] is not None


def test_source_cannot_be_added_to_what_is_not_remembered(
    anvil: Network, deployed: Callable[..., Result], tmp_path: Path
) -> None:
    deployed(None)
    before = nonce(anvil)
    for file in tmp_path.glob("*.outbox.sqlite*"):
        file.unlink()

    done = deployed(DRAWS)

    assert done.exit_code == ExitCode.CONFIG
    assert "no seed source can be added" in done.stderr
    assert nonce(anvil) == before


def test_task_that_the_contract_would_refuse_costs_nothing(
    anvil: Network, deployed: Callable[..., Result]
) -> None:
    before = nonce(anvil)

    done = deployed(DRAWS + "drawn = 4\n")

    assert done.exit_code == ExitCode.CONFIG
    assert "drawn must be from 3 to 3" in done.stderr
    assert nonce(anvil) == before


def test_task_in_a_token_is_funded_from_an_allowance(
    anvil: Network, deployed: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = made.token(anvil)
    # The token of the tests has no decimals of its own.
    monkeypatch.setattr(deploy, "_check_decimals", lambda *_: None)

    done = deployed(f'currency = "{token}"\ndecimals = 6\nreward = 2.5\nrounds = 4\n')

    assert done.exit_code == ExitCode.OK, done.output
    deployment = Deployment.model_validate_json(done.stdout)
    chain = deployment.connect(anvil.endpoint)
    assert made.balance_wei(chain, token, deployment.contract) == 10_000_000


def test_currency_that_is_no_token_is_refused_before_the_task_is_paid(
    deployed: Callable[..., Result],
) -> None:
    done = deployed(f'currency = "0x{"ab" * 20}"\ndecimals = 6\n')

    assert done.exit_code == ExitCode.CONFIG
    assert "does not tell its decimals" in done.stderr


def test_decimals_that_the_token_does_not_have_are_refused() -> None:
    class Chain:
        def ask(self, *_: object) -> tuple[int]:
            return (18,)

    config = TaskConfig(currency="0x" + "ab" * 20, decimals=6)
    with pytest.raises(ConfigError, match="the token has 18; found 6"):
        deploy._check_decimals(Chain(), config)
