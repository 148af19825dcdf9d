import json
import math
from datetime import UTC, datetime

import polars as pl
import pytest

from node.market.black76 import implied_vol
from node.market.deribit_rest import read_book_summaries
from node.market.layouts import read_batches
from node.market.quotes import QUOTES, years_to_expiry
from protocol.errors import DataError
from tests.unit.node.recorded import NOON, SUMMARY_CSV, needs_summary

pytestmark = pytest.mark.unit


def summary(name: str = "BTC-27MAR26-90000-C", **changed: object) -> dict[str, object]:
    """One instrument of an answer, with fields that nobody reads."""
    plain: dict[str, object] = {
        "instrument_name": name,
        "underlying_index": "BTC-27MAR26",
        "underlying_price": 80_123.45,
        "mark_price": 0.012345,
        "mark_iv": 49.87,
        "bid_price": 0.012,
        "ask_price": 0.0125,
        "mid_price": 0.01225,
        "last": None,
        "open_interest": 321.5,
        "volume": 12.1,
        "creation_timestamp": 1_772_452_800_123,
    }
    return plain | changed


def ticker(name: str = "BTC-27MAR26-90000-C", **changed: object) -> dict[str, object]:
    """The same instrument by itself, as the exchange answers to `ticker`."""
    plain: dict[str, object] = {
        "instrument_name": name,
        "timestamp": 1_772_452_800_123,
        "state": "open",
        "underlying_index": "BTC-27MAR26",
        "underlying_price": 80_123.45,
        "index_price": 79_900.1,
        "mark_price": 0.012345,
        "mark_iv": 49.87,
        "bid_iv": 49.1,
        "ask_iv": 50.2,
        "best_bid_price": 0.012,
        "best_bid_amount": 3.0,
        "best_ask_price": 0.0125,
        "best_ask_amount": 5.1,
        "last_price": None,
        "open_interest": 321.5,
        "stats": {"volume": 12.1, "price_change": None, "low": None, "high": None},
        "greeks": {"delta": 0.17, "gamma": 2e-5, "vega": 60.1, "theta": -30.2, "rho": 9.9},
    }
    return plain | changed


def ticker_answer(found: object) -> dict[str, object]:
    return answer() | {"result": found}


def answer(*summaries: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "result": list(summaries), "usIn": 1, "usOut": 2, "usDiff": 1}


def quotes_in(given, received_at=NOON):
    return read_book_summaries(given, received_at=received_at).quotes


def test_every_field_of_a_quote_is_read_in_the_tables_units():
    table = quotes_in(answer(summary()))
    assert table.schema == QUOTES
    assert table.rows(named=True) == [
        {
            "timestamp": NOON,
            "currency": "BTC",
            "expiry": datetime(2026, 3, 27, 8, tzinfo=UTC),
            "strike_usd": 90_000.0,
            "is_call": True,
            "forward_usd": 80_123.45,
            "bid_coin": 0.012,
            "ask_coin": 0.0125,
            "mark_coin": 0.012345,
            "mark_iv": pytest.approx(0.4987),
            "delta": None,
            "open_interest_coin": 321.5,
            "volume_coin": 12.1,
        }
    ]


def test_a_ticker_says_what_a_summary_says_and_delta():
    of_summary = quotes_in(answer(summary()))
    found = quotes_in(ticker_answer(ticker()))
    assert found["delta"].item() == 0.17
    assert found.with_columns(delta=of_summary["delta"]).equals(of_summary)


def test_ticker_of_what_is_no_option_is_counted():
    perpetual = {"instrument_name": "BTC-PERPETUAL", "mark_price": 80_000.0}
    found = read_book_summaries(ticker_answer(perpetual), received_at=NOON)
    assert found.quotes.is_empty()
    assert found.skipped == {"not_an_option": 1}


@pytest.mark.parametrize("nothing", [None, 0.0])
def test_ticker_without_orders_volume_or_delta_has_nulls(nothing):
    one = ticker(
        best_bid_price=nothing,
        best_ask_price=nothing,
        open_interest=None,
        stats={"volume": None},
        greeks={"delta": None},
    )
    table = quotes_in(ticker_answer(one))
    names = ("bid_coin", "ask_coin", "open_interest_coin", "volume_coin", "delta")
    assert set(table.select(names).row(0)) == {None}


FIELDS = (
    "mark_price",
    "mark_iv",
    "underlying_price",
    "bid_price",
    "ask_price",
    "open_interest",
    "volume",
)


@pytest.mark.parametrize("field", FIELDS)
def test_field_that_a_summary_lacks_is_an_error_though_null_is_none(field):
    whole = summary()
    lacking = {name: value for name, value in whole.items() if name != field}
    with pytest.raises(DataError, match=rf"BTC-27MAR26-90000-C: wanted the field {field}, found"):
        quotes_in(answer(summary("BTC-27MAR26-95000-C"), lacking))
    assert read_book_summaries(answer(whole | {field: None}), received_at=NOON)


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("best_bid_price", None),
        ("best_ask_price", None),
        ("mark_iv", None),
        ("underlying_price", None),
        ("stats", "volume"),
        ("greeks", "delta"),
    ],
)
def test_field_that_a_ticker_lacks_is_an_error(field, part):
    whole = ticker()
    named = field if part is None else rf"{field}\.{part}"
    changes = [{name: value for name, value in whole.items() if name != field}]
    if part is not None:
        changes.extend([whole | {field: {}}, whole | {field: None}])
    for lacking in changes:
        with pytest.raises(DataError, match=f"wanted the field {named}, found only .* null in"):
            quotes_in(ticker_answer(lacking))


def test_put_single_digit_day_and_whole_number_prices_are_read():
    table = quotes_in(answer(summary("ETH-6MAR26-2000-P", underlying_price=1950, mark_price=0)))
    assert table["expiry"].item() == datetime(2026, 3, 6, 8, tzinfo=UTC)
    assert not table["is_call"].item()
    assert table["mark_coin"].item() == 0.0


def test_decimal_strike_is_read():
    table = quotes_in(answer(summary("ETH-6MAR26-1937d5-P")))
    assert table["strike_usd"].item() == 1937.5


@pytest.mark.parametrize("nothing", [None, 0, 0.0])
def test_side_without_orders_is_null(nothing):
    one = summary(bid_price=nothing, ask_price=nothing, open_interest=None, volume=None)
    table = quotes_in(answer(one))
    assert table.select("bid_coin", "ask_coin", "open_interest_coin", "volume_coin").row(0) == (
        None, None, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("skipped", "reason"),
    [
        (summary("BTC-PERPETUAL"), "not_an_option"),
        (summary("BTC-27MAR26"), "not_an_option"),
        (summary("BTC-CS-27MAR26-70000_75000"), "not_an_option"),
        (summary("XRP_USDC-27MAR26-0d625-C"), "other_coin"),
        (summary("SOL-27MAR26-200-C"), "other_coin"),
        (summary("BTC-2MAR26-90000-C"), "expired"),
        (summary(mark_iv=None), "no_mark"),
        (summary(mark_iv=0.0), "no_mark"),
        (summary(mark_price=None), "no_mark"),
        (summary(underlying_price=None), "no_mark"),
    ],
)
def test_instrument_that_is_no_quote_is_skipped_and_counted(skipped, reason):
    other = summary("BTC-27MAR26-95000-C")
    books = read_book_summaries(answer(skipped, other, skipped), received_at=NOON)
    assert books.quotes.height == 1
    assert books.skipped == {reason: 2}


def test_rows_are_ordered_whatever_the_answers_order():
    names = ["BTC-27MAR26-90000-P", "BTC-6MAR26-90000-C", "BTC-27MAR26-85000-C"]
    there = quotes_in(answer(*map(summary, names)))
    back = quotes_in(answer(*map(summary, reversed(names))))
    assert there.equals(back)
    assert there["strike_usd"].to_list() == [90_000.0, 85_000.0, 90_000.0]


def test_answer_without_instruments_is_an_empty_table():
    assert quotes_in(answer()).schema == QUOTES


def test_error_envelope_is_refused_with_its_code_and_message():
    refused = {"jsonrpc": "2.0", "error": {"code": -32602, "message": "Invalid params"}}
    with pytest.raises(DataError, match="error -32602: Invalid params"):
        quotes_in(refused)


@pytest.mark.parametrize("result", [None, "text", 1, [1], [summary(), None]])
def test_result_of_another_shape_is_refused(result):
    with pytest.raises(DataError, match="result is a list of summaries"):
        quotes_in({"jsonrpc": "2.0", "result": result})


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (summary(mark_price="0.01"), "mark_price, found '0.01'"),
        (summary(bid_price=True), "bid_price, found True"),
        (summary(volume=[1]), r"volume, found \[1\]"),
        (summary("BTC-31FEB26-90000-C"), "expiry such as 27MAR26"),
        (summary("BTC-27MRZ26-90000-C"), "expiry such as 27MAR26"),
        (summary(mark_iv=math.nan), "column mark_iv: wanted a finite number"),
        (summary(underlying_price=-1.0), "column forward_usd: wanted more than 0"),
        ({"mark_price": 0.1}, "instrument_name with every quote, found None"),
    ],
)
def test_broken_summary_is_refused_by_name(broken, why):
    with pytest.raises(DataError, match=why):
        quotes_in(answer(broken))


def test_same_instrument_twice_is_refused():
    with pytest.raises(DataError, match="2 of 2 rows share"):
        quotes_in(answer(summary(), summary()))


def test_time_without_a_zone_is_refused():
    with pytest.raises(DataError, match="received_at"):
        quotes_in(answer(summary()), received_at=NOON.replace(tzinfo=None))


@pytest.mark.data
@needs_summary
def test_recorded_snapshot_of_2021_is_read_and_agrees_with_its_own_volatilities(tmp_path):
    # Order books of the listed instruments, in two passes minutes apart: the first makes one
    # snapshot. A ticker has the same fields.
    recorded = pl.read_csv(SUMMARY_CSV).sort("timestamp").unique("instrument_name", keep="first")
    received_at = datetime.fromtimestamp(1_613_068_800, UTC)
    said = []
    for row in recorded.iter_rows(named=True):
        parts = {
            part: {name[len(part) + 1 :]: row[name] for name in row if name.startswith(f"{part}.")}
            for part in ("stats", "greeks")
        }
        said.append(ticker_answer(row | parts) | {"usOut": 1_613_068_800_000_000})
    path = tmp_path / "books.json"
    path.write_text(json.dumps(said))
    (books,) = read_batches(path)
    assert set(books.quotes["timestamp"]) == {received_at}
    assert books.quotes.height + sum(books.skipped.values()) == recorded.height
    assert books.quotes.height > 450
    # Far enough out that the minutes over which it was recorded do not matter.
    clear = books.quotes.with_columns(years_to_expiry()).filter(
        pl.col("years_to_expiry") > 30 / 365.25,
        (pl.col("strike_usd") / pl.col("forward_usd")).log().abs() < 0.3,
    )
    found = implied_vol(
        *(clear[name] for name in ("mark_coin", "forward_usd", "strike_usd", "years_to_expiry")),
        clear["is_call"],
    )
    assert abs(found - clear["mark_iv"].to_numpy()).mean() < 0.002
