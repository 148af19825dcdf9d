"""Settings are judged on whole weeks that were not trained on."""

from dataclasses import replace

import numpy as np
import pytest

from node.learning.training import TrainingSettings
from node.learning.validation import (
    WEEK_MICROSECONDS,
    by_week,
    cross_validated,
    turbulent_days,
)
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
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


def moving(steps, *, is_btc):
    """Snapshots at noon whose 30-day volatility takes these steps, each after so many days."""
    day = 20_000 + np.cumsum([days for days, _ in steps])
    some = samples().take(slice(0, len(steps)))
    return replace(
        some,
        snapshot=day * MICROSECONDS_PER_DAY + MICROSECONDS_PER_DAY // 2,
        atm_30d_vol=0.5 * np.exp(np.cumsum([move for _, move in steps])),
        is_btc=np.full(len(steps), is_btc),
    )


def test_turbulent_days_are_those_of_the_largest_moves_of_a_day_and_their_neighbours():
    quiet = [(1, 0.01)] * 10
    btc = moving([*quiet, (1, -0.2), *quiet, (5, 0.9), *quiet], is_btc=True)
    eth = moving([*quiet, (1, 0.1), *quiet[:4], (1, 0.3), *quiet], is_btc=False)
    everything = Samples.join(eth, btc)
    shuffled = everything.take(np.random.default_rng(0).permutation(len(everything)))
    # The move over five days without a snapshot is none of a day.
    assert turbulent_days(shuffled, 1).tolist() == [20_015, 20_016, 20_017]
    assert turbulent_days(shuffled, 2).tolist() == [20_010, 20_011, 20_012, 20_015, 20_016, 20_017]
    with pytest.raises(DataError, match="wanted, found 35"):
        turbulent_days(shuffled, 40)


def test_only_a_days_last_snapshot_counts():
    calm = moving([(1, 0.0)] * 6, is_btc=True)
    early = replace(calm.take([2, 4]), atm_30d_vol=np.array([0.9, 0.2]))
    early = replace(early, snapshot=early.snapshot - 1)
    late = replace(calm.take([3]), atm_30d_vol=np.array([0.6]))
    late = replace(late, snapshot=late.snapshot + 1)
    found = turbulent_days(Samples.join(early, calm, late), 2)
    assert found.tolist() == [20_003, 20_004, 20_005, 20_006]


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
