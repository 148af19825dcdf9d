"""Quotes of a folder, or of the made-up market, in the time that is asked for."""

from datetime import timedelta
from pathlib import Path

import pytest

from node.market.batches import Reading, whole
from node.market.desks import write_desk
from node.market.sources import SYNTHETIC, folder_named, quotes_of
from node.market.synthetic import DEFAULT_START, market

pytestmark = pytest.mark.unit

DAYS = 3


def test_without_a_folder_a_market_is_made_up():
    assert whole(quotes_of(None, seed=2, days=DAYS)).equals(market(2, days=DAYS))


def test_folder_is_read_whatever_market_could_be_made_up(tmp_path):
    chain = market(1, days=1)
    write_desk(tmp_path, chain)

    assert whole(quotes_of(tmp_path, seed=2, days=DAYS)).equals(chain)


@pytest.mark.parametrize("in_a_folder", [True, False])
def test_only_the_time_that_is_read_is_given(tmp_path, in_a_folder):
    chain = market(0, days=DAYS)
    if in_a_folder:
        write_desk(tmp_path, chain)
    first, last = (DEFAULT_START + timedelta(days=days) for days in (1, 2))
    reading = Reading(start=first, end=last)

    found = whole(quotes_of(tmp_path if in_a_folder else None, days=DAYS, reading=reading))

    assert found["timestamp"].min() >= first
    assert found["timestamp"].max() < last
    assert 0 < found.height < chain.height
    assert found.equals(chain.filter((chain["timestamp"] >= first) & (chain["timestamp"] < last)))


def test_made_up_market_goes_by_its_name_in_place_of_a_folder():
    assert folder_named(SYNTHETIC) is folder_named(Path(SYNTHETIC)) is None
    assert folder_named("quotes") == Path("quotes")
