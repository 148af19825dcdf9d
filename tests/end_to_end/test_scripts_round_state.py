"""`round-state --why`: who is awaited and what that costs, what comes when, whose money waits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from protocol.blobs import DirectoryStore
from protocol.encoding import encode_update
from protocol.exit_codes import ExitCode
from protocol.task import ZERO_ADDRESS, RewardRule, Rule
from scripts import round_state
from scripts.command import when
from tests.chain import made
from tests.chain.game import DESKS, MODEL_ROOT, SPONSOR, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

Run = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture
def explained(run: Run) -> Facts:
    """What the command knows of a game, as JSON."""

    def explained(game: Game, *arguments: str) -> dict[str, Any]:
        done = run(round_state.main, game, "--why", "--json", *arguments)
        assert done.exit_code == ExitCode.OK, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return explained


def awaited(facts: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What each owes, and what it loses."""
    found = facts["why"]["awaited"]
    return {each["participant"]: (each["lacks"], each["loses_wei"]) for each in found}


def names(facts: dict[str, Any]) -> list[str]:
    return [each["function"] for each in facts["why"]["due"]]


def test_round_that_was_not_opened_yet_is_refused(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    game.create()

    refused = run(round_state.main, game, "--round", "1")

    assert refused.exit_code == ExitCode.CONFIG
    assert "--round is a number up to 0, the latest; found 1" in refused.stderr


def test_task_without_a_round_waits_for_seats(embedded: Network, explained: Facts) -> None:
    game = Game(embedded)
    game.create()
    game.join(DESKS[0])

    facts = explained(game)

    assert facts["next"] == "1 more participants must join or be restored"
    assert (facts["seats"], facts["active"], facts["entering"]) == (1, 0, 1)
    assert names(facts) == []
    assert [each["time"] for each in facts["why"]["coming"]] == [game.params.closes_at]
    game.join(DESKS[1])
    assert names(explained(game)) == ["openRound"]


def test_who_has_not_committed_has_no_part_and_loses_nothing(
    embedded: Network, explained: Facts
) -> None:
    game = Game(embedded)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(DESKS[0])

    facts = explained(game)

    assert facts["missing"] == [game.address(desk) for desk in DESKS[1:]]
    assert awaited(facts) == {game.address(desk): ("commit", "0") for desk in DESKS[1:]}
    assert facts["why"]["draw"] is None


def test_who_has_not_revealed_loses_a_slice_and_the_time_is_said(
    embedded: Network, run: Run, explained: Facts
) -> None:
    game = Game(embedded, slice_wei=3 * 10**15, max_missed=0)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(*DESKS)
    game.travel(game.deadlines().commit)
    game.reveal(*DESKS[1:])

    facts = explained(game)

    assert awaited(facts) == {game.address(DESKS[0]): ("reveal", str(3 * 10**15))}
    ends = game.deadlines()
    times = {each["what"].split(",")[0]: each["time"] for each in facts["why"]["coming"]}
    assert times["slashWithheld"] == ends.reveal
    assert times["publish"] in {ends.availability, ends.aggregator}

    said = run(round_state.main, game, "--why").stdout
    assert (
        f"awaited   reveal of {game.address(DESKS[0])}; else loses 0.003 ETH: its seat is "
        "suspended for good; this is number 1 that it did not open, of 0 forgiven"
    ) in said
    assert f"from      {when(ends.reveal)}: slashWithheld, of whoever" in said

    game.travel(ends.reveal)
    facts = explained(game)
    assert names(facts) == ["slashWithheld"]
    assert awaited(facts)[game.address(DESKS[0])] == ("reveal of round 1", str(3 * 10**15))
    game.slash(STRANGER, DESKS[0])
    assert awaited(explained(game))[game.address(DESKS[0])][0] == "a seat that can be restored"


def test_whose_votes_are_missing_is_said_until_there_are_enough(
    embedded: Network, run: Run, explained: Facts
) -> None:
    game = Game(embedded, rule=Rule.MINIMUM_DIAMETER, tolerance=1, quorum=3)
    game.begin()
    game.play_until_published()
    game.vote(DESKS[0])

    facts = explained(game)

    assert awaited(facts) == {game.address(desk): ("vote", "0") for desk in DESKS[1:]}
    assert (facts["by_votes"], facts["votes_needed"]) == (True, 2)
    assert [each["participants"] for each in facts["votes"]] == [[game.address(DESKS[0])]]
    assert "with 2 votes for it, of which 1 are cast, the published result is fin" in facts["next"]
    coming = {each["what"].split(",")[0]: each["time"] for each in facts["why"]["coming"]}
    lacking = "without 2 votes for the result"
    assert coming[lacking] == game.deadlines().challenge
    said = run(round_state.main, game, "--why").stdout
    assert "rule minimum_diameter, judged by 2 votes" in said
    assert f"votes     1 for 0x{MODEL_ROOT.hex()}, which is published" in said

    game.vote(DESKS[1], b"\x09" * 32)
    assert set(awaited(explained(game))) == {game.address(DESKS[2])}
    game.vote(DESKS[2], b"\x09" * 32)

    facts = explained(game)
    assert awaited(facts) == {}
    assert names(facts) == ["refuteOutvoted"]
    game.travel(game.deadlines().challenge)
    facts = explained(game)
    assert (facts["phase"], facts["aggregate_root"], facts["model_root"]) == ("void", None, None)
    assert [each["is_published"] for each in facts["votes"]] == [True, False]
    assert names(facts) == ["openRound"]


def test_whom_a_task_trusts_is_named(embedded: Network, run: Run, explained: Facts) -> None:
    trusted = embedded.accounts[DESKS[1]].address
    game = Game(embedded, rule=Rule.FLTRUST, tolerance=1, quorum=3, trusted=trusted)
    game.begin()

    assert (explained(game)["rule"], explained(game)["trusted"]) == ("fltrust", trusted)
    said = run(round_state.main, game).stdout
    assert f"rule fltrust, trusting {trusted}\n" in said


def test_suspended_seat_is_told_what_restores_it(embedded: Network, run: Run) -> None:
    game = Game(embedded)
    game.begin()
    game.travel(game.deadlines().selection)
    game.commit(DESKS[0])
    game.travel(game.deadlines().reveal)
    game.slash(STRANGER, DESKS[0])

    said = run(round_state.main, game, "--why").stdout

    assert (
        f"restore of {game.address(DESKS[0])}; else it serves no round; 0.001 ETH restores it"
        in said
    )
    assert f"credit    0.0005 ETH of {game.address(STRANGER)}" in said
    assert "burned    0.0005 ETH" in said


def test_update_that_is_flagged_or_cannot_be_fetched_is_named(
    embedded: Network, explained: Facts, tmp_path: Path
) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_revealed()
    game.flag(STRANGER, DESKS[0])
    store = DirectoryStore(tmp_path)
    store.put(
        encode_update(game.values(DESKS[1]), game.params.shift),
        chunk_length=game.params.chunk_length,
    )

    assert awaited(explained(game)) == {game.address(DESKS[0]): ("post of its flagged update", "0")}
    assert awaited(explained(game, "--blobs", str(tmp_path))) == {
        game.address(DESKS[0]): ("post of its flagged update", "0"),
        game.address(DESKS[2]): ("bytes of its update", "0"),
    }


def test_flagged_result_costs_its_publisher_the_bond(embedded: Network, explained: Facts) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_published()
    game.flag_result(DESKS[0], 0)

    found = awaited(explained(game))

    assert found == {game.address(STRANGER): ("post of the flagged aggregate", str(10**16))}


def test_scores_are_awaited_while_they_may_be_given(embedded: Network, explained: Facts) -> None:
    game = Game(embedded, reward_rule=RewardRule.SCORES, score_seconds=60)
    game.begin()
    game.play_until_published()
    game.commit_scores(DESKS[0], bytes(3))

    lacking = awaited(explained(game))
    assert lacking == {game.address(desk): ("commitment to scores", "0") for desk in DESKS[1:]}

    game.travel(game.deadlines().score_commit)
    assert awaited(explained(game)) == {game.address(DESKS[0]): ("scores", "0")}
    game.reveal_scores(DESKS[0], bytes(3))
    assert awaited(explained(game)) == {}


def test_money_that_waits_is_listed_with_whose_it_is(
    embedded: Network, run: Run, explained: Facts
) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_published()
    game.travel(game.deadlines().challenge)

    facts = explained(game)

    assert names(facts) == ["openRound", "distribute"]
    money = facts["why"]["money"]
    assert money["currency"] == ZERO_ADDRESS
    assert money["undistributed"] == [{"round": 1, "reward_wei": str(game.params.reward_wei)}]
    assert (money["unclaimed"], money["credits"]) == ([], [])
    assert (
        "waits     0.001 ETH, the reward of round 1" in run(round_state.main, game, "--why").stdout
    )

    game.distribute(STRANGER)
    money = explained(game)["why"]["money"]
    share_wei = game.params.reward_wei // 3
    assert money["undistributed"] == []
    assert money["unclaimed"] == [
        {"account": game.address(desk), "amount_wei": str(share_wei)} for desk in DESKS
    ]
    assert {each["account"]: each["amount_wei"] for each in money["credits"]} == {
        game.address(STRANGER): str(game.params.bond_wei),
        game.address(SPONSOR): str(game.params.reward_wei - 3 * share_wei),
    }


def test_token_s_amounts_are_in_its_smallest_unit(embedded: Network, run: Run) -> None:
    game = Game(embedded, currency=made.token(embedded))
    game.create()

    said = run(round_state.main, game, "--why").stdout

    assert f"unspent   {game.params.budget_wei} of token {game.params.currency}" in said


def test_whom_the_draw_took_is_listed(embedded: Network, run: Run, explained: Facts) -> None:
    source = made.chosen_seed(embedded)
    game = Game(embedded, desks=(1, 2, 3, 4, 5), seats=5, cohort=3, drawn=3, seed_source=source)
    game.begin()

    facts = explained(game)
    assert facts["next"].startswith("anybody draws the seats when their seed is known")
    assert facts["why"]["draw"]["awaits_seed"]
    assert (facts["why"]["draw"]["taken"], facts["why"]["awaited"]) == ([], [])
    assert "draw      awaits what" in run(round_state.main, game, "--why").stdout

    made.choose(game.transactors[STRANGER], source, b"\7" * 32)
    assert names(explained(game)) == ["drawSeats"]
    game.send(STRANGER, "drawSeats", game.task_id, 1)
    taken = [game.address(desk) for desk in game.desks if game.may_commit(desk)]
    game.travel(game.deadlines().selection)
    facts = explained(game)
    assert facts["why"]["draw"]["taken"] == facts["missing"] == taken
    assert list(awaited(facts)) == taken


def test_ended_task_says_so(embedded: Network, explained: Facts) -> None:
    game = Game(embedded)
    game.create()
    game.send(SPONSOR, "endTask", game.task_id)

    facts = explained(game)

    assert facts["ended"]
    assert facts["next"] == "anybody closes the task; participants leave and withdraw"
    assert (names(facts), facts["why"]["coming"]) == (["closeTask"], [])
