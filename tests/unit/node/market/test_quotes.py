import math
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest

from node.market import quotes as table
from node.market.quotes import QUOTES, check_quotes, log_moneyness, snapshot_id, years_to_expiry
from protocol.errors import DataError
from tests.unit.node.recorded import NOON, quotes

pytestmark = pytest.mark.unit


def test_valid_table_is_returned_unchanged():
    frame = quotes({}, {"is_call": False, "bid_coin": None, "ask_coin": None, "delta": None})
    assert check_quotes(frame) is frame


def test_empty_table_is_valid():
    assert check_quotes(QUOTES.to_frame()).is_empty()


@pytest.mark.parametrize("name", QUOTES.names())
def test_missing_column_is_named(name):
    with pytest.raises(DataError, match=rf"missing columns \['{name}'\]"):
        check_quotes(quotes({}).drop(name))


def test_unknown_column_is_named():
    with pytest.raises(DataError, match=r"unknown columns \['rho'\]"):
        check_quotes(quotes({}).with_columns(rho=1.0))


def test_wrong_type_is_named_with_both_types():
    with pytest.raises(DataError, match=r"strike_usd: wanted type Float64, found Int64"):
        check_quotes(quotes({}).with_columns(pl.col("strike_usd").cast(pl.Int64)))


def test_time_without_a_zone_is_refused():
    with pytest.raises(DataError, match=r"timestamp: wanted type Datetime.*UTC"):
        check_quotes(quotes({}).with_columns(pl.col("timestamp").dt.replace_time_zone(None)))


def test_other_column_order_is_refused():
    with pytest.raises(DataError, match="column order"):
        check_quotes(quotes({}).select(reversed(QUOTES.names())))


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("mark_coin", None, "a value"),
        ("is_call", None, "a value"),
        ("forward_usd", math.nan, "a finite number"),
        ("delta", math.nan, "a finite number"),
        ("ask_coin", math.inf, "a finite number"),
        ("strike_usd", 0.0, "more than 0"),
        ("forward_usd", -1.0, "more than 0"),
        ("mark_iv", 0.0, "more than 0"),
        ("bid_coin", 0.0, "more than 0"),
        ("mark_coin", -1e-9, "0 or more"),
        ("open_interest_coin", -1.0, "0 or more"),
        ("delta", 1.01, "in \\[-1, 1\\]"),
        ("currency", "XRP", "one of"),
        ("expiry", NOON, "a time after the timestamp"),
    ],
)
def test_value_out_of_range_is_counted_and_shown(column, value, wanted):
    frame = quotes({}, {"strike_usd": 91_000.0, column: value}, {"strike_usd": 92_000.0})
    with pytest.raises(DataError, match=f"column {column}: wanted .*{wanted}.* 1 of 3 rows"):
        check_quotes(frame)


def test_first_offender_is_described():
    frame = quotes({}, {"strike_usd": 91_000.0, "mark_iv": -0.5})
    with pytest.raises(DataError, match=r"first has -0\.5 .*strike_usd=91000\.0"):
        check_quotes(frame)


def test_same_option_twice_in_a_snapshot_is_refused():
    with pytest.raises(DataError, match="2 of 3 rows share"):
        check_quotes(quotes({}, {"mark_iv": 0.6}, {"is_call": False}))


def test_same_option_in_two_snapshots_is_valid():
    frame = quotes({}, {"timestamp": NOON + timedelta(hours=6)})
    assert check_quotes(frame).equals(frame)


def test_years_are_act_over_365_25():
    frame = quotes({"expiry": NOON + timedelta(days=365, hours=6)})
    assert frame.select(years_to_expiry()).item() == pytest.approx(1.0, abs=1e-15)


def test_log_moneyness_is_negative_below_the_forward():
    frame = quotes({"strike_usd": 40_000.0})
    assert frame.select(log_moneyness()).item() == pytest.approx(-math.log(2.0))


def test_snapshot_id_is_shared_by_both_coins():
    frame = quotes({}, {"currency": "ETH"})
    expected = int(NOON.timestamp()) * 1_000_000
    assert frame.select(snapshot_id()).to_series().to_list() == [expected, expected]


def test_snapshot_id_does_not_depend_on_the_zone_of_the_input():
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    assert quotes({"timestamp": berlin}).equals(quotes({}))


def test_docstring_tells_every_column():
    assert all(name in str(table.__doc__) for name in QUOTES)


def test_row_is_what_the_tests_think():
    assert quotes({})["expiry"].item() == datetime(2026, 3, 27, 8, tzinfo=UTC)
