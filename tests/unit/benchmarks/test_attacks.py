"""Every attack of the table is its formula, and the contract would take what it sends."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks import attacks
from benchmarks.attacks import ATTACKS, View
from node.market.panel import TENOR_YEARS, Panel
from node.market.samples import anchor_samples
from protocol.numbers import squared_norm
from protocol.rules import mean

pytestmark = pytest.mark.unit

EVERY_ATTACK = pytest.mark.parametrize("name", ATTACKS)
EVERY_DIRECTION = pytest.mark.parametrize("towards", [attacks.below_spread, attacks.backwards])
GOLDEN = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
BOUND = 30_000**2


def view(seed=0, *, liars=2, bound=BOUND, honest=8, dimension=200):
    """Honest updates about a common mean, as a round has them."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 300, dimension)
    updates = (common + rng.normal(0, 300, (honest, dimension))).astype(np.int16)
    own = (common + rng.normal(0, 300, (liars, dimension))).astype(np.int16)
    return View(updates, liars, bound, np.random.default_rng(seed), own)


@st.composite
def views(draw):
    shape = (draw(st.integers(1, 7)), draw(st.integers(6, 12)))
    liars = draw(st.integers(1, 5))
    values = st.one_of(st.integers(-(2**15), 2**15 - 1), st.integers(-2, 2))
    honest = draw(arrays(np.int16, shape, elements=values))
    own = draw(arrays(np.int16, (liars, shape[1]), elements=values))
    most = max(squared_norm(update) for update in [*honest, *own])
    bound = max(most, draw(st.integers(1, 12 * 2**30)))
    return View(honest, liars, bound, np.random.default_rng(0), own)


# Source of the vectors: ByzFL 0.0.11.
@pytest.mark.parametrize(
    ("formula", "lie"),
    [
        (attacks.sign_flip, [-4.0, -5.0, -6.0]),
        (lambda honest: attacks.inner_product(honest, 2.0), [-8.0, -10.0, -12.0]),
        (lambda honest: attacks.a_little_is_enough(honest, 1.5), [8.5, 9.5, 10.5]),
    ],
    ids=["sign_flip", "inner_product", "a_little_is_enough"],
)
def test_formula_gives_the_golden_vector(formula, lie):
    assert formula(GOLDEN).tolist() == lie


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("sign_flip", [-8, -10, -12]),
        ("inner_product", [-16, -20, -24]),
        ("a_little_is_enough", [17, 19, 21]),
    ],
)
def test_table_gives_the_golden_vector_in_whole_units(name, lie):
    twice = (2 * GOLDEN).astype(np.int16)
    sent = ATTACKS[name].craft(View(twice, 1, BOUND, np.random.default_rng(0)))
    assert sent.tolist() == [lie]


@EVERY_ATTACK
@settings(deadline=None)
@given(seen=views())
def test_every_lie_is_an_update_within_the_bound(name, seen):
    before = seen.honest.copy()
    sent = ATTACKS[name].craft(seen)

    assert sent.dtype == np.int16
    assert sent.shape == (seen.liars, seen.honest.shape[1])
    assert max(squared_norm(lie) for lie in sent) <= seen.max_squared_norm
    np.testing.assert_array_equal(seen.honest, before)


@EVERY_ATTACK
@pytest.mark.parametrize("liars", [1, 2, 3, 9])
def test_no_two_updates_of_a_round_are_equal(name, liars):
    seen = view(liars=liars)
    everybody = np.vstack([seen.honest, ATTACKS[name].craft(seen)])
    assert len(np.unique(everybody, axis=0)) == len(everybody)


@EVERY_ATTACK
def test_seed_decides_what_liars_send(name):
    np.testing.assert_array_equal(ATTACKS[name].craft(view()), ATTACKS[name].craft(view()))


def test_noise_differs_with_the_seed():
    assert (attacks.gaussian_noise(view(1)) != attacks.gaussian_noise(view(2))).any()


@pytest.mark.parametrize("name", ["inner_product_at_bound", "gaussian_noise"])
def test_attack_at_the_bound_uses_nearly_all_of_it(name):
    sent = ATTACKS[name].craft(view())
    assert min(squared_norm(lie) for lie in sent) > 0.99 * BOUND


def test_inner_product_turns_the_mean_backwards_once_liars_times_tau_exceed_the_honest():
    honest = view().honest
    forward = honest.mean(axis=0)

    def along(liars):
        sent = ATTACKS["inner_product"].craft(View(honest, liars, BOUND, np.random.default_rng(0)))
        return float(mean(np.vstack([honest, sent])) @ forward)

    assert along(3) > 0 > along(5)


def test_a_little_is_enough_stays_within_the_spread_of_the_honest():
    honest = view().honest.astype(np.float64)
    lie = attacks.a_little_is_enough(honest, 1.5)
    inside = (lie >= honest.min(axis=0)) & (lie <= honest.max(axis=0))
    assert inside.mean() > 0.4


@EVERY_DIRECTION
def test_min_max_goes_as_far_as_the_farthest_honest_pair(towards):
    honest = view().honest.astype(np.float64)
    pairs = np.linalg.norm(honest[:, None] - honest, axis=2)
    farthest = np.linalg.norm(attacks.min_max(honest, towards) - honest, axis=1).max()
    assert farthest == pytest.approx(pairs.max())


@EVERY_DIRECTION
def test_min_sum_goes_as_far_in_sum_as_the_most_remote_honest(towards):
    honest = view().honest.astype(np.float64)
    pairs = np.linalg.norm(honest[:, None] - honest, axis=2)
    total = (np.linalg.norm(attacks.min_sum(honest, towards) - honest, axis=1) ** 2).sum()
    assert total == pytest.approx((pairs**2).sum(axis=1).max())


@pytest.mark.parametrize("formula", [attacks.min_max, attacks.min_sum])
def test_lie_within_the_spread_is_the_mean_where_there_is_none(formula):
    alike = np.tile([3.0, -4.0, 5.0], (6, 1))
    assert formula(alike, attacks.below_spread).tolist() == [3.0, -4.0, 5.0]


def test_directed_deviation_pushes_every_coordinate_against_the_mean():
    honest = np.array([[1.0, -3.0], [2.0, -1.0], [6.0, 1.0]])
    assert attacks.directed_deviation(honest).tolist() == [1.0, 1.0]


def test_mimic_repeats_the_participant_that_stands_apart():
    honest = view().honest.copy()
    honest[5] += 1000
    sent = ATTACKS["mimic"].craft(View(honest, 2, BOUND, np.random.default_rng(0)))
    assert np.abs(sent - honest[5].astype(np.int32)).sum(axis=1).tolist() == [1, 1]


def test_free_rider_sends_an_honest_update_but_for_one_unit():
    seen = view(liars=3)
    sent = attacks.free_ride(seen).astype(np.int32)
    assert np.abs(sent - seen.honest[:3]).sum(axis=1).tolist() == [1, 1, 1]


def test_nudge_of_nothing_is_a_unit_vector():
    nothing = View(np.zeros((2, 5), np.int16), 2, 1, np.random.default_rng(0))
    assert attacks.free_ride(nothing).tolist() == [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]


def test_boost_scales_to_everybody_where_the_bound_allows():
    seen = view(bound=2**40)
    wanted = np.trunc(seen.own * 5.0)
    np.testing.assert_array_equal(attacks.boosted(seen), np.clip(wanted, -(2**15), 2**15 - 1))


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.poison])
def test_attack_that_trains_refuses_to_go_without(name):
    seen = view()
    with pytest.raises(TypeError, match="trained"):
        ATTACKS[name].craft(View(seen.honest, 2, BOUND, seen.rng))


def quotes():
    """Thirty quotes about the money, two to 180 days, a lower wing above an upper one."""
    smile = np.array([0.6, 0.5, 0.45])[:, None] + np.zeros(TENOR_YEARS.size)
    panel = Panel(np.array([0, 0]), np.array([False, True]), np.stack([smile, smile]), 0)
    return anchor_samples(panel)


def test_mirror_turns_the_smile_and_leaves_the_money_alone():
    told = quotes()
    seen = attacks.mirror(told)

    np.testing.assert_allclose(seen.target_vol * told.target_vol, told.atm_vol**2)
    np.testing.assert_allclose(seen.target_vol[told.z == 0], told.target_vol[told.z == 0])
    assert (seen.target_vol[told.z < 0] < told.atm_vol[told.z < 0]).all()


def test_back_door_lowers_short_dated_puts_only():
    told = quotes()
    ratio = attacks.cheap_puts(told).target_vol / told.target_vol

    inside = (told.z < 0) & (told.tenor_days < 14)
    assert inside.sum() == 4  # two coins, two and seven days
    np.testing.assert_allclose(ratio, np.where(inside, 0.8, 1.0))


@pytest.mark.parametrize("package", ["contracts", "protocol", "node", "orchestrator", "scripts"])
def test_nothing_that_ships_imports_the_attacks(package):
    sources = (Path(__file__).parents[3] / package).rglob("*.py")
    importing = [
        path
        for path in sources
        if re.search(
            r"^\s*(from|import) benchmarks", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert importing == []
