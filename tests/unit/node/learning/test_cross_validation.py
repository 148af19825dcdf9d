"""Settings are judged on whole weeks that were not trained on."""

import numpy as np
import pytest

from node.learning.cross_validation import WEEK_MICROSECONDS, by_week, cross_validated
from node.learning.training import TrainingSettings
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import DataError
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)


def test_every_week_is_held_out_once_and_whole():
    found = samples()
    weeks = found.snapshot // WEEK_MICROSECONDS
    assert np.unique(weeks).size >= 2
    held_out = []
    for train, out in by_week(found, 2):
        assert len(train) + len(out) == len(found)
        trained_weeks, out_weeks = (
            set((part.snapshot // WEEK_MICROSECONDS).tolist()) for part in (train, out)
        )
        assert not trained_weeks & out_weeks
        held_out += out_weeks
    assert sorted(held_out) == np.unique(weeks).tolist()


@pytest.mark.parametrize("folds", [1, 9])
def test_too_few_weeks_for_the_folds_are_refused(folds):
    with pytest.raises(DataError, match="whole weeks"):
        next(by_week(samples(), folds))


def test_candidates_are_scored_on_what_their_desks_did_not_train_on():
    everything = samples()
    half = np.arange(len(everything)) % 2 == 0
    desks, anchors = [everything.take(half), everything.take(~half)], everything.take(slice(0, 5))
    candidates = {"short": TrainingSettings(rounds=1), "long": TrainingSettings(rounds=2)}
    seen = []

    def train(trained, settings):
        seen.append((settings.rounds, [len(each) for each in trained]))
        return GENESIS

    found = cross_validated(desks, anchors, candidates, folds=2, train=train)
    splits = [list(by_week(desk, 2)) for desk in desks]
    sizes = [[len(split[fold][0]) + 5 for split in splits] for fold in range(2)]
    assert seen == [(rounds, size) for rounds in (1, 2) for size in sizes]
    assert found["short"] == found["long"]
    held_out = np.concatenate([split[0][1].target_vol for split in splits])
    priced = np.concatenate([SMILE.predict(GENESIS, split[0][1]) for split in splits])
    assert found["short"][0] == pytest.approx(100 * np.sqrt(np.mean((priced - held_out) ** 2)))
