"""A suspended seat is paid up and serves again, unless it missed too much."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from protocol.exit_codes import ExitCode
from protocol.task import ZERO_ADDRESS
from scripts import restore
from tests.chain import made
from tests.chain.game import DESKS, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

Run = Callable[..., Result]


def suspended(network: Network, **changes: object) -> Game:
    """A game whose first desk did not open its commitment of round 1, which is void."""
    game = Game(network, **changes)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(DESKS[0])
    game.travel(game.deadlines().reveal)
    game.slash(STRANGER, DESKS[0])
    return game


def test_missing_slice_is_paid_and_the_seat_serves_from_the_next_round(
    embedded: Network, run: Run
) -> None:
    game = suspended(embedded)

    done = run(restore.main, game, "--json", account=DESKS[0])

    assert done.exit_code == ExitCode.OK, done.output
    assert json.loads(done.stdout) == {
        "account": game.address(DESKS[0]),
        "task": "0x" + game.task_id.hex(),
        "currency": ZERO_ADDRESS,
        "paid_wei": str(game.params.slice_wei),
        "active_from": 2,
        "missed": 1,
        "max_missed": 3,
    }
    seat = game.look().seat(game.task_id, game.address(DESKS[0]))
    assert (seat.stake_wei, seat.suspended) == (game.params.stake_wei, False)


def test_slice_of_a_token_is_allowed_before_it_is_paid(embedded: Network, run: Run) -> None:
    game = suspended(embedded, currency=made.token(embedded))

    done = run(restore.main, game, account=DESKS[0])

    assert done.exit_code == ExitCode.OK, done.output
    assert f"paid      {game.params.slice_wei} of token" in done.stdout
    assert "missed    1, of 3 that can be restored" in done.stdout


def test_seat_that_is_suspended_for_good_is_refused(embedded: Network, run: Run) -> None:
    game = suspended(embedded, max_missed=0)

    done = run(restore.main, game, account=DESKS[0])

    assert done.exit_code == ExitCode.CHAIN
    assert "NotRestorable" in done.stderr


@pytest.mark.parametrize(
    ("account", "says"), [(DESKS[1], "serves from round 1"), (STRANGER, "has no seat")]
)
def test_seat_that_is_not_suspended_costs_nothing(
    embedded: Network, run: Run, account: int, says: str
) -> None:
    game = suspended(embedded)

    done = run(restore.main, game, account=account)

    assert done.exit_code == ExitCode.CONFIG
    assert f"{game.address(account)} {says}" in done.stderr
