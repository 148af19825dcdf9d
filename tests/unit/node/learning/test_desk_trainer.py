"""A desk's training in a round can be repeated to the bit and depends on nothing but its inputs."""

import numpy as np
import pytest

from node.learning.contribution import contribution_scores
from node.learning.desk_trainer import DeskTrainer
from node.learning.look_ahead import starting_point
from node.learning.training import TrainingSettings, participant_seed
from node.models.arbitrage import MOVED, Watch
from node.models.smile import SMILE
from protocol.numbers import quantise, to_float
from tests.unit.node import small_market

pytestmark = pytest.mark.unit

SETTINGS = TrainingSettings(rounds=4, steps_per_round=30, batch_size=64)
SHIFT = 16


@pytest.fixture(scope="module")
def genesis() -> np.ndarray:
    return to_float(SMILE.genesis(0, SHIFT), SHIFT)


@pytest.fixture
def desk() -> DeskTrainer:
    return DeskTrainer(small_market.samples(), SETTINGS, seed=5)


def test_it_trains_the_model_that_tasks_name(desk):
    assert desk.spec_hash == SMILE.spec.hash


def test_participants_with_the_same_setting_train_by_seeds_of_their_own():
    first, second = (participant_seed(0, "0x" + digit * 40) for digit in "1a")
    assert first == participant_seed(0, "0x" + "1" * 40)
    assert len({first, second, participant_seed(1, "0x" + "1" * 40)}) == 3


def test_training_looks_for_arbitrage_at_new_points_each_round_half_of_them_on_moved_panels(
    monkeypatch, genesis
):
    drawn, over = [], Watch.over

    def spied(*given, unlike=0.0):
        watch = over(*given, unlike=unlike)
        drawn.append((watch.geometry, unlike))
        return watch

    monkeypatch.setattr(Watch, "over", spied)
    for seed in (5, 6):
        trainer = DeskTrainer(small_market.samples(), SETTINGS, seed=seed)
        for round_number in (1, 2):
            trainer.train(genesis, round_number, genesis)
    assert [unlike for _, unlike in drawn] == [MOVED] * 4
    assert len({geometry.numpy().tobytes() for geometry, _ in drawn}) == 4


def test_same_round_gives_the_same_bits_after_a_restart(desk, genesis):
    first = desk.train(genesis, 2, genesis)
    desk.train(genesis, 3, genesis)
    restarted = DeskTrainer(small_market.samples(), SETTINGS, seed=5)

    assert restarted.train(genesis, 2, genesis).tobytes() == first.tobytes()


def test_round_seed_and_model_each_change_the_update(desk, genesis):
    update = desk.train(genesis, 1, genesis) - genesis
    other_desk = DeskTrainer(small_market.samples(), SETTINGS, seed=6)

    assert update.any()
    assert not np.array_equal(desk.train(genesis, 2, genesis) - genesis, update)
    assert not np.array_equal(other_desk.train(genesis, 1, genesis) - genesis, update)
    assert not np.array_equal(desk.train(genesis + 0.01, 1, genesis + 0.01) - genesis, update)


def test_training_starts_ahead_where_the_last_final_round_moved_the_model(desk, genesis):
    before = genesis - 0.01
    ahead = starting_point(genesis, before, SETTINGS, 2)

    assert not np.array_equal(ahead, genesis)
    assert np.array_equal(desk.train(genesis, 2, before), desk.train(ahead, 2, ahead))


def test_given_model_is_left_as_it_was(desk, genesis):
    before = genesis.copy()
    desk.train(genesis, 1, genesis)

    assert np.array_equal(genesis, before)


def test_report_of_a_training_holds_numbers_and_no_quotes(desk, genesis):
    assert desk.last is None
    desk.train(genesis, 1, genesis)

    assert desk.last is not None
    assert desk.last.samples == len(small_market.samples())
    assert desk.last.loss_after < desk.last.loss_before
    sizes = [np.size(value) for name, value in vars(desk.last).items() if name != "vector"]
    assert sizes == [1] * len(sizes)


def test_others_are_judged_by_what_was_held_out_and_the_desk_itself_is_not(desk, genesis):
    base = SMILE.genesis(0, SHIFT)
    moves = [desk.train(genesis, number, genesis) - genesis for number in (1, 2)]
    moves.append(-moves[0])
    updates = np.stack([quantise(move, SHIFT) for move in moves])

    by_trained = desk.scores(base, updates, shift=SHIFT, own=0)
    early = small_market.samples().take(np.arange(40))
    judging = DeskTrainer(small_market.samples(), SETTINGS, seed=5, held_out=early)

    assert by_trained == bytes([0, 255, 0])
    assert desk.scores(base, updates, shift=SHIFT, own=1) == bytes([255, 0, 0])
    assert judging.scores(base, updates, shift=SHIFT, own=0) == contribution_scores(
        base, updates, early, shift=SHIFT, own=0
    )
    assert desk.sample_count == len(small_market.samples())
