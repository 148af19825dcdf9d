"""Positions whose later quote does not survive cleaning are left out, and no others."""

from functools import partial

import numpy as np
import pytest

from benchmarks import survivors
from node.evaluation.bootstrap import Days
from node.evaluation.hedging import open_positions
from node.market.batches import whole
from node.market.cleaning import clean
from node.market.panel import build_panel
from node.market.sources import quotes_of

pytestmark = pytest.mark.unit


def test_survivors_are_fewer_and_hedged_as_what_they_are(monkeypatch):
    monkeypatch.setattr(survivors, "quotes_of", partial(quotes_of, days=14))
    found = [line.split() for line in survivors.lines(None)]
    assert [line[:2] for line in found] == [
        [coin, name] for name in ("all", "surviving") for coin in ("BTC", "ETH")
    ]
    for everything, surviving in zip(found[:2], found[2:], strict=True):
        assert 0 < int(surviving[2].replace(",", "")) < int(everything[2].replace(",", ""))


def test_deviations_are_those_of_the_coins_gains():
    chain = whole(quotes_of(None, days=4))
    opened = clean(chain).quotes
    positions = open_positions(opened, build_panel(opened), chain)
    days = Days(positions.samples.snapshot)
    unhedged, hedged = survivors.deviations(positions, days, is_btc=True)
    gains = positions.gain_bp[positions.samples.is_btc]
    assert unhedged == pytest.approx(np.std(gains))
    assert 0 < hedged < unhedged
