import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import polars as pl
import pytest

from node.market.batches import Reading, whole
from node.market.deribit_parquet import RECORDED
from node.market.desks import write_desk
from node.market.layouts import LAYOUTS, QUOTE_TABLES, read_batches, recognise
from node.market.pipeline import Tally, cleaned
from node.market.plain_csv import PLAIN
from node.market.quotes import QUOTES
from node.market.synthetic import market
from protocol.errors import ConfigError, DataError
from tests.unit.node.market.test_deribit_parquet import recorded
from tests.unit.node.market.test_deribit_rest import answer, summary, ticker, ticker_answer
from tests.unit.node.recorded import CHAINS, NOON, needs_chains, quotes

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def chain():
    return market(2, days=5)


def plain(table: pl.DataFrame, unit: str = "coin") -> pl.DataFrame:
    """The least that a plain table must have."""
    divisor = pl.col("forward_usd") if unit == "usd" else pl.lit(1.0)
    return table.select(
        "timestamp",
        "currency",
        "expiry",
        "strike_usd",
        pl.when("is_call").then(pl.lit("call")).otherwise(pl.lit("put")).alias("is_call"),
        *((pl.col(f"{side}_coin") * divisor).alias(f"{side}_{unit}") for side in ("bid", "ask")),
    )


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
@pytest.mark.parametrize(
    ("table", "layout"),
    [(quotes({}), QUOTE_TABLES), (recorded(quotes({})), RECORDED), (plain(quotes({})), PLAIN)],
)
def test_layout_is_recognised_by_the_columns(tmp_path, table, layout, ending):
    path = tmp_path / f"some.{ending}"
    if ending == "parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, compression="gzip" if ending == "csv.gz" else "uncompressed")
    assert recognise(path) is layout


def test_unknown_columns_are_refused_with_what_each_layout_lacks(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text("timestamp,currency,price\n")
    with pytest.raises(DataError, match=r"some\.csv: .*") as refused:
        recognise(path)
    for name, layout in LAYOUTS.items():
        assert not layout.columns or f"{name} (missing [" in str(refused.value)
    assert "plain (missing ['expiry', 'strike_usd', 'is_call'])" in str(refused.value)


def test_layout_may_be_named_and_then_its_missing_columns_are(tmp_path):
    write_desk(tmp_path, quotes({}))
    assert whole(read_batches(tmp_path, layout="quotes")).height == 1
    with pytest.raises(DataError, match=r"missing columns \['expiry_datetime', 'strike', "):
        list(read_batches(tmp_path, layout="recorded"))
    with pytest.raises(ConfigError, match=r"wanted one of \['quotes', .*found 'excel'"):
        read_batches(tmp_path, layout="excel")


def test_one_file_is_read_like_a_folder(tmp_path, chain):
    path = write_desk(tmp_path, chain)
    write_desk(tmp_path, chain.head(10), name="other")
    assert whole(read_batches(path)).equals(chain)


def test_batches_are_whole_days_in_order_and_bounded(tmp_path, chain):
    write_desk(tmp_path, chain.sample(fraction=1.0, shuffle=True, seed=1))
    batches = list(read_batches(tmp_path, reading=Reading(batch_rows=5_000)))
    days = [set(batch.quotes["timestamp"].dt.date()) for batch in batches]
    assert len(days) > 2
    assert all(max(early) < min(late) for early, late in pairwise(days))
    biggest_day = chain.group_by(pl.col("timestamp").dt.date()).len()["len"].max()
    assert max(batch.quotes.height for batch in batches) < 5_000 + biggest_day
    assert [batch.share for batch in batches] == sorted(batch.share for batch in batches)
    key = ["timestamp", "currency", "expiry", "strike_usd", "is_call"]
    assert pl.concat(batch.quotes for batch in batches).sort(key).equals(chain.sort(key))


def test_only_what_lies_between_the_bounds_is_read(tmp_path, chain):
    write_desk(tmp_path, chain)
    times = chain["timestamp"].unique().sort()
    reading = Reading(start=times[2], end=times[7], batch_rows=1)
    found = whole(read_batches(tmp_path, reading=reading))
    assert found.equals(chain.filter(pl.col("timestamp").is_between(times[2], times[6])))


def test_bounds_are_instants_of_any_zone(tmp_path, chain):
    write_desk(tmp_path, chain)
    midnight_in_tokyo = datetime(2026, 1, 7, tzinfo=timezone(timedelta(hours=9)))
    found = whole(read_batches(tmp_path, reading=Reading(start=midnight_in_tokyo)))
    assert found.equals(chain.filter(pl.col("timestamp") >= midnight_in_tokyo.astimezone(UTC)))
    assert 0 < found.height < chain.height


@pytest.mark.parametrize("bound", ["start", "end"])
def test_bound_without_a_zone_is_refused(bound):
    with pytest.raises(DataError, match="with a time zone, found 2026-01-07"):
        Reading(**{bound: datetime(2026, 1, 7)})  # noqa: DTZ001 - what is tested


def test_temporary_files_are_gone_however_the_reading_ends(tmp_path, chain, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (tmp_path / "data").mkdir()
    plain(chain).write_csv(tmp_path / "data" / "plain.csv")
    batches = read_batches(tmp_path / "data", reading=Reading(batch_rows=1))
    next(batches)
    assert any(scratch.iterdir())
    batches.close()
    assert not any(scratch.iterdir())


@pytest.mark.parametrize("unit", ["coin", "usd"])
def test_least_plain_table_has_its_forwards_marks_and_volatilities_computed(tmp_path, chain, unit):
    plain(chain, unit).write_csv(tmp_path / "plain.csv")
    batches = list(read_batches(tmp_path))
    found = pl.concat(batch.quotes for batch in batches).join(
        chain, on=["timestamp", "currency", "expiry", "strike_usd", "is_call"], suffix="_true"
    )
    skipped = sum(sum(batch.skipped.values()) for batch in batches)
    assert found.height + skipped == chain.height
    assert found.height > 0.75 * chain.height
    assert (found["forward_usd"] / found["forward_usd_true"] - 1.0).abs().median() < 5e-4
    liquid = found.filter(pl.col("delta_true").abs().is_between(0.2, 0.8))
    assert (liquid["mark_iv"] - liquid["mark_iv_true"]).abs().median() < 0.02
    middle = (found["bid_coin"] + found["ask_coin"]) / 2.0
    assert (found["mark_coin"] - middle).abs().max() < 1e-12


def test_expiries_without_a_forward_are_named_by_their_batch_and_counted(tmp_path, chain):
    lost = (pl.col("expiry") == chain["expiry"].max()) & (pl.col("currency") == "BTC")
    # Without puts a call says nothing of its forward.
    plain(chain.filter(lost.not_() | pl.col("is_call"))).write_csv(tmp_path / "plain.csv")
    tally = Tally()
    batches = list(read_batches(tmp_path))
    list(cleaned(batches, tally))
    named = pl.concat(batch.without_forward for batch in batches)
    expected = chain.filter(lost).select("timestamp", "currency", "expiry").unique()
    assert named.join(expected, on=named.columns, how="semi").height == expected.height
    assert tally.without_forward == named.height < 0.1 * chain.group_by(named.columns).len().height
    assert tally.skipped["no_forward"] > expected.height


def test_plain_columns_that_are_there_are_kept(tmp_path, chain):
    marked = plain(chain).with_columns(
        chain["forward_usd"], chain["mark_coin"], chain["mark_iv"], chain["volume_coin"]
    )
    marked.write_csv(tmp_path / "plain.csv")
    expected = chain.with_columns(delta=None, open_interest_coin=None).cast(dict(QUOTES))
    assert whole(read_batches(tmp_path)).equals(expected)


@pytest.mark.parametrize("drop", [["ask_coin"], ["bid_coin", "ask_coin"]])
def test_plain_table_without_both_sides_is_refused(tmp_path, drop):
    plain(quotes({})).drop(drop).write_csv(tmp_path / "plain.csv")
    with pytest.raises(DataError, match=r"plain\.csv: missing columns: wanted either"):
        list(read_batches(tmp_path))


def test_time_that_is_missing_is_refused_though_no_bound_holds_it(tmp_path):
    quotes({}, {"timestamp": None}).write_parquet(tmp_path / "some.parquet")
    with pytest.raises(DataError, match=r"some\.parquet: column timestamp: wanted a value"):
        list(read_batches(tmp_path, reading=Reading(start=NOON)))


def write_answer(path, *summaries: object, sent: datetime) -> None:
    said = answer(*summaries) | {"usOut": int(sent.timestamp() * 1_000_000)}
    path.write_text(json.dumps(said))


def test_answers_of_one_minute_are_one_snapshot(tmp_path):
    write_answer(tmp_path / "btc.json", summary(), sent=NOON + timedelta(seconds=2))
    ether = summary("ETH-27MAR26-3000-C", underlying_price=2_900.0)
    write_answer(tmp_path / "eth.json", ether, sent=NOON + timedelta(seconds=59))
    found = whole(read_batches(tmp_path))
    assert found["timestamp"].to_list() == [NOON, NOON]
    assert found["currency"].to_list() == ["BTC", "ETH"]


def stamped(found: object, sent: datetime) -> dict[str, object]:
    return ticker_answer(found) | {"usOut": int(sent.timestamp() * 1_000_000)}


def test_tickers_of_one_file_are_one_snapshot(tmp_path):
    names = ["ETH-27MAR26-3000-C", "BTC-27MAR26-90000-C", "BTC-PERPETUAL"]
    seconds = [-20, 2, 50]
    answers = [
        stamped(ticker(name, underlying_price=2_900.0), NOON + timedelta(seconds=second))
        for name, second in zip(names, seconds, strict=True)
    ]
    (tmp_path / "noon.json").write_text(json.dumps(answers))
    (batch,) = read_batches(tmp_path)
    assert batch.quotes["timestamp"].to_list() == [NOON, NOON]
    assert batch.quotes["currency"].to_list() == ["BTC", "ETH"]
    assert batch.quotes["delta"].to_list() == [0.17, 0.17]
    assert batch.skipped == {"not_an_option": 1}


def test_tickers_of_more_than_five_minutes_are_no_snapshot(tmp_path):
    answers = [stamped(ticker(), NOON), stamped(ticker(), NOON + timedelta(seconds=301))]
    (tmp_path / "day.json").write_text(json.dumps(answers))
    with pytest.raises(DataError, match=r"day\.json: wanted answers of one snapshot, at most 0:05"):
        list(read_batches(tmp_path))


def test_instruments_of_answers_that_are_no_quotes_are_counted_once(tmp_path):
    others = [summary("BTC-PERPETUAL"), summary("SOL-27MAR26-200-C"), summary(mark_price=None)]
    write_answer(tmp_path / "one.json", summary("BTC-27MAR26-95000-C"), *others, sent=NOON)
    late = NOON + timedelta(days=1)
    write_answer(tmp_path / "two.json", summary("BTC-27MAR26-95000-C"), sent=late)
    batches = list(read_batches(tmp_path, reading=Reading(batch_rows=1)))
    assert [batch.skipped for batch in batches] == [
        {"not_an_option": 1, "other_coin": 1, "no_mark": 1},
        {},
    ]


@pytest.mark.parametrize("text", ["", "[]", "[1]", "{}", '{"usOut": "soon"}', '[{"usOut": 1}, {}]'])
def test_file_that_is_no_answer_is_refused_by_name(tmp_path, text):
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(DataError, match=r"one\.json: wanted a JSON"):
        list(read_batches(tmp_path))


def test_broken_answer_is_refused_by_name(tmp_path):
    write_answer(tmp_path / "one.json", summary(mark_price="dear"), sent=NOON)
    with pytest.raises(DataError, match=r"one\.json: BTC-27MAR26-90000-C: wanted a number"):
        list(read_batches(tmp_path))


@pytest.mark.data
@needs_chains
def test_recorded_months_are_recognised():
    months = sorted(CHAINS.glob("*.parquet"))
    assert {recognise(path).name for path in months} == {"recorded"}
    (batch,) = read_batches(months[0])
    assert batch.quotes.height == 5_180
