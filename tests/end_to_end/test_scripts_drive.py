"""What anybody may do is enough to bring a task to its end, with nobody's money left waiting."""

import json
import os
import signal
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import Result

from protocol import rounds
from protocol.chain.deployment import SeedSource, deploy
from protocol.chain.rpc import quantity
from protocol.draw import is_drawn
from protocol.errors import (
    ChainAnswerInvalid,
    ChainError,
    ChainUnavailable,
    Reverted,
    TransactionLost,
)
from protocol.exit_codes import ExitCode
from protocol.state import Phase
from protocol.task import RewardRule
from scripts import drive
from scripts.due import Due, due
from tests.chain import made
from tests.chain.game import DESKS, SPONSOR, STRANGER, Game
from tests.chain.network import SETTINGS, Network

pytestmark = pytest.mark.chain

Run = Callable[..., Result]
DRIVER = 7


@pytest.fixture
def once(run: Run) -> Callable[[Game], list[str]]:
    """Drives a game once; the functions that were called."""

    def once(game: Game) -> list[str]:
        done = run(drive.main, game, "--once", "--json", account=DRIVER)
        assert done.exit_code == ExitCode.OK, done.output
        return [each["function"] for each in json.loads(done.stdout)["sent"]]

    return once


def wind_up(game: Game) -> int:
    """Everybody leaves and withdraws; what then lies in the contract beside what was burned."""
    for desk in game.desks:
        game.leave(desk)
    for account in range(len(game.network.accounts)):
        if game.credit(account):
            game.withdraw(account)
    answer = game.chain.rpc.request("eth_getBalance", game.chain.contract, "latest")
    return quantity(answer, "eth_getBalance", bits=256) - game.burned_wei()


def test_task_passes_through_all_its_rounds_and_is_closed(embedded: Network, once) -> None:
    game = Game(embedded, rounds=2)
    game.create()
    assert once(game) == []
    game.join(*DESKS)

    assert once(game) == ["openRound"]
    assert once(game) == []
    game.play_until_published()
    game.travel(game.deadlines().challenge)
    assert once(game) == ["openRound", "distribute"]

    game.travel(game.deadlines().selection)
    game.commit(*DESKS)
    game.travel(game.deadlines().commit)
    game.reveal(DESKS[0])
    game.travel(game.deadlines().reveal)
    assert game.look().phase(game.task_id, 2) is Phase.VOID
    assert sorted(once(game)) == ["closeTask", "slashWithheld", "slashWithheld"]

    assert game.credit(DRIVER) == 2 * (game.params.slice_wei // 2)
    assert wind_up(game) == 0
    assert once(game) == []


def test_round_that_cannot_be_followed_is_settled(embedded: Network, once) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_published()
    game.travel(game.deadlines().challenge)
    for desk in DESKS:
        game.leave(desk)

    assert once(game) == ["finalise", "distribute"]
    assert [each.function for each in due(game.look(), game.task_id)] == []


def test_rewards_that_depend_on_scores_are_distributed_with_them(embedded: Network, once) -> None:
    game = Game(embedded, rounds=1, reward_rule=RewardRule.SCORES, score_seconds=60)
    game.begin()
    game.play_until_published()
    given = {1: b"\x09\x01\x03", 2: b"\x07\x05\x01"}
    for number, scores in given.items():
        game.commit_scores(DESKS[number], scores)
    game.travel(game.deadlines().score_commit)
    for number, scores in given.items():
        game.reveal_scores(DESKS[number], scores)
    game.travel(game.deadlines().challenge)

    assert once(game) == ["closeTask", "distribute"]
    assert len(set(game.look().shares_wei(game.task_id, 1))) == 3
    assert wind_up(game) == 0


def test_deposit_that_nobody_answered_returns_to_its_flagger(embedded: Network, once) -> None:
    game = Game(embedded, rounds=1)
    game.begin()
    game.play_until_revealed()
    game.flag(STRANGER, DESKS[0])
    game.travel(game.deadlines().availability)

    assert once(game) == ["reclaimDeposit"]
    assert game.credit(STRANGER) == game.params.flag_wei


def test_seats_are_drawn_once_their_seed_is_known(embedded: Network, once) -> None:
    source = made.chosen_seed(embedded)
    game = Game(embedded, desks=(1, 2, 3, 4, 5), seats=5, cohort=3, drawn=3, seed_source=source)
    game.begin()
    assert once(game) == []

    made.choose(game.transactors[STRANGER], source, b"\7" * 32)
    assert once(game) == ["drawSeats"]
    task = game.look().task_state(game.task_id)
    taken = [desk for desk in game.desks if is_drawn(task.draw, game.address(desk))]
    assert [desk for desk in game.desks if game.may_commit(desk)] == taken


def test_header_that_a_source_lacks_is_recorded(anvil: Network, once) -> None:
    # The embedded chain makes its blocks without randomness.
    deployed = deploy(
        anvil.endpoint,
        anvil.accounts[0],
        seed_source=SeedSource("PrevrandaoSource", (2,)),
        settings=SETTINGS,
    )
    game = Game(
        anvil, desks=(1, 2, 3, 4), seats=4, cohort=3, drawn=3, seed_source=deployed.seed_source
    )
    game.begin()
    for _ in range(4):
        game.travel(game.chain.head().timestamp + 1)

    assert once(game) == ["drawSeats"]
    task = game.look().task_state(game.task_id)
    assert not rounds.is_undrawn(task)


def test_call_that_somebody_else_was_quicker_with_is_no_failure(
    embedded: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game(embedded)
    game.create()
    game.join(*DESKS)
    transactor = game.transactors[DRIVER]

    def refuses(function: str, *_: object, **__: object) -> None:
        raise Reverted(function, "RoundRunning", {})

    monkeypatch.setattr(transactor, "send", refuses)
    assert list(drive.drive(transactor, game.task_id)) == []


@pytest.mark.parametrize(
    "failure",
    [
        ChainUnavailable("no answer"),
        TransactionLost("nonce 7 was used by another program"),
        ChainAnswerInvalid("asked for one receipt, got another"),
        ChainError("closeTask takes 0 ETH and gas, and the account has 0 ETH: send it more"),
    ],
)
def test_loop_survives_what_may_pass_and_ends_with_the_task(
    embedded: Network, run: Run, monkeypatch: pytest.MonkeyPatch, failure: ChainError
) -> None:
    game = Game(embedded)
    game.create()
    game.send(SPONSOR, "endTask", game.task_id)
    answers = iter([failure])
    honest = drive.drive

    def flaky(*args: object) -> object:
        for answer in answers:
            raise answer
        return honest(*args)

    monkeypatch.setattr(drive, "drive", flaky)
    done = run(drive.main, game, "--interval", "0.01", account=DRIVER)

    assert done.exit_code == ExitCode.OK, done.output
    assert done.stdout.splitlines() == ["close the task"]
    assert str(failure) in done.stderr


def test_signal_ends_the_loop_and_what_was_sent_is_told(
    embedded: Network, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game(embedded)
    game.create()
    game.join(*DESKS)
    honest = drive.drive

    def signalled(*args: object) -> Iterator[Due]:
        yield from honest(*args)
        os.kill(os.getpid(), signal.SIGTERM)
        raise ChainUnavailable("openRound was not mined before this process was told to end")

    monkeypatch.setattr(drive, "drive", signalled)
    done = run(drive.main, game, "--json", account=DRIVER)

    assert done.exit_code == ExitCode.OK, done.output
    said = json.loads(done.stdout)
    assert [each["function"] for each in said["sent"]] == ["openRound"]
    assert said["closed"] is False


def test_once_says_that_the_node_does_not_answer(
    embedded: Network, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ChainUnavailable("no answer")

    game = Game(embedded)
    game.create()
    monkeypatch.setattr(drive, "drive", fails)
    done = run(drive.main, game, "--once", account=DRIVER)

    assert done.exit_code == ExitCode.CHAIN_UNAVAILABLE


def test_command_is_one(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    game.create()

    assert isinstance(drive.main, click.Command)
    done = run(drive.main, game, "--once", account=DRIVER)
    assert done.stdout == "nothing is due\n"
