"""A participant that leaves gets everything back, once, and never out of a running round."""

import json
import re
from collections.abc import Callable

import pytest
from click.testing import Result
from eth_utils.address import to_checksum_address

from protocol.chain.rpc import quantity
from protocol.exit_codes import ExitCode
from protocol.state import Phase
from protocol.task import ZERO_ADDRESS
from scripts import leave
from tests.chain import made
from tests.chain.game import DESKS, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

Run = Callable[..., Result]
RECEIVER = to_checksum_address("0x" + "ab" * 20)


@pytest.fixture
def game(embedded: Network) -> Game:
    """A task with one final round, that nobody has settled yet."""
    game = Game(embedded, rounds=2)
    game.begin()
    game.play_until_published()
    game.travel(game.deadlines().challenge)
    return game


def balance(game: Game, address: str) -> int:
    return quantity(game.chain.rpc.request("eth_getBalance", address, "latest"), "", bits=256)


def test_stake_and_reward_are_paid_to_whom_the_participant_names(game: Game, run: Run) -> None:
    done = run(leave.main, game, "--to", RECEIVER, "--json", account=DESKS[0])

    assert done.exit_code == ExitCode.OK, done.output
    # Its part of the round's reward too, which it distributes itself.
    owed_wei = game.params.stake_wei + game.params.reward_wei // len(DESKS)
    assert json.loads(done.stdout) == {
        "account": game.address(DESKS[0]),
        "task": "0x" + game.task_id.hex(),
        "currency": ZERO_ADDRESS,
        "left": True,
        "suspended": False,
        "restore_wei": None,
        "lost_wei": "0",
        "withdrawn": [{"currency": ZERO_ADDRESS, "amount_wei": str(owed_wei), "refused": None}],
        "to": RECEIVER,
    }
    assert balance(game, RECEIVER) == owed_wei


def test_every_currency_in_which_something_is_owed_is_withdrawn(
    embedded: Network, game: Game, run: Run
) -> None:
    token = made.token(embedded)
    other = Game(embedded, currency=token)
    other.create()
    other.join(DESKS[0])
    other.leave(DESKS[0])

    done = run(leave.main, game, "--to", RECEIVER, account=DESKS[0])

    assert done.exit_code == ExitCode.OK, done.output
    assert f"withdrawn {other.params.stake_wei} of token {token} to {RECEIVER}" in done.stdout
    assert made.balance_wei(game.chain, token, RECEIVER) == other.params.stake_wei
    assert balance(game, RECEIVER) > game.params.stake_wei


@pytest.mark.parametrize("typed", ["0x12", "desk", RECEIVER.swapcase().replace("0X", "0x")])
def test_mistyped_receiver_is_refused_before_the_seat_is_given_up(
    game: Game, run: Run, typed: str
) -> None:
    done = run(leave.main, game, "--to", typed, account=DESKS[0])

    assert done.exit_code == ExitCode.CONFIG
    assert "--to: wanted an address" in done.stderr
    assert game.look().seat(game.task_id, game.address(DESKS[0])).active_from


def test_second_run_finds_nothing_left_to_do(game: Game, run: Run) -> None:
    run(leave.main, game, account=DESKS[0])
    before = balance(game, game.address(DESKS[0]))

    done = run(leave.main, game, account=DESKS[0])

    assert done.exit_code == ExitCode.OK, done.output
    assert "seat      none" in done.stdout
    assert "withdrawn nothing" in done.stdout
    assert balance(game, game.address(DESKS[0])) == before


def test_reward_that_was_distributed_after_the_seat_was_given_up_is_claimed(
    game: Game, run: Run
) -> None:
    game.leave(DESKS[0])
    game.withdraw(DESKS[0])
    share_wei = game.params.reward_wei // len(DESKS)

    done = run(leave.main, game, "--to", RECEIVER, account=DESKS[0])

    assert done.exit_code == ExitCode.OK, done.output
    assert "seat      none" in done.stdout
    assert balance(game, RECEIVER) == share_wei


def test_publisher_without_a_seat_gets_its_bond_back(game: Game, run: Run) -> None:
    run(leave.main, game, account=DESKS[0])  # settles the round

    done = run(leave.main, game, "--to", RECEIVER, "--json", account=STRANGER)

    assert json.loads(done.stdout)["left"] is False
    assert balance(game, RECEIVER) == game.params.bond_wei


def withhold(game: Game) -> None:
    """A round that is over, without the first desk's reveal."""
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(*DESKS)
    game.travel(game.deadlines().commit)
    game.reveal(*DESKS[1:])
    game.travel(game.deadlines().aggregate)


@pytest.mark.parametrize(
    ("max_missed", "says"),
    [
        (3, "given up; it was suspended, and 0.001 ETH would have restored it"),
        (0, "given up; it was suspended for good"),
    ],
)
def test_suspended_seat_is_named_with_what_would_have_restored_it(
    embedded: Network, run: Run, max_missed: int, says: str
) -> None:
    game = Game(embedded, max_missed=max_missed)
    withhold(game)
    game.slash(STRANGER, DESKS[0])

    done = run(leave.main, game, "--to", RECEIVER, account=DESKS[0])

    assert done.exit_code == ExitCode.OK, done.output
    assert f"seat      {says}" in done.stdout
    assert "lost" not in done.stdout
    assert balance(game, RECEIVER) == game.params.stake_wei - game.params.slice_wei


def test_slice_that_leaving_costs_is_named(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    withhold(game)

    done = run(leave.main, game, "--to", RECEIVER, account=DESKS[0])

    assert "lost      0.001 ETH, for a commitment that was not opened" in done.stdout
    assert balance(game, RECEIVER) == game.params.stake_wei - game.params.slice_wei
    assert game.burned_wei() == game.params.slice_wei


def test_seat_that_serves_in_a_running_round_is_refused(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(DESKS[0])

    done = run(leave.main, game, account=DESKS[0])

    assert done.exit_code == ExitCode.CHAIN
    assert "SeatServing" in done.stderr
    assert re.search(r"round \d+ runs until .* UTC at least; run this again then", done.stderr)
    assert game.look().phase(game.task_id, 1) is Phase.COMMIT
