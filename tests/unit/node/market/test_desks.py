from datetime import UTC, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from node.market.batches import whole
from node.market.desks import partition, write_desk
from node.market.layouts import read_batches
from node.market.quotes import DAYS_PER_YEAR, QUOTES, log_moneyness, years_to_expiry
from node.market.synthetic import market
from protocol.errors import ConfigError, DataError, StorageError
from tests.unit.node.market.test_deribit_parquet import recorded
from tests.unit.node.recorded import NOON, quotes

pytestmark = pytest.mark.unit

WAYS = ["desks", "dirichlet", "time", "moneyness"]


@pytest.fixture(scope="module")
def chain():
    return market(11, days=4)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("desks", [1, 2, 3, 5, 8])
def test_every_quote_has_exactly_one_desk(chain, how, desks):
    parts = partition(chain, how, desks, 0)
    assert len(parts) == desks
    assert all(part.height > 0 for part in parts)
    indexed = chain.with_row_index()
    rejoined = pl.concat(partition(indexed, how, desks, 0)).sort("index")
    assert rejoined.equals(indexed)


@pytest.mark.parametrize("how", WAYS)
def test_a_desk_keeps_the_tables_order_and_extra_columns(chain, how):
    for part in partition(chain.with_row_index(), how, 3, 0):
        assert part["index"].is_sorted()


@pytest.mark.parametrize("how", WAYS)
def test_same_seed_gives_the_same_desks(chain, how):
    first, second = partition(chain, how, 5, 7), partition(chain, how, 5, 7)
    assert all(one.equals(other) for one, other in zip(first, second, strict=True))


def test_another_seed_deals_other_dirichlet_desks(chain):
    first, second = partition(chain, "dirichlet", 5, 1), partition(chain, "dirichlet", 5, 2)
    assert [part.height for part in first] != [part.height for part in second]


def test_five_desks_are_the_books_of_the_published_results(chain):
    days = years_to_expiry() * DAYS_PER_YEAR
    coin = pl.col("currency")
    btc_short, btc_middle, long, eth_short, eth_middle = partition(chain, "desks", 5, 0)
    assert btc_short.equals(chain.filter(coin == "BTC", days <= 14))
    assert btc_middle.equals(chain.filter(coin == "BTC", days > 14, days <= 90))
    assert long.equals(chain.filter(days > 90))
    assert eth_short.equals(chain.filter(coin == "ETH", days <= 30))
    assert eth_middle.equals(chain.filter(coin == "ETH", days > 30, days <= 90))


def test_an_expiry_on_an_edge_belongs_to_the_shorter_book(chain):
    edge = quotes({"expiry": NOON + timedelta(days=14)})
    parts = partition(pl.concat([chain, edge]), "desks", 5, 0)
    assert [part.filter(timestamp=NOON).height for part in parts] == [1, 0, 0, 0, 0]


def test_two_desks_trade_one_coin_each(chain):
    assert [set(part["currency"]) for part in partition(chain, "desks", 2, 0)] == [{"BTC"}, {"ETH"}]


def test_many_books_of_a_coin_follow_each_other_in_tenor(chain):
    parts = partition(chain, "desks", 9, 0)
    longest = [part.select(years_to_expiry().max()).item() for part in parts]
    assert longest[:5] == sorted(longest[:5])
    assert longest[5:] == sorted(longest[5:])


def test_books_do_not_depend_on_other_desks_quotes(chain):
    btc = chain.filter(currency="BTC")
    alone = partition(
        pl.concat([btc, chain.filter(currency="ETH").sample(300, seed=1)]), "desks", 5, 0
    )
    together = partition(chain, "desks", 5, 0)
    assert alone[0].equals(together[0])
    assert alone[1].equals(together[1])


def test_time_desks_hold_whole_consecutive_snapshots(chain):
    parts = partition(chain, "time", 3, 0)
    spans = [(part["timestamp"].min(), part["timestamp"].max()) for part in parts]
    assert all(ends < begins for (_, ends), (begins, _) in pairwise(spans))
    counts = [part["timestamp"].n_unique() for part in parts]
    assert max(counts) - min(counts) <= 1


def test_moneyness_desks_are_equal_and_ordered_by_strike(chain):
    deviations = log_moneyness() / (pl.col("mark_iv") * years_to_expiry().sqrt())
    parts = partition(chain, "moneyness", 4, 0)
    assert max(part.height for part in parts) - min(part.height for part in parts) <= 1
    spans = [part.select(deviations.alias("z"))["z"] for part in parts]
    assert all(low.max() <= high.min() for low, high in pairwise(spans))


def test_dirichlet_desks_are_uneven_but_none_is_starved(chain):
    sizes = sorted(part.height for part in partition(chain, "dirichlet", 8, 3))
    assert sizes[0] >= 0.1 * chain.height / 8
    assert sizes[-1] > 2 * sizes[0]


def test_too_many_dirichlet_desks_are_refused(chain):
    with pytest.raises(DataError, match="a tenth of an equal share of 20 quotes; use fewer desks"):
        partition(chain.head(20), "dirichlet", 20, 0)


def test_more_desks_than_snapshots_are_refused(chain):
    with pytest.raises(DataError, match=r"partition time: desk .* of 9 would get none"):
        partition(chain, "time", 9, 0)


def test_unknown_partition_and_no_desks_are_refused(chain):
    with pytest.raises(ConfigError, match=r"wanted one of .*'dirichlet'.*found 'random'"):
        partition(chain, "random", 5, 0)
    with pytest.raises(ConfigError, match="desks: wanted 1 or more, found 0"):
        partition(chain, "desks", 0, 0)


def test_written_desk_reads_back_exactly(tmp_path, chain):
    path = write_desk(tmp_path / "desk", chain)
    assert path == tmp_path / "desk" / "quotes.parquet"
    assert whole(read_batches(tmp_path / "desk")).equals(chain)
    assert [each.name for each in path.parent.iterdir()] == ["quotes.parquet"]


def test_writing_again_replaces(tmp_path, chain):
    write_desk(tmp_path, chain)
    write_desk(tmp_path, chain.head(10))
    assert whole(read_batches(tmp_path)).height == 10


def test_columns_beyond_the_table_are_not_written(tmp_path):
    write_desk(tmp_path, quotes({}).with_columns(mid_iv=0.5))
    assert whole(read_batches(tmp_path)).schema == QUOTES


def test_invalid_quotes_are_not_written(tmp_path):
    with pytest.raises(DataError, match="mark_iv"):
        write_desk(tmp_path, quotes({"mark_iv": -1.0}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [OSError, pl.exceptions.ComputeError])
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, chain, monkeypatch, failure):
    write_desk(tmp_path, chain.head(5))

    def full(_table, path):
        path.write_bytes(b"half")
        raise failure("no space left")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(StorageError, match=r"quotes\.parquet cannot be written: no space"):
        write_desk(tmp_path, chain)
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["quotes.parquet"]
    assert whole(read_batches(tmp_path)).height == 5


def test_interrupted_write_leaves_the_old_file(tmp_path, chain, monkeypatch):
    """The new file appears by renaming alone, so before that nothing has changed."""
    write_desk(tmp_path, chain.head(5))

    def killed(_path, _target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_desk(tmp_path, chain)
    assert whole(read_batches(tmp_path)).height == 5


def test_files_of_both_layouts_are_read_together_by_time(tmp_path):
    later = quotes({"timestamp": NOON + timedelta(days=1)})
    later.write_parquet(tmp_path / "a.parquet")
    recorded(quotes({})).write_parquet(tmp_path / "b.parquet")
    assert whole(read_batches(tmp_path)).equals(pl.concat([quotes({}), later]))


@pytest.mark.parametrize("layout", [lambda table: table, recorded])
def test_csv_reads_like_parquet(tmp_path, layout):
    table = quotes({"bid_coin": None}, {"is_call": False, "delta": None})
    layout(table).write_csv(tmp_path / "quotes.csv")
    assert whole(read_batches(tmp_path)).equals(table)


@pytest.mark.parametrize(
    "time", ["2026-03-02T12:00:00Z", "2026-03-02T12:00:00", "2026-03-02 12:00:00"]
)
def test_csv_times_are_utc(tmp_path, time):
    table = quotes({}).with_columns(timestamp=pl.lit(time))
    table.write_csv(tmp_path / "quotes.csv")
    assert whole(read_batches(tmp_path))["timestamp"].item() == NOON


def test_parquet_times_of_other_zones_and_units_are_converted(tmp_path):
    instant = pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns")
    quotes({}).with_columns(instant).write_parquet(tmp_path / "quotes.parquet")
    assert whole(read_batches(tmp_path)).equals(quotes({}))
    assert whole(read_batches(tmp_path))["timestamp"].item() == NOON.astimezone(UTC)


def test_parquet_times_without_a_zone_are_utc(tmp_path):
    naive = quotes({}).with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    naive.write_parquet(tmp_path / "quotes.parquet")
    assert whole(read_batches(tmp_path)).equals(quotes({}))


def test_csv_is_not_read_beside_parquet(tmp_path):
    write_desk(tmp_path, quotes({}))
    (tmp_path / "funding.csv").write_text("not,quotes\n1,2\n")
    assert whole(read_batches(tmp_path)).height == 1


def test_same_quote_in_two_files_is_refused(tmp_path):
    write_desk(tmp_path, quotes({}), name="one")
    write_desk(tmp_path, quotes({}), name="two")
    with pytest.raises(DataError, match="2 of 2 rows share"):
        whole(read_batches(tmp_path))


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="found it empty"):
        whole(read_batches(tmp_path))


def test_table_of_no_layout_is_refused_with_what_is_missing(tmp_path):
    quotes({}).drop("expiry").write_csv(tmp_path / "quotes.csv")
    with pytest.raises(DataError, match=r"quotes\.csv: .*missing \['expiry'\]"):
        whole(read_batches(tmp_path))


@pytest.mark.parametrize(
    ("column", "text"),
    [("strike_usd", "ninety"), ("timestamp", "yesterday")],
)
def test_csv_value_that_does_not_parse_is_refused_with_the_file(tmp_path, column, text):
    table = quotes({}).with_columns(pl.lit(text).alias(column))
    table.write_csv(tmp_path / "quotes.csv")
    with pytest.raises(DataError, match=r"quotes\.csv: wanted a table of option quotes"):
        whole(read_batches(tmp_path))


def test_file_that_is_no_parquet_is_refused_by_name(tmp_path):
    (tmp_path / "quotes.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"quotes\.parquet"):
        whole(read_batches(tmp_path))
