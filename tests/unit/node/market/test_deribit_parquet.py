from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from node.market.batches import whole
from node.market.deribit_parquet import COLUMNS
from node.market.layouts import read_batches
from node.market.quotes import QUOTES, check_quotes
from protocol.errors import DataError
from tests.unit.node.recorded import NOON, needs_chains, quotes, recorded_chain

pytestmark = pytest.mark.unit


def recorded(table: pl.DataFrame) -> pl.DataFrame:
    """The table in the recording's columns, with one that nobody reads."""
    kind = pl.when("is_call").then(pl.lit("call")).otherwise(pl.lit("put")).alias("is_call")
    return (
        table.with_columns(kind)
        .rename({quote: name for name, quote in COLUMNS.items()})
        .with_columns(index_price=1.0)
    )


@pytest.fixture
def folder(tmp_path):
    recorded(quotes({}, {"is_call": False, "bid_coin": None})).write_parquet(
        tmp_path / "2026-03.parquet"
    )
    recorded(quotes({"timestamp": NOON - timedelta(days=30)})).write_parquet(
        tmp_path / "2026-01.parquet"
    )
    return tmp_path


def test_months_are_read_in_order_as_one_valid_table(folder):
    chain = whole(read_batches(folder))
    assert chain.schema == QUOTES
    assert chain["timestamp"].is_sorted()
    assert chain.tail(2).equals(quotes({}, {"is_call": False, "bid_coin": None}))


def test_missing_columns_are_all_named(folder):
    path = folder / "2026-01.parquet"
    pl.read_parquet(path).drop("strike", "delta").write_parquet(path)
    with pytest.raises(DataError, match=r"2026-01\.parquet: missing columns \['strike', 'delta'\]"):
        whole(read_batches(folder, layout="recorded"))


def test_file_that_is_no_parquet_is_named(folder):
    (folder / "2026-02.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"2026-02\.parquet: wanted a table of option quotes"):
        whole(read_batches(folder))


def test_unknown_option_type_is_refused_and_not_taken_for_a_put(folder):
    path = folder / "2026-01.parquet"
    pl.read_parquet(path).with_columns(option_type=pl.lit("straddle")).write_parquet(path)
    with pytest.raises(DataError, match="column is_call: wanted a value"):
        whole(read_batches(folder))


@pytest.mark.data
@needs_chains
def test_recorded_chains_are_a_valid_table_of_both_coins():
    first = recorded_chain(end=datetime(2026, 1, 1, tzinfo=UTC))
    assert check_quotes(first).height == 5180
    assert set(first["currency"]) == {"BTC", "ETH"}
    assert first.group_by("timestamp").agg(pl.col("currency").n_unique())["currency"].min() == 2
