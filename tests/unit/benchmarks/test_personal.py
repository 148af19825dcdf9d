"""Ways to choose a desk's own model are judged on days that were not chosen by."""

import numpy as np
import pytest

from benchmarks.personal import Trial, halves, table, trials
from node.learning.division import Market
from node.learning.training import TrainingSettings
from node.market.quotes import MICROSECONDS_PER_DAY
from tests.unit.node.small_market import quotes, samples

pytestmark = pytest.mark.unit


def errors(shared: float, head: float, local: float, blend: float, mean: float) -> dict[str, float]:
    return {"shared": shared, "head": head, "local": local, "blend": blend, "mean": mean}


def cells(lines: list[str], way: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {way} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_ways_to_choose_are_told_by_the_half_that_was_not_chosen_by():
    found = [
        Trial(seen=errors(1.0, 0.9, 0.89, 0.7, 0.8), unseen=errors(1.0, 1.0, 2.0, 1.0, 3.0)),
        Trial(seen=errors(1.0, 0.8, 0.9, 0.8, 0.85), unseen=errors(1.0, 1.5, 1.0, 1.5, 0.5)),
    ]
    lines = list(table(found))
    assert cells(lines, "the best of three") == ["1.750", "1.250", "50%"]
    assert cells(lines, "always local") == ["1.500", "1.000", "0%"]
    assert cells(lines, "always shared") == ["1.000", "0.750", "0%"]
    assert cells(lines, "the blend") == ["1.250", "1.000", "50%"]
    assert cells(lines, "the best of these and the mean") == ["2.250", "1.500", "100%"]


def test_halves_are_whole_days_one_after_the_other():
    found = samples()
    earlier, later = (np.unique(half.snapshot // MICROSECONDS_PER_DAY) for half in halves(found))
    assert earlier.max() < later.min()
    assert abs(earlier.size - later.size) <= 1


def test_every_desk_is_tried_on_both_halves():
    market = Market.of(quotes()).divided("desks", 3, 0)
    settings = TrainingSettings(rounds=1, steps_per_round=2, batch_size=32, arbitrage_weight=0)
    found = list(trials(market, settings, 0))
    assert len(found) == 6
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert one.seen["local"] == other.unseen["local"] != one.unseen["local"]
        assert one.seen["head"] <= one.seen["shared"]
        for trial in (one, other):
            assert trial.seen["blend"] <= min(trial.seen.values()) + 1e-9
