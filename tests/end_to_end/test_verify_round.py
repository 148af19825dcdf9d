"""An outsider's check of a round: who was drawn, what was published, and how it was paid."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import Result

from node.market.samples import Samples
from protocol import numbers
from protocol.blobs import DirectoryStore
from protocol.chain.gateway import Snapshot
from protocol.encoding import encode_model, encode_update
from protocol.exit_codes import ExitCode
from protocol.task import RewardRule
from scripts import auditing, verify_round
from scripts.selection import Selection
from tests.chain import made
from tests.chain.game import STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

Run = Callable[..., Result]


@pytest.fixture
def verified(run: Run, tmp_path: Path) -> Callable[[Game], tuple[int, dict]]:
    """The exit status and what the command says of round 1, to whoever has all blobs."""
    store = DirectoryStore(tmp_path)

    def verified(game: Game) -> tuple[int, dict]:
        params = game.params
        store.put(encode_model(game.genesis, params.shift), chunk_length=params.chunk_length)
        for desk in game.desks:
            content = encode_update(game.values(desk), params.shift)
            store.put(content, chunk_length=params.chunk_length)
        done = run(verify_round.main, game, "--blobs", str(tmp_path), "--json")
        (verdict,) = json.loads(done.stdout)["rounds"]
        return done.exit_code, verdict

    return verified


def finish(game: Game) -> None:
    """From revealed updates to a final round with the right result."""
    game.travel(game.deadlines().reveal)
    game.travel(game.deadlines().availability)
    honest = game.honest()
    game.publish(STRANGER, aggregate_root=honest.aggregate_root, model_root=honest.model_root)
    game.travel(game.deadlines().challenge)


def by_relay(game: Game, *desks: int) -> None:
    """Commitments and openings of these desks in one transaction each."""
    game.travel(game.deadlines().selection)
    game.commit_together(STRANGER, *desks)
    game.travel(game.deadlines().commit)
    game.reveal_together(STRANGER, *desks)


def test_relayed_round_is_verified_with_its_reward(embedded: Network, verified) -> None:
    game = Game(embedded)
    game.begin()
    by_relay(game, *game.desks)
    finish(game)

    status, verdict = verified(game)
    assert (status, verdict["verdict"], verdict["why"]) == (ExitCode.OK, "verified", "")
    assert verdict["rewards"] == "waiting"
    everybody = [game.address(desk) for desk in game.desks]
    for step in ("seated", "drawn", "committed", "revealed"):
        assert verdict["selection"][step] == everybody

    game.distribute(STRANGER)
    status, verdict = verified(game)
    assert (status, verdict["verdict"], verdict["rewards"]) == (0, "verified", "distributed")


def test_verified_model_is_audited_where_that_is_asked(
    embedded: Network, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game(embedded)
    game.begin()
    by_relay(game, *game.desks)
    finish(game)
    store = DirectoryStore(tmp_path)
    for values in (game.genesis, *(game.values(desk) for desk in game.desks)):
        encoded = encode_model if values.dtype == np.int32 else encode_update
        store.put(encoded(values, game.params.shift), chunk_length=game.params.chunk_length)

    def predict(vector: np.ndarray, samples: Samples) -> np.ndarray:
        """Total variance falls with time."""
        assert vector.tolist() == numbers.to_float(game.honest().model, game.params.shift).tolist()
        return samples.atm_30d_vol / samples.years

    asked = []

    def by_hash(spec_hash: bytes) -> SimpleNamespace:
        asked.append(spec_hash)
        return SimpleNamespace(predict=predict)

    monkeypatch.setattr(auditing.registry, "by_hash", by_hash)
    monkeypatch.setattr(auditing, "AUDITED_DAYS", 4)
    monkeypatch.setattr(auditing.Auditor, "of_updates", lambda *_: np.array([0.01, 0.2, np.nan]))
    options = ("--blobs", str(tmp_path), "--audit", "synthetic")
    done = run(verify_round.main, game, *options, "--json")
    assert done.exit_code == ExitCode.ARBITRAGE
    (verdict,) = json.loads(done.stdout)["rounds"]
    assert asked == [game.params.model_spec_hash]
    assert verdict["verdict"] == "verified"
    assert verdict["arbitrage"]["calendar"] == 1.0
    assert verdict["arbitrage"]["butterfly"] == 0.0
    reasons = [
        f"{name} 100.000%, accepted up to {most}"
        for name, most in (("calendar", "0.500%"), ("wide_calendar", "3.000%"))
    ]
    assert verdict["beyond_limits"] == reasons
    assert verdict["brought"] == [
        {"participant": game.address(desk), "more": more, "is_worthless": more == 0.2}
        for desk, more in zip(game.desks, (0.01, 0.2, None), strict=True)
    ]

    text = run(verify_round.main, game, *options).stdout
    assert "arbitrage: calendar 100.000%, butterfly 0.000%" in text
    assert f"not accepted: {'; '.join(reasons)}" in text
    first, second, third = map(game.address, game.desks)
    assert f"update of {first}: arbitrage at +1.00% of points\n" in text
    assert f"update of {second}: arbitrage at +20.00% of points, which scores 0\n" in text
    assert f"update of {third}: cannot be judged for arbitrage" in text

    accepting = ("--limit", "calendar=1", "--limit", "wide_calendar=1")
    done = run(verify_round.main, game, *options, *accepting)
    assert (done.exit_code, "  accepted\n" in done.stdout) == (ExitCode.OK, True)


def test_a_wrong_round_counts_before_a_model_that_is_not_accepted() -> None:
    def verdict(name: str, *beyond: str) -> verify_round.Verdict:
        return verify_round.Verdict(1, name, 3, "", "", "", Selection(), beyond_limits=beyond)

    both = [verdict("verified", "calendar 1.000%, accepted up to 0.500%"), verdict("wrong")]
    assert verify_round._status(both) is ExitCode.VERIFICATION
    assert verify_round._status(both[:1]) is ExitCode.ARBITRAGE
    assert verify_round._status([verdict("verified"), verdict("void")]) is ExitCode.OK


def test_limits_are_for_an_audit(embedded: Network, run: Run, tmp_path: Path) -> None:
    game = Game(embedded)
    game.begin()
    done = run(verify_round.main, game, "--blobs", str(tmp_path), "--limit", "wings=1")
    assert (done.exit_code, "--audit" in done.stderr) == (ExitCode.CONFIG, True)


def test_task_of_an_architecture_that_is_not_installed_is_not_audited(
    embedded: Network, run: Run, tmp_path: Path
) -> None:
    game = Game(embedded)
    game.begin()
    done = run(verify_round.main, game, "--blobs", str(tmp_path), "--audit", "synthetic")
    assert done.exit_code == ExitCode.CONFIG
    assert "not installed" in done.stderr


def test_scores_decide_the_shares_that_are_verified(
    embedded: Network, verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game(embedded, reward_rule=RewardRule.SCORES, score_seconds=60)
    game.begin()
    by_relay(game, *game.desks)
    game.travel(game.deadlines().availability)
    given = {desk: bytes([desk, 2 * desk, 50]) for desk in game.desks[1:]}
    for desk, scores in given.items():
        game.commit_scores(desk, scores)
    honest = game.honest()
    game.publish(STRANGER, aggregate_root=honest.aggregate_root, model_root=honest.model_root)
    game.travel(game.deadlines().score_commit)
    for desk, scores in given.items():
        game.reveal_scores(desk, scores)
    game.travel(game.deadlines().challenge)
    game.distribute(STRANGER)

    assert verified(game)[1]["verdict"] == "verified"
    told = Snapshot.shares_wei

    def lies(snapshot: Snapshot, *of: object) -> tuple[int, ...]:
        first, second, *others = told(snapshot, *of)
        return (first - 1, second + 1, *others)

    monkeypatch.setattr(Snapshot, "shares_wei", lies)
    status, verdict = verified(game)
    assert (status, verdict["verdict"]) == (ExitCode.VERIFICATION, "wrong")
    assert verdict["why"].startswith(f"reward of round 1: {game.address(game.desks[0])} was given")


def test_draw_is_held_against_its_seed(embedded: Network, verified) -> None:
    source = made.chosen_seed(embedded)
    desks = (1, 2, 3, 4, 5, 6)
    game = Game(embedded, desks=desks, seats=6, cohort=5, drawn=4, seed_source=source)
    game.begin()
    seed = game.seed_that_draws(range(2, 6))
    made.choose(game.transactors[STRANGER], source, seed)
    game.send(STRANGER, "drawSeats", game.task_id, 1)
    taken = [desk for desk in desks if game.may_commit(desk)]
    by_relay(game, *taken[:5])
    finish(game)

    status, verdict = verified(game)
    assert (status, verdict["verdict"], verdict["why"]) == (ExitCode.OK, "verified", "")
    assert verdict["selection"]["drawn"] == [game.address(desk) for desk in taken]

    # A source that is not what it must be: its seed changed after the draw.
    made.choose(game.transactors[STRANGER], source, b"\x08" * 32)
    status, verdict = verified(game)
    assert (status, verdict["verdict"]) == (ExitCode.VERIFICATION, "wrong")
    assert "its seats were drawn by" in verdict["why"]
