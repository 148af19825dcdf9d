"""Any option that a person names is placed in the latest market, listed there or not."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from node.market.batches import Batch
from node.market.completion import completed
from node.market.named_options import OPTIONS, Market, options_named, read_options
from node.market.quotes import INSTANT
from node.market.samples import build_samples
from node.market.synthetic import market
from protocol.errors import ConfigError, DataError
from tests.unit.node import small_market

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def chain() -> pl.DataFrame:
    return market(7, days=14, snapshots_per_day=2)


@pytest.fixture(scope="module")
def latest(chain: pl.DataFrame) -> Market:
    days = chain.group_by(pl.col("timestamp").dt.date(), maintain_order=True)
    return Market.latest(Batch.of(quotes) for _, quotes in days)


def options(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=OPTIONS, orient="row")


def test_listed_option_is_placed_as_its_quote_is(latest):
    quotes = small_market.quotes().filter(pl.col("timestamp") == pl.col("timestamp").max())
    expected = build_samples(quotes, small_market.panel())
    found = latest.samples(quotes.select(list(OPTIONS)))
    for name in ("forward", "strike", "years", "z", "atm_vol", "panel_vols", "atm_30d_vol"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    np.testing.assert_array_equal(found.is_btc, expected.is_btc)
    np.testing.assert_array_equal(found.snapshot, expected.snapshot)
    np.testing.assert_array_equal(
        found.surfaces[found.surface_row], expected.surfaces[expected.surface_row]
    )


def test_listed_forward_is_taken_where_none_is_given(latest):
    quotes = small_market.quotes().filter(pl.col("timestamp") == pl.col("timestamp").max())
    unknown = pl.lit(None, pl.Float64).alias("forward_usd")
    found = latest.samples(quotes.select(list(OPTIONS)).with_columns(unknown))
    np.testing.assert_allclose(found.forward, quotes["forward_usd"], rtol=1e-12)


def test_forward_between_listed_expiries_lies_on_a_line_and_stays_outside(latest, chain):
    now = chain["timestamp"].max()
    listed = (
        small_market.quotes()
        .filter(pl.col("timestamp") == now, pl.col("currency") == "BTC")
        .group_by("expiry")
        .agg(pl.col("forward_usd").first())
        .sort("expiry")
    )
    expiries, forwards = listed["expiry"].to_list(), listed["forward_usd"].to_list()
    middle = expiries[0] + (expiries[1] - expiries[0]) / 2
    asked = [expiries[0] - timedelta(hours=2), middle, expiries[-1] + timedelta(days=400)]
    found = latest.samples(options(*(("BTC", expiry, 1e5, True, None) for expiry in asked)))
    expected = [forwards[0], np.sqrt(forwards[0] * forwards[1]), forwards[-1]]
    np.testing.assert_allclose(found.forward, expected, rtol=1e-12)


def test_expired_option_and_coin_without_a_chain_are_refused(latest, chain):
    now = chain["timestamp"].max()
    with pytest.raises(DataError, match=r"an expiry after .*, the latest snapshot's time"):
        latest.samples(options(("ETH", now, 3000.0, True, None)))
    one_coin = Market.latest([Batch.of(chain.filter(currency="BTC"))])
    with pytest.raises(DataError, match="a whole chain of ETH is wanted"):
        one_coin.samples(options(("ETH", now + timedelta(days=3), 3000.0, True, None)))
    with pytest.raises(DataError, match="found none among the latest"):
        Market.latest([Batch.of(chain.head(3))])


def test_panel_with_holes_is_completed_where_so_much_is_known(latest, chain):
    left = pl.col("expiry") - pl.col("timestamp")
    near = Batch.of(chain.filter(left <= pl.duration(days=45)))
    with pytest.raises(DataError, match=r"a whole chain of one coin .* \(--least-known 9\)"):
        Market.latest([near])
    with pytest.raises(DataError, match="10 of the panel's 15 volatilities of one coin"):
        Market.latest([near], 10)
    found = Market.latest([near], 9)
    assert latest.known == {"BTC": 15, "ETH": 15}
    assert found.known == {"BTC": 9, "ETH": 9}
    np.testing.assert_array_equal(found.panel.snapshot, latest.panel.snapshot)
    np.testing.assert_array_equal(found.panel.vols[:, :, :3], latest.panel.vols[:, :, :3])
    np.testing.assert_array_equal(
        found.panel.vols[:, :, 3:], completed(holed(latest.panel.vols))[:, :, 3:]
    )


def holed(vols: np.ndarray) -> np.ndarray:
    """Without what is farther than 30 days."""
    return np.where(np.arange(5) < 3, vols, np.nan)


def test_names_of_exchanges_are_understood():
    table = options_named(["BTC-27MAR26-90000-C", "eth-3apr26-2500-p"])
    assert table.rows() == [
        ("BTC", small_market.NOON.replace(month=3, day=27, hour=8), 90000.0, True, None),
        ("ETH", small_market.NOON.replace(month=4, day=3, hour=8), 2500.0, False, None),
    ]


@pytest.mark.parametrize(
    "name", ["BTC", "BTC-27MAR26-90000", "SOL-27MAR26-90-C", "BTC-31FEB26-1-C"]
)
def test_what_names_no_option_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        options_named([name])


def written(folder: Path, text: str) -> Path:
    file = folder / "options.csv"
    file.write_text(text)
    return file


HEAD = "currency,expiry,strike_usd,is_call,forward_usd\n"


def test_file_of_options_needs_no_forward_and_no_quote(tmp_path):
    file = written(
        tmp_path, "note,is_call,strike_usd,currency,expiry\na,put,90000,BTC,2026-03-27T08:00:00Z\n"
    )
    table = read_options(file)
    assert table.schema == OPTIONS
    assert table.schema["expiry"] == INSTANT
    assert table.row(0)[2:] == (90000.0, False, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "a row for each option"),
        ("currency,expiry\nBTC,2026-03-27\n", r"missing columns \['strike_usd', 'is_call'\]"),
        (HEAD + "SOL,2026-03-27,1,call,\n", "column currency: .*row 1"),
        (HEAD + "BTC,2026-03-27,1,call,\nBTC,,1,call,\n", "column expiry: .*row 2"),
        (HEAD + "BTC,2026-03-27,0,call,\n", "column strike_usd"),
        (HEAD + "BTC,2026-03-27,nan,call,\n", "column strike_usd"),
        (HEAD + "BTC,2026-03-27,1,maybe,\n", "column is_call"),
        (HEAD + "BTC,2026-03-27,1,call,-4\n", "column forward_usd"),
        (HEAD + "BTC,2026-03-27,dear,call,\n", "wanted a table of options"),
        (HEAD + "BTC,soon,1,call,\n", "wanted a table of options"),
    ],
)
def test_fault_in_a_file_of_options_is_named(tmp_path, text, said):
    file = written(tmp_path, text)
    with pytest.raises(DataError, match=said) as caught:
        read_options(file)
    assert str(file) in str(caught.value)
