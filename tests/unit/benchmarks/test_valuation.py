"""Every measure tells help from harm; those by the loss are what their definitions say."""

from itertools import permutations

import numpy as np
import pytest

from benchmarks.valuation import AGREEMENT, MEASURES, alone, shapley, without
from node.learning.contribution import contribution_scores
from node.learning.training import LocalTraining, TrainingSettings
from node.learning.update import make_update
from node.market.split import hold_out
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

SHIFT = DEFAULT_SHIFT
BASE = SMILE.genesis(0)
BY_LOSS = [name for name in MEASURES if name != AGREEMENT]


@pytest.fixture(scope="module")
def days():
    """What a desk trains on, and the latest of them, which it does not."""
    return hold_out(samples())


@pytest.fixture(scope="module")
def helpful(days):
    settings = TrainingSettings(rounds=1, steps_per_round=30, batch_size=128)
    local = LocalTraining(days[0], settings).train(numbers.to_float(BASE, SHIFT), seed=1)
    made = make_update(local.vector, BASE, np.zeros(BASE.size), shift=SHIFT, max_norm=1.99)
    return made.values


@pytest.fixture(scope="module")
def scores(days):
    def scores(updates, measure, own=None):
        worth_of = MEASURES[measure]
        return list(
            contribution_scores(
                BASE, np.stack(updates), days[1], shift=SHIFT, own=own, worth_of=worth_of
            )
        )

    return scores


def lesser(update):
    return (update // 4).astype(np.int16)


@pytest.mark.parametrize("measure", BY_LOSS)
def test_model_that_leaves_the_finite_numbers_is_worth_nothing(scores, measure, helpful):
    absurd = np.full(BASE.size, np.iinfo(np.int16).max, dtype=np.int16)
    assert scores([absurd, helpful], measure)[0] == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_tells_help_from_harm(scores, measure, helpful):
    found = scores([-helpful, helpful, lesser(helpful)], measure, own=2)
    assert found == [0, 255, 0]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_same_inputs_give_the_same_scores(scores, measure, helpful):
    updates = [helpful, lesser(helpful), -helpful]
    first, second = (scores(updates, measure, own=1) for _ in range(2))
    assert first == second


def test_round_of_one_update_is_scored(scores, helpful):
    for measure in BY_LOSS:
        assert scores([helpful], measure) == [255]
    for measure in MEASURES:
        assert scores([helpful], measure, own=0) == [0]


# --------------------------------------------------------------------- measures, on known vectors


TARGET = np.array([2.0, -1.0, 0.5])
UPDATES = np.array([[2.0, 0.0, 0.0], [1.0, -2.0, 0.0], [-1.0, 1.0, 1.0]])


def lowered(moves):
    """The drop of the squared distance to a target from the origin."""
    return np.asarray((TARGET**2).sum() - ((moves - TARGET) ** 2).sum(axis=1))


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
