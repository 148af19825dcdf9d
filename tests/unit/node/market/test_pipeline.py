from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from node.market.batches import Batch, Reading
from node.market.cleaning import DEFAULT_RULES, REASONS, clean
from node.market.desks import write_desk
from node.market.layouts import read_batches
from node.market.panel import Panel, build_panel
from node.market.pipeline import (
    Prepared,
    Tally,
    cleaned,
    cleaned_chain,
    panel_of,
    prepare,
    samples_of,
)
from node.market.quotes import QUOTES
from node.market.samples import Samples, build_samples
from node.market.synthetic import market
from protocol.errors import DataError
from tests.unit.node.recorded import CHAINS, needs_chains, recorded_chain

pytestmark = pytest.mark.unit

DAYS = 12


@pytest.fixture(scope="module")
def chain():
    """By time, and BTC first."""
    is_eth = pl.col("currency") == "ETH"
    return market(4, days=DAYS).sort("timestamp", is_eth, maintain_order=True)


@pytest.fixture(scope="module")
def folder(chain, tmp_path_factory):
    """The chain in two files that overlap in time."""
    path = tmp_path_factory.mktemp("chain")
    is_btc = pl.col("currency") == "BTC"
    write_desk(path, chain.filter(is_btc), name="btc")
    write_desk(path, chain.filter(is_btc.not_()), name="eth")
    return path


def at_once(chain: pl.DataFrame) -> Prepared:
    quotes = clean(chain).quotes
    panel = build_panel(quotes)
    return Prepared(build_samples(quotes, panel), panel)


def assert_same(found: Prepared, expected: Prepared) -> None:
    assert_same_panel(found.panel, expected.panel)
    for name in ("surfaces", *Samples.columns()):
        there, wanted = getattr(found.samples, name), getattr(expected.samples, name)
        assert there.dtype == wanted.dtype, name
        np.testing.assert_array_equal(there, wanted, err_msg=name)


def assert_same_panel(found: Panel, expected: Panel) -> None:
    np.testing.assert_array_equal(found.snapshot, expected.snapshot)
    np.testing.assert_array_equal(found.is_btc, expected.is_btc)
    np.testing.assert_array_equal(found.vols, expected.vols)
    assert found.incomplete == expected.incomplete


@pytest.mark.parametrize("batch_rows", [1, 10_000, 10**9])
def test_pieces_give_bit_for_bit_what_the_whole_gives(folder, chain, batch_rows):
    batches = read_batches(folder, reading=Reading(batch_rows=batch_rows))
    assert_same(prepare(cleaned(batches)), at_once(chain))


def test_counts_of_the_pieces_add_up_to_those_of_the_whole(folder, chain):
    shown, tally = [], Tally()
    batches = read_batches(folder, reading=Reading(batch_rows=10_000))
    tables = list(
        cleaned(batches, tally, on_batch=lambda now: shown.append((now.share, now.quotes)))
    )
    expected = clean(chain)
    assert dict(tally.dropped) == expected.dropped
    assert list(tally.dropped) == list(REASONS)
    assert (tally.quotes, tally.kept) == (chain.height, expected.quotes.height)
    assert tally.until == chain["timestamp"].max()
    assert len(shown) == len(tables) > 2
    assert shown == sorted(shown)
    assert shown[-1] == (1.0, chain.height)


def test_rules_of_cleaning_are_the_callers(chain):
    rules = DEFAULT_RULES.__class__(min_days=5.0)
    tally = Tally()
    list(cleaned([Batch.of(chain)], tally, rules=rules))
    assert dict(tally.dropped) == clean(chain, rules).dropped


def test_samples_may_be_priced_by_the_panel_of_other_quotes(folder, chain):
    quotes = clean(chain).quotes
    public, own = quotes.filter(pl.col("is_call")), quotes.filter(pl.col("is_call").not_())
    days = [day for _, day in own.group_by(pl.col("timestamp").dt.date(), maintain_order=True)]
    panel = panel_of(cleaned(read_batches(folder)))
    found = samples_of(days, panel)
    assert_same(Prepared(found, panel), Prepared(build_samples(own, panel), build_panel(quotes)))
    assert public.height + own.height == quotes.height


def test_cleaned_chain_is_the_whole_chains(folder, chain):
    assert cleaned_chain(read_batches(folder)).equals(clean(chain).quotes)


def test_days_without_a_complete_panel_are_left_out(chain):
    # A single expiry cannot say what volatility is at five tenors.
    first = chain["timestamp"].min() + timedelta(days=2)
    one = chain.filter((pl.col("timestamp") >= first) | (pl.col("expiry") == chain["expiry"].max()))
    days = [day for _, day in one.group_by(pl.col("timestamp").dt.date(), maintain_order=True)]
    found = prepare(cleaned(map(Batch.of, days)))
    assert_same(found, at_once(one))
    assert found.panel.incomplete > 0


@pytest.mark.parametrize("batches", [[], [Batch.of(QUOTES.to_frame())]])
def test_no_quotes_are_refused(batches):
    with pytest.raises(DataError, match="found 0 quotes and 0 panels"):
        prepare(cleaned(batches))
    assert cleaned_chain(batches).is_empty()
    assert panel_of(cleaned(batches)).snapshot.size == 0


@pytest.mark.data
@needs_chains
def test_recorded_months_give_bit_for_bit_what_the_whole_gives():
    tally = Tally()
    found = prepare(cleaned(read_batches(CHAINS), tally))
    whole = recorded_chain()
    assert tally.quotes == whole.height
    assert_same(found, at_once(whole))
