"""A participant that leaves gets everything back, once, and never out of a running round."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from eth_utils.address import to_checksum_address

from protocol.chain.rpc import quantity
from protocol.exit_codes import ExitCode
from protocol.task import Phase
from scripts import command, leave
from scripts.network import EmbeddedNetwork

pytestmark = pytest.mark.chain

Make = Callable[..., EmbeddedNetwork]
KEY_ENV = "VOLQUORUM_TEST_KEY"
RECEIVER = to_checksum_address("0x" + "ab" * 20)


@pytest.fixture
def network(make_network: Make) -> EmbeddedNetwork:
    network = make_network(rounds=1)
    list(network.rounds())
    return network


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command with this account's key, on the embedded chain."""

    def run(network: EmbeddedNetwork, account: object, *arguments: str) -> Result:
        monkeypatch.setenv(KEY_ENV, account.key.hex())
        monkeypatch.setattr(command, "connect", lambda *_address: network.chain)
        options = ("--rpc", "embedded", "--key-env", KEY_ENV, *arguments)
        return CliRunner().invoke(leave.main, options)

    return run


def balance(network: EmbeddedNetwork, address: str) -> int:
    return quantity(network.chain.rpc.request("eth_getBalance", address, "latest"), "", bits=256)


def test_stake_and_reward_are_paid_to_whom_the_participant_names(network, run):
    account = network.participants[0].account

    done = run(network, account, "--to", RECEIVER, "--json")

    assert done.exit_code == ExitCode.OK, done.output
    owed_wei = network.params.stake_wei + network.params.reward_wei // len(network.participants)
    assert json.loads(done.stdout) == {
        "account": account.address,
        "task": "0x" + network.task_id.hex(),
        "left": True,
        "closed": False,
        "withdrawn_wei": str(owed_wei),
        "to": RECEIVER,
    }
    assert balance(network, RECEIVER) == owed_wei


@pytest.mark.parametrize("typed", ["0x12", "desk", RECEIVER.swapcase().replace("0X", "0x")])
def test_mistyped_receiver_is_refused_before_the_seat_is_given_up(network, run, typed):
    account = network.participants[0].account

    done = run(network, account, "--to", typed)

    assert done.exit_code == ExitCode.CONFIG
    assert "--to: wanted an address" in done.stderr
    assert network.chain.at(network.chain.head()).seat(network.task_id, account.address).active_from


def test_second_run_finds_nothing_left_to_do(network, run):
    account = network.participants[0].account
    run(network, account)
    before = balance(network, account.address)

    done = run(network, account)

    assert done.exit_code == ExitCode.OK, done.output
    assert "seat      none" in done.stdout
    assert "withdrawn 0 wei" in done.stdout
    assert balance(network, account.address) == before


def test_publisher_without_a_seat_gets_its_bond_back(network, run):
    aggregator = network.embedded.accounts[1]
    run(network, network.participants[0].account)  # settles the round

    done = run(network, aggregator, "--to", RECEIVER, "--json")

    assert json.loads(done.stdout)["left"] is False
    assert balance(network, RECEIVER) == network.params.bond_wei


def test_sponsor_closes_a_task_that_is_over_and_gets_what_no_round_spent(make_network, run):
    network = make_network(rounds=1)
    list(network.rounds())
    spare_wei = network.params.reward_wei % len(network.participants)

    done = run(network, network.sponsor, "--close-task", "--to", RECEIVER, "--json")

    assert done.exit_code == ExitCode.OK, done.output
    assert json.loads(done.stdout)["closed"] is True
    assert balance(network, RECEIVER) == spare_wei
    again = run(network, network.sponsor, "--close-task", "--json")
    assert json.loads(again.stdout)["closed"] is False


def test_task_that_may_open_rounds_is_not_closed(make_network, run):
    network = make_network(rounds=2)

    done = run(network, network.sponsor, "--close-task")

    assert done.exit_code == ExitCode.CHAIN
    assert "TaskNotOver" in done.stderr


def test_seat_that_serves_in_a_running_round_is_refused(make_network, run):
    network = make_network(rounds=1)
    for participant in network.participants:
        participant.tick()
    while (
        network.chain.at(network.chain.head())
        .seat(network.task_id, network.participants[0].account.address)
        .committed_round
        == 0
    ):
        network.step()

    done = run(network, network.participants[0].account)

    assert done.exit_code == ExitCode.CHAIN
    assert "SeatServing" in done.stderr
    snapshot = network.chain.at(network.chain.head())
    assert snapshot.phase(network.task_id, 1) is Phase.COMMIT
