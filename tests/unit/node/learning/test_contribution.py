"""What an update is worth to a desk: help scores; harm, copies, trifles and its own do not."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from node.learning import contribution
from node.learning.contribution import (
    AGREEMENT,
    CHANCE_DEVIATIONS,
    METHODS,
    Judge,
    agreement,
    alone,
    contribution_scores,
    hold_out,
    newness,
    shapley,
    without,
)
from node.learning.training import LocalTraining, TrainingSettings
from node.learning.update import make_update
from node.market.quotes import MICROSECONDS_PER_DAY
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
    return scores(updates, method="alone", **asked)


def beside(own, updates, **asked):
    """What a desk that sent `own` gives the others by agreement."""
    return scores([own, *updates], own=0, **asked)[1:]


def test_latest_whole_days_are_held_out():
    days = samples().snapshot // MICROSECONDS_PER_DAY
    assert len(TRAINED) + len(HELD_OUT) == len(samples())
    assert set(TRAINED.snapshot // MICROSECONDS_PER_DAY) == set(np.unique(days)[:-1])
    assert set(HELD_OUT.snapshot // MICROSECONDS_PER_DAY) == {days.max()}


@pytest.mark.parametrize(("share", "kept_back"), [(0.01, 1), (0.25, 3), (0.5, 7)])
def test_share_of_the_days_is_held_out_and_at_least_one(share, kept_back):
    _, held_out = hold_out(samples(), share)
    assert np.unique(held_out.snapshot // MICROSECONDS_PER_DAY).size == kept_back


def test_desk_of_one_day_has_nothing_to_judge_by():
    with pytest.raises(DataError, match="two days"):
        hold_out(HELD_OUT)


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
    for method in METHODS:
        assert scores([absurd, helpful], method=method)[0] == 0
    assert by_loss([absurd, helpful]) == [0, 255]
    assert beside(lesser(helpful), [absurd, helpful]) == [0, 255]


@pytest.mark.parametrize("method", [AGREEMENT, *METHODS])
def test_every_method_tells_help_from_harm(method, helpful):
    found = scores([-helpful, helpful, lesser(helpful)], method=method, own=2)
    assert found == [0, 255, 0]


@pytest.mark.parametrize("method", [AGREEMENT, *METHODS])
def test_the_same_inputs_give_the_same_scores(method, helpful):
    updates = [helpful, lesser(helpful), -helpful]
    first, second = (scores(updates, method=method, own=1) for _ in range(2))
    assert first == second


def test_round_of_one_update_is_scored(helpful):
    for method in METHODS:
        assert scores([helpful], method=method) == [255]
    for method in (AGREEMENT, *METHODS):
        assert scores([helpful], method=method, own=0) == [0]


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
    scores([helpful], method="shapley")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_desk_without_held_out_quotes_is_refused():
    with pytest.raises(DataError, match="at least one"):
        Judge(HELD_OUT.take(np.array([], dtype=np.int64)), numbers.to_float(BASE, SHIFT))


def test_base_model_without_a_finite_loss_is_refused():
    broken = replace(HELD_OUT, target_vol=np.full(len(HELD_OUT), np.nan))
    with pytest.raises(DataError, match="finite loss"):
        Judge(broken, numbers.to_float(BASE, SHIFT))


# ------------------------------------------------------------------ methods, on known vectors


TARGET = np.array([2.0, -1.0, 0.5])
UPDATES = np.array([[2.0, 0.0, 0.0], [1.0, -2.0, 0.0], [-1.0, 1.0, 1.0]])


def lowered(moves):
    """The drop of the squared distance to a target from the origin."""
    return np.asarray((TARGET**2).sum() - ((moves - TARGET) ** 2).sum(axis=1))


def test_agreement_is_what_the_longer_of_two_has_in_common_with_the_other():
    aside = np.array([1.0, 2.0, 0.0])
    sent = np.vstack([UPDATES[0], 2 * UPDATES[0], UPDATES[0] / 4, -UPDATES[0], aside, 0 * aside])
    np.testing.assert_allclose(agreement(sent, 0), [1.0, 0.5, 0.25, -1.0, 2.0 / 5.0, 0.0])
    assert agreement(np.zeros((2, 3)), 0).tolist() == [0.0, 0.0]


def test_alone_is_the_drop_by_each_update():
    np.testing.assert_array_equal(alone(lowered, UPDATES), lowered(UPDATES))


def test_without_is_what_the_mean_loses():
    expected = [
        3 * (lowered(UPDATES.mean(axis=0)[None]) - lowered(np.delete(UPDATES, j, 0).mean(0)[None]))
        for j in range(3)
    ]
    np.testing.assert_allclose(without(lowered, UPDATES), np.ravel(expected))


def walked(updates):
    """Shapley values of the mean, over every order."""
    found = np.zeros(len(updates))
    orders = list(permutations(range(len(updates))))
    for order in orders:
        before = 0.0
        for place, coming in enumerate(order):
            now = float(lowered(updates[list(order[: place + 1])].mean(axis=0)[None])[0])
            found[coming] += now - before
            before = now
    return found / len(orders)


def test_shapley_comes_near_the_mean_over_every_order():
    found = shapley(lowered, UPDATES, permutations=4000, truncation=0.0, seed=1)
    np.testing.assert_allclose(found / 3, walked(UPDATES), atol=0.1)


def test_shapley_divides_what_all_do_together():
    found = shapley(lowered, UPDATES, permutations=5, truncation=0.0, seed=1)
    assert found.sum() / 3 == pytest.approx(lowered(UPDATES.mean(axis=0)[None])[0])


def test_shapley_walks_no_farther_than_it_is_worth():
    asked = []

    def counting(moves):
        asked.append(len(moves))
        return lowered(moves)

    alike = np.tile(UPDATES[0], (6, 1))
    found = shapley(counting, alike, permutations=8, truncation=0.05, seed=0)
    # The first update of an order does what all do.
    assert asked == [1, 8]
    assert found.sum() == pytest.approx(6 * lowered(UPDATES[:1])[0])


def test_shapley_depends_on_its_seed_alone():
    def values(seed):
        return shapley(lowered, UPDATES, permutations=3, truncation=0.0, seed=seed).tolist()

    assert values(1) == values(1)
    assert any(values(1) != values(seed) for seed in range(2, 6))


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
