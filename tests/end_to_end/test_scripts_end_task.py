"""A sponsor ends a task and gets back what no round has spent, as soon as none runs."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from eth_utils.address import to_checksum_address

from protocol.chain.rpc import quantity
from protocol.exit_codes import ExitCode
from protocol.state import Phase
from scripts import end_task
from tests.chain.game import DESKS, SPONSOR, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

Run = Callable[..., Result]
RECEIVER = to_checksum_address("0x" + "ab" * 20)


def balance(game: Game, address: str) -> int:
    return quantity(game.chain.rpc.request("eth_getBalance", address, "latest"), "", bits=256)


def test_task_without_a_round_is_closed_at_once(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    game.create()

    done = run(end_task.main, game, "--to", RECEIVER, account=SPONSOR)

    assert done.exit_code == ExitCode.OK, done.output
    assert "task      closed" in done.stdout
    assert balance(game, RECEIVER) == game.params.budget_wei


def test_running_round_goes_on_and_the_next_run_closes_the_task(
    embedded: Network, run: Run
) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_published()

    first = run(end_task.main, game, "--json", account=SPONSOR)

    assert first.exit_code == ExitCode.OK, first.output
    found = json.loads(first.stdout)
    assert (found["ended"], found["closed"], found["done"]) == (True, False, [])
    assert found["running_until"] == game.deadlines().flag_result
    assert game.look().phase(game.task_id, 1) is Phase.CHALLENGE
    waiting = run(end_task.main, game, account=SPONSOR)
    assert "ended; round 1 runs until" in waiting.stdout

    game.travel(game.deadlines().challenge)
    second = run(end_task.main, game, "--to", RECEIVER, "--json", account=SPONSOR)

    found = json.loads(second.stdout)
    assert (found["ended"], found["closed"]) == (False, True)
    assert found["done"] == ["close the task", "distribute the reward of round 1"]
    rest_wei = game.params.reward_wei % len(DESKS)
    assert balance(game, RECEIVER) == 2 * game.params.reward_wei + rest_wei
    seat = game.look().seat(game.task_id, game.address(DESKS[0]))
    assert seat.reward_wei == game.params.reward_wei // len(DESKS)


def test_task_that_is_over_by_itself_is_only_closed(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    game.create()
    game.travel(game.params.closes_at)

    done = run(end_task.main, game, "--json", account=SPONSOR)

    assert json.loads(done.stdout)["ended"] is False
    assert game.look().task_state(game.task_id).closed
    again = run(end_task.main, game, account=SPONSOR)
    assert again.exit_code == ExitCode.OK, again.output
    assert "withdrawn nothing" in again.stdout


def test_somebody_else_s_task_is_not_ended(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    game.create()

    done = run(end_task.main, game, account=STRANGER)

    assert done.exit_code == ExitCode.CHAIN
    assert "NotSponsor" in done.stderr
    assert not game.look().task_state(game.task_id).ended
