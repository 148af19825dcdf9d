"""What an update is worth to a desk: help scores; harm, copies, trifles and its own do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from node.learning import contribution
from node.learning.contribution import (
    CHANCE_DEVIATIONS,
    Judge,
    agreement,
    contribution_scores,
    newness,
)
from node.learning.training import LocalTraining, TrainingSettings
from node.learning.update import make_update
from node.market.split import hold_out
from node.models.arbitrage import Stencil
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import DataError
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

SHIFT = DEFAULT_SHIFT
BASE = SMILE.genesis(0)
TRAINED, HELD_OUT = hold_out(samples())


def trained(seed, steps=30):
    """What some training on other days gives."""
    settings = TrainingSettings(rounds=1, steps_per_round=steps, batch_size=128)
    local = LocalTraining(TRAINED, settings).train(numbers.to_float(BASE, SHIFT), seed=seed)
    made = make_update(local.vector, BASE, np.zeros(BASE.size), shift=SHIFT, max_norm=1.99)
    return made.values


@pytest.fixture(scope="module")
def helpful():
    return trained(seed=1)


@pytest.fixture(scope="module")
def peers():
    """A desk's own update and another's, of other batches."""
    return trained(seed=2), trained(seed=3)


def lesser(update):
    return (update // 4).astype(np.int16)


def scores(updates, **asked):
    return list(contribution_scores(BASE, np.stack(updates), HELD_OUT, shift=SHIFT, **asked))


def by_loss(updates, **asked):
    """Worth what it lowers the loss by, where that is more than 2 % of it."""
    return scores(
        updates, worth_of=lambda judge, moves, _: (judge.lowered(moves), 0.02 * judge.loss), **asked
    )


def beside(own, updates, **asked):
    """What a desk that sent `own` gives the others by agreement."""
    return scores([own, *updates], own=0, **asked)[1:]


def test_updates_that_go_the_desks_own_way_are_scored_by_how_far(helpful, peers):
    own, other = peers
    found = beside(own, [helpful, other, lesser(other), -other])
    assert 255 in found[:2]
    assert min(found[:2]) > 200
    assert 30 < found[2] < 100
    assert found[3] == 0


def test_work_is_scored_and_a_single_step_of_it_hardly(helpful, peers):
    first, second = beside(peers[0], [trained(seed=4, steps=1), helpful])
    assert first < 30
    assert second == 255


def test_noise_of_any_length_is_not_scored(helpful):
    rng = np.random.default_rng(6)
    noise = rng.standard_normal((6, BASE.size))
    noise *= np.linalg.norm(helpful) / np.linalg.norm(noise, axis=1, keepdims=True)
    sent = [(row * length).astype(np.int16) for row in noise for length in (0.1, 1.0)]
    assert beside(helpful, sent) == [0] * len(sent)


def test_agreement_within_chance_is_not_scored_even_where_nobody_does_better(peers, monkeypatch):
    own = peers[0].astype(float)
    aside = np.random.default_rng(7).standard_normal(own.size)
    aside -= aside @ own / (own @ own) * own
    aside *= np.linalg.norm(own) / np.linalg.norm(aside)
    chance = CHANCE_DEVIATIONS / np.sqrt(own.size)

    def leaning(cosine):
        return np.rint(cosine * own + np.sqrt(1 - cosine**2) * aside).astype(np.int16)

    # A random direction does nothing good, which is not the question here.
    monkeypatch.setattr(contribution, "HARMFUL_SHARE", np.inf)
    assert beside(peers[0], [leaning(0.9 * chance)]) == [0]
    assert beside(peers[0], [leaning(1.1 * chance)]) == [255]


def test_desk_without_an_update_of_its_own_cannot_judge_by_agreement(helpful):
    with pytest.raises(DataError, match="one's own"):
        scores([helpful])


def test_update_that_clearly_harms_is_worth_nothing_however_well_it_agrees(peers, monkeypatch):
    own, other = peers
    for raised, expected in ((0.4, [255]), (0.6, [0])):
        monkeypatch.setattr(
            Judge,
            "lowered",
            lambda judge, moves, by=raised: np.full(len(moves), -by * judge.loss),
        )
        assert beside(own, [other]) == expected


def test_help_is_scored_by_how_much_and_harm_is_not(helpful):
    found = by_loss([helpful, lesser(helpful), -helpful])
    assert found[0] == 255
    assert 0 < found[1] < 255
    assert found[2] == 0


def test_own_update_gets_nothing_and_scales_nothing(helpful):
    assert by_loss([helpful, lesser(helpful), -helpful], own=0) == [0, 255, 0]
    assert scores([helpful, lesser(helpful), -helpful], own=0) == [0, 255, 0]


def test_where_nothing_helps_nothing_is_scored(helpful):
    assert by_loss([-helpful, -lesser(helpful)]) == [0, 0]


def test_trifle_is_not_scored_even_where_nobody_does_better(helpful):
    trifle = (helpful // 1000).astype(np.int16)
    judge = Judge(HELD_OUT, numbers.to_float(BASE, SHIFT))
    assert judge.lowered(numbers.to_float(trifle, SHIFT)[None])[0] > 0.0
    assert by_loss([trifle, -helpful]) == [0, 0]


def test_model_that_leaves_the_finite_numbers_is_worth_nothing(helpful):
    absurd = np.full(BASE.size, np.iinfo(np.int16).max, dtype=np.int16)
    assert by_loss([absurd, helpful]) == [0, 255]
    assert beside(lesser(helpful), [absurd, helpful]) == [0, 255]


def test_update_counts_by_the_share_of_it_that_is_new(helpful):
    plain, half = by_loss([helpful, lesser(helpful)])
    assert plain == 255
    found = by_loss([helpful, lesser(helpful)], newness=np.array([0.5, 1.0]))
    assert found[0] == 255
    assert found[1] == pytest.approx(2 * half, abs=2)
    assert by_loss([helpful, lesser(helpful)], newness=np.array([0.0, 1.0])) == [0, 255]
    new = np.array([1.0, 0.0, 1.0])
    assert beside(helpful, [helpful, lesser(helpful)], newness=new) == [0, 255]


def test_judge_sees_the_loss_that_training_lowers(helpful):
    base = numbers.to_float(BASE, SHIFT)
    moves = numbers.to_float(np.stack([helpful, -helpful, lesser(helpful)]), SHIFT)
    every = np.linspace(0, len(HELD_OUT) - 1, contribution.HELD_OUT_ROWS).astype(int)
    seen = HELD_OUT.take(every)

    def loss(vector):
        error = (SMILE.predict(vector, seen) - seen.target_vol) * 100.0
        size = np.abs(error)
        return np.where(size < 5.0, 0.5 * size**2, 5.0 * (size - 2.5)).mean()

    judge = Judge(HELD_OUT, base)
    assert judge.loss == pytest.approx(loss(base), rel=1e-4)
    expected = [loss(base) - loss(base + move) for move in moves]
    np.testing.assert_allclose(judge.lowered(moves), expected, rtol=1e-3, atol=1e-4)


def test_update_that_brings_arbitrage_is_worth_nothing_however_well_it_fits(helpful, monkeypatch):
    margin, updates = contribution.ARBITRAGE_MARGIN, [helpful, lesser(helpful)]
    best, second = by_loss(updates)
    assert (best, second > 0) == (255, True)
    for more, expected in ((margin, [best, second]), (margin + 0.01, [0, 255])):
        monkeypatch.setattr(Judge, "arbitrage", lambda *_, more=more: np.array([more, 0.0]))
        assert by_loss(updates) == expected
        assert (scores(updates, own=1)[0] > 0) == (more == margin)


def test_judge_counts_where_a_move_breaks_more_than_the_base(helpful):
    base = numbers.to_float(BASE, SHIFT)
    rough = np.random.default_rng(4).normal(size=(2, base.size)) * 0.15
    stencil = Stencil.scattered(HELD_OUT, contribution.ARBITRAGE_POINTS, 0)

    def broken(vector):
        vols = torch.from_numpy(SMILE.predict(vector, stencil.samples))
        calendar, butterfly = stencil.conditions(vols).broken()
        return (calendar | butterfly).double().mean().item()

    found = Judge(HELD_OUT, base + rough[0]).arbitrage(np.stack([rough[1], -rough[0]]))
    before, after = broken(base + rough[0]), broken(base + rough.sum(axis=0))
    np.testing.assert_allclose(found, [after - before, broken(base) - before], atol=0.02)
    assert max(before, after) > 0.02
    honest = Judge(HELD_OUT, base).arbitrage(numbers.to_float(helpful, SHIFT)[None])
    assert honest[0] <= contribution.ARBITRAGE_MARGIN


def test_models_are_evaluated_a_few_at_a_time(helpful, monkeypatch):
    moves = numbers.to_float(np.stack([helpful * sign for sign in (1, -1)] * 4), SHIFT)
    judge = Judge(HELD_OUT, numbers.to_float(BASE, SHIFT))
    together = judge.lowered(moves)
    monkeypatch.setattr(contribution, "MOVES_AT_ONCE", 3)
    np.testing.assert_allclose(judge.lowered(moves), together, rtol=1e-5)


def test_judging_leaves_the_callers_torch_as_it_was(helpful):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    by_loss([helpful])
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_desk_without_held_out_quotes_is_refused():
    with pytest.raises(DataError, match="at least one"):
        Judge(HELD_OUT.take(np.array([], dtype=np.int64)), numbers.to_float(BASE, SHIFT))


def test_base_model_without_a_finite_loss_is_refused():
    broken = replace(HELD_OUT, target_vol=np.full(len(HELD_OUT), np.nan))
    with pytest.raises(DataError, match="finite loss"):
        Judge(broken, numbers.to_float(BASE, SHIFT))


def test_agreement_is_what_the_longer_of_two_has_in_common_with_the_other():
    aside = np.array([1.0, 2.0, 0.0])
    own = np.array([2.0, 0.0, 0.0])
    sent = np.vstack([own, 2 * own, own / 4, -own, aside, 0 * aside])
    np.testing.assert_allclose(agreement(sent, 0), [1.0, 0.5, 0.25, -1.0, 2.0 / 5.0, 0.0])
    assert agreement(np.zeros((2, 3)), 0).tolist() == [0.0, 0.0]


# ------------------------------------------------------------------------------------------- copies


RNG = np.random.default_rng(5)
SHOWN = RNG.integers(-900, 900, (4, 400)).astype(np.int16)
FRESH = RNG.integers(-900, 900, 400).astype(np.int16)
BY = ["ann", "bob", "cid", "ann"]


def share_that_is_new(update, author):
    return newness(update[None], [author], SHOWN, BY)[0]


def test_first_update_is_all_new():
    nothing = np.zeros((0, 400), np.int16)
    assert newness(SHOWN, BY, nothing, []).tolist() == [1.0] * 4


def test_copy_of_anothers_update_is_not_new():
    nudged = SHOWN[1].copy()
    nudged[7] += 1
    assert share_that_is_new(SHOWN[1], "dan") == pytest.approx(0.0, abs=1e-6)
    assert share_that_is_new(nudged, "dan") == pytest.approx(0.0, abs=1e-4)
    assert share_that_is_new((-SHOWN[1] // 2).astype(np.int16), "dan") < 1e-4


def test_mixture_of_others_is_not_new():
    mixture = (SHOWN[:3].astype(int).sum(axis=0) // 3).astype(np.int16)
    assert share_that_is_new(mixture, "dan") < 1e-4


def test_what_an_author_showed_itself_is_its_own():
    assert share_that_is_new(SHOWN[1], "bob") > 0.9
    assert share_that_is_new(SHOWN[3], "ann") > 0.9


def test_unlike_update_is_new_and_noise_hides_a_copy_by_its_share():
    assert share_that_is_new(FRESH, "dan") > 0.9
    half = (SHOWN[1] // 2 + FRESH // 2).astype(np.int16)
    assert share_that_is_new(half, "dan") == pytest.approx(0.5, abs=0.1)


def test_copies_of_copies_count_once():
    again, names = np.vstack([SHOWN, SHOWN, SHOWN[1:2]]), [*BY, *BY, "eve"]
    assert newness(SHOWN[1:2], ["dan"], again, names)[0] == pytest.approx(0.0, abs=1e-6)
    fresh = newness(FRESH[None], ["dan"], again, names)[0]
    assert fresh == pytest.approx(share_that_is_new(FRESH, "dan"))


def test_update_of_nothing_breaks_nothing():
    zeros = np.zeros((1, 400), np.int16)
    assert newness(zeros, ["dan"], np.vstack([SHOWN, zeros]), [*BY, "eve"]).tolist() == [1.0]
