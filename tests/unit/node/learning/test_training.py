import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from node.evaluation.metrics import measure
from node.learning.training import LocalTraining, TrainingSettings
from node.models.architecture import DEFAULT_SHIFT
from node.models.formulas import term_structure
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import ConfigError, DataError
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

SHORT = TrainingSettings(rounds=4, steps_per_round=20, batch_size=128, learning_rate=3e-3)
GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)


def test_training_lowers_the_loss_and_prices_better_than_the_term_structure():
    found = samples()
    outcome = LocalTraining(found, SHORT).train(GENESIS, seed=1)
    assert outcome.loss_after < 0.7 * outcome.loss_before
    trained = measure(SMILE.predict(outcome.vector, found), found)
    assert trained.rmse < 0.8 * measure(term_structure(found), found).rmse


def test_the_same_seed_gives_the_same_bits():
    first = LocalTraining(samples(), SHORT).train(GENESIS, seed=1).vector
    torch.manual_seed(1234)
    again = LocalTraining(samples(), SHORT).train(GENESIS, seed=1).vector
    np.testing.assert_array_equal(first, again)
    assert (LocalTraining(samples(), SHORT).train(GENESIS, seed=2).vector != first).any()


def test_the_bits_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    first = LocalTraining(samples(), SHORT).train(GENESIS, seed=1).vector
    try:
        torch.set_num_threads(min(4, os.cpu_count() or 1) + 1)
        several = LocalTraining(samples(), SHORT).train(GENESIS, seed=1).vector
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(first, several)


def test_training_leaves_the_callers_torch_as_it_was():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    with pytest.raises(DataError):
        LocalTraining(samples(), SHORT).train(np.full(3, 0.0), seed=1)
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    LocalTraining(samples(), replace(SHORT, steps_per_round=1)).train(GENESIS, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_global_model_is_not_changed_in_place():
    given = GENESIS.copy()
    LocalTraining(samples(), replace(SHORT, steps_per_round=2)).train(given, seed=1)
    np.testing.assert_array_equal(given, GENESIS)


def test_a_desk_with_fewer_samples_than_a_batch_sees_them_several_times():
    few = samples().take(np.arange(50))
    outcome = LocalTraining(few, SHORT).train(GENESIS, seed=1)
    assert outcome.samples == 50
    assert outcome.epochs == pytest.approx(20 * 128 / 50)
    assert outcome.loss_after < outcome.loss_before


def test_no_samples_are_refused():
    with pytest.raises(DataError, match="at least one"):
        LocalTraining(samples().take(np.array([], dtype=np.int64)), SHORT).train(GENESIS, seed=1)


def test_one_absurd_target_does_not_steer_the_fit():
    found = samples()
    target = found.target_vol.copy()
    target[::100] = 50.0
    honest = LocalTraining(found, SHORT).train(GENESIS, seed=1).vector
    steered = LocalTraining(replace(found, target_vol=target), SHORT).train(GENESIS, seed=1).vector
    vols, moved = (SMILE.predict(vector, found) for vector in (honest, steered))
    assert np.median(np.abs(vols - moved)) < 0.05


def test_a_target_that_is_no_number_is_reported():
    broken = replace(samples(), target_vol=np.full(len(samples()), np.nan))
    with pytest.raises(DataError, match="look for extreme volatilities in the data"):
        LocalTraining(broken, SHORT).train(GENESIS, seed=1)


def test_a_model_that_gives_no_volatilities_is_blamed_and_not_the_quotes():
    garbage = np.full_like(GENESIS, 1e5)
    with pytest.raises(DataError, match="the fault is that model's, not the quotes'"):
        LocalTraining(samples(), SHORT).train(garbage, seed=1)


def test_the_learning_rate_falls_from_the_first_to_the_last_round_and_stays():
    settings = TrainingSettings(rounds=10, learning_rate=1e-2, final_learning_rate=1e-4)
    rates = [settings.learning_rate_at(number) for number in range(1, 13)]
    assert rates[0] == pytest.approx(1e-2)
    assert rates[9:] == pytest.approx([1e-4] * 3)
    assert rates[:10] == sorted(rates[:10], reverse=True)
    assert TrainingSettings(rounds=1).learning_rate_at(1) == TrainingSettings().learning_rate


@pytest.mark.parametrize("name", ["rounds", "steps_per_round", "batch_size", "learning_rate"])
def test_a_setting_that_is_not_above_zero_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        TrainingSettings(**{name: 0})


def test_only_the_named_layers_are_trained():
    trained = SMILE.spec.unflatten(
        LocalTraining(samples(), SHORT).train(GENESIS, seed=1, layers="out.").vector
    )
    for name, value in SMILE.spec.unflatten(GENESIS).items():
        assert np.array_equal(trained[name], value) != name.startswith("out.")


def test_proximal_term_holds_training_near_its_start():
    free, held = (
        LocalTraining(samples(), replace(SHORT, proximal=weight)).train(GENESIS, seed=1).vector
        for weight in (0.0, 100.0)
    )
    assert np.linalg.norm(held - GENESIS) < 0.5 * np.linalg.norm(free - GENESIS)


def test_weight_decay_shortens_the_model():
    plain, short = (
        LocalTraining(samples(), replace(SHORT, weight_decay=decay)).train(GENESIS, seed=1).vector
        for decay in (0.0, 3.0)
    )
    assert np.linalg.norm(short) < np.linalg.norm(plain)


def test_drift_is_spread_over_the_steps():
    """One step: all of it, after the gradient's."""
    once, drift = replace(SHORT, steps_per_round=1), np.linspace(-0.01, 0.01, GENESIS.size)
    plain = LocalTraining(samples(), once).train(GENESIS, seed=1).vector
    moved = LocalTraining(samples(), once).train(GENESIS, seed=1, drift=drift).vector
    np.testing.assert_allclose(moved - plain, drift, atol=1e-7)


def test_rounds_of_one_desk_are_those_of_samples_that_are_prepared_anew():
    desk = LocalTraining(samples(), SHORT)
    model = GENESIS
    for number in (1, 2, 3):
        anew = LocalTraining(samples(), SHORT).train(model, seed=number, round_number=number).vector
        model = desk.train(model, seed=number, round_number=number).vector
        np.testing.assert_array_equal(model, anew)


@pytest.mark.parametrize(
    "name", ["look_ahead", "echo_share", "trust_until", "proximal", "weight_decay"]
)
def test_what_may_be_left_out_may_not_be_below_zero(name):
    TrainingSettings(**{name: 0.0})
    with pytest.raises(ConfigError, match=name):
        TrainingSettings(**{name: -0.1})


@pytest.mark.parametrize(("liars", "participants"), [(0, 1), (1, 10), (1, 11), (3, 30), (6, 64)])
def test_task_that_tolerates_a_tenth_is_trained_like_one_that_tolerates_nobody(liars, participants):
    assert TrainingSettings().tolerating(liars, participants) == TrainingSettings()


@pytest.mark.parametrize(("liars", "participants"), [(1, 3), (1, 9), (2, 10), (2, 19), (7, 64)])
def test_task_that_tolerates_more_trusts_its_first_half_only(liars, participants):
    recipe = TrainingSettings(rounds=15).tolerating(liars, participants)
    assert [recipe.trusts(number) for number in range(1, 17)] == [True] * 7 + [False] * 9
    assert replace(recipe, trust_until=1.0) == TrainingSettings(rounds=15)


def test_rounds_that_do_not_trust_hear_no_echoes():
    recipe = replace(SHORT, echo_share=1.0, trust_until=0.5, rounds=4)
    plain = replace(recipe, echo_share=0.0)
    for number, same in ((2, False), (3, True)):
        heard, alone = (
            LocalTraining(samples(), one).train(GENESIS, seed=1, round_number=number).vector
            for one in (recipe, plain)
        )
        assert np.array_equal(heard, alone) is same


def test_loss_is_that_of_the_quotes_without_echoes():
    quiet, loud = (
        LocalTraining(samples(), replace(SHORT, echo_share=share)).train(GENESIS, seed=1)
        for share in (0.0, 5.0)
    )
    assert quiet.loss_before == loud.loss_before
    assert (quiet.vector != loud.vector).any()


@pytest.mark.parametrize("echo_share", [0.0, 0.3])
def test_more_samples_than_all_rounds_present_give_the_same_bits_as_if_all_were_kept(echo_share):
    # The step size does not fall, so the number of rounds decides nothing but what is kept.
    constant = replace(SHORT, learning_rate=1e-3, final_learning_rate=1e-3, echo_share=echo_share)
    few, many = replace(constant, rounds=2), replace(constant, rounds=20)
    presented = [each.rounds * each.steps_per_round * each.batch_size for each in (few, many)]
    assert presented[0] < len(samples()) <= presented[1]
    one, other = LocalTraining(samples(), few), LocalTraining(samples(), many)
    model = GENESIS
    for number in (1, 2):
        by_turns = one.train(model, seed=number, round_number=number)
        kept = other.train(model, seed=number, round_number=number)
        model = kept.vector
        np.testing.assert_array_equal(by_turns.vector, kept.vector)
        assert (by_turns.loss_before, by_turns.loss_after) == (kept.loss_before, kept.loss_after)
