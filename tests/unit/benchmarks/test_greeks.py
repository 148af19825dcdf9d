"""The benchmark's two sides price the same quotes alike."""

import pytest

from benchmarks import greeks
from node.market.sources import quotes_of

pytestmark = pytest.mark.unit


def test_both_sides_agree_and_every_figure_is_there(monkeypatch):
    monkeypatch.setattr(greeks, "quotes_of", lambda _, days: quotes_of(None, days=days // 30))
    found = greeks.measure(None, count=500, sampled=50)
    assert set(found["worst_relative_difference"]) == set(greeks.SHARED)
    assert max(found["worst_relative_difference"].values()) < 1e-9
    assert set(found["ratio"]) == set(found["seconds"]) == set(found["extra_memory_mib"])
    assert found["quotes"] == 500
    assert found["quantlib_sample"] == 50
