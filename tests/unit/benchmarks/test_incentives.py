"""The incentives benchmark: what is sent and scored, what it is worth, and what is printed."""

import json
from argparse import Namespace
from dataclasses import asdict, replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from benchmarks import incentives
from benchmarks.attacks import View
from benchmarks.behaviours import BEHAVIOURS, Terms, net_shares
from benchmarks.conducts import CONDUCTS
from benchmarks.field import Field
from benchmarks.incentives import SNAPSHOT, gas, play
from benchmarks.incentives_plot import draw
from benchmarks.incentives_table import Draws, advantages, earnings
from benchmarks.robustness import Desk
from benchmarks.stories import Run, Scored, Story
from benchmarks.valuation import AGREEMENT
from node.learning.training import TrainingSettings
from node.models.smile import SMILE
from protocol.task import RewardRule
from tests.unit.benchmarks import small_field

pytestmark = pytest.mark.unit

SMALL = Run(
    market="made up",
    partition="desks",
    desks=5,
    liars=0,
    conduct="honest",
    rounds=3,
    steps_per_round=30,
    batch_size=64,
    tolerance=1,
    seed=0,
    method=AGREEMENT,
    looks_back=3,
)
TERMS = Terms(
    reward_wei=1000,
    slice_wei=2000,
    max_missed=3,
    update_wei=10,
    scores_wei=20,
    training_wei=30,
    sample_cap=100,
)


@pytest.fixture(scope="module")
def field():
    return small_field.dealt(5, anchor_every=7)


@pytest.fixture(scope="module")
def honest(field):
    return play(field, SMALL)


def asked(tmp_path, **changed):
    wanted = {
        "data": None,
        "partition": ["desks"],
        "desks": 5,
        "liars": 1,
        "conduct": list(CONDUCTS),
        "rounds": 2,
        "steps": 3,
        "batch": 32,
        "tolerance": 1,
        "method": AGREEMENT,
        "looks_back": 3,
        "seed": [0],
        "json": tmp_path / "stories.jsonl",
        "svg": None,
        "reward_wei": 10**15,
        "slice_wei": 10**15,
        "max_missed": 3,
        "sample_cap": 0,
        "update_gas": 10**5,
        "scores_gas": 10**5,
        "gas_gwei": 0.05,
        "training_wei": 10**12,
    }
    return Namespace(**(wanted | changed))


# ------------------------------------------------------------------------------- what is sent


def test_alike_desks_have_as_much_of_everything(field, monkeypatch):
    monkeypatch.setattr(Field, "cut", lambda *_, **__: field)
    dealt = incentives.dealt(None, "alike", 5, 0).desks
    everything = field.pooled
    assert sum(map(len, dealt)) == len(everything)
    for own in dealt:
        assert len(own) == pytest.approx(len(everything) / 5, rel=0.1)
        assert own.is_btc.mean() == pytest.approx(everything.is_btc.mean(), abs=0.05)
    assert len(incentives.dealt(None, "desks", 5, 0).desks[0]) == len(field.desks[0])


def test_desks_train_on_none_of_the_days_that_they_score_by(field):
    for trained, held_out, own in zip(*incentives.held_back(field), field.desks, strict=True):
        assert 0 < len(held_out) < len(own)
        assert held_out.snapshot.min() == own.snapshot[own.snapshot >= held_out.snapshot.min()][0]
        assert len(trained) == len(own) - len(held_out) + len(field.anchors)


def test_everybody_scores_everybody_and_nobody_itself(honest):
    assert len(honest.rounds) == 3
    for scored in honest.rounds:
        assert scored.included == (0, 1, 2, 3, 4)
        rows = [bytes.fromhex(row) for row in scored.scores]
        assert [row[desk] for desk, row in enumerate(rows)] == [0] * 5
        assert all(len(row) == 5 for row in rows)
    assert all(max(bytes.fromhex(row)) == 255 for row in honest.rounds[0].scores)


@pytest.mark.parametrize("conduct", CONDUCTS)
def test_every_conduct_can_be_run(field, honest, conduct):
    story = play(field, replace(SMALL, conduct=conduct, liars=1))
    liar = SMALL.order[0]
    sent = [liar in scored.included for scored in story.rounds]
    if conduct == "absent":
        assert sent == [False] * 3
    else:
        # There is nothing to copy before the first round.
        assert sent == [not CONDUCTS[conduct].knows_last, True, True]
    assert story.test != honest.test
    assert story.samples == honest.samples


def paid_to(story, desk):
    paid = [
        dict(zip(scored.included, scored.shares_wei(RewardRule.SCORES, 1000), strict=True))
        for scored in story.rounds
    ]
    return sum(each.get(desk, 0) for each in paid)


@pytest.mark.parametrize(
    "conduct", ["lazy", "nothing", "noise", "sign_flip", "copy_last", "mirrored"]
)
def test_scores_pay_honest_desks_and_not_who_sends_nothing_of_use(field, honest, conduct):
    liar = SMALL.order[0]
    told = play(field, replace(SMALL, conduct=conduct, liars=1))
    earned, honestly = paid_to(told, liar), paid_to(honest, liar)
    assert 4 * earned <= honestly
    # Of 1,000 in each of three rounds, for one of five.
    assert honestly > 450


def test_scores_pay_equal_work_alike(honest):
    paid = [paid_to(honest, desk) for desk in range(SMALL.desks)]
    assert max(paid) < 1.5 * min(paid)


def test_stretched_update_is_as_long_as_an_honest_one():
    rng = np.random.default_rng(0)
    seen = rng.integers(-300, 300, (4, 500)).astype(np.int16)
    own = (rng.standard_normal((2, 500)) * 9).astype(np.int16)
    sent = CONDUCTS["stretched"].craft(View(seen, 2, 2**30, rng, own))
    wanted = np.linalg.norm(seen.astype(float), axis=1).mean()
    np.testing.assert_allclose(np.linalg.norm(sent.astype(float), axis=1), wanted, rtol=0.01)
    assert np.corrcoef(sent[0], own[0])[0, 1] > 0.99


def test_copies_are_paid_where_nobody_was_shown_the_original(field):
    model, desk, other = SMILE.genesis(SMALL.seed), SMALL.order[0], SMALL.order[1]
    settings = TrainingSettings(rounds=1, steps_per_round=30, batch_size=64)
    trained, held_out = incentives.held_back(field)
    sent = {
        number: Desk(samples, settings, number, SMALL.seed).update(model, 1)
        for number, samples in enumerate(trained)
    }

    def paid(*shown):
        found = incentives.scored(held_out, SMALL, model, sent, shown)
        return found.shares_wei(RewardRule.SCORES, 1000)[desk]

    assert paid() > 100
    assert paid({desk: sent[desk]}) > 100
    assert paid({other: sent[desk]}) == 0


# ----------------------------------------------------------------------------- what it is worth


ALIKE = Scored((0, 1, 2, 3, 4), ("6464646464",) * 5)
"""Everybody finds everybody worth 100."""


def story(*rounds, samples=(50, 100, 100, 200, 400), **changed):
    return Story(replace(SMALL, **changed), samples, 1.0, 2.0, rounds or (ALIKE, ALIKE))


LIAR, SECOND = SMALL.order[:2]


def nets(name, rule, told, liars=1, **terms):
    found = net_shares(told, name, liars, rule, replace(TERMS, **terms))
    return found.round(6).tolist()


def test_equal_shares_less_gas_and_training():
    assert nets("", RewardRule.EQUAL, story()) == pytest.approx([1.0 - 0.05 - 0.15] * 5)


def test_scoring_costs_gas_of_its_own():
    assert nets("", RewardRule.SCORES, story()) == pytest.approx([1.0 - 0.05 - 0.1 - 0.15] * 5)
    found = nets("does not score", RewardRule.SCORES, story())
    assert found[LIAR] == 0.8
    assert found[SECOND] == 0.7


def test_without_a_majority_of_scores_shares_are_equal():
    uneven = Scored((0, 1, 2, 3, 4), ("ff00000000",) * 5)
    assert nets("", RewardRule.SCORES, story(uneven), liars=0)[0] == pytest.approx(4.7)
    assert nets("does not score", RewardRule.SCORES, story(uneven), liars=3)[0] in (0.7, 0.8)


def test_samples_count_up_to_the_cap():
    # 50, 100, 100, 100 and 100 of 450.
    found = nets("", RewardRule.SAMPLES, story(), update_wei=0, training_wei=0)
    assert found == pytest.approx([5 * 50 / 450] + [5 * 100 / 450] * 4, abs=0.01)
    by_median = nets("", RewardRule.SAMPLES, story(), sample_cap=0, update_wei=0, training_wei=0)
    assert by_median == found


def test_declaring_more_pays_as_far_as_the_cap():
    few = [100] * 5
    few[LIAR] = 50
    told = story(samples=tuple(few))
    lied, honest = (nets(name, RewardRule.SAMPLES, told)[LIAR] for name in ("over-declares", ""))
    assert lied > 1.5 * honest
    assert lied == nets("over-declares", RewardRule.SAMPLES, told)[SECOND]
    assert nets("over-declares", RewardRule.EQUAL, told) == nets("", RewardRule.EQUAL, told)


def without_liar(rounds):
    rest = tuple(desk for desk in range(5) if desk != LIAR)
    return (Scored(rest, ("64646464",) * 4),) * rounds


def test_withholding_loses_slices_until_the_seat_is_lost():
    away = story(*without_liar(8), conduct="absent", liars=1)
    assert nets("stays away", RewardRule.EQUAL, away)[LIAR] == 0.0
    # Four slices of ten shares and the gas of four commitments, over eight rounds.
    assert nets("withholds", RewardRule.EQUAL, away)[LIAR] == -4 * (10 + 0.05) / 8
    short = story(*without_liar(2), conduct="absent", liars=1)
    assert nets("withholds", RewardRule.EQUAL, short)[LIAR] == -2 * (10 + 0.05) / 2
    assert nets("withholds", RewardRule.EQUAL, away)[SECOND] == pytest.approx(1.05)


def test_ring_is_outvoted_until_it_is_half_of_the_other_voters():
    free = {"update_wei": 0, "scores_wei": 0, "training_wei": 0}
    one, two = (
        nets("ring that trains", RewardRule.SCORES, story(), liars=liars, **free)
        for liars in (1, 2)
    )
    assert one == pytest.approx([1.0] * 5)
    # Of four other voters the lower median is the second lowest: two zeros among them decide.
    assert [two[LIAR], two[SECOND]] == pytest.approx([2.5] * 2)
    assert sum(two) == pytest.approx(5.0)


def test_who_does_not_train_saves_what_it_costs():
    trains, idles = (
        nets(name, RewardRule.SCORES, story(), liars=2)[LIAR]
        for name in ("ring that trains", "ring that does not")
    )
    assert idles == pytest.approx(trains + 0.15)


def test_every_behaviour_sends_something_that_can_be_run():
    sent = {behaviour.conduct for behaviour in BEHAVIOURS.values()}
    assert sent == {"honest", *CONDUCTS}


# ------------------------------------------------------------------------- what is run and printed


def test_stories_on_file_are_not_run_again(field, tmp_path, monkeypatch):
    monkeypatch.setattr(incentives, "dealt", lambda *_: field)
    first = incentives.told_stories(asked(tmp_path))
    assert len((tmp_path / "stories.jsonl").read_text().splitlines()) == 1 + len(CONDUCTS)
    monkeypatch.setattr(incentives, "play", None)
    assert incentives.told_stories(asked(tmp_path)) == first


def test_story_is_read_as_it_was_written(honest):
    assert Story.from_dict(json.loads(json.dumps(asdict(honest)))) == honest


def test_other_settings_are_other_runs(tmp_path):
    first = set(incentives.wanted_runs(asked(tmp_path)))
    for changed in ({"seed": [1]}, {"rounds": 3}, {"method": "without"}, {"looks_back": 0}):
        assert first.isdisjoint(incentives.wanted_runs(asked(tmp_path, **changed)))


def test_liars_are_counted_up_only_where_their_number_is_asked_about(tmp_path):
    runs = list(incentives.wanted_runs(asked(tmp_path, liars=3)))
    assert sum(run.conduct == "lazy" for run in runs) == 3
    assert sum(run.conduct == "absent" for run in runs) == 1
    assert runs[0].conduct == "honest"
    assert runs[0].liars == 0


def told(conduct, liars, worth_of_liars, seed=0):
    """Every round everybody finds liars worth so much and the others 100."""
    run = replace(SMALL, conduct=conduct, liars=liars, seed=seed)
    row = bytearray([100] * 5)
    for liar in run.order[:liars]:
        row[liar] = worth_of_liars
    scored = Scored((0, 1, 2, 3, 4), (bytes(row).hex(),) * 5)
    return Story(run, (100,) * 5, 1.0 + liars / 10, 2.0, (scored, scored))


@pytest.fixture
def draws():
    """Noise is worth nothing, a lazy step half as much as honest work, a flipped one twice."""
    worth = {"noise": 0, "lazy": 50, "sign_flip": 200}
    stories = [told("honest", 0, 0)]
    stories += [told(name, liars, of) for name, of in worth.items() for liars in (1, 2)]
    free = replace(TERMS, update_wei=0, scores_wei=0, training_wei=0)
    return Draws({each.run: each for each in stories}, SMALL, (0,), 2, free)


def test_earnings_hold_liars_against_the_same_desks_honest(draws):
    lines = earnings(draws).splitlines()
    assert lines[0] == "| behaviour | Equal | Samples | Scores | test, stress |"
    assert lines[2] == "| all honest: mean | 1.00 | 1.00 | 1.00 | 1.000, 2.000 |"
    assert "| sends noise | 1.00, 1.00 | 1.00, 1.00 | 0.00, 1.00 | 1.100, 2.000 |" in lines
    assert "| trains one step | 1.00, 1.00 | 1.00, 1.00 | 0.56, 1.00 | 1.100, 2.000 |" in lines
    assert "| stays away | - | - | - | - |" in lines
    assert "| ring that trains | 1.00, 1.00 | 1.00, 1.00 | 2.50, 1.00 | 1.000, 2.000 |" in lines


def test_advantages_say_when_honesty_stops_paying(draws):
    lines = advantages(draws).splitlines()
    assert lines[0] == "| behaviour | 1 | 2 | stops paying at |"
    assert "| sends noise | +1.00 (+1.00) | +1.25 (+1.25) | - |" in lines
    [flips] = [line for line in lines if line.startswith("| flips the sign")]
    assert flips == "| flips the sign | -0.67 (-0.67) | -0.60 (-0.60) | 1 |"
    [ring] = [line for line in lines if line.startswith("| ring that trains")]
    assert ring.startswith("| ring that trains | - | -1.50 (-1.50) | 2 |")
    named = {line.split(" | ")[0].removeprefix("| ") for line in lines[2:]}
    assert named == {
        "trains one step",
        "sends noise",
        "flips the sign",
        "ring that trains",
        "ring that does not",
    }


def test_picture_is_small_and_the_same_on_every_run(draws, tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    draw(draws, first)
    draw(draws, second)
    assert first.read_bytes() == second.read_bytes()
    root = ET.fromstring(first.read_text(encoding="utf-8"))  # noqa: S314 our own bytes
    words = [element.text for element in root if element.tag.endswith("text")]
    assert "liars of 5" in words
    assert words[-1] == "ring that does not"


def test_report_has_both_tables_of_every_partition(field, tmp_path, monkeypatch):
    monkeypatch.setattr(incentives, "dealt", lambda *_: field)
    wanted = asked(tmp_path, svg=tmp_path, rounds=1)
    parts = list(incentives.report(wanted, incentives.told_stories(wanted)))
    assert [part.splitlines()[0] for part in parts] == [
        "### desks: net by round, the same desk honest",
        "### desks: what honesty earns more by scores",
    ]
    assert (tmp_path / "incentives-desks.svg").exists()


def test_gas_is_that_of_the_committed_snapshots():
    measured = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert gas("commitScores", "revealScores") == sum(
        int(measured[call]) for call in ("commitScores", "revealScores")
    )
    assert gas("commit_reveal_direct") > 50_000
