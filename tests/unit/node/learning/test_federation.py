"""Rounds without a chain: integers in, integers out, and what a desk makes of earlier rounds."""

from dataclasses import replace

import numpy as np
import pytest

from node.evaluation.metrics import measure
from node.learning.federation import Desk, Recall, chosen_rule, federate, rounds
from node.learning.training import LocalTraining, TrainingSettings
from node.models.architecture import DEFAULT_MAX_NORM, DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import RuleError
from protocol.rules import aggregate
from protocol.task import Rule
from tests.unit.node import small_market

pytestmark = pytest.mark.unit

SETTINGS = TrainingSettings(rounds=3, steps_per_round=8, batch_size=64, look_ahead=0)
GENESIS = SMILE.genesis(0, DEFAULT_SHIFT)


@pytest.fixture(scope="module")
def desks():
    everything = small_market.samples()
    rows = np.arange(len(everything))
    return [everything.take(rows % 4 == desk) for desk in range(4)]


def played(desks, settings=SETTINGS, recall=None):
    return list(rounds(desks, settings, chosen_rule(Rule.TRIMMED_MEAN, 1), recall=recall))


def test_every_round_adds_the_rules_aggregate_of_what_the_desks_revealed(desks):
    model = GENESIS
    for done in played(desks):
        combined = aggregate(Rule.TRIMMED_MEAN, done.updates, tolerance=1, clip_norm=1)
        model = numbers.add_update(model, combined)
        np.testing.assert_array_equal(done.model, model)


def test_the_model_learns_and_is_the_same_bits_again(desks):
    settings = replace(SETTINGS, rounds=6, look_ahead=0.5)
    seen = []
    vector = federate(desks, settings, on_round=lambda number, _: seen.append(number))
    np.testing.assert_array_equal(federate(desks, settings), vector)
    assert seen == [1, 2, 3, 4, 5, 6]
    everything = small_market.samples()
    genesis = numbers.to_float(GENESIS, DEFAULT_SHIFT)
    trained, untrained = (
        measure(SMILE.predict(each, everything), everything).rmse for each in (vector, genesis)
    )
    assert trained < untrained


def test_the_version_that_is_best_on_validation_is_kept(desks):
    everything, versions = small_market.samples(), []
    upside_down = replace(everything, target_vol=1.0 - everything.target_vol)
    settings = replace(SETTINGS, rounds=4)
    kept = federate(
        desks,
        settings,
        validation=upside_down,
        on_round=lambda _, version: versions.append(version),
    )
    errors = [
        measure(SMILE.predict(version, upside_down), upside_down).rmse for version in versions
    ]
    np.testing.assert_array_equal(kept, versions[int(np.argmin(errors))])
    assert kept is not versions[-1]


def test_a_rule_that_cannot_tolerate_so_many_liars_is_refused(desks):
    with pytest.raises(RuleError, match="tolerates at most 0"):
        federate(desks, SETTINGS, rule=Rule.MEAN)


def test_who_looks_ahead_reveals_its_own_move_and_what_all_add(desks):
    settings = replace(SETTINGS, look_ahead=0.5)
    first, second, *_ = played(desks, settings)
    desk = Desk(desks[0], settings, 0, 0)
    desk.update(GENESIS, 1, GENESIS)
    np.testing.assert_array_equal(desk.update(first.model, 2, GENESIS), second.updates[0])
    assert (Desk(desks[0], settings, 0, 0).update(first.model, 2) != second.updates[0]).any()


def test_updates_that_look_ahead_keep_the_tasks_bound(desks):
    settings = replace(SETTINGS, look_ahead=1.0, learning_rate=0.05)
    bound = (DEFAULT_MAX_NORM * 2**DEFAULT_SHIFT) ** 2
    found = [
        numbers.squared_norm(each) for done in played(desks, settings) for each in done.updates
    ]
    assert max(found) <= bound
    assert max(found) > 0.99 * bound


def test_a_share_of_the_desks_is_drawn_for_each_round(desks):
    drawn = []

    def first(updates, present):
        drawn.append(tuple(present))
        return updates[0]

    found = list(rounds(desks, replace(SETTINGS, rounds=6), first, share=0.5))
    assert {len(done.updates) for done in found} == {2}
    assert {len(set(present)) for present in drawn} == {2}
    assert len(set(drawn)) > 1


def test_control_draws_a_desk_to_where_all_went(desks):
    """All moved far up in the first round; the desk itself did not."""
    model = (GENESIS + 200).astype(np.int32)

    def second(recall):
        desk = Desk(desks[0], SETTINGS, 0, 0, recall=recall)
        first = desk.update(GENESIS, 1, GENESIS)
        return first, desk.update(model, 2, GENESIS)

    (first, alone), (again, drawn) = (second(Recall(control=c)) for c in (0.0, 1.0))
    np.testing.assert_array_equal(first, again)
    assert 100 < np.median(drawn.astype(int) - alone) < 300


def test_worker_momentum_mixes_the_last_update_in(desks):
    plain, slow = (played(desks, recall=Recall(momentum=m)) for m in (0.0, 0.5))
    np.testing.assert_array_equal(plain[0].updates, slow[0].updates)
    base = numbers.to_float(slow[0].model, DEFAULT_SHIFT)
    entropy = np.random.SeedSequence([0, 0, 2])
    local = (
        LocalTraining(desks[0], SETTINGS)
        .train(base, seed=int(entropy.generate_state(1)[0]), round_number=2)
        .vector
    )
    wanted = 0.5 * (local - base) + 0.5 * numbers.to_float(slow[0].updates[0], DEFAULT_SHIFT)
    found = numbers.to_float(slow[1].updates[0], DEFAULT_SHIFT)
    np.testing.assert_allclose(found, wanted, atol=3 * 2.0**-DEFAULT_SHIFT)
