"""Days to be held out are found by their moves."""

from dataclasses import replace

import numpy as np
import pytest

from node.learning.validation import turbulent_days
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from protocol.errors import DataError
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit


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
